"""Claims and records that processes share."""

import subprocess
import sys
import textwrap

import pytest

from crystallize import RunRecord
from crystallize.seam import records_from_json
from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.records.logs import Key
from pytest_crystallize.records.shared_exchange import SharedExchange


def record(replicate=0, condition="baseline"):
    return RunRecord(condition, replicate, 7)


@pytest.fixture
def pair(tmp_path):
    """Return the exchanges of two workers of one session."""
    one, two = SharedExchange(tmp_path, "gw0"), SharedExchange(tmp_path, "gw1")
    yield one, two
    one.close()
    two.close()


def elsewhere(directory, code):
    """Run code in a process of its own, with an exchange of the session, and return what it prints."""
    script = f"""
        from pathlib import Path
        from pytest_crystallize.records.logs import Key
        from pytest_crystallize.records.shared_exchange import SharedExchange
        exchange = SharedExchange(Path({str(directory)!r}), "other")
        {code}
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_records_travel(pair):
    """What one worker publishes another one knows after it has refreshed."""
    one, two = pair
    key = Key("e", 3, "boost")
    one.begin(key)
    two.refresh()
    assert two.begun_by(key) == "gw0"
    assert not two.has(key)
    one.publish(key, record(3, "boost"))
    one.end(key)
    one.flush()
    two.refresh()
    assert two.begun_by(key) is None
    assert two.has(key)
    assert two.of_others("e") == 1
    assert list(two.some_of_others("e")) == [key]
    assert two.record(key) == record(3, "boost")
    assert two.counts() == {"e": 1}
    assert list(two.known()) == [key]
    assert list(two.runs("e", 4, ["boost"])["boost"].records) == [None] * 3 + [record(3, "boost")]


def test_first_record_counts(pair):
    """A record that is there is not replaced by a later one."""
    one, two = pair
    key = Key("e", 0, "baseline")
    two.publish(key, record())
    one.publish(key, RunRecord("baseline", 0, 8))
    one.flush()
    two.refresh()
    assert two.record(key).seed == 7


def test_records_of_several_conditions_are_read_once(pair, monkeypatch):
    """What was appended at once is read once, whichever of its conditions are looked at."""
    one, two = pair
    read = []
    monkeypatch.setattr(
        "crystallize.seam.records_from_json", lambda text: (read.append(text), records_from_json(text))[1]
    )
    for condition in ("baseline", "boost"):
        one.publish(Key("e", 0, condition), record(0, condition))
    one.flush()
    two.refresh()
    for condition in ("boost", "baseline"):
        assert list(two.runs("e", 1, [condition])[condition].records) == [record(0, condition)]
    assert len(read) == 1


def test_reader(tmp_path):
    """The controller reads and never writes."""
    worker, controller = SharedExchange(tmp_path, "gw0"), SharedExchange(tmp_path, None)
    worker.publish(Key("e", 0, "baseline"), record())
    worker.flush()
    controller.refresh()
    assert controller.counts() == {"e": 1}
    assert sorted(path.name for path in tmp_path.glob("*.log")) == ["gw0.log"]
    worker.close()
    controller.close()


def test_log_that_appears_later(pair, tmp_path):
    """A log that a replacement worker begins after the others have looked is found."""
    one, _ = pair
    one.refresh()
    late = SharedExchange(tmp_path, "gw2")
    late.publish(Key("e", 5, "baseline"), record(5))
    late.flush()
    one.refresh()
    assert one.has(Key("e", 5, "baseline"))
    late.close()


def log_of(one, *records):
    """Return what a process writes to its log when it appends records of one experiment at once."""
    for each in records:
        one.publish(Key("e", each.replicate, each.condition), each)
    one.flush()
    return (one.directory / f"{one.worker}.log").read_bytes()


def other_log(directory, text, name="gw7"):
    """Write the log of another process, which runs nothing now."""
    (directory / f"{name}.now").write_bytes(bytes(8))
    path = directory / f"{name}.log"
    path.write_bytes(text)
    return path


@pytest.mark.parametrize("cut", [1, 5, 20, 130])
def test_torn_end(pair, tmp_path, cut):
    """Records without their end are none, until the rest of them comes."""
    one, _ = pair
    whole = log_of(one, record(0), record(1, "boost"))
    torn = other_log(tmp_path, whole[:-cut])
    (tmp_path / "gw0.log").unlink()
    three = SharedExchange(tmp_path, "gw3")
    three.refresh()
    assert three.counts() == {}
    with torn.open("ab") as file:
        file.write(whole[-cut:])
    three.refresh()
    known = three.runs("e", 2, ("baseline", "boost"))
    assert list(known["baseline"].records) == [record(0), None]
    assert list(known["boost"].records) == [None, record(1, "boost")]
    three.close()


def test_lines_torn_for_good(tmp_path, pair):
    """What a full disk has torn is skipped, and what lies behind it is read."""
    one, two = pair
    log_of(one, record())
    head, body, *later = log_of(one, record(1)).split(b"\n")
    torn = [
        (head + b"\n" + body)[:25],
        head,
        body[:-3],
        b"\x00\xff[",
        b"[]",
        b'["records"]',
        b'["attempt"]',
        b'["attempt", 3]',
        b'["records", 3, "e", {"boost": ["1"]}]',
        b'["records", 3, "e", [1]]',
        b"3",
        b"null",
    ]
    other_log(tmp_path, b"\n".join([*torn, *later]))
    (tmp_path / "gw0.log").unlink()
    two.refresh()
    assert list(two.known()) == [Key("e", 1, "baseline")]
    assert two.record(Key("e", 1, "baseline")) == record(1)


def test_record_of_another_format(tmp_path, pair):
    """A text that holds no records is not taken for one."""
    _, two = pair
    other_log(tmp_path, b'["records", 6, "e", {"baseline": [0]}]\n[1, 2]\n')
    two.refresh()
    with pytest.raises(ValueError, match="not run records"):
        two.record(Key("e", 0, "baseline"))


def test_write_that_falls_short(pair, monkeypatch):
    """Records of which only a part could be written are an error, and later ones are whole."""
    import os

    one, two = pair
    written = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: written(fd, data[:10]))
    one.publish(Key("e", 0, "baseline"), record())
    with pytest.raises(OSError, match="only 10 of"):
        one.flush()
    monkeypatch.undo()
    one.publish(Key("e", 1, "baseline"), record(1))
    one.flush()
    two.refresh()
    assert not two.has(Key("e", 0, "baseline"))
    assert two.has(Key("e", 1, "baseline"))


def test_records_are_appended_before_long(pair, monkeypatch):
    """Nobody who is killed loses more than what it ran in a twentieth of a second."""
    from pytest_crystallize.records import logs

    one, two = pair
    clock = iter([10.0, 10.04, 10.06])
    monkeypatch.setattr(logs.time, "perf_counter", lambda: next(clock))
    for replicate, known in ((0, 0), (1, 0), (2, 3)):
        one.publish(Key("e", replicate, "baseline"), record(replicate))
        two.refresh()
        assert two.counts().get("e", 0) == known


def test_several_units_under_way(pair):
    """Of units that are run at the same time, all are known, and each ends with its record."""
    one, two = pair
    keys = [Key("e", 0, condition) for condition in ("baseline", "boost", "more")]
    for key in keys:
        one.begin(key)
    two.refresh()
    assert {two.begun_by(key) for key in keys} == {"gw0"}
    for key in keys[:2]:
        one.publish(key, record(0, key.condition))
        one.end(key)
    two.refresh()
    assert two.died("gw0") == keys[2:]


def test_names_too_long_to_be_told_beside_the_log(pair):
    """However long the name of an experiment is, it is known what its process runs."""
    one, two = pair
    key = Key("e" * 5000, 3, "baseline")
    one.begin(key)
    two.refresh()
    assert two.begun_by(key) == "gw0"


def test_blocks(tmp_path):
    """Blocks that processes claim follow one another, up to the size that is asked for."""
    exchange = SharedExchange(tmp_path, "gw0")
    assert exchange.claim("e", 0, 10, 4) == range(4)
    ask = (
        "print([exchange.claim('e', 0, 10, 3), exchange.claim('e', 0, 10, 8), exchange.claim('e', 0, 10, 1)])"
    )
    assert elsewhere(tmp_path, ask) == "[range(4, 7), range(7, 10), range(10, 10)]"
    assert (
        elsewhere(tmp_path, "print([exchange.acquire('e', i, wait=False) for i in (3, 4)])")
        == "[False, True]"
    )
    exchange.release("e", range(4))
    assert elsewhere(tmp_path, "print(exchange.acquire('e', 3, wait=False))") == "True"
    assert exchange.claim("e", 0, 12, 9) == range(10, 12)
    exchange.close()


def test_who_finds_nothing_to_claim_knows_that_all_is_claimed(pair):
    """Everybody else knows it, too; more replicates may be to come."""
    one, two = pair
    one.claim("e", 0, 4, 3)
    assert not one.is_claimed("e", 4)
    assert not two.is_claimed("e", 4)
    one.claim("e", 0, 4, 3)
    for exchange in pair:
        assert exchange.is_claimed("e", 4)
        assert not exchange.is_claimed("e", 5)
        assert not exchange.claim("e", 0, 4, 3)
    assert not one.claim("of stored runs", 6, 6, 1)
    assert two.is_claimed("of stored runs", 6)


@pytest.mark.parametrize("torn", [b'["f", "v', b"]", b"\xff", b"7"])
def test_agreements_stand_behind_what_is_torn(pair, torn):
    """What a killed process has left of its line takes nothing away from those around it."""
    one, two = pair
    one.agree("e", lambda: "v0")
    with (one.directory / "agreed").open("ab") as file:
        file.write(torn)
    two.agree("f", lambda: "v1")
    assert [exchange.agreed(name) for exchange in pair for name in "ef"] == ["v0", "v1"] * 2


@pytest.mark.parametrize("text", [b"", b"x", None])
def test_a_count_of_blocks_that_is_lost(tmp_path, text):
    """Who does not know what others have claimed waits for them, and claims it again."""
    exchange = SharedExchange(tmp_path, "gw0")
    exchange.release("e", exchange.claim("e", 0, 4, 4))
    agreed = tmp_path / "agreed"
    agreed.unlink() if text is None else agreed.write_bytes(text)
    assert elsewhere(tmp_path, "print(exchange.claim('e', 0, 4, 3))") == "range(0, 3)"
    exchange.close()


def test_claims(tmp_path):
    """A replicate that one process has claimed another one can't claim until it is released."""
    exchange = SharedExchange(tmp_path, "gw0")
    assert exchange.acquire("e", 0, wait=False)
    ask = (
        "print([exchange.acquire('e', i, wait=False) for i in (0, 1)], exchange.acquire('f', 0, wait=False))"
    )
    assert elsewhere(tmp_path, ask) == "[False, True] True"
    exchange.release("e", range(1))
    assert elsewhere(tmp_path, ask) == "[True, True] True"
    exchange.close()


def test_agreement_keeps_claims(tmp_path):
    """Agreeing on something under an experiment's name gives none of its claims away."""
    exchange = SharedExchange(tmp_path, "gw0")
    for replicate in range(3):
        assert exchange.acquire("e", replicate, wait=False)
    assert exchange.agree("e", lambda: "v0") == "v0"
    assert (
        elsewhere(tmp_path, "print([exchange.acquire('e', i, wait=False) for i in range(3)])")
        == "[False, False, False]"
    )
    assert elsewhere(tmp_path, "print(exchange.agree('e', lambda: 'v1'))") == "v0"
    exchange.close()


def test_claims_end_with_their_process(tmp_path):
    """A claim dies with its process; what it had begun is known, and what it had published too."""
    code = """
        import os
        exchange.acquire('e', 0, wait=True)
        exchange.begin(Key('e', 0, 'baseline'))
        os._exit(0)
    """
    elsewhere(tmp_path, textwrap.indent(textwrap.dedent(code), "        ").strip())
    exchange = SharedExchange(tmp_path, "gw0")
    assert exchange.acquire("e", 0, wait=True)
    assert exchange.begun_by(Key("e", 0, "baseline")) == "other"
    exchange.close()


def test_learns_when_it_claims(tmp_path):
    """Who claims a replicate knows what was published until then."""
    exchange = SharedExchange(tmp_path, "gw0")
    elsewhere(
        tmp_path,
        "from crystallize import RunRecord; exchange.publish(Key('e', 0, 'a'), RunRecord('a', 0, 7)); "
        "exchange.flush()",
    )
    assert exchange.acquire("e", 0, wait=False)
    assert exchange.has(Key("e", 0, "a"))
    exchange.close()


def test_closing_one_exchange_keeps_the_claims_of_another(tmp_path):
    """Two exchanges on two directories in one process don't share locks."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = SharedExchange(tmp_path / "a", "gw0"), SharedExchange(tmp_path / "b", "gw0")
    one.acquire("e", 0, wait=True)
    two.close()
    assert elsewhere(tmp_path / "a", "print(exchange.acquire('e', 0, wait=False))") == "False"
    one.close()


def test_abandoned_directories(tmp_path):
    """A directory is abandoned when the process that made it is gone, by whatever end."""
    controller = SharedExchange(tmp_path, None)
    ask = "from pytest_crystallize.records import directories as d; print(d.is_abandoned(exchange.directory))"
    assert elsewhere(tmp_path, ask) == "False"
    controller.close()
    assert elsewhere(tmp_path, ask) == "True"


def test_one_process():
    """The exchange of one process gives every claim and keeps its records."""
    exchange = Exchange()
    key = Key("e", 0, "baseline")
    assert exchange.acquire("e", 0, wait=False)
    assert not exchange.has(key)
    exchange.publish(key, record())
    assert exchange.record(key) == record()
    assert exchange.agree("x", lambda: "1") == exchange.agree("x", lambda: "2") == "1"
    exchange.release("e", range(1))
    exchange.close()
