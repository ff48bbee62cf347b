"""``crystallize artifacts``: the versions of files that runs have left, and fewer of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crystallize import StoredVersion
from crystallize.errors import ArtifactError
from crystallize.seam import counted, printable, prune_versions
from pytest_crystallize.command.main import GOOD, CommandError
from pytest_crystallize.command.session import ask, kept_in


def list_versions(*, root: str | None = None, behind: Sequence[str] = ()) -> int:
    """Print each version: where it is, of which experiment, when it was begun, how many files it has.

    Parameters
    ----------
    root : str, optional
        Directory of an `ArtifactPlugin`; by default, the one in the cache of pytest.
    behind : sequence of str
        Further arguments of pytest.
    """
    directory = _root(root, behind)
    found = list(_versions(directory))
    for version in found:
        print(printable(_line(version)))
    if not found:
        print(printable(f"no artifacts in {directory}"))
    return GOOD


def prune(*, keep: int, root: str | None = None, behind: Sequence[str] = ()) -> int:
    """Delete all but the latest versions of each experiment; one without manifest stays.

    Parameters
    ----------
    keep : int
        How many to leave of each experiment.
    root, behind
        As of `list_versions`.
    """
    directory = _root(root, behind)
    before = {version.path for version in _versions(directory)}
    for parent in sorted({path.parent for path in before}):
        prune_versions(parent, keep)
    after = {version.path for version in _versions(directory)}
    for path in sorted(before - after):
        print(printable(f"removed {path}"))
    print(f"removed {len(before - after)} of {len(before)} versions")
    return GOOD


def _root(given: str | None, behind: Sequence[str]) -> Path:
    if given is not None:
        if not Path(given).is_dir():
            raise CommandError(f"--root={given}: there is no such directory")
        return Path(given)
    found: list[Path] = []

    def learn(session: pytest.Session) -> None:
        found.append(kept_in(session.config, instead="; give --root") / "artifacts")

    ask(learn, behind)
    return found[0]


def _versions(root: Path) -> Iterator[StoredVersion]:
    for path in sorted(root.glob("*/v*")):
        version = StoredVersion(path)
        if path.name[1:].isdecimal() and (path / "metadata.json").is_file():
            yield version


def _line(version: StoredVersion) -> str:
    try:
        known = version.metadata
        what = f"{known['experiment']}, {known['started'][:16].replace('T', ' ')} UTC"
        many = (
            counted(len(version.artifacts), "file") if version.complete else "incomplete: its run did not end"
        )
    except (ArtifactError, KeyError, TypeError, OSError) as fault:
        return f"{version.path}: can't be read: {fault}"
    return f"{version.path}: {what}, {many}"
