"""Standardized mean differences: Hedges g of independent samples, d_z of pairs."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.stats import special
from crystallize.stats.degenerate import constant_difference, separation, spread
from crystallize.stats.effect import Effect
from crystallize.stats.moments import moments
from crystallize.stats.precision import as_arms, as_paired_arms
from crystallize.stats.roots import falling_root
from crystallize.stats.samples import check_alpha
from crystallize.stats.tails import nctdtr, ndtri, normal_quantile

_HEDGES: Final = "Hedges g"
_D_Z: Final = "d_z"
_LARGE_DF: Final = 1e5  # where logarithms of gamma functions lose more digits than the expansion
_LARGEST_T: Final = 1e4  # nctdtr fails beyond; there the normal part of the noncentral t is negligible


def hedges_g(baseline: ArrayLike, treatment: ArrayLike, *, alpha: float = 0.05) -> Effect:
    r"""Estimate the mean difference in standard deviations, for independent samples [1]_.

    The estimate is :math:`J(\nu) (\bar t - \bar b) / s` with the pooled standard deviation s,
    :math:`\nu = n + m - 2`, and the exact correction for bias
    :math:`J(\nu) = \Gamma(\nu/2) / (\sqrt{\nu/2}\, \Gamma((\nu - 1)/2))`. The interval inverts the noncentral
    t distribution of the t statistic [2]_.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Finite numbers, n >= 2.
    treatment : array_like, shape (m,)
        Finite numbers, m >= 2, independent of the baseline's.
    alpha : float
        The interval has level 1 - alpha.

    Returns
    -------
    Effect
        In standard deviations of one value.

    Raises
    ------
    SampleError
        If a value is not finite, an arm has fewer than 2, or alpha is out of its range.

    Notes
    -----
    Made for normal data of equal variances; wrong for pairs, whose differences `d_z` describes. Arms that do
    not vary have no standard deviation: the estimate is infinite (0 if they are equal) and the interval
    unbounded.

    References
    ----------
    .. [1] Hedges, L. V. (1981). Distribution theory for Glass's estimator of effect size and related
       estimators. Journal of Educational Statistics 6, 107-128.
    .. [2] Cumming, G. and Finch, S. (2001). A primer on the understanding, use, and calculation of confidence
       intervals that are based on central and noncentral distributions. Educational and Psychological
       Measurement 61, 532-574.

    Examples
    --------
    >>> first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    >>> second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    >>> effect = hedges_g(first, second)
    >>> round(effect.estimate, 4), [round(end, 4) for end in effect.interval]
    (0.7969, [-0.0955, 1.7388])
    """
    alpha = check_alpha(_HEDGES, alpha)
    arms = as_arms(_HEDGES, baseline, treatment, minimum=2)
    first, second = arms.baseline, arms.treatment
    n, m = first.size, second.size
    (first_mean, first_variance), (second_mean, second_variance) = moments(first), moments(second)
    df = n + m - 2
    sd = math.sqrt(((n - 1) * first_variance + (m - 1) * second_variance) / df)
    difference = _without_noise(second_mean - first_mean, arms.zero)
    if max(spread(first), spread(second)) <= arms.precision.constant:
        reach = separation(first, second, arms.precision.zero)
        sd, difference = 0.0, constant_difference(difference, 0.0, arms.zero, reach)
    return _standardized(_HEDGES, difference, sd, df, math.sqrt(n / (n + m) * m), alpha)


def d_z(baseline: ArrayLike, treatment: ArrayLike, *, alpha: float = 0.05) -> Effect:
    r"""Estimate the mean difference of pairs in standard deviations of the differences [1]_.

    The estimate is :math:`\bar d / s_d`, as is usual not corrected for bias; the interval inverts the
    noncentral t distribution of :math:`\sqrt n\, \bar d / s_d`.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, n >= 2; the i-th values share a seed.
    alpha : float
        The interval has level 1 - alpha.

    Returns
    -------
    Effect
        In standard deviations of a difference. It is what decides the number of replicates, and not
        comparable with `hedges_g`: pairing that removes noise makes it larger.

    Raises
    ------
    SampleError
        If a value is not finite, the lengths differ, n < 2, or alpha is out of its range.

    Notes
    -----
    Wrong for independent samples. Differences that do not vary have no standard deviation: the estimate is
    infinite (0 if all are 0) and the interval unbounded.

    References
    ----------
    .. [1] Lakens, D. (2013). Calculating and reporting effect sizes to facilitate cumulative science.
       Frontiers in Psychology 4, 863.

    Examples
    --------
    >>> first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    >>> second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    >>> effect = d_z(first, second)
    >>> round(effect.estimate, 4), [round(end, 4) for end in effect.interval]
    (1.2846, [0.4146, 2.118])
    """
    alpha = check_alpha(_D_Z, alpha)
    arms = as_paired_arms(_D_Z, baseline, treatment, minimum=2)
    mean, variance = arms.moments
    sd = math.sqrt(variance)
    n = arms.differences.size
    mean = _without_noise(mean, arms.zero)
    if arms.apart <= 1:
        sd, mean = 0.0, constant_difference(mean, 0.0, arms.zero, arms.reach)
    return _standardized(_D_Z, mean, sd, n - 1, math.sqrt(n), alpha)


def hedges_correction(df: float) -> float:
    """Return the exact factor J that makes a standardized mean difference unbiased.

    Parameters
    ----------
    df : float
        Degrees of freedom of the standard deviation, > 0; with 1 the factor is 0.

    Examples
    --------
    >>> round(hedges_correction(10), 6)
    0.922746
    """
    if df <= 1:
        return 0.0
    if df > _LARGE_DF:
        return 1 - 3 / (4 * df - 1)
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)


@lru_cache(maxsize=1024)
def noncentrality_interval(t: float, df: float, alpha: float) -> tuple[float, float]:
    """Return the noncentralities under which neither tail of the observed t has less than alpha/2.

    Parameters
    ----------
    t : float
        Observed t statistic.
    df : float
        Its degrees of freedom.
    alpha : float
        One minus the level.
    """
    if t < 0:  # the mirror image
        low, high = noncentrality_interval(-t, df, alpha)
        return -high, -low
    if t > _LARGEST_T:
        chi = np.sqrt(special.chdtri(df, np.array([1 - alpha / 2, alpha / 2])) / df)
        return t * float(chi[0]), t * float(chi[1])
    t, df, z = float(t), float(df), normal_quantile(alpha)
    least = -z - 1  # both limits rise with t, and the lower one of t = 0 is -z
    spread = math.sqrt(1 + t * t / (2 * df))  # of t, were it normal with this noncentrality

    def crossing(level: float, guess: float) -> float:
        """Return the noncentrality at which the distribution function of t, which falls in it, is `level`."""
        probit = ndtri(level)

        def excess(noncentrality: float) -> float:
            """Return by how much the probit, almost linear in the noncentrality, is too large."""
            return ndtri(nctdtr(df, noncentrality, t)) - probit

        return falling_root(excess, guess, step=spread / 8, low=least)

    return crossing(1 - alpha / 2, t - z * spread), crossing(alpha / 2, t + z * spread)


def _standardized(name: str, difference: float, sd: float, df: int, root_size: float, alpha: float) -> Effect:
    if sd == 0:
        estimate = math.copysign(math.inf, difference) if difference != 0 else 0.0
        interval = (-math.inf, math.inf)
    else:
        ratio = difference / sd
        factor = hedges_correction(df) if name == _HEDGES else 1.0
        estimate = factor * ratio
        low, high = noncentrality_interval(ratio * root_size, df, alpha)
        # At levels near 0 the interval shrinks to a median-unbiased estimate: the estimate is kept inside.
        interval = min(low / root_size, estimate), max(high / root_size, estimate)
    return Effect(name=name, estimate=estimate, interval=interval, confidence=1 - alpha)


def _without_noise(value: float, tolerance: float) -> float:
    return value if abs(value) > tolerance else 0.0
