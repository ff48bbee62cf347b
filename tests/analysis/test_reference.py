"""References: what was measured earlier, kept in a file, and claims against it."""

import contextlib
import json
import math
import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import experiment as recorded_experiment

from crystallize import (
    AnytimeValid,
    ExecutorExecution,
    Experiment,
    GroupSequential,
    Hypothesis,
    Reference,
    SeedPlugin,
    Treatment,
    pipeline_step,
    verifier,
)
from crystallize.analysis import reference_file
from crystallize.analysis.calibration import calibrate
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.reference_file import load_reference, write_reference
from crystallize.analysis.stored_reference import (
    FORMAT,
    Claimed,
    Origin,
    Recording,
    StoredReference,
    parse_json,
    recorded,
    to_json,
)
from crystallize.context.record import RunError, RunRecord
from crystallize.context.recording import MetricEntry
from crystallize.errors import DefinitionError, ReferenceFileError
from crystallize.identity.provenance import Machine, machine


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Files are written there."""
    monkeypatch.chdir(tmp_path)


# The file.


def runs_of(condition, *replicates, seeds=None):
    """Return runs of which each replicate recorded these (metric, value, unit)."""
    records = [
        RunRecord(
            condition,
            i,
            100 + i if seeds is None else seeds[i],
            tuple(
                MetricEntry(name, value, unit, name.startswith("measured"), "step")
                for name, value, unit in entries
            ),
        )
        for i, entries in enumerate(replicates)
    ]
    return ConditionRuns(condition, records)


HERE = Machine("Abacus", 4, "CPython 3.11.7")


def origin(commit="c0ffee"):
    return Origin.now(commit=commit, dirty=False, machine=HERE, inputs={"data/a.csv": "1f2e"})


def record(*conditions, commit="c0ffee", root_seed=0, claimed=()):
    """Record conditions, and return the recording and what is left out of it."""
    runs = {runs.condition: runs for runs in conditions}
    return recorded("demo", runs, origin(commit), root_seed=root_seed, claimed=claimed)


def stored(*conditions, commit="c0ffee", root_seed=0):
    """Return a recording of conditions, whatever they hold."""
    seeds = [record.seed for record in conditions[0].records]
    return Recording(origin(commit), root_seed, seeds, {runs.condition: runs for runs in conditions})


def text_of(*recordings):
    """Return the text of a file."""
    data = {"format": FORMAT, "experiment": "demo", "recordings": [each.to_data() for each in recordings]}
    return to_json(data)


def read(text):
    return StoredReference.from_data(parse_json(text))


def held(path):
    """Return condition -> runs of a file."""
    return {name: known.conditions[name] for name, known in load_reference(path).conditions.items()}


def values_by_metric(runs):
    """Return what a condition recorded: per replicate, metric -> values with units, in order."""
    return [
        {
            name: [
                (json.dumps(e.value, sort_keys=True), e.unit, type(e.unit), e.measured)
                for e in record.metrics
                if e.name == name
            ]
            for name in {e.name for e in record.metrics}
        }
        for record in runs.records
    ]


texts = st.text(max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | texts | st.just(2**1023)
numbers = st.recursive(
    scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3), max_leaves=6
)
entries = st.tuples(
    st.sampled_from(["x", "measured", "größe [m]", '"\n\\'])
    | st.text(st.characters(), min_size=1, max_size=8),
    numbers,
    st.none() | st.integers() | texts,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(entries, max_size=4), min_size=1, max_size=3),
    st.text(st.characters(), min_size=1, max_size=10),
)
def test_what_is_stored_comes_back(replicates, name):
    """Any values, with their types, units and order, for any names; and the same text once more."""
    before = stored(runs_of(name, *replicates), runs_of("baseline\t", *replicates[::-1]))
    text = text_of(before)
    (after,) = read(text).recordings
    assert text_of(after) == text
    assert (after.root_seed, after.replicates) == (0, len(replicates))
    assert set(after.conditions) == {name, "baseline\t"}
    for condition, runs in before.conditions.items():
        assert values_by_metric(after.conditions[condition]) == values_by_metric(runs)
        assert [record.seed for record in after.conditions[condition].records] == list(after.seeds)
    assert after.origin == before.origin


def test_a_list_is_told_from_several_values():
    """One value that is a list, two values, and a value of a unit are three things."""
    runs = runs_of(
        "baseline",
        [("x", [1, 2], None)],
        [("x", 1, None), ("x", 2, None)],
        [("x", 1, "a")],
        [],
        [("x", {"a": [None]}, None)],
    )
    after = read(text_of(stored(runs))).recordings[0].conditions["baseline"]
    assert values_by_metric(after) == values_by_metric(runs)


def test_the_file_is_made_for_diffs():
    """Sorted, a value a line, a line break at the end, and a changed value changes one line."""
    before, after = (
        stored(runs_of("baseline", *([("x", value, None), ("a", i, None)] for i, value in enumerate(column))))
        for column in ([0.1, 0.2, 0.3], [0.1, 0.25, 0.3])
    )
    texts = text_of(before), text_of(replace(after, origin=before.origin))
    lines = zip(*(text.splitlines() for text in texts), strict=True)
    assert [pair for pair in lines if pair[0] != pair[1]] == [(" " * 8 + "0.2,", " " * 8 + "0.25,")]
    assert texts[0].endswith("}\n")
    data = json.loads(texts[0])
    assert list(data) == sorted(data)
    assert data["recordings"][0]["commit"] == "c0ffee"
    assert {"numpy", "python", "scipy", "pytest-crystallize"} == set(data["recordings"][0]["versions"])


def test_nothing_in_the_file_says_where_it_was_made(tmp_path):
    """No path, no host, no user."""
    write_reference(tmp_path / "a.json", "demo", stored(runs_of("baseline", [("x", 1.0, None)])))
    text = (tmp_path / "a.json").read_text()
    assert str(tmp_path) not in text
    assert os.sep not in text.replace("data/a.csv", "")
    (recording,) = json.loads(text)["recordings"]
    assert {"commit", "dirty", "recorded", "machine", "versions", "inputs"} < set(recording)
    assert set(recording["machine"]) == {"processor", "cores", "python"}


def broken(change):
    data = json.loads(
        text_of(stored(runs_of("baseline", [("x", 1, "u")], [("x", 2, "u")]), runs_of("b", [], [])))
    )
    change(data)
    return json.dumps(data)


def _at(data, path):
    for key in path:
        data = data[key]
    return data


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(data):
        _at(data, path)[last] = value

    return change


IN = ("recordings", 0)
BASELINE = (*IN, "conditions", "baseline")
X = (*BASELINE, "metrics", "x")
FORGED = {
    "another format": _set("format", "crystallize-reference-0"),
    "no recordings": _set("recordings", []),
    "recordings by name": _set("recordings", {}),
    "a recording that is none": _set(*IN, "2026"),
    "no conditions": _set(*IN, "conditions", {}),
    "conditions in a list": _set(*IN, "conditions", ["baseline"]),
    "a condition that is none": _set(*BASELINE, 3),
    "no seeds": _set(*IN, "seeds", []),
    "a seed too few": _set(*IN, "seeds", [1]),
    "a seed as text": _set(*IN, "seeds", ["1", "2"]),
    "seeds that are true": _set(*IN, "seeds", [True, False]),
    "text for seeds": _set(*IN, "seeds", "ab"),
    "a value too many": _set(*X, "values", [1, 2, 3]),
    "a value too few": _set(*X, "values", [1]),
    "text for a column": _set(*X, "values", "ab"),
    "a list without units": _set(*X, "values", [[1, 2], [1, 2]]),
    "a pair of three": _set(*X, "values", [[["u", 1, 1]], []]),
    "a unit that is a list": _set(*X, "values", [[[["u"], 1]], []]),
    "a unit that is true": _set(*X, "values", [[[True, 1]], []]),
    "measured as text": _set(*X, "measured", "no"),
    "not told whether it was measured": lambda data: _at(data, X).pop("measured"),
    "no metrics": lambda data: _at(data, BASELINE).pop("metrics"),
    "no commit": lambda data: _at(data, IN).pop("commit"),
    "a commit that is a number": _set(*IN, "commit", 7),
    "no date": lambda data: _at(data, IN).pop("recorded"),
    "a date that is none": _set(*IN, "recorded", "yesterday"),
    "a date without time zone": _set(*IN, "recorded", "2026-01-02T03:04:05"),
    "a date elsewhere": _set(*IN, "recorded", "2026-01-02T03:04:05+01:00"),
    "a commit that is none": _set(*IN, "commit", "\x1b[2J"),
    "dirty as text": _set(*IN, "dirty", "yes"),
    "no machine": lambda data: _at(data, IN).pop("machine"),
    "a machine by name": _set(*IN, "machine", "Abacus"),
    "a machine without cores": lambda data: _at(data, (*IN, "machine")).pop("cores"),
    "inputs in a list": _set(*IN, "inputs", []),
    "an input without digest": _set(*IN, "inputs", {"a": None}),
    "versions in a list": _set(*IN, "versions", []),
    "no root seed": lambda data: _at(data, IN).pop("root_seed"),
    "a root seed as text": _set(*IN, "root_seed", "0"),
    "an experiment without name": _set("experiment", None),
}


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(broken(change), id=name) for name, change in FORGED.items()),
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"format": []}', id="a list for a format"),
        pytest.param("null", id="nothing"),
        pytest.param("<<<<<<< HEAD\n{}\n", id="a merge conflict"),
        pytest.param(text_of(stored(runs_of("b", [("x", 1, None)])))[:-20], id="torn"),
        *(
            pytest.param(broken(_set(*X, "values", [1, 2])).replace("[1, 2]", f"[{value}, 2]"), id=value)
            for value in ("NaN", "-Infinity", "1e999")
        ),
        pytest.param(broken(lambda data: None).replace('"dirty"', '"commit"'), id="a key twice"),
        pytest.param("[" * 200_000, id="too deep"),
        pytest.param(f'{{"format": {"9" * 5000}}}', id="a number without end"),
        pytest.param("\udcff", id="no text"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path, text):
    """With the file's name, and as an error of its own, never as one of Python's."""
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReferenceFileError, match=r"a\.json is no reference: "):
        load_reference(path)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_json_is_a_reference_or_is_refused(data):
    """Whatever stands in place of a part of the file."""
    whole = json.loads(text_of(stored(runs_of("baseline", [("x", 1, "u")]))))
    at, key = whole, data.draw(st.sampled_from(sorted(whole)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        keys = sorted(at[key]) if isinstance(at[key], dict) else range(len(at[key]))
        at, key = at[key], data.draw(st.sampled_from(keys))
    at[key] = data.draw(numbers)
    with contextlib.suppress(ValueError):
        read(json.dumps(whole))


def test_a_directory_in_its_place_is_refused(tmp_path):
    """As a file that can't be read is; one that is not there is told apart."""
    with pytest.raises(ReferenceFileError, match="is no reference"):
        load_reference(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_reference(tmp_path / "none.json")


def test_the_first_format_is_refused(tmp_path):
    """It says at which commit it is to be recorded again."""
    path = tmp_path / "a.json"
    old = {"format": "crystallize-reference-1", "conditions": {"baseline": {"git_commit": "c0ffee" * 6}}}
    path.write_text(json.dumps(old))
    with pytest.raises(ReferenceFileError, match=r"at commit c0ffeec0ffee\); record it again at"):
        load_reference(path)


def test_a_partial_update_keeps_the_rest_with_its_commit(tmp_path):
    """Only what ran is new; a whole one leaves nothing behind."""
    path = tmp_path / "new" / "a.json"
    first = stored(
        runs_of("baseline", [("x", 1, None)]), runs_of("boost", [("x", 2, None)]), commit="earlier"
    )
    assert write_reference(path, "demo", first) is None
    only = stored(runs_of("boost", [("x", 3, None)]), commit="later")
    assert write_reference(path, "demo", only, partial=True).recordings[0].origin.commit == "earlier"
    assert {name: runs.metrics["x"] for name, runs in held(path).items()} == {"baseline": [1], "boost": [3]}
    commits = {name: known.origin.commit for name, known in load_reference(path).conditions.items()}
    assert commits == {"baseline": "earlier", "boost": "later"}
    write_reference(path, "demo", only)
    assert list(held(path)) == ["boost"]


def test_the_last_recording_of_a_condition_speaks_of_it(tmp_path):
    """A file may hold several."""
    first = stored(runs_of("baseline", [("x", 1, None)]), runs_of("boost", [("x", 2, None)]), commit="a")
    second = stored(runs_of("boost", [("x", 3, None)], [("x", 4, None)]), commit="b")
    known = read(text_of(first, second)).conditions
    assert {name: recording.replicates for name, recording in known.items()} == {"baseline": 1, "boost": 2}


def test_what_others_know_is_left_alone(tmp_path):
    """Fields that this version does not know are ignored, and stay in what is kept of a file."""
    path = tmp_path / "a.json"
    data = json.loads(text_of(stored(runs_of("baseline", [("x", 1, None)]))))
    data["recordings"][0]["conditions"]["baseline"]["notes"] = {"answer": ["42"]}
    path.write_text(json.dumps(data))
    write_reference(path, "demo", stored(runs_of("boost", [("x", 3, None)])), partial=True)
    kept = json.loads(path.read_text())["recordings"][0]["conditions"]["baseline"]
    assert kept["notes"] == {"answer": ["42"]}


@pytest.mark.parametrize(
    "other",
    [
        stored(runs_of("boost", [("x", 3, None)], seeds=[7])),
        stored(runs_of("boost", [("x", 3, None)], [("x", 3, None)])),
        stored(runs_of("boost", [("x", 3, None)]), root_seed=1),
    ],
    ids=["seeds", "replicates", "root seed"],
)
def test_a_partial_update_of_other_replicates_is_refused(tmp_path, other):
    """The file stays as it was; if nothing is kept of it, there is nothing to refuse."""
    path = tmp_path / "a.json"
    both = stored(runs_of("baseline", [("x", 1, None)]), runs_of("boost", [("x", 2, None)]))
    write_reference(path, "demo", both)
    before = path.read_bytes()
    with pytest.raises(ReferenceFileError, match=r"only 'boost' ran, .* condition 'baseline' of"):
        write_reference(path, "demo", other, partial=True)
    assert path.read_bytes() == before
    write_reference(path, "demo", stored(runs_of("boost", [("x", 1, None)])))
    write_reference(path, "demo", other, partial=True)
    assert path.read_text() == text_of(other)


def test_a_partial_update_does_not_replace_what_it_can_not_read(tmp_path):
    """There might be conditions in it; a whole one does."""
    path = tmp_path / "a.json"
    path.write_text("{torn")
    new = stored(runs_of("boost", [("x", 1, None)]))
    with pytest.raises(ReferenceFileError):
        write_reference(path, "demo", new, partial=True)
    assert path.read_text() == "{torn"
    write_reference(path, "demo", new)
    assert path.read_text() == text_of(new)


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch):
    """The old file is whole, and no other file is left."""
    path = tmp_path / "a.json"
    write_reference(path, "demo", stored(runs_of("baseline", [("x", 1, None)])))
    before = path.read_bytes()

    def full(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_reference(path, "demo", stored(runs_of("baseline", [("x", 2, None)])))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    """A file is bounded, for whoever reads it."""
    monkeypatch.setattr(reference_file, "LARGEST", 1000)
    path = tmp_path / "a.json"
    with pytest.raises(ReferenceFileError, match="is too large for a reference, which has at most 1,000"):
        write_reference(path, "demo", stored(runs_of("baseline", [("x", "y" * 1000, None)])))
    assert list(tmp_path.iterdir()) == []


def test_names_that_differ_in_case_alone_do_not_share_a_file(tmp_path):
    """As they would where upper and lower case are the same; other names are nobody's concern."""
    path = tmp_path / "a.json"
    new = stored(runs_of("baseline", [("x", 1, None)]))
    write_reference(path, "demo[A]", new)
    with pytest.raises(ReferenceFileError, match=r"is the reference of demo\[A\], and demo\[a\] would have"):
        write_reference(path, "demo[a]", new)
    with pytest.raises(ReferenceFileError, match="give them names that differ otherwise"):
        load_reference(path, "demo[a]")
    assert load_reference(path, "renamed").experiment == "demo[A]"


def test_only_complete_runs_are_recorded():
    """Not those of which a replicate failed, was skipped, or was not run; nor nothing at all."""
    whole = runs_of("baseline", [("x", 1, None)], [("x", 2, None)])
    failed = RunRecord("b", 1, 101, error=RunError("ValueError", "bad luck", "step", ""))
    skipped = RunRecord("b", 1, 101, skipped="no data")
    for last, reason in (
        (failed, "bad luck"),
        (skipped, "was skipped: no data"),
        (None, "was not run"),
    ):
        with pytest.raises(ReferenceFileError, match=f"{reason}; only complete runs are recorded"):
            record(whole, ConditionRuns("b", [whole.records[0], last]))
    with pytest.raises(ReferenceFileError, match="nothing to record"):
        record()


BAD = [math.nan, math.inf, None, [1.0, math.nan]]


@pytest.mark.parametrize("value", [*BAD, "high"], ids=repr)
def test_what_is_claimed_is_finite(value):
    """Of a claim, a number in each replicate of each condition; a verifier may read other values, too."""
    runs = runs_of("baseline", [("x", 1.0, None), ("y", 1.0, None)], [("x", value, None), ("y", 2.0, None)])
    good = runs_of("a", [("x", 1.0, None), ("y", 1.0, None)], [("x", 2.0, None), ("y", 2.0, None)])
    with pytest.raises(ReferenceFileError, match=r"'x' .* in replicate 1 of 'baseline'"):
        record(good, runs, claimed=[Claimed("x", True)])
    with pytest.raises(ReferenceFileError, match="'z' is missing in replicate 0 of 'a'"):
        record(good, claimed=[Claimed("z", True)])
    if value == "high":
        assert record(runs, claimed=[Claimed("x", False), Claimed(None, False)])[1] == []
    else:
        with pytest.raises(ReferenceFileError, match="replicate 1 of 'baseline'"):
            record(runs, claimed=[Claimed(None, False)])


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_what_nothing_is_claimed_of_is_left_out_unless_it_is_finite(value):
    """And it is said which, and why; a file holds what is complete."""
    runs = runs_of("baseline", [("x", 1.0, None), ("y", value, None)], [("x", 2.0, None), ("y", 2.0, None)])
    recording, left_out = record(runs, claimed=[Claimed("x", True)])
    assert list(recording.conditions["baseline"].metrics) == ["x"]
    assert len(left_out) == 1
    assert "metric 'y'" in left_out[0]
    assert not recording.is_empty
    assert record(runs_of("baseline", [("y", value, None)]))[0].is_empty
    with pytest.raises(ReferenceFileError, match="no metric was recorded in 'baseline'"):
        record(runs_of("baseline", []), claimed=[Claimed(None, False)])


def test_what_another_session_measured_is_left_out():
    """A stored run says neither when nor where it was made."""
    runs = runs_of("baseline", [("x", 1.0, None), ("measured", 1.0, None)])
    cached = ConditionRuns("baseline", [replace(record, cached=True) for record in runs.records])
    with pytest.raises(ReferenceFileError, match="'measured' of 'baseline' was measured in an earlier"):
        record(cached, claimed=[Claimed("measured", True)])
    recording, left_out = record(cached)
    assert list(recording.conditions["baseline"].metrics) == ["x"]
    assert left_out == ["metric 'measured' of 'baseline' was measured in an earlier session, and stored"]


# The declaration.


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "C:", "nul", "x" * 300, None, 3])
def test_a_name_that_is_no_directory_is_refused(name):
    """The name is that of a directory, and stays inside it."""
    with pytest.raises(DefinitionError, match="give a name like 'main'"):
        Reference(name)


@pytest.mark.parametrize("name", ["main", "release 1.0", "größe", "a[b]"])
def test_plain_names_are_references(name):
    """Two of one name are the same."""
    assert Reference(name) == Reference(name)
    assert len({Reference(name), Reference(name)}) == 1


def test_a_string_names_a_treatment_not_a_reference():
    """A reference says that it is one."""
    hypothesis = Hypothesis(metric="x", direction="increase", against="main")
    with pytest.raises(DefinitionError, match="'x_increase' is about 'main', and there is no such condition"):
        recorded_experiment([0.0], [hypothesis], t=[1.0])().run()


def test_other_machines_are_allowed_or_refused():
    """Nothing else."""
    assert Reference("main", other_machines="allow").other_machines == "allow"
    with pytest.raises(DefinitionError, match="other_machines is True; allowed are 'refuse', 'allow'"):
        Reference("main", other_machines=True)


# Claims against a reference, in the library.


@pipeline_step()
def measure(data, ctx, *, delta=0.0, worse=0.0, noise=0.0, only="", fail_at=-1):
    if ctx.replicate == fail_at:
        raise ValueError("bad luck")
    if only not in ("y", "neither"):
        ctx.metrics.add("x", data + delta - worse + noise * ctx.rng.normal())
    if only not in ("x", "neither"):
        ctx.metrics.add("y", 1.0 + ctx.replicate)
    return data


BOOST = Treatment("boost", {"delta": 1.0})
MAIN = Reference("main", path="main.json")


def experiment(
    *hypotheses,
    treatments=(BOOST,),
    replicates=20,
    seed=0,
    stopping=None,
    declared=None,
    plugins=(),
    **changes,
):
    return Experiment(
        lambda ctx: ctx.rng.normal(),
        [measure],
        [SeedPlugin(seed=seed), *plugins],
        name="demo",
        initial_ctx=changes,
        treatments=treatments,
        hypotheses=hypotheses,
        replicates=replicates,
        stopping=stopping,
        **(declared or {}),
    )


NO_WORSE = Hypothesis(metric="x", direction="no_decrease", margin=0.2, against=MAIN)


@pytest.fixture
def main():
    """Record the reference."""
    experiment().run().save_reference("main.json")


def verdicts(*hypotheses, **options):
    result = experiment(*hypotheses, **options).run()
    return [found.verdicts for found in result.hypotheses]


def statuses(*hypotheses, **options):
    return [{name: v.status for name, v in of.items()} for of in verdicts(*hypotheses, **options)]


def test_each_condition_is_compared_with_its_own_past(main):
    """The baseline, too; the treatment is not compared with the baseline."""
    (found,) = verdicts(NO_WORSE, worse=0.1)
    assert list(found) == ["baseline", "boost"]
    for verdict in found.values():
        assert verdict.status == "supported"
        assert verdict.against == "main"
        assert verdict.difference == pytest.approx(-0.1)
        assert verdict.n == 20
    assert found["boost"].baseline_mean == pytest.approx(found["baseline"].baseline_mean + 1)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "supported"),
        ({"worse": 0.1, "noise": 0.05}, "supported"),
        ({"worse": -3.0}, "supported"),
        ({"worse": 0.5, "noise": 0.1}, "refuted"),
        ({"worse": 0.2, "noise": 1.0}, "inconclusive"),
    ],
    ids=["unchanged", "harmless", "better", "harmful", "underpowered"],
)
def test_a_change_is_judged_by_the_margin(main, changes, status):
    """What lies within it passes, what lies beyond fails, and so does what can't be told."""
    assert statuses(NO_WORSE, **changes) == [{"baseline": status, "boost": status}]


def test_what_is_refuted_names_metric_effect_interval_and_margin(main):
    """In one sentence."""
    (found,) = verdicts(NO_WORSE, worse=0.5, noise=0.1)
    assert found["boost"].reason.startswith("x changes by more than the margin 0.2: difference -0.5")
    assert "90 % interval [-0." in found["boost"].reason


def test_a_claim_of_superiority_counts_the_baseline_in_its_family(main):
    """Two conditions against the past, and one treatment against the baseline, are three claims."""
    better = Hypothesis(metric="x", direction="increase", name="better", against=MAIN)
    found = verdicts(better, Hypothesis(metric="x", direction="increase"), worse=-0.5, noise=0.3)
    assert [list(of) for of in found] == [["baseline", "boost"], ["boost"]]
    for of in found:
        for verdict in of.values():
            assert (verdict.status, verdict.family) == ("supported", 3)
            assert verdict.adjusted_p > verdict.p_value


def test_without_treatments_the_baseline_is_compared():
    """An experiment of one condition has a past, too."""
    experiment(treatments=()).run().save_reference("main.json")
    assert statuses(NO_WORSE, treatments=()) == [{"baseline": "supported"}]


@verifier
def equal_means(baseline, treatment):
    same = sum(baseline["x"]) == pytest.approx(sum(treatment["x"]))
    return {"p_value": 0.001 if same else 1.0, "significant": same}


def test_a_verifier_is_given_both_pasts(main):
    """The reference's sample in place of the baseline's."""
    claim = Hypothesis(equal_means, "x", against=MAIN)
    assert statuses(claim) == [{"baseline": "supported", "boost": "supported"}]
    assert statuses(claim, worse=1.0) == [{"baseline": "inconclusive", "boost": "inconclusive"}]


CLAIMS = [
    pytest.param(NO_WORSE, id="claim"),
    pytest.param(Hypothesis(equal_means, "x", against=MAIN), id="verifier"),
    pytest.param(Hypothesis(equal_means, name="all", against=MAIN), id="verifier of all metrics"),
    pytest.param(
        Hypothesis(metric="x", direction="equal", deterministic=True, margin=0.5, against=MAIN),
        id="deterministic",
    ),
]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 1}, "UTC: its replicate 0 has seed"),
        (
            {"replicates": 10},
            "today's replicates are 10; to compare, record 10 replicates at that commit",
        ),
        (
            {"replicates": 30},
            "today's replicates are 30; to compare, record 30 replicates at that commit, or run 20",
        ),
        ({"only": "y"}, "metric 'x' is missing in replicate 0 of 'baseline'"),
    ],
    ids=["seed", "fewer", "more", "metric"],
)
def test_what_does_not_pair_is_invalid(main, claim, changes, reason):
    """Other seeds, other replicates, and a metric that is gone; verifiers are asked nothing."""
    (found,) = verdicts(claim, **changes)
    assert found["baseline"].status == found["boost"].status == "invalid"
    assert reason in found["baseline"].reason


def test_a_metric_that_the_reference_lacks_is_invalid():
    """It says which condition lacks it, and whose."""
    experiment(only="y").run().save_reference("main.json")
    (found,) = verdicts(NO_WORSE)
    assert found["baseline"].status == "invalid"
    assert "missing in replicate 0 of 'baseline in main'; recorded there: 'y'" in found["baseline"].reason


def test_a_verifier_of_all_metrics_misses_none(main):
    """One that is gone is not left out because others are there; a new one has no past, and is."""
    claim = Hypothesis(lambda b, t: {"p_value": 0.0, "significant": True, "seen": sorted(b)}, against=MAIN)
    (found,) = verdicts(claim, only="x")
    assert found["boost"].status == "invalid"
    assert "metric 'y' is missing in replicate 0 of 'boost'" in found["boost"].reason
    experiment(only="x").run().save_reference("main.json")
    (found,) = verdicts(claim)
    assert found["boost"].status == "supported"
    assert found["boost"].details["seen"] == ["x"]


def test_conditions_come_and_go(main):
    """One that is new has no past, and one that is gone is still asked for; the others are compared."""
    (found,) = verdicts(NO_WORSE, treatments=[Treatment("new", {"delta": 2.0})])
    assert {name: v.status for name, v in found.items()} == {
        "baseline": "supported",
        "new": "invalid",
        "boost": "invalid",
    }
    assert found["new"].reason.startswith("reference 'main' has no condition 'new'")
    assert found["boost"].reason.startswith("condition 'boost' is gone, and reference 'main' was")


@pytest.mark.parametrize("stopping", [None, GroupSequential()], ids=["whole", "stopping"])
def test_no_reference_is_invalid(stopping):
    """Where nothing says where it is, where nothing lies there, and where it is none."""
    for reference, reason in (
        (Reference("main"), r"nothing says where reference 'main' is"),
        (MAIN, "there is no reference 'main': main.json is not there"),
        (Reference("main", path="."), "is no reference: "),
    ):
        claim = Hypothesis(metric="x", direction="no_decrease", margin=0.2, against=reference)
        (found,) = verdicts(claim, stopping=stopping)
        assert {v.status for v in found.values()} == {"invalid"}
        assert reason in found["baseline"].reason


def test_pairs_may_be_those_that_are_shared_or_none(main):
    """A claim that says how to pair is taken at its word."""
    shared, unpaired = (
        Hypothesis(
            metric="x", direction="no_decrease", margin=2.0, pairing=pairing, name=pairing, against=MAIN
        )
        for pairing in ("intersect", "none")
    )
    found = verdicts(shared, unpaired, replicates=30)
    assert [of["baseline"].status for of in found] == ["supported", "supported"]
    assert found[0]["baseline"].n == 20
    found = verdicts(shared, unpaired, seed=1)
    assert [of["baseline"].status for of in found] == ["invalid", "supported"]


@pytest.mark.parametrize("stopping", [GroupSequential(), AnytimeValid()], ids=["group", "anytime"])
def test_looks_compare_the_first_replicates_of_both(stopping):
    """A clear change is seen early, on as many replicates of the reference."""
    experiment(replicates=100).run().save_reference("main.json")
    result = experiment(NO_WORSE, replicates=100, stopping=stopping, worse=2.0, noise=0.1).run()
    found = result.hypotheses[0].verdicts
    assert {v.status for v in found.values()} == {"refuted"}
    assert result.replicates < 100
    assert found["boost"].n == result.replicates


def test_looks_do_not_hide_that_there_are_other_replicates(main):
    """Also where a look would have been decided within what both have."""
    (found,) = verdicts(NO_WORSE, replicates=100, stopping=GroupSequential())
    assert {v.status for v in found.values()} == {"invalid"}
    assert "and today's replicates are 100; to compare, record 100 replicates" in found["boost"].reason


def test_what_was_stopped_early_is_no_reference():
    """Nobody could compare with it: the replicates that were declared are more."""
    result = experiment(
        Hypothesis(metric="x", direction="increase"), replicates=100, stopping=GroupSequential()
    ).run()
    assert result.replicates < 100
    with pytest.raises(ReferenceFileError, match=r"of 100 replicates.*run it without stopping="):
        result.save_reference("main.json")
    assert not Path("main.json").exists()


def test_a_failed_replicate_is_not_saved(main):
    """The file stays as it was."""
    before = Path("main.json").read_bytes()
    with pytest.raises(ReferenceFileError, match=r"replicate 3 failed with ValueError: bad luck"):
        experiment(fail_at=3).run().save_reference("main.json")
    assert Path("main.json").read_bytes() == before


def test_calibration_compares_today_with_today():
    """An A/A test of a claim against a reference needs none."""
    claim = Hypothesis(metric="x", direction="no_decrease", margin=0.2, against=MAIN)
    baseline = runs_of("baseline", *([("x", (7 * i) % 11 / 11, None)] for i in range(200)))
    assert calibrate(claim, baseline, 10).status != "invalid"
    assert claim.against == MAIN


def test_unchanged_values_of_any_kind_are_the_same_bit_for_bit(main):
    """Saved again, the file differs by the date alone."""
    experiment().run().save_reference("again.json")
    before, again = (
        json.loads(Path(name).read_text())["recordings"][0] for name in ("main.json", "again.json")
    )
    assert again | {"recorded": ""} == before | {"recorded": ""}


def test_a_claimed_metric_that_is_nan_is_not_saved(main):
    """The file stays as it was; what nothing is claimed of is left out."""
    before = Path("main.json").read_bytes()
    with pytest.raises(
        ReferenceFileError, match="'x' is nan in replicate 0 of 'baseline'; what a hypothesis"
    ):
        experiment(NO_WORSE, worse=math.nan).run().save_reference("main.json")
    assert Path("main.json").read_bytes() == before
    (left_out,) = experiment(worse=math.nan).run().save_reference("other.json")
    assert left_out == "metric 'x' is nan in replicate 0 of 'baseline'"
    assert list(held(Path("other.json"))["boost"].metrics) == ["y"]


def test_declared_inputs_are_kept_and_compared(tmp_path):
    """Their digests are those of the run; of a pattern that names no file there is none."""
    (tmp_path / "a.csv").write_text("1")
    declared = {"inputs": ["*.csv", "none.txt"]}
    experiment(declared=declared).run().save_reference("main.json")
    inputs = load_reference(Path("main.json")).recordings[0].origin.inputs
    assert inputs.keys() == {"a.csv", "none.txt"}
    assert inputs["none.txt"] == ""
    (found,) = verdicts(NO_WORSE, declared=declared)
    assert "inputs" not in found["boost"].caveat
    (tmp_path / "a.csv").write_text("2")
    (found,) = verdicts(NO_WORSE, declared=declared)
    assert found["boost"].status == "supported"
    assert "inputs are others than those of reference 'main', recorded at" in found["boost"].caveat
    assert found["boost"].caveat.endswith("UTC: 'a.csv'")


def test_what_records_nothing_is_no_reference():
    """Nobody could compare with it."""
    with pytest.raises(ReferenceFileError, match="demo has no metric to record"):
        experiment(treatments=(), only="neither").run().save_reference("main.json")
    assert not Path("main.json").exists()


def test_times_of_a_remote_executor_are_of_no_machine():
    """An executor may be anywhere; those of the standard library are here."""

    class Remote(Executor):
        def submit(self, function, /, *args, **kwargs):
            future = Future()
            future.set_result(function(*args, **kwargs))
            return future

    with ThreadPoolExecutor(1) as here:
        for executor, known in ((here, True), (Remote(), False)):
            made = experiment(treatments=(), plugins=[ExecutorExecution(executor)])
            made.run().save_reference("main.json")
            origin = load_reference(Path("main.json")).recordings[0].origin
            assert (origin.machine == machine()) is known
            assert (origin.machine is None) is not known


def test_a_verdict_says_what_was_recorded_when(main):
    """The number of replicates, the commit and the date."""
    (found,) = verdicts(NO_WORSE)
    date = load_reference(Path("main.json")).recordings[0].origin.recorded[:10]
    assert found["boost"].recorded.startswith(
        "recorded with 20 replicates of root seed 0 at an unknown commit on"
    )
    assert date in found["boost"].recorded
