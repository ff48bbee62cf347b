"""Which names are those of experiments."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

FILES = ("experiment_*.py",)
FUNCTIONS = ("experiment_*",)
"""What is looked for where the ini file says nothing."""


def is_named_by(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is matched by one of several prefixes or globs."""
    return any(
        fnmatchcase(name, pattern if any(char in pattern for char in "*?[") else f"{pattern}*")
        for pattern in patterns
    )
