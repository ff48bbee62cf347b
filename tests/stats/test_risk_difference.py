"""Score tests and intervals of the difference of two independent rates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import optimize
from scipy import stats as reference

from crystallize.stats import (
    miettinen_nurminen_interval,
    risk_difference_test,
)
from crystallize.stats.risk_difference import (
    farrington_manning_score,
    miettinen_nurminen_p_value,
    miettinen_nurminen_score,
)

laws = examples(60)


@st.composite
def tables(draw):
    n, m = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    return draw(st.integers(0, n)), n, draw(st.integers(0, m)), m


def sample(x, n, y, m):
    return [1] * x + [0] * (n - x), [1] * y + [0] * (m - y)


def test_published_interval():
    """48/80 against 56/70 has the interval of Newcombe's paper."""
    interval = miettinen_nurminen_interval(48, 80, 56, 70, 0.05)
    assert interval == pytest.approx((0.0528, 0.3382), abs=5e-5)


@pytest.mark.parametrize(
    "table", [(48, 80, 56, 70), (5, 56, 0, 29), (0, 10, 0, 20), (0, 10, 10, 10), (1, 3, 2, 100), (7, 7, 9, 9)]
)
@pytest.mark.parametrize("difference", [-0.6, -0.05, 0.1, 0.7])
def test_score_uses_the_constrained_maximum_of_the_likelihood(table, difference):
    """The score agrees with one whose nuisance parameter is found by numerical maximisation."""
    x, n, y, m = table

    def minus_log_likelihood(rate):
        terms = [(x, rate), (n - x, 1 - rate), (y, rate + difference), (m - y, 1 - rate - difference)]
        return -sum(count * math.log(chance) for count, chance in terms if count)

    bounds = (max(0, -difference) + 1e-13, min(1, 1 - difference) - 1e-13)
    rate = optimize.minimize_scalar(
        minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}
    ).x
    other = rate + difference
    variance = rate * (1 - rate) / n + other * (1 - other) / m
    expected = (y / m - x / n - difference) / math.sqrt(variance)
    assert farrington_manning_score(*table, difference) == pytest.approx(expected, rel=1e-5)
    ratio = math.sqrt((n + m - 1) / (n + m))
    assert miettinen_nurminen_score(*table, difference) == pytest.approx(expected * ratio, rel=1e-5)


def test_score_at_zero_is_the_root_of_pearsons_chi_squared():
    """At difference 0 the square of Farrington and Manning's score is Pearson's statistic."""
    expected = reference.chi2_contingency([[48, 32], [56, 14]], correction=False).statistic
    assert farrington_manning_score(48, 80, 56, 70, 0.0) ** 2 == pytest.approx(expected, rel=1e-12)


@laws
@given(table=tables(), alpha=st.floats(1e-4, 0.5))
def test_intervals_contain_the_estimate_and_mirror(table, alpha):
    """Intervals stay in [-1, 1], contain the estimate, and are mirrored by exchanging the arms."""
    x, n, y, m = table
    low, high = miettinen_nurminen_interval(*table, alpha)
    estimate = y / m - x / n
    assert -1 - 1e-12 <= low <= estimate + 1e-12
    assert estimate - 1e-12 <= high <= 1 + 1e-12
    assert miettinen_nurminen_interval(y, m, x, n, alpha) == pytest.approx((-high, -low), abs=1e-12)
    wider = miettinen_nurminen_interval(*table, alpha / 2)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


@laws
@given(table=tables(), alpha=st.floats(1e-4, 0.5))
def test_ends_of_the_score_intervals_solve_the_score_equation(table, alpha):
    """At an end inside of (-1, 1) the score is the normal quantile."""
    low, high = miettinen_nurminen_interval(*table, alpha)
    z = reference.norm.isf(alpha / 2)
    if low > -1 + 1e-9:
        assert miettinen_nurminen_score(*table, low) == pytest.approx(z, rel=1e-5)
    if high < 1 - 1e-9:
        assert miettinen_nurminen_score(*table, high) == pytest.approx(-z, rel=1e-5)


@laws
@given(table=tables(), alpha=st.floats(1e-3, 0.5))
def test_interval_holds_the_shifts_that_the_score_does_not_reject(table, alpha):
    """At either end of the interval, taken as shift, the score has the two-sided p-value alpha."""
    arms = sample(*table)
    for end in risk_difference_test(*arms, alpha=alpha).interval:
        if abs(end) < 1 - 1e-9:
            result = risk_difference_test(*arms, shift=end)
            assert 2 * reference.norm.sf(abs(result.statistic)) == pytest.approx(alpha, rel=1e-4)
            assert result.p_value >= alpha * (1 - 1e-4)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("loss", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("n", [5, 10, 20, 30, 50, 100])
def test_beside_a_rate_that_does_not_vary_nothing_is_excluded_too_often(n, loss, alpha):
    """A loss from 1, and a gain from 0, at the margin are excluded, and shown, as often as alpha at most."""
    ones = np.arange(n + 1)
    for rate, shift, side in ((1 - loss, -loss, "greater"), (loss, loss, "less"), (loss, loss, "greater")):
        first = n if shift < 0 else 0
        p_values = [miettinen_nurminen_p_value(first, n, k, n, shift, side) for k in range(n + 1)]
        chances = reference.binom.pmf(ones, n, rate)
        assert chances[np.array(p_values) <= alpha].sum() <= alpha


def test_arms_that_do_not_vary_keep_an_interval():
    """Ten failures against ten failures leave room for a difference, and are flagged."""
    result = risk_difference_test([0] * 10, [0] * 10)
    assert (result.p_value, result.estimate, result.degenerate) == (1.0, 0.0, True)
    assert result.interval == pytest.approx((-0.2775, 0.2775), abs=0.05)
    assert result.interval[0] == -result.interval[1]
