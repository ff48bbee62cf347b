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
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from crystallize.errors import ArtifactError
from crystallize.storage.atomic import write_whole
from crystallize.storage.names import TEMPORARY, path_component, path_components
from crystallize.text.strict_json import from_strict_json

METADATA: Final = "metadata.json"
RESULTS: Final = "results.json"
MANIFEST: Final = "manifest.json"
FORMAT: Final = "crystallize-version-1"

_VERSION = re.compile(r"v(0|[1-9]\d*)\Z", re.ASCII)
_GONE = (FileNotFoundError, NotADirectoryError)


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
            number = 1 + max((number for number, _ in _numbered(parent)), default=-1)
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
    with contextlib.suppress(*_GONE):
        complete = [path for _, path in sorted(_numbered(parent)) if (path / MANIFEST).is_file()]
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


def stored_versions(experiment: str, root_dir: str | os.PathLike[str] = "data") -> list[StoredVersion]:
    """Return the versions that runs of an experiment left on disk, oldest first.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    root_dir : path
        That of the `ArtifactPlugin`.

    Examples
    --------
    >>> [version.metrics["baseline"] for version in stored_versions("basic") if version.complete]
    []
    """
    parent = Path(root_dir) / path_component(experiment)
    try:
        return [StoredVersion(path) for _, path in sorted(_numbered(parent))]
    except _GONE:
        return []


class StoredVersion:
    """Files of one run on disk.

    Parameters
    ----------
    path : path
        Its directory, ``<root>/<experiment>/v<N>``.

    Examples
    --------
    >>> import tempfile
    >>> from crystallize import ArtifactPlugin, Experiment, pipeline_step
    >>> @pipeline_step()
    ... def write(data, ctx):
    ...     ctx.artifacts.add("sum.txt", str(sum(data)).encode())
    ...     return data, {"sum": sum(data)}
    >>> with tempfile.TemporaryDirectory() as root:
    ...     result = Experiment([1, 2], [write], [ArtifactPlugin(root)], name="sums").run()
    ...     (version,) = stored_versions("sums", root)
    ...     print(version.number, version.complete, version.metrics["baseline"])
    0 True {'sum': [3]}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def number(self) -> int:
        """The N of ``v<N>``."""
        return int(self.path.name[1:])

    @property
    def complete(self) -> bool:
        """Whether the run came to its end; a run that was killed leaves an incomplete version."""
        return (self.path / MANIFEST).is_file()

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Experiment, seed, versions, git commit, times.

        Raises
        ------
        ArtifactError
            If there are none.
        """
        return self._read(METADATA)

    @cached_property
    def results(self) -> dict[str, Any]:
        """Dictionary of `Result.to_dict`; nan and infinities are the strings "nan", "inf" and "-inf".

        Raises
        ------
        ArtifactError
            If the version is incomplete.
        """
        return self._read(RESULTS)

    @cached_property
    def metrics(self) -> dict[str, dict[str, list[Any]]]:
        """Condition -> metric -> one value per replicate.

        Raises
        ------
        ArtifactError
            If the version is incomplete.
        """
        return {
            condition: {metric: _numbers(values) for metric, values in metrics.items()}
            for condition, metrics in self.results["metrics"].items()
        }

    @cached_property
    def artifacts(self) -> list[dict[str, Any]]:
        """Path, replicate, condition, step, name, size and digest of every artifact.

        Raises
        ------
        ArtifactError
            If the version is incomplete.
        """
        found: list[dict[str, Any]] = self._read(MANIFEST)["artifacts"]
        return found

    def read(
        self, name: str, *, replicate: int = 0, condition: str = "baseline", step: str | None = None
    ) -> bytes:
        """Return an artifact's bytes.

        Parameters
        ----------
        name : str
            Name of the artifact.
        replicate, condition : optional
            Which run wrote it.
        step : str, optional
            Which step wrote it, where several wrote one of that name.

        Raises
        ------
        ArtifactError
            If there is not exactly one, or its file is not what was written.
        """
        written = [
            entry
            for entry in self.artifacts
            if (entry["replicate"], entry["condition"]) == (replicate, condition)
        ]
        found = [entry for entry in written if entry["name"] == name and step in (None, entry["step"])]
        if len(found) != 1:
            known = ", ".join(f"{entry['name']!r} of {entry['step']!r}" for entry in written) or "none"
            raise ArtifactError(
                f"replicate {replicate} of {condition!r} in {self.path} has {len(found)} artifacts "
                f"{name!r}{f' of {step!r}' if step else ''}; it has {known}"
            )
        (entry,) = found
        return read_verified(self.path / entry["path"], entry["size"], entry["blake2b"])

    def _read(self, file: str) -> dict[str, Any]:
        path = self.path / file
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
        except _GONE as error:
            raise ArtifactError(
                f"{self.path} has no {file}: its run was stopped, or has not ended yet"
            ) from error
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} can't be read: {error}") from error
        return content

    def __repr__(self) -> str:
        return f"<StoredVersion {self.path}{'' if self.complete else ', incomplete'}>"


def _numbered(parent: Path) -> Iterator[tuple[int, Path]]:
    for entry in parent.iterdir():
        if match := _VERSION.match(entry.name):
            yield int(match[1]), entry


def _numbers(values: list[Any]) -> list[Any]:
    """Return a sample with its nan and infinities, unless it is one of texts."""
    numbers = from_strict_json(values)
    return numbers if all(isinstance(number, int | float) for number in numbers) else values


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
