"""Artifacts on disk."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

from crystallize.context.context import FrozenContext, journal_of
from crystallize.errors import DefinitionError
from crystallize.identity.provenance import versions
from crystallize.run.plugins.base import BasePlugin
from crystallize.run.plugins.seed import SeedPlugin
from crystallize.storage.names import path_component
from crystallize.storage.run_directory import (
    METADATA,
    artifact_path,
    begin_version,
    conclude_version,
    discard_ahead,
    new_version,
    prune_versions,
    write_artifact,
)

_reserving = threading.Lock()


class ArtifactPlugin(BasePlugin):
    """Artifacts as files ``<root_dir>/<experiment>/v<N>/replicate_<i>/<condition>/<step>/<name>``.

    Beside them lie ``metadata.json``, ``results.json`` and, once the run has ended, ``manifest.json``;
    `stored_versions` reads them. Names of experiments, conditions and steps are percent-encoded where a file
    system would not take them. Files appear whole or not at all. Nothing is left on disk by a run without
    artifacts.

    Parameters
    ----------
    root_dir : path
        Where to write; ``./data`` by default.
    versioned : bool
        Give each run a version directory of its own, which no other run writes to. Otherwise every run
        writes to ``v0`` and replaces what it finds there.
    keep_versions : int, optional
        How many versions of an experiment to keep: behind each run, older ones are deleted. All are kept if
        left out.

    Attributes
    ----------
    version_dir : Path or None
        Where the latest run that ended wrote; None if it wrote nothing.

    Raises
    ------
    DefinitionError
        If `keep_versions` is no integer >= 1, or versions are not kept apart.

    Examples
    --------
    >>> import tempfile
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def write(data, ctx):
    ...     ctx.artifacts.add("sum.txt", str(sum(data)).encode())
    ...     return data
    >>> with tempfile.TemporaryDirectory() as root:
    ...     result = Experiment([1, 2], [write], [ArtifactPlugin(root)], name="sums").run()
    ...     file = next(result.version_dir.rglob("sum.txt"))
    ...     print(file.relative_to(root).as_posix(), file.read_text())
    sums/v0/replicate_0/baseline/write/sum.txt 3
    """

    stays_local = True

    def __init__(
        self,
        root_dir: str | os.PathLike[str] = "data",
        versioned: bool = True,
        *,
        keep_versions: int | None = None,
    ) -> None:
        if keep_versions is not None:
            if type(keep_versions) is not int or keep_versions < 1:
                raise DefinitionError(f"keep_versions is {keep_versions!r}; give an integer >= 1")
            if not versioned:
                raise DefinitionError(
                    "keep_versions= and versioned=False: every run replaces the only version there is"
                )
        self.keep_versions = keep_versions
        self.root_dir = Path(root_dir)
        self.versioned = versioned
        self.version_dir: Path | None = None
        self._runs: dict[str, _Writing] = {}  # by id: several runs may be under way at the same time

    def reserve(self, experiment_name: str) -> Path:
        """Choose the directory of a run and, if versioned, make it so that no other run can."""
        if self.versioned:
            return new_version(self.root_dir, experiment_name).path
        return self.root_dir.absolute() / path_component(experiment_name) / "v0"

    def before_run(self, experiment: Any) -> None:
        """Note whose artifacts these will be."""
        self._runs[experiment.run_id] = _Writing(
            {
                "experiment": experiment.name,
                "seed": experiment.plugin(SeedPlugin).seed or 0,
                "replicates": experiment.replicates,
                "conditions": experiment.conditions,
            }
        )

    def reserved(self, experiment: Any) -> Path:
        """Return the directory of a run, reserved when it is first asked for."""
        writing = self._runs.setdefault(experiment.run_id, _Writing({"experiment": experiment.name}))
        with _reserving:
            if writing.path is None:
                if self.versioned:
                    writing.path, writing.created = new_version(self.root_dir, experiment.name)
                else:
                    writing.path = self.reserve(experiment.name)
            return writing.path

    def after_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Write the artifacts of a condition run."""
        if journal_of(ctx).artifacts:
            version = self.reserved(experiment)
            self._runs[experiment.run_id].begin()
            write_artifacts(version, experiment.conditions, ctx)

    def after_run(self, experiment: Any, result: Any) -> None:
        """Write results and manifest, if there is an artifact, and remove what was made in vain."""
        writing = self._runs.get(experiment.run_id)
        if writing is not None and writing.path is not None and (writing.path / METADATA).exists():
            wrote = any(record.artifacts for record in result.records if record.succeeded)
            if wrote or self.versioned:  # what lies in a directory that is used again may be an earlier run's
                result.version_dir = writing.path
        self.version_dir = result.version_dir
        self.tidy(experiment)
        if result.version_dir is not None:
            if self.versioned:
                counted = {record.condition: record.replicate + 1 for record in result.records}
                enough = {name: counted.get(name, 0) for name in experiment.conditions}
                if min(enough.values()) < experiment.replicates:
                    discard_ahead(result.version_dir, enough)
            conclude_version(result.version_dir, result)
            if self.keep_versions is not None:
                prune_versions(result.version_dir.parent, self.keep_versions)

    def tidy(self, experiment: Any) -> None:
        """Forget a run, and remove the directories that were made for it and stayed empty."""
        writing = self._runs.pop(experiment.run_id, None)
        with contextlib.suppress(OSError):
            for path in writing.created if writing else ():
                path.rmdir()


class _Writing:
    """Directory that a run writes its artifacts to, made as soon as it has any."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.path: Path | None = None
        self.created: list[Path] = []
        self._begun = False

    def begin(self) -> None:
        """Describe the version before the first artifact that this process writes to it."""
        if not self._begun and self.path is not None:
            with _reserving:
                if not self._begun:
                    begin_version(self.path, self.metadata, versions())
                    self._begun = True


def write_artifacts(version: Path, conditions: tuple[str, ...], ctx: FrozenContext) -> None:
    """Write the artifacts of a condition run to a version.

    Parameters
    ----------
    version : Path
        Directory of the version.
    conditions : tuple of str
        All conditions of the run.
    ctx : FrozenContext
        Context of the condition run.
    """
    for artifact in journal_of(ctx).artifacts:
        inside = artifact_path(conditions, ctx.replicate, ctx.condition, artifact.step, artifact.name)
        write_artifact(version, inside, artifact.data)


ArtifactPlugin.kind = ArtifactPlugin
