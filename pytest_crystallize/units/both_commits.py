"""Units of two commits: each is run here and at the other commit, with few others between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final

import pytest

from crystallize import RunRecord
from crystallize.seam import RunError, Unit
from pytest_crystallize.records.logs import Key
from pytest_crystallize.units.sources import OneByOne, Records, Source
from pytest_crystallize.units.unit_runs import UnitRuns

if TYPE_CHECKING:
    from pytest_crystallize.against.side import OtherSide

_GROUP: Final = 0.05
"""Seconds that the runs of a group take at most on both sides, if they are several."""
_MOST: Final = 16
"""Runs of a group on one side, at most."""


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
            left = iter(units)
            while group := list(islice(left, self._most())):
                if self._other.by_blocks:
                    yield from map(self._apart, group)
                    continue
                began = time.perf_counter()
                yield from self._beside(group, here)
                self._other.each = (time.perf_counter() - began) / len(group)

    def _most(self) -> int:
        """Return how many units to run on one side before the other has its turn.

        To go over costs a fraction of a millisecond, which is much for short runs only.
        """
        each = self._other.each
        if each is None or self._runs.exclusive or self._runs.awaits:
            return 1
        return max(1, int(_GROUP / max(each, _GROUP / _MOST)))

    def _beside(self, group: Sequence[Unit], source: OneByOne) -> Records:
        """Run units here and there, and yield what they gave here."""
        there_first = not self._other.is_open and self._other.comes_first(group)
        if there_first:
            self._there(group)
        for unit in group:
            record = self._here(unit, source)
            if self._other.is_open:
                self._other.settle(record)
                if self._other.by_blocks:
                    self._runs.forget(unit)  # what was measured in this process is compared with nothing
                    record = self._apart(unit)
            yield record
        if not there_first and not self._other.by_blocks:
            self._there(group)

    def _here(self, unit: Unit, source: OneByOne) -> RunRecord:
        """Return the record of a unit here, which may be there already."""
        return self._runs.settings.exchange.record(Key(self._runs.id, *unit)) or source.record(unit)

    def _there(self, group: Sequence[Unit]) -> None:
        """Have those units be run at the other commit that were not yet."""
        timer = self._runs.settings.timer

        def take(unit: Unit, made: RunRecord | RunError) -> None:
            self._publish(unit, made, there=True)
            timer.restart()  # each has the whole time

        if units := [unit for unit in group if self._other.is_needed(unit)]:
            timer.restart()
            with self._runs.settings.turns.taken(alone=self._runs.exclusive):
                self._other.run(units, take)

    def _apart(self, unit: Unit) -> RunRecord:
        """Have the pair of processes of its block run a unit, and return the record of this side."""
        first = self._other.comes_first([unit])
        made: dict[bool, RunRecord] = {}
        with self._runs.settings.turns.taken(alone=True):
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
