"""Whether a mean is skewed against a claim."""

import numpy as np
import pytest
from scipy import stats as reference

from crystallize.stats import is_too_skewed, skewness
from crystallize.stats.power import upper_rate_limit, upper_sd_factor


def told(draw, n, claimed, repetitions=400):
    rng = np.random.default_rng(n)
    return np.mean([is_too_skewed(*draw(rng, n), claimed=claimed) for _ in range(repetitions)])


@pytest.mark.parametrize("values", [[1, 2, 3, 10], [0.5, -3, 2, 2, 9, 1e-3], [1e200, 2e200, 7e200]])
def test_agrees_with_the_moments(values):
    """It is m3 / m2^1.5, whatever the scale."""
    assert skewness(values) == pytest.approx(reference.skew(np.array(values) / max(values)), rel=1e-10)
    assert skewness([3.0, 3.0, 3.0]) == 0.0


@pytest.mark.parametrize("n", [10, 30, 100])
def test_normal_values_are_mostly_not_called_skewed(n):
    """At most one sample in twenty, up to the noise of 400."""
    for draw in (
        lambda rng, n: (rng.normal(size=n),),
        lambda rng, n: (rng.normal(size=n), 3 * rng.normal(size=n)),
    ):
        assert told(draw, n, "greater") <= 0.05 + 4 * (0.05 * 0.95 / 400) ** 0.5


def test_rare_costs_are_told_on_their_side_only():
    """One replicate in ten loses a lot: that nothing decreases is not so sure; that nothing increases is."""

    def draw(rng, n):
        return (rng.normal(size=n) - 10 * (rng.random(n) < 0.1),)

    assert told(draw, 30, "greater") > 0.8
    assert told(draw, 30, "two-sided") > 0.8
    assert told(draw, 30, "less") == 0.0


def test_skewness_of_one_arm_is_that_of_the_difference_of_means():
    """With the sign that the arm has in treatment minus baseline."""

    def treatment(rng, n):
        return rng.normal(size=n), np.exp(rng.normal(size=n))

    def baseline(rng, n):
        return np.exp(rng.normal(size=n)), rng.normal(size=n)

    assert told(treatment, 30, "less") > 0.5 > told(treatment, 30, "greater") == 0.0
    assert told(baseline, 30, "greater") > 0.5 > told(baseline, 30, "less") == 0.0


@pytest.mark.parametrize("n", [10, 30])
def test_the_upper_limit_of_a_spread_covers_it_in_four_of_five_cases(n):
    """Checked by drawing; and against the quantile of chi squared."""
    rng = np.random.default_rng(0)
    sd = rng.normal(size=(4_000, n)).std(axis=1, ddof=1)
    assert np.mean(sd * upper_sd_factor(n - 1) >= 1) == pytest.approx(0.8, abs=4 * (0.16 / 4_000) ** 0.5)
    assert upper_sd_factor(n - 1) == pytest.approx(((n - 1) / reference.chi2.ppf(0.2, n - 1)) ** 0.5)


def test_the_upper_limit_of_a_rate():
    """So few successes have probability .2 at it."""
    assert reference.binom.cdf(3, 10, upper_rate_limit(3, 10)) == pytest.approx(0.2)
    assert upper_rate_limit(0, 10) == pytest.approx(1 - 0.2**0.1)
