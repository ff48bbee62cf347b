"""Hooks of the controlling process under pytest-xdist; imported only where it is installed."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pytest_crystallize.exit_code import RAISED
from pytest_crystallize.isolation.devices import lease_for
from pytest_crystallize.records.exchange import STOPPED
from pytest_crystallize.records.shared_exchange import SharedExchange
from pytest_crystallize.session.reporter import Reporter
from pytest_crystallize.session.tokens import is_token
from pytest_crystallize.session.workers import EXIT_CODE, FAULTS, NOTES

_HANGS_AFTER_CRASH = ("loadscope", "loadfile", "loadgroup")
_UNTOLD = "a hook at the end of a worker failed, and could not write down how"


class ControllerHooks:
    """Hooks of the controlling process, which instruct workers and tell what becomes of those that die."""

    def __init__(self, session: Any, reporter: Reporter) -> None:
        self.config = reporter.config
        self.session = session
        self.reporter = reporter
        self._tests: frozenset[str] | None = None
        self._crashed = False
        self._pytest_session: pytest.Session | None = None
        self._exit_code: int | None = None
        self._beside: set[str] = set()

    def pytest_xdist_setupnodes(self, config: pytest.Config, specs: Sequence[Any]) -> None:
        """Give each worker a device, before it starts."""
        lease_for(config, specs)

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker the directory of the session, and the seed if one was drawn.

        What is sent to a worker that has just died is lost with it, and no internal error: pytest-xdist is
        about to hear of its death, and gives what it was to do to others.
        """
        node.workerinput["crystallize"] = self.session.workerinput_for()
        node.sendcommand = partial(_send_if_alive, node.sendcommand)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember the session, whose count of tests includes the tokens until it is put right."""
        self._pytest_session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_node_collection_finished(
        self, node: Any, ids: Sequence[str]
    ) -> Generator[None, object, object]:
        """Count what is a test, and have the scheduler know a worker that came while the session was ending.

        pytest-xdist has told such a worker to shut down. If another one then crashes, the session goes on,
        and the scheduler would be given the collection of a worker that it has never heard of.
        """
        scheduler = self.config.pluginmanager.getplugin("dsession").sched
        if node not in scheduler.nodes:
            scheduler.add_node(node)  # no test is sent to a worker that is shutting down
        self._tests = frozenset(nodeid for nodeid in ids if not is_token(nodeid))
        shown = self.config.pluginmanager.getplugin("terminaldistreporter")
        if shown is not None and not isinstance(shown.setstatus, partial):
            shown.setstatus = partial(_with_tests, shown.setstatus, self)
        result = yield
        terminal = self.reporter.terminal
        if hasattr(terminal, "tests_count"):  # pytest-sugar's, which counts ids
            terminal.tests_count = self.tests
        return result

    @property
    def tests(self) -> int:
        """Number of tests that were collected, tokens not counted."""
        return len(self._tests or ())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Have the percentage speak of tests, and of experiments that are reported beside them."""
        if hasattr(report, "crystallize_of"):
            self._beside.add(report.crystallize_of[0])
        if self._pytest_session is not None and self._tests is not None:
            self._pytest_session.testscollected = self.tests + len(self._beside)

    @pytest.hookimpl(trylast=True, specname="pytest_runtest_logreport")
    def pytest_runtest_logreport_stopping(self, report: pytest.TestReport) -> None:
        """Tell workers that help others that the session is being stopped."""
        session = self._pytest_session
        if report.failed and session is not None and (session.shouldfail or session.shouldstop):
            with suppress(OSError):
                self.reporter.settings.exchange.agree(STOPPED, lambda: "by a failure")

    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Name the replicate that a dead worker was running, and note which exit code one asked for."""
        output = getattr(node, "workeroutput", {})
        self._exit_code = output.get(EXIT_CODE, self._exit_code)
        for fault in output.get(FAULTS, ()):
            self.reporter.settings.fail(fault)
        for note in json.loads(output.get(NOTES, "[]")):
            self.reporter.settings.note(note)
        if not error or error == "keyboard-interrupt":
            return
        self._crashed = True
        worker = node.gateway.id
        keys = self._under_way(worker)
        for key in keys:
            self.reporter.settings.note(
                f"worker {worker!r} died while it ran replicate {key.replicate} of {key.condition!r} of "
                f"{key.experiment}"
            )
        exchange = self.reporter.settings.exchange
        if not keys and isinstance(exchange, SharedExchange) and exchange.died_beside(worker):
            self.reporter.settings.fail(
                "a worker died in no test and no replicate, but in what is torn down behind them or in a hook"
            )
        dist = self.config.getoption("dist", "no")
        if dist in _HANGS_AFTER_CRASH and self.reporter.terminal is not None:
            self.reporter.terminal.write_line(
                f"\npytest-xdist may wait for ever after a crash under --dist {dist}: interrupt it then, "
                "and use --dist load",
                yellow=True,
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End with the code that `pytest.exit` was given on a worker; well only with every test."""
        if self._exit_code is not None:
            well = (
                self._tests is not None and self._tests <= self.reporter.reported and not session.testsfailed
            )
            session.exitstatus = self._exit_code or (
                pytest.ExitCode.OK if well else pytest.ExitCode.TESTS_FAILED
            )

    @pytest.hookimpl(wrapper=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_behind_workers(self) -> Generator[None, object, object]:
        """Fail by what workers raised behind their last report, now that all of them have ended."""
        result = yield
        directory = self.session.directory
        with suppress(OSError):
            for path in sorted(() if directory is None else directory.glob(f"*{RAISED}")):
                told = path.read_text(encoding="utf-8", errors="replace")
                self.reporter.settings.fail(told or _UNTOLD)  # nothing, where the disk was full
        return result

    def pytest_testnodeready(self) -> None:
        """End the session if a replacement worker has nothing to do: pytest-xdist may not notice."""
        distributed = self.config.pluginmanager.getplugin("dsession")
        if self._crashed and self._tests is not None and self._tests <= self.reporter.reported:
            distributed.triggershutdown()

    def _under_way(self, worker: str) -> list[Any]:
        exchange = self.reporter.settings.exchange
        if not isinstance(exchange, SharedExchange):
            return []
        exchange.catch_up()
        return exchange.died(worker)

    @pytest.hookimpl(trylast=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Keep a crash to the replicate that caused it.

        The replicate is not run again, so a test in whose call phase it happened to be run can be: otherwise
        its verdict would depend on who ran what. A token is not reported, its replicate's hypotheses are.
        """
        if not is_token(crashitem):
            keys = self._under_way(report.node.gateway.id)
            if not keys:
                return
            try:
                if report.outcome != "rerun":  # type: ignore[comparison-overlap]  # or others have done so
                    sched.mark_test_pending(crashitem)
            except NotImplementedError:  # schedulers by scope
                key = keys[-1]
                report.longrepr = (
                    f"{report.longrepr}: replicate {key.replicate} of {key.condition!r} of {key.experiment}"
                )
                return
        report.crystallize_silent = True  # type: ignore[attr-defined]
        report.outcome = "rerun"  # type: ignore[assignment]


def _send_if_alive(send: Any, name: str, **arguments: Any) -> None:
    with suppress(OSError):
        send(name, **arguments)


def _with_tests(setstatus: Any, hooks: ControllerHooks, spec: Any, status: Any, **kwargs: Any) -> None:
    """Show the number of tests where pytest-xdist would count the tokens too."""
    if kwargs.get("tests_collected"):
        kwargs["tests_collected"] = hooks.tests
    setstatus(spec, status, **kwargs)
