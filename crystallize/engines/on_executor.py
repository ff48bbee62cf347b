"""Blocks of units on an executor: in this process as they are, in others as bytes."""

from __future__ import annotations

import functools
import pickle
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import nullcontext
from typing import Any, Final

from crystallize.context.record import RunError, RunRecord
from crystallize.engines.expectation import Expectation
from crystallize.engines.interference import prevent_interference
from crystallize.engines.payload import (
    GENERATORS,
    STOPPED,
    BlockResult,
    Payload,
    RemoteWork,
    new_key,
    told_once,
)
from crystallize.errors import EngineError, NotPicklableError, OtherCodeError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins.blocks import Feed, Finished
from crystallize.run.units import Unit
from crystallize.text.warned import warn


class _Task:
    """Callable that an executor is given with a block: as it is in this process, elsewhere pickled."""

    def __init__(self, plan: RunPlan, *, alone: bool, dumps: Callable[[Any], bytes] | None) -> None:
        self._plan = plan
        self._dumps = dumps
        self._alone = alone
        self._key = new_key()
        self.fault: NotPicklableError | None = None

    def stop(self) -> None:
        """Have this process run no further unit."""
        STOPPED.add(self._key)

    def __call__(self, units: Sequence[Unit]) -> BlockResult:
        prevent_interference(threads=False)
        seeded = self._alone and self._plan.seed_globals is not None
        with GENERATORS if seeded else nullcontext():
            return BlockResult([self._plan.run(unit) for unit in units if self._key not in STOPPED], {})

    @functools.cached_property
    def _payload(self) -> Payload:
        work = RemoteWork(self._plan, Expectation.of_run(self._plan), self._key)
        return Payload(work, dumps=self._dumps)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        try:
            return functools.partial, (_run_block, self._payload)
        except NotPicklableError as fault:  # some executors put it into an exception of their own
            self.fault = fault
            raise


_MOST_KEPT: Final = 8
_known: OrderedDict[str, Payload] = OrderedDict()


def _run_block(payload: Payload, units: Sequence[Unit]) -> BlockResult:
    """Run a block where the experiment may have been unpacked for an earlier one."""
    payload = _known.setdefault(payload.key, payload)
    _known.move_to_end(payload.key)
    while len(_known) > _MOST_KEPT:
        _known.popitem(last=False)
    return payload.run_block(units)


class ExecutorRun:
    """The blocks of one plan on an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Where they run.
    plan : RunPlan
        What is run.
    units : sequence of Unit
        Of the plan.
    slots : int
        How many blocks may be under way.
    in_threads : bool
        Whether units of this process may run at the same time.
    """

    def __init__(
        self, executor: Executor, plan: RunPlan, units: Sequence[Unit], *, slots: int, in_threads: bool
    ) -> None:
        self._executor = executor
        self._plan = plan
        self._slots = slots
        self._in_threads = in_threads
        # The standard library's processes have the classes of this one's script, and none of their own.
        dumps = pickle.dumps if isinstance(executor, ProcessPoolExecutor) else None
        self._task = _Task(plan, alone=not in_threads, dumps=dumps)
        self._feed = Feed(units, slots)
        self._finished = Finished[BlockResult]()
        self._under_way: dict[Future[BlockResult], list[Unit]] = {}
        self._broken: BaseException | None = None

    def records(self) -> Iterator[RunRecord]:
        """Yield a record of every unit."""
        yield from told_once(self._results(), self._plan, warn)

    def _results(self) -> Iterator[BlockResult]:
        self._refill()
        for future in self._finished:
            block = self._under_way.pop(future)
            result = self._result(future, block)
            if result is not None:
                self._feed.learn(result.records)
                if len(result.records) < len(block) and result.ended is None:
                    self._feed.give_back(block[len(result.records) :])
            self._refill()
            if result is not None:
                yield result
        while self._feed:
            assert self._broken is not None
            yield BlockResult(list(_failed(self._feed.take(), self._broken, self._plan)), {})

    def cancel(self) -> None:
        """Have nothing be run any more: what waits is cancelled, and threads end with the unit under way."""
        self._task.stop()
        for future in self._under_way:
            future.cancel()
        if self._in_threads:
            wait(self._under_way)
        with GENERATORS:  # other threads of this process may be about to end a unit under them
            pass

    def _refill(self) -> None:
        while self._feed and self._broken is None and len(self._under_way) < self._slots:
            block = self._feed.take()
            try:
                future = self._executor.submit(self._task, block)
            except BrokenExecutor as fault:
                self._broken = fault
                self._feed.give_back(block)
            except RuntimeError as fault:
                raise EngineError(f"the executor takes no work: {fault}") from fault
            else:
                self._under_way[future] = block
                self._finished.watch(future)

    def _result(self, future: Future[BlockResult], block: list[Unit]) -> BlockResult | None:
        """Return what came of a block; None if its units are to be run again, one by one."""
        try:
            return future.result()
        except (OtherCodeError, NotPicklableError):
            raise
        except (Exception, CancelledError) as fault:
            if self._task.fault is not None:
                raise self._task.fault from None
            if len(block) > 1 and not isinstance(fault, BrokenExecutor):
                self._feed.give_back(block, one_by_one=True)
                return None
            return BlockResult(list(_failed(block, fault, self._plan)), {})


def _failed(units: Sequence[Unit], fault: BaseException, plan: RunPlan) -> Iterator[RunRecord]:
    """Return the records of units whose future failed."""
    text = "".join(traceback.format_exception(fault))
    error = RunError(type(fault).__qualname__, str(fault), "executor", text)
    return (plan.failed(unit, error) for unit in units)
