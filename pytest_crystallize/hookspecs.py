"""The hooks that others may implement; all are called in the controlling process, under ``--crystallize``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystallize import RunRecord, Verdict
    from crystallize.seam import SessionResults


def pytest_crystallize_record(experiment: str, record: RunRecord) -> None:
    """Take in each finished condition run of an experiment (its id), once and in whatever order."""


def pytest_crystallize_verdict(experiment: str, verdict: Verdict) -> None:
    """Take in each verdict on a hypothesis of an experiment (its id), once and as soon as it is known."""


def pytest_crystallize_report(results: SessionResults) -> None:
    """Take in all that the session gave, once and at its end."""
