"""Asynchronous steps and data sources: telling them apart, and running them where nothing awaits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import CoroutineType
from typing import Any, TypeVar

from crystallize.errors import DefinitionError, EventLoopError

T = TypeVar("T")

Ending = tuple[Any, BaseException | None]
"""How a body ended: what it returned, or what it raised; a generator can't raise `StopIteration`."""

Body = Generator[Awaitable[Any], Any, Ending]
"""What runs alike with and without an event loop: it yields what is to be awaited, and is sent the result."""


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a function is declared ``async def``, also behind `functools.wraps` and `partial`."""
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def settled(value: Any) -> Any:
    """Return a value; of an awaitable, what it gives."""
    return await value if inspect.isawaitable(value) else value


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that has nothing to await; return what it gives."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise RuntimeError(f"{coroutine!r} awaits something, and no event loop is running")


def finished(body: Body) -> Any:
    """Run a body that has nothing to await; return or raise what it gave."""
    endings: list[Ending] = []  # none is left, so that no fault holds the frame that it stands in
    for waiting in _to_the_end(body, endings):
        raise RuntimeError(f"{waiting!r} is to be awaited, and nothing awaits it")
    return given(endings.pop())


def _to_the_end(body: Body, endings: list[Ending]) -> Generator[Awaitable[Any], Any, None]:
    """Run a body, and append how it ended: what returns nothing ends without an exception being made."""
    endings.append((yield from body))


async def awaited(make: Callable[[Callable[[], object]], Body]) -> Ending:
    """Run a body, awaiting what it yields; all that it does beside finds no event loop, as in `finished`.

    Parameters
    ----------
    make : callable
        Makes the body, given what tells whether the task is being cancelled that awaits.
    """
    task = asyncio.current_task()
    body = make(_not_cancelling if task is None else task.cancelling)
    result: Any = None
    fault: BaseException | None = None
    while True:
        try:
            with outside_loop():
                waiting = body.send(result) if fault is None else body.throw(fault)
        except StopIteration as end:
            ending: Ending = end.value
            return ending
        finally:
            fault = None
        try:
            result = await waiting
        except BaseException as raised:
            fault = raised


def given(ending: Ending) -> Any:
    """Return what was returned, or raise what was raised."""
    result, fault = ending
    if fault is None:
        return result
    try:
        raise fault
    finally:
        del fault, ending


def _not_cancelling() -> bool:
    return False


def expected(value: Any, kind: str, name: str, *, awaits: bool) -> Generator[Awaitable[Any], Any, Any]:
    """Return what a part returned, or yield it if it is to be awaited.

    Raises
    ------
    DefinitionError
        If it is, and nothing awaits it.
    """
    if not awaits:
        raise never_awaited(value, f"{kind} {name!r}")
    return (yield value) if inspect.isawaitable(value) else value


@contextmanager
def outside_loop() -> Iterator[None]:
    """Bracket a call of what is not asynchronous: it finds no event loop, as where nothing is asynchronous.

    So a part that runs a coroutine by `asyncio.run` does the same whatever the parts beside it are.
    """
    loop = asyncio._get_running_loop()
    if loop is None:
        yield
        return
    swap = getattr(asyncio.tasks, "_swap_current_task", None)  # since Python 3.12
    task = None if swap is None else swap(loop, None)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if swap is not None:
            swap(loop, task)


def run_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of its own.

    Raises
    ------
    EventLoopError
        If a loop is running in this thread already.
    """
    try:
        refuse_inside_a_loop()
    except EventLoopError:
        coroutine.close()
        raise
    return on_loop_of_its_own(coroutine)


def on_loop_of_its_own(coroutine: Coroutine[Any, Any, T]) -> T:
    """Do what `asyncio.run` does, without a task that ends with what is the user's.

    Python asks for the `repr` of that task behind each run, so for those of its result and its exception.
    """
    endings: list[Ending] = []

    async def run() -> None:
        try:
            endings.append((await coroutine, None))
        except (KeyboardInterrupt, asyncio.CancelledError):  # by which an interrupt is told
            raise
        except BaseException as fault:
            endings.append((None, fault))

    asyncio.run(run())
    return given(endings.pop())  # type: ignore[no-any-return]


def refuse_inside_a_loop() -> None:
    """Raise `EventLoopError` if an event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise EventLoopError(
        "an async step or data source can't be run to completion where an event loop is running already; "
        "await experiment.arun(...), or asyncio.to_thread(experiment.apply, ...) and the like"
    )


def never_awaited(coroutine: CoroutineType[Any, Any, Any], part: str) -> DefinitionError:
    """Return the error of a part that is not declared ``async def`` and returned a coroutine."""
    coroutine.close()
    return DefinitionError(
        f"{part} returned a coroutine, which nothing awaits: declare it with async def, and await inside"
    )


class SharedTime:
    """Clock that divides the time that passes among the runs under way on one event loop.

    So the times of runs add up to what they took together, however long each of them waited.
    """

    def __init__(self) -> None:
        self._shares: dict[object, float] = {}
        self._settled = 0.0

    def begin(self) -> object:
        """Return a new run that is under way from now on."""
        self._settle()
        run = object()
        self._shares[run] = 0.0
        return run

    def end(self, run: object) -> float:
        """Return the share of a run that ends now."""
        self._settle()
        return self._shares.pop(run)

    def _settle(self) -> None:
        now = time.perf_counter()
        for run in self._shares:
            self._shares[run] += max(0.0, now - self._settled) / len(self._shares)
        self._settled = now
