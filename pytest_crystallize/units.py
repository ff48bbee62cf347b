"""Running the units of work of an experiment inside pytest, and pulling the ones that a verdict needs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from functools import cached_property
from typing import Any

import pytest

from crystallize import ConditionRuns, RunRecord
from crystallize.core.analysis import Analysis
from crystallize.core.interim import Interim
from crystallize.core.record import RunError
from crystallize.core.run import Unit, rotated
from crystallize.core.run_identity import Subject
from crystallize.core.seeding import global_state_restored
from crystallize.core.stored_runs import Judge
from crystallize.core.unread import unread_text
from pytest_crystallize.exchange import LOST, Key
from pytest_crystallize.record_cache import ExperimentCache, unwatched
from pytest_crystallize.repeats import Repeats
from pytest_crystallize.settled import SettledExperiment
from pytest_crystallize.sources import Records, SharedRecords, Source, UnitsHere
from pytest_crystallize.tracebacks import describe


class ExperimentRuns(SettledExperiment, ABC):
    """The units of one experiment (one parameter set of one function), and who runs them.

    Attributes
    ----------
    seeds_globals : bool
        Whether runs seed the global generators.
    """

    seeds_globals = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cache: ExperimentCache | None = None
        self.repeats = Repeats(self)
        self.first_open = 0
        self._complete: dict[str, ConditionRuns] = {}
        self._analysis: Analysis | None = None

    @abstractmethod
    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process, without claiming it."""

    @abstractmethod
    def run_alone(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process and let its exceptions through."""

    def pull(self, host: pytest.Item, *, seconds: float | None = None, at_least: int = 1) -> None:
        """Run every needed unit that nobody has claimed, and wait for the claimed ones.

        Parameters
        ----------
        host : pytest.Item
            The item in whose call phase this happens.
        seconds : float, optional
            Stop after that time, but not before `at_least` replicates were run here; wait for nobody.
        at_least : int
            Replicates to run here before stopping.
        """
        settings = self.settings
        settings.timer.belongs_to(host)
        heard = settings.late_errors.heard(self.id)
        with global_state_restored(), settings.output.of_units(self.id), heard:
            try:
                self._recall()
                settings.exchange.refresh()
                self._pull(host, seconds, at_least)
                self.repeats.settle(host, last=True, more=seconds is not None)
            finally:
                if self.cache is not None:
                    self.cache.flush()
        settings.timer.restart()

    def _pull(self, host: pytest.Item, seconds: float | None, at_least: int) -> None:
        started = time.perf_counter()
        done_here = 0
        while True:
            for units, waits in self.batches(wait=seconds is None or self.looks_again):
                done_here += self.take_in(SharedRecords(self, host, waits=waits).records(units))
                out_of_time = seconds is not None and time.perf_counter() - started > seconds
                if out_of_time and done_here >= at_least:
                    return
            if not self.advance():
                return

    def batches(self, *, wait: bool) -> Iterator[tuple[list[Unit], bool]]:
        """Yield what is missing up to the next look, a few replicates at a time, and whether to wait for it.

        At first nothing is waited for; if it is to, then for what others have claimed.
        """
        size, count = self.size, 0
        batch: list[Unit] = []
        for replicate in range(self.first_open, size):
            missing = self.missing(replicate)
            if missing:
                batch += missing
                count += 1
                if count == self.at_once:
                    yield batch, False
                    batch, count = [], 0
            elif replicate == self.first_open:
                self.first_open += 1
        if batch:
            yield batch, False
        for replicate in range(self.first_open, size) if wait else ():
            if missing := self.missing(replicate):
                yield missing, True

    def take_in(self, arriving: Records) -> int:
        """Conclude records as they arrive; return of how many replicates they were."""
        replicates = set()
        with closing(arriving):
            for record in arriving:
                self.conclude(record)
                replicates.add(record.replicate)
        return len(replicates)

    def source(self, host: pytest.Item) -> Source:
        """Return what runs units of replicates that this process has claimed."""
        return UnitsHere(self, host)

    # Looks.

    @cached_property
    def _interim(self) -> Interim:
        # What is to be a reference is run to its end.
        to_the_end = self.settings.options.save is not None
        return Interim(self.analysis_plan, self.references, to_the_end=to_the_end)

    @property
    def size(self) -> int:
        """Up to which replicate to run until the next look; in the end, how many were run."""
        return self._interim.size

    @property
    def looks_again(self) -> bool:
        """Whether another look may be to come, so that nobody may run ahead."""
        return self._interim.is_open

    def is_complete(self) -> bool:
        """Tell whether everything up to the next look is there."""
        while self.first_open < self.size and not self.missing(self.first_open):
            self.first_open += 1
        return self.first_open >= self.size

    def advance(self) -> bool:
        """Go on to the replicates of the next look; tell whether there is one to come."""
        if not (self.looks_again and self.is_complete()):
            return False
        claims = [(i.hypothesis, i.treatment or "") for i in self.selected if i.hypothesis is not None]
        known = (condition for condition in self.conditions if condition in self.needed)
        return self._interim.advance(self.runs(known), claims)

    @property
    def analysis(self) -> Analysis:
        """The verdicts on what is needed, made once where all runs are there."""
        arms = self.runs(condition for condition in self.conditions if condition in self.needed)
        known = self._analysis
        if known is None or any(known.runs[name] is not runs for name, runs in arms.items()):
            known = self._analysis = Analysis(self.analysis_plan, arms, self.references)
        return known

    def obtain(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Return the record of one unit: run it, or wait for whoever does."""
        exchange, key = self.settings.exchange, Key(self.id, *unit)
        self._recall()
        if not exchange.has(key):
            self.take_in(SharedRecords(self, host, waits=True).records([unit]))
        record = exchange.record(key)
        assert record is not None
        return record

    def missing(self, replicate: int) -> list[Unit]:
        """Return the units of a replicate that have to be run, in the order in which they are."""
        has, order = self.settings.exchange.has, rotated(self.conditions, replicate)
        return [Unit(replicate, c) for c in order if c in self.needed and not has(Key(self.id, replicate, c))]

    def run_again(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit whose record is there already."""
        return self.run_unit(unit, host)

    def ended_session(self, unit: Unit, error: BaseException) -> None:
        """Take in that a unit ended the session; other workers may wait for its record."""
        fault = RunError.from_exception(error, self.name)
        seed = self.stream.seed(unit.replicate)
        self.publish(unit, RunRecord(unit.condition, unit.replicate, seed, error=fault))
        self.settings.note(f"{self._place(*unit)} ended the session: {fault}")

    def leave_if_forked(self, unit: Unit) -> None:
        """End this process if a condition run that came back here began in another one."""
        forks = self.settings.forks
        if forks.is_child():
            forks.leave(self._place(*unit))

    def _place(self, replicate: int, condition: str) -> str:
        return f"replicate {replicate} of {condition!r} of {self.name}"

    def judged(self, record: RunRecord, node: pytest.Item) -> RunRecord:
        """Return the record of a unit, as a failure if it left errors in threads or finalizers."""
        judged = self.settings.late_errors.judged(record, lambda error, step: describe(error, step, node))
        if judged is not record:
            self.withdraw_steps()
        return judged

    # Stored runs.

    @property
    def cache(self) -> ExperimentCache | None:
        """The stored runs, if any are to be used or made."""
        if self._cache is None and self.settings.records is not None:
            self._cache = ExperimentCache(self, self.settings.records)
        return self._cache

    @abstractmethod
    def subject(self) -> Subject:
        """Return what the runs are made of.

        Raises
        ------
        FingerprintError
            If that can't be known.
        """

    def _recall(self) -> None:
        """Learn which runs are stored, before any is run."""
        if self.cache is not None:
            self.cache.recall()

    def watching(self, *, seeded: bool | None = None) -> AbstractContextManager[Judge]:
        """Watch one run; gives what its record is to be passed through.

        Parameters
        ----------
        seeded : bool, optional
            Whether it has the global generators for itself, and seeds them; if left out, as all runs do.
        """
        if self.cache is None:
            return unwatched()
        return self.cache.stored.watching(seeded=self.seeds_globals if seeded is None else seeded)

    def withdraw(self) -> None:
        """Have no later session use what this process has stored in this one."""
        if self._cache is not None:
            self._cache.withdraw()
        self.withdraw_steps()

    def withdraw_steps(self) -> None:
        """Have nobody use the results of steps that this process has stored in this session."""

    def conclude(self, record: RunRecord) -> None:
        """Have the record of a run that ended here stored, and publish it, unless that was done already."""
        exchange, cache, unit = self.settings.exchange, self.cache, Unit(record.replicate, record.condition)
        key = Key(self.id, *unit)
        if not exchange.has(key):
            self._write(exchange.publish, key, record if cache is None else cache.take(unit, record))

    def begin(self, unit: Unit, host: pytest.Item) -> RunRecord | None:
        """Note that a unit is about to be run; of one that ended a process, return the record instead."""
        exchange, key = self.settings.exchange, Key(self.id, *unit)
        if key in exchange.attempts:
            lost = self._lost(key, exchange.attempts[key])
            self.publish(unit, lost)
            return lost
        self.repeats.begin()
        self.prepare(unit, host)
        self._write(exchange.attempt, key)
        self.settings.timer.restart()
        return None

    def prepare(self, unit: Unit, host: pytest.Item) -> None:
        """Obtain what a unit depends on."""

    def publish(self, unit: Unit, record: RunRecord) -> None:
        """Have a record stand for a run, in all processes."""
        self._write(self.settings.exchange.publish, Key(self.id, *unit), record)

    def _write(self, write: Callable[..., None], *args: Any) -> None:
        try:
            write(*args)
        except OSError as error:
            self.settings.note(f"records could not be written for other processes to read: {error}")

    def _lost(self, key: Key, worker: str) -> RunRecord:
        message = f"process {worker!r} died while it ran this condition"
        error = RunError(LOST, message, self.name, f"{message}.\nIt is not run again.\n")
        return RunRecord(key.condition, key.replicate, self.stream.seed(key.replicate), error=error)

    def runs(self, conditions: Iterable[str]) -> dict[str, ConditionRuns]:
        """Return what is known of these conditions."""
        return {condition: self._runs_of(condition) for condition in conditions}

    def _runs_of(self, condition: str) -> ConditionRuns:
        """Return a condition's runs; those that are complete are put together once for all hypotheses."""
        known = self._complete.get(condition)
        if known is not None and len(known.records) == self.size:
            return known
        record = self.settings.exchange.record
        runs = ConditionRuns(condition, [record(Key(self.id, i, condition)) for i in range(self.size)])
        if None not in runs.records:
            self._complete[condition] = runs
        return runs

    @property
    def instance(self) -> Any:
        """The instance of the class that the function is defined in; None outside of classes."""
        return self.function.instance

    def unread(self, arms: Mapping[str, ConditionRuns]) -> list[str]:
        """Say which keys of which treatments nothing read in any run."""
        return [
            unread_text(treatment.name, key)
            for treatment in self.treatment_objects
            if treatment.name in arms
            for key in self.analysis_plan.keys.unread(arms[treatment.name])
        ]

    def finish(self) -> None:
        """Act at the end of the session."""
