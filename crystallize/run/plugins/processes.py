"""Units in processes, some of which may die."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Container, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from multiprocessing.process import BaseProcess
from typing import Any, ClassVar, Final

from crystallize.context.record import RunError, RunRecord
from crystallize.errors import EngineError, NotPicklableError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins.blocks import Finished, blocks
from crystallize.run.plugins.pickling import pickled
from crystallize.run.step_cache import CacheReport
from crystallize.run.units import Unit, unit_of

_MOST_PROCESSES: Final = 61  # Windows can wait for no more
_UNGUARDED: Final = 78
"""Exit code of a process that was about to run the experiment anew instead of its units."""


def run_in_processes(plan: RunPlan, units: Sequence[Unit], workers: int) -> Generator[RunRecord, None, None]:
    """Yield a record of every unit: an error of one that killed its process, and the others'.

    Raises
    ------
    EngineError
        If the processes run the script that started them from its beginning.
    NotPicklableError
        If the plan can't be sent to processes.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise SystemExit(_UNGUARDED)
    payload = pickled(plan, plan, advice="or use executor_type='thread'")
    left = list(units)
    while left:
        pool = _Pool(plan, payload, left, workers)
        done: set[Unit] = set()
        with closing(pool.records()) as records:
            for record in records:
                done.add(unit_of(record))
                yield record
        pool.check_began(done)
        killers = pool.killers(done)
        for unit, message in killers.items():
            error = RunError("ProcessDied", message, "process", f"ProcessDied: {message}\n")
            yield plan.failed(unit, error)
        left = [unit for unit in left if unit not in done and unit not in killers]


_Block = tuple[list[RunRecord], CacheReport | None]
"""What a process has made of a block of units: records, and what became of steps that are cached."""


class _Pool:
    """A pool of processes that can say, if one of them dies, which unit it was running.

    Parameters
    ----------
    plan : RunPlan
        What is told what the processes report.
    payload : bytes
        The pickled plan.
    units : sequence of Unit
        What is to be run.
    workers : int
        Number of processes.
    """

    def __init__(self, plan: RunPlan, payload: bytes, units: Sequence[Unit], workers: int) -> None:
        self._plan = plan
        self._units = units
        self._workers = min(workers, _MOST_PROCESSES)
        self._running = multiprocessing.RawArray("i", len(units))  # per unit, the process that is running it
        self._arguments = (payload, self._running)
        self._processes: dict[int | None, BaseProcess] = {}
        self._others = set(multiprocessing.active_children())

    def records(self) -> Generator[RunRecord, None, None]:
        """Yield the records of all blocks that were finished before a process died."""
        finished = Finished[_Block]()
        with ProcessPoolExecutor(
            self._workers, initializer=_Worker.receive, initargs=self._arguments
        ) as pool:
            try:
                start = 0
                for block in blocks(self._units, self._workers):
                    with suppress(BrokenProcessPool):
                        finished.watch(pool.submit(_Worker.run, start, block))
                    start += len(block)
                    self._note_processes()
                for future in finished:
                    self._note_processes()
                    with suppress(BrokenProcessPool):
                        yield from self._taken(future.result())
            except BaseException:  # Ctrl-C above all: what still runs is wanted no more
                self._note_processes()
                for process in self._processes.values():
                    process.terminate()
                raise

    def _taken(self, block: _Block) -> list[RunRecord]:
        """Take in what became of cached steps in a block, and return its records."""
        records, report = block
        if self._plan.step_cache is not None and report is not None:
            self._plan.step_cache.take(report)
        return records

    def check_began(self, done: Container[Unit]) -> None:
        """Raise `EngineError` if processes ended before they could run a unit, as each new one would."""
        codes = {process.exitcode for process in self._processes.values()}
        method = multiprocessing.get_start_method()
        script = getattr(sys.modules["__main__"], "__file__", "the script")
        guard = "call run() under if __name__ == '__main__':, or use executor_type='thread'"
        if _UNGUARDED in codes:
            raise EngineError(
                f"{script} starts processes while it is imported, and each of them imports it again "
                f"(start method {method!r}); {guard}"
            )
        failed = [code for code in codes if code is not None and code > 0]
        if failed and method != "fork" and not any(self._running) and not any(u in done for u in self._units):
            raise EngineError(
                f"processes ended with exit code {failed[0]} before they ran anything: each imports {script} "
                f"again (start method {method!r}), which fails, or starts processes itself; have it in a "
                f"file, and {guard}"
            )

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


class _Worker:
    """State of a worker process."""

    payload: ClassVar[bytes]
    running: ClassVar[Any]
    plan: ClassVar[RunPlan | None] = None

    @classmethod
    def receive(cls, payload: bytes, running: Any) -> None:
        cls.payload, cls.running = payload, running

    @classmethod
    def run(cls, start: int, block: Sequence[Unit]) -> _Block:
        plan = cls.plan = cls.plan or cls.unpickled()
        records = []
        for index, unit in enumerate(block, start):
            cls.running[index] = os.getpid()
            records.append(plan.run(unit))
            cls.running[index] = 0
        return list(plan.finished(records)), None if plan.step_cache is None else plan.step_cache.report()

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
