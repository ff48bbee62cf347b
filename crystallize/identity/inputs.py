"""Files that are declared by inputs=: which they are, and what is in them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from crystallize.errors import FingerprintError
from crystallize.identity.file_digests import DIGESTS


def declared_files(root: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield name, relative to a root, and digest of each file of a pattern, directory or path.

    Raises
    ------
    FingerprintError
        If one can't be read.
    """
    for path in _matching(root, pattern):
        if os.path.isdir(path):  # noqa: PTH112 - a Path raises where there is no access
            continue
        try:
            digest = DIGESTS.of(str(path))
        except OSError as error:
            raise FingerprintError(f"inputs= names {path}, which can't be read: {error.strerror}") from error
        yield os.path.relpath(path, root).replace(os.sep, "/"), digest


def _matching(root: Path, pattern: str) -> list[Path]:
    whole = os.path.join(root, pattern)  # noqa: PTH118 - a pattern is no path
    if os.path.isdir(whole):  # noqa: PTH112 - as above
        whole = os.path.join(whole, "**")  # noqa: PTH118 - as above
    elif os.path.lexists(whole):
        return [Path(whole)]
    return sorted(map(Path, glob.glob(whole, recursive=True, include_hidden=True)))  # noqa: PTH207 - hidden


def input_digests(root: Path, pattern: str) -> list[tuple[str, str]]:
    """Return name and digest of each file of a pattern of `inputs`.

    Raises
    ------
    FingerprintError
        If it names no file, or one that can't be read.
    """
    found = list(declared_files(root, pattern))
    if not found:
        raise FingerprintError(f"inputs= {pattern!r} names no file in {root}; correct it, or leave it out")
    return found


def declared_inputs(root: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Return name -> digest of the files of all patterns; a pattern of which none can be read has none."""
    found: dict[str, str] = {}
    for pattern in patterns:
        try:
            found.update(input_digests(root, pattern))
        except FingerprintError:
            found[pattern] = ""
    return found
