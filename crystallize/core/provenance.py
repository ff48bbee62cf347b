"""Which code gave a result: the commit that was checked out, and the versions of packages."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

_PACKAGES = ("pytest-crystallize", "numpy", "scipy")
_PATIENCE = 5.0  # seconds that git may take


def versions() -> dict[str, str]:
    """Return the versions that matter: Python's, and those of this package, numpy and scipy."""
    found = {"python": platform.python_version()}
    for distribution in _PACKAGES:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[distribution] = "unknown"
    return found


@contextmanager
def git_commit(directory: Path | None = None) -> Iterator[Callable[[], str | None]]:
    """Ask for the commit that is checked out now, without waiting.

    Yields a function that gives the answer: None if the directory (the working directory) is in no
    repository.
    """
    command = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        yield lambda: None
        return

    def answer() -> str | None:
        try:
            output, _ = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        return output.strip() or None

    with process:
        try:
            yield answer
        finally:
            with suppress(OSError):
                process.kill()
