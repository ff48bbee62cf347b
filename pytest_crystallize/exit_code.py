"""The exit code of a session, decided behind all code of the user's; light, since every session loads it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

VERDICTS = "crystallize-verdicts"
"""Under which name `activate` registers what knows the verdicts of the session."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """Let no session succeed in which a selected hypothesis failed or gave no verdict.

    Whatever was raised or asked for: `pytest.exit` with a return code of 0, a hook that sets the exit status,
    a `SystemExit` behind the tests.
    """
    raised: SystemExit | None = None
    code: Any = 0
    try:
        code = yield
    except SystemExit as error:
        raised, code = error, error.code
    try:
        config._ensure_unconfigure()  # of a session that has raised; pytest would do so behind this hook
    except SystemExit as error:
        raised, code = error, error.code
    verdicts = config.pluginmanager.getplugin(VERDICTS)
    fault = verdicts.fault() if verdicts is not None and is_success(code) else None
    if fault is not None:
        sys.stderr.write(f"crystallize: the exit code is 1, not 0: {fault}\n")
        return pytest.ExitCode.TESTS_FAILED
    if raised is not None:
        raise raised
    return code


def is_success(code: object) -> bool:
    """Tell whether a process that is asked to end with this code would end with 0."""
    return code is None or (isinstance(code, int) and code & 0xFF == 0)  # systems keep the lowest byte


def register_outermost(manager: pytest.PytestPluginManager) -> None:
    """Register the hook above around those that are registered already."""
    this = sys.modules[__name__]
    if manager.is_registered(this):
        manager.unregister(this)
    manager.register(this, "crystallize-exit-code")
