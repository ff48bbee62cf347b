"""One session in one of its processes: what its experiments share, its items, and the hooks around them."""

from __future__ import annotations

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
    MadeValue,
    counted,
    global_state_restored,
    is_plain_data,
    open_store,
    outside_runs,
    printable,
    seed_globals,
    write_whole,
)
from pytest_crystallize.collect.hooked import tell_what_hooks_gave
from pytest_crystallize.collect.items import ExperimentItem, HypothesisItem, NotSupported
from pytest_crystallize.isolation.fixtures import CHECKED, refuse_unfit
from pytest_crystallize.naming.ids import checksum
from pytest_crystallize.options.options import Options, sessions_directory
from pytest_crystallize.pytest_seam import shown_in_short, temporary_directories, xfailed_key
from pytest_crystallize.records.arrivals import HeardExchange
from pytest_crystallize.records.directories import remove_stale
from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.records.record_cache import RecordCache
from pytest_crystallize.records.shared_exchange import SharedExchange
from pytest_crystallize.report.escaped_reports import escape_report
from pytest_crystallize.report.judged import ATTRIBUTE, EXPECTED
from pytest_crystallize.session.announcement import announce
from pytest_crystallize.session.command_line import controls_workers
from pytest_crystallize.session.selection import note_idle_options, settle_repro
from pytest_crystallize.session.summary import told_seed
from pytest_crystallize.session.tokens import LastToken, with_tokens
from pytest_crystallize.session.workers import NOTES
from pytest_crystallize.units.experiment_runs import ExperimentRuns
from pytest_crystallize.units.settings import Settings
from pytest_crystallize.units.unit_runs import watching_set_up

if TYPE_CHECKING:
    from pytest_crystallize.cluster.cluster import Cluster
    from pytest_crystallize.session.other_commit import OtherCommit

_WORKERINPUT = "crystallize"
_NOT_RUN = pytest.xfail.Exception
"""What a test marked ``xfail(run=False)`` raises in its setup."""


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
        self._pytest_session: pytest.Session | None = None

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
        parent = sessions_directory(self.config)
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

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Refuse to have pytest-testmon select tests by what each of them has executed."""
        settled = getattr(self.config, "testmon_config", None)
        if getattr(settled, "select", False) and not self.is_worker:
            raise pytest.UsageError(
                "--testmon selects tests by what each of them has executed; those of experiments share their "
                "runs, and use stored ones, so it would leave out claims whose code has changed. Add "
                "--testmon-noselect: stored runs are used again where nothing has changed"
            )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """See what every other plugin has left, and add the prefetch tokens on a worker."""
        self._pytest_session = session
        self.settings.collected = sum(isinstance(item, HypothesisItem) for item in items)
        yield
        selected = [item for item in items if isinstance(item, HypothesisItem)]
        tell_what_hooks_gave(selected)
        for item in selected:
            self._runs[item.runs.id] = item.runs
            if item.will_run():
                item.runs.needs(item)
        looks_up = not self.config.option.collectonly or any(item.runs.design for item in selected)
        if selected and self.settings.records is not None and looks_up:
            self.settings.records.learn_set_up(self.config)
        note_idle_options(self.settings, selected)
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

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Have no test vanish behind the last hook that may deselect some: others know of it by now.

        pytest-xdist, too, which asks for the items by their numbers; so they are put back, behind the others.
        """
        before = list(session.items)
        result = yield
        left = set(map(id, session.items))
        dropped = [item for item in before if id(item) not in left]
        if dropped and self.is_worker:
            session.items.extend(dropped)
        if tests := [item for item in dropped if isinstance(item, HypothesisItem)]:
            self.settings.fail(
                f"a hook pytest_collection_finish has dropped {counted(len(tests), 'test')} of experiments: "
                f"{tests[0].nodeid}{' and others' if tests[1:] else ''}; tests are deselected in "
                "pytest_collection_modifyitems"
            )
        return result

    def _check_repro(self, selected: Sequence[HypothesisItem]) -> None:
        try:
            settle_repro(self.settings, selected)
        except pytest.UsageError as error:
            if not self.is_worker:
                raise
            self.settings.repro_fault = str(error)  # a worker can only say it in a report

    def pytest_plugin_registered(self, plugin: object, manager: pytest.PytestPluginManager) -> None:
        """Have declarations asked first, also before conftests further down that make tests of functions."""
        declarations = manager.getplugin("crystallize-declarations")
        callers = manager.get_hookcallers(plugin) or ()
        if declarations not in (None, plugin) and any(
            caller.name == "pytest_pycollect_makeitem" for caller in callers
        ):
            manager.unregister(declarations)
            manager.register(declarations, "crystallize-declarations")

    # Running.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        """Make fixtures wider than a function under globals seeded from the root seed and the fixture."""
        in_unit = self.settings.fixtures.current is not None
        if in_unit and fixturedef.argname in CHECKED:
            refuse_unfit(fixturedef, request)
        declared = None if fixturedef.scope == "function" else self.settings.wide_fixtures.get(fixturedef)
        if declared is None:
            return (yield)
        name = f"{self.options.session_seed}:{fixturedef.baseid}:{fixturedef.argname}:{request.param_index}"
        with global_state_restored() if in_unit else nullcontext(), outside_runs(), ExitStack() as watches:
            for watch in watching_set_up(self._runs.values(), declared):
                watches.enter_context(watch)
            for made in self.settings.made_for(fixturedef.argnames):
                watches.enter_context(made.given_to(declared))
            seed_globals(checksum(name))
            value = yield
        if is_plain_data(value):
            self.settings.made[declared] = MadeValue(value)
            fixturedef.addfinalizer(lambda: self.settings.made.pop(declared, None))
        return value

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
        if isinstance(item, HypothesisItem) and call.when != "teardown" and item.carried is not None:
            setattr(report, ATTRIBUTE, item.carried)
        if isinstance(item, ExperimentItem):
            if call.excinfo is not None and hasattr(report, "wasxfail") and not _is_expected(item, call):
                del report.wasxfail
                report.outcome = "failed"
                report.longrepr = item.repr_failure(call.excinfo)
            if hasattr(report, "wasxfail"):
                setattr(report, EXPECTED, True)
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
            try:
                write_whole(self.directory / f"{self.settings.exchange.worker}.notes", notes.encode())
            except OSError:  # a full disk
                self.config.workeroutput[NOTES] = notes  # type: ignore[attr-defined]

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
        session, self._pytest_session = self._pytest_session, None
        if session is None:
            return
        for item in session.items:
            if isinstance(item, LastToken):
                item.let_go()
        # A list of its own: whoever has kept the other one, as scripts do, has the tests.
        session.items = [item for item in session.items if not isinstance(item, ExperimentItem | LastToken)]

    def pytest_report_header(self) -> list[str]:
        """Tell a seed that was drawn, and which cluster runs replicates."""
        lines = []
        if self.options.drawn_seed is not None:
            lines.append(told_seed(self.options.drawn_seed))
        if self.settings.cluster is not None:
            address = printable(self.settings.cluster.address)
            lines.append(f"crystallize: factories run on the Dask cluster at {address}")
        return lines


def _is_expected(item: ExperimentItem, call: pytest.CallInfo[None]) -> bool:
    """Return whether a mark ``xfail`` covers what a test raised: that a claim is not supported."""
    assert call.excinfo is not None
    if call.when == "setup":
        return call.excinfo.errisinstance(_NOT_RUN)
    return (
        call.when == "call"
        and isinstance(item, HypothesisItem)
        and not item.evidence_missing
        and call.excinfo.errisinstance(NotSupported)
        and item.stash.get(xfailed_key, None) is not None
    )
