"""The exit code of a session, decided behind all code of the user's; light, since every session loads it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

VERDICTS = "crystallize-verdicts"
"""Under which name `activate` registers what knows the verdicts of the session."""
ASKING = ("save", "compare", "against", "calibrate", "plan", "repro", "shard")
"""Options, without their prefix, that ask for something which only experiments can give."""
RAISED = ".raised"
"""Ending of the files in which workers tell what ended them behind their tests."""
_NAME = "crystallize-exit-code"
_NOT_BEGUN = "it was ended before any test"


class ExitCode:
    """Guard of the exit code: no session succeeds in which a selected hypothesis failed or gave no verdict.

    Whatever was raised or asked for: `pytest.exit` with a return code of 0, a hook that sets the exit status,
    a `SystemExit` behind the tests.
    """

    def __init__(self) -> None:
        self._interrupted = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Generator[None, None, None]:
        """Register behind the hooks of conftests, too; none of them ends well what has not begun."""
        try:
            yield
        except SystemExit as error:
            if not is_success(error.code) or not _is_asked_for(early_config):
                raise
            _tell(_NOT_BEGUN)
            raise SystemExit(pytest.ExitCode.TESTS_FAILED) from error
        register_outermost(early_config.pluginmanager)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Return or raise what the session ended with, unless it can't have succeeded."""
        try:
            code = yield from self._ended(config)
        except KeyboardInterrupt:  # as pytest-xdist sends to a worker that takes long to end
            raise
        except BaseException as error:
            if not isinstance(error, SystemExit) or not is_success(error.code):
                _tell_controller(config, error)
            raise
        if code != getattr(config, "workeroutput", {}).get("exitstatus", code) and not is_success(code):
            _tell_controller(config, code)
        return code

    def _ended(self, config: pytest.Config) -> Generator[None, Any, Any]:
        raised: SystemExit | None = None
        code: Any = 0
        process = os.getpid()
        try:
            code = yield
        except SystemExit as error:
            raised, code = error, error.code
            self._interrupted = True
        if config.option.crystallize or config.pluginmanager.hasplugin(VERDICTS):
            from pytest_crystallize.pytest_seam import unconfigure  # private names: not in plain runs

            try:
                unconfigure(config)
            except SystemExit as error:
                raised, code = error, error.code
            if os.getpid() != process:  # forked in the last hooks; on a worker it would wait for ever
                os._exit(1)
        fault = self._fault(config, code)
        if fault is not None:
            _tell(fault)
            return pytest.ExitCode.TESTS_FAILED
        if raised is not None:
            raise raised
        return code

    def pytest_keyboard_interrupt(self) -> None:
        """Note that somebody ended the session, perhaps before it was configured."""
        self._interrupted = True

    def _fault(self, config: pytest.Config, code: object) -> str | None:
        """Say why a session can't have succeeded that says it has, or would have said so."""
        verdicts = config.pluginmanager.getplugin(VERDICTS)
        if verdicts is not None:
            fault: str | None = verdicts.fault()
            return fault if verdicts.corrected or is_success(code) else None
        is_gate = config.option.crystallize and not hasattr(config, "workerinput")
        return _NOT_BEGUN if is_gate and self._interrupted and is_success(code) else None


def _is_asked_for(early_config: pytest.Config) -> bool:
    """Return whether experiments are to be run, before options are settled."""
    typed, asking = map(str, early_config.invocation_params.args), tuple(f"--crystallize-{o}" for o in ASKING)
    return early_config.known_args_namespace.crystallize or any(arg.startswith(asking) for arg in typed)


def _tell(fault: str) -> None:
    sys.stderr.write(f"crystallize: the exit code is 1, not 0: {fault}\n")


def _tell_controller(config: pytest.Config, end: object) -> None:
    """Have the controlling process hear of what ended a worker: pytest-xdist tells it that all is well."""
    told = getattr(config, "workerinput", {}).get("crystallize")
    if told is None:
        return
    what = f"asked for exit code {end}"
    if isinstance(end, BaseException):
        from crystallize.seam import text_of  # not where all is well

        what = f"raised {': '.join(filter(None, (type(end).__name__, text_of(end))))}"
    with suppress(OSError):
        path = Path(told["directory"], config.workerinput["workerid"] + RAISED)  # type: ignore[attr-defined]
        path.write_text(f"a hook at the end of a worker {what}", "utf-8", "backslashreplace")


def is_success(code: object) -> bool:
    """Return whether a process that is asked to end with this code would end with 0."""
    return code is None or (isinstance(code, int) and code & 0xFF == 0)  # systems keep the lowest byte


def register_outermost(manager: pytest.PytestPluginManager) -> None:
    """Register the hooks above around those that are registered already."""
    plugin = manager.unregister(name=_NAME) if manager.hasplugin(_NAME) else ExitCode()
    manager.register(plugin, _NAME)
