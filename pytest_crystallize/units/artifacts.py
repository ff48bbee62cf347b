"""Artifacts of a session: one version, whatever the number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crystallize import ArtifactPlugin, BasePlugin, Result
from crystallize.seam import (
    FrozenContext,
    begin_version,
    conclude_version,
    discard_ahead,
    git_commit,
    prune_versions,
    versions,
    write_artifacts,
)
from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.report.announced import Announced


class SharedArtifacts(BasePlugin):
    """Version of an experiment's artifacts to which every process of a session writes, made when needed."""

    stays_local = True

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

    def discard(self, enough: Mapping[str, int]) -> None:
        """Delete the artifacts of replicates that were run ahead; see `discard_ahead`."""
        if self._version is not None:
            discard_ahead(self._version, enough)

    def _begin(self) -> str:
        path = self._plugin.reserve(self._name).absolute()
        begin_version(path, {"experiment": self._name}, versions())
        return str(path)


def conclude_versions(exchange: Exchange, announced: Mapping[str, Announced]) -> Iterator[str]:
    """Write metadata, results and manifest of the artifacts of a session; yield what went wrong."""
    versions = {key: version for key in announced if (version := exchange.agreed(key)) is not None}
    if not versions:
        return
    exchange.catch_up()
    with git_commit() as ask:
        commit = ask()
    for key, version in versions.items():
        known = announced[key]
        runs = exchange.runs(key, known.replicates, known.conditions)
        result = Result(known.artifacts, runs, root_seed=known.seed, git_commit=commit)
        try:
            conclude_version(Path(version), result)
            if known.keep_versions is not None:
                prune_versions(Path(version).parent, known.keep_versions)
        except OSError as error:
            yield f"{known.name}: its artifacts have no manifest: {error}"
