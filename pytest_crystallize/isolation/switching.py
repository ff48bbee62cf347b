"""What a process has once, given to each of the runs on its event loop whenever that run's code goes on.

These are the global generators, the context that fixtures speak of, and what is printed and logged. They are
switched at each step of a task, so that what a run draws and prints does not depend on those beside it. What
goes on outside of tasks, in threads above all, is not covered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any

from crystallize.seam import FrozenContext, GlobalState
from pytest_crystallize.isolation.fixtures import UnitFixtures
from pytest_crystallize.isolation.output import NOTHING, Output, Printed

_of_task: ContextVar[RunState | None] = ContextVar("what the tasks of a run find", default=None)


class RunState:
    """State that the process is to hold while the code of one run goes on.

    Parameters
    ----------
    seeded : bool
        Whether the run has global generators of its own.

    Attributes
    ----------
    ctx : FrozenContext or None
        What fixtures speak of.
    printed : Printed
        What it has printed and logged until it was last switched off.
    generators : GlobalState or None
        Its generators while another run has the process; None if it is to find them as they are.
    tasks : set of Task
        Those of its tasks that have not ended.
    """

    def __init__(self, *, seeded: bool) -> None:
        self.seeded = seeded
        self.ctx: FrozenContext | None = None
        self.printed = NOTHING
        self.generators: GlobalState | None = None
        self.tasks: set[asyncio.Task[Any]] = set()

    def give_to(self, context: Context) -> None:
        """Have tasks that are created in a context belong to the run."""
        context.run(_of_task.set, self)


class Switch:
    """Switch of the process from one run to another.

    Parameters
    ----------
    fixtures : UnitFixtures
        What speaks of the run under way.
    output : Output
        What is printed and logged.
    """

    def __init__(self, fixtures: UnitFixtures, output: Output) -> None:
        self._fixtures = fixtures
        self._output = output
        self.current: RunState | None = None

    def to(self, state: RunState | None) -> None:
        """Give the process to a run, or to nobody; keep what the one before has left."""
        before = self.current
        if state is before:
            return
        printed = self._output.taken()
        if before is not None:
            before.printed = before.printed.followed_by(printed)
            if before.seeded:
                before.generators = GlobalState.now()
        self.current = state
        self._fixtures.current = None if state is None else state.ctx
        if state is not None and state.generators is not None:
            state.generators.put_back()
            state.generators = None

    def speak_of(self, ctx: FrozenContext | None) -> None:
        """Have fixtures speak of a context in the run that has the process."""
        assert self.current is not None
        self._fixtures.current = self.current.ctx = ctx

    def printed(self) -> Printed:
        """Return all that the run which has the process has printed and logged."""
        assert self.current is not None
        self.current.printed = self.current.printed.followed_by(self._output.taken())
        return self.current.printed

    def make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        """Create a task that switches to its run at each step; a task factory of event loops."""
        context: Context | None = options.get("context")
        state = _of_task.get() if context is None else context.get(_of_task)
        task = asyncio.Task(_Switching(coroutine, self, state), loop=loop, **options)
        if state is not None:
            state.tasks.add(task)
            task.add_done_callback(state.tasks.discard)
        return task


class _Switching(Coroutine[Any, Any, Any]):
    """A coroutine that switches to its run at each step, and is otherwise the one that it wraps."""

    def __init__(self, wrapped: Coroutine[Any, Any, Any], switch: Switch, state: RunState | None) -> None:
        self._wrapped = wrapped
        self._switch = switch
        self._state = state
        self.__name__ = getattr(wrapped, "__name__", type(wrapped).__name__)
        self.__qualname__ = getattr(wrapped, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        __tracebackhide__ = True
        self._switch.to(self._state)
        return self._wrapped.send(value)

    def throw(self, *fault: Any) -> Any:
        __tracebackhide__ = True
        self._switch.to(self._state)
        return self._wrapped.throw(*fault)

    def close(self) -> None:
        self._wrapped.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._wrapped.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)
