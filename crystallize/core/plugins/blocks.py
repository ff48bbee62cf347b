"""Units in blocks, and blocks as they finish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from crystallize.core.run import Unit

T = TypeVar("T")

_BLOCKS_PER_WORKER: Final = 16
_LARGEST_BLOCK: Final = 256


def blocks(units: Sequence[Unit], workers: int) -> list[Sequence[Unit]]:
    """Cut units into blocks: enough for every worker to be busy to the end, and few to hand over."""
    size = min(_LARGEST_BLOCK, max(1, len(units) // (workers * _BLOCKS_PER_WORKER)))
    return [units[start : start + size] for start in range(0, len(units), size)]


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
        for _ in range(self._waiting):
            yield self._queue.get()
