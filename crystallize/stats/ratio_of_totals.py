"""Ratio of two totals, such as cost per success, in both conditions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.comparison import Comparison
from crystallize.stats.degenerate import snap, spread
from crystallize.stats.moments import common_exponent, largest, scaled, scaled_float
from crystallize.stats.precision import rounding_of_rest
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.roots import falling_root_from
from crystallize.stats.samples import Sample, as_sample, as_two, check_compare, check_lengths, checked_options
from crystallize.stats.t import paired_t

_NAME: Final = "ratio of totals"
_Pair = tuple[ArrayLike, ArrayLike]
_FARTHEST: Final = 2.0**300  # shifts of values below 1 beyond are as good as infinite
_ROUNDED: Final = 2.0**-8  # residuals beyond are no rounding, whatever the type of the values


def ratio_of_totals(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    denominators: tuple[ArrayLike, ArrayLike],
    compare: Comparison = paired_t,
    relative: bool = False,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the ratio of totals, :math:`R = \sum y / \sum x`, of the treatment against the baseline's [1]_.

    Under the null hypothesis :math:`R_t = R_b + \text{shift}`, R being pooled over both arms, the residuals
    :math:`y - R x` of both have mean 0; `compare` tests their difference against 0.

    Parameters
    ----------
    baseline, treatment : array_like
        Numerators y, as `compare` takes them.
    denominators : pair of array_like
        Denominators x of both, none negative, and not all 0.
    compare : callable
        `paired_t`, `welch_t` or another test of means; options of its own are bound with functools.partial.
    relative : bool
        Whether the shift, and what is estimated, is the change of R as a part of the baseline's.
    alternative : {"two-sided", "greater", "less"}
        The claim about the difference of the ratios.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference of the ratios under the null hypothesis, or above -1 the relative change.

    Returns
    -------
    TestResult
        `estimate` is the difference of the ratios; `interval` holds the shifts that the two-sided test does
        not reject at alpha.

    Raises
    ------
    SampleError
        If a denominator is negative or all are 0, a relative change is asked of a ratio of 0, or as `compare`
        does.

    Notes
    -----
    The mean of the replicates' own ratios is another thing, and has none where a replicate had no success.
    Pooling R under the null hypothesis keeps the level (.011 to .057 for .05); the delta method on the
    logarithm of R has .09. Residuals that rounding alone leaves are none, and those that it alone keeps apart
    are equal.

    References
    ----------
    .. [1] Cochran, W. G. (1977). Sampling techniques, 3rd edition, chapter 6. Wiley.

    Examples
    --------
    >>> cost, success = [5.0, 7.0, 4.0, 6.0, 8.0], [2, 3, 1, 2, 4]
    >>> cheaper, more = [4.0, 6.0, 4.0, 5.0, 6.5], [2, 3, 2, 3, 4]
    >>> result = ratio_of_totals(cost, cheaper, denominators=(success, more))
    >>> round(result.estimate, 4), round(result.p_value, 4)
    (-0.6786, 0.0122)
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift)
    check_compare(_NAME, compare)
    recorded = (baseline, treatment), as_two(_NAME, "denominators", denominators)
    arms, exponents = _arms(*recorded)
    power = 0 if relative else exponents[0] - exponents[1]  # of the unit of the ratios
    first, second = (math.fsum(y) / math.fsum(x) for y, x in arms)
    if relative and (first == 0 or shift <= -1):
        what = "the baseline's ratio is 0, of which there is no part" if first == 0 else f"shift is {shift!r}"
        raise SampleError(f"{_NAME}: {what}; allowed are changes above -1 of a ratio that is not 0")
    sign = math.copysign(1.0, first) if relative else 1.0

    def tested(shift: float, **options: Any) -> TestResult:
        by = sign * shift if relative else shift
        residuals = _residuals(arms, by, recorded, exponents, relative=relative)
        return compare(*residuals, shift=0.0, **options)

    # Of numerators of one sign no ratio has the other.
    turns = min(float(y.min()) for y, _ in arms) < 0 < max(float(y.max()) for y, _ in arms)
    null = min(max(scaled_float(shift, -power), -_FARTHEST), _FARTHEST)
    result = tested(null, alternative=alternative, alpha=alpha)
    estimate = (second - first) / abs(first) if relative else second - first
    if result.degenerate and result.estimate == 0:  # no residual is more than rounding
        estimate = null

    def end(index: int) -> float:
        def edge(shift: float) -> float:
            if relative and sign * shift <= -1 and not turns:
                return math.inf * sign
            return tested(shift, alternative="two-sided", alpha=alpha).interval[index]

        return falling_root_from(edge, estimate)

    ends = end(0), end(1)
    return replace(
        result,
        test=f"{_NAME}, {result.test}",
        estimate=scaled_float(estimate, power),
        interval=(scaled_float(min(*ends, estimate), power), scaled_float(max(*ends, estimate), power)),
        null=shift,
        sign=result.side,
        estimand="relative change of the ratio" if relative else "difference of the ratios",
    )


def ratio_scores(
    baseline: ArrayLike, treatment: ArrayLike, denominators: tuple[ArrayLike, ArrayLike]
) -> tuple[Sample, Sample]:
    """Return what varies in each arm's ratio: residuals over the mean denominator.

    Parameters
    ----------
    baseline, treatment, denominators
        As in `ratio_of_totals`.

    Examples
    --------
    >>> first, second = ratio_scores([2.0, 4.0], [3.0, 5.0], ([1.0, 2.0], [1.0, 2.0]))
    >>> first.round(3).tolist(), second.round(3).tolist()
    ([-0.222, -0.444], [0.444, 0.222])
    """
    recorded = (baseline, treatment), as_two(_NAME, "denominators", denominators)
    arms, exponents = _arms(*recorded)
    first, second = _residuals(arms, 0.0, recorded, exponents, relative=False)
    power = exponents[0] - exponents[1]
    return scaled(first / arms[0][1].mean(), power), scaled(second / arms[1][1].mean(), power)


def _arms(numerators: _Pair, denominators: _Pair) -> tuple[list[tuple[Sample, Sample]], tuple[int, int]]:
    """Return numerators and denominators of both arms, divided by a power of two each, and the exponents."""
    arms = []
    for arm, values, below in zip(("baseline", "treatment"), numerators, denominators, strict=True):
        y = as_sample(_NAME, arm, values, minimum=1)
        x = as_sample(_NAME, f"denominator of {arm}", below, minimum=1)
        check_lengths(_NAME, y, x)
        if (x < 0).any() or not x.any():
            what = "is negative somewhere" if (x < 0).any() else "is 0 throughout"
            raise SampleError(f"{_NAME}: the denominator of {arm} {what}; allowed are 0 and more, not all 0")
        arms.append((y, x))
    of_values, of_denominators = (common_exponent(*samples) for samples in zip(*arms, strict=True))
    divided = [(scaled(y, -of_values), scaled(x, -of_denominators)) for y, x in arms]
    return divided, (of_values, of_denominators)


def _residuals(
    arms: list[tuple[Sample, Sample]],
    shift: float,
    recorded: tuple[_Pair, _Pair],
    exponents: tuple[int, int],
    *,
    relative: bool,
) -> tuple[Sample, Sample]:
    (y, x), (z, w) = arms
    if relative:  # 1 + shift times the baseline's ratio has its sign, or the other
        y, z = (y, z / (1 + shift)) if shift > -1 else (y * (1 + shift), z)
        shift = 0.0
    pooled = (math.fsum(y) + math.fsum(z) - shift * math.fsum(w)) / (math.fsum(x) + math.fsum(w))
    first, second = y - pooled * x, z - (pooled + shift) * w
    apart = [max(spread(first), spread(second))]
    if first.size == second.size:
        apart.append(spread(second - first))
    if min(apart) > _ROUNDED * largest(y, z):
        return first, second
    tolerance = rounding_of_rest(*recorded, pooled, exponents)
    if largest(first, second) <= tolerance:
        return np.zeros_like(y), np.zeros_like(z)
    if apart[0] <= tolerance:
        return np.full_like(y, math.fsum(first) / y.size), np.full_like(z, math.fsum(second) / z.size)
    if apart[-1] <= tolerance:
        return first, first + snap(math.fsum(second - first) / y.size, 0.0, tolerance)
    return first, second
