"""Turns of the processes of a session: while one measures, no other runs a unit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crystallize.seam import Locks

_PLACES: Final = 1 << 20  # more than any session has processes


class Turns:
    """Turns of this process.

    Parameters
    ----------
    directory : Path or None
        What the processes of the session share; None if there is but one.
    place : int
        Number of this process.
    """

    def __init__(self, directory: Path | None, place: int = 0) -> None:
        self._locks = None if directory is None else Locks(directory / "turns")
        self._place = place

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Run a unit beside those of other processes, but for one that measures."""
        with self._held(self._place, 1):
            yield

    @contextmanager
    def taken_alone(self) -> Iterator[None]:
        """Run a unit while no other process runs one."""
        with self._held(0, _PLACES):
            yield

    @contextmanager
    def _held(self, place: int, count: int) -> Iterator[None]:
        if self._locks is None:
            yield
            return
        self._locks.acquire(place, count, wait=True)
        try:
            yield
        finally:
            self._locks.release(place, count)

    def close(self) -> None:
        """Close the file."""
        locks, self._locks = self._locks, None
        if locks is not None:
            locks.close()
