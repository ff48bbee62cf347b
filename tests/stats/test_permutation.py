"""Permutation tests."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import (
    paired_permutation,
    paired_t,
    permutation,
    smallest_permutation_p,
    welch_t,
)

DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
ALTERNATIVES = ["two-sided", "greater", "less"]

laws = examples(40)
numbers = st.integers(-9, 9).map(float)
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=6)


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


def mean_difference(baseline, treatment):
    return float(np.mean(treatment) - np.mean(baseline))


def median_difference(baseline, treatment):
    return float(np.median(treatment) - np.median(baseline))


# Published values.


def test_sign_flips_of_darwins_maize():
    """863 of 2^15 sign patterns are at least as large: p is .0263367 one-sided and .0526733 two-sided."""
    one_sided = paired_permutation(np.zeros(15), DARWIN, alternative="greater")
    assert one_sided.p_value == 863 / 2**15
    assert paired_permutation(np.zeros(15), DARWIN).p_value == pytest.approx(0.0526733, rel=5e-6)
    assert one_sided.estimate == one_sided.statistic == pytest.approx(314 / 15)


# Against scipy, and by enumeration.


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(3))
def test_sign_flips_agree_with_scipy(seed, alternative):
    """The exact p-value is that of scipy's permutation test of pairs."""
    rng = np.random.default_rng(seed)
    baseline = rng.normal(size=8)
    treatment = baseline + rng.normal(0.5, 1, 8)
    expected = reference.permutation_test(
        (treatment, baseline),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        alternative=alternative,
        n_resamples=np.inf,
    )
    result = paired_permutation(baseline, treatment, alternative=alternative)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(3))
def test_labellings_agree_with_scipy(seed, alternative):
    """The exact p-value is that of scipy's permutation test of Welch's t."""
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.normal(size=4 + seed), rng.normal(1, 3, 6 - seed)

    def welch(x, y, axis):
        return reference.ttest_ind(x, y, equal_var=False, axis=axis).statistic

    expected = reference.permutation_test(
        (treatment, baseline),
        welch,
        permutation_type="independent",
        alternative=alternative,
        n_resamples=np.inf,
        vectorized=True,
    )
    result = permutation(baseline, treatment, alternative=alternative)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-12)


def test_a_statistic_of_ones_own_is_enumerated():
    """The median difference under all exchanges, and under all labellings, is counted."""
    baseline, treatment = [1.0, 5.0, 2.0, 8.0, 3.0], [2.0, 9.0, 4.0, 7.0, 9.0]
    values = []
    for flips in itertools.product([0, 1], repeat=5):
        first = [t if flip else b for b, t, flip in zip(baseline, treatment, flips, strict=True)]
        second = [b if flip else t for b, t, flip in zip(baseline, treatment, flips, strict=True)]
        values.append(median_difference(first, second))
    result = paired_permutation(baseline, treatment, statistic=median_difference, alternative="greater")
    assert result.p_value == np.mean(np.array(values) >= 4)
    assert (result.estimate, result.estimand, result.null) == (4.0, "statistic", 0.0)
    assert result.interval == (-math.inf, math.inf)
    pooled = np.array(baseline + treatment)
    values = []
    for chosen in itertools.combinations(range(10), 5):
        mask = np.isin(np.arange(10), chosen)
        values.append(median_difference(pooled[~mask], pooled[mask]))
    result = permutation(baseline, treatment, statistic=median_difference, alternative="greater")
    assert result.p_value == np.mean(np.array(values) >= 4)


def test_mean_as_a_statistic_of_ones_own_is_the_default_of_pairs():
    """The mean difference given as a function has the p-value of the built-in one, shifted too."""
    baseline, treatment = np.arange(7.0), np.array([3.0, 0, 5, 9, 4, 4, 8])
    for shift in (0.0, 1.0):
        own = paired_permutation(baseline, treatment, statistic=mean_difference, shift=shift)
        built_in = paired_permutation(baseline, treatment, shift=shift)
        assert own.p_value == built_in.p_value
        assert own.estimate == pytest.approx(built_in.estimate)


# Random permutations.


def test_random_permutations_are_repeatable_and_near_the_t_tests():
    """With 30 pairs the p-values repeat exactly, and are those of the t tests within sampling error."""
    rng = np.random.default_rng(5)
    baseline, treatment = rng.normal(0, 1, 30), rng.normal(0.4, 1, 30)
    for test, t_test in ((paired_permutation, paired_t), (permutation, welch_t)):
        result, expected = test(baseline, treatment), t_test(baseline, treatment)
        assert result == test(baseline, treatment)
        assert result.p_value == pytest.approx(expected.p_value, abs=0.01)
        assert result.interval == pytest.approx(expected.interval, abs=0.04)


def test_random_permutations_never_give_zero():
    """Full separation of 100 pairs gives 2/10000, since the observed arrangement counts."""
    assert paired_permutation(np.zeros(100), np.arange(100) + 1.0).p_value == 2 / 10_000
    assert permutation(np.arange(100), np.arange(100) + 1000).p_value == 2 / 10_000
    assert paired_permutation(np.zeros(100), np.arange(100) + 1.0, resamples=999).p_value == 2 / 1000


def test_random_permutations_do_not_depend_on_the_order_or_the_names_of_the_arms():
    """With 40 pairs in another order, or arms exchanged, the result is the same."""
    rng = np.random.default_rng(6)
    baseline, treatment = rng.normal(0, 1, 40), rng.normal(0.3, 1, 40)
    order = rng.permutation(40)
    for test in (paired_permutation, permutation):
        result = test(baseline, treatment, shift=0.1)
        assert test(baseline[order], treatment[order], shift=0.1).p_value == result.p_value
        mirror = test(treatment, baseline, shift=-0.1)
        assert mirror.p_value == result.p_value
        assert mirror.interval == pytest.approx((-result.interval[1], -result.interval[0]), rel=1e-12)


def test_unequal_variances_inflate_the_studentized_test_less_than_the_raw_one():
    """With N(0,1), n = 30, and N(0,9), n = 10, some 10 % of 150 samples are rejected, not 21 %."""
    rng = np.random.default_rng(7)
    rejected = sum(
        permutation(rng.normal(0, 1, 30), rng.normal(0, 3, 10), resamples=199).p_value <= 0.05
        for _ in range(150)
    )
    assert rejected <= 0.16 * 150


def test_a_large_sample_is_permuted_in_blocks():
    """20,000 pairs need no matrix of 200 million flips."""
    differences = np.random.default_rng(8).normal(0.05, 1, 20_000)
    assert paired_permutation(np.zeros(20_000), differences, resamples=199).p_value == 2 / 200


# Intervals.


@laws
@given(drawn=pairs, alpha=st.sampled_from([0.05, 0.1, 0.25, 0.5]), data=st.data())
def test_interval_holds_the_shifts_that_the_test_does_not_reject(drawn, alpha, data):
    """Shifts just inside of the interval have p > alpha, and just outside p <= alpha."""
    test = data.draw(st.sampled_from([paired_permutation, permutation]))
    result = test(*arms(drawn), alpha=alpha)
    assume(not result.degenerate)
    for end, outwards in zip(result.interval, (-1, 1), strict=True):
        if math.isfinite(end):
            assert test(*arms(drawn), shift=end + outwards * 1e-6).p_value <= alpha
            if result.interval[1] - result.interval[0] > 1e-3:
                assert test(*arms(drawn), shift=end - outwards * 1e-6).p_value > alpha
        else:
            assert test(*arms(drawn), shift=outwards * 1e9).p_value > alpha


# Degenerate input.


@pytest.mark.parametrize(
    ("alternative", "expected"), [("two-sided", 2**-4), ("greater", 2**-5), ("less", 1.0)]
)
def test_equal_differences_need_no_substitute(alternative, expected):
    """Five differences of 0.1 (with float noise) have the p-value of equal signs, and are flagged."""
    baseline = np.array([0.1, 0.2, 0.3, 0.7, 1.1])
    result = paired_permutation(baseline, baseline + 0.1, alternative=alternative)
    assert (result.p_value, result.degenerate) == (expected, True)


def test_constant_arms_have_the_p_value_of_complete_separation():
    """Constant arms of 4 and 5 give 2/C(9, 4) and [c, c]; equal ones p = 1."""
    result = permutation([1] * 4, [3] * 5)
    assert result.p_value == pytest.approx(2 / 126)
    assert (result.interval, result.statistic, result.degenerate) == ((2.0, 2.0), math.inf, True)
    assert permutation([1] * 4, [1] * 5).p_value == 1.0


def test_smallest_attainable_p():
    """Two-sided .05 takes six pairs, or four values per arm; random permutations stop at 2/10000."""
    assert [smallest_permutation_p(n) for n in (0, 1, 5, 6)] == [1.0, 1.0, 0.0625, 0.03125]
    assert smallest_permutation_p(3, 3) == pytest.approx(0.1)
    assert smallest_permutation_p(4, 4) == pytest.approx(2 / 70)
    assert smallest_permutation_p(30) == smallest_permutation_p(30, 30) == 2 / 10_000
    assert smallest_permutation_p(30, alternative="less") == 1 / 10_000
    assert smallest_permutation_p(30, 30, resamples=999) == 2 / 1000


# Refusals.


@pytest.mark.parametrize("test", [paired_permutation, permutation])
def test_a_statistic_that_is_not_finite_is_refused(test):
    """A statistic of nan is reported with the samples that gave it."""
    with pytest.raises(SampleError, match=r"the statistic is nan for baseline \[1\.0, 2\.0, 3\.0\]"):
        test([1, 2, 3], [2, 3, 4], statistic=lambda baseline, treatment: math.nan)


@pytest.mark.parametrize("test", [paired_permutation, permutation])
def test_too_few_resamples_are_refused(test):
    """Ten random permutations are no test."""
    with pytest.raises(SampleError, match="resamples is 10; allowed are 99 and more"):
        test([1, 2, 3], [2, 3, 4], resamples=10)


def test_too_small_arms_are_refused():
    """Welch's t needs two values per arm, and pairs at least one."""
    with pytest.raises(SampleError, match=r"treatment has 1 value\(s\); it needs at least 2"):
        permutation([1, 2], [1])
    with pytest.raises(SampleError, match=r"baseline has 0 value\(s\); it needs at least 1"):
        paired_permutation([], [])
