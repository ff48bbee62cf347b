"""Executions: ways to map the unit of work over the units of an experiment."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from abc import abstractmethod
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, ClassVar, Final, Literal, TypeVar

from crystallize.core.plugins.artifacts import ArtifactPlugin
from crystallize.core.plugins.base import BasePlugin
from crystallize.core.run import RunError, RunPlan, RunRecord, Unit
from crystallize.core.seeding import global_draws_detector, seed_globals
from crystallize.errors import CrystallizeWarning, DefinitionError, NotPicklableError

T = TypeVar("T")

_BLOCKS_PER_WORKER: Final = 16
_LARGEST_BLOCK: Final = 256
_MOST_PROCESSES: Final = 61  # Windows can wait for no more


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
        stopped = threading.Event()
        sharing = generators_shared(plan, "threads", "executor_type='process'")

        def run(block: Sequence[Unit]) -> list[RunRecord]:
            return [used.run(unit) for unit in block if not stopped.is_set()]

        with sharing as used, ThreadPoolExecutor(workers) as pool:
            try:
                finished = _Finished()
                for block in _blocks(units, workers):
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
                    plugin.reserved(plan.name)
        with closing(_through_crashes(plan, units, workers)) as records:
            yield from progress(records, len(units), plan.name)


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
    moved = global_draws_detector()
    yield plan
    if shared and moved():
        warnings.warn(
            f"{plan.name}: something drew from the global generators (random, numpy.random) under {under}, "
            "where units share them, so its numbers depend on timing; draw from ctx.rng, or use "
            f"{instead}",
            CrystallizeWarning,
            stacklevel=2,
        )


def _through_crashes(plan: RunPlan, units: Sequence[Unit], workers: int) -> Generator[RunRecord, None, None]:
    """Yield a record of every unit: an error of one that killed its process, and the others'."""
    payload = _pickled(plan)
    left = list(units)
    while left:
        pool = _Pool(payload, left, workers)
        done: set[Unit] = set()
        with closing(pool.records()) as records:
            for record in records:
                done.add(Unit(record.replicate, record.condition))
                yield record
        killers = pool.killers(done)
        for unit, message in killers.items():
            error = RunError("ProcessDied", message, "process", f"ProcessDied: {message}\n")
            yield RunRecord(unit.condition, unit.replicate, plan.stream.seed(unit.replicate), error=error)
        left = [unit for unit in left if unit not in done and unit not in killers]


class _Pool:
    """A pool of processes that can say, if one of them dies, which unit it was running.

    Parameters
    ----------
    payload : bytes
        The pickled plan.
    units : sequence of Unit
        What is to be run.
    workers : int
        Number of processes.
    """

    def __init__(self, payload: bytes, units: Sequence[Unit], workers: int) -> None:
        self._units = units
        self._workers = min(workers, _MOST_PROCESSES)
        self._running = multiprocessing.RawArray("i", len(units))  # per unit, the process that is running it
        self._arguments = (payload, self._running)
        self._processes: dict[int | None, BaseProcess] = {}
        self._others = set(multiprocessing.active_children())

    def records(self) -> Generator[RunRecord, None, None]:
        """Yield the records of all blocks that were finished before a process died."""
        finished = _Finished()
        with ProcessPoolExecutor(
            self._workers, initializer=_Worker.receive, initargs=self._arguments
        ) as pool:
            try:
                start = 0
                for block in _blocks(self._units, self._workers):
                    with suppress(BrokenProcessPool):
                        finished.watch(pool.submit(_Worker.run, start, block))
                    start += len(block)
                    self._note_processes()
                for future in finished:
                    self._note_processes()
                    with suppress(BrokenProcessPool):
                        yield from future.result()
            except BaseException:  # Ctrl-C above all: what still runs is wanted no more
                self._note_processes()
                for process in self._processes.values():
                    process.terminate()
                raise

    def killers(self, done: Container[Unit]) -> dict[Unit, str]:
        """Return the units that killed their process, and how; none if every unit is done.

        When a process dies, the pool terminates the others: the units that these were running are innocent.
        If it can't be told which process died first, all that were running count as killers.
        """
        owners = {unit: pid for unit, pid in zip(self._units, self._running, strict=True) if pid}
        suspects = {unit: pid for unit, pid in owners.items() if unit not in done}
        found = {unit: pid for unit, pid in suspects.items() if self._exit_code(pid) != -signal.SIGTERM}
        if not found and not done:
            suspects = suspects or dict.fromkeys(self._units, 0)
        return {
            unit: f"the process that ran it died{self._cause(pid)}"
            for unit, pid in (found or suspects).items()
        }

    def _exit_code(self, pid: int) -> int | None:
        process = self._processes.get(pid)
        return None if process is None else process.exitcode

    def _cause(self, pid: int) -> str:
        code = self._exit_code(pid)
        if code is None:
            return ""
        if code >= 0:
            return f" with exit code {code}"
        return f" of signal {next((s.name for s in signal.Signals if s == -code), -code)}"

    def _note_processes(self) -> None:
        if len(self._processes) < self._workers:
            started = set(multiprocessing.active_children()) - self._others
            self._processes |= {process.pid: process for process in started}


class _Finished:
    """Futures in the order in which they finish.

    `concurrent.futures.as_completed` holds the lock of every future for a moment: an interrupt in that moment
    leaves the pool hanging.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Future[list[RunRecord]]] = SimpleQueue()
        self._waiting = 0

    def watch(self, future: Future[list[RunRecord]]) -> None:
        """Wait for one more."""
        self._waiting += 1
        future.add_done_callback(self._queue.put)

    def __iter__(self) -> Iterator[Future[list[RunRecord]]]:
        for _ in range(self._waiting):
            yield self._queue.get()


class _Worker:
    """What a worker process keeps."""

    payload: ClassVar[bytes]
    running: ClassVar[Any]
    plan: ClassVar[RunPlan | None] = None

    @classmethod
    def receive(cls, payload: bytes, running: Any) -> None:
        cls.payload, cls.running = payload, running

    @classmethod
    def run(cls, start: int, block: Sequence[Unit]) -> list[RunRecord]:
        plan = cls.plan = cls.plan or cls.unpickled()
        records = []
        for index, unit in enumerate(block, start):
            cls.running[index] = os.getpid()
            records.append(plan.run(unit))
            cls.running[index] = 0
        return records

    @classmethod
    def unpickled(cls) -> RunPlan:
        try:
            plan: RunPlan = pickle.loads(cls.payload)
        except Exception as fault:
            raise NotPicklableError(
                f"the experiment can't be rebuilt in another process: {type(fault).__name__}: {fault}; "
                "define its functions and classes in a module that the process can import, or use "
                "executor_type='thread'"
            ) from fault
        return plan


def _blocks(units: Sequence[Unit], workers: int) -> list[Sequence[Unit]]:
    size = min(_LARGEST_BLOCK, max(1, len(units) // (workers * _BLOCKS_PER_WORKER)))
    return [units[start : start + size] for start in range(0, len(units), size)]


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
                    f"{label} of experiment {plan.name!r} can't be sent to a process: {fault}; define "
                    "functions and classes at the top level of a module, or use executor_type='thread'"
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
