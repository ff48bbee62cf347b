"""References: the file that keeps what was measured earlier."""

import contextlib
import json
import math
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from references import held, origin, runs_of

from crystallize.analysis import reference_file
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.recordable import Claimed, make_recording
from crystallize.analysis.reference_file import load_reference, parse_json, to_json, write_reference
from crystallize.analysis.stored_reference import REFERENCE, Recording, StoredReference
from crystallize.context.record import RunError, RunRecord
from crystallize.errors import ReferenceFileError

pytestmark = pytest.mark.usefixtures("empty_working_directory")


def record(*conditions, commit="c0ffee", root_seed=0, claimed=()):
    """Record conditions, and return the recording and what is left out of it."""
    runs = {runs.condition: runs for runs in conditions}
    return make_recording("demo", runs, origin(commit), root_seed=root_seed, claimed=claimed)


def stored(*conditions, commit="c0ffee", root_seed=0):
    """Return a recording of conditions, whatever they hold."""
    seeds = [record.seed for record in conditions[0].records]
    return Recording(origin(commit), root_seed, seeds, {runs.condition: runs for runs in conditions})


def text_of(*recordings):
    """Return the text of a file."""
    data = {
        "format": REFERENCE.name,
        "experiment": "demo",
        "recordings": [each.to_data() for each in recordings],
    }
    return to_json(data)


def read(text):
    return StoredReference.from_data(parse_json(text))


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


@examples(60)
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
@examples(60)
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
    with pytest.raises(ReferenceFileError, match="can't be read: it is no regular file"):
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
    monkeypatch.setattr(reference_file, "REFERENCE", replace(REFERENCE, largest=1000))
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
