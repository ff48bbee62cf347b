"""What the controlling process shows: words, tracebacks once, the tables, progress, and what is missing."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from crystallize.seam import CaseNames, ExperimentResults, failures_of, printable
from pytest_crystallize.collect.items import HypothesisItem, lines_entry
from pytest_crystallize.naming.ids import pasteable, repro_option, seen_from
from pytest_crystallize.naming.tracebacks import with_lines
from pytest_crystallize.options.coverage import not_executed
from pytest_crystallize.pytest_seam import ExceptionChainRepr, file_of, writer_of, xml_key
from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.report.experiment_results import experiment_results
from pytest_crystallize.report.judged import Judged, judged_of
from pytest_crystallize.report.progress import Progress, progress_text
from pytest_crystallize.report.terminal import failure_lines, status_word
from pytest_crystallize.report.told import ToldTests
from pytest_crystallize.session.announcement import announced, announcements
from pytest_crystallize.session.command_line import runs_tests
from pytest_crystallize.session.saving import ReferenceWriter
from pytest_crystallize.units.artifacts import conclude_versions
from pytest_crystallize.units.settings import Settings

_MOST_FAILURES = 5
"""Kinds of failure that one report shows."""


class Reporter:
    """Reporter of a session, from the reports of its tests to what is shown of its experiments.

    Parameters
    ----------
    config : pytest.Config
        Of the controlling process, or of the only one.
    settings : Settings
        Of the session.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.told = ToldTests()
        self._made: tuple[tuple[int, int], tuple[ExperimentResults, ...]] | None = None
        self.expected: list[str] = []
        self.knows_expected = False
        self.reported: set[str] = set()
        self.skipped: set[str] = set()
        self.started = False
        self.progress: Progress | None = None
        self.announced: dict[str, Announced] = {}
        self._shown_failures: set[tuple[Any, ...]] = set()
        self.saved: list[str] = []
        self.not_saved: list[str] = []
        self.absent: list[str] = []

    @property
    def terminal(self) -> Any:
        """Pytest's terminal reporter; None under ``-p no:terminal``."""
        return self.config.pluginmanager.getplugin("terminalreporter")

    # Which verdicts to expect.

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the items of a session that runs in this process."""
        selected = [item for item in session.items if isinstance(item, HypothesisItem)]
        self.expected = [item.nodeid for item in selected]
        self.announced = announcements(selected)
        self.knows_expected = True

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say how many runs of experiments on cases are to come, and how many are stored."""
        return [line for known in self.announced.values() for line in known.lines()]

    def learn_expected(self) -> None:
        """Read from the session's directory what the workers collected."""
        directory = self.settings.exchange.directory
        if self.knows_expected or directory is None:
            return
        if (found := announced(directory)) is not None:
            self.settings.collected = found.collected
            self.expected = found.tests
            self.announced = found.experiments
            self.knows_expected = True
            terminal = self.terminal
            for line in self.pytest_report_collectionfinish() if terminal is not None else ():
                terminal.ensure_newline()
                terminal.write_line(printable(line))

    # The run.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Show signs of life, and report as failed every verdict that was to be given and was not."""
        self.started = not session.testsfailed or self.config.option.continue_on_collection_errors
        self._start_progress()
        try:
            result = yield
        finally:
            if self.progress is not None:
                self.progress.close()
        if self.verdicts_due:
            self._report_missing()
        return result

    @property
    def verdicts_due(self) -> bool:
        """Whether every selected test had to give a verdict."""
        return self.started and runs_tests(self.config.option)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Have pytest able to show where a signal came, so that the session ends as interrupted."""
        if (traceback := with_lines(excinfo.tb)) is not None:
            excinfo.traceback = type(excinfo.traceback)(traceback)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Conclude what the session wrote."""
        for fault in conclude_versions(self.settings.exchange, self.announced):
            self.settings.note(fault)
        if self.settings.options.save is not None and self.verdicts_due:
            self._save_references(session, self.settings.options.save)

    def _report_missing(self) -> None:
        self.learn_expected()
        for nodeid in self.expected:
            if nodeid in self.reported:
                continue
            path, _, name = nodeid.partition("::")
            notes = "".join(f"\n  {printable(note)}" for note in self.settings.notes)
            report = pytest.TestReport(
                nodeid=nodeid,
                location=(path, None, name),
                keywords={},
                outcome="failed",
                longrepr=f"This test was selected, but the session ended without its verdict{notes}",
                when="call",
            )
            report.crystallize_missing = True  # type: ignore[attr-defined]
            self.config.hook.pytest_runtest_logreport(report=report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """Make room."""
        if self.progress is not None:
            self.progress.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a report, and append to it the tracebacks that no report before it has shown."""
        if self.progress is not None:
            self.progress.clear()
        if is_rerun(report):
            return
        if hasattr(report, "crystallize_of"):
            self._name_experiment(report)
        if report.when == "call" or not report.passed:
            self.reported.add(report.nodeid)
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.add(report.nodeid)
        judged = judged_of(report)
        if judged is not None and report.failed and self.config.getoption("tbstyle", "auto") != "line":
            self._append_failures(report, judged)

    @pytest.hookimpl(trylast=True, specname="pytest_runtest_logreport")
    def pytest_runtest_logreport_as_it_counts(self, report: pytest.TestReport) -> None:
        """Take in what a report tells once nobody changes it any more."""
        if not is_rerun(report):
            self.told.take_in(report)

    def _name_experiment(self, report: pytest.TestReport) -> None:
        """Have what failed beside the replicates that a worker ran ahead be an error of their experiment."""
        path, line, _ = report.location
        report.nodeid, name = report.crystallize_of
        report.location = path, line, name
        if report.when == "call":
            report.when = "setup"  # it is an error, and no test's verdict
        crash = getattr(report.longrepr, "reprcrash", None)
        told = (crash.message if crash is not None else report.longreprtext).strip().partition("\n")[0]
        self.settings.note(f"{name}: an error that is no replicate's: {told}")

    @pytest.hookimpl(trylast=True, specname="pytest_runtest_logreport")
    def pytest_runtest_logreport_junit(self, report: pytest.TestReport) -> None:
        """Drop the test case of a crash that is told as what it did to a replicate."""
        xml = self.config.stash.get(xml_key, None)
        if xml is not None and _is_silent(report):
            dropped = xml.node_reporter(report)
            for key in [key for key, reporter in xml.node_reporters.items() if reporter is dropped]:
                del xml.node_reporters[key]
            xml.node_reporters_ordered.remove(dropped)

    def from_here(self, nodeid: str) -> str:
        """Return what pytest is to be given in the directory it was started in."""
        path, separator, rest = nodeid.partition("::")
        return seen_from(self.config.invocation_params.dir, self.config.rootpath / path) + separator + rest

    # What became of the experiments.

    def pytest_unconfigure(self) -> None:
        """Let go of the results, which hold the records."""
        self._made = None

    def experiments(self) -> tuple[ExperimentResults, ...]:
        """Return what became of each experiment that was selected; made again only where more is known."""
        self.learn_expected()
        exchange = self.settings.exchange
        exchange.catch_up()
        state = self.told.taken, sum(exchange.counts().values())
        if self._made is None or self._made[0] != state:
            self._made = state, tuple(self._experiments(exchange))
        return self._made[1]

    def _experiments(self, exchange: Exchange) -> Iterator[ExperimentResults]:
        places = {nodeid: place for place, nodeid in enumerate(self.expected)}
        for key, known in self.announced.items():
            tests = sorted((nodeid for nodeid in known.tests if nodeid in places), key=places.__getitem__)
            commands = {nodeid: self.command(nodeid, known) for nodeid in tests}
            node = self.from_here(known.node)
            runs = exchange.runs(key, known.replicates, known.conditions)
            yield experiment_results(key, known, self.told, runs, node=node, commands=commands)

    def command(self, nodeid: str, known: Announced) -> list[str]:
        """Return what repeats a test."""
        options = self.options_to_repeat(known.seed, drawn=known.seed_drawn)
        return ["pytest", "--crystallize", *options, self.from_here(nodeid)]

    def options_to_repeat(self, seed: int, *, drawn: bool) -> list[str]:
        """Return what a command that repeats runs needs to say beside their node id."""
        given = self.config.option
        options = [f"--crystallize-seed={seed}"] if given.crystallize_seed is not None or drawn else []
        options.extend(
            f"--crystallize-{name}={value}"
            for name in ("replicates", "samples", "calibrate", "against")
            if (value := getattr(given, f"crystallize_{name}")) is not None
        )
        return [*options, "--crystallize-plan"] if given.crystallize_plan else options

    def _append_failures(self, report: pytest.TestReport, judged: Judged) -> None:
        """Append the failures of replicates that no report before this one has shown."""
        self.learn_expected()
        known = self.announced.get(judged.experiment)
        if known is None:
            return
        command = self.command(report.nodeid, known)
        exchange = self.settings.exchange
        exchange.catch_up()
        arms = exchange.runs(judged.experiment, judged.run, judged.conditions).values()
        names = CaseNames.announced(known.cases)
        failures = [*failures_of(arms, lambda *which: shlex.join([*command, repro_option(*which)]), names)]
        lines: list[str] = []
        for failure in failures[:_MOST_FAILURES]:
            key = (judged.experiment, *failure.cause)
            if key not in self._shown_failures:
                self._shown_failures.add(key)
                lines.extend(failure_lines(failure))
        if len(failures) > _MOST_FAILURES:
            more = len(failures) - _MOST_FAILURES
            lines.append(f"and {more} further kind{'' if more == 1 else 's'} of failure")
        if lines and isinstance(report.longrepr, ExceptionChainRepr):
            shown = report.longrepr.reprtraceback.reprentries
            shown.append(lines_entry(lines))  # type: ignore[attr-defined]

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
        """Say the verdict in place of PASSED and FAILED; tokens say nothing."""
        if _is_silent(report):
            return "", "", ""
        if getattr(report, "crystallize_missing", False):
            return "failed", "F", ("NOT RUN", {"red": True})
        judged = judged_of(report)
        if judged is None or report.when != "call" or hasattr(report, "wasxfail"):
            return None
        if not (report.passed or report.failed):
            return None
        if judged.status is None or is_strict_xpass(report):
            return None
        word = status_word(judged, report.outcome)
        if report.passed:
            return "passed", ".", (word, {"green": True})
        return "failed", "F", (word, {"red": True})

    def _save_references(self, session: pytest.Session, name: str) -> None:
        """Write the references of this session; one that can't be written fails the session."""
        self.learn_expected()
        writer = ReferenceWriter(
            name, self.config.rootpath, self.settings.exchange, append=self.settings.options.append
        )
        writer.save(self.announced)
        self.saved, self.not_saved = writer.told, writer.faults
        if self.not_saved and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    # Progress.

    def _start_progress(self) -> None:
        terminal = self.terminal
        if terminal is None or self.config.get_verbosity() < 0 or self.config.option.collectonly:
            return
        try:
            on_terminal = terminal.isatty() and terminal.hasmarkup
            self.progress = Progress(
                file_of(terminal), on_terminal=on_terminal, describe=self.describe_progress, room=self._room
            )
        except (AttributeError, OSError, ValueError):  # a file without descriptor: nothing to show life on
            self.progress = None

    def _room(self) -> int:
        writer = writer_of(self.terminal)
        return int(writer.fullwidth) - int(writer.width_of_current_line)

    def describe_progress(self) -> str:
        """Say how many of how many replicates of the experiment under way are done."""
        exchange = self.settings.exchange
        self.learn_expected()
        exchange.catch_up()
        return progress_text(self.announced, exchange.counts(), self.told.run)

    # The end.

    def gather_notes(self) -> None:
        """Take over what the workers have to say."""
        directory = self.settings.exchange.directory
        for path in () if directory is None else sorted(directory.glob("*.notes")):
            with contextlib.suppress(OSError, ValueError):
                for note in json.loads(path.read_text(encoding="utf-8")):
                    self.settings.note(note)
        if self.settings.options.hides_from_coverage:
            for each in self.experiments():
                if each.used is not None and each.used.cached:
                    self.settings.note(not_executed(pasteable(each.name, each.node), each.used.cached))


def is_rerun(report: pytest.TestReport) -> bool:
    """Return whether a test is run again behind this report, so that it is not the one that counts.

    That is what pytest-rerunfailures calls the outcome, and what a crash is called that is told elsewhere.
    """
    outcome: str = report.outcome
    return outcome == "rerun"


def is_strict_xpass(report: pytest.CollectReport | pytest.TestReport) -> bool:
    """Return whether a test failed by what a mark ``xfail(strict=True)`` says of it."""
    return str(report.longrepr).startswith("[XPASS(strict)]")


def _is_silent(report: pytest.CollectReport | pytest.TestReport) -> bool:
    """Return whether a report is of a crash that is told as what it did to a replicate."""
    return getattr(report, "crystallize_silent", False)
