"""Names as parts of node ids."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

_UNSAFE = re.compile("::|[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE_OR_BRACKET = re.compile("::|[\\[\\]/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escape(name: str, *, brackets: bool = True) -> str:
    """Escape what a node id can't hold; `brackets` says whether ``[`` and ``]`` may stay.

    pytest cuts node ids at ``::``, at ``/`` and at the first bracket.
    """
    pattern = _UNSAFE if brackets else _UNSAFE_OR_BRACKET
    return pattern.sub(lambda found: "".join(map(_escaped, found.group())), name)


def _escaped(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"


def checksum(name: str) -> int:
    """Return 32 bits that depend on a name alone, the same in every process."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))


def seen_from(directory: Path, path: Path) -> str:
    """Return a path as it is to be given in a directory."""
    try:
        return os.path.relpath(path, directory)
    except ValueError:  # on another drive
        return str(path)


def shortened(text: str, root: Path) -> str:
    """Return a text with the paths in it relative to pytest's root directory, if they lie there."""
    return text.replace(str(root) + os.sep, "")


def relative(path: str | Path, root: Path) -> str:
    """Return a path as pytest shows it: relative to its root directory, if it lies there."""
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return str(path)
