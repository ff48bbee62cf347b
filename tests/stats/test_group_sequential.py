"""Spending functions, boundaries, futility."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import (
    conditional_power,
    exit_probabilities,
    group_sequential_boundaries,
    look_sizes,
    nominal_p_values,
    obrien_fleming_spending,
    paired_t,
    planned_drift,
    pocock_spending,
)

SPENDING = {"obrien-fleming": obrien_fleming_spending, "pocock": pocock_spending}

laws = examples(25)
names = st.sampled_from(list(SPENDING))
alphas = st.floats(0.001, 0.4)


@st.composite
def fraction_lists(draw):
    sizes = draw(st.lists(st.integers(3, 100), min_size=1, max_size=6, unique=True))
    return [size / max(sizes) for size in sorted(sizes)]


def equal(looks):
    return [(k + 1) / looks for k in range(looks)]


# Published values. R: ldbounds, rpact.


def test_published_obrien_fleming_boundaries():
    """K = 3, alpha .05: 3.7103, 2.5114, 1.9930."""
    boundaries = group_sequential_boundaries(equal(3), alpha=0.05)
    assert boundaries == pytest.approx([3.7103, 2.5114, 1.9930], abs=5e-5)


def test_published_pocock_boundaries():
    """K = 5, alpha .05: 2.4380, 2.4268, 2.4102, 2.3966, 2.3860."""
    boundaries = group_sequential_boundaries(equal(5), alpha=0.05, spending="pocock")
    assert boundaries == pytest.approx([2.4380, 2.4268, 2.4102, 2.3966, 2.3860], abs=6e-5)


# Against the multivariate normal distribution.


@pytest.mark.parametrize("spending", SPENDING)
def test_exit_probabilities_are_those_of_the_multivariate_normal(spending):
    """P(no exit up to look k) by recursion equals scipy's multivariate normal integral."""
    times = np.array([0.3, 0.55, 1.0])
    boundaries = group_sequential_boundaries(times, spending=spending)
    covariance = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    for drift in (0.0, 2.0):
        exits = exit_probabilities(times, boundaries, drift=drift)
        for k in (1, 2, 3):
            limit = np.array(boundaries[:k])
            inside = reference.multivariate_normal.cdf(
                limit,
                drift * np.sqrt(times[:k]),
                covariance[:k, :k],
                abseps=1e-7,
                releps=1e-7,
                maxpts=200_000,
                lower_limit=-limit,
            )
            assert 1 - sum(map(sum, exits[:k])) == pytest.approx(inside, abs=1e-5)


# Spending.


@pytest.mark.parametrize("spending", SPENDING.values())
def test_spending_begins_at_nothing_and_ends_at_alpha(spending):
    """All of alpha is spent at the end and nothing at the beginning."""
    for alpha in (1e-10, 0.05, 0.9):
        assert spending(0.0, alpha) == 0.0
        assert spending(1.0, alpha) == pytest.approx(alpha, rel=1e-12)
        assert spending(1e-300, alpha) < 1e-200


@laws
@given(
    spending=st.sampled_from(list(SPENDING.values())),
    alpha=alphas,
    times=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_spending_never_falls(spending, alpha, times):
    """More information, more alpha."""
    early, late = sorted(times)
    assert 0 <= spending(early, alpha) <= spending(late, alpha) <= alpha


@laws
@given(fractions=fraction_lists(), alpha=alphas, name=names)
def test_exits_under_the_null_hypothesis_are_the_spending(fractions, alpha, name):
    """At each look as much is spent as the function says, symmetrically, and in all alpha."""
    boundaries = group_sequential_boundaries(fractions, alpha=alpha, spending=name)
    exits = exit_probabilities(fractions, boundaries)
    spent = 0.0
    for fraction, (below, above) in zip(fractions, exits, strict=True):
        spent += below + above
        assert below == pytest.approx(above, rel=1e-6, abs=1e-15)
        assert spent == pytest.approx(SPENDING[name](fraction, alpha), rel=1e-9, abs=1e-15)
    assert spent == pytest.approx(alpha, rel=1e-9)


@laws
@given(looks=st.integers(2, 8), alpha=st.floats(0.001, 0.1), name=names)
def test_boundaries_of_equal_steps(looks, alpha, name):
    """O'Brien and Fleming's fall, Pocock's are about level; none is easier than the fixed test."""
    boundaries = group_sequential_boundaries(equal(looks), alpha=alpha, spending=name)
    if name == "pocock":
        assert max(boundaries) <= 1.1 * min(boundaries)
    else:
        assert boundaries == sorted(boundaries, reverse=True)
        assert boundaries[0] > boundaries[-1]
    assert min(boundaries) >= reference.norm.isf(alpha / 2)
    assert max(nominal_p_values(boundaries)) <= alpha


def test_one_look_is_the_fixed_test():
    """With one look the boundary is the normal quantile and the nominal p alpha."""
    for name in SPENDING:
        boundaries = group_sequential_boundaries([1.0], alpha=0.05, spending=name)
        assert boundaries == pytest.approx([reference.norm.isf(0.025)], rel=1e-12)
        assert nominal_p_values(boundaries) == pytest.approx([0.05], rel=1e-12)


def test_a_very_early_look_rejects_nothing():
    """At a thousandth of the information O'Brien and Fleming's function spends less than any float."""
    boundaries = group_sequential_boundaries([1e-3, 0.5, 1.0])
    assert boundaries[0] == math.inf
    assert boundaries[1:] == pytest.approx(group_sequential_boundaries([0.5, 1.0]), rel=1e-9)
    assert nominal_p_values(boundaries)[0] == 0.0
    assert exit_probabilities([1e-3, 0.5, 1.0], boundaries)[0] == (0.0, 0.0)


def test_power_falls_little_with_the_looks():
    """A drift of 2.8 has power .80 in one look, and some .78 in five of O'Brien and Fleming's type."""
    powers = [
        sum(
            above
            for _, above in exit_probabilities(equal(k), group_sequential_boundaries(equal(k)), drift=2.8)
        )
        for k in (1, 5)
    ]
    assert powers[0] == pytest.approx(0.79956, abs=1e-4)
    assert 0.77 < powers[1] < powers[0]


def test_many_looks_are_exact_too():
    """Fifty looks spend alpha to ten digits."""
    boundaries = group_sequential_boundaries(equal(50))
    assert sum(map(sum, exit_probabilities(equal(50), boundaries))) == pytest.approx(0.05, rel=1e-10)


@pytest.mark.slow
def test_size_of_the_paired_t_at_five_looks():
    """By nominal p-values the paired t keeps .055 at n_max = 30 with K = 5 (20,000 samples)."""
    sizes = look_sizes(30, 5)
    nominal = nominal_p_values(group_sequential_boundaries([n / 30 for n in sizes]))
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(20_000):
        differences = rng.normal(size=30)
        rejected += any(
            paired_t(np.zeros(n), differences[:n]).p_value <= level
            for n, level in zip(sizes, nominal, strict=True)
        )
    assert rejected / 20_000 <= 0.055


# Looks.


def test_looks_are_prefixes_in_equal_steps():
    """Steps are rounded up, and the last look is at n_max."""
    assert look_sizes(30, 5) == [6, 12, 18, 24, 30]
    assert look_sizes(10, 3) == [4, 7, 10]
    assert look_sizes(3, 3) == [1, 2, 3]


@laws
@given(n=st.integers(1, 500), data=st.data())
def test_looks_ascend_to_the_last(n, data):
    """However many looks, they ascend and end at n_max."""
    looks = data.draw(st.integers(1, n))
    sizes = look_sizes(n, looks)
    assert len(sizes) == looks
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == n


# Conditional power.


def test_conditional_power_is_that_of_the_remaining_increment():
    """Z = 1 at half the information leaves a normal increment with mean drift/2 and variance 1/2."""
    for drift in (0.0, 2.8, math.sqrt(2)):
        mean, sd = 1 / math.sqrt(2) + drift / 2, math.sqrt(0.5)
        above, below = reference.norm.sf(1.96, mean, sd), reference.norm.cdf(-1.96, mean, sd)
        assert conditional_power(1.0, 0.5, 1.96, drift=drift) == pytest.approx(above + below, rel=1e-12)
        one_sided = conditional_power(1.0, 0.5, 1.96, drift=drift, alternative="greater")
        assert one_sided == pytest.approx(above, rel=1e-12)


def test_the_drift_is_by_default_the_planned_one():
    """At alpha .05 and power .8 it is 1.960 + .842, in the direction of z or of the claim."""
    assert planned_drift() == pytest.approx(2.801585, rel=1e-6)
    assert conditional_power(0.5, 0.5, 2.0) == conditional_power(0.5, 0.5, 2.0, drift=planned_drift())
    assert conditional_power(-0.5, 0.5, 2.0) == conditional_power(0.5, 0.5, 2.0)
    assert conditional_power(-0.5, 0.5, 2.0, alternative="greater") < conditional_power(-0.5, 0.5, 2.0)


@laws
@given(z=st.floats(-6, 6), more=st.floats(0, 3), fraction=st.floats(0.05, 1.0), drift=st.floats(-1, 5))
def test_conditional_power_rises_with_z_and_mirrors(z, more, fraction, drift):
    """One-sided it rises with Z, and the other side is the mirror image."""
    greater = conditional_power(z, fraction, 2.0, drift=drift, alternative="greater")
    assert conditional_power(z + more, fraction, 2.0, drift=drift, alternative="greater") >= greater
    assert conditional_power(-z, fraction, 2.0, drift=drift, alternative="less") == greater
    assert conditional_power(abs(z), fraction, 2.0, drift=drift) >= conditional_power(
        abs(z), fraction, 2.0, drift=drift, alternative="greater"
    )


@pytest.mark.slow
def test_futility_costs_little_power_and_saves_a_quarter():
    """Stopping below .2 (20,000 samples): power .74 of d = .5, and .76 of the replicates without effect."""
    fractions = [0.2, 0.4, 0.6, 0.8, 1.0]
    boundaries = group_sequential_boundaries(fractions)
    nominal = nominal_p_values(boundaries)
    rng = np.random.default_rng(1)
    for effect, rejections, share in ((0.0, 0.051, 0.76), (0.5, 0.74, 0.81)):
        samples = rng.normal(effect, 1, (20_000, 30))
        going, rejected, used = np.ones(20_000, bool), np.zeros(20_000, bool), np.zeros(20_000)
        for fraction, level in zip(fractions, nominal, strict=True):
            n = round(30 * fraction)
            t = reference.ttest_1samp(samples[:, :n], 0, axis=1)
            used[going] += 0.2
            rejected |= going & (t.pvalue <= level)
            z = -reference.norm.ppf(t.pvalue / 2) * np.sign(t.statistic)
            futile = [
                fraction < 1 and conditional_power(value, fraction, boundaries[-1]) < 0.2 for value in z
            ]
            going &= ~rejected & ~np.array(futile)
        assert rejected.mean() == pytest.approx(rejections, abs=0.01)
        assert used.mean() == pytest.approx(share, abs=0.01)


def test_conditional_power_of_certain_outcomes():
    """At the last look it is 0 or 1; an infinite Z is decided; an infinite boundary is out of reach."""
    assert [conditional_power(z, 1.0, 2.0) for z in (1.9, 2.1, -2.1)] == [0.0, 1.0, 1.0]
    assert conditional_power(math.inf, 0.5, 2.0) == 1.0
    assert conditional_power(-math.inf, 0.5, 2.0, alternative="greater") == 0.0
    assert conditional_power(3.0, 0.5, math.inf) == 0.0


# Intervals.


def test_the_t_interval_at_the_nominal_level_is_the_repeated_interval_of_small_samples():
    """A t test at alpha = nominal p rejects exactly where its interval excludes 0."""
    nominal = nominal_p_values(group_sequential_boundaries(equal(3)))
    rng = np.random.default_rng(3)
    for level in nominal[1:]:
        result = paired_t(np.zeros(12), rng.normal(0.8, 1, 12), alpha=level)
        assert (result.p_value <= level) == (result.interval[0] > 0)


# Refusals.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: group_sequential_boundaries([]), r"fractions has 0 value\(s\); it needs at least 1"),
        (
            lambda: group_sequential_boundaries([0.5, 0.5, 1]),
            "fractions are .* allowed are ascending numbers above 0",
        ),
        (lambda: group_sequential_boundaries([0, 1]), "allowed are ascending numbers above 0, up to 1"),
        (lambda: group_sequential_boundaries([0.5, 1.2]), "allowed are ascending numbers above 0, up to 1"),
        (lambda: group_sequential_boundaries([0.5, math.nan]), r"fractions\[1\] is nan"),
        (lambda: group_sequential_boundaries([1], alpha=0), "alpha is 0; allowed"),
        (
            lambda: group_sequential_boundaries([1], spending="haybittle"),
            "spending is 'haybittle'; allowed are",
        ),
        (lambda: obrien_fleming_spending(1.1, 0.05), "the information fraction is 1.1; allowed is 0 to 1"),
        (lambda: pocock_spending(math.nan, 0.05), "the information fraction is nan"),
        (lambda: exit_probabilities([0.5, 1], [2.0]), "2 fractions and 1 boundaries"),
        (lambda: conditional_power(1, 0, 2), "the information fraction is 0; allowed is above 0"),
        (lambda: conditional_power(math.nan, 0.5, 2), "z is nan"),
        (lambda: planned_drift(power=1.0), "power is 1.0; allowed is a number between 0 and 1"),
        (lambda: planned_drift(alpha=0), "alpha is 0; allowed"),
        (lambda: conditional_power(1, 0.5, 2, alternative="up"), "alternative is 'up'"),
        (lambda: look_sizes(3, 4), "looks is 4 with 3 replicates; allowed are 1 to 3"),
        (lambda: look_sizes(3, 0), "looks is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    """The message says what was given and what is allowed."""
    with pytest.raises(SampleError, match=message):
        call()


@pytest.mark.parametrize("looks", [1, 5, 50])
def test_boundaries_where_numpy_raises(looks):
    """What vanishes beside the rest is no fault."""
    fractions = [(look + 1) / looks for look in range(looks)]
    with np.errstate(all="raise"):
        found = group_sequential_boundaries(fractions, alpha=1e-6)
    assert found == group_sequential_boundaries(fractions, alpha=1e-6)
