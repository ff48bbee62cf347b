"""Claims and records that processes share."""

import subprocess
import sys
import textwrap

import pytest

from crystallize import RunRecord
from pytest_crystallize.records.exchange import Exchange, Key, SharedExchange


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
        from pytest_crystallize.records.exchange import Key, SharedExchange
        exchange = SharedExchange(Path({str(directory)!r}), "other")
        {code}
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_records_travel(pair):
    """What one worker publishes another one knows after it has refreshed."""
    one, two = pair
    key = Key("e", 3, "boost")
    one.attempt(key)
    two.refresh()
    assert two.attempts == {key: "gw0"}
    assert not two.has(key)
    one.publish(key, record(3, "boost"))
    two.refresh()
    assert two.has(key)
    assert two.record(key) == record(3, "boost")
    assert two.counts() == {"e": 1}
    assert list(two.records(key.experiment)) == [record(3, "boost")]


def test_first_record_counts(pair):
    """A record that is there is not replaced by a later one."""
    one, two = pair
    key = Key("e", 0, "baseline")
    two.publish(key, record())
    one.publish(key, RunRecord("baseline", 0, 8))
    two.refresh()
    assert two.record(key).seed == 7


def test_reader(tmp_path):
    """The controller reads and never writes."""
    worker, controller = SharedExchange(tmp_path, "gw0"), SharedExchange(tmp_path, None)
    worker.publish(Key("e", 0, "baseline"), record())
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
    one.refresh()
    assert one.has(Key("e", 5, "baseline"))
    late.close()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_torn_line(pair, tmp_path, cut):
    """A line without its end is no record, until the rest of it comes."""
    one, _ = pair
    key = Key("e", 0, "baseline")
    one.publish(key, record())
    whole = (tmp_path / "gw0.log").read_bytes()
    torn = tmp_path / "gw7.log"
    torn.write_bytes(whole[:-cut])
    three = SharedExchange(tmp_path, "gw3")
    (tmp_path / "gw0.log").unlink()
    three.refresh()
    assert not three.has(key)
    with torn.open("ab") as file:
        file.write(whole[-cut:])
    three.refresh()
    assert three.record(key) == record()
    three.close()


def test_line_torn_for_good(tmp_path, pair):
    """What a full disk has torn is skipped, and the lines behind it are read."""
    one, two = pair
    one.publish(Key("e", 0, "baseline"), record())
    whole = (tmp_path / "gw0.log").read_bytes()
    (tmp_path / "gw8.log").write_bytes(
        whole[:25]
        + b"\n"
        + b"\x00\xff[\n"
        + b"[]\n"
        + b'["record"]\n'
        + b"3\n"
        + b"null\n"
        + whole.replace(b'"e", 0', b'"e", 1')
    )
    two.refresh()
    assert two.has(Key("e", 1, "baseline"))


def test_record_of_another_format(tmp_path, pair):
    """A record whose text is no record is not taken for one."""
    _, two = pair
    (tmp_path / "gw9.log").write_text('["record", ["e", 0, "baseline"], "[1, 2]"]\n')
    two.refresh()
    with pytest.raises(ValueError, match="not a run record"):
        two.record(Key("e", 0, "baseline"))


def test_write_that_falls_short(pair, monkeypatch):
    """A record of which only a part could be written is an error, and later ones are whole."""
    import os

    one, two = pair
    written = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: written(fd, data[:10]))
    with pytest.raises(OSError, match="only 10 of"):
        one.publish(Key("e", 0, "baseline"), record())
    monkeypatch.undo()
    one.publish(Key("e", 1, "baseline"), record(1))
    two.refresh()
    assert not two.has(Key("e", 0, "baseline"))
    assert two.has(Key("e", 1, "baseline"))


def test_claims(tmp_path):
    """A replicate that one process has claimed another one can't claim until it is released."""
    exchange = SharedExchange(tmp_path, "gw0")
    assert exchange.acquire("e", 0, wait=False)
    ask = (
        "print([exchange.acquire('e', i, wait=False) for i in (0, 1)], exchange.acquire('f', 0, wait=False))"
    )
    assert elsewhere(tmp_path, ask) == "[False, True] True"
    exchange.release("e", 0)
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
        exchange.attempt(Key('e', 0, 'baseline'))
        os._exit(0)
    """
    elsewhere(tmp_path, textwrap.indent(textwrap.dedent(code), "        ").strip())
    exchange = SharedExchange(tmp_path, "gw0")
    assert exchange.acquire("e", 0, wait=True)
    assert exchange.attempts == {Key("e", 0, "baseline"): "other"}
    exchange.close()


def test_learns_when_it_claims(tmp_path):
    """Who claims a replicate knows what was published until then."""
    exchange = SharedExchange(tmp_path, "gw0")
    elsewhere(
        tmp_path,
        "from crystallize import RunRecord; exchange.publish(Key('e', 0, 'a'), RunRecord('a', 0, 7))",
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
    ask = "from pytest_crystallize.records import exchange as e; print(e.is_abandoned(exchange.directory))"
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
    exchange.release("e", 0)
    exchange.close()
