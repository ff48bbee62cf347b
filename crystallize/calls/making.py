"""How a call is made: taken from the replies that are kept, awaited where an equal one is under way, or sent.

The order of things is a generator, which both `made` and `amade` follow: it yields what it waits for, and the
request itself when it is its turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crystallize.calls.counts import count
from crystallize.calls.limits import Limits, Wait
from crystallize.calls.replies import Reply, as_data
from crystallize.calls.transient import PATIENCE, is_refusal, pause_of, tries
from crystallize.errors import RemoteTimeoutError
from crystallize.storage.locks import Locks

_POLL: Final = 0.02  # seconds
_FIRST_CALL: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is to be sent now, and within how many seconds it is to be answered."""

    timeout: float | None


Making = Generator[Wait | Request, Any, Reply]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a remote function.

    Attributes
    ----------
    digest : str
        What its reply is kept under, 32 hexadecimal digits.
    name : str
        Of the function.
    shown : callable
        Returns the call as messages name it.
    find : callable
        Returns its reply as it is kept, or None.
    keep : callable
        Keeps the reply, given what `as_data` returned and the seconds; returns it.
    """

    digest: str
    name: str
    shown: Callable[[], str]
    find: Callable[[], Reply | None]
    keep: Callable[[Any, float], Reply]


class UnderWay:
    """Calls that are under way, so that equal ones wait for them: in this process, and in others.

    Parameters
    ----------
    directory : Path
        What the processes share.
    """

    def __init__(self, directory: Path) -> None:
        self._locks = Locks(directory / "calls.lock")
        self._lock = threading.Lock()
        self._here: dict[str, Future[None]] = {}

    def alone(self, call: Call, make: Callable[[], Making]) -> Making:
        """Make a call unless an equal one gives its reply meanwhile."""
        while (other := self._begin(call.digest)) is not None:
            yield Wait(60.0, other)
            if (reply := call.find()) is not None:
                count(call.name, awaited=1)
                return reply
        place = _FIRST_CALL + int(call.digest[:12], 16)
        try:
            waited = False
            while not self._locks.acquire(place, wait=False):
                waited = True
                yield Wait(_POLL)
            try:
                # It may have come between the look before and the lock.
                if (reply := call.find()) is not None:
                    count(call.name, **{"awaited" if waited else "kept": 1})
                    return reply
                return (yield from make())
            finally:
                self._locks.release(place)
        finally:
            with self._lock:
                self._here.pop(call.digest).set_result(None)

    def _begin(self, digest: str) -> Future[None] | None:
        """Return what an equal call under way here ends with; if there is none, begin one."""
        with self._lock:
            if digest not in self._here:
                self._here[digest] = Future()
                return None
            return self._here[digest]


def making(
    call: Call,
    limits: Limits,
    *,
    retries: int,
    timeout: float | None,
    passes: Callable[[BaseException], bool],
) -> Making:
    """Send a request, again while its failures pass; keep its reply."""
    waits: list[float] = []
    began = time.monotonic()
    made = 0

    def goes_on(error: BaseException) -> bool:
        return isinstance(error, Exception) and passes(error)

    try:
        for attempt in tries(retries, goes_on, waits):
            if waits:
                seconds = waits.pop()
                count(call.name, retries=1, waited=seconds)
                yield Wait(seconds)
            slot = yield from limits.admitted()
            count(call.name, made=int(made == 0))
            made += 1
            sent = time.perf_counter()
            try:
                value = yield Request(timeout)
            except Exception as error:
                fault = error
                if retries and is_refusal(error) and goes_on(error):
                    count(call.name, refusals=1)
                    limits.pause(min(pause_of(error, made), PATIENCE))  # before another call has the slot
            else:
                # What can't be kept is no failure that may pass: the call is paid.
                return call.keep(as_data(value, call.name), time.perf_counter() - sent)
            finally:
                limits.give_back(slot)
            with attempt:
                raise fault
    except Exception as error:
        if made:
            tried = f"tried {made} times" if made > 1 else "tried once"
            error.add_note(f"{call.shown()}: {tried}, in {time.monotonic() - began:.1f} s")
        raise
    raise AssertionError("neither a reply nor a failure")


def made(making: Making, function: Callable[[], Any], shown: Callable[[], str]) -> Reply:
    """Make a call of a function that is not asynchronous."""

    async def perform(step: Wait | Request) -> Any:
        if isinstance(step, Request):
            return _sent(function, step.timeout, shown)
        if step.wake is None:
            return time.sleep(step.seconds)
        return wait_for([step.wake], step.seconds)

    try:
        _followed(making, perform).send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("nothing of it is awaited")


async def amade(making: Making, function: Callable[[], Awaitable[Any]], shown: Callable[[], str]) -> Reply:
    """Make a call of an asynchronous function."""

    async def perform(step: Wait | Request) -> Any:
        if isinstance(step, Request):
            return await _asent(function, step.timeout, shown)
        if step.wake is None:
            return await asyncio.sleep(step.seconds)
        return await _woken(step.wake, step.seconds)

    return await _followed(making, perform)


async def _followed(making: Making, perform: Callable[[Wait | Request], Coroutine[Any, Any, Any]]) -> Reply:
    """Give a call what it waits for, until there is its reply."""
    result: Any = None
    fault: BaseException | None = None
    while True:
        try:
            step = making.send(result) if fault is None else making.throw(fault)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        result = fault = None
        try:
            result = await perform(step)
        except BaseException as raised:
            fault = raised


def _sent(function: Callable[[], Any], timeout: float | None, shown: Callable[[], str]) -> Any:
    """Call a function; leave it to itself if it takes too long, in a thread that no exit waits for."""
    state = random.getstate()
    try:
        if timeout is None:
            return function()
        done: Future[Any] = Future()
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(_settle, done, function), daemon=True).start()
        if not wait_for([done], timeout).done:
            raise _timed_out(shown, timeout)
        return done.result()
    finally:
        random.setstate(state)  # how often a client draws, says nothing of a run


def _settle(done: Future[Any], function: Callable[[], Any]) -> None:
    try:
        result = function()
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(result)


async def _asent(
    function: Callable[[], Awaitable[Any]], timeout: float | None, shown: Callable[[], str]
) -> Any:
    """Await a function; cancel it if it takes too long."""
    try:
        async with asyncio.timeout(timeout) as limit:
            return await _Apart(function())
    except TimeoutError as fault:
        if timeout is None or not limit.expired():
            raise
        raise _timed_out(shown, timeout) from fault


class _Apart:
    """Awaitable that does not move the generator which `random` shares with the run."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        """Put the generator back behind each step; in between, it is others'."""
        steps = self._awaitable.__await__()
        result: Any = None
        fault: BaseException | None = None
        while True:
            state = random.getstate()
            try:
                waiting = steps.send(result) if fault is None else steps.throw(fault)
            except StopIteration as end:
                return end.value
            finally:
                random.setstate(state)
            result = fault = None
            try:
                result = yield waiting
            except BaseException as raised:
                fault = raised


async def _woken(wake: Future[None], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def tell(_: Future[None]) -> None:
        with suppress(RuntimeError):  # its loop is closed
            loop.call_soon_threadsafe(_finish, done)

    wake.add_done_callback(tell)
    await asyncio.wait([done], timeout=seconds)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _timed_out(shown: Callable[[], str], timeout: float) -> RemoteTimeoutError:
    return RemoteTimeoutError(f"{shown()} gave no reply within {timeout:g} s (timeout=)")
