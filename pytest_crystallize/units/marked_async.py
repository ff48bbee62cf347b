"""Units of marked functions that are asynchronous, or whose fixtures are: several are under way at a time."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest

from crystallize import RunRecord
from crystallize.errors import DefinitionError
from crystallize.seam import (
    FrozenContext,
    Outcomes,
    RunError,
    SharedTime,
    Unit,
    execute_awaiting,
    given,
    is_async,
)
from pytest_crystallize.boundary import FAILURES, SKIPS, too_late
from pytest_crystallize.isolation.output import with_properties
from pytest_crystallize.isolation.process_loop import RunTask
from pytest_crystallize.isolation.run_fixtures import (
    OF_PROCESS,
    RunFixtures,
    Waiting,
    is_async_fixture,
    torn_down,
)
from pytest_crystallize.naming.tracebacks import describe
from pytest_crystallize.pytest_seam import (
    definitions_of,
    end,
    fixtures_of,
    forget_finished,
    tmppath_result_key,
)
from pytest_crystallize.units.condition_node import ConditionFunction
from pytest_crystallize.units.marked import MarkedRuns
from pytest_crystallize.units.sources import Source
from pytest_crystallize.units.together import AwaitedRuns, Script, UnitsTogether


def has_to_await(function: pytest.Function) -> bool:
    """Return whether a marked function, or one of its fixtures, is asynchronous."""
    known = fixtures_of(function).name2fixturedefs.values()
    return is_async(function.obj) or any(map(is_async_fixture, [d for found in known for d in found]))


class AsyncMarkedRuns(MarkedRuns, AwaitedRuns):
    """Units of a function whose body is one condition run, and that is awaited."""

    awaits = True

    def __init__(self, function: pytest.Function, *args: Any, **kwargs: Any) -> None:
        super().__init__(function, *args, **kwargs)
        self._check_backend()
        self._allowed = self.at_once
        self._learn_limits()
        self.shared_time = SharedTime()
        self.latest = self.node
        self._latest_is_over = True

    def _learn_limits(self) -> None:
        closure = fixtures_of(self.function).names_closure
        self._of_process = [name for name in OF_PROCESS if name in closure]
        if self._of_process or not is_async(self.function.obj):
            self.at_once = 1

    def take_from_hooks(self, marks: Sequence[pytest.Mark], fixtures: Sequence[str]) -> None:
        """Take in, too, whether runs can be under way at the same time."""
        super().take_from_hooks(marks, fixtures)
        self._learn_limits()

    def _check_backend(self) -> None:
        """Raise `DefinitionError` if anyio's fixture asks for another event loop."""
        callspec = getattr(self.function, "callspec", None)
        asked = "asyncio" if callspec is None else callspec.params.get("anyio_backend", "asyncio")
        backend = asked if isinstance(asked, str) else asked[0]  # with options
        if backend != "asyncio":
            raise DefinitionError(
                f"{self.name}: anyio_backend is {backend!r}, and asynchronous runs share a loop of asyncio; "
                "define a fixture anyio_backend that returns 'asyncio'"
            )

    @property
    def instance(self) -> Any:
        """The instance of the latest run: each has its own."""
        return self.latest.instance

    def begun(self, node: ConditionFunction) -> None:
        """Take in that a run begins, which is the latest."""
        if self._latest_is_over:
            end(self.latest)
        self.latest, self._latest_is_over = node, False

    def ended(self, node: ConditionFunction) -> None:
        """Have a run that has ended let go of what it was made with, unless it is the latest."""
        if node is self.latest:
            self._latest_is_over = True
        else:
            end(node)

    def let_go(self) -> None:
        """Let go of the values of fixtures of the latest run, and of its instance."""
        end(self.latest)

    def source(self, host: pytest.Item) -> Source:
        """Return what runs units together; say so if they can only be run one by one."""
        if self._of_process and self._allowed > 1:
            self.settings.note(
                f"{self.name}: runs are made one by one, since fixture {self._of_process[0]!r} is about what "
                "the whole process shares"
            )
        return UnitsTogether(self, host)

    def again(self, host: pytest.Item, unit: Unit) -> RunRecord:
        """Run a unit again, for nothing but to see what it gives."""
        return UnitsTogether(self, host).again(unit)

    def run_alone(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit whose exceptions come through."""
        return UnitsTogether(self, host).alone(unit)

    def script(
        self,
        unit: Unit,
        host: pytest.Item,
        task: RunTask,
        *,
        outcomes: Outcomes | None = None,
        again: bool = False,
    ) -> Script:
        """Set up the function's fixtures, call it, tear them down."""
        return _MarkedRun(self, unit, host, task).script(outcomes)


class _MarkedRun:
    """Run with a node of its own."""

    def __init__(self, runs: AsyncMarkedRuns, unit: Unit, host: pytest.Item, task: RunTask) -> None:
        self._runs = runs
        self._unit = unit
        self._host = host
        self._task = task
        self._phase = "setup"
        settings = runs.settings
        self._fixtures = RunFixtures(
            task,
            lambda name: definitions_of(name, runs.function),
            settings.async_fixtures,
            alone=runs.at_once == 1,
        )
        self.node = runs.node.beside_others(host, self._fixtures)

    def script(self, outcomes: Outcomes | None) -> Script:
        """Do all that a run does, and return its record."""
        runs = self._runs
        runs.begun(self.node)
        try:
            record = yield from execute_awaiting(
                runs.journal(self._unit),
                self._body,
                seed_globals=runs.seeding,
                outcomes=outcomes or Outcomes(FAILURES, SKIPS, self._describe),
                shared=runs.shared_time,
            )
            if outcomes is None:
                record = runs.judged(record, self.node)
            return with_properties(record, self.node.user_properties)
        finally:
            runs.ended(self.node)

    def _describe(self, error: BaseException, step: str) -> RunError:
        return describe(error, step if step in self._runs.treatments else self._phase, self.node)

    def _body(self, ctx: FrozenContext) -> Waiting:
        runs, node, switch = self._runs, self.node, self._runs.settings.loop.switch
        runs.enter(ctx)
        name = runs.function.originalname
        self._host.funcargs = node.funcargs  # type: ignore[attr-defined]  # the host is an item of ours
        switch.speak_of(ctx)
        try:
            with node.bracketed("setup"):
                yield from self._fixtures.set_up(node)
            self._phase = name
            with node.bracketed("call"):
                yield from self._call(ctx)
            node.stash[tmppath_result_key]["call"] = True
        finally:
            runs.leave_if_forked(self._unit)
            if (phase := self._phase) == name:
                self._phase = "teardown"
            self._task.is_ending = True
            try:
                yield from torn_down(node)
            except SKIPS as reason:
                raise too_late(reason) from reason
            finally:
                switch.speak_of(None)
                forget_finished(node)
            self._phase = phase
        runs.artifacts.after_replicate(runs, ctx)

    def _call(self, ctx: FrozenContext) -> Waiting:
        runs, node = self._runs, self.node
        arguments = runs.arguments(node, ctx)
        try:
            returned = node.obj(**arguments)
            if inspect.isawaitable(returned):
                returned = given((yield returned))
        finally:
            runs.leave_if_forked(self._unit)  # before hooks and fixtures hear of the end
        runs.take_metrics(ctx, returned)
