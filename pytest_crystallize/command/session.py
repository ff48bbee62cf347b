"""Sessions of pytest that run no test: what they know of a project, such as where its cache lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_crystallize.command.main import CommandError
from pytest_crystallize.options.options import cache_directory
from pytest_crystallize.pytest_seam import plain_text
from pytest_crystallize.session.in_process import IN_PROCESS, InProcess

_SILENT = ("--collect-only", *IN_PROCESS)


class _Asking(InProcess):
    """Plugin that asks a session something once it has collected, or before it would."""

    def __init__(self, ask: Callable[[pytest.Session], None], *, collects: bool) -> None:
        self.ask = ask
        self.collects = collects
        self.errors: list[str] = []
        self.raised: BaseException | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Have nothing written or shuffled, by plugins that stay: ``addopts`` may hold options of theirs."""
        super().pytest_configure(config)
        if hasattr(config.option, "randomly_reorganize"):
            config.option.randomly_reorganize = False
        config.pluginmanager.set_blocked("terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool | None:
        """Ask at once where nothing is to be collected."""
        if self.collects:
            return None
        self._asked(session)
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what can't be collected."""
        if report.failed:
            self.errors.append(plain_text(report.longrepr))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Ask once all is collected."""
        if self.collects:
            self._asked(session)

    def _asked(self, session: pytest.Session) -> None:
        try:
            self.ask(session)
        except CommandError as fault:
            self.raised = fault


def ask(
    question: Callable[[pytest.Session], None], arguments: Sequence[str], *, collects: bool = False
) -> None:
    """Ask a session something, without running a test.

    Parameters
    ----------
    question : callable
        Given the session.
    arguments : sequence of str
        Of pytest.
    collects : bool
        Whether tests are to be collected before.

    Raises
    ------
    CommandError
        If pytest refuses the arguments, something can't be collected, or the question raises it.
    """
    asking = _Asking(question, collects=collects)
    code = pytest.main([*_SILENT, *arguments], plugins=[asking])
    if asking.errors:
        raise CommandError("\n".join(asking.errors))
    if asking.raised is not None:
        raise asking.raised
    if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.INTERRUPTED):
        raise CommandError(
            f"pytest took {' '.join(arguments) or 'no arguments'} for wrong (exit code {code:d})"
        )


def kept_in(config: pytest.Config, *, instead: str = "") -> Path:
    """Return the directory of what sessions of a project keep; raise `CommandError` if they have no cache."""
    if getattr(config, "cache", None) is None:
        raise CommandError(f"pytest has no cache here (-p no:cacheprovider){instead}")
    return cache_directory(config)
