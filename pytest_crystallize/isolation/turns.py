"""Turns of the processes of a session, so that runs of an exclusive experiment have it to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from crystallize.seam import Locks
from pytest_crystallize.isolation.timeouts import Timer
from pytest_crystallize.naming.ids import checksum
from pytest_crystallize.records.exchange import Exchange

_QUEUE: Final = 0
_WORKERS: Final = range(1, 1 << 30)
"""One byte for each process; who runs alone has them all."""

_Result = TypeVar("_Result")


class Turns:
    """Turns of one process.

    They are the innermost of all locks: who has taken one waits for nothing that another process does.

    Parameters
    ----------
    exchange : Exchange
        Of the session.
    timer : Timer
        Of the item under way, which does not run while others have their turn.

    Attributes
    ----------
    are_taken : bool
        Whether some experiment is exclusive; all processes collect the same ones.
    """

    def __init__(self, exchange: Exchange, timer: Timer) -> None:
        self._exchange = exchange
        self._timer = timer
        self._locks: Locks | None = None
        self.are_taken = False

    @contextmanager
    def taken(self, *, alone: bool, timed: bool = True) -> Iterator[None]:
        """Run what is inside while nobody runs alone, or alone, when all others have ended theirs.

        Parameters
        ----------
        alone : bool
            Whether no other process may run anything meanwhile.
        timed : bool
            Whether the timer runs, and is to be suspended until it is this process's turn.
        """
        directory = self._exchange.directory
        if not self.are_taken or directory is None:
            yield
            return
        if self._locks is None:
            self._locks = Locks(directory / "turns")
        locks, own = self._locks, _WORKERS[checksum(self._exchange.worker) % len(_WORKERS)]
        first, count = (_WORKERS[0], len(_WORKERS)) if alone else (own, 1)
        if timed:
            self._timer.suspend()
        locks.acquire(_QUEUE, wait=True)  # whoever comes while somebody waits to run alone stands behind
        try:
            locks.acquire(first, count, wait=True)
        finally:
            locks.release(_QUEUE)
        try:
            if timed:
                self._timer.restart()
            yield
        finally:
            locks.release(first, count)

    def each(self, run: Callable[..., _Result], *, alone: bool) -> Callable[..., _Result]:
        """Return a function each of whose calls takes a turn; itself if nobody need."""
        if not self.are_taken:
            return run

        def run_in_turn(*args: object) -> _Result:
            with self.taken(alone=alone):
                return run(*args)

        return run_in_turn

    def close(self) -> None:
        """Close the file."""
        if self._locks is not None:
            self._locks.close()
            self._locks = None
