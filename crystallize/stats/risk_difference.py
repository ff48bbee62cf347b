"""Score tests and intervals of the difference of two independent rates."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import as_binary, check_alpha, check_counts, check_sizes, checked_options
from crystallize.stats.tails import (
    binomial_lower,
    binomial_upper,
    normal_p_value,
    normal_quantile,
    tails_p_value,
)

UNPAIRED_SCORE = "Miettinen-Nurminen score"
_INTERVAL = "Miettinen-Nurminen interval"


def risk_difference_test(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the risk difference of two independent 0/1 samples by Miettinen and Nurminen's score [1]_.

    The null hypothesis is :math:`p_t - p_b = \text{shift}`. The score is
    :math:`(\hat p_t - \hat p_b - \text{shift}) / \sqrt{\tilde V}`, with the variance at the maximum
    likelihood estimates of both rates under the null hypothesis, times N/(N - 1), N = n + m. At any shift but
    0 the p-value is no smaller than the binomial one of either arm, were the other's rate as observed.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Zeros and ones (or booleans), n >= 1.
    treatment : array_like, shape (m,)
        Zeros and ones, m >= 1, independent of the baseline's.
    alternative, alpha, shift
        As in `boschloo`.

    Returns
    -------
    TestResult
        `estimate` is the risk difference, `interval` Miettinen and Nurminen's, which holds exactly the shifts
        that their score does not reject at alpha.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, an arm is empty, or an option is out of its range.

    Notes
    -----
    Wrong for pairs (`mcnemar`) and for several values of one replicate. The reference distribution is normal,
    so the size can exceed alpha in small samples: at shift 0 `boschloo` does not. Where an arm hardly varies,
    the score alone has too small p-values: if all of the baseline are 1, a loss of .05 would be excluded at
    .2 by 20 values without a loss, of which it leaves .36 unseen. If neither arm varies the result is flagged
    `degenerate`; it needs no substitute, since the test allows for what was not seen.

    References
    ----------
    .. [1] Miettinen, O. and Nurminen, M. (1985). Comparative analysis of two rates. Statistics in Medicine 4,
       213-226.
    .. [2] Newcombe, R. G. (1998). Interval estimation for the difference between independent proportions:
       comparison of eleven methods. Statistics in Medicine 17, 873-890.

    Examples
    --------
    48 successes of 80 against 56 of 70 [2]_; the claim is that the treatment is at most .05 worse:

    >>> baseline, treatment = 48 * [1] + 32 * [0], 56 * [1] + 14 * [0]
    >>> result = risk_difference_test(baseline, treatment, shift=-0.05, alternative="greater")
    >>> round(result.statistic, 4), round(result.p_value, 6)
    (3.2811, 0.000517)
    """
    alpha, shift = checked_options(UNPAIRED_SCORE, alternative, alpha, shift, below=1)
    first = as_binary(UNPAIRED_SCORE, "baseline", baseline)
    second = as_binary(UNPAIRED_SCORE, "treatment", treatment)
    counts = int(first.sum()), first.size, int(second.sum()), second.size
    p_value = miettinen_nurminen_p_value(*counts, shift, alternative)
    return risk_difference_result(UNPAIRED_SCORE, counts, p_value, alternative, alpha, shift)


def risk_difference_result(
    test: str,
    counts: tuple[int, int, int, int],
    p_value: float,
    alternative: Alternative,
    alpha: float,
    shift: float,
) -> TestResult:
    """Return the result of a test of two rates: the estimate, its interval and the score go with any p-value.

    `counts` are the successes and size of the baseline, then of the treatment.
    """
    x, n, y, m = counts
    return TestResult(
        test=test,
        p_value=p_value,
        statistic=miettinen_nurminen_score(*counts, shift),
        df=None,
        estimate=y / m - x / n,
        interval=miettinen_nurminen_interval(*counts, alpha),
        confidence=1 - alpha,
        n=(n, m),
        alternative=alternative,
        estimand="risk difference",
        null=shift,
        degenerate=x in (0, n) and y in (0, m),
    )


def farrington_manning_score(x: float, n: int, y: float, m: int, risk_difference: float) -> float:
    r"""Return Farrington and Manning's score statistic [1]_ at a risk difference under the null hypothesis.

    With x successes of n in the baseline, y of m in the treatment, and the rates :math:`\tilde p` of largest
    likelihood among those that differ by :math:`\delta`, it is :math:`(y/m - x/n - \delta) /
    \sqrt{\tilde p_b (1 - \tilde p_b)/n + \tilde p_t (1 - \tilde p_t)/m}`, approximately standard normal.

    Parameters
    ----------
    x, y : int
        Successes in the baseline and in the treatment, or how many are to be expected.
    n, m : int
        Sizes of both, at least 1.
    risk_difference : float
        In (-1, 1); treatment minus baseline.

    References
    ----------
    .. [1] Farrington, C. P. and Manning, G. (1990). Test statistics and sample size formulae for comparative
       binomial trials with null hypothesis of non-zero risk difference or non-unity relative risk.
       Statistics in Medicine 9, 1447-1454.

    Examples
    --------
    >>> round(farrington_manning_score(48, 80, 56, 70, 0.0), 5)
    2.65017
    """
    excess = y / m - x / n - risk_difference
    variance = _null_variance(x, n, y, m, risk_difference)
    return excess / math.sqrt(variance) if variance > 0 else 0.0


def miettinen_nurminen_score(x: float, n: int, y: float, m: int, risk_difference: float) -> float:
    """Return Miettinen and Nurminen's score [1]_: Farrington and Manning's with the variance times N/(N - 1).

    Parameters
    ----------
    x, n, y, m, risk_difference
        As in `farrington_manning_score`; N is n + m.

    References
    ----------
    .. [1] Miettinen, O. and Nurminen, M. (1985). Comparative analysis of two rates. Statistics in Medicine 4,
       213-226.

    Examples
    --------
    >>> round(miettinen_nurminen_score(48, 80, 56, 70, 0.0), 5)
    2.64132
    """
    return farrington_manning_score(x, n, y, m, risk_difference) * math.sqrt((n + m - 1) / (n + m))


def miettinen_nurminen_p_value(
    x: int, n: int, y: int, m: int, risk_difference: float, alternative: Alternative
) -> float:
    """Return the p-value of Miettinen and Nurminen's score, or the binomial one of an arm, if it is larger.

    The parameters are those of `farrington_manning_score`. At a difference of 0 it is that of the score.
    """
    score = miettinen_nurminen_score(x, n, y, m, risk_difference)
    upper, lower = normal_p_value(score, "greater"), normal_p_value(score, "less")
    if risk_difference != 0:
        upper = max(upper, _binomial_p(x, n, y, m, risk_difference))
        lower = max(lower, _binomial_p(y, m, x, n, -risk_difference))
    return tails_p_value(upper, lower, alternative)


def _binomial_p(x: int, n: int, y: int, m: int, difference: float) -> float:
    """Return how probable so many y are, or so few x, if the other arm's rate is as observed."""
    of_y, of_x = x / n + difference, y / m - difference
    return max(
        binomial_upper(y, m, of_y) if 0 <= of_y <= 1 else 0.0,
        binomial_lower(x, n, of_x) if 0 <= of_x <= 1 else 0.0,
    )


def miettinen_nurminen_interval(x: int, n: int, y: int, m: int, alpha: float) -> tuple[float, float]:
    """Return the risk differences that Miettinen and Nurminen's two-sided score test does not reject [1]_.

    Parameters
    ----------
    x, n : int
        Successes and size of the baseline, n >= 1.
    y, m : int
        Successes and size of the treatment, m >= 1.
    alpha : float
        One minus the level.

    Raises
    ------
    SampleError
        If an arm is empty, successes are more than it has, or alpha is out of its range.

    References
    ----------
    .. [1] Miettinen, O. and Nurminen, M. (1985). Comparative analysis of two rates. Statistics in Medicine 4,
       213-226.

    Examples
    --------
    >>> low, high = miettinen_nurminen_interval(48, 80, 56, 70, 0.05)
    >>> round(low, 4), round(high, 4)
    (0.0528, 0.3382)
    """
    alpha = check_alpha(_INTERVAL, alpha)
    check_sizes(_INTERVAL, n, m)
    (x, n), (y, m) = check_counts(_INTERVAL, (x, n), (y, m))
    z = normal_quantile(alpha)
    # A high limit is the low limit of the exchanged arms, mirrored: so swapping the arms changes no digit.
    return _lower_limit(x, n, y, m, z), -_lower_limit(y, m, x, n, z)


def _lower_limit(x: int, n: int, y: int, m: int, z: float) -> float:
    """Return the risk difference at which the score, which falls as the difference rises, equals z."""
    low, high = -1.0, y / m - x / n
    while low < (middle := (low + high) / 2) < high:
        if miettinen_nurminen_score(x, n, y, m, middle) > z:
            low = middle
        else:
            high = middle
    return high


def _null_variance(x: float, n: int, y: float, m: int, difference: float) -> float:
    """Return the variance of the observed risk difference at the likeliest rates that differ as given."""
    if difference < 0:  # the exchanged arms, so that swapping them changes no digit
        return _null_variance(y, m, x, n, -difference)
    rate = _null_rate(x, n, y, m, difference)
    other = min(1.0, rate + difference)
    return rate * (1 - rate) / n + other * (1 - other) / m


def _null_rate(x: float, n: int, y: float, m: int, difference: float) -> float:
    """Return the baseline's rate, a root of the cubic likelihood equation, in [0, 1 - difference]."""
    total = n + m
    if difference == 0:
        return (x + y) / total
    # Miettinen and Nurminen's closed form: cubic p^3 + square p^2 + linear p + constant = 0.
    square = ((m + 2 * n) * difference - total - x - y) / total
    linear = ((n * difference - total - 2 * x) * difference + x + y) / total
    constant = x * difference * (1 - difference) / total
    third = square / 3
    q = third**3 - third * linear / 2 + constant / 2
    p = math.copysign(math.sqrt(max(0.0, third**2 - linear / 3)), q)
    angle = (math.pi + math.acos(max(-1.0, min(1.0, q / p**3 if p != 0 else 1.0)))) / 3
    return min(max(2 * p * math.cos(angle) - third, 0.0), 1 - difference)
