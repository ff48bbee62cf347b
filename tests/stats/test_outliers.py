"""One value that is far larger than all others decides nothing about these: rounding is that of each pair."""

import sys
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples

from crystallize.stats import (
    bootstrap_t,
    brunner_munzel,
    clustered_t,
    crossed_t,
    d_z,
    mann_whitney,
    paired_permutation,
    paired_t,
    permutation,
    resampled_t,
    welch_t,
    wilcoxon,
    win_rate,
    yuen_t,
)
from crystallize.stats.order_statistics import Differences, WalshMeans
from crystallize.stats.precision import as_paired_arms
from crystallize.stats.win_rate import win_scores

laws = examples(60)
FAR = [(np.float32, 1e6), (np.float32, 1e30), (np.float64, 1e17), (np.float64, sys.float_info.max)]
ROBUST = [wilcoxon, mann_whitney, brunner_munzel, win_rate, yuen_t, partial(yuen_t, paired=False)]
OF_PAIRS = [paired_t, partial(paired_permutation, resamples=999), partial(bootstrap_t, draws=999)]


def latencies(dtype):
    rng = np.random.default_rng(1)
    before = rng.normal(1, 0.2, 24).astype(dtype)
    return before, (before + rng.normal(0.3, 0.2, 24)).astype(dtype)


@pytest.mark.parametrize(("dtype", "far"), FAR)
@pytest.mark.parametrize("test", ROBUST)
def test_what_ignores_an_outlier_finds_what_it_finds_without(test, dtype, far):
    """The others were taken for ties: p was 1, the estimate and its interval 0."""
    before, after = latencies(dtype)
    plain = test(before, after)
    for arms in ((0,), (1,), (0, 1)):
        samples = before.copy(), after.copy()
        for arm in arms:
            samples[arm][5] = far
        found = test(*samples)
        assert found.p_value < 0.01
        assert found.estimate == pytest.approx(plain.estimate, rel=0.15)
        assert found.interval == pytest.approx(plain.interval, abs=0.2)


@pytest.mark.parametrize(("dtype", "far"), FAR[::2])
@pytest.mark.parametrize("test", [*OF_PAIRS, partial(resampled_t, test_fraction=0.05)])
def test_a_pair_of_outliers_does_not_make_the_other_differences_constant(test, dtype, far):
    """It differs by nothing: the mean is what it is with a difference of 0, and so is its p-value."""
    before, after = latencies(dtype)
    before[5] = after[5]
    plain = test(before, after)
    before[5] = after[5] = far
    found = test(before, after)
    assert (found.p_value, found.degenerate) == (pytest.approx(plain.p_value), False)
    assert found.estimate == pytest.approx(plain.estimate)
    assert d_z(before, after).estimate < 5


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e30), (np.float64, 1e11), (np.float64, 1e300)])
def test_flips_of_the_other_pairs_are_no_ties_beside_an_outlier(dtype, far):
    """All flips were: their sums were equal but for the rounding of the largest difference."""
    before, after = latencies(dtype)
    after[5] = 1e3
    plain = paired_permutation(before, after, resamples=999)
    after[5] = far
    assert plain.p_value < 0.05
    assert paired_permutation(before, after, resamples=999).p_value == plain.p_value


def test_flips_of_differences_of_a_few_units_in_the_last_place():
    """Rounding of a sum is that of the pairs in it, to either side: of 50 samples none was significant."""
    found = {paired_t: 0, paired_permutation: 0}
    for seed in range(50):
        rng = np.random.default_rng(seed)
        before = np.float32(1.5) + np.float32(2**-23) * np.round(rng.normal(0, 3, 12)).astype(np.float32)
        after = before + np.float32(2**-23) * np.round(rng.normal(8, 10, 12)).astype(np.float32)
        for test in found:
            found[test] += test(before, after).p_value <= 0.05
    assert found[paired_permutation] >= 0.6 * found[paired_t] > 10


def test_flips_that_tie_do_so_in_decimals():
    """Sums of tenths are equal where those of whole numbers are, whatever rounding does."""
    rng = np.random.default_rng(0)
    for n in (10, 14):
        before = rng.integers(0, 100, n)
        after = before + rng.integers(-1, 2, n)
        whole = paired_permutation(before, after).p_value
        for dtype in (np.float64, np.float32):
            tenths = [(values / 10).astype(dtype) for values in (before, after)]
            assert paired_permutation(*tenths).p_value == whole


pairs = st.lists(st.tuples(*[st.floats(-1e6, 1e6) for _ in range(2)]), min_size=1, max_size=8)
singles = st.lists(st.tuples(*[st.floats(-1e4, 1e4, width=32) for _ in range(2)]), min_size=1, max_size=8)


@laws
@given(pairs, st.floats(1e7, 1e300), st.floats(1e7, 1e300))
def test_an_outlier_turns_no_sign_of_other_doubles(given, first, second):
    """Nor a tie into a difference, or a difference into a tie."""
    before, after = zip(*[(b + 0.1, a + 0.2) for b, a in given], (0.1 + 0.2, 0.3), strict=True)
    alone = win_scores(before, after)
    assert alone[-1] == 0
    assert win_scores([*before, first], [*after, second])[:-1].tolist() == alone.tolist()


@laws
@given(singles, st.integers(24, 100).map(lambda power: 2.0**power))
def test_an_outlier_turns_no_sign_of_other_singles(given, far):
    """Their rounding is that of single precision."""
    third = float(np.float32(1 / 3))
    before, after = zip(*given, (third, third + 2**-25), strict=True)
    alone = win_scores(before, after)
    assert alone[-1] == 0
    assert win_scores([*before, far], [*after, 2 * far])[:-1].tolist() == alone.tolist()


@laws
@given(pairs, st.integers(-30, 30), st.randoms())
def test_the_unit_and_the_order_of_pairs_change_nothing(given, power, shuffle):
    """Values times a power of two have the same differences times it."""
    before, after = np.transpose([(b + 0.1, a + 0.2) for b, a in given])
    order = list(range(before.size))
    shuffle.shuffle(order)
    for test in (wilcoxon, mann_whitney):
        plain = test(before, after)
        found = test(before[order] * 2.0**power, after[order] * 2.0**power)
        assert (found.p_value, found.statistic) == (plain.p_value, plain.statistic)
        assert found.estimate == plain.estimate * 2.0**power
        assert found.interval == tuple(end * 2.0**power for end in plain.interval)
    arms = as_paired_arms("a test", before, after, minimum=1)
    moved = as_paired_arms("a test", before[order], after[order], minimum=1)
    assert (moved.apart, moved.reach) == (arms.apart, arms.reach)


def test_the_order_of_equal_differences_changes_nothing():
    """Of two with a rounding each, the one that stood beside a third decided whether that is a tie."""
    ulp = np.float32(2**-24)
    before = np.array([0.75, 1.5, 0.75 + 16 * ulp], np.float32)
    after = np.array([0.75 + 10 * ulp, 1.5 + 10 * ulp, 0.75], np.float32)
    found = {wilcoxon(before[order], after[order]).statistic for order in map(list, permutations(range(3)))}
    assert found == {2.0}


def test_what_rounding_makes_of_pairs_of_all_sizes_is_nothing():
    """Each is a tie by its own size: sums in another order are off by a unit in the last place or two."""
    rng = np.random.default_rng(2)
    parts = rng.random((3, 40)) * 10.0 ** rng.integers(-12, 13, 40)
    one, other = (parts[0] + parts[1]) + parts[2], parts[0] + (parts[1] + parts[2])
    assert (one != other).any()
    for test in (paired_t, wilcoxon, win_rate, paired_permutation):
        assert (test(one, other).p_value, test(one, other).degenerate) == (1.0, True)
    assert wilcoxon(one, one + 1e-3 * one).p_value < 1e-9


def test_equal_differences_of_pairs_of_all_sizes_are_equal_by_their_own_rounding():
    """A large pair hides a third in single precision to one digit, and is no difference of its own."""
    before = np.array([0.5, 3.0, 40.0, 7e5, 2.0, 9e4], np.float32)
    result = paired_t(before, before + np.float32(1 / 3))
    assert (result.p_value, result.degenerate) == (2**-5, True)
    after = before + np.float32(1 / 3)
    after[0] += np.float32(0.01)
    assert not paired_t(before, after).degenerate


@pytest.mark.parametrize("noise", [10, 30, 100])
def test_rounding_to_either_side_has_no_sign(noise):
    """Of values that are equal but for a few tens of ulp nine samples in ten were significant."""
    rng = np.random.default_rng(noise)
    units, replicates = [i % 6 for i in range(30)], [i // 6 for i in range(30)]
    tests = [
        *(paired_t, partial(resampled_t, test_fraction=0.05), yuen_t, partial(yuen_t, paired=False)),
        partial(bootstrap_t, draws=999),
        *(welch_t, partial(permutation, resamples=999), partial(bootstrap_t, paired=False, draws=999)),
        partial(clustered_t, baseline_units=units),
        partial(crossed_t, units=units, replicates=replicates),
    ]
    for _ in range(5):
        before, after = 1.5 + 2**-52 * np.round(rng.normal(0, noise, (2, 30)))
        for test in tests:
            result = test(before, after)
            assert (result.estimate, result.degenerate) == (0.0, True), test
            assert result.p_value == 1.0
        # Beside a margin it is nothing.
        guard = paired_t(before, after, shift=-0.1, alternative="greater")
        assert guard.p_value == 2.0**-30


def test_order_statistics_beside_far_larger_elements():
    """They are elements, whatever the largest is."""
    values = np.sort(np.array([0.1, 0.2, 0.35, 0.4, 0.75, 1e17]))
    means = WalshMeans(values)
    listed = sorted((values[i] + values[j]) / 2 for i in range(6) for j in range(i, 6))
    assert [means.ranked(rank) for rank in range(1, 22)] == listed
    first, second = values[:3], values[3:]
    listed = sorted(float(b - a) for a in first for b in second)
    assert [Differences(first, second).ranked(rank) for rank in range(1, 10)] == listed
