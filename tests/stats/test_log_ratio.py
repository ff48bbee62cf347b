"""The ratio of geometric means."""

import math
from functools import partial

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from crystallize.errors import SampleError
from crystallize.stats import (
    crossed_t,
    log_ratio,
    non_inferiority,
    paired_t,
    relative_superiority,
    welch_t,
    yuen_t,
)

SLOW = [10.2, 11.9, 9.1, 14.8, 10.4, 12.2]
FAST = [8.1, 9.3, 7.9, 11.9, 8.0, 10.4]


def test_it_is_student_s_t_of_the_log_ratios():
    """R: t.test(log(fast / slow)) and exp(conf.int) - 1, here by scipy."""
    expected = ttest_1samp(np.log(np.divide(FAST, SLOW)), 0)
    result = log_ratio(SLOW, FAST)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (result.p_value, result.estimate) == pytest.approx((0.0001306878, -0.1892188), abs=5e-8)
    ends = np.expm1(expected.confidence_interval(0.95))
    assert result.interval == pytest.approx(tuple(ends), rel=1e-9)
    assert result.test == "log paired t"


def test_independent_arms():
    """By Welch's t of the logarithms."""
    expected = ttest_ind(np.log(FAST), np.log(SLOW), equal_var=False)
    assert log_ratio(SLOW, FAST, compare=welch_t).p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_null_is_a_change():
    """A fifth less is log(0.8); margins are changes, too."""
    result = log_ratio(SLOW, FAST, alternative="less", shift=-0.1)
    expected = ttest_1samp(np.log(np.divide(FAST, SLOW)), math.log(0.9), alternative="less")
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (result.null, result.side < 0) == (-0.1, True)
    guard = non_inferiority(log_ratio, FAST, SLOW, margin=0.3, guard="no_increase")
    assert guard.p_value == log_ratio(FAST, SLOW, shift=0.3, alternative="less").p_value


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pairs_of_one_ratio_do_not_vary(scale, dtype):
    """Whatever rounding leaves, however near to 1 the values are."""
    if dtype is np.float32 and scale != 1:
        scale = 1e-9
    values = np.array([1.0001, 1.0002, 0.9997, 1.0005, 0.9999], dtype=dtype) * dtype(scale)
    result = log_ratio(values, values * dtype(1.0004))
    assert result.degenerate
    assert result.p_value == 2**-4


def test_near_1_single_precision_keeps_its_digits():
    """Changes of a few units in the last place are found as the differences are, by the paired t."""
    rng = np.random.default_rng(1)
    found = {log_ratio: 0, paired_t: 0}
    for _ in range(50):
        common = rng.normal(size=10)
        arms = [(1 + 1e-6 * (common + rng.normal(mean, 1, 10))).astype(np.float32) for mean in (0, 0.8)]
        for test in found:
            found[test] += test(*arms).p_value <= 0.05
    assert found[log_ratio] >= found[paired_t] - 2 > 10


@pytest.mark.parametrize(("dtype", "ulp"), [(np.float32, 2**-23), (np.float16, 2**-10)])
def test_the_unit_of_values_with_few_digits_changes_nothing(dtype, ulp):
    """Far from 1 eight units in the last place were none of single precision, and one was many of half."""
    rng = np.random.default_rng(0)
    for ulps, apart in ((1, False), (30, True)):
        before = (1 + rng.random(12)).astype(dtype)
        after = (before * (1 + ulps * ulp * rng.normal(1, 0.5, 12))).astype(dtype)
        found = log_ratio(before, after)
        assert (found.p_value < 0.05, paired_t(before, after).p_value < 0.05) == (apart, apart)
        for power in (-8, -3, 2, 5):
            unit = dtype(2.0**power)
            assert log_ratio(before * unit, after * unit) == found
            assert log_ratio((before * unit).tolist(), after * unit) == found
    equal = log_ratio(before, (before * dtype(1.25)).astype(dtype))
    assert (equal.p_value, equal.degenerate) == (2**-11, True)


@pytest.mark.parametrize("size", [20, 21])
def test_rounding_near_1_is_none_beside_an_outlier(size):
    """Also in arms of different sizes, where no values belong together."""
    rng = np.random.default_rng(size)
    first, second = (1 + 2.0**-52 * np.round(rng.normal(mean, 10, n)) for mean, n in ((0, 20), (8, size)))
    first[0] = second[3] = 50
    result = log_ratio(first, second, compare=partial(yuen_t, paired=False))
    assert (result.p_value, result.degenerate) == (1.0, True)


def test_units_in_units():
    """What compares the logarithms may be any test of means."""
    table = np.exp(np.random.default_rng(0).normal(size=(6, 5)))
    replicates, units = np.indices(table.shape).reshape(2, -1).tolist()

    def crossed(*arms, **options):
        return crossed_t(*arms, replicates=replicates, units=units, **options)

    found = log_ratio(np.ones(30), table.ravel(), compare=crossed)
    assert found.p_value == crossed(np.zeros(30), np.log(table).ravel(), alpha=0.05).p_value


@pytest.mark.parametrize(
    ("baseline", "options", "message"),
    [
        ([1.0, 0.0, 2.0], {}, r"log ratio: baseline\[1\] is 0.0; allowed are positive numbers"),
        ([1.0, 2.0, 3.0], {"shift": -1}, "shift is -1.0; allowed are changes above -1"),
    ],
)
def test_what_has_no_ratio_is_refused(baseline, options, message):
    """Zeros and less, and a fall by all there is."""
    with pytest.raises(SampleError, match=message):
        log_ratio(baseline, [1.0, 2.0, 3.0], **options)


def test_at_least_a_part_of_the_mean():
    """Fieller: the mean of fast - 0.9 slow is below 0 (t.test(fast - 0.9 * slow, alternative = "less"))."""
    expected = ttest_1samp(np.subtract(FAST, 0.9 * np.array(SLOW)), 0, alternative="less")
    result = relative_superiority(paired_t, SLOW, FAST, change=-0.1, alternative="less")
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    two = relative_superiority(paired_t, SLOW, FAST, change=-0.1)
    assert two.p_value == pytest.approx(2 * expected.pvalue, rel=1e-9)
    assert (two.null, two.estimate) == (-0.1, pytest.approx(sum(FAST) / sum(SLOW) - 1))
    doubtful = relative_superiority(paired_t, [1.0, -3.0, 2.0, 1.0], [9.0, 9.5, 9.1, 9.2], change=1.0)
    assert doubtful.p_value > 0.5  # of a mean that may be 0 there is no part


@pytest.mark.parametrize("low", [1e-308, 1e-306, 5e-324])
def test_a_change_beyond_floats_is_infinite(low):
    """And lies within its interval, also where only a part of that is beyond."""
    before = [low, 2 * low, 4 * low, 3 * low]
    result = log_ratio(before, [1.0, 2.0, 3.0, 2.5])
    assert result.estimate > 1e300
    assert result.interval[0] <= result.estimate <= result.interval[1]
    assert result.p_value < 0.05
    assert log_ratio([1.0, 2.0, 3.0, 2.5], before).estimate == -1.0
