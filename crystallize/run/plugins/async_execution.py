"""Asynchronous execution: units of work that wait at the same time, on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from crystallize.context.record import RunRecord
from crystallize.declare.awaiting import run_to_completion
from crystallize.errors import DefinitionError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins.execution import Execution, generators_shared, progress
from crystallize.run.units import Unit


class _Ended(Exception):
    """End of a run by something that is no failure of a unit; the other units are cancelled."""


class AsyncExecution(Execution):
    """Execution of units concurrently on one event loop, for ``async def`` steps and data sources that wait.

    While one unit awaits something, others go on; code that does not await (a plain step) holds up all of
    them. Inside a running event loop, ``await experiment.arun()`` uses that loop. Metrics are those of
    `SerialExecution`, bit for bit, for all that draws from ``ctx.rng``. Concurrent units share the global
    generators (`random`, `numpy.random`) like threads do; a run in which something draws from these warns. A
    run that is cancelled cancels its units, and waits until their steps are torn down.

    Parameters
    ----------
    max_concurrency : int
        How many units may be under way at the same time, >= 1.

    Raises
    ------
    DefinitionError
        If it is none of these numbers.

    Examples
    --------
    >>> import asyncio
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... async def ask(data, ctx):
    ...     await asyncio.sleep(0)  # a request
    ...     return data, {"reply": ctx.replicate}
    >>> Experiment(0, [ask], [AsyncExecution(2)], replicates=4).run().metrics.baseline["reply"]
    [0, 1, 2, 3]
    """

    def __init__(self, max_concurrency: int = 10) -> None:
        if type(max_concurrency) is not int or max_concurrency < 1:
            raise DefinitionError(f"max_concurrency is {max_concurrency!r}; give an integer >= 1")
        self.max_concurrency = max_concurrency

    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records, when all are done on an event loop of their own."""
        yield from run_to_completion(self.aexecute(plan, units))

    async def aexecute(self, plan: RunPlan, units: Sequence[Unit]) -> list[RunRecord]:
        """Return the records in the order in which units are done on the running event loop."""
        at_once = min(self.max_concurrency, len(units))
        together = at_once > 1 and plan.is_async
        sharing = generators_shared(plan, "asyncio", "AsyncExecution(1)") if together else nullcontext(plan)
        records: list[RunRecord] = []
        ended: list[BaseException] = []
        with sharing as used:
            todo = iter(progress(units, len(units), plan.name))

            async def work() -> None:
                try:
                    for unit in todo:
                        records.append(await used.arun(unit))
                        await asyncio.sleep(0)  # whatever else the loop has to do goes on between units
                except (asyncio.CancelledError, GeneratorExit):
                    raise
                except BaseException as fault:  # an interrupt must not tear the loop from under other units
                    ended.append(fault)
                    raise _Ended from None

            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(at_once):
                        tasks.create_task(work())
            except ExceptionGroup:
                raise ended[0] from None
        return records
