"""The Dask cluster of a session: the connection to it, and what its workers are sent."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest

from crystallize.errors import EngineError, OtherCodeError
from crystallize.seam import (
    BlockResult,
    DaskRun,
    Expectation,
    Outcomes,
    Payload,
    RemoteWork,
    RunError,
    RunPlan,
    RunRecord,
    Unit,
    check_failure,
    connected,
    leave,
    told_once,
)
from pytest_crystallize.boundary import FAILURES, SKIPS
from pytest_crystallize.cluster.sent_modules import SentModules
from pytest_crystallize.isolation.output import Printed, with_output
from pytest_crystallize.naming.tracebacks import users_part
from pytest_crystallize.pytest_seam import DatetimeFormatter, log_format_of

CONNECT_SECONDS = 10.0
WITHOUT_WORKERS_SECONDS = 60.0


class Cluster:
    """The cluster that runs units of experiments in factory form; connected to when it is first needed.

    Parameters
    ----------
    address : str
        Of the scheduler.
    config : pytest.Config
        Of the session, which says how to show what units log.
    """

    def __init__(self, address: str, config: pytest.Config) -> None:
        self.address = address
        self._config = config
        self._client: Any = None
        self._fault: EngineError | None = None

    def connect(self) -> Any:
        """Return the client of this process.

        Raises
        ------
        EngineError, MissingExtraError
            If there is none, or it was lost: then at once, for every experiment that comes.
        """
        if self._fault is not None:
            raise self._fault
        if self._client is None:
            try:
                self._client = connected(self.address, CONNECT_SECONDS)
            except EngineError as fault:
                self._fault = fault
                raise
        return self._client

    def lost(self) -> None:
        """Note that it was lost, so that nobody connects again."""
        self._fault = EngineError(f"the cluster at {self.address} was lost before this was run")

    def source(self, plan: RunPlan, expectation: Expectation, note: Callable[[str], None]) -> UnitsOnCluster:
        """Return what has units of a plan be run there.

        Parameters
        ----------
        plan : RunPlan
            What is run.
        expectation : Expectation
            What workers have to have in common with this process.
        note : callable
            Takes a line that the summary shows.
        """
        work = SessionWork(plan, expectation, _Logging.of(self._config))
        return UnitsOnCluster(self, plan, work, note)

    def close(self) -> None:
        """Leave the cluster."""
        if self._client is not None:
            leave(self._client)
            self._client = None


@dataclass(frozen=True)
class UnitsOnCluster:
    """Units of one experiment that a cluster runs; a `RecordSource`. What they warn of is warned of here."""

    cluster: Cluster
    plan: RunPlan
    work: SessionWork
    note: Callable[[str], None]

    def records(self, units: Iterable[Unit]) -> Generator[RunRecord, None, None]:
        """Have the cluster run the units; if closed, have what is queued there be cancelled."""
        plan, tell = self.plan, self.note
        payload = Payload(
            self.work, modules=SentModules.of_this_process(), advice="or run it without --crystallize-dask"
        )
        try:
            client = self.cluster.connect()
            run = DaskRun(client, payload, plan, list(units), timeout=WITHOUT_WORKERS_SECONDS, tell=tell)
            with closing(run.results()) as results:
                yield from told_once(_warned_of(results), plan, tell)
        except OtherCodeError:
            raise
        except EngineError:
            self.cluster.lost()
            raise


def _warned_of(results: Iterable[BlockResult]) -> Iterator[BlockResult]:
    """Warn here of what units warned of there."""
    for result in results:
        for message, category, filename, lineno in result.told:
            warnings.showwarning(message, category, filename, lineno)
        yield result


@dataclass(frozen=True)
class _Logging:
    """Capture of what units log: the options of pytest's own capture."""

    format: str | None
    date_format: str | None
    level: int | None

    @classmethod
    def of(cls, config: pytest.Config) -> _Logging | None:
        """Return how this session does it, if it does."""
        known = log_format_of(config)
        return None if known is None else cls(*known)

    @contextmanager
    def into(self, stream: StringIO) -> Iterator[None]:
        """Write what reaches the root logger to a stream; pytest's own would take in what Dask logs, too."""
        root = logging.getLogger()
        level = root.level
        handler = logging.StreamHandler(stream)
        handler.setFormatter(DatetimeFormatter(self.format, self.date_format))
        root.addHandler(handler)
        if self.level is not None:
            handler.setLevel(self.level)
            root.setLevel(min(level, self.level))
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(handler)


class SessionWork(RemoteWork):
    """A plan that runs on a worker as in pytest: under its filters of warnings, with captured output and log.

    Threads of a process share these, so it runs one unit at a time.
    """

    is_exclusive = True

    def __init__(self, plan: RunPlan, expectation: Expectation, log: _Logging | None) -> None:
        super().__init__(plan, expectation)
        self._log = log
        self._filters: list[Any] = [*warnings.filters]

    @contextmanager
    def surroundings(self) -> Iterator[list[Any]]:
        """Filter warnings as where pytest runs, and tell those that are to be shown."""
        told: list[Any] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            for action, message, category, module, line in reversed(self._filters):
                warnings.filterwarnings(action, _pattern(message), category, _pattern(module), line)
            yield told
        shown = ((str(entry.message), entry.category, entry.filename, entry.lineno) for entry in caught)
        told.extend(dict.fromkeys(shown))

    def run(self, unit: Unit) -> RunRecord:
        """Run one unit; what it printed and logged goes into its record if it failed."""
        out, err, log = StringIO(), StringIO(), StringIO()
        logged = nullcontext() if self._log is None else self._log.into(log)
        with redirect_stdout(out), redirect_stderr(err), logged:
            record = self.plan.run(unit, _OUTCOMES)
        return with_output(record, Printed(out.getvalue(), err.getvalue(), log.getvalue().strip()))


def _pattern(found: Any) -> str:
    """Return a message or module of a filter as the text of its pattern."""
    return getattr(found, "pattern", found) or ""


def _described(error: BaseException, step: str) -> RunError:
    check_failure(error)
    return RunError.from_exception(error.with_traceback(users_part(error.__traceback__)), step)


_OUTCOMES = Outcomes(FAILURES, SKIPS, _described)
