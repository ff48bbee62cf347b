"""Executions: ways to map the unit of work over the units of an experiment."""

from __future__ import annotations

import os
import sys
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

from crystallize.context.record import RunRecord
from crystallize.context.seeding import DrawsWatch, seed_globals
from crystallize.errors import DefinitionError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins.artifacts import ArtifactPlugin
from crystallize.run.plugins.base import BasePlugin
from crystallize.run.plugins.blocks import Finished, blocks
from crystallize.run.plugins.processes import run_in_processes
from crystallize.run.units import Arriving, Unit
from crystallize.text.warned import warn

T = TypeVar("T")


class Execution(BasePlugin):
    """Base of executions; a subclass says how units become records.

    Attributes
    ----------
    runs_ahead : bool
        Whether `execute` is given all units at once also where an experiment may be stopped early: its
        workers would idle at every look. It is closed when no more records are wanted.
    is_elsewhere : bool
        Whether units may run on other machines, so that nobody knows which one times are of.
    """

    runs_ahead: ClassVar[bool] = False
    is_elsewhere: bool = False

    @abstractmethod
    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the record of every unit, in any order; if closed, have nothing be run any more."""
        raise NotImplementedError


Execution.kind = Execution


class SerialExecution(Execution):
    """Execution of one unit after the other in the calling thread; the default.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def draw(data, ctx):
    ...     return data, {"x": ctx.rng.normal()}
    >>> alone = Experiment(0, [draw], [SerialExecution()], replicates=3).run()
    >>> alone.digest == Experiment(0, [draw], replicates=3).run().digest
    True
    """

    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records in order."""
        for unit in progress(units, len(units), plan.name):
            yield plan.run(unit)


class ParallelExecution(Execution):
    """Execution of units in threads or in processes; metrics are those of `SerialExecution`, bit for bit.

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

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def draw(data, ctx):
    ...     return data, {"x": ctx.rng.normal()}
    >>> beside = Experiment(0, [draw], [ParallelExecution(max_workers=2)], replicates=4).run()
    >>> beside.digest == Experiment(0, [draw], replicates=4).run().digest
    True
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
        stopped = threading.Event()
        sharing = generators_shared(plan, "threads", "executor_type='process'")

        def run(block: Sequence[Unit]) -> list[RunRecord]:
            return [used.run(unit) for unit in block if not stopped.is_set()]

        with sharing as used, ThreadPoolExecutor(workers) as pool:
            try:
                finished = Finished[list[RunRecord]]()
                for block in blocks(units, workers):
                    finished.watch(pool.submit(run, block))
                done = (record for future in finished for record in future.result())
                yield from progress(done, len(units), plan.name)
            except BaseException:  # Ctrl-C above all: finish the units that have begun, and no other
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _in_processes(self, plan: RunPlan, units: Sequence[Unit], workers: int) -> Iterator[RunRecord]:
        for plugin in plan.hooks.plugins:
            if isinstance(plugin, ArtifactPlugin):
                with suppress(OSError):  # it matters only to a unit that has something to write
                    plugin.reserved(plan.hooks.experiment)
        with closing(run_in_processes(plan, units, workers)) as records:
            yield from progress(records, len(units), plan.name)


@dataclass(frozen=True)
class Executed:
    """The records of units that an execution runs.

    Attributes
    ----------
    execution : Execution
        What runs them.
    plan : RunPlan
        What they do.
    awaits : bool
        Whether they are awaited on the running event loop, which `AsyncExecution` can.
    """

    execution: Any
    plan: RunPlan
    awaits: bool = False

    def records(self, units: Sequence[Unit]) -> Arriving:
        """Have every unit be run."""
        return self._awaited(units) if self.awaits else self.execution.execute(self.plan, units)

    def _awaited(self, units: Sequence[Unit]) -> Arriving:
        found: list[RunRecord] = []

        async def run() -> None:
            found.extend(await self.execution.aexecute(self.plan, units))

        yield run()
        yield from found


@contextmanager
def ended(records: Iterator[T]) -> Iterator[Iterator[T]]:
    """Close what an execution gives, if it can be closed, so that nothing is run that nobody waits for."""
    try:
        yield records
    finally:
        close = getattr(records, "close", None)
        if close is not None:
            close()


@contextmanager
def generators_shared(plan: RunPlan, under: str, instead: str) -> Iterator[RunPlan]:
    """Seed the global generators once for units that run at the same time; warn if something drew from them.

    Parameters
    ----------
    plan : RunPlan
        What is to be run; yields the plan to run in its place.
    under, instead : str
        What makes units share the generators, and what to use to avoid it.
    """
    shared = plan.seed_globals is not None
    if plan.seed_globals is seed_globals:
        # Seeding the shared generators once per unit would tell the units apart no better.
        plan = plan.without_global_seeding()
        seed_globals(plan.stream.root & 0xFFFFFFFF)
    watch = DrawsWatch()
    watch.begin()
    stopped: GeneratorExit | None = None
    try:
        yield replace(plan, shares_generators=True)
    except GeneratorExit as early:  # what drew has drawn
        stopped = early
    finally:
        watch.end()
    if shared and watch.drew:
        warn(
            f"{plan.name}: something drew from the global generators (random, numpy.random) under {under}, "
            "where units share them, so its numbers depend on timing; draw from ctx.rng, or use "
            f"{instead}"
        )
    if stopped is not None:
        raise stopped


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
