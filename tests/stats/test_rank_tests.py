"""Wilcoxon's signed rank, Mann-Whitney and Brunner-Munzel."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import brunner_munzel, mann_whitney, smallest_rank_p, wilcoxon
from crystallize.stats.order_statistics import order_statistic

DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
ALTERNATIVES = ["two-sided", "greater", "less"]
OPPOSITE = {"two-sided": "two-sided", "greater": "less", "less": "greater"}

laws = examples(60)
tied = st.lists(st.integers(-4, 4), min_size=1, max_size=7)


def exact_p(values, observed, alternative):
    upper, lower = np.mean(values >= observed), np.mean(values <= observed)
    return {"two-sided": min(1.0, 2 * min(upper, lower)), "greater": upper, "less": lower}[alternative]


# Published values.


def test_wilcoxon_on_darwins_maize():
    """Darwin's differences have W = 24, p = .0412598, and R's pseudo-median and interval."""
    result = wilcoxon(np.zeros(15), DARWIN)
    assert (result.statistic, result.n, result.degenerate) == (24.0, 15, False)
    assert result.p_value == pytest.approx(0.0412598, rel=5e-6)
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(DARWIN, 2))
    assert (result.estimate, *result.interval) == (np.median(walsh), walsh[25], walsh[-26])
    assert result.estimand == "pseudo-median of the differences"


def test_mann_whitney_on_the_ages_at_diagnosis():
    """U = 17 and p = .111111."""
    result = mann_whitney([20, 11, 17, 12], [19, 22, 16, 29, 24])
    assert (result.statistic, result.n) == (17.0, (4, 5))
    assert result.p_value == pytest.approx(0.111111, rel=5e-6)


def test_brunner_munzel_on_the_pain_scores():
    """W = 3.137467, p = .00578621, estimate .788961; the interval is that of R's lawstat."""
    first = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]
    result = brunner_munzel(first, [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4])
    assert result.statistic == pytest.approx(3.137467, rel=5e-7)
    assert result.p_value == pytest.approx(0.00578621, rel=5e-6)
    assert result.estimate == pytest.approx(0.788961, rel=5e-6)
    assert result.interval == pytest.approx((0.5952169, 0.9827052), rel=5e-6)
    assert (result.null, result.estimand) == (0.5, "probability of superiority")


# Against scipy.


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(4))
def test_untied_samples_agree_with_scipy(seed, alternative):
    """Exact p-values of samples without ties are scipy's to 1e-12."""
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.normal(size=5 + 6 * seed), rng.normal(0.5, 2, 22 - 4 * seed)
    expected = reference.mannwhitneyu(treatment, baseline, alternative=alternative, method="exact")
    result = mann_whitney(baseline, treatment, alternative=alternative)
    assert result.statistic == expected.statistic
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    expected = reference.brunnermunzel(baseline, treatment, alternative=OPPOSITE[alternative])
    result = brunner_munzel(baseline, treatment, alternative=alternative)
    assert (result.statistic, result.p_value) == pytest.approx(
        (expected.statistic, expected.pvalue), rel=1e-12
    )
    expected = reference.wilcoxon(treatment, alternative=alternative, method="exact")
    result = wilcoxon(np.zeros(treatment.size), treatment, alternative=alternative)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("decimals", [0, 5])
def test_large_samples_agree_with_scipys_normal_approximation(decimals, alternative):
    """Where enumeration takes long the p-values are scipy's asymptotic ones, corrected for ties."""
    rng = np.random.default_rng(1)
    baseline, treatment = (
        np.round(rng.normal(0, 3, 300), decimals),
        np.round(rng.normal(0.4, 3, 350), decimals),
    )
    expected = reference.mannwhitneyu(treatment, baseline, alternative=alternative, method="asymptotic")
    result = mann_whitney(baseline, treatment, alternative=alternative)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    treatment = treatment[treatment != 0]
    expected = reference.wilcoxon(treatment, alternative=alternative, method="asymptotic")
    result = wilcoxon(np.zeros(treatment.size), treatment, alternative=alternative)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


# Ties.


@laws
@given(differences=tied, alternative=st.sampled_from(ALTERNATIVES))
def test_wilcoxon_is_exact_with_ties_and_zeros(differences, alternative):
    """The p-value is that of all signs of the ranks of what is not zero."""
    values = np.array([value for value in differences if value])
    if values.size:
        ranks = reference.rankdata(np.abs(values))
        sums = np.array(list(itertools.product([0, 1], repeat=values.size))) @ ranks
        expected = exact_p(sums, ranks[values > 0].sum(), alternative)
    else:
        expected = 1.0
    result = wilcoxon(np.zeros(len(differences)), differences, alternative=alternative)
    assert result.p_value == pytest.approx(expected, rel=1e-12)


@laws
@given(first=tied.filter(lambda v: len(v) <= 5), second=tied, alternative=st.sampled_from(ALTERNATIVES))
def test_mann_whitney_is_exact_with_ties(first, second, alternative):
    """The p-value is that of all labellings of the pooled ranks."""
    ranks = reference.rankdata(first + second)
    sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks, len(second))])
    result = mann_whitney(first, second, alternative=alternative)
    assert result.p_value == pytest.approx(exact_p(sums, ranks[len(first) :].sum(), alternative), rel=1e-12)


def test_float_noise_makes_no_order():
    """0.3 - 0.2 and 0.2 - 0.1 are a tie, and 0.1 + 0.2 equals 0.3."""
    assert wilcoxon([0.1, 0.3, 0.2], [0.2, 0.2, 0.3]).p_value == wilcoxon([1, 3, 2], [2, 2, 3]).p_value
    noisy = mann_whitney([0.3, 0.3, 0.5], [0.1 + 0.2, 0.4, 0.3])
    assert noisy.statistic == mann_whitney([3, 3, 5], [3, 4, 3]).statistic


# Estimates and intervals.


@laws
@given(first=tied, second=tied, alpha=st.sampled_from([0.05, 0.2, 0.5]))
def test_estimate_is_the_median_of_all_differences(first, second, alpha):
    """Hodges and Lehmann's estimate and its limits are elements of the listed differences."""
    differences = sorted(t - b for b in first for t in second)
    result = mann_whitney(first, second, alpha=alpha)
    assert result.estimate == pytest.approx(np.median(differences), abs=1e-12)
    for end in result.interval:
        assert math.isinf(end) or min(abs(end - value) for value in differences) < 1e-12


@laws
@given(data=st.data())
def test_intervals_exclude_what_the_test_rejects(data):
    """Without ties, the shifts outside of the interval are rejected and those inside are not."""
    seed, alpha = data.draw(st.integers(0, 10**6)), data.draw(st.sampled_from([0.05, 0.2]))
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.normal(size=8), rng.normal(size=8)
    for test in (wilcoxon, mann_whitney):
        low, high = test(baseline, treatment, alpha=alpha).interval
        assert test(baseline, treatment, shift=low - 1e-6).p_value <= alpha
        assert test(baseline, treatment, shift=low + 1e-6).p_value > alpha
        assert test(baseline, treatment, shift=high - 1e-6).p_value > alpha
        assert test(baseline, treatment, shift=high + 1e-6).p_value <= alpha


def test_order_statistics_of_a_listed_multiset():
    """Every rank of a multiset with repetitions is found without listing it."""
    values = np.sort(np.repeat([-3.0, 0.0, 0.1, 7.0], [2, 3, 1, 4]))
    for rank in range(1, values.size + 1):
        found = order_statistic(
            rank,
            lambda level: int(np.searchsorted(values, level, side="right")),
            lambda level: float(values[values > level][0]),
            -3.0,
            7.0,
        )
        assert found == values[rank - 1]


def test_large_samples_take_no_quadratic_memory():
    """100,000 values per arm are estimated without listing 10^10 differences."""
    rng = np.random.default_rng(0)
    baseline, treatment = rng.normal(0, 1, 30_000), rng.normal(0.1, 1, 30_000)
    assert mann_whitney(baseline, treatment).estimate == pytest.approx(0.1, abs=0.03)
    assert wilcoxon(baseline, treatment).estimate == pytest.approx(0.1, abs=0.03)


# Degenerate input.


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_no_difference_at_all_supports_nothing(alternative):
    """Equal values give p = 1 in every test, and are flagged."""
    for test in (wilcoxon, mann_whitney, brunner_munzel):
        result = test([2.0] * 5, [2.0] * 5, alternative=alternative)
        assert (result.p_value, result.degenerate) == (1.0, True)
        assert result.estimate == result.null


def test_complete_separation_has_a_floor():
    """Arms of 4 and 5 without overlap give 2/C(9, 4), where scipy's Brunner-Munzel divides by zero."""
    result = brunner_munzel([1, 2, 3, 4], [5, 6, 7, 8, 9])
    assert result.p_value == pytest.approx(2 / 126)
    assert (result.estimate, result.statistic, result.degenerate) == (1.0, math.inf, True)
    assert 0.5 < result.interval[0] < result.interval[1] == 1.0
    assert brunner_munzel([5, 6, 7, 8, 9], [1, 2, 3, 4], alternative="less").p_value == pytest.approx(1 / 126)
    assert brunner_munzel([1, 2, 3], [4, 5, 6]).interval[0] <= 0.5  # p is .1 there


def test_smallest_attainable_p():
    """Two-sided .05 takes six pairs, or four values per arm."""
    assert (smallest_rank_p(5), smallest_rank_p(6)) == (0.0625, 0.03125)
    assert smallest_rank_p(3, 3) == pytest.approx(0.1)
    assert smallest_rank_p(4, 4) == mann_whitney([1, 2, 3, 4], [5, 6, 7, 8]).p_value == pytest.approx(2 / 70)
    assert smallest_rank_p(6) == wilcoxon(np.zeros(6), np.arange(6) + 1).p_value


def test_brunner_munzel_needs_two_values_per_arm():
    """One value has no variance."""
    with pytest.raises(SampleError, match=r"treatment has 1 value\(s\); it needs at least 2"):
        brunner_munzel([1, 2], [1])
