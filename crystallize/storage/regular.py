"""Reading files that may be anything: what others put in their place is neither waited for nor swallowed."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from typing import Final

from crystallize.storage.system import AT_ONCE, BINARY, PRIVATE

_FLAGS: Final = os.O_RDONLY | AT_ONCE | BINARY | PRIVATE


def open_regular(path: str | os.PathLike[str]) -> FileIO:
    """Open a file to be read, unbuffered; links are followed.

    Raises
    ------
    OSError
        If it is none, such as a directory, a pipe or a device, or can't be opened.
    """
    descriptor, _ = _opened(path)
    try:
        return FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _opened(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the descriptor of a regular file, and its size."""
    descriptor = os.open(path, _FLAGS)
    try:
        # What was opened is judged, not what the path names by now.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of a file that has at most `limit` bytes.

    Raises
    ------
    OSError
        As `open_regular`; or if the file is larger, or grows while it is read.
    """
    descriptor, size = _opened(path)
    try:
        if size > limit:
            reason = f"it has {size:,} bytes, and at most {limit:,} are read"
            raise OSError(errno.EFBIG, reason, os.fspath(path))
        data, room = b"", size + 1
        # One byte more is asked for than there should be; where it does not come, the file is over.
        while (room > 1 or not data) and (block := os.read(descriptor, room)):
            data, room = data + block if data else block, room - len(block)
    finally:
        os.close(descriptor)
    if len(data) > size:
        raise OSError(errno.EFBIG, "it grew while it was read", os.fspath(path))
    return data
