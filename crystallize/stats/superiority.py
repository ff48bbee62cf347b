"""Probability of superiority and Cliff's delta of two independent samples."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.stats.effect import Effect
from crystallize.stats.samples import Sample, as_sample, check_alpha
from crystallize.stats.tails import normal_quantile

_SUPERIORITY: Final = "probability of superiority"
_DELTA: Final = "Cliff's delta"


def probability_of_superiority(baseline: ArrayLike, treatment: ArrayLike, *, alpha: float = 0.05) -> Effect:
    r"""Estimate :math:`\theta = P(T > B) + P(T = B)/2` for one value of each of two independent arms.

    The interval is Newcombe's method 5 [1]_: the :math:`\theta` for which :math:`|\hat\theta - \theta|` is at
    most z times the standard error of Hanley and McNeil at :math:`\theta`, with both sizes replaced by
    their mean in the exponents.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Finite numbers, n >= 1.
    treatment : array_like, shape (m,)
        Finite numbers, m >= 1, independent of the baseline's.
    alpha : float
        The interval has level 1 - alpha.

    Returns
    -------
    Effect
        In [0, 1]; 1/2 if neither arm tends to larger values.

    Raises
    ------
    SampleError
        If a value is not finite, an arm is empty, or alpha is out of its range.

    Notes
    -----
    Wrong for pairs. Data without variation need no substitute: the interval allows for what was not seen.

    References
    ----------
    .. [1] Newcombe, R. G. (2006). Confidence intervals for an effect size measure based on the Mann-Whitney
       statistic. Part 2: asymptotic methods and evaluation. Statistics in Medicine 25, 559-573.

    Examples
    --------
    >>> first = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]
    >>> second = [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    >>> effect = probability_of_superiority(first, second)
    >>> round(effect.estimate, 6)
    0.788961
    """
    alpha = check_alpha(_SUPERIORITY, alpha)
    theta, interval = _estimate(_SUPERIORITY, baseline, treatment, alpha)
    return Effect(name=_SUPERIORITY, estimate=theta, interval=interval, confidence=1 - alpha)


def cliffs_delta(baseline: ArrayLike, treatment: ArrayLike, *, alpha: float = 0.05) -> Effect:
    r"""Estimate Cliff's :math:`\delta = P(T > B) - P(T < B) = 2\theta - 1` [1]_.

    Parameters
    ----------
    baseline, treatment, alpha
        As in `probability_of_superiority`, whose interval is used.

    Returns
    -------
    Effect
        In [-1, 1]; 0 if neither arm tends to larger values.

    Raises
    ------
    SampleError
        As in `probability_of_superiority`.

    Notes
    -----
    Wrong for pairs.

    References
    ----------
    .. [1] Cliff, N. (1993). Dominance statistics: ordinal analyses to answer ordinal questions. Psychological
       Bulletin 114, 494-509.

    Examples
    --------
    >>> cliffs_delta([1, 2, 3], [2, 3, 4, 5]).estimate
    0.6666666666666667
    """
    alpha = check_alpha(_DELTA, alpha)
    theta, (low, high) = _estimate(_DELTA, baseline, treatment, alpha)
    interval = 2 * low - 1, 2 * high - 1
    return Effect(name=_DELTA, estimate=2 * theta - 1, interval=interval, confidence=1 - alpha)


def superiority(first: Sample, second: Sample) -> float:
    """Return the part of pairs in which the second sample's value is the larger, equal ones counted half."""
    ordered = np.sort(first)
    below = np.searchsorted(ordered, second, side="left").astype(np.float64)
    upto = np.searchsorted(ordered, second, side="right")
    return float((below + upto).sum()) / (2 * first.size * second.size)


def superiority_interval(theta: float, n: int, m: int, alpha: float) -> tuple[float, float]:
    """Return Newcombe's interval, method 5, of an observed probability of superiority."""
    z = normal_quantile(alpha)
    return _lower_limit(theta, n, m, z), 1 - _lower_limit(1 - theta, n, m, z)


def _estimate(
    test: str, baseline: ArrayLike, treatment: ArrayLike, alpha: float
) -> tuple[float, tuple[float, float]]:
    first = as_sample(test, "baseline", baseline, minimum=1)
    second = as_sample(test, "treatment", treatment, minimum=1)
    theta = superiority(first, second)
    return theta, superiority_interval(theta, first.size, second.size, alpha)


def _lower_limit(theta: float, n: int, m: int, z: float) -> float:
    exponent = (n + m) / 2 - 1

    def rejected(value: float) -> bool:
        factor = 1 + exponent * (1 - value) / (2 - value) + exponent * value / (1 + value)
        return theta - value > z * math.sqrt(value * (1 - value) * factor / (n * m))

    low, high = 0.0, theta
    while low < (middle := (low + high) / 2) < high and high - low > 1e-15:
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low
