"""Whether differences are so skewed that Student's t is too ready to reject in one direction."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.stats.moments import common_exponent, largest, moments, scaled
from crystallize.stats.result import Alternative
from crystallize.stats.samples import REMEMBERED, Sample, as_sample

_NAME: Final = "skewness"
_HARMFUL: Final = 0.148
_ONE_IN_TWENTY: Final = 1.645
_FEWEST: Final = 3


def skewness(values: ArrayLike) -> float:
    r"""Return the sample skewness :math:`m_3/m_2^{3/2}`, 0 of values that do not vary.

    Parameters
    ----------
    values : array_like, shape (n,)
        Finite numbers.

    Examples
    --------
    >>> round(skewness([0, 0, 0, 0, 1]), 4)
    1.5
    """
    return _skewness(as_sample(_NAME, "values", values, minimum=1))


def _skewness(sample: Sample) -> float:
    size = largest(sample)
    if float(np.ptp(sample)) <= 1e-12 * size:
        return 0.0
    centred = sample / size
    centred -= centred.mean()
    second = float((centred**2).mean())
    return float((centred**3).mean()) / math.pow(second, 1.5)


def is_too_skewed(*samples: ArrayLike, claimed: Alternative) -> bool:
    r"""Return whether a mean is skewed against what is claimed of it, beyond what normal samples show.

    With skewness :math:`\gamma`, :math:`P(T \le -z) \approx \Phi(-z) + \gamma (2 z^2 + 1) \phi(z)/(6 \sqrt
    n)` [1]_: values with a long tail on the far side of the claim, which mostly does not show, make a true
    null hypothesis seem false. It is told if :math:`g/\sqrt n` exceeds .148 and, so that of normal samples at
    most one in twenty is called skewed, 1.645 of its standard errors. The skewness of a difference of two
    means is that of their parts, weighted by their variances.

    Parameters
    ----------
    *samples : array_like
        The differences of pairs, or the values of baseline and treatment.
    claimed : {"two-sided", "greater", "less"}
        The side on which the claim lies; on "two-sided" either direction counts.

    Notes
    -----
    That it is not told proves nothing: of lognormal values (log SD 1) against normal ones it sees .70 at
    n = 30 if these have SD 1, .34 if they have the same SD, and few at n = 10; no sample shows a loss that
    did not occur in it.

    References
    ----------
    .. [1] Hall, P. (1992). The bootstrap and Edgeworth expansion. Springer.

    Examples
    --------
    >>> differences = [1.0] * 28 + [-9.0, -30.0]
    >>> is_too_skewed(differences, claimed="greater"), is_too_skewed(differences, claimed="less")
    (True, False)
    """
    arms = [as_sample(_NAME, "values", values, minimum=1) for values in samples]
    if min(arm.size for arm in arms) < _FEWEST:
        return False
    known = sum(arm.size for arm in arms) <= REMEMBERED
    skew, noise = _skew_of_bytes(*(arm.tobytes() for arm in arms)) if known else _skew(*arms)
    against = {"greater": -skew, "less": skew, "two-sided": abs(skew)}[claimed]
    return against > max(_HARMFUL, _ONE_IN_TWENTY * math.sqrt(noise))


@lru_cache(maxsize=128)
def _skew_of_bytes(*arms: bytes) -> tuple[float, float]:
    return _skew(*map(np.frombuffer, arms))


def _skew(*arms: Sample) -> tuple[float, float]:
    """Return the skewness of the mean, or of the difference of two, and its variance of normal samples."""
    exponent = common_exponent(*arms)
    variances = [moments(scaled(arm, -exponent))[1] / arm.size for arm in arms]
    total = math.fsum(variances)
    if total == 0:
        return 0.0, 0.0
    skew = noise = 0.0
    signs = (-1, 1)[-len(arms) :]  # treatment minus baseline
    for sign, arm, variance in zip(signs, arms, variances, strict=True):
        n, share = arm.size, variance / total
        skew += sign * _skewness(arm) * share**1.5 / math.sqrt(n)
        noise += share**3 * 6 * (n - 2) / ((n + 1) * (n + 3)) / n
    return skew, noise
