"""Order statistics of all means, or differences, of two values: too many to be listed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import numpy as np

from crystallize.stats.samples import Sample

_NARROW: Final = 2**-45
"""Far above what rounding does to a sum or a difference, as a part of it."""

_NEAR: Final = 2**-30
"""Elements that differ by such a part of them are as good as equal."""


def order_statistic(
    rank: int, count: Callable[[float], int], above: Callable[[float], float], low: float, high: float
) -> float:
    """Return the element of the given rank (from 1) of a multiset that is too large to be listed.

    Parameters
    ----------
    rank : int
        At most the size of the multiset.
    count : callable
        Returns how many elements are at most a number.
    above : callable
        Returns the smallest element above a number.
    low, high : float
        The smallest and the largest element.
    """
    if count(low) >= rank:
        return low
    narrow = math.inf
    while True:
        before, narrow = narrow, _NARROW * max(abs(low), abs(high))
        while high - low > narrow and low < (middle := low + (high - low) / 2) < high:
            low, high = (low, middle) if count(middle) >= rank else (middle, high)
        found = min(above(low - narrow), high)
        # Beside an element that is far larger, many others may be as near to one another.
        size = abs(found)
        if narrow <= _NEAR * size or narrow >= before or count(found + _NARROW * size) >= rank:
            return found


class Multiset(ABC):
    """Numbers that are too many to be listed, in order."""

    size: int
    smallest: float
    largest: float

    @abstractmethod
    def count(self, level: float) -> int:
        """Return how many are at most the level."""

    @abstractmethod
    def above(self, level: float) -> float:
        """Return the smallest one above the level."""

    def ranked(self, rank: int) -> float:
        """Return the one of that rank, from 1."""
        return order_statistic(rank, self.count, self.above, self.smallest, self.largest)

    def median(self) -> float:
        """Return the median."""
        return (self.ranked((self.size + 1) // 2) + self.ranked(self.size // 2 + 1)) / 2

    def limits(self, rejections: int) -> tuple[float, float]:
        """Return the ends if a shift is rejected with fewer numbers than `rejections` beyond it."""
        if rejections == 0:
            return -math.inf, math.inf
        if 2 * rejections > self.size:
            return self.median(), self.median()
        return self.ranked(rejections), self.ranked(self.size + 1 - rejections)


class WalshMeans(Multiset):
    """Means of two values, also of one with itself."""

    def __init__(self, ordered: Sample) -> None:
        self.ordered = ordered
        self.size = ordered.size * (ordered.size + 1) // 2
        self.smallest, self.largest = float(ordered[0]), float(ordered[-1])

    def count(self, level: float) -> int:
        """Return how many are at most the level."""
        pairs = int(np.searchsorted(self.ordered, 2 * level - self.ordered, side="right").sum())
        return (pairs + int(np.searchsorted(self.ordered, level, side="right"))) // 2

    def above(self, level: float) -> float:
        """Return the smallest one above the level."""
        partners = np.searchsorted(self.ordered, 2 * level - self.ordered, side="right")
        there = partners < self.ordered.size
        return float((self.ordered[there] + self.ordered[partners[there]]).min()) / 2


class Differences(Multiset):
    """Differences of a value of the second and a value of the first sample."""

    def __init__(self, first: Sample, second: Sample) -> None:
        self.first, self.second = first, second
        self.size = first.size * second.size
        self.smallest, self.largest = float(second[0] - first[-1]), float(second[-1] - first[0])

    def count(self, level: float) -> int:
        """Return how many are at most the level."""
        return int(np.searchsorted(self.second, self.first + level, side="right").sum())

    def above(self, level: float) -> float:
        """Return the smallest one above the level."""
        partners = np.searchsorted(self.second, self.first + level, side="right")
        there = partners < self.second.size
        return float((self.second[partners[there]] - self.first[there]).min())
