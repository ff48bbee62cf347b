"""References: how they are declared, and claims against them."""

import json
import math
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from recorded import experiment as recorded_experiment
from references import held, runs_of

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
from crystallize.analysis.calibration import calibrate
from crystallize.analysis.reference_file import load_reference
from crystallize.errors import DefinitionError, ReferenceFileError
from crystallize.identity.provenance import machine

pytestmark = pytest.mark.usefixtures("empty_working_directory")


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
        (Reference("main", path="."), ". can't be read: it is no regular file; restore it, or "),
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
