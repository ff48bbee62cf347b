"""The records of one condition by replicate: many are kept in columns, and made when looked at."""

from __future__ import annotations

import itertools
import math
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from crystallize.context.record import RunRecord
from crystallize.context.recording import MetricEntry
from crystallize.context.rows import Kind, Rows, alike, kind_of
from crystallize.context.trace import Scope

_MOST_WHOLE: Final = 1024
"""Records that are kept as they are, before it is worth while to have columns."""

_ROWS_PER_KIND: Final = 16  # at least, on average: few are alike where each has units of its own
_ROW: Final = (1 << 40) - 1
_NONE: Final = -1
_EXPECTED: Final = -2


class RecordTable:
    """The records of one condition, by replicate; the latest of each counts.

    What differs from run to run is kept in columns, so that a record of five metrics takes less than a
    hundred bytes. Records that failed, were skipped, or have artifacts or output are kept as they are.
    """

    __slots__ = (
        "_expected",
        "_in_order",
        "_kinds",
        "_left",
        "_limit",
        "_packed",
        "_rows",
        "_where",
        "_whole",
    )

    def __init__(self) -> None:
        self._whole: dict[int, RunRecord] = {}
        self._in_order = True
        self._kinds: dict[Kind, int] = {}
        self._rows: list[Rows] = []
        self._where = array("q")  # by replicate, of what rows and which of them; or one of the below
        self._expected: deque[Callable[[], object]] = deque()
        self._packed = 0
        self._left = 0  # records that were like too few others, when they were last looked at
        self._limit = _MOST_WHOLE

    def __len__(self) -> int:
        return len(self._whole) + self._packed

    def __contains__(self, replicate: int) -> bool:
        return replicate in self._whole or self._place(replicate) != _NONE

    def get(self, replicate: int) -> RunRecord | None:
        """Return the record of a replicate; None if there is none."""
        if self._place(replicate) == _EXPECTED:
            self.load()
        found = self._whole.get(replicate)
        if found is None and (place := self._place(replicate)) >= 0:
            return self._rows[place >> 40].record(place & _ROW)
        return found

    def put(self, record: RunRecord) -> None:
        """Have a record stand for its replicate."""
        if self._where:
            self._drop(record.replicate)
        self._whole[record.replicate] = record
        self._in_order = False
        if len(self._whole) > self._limit:
            self._pack()

    def put_unless_failed(self, record: RunRecord) -> None:
        """Have a record stand for its replicate, except where there is one that did not succeed."""
        found = self._whole.get(record.replicate)
        if found is None or (found.error is None and found.skipped is None):
            self.put(record)

    def take(self, record: RunRecord) -> None:
        """Have a record stand for its replicate, except where there is one already."""
        if not self._holds(record.replicate):
            self.put(record)

    def add(self, rows: Rows) -> None:
        """Have rows stand for their replicates, except where there is a record already."""
        known = self._rows_of(rows.kind)
        if known is None:
            for row, replicate in enumerate(rows.replicates):
                if not self._holds(replicate):
                    self._whole[replicate] = rows.record(row)
                    self._in_order = False
            return
        self._reach(max(rows.replicates, default=-1))
        where, whole = self._where, self._whole
        place = known << 40 | self._rows[known].extend(rows)
        for row, replicate in enumerate(rows.replicates, place):
            if where[replicate] >= 0 or replicate in whole:
                self._rows[known].replicates[row & _ROW] = -1
            else:
                where[replicate] = row
                self._packed += 1

    def expect(self, replicates: Iterable[int], load: Callable[[], object]) -> list[int]:
        """Know of records before they are read; return the replicates of which none was known.

        Parameters
        ----------
        replicates : iterable of int
            Those that there are records of.
        load : callable
            Has them be added, when one of them is looked at; those that are known already, for nothing.
        """
        new = [replicate for replicate in replicates if replicate not in self]
        self._reach(max(new, default=-1))
        for replicate in new:
            self._where[replicate] = _EXPECTED
        if new:
            self._expected.append(load)
        return new

    def load(self) -> None:
        """Have all records be read that are known of."""
        while self._expected:
            self._expected.popleft()()

    def settle(self) -> None:
        """Have columns hold all that they can, if there are some, but for a few that came since."""
        self.load()
        if self._rows and len(self._whole) > self._left + self._left // 4:
            self._pack()

    def _holds(self, replicate: int) -> bool:
        return replicate in self._whole or self._place(replicate) >= 0

    def _place(self, replicate: int) -> int:
        return self._where[replicate] if 0 <= replicate < len(self._where) else _NONE

    def _reach(self, replicate: int) -> None:
        missing = replicate + 1 - len(self._where)
        if missing > 0:
            self._where.extend([_NONE] * max(missing, len(self._where) // 8))

    def _drop(self, replicate: int) -> None:
        place = self._place(replicate)
        if place >= 0:
            self._rows[place >> 40].replicates[place & _ROW] = -1
            self._packed -= 1
        if place != _NONE:
            self._where[replicate] = _NONE

    def _pack(self) -> None:
        records = [record for replicate, record in self._whole.items() if replicate == record.replicate]
        if records:
            self._reach(max(record.replicate for record in records))
            if (found := alike(records)) is None or not self._moved(records, *found):
                for record in records:
                    if (one := kind_of(record)) is not None:
                        self._moved((record,), *one)
        self._left = len(self._whole)
        self._limit = _MOST_WHOLE + 2 * self._left

    def _moved(self, records: Sequence[RunRecord], kind: Kind, values: Iterable[Any]) -> bool:
        """Move records of one kind to columns; tell whether there are some for it."""
        number = self._rows_of(kind)
        if number is None:
            return False
        place = number << 40 | self._rows[number].append_all(records, values)
        for row, record in enumerate(records, place):
            self._where[record.replicate] = row
            del self._whole[record.replicate]
        self._packed += len(records)
        return True

    def _rows_of(self, kind: Kind) -> int | None:
        """Return the number of the rows of a kind; None if too many records are like few others."""
        number = self._kinds.get(kind)
        if number is None and len(self._kinds) * _ROWS_PER_KIND < _MOST_WHOLE + self._packed:
            number = self._kinds[kind] = len(self._rows)
            self._rows.append(Rows(kind))
        return number

    # What a `Records` looks at.

    def whole(self) -> dict[int, RunRecord]:
        """Return the records that are in no column, by their replicates, in order."""
        if not self._in_order:
            places = list(self._whole)
            if places != sorted(places):
                self._whole = dict(sorted(self._whole.items(), key=itemgetter(0)))
            self._in_order = True
        return self._whole

    @property
    def rows(self) -> Sequence[Rows]:
        """The records that are in columns."""
        return self._rows

    @classmethod
    def of(cls, records: Iterable[RunRecord | None]) -> RecordTable:
        """Return a table of records as they are, by their position."""
        table = cls()
        table._whole = {place: record for place, record in enumerate(records) if record is not None}
        table._limit = len(table._whole)
        return table


class Records(Sequence[RunRecord | None]):
    """The records of the first replicates of a table; None where there is none.

    Parameters
    ----------
    table : RecordTable
        Where they are.
    size : int
        How many replicates.
    reach : int, optional
        Up to which of them records count; up to the last, if left out.
    """

    __slots__ = ("_reach", "_size", "_table")

    def __init__(self, table: RecordTable, size: int, reach: int | None = None) -> None:
        table.settle()
        self._table = table
        self._size = size
        self._reach = size if reach is None else min(reach, size)

    @classmethod
    def of(cls, records: Iterable[RunRecord | None]) -> Records:
        """Return records as they are, by position."""
        if isinstance(records, Records):
            return records
        listed = list(records)
        return cls(RecordTable.of(listed), len(listed))

    def resized(self, size: int) -> Records:
        """Return those of another number of replicates; beyond these there are none."""
        return Records(self._table, size, self._reach)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> RunRecord | None: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[RunRecord | None]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self.get(i) for i in range(self._size)[place]]
        return self.get(range(self._size)[place])

    def __iter__(self) -> Iterator[RunRecord | None]:
        return map(self.get, range(self._size))

    def get(self, replicate: int) -> RunRecord | None:
        """Return the record of a replicate; None if there is none."""
        return self._table.get(replicate) if replicate < self._reach else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Records.of({list(self)!r})"

    # Of all of them, without making one.

    def whole(self) -> dict[int, RunRecord]:
        """Return those that are in no column, by their replicates, in order."""
        found = self._table.whole()
        if found and next(reversed(found)) >= self._reach:
            found = {place: record for place, record in found.items() if place < self._reach}
        return found

    def parts(self) -> Iterator[tuple[Rows, NDArray[np.intp], NDArray[np.int64]]]:
        """Yield those that are in columns: rows, which of them count, and the replicates of these."""
        for rows in self._table.rows:
            replicates = np.array(rows.replicates, dtype=np.int64)
            counted = np.flatnonzero((replicates >= 0) & (replicates < self._reach))
            if len(counted):
                yield rows, counted, replicates[counted]

    @property
    def are_whole(self) -> bool:
        """Whether none is in a column."""
        return not self._table.rows

    @property
    def present(self) -> int:
        """Number of the records that there are."""
        return len(self.whole()) + sum(len(counted) for _, counted, _ in self.parts())

    @property
    def is_complete(self) -> bool:
        """Whether there is one of each replicate."""
        return self.present == self._size

    @property
    def reached(self) -> int:
        """Number of replicates up to the last of which there is a record."""
        in_columns = (int(replicates.max()) for _, _, replicates in self.parts())
        return 1 + max(itertools.chain(itertools.islice(reversed(self.whole()), 1), in_columns), default=-1)

    def has(self, replicate: int) -> bool:
        """Return whether there is one of a replicate."""
        return replicate < self._reach and replicate in self._table

    def lacking(self) -> tuple[int, ...]:
        """Return the replicates of which none succeeded."""
        succeeded = [place for place, r in self.whole().items() if r.error is None and r.skipped is None]
        if len(succeeded) == self._size:
            return ()
        lacks = np.ones(self._size, dtype=bool)
        for _, _, replicates in self.parts():
            lacks[replicates] = False
        lacks[succeeded] = False
        return tuple(np.flatnonzero(lacks).tolist())

    def seeds(self) -> Sequence[int | None]:
        """Return the seed of each."""
        seeds: list[int | None] = [None] * self._size
        whole = self.whole()
        for place, record in whole.items():
            seeds[place] = record.seed
        if not whole and self.is_complete:
            known = np.empty(self._size, dtype=np.int64)
            for rows, counted, replicates in self.parts():
                known[replicates] = np.array(rows.seeds, dtype=np.int64)[counted]
            return array("q", known.tobytes())
        for rows, counted, replicates in self.parts():
            for row, replicate in zip(counted.tolist(), replicates.tolist(), strict=True):
                seeds[replicate] = rows.seeds[row]
        return seeds

    def seconds(self, *, cached: bool = True) -> float:
        """Return the sum of their times; without `cached`, of those that were not stored earlier."""
        of_whole = [record.seconds for _, record in self.whole().items() if cached or not record.cached]
        of_rows = (
            np.array(rows.seconds)[counted].tolist()
            for rows, counted, _ in self.parts()
            if cached or not rows.kind.cached
        )
        return math.fsum(itertools.chain(of_whole, *of_rows))

    def traces(self) -> list[tuple[Scope, ...]]:
        """Return the traces that they left, each once, in the order of replicates."""
        found = {place: record.scopes for place, record in self.whole().items()}
        for rows, counted, replicates in self.parts():
            found |= rows.traces(counted, replicates)
        places = found if self.are_whole else sorted(found)
        distinct: dict[tuple[int, ...], tuple[Scope, ...]] = {}
        last: tuple[Scope, ...] | None = None
        for trace in map(found.__getitem__, places):
            if trace != last:  # as mostly it is not
                distinct[tuple(map(id, trace))] = last = trace
        return list(distinct.values())

    def entries(self, *, succeeded: bool = False) -> list[tuple[MetricEntry, ...]]:
        """Return entries of metrics of all kinds that there are, whatever their values, in order."""
        found = [
            (place, record.metrics)
            for place, record in self.whole().items()
            if record.succeeded or not succeeded
        ]
        for rows, counted, replicates in self.parts():
            first = int(replicates.argmin())
            found.append((int(replicates[first]), rows.record(int(counted[first])).metrics))
        return [metrics for _, metrics in sorted(found, key=itemgetter(0))]

    def kinds(self) -> Iterator[tuple[RunRecord, int]]:
        """Yield the first of each kind of record, and how many are of that kind."""
        for record in list(self.whole().values()):  # more may come meanwhile
            yield record, 1
        for rows, counted, replicates in self.parts():
            yield rows.record(int(counted[replicates.argmin()])), len(counted)
