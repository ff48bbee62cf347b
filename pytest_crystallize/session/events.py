"""The events of a session, as they happen: what `--crystallize-events` writes."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from importlib.metadata import version
from typing import Any, Final

import pytest

from crystallize import RunRecord
from crystallize.seam import Outcome, failure
from pytest_crystallize.naming.ids import repro_option
from pytest_crystallize.options.options import state_path
from pytest_crystallize.options.switches import in_ci
from pytest_crystallize.records.arrivals import arrivals
from pytest_crystallize.records.looks import look_name
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.report.experiment_results import outcome_told
from pytest_crystallize.report.tally import STATES, Tally
from pytest_crystallize.session.announcement import announced
from pytest_crystallize.session.event_file import EventFile
from pytest_crystallize.session.reporter import is_rerun
from pytest_crystallize.session.verdicts_due import VerdictsDue

SCHEMA: Final = "crystallize-events-1"
SECONDS: Final = 0.1
"""How often is told what runs gave."""


class EventStream:
    """Stream of the events of a session, written by the process that reports on it.

    Parameters
    ----------
    verdicts : VerdictsDue
        Which know how the session ends, and what reports on it.
    path : str
        Where to write, from the directory in which pytest was started.

    Raises
    ------
    pytest.UsageError
        If it can't be written.
    """

    def __init__(self, verdicts: VerdictsDue, path: str) -> None:
        self._verdicts = verdicts
        self._reporter = verdicts.reporter
        self._settings = verdicts.reporter.settings
        self._config = verdicts.reporter.config
        self._began = time.time()
        self._experiments: dict[str, Announced] = {}
        self._is_collected = False
        self._of_test: dict[str, str] = {}
        self._waiting: dict[str, set[str]] = {}
        self._under_way: set[str] = set()
        self._told: dict[str, str] = {}
        self._errors: set[tuple[str, str]] = set()
        self._looks = Counter[str]()
        self._tally = Tally(self._command)
        self._arrivals = arrivals(self._settings.exchange)
        self._lock = threading.RLock()  # events are written by the thread, too
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._file = EventFile(self._config.invocation_params.dir / path)
        except OSError as error:
            raise pytest.UsageError(f"--crystallize-events={path}: it can't be written: {error}") from error

    def _write(self, event: str, **fields: Any) -> None:
        with self._lock:
            self._file.write({"event": event, **fields})

    # The beginning.

    def pytest_sessionstart(self) -> None:
        """Tell of the session."""
        config, option = self._config, self._config.option
        state = None if in_ci() else state_path(config)
        self._write(
            "session_started",
            schema=SCHEMA,
            crystallize=version("pytest-crystallize"),
            pytest=pytest.__version__,
            root=str(config.rootpath),
            directory=str(config.invocation_params.dir),
            arguments=list(map(str, config.invocation_params.args)),
            workers=len(getattr(option, "tx", None) or ()) if not option.collectonly else 0,
            collects_only=bool(option.collectonly),
            state=None if state is None else str(state),
        )

    @pytest.hookimpl(trylast=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell what could not be collected."""
        told = report.nodeid, report.longreprtext
        if report.failed and told not in self._errors:  # each worker collects
            self._errors.add(told)
            self._write("collection_error", node=report.nodeid, message=report.longreprtext)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Tell what was collected by this process."""
        self._tell_collected(self._reporter.expected, self._reporter.announced)

    def _tell_collected(self, tests: list[str], experiments: dict[str, Announced]) -> None:
        selected = set(tests)
        self._experiments = experiments
        self._is_collected = True
        for key, known in experiments.items():
            own = [test for test in known.tests if test in selected]
            self._of_test.update(dict.fromkeys(own, key))
            self._waiting[key] = set(own)
        self._write(
            "collected",
            experiments=[_experiment(key, known, selected) for key, known in experiments.items()],
        )

    # The run.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Tell meanwhile what runs gave."""
        if not self._config.option.collectonly:
            self._thread = threading.Thread(target=self._run, name="crystallize-events", daemon=True)
            self._thread.start()
        try:
            return (yield)
        finally:
            if self._thread is not None:
                self._stop.set()
                self._thread.join()
                self._advance()

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            self._advance()

    def _advance(self) -> None:
        """Tell what has become known since the last time; what goes wrong changes no verdict."""
        with self._lock:
            if self._file.fault is not None:
                return
            try:
                self._tell_news()
            except Exception as error:
                self._file.fault = failure(error)

    def _tell_news(self) -> None:
        exchange = self._settings.exchange
        if not self._is_collected:
            found = None if exchange.directory is None else announced(exchange.directory)
            if found is None:
                return
            self._tell_collected(found.tests, found.experiments)
        for experiment, rows, records in self._arrivals.new():
            self._tally.take(experiment, rows, records)
        for event in self._tally.events():
            self._tell_begun(event["experiment"])
            self._write(**event)
        for key, known in self._experiments.items():
            while self._looks[key] + 1 < len(known.looks):
                told = exchange.agreed(look_name(key, self._looks[key] + 1))
                if told is None:
                    break
                self._looks[key] += 1
                self._write("look", experiment=key, look=self._looks[key], **json.loads(told))

    def _tell_begun(self, experiment: str) -> None:
        if experiment not in self._under_way:
            self._under_way.add(experiment)
            self._write("experiment_started", experiment=experiment)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell that an experiment has begun, whose first run may take long."""
        with self._lock:
            if nodeid in self._of_test:
                self._tell_begun(self._of_test[nodeid])

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what became of a test, behind what it rests on."""
        if is_rerun(report) or (report.passed and report.when != "call"):
            return
        with self._lock:
            self._advance()
            experiment = self._of_test.get(report.nodeid)
            if experiment is not None:
                self._tell_verdict(experiment, report)

    def _tell_verdict(self, experiment: str, report: pytest.TestReport) -> None:
        outcome = self._outcome(experiment, report)
        self._told[report.nodeid] = outcome.status
        self._write(
            "verdict",
            experiment=experiment,
            test=outcome.test,
            hypothesis=outcome.hypothesis,
            treatment=outcome.treatment,
            outcome=outcome.outcome,
            status=outcome.status,
            reason=outcome.reason,
            verdict=None if outcome.verdict is None else outcome.verdict.to_dict(),
        )
        waiting = self._waiting[experiment]
        if report.nodeid in waiting:
            waiting.discard(report.nodeid)
            if not waiting:
                self._tell_done(experiment)

    def _outcome(self, experiment: str, report: pytest.TestReport) -> Outcome:
        told = None
        if not getattr(report, "crystallize_missing", False):
            told = self._reporter.told.of_test(report.nodeid)
        return outcome_told(report.nodeid, self._experiments[experiment].tests[report.nodeid], told, [])

    def _tell_done(self, experiment: str) -> None:
        known, counts = self._experiments[experiment], self._tally.counts.get(experiment, Counter())
        self._write(
            "experiment_done",
            experiment=experiment,
            run=self._reporter.told.run(experiment),
            counts={state: counts[state] for state in STATES},
            seconds=self._tally.seconds.get(experiment, 0.0),
            off=list(known.off),
            statuses=dict(Counter(self._told[test] for test in known.tests if test in self._told)),
        )

    def _command(self, experiment: str, record: RunRecord) -> str:
        """Return what repeats a run: a test that is about its condition, if there is one."""
        known = self._experiments[experiment]
        tests = [test for test in known.tests if self._of_test.get(test) == experiment]
        about = (test for test in tests if known.tests[test][1] in ("", record.condition))
        command = self._reporter.command(next(about, tests[0]), known)
        return shlex.join([*command, repro_option(record.condition, record.replicate)])

    # The end.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell how the session ends."""
        reporter = self._reporter
        reporter.gather_notes()
        self._write(
            "session_finished",
            exit_status=int(self._verdicts.settled(session.exitstatus)),
            seconds=time.time() - self._began,
            statuses=dict(Counter(self._told.values())),
            off=sum(len(known.off) for known in self._experiments.values()),
            notes=[*reporter.absent, *self._settings.notes],
        )
        if self._file.fault is not None:
            self._settings.note(f"--crystallize-events: no further events were written: {self._file.fault}")

    def pytest_unconfigure(self) -> None:
        """Close the files."""
        self._arrivals.close()
        self._file.close()


def _experiment(key: str, known: Announced, selected: set[str]) -> dict[str, Any]:
    """Return what is told of an experiment before it is run."""
    return {
        "id": key,
        "name": known.name,
        "node": known.node,
        "where": known.where,
        "graph": known.node if known.part else None,
        "part": known.part,
        "reads": list(known.reads),
        "seed": known.seed,
        "replicates": known.replicates,
        "runs": known.units,
        "looks": list(known.looks),
        "conditions": list(known.conditions),
        "off": list(known.off),
        "tests": list(_tests(known, selected)),
    }


def _tests(known: Announced, selected: set[str]) -> Iterator[dict[str, str]]:
    for test, (hypothesis, treatment) in known.tests.items():
        if test in selected:
            yield {"test": test, "hypothesis": hypothesis, "treatment": treatment}
