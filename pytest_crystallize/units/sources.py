"""Sources of the records of one experiment in a session: what the processes share, and what runs units.

Each is a `crystallize.run.units.RecordSource`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Protocol

import pytest

from crystallize import RunRecord
from crystallize.seam import Unit
from pytest_crystallize.records.logs import Key
from pytest_crystallize.units.unit_runs import UnitRuns

Records = Generator[RunRecord, None, None]


class Source(Protocol):
    """A `RecordSource` that yields nothing that is to be awaited, and may ask for units as it goes on."""

    def records(self, units: Iterable[Unit]) -> Records:
        """Yield the record of every unit."""


class SharedRecords:
    """Records that the processes of a session make together: each runs what no other has claimed.

    Parameters
    ----------
    runs : UnitRuns
        The experiment's.
    source : callable
        Returns what runs the units of replicates that this process has claimed, if there are any.
    waits : bool
        Wait for replicates that others have claimed, and run what these leave; otherwise, leave them out.
    """

    def __init__(self, runs: UnitRuns, source: Callable[[], Source], *, waits: bool) -> None:
        self._runs = runs
        self._source = source
        self._waits = waits

    def records(self, units: Sequence[Unit]) -> Records:
        """Claim replicates, have run what is missing of them, and give them back."""
        runs, settings, experiment = self._runs, self._runs.settings, self._runs.id
        exchange = settings.exchange
        held: set[int] = set()
        try:
            for replicate in dict.fromkeys([unit.replicate for unit in units]):
                if not exchange.acquire(experiment, replicate, wait=False):
                    if not self._waits:
                        continue
                    settings.timer.suspend()
                    exchange.acquire(experiment, replicate, wait=True)
                held.add(replicate)
            left = [u for u in units if u.replicate in held and not runs.is_there(u)]
            if left:
                with closing(self._source().records(left)) as records:
                    yield from records
        finally:
            for replicate in held:
                self._runs.write(exchange.release, experiment, range(replicate, replicate + 1))


class UnitsHere:
    """Units that this process runs, one after the other.

    Parameters
    ----------
    runs : UnitRuns
        The experiment's.
    host : pytest.Item
        The item in whose call phase they are run.
    """

    def __init__(self, runs: UnitRuns, host: pytest.Item) -> None:
        self._runs = runs
        self._host = host
        self._run_unit = runs.settings.turns.each(runs.run_unit, alone=runs.exclusive)
        self._run_again = runs.settings.turns.each(runs.run_again, alone=runs.exclusive)

    def records(self, units: Iterable[Unit]) -> Records:
        """Run the units, each between what brackets it."""
        runs, host = self._runs, self._host
        for unit in units:
            lost = runs.begin(unit, host)
            if lost is not None:
                yield lost
                continue
            with UnderWay(runs, unit), runs.watching() as judge:
                record = self._run_unit(unit, host)
            record = judge(record)
            runs.repeats.took(record)
            yield record
            runs.repeats.settle_due(self.again)

    def again(self, unit: Unit) -> RunRecord:
        """Run a unit again, for nothing but to see what it gives."""
        runs, host = self._runs, self._host
        runs.prepare(unit, host)
        runs.settings.timer.restart()
        with UnderWay(runs, unit), runs.watching() as judge:
            record = self._run_again(unit, host)
        return judge(record)


class OneByOne:
    """Records of units that are asked for one at a time, from one source as far as that is possible.

    Parameters
    ----------
    runs : UnitRuns
        The experiment's.
    source : callable
        Returns what runs the units.
    """

    def __init__(self, runs: UnitRuns, source: Callable[[], Source]) -> None:
        self._awaits = runs.awaits
        self._source = source
        self._asked: deque[Unit] = deque()
        self._records: Records | None = None

    def record(self, unit: Unit) -> RunRecord:
        """Have a unit be run, and return its record."""
        if self._awaits:  # such a source asks for the next unit before it has ended this one
            with closing(self._source().records([unit])) as records:
                (record,) = records
            return record
        if self._records is None:
            self._records = self._source().records(iter(self._asked.popleft, None))
        self._asked.append(unit)
        try:
            return next(self._records)
        except BaseException:
            self.close()  # what has raised yields nothing more
            raise

    def close(self) -> None:
        """Be done with the source; the next unit has another one."""
        if self._records is not None:
            self._records.close()
        self._records = None
        self._asked.clear()


class UnderWay:
    """A run that is under way; a class, since there are as many as runs.

    What comes back from it twice, or ends the session, is told.
    """

    __slots__ = ("_key", "_runs", "_unit")

    def __init__(self, runs: UnitRuns, unit: Unit) -> None:
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
