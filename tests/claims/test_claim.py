"""Claims decided by a statistical test."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples

from crystallize import (
    BarnardTest,
    BoschlooTest,
    BrunnerMunzelTest,
    ClusteredTTest,
    FisherExactTest,
    Hypothesis,
    MannWhitneyTest,
    McNemarTest,
    PairedTTest,
    PermutationTest,
    ResampledTTest,
    StatisticalTest,
    WelchTTest,
    WilcoxonTest,
)
from crystallize.analysis.decide import verdict_on
from crystallize.errors import DefinitionError
from crystallize.stats import TestResult

BASELINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
BETTER = [2.0, 3.5, 4.0, 5.5, 6.0, 7.5]
MIXED = [2.0, 1.0, 4.5, 3.0, 5.5, 5.0]


def decide(baseline, treatment, direction="increase", **options):
    hypothesis = Hypothesis(metric="x", direction=direction, **options)
    return verdict_on(hypothesis, {"x": list(baseline)}, {"x": list(treatment)})


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


@pytest.mark.parametrize(
    ("n", "alternative", "status"),
    [
        (3, "two-sided", "inconclusive"),
        (5, "two-sided", "inconclusive"),
        (6, "two-sided", "refuted"),
        (4, "one-sided", "inconclusive"),
        (5, "one-sided", "refuted"),
    ],
)
def test_equal_differences_refute_only_if_their_number_does(alternative, n, status):
    """Whether they do is for the exact floor of p to say, which is that of the claim's own sidedness."""
    claim = Hypothesis(metric="m", direction="increase", alternative=alternative)
    decision = verdict_on(claim, {"m": [float(i) for i in range(n)]}, {"m": [i - 1.0 for i in range(n)]})
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
    """On request; the interval excludes 0 where p does: it is the two-sided one of twice the level."""
    sample = [2.0, 1.0, 4.5, 4.5, 5.5, 6.0]
    two, one = (decide(BASELINE, sample, alternative=a) for a in ("two-sided", "one-sided"))
    assert one.p_value == pytest.approx(two.p_value / 2, rel=1e-12)
    wider = decide(BASELINE, sample, alpha=0.1)
    assert (one.interval, one.confidence) == (wider.interval, 0.9)
    assert two.interval[0] < one.interval[0]


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
    """Test that returns what it is made with, or raises it."""

    name, paired, minimum_n, scale = "fixed", True, 1, "difference"

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


@pytest.mark.parametrize(
    ("direction", "size", "estimate", "status"),
    [
        ("no_increase", "margin", 1.0, "refuted"),
        ("no_decrease", "margin", -1.0, "refuted"),
        ("equal", "margin", 1.0, "refuted"),
        ("no_increase", "margin", 0.2, "supported"),
        ("no_decrease", "margin", -0.2, "supported"),
        ("equal", "margin", 0.2, "supported"),
        ("no_increase", "detects", 1.0, "refuted"),
        ("no_increase", "detects", -0.2, "no harm shown"),
        ("increase", "at_least", 0.2, "inconclusive"),
        ("increase", "at_least", 1.0, "supported"),
    ],
)
def test_no_size_holds_where_the_estimate_lies_beyond_it(direction, size, estimate, status):
    """However small the p-value of a test of one's own is."""
    interval = (estimate - 0.1, estimate + 0.1)
    test = Fixed(estimate=estimate, interval=interval, p_value=0.02)
    decision = decide(BASELINE, BETTER, direction, statistical_test=test, **{size: 0.5})
    assert decision.status == status


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
        ({"pairing": "never"}, "pairing='never'; allowed are 'auto', 'intersect', 'none'"),
        ({"pairing": None}, "pairing=None"),
        ({"nan_policy": "drop"}, "nan_policy='drop'; allowed are 'invalid', 'omit', 'worst'"),
        ({"kind": "float"}, "kind='float'; allowed are 'auto', 'numeric', 'binary'"),
        ({"relative": 1}, "relative=1; allowed are True and False"),
        ({"deterministic": "yes"}, "deterministic='yes'; allowed are True and False"),
        ({"margin": 1.0}, "direction='increase' and margin=1.0; a margin belongs to 'no_decrease'"),
        ({"direction": "equal"}, "direction='equal' and no margin; give margin="),
        ({"direction": "no_decrease", "margin": 0}, "margin=0; no number of replicates shows"),
        ({"direction": "no_decrease", "margin": -1}, "margin=-1; allowed are positive finite numbers"),
        ({"direction": "no_decrease", "margin": math.inf}, "margin=inf; allowed are positive finite"),
        ({"direction": "no_decrease", "margin": math.nan}, "margin=nan"),
        ({"direction": "no_decrease", "margin": True}, "margin=True"),
        ({"direction": "no_decrease", "margin": "2 %"}, "margin='2 %'"),
        ({"direction": "no_decrease", "margin": 10**400}, "margin=1000.*; allowed are positive finite"),
        ({"direction": "equal", "margin": 1, "alpha": 0.5}, "alpha=0.5; .* one-sided: below 0.5"),
        (
            {"direction": "no_increase", "margin": 1, "alternative": "one-sided"},
            "'no_increase' is one-sided already",
        ),
        ({"direction": "equal", "margin": 1, "effect": 1}, "a claim with a margin has its size in margin="),
        ({"effect": 0}, "effect=0; no number of replicates shows"),
        ({"effect": -0.5}, "effect=-0.5; allowed are positive finite numbers"),
        ({"effect": 10**400}, "effect=1000.*; allowed are positive finite numbers"),
        ({"relative": True}, "relative=True; it speaks of margin=, at_least= or effect=, and none of them"),
        (
            {"direction": "equal", "margin": 0.1, "relative": True, "kind": "binary"},
            "relative=True and kind='binary'; the margin of a rate is absolute",
        ),
        ({"max_missing": 2}, "max_missing=2; it belongs to nan_policy='omit', not 'invalid'"),
        ({"nan_policy": "omit"}, "nan_policy='omit'; give max_missing= too"),
        *(
            ({"nan_policy": "omit", "max_missing": n}, "max_missing=.*; allowed are a number of replicates")
            for n in (0, -1, 0.0, 1.0, 1.5, True, math.nan, "2")
        ),
        ({"nan_policy": "worst"}, "nan_policy='worst' and direction='increase'; only 'no_decrease'"),
        ({"direction": "equal", "margin": 1, "nan_policy": "worst"}, "direction='equal'; only 'no_decrease'"),
        (
            {"direction": "no_decrease", "margin": 1, "nan_policy": "worst", "max_missing": 2},
            "max_missing=2; it belongs to nan_policy='omit', not 'worst'",
        ),
        (
            {"statistical_test": WelchTTest(), "kind": "binary"},
            "kind='binary'; the kind chooses a test where none is named",
        ),
        ({"statistical_test": PairedTTest(), "pairing": "none"}, "the paired t test is of pairs"),
        ({"statistical_test": WelchTTest(), "pairing": "intersect"}, "the Welch t test pairs nothing"),
        *(
            ({"direction": direction, "margin": 1, "statistical_test": test}, "test knows no margin")
            for direction in ("equal", "no_decrease", "no_increase")
            for test in (
                FisherExactTest(),
                BarnardTest(),
                BrunnerMunzelTest(),
                McNemarTest(exact=True),
                PermutationTest(statistic=max),
            )
        ),
        (
            {"statistical_test": ClusteredTTest(), "nan_policy": "omit", "max_missing": 1},
            "the clustered t test takes complete replicates only",
        ),
        *(
            (
                {"statistical_test": test, "direction": "equal", "margin": 0.1, "relative": True},
                f"relative=True; the {test.name} test takes an absolute margin",
            )
            for test in (ClusteredTTest(), WilcoxonTest(), MannWhitneyTest(), McNemarTest(), BoschlooTest())
        ),
        *(
            ({"deterministic": True, name: value}, f"deterministic=True and {name}=.*compared directly")
            for name, value in (
                ("statistical_test", PairedTTest()),
                ("alpha", 0.01),
                ("alternative", "one-sided"),
                ("pairing", "none"),
                ("kind", "numeric"),
                ("effect", 1.0),
            )
        ),
        (
            {"deterministic": True, "nan_policy": "omit", "max_missing": 1},
            "deterministic=True and nan_policy='omit'",
        ),
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a hypothesis is either verifier=.* or a claim .*; neither given"),
        ({"verifier": max, "metric": "x"}, "both given"),
        ({"metric": "x", "direction": "increase", "metrics": "x"}, "metrics='x' belongs to a verifier"),
        ({"verifier": max, "direction": "increase"}, "direction='increase' belongs to a claim"),
        ({"verifier": max, "margin": 1}, "margin=1 belongs to a claim"),
        ({"verifier": max, "alpha": 0.01}, "alpha=0.01 belongs to a claim"),
        ({"verifier": max, "nan_policy": "omit"}, "nan_policy='omit' belongs to a claim"),
        ({"verifier": max, "deterministic": True}, "deterministic=True belongs to a claim"),
        ({"verifier": max, "statistical_test": WelchTTest()}, "statistical_test=.* belongs to a claim"),
    ],
)
def test_the_two_spellings_do_not_mix(options, message):
    """What belongs to a claim is refused beside a verifier, and the other way round."""
    with pytest.raises(DefinitionError, match=message):
        Hypothesis(**options)


BELOW = [0.1, 1.2, 2.0, 3.1, 4.0, 5.1]  # about BASELINE - 0.92
NEAR = [1.1, 1.9, 3.0, 4.1, 4.9, 6.0]
ABOVE = [1.9, 3.1, 4.0, 4.9, 6.1, 6.9]


@pytest.mark.parametrize(
    ("direction", "margin", "treatment", "status"),
    [
        ("no_decrease", 0.5, NEAR, "supported"),
        ("no_decrease", 0.5, ABOVE, "supported"),
        ("no_decrease", 0.5, BELOW, "refuted"),
        ("no_decrease", 0.95, BELOW, "inconclusive"),
        ("no_increase", 0.5, NEAR, "supported"),
        ("no_increase", 0.5, BELOW, "supported"),
        ("no_increase", 0.5, ABOVE, "refuted"),
        ("no_increase", 1.0, ABOVE, "inconclusive"),
        ("equal", 0.5, NEAR, "supported"),
        ("equal", 0.5, ABOVE, "refuted"),
        ("equal", 0.5, BELOW, "refuted"),
        ("equal", 1.0, ABOVE, "inconclusive"),
        ("equal", 0.95, BELOW, "inconclusive"),
    ],
)
def test_margins(direction, margin, treatment, status):
    """Supported if the bound clears the margin, refuted if the interval lies wholly beyond it."""
    decision = decide(BASELINE, treatment, direction, margin=margin)
    assert decision.status == status
    assert decision.confidence == pytest.approx(0.9)
    low, high = decision.interval
    bounds = {"no_decrease": low > -margin, "no_increase": high < margin}
    bounds["equal"] = all(bounds.values())
    assert bounds[direction] is (status == "supported")
    if status != "supported":
        assert f"the margin {margin:g}" in decision.reason


def test_equivalence_shows_the_larger_p():
    """Of the two one-sided tests."""
    p_value = decide(BASELINE, ABOVE, "equal", margin=2.0).p_value
    sides = [decide(BASELINE, ABOVE, d, margin=2.0).p_value for d in ("no_decrease", "no_increase")]
    assert p_value == max(sides)
    assert p_value != min(sides)


WITH_MARGINS = [
    (PairedTTest(), BASELINE, NEAR),
    (WelchTTest(), [1.0, 1.1, 0.9, 1.05], [1.0, 1.02, 0.95, 1.03]),
    (ResampledTTest(test_fraction=0.2), BASELINE, NEAR),
    (McNemarTest(), [1, 1, 1, 0] * 10, [1, 1, 1, 0] * 10),
    (BoschlooTest(), [1, 1, 1, 0] * 20, [1, 1, 1, 0] * 20),
    (PermutationTest(), BASELINE, NEAR),
    (PermutationTest(paired=False), [1.0, 1.1, 0.9, 1.05], [1.0, 1.02, 0.95, 1.03]),
    (WilcoxonTest(), BASELINE, NEAR),
    (MannWhitneyTest(), [1.0, 1.1, 0.9, 1.05], [1.0, 1.02, 0.95, 1.03]),
    (ClusteredTTest(), BASELINE, NEAR),
]


@pytest.mark.parametrize(
    ("test", "baseline", "treatment"), WITH_MARGINS, ids=lambda v: getattr(v, "name", "")
)
@pytest.mark.parametrize("direction", ["no_decrease", "no_increase", "equal"])
def test_every_test_that_takes_a_margin_supports_what_is_equal(test, baseline, treatment, direction):
    """And doubts it once the margin is very small."""
    decision = decide(baseline, treatment, direction, margin=0.6, statistical_test=test)
    assert decision.status == "supported"
    assert 0 < decision.p_value <= 0.05
    doubted = decide(baseline, treatment, direction, margin=1e-9, statistical_test=test)
    assert doubted.status != "supported"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("direction", "change", "status"),
    [
        ("no_decrease", -0.05, "refuted"),
        ("no_decrease", 0.05, "supported"),
        ("no_increase", -0.05, "supported"),
        ("no_increase", 0.05, "refuted"),
        ("equal", 0.005, "supported"),
        ("equal", 0.05, "refuted"),
        ("equal", -0.05, "refuted"),
    ],
)
def test_relative_margins_are_parts_of_the_absolute_mean(direction, change, status, sign):
    """Of a negative mean, too: an increase is an increase."""
    baseline = [sign * (100 + d) for d in (-1, 0, 1, 2, -2, 0.5)]
    noise = [0.01, -0.01, 0.02, -0.02, 0.0, 0.005]
    treatment = [b + 100 * change + e for b, e in zip(baseline, noise, strict=True)]
    decision = decide(baseline, treatment, direction, margin=0.02, relative=True)
    assert decision.status == status
    assert decision.difference == pytest.approx(change, rel=0.05)


def test_a_relative_margin_of_nothing_is_invalid():
    """A baseline whose mean is 0 has no parts; the reason says what to do."""
    decision = decide([-1.0, 1.0, -2.0, 2.0], [0.0, 1.0, 0.0, 1.0], "equal", margin=0.1, relative=True)
    assert decision.status == "invalid"
    assert "use a margin in the units of the metric" in decision.reason


def test_a_relative_margin_is_of_numbers():
    """Zeros and ones are no rates then."""
    values = [0, 1] * 10
    assert decide(values, values, "no_decrease", margin=0.5, relative=True).test == "paired t"


samples = st.integers(6, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-50, 50), min_size=n, max_size=n)] * 2)
)


@examples(60)
@given(samples, st.sampled_from(["auto", WelchTTest(), WilcoxonTest(), MannWhitneyTest()]))
def test_a_claim_is_the_mirror_of_its_opposite(pair, test):
    """Of negated values the opposite claim holds, with the same p; `differ` holds of both."""
    baseline, treatment = ([v + 0.25 for v in values] for values in pair)
    mirrored = [-v for v in baseline], [-v for v in treatment]
    opposites = {"increase": "decrease", "differ": "differ", "no_decrease": "no_increase", "equal": "equal"}
    for direction, opposite in opposites.items():
        options = {"margin": 5.0} if direction in ("no_decrease", "equal") else {}
        one = decide(baseline, treatment, direction, statistical_test=test, **options)
        other = decide(*mirrored, opposite, statistical_test=test, **options)
        assert other.status == one.status
        assert other.p_value == pytest.approx(one.p_value, rel=1e-9)


@examples(60)
@given(samples, st.sampled_from(["auto", WelchTTest()]))
def test_contradictory_claims_are_never_both_supported(pair, test):
    """Neither an increase and a decrease, nor a claim that is supported and one that refutes it."""
    found = {
        direction: decide(*pair, direction, statistical_test=test).status
        for direction in ("increase", "decrease", "differ")
    }
    assert not (found["increase"] == "supported" and found["decrease"] != "refuted")
    assert (found["differ"] == "supported") == ("supported" in (found["increase"], found["decrease"]))
