"""The studentised bootstrap."""

import numpy as np
import pytest

from crystallize.errors import SampleError
from crystallize.stats import bootstrap_t, paired_t, welch_t

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(size=30), RNG.normal(0.4, 1, size=30)


def by_hand(values, shift, draws=4_000):
    """Return one-sided p and 95 % interval of a mean, from other draws than those of the package."""
    rng = np.random.default_rng(99)
    n, mean, error = len(values), values.mean(), values.std(ddof=1) / len(values) ** 0.5
    drawn = rng.choice(values, (draws, n))
    t = (drawn.mean(axis=1) - mean) / (drawn.std(axis=1, ddof=1) / n**0.5)
    low, high = np.quantile(t, [0.025, 0.975])
    return (t >= (mean - shift) / error).mean(), (mean - high * error, mean - low * error)


def test_agrees_with_other_draws():
    """P and interval are those of the studentised mean, up to the noise of drawing."""
    result = bootstrap_t(FIRST, SECOND, alternative="greater", shift=0.1)
    p, interval = by_hand(SECOND - FIRST, 0.1)
    assert result.p_value == pytest.approx(p, abs=0.02)
    assert result.interval == pytest.approx(interval, abs=0.08)
    assert result.statistic == pytest.approx(paired_t(FIRST, SECOND, shift=0.1).statistic)


@pytest.mark.parametrize("paired", [True, False])
def test_of_normal_values_it_is_nearly_student_s(paired):
    """Where there is no skewness nothing is corrected."""
    result = bootstrap_t(FIRST, SECOND, paired=paired)
    expected = (paired_t if paired else welch_t)(FIRST, SECOND)
    assert result.p_value == pytest.approx(expected.p_value, abs=0.03)
    assert result.estimate == pytest.approx(expected.estimate)


@pytest.mark.parametrize("paired", [True, False])
def test_neither_order_nor_sides_matter(paired):
    """Exchanging the arms mirrors interval and statistic and leaves p, digit by digit."""
    given, other = bootstrap_t(FIRST, SECOND, paired=paired), bootstrap_t(SECOND, FIRST, paired=paired)
    assert given.p_value == other.p_value
    assert given.interval == pytest.approx(tuple(-end for end in other.interval[::-1]))
    order = np.random.default_rng(1).permutation(30)
    assert bootstrap_t(FIRST[order], SECOND[order], paired=paired) == given


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_holds_what_is_not_rejected(paired):
    """Just inside of its ends p exceeds alpha, just outside it does not."""
    low, high = bootstrap_t(FIRST, SECOND, paired=paired).interval
    for end, out in ((low, -1), (high, 1)):
        assert bootstrap_t(FIRST, SECOND, paired=paired, shift=end + 1e-9 * out).p_value <= 0.05
        assert bootstrap_t(FIRST, SECOND, paired=paired, shift=end - 1e-9 * out).p_value > 0.05


def test_a_long_tail_widens_the_interval_on_its_side():
    """Which Student's t, being symmetric, does not know."""
    skewed = np.exp(np.random.default_rng(3).normal(size=40))
    low, high = bootstrap_t(np.zeros(40), skewed).interval
    t_low, t_high = paired_t(np.zeros(40), skewed).interval
    mean = skewed.mean()
    assert high - mean > 1.1 * (mean - low)
    assert (high > t_high, low > t_low) == (True, True)


def test_a_statistic_of_ones_own():
    """The mean as such has the jackknife's error, which is its standard error."""
    own = bootstrap_t(FIRST, SECOND, statistic=lambda a, b: b.mean() - a.mean(), draws=499)
    expected = bootstrap_t(FIRST, SECOND, draws=499)
    assert own.estimate == pytest.approx(expected.estimate)
    assert own.statistic == pytest.approx(expected.statistic)
    assert own.p_value == pytest.approx(expected.p_value, abs=0.05)
    ratio = bootstrap_t(
        FIRST + 9, SECOND + 9, statistic=lambda a, b: b.mean() / a.mean(), shift=1.0, draws=199
    )
    assert (ratio.estimand, ratio.null) == ("statistic", 1.0)
    assert ratio.interval[0] < ratio.estimate < ratio.interval[1]


def test_equal_differences_are_worth_their_signs():
    """There is nothing to draw from."""
    result = bootstrap_t(FIRST, FIRST + 0.5)
    assert (result.p_value, result.degenerate) == (2**-29, True)


def test_few_values_are_refused():
    """Below 20 it is too ready to reject."""
    with pytest.raises(SampleError, match="it needs at least 20"):
        bootstrap_t(FIRST[:19], SECOND[:19])
    with pytest.raises(SampleError, match="the statistic is nan"):
        bootstrap_t(FIRST, SECOND, statistic=lambda a, b: float("nan"))
    with pytest.raises(SampleError, match="draws is 10"):
        bootstrap_t(FIRST, SECOND, draws=10)
