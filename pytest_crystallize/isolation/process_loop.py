"""The event loop of a process: it runs whenever somebody waits, for all who wait on it."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from types import FrameType
from typing import Any, Final

from crystallize.seam import Ending, given
from pytest_crystallize.isolation.switching import RunState, Switch

_NOTHING: Final = object()


class ProcessLoop:
    """Event loop of this process, made when it is first needed, and closed behind all fixtures.

    Between two waits it stands still, with its tasks where they are.

    Parameters
    ----------
    switch : Switch
        Gives the process to whichever run goes on.
    """

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interrupts = 0
        self._is_waited_on = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_task_factory(self.switch.make_task)  # type: ignore[arg-type]
        return self._loop

    def wait(self, is_over: Callable[[], object]) -> None:
        """Have all tasks go on until something is so; whatever makes it so has to call `wake`.

        Raises
        ------
        KeyboardInterrupt
            If there was a first interrupt, as soon as no task's code is under way; at once at a second one.
        """
        while not is_over():
            self._is_waited_on = True
            try:
                with self.interrupts_kept():
                    if self._interrupts:
                        self.loop.call_soon(self.loop.stop)
                    self.loop.run_forever()
            finally:
                self._is_waited_on = False
            self._raise_kept()

    def _raise_kept(self) -> None:
        if self._interrupts:
            self._interrupts = 0
            raise KeyboardInterrupt

    def wake(self) -> None:
        """Have who waits see whether what was waited for is so."""
        if self._is_waited_on:
            self.loop.stop()

    @contextmanager
    def interrupts_kept(self) -> Iterator[None]:
        """Keep the first interrupt until something has been waited for, or this ends; not a second one.

        It is torn out of the middle neither of what the loop does nor of what is done with a run that ended.
        """
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._raise_kept()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            self._interrupts = 0
            raise KeyboardInterrupt
        if self._is_waited_on:
            self.loop.call_soon_threadsafe(self.loop.stop)

    def close(self) -> None:
        """End what is left on the loop, and close it."""
        if self._loop is None:
            return
        loop, self._loop = self._loop, None
        self.switch.to(None)
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.call_soon(loop.stop)
            loop.run_forever()  # until here; an interrupt may have asked it to stop when it no longer ran
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


class RunTask:
    """The one task in which all that is asynchronous of a run is awaited: cancel scopes end where they begin.

    Parameters
    ----------
    loop : ProcessLoop
        On which it lives.
    state : RunState
        Of the run.

    Attributes
    ----------
    is_ending : bool
        Whether what is awaited from now on ends the run, and is not cancelled.
    """

    def __init__(self, loop: ProcessLoop, state: RunState) -> None:
        self._loop = loop
        self._state = state
        self._context = copy_context()
        state.give_to(self._context)
        self._asked: asyncio.Future[Any] = loop.loop.create_future()
        self._task = loop.loop.create_task(self._live(), context=self._context)
        self._is_awaiting = False
        self._fault: BaseException | None = None
        self.is_ending = False

    async def _live(self) -> None:
        while (asked := await self._asked) is not None:
            awaitable, answer = asked
            self._asked = self._loop.loop.create_future()
            answer(await self._ending(awaitable))
            self._loop.wake()
            del asked, awaitable, answer

    async def _ending(self, awaitable: Awaitable[Any]) -> Ending:
        if self._fault is not None:  # cancelled before it began
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            fault, self._fault = self._fault, None
            return None, fault
        self._is_awaiting = True
        try:
            return await awaitable, None
        except BaseException as fault:
            while self._task.cancelling():
                self._task.uncancel()
            if isinstance(fault, asyncio.CancelledError) and self._fault is not None:
                return None, self._fault.with_traceback(fault.__traceback__)
            return None, fault
        finally:
            self._is_awaiting = False
            self._fault = None

    def ask(self, awaitable: Awaitable[Any], answer: Callable[[Ending], object]) -> None:
        """Have something awaited; `answer` is given what comes of it."""
        self._asked.set_result((awaitable, answer))

    def cancel(self, fault: BaseException | None = None) -> None:
        """Cancel what is awaited, so that a fault comes of it; without one, unless the run is ending."""
        if fault is not None or not self.is_ending:
            self._fault = fault or asyncio.CancelledError()
            if self._is_awaiting:
                self._task.cancel()

    def end(self) -> None:
        """Have the task end: there is nothing more to await."""
        self._asked.set_result(None)

    # What is not asynchronous, between what is.

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that sees the context variables of the task, and may set some for it."""
        self._loop.switch.to(self._state)
        seen = self._context.copy()
        try:
            return seen.run(function, *args)
        finally:
            _carry(seen, self._context)

    def until(self, awaitable: Awaitable[Any]) -> Any:
        """Do what `wait_for` does, from a function that `call` has called, and that shares its variables."""
        _carry(copy_context(), self._context)
        try:
            return self.wait_for(awaitable)
        finally:
            for variable, value in self._context.items():
                if variable.get(_NOTHING) is not value:
                    variable.set(value)

    def wait_for(self, awaitable: Awaitable[Any]) -> Any:
        """Return what comes of an awaitable; everything else on the loop goes on meanwhile."""
        switch, endings = self._loop.switch, list[Ending]()
        caller = switch.current
        self.ask(awaitable, endings.append)
        try:
            self._loop.wait(lambda: endings)
        except BaseException:
            self.cancel()
            self._loop.wait(lambda: endings)
            raise
        finally:
            switch.to(caller)
        return given(endings[0])

    async def end_others(self) -> None:
        """Cancel the tasks that the run has left, as at the end of `asyncio.run`."""
        left = self._state.tasks - {self._task}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    @property
    def has_left_others(self) -> bool:
        """Whether there are tasks that the run has created and not awaited."""
        return len(self._state.tasks) > 1


def _carry(source: Context, target: Context) -> None:
    """Set the variables of one context as they are in another one."""
    for variable, value in source.items():
        if target.get(variable, _NOTHING) is not value:
            target.run(variable.set, value)
