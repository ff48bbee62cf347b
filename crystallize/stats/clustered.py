"""Test of a mean difference when several values belong to one unit."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystallize.errors import SampleError
from crystallize.stats.degenerate import (
    RELATIVE_TOLERANCE,
    constant_p_value,
    constant_statistic,
    paired_floor,
    snap,
)
from crystallize.stats.moments import common_exponent, largest, scaled, scaled_float
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, as_sample, checked_options
from crystallize.stats.tails import t_p_value, t_quantile

MINIMUM_UNITS: Final = 3
"""The fewest units that the test takes."""

_CLUSTERED: Final = "clustered t"


def clustered_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    baseline_units: Sequence[Hashable],
    treatment_units: Sequence[Hashable] | None = None,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the mean difference of values that cluster in units, by the cluster-robust t [1]_.

    The null hypothesis is :math:`\mu_t - \mu_b = \text{shift}`, the means being over values. Each of the G
    units contributes :math:`u_g = \sum_{i \in g} (t_i - \bar t)/M - \sum_{i \in g} (b_i - \bar b)/N`; the
    variance of :math:`\bar t - \bar b` is :math:`\frac{G}{G - 1} \sum_g u_g^2` (CR1), with G - 1 degrees of
    freedom. Values of one unit may depend on one another in any way, within an arm and across.

    Parameters
    ----------
    baseline : array_like, shape (N,)
        Finite numbers, all replicates in one array.
    treatment : array_like, shape (M,)
        Finite numbers, all replicates in one array.
    baseline_units : sequence of hashable, length N
        The unit (the case, say) that each value belongs to; at least 3 different ones.
    treatment_units : sequence of hashable, length M, optional
        Likewise; the baseline's if left out. Both arms have the same set of units.
    alternative : {"two-sided", "greater", "less"}
        The claim about the difference of the means against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference of the means under the null hypothesis, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is the difference of the means, `n` the number G of units.

    Raises
    ------
    SampleError
        If a value is not finite, a value lacks its unit, the arms differ in units, G < 3, or an option is
        out of its range.

    Notes
    -----
    Speaks of units: replicates of the same few units make it no surer. Where each unit has as many values as
    any other it is the paired t test of the units' means. With few and very unequal units it is too ready to
    reject. Wrong if units depend on one another, such as folds that share training data; and it takes no
    account of what all units of one replicate share, such as the seed of one trained model.

    If all contributions are 0 (at most 1e-12 of the largest absolute value) the difference c is the same in
    all units: p is that of G equal signs, 2^(1-G) two-sided and 2^(-G) one-sided (1 if c is `shift`, or lies
    on the other side of it); the interval is [c, c], and the result is flagged `degenerate`.

    References
    ----------
    .. [1] Cameron, A. C. and Miller, D. L. (2015). A practitioner's guide to cluster-robust inference.
       Journal of Human Resources 50, 317-372.

    Examples
    --------
    Two replicates of four cases:

    >>> cases = ["a", "b", "c", "d"] * 2
    >>> first, second = [5, 6, 8, 7, 5, 7, 8, 6], [6, 8, 8, 8, 7, 7, 9, 8]
    >>> result = clustered_t(first, second, baseline_units=cases)
    >>> result.estimate, round(result.statistic, 4), result.df, round(result.p_value, 4)
    (1.125, 4.7001, 3.0, 0.0182)
    """
    alpha, shift = checked_options(_CLUSTERED, alternative, alpha, shift)
    first = as_sample(_CLUSTERED, "baseline", baseline, minimum=1)
    second = as_sample(_CLUSTERED, "treatment", treatment, minimum=1)
    if treatment_units is None:
        treatment_units = baseline_units
    units = _unit_numbers(first.size, baseline_units, second.size, treatment_units)
    n = int(units[0].max()) + 1
    exponent = common_exponent(first, second)
    first, second = scaled(first, -exponent), scaled(second, -exponent)
    tolerance = RELATIVE_TOLERANCE * largest(first, second)
    means = math.fsum(first.tolist()) / first.size, math.fsum(second.tolist()) / second.size
    mean, null = means[1] - means[0], scaled_float(shift, -exponent)
    contributions = _unit_sums((second - means[1]) / second.size, units[1], n)
    contributions -= _unit_sums((first - means[0]) / first.size, units[0], n)
    degenerate = bool(np.max(np.abs(contributions)) * n <= tolerance)
    df = n - 1.0
    if degenerate:
        mean = snap(snap(mean, 0.0, tolerance), null, tolerance)
        statistic, radius = constant_statistic(mean - null), 0.0
        p_value = constant_p_value(mean - null, paired_floor(n), alternative)
    else:
        with np.errstate(under="ignore"):
            squares = np.square(contributions).tolist()
        error = math.sqrt(n / (n - 1) * math.fsum(squares))
        statistic, radius = (mean - null) / error, t_quantile(alpha, df) * error
        p_value = t_p_value(statistic, df, alternative)
    return TestResult(
        test=_CLUSTERED,
        p_value=p_value,
        statistic=statistic,
        df=df,
        estimate=scaled_float(mean, exponent),
        interval=(scaled_float(mean - radius, exponent), scaled_float(mean + radius, exponent)),
        confidence=1 - alpha,
        n=n,
        alternative=alternative,
        null=shift,
        degenerate=degenerate,
    )


def _unit_sums(values: Sample, units: NDArray[np.intp], n: int) -> Sample:
    groups: list[list[float]] = [[] for _ in range(n)]
    for unit, value in zip(units.tolist(), values.tolist(), strict=True):
        groups[unit].append(value)
    return np.array([math.fsum(group) for group in groups])


def _unit_numbers(
    n: int, baseline_units: Sequence[Hashable], m: int, treatment_units: Sequence[Hashable]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    for arm, size, units in (("baseline", n, baseline_units), ("treatment", m, treatment_units)):
        if len(units) != size:
            raise SampleError(
                f"{_CLUSTERED}: {arm} has {size} values and {len(units)} units; allowed is one unit per value"
            )
    numbers: dict[Hashable, int] = {unit: i for i, unit in enumerate(dict.fromkeys(baseline_units))}
    others = set(treatment_units)
    for arm, missing in (("treatment", numbers.keys() - others), ("baseline", others - numbers.keys())):
        if missing:
            raise SampleError(
                f"{_CLUSTERED}: {arm} has no value of unit {min(missing, key=repr)!r} "
                f"({len(missing)} unit(s) are missing there); allowed are the same units in both arms"
            )
    if len(numbers) < MINIMUM_UNITS:
        raise SampleError(
            f"{_CLUSTERED}: the samples have {len(numbers)} unit(s); it needs at least {MINIMUM_UNITS}; "
            "more replicates of the same units do not help"
        )
    return (
        np.array([numbers[unit] for unit in baseline_units], dtype=np.intp),
        np.array([numbers[unit] for unit in treatment_units], dtype=np.intp),
    )
