"""Writing files that appear whole or not at all: whatever fails on the way, what was there stays there."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from crystallize.storage.system import BINARY, PRIVATE

UNFINISHED: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""Names of files that were not finished; one that is old was left behind by a process that was killed."""

_Data = bytes | Iterable[bytes | memoryview]
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY | PRIVATE


def write_whole(
    path: Path, data: _Data, *, mode: int = 0o666, durable: bool = False, place: Path | None = None
) -> None:
    """Write a file, in place of one that may be there.

    Parameters
    ----------
    path : Path
        The file; its directory has to be there.
    data : bytes, or an iterable of bytes
        Its content.
    mode : int
        Its permissions, less those that the process withholds (umask).
    durable : bool
        Whether it has to outlive a crash of the machine, since what it replaces can't be made again.
    place : Path, optional
        Directory of unfinished files, on the same device; that of the file if left out.

    Raises
    ------
    OSError
        If it can't be written.
    """
    with _unfinished(path.parent if place is None else place, data, mode, durable) as temporary:
        os.replace(temporary, path)  # noqa: PTH105 - a Path costs more


def write_output(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file under a path that somebody gave, with the directories that it needs.

    A device or a pipe is written to, and a link stays one: the file that it leads to is replaced.

    Raises
    ------
    OSError
        If it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        path.write_bytes(data)
    else:
        write_whole(Path(os.path.realpath(path)), data, durable=durable)


def remove_output(path: Path) -> None:
    """Remove the file that `write_output` is going to write, if there is one.

    Raises
    ------
    OSError
        If it can't be removed.
    """
    if path.is_file():
        Path(os.path.realpath(path)).unlink(missing_ok=True)


def write_first(path: Path, data: _Data, *, mode: int = 0o666) -> None:
    """Write a file unless there is one already: of several processes the first wins.

    Raises
    ------
    OSError
        If it can't be written.
    """
    with _unfinished(path.parent, data, mode, durable=True) as temporary:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        _remove(temporary)


@contextlib.contextmanager
def _unfinished(directory: Path, data: _Data, mode: int, durable: bool) -> Iterator[str]:
    """Write a file under a name of its own; it is removed if anything fails before it has another."""
    temporary = os.path.join(directory, f".{secrets.token_hex(8)}.tmp")  # noqa: PTH118 - as above
    descriptor = os.open(temporary, _FLAGS, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        yield temporary
    except BaseException:
        _remove(temporary)
        raise


def _remove(temporary: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(temporary)  # noqa: PTH108 - as above
