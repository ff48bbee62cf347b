"""Sessions that share a suite: what one of them writes, and the one that judges what all have run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pytest

from crystallize import RunRecord
from crystallize.errors import CrystallizeError
from crystallize.seam import (
    commit_and_changes,
    counted,
    environment,
    environment_changes,
    failure,
    first_of,
    records_to_json,
    remove_output,
    versions,
)
from pytest_crystallize.collect.items import HypothesisItem
from pytest_crystallize.naming.ids import relative
from pytest_crystallize.options.values import Shard
from pytest_crystallize.records.exchange import unlike
from pytest_crystallize.records.logs import Key
from pytest_crystallize.records.shards import ExperimentShard, MergedShards, ShardFile
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.session.command_line import runs_tests
from pytest_crystallize.session.in_process import InProcess
from pytest_crystallize.session.reporter import Reporter
from pytest_crystallize.units.settings import MERGED

_OF_ONE_SESSION = (
    *("--crystallize-shard", "--crystallize-report", "--crystallize-cache", "--crystallize-dask"),
    *("--crystallize-remote", "--crystallize-events", "--junitxml", "--junit-xml", "--basetemp"),
    *("-n", "--numprocesses", "--maxprocesses", "--dist", "--tx"),
)
"""Options, each with a value, that may differ from shard to shard."""
_OF_SESSIONS_THAT_RUN = ("shard", "against", "calibrate", "plan", "repro", "dask")
"""Options, without their prefix, that make no sense where nothing is run."""


def shared_arguments(arguments: Iterable[str]) -> tuple[str, ...]:
    """Return what all shards of a suite give pytest."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in _OF_ONE_SESSION:
        parser.add_argument(option)
    return tuple(parser.parse_known_args(list(arguments))[1])


class ShardWriter:
    """Writer of the file of a shard, at the end of its session.

    Parameters
    ----------
    reporter : Reporter
        Which knows the experiments.
    shard : Shard
        Which one it is.
    """

    def __init__(self, reporter: Reporter, shard: Shard) -> None:
        self.config = reporter.config
        self.reporter = reporter
        self.shard = shard

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.config.invocation_params.dir / self.shard.file

    def pytest_sessionstart(self) -> None:
        """Remove what an earlier session wrote: it is no evidence of this one, should that be killed."""
        if runs_tests(self.config.option):
            try:
                remove_output(self.path)
            except OSError as fault:
                raise pytest.UsageError(f"{self.path} can't be written: {failure(fault)}") from fault

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was run; a shard that lacks a run fails."""
        if not self.reporter.verdicts_due:
            return
        settings, path = self.reporter.settings, self.path
        try:
            self.reporter.gather_notes()
            settings.exchange.catch_up()
            file = self._file(int(session.exitstatus))
            file.write(path)
        except (OSError, CrystallizeError) as fault:
            settings.fail(f"shard {self.shard} could not be written to {path}: {failure(fault)}")
            return
        self._tell(file, path)

    def _file(self, exit_status: int) -> ShardFile:
        root, reporter = self.config.rootpath, self.reporter
        exchange = reporter.settings.exchange
        commit, dirty = commit_and_changes(root)
        return ShardFile(
            shard=self.shard,
            arguments=shared_arguments(map(str, self.config.invocation_params.args)),
            commit=commit,
            dirty=dirty,
            versions=versions() | {"pytest": pytest.__version__},
            environment=environment().to_json(),
            notes=tuple(reporter.settings.notes),
            exit_status=exit_status or int(bool(reporter.settings.faults)),
            experiments={
                key: ExperimentShard(
                    **{**known.shard, "conditions": tuple(known.conditions)},
                    unlike=unlike(exchange, key),
                    records=records_to_json(self._records(key, known)),
                )
                for key, known in reporter.announced.items()
            },
        )

    def _records(self, key: str, known: Announced) -> list[RunRecord]:
        record = self.reporter.settings.exchange.record
        own = [i for i in range(known.replicates) if self.shard.has(i)]
        made = (record(Key(key, i, condition)) for condition in known.shard["needed"] for i in own)
        return [each for each in made if each is not None]

    def _tell(self, file: ShardFile, path: Path) -> None:
        settings = self.reporter.settings
        made = failed = 0
        for key, each in file.experiments.items():
            records = list(each.decoded())
            made += len(records)
            failed += sum(record.error is not None for record in records)
            own = sum(map(self.shard.has, range(each.replicates)))
            if missing := own * len(each.needed) - len(records):
                settings.fail(f"shard {self.shard} lacks {counted(missing, 'run')} of {key}")
        shown = relative(str(path), self.config.rootpath)
        told = f", of which {failed} failed" if failed else ""
        settings.note(
            f"shard {self.shard}: {counted(made, 'run')}{told}, in {shown}; nothing is judged before all "
            "shards are merged: crystallize merge"
        )


class MergingSession(InProcess):
    """Plugin of the session that judges what all shards have run, and runs nothing.

    Parameters
    ----------
    merged : MergedShards
        What they have run.
    """

    def __init__(self, merged: MergedShards) -> None:
        self.merged = merged

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Say what is to be judged."""
        super().pytest_configure(config)
        for name in _OF_SESSIONS_THAT_RUN:
            if getattr(config.option, f"crystallize_{name}", None):
                raise pytest.UsageError(f"--crystallize-{name}: a session that merges shards runs nothing")
        if not runs_tests(config.option):
            raise pytest.UsageError(
                "a session that merges shards judges them, and --collect-only, --setup-only or --setup-plan "
                "would have it judge nothing; leave it out"
            )
        config.stash[MERGED] = self.merged

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse to judge by another commit or other packages than those that ran."""
        first, root = self.merged.first, session.config.rootpath
        commit, dirty = commit_and_changes(root)
        if commit != first.commit:
            raise pytest.UsageError(f"the shards ran commit {first.commit}, and {commit} is checked out here")
        if dirty is False and first.dirty:
            raise pytest.UsageError("the code of the shards differed from their commit, and does not here")
        here = versions() | {"pytest": pytest.__version__}
        if changed := environment_changes(first.versions, here):
            raise pytest.UsageError(f"the shards ran in another environment: {', '.join(changed)}")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out tests that are no experiments': the shards have run them."""
        others = [item for item in items if not isinstance(item, HypothesisItem)]
        if others:
            items[:] = [item for item in items if isinstance(item, HypothesisItem)]
            config.hook.pytest_deselected(items=others)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have the session fail by what the shards ran and nothing here judges, and as one of them did."""
        runs = {item.runs.id: item.runs for item in session.items if isinstance(item, HypothesisItem)}
        here = {item.nodeid for each in runs.values() for item in each.selected}
        due = [test for shard in self.merged.first.experiments.values() for test in shard.claims]
        settings = session.config.pluginmanager.getplugin("crystallize-session").settings
        if missing := [test for test in due if test not in here]:
            settings.fail(
                f"{len(missing)} of {counted(len(due), 'test')} that the shards selected "
                f"{'is' if len(missing) == 1 else 'are'} not judged here: {first_of(missing)}"
            )
        for file in self.merged.files:
            if file.exit_status:
                settings.fail(f"the session of shard {file.shard} ended with exit code {file.exit_status}")
