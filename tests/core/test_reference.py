"""References: what was measured earlier, kept in a file, and claims against it."""

import contextlib
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize import (
    AnytimeValid,
    Experiment,
    GroupSequential,
    Hypothesis,
    Reference,
    SeedPlugin,
    Treatment,
    pipeline_step,
    verifier,
)
from crystallize.core.calibration import calibrate
from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.record import RunError, RunRecord
from crystallize.core.recording import MetricEntry
from crystallize.core.stored_reference import (
    StoredReference,
    load_reference,
    recorded,
    write_reference,
)
from crystallize.errors import DefinitionError, ReferenceFileError


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


def stored(*conditions, commit="c0ffee", root_seed=0):
    return recorded(
        "demo", {runs.condition: runs for runs in conditions}, root_seed=root_seed, git_commit=commit
    )


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
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(2**1023)
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
    text = before.to_json()
    after = StoredReference.from_json(text)
    assert after.to_json() == text
    assert (after.experiment, after.root_seed, after.replicates) == ("demo", 0, len(replicates))
    assert set(after.conditions) == {name, "baseline\t"}
    for condition, runs in before.conditions.items():
        assert values_by_metric(after.conditions[condition]) == values_by_metric(runs)
        assert [record.seed for record in after.conditions[condition].records] == list(after.seeds)
    assert after.origins == before.origins


def test_a_list_is_told_from_several_values():
    """One value that is a list, two values, and a value of a unit are three things."""
    runs = runs_of(
        "baseline",
        [("x", [1, 2], None)],
        [("x", 1, None), ("x", 2, None)],
        [("x", 1, "a")],
        [],
        [("x", {"a": [math.nan]}, None)],
    )
    after = StoredReference.from_json(stored(runs).to_json()).conditions["baseline"]
    assert values_by_metric(after) == values_by_metric(runs)


def test_the_file_is_made_for_diffs():
    """Sorted, a value a line, a line break at the end, and a changed value changes one line."""
    before, after = (
        stored(runs_of("baseline", *([("x", value, None), ("a", i, None)] for i, value in enumerate(column))))
        for column in ([0.1, 0.2, 0.3], [0.1, 0.25, 0.3])
    )
    lines = before.to_json().splitlines(), after.to_json().splitlines()
    assert [pair for pair in zip(*lines, strict=True) if pair[0] != pair[1]] == [("     0.2,", "     0.25,")]
    assert before.to_json().endswith("}\n")
    data = json.loads(before.to_json())
    assert list(data) == sorted(data)
    assert data["conditions"]["baseline"]["git_commit"] == "c0ffee"
    assert {"numpy", "python", "scipy", "pytest-crystallize"} == set(
        data["conditions"]["baseline"]["versions"]
    )


def test_nothing_in_the_file_says_where_it_was_made(tmp_path):
    """No path, no host, no user."""
    write_reference(tmp_path / "a.json", stored(runs_of("baseline", [("x", 1.0, None)])))
    text = (tmp_path / "a.json").read_text()
    assert str(tmp_path) not in text
    assert os.sep not in text
    assert set(json.loads(text)) == {
        "conditions",
        "experiment",
        "format",
        "replicates",
        "root_seed",
        "seeds",
    }


def broken(change):
    data = json.loads(
        stored(runs_of("baseline", [("x", 1, "u")], [("x", 2, "u")]), runs_of("b", [], [])).to_json()
    )
    change(data)
    return json.dumps(data)


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(data):
        for key in path:
            data = data[key]
        data[last] = value

    return change


METRICS = ("conditions", "baseline", "metrics")
FORGED = {
    "another format": _set("format", "crystallize-reference-0"),
    "no conditions": _set("conditions", {}),
    "conditions in a list": _set("conditions", ["baseline"]),
    "a condition that is none": _set("conditions", "baseline", 3),
    "no seeds": _set("seeds", []),
    "a seed too few": _set("seeds", [1]),
    "a seed as text": _set("seeds", ["1", "2"]),
    "seeds that are true": _set("seeds", [True, False]),
    "text for seeds": _set("seeds", "ab"),
    "other replicates": _set("replicates", 3),
    "a value too many": _set(*METRICS, "x", [1, 2, 3]),
    "a value too few": _set(*METRICS, "x", [1]),
    "text for a column": _set(*METRICS, "x", "ab"),
    "a list without units": _set(*METRICS, "x", [[1, 2], [1, 2]]),
    "a pair of three": _set(*METRICS, "x", [[["u", 1, 1]], []]),
    "a unit that is a list": _set(*METRICS, "x", [[[["u"], 1]], []]),
    "a unit that is true": _set(*METRICS, "x", [[[True, 1]], []]),
    "no metrics": lambda data: data["conditions"]["baseline"].pop("metrics"),
    "no commit": lambda data: data["conditions"]["baseline"].pop("git_commit"),
    "a commit that is a number": _set("conditions", "baseline", "git_commit", 7),
    "versions in a list": _set("conditions", "baseline", "versions", []),
    "no root seed": lambda data: data.pop("root_seed"),
    "a root seed as text": _set("root_seed", "0"),
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
        pytest.param(stored(runs_of("b", [("x", 1, None)])).to_json()[:-20], id="torn"),
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
    whole = json.loads(stored(runs_of("baseline", [("x", 1, "u")])).to_json())
    at, key = whole, data.draw(st.sampled_from(sorted(whole)))
    while isinstance(at[key], dict) and at[key] and data.draw(st.booleans()):
        at, key = at[key], data.draw(st.sampled_from(sorted(at[key])))
    at[key] = data.draw(numbers)
    with contextlib.suppress(ValueError):
        StoredReference.from_json(json.dumps(whole))


def test_a_directory_in_its_place_is_refused(tmp_path):
    """As a file that can't be read is; one that is not there is told apart."""
    with pytest.raises(ReferenceFileError, match="is no reference"):
        load_reference(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_reference(tmp_path / "none.json")


def test_a_partial_update_keeps_the_rest_with_its_commit(tmp_path):
    """Only what ran is new; a whole one leaves nothing behind."""
    path = tmp_path / "new" / "a.json"
    first = stored(
        runs_of("baseline", [("x", 1, None)]), runs_of("boost", [("x", 2, None)]), commit="earlier"
    )
    write_reference(path, first)
    only = stored(runs_of("boost", [("x", 3, None)]), commit="later")
    write_reference(path, only, partial=True)
    kept = load_reference(path)
    assert {name: runs.metrics["x"] for name, runs in kept.conditions.items()} == {
        "baseline": [1],
        "boost": [3],
    }
    assert {name: origin.git_commit for name, origin in kept.origins.items()} == {
        "baseline": "earlier",
        "boost": "later",
    }
    write_reference(path, only)
    assert list(load_reference(path).conditions) == ["boost"]


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
    write_reference(path, stored(runs_of("baseline", [("x", 1, None)]), runs_of("boost", [("x", 2, None)])))
    before = path.read_bytes()
    with pytest.raises(ReferenceFileError, match="only 'boost' ran, and the conditions 'baseline' of the"):
        write_reference(path, other, partial=True)
    assert path.read_bytes() == before
    write_reference(path, stored(runs_of("boost", [("x", 1, None)])))
    write_reference(path, other, partial=True)
    assert load_reference(path).to_json() == other.to_json()


def test_a_partial_update_does_not_replace_what_it_can_not_read(tmp_path):
    """There might be conditions in it; a whole one does."""
    path = tmp_path / "a.json"
    path.write_text("{torn")
    new = stored(runs_of("boost", [("x", 1, None)]))
    with pytest.raises(ReferenceFileError):
        write_reference(path, new, partial=True)
    assert path.read_text() == "{torn"
    write_reference(path, new)
    assert load_reference(path).to_json() == new.to_json()


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch):
    """The old file is whole, and no other file is left."""
    path = tmp_path / "a.json"
    write_reference(path, stored(runs_of("baseline", [("x", 1, None)])))
    before = path.read_bytes()

    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoredReference, "to_json", full)
    with pytest.raises(OSError, match="No space"):
        write_reference(path, stored(runs_of("baseline", [("x", 2, None)])))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


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
            stored(whole, ConditionRuns("b", [whole.records[0], last]))
    with pytest.raises(ReferenceFileError, match="nothing to record"):
        stored()


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


def test_against_is_a_reference():
    """A string would leave open what it is the name of."""
    with pytest.raises(DefinitionError, match=r"against is 'main'; give Reference\('main'\)"):
        Hypothesis(metric="x", direction="increase", against="main")


# Claims against a reference, in the library.


@pipeline_step()
def measure(data, ctx, *, delta=0.0, worse=0.0, noise=0.0, only="", fail_at=-1):
    if ctx.replicate == fail_at:
        raise ValueError("bad luck")
    if only != "y":
        ctx.metrics.add("x", data + delta - worse + noise * ctx.rng.normal())
    if only != "x":
        ctx.metrics.add("y", 1.0 + ctx.replicate)
    return data


BOOST = Treatment("boost", {"delta": 1.0})
MAIN = Reference("main", path="main.json")


def experiment(*hypotheses, treatments=(BOOST,), replicates=20, seed=0, stopping=None, **changes):
    return Experiment(
        lambda ctx: ctx.rng.normal(),
        [measure],
        [SeedPlugin(seed=seed)],
        name="demo",
        initial_ctx=changes,
        treatments=treatments,
        hypotheses=hypotheses,
        replicates=replicates,
        stopping=stopping,
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
        ({"seed": 1}, "reference 'main' is of 20 replicates of root seed 0: its replicate 0 has seed"),
        ({"replicates": 10}, "reference 'main' is of 20 replicates of root seed 0, and today's are 10"),
        ({"replicates": 30}, "and today's are 30"),
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
    assert found["boost"].reason.startswith("condition 'boost' of reference 'main' is gone")


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
    assert "20 replicates of root seed 0, and today's are 100" in found["boost"].reason


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
    """Saved again, the file is the same."""
    before = Path("main.json").read_bytes()
    experiment().run().save_reference("again.json")
    assert Path("again.json").read_bytes() == before
