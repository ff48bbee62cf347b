"""Corrections for testing many hypotheses at once."""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.samples import as_sample, as_whole

Correction = Literal["holm", "bh", "none"]
"""How p-values of one family are adjusted."""

_CORRECTIONS: Final[tuple[str, ...]] = get_args(Correction)


def adjust(p_values: ArrayLike, correction: Correction = "holm", *, total: int | None = None) -> list[float]:
    """Return the adjusted p-values of a family, in the order given.

    Parameters
    ----------
    p_values : array_like, shape (k,)
        Numbers in [0, 1]; k may be 0.
    correction : {"holm", "bh", "none"}
        `holm`, `benjamini_hochberg`, or the p-values as they are.
    total : int, optional
        Over how many claims alpha is split, these k among them: their share is k / `total`. By "none" it
        is split over none.

    Raises
    ------
    SampleError
        If a p-value is not in [0, 1] (a nan is not), the correction is unknown, or `total` is below k.

    Examples
    --------
    >>> adjust([0.01, 0.04], "none")
    [0.01, 0.04]
    """
    if correction not in _CORRECTIONS:
        allowed = ", ".join(map(repr, _CORRECTIONS))
        raise SampleError(f"correction is {correction!r}; allowed are {allowed}")
    if correction == "none":
        p = _checked("no correction", p_values)
        _total("no correction", p, total)  # over which nothing is split
        return p
    return holm(p_values, total=total) if correction == "holm" else benjamini_hochberg(p_values, total=total)


def holm(p_values: ArrayLike, *, total: int | None = None) -> list[float]:
    r"""Return p-values adjusted so that any false rejection has probability at most alpha [1]_.

    Of k p-values in ascending order the j-th becomes :math:`\max_{i \le j} \min(1, (k - i + 1) p_{(i)})`. It
    is at most alpha exactly where p is at most alpha / (k - i + 1): products are not rounded past it.

    Parameters
    ----------
    p_values : array_like, shape (k,)
        Numbers in [0, 1]; they may depend on one another in any way.
    total : int, optional
        As in `adjust`: what is returned is then `total` / k times as large.

    Returns
    -------
    list of float
        In the order given; reject where the value is at most alpha.

    Raises
    ------
    SampleError
        If a p-value is not in [0, 1] (a nan is not).

    Notes
    -----
    Needless for guards that must all pass: their union is tested at alpha by each at alpha [2]_.

    References
    ----------
    .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of
       Statistics 6, 65-70.
    .. [2] Berger, R. L. (1982). Multiparameter hypothesis testing and acceptance sampling. Technometrics 24,
       295-300.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, 0.005])
    [0.03, 0.06, 0.06, 0.02]
    """
    p = _checked("Holm", p_values)
    k, of = len(p), _total("Holm", p, total)
    common = math.gcd(of, k)  # 1 / (k - i + 1), times k / total
    adjusted, highest = list(p), 0.0
    for rank, i in enumerate(sorted(range(k), key=p.__getitem__)):
        highest = max(highest, _level_reached(p[i], (k - rank) * (of // common), k // common))
        adjusted[i] = min(1.0, highest)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike, *, total: int | None = None) -> list[float]:
    r"""Return p-values adjusted so that the expected part of false rejections is at most alpha [1]_.

    Of k p-values in ascending order the j-th becomes :math:`\min_{i \ge j} k p_{(i)} / i`.

    Parameters
    ----------
    p_values : array_like, shape (k,)
        Numbers in [0, 1], independent or positively dependent.
    total : int, optional
        As in `adjust`.

    Returns
    -------
    list of float
        In the order given; reject where the value is at most alpha.

    Raises
    ------
    SampleError
        If a p-value is not in [0, 1] (a nan is not).

    Notes
    -----
    Wrong where each claim has to stand for itself: the chance that some claim is false can exceed alpha
    (.10 instead of .05 in 12 hypotheses with true effects). `holm` keeps that.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. Journal of the Royal
       Statistical Society B 57, 289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.005])
    [0.02, 0.04, 0.04, 0.02]
    """
    p = _checked("Benjamini-Hochberg", p_values)
    of = _total("Benjamini-Hochberg", p, total)
    adjusted, lowest = list(p), 1.0
    for rank, i in reversed([*enumerate(sorted(range(len(p)), key=p.__getitem__), start=1)]):
        lowest = min(lowest, _level_reached(p[i], of, rank))
        adjusted[i] = max(lowest, p[i])  # p m / m may be rounded below p
    return adjusted


def _level_reached(p_value: float, claims: int, rank: int = 1) -> float:
    """Return the smallest level of which the share of `rank` of so many claims is at least the p-value."""

    def share(level: float) -> float:
        return max(level * rank / claims, level * (rank / claims))  # whichever way it is rounded

    level = p_value * claims / rank
    while share(level) < p_value:
        level = math.nextafter(level, math.inf)
    while share(lower := math.nextafter(level, 0.0)) >= p_value and lower < level:
        level = lower
    return level


def _total(test: str, p: list[float], total: int | None) -> int:
    """Return over how many claims alpha is split, at least one."""
    of = len(p) if total is None else as_whole(total)
    if of is None or of < len(p):
        raise SampleError(f"{test}: total is {total!r}; allowed are {len(p)} and more, as many as p-values")
    return max(of, 1)


def _checked(test: str, p_values: ArrayLike) -> list[float]:
    if isinstance(p_values, list) and all(type(p) is float and 0 <= p <= 1 for p in p_values):
        return list(p_values)
    p = as_sample(test, "p-values", p_values, minimum=0)
    outside = np.flatnonzero((p < 0) | (p > 1))
    if outside.size:
        position = int(outside[0])
        raise SampleError(f"{test}: p-values[{position}] is {float(p[position])}; allowed is 0 to 1")
    return [float(value) for value in p]
