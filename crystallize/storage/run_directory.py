"""Versions on disk: what one run of an experiment left behind, and how it is written.

::

    <root>/<experiment>/v<N>/metadata.json     experiment, seed, versions, commit, times
                             results.json      the result, as `Result.to_json` gives it
                             manifest.json     every artifact with size and digest; written last
                             replicate_<i>/<condition>/<step>/<name>

A version without manifest is incomplete: its run was stopped, or has not ended yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from crystallize.errors import ArtifactError
from crystallize.storage.atomic import write_whole
from crystallize.storage.names import TEMPORARY, path_component, path_components

METADATA: Final = "metadata.json"
RESULTS: Final = "results.json"
MANIFEST: Final = "manifest.json"
FORMAT: Final = "crystallize-version-1"

_VERSION = re.compile(r"v(0|[1-9]\d*)\Z", re.ASCII)
GONE: Final = (FileNotFoundError, NotADirectoryError)
"""Errors of reading what is not there."""


def digest_of(data: bytes) -> str:
    """Return the blake2b digest of bytes, as ``b2sum`` prints it."""
    return hashlib.blake2b(data).hexdigest()


def discard_ahead(version: Path, enough: Mapping[str, int]) -> None:
    """Delete the artifacts of replicates that were run ahead, and count in nothing.

    Parameters
    ----------
    version : Path
        Where they are.
    enough : mapping of str to int
        By condition, all of the run in their order, how many replicates count.
    """
    directories = _components(tuple(enough))
    for path in version.glob("replicate_*"):
        number = path.name.removeprefix("replicate_")
        if not number.isdigit():
            continue
        ahead = [name for name, count in enough.items() if int(number) >= count]
        for name in ahead:
            shutil.rmtree(path / directories[name], ignore_errors=True)
        if len(ahead) == len(enough):
            shutil.rmtree(path, ignore_errors=True)


def artifact_path(conditions: tuple[str, ...], replicate: int, condition: str, step: str, name: str) -> str:
    """Return where an artifact lies inside its version.

    Parameters
    ----------
    conditions : tuple of str
        All conditions of the run: two of them never share a directory, whatever the file system.
    replicate, condition, step, name
        Which artifact.
    """
    directory = _components(conditions)[condition]
    return f"replicate_{replicate}/{directory}/{path_component(step)}/{name}"


_components = lru_cache(maxsize=64)(path_components)


class NewVersion(NamedTuple):
    """A version that was made for a run.

    Attributes
    ----------
    path : Path
        Its directory, absolute: a step may change the working directory.
    created : list of Path
        The directories that were made for it, innermost first.
    """

    path: Path
    created: list[Path]


def new_version(root: Path, experiment: str) -> NewVersion:
    """Make the directory of a version that no other run, process or machine is given."""
    parent = root.absolute() / path_component(experiment)
    while True:
        created = [path for path in (parent, *parent.parents) if not path.exists()]
        with contextlib.suppress(FileNotFoundError):  # another run removed what it had made and not needed
            parent.mkdir(parents=True, exist_ok=True)
            number = 1 + max((number for number, _ in numbered(parent)), default=-1)
            while True:
                path = parent / f"v{number}"
                try:
                    path.mkdir()
                except FileExistsError:
                    number += 1
                else:
                    return NewVersion(path, [path, *created])


def begin_version(path: Path, metadata: Mapping[str, Any], versions: Mapping[str, str]) -> None:
    """Say whose version this is, before its first artifact is written; a manifest of an earlier run goes.

    Parameters
    ----------
    path : Path
        The version.
    metadata : mapping
        What is known of the run before it has ended.
    versions : mapping of str to str
        Of the packages that it rests on.
    """
    (path / MANIFEST).unlink(missing_ok=True)
    described = {
        "format": FORMAT,
        "version": path.name,
        **metadata,
        "versions": dict(versions),
        "started": _now(),
    }
    _write(path / METADATA, _json(described), path)


def write_artifact(path: Path, inside: str, data: bytes) -> None:
    """Write an artifact of a version."""
    _write(path / inside, data, path)


def conclude_version(path: Path, result: Any) -> None:
    """Write metadata, results and manifest of a run that has ended.

    Parameters
    ----------
    path : Path
        The version.
    result : Result
        What the run gave.
    """
    started = {}
    with contextlib.suppress(OSError, ValueError):
        started = {"started": json.loads((path / METADATA).read_bytes())["started"]}
    provenance = result.provenance
    conditions = tuple(result.metrics)
    metadata = {
        "format": FORMAT,
        "version": path.name,
        "experiment": result.name,
        "seed": result.root_seed,
        "replicates": result.replicates,
        "conditions": conditions,
        "versions": provenance["versions"],
        "git_commit": provenance["git_commit"],
        **started,
        "finished": _now(),
    }
    artifacts = [
        {
            "path": artifact_path(conditions, record.replicate, record.condition, entry.step, entry.name),
            "replicate": record.replicate,
            "condition": record.condition,
            "step": entry.step,
            "name": entry.name,
            "size": entry.size,
            "blake2b": entry.digest,
        }
        for record in result.records
        if record.succeeded
        for entry in record.artifacts
    ]
    _write(path / METADATA, _json(metadata), path)
    _write(path / RESULTS, result.to_json().encode(), path)
    _write(path / MANIFEST, _json({"format": FORMAT, "artifacts": artifacts}), path)
    shutil.rmtree(path / TEMPORARY, ignore_errors=True)


def prune_versions(parent: Path, keep: int) -> None:
    """Delete the oldest versions of an experiment.

    A version without manifest counts for nothing and stays: its run may not have ended yet.

    Parameters
    ----------
    parent : Path
        The directory of the experiment, which holds its versions.
    keep : int
        How many complete versions to leave, >= 1.
    """
    with contextlib.suppress(*GONE):
        complete = [path for _, path in sorted(numbered(parent)) if (path / MANIFEST).is_file()]
        for path in complete[:-keep]:
            (path / MANIFEST).unlink(missing_ok=True)  # from now on nobody takes it for a whole one
            shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, data: bytes, version: Path) -> None:
    """Write a file of a version, making its directory; unfinished ones lie in a directory of their own."""
    place = version / TEMPORARY
    for directory in (place, path.parent):
        directory.mkdir(parents=True, exist_ok=True)
    write_whole(path, data, place=place)


def read_verified(path: Path, size: int, digest: str) -> bytes:
    """Read an artifact.

    Raises
    ------
    ArtifactError
        If it is not there, or not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"artifact {path} can't be read: {error.strerror or error}") from error
    if len(data) != size or digest_of(data) != digest:
        raise ArtifactError(
            f"artifact {path} is not what was written: it has {len(data)} bytes, of {size}, or other ones"
        )
    return data


def numbered(parent: Path) -> Iterator[tuple[int, Path]]:
    """Yield number and directory of each version of an experiment, in no order."""
    for entry in parent.iterdir():
        if match := _VERSION.match(entry.name):
            yield int(match[1]), entry


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
