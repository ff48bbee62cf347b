"""Test of a mean difference where both replicates (seeds) and units (cases) are drawn at random."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystallize.errors import SampleError
from crystallize.stats.degenerate import paired_floor
from crystallize.stats.precision import as_paired_arms
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, as_list
from crystallize.stats.t import MeanDifference, Question, answer

FEW: Final = 3
"""With so few replicates or units the variance between them is hardly known: df = their number - 1."""

_CROSSED: Final = "crossed t"


def crossed_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    replicates: Sequence[Hashable],
    units: Sequence[Hashable],
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the mean of paired differences, where both replicates and units are drawn at random [1]_.

    With :math:`D_{rc}` = treatment - baseline of unit c in replicate r the model is :math:`D_{rc} = \mu +
    \rho_r + \gamma_c + \epsilon_{rc}`, the null hypothesis :math:`\mu = \text{shift}`. Of R replicates and C
    units, all of them crossed, the variance of the mean is

    .. math:: V = (MS_r + MS_c - MS_e) / (R C)

    with the mean squares of the two-way analysis of variance, and Satterthwaite's degrees of freedom. If it
    is below :math:`\max(MS_r, MS_c)/(R C)` it is that, with its own degrees of freedom. Where some of the N
    cells are empty the mean squares are weighted by counts: with :math:`k_r = \sum n_r^2/N`, :math:`n_{0r} =
    (N - k_r)/(R - 1)`, likewise of units, :math:`a = MS_r k_r/n_{0r}`, :math:`b = MS_c k_c/n_{0c}` and
    :math:`g = MS_e (1 - k_r/n_{0r} - k_c/n_{0c})`, V = (a + b + g)/N.

    Parameters
    ----------
    baseline, treatment : array_like, shape (N,)
        Finite numbers; the i-th values are of the same replicate and unit.
    replicates, units : sequence of hashable, length N
        To which the values belong; at least 2 different ones of each, no combination twice.
    alternative, alpha, shift
        As in `paired_t`.

    Returns
    -------
    TestResult
        `estimate` is the mean over cells, `n` the number R of replicates.

    Raises
    ------
    SampleError
        If a value is not finite, labels are missing, a combination occurs twice, there are fewer than 2
        replicates or units, too few cells are filled to tell noise from either, or an option is out of its
        range.

    Notes
    -----
    Speaks of other seeds and other cases like these. Only right where units share the seeds of replicates. A
    paired t test over either alone takes the other for fixed: with both at random it rejects up to .36 of
    true null hypotheses. With 3 replicates or units, or fewer, the degrees of freedom are their number less
    1, and the test is hardly able to find anything.

    If all differences equal c (but for rounding, as in `paired_t`), p is that of min(R, C) equal signs, the
    interval is [c, c], and the result is flagged `degenerate`.

    References
    ----------
    .. [1] Searle, S. R., Casella, G. and McCulloch, C. E. (1992). Variance components. Wiley.

    Examples
    --------
    Three cases under four seeds:

    >>> cases, seeds = ["a", "b", "c"] * 4, [i // 3 for i in range(12)]
    >>> first, second = [0] * 12, [5, 6, 8, 7, 5, 7, 8, 6, 9, 4, 6, 7]
    >>> result = crossed_t(first, second, replicates=seeds, units=cases)
    >>> result.estimate, round(result.statistic, 4), result.df, round(result.p_value, 6)
    (6.5, 9.4589, 2.0, 0.010993)
    """
    question = Question(_CROSSED, alternative, alpha, shift)
    arms = as_paired_arms(_CROSSED, baseline, treatment, minimum=1)
    differences = arms.differences
    rows, columns = (
        _numbers("replicate", replicates, differences.size),
        _numbers("unit", units, differences.size),
    )
    size = int(rows.max()) + 1, int(columns.max()) + 1
    if np.unique(rows * size[1] + columns).size < differences.size:
        raise SampleError(
            f"{_CROSSED}: a unit occurs twice in a replicate; allowed is one value, such as their mean"
        )
    mean = math.fsum(differences.tolist()) / differences.size
    variance, df = _variance(_squares(differences - mean, rows, columns, size), differences.size)
    constant = arms.apart <= 1 or variance == 0
    few = min(size)
    difference = MeanDifference(
        mean=mean,
        error=0.0 if constant else math.sqrt(variance),
        df=few - 1.0 if constant or few <= FEW else df,
        n=size[0],
        arms=arms,
        apart=arms.apart,
        floor=paired_floor(few),
        reach=arms.reach if constant else (mean, mean),
    )
    return answer(question, difference)


def error_of_replicates(
    values: ArrayLike, *, replicates: Sequence[Hashable], units: Sequence[Hashable]
) -> float:
    """Return the standard error of a mean by what varies between and within replicates, not between units.

    Parameters
    ----------
    values, replicates, units
        Of one arm of `crossed_t`.
    """
    arms = as_paired_arms(_CROSSED, values, values, minimum=1)
    rows = _numbers("replicate", replicates, arms.baseline.size)
    columns = _numbers("unit", units, arms.baseline.size)
    size = int(rows.max()) + 1, int(columns.max()) + 1
    squares = _squares(arms.baseline - arms.baseline.mean(), rows, columns, size)
    noise, between = squares.noise.square, squares.replicates
    total = max(noise, between.factor * between.square + (1 - between.factor) * noise)
    return arms.unscaled(math.sqrt(total / arms.baseline.size))


class _Part(NamedTuple):
    """A mean square, its weight in the variance times the number of cells, and its degrees of freedom."""

    square: float
    factor: float
    df: int


class _Squares(NamedTuple):
    """The parts of the variance."""

    replicates: _Part
    units: _Part
    noise: _Part


def _variance(squares: _Squares, cells: int) -> tuple[float, float]:
    """Return the variance of the mean, with its degrees of freedom."""
    parts = [(part.factor * part.square, part.df) for part in squares]
    total = sum(part for part, _ in parts)
    larger = max(parts[:2])
    if total <= larger[0]:
        return larger[0] / cells, float(larger[1])
    with np.errstate(under="ignore"):
        shares = sum((part / total) ** 2 / df for part, df in parts)
    return total / cells, 1 / shares


def _squares(
    residuals: Sample, rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]
) -> _Squares:
    cells = residuals.size
    noise_df = cells - sum(size) + _components(rows, columns, size)
    if noise_df < 1:
        raise SampleError(
            f"{_CROSSED}: {cells} values of {size[0]} replicates and {size[1]} units can't tell noise from "
            "either; record each unit in several replicates"
        )
    parts = []
    rest = 1.0
    for labels, n in zip((rows, columns), size, strict=True):
        counts = np.bincount(labels, minlength=n)
        sums = np.bincount(labels, weights=residuals, minlength=n)
        k = float((counts**2).sum()) / cells
        factor = k * (n - 1) / (cells - k)
        parts.append(_Part(float((sums**2 / counts).sum()) / (n - 1), factor, n - 1))
        rest -= factor
    noise = _residual_squares(residuals, rows, columns, size) / noise_df
    return _Squares(parts[0], parts[1], _Part(noise, rest, noise_df))


def _residual_squares(
    residuals: Sample, rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]
) -> float:
    """Return the sum of squares about the effects of replicates and units, fitted together."""
    if size[0] > size[1]:
        return _residual_squares(residuals, columns, rows, size[::-1])
    # The effects of the more numerous labels are eliminated from the normal equations.
    seen = np.zeros(size)
    seen[rows, columns] = 1.0
    row_counts, column_counts = seen.sum(axis=1), seen.sum(axis=0)
    row_sums = np.bincount(rows, weights=residuals, minlength=size[0])
    column_means = np.bincount(columns, weights=residuals, minlength=size[1]) / column_counts
    matrix = np.diag(row_counts) - (seen / column_counts) @ seen.T
    row_effects = np.linalg.lstsq(matrix, row_sums - seen @ column_means, rcond=None)[0]
    column_effects = column_means - row_effects @ seen / column_counts
    left = residuals - row_effects[rows] - column_effects[columns]
    return math.fsum(np.square(left).tolist())


def _components(rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]) -> int:
    """Return into how many parts that share nothing replicates and units fall."""
    if rows.size == size[0] * size[1]:
        return 1
    parents = list(range(sum(size)))

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        parents[root(row)] = root(size[0] + column)
    return len({root(node) for node in range(len(parents))})


def _numbers(what: str, labels: Sequence[Hashable], n: int) -> NDArray[np.intp]:
    if len(as_list(_CROSSED, f"{what}s", labels, of="labels")) != n:
        raise SampleError(f"{_CROSSED}: {n} values have {len(labels)} {what}s; allowed is one per value")
    numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    if len(numbers) < 2:
        raise SampleError(
            f"{_CROSSED}: the samples have {len(numbers)} {what}; it needs at least 2; record more"
        )
    return np.array([numbers[label] for label in labels], dtype=np.intp)
