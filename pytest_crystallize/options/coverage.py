"""Runs that are stored, where the execution of code is measured."""

from __future__ import annotations

import sys
from typing import Final

RUN_AGAIN: Final = (
    "coverage is measured, so runs that are stored are made again; --crystallize-cache=reuse uses them"
)


def is_measured() -> bool:
    """Return whether coverage.py measures what this process executes."""
    coverage = sys.modules.get("coverage")
    return coverage is not None and coverage.Coverage.current() is not None


def not_executed(name: str, runs: int) -> str:
    """Say what coverage can't count, since it was not executed."""
    many = "1 stored run was" if runs == 1 else f"{runs} stored runs were"
    return f"{name}: {many} used, so what they would execute is missing from the coverage"
