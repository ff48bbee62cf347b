"""Reports of pytest whose texts are escaped."""

from __future__ import annotations

from typing import Any

import pytest

from crystallize.seam import printable_lines
from pytest_crystallize.pytest_seam import TerminalRepr


def escape_report(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Escape what pytest shows of a report: failure, captured output, why it was skipped or expected."""
    report.longrepr = _escaped(report.longrepr)
    report.sections = _escaped(report.sections)
    if isinstance(report, pytest.TestReport) and hasattr(report, "wasxfail"):
        report.wasxfail = _escaped(report.wasxfail)


def _escaped(value: Any) -> Any:
    """Return a value with all texts in it escaped; representations of failures are changed in place."""
    if isinstance(value, str):
        return printable_lines(value)
    if isinstance(value, list):
        return [_escaped(part) for part in value]
    if isinstance(value, tuple):
        return tuple(_escaped(part) for part in value)
    if isinstance(value, TerminalRepr):
        for name, part in vars(value).items():
            setattr(value, name, _escaped(part))
    return value
