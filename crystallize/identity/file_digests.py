"""Digests of files and of the names in directories; a file is read again only if its status has changed."""

from __future__ import annotations

import json
import os
import platform
import time
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from crystallize.storage.regular import open_regular
from crystallize.storage.sealed import Encoded
from crystallize.storage.store import Store

_SETTLED: Final = 2 * 10**9
"""Nanoseconds behind which a file's times tell one change from the next, whatever the file system."""
_MOST: Final = 50_000  # files that are remembered from one process to the next
_OPENING: Final = 4_096  # bytes that could be read while a file is opened, about
_SAVED: Final = 128  # bytes of what is saved of a file, about


class Status(NamedTuple):
    """Status of a file, which changes with it; times alone are constant in reproducible packages."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: str) -> Status:
        """Return that of a file.

        Raises
        ------
        OSError
            If it is not there.
        """
        found = os.stat(path)  # noqa: PTH116 - a Path costs more
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_settled(self) -> bool:
        """Return whether another change would show."""
        return time.time_ns() - self.changed > _SETTLED


class FileDigests:
    """Digests of files, remembered by their status; those of one machine, from one process to the next."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Status, str]] = {}
        self._loaded: set[Path] = set()
        self._unsaved = 0  # bytes that later processes would read again

    def of(self, path: str, status: Status | None = None) -> str:
        """Return the digest of a file's content.

        Raises
        ------
        OSError
            If it can't be read.
        """
        status = Status.of(path) if status is None else status
        known = self._known.get(path)
        if known is not None and known[0] == status:
            return known[1]
        digest = blake2b(digest_size=32)
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        found = digest.hexdigest()
        if status.is_settled():
            self._known[path] = status, found
            self._unsaved += _OPENING + status.size
        return found

    def load(self, store: Store) -> None:
        """Remember what an earlier process of this machine has found out, once for each store."""
        if store.directory in self._loaded:
            return
        self._loaded.add(store.directory)
        found = store.get(_key(), "list")
        if found is not None:
            entries = json.loads(found.data)
            earlier = {path: (Status(*status), digest) for path, status, digest in entries}
            self._known = {**earlier, **self._known}

    def save(self, store: Store) -> None:
        """Have later processes remember what this one has found out, if that is worth writing all of it."""
        if self._unsaved > _SAVED * len(self._known):
            self._unsaved = 0
            entries = [[path, *known] for path, known in list(self._known.items())[-_MOST:]]
            store.put(_key(), Encoded("json", json.dumps(entries).encode()), "list")


DIGESTS: Final = FileDigests()
"""Those of this process."""


def digest_of_names(directory: str) -> str:
    """Return the digest of the names in a directory, those apart that tools leave for themselves.

    Raises
    ------
    OSError
        If it can't be read.
    """
    names = sorted(
        name
        for name in os.listdir(directory)  # noqa: PTH208 - as above
        if not name.startswith(".") and name != "__pycache__"
    )
    return blake2b(json.dumps(names).encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


@lru_cache(maxsize=1)
def _key() -> str:
    """Return the key of what is remembered: another machine, or this one started anew, has its own."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        started = "unknown"
    return f"digests of files {platform.node()} {started}"
