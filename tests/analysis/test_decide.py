"""What becomes of a p-value: verdict, reason, and what the sample could have shown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from recorded import arms
from scipy.stats import chi2

from crystallize import (
    AnytimeValid,
    BoschlooTest,
    GroupSequential,
    Hypothesis,
    MannWhitneyTest,
    McNemarTest,
    PairedTTest,
    PermutationTest,
    WelchTTest,
    WilcoxonTest,
    evaluate,
)
from crystallize.analysis.decide import verdict_on
from crystallize.claims.policy import Judging
from crystallize.stats.power import PairedT, UnpairedBinary, minimum_detectable_effect, replicates

# Differences of mean .1 and standard deviation 1.
STANDARD = {
    12: [1.1, -0.9, 1.3, -1.2, 0.9, -0.8, 1.25, -1.3, 0.4, -0.1, 0.7, -0.05],
    8: [1.0, -0.9, 1.2, -1.1, 0.8, -0.6, 1.0, -0.6],
}


def unit_differences(n):
    """Return n differences with mean .1 and standard deviation 1 exactly."""
    raw = STANDARD[n]
    mean = sum(raw) / n
    sd = (sum((x - mean) ** 2 for x in raw) / (n - 1)) ** 0.5
    return [0.1 + (x - mean) / sd for x in raw]


def judge(baseline, treatment, direction="increase", *, judging=None, **options):
    hypothesis = Hypothesis(metric="x", direction=direction, **options)
    return evaluate(
        hypothesis, *arms(baseline, treatment), **({} if judging is None else {"judging": judging})
    )


def test_an_inconclusive_verdict_says_what_to_do():
    """What goes unseen with so many replicates, and how many would show the declared effect."""
    verdict = judge([0.0] * 12, unit_differences(12), effect=0.5)
    assert verdict.status == "inconclusive"
    assert "the data allow either sign" in verdict.reason
    found = re.search(
        r"with 12 replicates a difference below (\S+) \((\S+) SD\) goes unseen; about (\d+) would show "
        r"the 0.5 you declared \(by the upper 80 % limit of the spread\)",
        verdict.reason,
    )
    assert found, verdict.reason
    assert (found[1], found[2]) == ("0.889", "0.89")
    upper = (11 / chi2.ppf(0.2, 11)) ** 0.5
    assert int(found[3]) == replicates(PairedT(upper), 0.5) == 52
    assert verdict.detectable == pytest.approx(minimum_detectable_effect(PairedT(1.0), 12))


def test_only_a_spread_that_is_widened_is_called_its_limit():
    """Of independent rates that are to differ, the one that was seen counts."""
    baseline, treatment = [0, 0, 0, 1, 1] * 8, [0, 0, 1, 1, 1] * 8
    reason = judge(baseline, treatment, effect=0.2, pairing="none").reason
    assert f"about {replicates(UnpairedBinary(0.4), 0.2)} would show the 0.2 you declared;" in reason
    reason = judge(baseline, baseline, "no_decrease", margin=0.05, pairing="none").reason
    assert "no difference at all (by the upper 80 % limit of the spread)" in reason


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "plan more, or declare as effect= the smallest difference that matters to learn how many"),
        ({"effect": 3.0}, "the interval excludes the 3 you declared: it is hardly there"),
        ({"effect": 0.01, "relative": True}, "about 52 would show the 1 % you declared"),
    ],
)
def test_advice_depends_on_what_was_declared(options, words):
    """A relative effect is a part of the baseline's mean."""
    baseline = [50.0] * 12
    treatment = [50 + d for d in unit_differences(12)]
    assert words in judge(baseline, treatment, **options).reason


@pytest.mark.parametrize(
    ("test", "sizes", "n", "reason"),
    [
        ("auto", [0.1, 0.2, 0.3], 2, "the paired t test needs at least 3 replicates, not 2; run more"),
        (WelchTTest(), [0.1, 0.2, 0.3], 1, "the Welch t test needs at least 3 replicates, not 1; run more"),
        (PermutationTest(), [0.1] * 9, 5, "run at least 6 replicates"),
        (WilcoxonTest(), [0.1] * 9, 5, "run at least 6 replicates"),
        (MannWhitneyTest(), [0.1] * 9, 3, "run at least 4 replicates"),
        (McNemarTest(), [1] * 9, 4, "run at least 5 replicates"),
        (McNemarTest(exact=True), [1] * 9, 5, "run at least 6 replicates"),
        (BoschlooTest(), [1] * 9, 2, "run at least 3 replicates"),
    ],
    ids=str,
)
def test_too_few_replicates_for_alpha(test, sizes, n, reason):
    """A level that the test can't attain makes the verdict invalid, and the reason says how many do."""
    baseline, treatment = [0] * n, [k * (i + 1) if k != 1 else 1 for i, k in enumerate(sizes[:n])]
    verdict = judge(baseline, treatment, statistical_test=test)
    assert verdict.status == "invalid"
    assert reason in verdict.reason
    enough = re.search("at least (\\d+) replicates$", verdict.reason)
    if enough:
        m = int(enough[1])
        values = [1] * m if sizes[0] == 1 else [0.1 * (i + 1) for i in range(m)]
        again = judge([0] * m, values, statistical_test=test)
        assert again.status == "supported"


def test_one_sided_p_needs_fewer():
    """Of one-sided claims the smallest p is half as large."""
    assert judge([0] * 4, [1] * 4).status == "invalid"
    assert judge([0] * 4, [1] * 4, alternative="one-sided").status == "supported"


@pytest.mark.parametrize(("n", "caveat"), [(9, True), (10, False)])
def test_small_samples_have_a_caveat(n, caveat):
    """A t test on fewer than ten says that it relies on normality; a permutation test does not."""
    values = [0.1 * i * (-1) ** i for i in range(n)]
    verdict = judge([0.0] * n, values)
    assert verdict.caveat == (f"the paired t test on {n} relies on roughly normal values" if caveat else "")
    assert judge([0.0] * n, values, statistical_test=PermutationTest()).caveat == ""


def test_looks_are_not_called_claims():
    """The level of the last look is what can't be reached, and no family is blamed."""
    judging = Judging(stopping=GroupSequential(looks=2, spending="pocock"))
    verdict = judge([0] * 5, [1] * 5, judging=judging)
    assert verdict.status == "invalid"
    assert re.search(
        r"can't reach the level of the last look, 0\.0\d+; run at least 6 replicates", verdict.reason
    )
    assert "claims" not in verdict.reason


def test_one_replicate_is_one():
    """Nouns agree with their number."""
    assert "with 1 replicate the McNemar test" in judge([0], [1]).reason


class Odd(PairedTTest):
    """A test whose design is no design."""

    def design(self, baseline, treatment, result):
        return object()


def test_a_design_that_breaks_decides_nothing():
    """What a sample could not show is left out, and the verdict stays."""
    verdict = judge([0.0] * 12, unit_differences(12), statistical_test=Odd(), effect=0.5)
    assert (verdict.status, verdict.detectable) == ("inconclusive", None)
    assert verdict.reason.partition("; ")[2].startswith("run more replicates")
    assert judge([0.0] * 12, unit_differences(12), "equal", margin=0.1, statistical_test=Odd()).reason


@pytest.mark.parametrize("kind", ["auto", "binary"])
@pytest.mark.parametrize("stopping", [None, GroupSequential(), AnytimeValid()], ids=str)
def test_values_that_a_test_can_not_take_are_invalid(kind, stopping):
    """Also those declared to be what they are not; nothing is raised."""
    verdict = judge([0.0, 1.0, 2.0] * 5, [1.0, 1.0, 2.5] * 5, kind=kind, judging=Judging(stopping=stopping))
    assert (verdict.status == "invalid") is (kind == "binary")
    if kind == "binary":
        assert "McNemar test can't take this sample" in verdict.reason
        assert "2.0; allowed are 0 and 1" in verdict.reason


TESTS = [
    "auto",
    WelchTTest(),
    PermutationTest(resamples=99),
    WilcoxonTest(),
    MannWhitneyTest(),
    McNemarTest(),
]
DIRECTIONS = ["increase", "decrease", "differ", "equal", "no_decrease", "no_increase"]
numbers = st.floats(-1e308, 1e308) | st.integers(-2, 2) | st.booleans() | st.sampled_from([5e-324, 10**30])


@examples(150)
@given(
    st.integers(1, 8).flatmap(lambda n: st.tuples(*[st.lists(numbers, min_size=n, max_size=n)] * 2)),
    st.sampled_from(TESTS),
    st.sampled_from(DIRECTIONS),
    st.sampled_from([None, GroupSequential(looks=2), AnytimeValid(every=2)]),
)
def test_no_sample_breaks_a_verdict(pair, test, direction, stopping):
    """Every finite sample gets one of the four verdicts, and supported means p at most the level."""
    options = {} if direction in DIRECTIONS[:3] else {"margin": 0.5}
    hypothesis = Hypothesis(metric="x", direction=direction, statistical_test=test, **options)
    judging = Judging(stopping=stopping)
    if isinstance(stopping, AnytimeValid) and test != "auto":
        judging = Judging()
    verdict = evaluate(hypothesis, *arms(*pair), judging=judging)
    assert verdict.status in ("supported", "refuted", "inconclusive", "invalid")
    assert bool(verdict.reason) is (verdict.status != "supported")
    if verdict.p_value is not None:
        assert 0 <= verdict.p_value <= 1
        assert verdict.interval[0] <= verdict.interval[1]
    if verdict.passed:
        assert verdict.p_value <= verdict.level


def test_equal_arms_are_told_so():
    """Where nothing differs, more replicates would show no more."""
    same = [0.5, 0.25, 0.75, 1.0]
    decision = verdict_on(Hypothesis(metric="x", direction="increase"), {"x": same}, {"x": same})
    assert decision.status == "inconclusive"
    assert decision.reason == "x never differs: the treatment changes nothing that it shows"
