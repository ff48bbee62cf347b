"""Tests of means that a covariate makes sharper: what it explains by chance is taken out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.comparison import Comparison
from crystallize.stats.degenerate import (
    constant_p_value,
    continuous_p_value,
    paired_floor,
    snap,
    spread,
)
from crystallize.stats.moments import common_exponent, scaled, scaled_float
from crystallize.stats.precision import rounding_of_rest
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, as_sample, as_two, check_compare, check_lengths, checked_options
from crystallize.stats.t import paired_t, welch_t
from crystallize.stats.tails import t_p_value, t_quantile

_NAME: Final = "adjusted t"
_CHANGED: Final = 0.01
"""Two-sided level at which a covariate counts as changed by the treatment."""

_FARTHEST: Final = 200
"""Values up to this power of two, and from its inverse on, have sums of squares of squares."""

Covariates = tuple[ArrayLike, ArrayLike]


def adjusted_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    covariates: Covariates,
    compare: Comparison = paired_t,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the difference of two means, less what a covariate explains of it by chance [1]_.

    Of pairs, the differences :math:`d_i` are regressed on those of the covariate, :math:`z_i`, whose mean is
    0: the intercept estimates the mean difference, with n - 2 degrees of freedom. Of independent arms, both
    are regressed with one slope. Of any other design (units under several seeds, resplits), `compare` tests
    the differences less slope times :math:`z`.

    Parameters
    ----------
    baseline, treatment : array_like
        As `compare` takes them.
    covariates : pair of array_like
        The covariate's value beside each value: what else differs between the runs by chance, such as the
        length of an input or the load of a machine.
    compare : callable
        `paired_t`, `welch_t`, or another test of means of pairs with options bound by functools.partial.
    alternative : {"two-sided", "greater", "less"}
        The claim about the difference of the means against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference under the null hypothesis, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is the adjusted difference.

    Raises
    ------
    SampleError
        If the treatment changes the covariate (two-sided p at most .01), there are fewer than four values, or
        as `compare` does.

    Notes
    -----
    A covariate that is the same in both conditions of every pair differs by nothing, and saves nothing. One
    that the treatment changes is a result, and to adjust for it takes a part of the effect away. Where it
    explains all but rounding, what is left is treated as equal differences are by `compare`; n pairs are then
    worth n - 1.

    References
    ----------
    .. [1] Deng, A., Xu, Y., Kohavi, R. and Walker, T. (2013). Improving the sensitivity of online controlled
       experiments by utilizing pre-experiment data. WSDM '13, 123-132.

    Examples
    --------
    >>> before, after = [3.1, 4.0, 2.2, 5.1, 3.9], [3.9, 4.1, 3.6, 6.6, 4.4]
    >>> load = [1.0, 2.0, 0.5, 3.0, 2.1], [1.4, 1.6, 1.2, 4.1, 1.9]
    >>> result = adjusted_t(before, after, covariates=load)
    >>> round(result.estimate, 4), round(result.p_value, 4), round(paired_t(before, after).p_value, 4)
    (0.5636, 0.0073, 0.0318)
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift)
    check_compare(_NAME, compare)
    covariates = as_two(_NAME, "covariates", covariates)
    first, second, x, w = _samples(baseline, treatment, covariates, paired=compare is not welch_t)
    change = compare(x, w, alternative="two-sided", alpha=alpha, shift=0.0)
    if change.p_value <= _CHANGED:
        raise SampleError(
            f"{_NAME}: the treatment changes the covariate (by {change.estimate:.4g}, p = "
            f"{change.p_value:.2g}), so it is a result, not a covariate; claim it, or leave covariate out"
        )
    powers = _far(first, second), _far(x, w)
    if any(powers):
        found = adjusted_t(
            *_divided((first, second), powers[0]),
            covariates=_divided((x, w), powers[1]),
            compare=compare,
            alternative=alternative,
            alpha=alpha,
            shift=scaled_float(shift, -powers[0]),
        )
        low, high = (scaled_float(end, powers[0]) for end in found.interval)
        estimate = scaled_float(found.estimate, powers[0])
        return replace(found, estimate=estimate, interval=(low, high), null=shift)
    if compare is paired_t:
        known = (baseline, treatment), covariates
        return _intercept(known, first, second, w - x, alternative, alpha, shift)
    if compare is welch_t:
        return _common_slope((first, x), (second, w), alternative, alpha, shift)
    slope = _slope(second - first, w - x)
    first, second = first - slope * x, second - slope * w
    tolerance = rounding_of_rest((baseline, treatment), covariates, slope)
    if spread(second - first) <= tolerance:
        first, second = np.zeros_like(first), _levelled(second - first, tolerance, shift)
    return compare(first, second, alternative=alternative, alpha=alpha, shift=shift)


def variance_saved(
    baseline: ArrayLike, treatment: ArrayLike, *, covariates: Covariates, compare: Comparison = paired_t
) -> float:
    """Return the part of the variance of the estimated difference that a covariate saves; below 0 if none.

    Parameters
    ----------
    baseline, treatment, covariates, compare
        As in `adjusted_t`.

    Examples
    --------
    >>> before, after = [3.1, 4.0, 2.2, 5.1, 3.9], [3.9, 4.1, 3.6, 6.6, 4.4]
    >>> load = [1.0, 2.0, 0.5, 3.0, 2.1], [1.4, 1.6, 1.2, 4.1, 1.9]
    >>> round(variance_saved(before, after, covariates=load), 3)
    0.895
    """
    check_compare(_NAME, compare)
    covariates = as_two(_NAME, "covariates", covariates)
    first, second, x, w = _samples(baseline, treatment, covariates, paired=compare is not welch_t)
    if power := _far(first, second):
        divided = _divided((first, second), power)
        return variance_saved(*divided, covariates=(x, w), compare=compare)
    plain = compare(baseline, treatment, alternative="two-sided", alpha=0.05, shift=0.0)
    adjusted = adjusted_t(baseline, treatment, covariates=covariates, compare=compare)
    errors = [_standard_error(result) for result in (adjusted, plain)]
    return 1 - (errors[0] / errors[1]) ** 2 if errors[1] > 0 else 0.0


def _standard_error(result: TestResult) -> float:
    radius = (result.interval[1] - result.interval[0]) / 2
    return radius / t_quantile(1 - result.confidence, result.df) if result.df else 0.0


def _samples(
    baseline: ArrayLike, treatment: ArrayLike, covariates: Covariates, *, paired: bool
) -> tuple[Sample, Sample, Sample, Sample]:
    named = (("baseline", baseline), ("treatment", treatment))
    first, second = (as_sample(_NAME, arm, values, minimum=4) for arm, values in named)
    x, w = (
        as_sample(_NAME, f"covariate of {arm}", values, minimum=4)
        for (arm, _), values in zip(named, covariates, strict=True)
    )
    check_lengths(_NAME, first, x)
    check_lengths(_NAME, second, w)
    if paired:
        check_lengths(_NAME, first, second)
    return first, second, x, w


def _far(first: Sample, second: Sample) -> int:
    """Return the exponent of the largest value where floats may not hold products of values; else 0."""
    exponent = common_exponent(first, second)
    return exponent if abs(exponent) > _FARTHEST else 0


def _divided(arms: tuple[Sample, Sample], power: int) -> tuple[Sample, Sample]:
    return scaled(arms[0], -power), scaled(arms[1], -power)


def _slope(y: Sample, x: Sample) -> float:
    centred = x - x.mean()
    squares = float(centred @ centred)
    return float(centred @ y) / squares if squares > 0 else 0.0


def _levelled(values: Sample, tolerance: float, shift: float) -> Sample:
    """Return as equal what rounding alone keeps apart."""
    return np.full_like(values, snap(snap(float(values.mean()), 0.0, tolerance), shift, tolerance))


def _intercept(
    known: tuple[Covariates, Covariates],
    first: Sample,
    second: Sample,
    z: Sample,
    alternative: Alternative,
    alpha: float,
    shift: float,
) -> TestResult:
    """Return the test of the intercept of the regression of differences on those of the covariate."""
    plain = paired_t(first, second, alternative=alternative, alpha=alpha, shift=shift)
    n, squares = z.size, float(np.square(z - z.mean()).sum())
    differences = second - first
    slope = _slope(differences, z)
    residuals = differences - differences.mean() - slope * (z - z.mean())
    variance = float(residuals @ residuals) / (n - 2)
    if plain.degenerate or squares <= 1e-24 * float(np.square(z).sum()):
        return replace(plain, test="adjusted paired t")
    tolerance = rounding_of_rest(*known, slope)
    adjusted = differences - slope * z
    if spread(adjusted) <= tolerance:  # a line is given by two points: n on it are worth n - 1 signs
        equal = _levelled(adjusted, tolerance, shift)[1:]
        plain = paired_t(np.zeros_like(equal), equal, alternative=alternative, alpha=alpha, shift=shift)
        return replace(plain, test="adjusted paired t", n=n)
    if variance == 0:  # below the smallest float
        return replace(plain, test="adjusted paired t")
    error = math.sqrt(variance * (1 / n + z.mean() ** 2 / squares))
    estimate = float(differences.mean() - slope * z.mean())
    found = _answer(plain, "adjusted paired t", estimate, error, n - 2.0, alternative, alpha, shift)
    floor = constant_p_value(estimate - shift, paired_floor(n - 1), alternative)
    p_value = continuous_p_value(found.p_value, floor, spread(adjusted), tolerance, n - 2.0)
    return replace(found, p_value=p_value)


def _common_slope(
    baseline: tuple[Sample, Sample],
    treatment: tuple[Sample, Sample],
    alternative: Alternative,
    alpha: float,
    shift: float,
) -> TestResult:
    """Return Welch's test of values less a common slope times the covariate."""
    (y, x), (z, w) = baseline, treatment
    centred = np.concatenate((x - x.mean(), w - w.mean()))
    values = np.concatenate((y - y.mean(), z - z.mean()))
    squares = float(centred @ centred)
    if squares == 0:
        plain = welch_t(y, z, alternative=alternative, alpha=alpha, shift=shift)
        return replace(plain, test="adjusted Welch t")
    slope = float(centred @ values) / squares
    first, second = y - slope * x, z - slope * w
    tolerance = rounding_of_rest((y, z), (x, w), slope)
    if max(spread(first), spread(second)) <= tolerance:
        level = float(first.mean())
        first, second = np.zeros_like(first), _levelled(second - level, tolerance, shift)
    plain = welch_t(first, second, alternative=alternative, alpha=alpha, shift=shift)
    if plain.degenerate or plain.df is None:
        return replace(plain, test="adjusted Welch t")
    residuals = values - slope * centred
    of_slope = float(residuals @ residuals) / (values.size - 3) / squares
    error = math.hypot(_standard_error(plain), (w.mean() - x.mean()) * math.sqrt(of_slope))
    return _answer(plain, "adjusted Welch t", plain.estimate, error, plain.df - 1, alternative, alpha, shift)


def _answer(
    plain: TestResult,
    test: str,
    estimate: float,
    error: float,
    df: float,
    alternative: Alternative,
    alpha: float,
    shift: float,
) -> TestResult:
    t, radius = (estimate - shift) / error, t_quantile(alpha, df) * error
    return replace(
        plain,
        test=test,
        p_value=t_p_value(t, df, alternative),
        statistic=t,
        df=df,
        estimate=estimate,
        interval=(estimate - radius, estimate + radius),
        degenerate=False,
    )
