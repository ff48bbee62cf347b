"""Hooks of a worker of pytest-xdist: tokens, which are reported only if they fail, and early ends."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_crystallize.collect.items import ExperimentItem, HypothesisItem, PrefetchItem
from pytest_crystallize.pytest_seam import runtestprotocol
from pytest_crystallize.session.tokens import LastToken
from pytest_crystallize.units.settings import Settings

EXIT_CODE = "crystallize_exit_code"
"""Where in a worker's output the exit code is that `pytest.exit` was given."""
FAULTS = "crystallize_faults"
"""Where in a worker's output stands by what the session fails beside its tests."""
NOTES = "crystallize_notes"
"""Where in a worker's output its notes stand, as JSON, if it can't write them to a file."""


class WorkerHooks:
    """Hooks of a worker, which runs tokens and ends as one process would.

    Parameters
    ----------
    config : pytest.Config
        Of the worker.
    settings : Settings
        Of the session.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._settings = settings
        self._output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined]
        self._reported: set[tuple[str, str, str]] = set()
        self._latest: HypothesisItem | None = None
        self._last: LastToken | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a token; what failed in a unit is in its record, but what failed beside them is reported."""
        if isinstance(item, LastToken):
            self._help(item, nextitem)
            return True
        if isinstance(item, HypothesisItem):
            self._latest = item
        if not isinstance(item, PrefetchItem):
            return None
        if item.is_idle and nextitem is not None and nextitem.parent is item.parent:
            return True  # the next one needs what is set up, as this one would have
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.failed and self._is_new(item, report):
                report.crystallize_of = item.experiment  # type: ignore[attr-defined]
                if self._last is not None:
                    report.nodeid = self._last.nodeid  # pytest-xdist knows no other
                item.ihook.pytest_runtest_logreport(report=report)
        return True

    def _help(self, last: LastToken, nextitem: pytest.Item | None) -> None:
        """Run what nobody has claimed, of one experiment after the other, each under a token of its own.

        What is wider than these ends with one of them, too, so that what fails then is reported of it.
        """
        self._settings.timer.belongs_to(last)
        self._settings.timer.suspend()  # its tokens have their own
        run, session, tokens = last.config.hook.pytest_runtest_protocol, last.session, last.tokens()
        behind = last.ending(self._latest) if nextitem is None else nextitem
        self._last = last
        token = next(tokens, None)
        while token is not None and not session.shouldstop:
            following = None if token.is_stopped else next(tokens, None)
            run(item=token, nextitem=following or behind)  # what that needs, too, is not torn down
            token = following
        if nextitem is None and not session.shouldstop:
            run(item=behind, nextitem=None)

    def _is_new(self, item: PrefetchItem, report: pytest.TestReport) -> bool:
        """Return whether no other token of the experiment has failed in the same way here."""
        crash = getattr(report.longrepr, "reprcrash", None)
        what = (item.runs.id, report.when or "", crash.message if crash is not None else report.longreprtext)
        known = what in self._reported
        self._reported.add(what)
        return not known

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_runtest_protocol")
    def pytest_runtest_protocol_stopped_by_exit(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Stop at `pytest.exit`: pytest-xdist understands that, and not every exit code."""
        try:
            return (yield)
        except pytest.exit.Exception as error:
            self._stop(item.session, error)
            return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        """Stop at `pytest.exit` here, too, where pytest-xdist may know already which tests there are."""
        try:
            return (yield)
        except pytest.exit.Exception as error:
            self._stop(session, error)
            error.returncode = pytest.ExitCode.TESTS_FAILED  # at others it fails, or starts another worker
            raise

    def _stop(self, session: pytest.Session, error: Any) -> None:
        code = error.returncode
        if code is not None:  # what is no number, Python ends a process by as by 1
            self._output[EXIT_CODE] = (
                int(code) if isinstance(code, int) else int(pytest.ExitCode.TESTS_FAILED)
            )
        session.shouldstop = f"{type(error).__name__}: {error}"

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_runtest_protocol")
    def pytest_runtest_protocol_in_turn(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have tests that are no experiments wait while a unit of an exclusive one runs."""
        if isinstance(item, ExperimentItem | LastToken):  # its units wait
            return (yield)
        with self._settings.turns.taken(alone=False, timed=False):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_runtest_protocol")
    def pytest_runtest_protocol_beside_tests(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have it known if this process dies in a token, whose end nobody is told of."""
        if not isinstance(item, PrefetchItem | LastToken):
            return (yield)
        self._settings.exchange.beside(True)
        try:
            return (yield)
        finally:
            self._settings.exchange.beside(False)

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_beside_tests(self) -> None:
        """Have it known if this process dies behind all tests."""
        self._settings.exchange.beside(True)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Hand over by what the session fails, whatever another hook raises."""
        try:
            return (yield)
        except KeyboardInterrupt:  # pytest-xdist itself sends it to nobody who is still here
            self._settings.fail("a hook at the end of a worker raised KeyboardInterrupt")
            raise
        finally:
            self._output[FAULTS] = list(self._settings.faults)
