"""Whether differences are so skewed that Student's t is too ready to reject in one direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.moments import common_exponent, moments, scaled
from crystallize.stats.result import Alternative
from crystallize.stats.samples import Sample, as_sample, check_alternative

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
    low, high = float(np.minimum.reduce(sample)), float(np.maximum.reduce(sample))
    size = max(abs(low), abs(high))
    if high - low <= 1e-12 * size:
        return 0.0
    centred = sample / size
    centred -= _mean(centred)
    return _mean(centred**3) / math.pow(_mean(centred**2), 1.5)


def _mean(sample: Sample) -> float:
    return float(np.add.reduce(sample)) / sample.size


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

    Raises
    ------
    SampleError
        If a value is not finite, there are other than one or two samples, or the side is none of these.

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
    check_alternative(_NAME, claimed)
    if len(samples) not in (1, 2):
        raise SampleError(f"{_NAME}: {len(samples)} samples; allowed are one, or those of both arms")
    return is_harmful(*skew_of_mean(*samples), claimed)


def is_harmful(skew: float, noise: float, claimed: Alternative) -> bool:
    """Return whether a skewness of the mean, with its variance, is against what is claimed."""
    against = {"greater": -skew, "less": skew, "two-sided": abs(skew)}[claimed]
    return against > max(_HARMFUL, _ONE_IN_TWENTY * math.sqrt(noise))


def skew_of_mean(*samples: ArrayLike) -> tuple[float, float]:
    """Return the skewness of the mean, or of the difference of two, and its variance in normal samples.

    It is 0 of samples that are too small to tell.
    """
    arms = [as_sample(_NAME, "values", values, minimum=1) for values in samples]
    if min(arm.size for arm in arms) < _FEWEST:
        return 0.0, 0.0
    skew = noise = 0.0
    signs = (-1, 1)[-len(arms) :]  # treatment minus baseline
    for sign, arm, share in zip(signs, arms, _shares_of_variance(arms), strict=True):
        n = arm.size
        skew += sign * _skewness(arm) * share**1.5 / math.sqrt(n)
        noise += share**3 * 6 * (n - 2) / ((n + 1) * (n + 3)) / n
    return skew, noise


def _shares_of_variance(arms: Sequence[Sample]) -> list[float]:
    """Return which part of the variance of what is compared is that of the mean of each arm."""
    if len(arms) == 1:
        return [1.0]
    exponent = common_exponent(*arms)
    variances = [moments(scaled(arm, -exponent))[1] / arm.size for arm in arms]
    total = math.fsum(variances)
    return [variance / total if total else 0.0 for variance in variances]
