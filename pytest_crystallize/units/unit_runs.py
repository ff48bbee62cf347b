"""The units of one experiment, one by one: what runs them in this process, and what becomes of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from crystallize import RunRecord
from crystallize.errors import EngineError
from crystallize.seam import METER, NOT_BEGUN, Judge, RunError, StoredRuns, Subject, Unit, unit_of
from pytest_crystallize.naming.tracebacks import describe
from pytest_crystallize.records.exchange import LOST
from pytest_crystallize.records.logs import Key
from pytest_crystallize.units.experiment_cache import ExperimentCache
from pytest_crystallize.units.repeats import Repeats
from pytest_crystallize.units.settled import SettledExperiment
from pytest_crystallize.units.spending import Spending


class UnitRuns(SettledExperiment, ABC):
    """Runner of single units of an experiment: it watches them, stores their records and makes these known.

    Attributes
    ----------
    seeds_globals : bool
        Whether runs seed the global generators.
    """

    seeds_globals = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cache: ExperimentCache | None = None
        budgets = {self.id: self.budget, "the session": self.settings.options.budget}
        self._spending = [
            Spending(budget, self.settings.exchange, name) for name, budget in budgets.items() if budget
        ]
        self.repeats = Repeats(self, self.subject, self._stored)

    @abstractmethod
    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process, without claiming it."""

    @abstractmethod
    def run_alone(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process and let its exceptions through."""

    def run_again(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit whose record is there already."""
        return self.run_unit(unit, host)

    def ended_session(self, unit: Unit, error: BaseException) -> None:
        """Take in that a unit ended the session; other workers may wait for its record."""
        fault = RunError.from_exception(error, self.name)
        self.publish(unit, self.failed(unit, fault))
        self.settings.note(f"{self._place(*unit)} ended the session: {fault}")

    def leave_if_forked(self, unit: Unit) -> None:
        """End this process if a condition run that came back here began in another one."""
        forks = self.settings.forks
        if forks.is_child():
            forks.leave(self._place(*unit))

    def _place(self, replicate: int, condition: str) -> str:
        return f"{self.stream.label(replicate)} of {condition!r} of {self.name}"

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
            self._cache = ExperimentCache(
                self, self.settings.records, subject=self.subject, publish=self.publish
            )
        return self._cache

    @abstractmethod
    def subject(self) -> Subject:
        """Return what the runs are made of.

        Raises
        ------
        FingerprintError
            If that can't be known.
        """

    def _stored(self) -> StoredRuns | None:
        return None if self.cache is None else self.cache.stored

    def watching(self, *, seeded: bool | None = None) -> AbstractContextManager[Judge]:
        """Watch one run; gives what its record is to be passed through.

        Parameters
        ----------
        seeded : bool, optional
            Whether it has the global generators for itself, and seeds them; if left out, as all runs do.
        """
        if self.cache is None:
            return nullcontext(_unchanged)
        return self.cache.stored.runs.watching(seeded=self.seeds_globals if seeded is None else seeded)

    def withdraw(self) -> None:
        """Have no later session use what this process has stored in this one."""
        if self._cache is not None:
            self._cache.withdraw()
        self.withdraw_steps()

    def withdraw_steps(self) -> None:
        """Have nobody use the results of steps that this process has stored in this session."""

    def close(self) -> None:
        """Let go of what is known of runs: behind the session, all that is alive is looked at for garbage."""
        self._cache = None
        self.repeats = Repeats(self, self.subject, self._stored)

    def conclude(self, record: RunRecord) -> None:
        """Have the record of a run that ended here stored, and publish it, unless that was done already."""
        exchange, cache, unit = self.settings.exchange, self.cache, unit_of(record)
        key = Key(self.id, *unit)
        if not exchange.has(key):
            if self._spending and (cache is None or not cache.is_verified(unit)):
                for spending in self._spending:
                    if (untold := spending.took(record)) is not None:
                        self.settings.note(untold)
            self.write(exchange.publish, key, record if cache is None else cache.take(unit, record))
        self.write(exchange.end, key)

    def begin(self, unit: Unit, host: pytest.Item) -> RunRecord | None:
        """Note that a unit is about to be run; of one that ended a process, return the record instead."""
        exchange, key = self.settings.exchange, Key(self.id, *unit)
        if (worker := exchange.begun_by(key)) is not None:
            lost = self._lost(unit, worker)
            self.publish(unit, lost)
            return lost
        if self._spending and (spent := self._spent(unit)) is not None:
            return spent
        self.repeats.begin()
        self.prepare(unit, host)
        self.write(exchange.begin, key)
        self.settings.timer.restart()
        return None

    def _spent(self, unit: Unit) -> RunRecord | None:
        """Return the record of a unit that is not begun; None if there is something left of each budget."""
        METER.set(self._called)
        why = next((why for spending in self._spending if (why := spending.why_spent())), None)
        if why is None:
            return None
        record = self.failed(unit, RunError(NOT_BEGUN, why, self.name, f"{NOT_BEGUN}: {why}"))
        self.publish(unit, record)
        return record

    def check_budget(self) -> None:
        """Raise `EngineError` if nobody could hold to a budget."""
        if self._spending and self.on_cluster:
            raise EngineError(
                f"{self.name} has a budget, and is run on a cluster, which does not ask for it: run it "
                "here, or leave the budget out"
            )

    def end_spending(self) -> None:
        """Leave what is called from now on to others' budgets."""
        if self._spending:
            METER.set(None)

    def _called(self, made: int) -> None:
        for spending in self._spending:
            spending.called(made)

    def is_there(self, unit: Unit) -> bool:
        """Return whether nothing of a unit is left to be run, here or at another commit."""
        if not self.settings.exchange.has(Key(self.id, *unit)):
            return False
        return self.other_side is None or not self.other_side.is_needed(unit)

    def forget(self, unit: Unit) -> None:
        """Take a run for none; another one of the unit is to count."""
        self.write(self.settings.exchange.end, Key(self.id, *unit))

    def prepare(self, unit: Unit, host: pytest.Item) -> None:
        """Obtain what a unit depends on."""

    def publish(self, unit: Unit, record: RunRecord) -> None:
        """Have a record stand for a run, in all processes."""
        self.write(self.settings.exchange.publish, Key(self.id, *unit), record)

    def write(self, write: Callable[..., None], *args: Any) -> None:
        """Have something written for other processes, and say so if that fails."""
        try:
            write(*args)
        except OSError as error:
            self.settings.note(f"records could not be written for other processes to read: {error}")

    def _lost(self, unit: Unit, worker: str) -> RunRecord:
        message = f"process {worker!r} died while it ran this condition"
        error = RunError(LOST, message, self.name, f"{message}.\nIt is not run again.\n")
        return self.failed(unit, error)

    def failed(self, unit: Unit, error: RunError) -> RunRecord:
        """Return the record of a unit that was ended from outside, or not begun."""
        return RunRecord(unit.condition, unit.replicate, self.stream.seed(unit.replicate), error=error)

    @property
    def instance(self) -> Any:
        """The instance of the class that the function is defined in; None outside of classes."""
        return self.function.instance


def _unchanged(record: RunRecord) -> RunRecord:
    return record


def watching_set_up(
    experiments: Iterable[UnitRuns], definition: Any
) -> Iterator[AbstractContextManager[object]]:
    """Yield what watches the set-up of a fixture, for each experiment that depends on it."""
    for runs in experiments:
        if runs.cache is not None and definition in runs.fixture_definitions:
            yield runs.cache.stored.runs.watching_set_up()
