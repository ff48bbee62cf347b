"""Ratio of geometric means: a test of means of logarithms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.comparison import Comparison
from crystallize.stats.moments import largest, scaled
from crystallize.stats.precision import precision_of, rounded_as
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, as_sample, check_compare, checked_options
from crystallize.stats.t import paired_t

_NAME: Final = "log ratio"
_NEAR_ZERO: Final = 2.0**-4
ESTIMAND: Final = "change of the geometric mean"


def log_ratio(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    compare: Comparison = paired_t,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the ratio of two geometric means by the difference of mean logarithms [1]_.

    The null hypothesis is :math:`E[\log t] - E[\log b] = \log(1 + \text{shift})`, tested by `compare` on the
    logarithms; what it estimates is turned back into a change, the ratio minus 1.

    Parameters
    ----------
    baseline, treatment : array_like
        Positive numbers, as `compare` takes them: times, costs per item, tokens.
    compare : callable
        `paired_t`, `welch_t` or another test of means; options of its own are bound with functools.partial.
    alternative : {"two-sided", "greater", "less"}
        The claim about the ratio against 1 + `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Change under the null hypothesis, above -1: -0.2 for a fifth less.

    Returns
    -------
    TestResult
        `estimate` and the ends of the interval are changes of the geometric mean: 0.25 for a quarter more.

    Raises
    ------
    SampleError
        If a value is not positive, or as `compare` does.

    Notes
    -----
    It speaks of geometric means alone. A total is n times the arithmetic mean, which moves otherwise where
    the spread of the logarithms changes: of equal arithmetic means of pairs that are correlated by .5, with
    log SD .5 and 1, it rejects .24 at n = 10, .63 at 30 and .99 at 100.

    References
    ----------
    .. [1] Bland, J. M. and Altman, D. G. (1996). The use of transformation when comparing two means. BMJ 312,
       1153.

    Examples
    --------
    >>> result = log_ratio([10.0, 12.0, 9.0, 15.0], [8.1, 9.3, 7.4, 11.9])
    >>> round(result.estimate, 4), [round(end, 4) for end in result.interval]
    (-0.2001, [-0.2321, -0.1667])
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift)
    if shift <= -1:
        raise SampleError(
            f"{_NAME}: shift is {shift!r}; allowed are changes above -1, of which -0.2 is a fifth less"
        )
    check_compare(_NAME, compare)
    logs = logarithms(baseline, treatment)
    result = compare(*logs, alternative=alternative, alpha=alpha, shift=math.log1p(shift))
    low, high = map(relative_change_of, result.interval)
    return replace(
        result,
        test=f"log {result.test}",
        estimate=relative_change_of(result.estimate),
        interval=(low, high),
        null=shift,
        sign=result.side,
        estimand=ESTIMAND,
    )


def relative_change_of(logarithm: float) -> float:
    """Return the relative change that a ratio is, given its logarithm; infinite beyond floats."""
    try:
        return math.expm1(logarithm)
    except OverflowError:
        return math.inf


def logarithms(baseline: ArrayLike, treatment: ArrayLike) -> tuple[Sample, Sample]:
    """Return the logarithms of two samples, less what is common to both, in the precision of the values.

    Parameters
    ----------
    baseline, treatment : array_like, shapes (n,) and (m,)
        Finite numbers, > 0.

    Raises
    ------
    SampleError
        If a value is not positive and finite.

    Examples
    --------
    >>> first, second = logarithms([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    >>> (second - first).round(4).tolist()
    [0.6931, 0.6931, 0.6931]
    """
    arms = []
    for arm, values in (("baseline", baseline), ("treatment", treatment)):
        sample = as_sample(_NAME, arm, values, minimum=1)
        if not (sample > 0).all():
            position = int(np.argmin(sample > 0))
            raise SampleError(
                f"{_NAME}: {arm}[{position}] is {float(sample[position])}; allowed are positive numbers, "
                "which have ratios; compare means of others"
            )
        arms.append(sample)
    precision = precision_of((baseline, arms[0]), (treatment, arms[1]))
    # Rounding moves a logarithm by as much as its value is rounded, however near to 0 the logarithm is.
    if precision.is_coarse:  # by digits that are seen: in no unit they are worth more than in another
        unit = 1 - math.frexp(min(float(arm.min()) for arm in arms))[1]
        return (
            rounded_as(precision, np.log(scaled(arms[0], unit)) + 1),
            rounded_as(precision, np.log(scaled(arms[1], unit)) + 1),
        )
    first, second = np.log(arms[0]), np.log(arms[1])
    sizes = np.abs(first), np.abs(second)
    nearest = np.maximum(*sizes) if first.size == second.size else np.concatenate(sizes)
    if float(nearest.min()) < _NEAR_ZERO or largest(first, second) < 1:
        lowest = min(float(first.min()), float(second.min()))
        shift = 1 - _NEAR_ZERO * math.floor(lowest / _NEAR_ZERO)  # not far above 1, where digits are lost
        first, second = first + shift, second + shift
    return first, second
