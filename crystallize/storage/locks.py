"""Locks that a process holds, and that end with it."""

from __future__ import annotations

import os
from pathlib import Path

from crystallize.storage.system import lock, unlock


class Locks:
    """Locks on bytes of a file, owned by this process and gone with it.

    The file is opened once, since closing any descriptor of it would give back every lock.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self, offset: int, count: int = 1, *, wait: bool) -> bool:
        """Lock bytes from an offset on; without `wait`, return False if another process holds one."""
        return lock(self._file, offset, count, wait=wait)

    def release(self, offset: int, count: int = 1) -> None:
        """Give back what was locked at once."""
        unlock(self._file, offset, count)

    def close(self) -> None:
        """Close the file; this gives back every lock."""
        os.close(self._file)
