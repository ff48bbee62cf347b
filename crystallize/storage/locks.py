"""Locks that a process holds, and that end with it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Locks:
    """Locks on bytes of a file, owned by this process and gone with it.

    POSIX record locks, not `flock`: a forked child does not inherit them. The file is opened once, since
    closing any descriptor of it would give back every lock.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    if sys.platform == "win32":

        def acquire(self, offset: int, count: int = 1, *, wait: bool) -> bool:
            """Lock bytes from an offset on; without `wait`, return False if another process holds one."""
            while True:
                os.lseek(self._file, offset, os.SEEK_SET)
                try:
                    msvcrt.locking(self._file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, count)
                except OSError:
                    if not wait:
                        return False
                else:
                    return True

        def release(self, offset: int, count: int = 1) -> None:
            """Give back what was locked at once."""
            os.lseek(self._file, offset, os.SEEK_SET)
            msvcrt.locking(self._file, msvcrt.LK_UNLCK, count)

    else:

        def acquire(self, offset: int, count: int = 1, *, wait: bool) -> bool:
            """Lock bytes from an offset on; without `wait`, return False if another process holds one."""
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), count, offset)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN) and not wait:
                    return False
                raise
            return True

        def release(self, offset: int, count: int = 1) -> None:
            """Give back what was locked at once."""
            fcntl.lockf(self._file, fcntl.LOCK_UN, count, offset)

    def close(self) -> None:
        """Close the file; this gives back every lock."""
        os.close(self._file)
