"""Means and variances that neither overflow nor depend on the order of the replicates.

Statistics are computed on values divided by a power of two that brings the largest into [1/2, 1): that is
exact, and no square overflows or vanishes. Sums are math.fsum's, so that the order of the replicates changes
nothing.
"""

from __future__ import annotations

import math

import numpy as np

from crystallize.stats.samples import Sample


def largest(*samples: Sample) -> float:
    """Return the largest absolute value."""
    return max([float(np.maximum.reduce(np.abs(sample))) for sample in samples])


def common_exponent(*samples: Sample) -> int:
    """Return the k for which the largest absolute value times 2^-k is in [1/2, 1), or 0 if all are 0."""
    return math.frexp(largest(*samples))[1]


def scaled(values: Sample, exponent: int) -> Sample:
    """Return the values times 2^exponent."""
    with np.errstate(all="ignore"):  # what is lost is below the smallest float beside the largest value
        return np.ldexp(values, exponent)


def scaled_float(value: float, exponent: int) -> float:
    """Return the value times 2^exponent; infinite beyond floats."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def moments(values: Sample) -> tuple[float, float]:
    """Return the mean and the unbiased variance of at least two values."""
    n = values.size
    mean = math.fsum(values.tolist()) / n
    with np.errstate(under="ignore"):
        squares = np.square(values - mean)
    return mean, math.fsum(squares.tolist()) / (n - 1)
