"""Which verdicts a session owes: those of all selected tests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from crystallize.seam import GOOD
from pytest_crystallize.exit_code import is_success
from pytest_crystallize.report.judged import EXPECTED, judged_of
from pytest_crystallize.session.command_line import runs_tests
from pytest_crystallize.session.reporter import Reporter


class VerdictsDue:
    """Verdicts that a session owes, and the reasons why it can't have succeeded.

    Only what was reported as good counts: a verdict that supports its hypothesis, a skip, an expected
    failure.

    Parameters
    ----------
    reporter : Reporter
        Which knows the selected tests.

    Attributes
    ----------
    reporter : Reporter
        As it was given.
    corrected : bool
        Whether the session would have succeeded otherwise.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._is_due = runs_tests(reporter.config.option)
        self._began = False
        self.corrected = False
        self._good: set[str] = set()
        self._bad: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Note that tests are to be run, rather than fixtures or options shown."""
        self._began = True

    def pytest_keyboard_interrupt(self) -> None:
        """Note that tests were to be run, even if it did not come to that."""
        self._began = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a report."""
        self.reporter.learn_expected()  # while there is something to read
        if report.failed:
            self._bad.add(report.nodeid)
        elif hasattr(report, "wasxfail"):  # a mark says so; what a hook alone says, excuses nothing
            (self._good if getattr(report, EXPECTED, False) else self._bad).add(report.nodeid)
        elif report.skipped:  # what was judged before somebody's hook skipped it, is judged
            (self._bad if _is_judged(report) and not _is_supported(report) else self._good).add(report.nodeid)
        elif report.when == "call" and report.passed:
            (self._good if _is_supported(report) else self._bad).add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let those behind see the exit status that the session will have."""
        before, session.exitstatus = session.exitstatus, self.settled(session.exitstatus)
        self.corrected = session.exitstatus != before

    def settled(self, status: int) -> int:
        """Return the exit status of the session, given what it would be."""
        return pytest.ExitCode.TESTS_FAILED if is_success(status) and self.fault() else status

    def fault(self) -> str | None:
        """Say why the session can't have succeeded; None if it can."""
        if not (self._is_due and self._began):
            return None
        reporter = self.reporter
        reporter.learn_expected()
        if not reporter.knows_expected:
            return "the session ended before it was known which experiments were selected"
        failed = [test for test in reporter.expected if test in self._bad]
        missing = [test for test in reporter.expected if test not in self._bad and test not in self._good]
        parts = (
            _counted(failed, len(reporter.expected), "failed"),
            _counted(missing, len(reporter.expected), "gave no verdict"),
            *reporter.settings.faults,
        )
        return "; ".join(part for part in parts if part) or None


def _is_supported(report: pytest.TestReport) -> bool:
    """Return whether a report carries a verdict to pass by; others may have changed its outcome."""
    return _status(report) in GOOD


def _is_judged(report: pytest.TestReport) -> bool:
    return _status(report) is not None


def _status(report: pytest.TestReport) -> str | None:
    judged = judged_of(report)
    return None if judged is None else judged.status


def _counted(tests: Sequence[str], total: int, what: str) -> str:
    such = f", such as {tests[0]}" if len(tests) > 1 else f": {tests[0]}" if tests else ""
    return f"{len(tests)} of {total} selected tests {what}{such}" if tests else ""
