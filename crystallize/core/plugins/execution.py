"""Executions: ways to map the unit of work over the units of an experiment."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ClassVar, Literal, TypeVar

from crystallize.core.plugins.base import BasePlugin
from crystallize.core.run import RunError, RunPlan, RunRecord, Unit
from crystallize.core.seeding import global_draws_detector, seed_globals
from crystallize.errors import CrystallizeWarning, DefinitionError, NotPicklableError

T = TypeVar("T")

_BLOCKS_PER_WORKER = 16
_LARGEST_BLOCK = 256


class Execution(BasePlugin):
    """Base of executions; a subclass says how units become records."""

    @abstractmethod
    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the record of every unit, in any order."""
        raise NotImplementedError


Execution.kind = Execution


class SerialExecution(Execution):
    """Runs one unit after the other in the calling thread; the default."""

    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records in order."""
        for unit in progress(units, len(units), plan.name):
            yield plan.run(unit)


class ParallelExecution(Execution):
    """Runs units in threads or in processes; metrics are those of `SerialExecution`, bit for bit.

    Threads share the global generators (`random`, `numpy.random`), so under threads a step has to draw from
    ``ctx.rng``; a run in which something draws from the global ones warns. Processes are sent the experiment
    by pickle: what is not picklable is named in the error.

    Parameters
    ----------
    max_workers : int, optional
        Number of threads or processes; by default as many as there are cores.
    executor_type : {"thread", "process"}
        Threads for code that waits or releases the interpreter lock, processes for the rest.

    Raises
    ------
    DefinitionError
        If an argument is none of these.
    """

    def __init__(
        self, max_workers: int | None = None, executor_type: Literal["thread", "process"] = "thread"
    ) -> None:
        if max_workers is not None and (type(max_workers) is not int or max_workers < 1):
            raise DefinitionError(
                f"max_workers is {max_workers!r}; give a positive integer, or None for every core"
            )
        if executor_type not in ("thread", "process"):
            raise DefinitionError(f"executor_type is {executor_type!r}; allowed are 'thread' and 'process'")
        self.max_workers = max_workers
        self.executor_type = executor_type

    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records in the order in which blocks of units are done."""
        workers = min(self.max_workers or os.cpu_count() or 1, len(units))
        if self.executor_type == "thread":
            yield from self._in_threads(plan, units, workers)
        else:
            yield from self._in_processes(plan, units, workers)

    def _in_threads(self, plan: RunPlan, units: Sequence[Unit], workers: int) -> Iterator[RunRecord]:
        shared = plan.seed_globals is not None
        if plan.seed_globals is seed_globals:
            # Seeding the shared generators once per unit would tell the threads apart no better.
            plan = plan.without_global_seeding()
            seed_globals(plan.stream.root & 0xFFFFFFFF)
        moved = global_draws_detector()
        with ThreadPoolExecutor(workers) as pool:
            blocks = _blocks(units, workers)
            yield from _collect(
                pool, lambda block: [plan.run(unit) for unit in block], blocks, plan, len(units)
            )
        if shared and moved():
            warnings.warn(
                f"{plan.name}: something drew from the global generators (random, numpy.random) under threads, which "
                "share them, so its numbers depend on timing; draw from ctx.rng, or use executor_type='process'",
                CrystallizeWarning,
                stacklevel=2,
            )

    def _in_processes(self, plan: RunPlan, units: Sequence[Unit], workers: int) -> Iterator[RunRecord]:
        payload = _pickled(plan)
        with ProcessPoolExecutor(workers, initializer=_Worker.receive, initargs=(payload,)) as pool:
            yield from _collect(pool, _Worker.run, _blocks(units, workers), plan, len(units))


class _Worker:
    """The plan, in a worker process."""

    plan: ClassVar[RunPlan]

    @classmethod
    def receive(cls, payload: bytes) -> None:
        cls.plan = pickle.loads(payload)

    @classmethod
    def run(cls, block: Sequence[Unit]) -> list[RunRecord]:
        return [cls.plan.run(unit) for unit in block]


def _blocks(units: Sequence[Unit], workers: int) -> list[Sequence[Unit]]:
    size = min(_LARGEST_BLOCK, max(1, len(units) // (workers * _BLOCKS_PER_WORKER)))
    return [units[start : start + size] for start in range(0, len(units), size)]


def _collect(
    pool: Executor,
    run: Callable[[Sequence[Unit]], list[RunRecord]],
    blocks: Iterable[Sequence[Unit]],
    plan: RunPlan,
    total: int,
) -> Iterator[RunRecord]:
    """Yield records as blocks finish; on leaving early, cancel what has not begun."""
    futures: dict[Future[list[RunRecord]], Sequence[Unit]] = {}
    try:
        for block in blocks:
            futures[pool.submit(run, block)] = block
        yield from progress(_records(futures, plan), total, plan.name)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _records(futures: dict[Future[list[RunRecord]], Sequence[Unit]], plan: RunPlan) -> Iterator[RunRecord]:
    for future in as_completed(futures):
        try:
            yield from future.result()
        except BrokenProcessPool as fault:
            error = RunError(
                "BrokenProcessPool",
                "a worker process died in this block of units, or in another",
                "process",
                str(fault),
            )
            for unit in futures[future]:
                yield RunRecord(unit.condition, unit.replicate, plan.stream.seed(unit.replicate), error=error)


def _pickled(plan: RunPlan) -> bytes:
    """Pickle a plan, or name the part that can't be."""
    try:
        return pickle.dumps(plan)
    except Exception as whole:
        parts: list[tuple[str, Any]] = [("the data source", plan.datasource)]
        parts += [(f"step {step.name!r}", step) for step in plan.pipeline]
        parts += [(f"treatment {treatment.name!r}", treatment) for treatment in plan.treatments]
        parts += [(f"key {key!r} of initial_ctx", value) for key, value in plan.initial.items()]
        parts += [("seed_fn of the SeedPlugin", plan.seed_globals)]
        parts += [(f"plugin {type(plugin).__name__}", plugin) for plugin in plan.hooks.plugins]
        for label, part in parts:
            try:
                pickle.dumps(part)
            except Exception as fault:
                raise NotPicklableError(
                    f"{label} of experiment {plan.name!r} can't be sent to a process: {fault}; define functions and "
                    "classes at the top level of a module, or use executor_type='thread'"
                ) from fault
        raise NotPicklableError(f"experiment {plan.name!r} can't be sent to a process: {whole}") from whole


def progress(items: Iterable[T], total: int, label: str) -> Iterable[T]:
    """Show a progress bar on a terminal if a run takes longer than a second and tqdm is there."""
    if not sys.stderr.isatty():
        return items
    try:
        from tqdm import tqdm  # optional: extra "progress"
    except ImportError:
        return items
    bar: Iterable[T] = tqdm(items, total=total, desc=label, unit="run", delay=1.0, leave=False)
    return bar
