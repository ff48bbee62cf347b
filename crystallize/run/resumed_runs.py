"""Runs without pytest that take up what earlier ones have stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crystallize.context.context import LOGGER
from crystallize.context.record import RunRecord
from crystallize.declare.awaiting import outside_loop
from crystallize.declare.dependencies import Caching
from crystallize.identity.environment import environment
from crystallize.run.execute import RunPlan
from crystallize.run.plan_subject import subject_of
from crystallize.run.plugins import BasePlugin, SerialExecution
from crystallize.run.plugins.execution import Executed, ended
from crystallize.run.repeatability import Repeatability
from crystallize.run.stored_runs import StoredRuns
from crystallize.run.units import Arriving, Unit, unit_of
from crystallize.run.verification import VERIFIED, compared_with_stored
from crystallize.run.watched_plan import WatchedPlan
from crystallize.run.watched_runs import WatchedRuns
from crystallize.storage.place import cache_directory, open_store
from crystallize.storage.store import Store
from crystallize.text.warned import warn


class ResumedRuns(StoredRuns):
    """The stored runs of an experiment, and the ones that an execution makes and stores."""

    def __init__(self, runs: WatchedRuns, store: Store) -> None:
        super().__init__(runs, store)
        self._hits: dict[Unit, RunRecord] = {}
        self._repeats: Repeatability | None = None

    def begin(self, others: Executed, conditions: Sequence[str], replicates: int, hypotheses: Any) -> None:
        """Read what is stored of the run that is to come; others run what is not."""
        self._hits, self.verified = self.recall(conditions, replicates, hypotheses, VERIFIED)
        self._watched = WatchedPlan.of(others.plan, self)
        self._others = dataclasses.replace(others, plan=self._watched)
        self._repeats = self.runs.repeatability()

    def left(self, units: Iterable[Unit]) -> list[Unit]:
        """Return the units that have to be run."""
        return [unit for unit in units if unit not in self._hits or unit in self.verified]

    def hits(self, units: Iterable[Unit]) -> Iterator[RunRecord]:
        """Yield the records of the others."""
        return (self._hits[u] for u in units if u in self._hits and u not in self.verified)

    def settle(self, record: RunRecord) -> RunRecord:
        """Take in what was run, and compare it with what is stored of it."""
        unit = unit_of(record)
        if unit in self.verified:
            return compared_with_stored(self._hits[unit], record)
        self.add(record)
        if self._repeats is not None:
            self._repeats.took(record)
        return record

    def _begin_repeats(self, *, held: bool) -> None:
        if self._repeats is not None:
            self._repeats.begin()
            self.is_held = held

    def _check_repeats(self) -> Iterator[Awaitable[object]]:
        """Make runs again in this process, before the others are stored or for good."""
        if self._repeats is None:
            return
        if not self._watched.is_async:
            self.release(self._repeats.check(self._again))
        elif self._others.awaits:
            for record in self._repeats.to_repeat(memos={}):
                yield self._compare(record)
            self.release(self._repeats.objection())

    def _again(self, unit: Unit) -> RunRecord:
        with outside_loop():
            return self._watched.run_again(unit)

    async def _compare(self, record: RunRecord) -> None:
        """Make a run again on the running event loop."""
        assert self._repeats is not None
        with self.runs.watching(seeded=False) as judge:
            again = await self._watched.plain().arun(unit_of(record))
        self._repeats.compare(record, judge(again))

    def records(self, units: Sequence[Unit]) -> Arriving:
        """Yield the records of units: stored ones, then those that are run."""
        yield from self.hits(units)
        try:
            if left := self.left(units):
                yield from self._run(left)
        finally:
            self.flush()

    def _run(self, units: Sequence[Unit]) -> Arriving:
        """Yield the records of units that are run, some of them again before they are stored."""
        in_turn = type(self._others.execution) is SerialExecution
        self._begin_repeats(held=in_turn or self._others.awaits)
        with ended(self._others.records(units)) as arriving:
            for record in arriving:
                yield self.settle(record) if isinstance(record, RunRecord) else record
                if in_turn and self.is_due and self._repeats and self._repeats.is_ready:
                    yield from self._check_repeats()
        yield from self._check_repeats()

    def conclude(self, records: Iterable[RunRecord]) -> None:
        """Warn if runs could not be stored, and keep the cache within its size.

        Parameters
        ----------
        records : iterable of RunRecord
            What was run; of those that differ in values alone, one is enough.
        """
        impure = next((record.impure for record in records if record.impure is not None), None)
        reason = self.runs.refusal or self.changed or self.unproven or impure or self.fault
        if reason is not None:
            warn(f"{self.runs.name} can't be resumed, since its runs are not stored: {reason}")
        if self.measured_on:
            LOGGER.info("%s: values were measured on %s", self.runs.name, " and ".join(self.measured_on))
        self.tidy()


def resumed(
    label: str,
    plan: RunPlan,
    plugins: Iterable[BasePlugin],
    caching: Caching,
    *,
    ignored: Iterable[Path],
) -> ResumedRuns:
    """Return the stored runs of an experiment that is run without pytest.

    Parameters
    ----------
    label : str
        What messages call the experiment.
    plan, plugins, caching
        Of the experiment; the plugins are those that were given to it.
    ignored : iterable of Path
        Where runs may write.
    """
    directory = cache_directory()
    runs = WatchedRuns(
        label,
        lambda: subject_of(plan, plugins, caching, root=Path.cwd()),
        environment(),
        ignored=[*ignored, directory],
    )
    return ResumedRuns(runs, open_store(directory / "records"))
