"""Verdicts depend on the records alone: not on numpy's settings, warning filters or generators."""

import random
import warnings
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import pytest
from recorded import arm
from scipy import special

from crystallize import (
    AnytimeValid,
    CrossedTTest,
    Experiment,
    FisherExactTest,
    GroupSequential,
    Hypothesis,
    PermutationTest,
    QuantileTest,
    StatisticalTest,
    Treatment,
    WelchTTest,
    pipeline_step,
)
from crystallize.analysis.analysis import evaluate
from crystallize.analysis.calibration import calibrate
from crystallize.analysis.decide import verdict_on
from crystallize.claims.policy import Judging
from crystallize.stats import welch_t


@pipeline_step()
def measure(data, ctx, *, gain=0.0):
    return data, {"x": gain + (1 + gain) * ctx.rng.normal()}


def experiment(**options):
    options = {"hypotheses": [Hypothesis(metric="x", direction="increase")], **options}
    return Experiment(0, [measure], treatments=[Treatment("t", {"gain": 2.0})], replicates=40, **options)


@contextmanager
def disturbed():
    """Have everything raise that can be told to, and print what nobody could read."""
    with (
        warnings.catch_warnings(),
        np.errstate(all="raise"),
        special.errstate(all="raise"),
        np.printoptions(precision=1, threshold=1, edgeitems=1, legacy="1.13"),
    ):
        warnings.simplefilter("error")
        yield


GUARD = Hypothesis(metric="x", direction="no_decrease", margin=0.5, alpha=0.01)
ENDS = {
    "at once": {},
    "group sequential": {"stopping": GroupSequential()},
    "anytime": {"stopping": AnytimeValid()},
    "guard": {"hypotheses": [GUARD]},
    "differs": {"hypotheses": [Hypothesis(metric="x", direction="differ", effect=1e-300)]},
}


@pytest.mark.parametrize("case", ENDS)
def test_a_run_under_settings_that_raise(case):
    """Early stopping, sensitivities and all, a run gives what it gives elsewhere."""

    def verdict():
        result = experiment(**ENDS[case]).run()
        (hypothesis,) = result.hypotheses
        return asdict(hypothesis.verdicts["t"])

    with disturbed():  # first, since some numbers are reckoned once per process
        found = verdict()
    assert found == verdict()
    assert found["status"] == "supported"


def test_a_calibration_under_settings_that_raise():
    """The boundaries of its looks are reckoned under numpy's own settings."""
    baseline = arm("baseline", np.random.default_rng(0).normal(size=600).tolist())
    claim = Hypothesis(metric="x", direction="increase", alpha=0.049)
    judging = Judging(stopping=GroupSequential(looks=4))
    with disturbed():
        found = calibrate(claim, baseline, 30, judging=judging)
    assert found.status == "calibrated"


def test_a_verifier_prints_the_same_in_any_process():
    """What is shown of its answer does not depend on how arrays are printed here."""

    def wordy(baseline, treatment):
        return {"p_value": np.arange(4) / 3, "significant": True}

    def reason():
        return verdict_on(Hypothesis(wordy, "x"), {"x": [1.0]}, {"x": [2.0]}).reason

    with disturbed():
        found = reason()
    assert found == reason()


def drawn():
    return random.random() + np.random.random()  # noqa: NPY002 - the legacy generator is the point


class DrawingTest(StatisticalTest):
    name = "drawing"
    paired = False

    def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
        return welch_t(baseline, [value + drawn() for value in treatment], alpha=alpha, shift=shift)


def drawing_statistic(baseline, treatment):
    return np.mean(treatment) - np.mean(baseline) + drawn()


DRAWING = {
    "test": DrawingTest(),
    "statistic": PermutationTest(paired=False, statistic=drawing_statistic),
    "statistic of pairs": PermutationTest(statistic=drawing_statistic),
}


@pytest.mark.parametrize("case", DRAWING)
def test_tests_of_the_users_draw_the_same_each_time(case):
    """Whatever was drawn before them, and nothing behind them is moved by it."""
    claim = Hypothesis(metric="x", direction="increase", statistical_test=DRAWING[case])
    arms = arm("baseline", [1, 2, 3, 4, 5, 6, 7, 8]), arm("t", [2, 4, 3, 5, 5, 7, 9, 8])
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - as above
    first, behind = evaluate(claim, *arms), drawn()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - as above
    assert drawn() == behind
    assert evaluate(claim, *arms) == first
    assert first.p_value == evaluate(claim, *arms).p_value


class Mine(WelchTTest):
    """A test of the user's."""


@pytest.mark.parametrize(
    ("test", "is_seeded"),
    [
        ("auto", False),
        (WelchTTest(), False),
        (FisherExactTest(), False),
        (CrossedTTest(), False),
        (QuantileTest(0.5), False),
        (PermutationTest(), False),
        (Mine(), True),
    ],
)
def test_generators_are_seeded_for_code_of_the_users_alone(test, is_seeded):
    """No test of this package draws from them, so that no verdict of one pays for their state."""
    claim = Hypothesis(metric="x", direction="increase", statistical_test=test)
    state = random.getstate()
    with claim.seeded():
        assert (random.getstate() != state) is is_seeded
    assert random.getstate() == state


def test_a_ranker_draws_the_same_each_time():
    """Treatments are ranked alike whatever was drawn before."""
    hypothesis = Hypothesis(lambda b, t: {"p_value": 1.0, "significant": False}, "x", lambda result: drawn())
    assert hypothesis.rank({}) == hypothesis.rank({})
