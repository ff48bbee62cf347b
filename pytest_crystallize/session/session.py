"""One session: its settings, its items, its reports, and the guard over verdicts that are missing."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crystallize.errors import CrystallizeError
from crystallize.seam import (
    global_state_restored,
    open_store,
    outside_runs,
    printable,
    seed_globals,
    write_whole,
)
from pytest_crystallize.collect.declarations import Declarations
from pytest_crystallize.collect.items import ExperimentItem, HypothesisItem, NotSupported
from pytest_crystallize.exit_code import VERDICTS
from pytest_crystallize.isolation.fixtures import RESERVED, refuse_hiding
from pytest_crystallize.isolation.forks import ForkHooks
from pytest_crystallize.naming.ids import checksum, escape
from pytest_crystallize.options.options import Options
from pytest_crystallize.pytest_seam import shown_in_short, temporary_directories
from pytest_crystallize.records.arrivals import HeardExchange
from pytest_crystallize.records.directories import remove_stale
from pytest_crystallize.records.exchange import Exchange, SharedExchange
from pytest_crystallize.records.record_cache import RecordCache
from pytest_crystallize.report.escaped_reports import escape_report
from pytest_crystallize.report.judged import ATTRIBUTE
from pytest_crystallize.session.absence import AbsenceGuard
from pytest_crystallize.session.announcement import announce
from pytest_crystallize.session.late_error_hooks import LateErrorHooks
from pytest_crystallize.session.publisher import Publisher
from pytest_crystallize.session.remote_calls import RemoteCalls
from pytest_crystallize.session.reporter import Reporter
from pytest_crystallize.session.summary import SessionSummary, told_seed
from pytest_crystallize.session.tokens import LastToken, with_tokens
from pytest_crystallize.session.verdicts_due import VerdictsDue
from pytest_crystallize.session.workers import WorkerHooks
from pytest_crystallize.units.settings import Settings
from pytest_crystallize.units.unit_runs import watching_set_up
from pytest_crystallize.units.units import ExperimentRuns

if TYPE_CHECKING:
    from pytest_crystallize.cluster.cluster import Cluster
    from pytest_crystallize.session.other_commit import OtherCommit

_WORKERINPUT = "crystallize"
NOT_RUN = pytest.xfail.Exception
"""What a test marked ``xfail(run=False)`` raises in its setup."""


PARTS = [
    f"crystallize-{name}"
    for name in (
        "session",
        "fixtures",
        "declarations",
        "late-errors",
        "forks",
        "remote",
        "worker",
        "reporter",
        "summary",
        "verdicts",
        "exit-code",
        "absence",
        "publisher",
        "events",
        "shards",
        "against",
        "xdist",
    )
]
"""The plugins that a session with ``--crystallize`` consists of."""


def activate(config: pytest.Config) -> None:
    """Register what a session with ``--crystallize`` needs."""
    manager = config.pluginmanager
    for name in ("python", *PARTS):
        if manager.is_blocked(name):
            raise pytest.UsageError(
                f"-p no:{name} takes a plugin away without which --crystallize would lose experiments in "
                "silence; leave it out, or leave out --crystallize"
            )
    for pattern in config.getini("crystallize_files"):
        config.addinivalue_line("python_files", pattern)
    session = CrystallizeSession(config)
    manager.register(session, "crystallize-session")
    manager.register(session.settings.fixtures, "crystallize-fixtures")
    functions = config.getini("crystallize_functions")
    manager.register(Declarations(session.settings, functions), "crystallize-declarations")
    settings = session.settings
    if session.other_commit is not None:
        manager.register(session.other_commit, "crystallize-against")
    late_errors = LateErrorHooks(settings.late_errors, session.withdraw, settings.fail)
    manager.register(late_errors, "crystallize-late-errors")
    manager.register(ForkHooks(settings.forks, settings.fail), "crystallize-forks")
    manager.register(RemoteCalls(settings, is_worker=session.is_worker), "crystallize-remote")
    if session.is_worker:
        manager.register(WorkerHooks(config, settings), "crystallize-worker")
    else:
        reporter = Reporter(config, session.settings)
        verdicts = VerdictsDue(reporter)
        manager.register(reporter, "crystallize-reporter")
        manager.register(SessionSummary(reporter), "crystallize-summary")
        manager.register(AbsenceGuard(reporter), "crystallize-absence")
        manager.register(Publisher(verdicts), "crystallize-publisher")
        manager.register(verdicts, VERDICTS)
        if session.options.events is not None:
            from pytest_crystallize.session.events import EventStream  # only when it is asked for

            manager.register(EventStream(verdicts, session.options.events), "crystallize-events")
        if settings.options.shard is not None:
            from pytest_crystallize.session.sharding import ShardWriter  # only where it is asked for

            writer = ShardWriter(reporter, settings.options.shard)
            manager.register(writer, "crystallize-shards")  # behind the verdicts, which it may add a fault to
        if manager.hasplugin("xdist"):
            from pytest_crystallize.session.distributed import ControllerHooks  # needs pytest-xdist

            manager.register(ControllerHooks(session, reporter), "crystallize-xdist")


def controls_workers(config: pytest.Config) -> bool:
    """Return whether this process is to have workers of pytest-xdist run the tests."""
    option = config.option
    sent = getattr(option, "dist", "no") != "no" and getattr(option, "tx", None) and not option.collectonly
    return bool(sent) and not hasattr(config, "workerinput")


class CrystallizeSession:
    """Session with experiments: hooks that collect them, add the prefetch tokens, and run them.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
        self.is_worker = self.workerinput is not None
        self.distributed = self.is_worker or controls_workers(config)
        self.options = Options.settled(config, self._told)
        self.directory = self._session_directory()
        self.settings = Settings(config, self.options, self._exchange())
        if self.settings.merged is None:
            self.settings.records = self._record_cache()
            self.settings.cluster = self._cluster()
        for note in () if self.settings.merged is None else self.settings.merged.notes:
            self.settings.note(note)
        self.other_commit = self._other_commit()
        self._runs: dict[str, ExperimentRuns] = {}
        self._items: list[pytest.Item] = []

    @property
    def _told(self) -> dict[str, Any] | None:
        """Words of the controlling process to this one, if it is a worker."""
        return None if self.workerinput is None else self.workerinput[_WORKERINPUT]

    def _other_commit(self) -> OtherCommit | None:
        """Return what makes runs of another commit, if the session compares with one."""
        if self.options.against is None:
            return None
        from pytest_crystallize.session.other_commit import OtherCommit  # not in other sessions

        told = None if self._told is None else self._told["other_commit"]
        runs_units = self.is_worker or not self.distributed
        return OtherCommit(self.config, self.settings, told=told, runs_units=runs_units)

    def _cluster(self) -> Cluster | None:
        """Return the cluster that is to run units; without a scheduler the session ends here."""
        address = self.options.cluster
        if address is None or self.config.option.collectonly or self.options.repro is not None:
            return None
        from pytest_crystallize.cluster.cluster import Cluster  # heavy: what it loads identifies code

        cluster = Cluster(address, self.config)
        if not self.is_worker:
            try:
                cluster.connect()
            except CrystallizeError as fault:
                raise pytest.UsageError(f"--crystallize-dask: {fault}") from fault
        return cluster

    def _record_cache(self) -> RecordCache | None:
        """Return where runs are stored, if they are."""
        options = self.options
        cache = getattr(self.config, "cache", None)
        if options.cache_mode == "off" or cache is None or options.repro is not None:
            return None
        try:
            directory = Path(cache.mkdir("crystallize")) / "records"
        except OSError as error:
            if self._told is None:
                self.settings.note(f"runs are not stored: the cache can't be made: {error}")
            elif self._told["environment"] is not None:  # the controlling process could make it
                worker = self.settings.exchange.worker
                self.settings.note(f"runs of {worker} are not stored: the cache can't be made: {error}")
            return None
        parts = None if self._told is None else self._told["environment"]
        ignored = [
            options.artifact_root,
            options.steps,
            *([] if self.directory is None else [self.directory]),
        ]
        return RecordCache(
            directory,
            options.cache_mode,
            options.cache_share,
            parts=parts,
            ignored=ignored,
            temporary=temporary_directories(self.config),
            session="" if self.directory is None else f"{checksum(self.directory.name):08x}",
        )

    # The directory that the processes of a session share.

    def _session_directory(self) -> Path | None:
        if self._told is not None:
            return Path(self._told["directory"])
        if not self.distributed:
            return None
        parent = self.options.directory / "sessions"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            remove_stale(parent.iterdir())
            return Path(tempfile.mkdtemp(prefix="session-", dir=parent))
        except OSError:  # a cache that can't be written to
            return Path(tempfile.mkdtemp(prefix="crystallize-"))

    def _exchange(self) -> Exchange:
        if self.directory is None:
            return Exchange() if self.options.events is None else HeardExchange()
        if self.workerinput is None:
            return SharedExchange(self.directory, None)
        worker, workers = str(self.workerinput["workerid"]), int(self.workerinput["workercount"])
        return SharedExchange(self.directory, worker, workers)

    def workerinput_for(self) -> dict[str, Any]:
        """Return what a worker is told."""
        records = self.settings.records
        return {
            **self.options.for_workers(),
            "directory": str(self.directory),
            "dist": self.config.option.dist,
            "other_commit": None if self.other_commit is None else self.other_commit.for_workers(),
            "environment": None if records is None else records.environment.to_json(),
        }

    # Collection.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """See what every other plugin has left, and add the prefetch tokens on a worker."""
        self._items = items
        self.settings.collected = sum(isinstance(item, HypothesisItem) for item in items)
        yield
        selected = [item for item in items if isinstance(item, HypothesisItem)]
        for item in selected:
            self._runs[item.runs.id] = item.runs
            if item.will_run():
                item.runs.needs(item)
        looks_up = not self.config.option.collectonly or any(item.runs.design for item in selected)
        if selected and self.settings.records is not None and looks_up:
            self.settings.records.learn_set_up(self.config)
        self._check_options(selected)
        self._check_repro(selected)
        if not self.is_worker or self.config.option.collectonly:
            return
        assert self.directory is not None
        assert self.workerinput is not None
        assert self._told is not None
        try:
            announce(self.directory, selected, self.settings.collected)
        except OSError as error:  # a full disk
            self.settings.fail(f"the controlling process can't be told which tests were selected: {error}")
        if self.settings.repro is None:
            workers = int(self.workerinput["workercount"])
            items[:] = with_tokens(session, items, workers, self._told["dist"])

    def _check_options(self, selected: Sequence[HypothesisItem]) -> None:
        """Say which options concern nothing that was selected: they may be misspelt."""
        if not selected:
            return
        option = self.config.option
        known = {treatment for item in selected for treatment in item.runs.treatments}
        for switch in ("disable", "enable"):
            for name in getattr(option, f"crystallize_{switch}"):
                if name not in known:
                    self.settings.note(
                        f"--crystallize-{switch}={name}: no selected experiment has such a treatment"
                    )
        if option.crystallize_samples is not None and not any(item.runs.design for item in selected):
            self.settings.note(
                f"--crystallize-samples={option.crystallize_samples}: no selected experiment has cases; how "
                "often others are run, says --crystallize-replicates"
            )

    def _check_repro(self, selected: Sequence[HypothesisItem]) -> None:
        try:
            self._check_repro_of(selected)
        except pytest.UsageError as error:
            if not self.is_worker:
                raise
            self.settings.repro_fault = str(error)  # a worker can only say it in a report

    def _check_repro_of(self, selected: Sequence[HypothesisItem]) -> None:
        unit = self.settings.repro
        if unit is None or not selected:
            return
        conditions = list(dict.fromkeys(c for item in selected for c in item.conditions))
        by_id = {escape(condition): condition for condition in conditions}
        if unit.condition not in conditions and unit.condition in by_id:
            unit = self.settings.repro = unit._replace(condition=by_id[unit.condition])
        if unit.condition not in conditions:
            raise pytest.UsageError(
                f"--crystallize-repro: no selected experiment has a condition {unit.condition!r}; they have "
                f"{', '.join(map(printable, conditions))}"
            )
        most = max(item.runs.replicates for item in selected)
        if unit.replicate >= most:
            raise pytest.UsageError(
                f"--crystallize-repro: there is no replicate {unit.replicate}; replicates are 0 to {most - 1}"
            )

    # Running.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        """Make fixtures wider than a function under globals seeded from the root seed and the fixture."""
        in_unit = self.settings.fixtures.current is not None
        if in_unit and fixturedef.argname in RESERVED:
            refuse_hiding(fixturedef, self.config.rootpath)
        declared = None if fixturedef.scope == "function" else self.settings.wide_fixtures.get(fixturedef)
        if declared is None:
            return (yield)
        name = f"{self.options.session_seed}:{fixturedef.baseid}:{fixturedef.argname}:{request.param_index}"
        with global_state_restored() if in_unit else nullcontext(), outside_runs(), ExitStack() as watches:
            for watch in watching_set_up(self._runs.values(), declared):
                watches.enter_context(watch)
            seed_globals(checksum(name))
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let go of what a test was run with, once it is reported."""
        try:
            return (yield)
        finally:
            if isinstance(item, ExperimentItem):
                item.let_go()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what reports need; missing evidence is no expected failure."""
        report = yield
        if isinstance(item, HypothesisItem):
            if call.when != "teardown" and item.carried is not None:
                setattr(report, ATTRIBUTE, item.carried)
            if call.excinfo is not None and hasattr(report, "wasxfail") and not _is_expected(item, call):
                del report.wasxfail
                report.outcome = "failed"
                report.longrepr = item.repr_failure(call.excinfo)
        if isinstance(item, ExperimentItem):
            escape_report(report)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Escape what is said of files that can't be collected; a `SystemExit` is an error of theirs, too."""
        try:
            report = yield
        except SystemExit as error:  # of a module, or of a function that makes ids
            longrepr = shown_in_short(collector, error)
            report = pytest.CollectReport(collector.nodeid, "failed", longrepr, [])
        escape_report(report)
        return report

    def withdraw(self) -> None:
        """Have no later session use what this process has stored."""
        for runs in self._runs.values():
            runs.withdraw()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Call the hooks behind the runs, and hand over notes."""
        for runs in self._runs.values():
            runs.finish()
            if runs.cache is not None:
                runs.cache.flush()
        self._tidy_records()
        if self.is_worker and self.directory is not None:
            notes = json.dumps(list(self.settings.notes))
            with contextlib.suppress(OSError):
                write_whole(self.directory / f"{self.settings.exchange.worker}.notes", notes.encode())

    def _tidy_records(self) -> None:
        """Say once why runs could not be stored, and keep the cache within its size."""
        records = self.settings.records
        if records is None:
            return
        if records.store.fault is not None:
            fault = self.settings.exchange.said_first("fault of the cache", records.store.fault)
            self.settings.note(f"runs are not stored: {fault}")
        if not self.is_worker and self._runs_were_stored():
            records.store.tidy()
            open_store(self.options.steps).tidy()

    def _runs_were_stored(self) -> bool:
        """Return whether this process, or one of those that it controls, may have stored runs."""
        return self.distributed or any(
            runs.cache is not None and runs.cache.has_published for runs in self._runs.values()
        )

    def pytest_unconfigure(self) -> None:
        """Close the event loop and the files, and remove the directory of the session."""
        self._let_go()
        self.settings.loop.close()
        self.settings.turns.close()
        self.settings.exchange.close()
        if not self.is_worker and self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self.settings.cluster is not None:
            self.settings.cluster.close()

    def _let_go(self) -> None:
        """Let go of the tests and all that they hold: pytest looks through what is left, several times."""
        for runs in self._runs.values():
            runs.close()
        self._runs.clear()
        for item in self._items:
            if isinstance(item, LastToken):
                item.let_go()
        self._items[:] = [item for item in self._items if not isinstance(item, ExperimentItem | LastToken)]

    def pytest_report_header(self) -> list[str]:
        """Tell a seed that was drawn, and which cluster runs replicates."""
        lines = []
        if self.options.drawn_seed is not None:
            lines.append(told_seed(self.options.drawn_seed))
        if self.settings.cluster is not None:
            address = printable(self.settings.cluster.address)
            lines.append(f"crystallize: factories run on the Dask cluster at {address}")
        return lines


def _is_expected(item: HypothesisItem, call: pytest.CallInfo[None]) -> bool:
    """Return whether a mark ``xfail`` covers what a test raised: that a claim is not supported."""
    assert call.excinfo is not None
    if call.when == "setup":
        return call.excinfo.errisinstance(NOT_RUN)
    return call.when == "call" and not item.evidence_missing and call.excinfo.errisinstance(NotSupported)
