"""What the reports of a session told the controlling process, by test."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pytest

from pytest_crystallize.pytest_seam import plain_text
from pytest_crystallize.report.judged import Judged, judged_of


@dataclass(frozen=True, slots=True)
class Told:
    """Contents of the reports of one test.

    Attributes
    ----------
    outcome : str
        See `Outcome`.
    message : str
        What is to be said that the verdict does not say.
    expected : str
        Why a failure was expected.
    judged : Judged or None
        What it carried, if the test was judged.
    """

    outcome: str
    message: str = ""
    expected: str = ""
    judged: Judged | None = None

    @property
    def is_unjudged(self) -> bool:
        """Whether it was skipped before there was a verdict."""
        return self.outcome == "skipped" and (self.judged is None or self.judged.status is None)


class ToldTests:
    """Contents of the reports of a session's tests, by test.

    Attributes
    ----------
    missing : set of str
        Node ids of the tests that were selected and gave no verdict.
    taken : int
        How many reports were taken in.
    """

    def __init__(self) -> None:
        self._by_test: dict[str, Told] = {}
        self._judged: dict[str, dict[str, Judged]] = {}
        self.taken = 0
        self.missing: set[str] = set()

    def take_in(self, report: pytest.TestReport) -> None:
        """Take in a report."""
        if report.when != "call" and report.passed:
            return
        self.taken += 1
        if getattr(report, "crystallize_missing", False):
            self.missing.add(report.nodeid)
            return
        known = self._by_test.get(report.nodeid)
        judged = judged_of(report) or (None if known is None else known.judged)
        around = report.failed and report.when != "call"
        outcome, message = "error" if around else outcome_of(report), _message(report, judged)
        if known is not None and known.outcome in ("error", "failed") and not report.failed:
            outcome, message = known.outcome, known.message  # what has failed once, no repetition makes good
        self._by_test[report.nodeid] = Told(outcome, message, expected_of(report), judged)
        if judged is not None:
            self._judged.setdefault(judged.experiment, {})[report.nodeid] = judged

    def of_test(self, nodeid: str) -> Told | None:
        """Return what was told of a test; None if nothing was."""
        return self._by_test.get(nodeid)

    def judged(self, experiment: str) -> Collection[Judged]:
        """Return what was judged of an experiment."""
        return self._judged.get(experiment, {}).values()

    def run(self, experiment: str) -> int:
        """Return how many replicates the tests of an experiment rest on; 0 if none of them was judged."""
        return max((judged.run for judged in self.judged(experiment)), default=0)


def outcome_of(report: pytest.TestReport) -> str:
    """Return the outcome of a test, an expected failure told from a skip."""
    if hasattr(report, "wasxfail"):
        return "xpassed" if report.passed else "xfailed"
    return report.outcome


def expected_of(report: pytest.TestReport) -> str:
    """Return why a failure was expected; empty if none was."""
    return str(getattr(report, "wasxfail", "")).removeprefix("reason: ")


def _message(report: pytest.TestReport, judged: Judged | None) -> str:
    """Return in one line what a report says that neither its verdict nor its mark does."""
    around = report.failed and report.when != "call"
    if not around and judged is not None:
        claim = judged.claim
        if (
            judged.calibration is not None
            or judged.planned is not None
            or (claim is not None and claim.passed == report.passed)
        ):
            return ""
    if report.passed or hasattr(report, "wasxfail"):
        return ""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return longrepr[2].removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash is not None else plain_text(longrepr)
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
