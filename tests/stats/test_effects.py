"""Effect sizes: relative change, Hedges g, d_z, probability of superiority, Cliff's delta."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import examples
from scipy import special
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import (
    cliffs_delta,
    d_z,
    hedges_g,
    paired_permutation,
    paired_t,
    probability_of_superiority,
    relative_change,
    welch_t,
)
from crystallize.stats.standardized import hedges_correction, noncentrality_interval

SLEEP_X = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_Y = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

laws = examples(60)
numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 2))
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=10)


def paired_change(baseline, treatment, **options):
    return relative_change(paired_t, baseline, treatment, **options)


def welch_change(baseline, treatment, **options):
    return relative_change(welch_t, baseline, treatment, **options)


EFFECTS = [paired_change, welch_change, hedges_g, d_z, probability_of_superiority, cliffs_delta]


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


# Relative change.


@pytest.mark.parametrize("seed", range(4))
def test_relative_change_is_fiellers_closed_form(seed):
    """With one number of degrees of freedom the ends are the roots of Fieller's quadratic."""
    rng = np.random.default_rng(seed)
    baseline = rng.normal(10, 2, 9)
    treatment = baseline + rng.normal(1, 1, 9)
    cov = np.cov(baseline, treatment) / 9
    t2 = reference.t.isf(0.025, 8) ** 2
    first, second = baseline.mean(), treatment.mean()
    roots = np.roots(
        [first**2 - t2 * cov[0, 0], -2 * (first * second - t2 * cov[0, 1]), second**2 - t2 * cov[1, 1]]
    )
    result = paired_change(baseline, treatment)
    assert result.estimate == pytest.approx(second / first - 1, rel=1e-12)
    assert result.interval == pytest.approx(tuple(sorted(roots - 1)), rel=1e-9)
    assert result.bounded


@laws
@given(drawn=pairs, alpha=st.floats(0.01, 0.5), test=st.sampled_from([paired_t, welch_t]))
def test_relative_change_holds_the_ratios_that_are_not_rejected(drawn, alpha, test):
    """At either finite end the contrast with that multiple of the baseline has p = alpha."""
    baseline, treatment = (np.array(arm) for arm in arms(drawn))
    assume(abs(math.fsum(baseline)) > 0.1)
    effect = relative_change(test, baseline, treatment, alpha=alpha)
    sign = math.copysign(1, math.fsum(baseline))
    assert effect.interval[0] <= effect.estimate <= effect.interval[1]
    if effect.bounded:
        for end in effect.interval:
            contrast = test((1 + sign * end) * baseline, treatment)
            assume(not contrast.degenerate)
            assert contrast.p_value == pytest.approx(alpha, rel=1e-4)
    else:
        assert test(0 * treatment, baseline).p_value > alpha


def test_relative_change_is_unbounded_where_the_baseline_may_be_zero():
    """A baseline around 0 gives no interval, and one of mean 0 an infinite change."""
    effect = paired_change([-1.0, 1.5, -1.2, 1.0], [1.0, 2.0, 3.0, 2.5])
    assert (effect.interval, effect.bounded) == ((-math.inf, math.inf), False)
    effect = paired_change([-1.0, 1.0, 0.0], [1.0, 2.0, 3.0])
    assert (effect.estimate, effect.bounded) == (math.inf, False)
    assert paired_change([-1.0, 1.0, 0.0], [-2.0, 2.0, 0.0]).estimate == 0.0


def test_relative_change_by_a_permutation_test():
    """Any test of means will do."""
    baseline = np.array([10.0, 11, 9, 10.5, 9.8, 10.4, 10.1])
    treatment = 1.2 * baseline + [0.3, -0.3, 0.2, -0.1, 0.0, -0.2, 0.1]
    effect = relative_change(paired_permutation, baseline, treatment)
    assert effect.interval[0] < 0.2 < effect.interval[1]
    assert effect.interval == pytest.approx(paired_change(baseline, treatment).interval, abs=0.02)


def test_constant_arms_have_an_exact_relative_change():
    """8 times 3 against 2 is +50 %, [50 %, 50 %]."""
    effect = paired_change([2.0] * 8, [3.0] * 8)
    assert (effect.estimate, effect.interval) == (0.5, (0.5, 0.5))


# Standardized differences.


def test_hedges_correction_is_the_ratio_of_gamma_functions():
    """J is exact, and near 1 - 3/(4 df - 1)."""
    for df in (2, 3, 10, 1e4, 1e9):
        expected = (
            special.gamma(df / 2) / special.gamma((df - 1) / 2) / math.sqrt(df / 2)
            if df < 100
            else 1 - 0.75 / df
        )
        assert hedges_correction(df) == pytest.approx(expected, rel=1e-6)
    assert hedges_correction(1) == 0.0


def test_standardized_differences_are_defined_by_the_t_statistics():
    """d_z is t over root n; g is the pooled t over root(nm/(n+m)), corrected."""
    assert d_z(SLEEP_X, SLEEP_Y).estimate == pytest.approx(
        reference.ttest_rel(SLEEP_Y, SLEEP_X).statistic / math.sqrt(10), rel=1e-12
    )
    t = reference.ttest_ind(SLEEP_Y[:7], SLEEP_X).statistic
    g = hedges_g(SLEEP_X, SLEEP_Y[:7])
    assert g.estimate == pytest.approx(hedges_correction(15) * t / math.sqrt(70 / 17), rel=1e-12)
    assert (g.name, g.confidence) == ("Hedges g", 0.95)


@pytest.mark.parametrize("t", [-3.0, 0.0, 0.4, 4.0621, 30.0])
@pytest.mark.parametrize("df", [2, 9, 60])
def test_noncentrality_interval_inverts_the_noncentral_t(t, df):
    """Under its ends the observed t has tails of alpha/2."""
    low, high = noncentrality_interval(t, df, 0.05)
    assert reference.nct.sf(t, df, low) == pytest.approx(0.025, rel=1e-6)
    assert reference.nct.cdf(t, df, high) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("df", [1, 9, 200])
def test_noncentrality_interval_of_huge_t_is_continuous(df):
    """Where scipy's noncentral t ends, at t = 10,000, the limit takes over without a step."""
    below, above = noncentrality_interval(9999.0, df, 0.05), noncentrality_interval(10001.0, df, 0.05)
    assert above == pytest.approx((below[0] * 10001 / 9999, below[1] * 10001 / 9999), rel=1e-3)
    assert noncentrality_interval(1e300, df, 0.05)[1] < math.inf


def test_standardized_differences_without_spread():
    """Constant differences are infinitely many standard deviations, equal ones none; nothing is bounded."""
    for effect in (d_z([1, 2, 3], [2, 3, 4]), hedges_g([1, 1, 1], [2, 2])):
        assert (effect.estimate, effect.interval) == (math.inf, (-math.inf, math.inf))
    for effect in (d_z([1, 2, 3], [1, 2, 3]), hedges_g([1, 1, 1], [1, 1])):
        assert (effect.estimate, effect.bounded) == (0.0, False)


# Probability of superiority.


def test_superiority_of_the_pain_scores():
    """The estimate is Brunner and Munzel's .788961, Cliff's delta twice that minus 1."""
    first, second = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1], [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    effect, delta = probability_of_superiority(first, second), cliffs_delta(first, second)
    assert effect.estimate == pytest.approx(0.788961, rel=5e-6)
    assert delta.estimate == pytest.approx(2 * effect.estimate - 1)
    assert delta.interval == pytest.approx(tuple(2 * end - 1 for end in effect.interval))


@pytest.mark.parametrize("theta", [0.0, 0.3, 0.789, 1.0])
def test_superiority_interval_solves_newcombes_equation(theta):
    """At the ends the distance from the estimate is z standard errors of method 5."""
    n, m = 6, 15
    first = np.arange(n) * 1.0
    second = (
        np.array([first[0] - 1] * m) if theta == 0 else np.quantile(first, np.full(m, theta)) + 0.5 * theta
    )
    effect = probability_of_superiority(first, second)
    star = (n + m) / 2 - 1
    for end in effect.interval:
        if 0 < end < 1:
            variance = end * (1 - end) * (1 + star * (1 - end) / (2 - end) + star * end / (1 + end)) / (n * m)
            z = abs(effect.estimate - end) / math.sqrt(variance)
            assert z == pytest.approx(reference.norm.isf(0.025), rel=1e-6)


# Laws of all.


@laws
@given(effect=st.sampled_from(EFFECTS), drawn=pairs, alpha=st.floats(0.001, 0.4))
def test_interval_contains_the_estimate_and_widens_with_the_level(effect, drawn, alpha):
    """Estimates are plain numbers inside of their intervals, which grow as alpha falls."""
    result, wider = effect(*arms(drawn), alpha=alpha), effect(*arms(drawn), alpha=alpha / 2)
    assert result.interval[0] <= result.estimate <= result.interval[1]
    slack = 1e-9 * (1 + abs(result.estimate)) if math.isfinite(result.estimate) else 0.0
    assert wider.interval[0] <= result.interval[0] + slack
    assert wider.interval[1] >= result.interval[1] - slack
    assert {type(value) for value in (result.estimate, *result.interval, result.confidence)} == {float}


@laws
@given(effect=st.sampled_from(EFFECTS[2:]), drawn=pairs, data=st.data())
def test_order_is_irrelevant_and_swapping_mirrors(effect, drawn, data):
    """Pairs in another order change nothing; exchanged arms mirror the effect."""
    result = effect(*arms(drawn))
    other = effect(*arms(data.draw(st.permutations(drawn))))
    assert (other.estimate, *other.interval) == pytest.approx(
        (result.estimate, *result.interval), rel=1e-9, abs=1e-12
    )
    mirror = effect(*reversed(arms(drawn)))
    centre = 1.0 if effect is probability_of_superiority else 0.0
    assert mirror.estimate == pytest.approx(centre - result.estimate, rel=1e-9, abs=1e-12)
    expected = centre - result.interval[1], centre - result.interval[0]
    assert mirror.interval == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize(
    ("baseline", "treatment"),
    [
        ([1e308, -1e308, 1.5e308], [-1.7e308, 1.7e308, 1e308]),
        ([1.7e308] * 4, [-1.7e308] * 4),
        ([5e-324, 0, 1e-323], [0, 5e-324, 5e-324]),
        ([1.0, 1.0, 1.0], [1e300, 1e-300, 0.0]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_extreme_magnitudes_have_a_defined_answer(effect, baseline, treatment):
    """No nan and no warning at either end of the floats."""
    with np.errstate(all="raise"):
        result = effect(baseline, treatment)
    assert result.interval[0] <= result.estimate <= result.interval[1]


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_an_effect_cannot_take_is_refused(effect):
    """A nan, a bad alpha and an empty arm are named."""
    with pytest.raises(SampleError, match=r"baseline\[1\] is nan; allowed are finite numbers"):
        effect([1, math.nan, 2], [1, 2, 3])
    with pytest.raises(SampleError, match=r"alpha is 1; allowed"):
        effect([1, 3, 2], [1, 2, 3], alpha=1)
    with pytest.raises(SampleError, match=r"baseline has 0 value\(s\)"):
        effect([], [])
