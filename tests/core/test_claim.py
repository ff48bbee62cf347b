"""Claims decided by a statistical test."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from crystallize import Hypothesis, McNemarTest, PairedTTest, StatisticalTest, WelchTTest
from crystallize.errors import DefinitionError
from crystallize.stats import TestResult

BASELINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
BETTER = [2.0, 3.5, 4.0, 5.5, 6.0, 7.5]
MIXED = [2.0, 1.0, 4.5, 3.0, 5.5, 5.0]


def decide(baseline, treatment, direction="increase", **options):
    hypothesis = Hypothesis(metric="x", direction=direction, **options)
    return hypothesis.decide({"x": list(baseline)}, {"x": list(treatment)})


@pytest.mark.parametrize(
    ("baseline", "treatment", "direction", "status"),
    [
        (BASELINE, BETTER, "increase", "supported"),
        (BASELINE, BETTER, "decrease", "refuted"),
        (BASELINE, BETTER, "differ", "supported"),
        (BETTER, BASELINE, "increase", "refuted"),
        (BETTER, BASELINE, "decrease", "supported"),
        (BASELINE, MIXED, "increase", "inconclusive"),
        (BASELINE, MIXED, "differ", "inconclusive"),
        (BASELINE, BASELINE, "increase", "inconclusive"),
    ],
)
def test_the_four_verdicts(baseline, treatment, direction, status):
    """Supported with the claimed sign, refuted if the interval lies on the other side, else inconclusive."""
    decision = decide(baseline, treatment, direction)
    assert decision.status == status
    assert decision.details["accepted"] is (status == "supported")
    assert bool(decision.reason) is (status != "supported")


@pytest.mark.parametrize("alternative", ["two-sided", "one-sided"])
@pytest.mark.parametrize(("n", "status"), [(3, "inconclusive"), (5, "inconclusive"), (6, "refuted")])
def test_equal_differences_refute_only_if_their_number_does(alternative, n, status):
    """Without variance the interval is a point; whether it refutes is for the exact floor of p to say."""
    claim = Hypothesis(metric="m", direction="increase", alternative=alternative)
    decision = claim.decide({"m": [float(i) for i in range(n)]}, {"m": [i - 1.0 for i in range(n)]})
    assert decision.degenerate
    assert decision.status == status


def test_a_wrong_sign_is_not_supported_however_small_p_is():
    """A two-sided p says nothing of the direction."""
    decision = decide(BETTER, BASELINE, "increase")
    assert decision.p_value < 0.001
    assert decision.status == "refuted"
    assert decision.reason.startswith("x goes the other way: difference -1.25")


def test_the_default_test_looks_at_pairs_and_kind():
    """Numbers get the paired t-test, 0/1 values McNemar's; another one can be named."""
    assert decide(BASELINE, BETTER).test == "paired t"
    assert decide([0] * 9, [1] * 9).test == decide([False] * 9, [True] * 9).test
    assert decide([0] * 9, [1] * 9).test.startswith("McNemar")
    assert decide(BASELINE, BETTER, statistical_test=WelchTTest()).test == "Welch t"


def test_one_sided_p_is_half():
    """On request; the interval stays two-sided."""
    sample = [2.0, 1.0, 4.5, 4.5, 5.5, 6.0]
    two, one = (decide(BASELINE, sample, alternative=a) for a in ("two-sided", "one-sided"))
    assert one.p_value == pytest.approx(two.p_value / 2, rel=1e-12)
    assert one.interval == two.interval


@pytest.mark.parametrize(
    ("n", "options", "reason"),
    [
        (1, {}, "the paired t test needs at least 3 replicates, not 1"),
        (2, {"statistical_test": WelchTTest()}, "the Welch t test needs at least 3 replicates, not 2"),
    ],
)
def test_too_few_replicates_are_invalid(n, options, reason):
    """The reason says how many it takes."""
    decision = decide(BASELINE[:n], BETTER[:n], **options)
    assert decision.status == "invalid"
    assert reason in decision.reason


def test_a_test_that_can_not_reach_alpha_is_invalid():
    """Before looking at the values; the reason says how many replicates would do."""
    decision = decide([0] * 4, [1] * 4)
    assert decision.status == "invalid"
    assert "with 4 replicates the McNemar test can't give a p-value below 0.062" in decision.reason
    assert "alpha = 0.05; run at least 5 replicates" in decision.reason
    assert decide([0] * 5, [1] * 5).status == "supported"
    assert decide([0] * 5, [1] * 5, statistical_test=McNemarTest(exact=True)).status == "invalid"


class Fixed(StatisticalTest):
    """Returns what it is made with, or raises it."""

    name, paired, minimum_n = "fixed", True, 1

    def __init__(self, **answer):
        self.answer = answer

    def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
        if "error" in self.answer:
            raise self.answer["error"]
        fields = {
            "test": "fixed",
            "p_value": 0.01,
            "statistic": 3.0,
            "df": None,
            "estimate": 1.0,
            "interval": (0.5, 1.5),
            "confidence": 0.95,
            "n": 6,
            "alternative": alternative,
        }
        return TestResult(**(fields | self.answer))


@pytest.mark.parametrize(
    "answer",
    [
        {"p_value": math.nan},
        {"p_value": -0.1},
        {"p_value": 1.1},
        {"p_value": "small"},
        {"p_value": None},
        {"estimate": math.nan},
        {"interval": (math.nan, math.nan)},
        {"interval": None},
        {"error": ZeroDivisionError("no variance")},
        {"error": np.linalg.LinAlgError("singular")},
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", ["increase", "decrease", "differ"])
def test_a_test_of_ones_own_that_gives_no_evidence_is_invalid(answer, direction):
    """Whatever it returns or raises; the reason names it."""
    decision = decide(BASELINE, BETTER, direction, statistical_test=Fixed(**answer))
    assert decision.status == "invalid"
    assert "the fixed test" in decision.reason


def test_a_test_of_ones_own_may_give_numpy_numbers():
    """They are as good as Python's."""
    answer = {"p_value": np.float64(0.01), "estimate": np.float32(1), "interval": tuple(np.array([0.5, 1.5]))}
    decision = decide(BASELINE, BETTER, statistical_test=Fixed(**answer))
    assert decision.status == "supported"
    assert type(decision.p_value) is type(decision.difference) is float


def test_a_test_that_breaks_before_it_compares_is_invalid():
    """Its smallest p-value is the user's code, too."""

    class Broken(Fixed):
        def smallest_p(self, *sizes):
            raise RuntimeError("not implemented")

    decision = decide(BASELINE, BETTER, statistical_test=Broken())
    assert (decision.status, decision.test) == ("invalid", "fixed")
    assert "RuntimeError: not implemented" in decision.reason

    class Garbage(Fixed):
        def compare(self, *samples, **options):
            return SimpleNamespace()

    assert decide(BASELINE, BETTER, statistical_test=Garbage()).status == "invalid"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": None}, "direction=None; allowed are 'increase'"),
        ({"direction": "up"}, "the claim about 'x' has direction='up'"),
        ({"statistical_test": WelchTTest}, "statistical_test=<class .*; give 'auto' or an instance"),
        ({"statistical_test": "welch"}, "statistical_test='welch'"),
        ({"alpha": 0}, "alpha=0; a significance level lies between 0 and 1"),
        ({"alpha": 5}, "alpha=5"),
        ({"alpha": math.nan}, "alpha=nan"),
        ({"alpha": True}, "alpha=True"),
        ({"alternative": "less"}, "alternative='less'; allowed are 'two-sided', 'one-sided'"),
        ({"direction": "differ", "alternative": "one-sided"}, "a difference has no side"),
        ({"metric": ""}, "metric is ''"),
        ({"metric": ["x"]}, "give the name of one metric"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(options, message):
    """The error names the claim, the argument, and what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        Hypothesis(**({"metric": "x", "direction": "increase"} | options))


def test_alpha_is_the_level_of_test_and_interval():
    """A stricter level needs more and shows a wider interval."""
    strict = decide(BASELINE, BETTER, alpha=1e-6, statistical_test=PairedTTest())
    assert strict.status == "inconclusive"
    assert strict.interval[0] < decide(BASELINE, BETTER).interval[0]
    assert strict.details["alpha"] == 1e-6
