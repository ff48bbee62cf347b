"""What leaves a session: report files, the job summary of GitHub, annotations, and the hooks of others."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crystallize.seam import (
    ExperimentResults,
    SessionResults,
    commit_and_changes,
    declared_inputs,
    failure,
    machine,
    printable,
    remove_output,
    versions,
    write_output,
)
from pytest_crystallize.report.annotations import annotation, wanted
from pytest_crystallize.report.judged import judged_of
from pytest_crystallize.session.command_line import runs_tests
from pytest_crystallize.session.reporter import is_rerun
from pytest_crystallize.session.verdicts_due import VerdictsDue

STEP_SUMMARY_BYTES = 1024 * 1024
"""What GitHub takes as the summary of one step; of more it takes nothing."""


class Publisher:
    """Publisher of a session: it calls the hooks of others, and writes reports at the end.

    Parameters
    ----------
    verdicts : VerdictsDue
        Which know how the session ends, and what reports on it.
    """

    def __init__(self, verdicts: VerdictsDue) -> None:
        self.verdicts = verdicts
        self.reporter = verdicts.reporter
        self.config = config = verdicts.reporter.config
        self.paths = [config.invocation_params.dir / path for path in config.option.crystallize_report]
        self._passed_on = 0
        self._judged: set[str] = set()
        self._started = time.time()
        self._is_annotating = wanted(config)
        self._annotations: list[str] = []
        self._said: list[tuple[str, bool]] = []

    # The run.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Remove reports of an earlier session: they tell nothing of this one, should it be killed."""
        for path in self.paths if runs_tests(self.config.option) else ():
            with self._told_if_it_fails(f"experiment report {path} is that of an earlier session"):
                remove_output(path)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pass on what is new."""
        if is_rerun(report):
            return
        judged = judged_of(report)
        if judged is not None and report.nodeid not in self._judged and report.when == "call":
            self._judged.add(report.nodeid)
            if judged.claim is not None:
                self._call("pytest_crystallize_verdict", experiment=judged.experiment, verdict=judged.claim)
            self._pass_on_records()

    def _pass_on_records(self) -> None:
        if not self._is_implemented("pytest_crystallize_record"):
            return
        exchange, commit = self.reporter.settings.exchange, self.reporter.settings.commit
        exchange.catch_up()
        for key in exchange.known(self._passed_on):
            self._passed_on += 1
            if commit is not None and commit.is_of_it(key.experiment):
                continue
            record = exchange.record(key)
            self._call("pytest_crystallize_record", experiment=key.experiment, record=record)

    def _is_implemented(self, name: str) -> bool:
        return bool(getattr(self.config.hook, name).get_hookimpls())

    def _call(self, name: str, **arguments: Any) -> None:
        """Call a hook; what others' code raises is told, and changes no verdict.

        A forked child that comes back from it is ended at once: it would double with each further call.
        """
        forks = self.reporter.settings.forks
        try:
            getattr(self.config.hook, name)(**arguments)
        except BaseException as error:
            if isinstance(error, pytest.exit.Exception):
                error.args = (f"{name}: {error}",)  # pytest shows it where the session ends
            told = failure(error)
            *_, last = traceback.extract_tb(error.__traceback__)
            self.reporter.settings.note(f"{name} raised {told} ({last.filename}:{last.lineno})")
        finally:
            if forks.is_copy():
                forks.leave(f"a hook {name}")

    # The end.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Pass on what is left, and write the reports."""
        if not runs_tests(self.config.option):
            return
        try:
            self._pass_on_records()
        finally:  # the reports are written, even if a hook ends the session
            self._publish(session)

    def _publish(self, session: pytest.Session) -> None:
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        asked = self.paths or summary or self._is_annotating
        if not (asked or self._is_implemented("pytest_crystallize_report")):
            return
        results = None
        with self._told_if_it_fails("no experiment report could be made"):
            results = self._results(int(self.verdicts.settled(session.exitstatus)))
        if results is None:
            return
        if self._is_annotating:
            self._annotations = list(self._annotated(results))
        try:
            self._call("pytest_crystallize_report", results=results)
        finally:
            self._write_reports(results, summary)

    def _write_reports(self, results: SessionResults, summary: str | None) -> None:
        for path in self.paths:
            with self._told_if_it_fails(f"experiment report {path} could not be written"):
                write_output(path, formats()[path.suffix.lower()](results).encode())
                self._said.append((f"experiment report: {path}", True))
        if summary and results.experiments:
            with self._told_if_it_fails(f"experiment report {summary} could not be written"):
                _append(Path(summary), results)

    @contextmanager
    def _told_if_it_fails(self, what: str) -> Iterator[None]:
        """Have the summary say what goes wrong: a report is no gate."""
        try:
            yield
        except BaseException as error:
            self._said.append((f"{what}: {failure(error)}", False))

    def _results(self, exit_status: int) -> SessionResults:
        reporter, settings = self.reporter, self.reporter.settings
        commit, dirty = commit_and_changes()
        reporter.gather_notes()
        return SessionResults(
            started=datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            seconds=time.time() - self._started,
            exit_status=exit_status,
            arguments=tuple(map(str, self.config.invocation_params.args)),
            commit=commit,
            versions=versions() | {"pytest": pytest.__version__},
            experiments=tuple(map(self._with_inputs, reporter.experiments())),
            notes=(*reporter.absent, *settings.notes),
            dirty=dirty,
            machine=None if settings.cluster is not None or settings.merged is not None else machine(),
        )

    def _with_inputs(self, each: ExperimentResults) -> ExperimentResults:
        """Return an experiment with the digests of what it says that its runs read."""
        known = self.reporter.announced[each.id]
        inputs = declared_inputs(self.config.rootpath, known.inputs) if known.inputs else {}
        return replace(each, inputs=inputs)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the reports are, or why they are not; annotate what failed."""
        for text, good in self._said:
            if not good:
                terminalreporter.write_line(printable(text), red=True)
            elif self.config.get_verbosity() >= 0:
                terminalreporter.write_sep("-", printable(text))
        for line in self._annotations:
            terminalreporter.write_line(line)

    def _annotated(self, results: SessionResults) -> Iterator[str]:
        """Yield an annotation for each test that failed."""
        for each in results.experiments:
            path, _, line = each.where.rpartition(":")
            for outcome in each.tests:
                if outcome.outcome in ("failed", "error") or outcome.test in self.reporter.told.missing:
                    name = outcome.test.partition("::")[2]
                    yield annotation(
                        self.config.rootpath / path,
                        int(line),
                        title=f"{outcome.status.upper()}{outcome.mark}: {name}",
                        message=outcome.reason or name,
                    )


def formats() -> dict[str, Callable[[SessionResults], str]]:
    """Return what makes a report, by the suffix of its file."""
    from crystallize.seam import html_report, json_report, markdown_report  # most sessions write none

    return {".json": json_report, ".md": markdown_report, ".html": html_report}


def _append(path: Path, results: SessionResults) -> None:
    """Append the Markdown report to what a step of a GitHub job has to say, as far as there is room."""
    from crystallize.seam import markdown_report  # most sessions write none

    used = path.stat().st_size if path.exists() else 0
    text = markdown_report(results, limit=STEP_SUMMARY_BYTES - used - 1)
    if not text:
        raise OSError(f"the {STEP_SUMMARY_BYTES} bytes that GitHub takes are used up")
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"\n{text}")  # what is there may not end a line
