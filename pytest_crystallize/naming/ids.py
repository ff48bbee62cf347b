"""Names as parts of node ids."""

from __future__ import annotations

import os
import re
import shlex
import zlib
from pathlib import Path

from crystallize.seam import LEGACY_COMMAND, escaped, is_encodable, printable

_SUSPECT = rf"::|{LEGACY_COMMAND}|[/\\]|[^ -~]"
_UNSAFE = re.compile(_SUSPECT)
_UNSAFE_OR_BRACKET = re.compile(rf"{_SUSPECT}|[\[\]]")


def escape(name: str, *, brackets: bool = True) -> str:
    """Escape what a node id can't hold; `brackets` says whether ``[`` and ``]`` may stay.

    pytest cuts node ids at ``::``, at ``/`` and at the first bracket, prints them, and puts them into the
    environment, so a character has to be printable, and in the encoding of the file system.
    """
    pattern = _UNSAFE if brackets else _UNSAFE_OR_BRACKET
    return pattern.sub(lambda found: "".join(map(_escaped_if_unfit, found.group())), name)


def _escaped_if_unfit(char: str) -> str:
    return char if char > "~" and char.isprintable() and is_encodable(char) else escaped(char)


def typed(name: str) -> str:
    """Return a name as it can be typed on a command line: escaped only if it can't be as it is."""
    return name if printable(name) == name and is_encodable(name) else escape(name)


def repro_option(condition: str, replicate: int) -> str:
    """Return the option that repeats one run of a condition."""
    return f"--crystallize-repro={replicate}:{typed(condition)}"


def variant(name: str, node: str) -> str:
    """Return what tells an experiment from others of its function: parameters, or a part of a graph."""
    rest = name.removeprefix(node.rpartition("::")[2])
    return f" {rest}" if rest.startswith("[") else rest


def pasteable(name: str, node: str) -> str:
    """Return the name of an experiment within a line: it begins with what pytest takes in a shell."""
    return shlex.quote(node) + variant(name, node)


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
