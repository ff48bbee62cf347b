"""What operating systems do not have in common: locks, flags of files, owners, forks."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BINARY: Final[int] = getattr(os, "O_BINARY", 0)
"""Flag of a file whose bytes are as they are; Windows has texts, too."""
PRIVATE: Final[int] = getattr(os, "O_CLOEXEC", 0)
"""Flag of a file that no program has which this one starts."""
AT_ONCE: Final[int] = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""Flags that neither wait for the writer of a pipe, nor take a terminal for one's own."""
FORKS: Final = hasattr(os, "fork")
"""Whether there are processes that begin as copies of others."""


def cores() -> int | None:
    """Return how many cores this process may use, if that is known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def at_fork(
    *, in_child: Callable[[], object] | None = None, in_parent: Callable[[], object] | None = None
) -> None:
    """Have functions be called behind each fork."""
    calls = {"after_in_child": in_child, "after_in_parent": in_parent}
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**{name: call for name, call in calls.items() if call is not None})


def configuration() -> Path:
    """Return the directory of what programs keep for the user.

    Raises
    ------
    RuntimeError
        If there is no home directory.
    """
    if sys.platform == "win32":
        given = os.environ.get("LOCALAPPDATA")
        return Path(given) if given else Path.home() / "AppData" / "Local"
    given = os.environ.get("XDG_CONFIG_HOME")
    if given and Path(given).is_absolute():  # others are to be ignored, says the specification
        return Path(given)
    home = Path.home()
    return home / "Library" / "Application Support" if sys.platform == "darwin" else home / ".config"


def not_private(status: os.stat_result) -> str | None:
    """Return why a file is not the user's alone; None if it is, or where files have no such bits."""
    if sys.platform == "win32":
        return None
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, not to user {os.geteuid()}: use one of your own"
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        return f"can be used by others (mode {mode:04o}): delete it, since they may know it"
    return None


if sys.platform == "win32":

    def lock(file: int, offset: int, count: int, *, wait: bool) -> bool:
        """Lock bytes of a file; without `wait`, return False if another process holds one."""
        while True:
            os.lseek(file, offset, os.SEEK_SET)
            try:
                msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, count)
            except OSError:
                if not wait:
                    return False
            else:
                return True

    def unlock(file: int, offset: int, count: int) -> None:
        """Give back what was locked at once."""
        os.lseek(file, offset, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, count)

else:

    def lock(file: int, offset: int, count: int, *, wait: bool) -> bool:
        """Lock bytes of a file; without `wait`, return False if another process holds one.

        These are POSIX record locks, not those of `flock`: a forked child does not inherit them.
        """
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), count, offset)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN) and not wait:
                return False
            raise
        return True

    def unlock(file: int, offset: int, count: int) -> None:
        """Give back what was locked at once."""
        fcntl.lockf(file, fcntl.LOCK_UN, count, offset)
