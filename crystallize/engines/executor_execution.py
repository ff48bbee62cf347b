"""Units of work on an executor of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from crystallize.context.record import RunRecord
from crystallize.errors import DefinitionError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins import Execution
from crystallize.run.plugins.execution import generators_shared, progress
from crystallize.run.units import Unit

_PER_WORKER: Final = 2  # blocks under way: one that runs, and one that waits


class ExecutorExecution(Execution):
    """Execution on any `concurrent.futures.Executor`; metrics are those of `SerialExecution`, bit for bit.

    The executor is the user's: it is neither made nor shut down here. A pool of loky, of mpi4py
    (``MPIPoolExecutor``), or one of the standard library will do; for Dask there is `DaskExecution`. The
    experiment is sent with every block, and unpacked once in each process: by pickle to pools of the standard
    library, to others by cloudpickle where that is installed. A process with other code, or other versions of
    what it uses, refuses to run units.

    Units are handed over in blocks of about a quarter of a second; no more of them wait than the workers need
    to stay busy. With early stopping the units behind a look are run ahead, and cancelled once every claim is
    decided; they count in no result. Artifacts are written by this process.

    In a `ThreadPoolExecutor`, units share the global generators, as under ``ParallelExecution``.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Where units run.
    max_pending : int, optional
        How many blocks may be under way, >= 1; by default two for each worker that the executor says it has,
        or for each core if it says nothing.

    Raises
    ------
    DefinitionError
        If an argument is none of these.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def draw(data, ctx):
    ...     return data, {"x": ctx.rng.normal()}
    >>> with ThreadPoolExecutor(2) as pool:
    ...     there = Experiment(0, [draw], [ExecutorExecution(pool)], replicates=4).run()
    >>> there.digest == Experiment(0, [draw], replicates=4).run().digest
    True
    """

    runs_ahead = True

    def __init__(self, executor: Executor, max_pending: int | None = None) -> None:
        if not isinstance(executor, Executor):
            hint = "; call it" if isinstance(executor, type) else ""
            raise DefinitionError(f"executor is {executor!r}; give a concurrent.futures.Executor{hint}")
        if max_pending is not None and (type(max_pending) is not int or max_pending < 1):
            raise DefinitionError(f"max_pending is {max_pending!r}; give a positive integer, or None")
        self.executor = executor
        self.max_pending = max_pending
        self.is_elsewhere = not isinstance(executor, ThreadPoolExecutor | ProcessPoolExecutor)

    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records in the order in which blocks of units are done.

        A unit whose future fails has failed with that error.

        Raises
        ------
        EngineError
            If the executor takes no work.
        NotPicklableError
            If a part of the experiment can't be sent to another process.
        """
        # Heavy: what it loads identifies code.
        from crystallize.engines.on_executor import ExecutorRun

        in_threads = isinstance(self.executor, ThreadPoolExecutor)
        sharing: AbstractContextManager[RunPlan] = (
            generators_shared(plan, "threads", "processes") if in_threads else nullcontext(plan)
        )
        with sharing as used:
            run = ExecutorRun(self.executor, used, units, slots=self._slots(), in_threads=in_threads)
            try:
                yield from progress(run.records(), len(units), plan.name)
            finally:
                run.cancel()

    def _slots(self) -> int:
        if self.max_pending is not None:
            return self.max_pending
        said = (getattr(self.executor, name, None) for name in ("_max_workers", "num_workers"))
        workers = next((n for n in said if isinstance(n, int) and n > 0), os.cpu_count() or 1)
        return _PER_WORKER * workers
