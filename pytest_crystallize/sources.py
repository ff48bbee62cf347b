"""Sources of the records of one experiment in a session: what the processes share, and what runs units.

Each is a `crystallize.core.run.RecordSource`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

import pytest

from crystallize import RunRecord
from crystallize.core.awaiting import run_to_completion
from crystallize.core.plugins.execution import generators_shared
from crystallize.core.run import RunPlan, Unit
from pytest_crystallize.exchange import Key

if TYPE_CHECKING:
    from pytest_crystallize.factories import FactoryRuns
    from pytest_crystallize.units import ExperimentRuns

Records = Generator[RunRecord, None, None]


class Source(Protocol):
    """A `RecordSource` that yields nothing that is to be awaited."""

    def records(self, units: Sequence[Unit]) -> Records:
        """Yield the record of every unit."""


class SharedRecords:
    """Records that the processes of a session make together: each runs what no other has claimed.

    Parameters
    ----------
    runs : ExperimentRuns
        The experiment's; its `source` is what runs the units of replicates that this process has claimed.
    host : pytest.Item
        The item in whose call phase they are run.
    waits : bool
        Wait for replicates that others have claimed, and run what these leave; otherwise, leave them out.
    """

    def __init__(self, runs: ExperimentRuns, host: pytest.Item, *, waits: bool) -> None:
        self._runs = runs
        self._host = host
        self._waits = waits

    def records(self, units: Sequence[Unit]) -> Records:
        """Claim replicates, have run what is missing of them, and give them back."""
        settings, experiment = self._runs.settings, self._runs.id
        exchange = settings.exchange
        held: list[int] = []
        try:
            for replicate in dict.fromkeys([unit.replicate for unit in units]):
                if not exchange.acquire(experiment, replicate, wait=False):
                    if not self._waits:
                        continue
                    settings.timer.suspend()
                    exchange.acquire(experiment, replicate, wait=True)
                held.append(replicate)
            left = [u for u in units if u.replicate in held and not exchange.has(Key(experiment, *u))]
            if left:
                with closing(self._runs.source(self._host).records(left)) as records:
                    yield from records
        finally:
            for replicate in held:
                exchange.release(experiment, replicate)


class UnitsHere:
    """Units that this process runs, one after the other.

    Parameters
    ----------
    runs : ExperimentRuns
        The experiment's.
    host : pytest.Item
        The item in whose call phase they are run.
    """

    def __init__(self, runs: ExperimentRuns, host: pytest.Item) -> None:
        self._runs = runs
        self._host = host

    def records(self, units: Sequence[Unit]) -> Records:
        """Run the units, each between what brackets it."""
        runs, host = self._runs, self._host
        for unit in units:
            lost = runs.begin(unit, host)
            if lost is not None:
                yield lost
                continue
            with UnderWay(runs, unit), runs.watching() as judge:
                record = runs.run_unit(unit, host)
            record = judge(record)
            runs.repeats.took(record)
            yield record
            runs.repeats.settle(host)

    def again(self, unit: Unit) -> RunRecord:
        """Run a unit again, for nothing but to see what it gives."""
        runs, host = self._runs, self._host
        runs.prepare(unit, host)
        runs.settings.timer.restart()
        with UnderWay(runs, unit), runs.watching() as judge:
            record = runs.run_again(unit, host)
        return judge(record)


class UnitsTogether(UnitsHere):
    """Asynchronous units that this process runs at the same time, on one event loop."""

    _runs: FactoryRuns

    def records(self, units: Sequence[Unit]) -> Records:
        """Run the units; each record is concluded as it ends, since the process may end before the others."""
        runs, host = self._runs, self._host
        if len(units) < 2:
            yield from super().records(units)
            return
        begun: list[Unit] = []
        for unit in units:
            lost = runs.begin(unit, host)
            if lost is None:
                begun.append(unit)
            else:
                yield lost
        ended: list[RunRecord] = []
        with generators_shared(runs.plan, "pytest", "crystallize_max_concurrency = 1") as plan:
            run_to_completion(self._run(plan, begun, ended))
        yield from ended

    async def _run(self, plan: RunPlan, units: Sequence[Unit], ended: list[RunRecord]) -> None:
        seeded = plan.seed_globals is not None and len(units) == 1

        async def run(unit: Unit) -> None:
            runs = self._runs
            with UnderWay(runs, unit), runs.watching(seeded=seeded) as judge:
                record = await runs.await_unit(plan, unit, self._host)
            record = judge(runs.settings.output.with_sections(record))
            runs.repeats.took(record)
            runs.conclude(record)
            ended.append(record)

        try:
            async with asyncio.TaskGroup() as tasks:
                for unit in units:
                    tasks.create_task(run(unit))
        except BaseExceptionGroup as group:  # what ends a session comes through as it was raised
            raise group.exceptions[0] from None


class UnderWay:
    """A run that is under way; a class, since there are as many as runs.

    What comes back from it twice, or ends the session, is told.
    """

    __slots__ = ("_key", "_runs", "_unit")

    def __init__(self, runs: ExperimentRuns, unit: Unit) -> None:
        self._runs = runs
        self._unit = unit
        self._key = Key(runs.id, *unit)

    def __enter__(self) -> None:
        self._runs.settings.late_errors.begin(self._key)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, pytest.exit.Exception):
            self._runs.ended_session(self._unit, error)
        self._runs.leave_if_forked(self._unit)
        self._runs.settings.late_errors.end(self._key)
