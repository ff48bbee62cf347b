"""Test of a mean difference when several values belong to one unit."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystallize.errors import SampleError
from crystallize.stats.degenerate import paired_floor
from crystallize.stats.precision import as_arms
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, as_list
from crystallize.stats.t import MeanDifference, Question, answer

MINIMUM_UNITS: Final = 3
"""The fewest units that the test takes."""

_CLUSTERED: Final = "clustered t"
_ROUNDING: Final = 2.0**-44  # of sums of values below 1, whole numbers too


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

    The null hypothesis is :math:`\mu_t - \mu_b = \text{shift}`, the means being over values. Unit g of G has
    :math:`a_g` of the N values of the baseline and :math:`b_g` of the M of the treatment, and contributes

    .. math:: u_g = \frac{\sum_{i \in g} (t_i - \bar t)}{M \sqrt{1 - b_g/M}}
                  - \frac{\sum_{i \in g} (b_i - \bar b)}{N \sqrt{1 - a_g/N}};

    the variance of :math:`\bar t - \bar b` is :math:`\sum_g u_g^2` (CR2), with the degrees of freedom of Bell
    and McCaffrey [2]_: :math:`(\text{tr}\,Q)^2/\text{tr}\,Q^2`, Q being the covariance of the :math:`u_g` if
    the values were independent. Values of one unit may depend on one another in any way, within an arm and
    across.

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
    alternative, alpha, shift
        As in `paired_t`.

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
    any other it is the paired t test of the units' means. Wrong if units depend on one another, such as folds
    that share training data; and it takes no account of what all units of one replicate share, such as the
    seed of one trained model: `crossed_t` does.

    If the difference c is the same in all units (but for rounding, as in `paired_t`), p is that of G equal
    signs, 2^(1-G) two-sided and 2^(-G) one-sided (1 if c is `shift`, or lies on the other side of it); the
    interval is [c, c], and the result is flagged `degenerate`.

    References
    ----------
    .. [1] Cameron, A. C. and Miller, D. L. (2015). A practitioner's guide to cluster-robust inference.
       Journal of Human Resources 50, 317-372.
    .. [2] Bell, R. M. and McCaffrey, D. F. (2002). Bias reduction in standard errors for linear regression
       with multi-stage samples. Survey Methodology 28, 169-181.

    Examples
    --------
    Two replicates of four cases:

    >>> cases = ["a", "b", "c", "d"] * 2
    >>> first, second = [5, 6, 8, 7, 5, 7, 8, 6], [6, 8, 8, 8, 7, 7, 9, 8]
    >>> result = clustered_t(first, second, baseline_units=cases)
    >>> result.estimate, round(result.statistic, 4), round(result.df, 4), round(result.p_value, 4)
    (1.125, 4.7001, 3.0, 0.0182)
    """
    question = Question(_CLUSTERED, alternative, alpha, shift)
    arms = as_arms(_CLUSTERED, baseline, treatment, minimum=1)
    first, second = arms.baseline, arms.treatment
    if treatment_units is None:
        treatment_units = baseline_units
    units = _unit_numbers(first.size, baseline_units, second.size, treatment_units)
    n = int(units[0].max()) + 1
    sides = [_side(values, numbers, n) for values, numbers in zip((first, second), units, strict=True)]
    contributions = sides[1].contributions - sides[0].contributions
    with np.errstate(under="ignore"):
        error = math.sqrt(math.fsum(np.square(contributions).tolist()))
    spread = float(np.ptp(contributions)) * n
    constant = spread <= max(arms.precision.constant, _ROUNDING)
    mean = sides[1].mean - sides[0].mean
    difference = MeanDifference(
        mean=mean,
        error=0.0 if constant else error,
        df=n - 1.0 if constant else _bell_mccaffrey_df(sides[0].shares, sides[1].shares),
        n=n,
        arms=arms,
        apart=arms.precision.apart(spread),
        floor=paired_floor(n),
        reach=(mean - spread, mean + spread),
    )
    return answer(question, difference)


class _Side(NamedTuple):
    """Arm: its mean, and of each unit its part of the values and its contribution to the variance."""

    mean: float
    shares: Sample
    contributions: Sample


def _side(values: Sample, units: NDArray[np.intp], n: int) -> _Side:
    mean = math.fsum(values.tolist()) / values.size
    counts = np.bincount(units, minlength=n)
    shares = counts / values.size
    sums = _unit_sums(values - mean, units, n)
    return _Side(
        mean,
        np.column_stack((shares, np.full(n, float(values.size)))),
        sums / values.size / np.sqrt(1 - shares),
    )


def _bell_mccaffrey_df(first: Sample, second: Sample) -> float:
    """Return the degrees of freedom, from each unit's share of the values in both arms, and their number.

    With k = 1/(1 - share), Q = D - v v' - w w' where, per arm of N values, D adds k share/N, and v or w is
    sqrt(k/N) share.
    """
    diagonal = np.zeros(len(first))
    vectors = []
    for shares, sizes in (first.T, second.T):
        factors = 1 / (1 - shares)
        diagonal += factors * shares / sizes
        vectors.append(np.sqrt(factors / sizes) * shares)
    v, w = vectors
    trace = float((diagonal - v**2 - w**2).sum())
    squares = float((diagonal**2 - 2 * diagonal * (v**2 + w**2)).sum())
    squares += float((v @ v) ** 2 + (w @ w) ** 2 + 2 * (v @ w) ** 2)
    return trace**2 / squares


def _unit_sums(values: Sample, units: NDArray[np.intp], n: int) -> Sample:
    groups: list[list[float]] = [[] for _ in range(n)]
    for unit, value in zip(units.tolist(), values.tolist(), strict=True):
        groups[unit].append(value)
    return np.array([math.fsum(group) for group in groups])


def _unit_numbers(
    n: int, baseline_units: Sequence[Hashable], m: int, treatment_units: Sequence[Hashable]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    for arm, size, units in (("baseline", n, baseline_units), ("treatment", m, treatment_units)):
        if len(as_list(_CLUSTERED, f"{arm}_units", units, of="units")) != size:
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
