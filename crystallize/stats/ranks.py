"""Ranks, and the exact distributions of rank sums, also with ties."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crystallize.stats.samples import Sample

EXACT_CELLS: Final = 20_000_000
"""Distributions are computed exactly if it takes at most so many additions."""

_Counts = NDArray[np.int64]


def levels(values: Sample, tolerances: Sample) -> Sample:
    """Return the values' order as 0, 1, ...: neighbours within the tolerance of either share one."""
    distinct, places = np.unique(values, return_inverse=True)
    within = np.zeros(distinct.size)
    np.maximum.at(within, places, tolerances)  # of equal values the largest, in whatever order they are
    steps = np.diff(distinct) > np.maximum(within[1:], within[:-1])
    return np.concatenate(([0.0], np.cumsum(steps)))[places]


def doubled_midranks(values: Sample) -> _Counts:
    """Return twice the ranks of the values, from 2 on; equal values share the mean of their ranks."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    ranks: _Counts = below + upto + 1
    return ranks


def tie_sizes(values: Sample) -> _Counts:
    """Return how often each distinct value occurs."""
    sizes: _Counts = np.unique(values, return_counts=True)[1]
    return sizes


def signed_sum_is_feasible(n: int) -> bool:
    """Return whether the distribution of a sum of n signed ranks is computed exactly."""
    return n * n * (n + 1) <= EXACT_CELLS


def signed_sum_distribution(doubled_ranks: _Counts) -> Sample:
    """Return the probabilities of 0, 1, 2, ... as the sum of the doubled ranks that a fair coin selects."""
    mass = np.zeros(int(doubled_ranks.sum()) + 1)
    mass[0] = 1.0
    with np.errstate(under="ignore"):
        for rank in doubled_ranks.tolist():
            moved = mass[: mass.size - rank] / 2
            mass /= 2
            mass[rank:] += moved
    return mass


def choice_sum_is_feasible(n: int, m: int) -> bool:
    """Return whether the distribution of the rank sum of one of two arms is computed exactly."""
    k, total = min(n, m), n + m
    return total * k * k * (2 * total - k + 1) <= EXACT_CELLS


def choice_sum_distribution(doubled_ranks: _Counts, k: int) -> Sample:
    """Return the probabilities of 0, 1, 2, ... as the sum of k doubled ranks, drawn without replacement."""
    ranks = np.sort(doubled_ranks)[::-1]
    mass = np.zeros((k + 1, int(ranks[:k].sum()) + 1))
    mass[0, 0] = 1.0
    with np.errstate(under="ignore"):
        for seen, rank in enumerate(ranks.tolist()):
            # mass[j] is that of j chosen among the ranks seen so far, if k of all are drawn at random: the
            # next one is drawn with probability (k - j) / (ranks left).
            chance = ((k - np.arange(k)) / (ranks.size - seen))[:, np.newaxis]
            moved = mass[:k, : mass.shape[1] - rank] * chance
            mass[:k] *= 1 - chance
            mass[1:, rank:] += moved
    result: Sample = mass[k]
    return result


@lru_cache(maxsize=64)
def signed_sum_rejections(n: int, alpha: float) -> int:
    """Return the number of sums 0, 1, ... of untied signed ranks 1 to n whose tail is at most alpha/2."""
    cumulative = np.cumsum(signed_sum_distribution(2 * np.arange(1, n + 1))[::2])
    return int(np.searchsorted(cumulative, alpha / 2 * (1 + 1e-12), side="right"))


@lru_cache(maxsize=64)
def choice_sum_rejections(n: int, m: int, alpha: float) -> int:
    """Return the number of values 0, 1, ... of the untied U statistic whose tail is at most alpha/2."""
    k, total = min(n, m), n + m
    smallest = k * (k + 1) // 2
    cumulative = np.cumsum(choice_sum_distribution(2 * np.arange(1, total + 1), k)[::2][smallest:])
    return int(np.searchsorted(cumulative, alpha / 2 * (1 + 1e-12), side="right"))
