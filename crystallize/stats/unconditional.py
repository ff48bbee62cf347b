"""Exact p-values of two independent 0/1 samples: Fisher's conditional one, Boschloo's and Barnard's.

By hand and not by `scipy.stats.boschloo_exact` and `barnard_exact`: those cost a second to import, and their
optimizer can stop at a local maximum (Barnard's p-value of 12/33 and 6/21 is .637, not .589).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crystallize.stats import special
from crystallize.stats.result import Alternative
from crystallize.stats.samples import Sample, check_alternative, check_counts

LARGEST_TABLE: Final = 1_000_000
"""Up to this product of the sizes of the arms all tables are enumerated."""

_TIE: Final = 1 + 1e-9  # tables as extreme as the observed one differ from it by rounding alone

_Region = NDArray[np.bool_]


def fisher_p_value(x: int, n: int, y: int, m: int, alternative: Alternative = "two-sided") -> float:
    """Return Fisher's exact p-value: the probability of such a table given both margins.

    Parameters
    ----------
    x, n : int
        Successes and size of the baseline.
    y, m : int
        Successes and size of the treatment.
    alternative : {"two-sided", "greater", "less"}
        "greater" claims that the treatment's rate is the larger. "two-sided" adds up the tables that are at
        most as probable as the observed one.

    Raises
    ------
    SampleError
        If a count is negative or larger than its arm, or the alternative is none of these.

    Examples
    --------
    Fisher's tea: of four cups with milk first, three are called so, and of four with tea first, one.

    >>> round(fisher_p_value(1, 4, 3, 4, "greater"), 6)
    0.242857
    """
    x, n, y, m = _check("Fisher", x, n, y, m, alternative)
    low, high = max(0, x + y - n), min(m, x + y)
    treated = np.arange(low, high + 1)
    log_mass = _log_choose(m, treated) + _log_choose(n, x + y - treated)
    with np.errstate(under="ignore"):
        mass = np.exp(log_mass - log_mass.max())
        mass /= mass.sum()
    chosen = {
        "two-sided": mass <= mass[y - low] * (1 + 1e-7),
        "greater": treated >= y,
        "less": treated <= y,
    }[alternative]
    return min(1.0, float(mass[chosen].sum()))


def boschloo_p_value(x: int, n: int, y: int, m: int, alternative: Alternative = "two-sided") -> float:
    """Return Boschloo's exact p-value: that of Fisher's p-value used as a statistic.

    The largest probability, over all rates common to both arms, of a one-sided Fisher p-value that is at most
    the observed one; twice the smaller of the two if two-sided, and at most 1.

    Parameters
    ----------
    x, n, y, m, alternative
        As in `fisher_p_value`; n * m is at most `LARGEST_TABLE`.

    Raises
    ------
    SampleError
        As by `fisher_p_value`.

    Examples
    --------
    >>> round(boschloo_p_value(31, 63, 74, 117, "greater"), 7)
    0.0355641
    """
    x, n, y, m = _check("Boschloo", x, n, y, m, alternative)
    if alternative == "two-sided":
        sides = (boschloo_p_value(x, n, y, m, "greater"), boschloo_p_value(x, n, y, m, "less"))
        return min(1.0, 2 * min(sides))
    if alternative == "less":  # the exchanged arms
        return boschloo_p_value(y, m, x, n, "greater")
    p_values = fisher_table(n, m)
    return largest_probability(p_values <= p_values[x, y] * _TIE)


def barnard_p_value(x: int, n: int, y: int, m: int, alternative: Alternative = "two-sided") -> float:
    """Return Barnard's exact p-value, with the pooled Wald score as the statistic.

    The largest probability, over all rates common to both arms, of a score at least as extreme.

    Parameters
    ----------
    x, n, y, m, alternative
        As in `fisher_p_value`; n * m is at most `LARGEST_TABLE`.

    Raises
    ------
    SampleError
        As by `fisher_p_value`.

    Examples
    --------
    >>> round(barnard_p_value(7, 10, 2, 10), 4)
    0.0414
    """
    x, n, y, m = _check("Barnard", x, n, y, m, alternative)
    if n == 0 or m == 0:
        return 1.0
    scores = _pooled_scores(n, m)
    if alternative == "two-sided":
        scores = np.abs(scores)
    elif alternative == "less":
        scores = -scores
    observed = scores[x, y]
    return largest_probability(scores >= observed - (_TIE - 1) * abs(observed))


def _check(test: str, x: int, n: int, y: int, m: int, alternative: str) -> tuple[int, int, int, int]:
    check_alternative(test, alternative)
    (x, n), (y, m) = check_counts(test, (x, n), (y, m))
    return x, n, y, m


@np.errstate(under="ignore")
def largest_probability(region: _Region) -> float:
    """Return the largest probability of a set of tables over all rates that both arms have in common.

    Parameters
    ----------
    region : ndarray of bool, shape (n + 1, m + 1)
        True for the tables in the set, by the successes of the baseline and of the treatment.
    """
    if region.all():
        return 1.0
    n, m = region.shape[0] - 1, region.shape[1] - 1
    members = region.astype(np.float64)
    # On the scale of the angle a binomial has standard deviation 1/(2 sqrt n), and the probability is a
    # mixture of binomials: a step of a fifth of that misses no bump.
    angles = np.linspace(0, np.pi / 2, 64 + 16 * math.isqrt(n + m))
    heights = ((_coarse_masses(n, angles.size) @ members) * _coarse_masses(m, angles.size)).sum(axis=1)
    best = float(heights.max())
    framed = np.concatenate(([-1.0], heights, [-1.0]))
    peaks = (heights >= framed[2:]) & (heights >= framed[:-2]) & (heights >= 0.98 * best)
    for peak in np.flatnonzero(peaks)[:5]:
        best = max(best, _summit(members, float(angles[peak]), float(angles[1])))
    return min(1.0, best)


def _summit(members: Sample, centre: float, width: float) -> float:
    """Return the largest probability next to a rate, by parabolas through ever closer points."""
    n, m = members.shape[0] - 1, members.shape[1] - 1
    best, reach = 0.0, 1.0
    for _ in range(6):
        angles = np.clip((centre - width, centre, centre + width), 0, np.pi / 2)
        rates = np.sin(angles) ** 2
        left, middle, right = ((_masses(n, rates) @ members) * _masses(m, rates)).sum(axis=1).tolist()
        best = max(best, left, middle, right)
        curvature = left - 2 * middle + right
        slope = (left - right) / 2
        step = slope / curvature if curvature < 0 else math.copysign(1.0, right - left)
        centre = min(max(centre + width * min(max(step, -reach), reach), 0.0), math.pi / 2)
        width, reach = width / 8, 8.0  # the next parabola may take back this step
    return best


@lru_cache(maxsize=16)
def _coarse_masses(n: int, points: int) -> Sample:
    return _masses(n, np.sin(np.linspace(0, np.pi / 2, points)) ** 2)


def _masses(n: int, rates: Sample) -> Sample:
    """Return the probabilities of 0 to n successes, a row per rate."""
    successes = np.arange(n + 1)
    rates = rates[:, np.newaxis]
    with np.errstate(under="ignore"):
        mass: Sample = np.exp(
            _log_combinations(n) + special.xlogy(successes, rates) + special.xlog1py(n - successes, -rates)
        )
    return mass


@lru_cache(maxsize=16)
def _log_combinations(n: int) -> Sample:
    return _log_choose(n, np.arange(n + 1))


@lru_cache(maxsize=8)
def fisher_table(n: int, m: int) -> Sample:
    """Return Fisher's p-value for "greater" of every table, by the successes of baseline and treatment."""
    x, y = np.arange(n + 1)[:, np.newaxis], np.arange(m + 1)
    log_mass = _log_choose(n, x) + _log_choose(m, y) - _log_choose(n + m, x + y)
    with np.errstate(under="ignore"):
        mass = np.exp(log_mass)
    # A table's tail is its own mass and the tail of the next one on its diagonal: one success moved from the
    # baseline to the treatment.
    for row in range(1, n + 1):
        mass[row, :-1] += mass[row - 1, 1:]
    result: Sample = mass
    return result


def _pooled_scores(n: int, m: int) -> Sample:
    x, y = np.arange(n + 1)[:, np.newaxis], np.arange(m + 1)
    pooled = (x + y) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    difference = y / m - x / n
    scores: Sample = np.divide(difference, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)
    return scores


def _log_choose(n: int, k: NDArray[np.int_]) -> Sample:
    result: Sample = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return result
