"""Win rates, ratios of totals, quantiles, and means that a covariate adjusts."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy.stats import binomtest, hypergeom, linregress, ttest_1samp

from crystallize.errors import SampleError
from crystallize.stats import (
    adjusted_t,
    mcnemar_p_value,
    one_sample_quantile_test,
    paired_t,
    quantile_test,
    ratio_of_totals,
    resampled_t,
    variance_saved,
    welch_t,
    win_rate,
)

BEFORE, AFTER = [3, 2, 4, 3, 3, 2, 1, 4, 2], [4, 4, 5, 3, 5, 3, 2, 4, 1]
COST, SUCCESS = [5.0, 7.0, 4.0, 6.0, 8.0, 5.5], [2, 3, 1, 2, 4, 2]
CHEAPER, MORE = [4.0, 6.0, 4.0, 5.0, 6.5, 4.5], [2, 3, 2, 3, 4, 2]


def test_wins_are_scores():
    """Six, with two ties and a loss: scipy.stats.ttest_1samp([1, 1, 1, .5, 1, 1, 1, .5, 0], .5)."""
    scores = [1, 1, 1, 0.5, 1, 1, 1, 0.5, 0]
    expected = ttest_1samp(scores, 0.5)
    result = win_rate(BEFORE, AFTER)
    assert (result.p_value, result.statistic) == pytest.approx((0.0509332, 2.2941573), abs=5e-8)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (result.estimate, result.null, result.origin) == (pytest.approx(7 / 9), 0.5, 0.5)
    low, high = expected.confidence_interval()
    assert result.interval == pytest.approx((low, min(high, 1.0)), rel=1e-9)
    moved = win_rate(BEFORE, AFTER, shift=0.1, alternative="greater")
    assert moved.p_value == pytest.approx(ttest_1samp(scores, 0.6, alternative="greater").pvalue, rel=1e-9)
    assert win_rate(AFTER, BEFORE).estimate == pytest.approx(2 / 9)
    all_won = win_rate([0.1 + 0.2] * 5, [0.3] * 5)
    assert all_won.estimate == 0.5  # what rounding makes is no win


def test_a_ratio_of_totals_by_hand():
    """The residuals of R, pooled over both conditions, are compared as pairs."""
    result = ratio_of_totals(COST, CHEAPER, denominators=(SUCCESS, MORE))
    pooled = (sum(COST) + sum(CHEAPER)) / (sum(SUCCESS) + sum(MORE))
    residuals = [np.subtract(y, pooled * np.array(x)) for y, x in ((COST, SUCCESS), (CHEAPER, MORE))]
    expected = ttest_1samp(residuals[1] - residuals[0], 0)
    assert (result.p_value, result.statistic) == pytest.approx(
        (expected.pvalue, expected.statistic), rel=1e-9
    )
    assert result.estimate == pytest.approx(30.0 / 16 - 35.5 / 14)
    for options in ({}, {"relative": True}):
        found = ratio_of_totals(COST, CHEAPER, denominators=(SUCCESS, MORE), **options)
        for end in found.interval:
            at = ratio_of_totals(COST, CHEAPER, denominators=(SUCCESS, MORE), shift=end, **options)
            assert at.p_value == pytest.approx(0.05, abs=1e-9)
    assert found.estimate == pytest.approx(30.0 / 16 / (35.5 / 14) - 1)
    apart = ratio_of_totals(COST, CHEAPER, denominators=(SUCCESS, MORE), compare=welch_t)
    assert apart.n == (6, 6)


def test_equal_denominators_are_means():
    """Then the ratio of totals is a multiple of the mean, and its test the paired t."""
    one = [2.0] * 6
    result = ratio_of_totals(COST, CHEAPER, denominators=(one, one))
    assert result.p_value == pytest.approx(paired_t(COST, CHEAPER).p_value, rel=1e-9)
    assert result.interval == pytest.approx([end / 2 for end in paired_t(COST, CHEAPER).interval], rel=1e-6)


@pytest.mark.parametrize(
    ("denominators", "options", "message"),
    [
        (([1, 1, 1, 1, 1, -1], MORE), {}, "the denominator of baseline is negative somewhere"),
        ((SUCCESS, [0] * 6), {}, "the denominator of treatment is 0 throughout"),
        ((SUCCESS, MORE[:5]), {}, "baseline has 6 values and treatment 5"),
        ((SUCCESS, MORE), {"relative": True, "shift": -1.0}, "allowed are changes above -1"),
    ],
)
def test_ratios_that_are_none_are_refused(denominators, options, message):
    """With what is allowed."""
    with pytest.raises(SampleError, match=message):
        ratio_of_totals(COST, CHEAPER, denominators=denominators, **options)


@pytest.mark.parametrize("compare", [paired_t, welch_t], ids=["paired", "Welch"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("price", [0.3, 1 / 3, 3e-4 / 7, 1e3 / 7])
def test_rounding_of_what_is_proportional_is_no_difference_of_ratios(compare, dtype, price):
    """As cost per token is, where each token has the same price."""
    for seed in range(40):
        x, w = np.random.default_rng(seed).integers(1000, 5000, (2, 20))
        cost, again, more = (
            np.asarray(price * tokens * factor, dtype).tolist()
            for tokens, factor in ((x, 1), (w, 1), (w, 1.25))
        )
        same = ratio_of_totals(cost, again, denominators=(x, w), compare=compare)
        assert (same.p_value, same.estimate, same.degenerate) == (1.0, 0.0, True)
        relative = {"relative": True, "shift": 0.25}
        at_shift = ratio_of_totals(cost, more, denominators=(x, w), compare=compare, **relative)
        assert (at_shift.p_value, at_shift.estimate, at_shift.degenerate) == (1.0, 0.25, True)
        dearer = ratio_of_totals(cost, more, denominators=(x, w), compare=compare, relative=True)
        assert dearer.estimate == pytest.approx(0.25, rel=1e-6)
        assert dearer.p_value < 1e-5


@pytest.mark.parametrize(("compare", "floor"), [(paired_t, 2**-19), (welch_t, 2 / math.comb(40, 20))])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ratios_that_rounding_alone_keeps_apart_are_equal_ones(compare, floor, dtype):
    """They have no variance: p was up to 200 powers of ten below what so many equal differences are worth."""
    ulps = np.random.default_rng(3).integers(-2, 3, (2, 20))
    prices = dtype(0.3), dtype(0.4)
    costs = [(prices[i] + np.spacing(prices[i]) * ulps[i]).astype(dtype) for i in range(2)]
    units = np.ones(20)
    for arms in (costs, [cost.tolist() for cost in costs]):
        found = ratio_of_totals(*arms, denominators=(units, units), compare=compare)
        assert (found.p_value, found.degenerate) == (pytest.approx(floor), True)
        assert found.estimate == pytest.approx(0.1, rel=1e-6)
        assert found.interval == pytest.approx((0.1, 0.1), rel=1e-6)


@pytest.mark.parametrize(
    ("cost", "unit"), [(1021, 0), (1000, -20), (-900, 0), (0, 1021), (-1000, -1000), (0, -400)]
)
def test_the_units_of_what_a_ratio_is_of_change_nothing(cost, unit):
    """Sums beyond floats ended in an error, and intervals of small ratios were [0, 0.06]."""
    for options in ({}, {"relative": True}):
        plain = ratio_of_totals(COST, CHEAPER, denominators=(SUCCESS, MORE), **options)
        moved = ratio_of_totals(
            *(np.ldexp(values, cost - 3) for values in (COST, CHEAPER)),
            denominators=tuple(np.ldexp(np.array(values, float), unit - 3) for values in (SUCCESS, MORE)),
            **options,
        )
        factor = 1.0 if options else 2.0 ** (cost - unit)
        assert moved.p_value == plain.p_value
        assert moved.estimate == plain.estimate * factor
        assert moved.interval == pytest.approx(tuple(end * factor for end in plain.interval), rel=1e-9, abs=0)


@pytest.mark.parametrize("compare", [paired_t, welch_t])
def test_the_interval_of_a_relative_change_holds_what_is_not_rejected(compare):
    """Of a ratio below 0 it ended at 100 %, where the treatment's is 0."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first, second = rng.normal(rng.choice((-2, -0.5, 2)), 1, 12), rng.normal(rng.choice((-2, 2)), 1, 12)
        options = {"denominators": rng.integers(1, 5, (2, 12)), "compare": compare, "relative": True}
        low, high = ratio_of_totals(first, second, **options).interval
        step = 1e-3 * min(high - low, 1.0)
        for end, inwards in ((low, step), (high, -step)):
            if math.isfinite(end) and end - inwards > -1:
                assert ratio_of_totals(first, second, shift=end - inwards, **options).p_value < 0.05
            if math.isfinite(end) and end + inwards > -1:
                assert ratio_of_totals(first, second, shift=end + inwards, **options).p_value > 0.05


def test_numerators_of_both_signs_near_the_largest_float_are_judged():
    """Their differences, and their sums, are beyond floats."""
    signs = np.array([1, -1, 1, 1, -1, 1, -1, 1])
    denominators = (np.ones(8), np.ones(8))
    small = ratio_of_totals(signs * 0.85, signs[::-1] * 0.8, denominators=denominators)
    far = [np.ldexp(values, 1024) for values in (signs * 0.85, signs[::-1] * 0.8)]
    large = ratio_of_totals(*far, denominators=denominators)
    assert large.p_value == small.p_value
    assert large.estimate == pytest.approx(math.ldexp(small.estimate, 1024))


def test_equal_differences_beside_equal_denominators_are_worth_their_signs():
    """Whatever the arms vary by, pairs have one difference; without pairs their variance counts."""
    cost = np.random.default_rng(4).random(12).astype(np.float32)
    more = cost + np.float32(1 / 16)
    of = {"denominators": (np.ones(12), np.ones(12))}
    assert ratio_of_totals(cost, more, **of).p_value == 2**-11
    plain = welch_t(cost, more)
    assert ratio_of_totals(cost, more, compare=welch_t, **of).p_value == pytest.approx(
        plain.p_value, rel=1e-4
    )


def test_a_covariate_is_a_regression():
    """The intercept of R's lm(d ~ z), here by scipy.stats.linregress."""
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(2, 12))
    before, after = 3 + x + rng.normal(0, 0.3, 12), 3.5 + w + rng.normal(0, 0.3, 12)
    line = linregress(w - x, after - before)
    result = adjusted_t(before, after, covariates=(x, w))
    assert result.estimate == pytest.approx(line.intercept, rel=1e-9)
    assert result.statistic == pytest.approx(line.intercept / line.intercept_stderr, rel=1e-9)
    assert (result.df, result.test) == (10, "adjusted paired t")
    assert (result.statistic, result.p_value) == pytest.approx((3.5381067, 0.0053737), abs=5e-8)
    plain = np.ptp(paired_t(before, after).interval)
    assert 0.5 < variance_saved(before, after, covariates=(x, w)) < 1
    assert np.ptp(result.interval) < plain
    apart = adjusted_t(before, after, covariates=(x, w), compare=welch_t)
    assert apart.test == "adjusted Welch t"
    assert np.ptp(apart.interval) < np.ptp(welch_t(before, after).interval)


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-300, 2.0**300, 2.0**1018])
@pytest.mark.parametrize("compare", [paired_t, welch_t, partial(resampled_t, test_fraction=0.1)])
def test_a_covariate_adjusts_values_of_any_size(unit, compare):
    """Where floats do not hold squares it was nan, or adjusted nothing, also by the covariate's own unit."""
    x, w = np.random.default_rng(5).normal(size=(2, 12))
    before, after = 3 + x**2 + x, 3.5 + w + w**2
    plain = adjusted_t(before, after, covariates=(x, w), compare=compare, shift=0.25)
    for own in (1.0, unit, 1 / unit):
        covariates = x * own, w * own
        found = adjusted_t(
            before * unit, after * unit, covariates=covariates, compare=compare, shift=0.25 * unit
        )
        assert found.p_value == pytest.approx(plain.p_value)
        assert found.estimate == pytest.approx(plain.estimate * unit)
        assert found.interval == pytest.approx(tuple(end * unit for end in plain.interval))
        saved = variance_saved(before * unit, after * unit, covariates=covariates, compare=compare)
        assert saved == pytest.approx(variance_saved(before, after, covariates=(x, w), compare=compare))


def test_a_covariate_that_does_not_differ_saves_nothing():
    """The test is then the plain one."""
    x = [1.0, 2.0, 3.0, 4.0]
    result = adjusted_t([1.0, 2.0, 3.0, 5.0], [2.0, 2.5, 4.5, 5.5], covariates=(x, x))
    assert result.p_value == paired_t([1.0, 2.0, 3.0, 5.0], [2.0, 2.5, 4.5, 5.5]).p_value
    assert variance_saved([1.0, 2.0, 3.0, 5.0], [2.0, 2.5, 4.5, 5.5], covariates=(x, x)) == 0


@pytest.mark.parametrize(
    ("compare", "floor"),
    [(paired_t, 2**-10), (welch_t, 2 / math.comb(24, 12)), (partial(resampled_t, test_fraction=0.01), None)],
    ids=["paired", "Welch", "resampled"],
)
@pytest.mark.parametrize(
    "line", [(0.3, 0.7), (1 / 3, 0.0), (2.0, 0.0), (1 / 7, 1e6), (1e-9, 1.0), (-1e9, 1 / 3)]
)
def test_where_a_covariate_explains_all_rounding_is_no_effect(compare, floor, line):
    """What rounding leaves of values on a line is noise, and n equal differences are worth no more than n."""
    slope, level = line
    for seed in range(40):
        x, w = np.random.default_rng(seed).normal(size=(2, 12))
        if paired_t(x, w).p_value < 0.05 or welch_t(x, w).p_value < 0.05:
            continue  # the covariate counts as changed
        before, after = slope * x + level, slope * w + level
        null = adjusted_t(before, after, covariates=(x, w), compare=compare)
        assert (null.p_value, null.estimate, null.degenerate) == (1.0, 0.0, True)
        change = 0.1 * max(1.0, abs(slope), abs(level))
        moved = adjusted_t(before, after + change, covariates=(x, w), compare=compare)
        assert moved.estimate == pytest.approx(change)
        assert moved.degenerate
        assert moved.p_value == pytest.approx(floor) if floor else moved.p_value > 2**-11


def test_p_does_not_jump_where_a_covariate_begins_to_explain_all():
    """Noise that is hardly more than rounding gives hardly more than equal differences do."""
    x, w, noise = np.random.default_rng(1).normal(size=(3, 6))
    p = [
        adjusted_t(x / 3, w / 3 + 0.1 + 2.0**-k * noise, covariates=(x, w)).p_value for k in range(60, 10, -1)
    ]
    assert p[0] == 2**-4
    assert all(after <= 4**4 * before and before <= 2**6 * after for before, after in itertools.pairwise(p))


def test_what_the_treatment_changes_is_no_covariate():
    """It would hide a part of the effect."""
    x = np.arange(12.0)
    with pytest.raises(SampleError, match="the treatment changes the covariate"):
        adjusted_t(x, x + 1, covariates=(x, x + 2 + 0.1 * (x % 3)))


def test_exceeding_a_common_quantile():
    """Of pairs by McNemar's mid-p, of independent arms by the hypergeometric law."""
    rng = np.random.default_rng(7)
    first, second = rng.exponential(size=(2, 120))
    second = 0.6 * second
    limit = np.sort(np.concatenate((first, second)))[math.ceil(0.9 * 240) - 1]
    before, after = first > limit, second > limit
    expected = mcnemar_p_value(int((after & ~before).sum()), int((before & ~after).sum()))
    result = quantile_test(first, second, q=0.9)
    assert (result.p_value, result.test) == (expected, "90 % quantile")
    apart = quantile_test(first, second, q=0.9, paired=False, alternative="less")
    law = hypergeom(240, before.sum() + after.sum(), 120)
    assert apart.p_value == pytest.approx(law.cdf(after.sum()), rel=1e-9)
    for end, beyond in zip(result.interval, (-1e-6, 1e-6), strict=True):
        assert quantile_test(first, second, q=0.9, shift=end).p_value > 0.05
        assert quantile_test(first, second, q=0.9, shift=end + beyond).p_value <= 0.05


@pytest.mark.parametrize(("n", "q"), [(11, 0.5), (17, 0.5), (22, 0.75), (53, 0.9)])
@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_quantiles_of_independent_arms_are_found_to_differ_as_often_as_alpha_at_most(n, q, alternative):
    """However values are distributed, as many of the larger ones are of either arm; it was up to .086."""
    beyond = 2 * n - math.ceil(q * 2 * n)
    small, large = np.arange(2.0 * n - beyond), 1000 + np.arange(float(beyond))
    size = 0.0
    for k in range(beyond + 1):
        first = [*small[: n - beyond + k], *large[k:]]
        second = [*small[n - beyond + k :], *large[:k]]
        found = quantile_test(first, second, q=q, paired=False, alternative=alternative)
        size += hypergeom(2 * n, n, beyond).pmf(k) * (found.p_value <= 0.05)
    assert 0.005 < size <= 0.05


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("alternative", ["less", "greater"])
def test_ties_at_a_common_quantile_speak_for_neither_side(paired, alternative):
    """A median that rises from 0 to 1 is not within .2, though fewer of the treatment exceed .8."""
    first, second = [0] * 10 + [1] * 5, [1] * 15
    if alternative == "greater":
        first, second = second, first
    shift = 0.2 if alternative == "less" else -0.2
    options = {"q": 0.5, "paired": paired, "alternative": alternative, "shift": shift}
    result = quantile_test(first, second, **options)
    assert result.p_value > 0.99
    assert result.interval[0] <= result.estimate <= result.interval[1]


def test_one_quantile_against_a_number():
    """How many exceed it is binomial; of 100, the limits of the 95 % quantile are the 90th and the 100th."""
    values = np.random.default_rng(3).permutation(np.arange(1.0, 101.0))
    result = one_sample_quantile_test(values, q=0.95, number=90.5, alternative="greater")
    assert result.p_value == pytest.approx(binomtest(10, 100, 0.05, alternative="greater").pvalue, rel=1e-9)
    assert [90.5 + end for end in result.interval] == [90.0, 100.0]
    low, high = (90.5 + end for end in one_sample_quantile_test(range(1, 101), q=0.5, number=90.5).interval)
    assert (low, high) == (40.0, 61.0)


@pytest.mark.parametrize("call", [quantile_test, one_sample_quantile_test])
def test_too_few_beyond_a_quantile(call):
    """Ninety-nine do not tell the 95 % quantile, whatever they are."""
    arms = ([1.0] * 99, [2.0] * 99) if call is quantile_test else ([1.0] * 99,)
    more = {} if call is quantile_test else {"number": 0.0}
    with pytest.raises(SampleError, match="it needs at least 100"):
        call(*arms, q=0.95, **more)
    with pytest.raises(SampleError, match="q is 1; allowed is a number between 0 and 1"):
        call(*arms, q=1, **more)


ARM = st.lists(st.floats(-100, 100), min_size=10, max_size=10)


@examples(50)
@given(ARM, ARM)
def test_swapping_the_arms_swaps_the_sides(first, second):
    """Of wins and quantiles; the interval holds the estimate."""
    for test in (win_rate, lambda *arms, **options: quantile_test(*arms, q=0.5, **options)):
        there, back = test(first, second, alternative="greater"), test(second, first, alternative="less")
        assert 0 <= there.p_value <= 1
        assert there.interval[0] <= there.estimate <= there.interval[1]
        if test is win_rate:
            assert there.p_value == pytest.approx(back.p_value, abs=1e-12)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_no_quantile_is_compared_with_what_is_no_number(number):
    """Nothing exceeds nan."""
    with pytest.raises(SampleError, match=r"number is (nan|inf); allowed are finite numbers"):
        one_sample_quantile_test([1.0] * 20, q=0.5, number=number)


@pytest.mark.parametrize("paired", [True, False])
def test_what_a_quantile_test_does_not_reject_is_in_its_interval(paired):
    """With ties the estimate may be rejected: the interval was a point there, whatever else was not."""
    points = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, second = rng.integers(0, 2 + seed % 3, (2, 10 + seed % 20)) / 10
        for shift in (-0.1, 0.0, 0.05, 0.1):
            result = quantile_test(first, second, q=0.5, paired=paired, shift=shift)
            low, high = result.interval
            assert low <= result.estimate <= high
            assert result.p_value <= 0.05 or low <= shift <= high
            points += low == high
            one = one_sample_quantile_test(first, q=0.5, number=0.2, shift=shift)
            assert one.p_value <= 0.05 or one.interval[0] <= shift <= one.interval[1]
    assert points == 0
    first, second = [1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1], [1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1]
    result = quantile_test(first, second, q=0.5, paired=False)
    assert (result.p_value, result.estimate, result.interval) == (1.0, -1.0, (-1.0, pytest.approx(1.0)))


@pytest.mark.parametrize("paired", [True, False])
def test_a_shift_of_singles_is_rounded_as_the_double_that_it_is(paired):
    """Beside the shift by a hang all other latencies were equal: the interval ended there."""
    rng = np.random.default_rng(1)
    before, after = np.exp(rng.normal(-5, 0.4, (2, 10)))
    after[3] = 7e4
    ends = [
        quantile_test(before.astype(dtype), after.astype(dtype), q=0.5, paired=paired).interval
        for dtype in (np.float64, np.float32)
    ]
    assert ends[1] == pytest.approx(ends[0], rel=1e-4)
    assert ends[0][1] < 0.02


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_outlier_does_not_decide_what_is_equal_to_a_quantile(dtype):
    """One hang of a service among latencies of a millisecond leaves their median what it is."""
    rng = np.random.default_rng(1)
    before = rng.normal(1e-3, 1e-4, 40).astype(dtype)
    after = (before * 0.5 + rng.normal(0, 2e-5, 40)).astype(dtype)
    for number in (3600.0, 1e15):
        hanging = before.copy()
        hanging[0] = number
        for paired in (True, False):
            plain, found = (quantile_test(b, after, q=0.5, paired=paired) for b in (before, hanging))
            assert found.p_value == pytest.approx(plain.p_value, rel=1e-6)
            assert found.estimate == pytest.approx(plain.estimate, rel=0.1)
            assert found.interval[1] < -3e-4
        plain, found = (one_sample_quantile_test(b, q=0.5, number=2e-3) for b in (before, hanging))
        assert found.p_value < 1e-9
        assert found.interval[1] == pytest.approx(plain.interval[1], rel=0.1)
