"""Which code gave a result, and where: the commit that was checked out, versions of packages, the machine."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from crystallize.storage.system import cores

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


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine that times depend on, as far as the system tells.

    Attributes
    ----------
    processor : str
        Its model.
    cores : int
        How many of them a process may use.
    python : str
        Implementation and version.
    """

    processor: str
    cores: int
    python: str

    def differences(self, here: Machine) -> str:
        """Say in what another machine differs from this one; empty if it is of the same kind."""
        before, now = asdict(self), asdict(here)
        return ", ".join(
            f"{name} {before[name]!r} there, {now[name]!r} here"
            for name in before
            if before[name] != now[name]
        )


@lru_cache(maxsize=1)
def machine() -> Machine:
    """Return the machine of this process."""
    from crystallize.identity.environment import processor  # the cache, of which nothing is used

    return Machine(
        processor() or platform.machine(),
        cores() or 1,
        f"{platform.python_implementation()} {platform.python_version()}",
    )


def has_changes(directory: Path | None = None) -> bool | None:
    """Return whether the code differs from the commit that is checked out; None if git can't tell.

    Every tracked file counts, of others Python files do, and references do not: they are being written.
    """
    paths = ["--", ":(top)", ":(top,exclude,glob)**/references/**"]
    found = _git(directory, "status", "--porcelain", "-z", "--untracked-files=all", *paths)
    if found is None:
        return None
    entries = found.split(b"\0")
    return any(entry and (not entry.startswith(b"?? ") or entry.endswith(b".py")) for entry in entries)


def git_tags(directory: Path | None = None) -> list[str]:
    """Return the tags of the commit that is checked out; none if nobody can tell."""
    return (_git(directory, "tag", "--points-at", "HEAD") or b"").decode(errors="surrogateescape").split()


def commit_and_changes(directory: Path | None = None) -> tuple[str | None, bool | None]:
    """Return the commit that is checked out, and whether the code differs; None for what git can't tell."""
    with git_commit(directory) as ask:
        changed = has_changes(directory)
        commit = ask()
    return commit, None if commit is None else changed


def _git(directory: Path | None, *arguments: str) -> bytes | None:
    """Return what git says; None if it fails or takes too long."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


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
