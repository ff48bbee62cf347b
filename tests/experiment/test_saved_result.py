"""Results that are written to files, read again, and shown."""

import json
import math
import struct

import pytest

from crystallize import (
    Cases,
    Experiment,
    GroupSequential,
    Hypothesis,
    Result,
    Treatment,
    pipeline_step,
    stored_results,
)
from crystallize.errors import CrystallizeError, CrystallizeWarning, DefinitionError, ResultFileError

ODD_NAN = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]
ODD = [
    math.nan,
    ODD_NAN,
    math.inf,
    -math.inf,
    -0.0,
    5e-324,
    0.1 + 0.2,
    2**80,
    1,
    True,
    False,
    None,
    "nan",
    "\ud800",
]
ODD += [{"$float": "inf"}, {"$object": {"$float": "x"}}, {}, [1, [math.nan, {"a": -math.inf, "$b": 1}]]]


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Artifacts and stored results go below it."""
    monkeypatch.chdir(tmp_path)


@pipeline_step()
def measure(data, ctx, *, delta=0.0, fail_at=()):
    ctx.add("seen", delta)
    ctx.record("duration", 1.5, measured=True)
    for unit, value in enumerate(ODD):
        ctx.record("odd", value, unit=unit)
    if ctx.replicate in fail_at:
        raise ValueError(f"bad luck in {ctx.replicate}")
    return data, {"x": data + delta, "count": ctx.replicate}


TREATMENTS = [Treatment("boost", {"delta": 1.0}), Treatment("faulty", {"fail_at": (2,)})]
CLAIMS = [
    Hypothesis(metric="x", direction="increase"),
    Hypothesis(lambda a, b: {"p_value": math.nan, "significant": False, "type": int}, "x", name="own"),
]


def run(store=False, **changed):
    given = {"name": "demo", "treatments": TREATMENTS, "hypotheses": CLAIMS, "replicates": 8, **changed}
    return Experiment(lambda ctx: ctx.rng.normal(), [measure], **given).run(store_results=store)


def bits(value):
    """Return a value so that equal means of the same types and bits."""
    if isinstance(value, float):
        return struct.pack(">d", value)
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return type(value), value


def test_what_is_read_is_what_was_saved(tmp_path):
    """Values with types and bits, verdicts, errors, traces and provenance; what is made of them, too."""
    saved = run()
    saved.save(tmp_path / "new" / "result.json")
    loaded = Result.load(tmp_path / "new" / "result.json")
    for name in saved.metrics:
        assert bits(dict(loaded.metrics[name])) == bits(dict(saved.metrics[name]))
    assert [bits(r.metrics) for r in loaded.records] == [bits(r.metrics) for r in saved.records]
    assert [(r.scopes, r.seed, r.seconds, r.error) for r in loaded.records] == [
        (r.scopes, r.seed, r.seconds, r.error) for r in saved.records
    ]
    assert loaded.digest == saved.digest
    assert loaded.errors == saved.errors
    assert loaded.provenance == saved.provenance
    assert str(loaded) == str(saved)
    for now, then in zip(loaded.hypotheses, saved.hypotheses, strict=True):
        assert now.ranking == then.ranking
        for treatment, verdict in then.verdicts.items():
            held = now.verdicts[treatment]
            assert {**held.to_dict(), "details": 0} == {**verdict.to_dict(), "details": 0}
            assert held.interval == verdict.interval
    assert loaded.get_hypothesis("own").verdicts["boost"].details["type"] == "<class 'int'>"
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "new" / "result.json").read_bytes()


def test_many_records_looks_and_cases_are_kept(tmp_path):
    """Records in columns, an experiment that was stopped early, and what replicates are samples of."""
    early = run(
        treatments=TREATMENTS[:1], hypotheses=CLAIMS[:1], replicates=40, stopping=GroupSequential(looks=4)
    )
    early.save(tmp_path / "early.json")
    loaded = Result.load(tmp_path / "early.json")
    assert str(loaded) == str(early)
    assert "stopped at" in str(loaded)
    assert loaded.get_hypothesis("x_increase").verdicts == early.get_hypothesis("x_increase").verdicts

    @pipeline_step()
    def answer(data, ctx, *, case, bad=None):
        if bad == case["id"]:
            raise ValueError("no answer")
        return data, {"right": 1.0}

    asked = Experiment(
        0,
        [answer],
        cases=Cases([{"id": "a"}, {"id": "b"}], id="id"),
        treatments={"t": {"bad": "b"}},
        samples=2,
    ).run()
    asked.save(tmp_path / "cases.json")
    known = Result.load(tmp_path / "cases.json")
    assert list(map(str, known.errors)) == list(map(str, asked.errors))
    assert known._repr_html_() == asked._repr_html_()


def test_a_reference_is_made_of_a_loaded_result(tmp_path):
    """As it would have been of the result itself, with the time and the machine of the run."""
    saved = run(treatments=TREATMENTS[:1], hypotheses=CLAIMS[:1])
    saved.save(tmp_path / "result.json")
    saved.save_reference(tmp_path / "then.json")
    left_out = Result.load(tmp_path / "result.json").save_reference(tmp_path / "now.json")
    assert [text.partition(" is")[0].partition(" holds")[0] for text in left_out] == ["metric 'odd'"]
    then, now = (
        json.loads((tmp_path / f"{name}.json").read_text())["recordings"] for name in ("then", "now")
    )
    assert now[0]["conditions"] == then[0]["conditions"]
    assert (now[0]["machine"], now[0]["versions"]) == (then[0]["machine"], then[0]["versions"])


def damaged(text):
    """Yield a saved result with one thing that is not right."""
    yield text[: len(text) // 2]
    yield text.replace('"count", 3', '"count", 4', 1)
    yield text.replace('"replicate": 0', '"replicate": 9', 1)
    yield text.replace("crystallize-result-1", "crystallize-result-2")
    yield text.replace('"check"', '"chuck"')
    yield from ("", "null", "[]", "{}", '{"format": "crystallize-result-1"}', "[" * 100_000, "\x80\x04N.")


def test_a_file_that_is_not_what_was_written_is_refused(tmp_path):
    """Cut off, changed, of another format, or something else: nothing is made of it."""
    path = tmp_path / "result.json"
    run().save(path)
    for text in list(damaged(path.read_text())):
        path.write_text(text)
        with pytest.raises(ResultFileError, match=r"result\.json is no saved result"):
            Result.load(path)
    with pytest.raises(ResultFileError, match="can't be read"):
        Result.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        Result.load(tmp_path / "absent.json")
    assert issubclass(ResultFileError, CrystallizeError)


def test_a_result_writes_its_report(tmp_path):
    """The suffix says which; another one is answered with those there are."""
    result = run()
    result.report(tmp_path / "out" / "page.html")
    result.report(tmp_path / "out" / "page.MD")
    page, text = ((tmp_path / "out" / name).read_text() for name in ("page.html", "page.MD"))
    assert page.startswith("<!DOCTYPE html>")
    assert "1 of 4 hypotheses supported" in page
    assert "exit status" not in page
    assert "**1 of 4 hypotheses supported**" in text
    with pytest.raises(DefinitionError, match=r"suffix '\.pdf'; allowed are \.html and \.md"):
        result.report(tmp_path / "page.pdf")


def test_verdicts_as_a_frame():
    """A row for each, numbers as floats."""
    pytest.importorskip("pandas")
    result = run()
    table = result.verdicts
    assert list(zip(table["hypothesis"], table["treatment"], table["status"], strict=True)) == [
        (h.name, t, v.status) for h in result.hypotheses for t, v in h.verdicts.items()
    ]
    first = result.get_hypothesis("x_increase").verdicts["boost"]
    row = table.iloc[0]
    assert (row["low"], row["high"], row["deciding_p"]) == (*first.interval, first.deciding_p)
    assert table["margin"].dtype == float
    assert "details" not in table
    assert list(run(hypotheses=()).verdicts.columns) == list(table.columns)


def test_printing_shows_the_effects_of_what_is_supported():
    """With the interval."""
    line = next(line for line in str(run()).splitlines() if "x_increase [boost]" in line)
    assert line.endswith(", difference +1 [1, 1]")


def test_results_of_runs_are_kept_where_asked(tmp_path, monkeypatch):
    """By experiment, oldest first, told in a line; what can't be written is warned of, and returned."""
    assert stored_results() == []
    kept = [run(name=name, hypotheses=CLAIMS[:1], store=True) for name in ("demo", "other/..", "demo")]
    run()
    assert len(stored_results()) == 3
    first, second = stored_results("demo")
    assert {first.load().digest, second.load().digest} == {kept[0].digest}
    assert stored_results("other/..")[0].summary["verdicts"] == {"supported": 1, "invalid": 1}
    assert "demo: 8 replicates, 1 supported, 1 invalid" in str(first)
    assert first.path.is_relative_to(tmp_path / ".cache" / "crystallize" / "results")
    second.path.write_text("{}")
    assert "is no saved result" in str(stored_results("demo", tmp_path / ".cache/crystallize/results")[-1])
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(second.path))
    with pytest.warns(CrystallizeWarning, match="could not be stored"):
        assert run(store=True).digest == kept[0].digest
