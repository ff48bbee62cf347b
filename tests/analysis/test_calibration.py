"""How often a hypothesis is supported where there is nothing to be found."""

import numpy as np
import pytest

from crystallize import AnytimeValid, ConditionRuns, Hypothesis, RunRecord, verifier
from crystallize.analysis.calibration import calibrate
from crystallize.claims.policy import Judging
from crystallize.context.record import RunError
from crystallize.context.recording import MetricEntry
from crystallize.stats import clopper_pearson_interval


def runs(values):
    entries = [(MetricEntry("x", value, None, False, "step"),) for value in values]
    return ConditionRuns("baseline", [RunRecord("baseline", i, 1000 + i, e) for i, e in enumerate(entries)])


def normal(n, tests, mean=0.0):
    return runs((np.random.default_rng(1).normal(size=2 * n * tests) + mean).tolist())


@verifier
def always(baseline, treatment, alpha=0.01):
    return {"p_value": 0.0, "significant": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({"direction": "differ"}, 0.05),
        ({"direction": "increase"}, 0.025),
        ({"direction": "increase", "alternative": "one-sided"}, 0.05),
        ({"direction": "no_decrease", "margin": 0.5}, 0.05),
        ({"direction": "no_increase", "margin": 0.5}, 0.05),
        ({"direction": "no_decrease", "margin": 0.1, "relative": True}, 0.05),
        ({"direction": "equal", "margin": 2.0}, 0.05),
        ({"direction": "differ", "alpha": 0.2}, 0.2),
    ],
)
def test_claims_keep_their_level(options, rate):
    """A claim with a margin is tested at its margin, where a true null hypothesis is hardest to keep."""
    tests = 400 if options.get("relative") else 1000  # relative margins take long
    found = calibrate(Hypothesis(metric="x", **options), normal(10, tests, mean=20.0), 10)
    assert (found.status, found.tests, found.n, found.reason) == ("calibrated", tests, 10, "")
    assert found.rate == pytest.approx(rate, abs=4 * (rate * (1 - rate) / tests) ** 0.5)
    assert found.interval == clopper_pearson_interval(found.false_positives, tests, 0.02)


@pytest.mark.slow
def test_a_relative_margin_of_negative_values_is_moved_the_right_way():
    """The boundary lies below a negative mean, too."""
    claim = Hypothesis(metric="x", direction="no_decrease", margin=0.1, relative=True)
    found = calibrate(claim, normal(10, 400, mean=-20.0), 10)
    assert found.rate == pytest.approx(0.05, abs=0.044)


def test_a_verifier_that_finds_too_much_is_exposed():
    """It is held to its own alpha, and the reason says how often it is wrong."""
    found = calibrate(Hypothesis(always, "x"), normal(5, 20), 5)
    assert (found.status, found.alpha, found.rate) == ("miscalibrated", 0.01, 1.0)
    assert found.reason.startswith(
        "supported by 20 of 20 A/A tests of 5 replicates, 100 % where 1 % are allowed"
    )


def test_chance_is_no_fault():
    """One false positive of ten is too little to say that the rate is above .05."""
    calls = iter([True] + [False] * 9)

    def once(baseline, treatment):
        return {"p_value": 0.5, "significant": next(calls)}

    assert calibrate(Hypothesis(once, "x"), normal(3, 10), 3).status == "calibrated"


@pytest.mark.parametrize(
    ("claim", "sample", "reason"),
    [
        (
            {"direction": "differ"},
            normal(2, 5),
            "5 of 5 A/A tests are invalid, such as: the paired",
        ),
        ({"direction": "differ"}, runs([1.0, float("nan")] * 20), "metric 'x' is nan in replicate 1"),
        (
            {"direction": "equal", "margin": 0.1},
            runs([0, 1] * 20),
            "which can't be moved to the margin",
        ),
        (
            {"direction": "equal", "margin": 0.1, "deterministic": True},
            normal(2, 5),
            "declared deterministic",
        ),
        ({"direction": "differ"}, runs([]), "there is no replicate"),
    ],
)
def test_what_can_not_be_calibrated_is_invalid(claim, sample, reason):
    """Never a pass; the reason says why."""
    found = calibrate(Hypothesis(metric="x", **claim), sample, 2)
    assert found.status == "invalid"
    assert reason in found.reason


def test_a_claim_that_nothing_supports_is_not_calibrated():
    """That it never is where nothing is to be found says nothing; the experiment refuses it, too."""
    claim, judging = Hypothesis(metric="x", direction="differ"), Judging(stopping=AnytimeValid())
    found = calibrate(claim, normal(4, 30), 4, judging=judging)
    assert (found.status, found.tests) == ("invalid", 30)
    assert "with 4 replicates AnytimeValid() can't give a p-value below" in found.reason
    assert calibrate(claim, normal(5, 30), 5, judging=judging).status == "calibrated"


def test_a_failed_replicate_is_missing_evidence():
    """A rate of what happened to succeed is none."""
    good = normal(5, 10)
    failed = RunRecord("baseline", 3, 1003, error=RunError("ValueError", "no luck", "step", ""))
    broken = ConditionRuns("baseline", [*good.records[:3], failed, *good.records[4:]])
    found = calibrate(Hypothesis(metric="x", direction="differ"), broken, 5)
    assert found.status == "invalid"
    assert "replicate 3 failed with ValueError: no luck" in found.reason
