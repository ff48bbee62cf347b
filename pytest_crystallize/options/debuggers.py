"""Runs that are stored, where a debugger is to stop in them."""

from __future__ import annotations

import sys
from typing import Any, Final

import pytest

NOTHING_STORED: Final = (
    "a debugger is to stop in runs, so none is stored or taken from the store; "
    "--crystallize-cache=reuse does both"
)


def is_debugged(config: pytest.Config) -> bool:
    """Return whether ``--trace`` is given, or the debugger of an editor is attached to this process."""
    debugger: Any = sys.modules.get("pydevd")  # that of VS Code, PyCharm and others
    attached = getattr(debugger, "get_global_debugger", None)
    return bool(config.getoption("trace", False)) or (attached is not None and attached() is not None)
