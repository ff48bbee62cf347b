"""What calls of one function share over all processes of a machine: slots, the rate, and pauses.

A slot is a lock on a byte, which the system releases when its holder dies. A file beside it holds the time of
the next request, until when everybody pauses, and until when each process counts as one that lacks slots.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final, NamedTuple

from crystallize.storage.locks import Locks
from crystallize.storage.system import BINARY

_ROWS: Final = 64  # processes that are told apart; others get slots without being waited for
_TABLE: Final = struct.Struct(f"<{2 + _ROWS}d")
_DOUBLE: Final = struct.Struct("<d")
_EXCLUSIVE: Final = 0
_FIRST_ROW: Final = 1 << 10
_FIRST_SLOT: Final = 1 << 20
_POLL: Final = 0.005  # seconds
_LACKING: Final = 0.25  # seconds for which a process that lacks slots is waited for
_FAR: Final = 86400.0  # seconds; what lies farther ahead a clock that was set back has left


class Wait(NamedTuple):
    """Wait of a call, so many seconds at most.

    Attributes
    ----------
    seconds : float
        How long at most.
    wake : Future or None
        Is done when there is no more need to wait.
    """

    seconds: float
    wake: Future[None] | None = None


Waiting = Generator[Wait, None, None]


class _Turn:
    """A call that waits for a slot in this process."""

    __slots__ = ("slot", "wake")

    def __init__(self) -> None:
        self.slot: int | None = None
        self.wake: Future[None] = Future()

    def rouse(self) -> None:
        wake, self.wake = self.wake, Future()
        wake.set_result(None)


class Limits:
    """Slots, rate and pauses of one function.

    Parameters
    ----------
    directory : Path
        What processes share.
    name : str
        Of two files in it.
    concurrency : int
        Number of slots.
    interval : float
        Seconds between requests.
    """

    def __init__(self, directory: Path, name: str, concurrency: int, interval: float) -> None:
        self.concurrency = concurrency
        self.interval = interval
        self._locks = Locks(directory / f"{name}.lock")
        self._state = os.open(directory / f"{name}.state", os.O_RDWR | os.O_CREAT | BINARY, 0o600)
        self._lock = threading.Lock()
        self._queue: deque[_Turn] = deque()
        self._held: set[int] = set()
        self._row = next((i for i in range(_ROWS) if self._locks.acquire(_FIRST_ROW + i, wait=False)), None)
        self._lacking = self._others_first = 0.0
        self._poll = max(_POLL, concurrency * 2e-5)  # to try every slot takes a while

    # The rate, and pauses.

    def admitted(self) -> Generator[Wait, None, int]:
        """Wait until a request may be made; return its slot.

        The rate is taken first: who waits for it keeps no slot from others.
        """
        while True:
            yield from self._begun()
            slot = yield from self._slot()
            if self._pause_left() <= 0.0:
                return slot
            self.give_back(slot)

    def _begun(self) -> Waiting:
        """Wait for the time of a request that nobody else has, behind every pause."""
        while True:
            start = self._reserved()
            while (left := start - time.time()) > 0.0:
                yield Wait(min(left, 1.0))  # a pause may begin meanwhile
                if not self.interval:
                    start = self._reserved()
            if self._pause_left() <= 0.0:
                return

    def _reserved(self) -> float:
        """Return when the next request may be made, and take that time."""
        if not self.interval:
            return time.time() + self._pause_left()
        with self._exclusive():
            due, pause, *_ = self._read()
            now = time.time()
            start = max(now, _near(due, now), _near(pause, now))
            self._write(0, start + self.interval)
        return start

    def pause(self, seconds: float) -> None:
        """Have all requests of all processes wait, if they do not do so for longer anyway."""
        with self._exclusive():
            now = time.time()
            if _near(self._read()[1], now) < now + seconds:
                self._write(1, now + seconds)

    def _pause_left(self) -> float:
        now = time.time()
        with self._lock:
            return _near(self._read()[1], now) - now

    # Slots.

    def _slot(self) -> Generator[Wait, None, int]:
        """Wait for a slot: first come, first served in this process; others get their share."""
        turn = _Turn()
        with self._lock:
            self._queue.append(turn)
        try:
            while True:
                with self._lock:
                    first = self._queue[0] is turn if turn.slot is None else False
                    if first:
                        turn.slot = self._free_slot()
                        if turn.slot is not None:
                            self._queue.popleft()
                            self._rouse_first()
                    if turn.slot is not None:
                        return turn.slot
                    wait = Wait(self._poll if first else 1.0, turn.wake)
                yield wait
        except BaseException:
            with self._lock:
                if turn.slot is not None:
                    self._release(turn.slot)
                elif turn in self._queue:
                    self._queue.remove(turn)
                self._rouse_first()
            raise

    def give_back(self, slot: int) -> None:
        """Let another call have a slot: the next one here, unless another process lacks its share."""
        with self._lock:
            if self._queue and len(self._held) <= self._share():
                turn = self._queue.popleft()
                turn.slot = slot
                turn.rouse()
                self._rouse_first()
            else:
                self._release(slot)
                if self._queue:  # they look for it as often as this process does
                    self._others_first = time.time() + 4 * self._poll

    def _release(self, slot: int) -> None:
        self._held.discard(slot)
        self._locks.release(_FIRST_SLOT + slot)

    def _rouse_first(self) -> None:
        if self._queue:
            self._queue[0].rouse()

    def _free_slot(self) -> int | None:
        if len(self._held) < self._share() and time.time() >= self._others_first:
            begin = (self._row or 0) * 7
            for number in range(self.concurrency):
                slot = (begin + number) % self.concurrency
                if slot not in self._held and self._locks.acquire(_FIRST_SLOT + slot, wait=False):
                    self._held.add(slot)
                    return slot
        self._tell_lack()
        return None

    def _share(self) -> float:
        """Return how many slots are this process's while others lack some: less than one is one by turns."""
        now = time.time()
        rows = self._read()[2:]
        others = sum(now < until <= now + _LACKING for i, until in enumerate(rows) if i != self._row)
        return self.concurrency / (1 + others)

    def _tell_lack(self) -> None:
        now = time.time()
        if self._row is not None and self._lacking < now + _LACKING / 2:
            self._lacking = now + _LACKING
            self._write(2 + self._row, self._lacking)

    # The file.

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock:
            self._locks.acquire(_EXCLUSIVE, wait=True)
            try:
                yield
            finally:
                self._locks.release(_EXCLUSIVE)

    def _read(self) -> tuple[float, ...]:
        os.lseek(self._state, 0, os.SEEK_SET)
        return _TABLE.unpack(os.read(self._state, _TABLE.size).ljust(_TABLE.size, b"\0"))

    def _write(self, place: int, value: float) -> None:
        os.lseek(self._state, place * _DOUBLE.size, os.SEEK_SET)
        os.write(self._state, _DOUBLE.pack(value))


def _near(moment: float, now: float) -> float:
    return moment if moment - now < _FAR else 0.0
