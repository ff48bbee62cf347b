"""Units of two commits: each is run here and at the other commit, one directly after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from crystallize import RunRecord
from crystallize.seam import RunError, Unit
from pytest_crystallize.records.logs import Key
from pytest_crystallize.units.sources import OneByOne, Records, Source
from pytest_crystallize.units.unit_runs import UnitRuns

if TYPE_CHECKING:
    from pytest_crystallize.against.side import OtherSide


class BothCommits:
    """Units that are run at both commits, whose records count only if both are there.

    Parameters
    ----------
    runs : UnitRuns
        The experiment's, here.
    other : OtherSide
        The same at the other commit.
    source : callable
        Returns what runs units here.
    host : pytest.Item
        The item in whose call phase they are run.
    """

    def __init__(
        self, runs: UnitRuns, other: OtherSide, source: Callable[[], Source], host: pytest.Item
    ) -> None:
        self._runs = runs
        self._other = other
        self._source = source
        self._host = host

    def records(self, units: Iterable[Unit]) -> Records:
        """Run each unit on the sides where it is missing; yield what it gave here."""
        with closing(OneByOne(self._runs, self._source)) as here:
            for unit in units:
                yield self._by_blocks(unit) or self._beside(unit, here)

    def _beside(self, unit: Unit, source: OneByOne) -> RunRecord:
        """Run a unit here and there, and return the record of what it gave here."""
        there_first = not self._other.is_open and self._other.comes_first(unit)
        if there_first:
            self._there(unit)
        record = self._here(unit, source)
        if self._other.is_open:
            self._other.settle(record)
        if not self._other.by_blocks:
            if not there_first:
                self._there(unit)
            return record
        self._runs.forget(unit)  # what was measured in this process is compared with nothing
        return self._by_blocks(unit) or record

    def _by_blocks(self, unit: Unit) -> RunRecord | None:
        """Have the pair of processes of its block run a unit, if what is compared was measured."""
        if not self._other.by_blocks:
            return None
        with self._runs.settings.turns.taken(alone=True):
            return self._apart(unit)

    def _here(self, unit: Unit, source: OneByOne) -> RunRecord:
        """Return the record of a unit here, which may be there already."""
        return self._runs.settings.exchange.record(Key(self._runs.id, *unit)) or source.record(unit)

    def _there(self, unit: Unit) -> None:
        """Have a unit be run at the other commit, if it was not yet."""
        if self._other.is_needed(unit):
            self._runs.settings.timer.restart()
            with self._runs.settings.turns.taken(alone=self._runs.exclusive):
                made = self._other.run(unit)
            self._publish(unit, made, there=True)

    def _apart(self, unit: Unit) -> RunRecord:
        """Have both sides be run by processes of their own, and return the record of this one."""
        first = self._other.comes_first(unit)
        made: dict[bool, RunRecord] = {}
        for there in (first, not first):
            self._runs.settings.timer.restart()
            made[there] = self._publish(unit, self._other.run_apart(unit, there=there), there=there)
        return made[False]

    def _publish(self, unit: Unit, made: RunRecord | RunError, *, there: bool) -> RunRecord:
        runs = self._runs
        record = runs.failed(unit, made) if isinstance(made, RunError) else made
        key = self._other.key(unit) if there else Key(runs.id, *unit)
        if not there or self._other.is_needed(unit):
            runs.write(runs.settings.exchange.publish, key, record)
        return record
