"""Records that are there already, judged: evidence that is missing, or that no claim can rest on."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import record

from crystallize import (
    AnytimeValid,
    ConditionRuns,
    Experiment,
    GroupSequential,
    Hypothesis,
    PassAt,
    RunRecord,
    WelchTTest,
    digest,
    evaluate,
    pipeline_step,
    verifier,
)
from crystallize.analysis.condition_runs import runs_by_condition
from crystallize.claims.policy import Judging
from crystallize.context.record import RunError
from crystallize.errors import DefinitionError

FAILED = RunError("ValueError", "went wrong\nin two lines", "train", "Traceback ...")


def runs(condition, x):
    return ConditionRuns(
        condition,
        [
            value
            if isinstance(value, RunRecord | None)
            else record(condition, i, x=[value] if isinstance(value, list) else value)
            for i, value in enumerate(x)
        ],
    )


def always(status=True):
    """Return a hypothesis that any complete sample of x supports."""
    return Hypothesis(
        lambda baseline, treatment: {"p_value": 0.01, "significant": status}, metrics="x", name="always"
    )


CLAIM = Hypothesis(metric="x", direction="increase")
BASELINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
BETTER = [2.0, 3.5, 4.0, 5.5, 6.0, 7.5]


def test_complete_evidence_gives_a_verdict():
    """With means, difference, interval, test, and how many replicates it rests on."""
    verdict = evaluate(CLAIM, runs("baseline", BASELINE), runs("boost", BETTER))
    assert verdict.passed
    assert (verdict.status, verdict.n, verdict.lacking, verdict.test) == ("supported", 6, 0, "paired t")
    assert (verdict.baseline_mean, verdict.treatment_mean, verdict.difference) == (3.5, 4.75, 1.25)
    assert verdict.interval[0] < 1.25 < verdict.interval[1]
    assert verdict.summary()["accepted"] is True
    assert verdict.to_dict()["hypothesis"] == "x_increase"


NO_EVIDENCE = {
    "not run": (None, "1 of 6 replicates of 'boost' are missing: replicate 2 was not run"),
    "failed": (
        record("boost", 2, error=FAILED, x=9.0),
        "1 of 6 replicates of 'boost' are missing: replicate 2 failed with ValueError: went wrong",
    ),
    "skipped": (record("boost", 2, skipped="no GPU", x=9.0), "replicate 2 was skipped: no GPU"),
    "no metric": (
        record("boost", 2, y=1, z=2),
        "metric 'x' is missing in replicate 2 of 'boost'; recorded there: 'y', 'z'",
    ),
    "nothing at all": (record("boost", 2), "recorded there: nothing"),
    "nan": (math.nan, "metric 'x' is nan in replicate 2 of 'boost'"),
    "infinity": (-math.inf, "metric 'x' is -inf in replicate 2 of 'boost'"),
    "None": (record("boost", 2, x=None), "metric 'x' is None in replicate 2 of 'boost'"),
    "nan among several": (record("boost", 2, x=[1.0, math.nan]), "metric 'x' is nan in replicate 2"),
    "nan in a list": ([1.0, [math.nan]], "metric 'x' holds nan in replicate 2"),
    "nan in a dict": (record("boost", 2, x={"a": math.inf}), "metric 'x' holds inf in replicate 2"),
    "another seed": (
        record("boost", 2, x=9.0, seed=5),
        "replicate 2 has seed 102 in 'baseline' and 5 in 'boost'",
    ),
}


@pytest.mark.parametrize("kind", NO_EVIDENCE)
@pytest.mark.parametrize("hypothesis", [CLAIM, always()], ids=["claim", "verifier"])
def test_missing_evidence_is_never_a_pass(hypothesis, kind):
    """One replicate without a usable value makes the verdict invalid, and the reason says which."""
    value, reason = NO_EVIDENCE[kind]
    sample = [*BETTER[:2], value, *BETTER[3:]]
    verdict = evaluate(hypothesis, runs("baseline", BASELINE), runs("boost", sample))
    assert (verdict.status, verdict.passed) == ("invalid", False)
    assert reason in verdict.reason
    assert "\n" not in verdict.reason
    assert verdict.p_value is None
    assert verdict.n + verdict.lacking == 6


def test_a_metric_that_several_replicates_lack_says_how_many():
    """A name that is misspelt is lacking in all, not in the first one alone."""
    lacking = [record("boost", i, y=1.0) if i else 2.0 for i in range(6)]
    reason = evaluate(CLAIM, runs("baseline", BASELINE), runs("boost", lacking)).reason
    assert reason == "metric 'x' is missing in replicate 1 of 'boost'; recorded there: 'y' (as in 4 more)"


@pytest.mark.parametrize("kind", NO_EVIDENCE)
def test_missing_evidence_of_the_baseline_counts_alike(kind):
    """Both arms are needed."""
    value, _ = NO_EVIDENCE[kind]
    sample = [*BASELINE[:2], value, *BASELINE[3:]]
    verdict = evaluate(always(), runs("baseline", sample), runs("boost", BETTER))
    assert verdict.status == "invalid"


def test_no_replicates_are_no_evidence():
    """Nor are different numbers of them."""
    for sizes in ((0, 0), (0, 6), (6, 5)):
        arms = runs("baseline", BASELINE[: sizes[0]]), runs("boost", BETTER[: sizes[1]])
        for hypothesis in (CLAIM, always(), Hypothesis(always().verifier, name="no metrics named")):
            assert evaluate(hypothesis, *arms).status == "invalid"


def test_what_is_no_number_is_no_evidence_for_a_claim():
    """The reason shows the value; a verifier may do with it what it likes."""
    arms = runs("baseline", ["a"] * 6), runs("boost", ["b"] * 6)
    verdict = evaluate(CLAIM, *arms)
    assert verdict.status == "invalid"
    assert verdict.reason == "metric 'x' is 'a' in replicate 0 of 'baseline', not a number"
    assert evaluate(always(), *arms).status == "supported"


def test_a_verifier_without_metrics_gets_the_complete_ones():
    """Others are not given to it, and if none is complete there is nothing to decide upon."""
    given_metrics = []

    def ask(baseline, treatment):
        given_metrics.append((sorted(baseline), sorted(treatment)))
        return {"p_value": 0.01, "significant": True}

    hypothesis = Hypothesis(ask)
    complete = ConditionRuns("baseline", [record(x=1, y=2), record(replicate=1, x=1, y=math.nan, z=1)])
    assert evaluate(hypothesis, complete, complete).status == "supported"
    assert given_metrics == [(["x"], ["x"])]
    broken = ConditionRuns("baseline", [record(x=math.nan)])
    assert evaluate(hypothesis, broken, broken).reason == "metric 'x' is nan in replicate 0 of 'baseline'"
    empty = ConditionRuns("baseline", [record()])
    assert evaluate(hypothesis, empty, empty).reason == "no metric was recorded"
    assert len(given_metrics) == 1


def test_a_verifier_can_not_change_the_evidence():
    """What one hypothesis does to its samples is not seen by the next."""

    def vandal(baseline, treatment):
        for sample in (baseline["x"], treatment["x"]):
            for item in sample:
                item.append(0)
            sample.clear()
        return {"p_value": 0.01, "significant": True}

    arms = (
        ConditionRuns("baseline", [record(x=[[1, 2]])]),
        ConditionRuns("boost", [record("boost", x=[[1, 2]])]),
    )
    for _ in range(2):
        assert evaluate(Hypothesis(vandal, "x"), *arms).status == "supported"
    assert arms[0].metrics == {"x": [[1, 2]]}


def test_constant_differences_are_labelled():
    """Whoever reads p = 0 of a verifier is told that the sample has no variance."""
    noisy = [0.1, 0.7, 0.3]
    cases = {
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)): True,
        (tuple(noisy), tuple(x + 10 for x in noisy)): True,
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.5)): False,
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)): True,
        ((1.0,), (2.0,)): False,
    }
    for (baseline, treatment), degenerate in cases.items():
        verdict = evaluate(always(), runs("baseline", baseline), runs("boost", treatment))
        assert verdict.degenerate is degenerate
        assert ("degenerate" in verdict.summary()) is degenerate


def test_a_claim_on_constant_differences_is_labelled_and_does_not_overstate():
    """Six equal signs are worth 2 ** -5, not p = 0."""
    verdict = evaluate(CLAIM, runs("baseline", BASELINE), runs("boost", [x + 10 for x in BASELINE]))
    assert verdict.degenerate
    assert verdict.p_value == 2**-5
    unpaired = Hypothesis(metric="x", direction="increase", statistical_test=WelchTTest())
    verdict = evaluate(unpaired, runs("baseline", BASELINE), runs("boost", [x + 10 for x in BASELINE]))
    assert not verdict.degenerate  # to Welch's test, arms that vary are arms that vary


def welch():
    from crystallize import WelchTTest

    return WelchTTest()


@given(st.permutations(range(8)), st.data())
def test_verdicts_do_not_depend_on_the_order_of_records(order, data):
    """Neither do samples, nor the digest."""
    records = [record(c, i, x=float(i * i) + (c == "boost")) for c in ("baseline", "boost") for i in range(4)]
    records[data.draw(st.integers(0, 7))] = record("boost", 1, error=FAILED)
    shuffled = [records[i] for i in order]

    def outcome(some):
        table = runs_by_condition(some, ["baseline", "boost"], 4)
        return repr((table["baseline"].metrics, table["boost"].metrics, evaluate(CLAIM, *table.values())))

    assert outcome(shuffled) == outcome(records)
    assert digest(shuffled) == digest(records)


def test_a_verifier_that_draws_gives_the_same_verdict_every_time():
    """Also if the process's generators are somewhere else, which it does not move."""

    @verifier
    def permutation(baseline, treatment):
        p_value = random.random()
        return {"p_value": p_value, "significant": p_value < 0.5}

    arms = runs("baseline", BASELINE), runs("boost", BETTER)
    first = evaluate(Hypothesis(permutation, "x"), *arms)
    random.seed(17)
    state = random.getstate()
    assert evaluate(Hypothesis(permutation, "x"), *arms) == first
    assert random.getstate() == state


ANYTIME = Judging(stopping=AnytimeValid())


@pytest.mark.parametrize(
    ("judging", "claim"),
    [
        (ANYTIME, {"direction": "no_decrease", "detects": 5.0}),
        (ANYTIME, {"direction": "no_decrease", "margin": 0.5, "relative": True}),
        (ANYTIME, {"direction": "increase", "alternative": "one-sided"}),
        (ANYTIME, {"direction": "increase", "statistical_test": WelchTTest()}),
        (Judging(resampled=0.2), {"direction": "increase", "statistical_test": WelchTTest()}),
        (
            Judging(stopping=GroupSequential()),
            {"direction": "increase", "alternative": "one-sided", "alpha": 0.6},
        ),
        (Judging(), {"metric": PassAt(2, "x"), "direction": "increase"}),
        (Judging(), {"direction": "increase", "slices": True}),
        (Judging(), {"direction": "increase", "against": "other"}),
        (Judging(), {"direction": "increase", "against": "boost"}),
        (Judging(), {"direction": "increase", "treatments": ["other"]}),
    ],
)
def test_what_an_experiment_refuses_is_refused(judging, claim):
    """Records that are there already are no reason to judge a claim as it can't be judged."""
    hypothesis = Hypothesis(**{"metric": "x", **claim})

    @pipeline_step()
    def step(data, ctx, *, boost=0.0):
        return data, {"x": ctx.rng.normal() + boost}

    with pytest.raises(DefinitionError, match=hypothesis.name) as told:
        Experiment(
            0,
            [step],
            treatments={"boost": {"boost": 1.0}},
            hypotheses=[hypothesis],
            replicates=6,
            stopping=judging.stopping,
            resampled=judging.resampled,
        ).run()
    with pytest.raises(DefinitionError, match=hypothesis.name) as refused:
        evaluate(hypothesis, runs("baseline", BASELINE), runs("boost", BETTER), judging=judging)
    if hypothesis.against is None and hypothesis.treatments is None:
        assert str(refused.value) == str(told.value).replace("experiment 'experiment'", "evaluate")


def test_a_claim_about_pairs_needs_an_experiment():
    """Which condition is compared with which, two arms do not say."""
    pairs = Hypothesis(metric="x", direction="differ", pairwise=True)
    with pytest.raises(DefinitionError, match="of these it is about 'boost-vs-baseline'"):
        evaluate(pairs, runs("baseline", BASELINE), runs("boost", BETTER))
