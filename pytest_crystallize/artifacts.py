"""Artifacts of a session: one version, whatever the number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crystallize import ArtifactPlugin, BasePlugin
from crystallize.core.context import FrozenContext
from crystallize.core.plugins.artifacts import write_artifacts
from crystallize.core.versions import begin_version, discard_replicates
from pytest_crystallize.exchange import Exchange


class SharedArtifacts(BasePlugin):
    """Has every process of a session write an experiment's artifacts to one version, made when needed."""

    acts_at_home = True

    def __init__(self, plugin: ArtifactPlugin, name: str, run_id: str, exchange: Exchange) -> None:
        self._plugin = plugin
        self._name = name
        self._run_id = run_id
        self._exchange = exchange
        self._version: Path | None = None

    def after_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Write the artifacts of a condition run."""
        if not ctx.artifacts.entries:
            return
        write_artifacts(self.version(), experiment.conditions, ctx)

    def version(self) -> Path:
        """Return the version that this session writes to."""
        if self._version is None:
            self._version = Path(self._exchange.agree(self._run_id, self._begin))
        return self._version

    def discard(self, first: int) -> None:
        """Delete the artifacts of replicates from one on, if there are any."""
        if self._version is not None:
            discard_replicates(self._version, first)

    def _begin(self) -> str:
        path = self._plugin.reserve(self._name).absolute()
        begin_version(path, {"experiment": self._name})
        return str(path)
