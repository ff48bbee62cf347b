"""Directories that a process has for as long as it runs; those of killed processes are removed later."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from crystallize.seam import Locks
from pytest_crystallize.records.lock_bytes import ALIVE, CLAIMS

STALE_SECONDS: Final = 60


def is_abandoned(directory: Path) -> bool:
    """Return whether the process that made a directory is gone."""
    try:
        locks = Locks(directory / CLAIMS)
    except OSError:
        return False
    try:
        return locks.acquire(ALIVE, wait=False)
    finally:
        locks.close()


def remove_stale(directories: Iterable[Path]) -> None:
    """Remove directories that processes which were killed have left; a new one may not have its lock yet."""
    for path in directories:
        with suppress(OSError):  # another process may be removing it too
            if time.time() - path.stat().st_mtime > STALE_SECONDS and is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
