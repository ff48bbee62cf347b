"""Units in blocks, and blocks as they finish."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from crystallize.context.record import RunRecord
from crystallize.run.units import Unit

T = TypeVar("T")

_BLOCKS_PER_WORKER: Final = 16
_LARGEST_BLOCK: Final = 256
BLOCK_SECONDS: Final = 0.25
"""How long a block takes, if nothing speaks for more."""

_ROUNDS: Final = 4  # blocks that every slot is still to be given, when blocks become smaller towards the end


def blocks(units: Sequence[Unit], workers: int) -> list[Sequence[Unit]]:
    """Cut units into blocks: enough for every worker to be busy to the end, and few to hand over."""
    size = min(_LARGEST_BLOCK, max(1, len(units) // (workers * _BLOCKS_PER_WORKER)))
    return [units[start : start + size] for start in range(0, len(units), size)]


class Feed:
    """Units in their order, cut into blocks that are worth handing over.

    How long a unit takes is not known before some were run: the first blocks are of one unit, later ones take
    as long as is wanted, and the last ones less, so that all workers end at about the same time.

    Parameters
    ----------
    units : sequence of Unit
        What is to be run.
    slots : int
        How many blocks are under way at the same time; may be set.
    seconds : float
        How long a block is to take; may be set.
    """

    def __init__(self, units: Sequence[Unit], slots: int = 1, seconds: float = BLOCK_SECONDS) -> None:
        self.slots = slots
        self.seconds = seconds
        self._units = units
        self._next = 0
        self._again: deque[list[Unit]] = deque()
        self._runs = 0
        self._seconds = 0.0

    def __bool__(self) -> bool:
        return bool(self._again) or self._next < len(self._units)

    def take(self) -> list[Unit]:
        """Return the next block; what was given back comes first, as it was given back."""
        if self._again:
            return self._again.popleft()
        end = self._next + self._size()
        block, self._next = list(self._units[self._next : end]), end
        return block

    def _size(self) -> int:
        if not self._runs:
            return 1
        fits = int(self.seconds / max(self._seconds / self._runs, 1e-6))
        share = (len(self._units) - self._next) // (self.slots * _ROUNDS)
        return max(1, min(_LARGEST_BLOCK, fits, share))

    def learn(self, records: Iterable[RunRecord]) -> None:
        """Take in how long units took."""
        for record in records:
            self._runs += 1
            self._seconds += record.seconds

    def give_back(self, units: Iterable[Unit], *, one_by_one: bool = False) -> None:
        """Have units be handed over again: as one block, or each alone."""
        left = list(units)
        self._again.extend([unit] for unit in left) if one_by_one else self._again.append(left)


class Finished(Generic[T]):
    """Futures in the order in which they finish.

    `concurrent.futures.as_completed` holds the lock of every future for a moment: an interrupt in that moment
    leaves the pool hanging.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Future[T]] = SimpleQueue()
        self._waiting = 0

    def watch(self, future: Future[T]) -> None:
        """Wait for one more."""
        self._waiting += 1
        future.add_done_callback(self._queue.put)

    def __iter__(self) -> Iterator[Future[T]]:
        """Yield what has finished, until nothing is waited for; more may be watched meanwhile."""
        while self._waiting:
            future = self._queue.get()
            self._waiting -= 1
            yield future
