"""How many replicates a process claims at a time: as many as are worth the claim, and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from pytest_crystallize.records.exchange import Exchange

WORTH: Final = 0.1
"""Seconds that a block is to take; a claim takes a fraction of a millisecond."""
LEAST: Final = 0.005
"""Seconds of a block where few replicates are left, of which every process is to have its part."""
GROWTH: Final = 16
"""How many times as large as the block before it one may be, since what runs take may change."""


class Blocks:
    """The blocks of replicates of one experiment that this process claims.

    Parameters
    ----------
    exchange : Exchange
        Who else claims some.
    experiment : str
        Id of the experiment.
    """

    def __init__(self, exchange: Exchange, experiment: str) -> None:
        self._exchange = exchange
        self._experiment = experiment
        self._last = 0
        self._each = 0.0

    def claimed(self, start: Callable[[], int], size: int) -> Iterator[range]:
        """Yield blocks until all replicates are claimed by somebody; what is yielded is run meanwhile.

        Parameters
        ----------
        start : callable
            Returns up to which replicate all is known already.
        size : int
            Up to which replicate blocks go.
        """
        left = size - start()
        while block := self._exchange.claim(self._experiment, start(), size, self._most(left)):
            left = size - block.stop
            began = time.perf_counter()
            yield block
            self._last = len(block)
            self._each = (time.perf_counter() - began) / len(block)

    def _most(self, left: int) -> int:
        """Return how many replicates to claim next if so many are left."""
        if not self._last:
            return 1
        each = max(self._each, 1e-9)
        fair = max(left / (2 * self._exchange.workers), LEAST / each)
        return max(1, int(min(WORTH / each, GROWTH * self._last, fair)))
