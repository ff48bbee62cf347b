"""Artifacts on disk."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from crystallize.core.context import FrozenContext
from crystallize.core.names import path_component
from crystallize.core.plugins.base import BasePlugin

if TYPE_CHECKING:
    from crystallize.core.experiment import Experiment
    from crystallize.core.result import Result

_VERSION = re.compile(r"v(\d+)\Z")
_reserving = threading.Lock()


class ArtifactPlugin(BasePlugin):
    """Writes artifacts to ``<root_dir>/<experiment>/v<N>/replicate_<i>/<condition>/<step>/<name>``.

    Names of experiments, conditions and steps are percent-encoded where a file system would not take them.
    Files appear whole or not at all. Nothing is left on disk by a run without artifacts.

    Parameters
    ----------
    root_dir : path
        Where to write; ``./data`` by default.
    versioned : bool
        Give each run a version directory of its own, which no other run writes to. Otherwise every run
        writes to ``v0`` and replaces what it finds there.

    Attributes
    ----------
    version_dir : Path or None
        Where the latest run wrote; None if it wrote nothing.
    """

    def __init__(self, root_dir: str | os.PathLike[str] = "data", versioned: bool = True) -> None:
        self.root_dir = Path(root_dir)
        self.versioned = versioned
        self.version_dir: Path | None = None
        self._created: list[Path] = []

    def reserve(self, experiment_name: str) -> Path:
        """Choose the directory of a run and, if versioned, make it so that no other run can."""
        parent = self.root_dir / path_component(experiment_name)
        if not self.versioned:
            return parent / "v0"
        self._created = [path for path in (parent, *parent.parents) if not path.exists()]
        parent.mkdir(parents=True, exist_ok=True)
        number = 1 + max(
            (int(match[1]) for entry in parent.iterdir() if (match := _VERSION.match(entry.name))), default=-1
        )
        while True:
            path = parent / f"v{number}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                self._created.insert(0, path)
                return path

    def reserved(self, experiment_name: str) -> Path:
        """Return the directory of the current run, reserved when it is first asked for."""
        with _reserving:
            if self.version_dir is None:
                self.version_dir = self.reserve(experiment_name)
            return self.version_dir

    def before_run(self, experiment: Experiment) -> None:
        """Begin a version of its own."""
        self.version_dir = None

    def after_replicate(self, experiment: Experiment, ctx: FrozenContext) -> None:
        """Write the artifacts of a condition run."""
        if not ctx._artifacts:
            return
        version = self.reserved(experiment.name)
        base = version / f"replicate_{ctx.replicate}" / path_component(ctx.condition)
        for artifact in ctx._artifacts:
            write_atomically(base / path_component(artifact.step) / artifact.name, artifact.data)

    def after_run(self, experiment: Experiment, result: Result) -> None:
        """Remove the directories that were made and stayed empty."""
        self.tidy()

    def tidy(self) -> None:
        """Remove the directories that `reserve` made and that stayed empty."""
        with contextlib.suppress(OSError):
            for path in self._created:
                path.rmdir()
        self._created = []


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, making its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


ArtifactPlugin.kind = ArtifactPlugin
