"""McNemar's test and Tango's score interval."""

import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import optimize
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import (
    mcnemar,
    mcnemar_p_value,
    smallest_mcnemar_p,
    tango_interval,
)
from crystallize.stats.tango import tango_p_value, tango_score

ALTERNATIVES = ["two-sided", "greater", "less"]
OPPOSITE = {"two-sided": "two-sided", "greater": "less", "less": "greater"}

laws = examples(60)
pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


def sample(gains, losses, n):
    rest = n - gains - losses
    return [0] * gains + [1] * losses + [1] * rest, [1] * gains + [0] * losses + [1] * rest


# Published values.


def test_published_p_values():
    """With 1 and 7 discordant pairs the exact p is .0703125 and the mid-p .0390625."""
    baseline, treatment = sample(1, 7, 21)
    assert mcnemar(baseline, treatment, exact=True).p_value == pytest.approx(0.0703125, rel=1e-14)
    assert mcnemar(baseline, treatment).p_value == pytest.approx(0.0390625, rel=1e-14)


def test_published_tango_interval():
    """With 1 and 7 discordant of 21 pairs Tango's interval is -.51723, -.02600."""
    result = mcnemar(*sample(1, 7, 21))
    assert result.interval == (pytest.approx(-0.51723, abs=5e-6), pytest.approx(-0.02600, abs=5e-6))
    assert result.estimate == -6 / 21
    assert (result.test, result.n, result.df, result.confidence) == ("McNemar mid-p", 21, None, 0.95)


# Against computations of another kind.


@pytest.mark.parametrize("k", [1, 2, 5, 8, 31, 60])
def test_p_values_are_the_binomial_sums(k):
    """Exact and mid-p values equal sums of binomial probabilities in rational arithmetic."""
    for gains in range(k + 1):
        mass = [Fraction(comb(k, i), 2**k) for i in range(k + 1)]
        greater, less, seen = sum(mass[gains:]), sum(mass[: gains + 1]), mass[gains]
        exact = {"two-sided": min(1, 2 * min(greater, less)), "greater": greater, "less": less}
        mid = {
            "two-sided": 2 * min(greater, less) - seen,
            "greater": greater - seen / 2,
            "less": less - seen / 2,
        }
        for alternative in ALTERNATIVES:
            p_value = mcnemar_p_value(gains, k - gains, alternative=alternative)
            assert p_value == pytest.approx(float(mid[alternative]), rel=1e-12)
            p_value = mcnemar_p_value(gains, k - gains, exact=True, alternative=alternative)
            assert p_value == pytest.approx(float(exact[alternative]), rel=1e-12)


@pytest.mark.parametrize(("gains", "losses"), [(3, 400), (700, 650), (0, 900)])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_exact_p_value_agrees_with_scipy(gains, losses, alternative):
    """The exact test is scipy's binomial test of the discordant pairs, also far in the tail."""
    expected = reference.binomtest(gains, gains + losses, alternative=alternative).pvalue
    p_value = mcnemar_p_value(gains, losses, exact=True, alternative=alternative)
    assert p_value == pytest.approx(expected, rel=1e-10, abs=0)


@pytest.mark.parametrize(
    ("gains", "losses", "n"), [(1, 7, 21), (7, 1, 21), (3, 3, 9), (4, 0, 50), (20, 35, 80)]
)
@pytest.mark.parametrize("difference", [-0.6, -0.1, 0.05, 0.4])
def test_tango_score_uses_the_constrained_maximum_of_the_likelihood(gains, losses, n, difference):
    """The score agrees with one whose nuisance parameter is found by numerical maximisation."""

    def minus_log_likelihood(loss):
        terms = [(gains, loss + difference), (losses, loss), (n - gains - losses, 1 - 2 * loss - difference)]
        return -sum(count * math.log(chance) for count, chance in terms if count)

    bounds = (max(0, -difference) + 1e-13, (1 - difference) / 2 - 1e-13)
    q = optimize.minimize_scalar(
        minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    ).x
    expected = (gains - losses - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))
    assert tango_score(gains, losses, n, difference) == pytest.approx(expected, rel=1e-5)


@laws
@given(
    counts=st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)).filter(any),
    alpha=st.floats(1e-4, 0.5),
)
def test_ends_of_the_tango_interval_solve_the_score_equation(counts, alpha):
    """At the ends of the interval, which frame the estimate, the score is the normal quantile."""
    gains, losses, n = counts[0], counts[1], sum(counts)
    low, high = tango_interval(gains, losses, n, alpha)
    z = reference.norm.isf(alpha / 2)
    assert -1 <= low <= (gains - losses) / n <= high <= 1
    if low > -1:
        assert tango_score(gains, losses, n, low) == pytest.approx(z, rel=1e-6)
    if high < 1:
        assert tango_score(gains, losses, n, high) == pytest.approx(-z, rel=1e-6)


def test_score_at_zero_is_the_root_of_mcnemars_chi_squared():
    """At shift 0 the statistic is (b - c)/sqrt(b + c)."""
    assert mcnemar(*sample(1, 7, 21)).statistic == pytest.approx(-6 / math.sqrt(8), rel=1e-14)


# Shift.


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("loss", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("n", [5, 10, 20, 30, 50, 100])
def test_pairs_that_change_one_way_exclude_no_shift_too_often(n, loss, alpha):
    """Where nothing is gained, a loss at the margin is excluded, and shown, as often as alpha at most."""
    losses = np.arange(n + 1)
    chances = reference.binom.pmf(losses, n, loss)
    for side in ("greater", "less"):
        p_values = [tango_p_value(0, k, n, -loss, side) for k in range(n + 1)]
        assert chances[np.array(p_values) <= alpha].sum() <= alpha
        mirrored = [tango_p_value(k, 0, n, loss, OPPOSITE[side]) for k in range(n + 1)]
        assert mirrored == p_values


@pytest.mark.parametrize(("n", "loss"), [(20, 0.05), (50, 0.02), (100, 0.05), (50, 0.1)])
@pytest.mark.parametrize(("alpha", "most"), [(0.05, 0.056), (0.2, 0.22)])
def test_largest_size_of_a_shifted_test(n, loss, alpha, most):
    """Whatever part of the pairs differs, from the loss at the margin alone to three quarters of all."""
    tables = [(gains, k - gains) for k in range(n + 1) for gains in range(k + 1)]
    found = [t for t in tables if tango_p_value(*t, n, -loss, "greater") <= alpha]
    gains, losses = np.array(found).T
    for gain in (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.3):
        chances = [gain, gain + loss, 1 - 2 * gain - loss]
        counts = np.stack([gains, losses, n - gains - losses], axis=1)
        assert reference.multinomial.pmf(counts, n, chances).sum() <= most


def test_shifted_null_hypothesis_is_tested_by_the_score():
    """At an end of the 90 % interval, taken as shift, the one-sided p-value is .05."""
    baseline, treatment = sample(2, 3, 60)
    low, high = mcnemar(baseline, treatment, alpha=0.1).interval
    above = mcnemar(baseline, treatment, shift=low, alternative="greater")
    below = mcnemar(baseline, treatment, shift=high, alternative="less")
    assert (above.test, below.test) == ("Tango score", "Tango score")
    assert above.p_value == pytest.approx(0.05, rel=1e-9)
    assert below.p_value == pytest.approx(0.05, rel=1e-9)
    assert mcnemar(baseline, treatment, shift=low).p_value == pytest.approx(0.1, rel=1e-9)


def test_exact_test_refuses_a_shift():
    """There is no exact test of another difference, and the message names the way out."""
    with pytest.raises(SampleError, match=r"shift is 0\.1; allowed is 0.*use exact=False"):
        mcnemar([0, 1], [1, 1], exact=True, shift=0.1)


# Degenerate input.


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_without_discordant_pairs_nothing_is_supported(exact, alternative):
    """Pairs that all agree give p = 1, estimate 0 and an interval that allows for unseen discordance."""
    result = mcnemar([0, 1, 1, 0], [0, 1, 1, 0], exact=exact, alternative=alternative)
    z_squared = reference.norm.isf(0.025) ** 2
    limit = z_squared / (4 + z_squared)
    assert (result.p_value, result.estimate, result.statistic, result.degenerate) == (1.0, 0.0, 0.0, True)
    assert result.interval == pytest.approx((-limit, limit), rel=1e-12)


def test_pairs_that_all_change_alike_keep_an_interval():
    """With n gains in n pairs the interval is [(n - z^2)/(n + z^2), 1] and the exact p-value 2^(1-n)."""
    result = mcnemar([0] * 6, [1] * 6, exact=True)
    z_squared = reference.norm.isf(0.025) ** 2
    assert result.interval == pytest.approx(((6 - z_squared) / (6 + z_squared), 1.0), rel=1e-12)
    assert (result.p_value, result.degenerate) == (2**-5, True)


@pytest.mark.parametrize(("n", "mid", "exact"), [(4, 0.0625, 0.125), (5, 0.03125, 0.0625), (6, 2**-6, 2**-5)])
def test_smallest_attainable_p(n, mid, exact):
    """Two-sided .05 takes five discordant pairs by mid-p and six by the exact test."""
    assert smallest_mcnemar_p(n) == pytest.approx(mid, rel=1e-14)
    assert smallest_mcnemar_p(n, exact=True) == pytest.approx(exact, rel=1e-14)
    assert smallest_mcnemar_p(n, alternative="less") == pytest.approx(mid / 2, rel=1e-14)
    assert smallest_mcnemar_p(0) == 1.0


# Laws.


@laws
@given(drawn=pairs, exact=st.booleans(), alternative=st.sampled_from(ALTERNATIVES), data=st.data())
def test_order_of_the_pairs_is_irrelevant(drawn, exact, alternative, data):
    """Replicates in another order give the identical result."""
    other = data.draw(st.permutations(drawn))
    options = {"exact": exact, "alternative": alternative}
    assert mcnemar(*arms(drawn), **options) == mcnemar(*arms(other), **options)


@laws
@given(
    drawn=pairs,
    exact=st.booleans(),
    alternative=st.sampled_from(ALTERNATIVES),
    shift=st.sampled_from([0.0, 0.1, -0.3]),
)
def test_swapping_the_arms_mirrors_the_result(drawn, exact, alternative, shift):
    """Exchanged arms negate estimate, statistic and interval, and exchange the one-sided p-values."""
    baseline, treatment = arms(drawn)
    exact = exact and shift == 0
    result = mcnemar(baseline, treatment, exact=exact, alternative=alternative, shift=shift)
    mirror = mcnemar(treatment, baseline, exact=exact, alternative=OPPOSITE[alternative], shift=-shift)
    assert mirror.p_value == result.p_value
    assert (mirror.estimate, mirror.statistic) == (-result.estimate, -result.statistic)
    assert mirror.interval == (-result.interval[1], -result.interval[0])


@laws
@given(
    drawn=pairs, alternative=st.sampled_from(ALTERNATIVES), shift=st.sampled_from([0.0, 5e-324, -0.999999])
)
def test_result_is_made_of_plain_and_sane_numbers(drawn, alternative, shift):
    """Every number is Python's, p is in [0, 1] and never below the smallest attainable."""
    baseline, treatment = arms(drawn)
    result = mcnemar(
        np.array(baseline, dtype=bool), treatment, alternative=alternative, shift=np.float64(shift)
    )
    assert 0 <= result.p_value <= 1
    if shift == 0:
        assert result.p_value >= smallest_mcnemar_p(len(drawn), alternative=alternative)
    floats = [result.p_value, result.statistic, result.estimate, *result.interval, result.confidence]
    assert {type(value) for value in floats} == {float}
    assert (type(result.n), type(result.degenerate)) == (int, bool)


@laws
@given(drawn=pairs)
def test_exact_p_is_never_below_mid_p(drawn):
    """The mid-p value counts the observed outcome half, so it is the smaller."""
    assert mcnemar(*arms(drawn)).p_value <= mcnemar(*arms(drawn), exact=True).p_value


# Refusals.


@pytest.mark.parametrize(
    ("baseline", "treatment", "options", "message"),
    [
        ([0, 2], [0, 1], {}, r"baseline\[1\] is 2\.0; allowed are 0 and 1"),
        ([0, 1], [0, 0.5], {}, r"treatment\[1\] is 0\.5; allowed are 0 and 1"),
        ([0, math.nan], [0, 1], {}, r"baseline\[1\] is nan; allowed are finite numbers"),
        ([0, 1], [0], {}, "baseline has 2 values and treatment 1; pairs need equal lengths"),
        ([], [], {}, r"baseline has 0 value\(s\); it needs at least 1"),
        ([0, 1], [1, 1], {"shift": 1}, "shift is 1; allowed are numbers between -1 and 1"),
        ([0, 1], [1, 1], {"alpha": 1}, "alpha is 1; allowed"),
        ([0, 1], [1, 1], {"alternative": "more"}, "alternative is 'more'; allowed"),
    ],
)
def test_what_the_test_cannot_take_is_refused(baseline, treatment, options, message):
    """The message names the arm and place, or the option, and what is allowed."""
    with pytest.raises(SampleError, match=message):
        mcnemar(baseline, treatment, **options)
