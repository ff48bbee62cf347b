"""The fixtures of runs that are under way at the same time: each has its own, asynchronous ones in its task.

pytest keeps the value of a fixture in its definition, which is enough for one test at a time. So each run has
copies of the definitions of function scope, and a process has one of each asynchronous fixture that is wider.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final, Self

import pytest

from crystallize.seam import Ending, GlobalState, given
from pytest_crystallize.isolation.process_loop import ProcessLoop, RunTask
from pytest_crystallize.isolation.switching import RunState
from pytest_crystallize.pytest_seam import FixtureCopy, finalizers_of, fixture_function, open_beside

OF_PROCESS: Final = (
    "monkeypatch",
    "caplog",
    "capsys",
    "capsysbinary",
    "capteesys",
    "capfd",
    "capfdbinary",
    "recwarn",
    "mocker",
    "freezer",
    "fs",
    "pytester",
    "testdir",
)
"""Fixtures of pytest and its plugins that change, or look at, what the whole process shares."""

Definitions = Callable[[str], Sequence[Any] | None]
"""Returns the definitions of a fixture's name, the closest last; None if there are none."""

Waiting = Generator[Awaitable[Any], Ending, Any]
"""What yields what is to be awaited in the task of its run, and is sent what comes of it."""


def is_async_fixture(definition: Any) -> bool:
    """Return whether a fixture is asynchronous, whatever plugin declared it."""
    function = definition.func
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def awaits_fixtures(name: str, definitions: Definitions) -> bool:
    """Return whether a fixture is asynchronous, or needs one that is."""
    seen: set[str] = set()

    def awaits(name: str) -> bool:
        if name in seen:
            return False
        seen.add(name)
        return any(
            is_async_fixture(definition) or any(map(awaits, definition.argnames))
            for definition in definitions(name) or ()
        )

    return awaits(name)


class Awaited(BaseException):
    """Raised out of a set-up or teardown that begins again once something has been awaited.

    Parameters
    ----------
    make : callable
        Returns what is to be awaited.
    take : callable
        Takes what came of it.
    """

    def __init__(self, make: Callable[[], Awaitable[Any]], take: Callable[[Ending], object]) -> None:
        self.make = make
        self.take = take


class _AsyncValue:
    """The value of an asynchronous fixture: how it is made, and ended."""

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        self._function = function
        self._arguments = arguments
        self._generator: Any = None

    async def make(self) -> Any:
        """Return the value."""
        if not inspect.isasyncgenfunction(self._function):
            return await self._function(**self._arguments)
        generator = self._function(**self._arguments)
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise ValueError(f"{self._function.__name__} did not yield a value") from None
        self._generator = generator
        return value

    @property
    def has_end(self) -> bool:
        """Whether code stands behind its yield."""
        return self._generator is not None

    async def end(self) -> None:
        """Go on behind the yield."""
        generator, self._generator = self._generator, None
        try:
            await anext(generator)
        except StopAsyncIteration:
            return
        await generator.aclose()
        pytest.fail(f"fixture function {self._function.__name__} has more than one 'yield'", pytrace=False)


class _RunFixture(FixtureCopy):
    """A definition of function scope, as one run has it."""

    fixtures: RunFixtures
    is_async: bool
    value: _AsyncValue | None = None
    ending: Ending | None = None

    def execute(self, request: Any) -> Any:
        """Make the value, if there is none; what is to be awaited is before anything of it is noted."""
        fixtures = self.fixtures
        if self.cached_result is not None:
            return super().execute(request)
        if fixtures.can_await:
            for name in self.argnames:
                request.getfixturevalue(name)
        if self.is_async and self.ending is None:
            arguments = {name: request.getfixturevalue(name) for name in self.argnames}
            self.value = _AsyncValue(fixture_function(self.declared, request), arguments)
            if fixtures.can_await:
                raise Awaited(self.value.make, self._take)
            self.ending = fixtures.until(self.value.make, self.argname), None
        could_await, fixtures.can_await = fixtures.can_await, False
        try:
            return super().execute(request)
        finally:
            fixtures.can_await = could_await

    def _take(self, ending: Ending) -> None:
        self.ending = ending

    def made(self, **arguments: Any) -> Any:
        """Return the value that was awaited, in place of the fixture's function."""
        assert self.ending is not None
        return given(self.ending)

    def finish(self, request: Any) -> None:
        """End the value."""
        if self.cached_result is not None and self.value is not None and self.value.has_end:
            raise Awaited(self.value.end, self._take_end)
        try:
            super().finish(request)
        finally:
            self.value = self.ending = None

    def _take_end(self, ending: Ending) -> None:
        if ending[1] is not None:
            self.addfinalizer(functools.partial(given, ending))


class _WideFixture(FixtureCopy):
    """An asynchronous definition that is wider than a function, with a value on the loop of the process."""

    loop: ProcessLoop
    function: Callable[..., Any]
    task: RunTask | None = None

    def execute(self, request: Any) -> Any:
        """Make the value, if there is none."""
        if self.cached_result is None:
            self.function = fixture_function(self.declared, request)
        return super().execute(request)

    def made(self, **arguments: Any) -> Any:
        """Return the value, made in a task of its own, in place of the fixture's function."""
        value = _AsyncValue(self.function, arguments)
        state = RunState(seeded=True)
        state.generators = GlobalState.now()
        self.task = task = RunTask(self.loop, state)
        made = _waited_for(task, value.make, self.argname)
        if value.has_end:
            self.addfinalizer(lambda: task.wait_for(value.end()))
        return made

    def finish(self, request: Any) -> None:
        """End the value, and then the task."""
        task = self.task
        if self.cached_result is not None and task is not None:
            self.task = None
            try:
                super().finish(request)
            finally:
                task.end()
        else:
            super().finish(request)


class WideFixtures:
    """The definitions wider than a function, as the runs of a process have them.

    Those that are asynchronous, or need one that is, are made for runs alone: other tests have theirs on
    other event loops.

    Parameters
    ----------
    loop : ProcessLoop
        On which they live.
    known : dict of FixtureDef to FixtureDef
        Definitions on which runs depend, each with the one that was declared; copies are added.
    """

    def __init__(self, loop: ProcessLoop, known: dict[Any, Any]) -> None:
        self._loop = loop
        self._known = known
        self._copies: dict[Any, Any] = {}

    def of(self, declared: Any, definitions: Definitions) -> Any:
        """Return a definition, or its copy."""
        if declared not in self._copies:
            self._copies[declared] = self._copied(declared, definitions)
        return self._copies[declared]

    def _copied(self, declared: Any, definitions: Definitions) -> Any:
        if is_async_fixture(declared):
            copy: FixtureCopy = _WideFixture.of(declared)
            copy.loop = self._loop  # type: ignore[attr-defined]
            stand_in(copy)
        elif any(awaits_fixtures(name, definitions) for name in declared.argnames):
            copy = FixtureCopy.of(declared)
        else:
            return declared
        self._known[copy] = declared
        return copy


class RunFixtures(dict[str, Sequence[Any]]):
    """The definitions of one run by name, each copied when it is first asked for.

    Parameters
    ----------
    task : RunTask
        Of the run.
    definitions : callable
        Returns the declared ones of a name.
    wide : WideFixtures
        Of the process.
    alone : bool
        Whether no other run is under way beside it.

    Attributes
    ----------
    can_await : bool
        Whether a fixture that is asked for now can be awaited before whoever asks for it goes on.
    """

    def __init__(self, task: RunTask, definitions: Definitions, wide: WideFixtures, *, alone: bool) -> None:
        super().__init__()
        self._task = task
        self._definitions = definitions
        self._wide = wide
        self._is_alone = alone
        self.can_await = False

    def get(self, name: str, default: Any = None) -> Any:
        """Return the definitions of a name, also of one that is asked for while the run is under way."""
        if name not in self:
            known = self._definitions(name)
            if known is None:
                return default
            if name in OF_PROCESS and not self._is_alone:
                pytest.fail(
                    f"fixture {name!r} is about what the whole process shares, and is asked for by a run "
                    "that others run beside; name it among the arguments, and runs are made one by one",
                    pytrace=False,
                )
            self[name] = tuple(map(self._own, known))
        return self[name]

    def copy(self) -> Self:
        """Return the definitions themselves: requests of pytest 8 copy what they are given."""
        return self

    def _own(self, declared: Any) -> Any:
        if declared.scope != "function":
            return self._wide.of(declared, self._definitions)
        copy = _RunFixture.of(declared)
        copy.fixtures = self
        copy.is_async = is_async_fixture(declared)
        if copy.is_async:
            stand_in(copy)
        return copy

    def set_up(self, node: pytest.Function) -> Waiting:
        """Make the fixtures of the run."""
        open_beside(node)
        while True:
            self.can_await = True
            try:
                node.setup()
            except Awaited as needed:
                waiting = needed
            else:
                return
            finally:
                self.can_await = False
            waiting.take((yield waiting.make()))
            del waiting  # its traceback has this frame, and with it the arguments of the fixture

    def until(self, make: Callable[[], Awaitable[Any]], name: str) -> Any:
        """Return an asynchronous value that another fixture asks for while it is made."""
        return _waited_for(self._task, make, name, seen=True)


def _waited_for(task: RunTask, make: Callable[[], Awaitable[Any]], name: str, *, seen: bool = False) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return task.until(make()) if seen else task.wait_for(make())
    pytest.fail(
        f"asynchronous fixture {name!r} is asked for while code is awaited; name it among the arguments",
        pytrace=False,
    )


def stand_in(copy: Any) -> None:
    """Have a copy's value come from its method `made`; pytest and its plugins take that for no coroutine."""

    def made(**arguments: Any) -> Any:
        return copy.made(**arguments)

    copy.func = made


def torn_down(node: pytest.Function) -> Waiting:
    """End the fixtures of a run, the last one first, and all of them even if one raises."""
    finalizers = finalizers_of(node)
    faults: list[BaseException] = []
    while finalizers:
        finish = finalizers.pop()
        try:
            finish()
        except Awaited as needed:
            finalizers.append(finish)
            needed.take((yield needed.make()))
        except BaseException as fault:
            faults.append(fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise BaseExceptionGroup(f"errors while tearing down {node!r}", faults[::-1])
