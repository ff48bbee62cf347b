"""Laws that hold for every test of two arms, whatever the data."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import examples

from crystallize.errors import SampleError
from crystallize.stats import (
    barnard,
    boschloo,
    brunner_munzel,
    clustered_t,
    fisher_exact,
    mann_whitney,
    mcnemar,
    paired_permutation,
    paired_t,
    permutation,
    resampled_t,
    risk_difference_test,
    welch_t,
    wilcoxon,
)

ALTERNATIVES = ["two-sided", "greater", "less"]
OPPOSITE = {"two-sided": "two-sided", "greater": "less", "less": "greater"}


def clustered(baseline, treatment, **options):
    """Three or more units, the last of which has all surplus values."""
    units = [min(i, 4) for i in range(len(baseline))]
    return clustered_t(baseline, treatment, baseline_units=units, **options)


def clustered_by_value(baseline, treatment, **options):
    """Units that travel with the pairs: small values are of one unit, large ones of another."""
    order = np.lexsort((treatment, baseline))
    return clustered(np.asarray(baseline)[order], np.asarray(treatment)[order], **options)


resampled = partial(resampled_t, test_fraction=0.2)
PAIRED = [paired_t, resampled, paired_permutation, wilcoxon]
UNPAIRED = [welch_t, permutation, mann_whitney, brunner_munzel]
NUMERIC = [*PAIRED, *UNPAIRED, clustered_by_value]
BINARY = [mcnemar, boschloo, fisher_exact, barnard, risk_difference_test]
ADDITIVE = [welch_t, paired_t, paired_permutation, permutation, wilcoxon, mann_whitney, clustered_by_value]

laws = examples(60)
numbers = st.one_of(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), st.integers(-3, 3).map(float))
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=6)
binary_pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=3, max_size=20)
alternatives = st.sampled_from(ALTERNATIVES)
anything = st.one_of(
    st.tuples(st.sampled_from(NUMERIC), pairs), st.tuples(st.sampled_from(BINARY), binary_pairs)
)


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def digits(result):
    return close([result.p_value, result.statistic, result.estimate, *result.interval])


def numbers_of(result):
    return [result.p_value, result.statistic, result.estimate, *result.interval]


@laws
@given(drawn=anything, alternative=alternatives)
def test_result_is_made_of_plain_and_sane_numbers(drawn, alternative):
    """Every number is Python's, p is in (0, 1], the interval contains the estimate, and nothing warns."""
    test, sample = drawn
    baseline, treatment = arms(sample)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = test(np.array(baseline), treatment, alternative=alternative)
    assert 0 < result.p_value <= 1
    assert result.interval[0] <= result.estimate <= result.interval[1]
    floats = [*numbers_of(result), result.null, result.confidence]
    assert {type(value) for value in floats} == {float}
    assert not any(map(math.isnan, floats))
    assert type(result.degenerate) is bool
    assert type(result.n) is int or [type(size) for size in result.n] == [int, int]


@laws
@given(drawn=anything, alternative=alternatives, data=st.data())
def test_order_of_the_replicates_is_irrelevant(drawn, alternative, data):
    """Pairs in another order, or independent arms each in another order, give the same result."""
    test, sample = drawn
    first, second = arms(sample)
    if test in (*UNPAIRED, *BINARY[1:]):
        others = data.draw(st.permutations(first)), data.draw(st.permutations(second))
    else:
        others = arms(data.draw(st.permutations(sample)))
    assert numbers_of(test(*others, alternative=alternative)) == digits(
        test(first, second, alternative=alternative)
    )


@laws
@given(drawn=anything, alternative=alternatives, shift=st.sampled_from([0.0, 0.25, -1.0]))
def test_swapping_the_arms_mirrors_the_result(drawn, alternative, shift):
    """Exchanged arms mirror estimate and interval about the null, and exchange the one-sided p-values."""
    test, sample = drawn
    baseline, treatment = arms(sample)
    if test in (fisher_exact, barnard, boschloo):
        shift = 0.0
    if test in BINARY:
        shift = max(shift, -0.5)
    if test is clustered_by_value:
        test = clustered
    result = test(baseline, treatment, alternative=alternative, shift=shift)
    mirror = test(treatment, baseline, alternative=OPPOSITE[alternative], shift=-shift)
    assert mirror.p_value == close(result.p_value)
    turn = 1.0 if test is brunner_munzel else 0.0
    assert mirror.estimate == close(turn - result.estimate)
    assert mirror.interval == close((turn - result.interval[1], turn - result.interval[0]))
    if test not in (wilcoxon, mann_whitney):
        assert mirror.statistic == close(-result.statistic)


@laws
@given(drawn=anything)
def test_one_sided_p_values_cover_the_two_sided_one(drawn):
    """Two-sided p is at least the smaller one-sided p; where defined so, it is twice that, at most 1."""
    test, sample = drawn
    both, greater, less = (test(*arms(sample), alternative=side).p_value for side in ALTERNATIVES)
    assert both >= min(greater, less) * (1 - 1e-9)
    assert greater + less >= 1 - 1e-9 or test in (mcnemar, boschloo)  # which may count ties half, or less
    if test not in (fisher_exact, barnard):
        assert both == close(min(1.0, 2 * min(greater, less)))


@laws
@given(test=st.sampled_from(ADDITIVE), drawn=pairs, alternative=alternatives, shift=st.integers(-8, 8))
def test_shift_is_a_displacement_of_the_treatment(test, drawn, alternative, shift):
    """A shift gives the p-value of a treatment that is lower by it, and leaves the estimate alone."""
    baseline, treatment = arms(drawn)
    if test is clustered_by_value:
        test = clustered
    shifted = test(baseline, treatment, alternative=alternative, shift=shift)
    moved = test(baseline, np.array(treatment) - shift, alternative=alternative)
    assume(shifted.degenerate == moved.degenerate)
    assert shifted.p_value == pytest.approx(moved.p_value, rel=1e-6)
    assert numbers_of(shifted)[2:] == digits(test(baseline, treatment)).expected[2:]


def are_exact(samples):
    """Return whether all are whole numbers that are compared exactly."""
    return all(abs(value) <= 2**53 and float(value).is_integer() for sample in samples for value in sample)


@laws
@given(
    test=st.sampled_from(NUMERIC),
    drawn=pairs,
    factor=st.sampled_from([2.0**1000, 2.0**-1000, 1024.0]),
    alternative=alternatives,
)
def test_a_power_of_two_as_unit_changes_no_digit(test, drawn, factor, alternative):
    """Values of 1e301 and of 1e-301 give the p-value of values of 1, if they had as much rounding."""
    baseline, treatment = arms(drawn)
    larger = [np.array(arm) * factor for arm in (baseline, treatment)]
    assume(are_exact([baseline, treatment]) or not are_exact(larger))
    plain = test(baseline, treatment, alternative=alternative)
    scaled = test(*larger, alternative=alternative)
    assert scaled.p_value == plain.p_value
    if test is not brunner_munzel:
        assert scaled.estimate == plain.estimate * factor


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
    ([0, 0, 0, 0], [0, 0, 0, 0]),
    ([-1.7e308] * 4, [-1.7e308] * 4),
]


@pytest.mark.parametrize("test", NUMERIC)
@pytest.mark.parametrize(("baseline", "treatment"), EXTREMES)
def test_extreme_magnitudes_have_a_defined_answer(test, baseline, treatment):
    """No nan, no warning and no error at either end of the floats, even where numpy raises on all faults."""
    for shift in (0.0, 5e-324, -1e308):
        for alpha in (0.05, 1e-300, 1 - 1e-16):
            with np.errstate(all="raise"):
                result = test(baseline, treatment, shift=shift, alpha=alpha)
            assert 0 <= result.p_value <= 1
            assert result.interval[0] <= result.estimate <= result.interval[1]
            assert not math.isnan(result.statistic)


@pytest.mark.parametrize("test", [*PAIRED, *UNPAIRED])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_values_are_refused(test, bad):
    """A nan or infinity is named with its arm and place."""
    with pytest.raises(SampleError, match=r"treatment\[1\] is (nan|inf); allowed are finite numbers"):
        test([1, 2, 3], [1, bad, 3])


@pytest.mark.parametrize("test", BINARY)
def test_what_is_neither_zero_nor_one_is_refused(test):
    """A test of 0/1 data names the first value that is neither."""
    with pytest.raises(SampleError, match=r"treatment\[2\] is 0\.5; allowed are 0 and 1"):
        test([1, 0, 1], [1, 1, 0.5])


@pytest.mark.parametrize("test", [*PAIRED, *UNPAIRED, *BINARY, clustered])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alternative": "bigger"}, "alternative is 'bigger'; allowed are 'two-sided', 'greater', 'less'"),
        ({"alpha": 0}, "alpha is 0; allowed"),
        ({"alpha": math.nan}, "alpha is nan; allowed"),
        ({"shift": math.nan}, "shift is nan; allowed"),
    ],
)
def test_options_out_of_range_are_refused(test, options, message):
    """An option out of its range is named with what is allowed."""
    with pytest.raises(SampleError, match=message):
        test([0, 1, 1, 0], [1, 0, 1, 1], **options)
