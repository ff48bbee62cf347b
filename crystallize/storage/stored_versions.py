"""Versions on disk as they are read again: what runs of an experiment left behind."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from crystallize.errors import ArtifactError
from crystallize.storage.names import path_component
from crystallize.storage.run_directory import GONE, MANIFEST, METADATA, RESULTS, numbered, read_verified
from crystallize.text.strict_json import from_strict_json


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
        return [StoredVersion(path) for _, path in sorted(numbered(parent))]
    except GONE:
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
        with _telling(self.path / RESULTS):
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
        with _telling(self.path / MANIFEST):
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
        with _telling(self.path / MANIFEST):
            return self._verified(name, replicate, condition, step)

    def _verified(self, name: str, replicate: int, condition: str, step: str | None) -> bytes:
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
        with _telling(path):
            try:
                content: dict[str, Any] = json.loads(path.read_bytes())
            except GONE as error:
                raise ArtifactError(
                    f"{self.path} has no {file}: its run was stopped, or has not ended yet"
                ) from error
        return content

    def __repr__(self) -> str:
        return f"<StoredVersion {self.path}{'' if self.complete else ', incomplete'}>"


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Raise `ArtifactError` for whatever is wrong with a file of a version."""
    try:
        yield
    except ArtifactError:
        raise
    except KeyError as error:
        raise ArtifactError(f"{path} can't be read: it has no {error}") from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path} can't be read: {error}") from error


def _numbers(values: list[Any]) -> list[Any]:
    """Return a sample with its nan and infinities, unless it is one of texts."""
    numbers = from_strict_json(values)
    return numbers if all(isinstance(number, int | float) for number in numbers) else values
