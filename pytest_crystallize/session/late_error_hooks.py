"""What pytest is told of errors that belong to no condition run: which test they fail, or the session."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack

import pytest

from crystallize.seam import text_of
from pytest_crystallize.boundary import is_skip, too_late
from pytest_crystallize.collect.items import ExperimentItem
from pytest_crystallize.isolation.late_errors import LateErrors, is_late
from pytest_crystallize.session.reporter import is_rerun, is_strict_xpass


class LateErrorHooks:
    """Hooks that raise errors of no run, and withdraw stored runs that may have caused one.

    Parameters
    ----------
    errors : LateErrors
        Of the session.
    withdraw : callable
        Withdraws all that this process has stored in this session.
    fail : callable
        Has the session fail, given what is told.
    """

    def __init__(
        self, errors: LateErrors, withdraw: Callable[[], object], fail: Callable[[str], object]
    ) -> None:
        self._errors = errors
        self._withdraw = withdraw
        self._fail = fail
        self._listening = ExitStack()
        self._final: set[tuple[str, str]] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Raise what belongs to no run."""
        raised: list[BaseException] = []
        result = None
        try:
            result = yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            is_late_skip = isinstance(item, ExperimentItem) and is_skip(error)
            raised.append(too_late(error) if is_late_skip else error)
        raised += self._errors.unowned(at_end=nextitem is None)
        if len(raised) == 1:
            raise raised[0]
        if raised:
            raise BaseExceptionGroup("errors at the end of condition runs", raised)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Withdraw stored runs where they would hide an error from the next session."""
        raised = call.excinfo
        report = yield
        is_ours = isinstance(item, ExperimentItem)
        if raised is not None:
            is_final = call.when == "teardown" or is_late(raised.value)
        else:  # a hook may have found in it what no run raised
            is_final = is_ours and report.failed and not is_strict_xpass(report)
        if is_final:
            self._withdraw()
            if is_ours:
                self._final.add((item.nodeid, call.when))
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Have no repetition of a test make such an error good: what it came from is not made again."""
        if is_rerun(report) and (report.nodeid, report.when) in self._final:
            report.outcome = "failed"
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Listen to what is called behind the runs."""
        with self._listening:
            self._listening.enter_context(self._errors.heard())
            return (yield)

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_before_results(self) -> None:
        """Have the session fail by what arose there."""
        self._listening.close()  # pytest itself hears of what comes later, where the session ends
        for error in self._errors.unowned(at_end=False):
            self._withdraw()
            heading, _, _ = str(error).partition("\n")
            cause = error.__cause__
            self._fail(heading if cause is None else f"{heading}: {type(cause).__name__}: {text_of(cause)}")
