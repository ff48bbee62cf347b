"""What rounding makes of equal values, by the type that they were recorded in."""

import itertools
import math

import numpy as np
import pytest

from crystallize.stats import clustered_t, crossed_t, paired_t, resampled_t, welch_t, wilcoxon
from crystallize.stats.precision import as_paired_arms

NEAR_ONE = np.linspace(1.0, 1.5, 8)


def moved(by, n=3, dtype=np.float64):
    """Return pairs near 1 whose differences are about 2^-10, in steps of `by`."""
    first = np.full(n, 1.0, dtype)
    return first, (first + dtype(2**-10) + by * np.arange(n)).astype(dtype)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_p_does_not_jump_where_equal_values_end(n):
    """With a spread that grows by small steps through the tolerance, p moves by small steps as well."""
    ulp = 2.0**-52
    spreads = [ulp * round(2 ** (8 + step / 16)) for step in range(96)]
    p = [paired_t(*moved(spread / (n - 1), n)).p_value for spread in spreads]
    assert p[0] == 2 ** (1 - n)
    assert all(0 <= math.log2(before / after) <= (n - 1) / 8 for before, after in itertools.pairwise(p))
    # Far from rounding it is Student's.
    far = paired_t(*moved(2**-11, n))
    millions = paired_t(*[1e6 * np.asarray(arm) for arm in moved(2**-11, n)])
    assert far.p_value == pytest.approx(millions.p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("dtype", "ulp", "steps"),
    [(np.float64, 2**-52, 2**10), (np.float32, 2**-23, 2**4), (np.float16, 2**-10, 1)],
)
def test_equal_differences_are_those_of_a_few_ulp_of_the_type(dtype, ulp, steps):
    """A range of `steps` ulp is none; one of twice as many is one."""
    first = np.full(6, 1.25, dtype)
    for factor, constant in ((1, True), (2, False)):
        second = first + dtype(0.25)
        second[0] += dtype(factor * steps * ulp)
        assert paired_t(first, second).degenerate is constant
        assert welch_t(first, second).degenerate is constant


@pytest.mark.parametrize("test", [paired_t, wilcoxon])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_four_ulp_are_no_difference(test, dtype):
    """Sums in another order are off by one or two; also where doubles hold what was computed in single."""
    ulp = dtype(np.spacing(dtype(1.0)))
    first = np.array([1.0, 1.125, 1.3, 1.7, 1.9, 1.01], dtype)
    second = first + 2 * ulp
    assert test(first, second).p_value == 1.0
    assert test(first.tolist(), second.tolist()).p_value == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_a_constant_difference_in_half_precision_is_worth_its_signs(seed):
    """Also where doubles hold the values: their rounding is the only spread that the differences have."""
    noise = np.random.default_rng(seed).normal(size=12)
    first, second = noise.astype(np.float16), (noise + 0.02).astype(np.float16)
    recorded = paired_t(first.tolist(), second.tolist())
    assert recorded == paired_t(first, second)
    assert 2**-24 < recorded.p_value <= 2**-11  # by Student's t alone it is below 1e-15
    off = (noise * (1 + 2**-10)).astype(np.float16).astype(float)  # by one or two units in the last place
    assert paired_t(first.tolist(), off.tolist()).p_value == 1.0


@pytest.mark.parametrize("cases", [256, 1024, 2048, 4096, 10_000])
def test_rates_are_not_taken_for_half_precision(cases):
    """A case more or less is a difference, however many there are."""
    rng = np.random.default_rng(cases)
    for low in (0.0, 0.2, 0.5):
        first = rng.integers(round(low * cases), cases, 12) / cases
        assert paired_t(first, first + 1 / cases).p_value == 2**-11
    scores = rng.integers(1, 40, 12) / 4
    assert paired_t(scores, scores + 0.25).p_value == 2**-11
    powers = 2.0 ** np.arange(-2, 10)
    assert paired_t(powers, 2 * powers).p_value == paired_t(powers / 3, 2 * powers / 3).p_value


def test_doubles_are_not_taken_for_single_precision():
    """A difference of 1e-9 is one."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=8)
    assert paired_t(first, first + 1e-9).p_value == 2**-7


@pytest.mark.parametrize("offset", [0, 10**15, 2**60, -(2**62), 2**70])
def test_whole_numbers_are_compared_exactly(offset):
    """Whatever is common to all of them: no float holds these."""
    first = [offset + i for i in (3, 1, 4, 1, 5, 9)]
    second = [offset + i for i in (6, 2, 9, 5, 9, 14)]
    small = [i - offset for i in first], [i - offset for i in second]
    for test in (paired_t, welch_t, wilcoxon):
        for shift in (0, 2):
            exact, given = test(*small, shift=shift), test(first, second, shift=shift)
            assert given.estimate == exact.estimate
            assert given.p_value == pytest.approx(exact.p_value, rel=1e-12)
            assert given.interval == pytest.approx(exact.interval, rel=1e-12)
    equal = [value + 3 for value in first]
    assert paired_t(first, equal).interval == (3.0, 3.0)
    assert resampled_t(first, equal, test_fraction=0.2).estimate == 3.0
    units = list("abcabc")
    clustered = clustered_t(first, equal, baseline_units=units)
    assert (clustered.estimate, clustered.degenerate) == (pytest.approx(3.0), True)
    assert crossed_t(first, equal, units=units, replicates=[0, 0, 0, 1, 1, 1]).estimate == 3.0


def test_whole_numbers_that_differ_a_little_do_differ():
    """One in a million million is no rounding where there is none."""
    first = [4 * 10**12 + i for i in range(6)]
    result = paired_t(first, [value + 3 for value in first])
    assert (result.estimate, result.p_value, result.degenerate) == (3.0, 2**-5, True)


def test_what_was_made_of_a_sample_is_that_of_its_values():
    """A list that is changed in place is another sample; whole numbers are none of the doubles like them."""
    first, second = [0.1, 0.2, 0.4, 0.3], [0.2, 0.4, 0.3, 0.7]
    before = paired_t(first, second)
    assert paired_t(list(first), np.array(second)) == before
    second[2] = 2.0
    assert paired_t(first, second) != before
    whole = [2**60, 2**60 + 1, 2**60 + 2], [2**60 + 1, 2**60 + 2, 2**60 + 3]
    rounded = tuple([float(value) for value in arm] for arm in whole)
    assert (paired_t(*rounded).estimate, paired_t(*whole).estimate) == (0.0, 1.0)


def test_nothing_changes_arms_that_are_remembered():
    """Two tests of one sample have the same arrays."""
    arms = as_paired_arms("a test", [0.1, 0.2], [0.3, 0.5], minimum=2)
    assert as_paired_arms("another", (0.1, 0.2), [0.3, 0.5], minimum=2) is arms
    for values in (arms.baseline, arms.treatment, arms.differences):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0
