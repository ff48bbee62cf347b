"""Paired, Welch and resampled t."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import paired_t, resampled_t, welch_t

SLEEP_X = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_Y = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
ALTERNATIVES = ["two-sided", "greater", "less"]
OPPOSITE = {"two-sided": "two-sided", "greater": "less", "less": "greater"}


def resampled(baseline, treatment, **options):
    return resampled_t(baseline, treatment, test_fraction=0.2, **options)


EVERY = pytest.mark.parametrize("test", [paired_t, welch_t, resampled])

laws = examples(60)
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=12)
tests = st.sampled_from([paired_t, welch_t, resampled])
alternatives = st.sampled_from(ALTERNATIVES)


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


def five_digits(value):
    return pytest.approx(value, rel=5e-6)


# Published values. R: t.test(x, y, paired = TRUE) and t.test(x, y) on `sleep`, t.test(d) on Darwin's data.


def test_paired_t_on_sleep():
    """The paired t test gives the published t, p and interval of the sleep data."""
    result = paired_t(SLEEP_Y, SLEEP_X)
    assert result.statistic == five_digits(-4.06213)
    assert result.p_value == five_digits(0.00283289)
    assert result.interval == (five_digits(-2.45989), pytest.approx(-0.70011, abs=5e-6))
    assert (result.test, result.n, result.df, result.degenerate) == ("paired t", 10, 9.0, False)


def test_welch_t_on_sleep():
    """Welch's test gives the published t, df and p of the sleep data."""
    result = welch_t(SLEEP_Y, SLEEP_X)
    assert result.statistic == five_digits(-1.86081)
    assert result.df == five_digits(17.7765)
    assert result.p_value == five_digits(0.0793941)
    assert (result.test, result.n, result.degenerate) == ("Welch t", (10, 10), False)


def test_paired_t_on_darwin():
    """The paired t test gives the published t and p of Darwin's maize."""
    result = paired_t(np.zeros(15), DARWIN)
    assert result.statistic == five_digits(2.14799)
    assert result.p_value == five_digits(0.0497029)


def test_resampled_t_widens_the_paired_t_by_the_correction():
    """The resampled t is the paired t with 1/n replaced by 1/n + test/train in the variance."""
    plain, corrected = paired_t(SLEEP_X, SLEEP_Y), resampled_t(SLEEP_X, SLEEP_Y, test_fraction=0.2)
    ratio = math.sqrt(1 + 10 * 0.25)
    assert corrected.statistic == pytest.approx(plain.statistic / ratio, rel=1e-13)
    assert corrected.p_value == pytest.approx(2 * reference.t.sf(corrected.statistic, 9), rel=1e-12)
    width = corrected.interval[1] - corrected.interval[0]
    assert width == pytest.approx((plain.interval[1] - plain.interval[0]) * ratio, rel=1e-13)
    assert corrected.estimate == plain.estimate


# Agreement with scipy.stats.


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(5))
def test_paired_t_agrees_with_scipy(seed, alternative):
    """Statistic, p and interval of the paired t test are scipy's to 1e-12."""
    rng = np.random.default_rng(seed)
    baseline = rng.normal(5, 2, 4 + 3 * seed)
    treatment = baseline + rng.normal(0.5, 1, baseline.size)
    result = paired_t(baseline, treatment, alternative=alternative, alpha=0.1)
    expected = reference.ttest_rel(treatment, baseline, alternative=alternative)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    interval = reference.ttest_rel(treatment, baseline).confidence_interval(0.9)
    assert result.interval == pytest.approx(tuple(interval), rel=1e-12, abs=1e-12)
    assert (result.df, result.confidence) == (baseline.size - 1, 0.9)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(5))
def test_welch_t_agrees_with_scipy(seed, alternative):
    """Statistic, df, p and interval of Welch's test are scipy's to 1e-12."""
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.normal(5, 2, 4 + 3 * seed), rng.normal(6, 5, 20 - 3 * seed)
    result = welch_t(baseline, treatment, alternative=alternative, alpha=0.1)
    expected = reference.ttest_ind(treatment, baseline, equal_var=False, alternative=alternative)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert result.df == pytest.approx(expected.df, rel=1e-12)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    interval = reference.ttest_ind(treatment, baseline, equal_var=False).confidence_interval(0.9)
    assert result.interval == pytest.approx(tuple(interval), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("n", [3, 5, 30])
def test_far_tails_agree_with_scipy(n, offset):
    """Tiny p-values are scipy's to 1e-12 relative, not 0."""
    baseline = np.zeros(n)
    treatment = offset + np.arange(n)
    for test in (paired_t, welch_t):
        result = test(baseline, treatment)
        expected = 2 * reference.t.sf(result.statistic, result.df)
        assert 0 < result.p_value < 1e-3
        assert result.p_value == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("t", [1e-8, 0.5, 3.0, 1e2, 1e5])
def test_tail_agrees_with_the_closed_form_of_two_degrees_of_freedom(t):
    """With n = 3 the p-value is 2 / (r (r + t)) with r = sqrt(2 + t^2), near and far."""
    result = paired_t([0, 0, 0], [t / math.sqrt(3) - 1, t / math.sqrt(3), t / math.sqrt(3) + 1])
    root = math.sqrt(2 + result.statistic**2)
    assert result.statistic == pytest.approx(t, rel=1e-7)
    assert result.p_value == pytest.approx(2 / (root * (root + result.statistic)), rel=1e-12)


@EVERY
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_shift_moves_the_null_hypothesis_and_not_the_estimate(test, alternative):
    """A shift gives the p-value of a treatment that is lower by it, with estimate and interval unmoved."""
    shifted = test(SLEEP_X, SLEEP_Y, shift=0.5, alternative=alternative)
    moved = test(SLEEP_X, np.array(SLEEP_Y) - 0.5, alternative=alternative)
    plain = test(SLEEP_X, SLEEP_Y, alternative=alternative)
    assert shifted.p_value == pytest.approx(moved.p_value, rel=1e-12)
    assert (shifted.estimate, shifted.interval) == (plain.estimate, plain.interval)


# Degenerate input.


@pytest.mark.parametrize(
    ("alternative", "expected"), [("two-sided", 2**-4), ("greater", 2**-5), ("less", 1.0)]
)
def test_equal_differences_have_the_p_value_of_equal_signs(alternative, expected):
    """Five differences of 0.1 (with float noise) give 2^-4 two-sided, 2^-5 or 1 one-sided, and [c, c]."""
    baseline = np.array([0.1, 0.2, 0.3, 0.7, 1.1])
    result = paired_t(baseline, baseline + 0.1, alternative=alternative)
    assert result.p_value == expected
    assert result.degenerate
    assert result.estimate == pytest.approx(0.1)
    assert result.interval == (result.estimate, result.estimate)
    assert result.statistic == math.inf


@pytest.mark.parametrize(
    ("alternative", "expected"), [("two-sided", 2**-4), ("greater", 1.0), ("less", 2**-5)]
)
def test_equal_negative_differences_mirror_equal_positive_ones(alternative, expected):
    """In the other direction the one-sided p-values change places."""
    result = paired_t([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], alternative=alternative)
    assert (result.p_value, result.interval, result.statistic) == (expected, (-1.0, -1.0), -math.inf)


@pytest.mark.parametrize(
    ("alternative", "expected"), [("two-sided", 2 / 35), ("greater", 1 / 35), ("less", 1.0)]
)
def test_two_constant_arms_have_the_p_value_of_complete_separation(alternative, expected):
    """Constant arms of 3 and 4 give 2/C(7, 3) two-sided, 1/C(7, 3) or 1 one-sided."""
    result = welch_t([1, 1, 1], [3, 3, 3, 3], alternative=alternative)
    assert result.p_value == pytest.approx(expected, rel=1e-15)
    assert (result.estimate, result.interval, result.degenerate) == (2.0, (2.0, 2.0), True)


def test_large_constant_arms_have_a_p_value_of_zero_without_overflow():
    """The floor of arms of 2,000 is below every float, and so 0."""
    assert welch_t(np.zeros(2000), np.ones(2000)).p_value == 0.0
    assert paired_t(np.zeros(2000), np.ones(2000)).p_value == 0.0


@EVERY
@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e308, 5e-324])
def test_no_difference_at_all_supports_nothing(test, alternative, value):
    """Arms that are equal and constant give p = 1 and the interval [0, 0]."""
    result = test([value] * 4, [value] * 4, alternative=alternative)
    assert (result.p_value, result.estimate, result.interval) == (1.0, 0.0, (0.0, 0.0))
    assert (result.statistic, result.degenerate) == (0.0, True)


@pytest.mark.parametrize("test", [paired_t, resampled])
def test_differences_of_float_noise_are_no_difference(test):
    """Equal values summed in another order give p = 1, not a t statistic of their rounding errors."""
    result = test([0.6, 0.6, 1e6, 0.3], [0.1 + 0.2 + 0.3, 0.6, 1e6 + 2e-10, 0.1 + 0.2])
    assert (result.p_value, result.interval, result.degenerate) == (1.0, (0.0, 0.0), True)


def test_a_range_above_the_tolerance_is_tested_as_usual():
    """A range of 1e-11 of the largest value is data, one of 1e-13 is noise."""
    assert not paired_t([0, 0, 0], [1, 1, 1 + 1e-11]).degenerate
    assert paired_t([0, 0, 0], [1, 1, 1 + 1e-13]).degenerate


@pytest.mark.parametrize(
    ("test", "floor"), [(paired_t, 2**-5), (welch_t, 1 / 252), (resampled, 2 ** -(1 / (1 / 5 + 0.25)))]
)
def test_non_inferiority_of_equal_arms_applies_the_floor_to_the_difference_from_the_shift(test, floor):
    """Equal arms against a shift of -0.1 give the floor in the claimed direction and 1 in the other."""
    result = test([0.5] * 5, [0.5] * 5, shift=-0.1, alternative="greater")
    assert result.p_value == pytest.approx(floor, rel=1e-15)
    assert (result.estimate, result.interval) == (0.0, (0.0, 0.0))
    assert test([0.5] * 5, [0.5] * 5, shift=-0.1, alternative="less").p_value == 1.0


@EVERY
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_a_constant_difference_that_is_the_shift_supports_nothing(test, alternative):
    """A difference of 0.3 - 0.2 against a shift of 0.1 is on the boundary, despite its rounding error."""
    result = test([0.2] * 5, [0.3] * 5, shift=0.1, alternative=alternative)
    assert (result.p_value, result.estimate) == (1.0, 0.1)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 1 / 3, 0.5])
@pytest.mark.parametrize("n", [3, 10, 30, 100])
def test_resampled_floor_covers_the_chance_of_equal_signs_among_correlated_differences(n, fraction):
    """Equal signs of normal differences with correlation f are likelier than 2^(1-n), not than the floor."""
    result = resampled_t(np.zeros(n), np.ones(n), test_fraction=fraction)
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    slope = math.sqrt(fraction / (1 - fraction))
    equal_signs = 2 * np.sum(weights * reference.norm.cdf(slope * nodes) ** n) / np.sum(weights)
    assert result.degenerate
    assert 2.0 ** (1 - n) < equal_signs < result.p_value <= 1.0


def test_resampled_floor_tends_to_the_paired_floor():
    """With a vanishing held-out part the resplits count as independent."""
    result = resampled_t(np.zeros(6), np.ones(6), test_fraction=1e-12)
    assert result.p_value == pytest.approx(2**-5)


def test_one_constant_arm_is_fine_for_welch():
    """A constant baseline leaves a one-sample t test of the treatment."""
    result = welch_t([0.1, 0.1, 0.1, 0.1], [0.3, 0.9, 0.4, 0.2, 0.8])
    expected = reference.ttest_1samp([0.3, 0.9, 0.4, 0.2, 0.8], 0.1)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert result.df == pytest.approx(4, rel=1e-12)
    assert not result.degenerate


# Extreme magnitudes.

EXTREMES = [
    ([1e308, -1e308, 1.5e308, 0], [-1.7e308, 1.7e308, 1e308, 1]),
    ([-1.7e308] * 4, [1.7e308] * 4),
    ([-1.7e308] * 4, [1.7e308, 1.6e308, 1.7e308, 1.7e308]),
    ([1e308] * 4, [1e-308, 2e-308, 3e-308, 5e-324]),
    ([5e-324, 0, 1e-323, 0], [0, 5e-324, 5e-324, 1.5e-323]),
    ([5e-324] * 4, [1e-323] * 4),
    ([0] * 4, [0, 0, 0, 5e-324]),
    ([1e-200, 2e-200, 3e-200, 5e-200], [2e-200, 2e-200, 1e-200, 7e-200]),
    ([0, 1e-300, 0, 1], [1e300, 0, 1e-300, -1]),
]


@EVERY
@pytest.mark.parametrize(("baseline", "treatment"), EXTREMES)
@pytest.mark.parametrize("shift", [0.0, 5e-324, -1e308])
@pytest.mark.parametrize("alpha", [0.05, 1e-300, 1 - 1e-16])
def test_extreme_magnitudes_have_a_defined_answer(test, baseline, treatment, shift, alpha):
    """No nan, no warning and no error at either end of the floats, even where numpy raises on all faults."""
    with np.errstate(all="raise"):
        result = test(baseline, treatment, shift=shift, alpha=alpha)
    assert 0 <= result.p_value <= 1
    assert result.interval[0] <= result.estimate <= result.interval[1]
    assert not math.isnan(result.statistic)
    assert not math.isnan(result.df)


@EVERY
@pytest.mark.parametrize("factor", [2.0**1000, 2.0**-1000])
def test_a_power_of_two_as_unit_changes_no_digit(test, factor):
    """Values of 1e301 and of 1e-301 give exactly the p-value of values of 1."""
    plain = test(SLEEP_X, SLEEP_Y)
    scaled = test(np.array(SLEEP_X) * factor, np.array(SLEEP_Y) * factor)
    assert (scaled.p_value, scaled.statistic, scaled.df) == (plain.p_value, plain.statistic, plain.df)
    assert scaled.estimate == plain.estimate * factor


# Laws.


@laws
@given(test=tests, drawn=pairs, alternative=alternatives, shift=numbers)
def test_result_is_made_of_plain_and_sane_numbers(test, drawn, alternative, shift):
    """Every number is Python's, p is in [0, 1], and the interval contains the estimate."""
    baseline, treatment = arms(drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = test(np.array(baseline), treatment, alternative=alternative, shift=np.float64(shift))
    assert 0 <= result.p_value <= 1
    assert result.interval[0] <= result.estimate <= result.interval[1]
    floats = [result.p_value, result.statistic, result.df, result.estimate, *result.interval]
    assert {type(value) for value in [*floats, result.confidence]} == {float}
    assert type(result.degenerate) is bool
    assert type(result.n) is int or [type(size) for size in result.n] == [int, int]


@laws
@given(test=tests, drawn=pairs, alternative=alternatives, data=st.data())
def test_order_of_the_pairs_is_irrelevant(test, drawn, alternative, data):
    """Replicates in another order give the identical result, to the last digit."""
    other = data.draw(st.permutations(drawn))
    assert test(*arms(drawn), alternative=alternative) == test(*arms(other), alternative=alternative)


@laws
@given(test=tests, drawn=pairs, alternative=alternatives, shift=numbers)
def test_swapping_the_arms_mirrors_the_result(test, drawn, alternative, shift):
    """Exchanged arms negate estimate, statistic and interval, and exchange the one-sided p-values."""
    baseline, treatment = arms(drawn)
    result = test(baseline, treatment, alternative=alternative, shift=shift)
    mirror = test(treatment, baseline, alternative=OPPOSITE[alternative], shift=-shift)
    assert mirror.p_value == result.p_value
    assert mirror.estimate == -result.estimate
    assert mirror.statistic == -result.statistic
    assert mirror.interval == (-result.interval[1], -result.interval[0])


@laws
@given(test=tests, drawn=pairs, factor=st.floats(1e-3, 1e3), alternative=alternatives)
def test_unit_of_the_metric_is_irrelevant(test, drawn, factor, alternative):
    """Values times a factor give the same p-value, and estimate and interval times the factor."""
    baseline, treatment = arms(drawn)
    result = test(baseline, treatment, alternative=alternative)
    scaled = test(np.array(baseline) * factor, np.array(treatment) * factor, alternative=alternative)
    assume(result.degenerate == scaled.degenerate)  # at the very edge of the tolerance, rounding decides
    spread = max(abs(value) for pair in drawn for value in pair) * factor
    assert scaled.estimate == pytest.approx(result.estimate * factor, rel=1e-9, abs=1e-12 * spread)
    assert scaled.p_value == pytest.approx(result.p_value, rel=1e-4, abs=1e-9)


@laws
@given(test=tests, drawn=pairs, shift=numbers)
def test_two_sided_p_is_twice_the_smaller_one_sided(test, drawn, shift):
    """Two-sided p is 2 min(greater, less), at most 1; without degeneracy the one-sided values add up to 1."""
    results = [test(*arms(drawn), alternative=alternative, shift=shift) for alternative in ALTERNATIVES]
    both, greater, less = (result.p_value for result in results)
    assert both == min(1.0, 2 * min(greater, less))
    if not results[0].degenerate:
        assert greater + less == pytest.approx(1.0, abs=1e-12)


@laws
@given(test=tests, drawn=pairs, alpha=st.floats(0.001, 0.5))
def test_interval_holds_the_shifts_that_the_test_does_not_reject(test, drawn, alpha):
    """At either end of the interval, taken as shift, the two-sided p-value is alpha."""
    result = test(*arms(drawn), alpha=alpha)
    assume(not result.degenerate)
    width = result.interval[1] - result.interval[0]
    assume(width > 1e-6 * max(map(abs, result.interval)))
    for end in result.interval:
        assert test(*arms(drawn), shift=end).p_value == pytest.approx(alpha, rel=1e-6)


# Refusals.


@EVERY
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_refused(test, bad):
    """A nan or infinity is named with its arm and place."""
    with pytest.raises(SampleError, match=r"treatment\[1\] is (nan|inf|-inf); allowed are finite numbers"):
        test([1, 2, 3], [1, bad, 3])


@EVERY
def test_fewer_than_three_values_are_refused(test):
    """Two values are too few for a t test, and the message says what would do."""
    with pytest.raises(SampleError, match=r"baseline has 2 value\(s\); it needs at least 3; run more"):
        test([1, 2], [2, 3])


@pytest.mark.parametrize("test", [paired_t, resampled])
def test_unequal_lengths_are_refused_for_pairs(test):
    """Pairs need equal lengths; Welch does not."""
    with pytest.raises(SampleError, match="baseline has 3 values and treatment 4; pairs need equal lengths"):
        test([1, 2, 3], [1, 2, 3, 4])
    assert welch_t([1, 2, 3], [1, 2, 3, 4]).n == (3, 4)


@EVERY
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alternative": "bigger"}, "alternative is 'bigger'; allowed are 'two-sided', 'greater', 'less'"),
        ({"alpha": 0}, "alpha is 0; allowed"),
        ({"alpha": math.nan}, "alpha is nan; allowed"),
        ({"shift": math.inf}, "shift is inf; allowed are finite numbers"),
        ({"shift": math.nan}, "shift is nan; allowed are finite numbers"),
    ],
)
def test_options_out_of_range_are_refused(test, options, message):
    """An option out of its range is named with what is allowed."""
    with pytest.raises(SampleError, match=message):
        test(SLEEP_X, SLEEP_Y, **options)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, math.nan])
def test_a_test_fraction_out_of_range_is_refused(fraction):
    """The held-out part must be a proper part."""
    with pytest.raises(SampleError, match=r"resampled t: test_fraction is .*; allowed is a number between"):
        resampled_t(SLEEP_X, SLEEP_Y, test_fraction=fraction)
