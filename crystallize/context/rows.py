"""Records that are alike, in columns."""

from __future__ import annotations

import itertools
import json
from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystallize.context.record import RunRecord, record_of, well_formed
from crystallize.context.recording import MetricEntry
from crystallize.context.trace import Scope, scope_of

FLOAT: Final = "d"
INT: Final = "q"
OBJECT: Final = "o"
_CODES: Final = {float: FLOAT, int: INT}
_WORD: Final = 1 << 63
_FORMAT: Final = "crystallize-rows-1"
_NO_METRICS: Final[tuple[tuple[Any, ...], ...]] = ((),) * 5
_new_tuple: Final = tuple.__new__


class Kind(NamedTuple):
    """Kind of records whose values are kept in the same columns.

    Attributes
    ----------
    condition : str
        As in `RunRecord`.
    names, units, measured, steps : tuple
        Those of each entry of its metrics.
    codes : str
        How the value of each entry is kept: as a float, as a whole number of 64 bits, or as an object.
    unit_types : tuple of type
        Which tells 1 from True.
    cached, impure, cached_steps
        As in `RunRecord`.
    """

    condition: str
    names: tuple[str, ...]
    units: tuple[str | int | None, ...]
    measured: tuple[bool, ...]
    steps: tuple[str, ...]
    codes: str
    unit_types: tuple[type, ...]
    cached: bool
    impure: str | None
    cached_steps: tuple[str, ...]


def _is_plain(record: RunRecord) -> bool:
    """Return whether a record holds nothing beside what columns, and what is common to them, can."""
    return (
        record.error is None
        and record.skipped is None
        and not (record.artifacts or record.sections or record.calls or record.notes)
        and type(record.seconds) is float
        and type(record.seed) is int
        and 0 <= record.seed < _WORD
    )


def kind_of(record: RunRecord) -> tuple[Kind, tuple[Any, ...]] | None:
    """Return the kind of a record with the values of its metrics; None of one that is like no other."""
    if not _is_plain(record):
        return None
    metrics = record.metrics
    names, values, units, measured, steps = zip(*metrics, strict=True) if metrics else _NO_METRICS
    codes = "".join([_CODES.get(type(value), OBJECT) for value in values])
    if INT in codes:
        codes = "".join(
            [
                OBJECT if code == INT and not -_WORD <= value < _WORD else code
                for code, value in zip(codes, values, strict=True)
            ]
        )
    kind = (
        record.condition,
        names,
        units,
        measured,
        steps,
        codes,
        tuple(map(type, units)),
        record.cached,
        record.impure,
        record.cached_steps,
    )
    return _new_tuple(Kind, kind), values


def alike(records: Sequence[RunRecord]) -> tuple[Kind, Iterable[Any]] | None:
    """Return the kind of records that all are of one, with the values of one after the other.

    None says that they may be of several, and that each has to be looked at: that takes four times as long.
    """
    first = kind_of(records[0])
    if first is None:
        return None
    kind, n = first[0], len(records)
    common = {(r.condition, r.cached, r.impure, r.cached_steps, len(r.metrics)) for r in records}
    if len(common) > 1 or not all(map(_is_plain, records)):
        return None
    columns = []
    for place, code in enumerate(kind.codes):
        entries = [record.metrics[place] for record in records]
        names, values, units, measured, steps = zip(*entries, strict=True)
        same = (names, kind.names), (units, kind.units), (measured, kind.measured), (steps, kind.steps)
        if any(column.count(known[place]) < n for column, known in same):
            return None
        if {*map(type, units)} != {kind.unit_types[place]}:
            return None
        if {_CODES.get(type_, OBJECT) for type_ in set(map(type, values))} != {code}:
            return None
        if code == INT and not -_WORD <= min(values) <= max(values) < _WORD:
            return None
        columns.append(values)
    if len(columns) == 1:
        return kind, columns[0]
    return kind, itertools.chain.from_iterable(zip(*columns, strict=True))


class Rows:
    """Records of one kind; one takes 36 bytes beside the values of its metrics.

    Parameters
    ----------
    kind : Kind
        What they have in common.

    Attributes
    ----------
    replicates : array
        That of each row; -1 of a row that does not count any more.
    seeds, seconds : array
        Those of each row.
    """

    __slots__ = ("_places", "_traces", "_values", "_where", "kind", "replicates", "seconds", "seeds")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.replicates = array("q")
        self.seeds = array("q")
        self.seconds = array("d")
        self._where = array("I")
        self._traces: list[tuple[Scope, ...]] = []
        self._places: dict[tuple[int, ...], int] = {}
        self._values: dict[str, Any] = {
            code: [] if code == OBJECT else array(code) for code in (FLOAT, INT, OBJECT) if code in kind.codes
        }

    def __len__(self) -> int:
        return len(self.replicates)

    def append(self, record: RunRecord, values: tuple[Any, ...]) -> int:
        """Append a record of this kind; return its row."""
        return self.append_all((record,), values)

    def append_all(self, records: Sequence[RunRecord], values: Iterable[Any]) -> int:
        """Append records of this kind, with the values of one after the other; return the first row."""
        row = len(self.replicates)
        self.replicates.extend([record.replicate for record in records])
        self.seeds.extend([record.seed for record in records])
        self.seconds.extend([record.seconds for record in records])
        self._where.extend([self._place(record.scopes) for record in records])
        if len(self._values) == 1:
            (column,) = self._values.values()
            column.extend(values)
        else:
            for code, value in zip(itertools.cycle(self.kind.codes), values, strict=False):
                self._values[code].append(value)
        return row

    def _place(self, scopes: tuple[Scope, ...]) -> int:
        place = self._places.setdefault(tuple(map(id, scopes)), len(self._traces))
        if place == len(self._traces):
            self._traces.append(scopes)  # which keeps the ids valid
        return place

    def extend(self, other: Rows) -> int:
        """Append other rows of this kind; return the first of them."""
        first = len(self.replicates)
        self.replicates.extend(other.replicates)
        self.seeds.extend(other.seeds)
        self.seconds.extend(other.seconds)
        places = [self._place(scopes) for scopes in other._traces]
        self._where.extend([places[place] for place in other._where])
        for code, values in other._values.items():
            self._values[code].extend(values)
        return first

    def record(self, row: int) -> RunRecord:
        """Return the record of a row."""
        condition, names, units, measured, steps, codes, _, cached, impure, cached_steps = self.kind
        taken: dict[str, Iterator[Any]] = {}
        for code, column in self._values.items():
            width = codes.count(code)
            taken[code] = iter(column[row * width : (row + 1) * width])
        values = [next(taken[code]) for code in codes]
        entries = zip(names, values, units, measured, steps, strict=True)
        return record_of(
            condition,
            self.replicates[row],
            self.seeds[row],
            tuple([_new_tuple(MetricEntry, entry) for entry in entries]),
            self.trace(row),
            (),
            None,
            None,
            self.seconds[row],
            (),
            cached,
            impure,
            cached_steps,
            (),
            (),
        )

    def trace(self, row: int) -> tuple[Scope, ...]:
        """Return the trace of a row."""
        return self._traces[self._where[row]]

    def traces(
        self, counted: NDArray[np.intp], replicates: NDArray[np.int64]
    ) -> list[tuple[int, tuple[Scope, ...]]]:
        """Return each trace that some rows have, with the first of their replicates."""
        order = np.argsort(replicates)
        places, first = np.unique(np.array(self._where)[counted[order]], return_index=True)
        pairs = zip(places.tolist(), replicates[order[first]].tolist(), strict=True)
        return [(replicate, self._traces[place]) for place, replicate in pairs]

    def column(self, entry: int) -> Any:
        """Return the values of one entry of the metrics, by row: an array, or a list of objects."""
        codes = self.kind.codes
        code = codes[entry]
        return self._values[code][codes[:entry].count(code) :: codes.count(code)]

    # As JSON data.

    def to_json(self) -> list[Any]:
        """Return the rows as JSON data; numbers come back bit for bit."""
        arrays = (self.replicates, self.seeds, self.seconds, self._where)
        traces = [[scope.to_text() for scope in trace] for trace in self._traces]
        values = {code: _text(column) for code, column in self._values.items()}
        kind = self.kind._replace(unit_types=())
        return [kind, traces, [_text(column) for column in arrays], values]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Rows:
        """Build rows from what `to_json` returned.

        Raises
        ------
        ValueError
            If columns are not of the same length.
        """
        common, traces, arrays, values = data
        condition, *lists, codes, _, cached, impure, cached_steps = common
        names, units, measured, steps = map(tuple, lists)
        types = tuple(map(type, units))
        kind = Kind(
            condition, names, units, measured, steps, codes, types, cached, impure, tuple(cached_steps)
        )
        rows = cls(kind)
        columns: tuple[array[Any], ...] = (rows.replicates, rows.seeds, rows.seconds, rows._where)
        for column, text in zip(columns, arrays, strict=True):
            column.frombytes(a2b_base64(text))
        for code, kept in rows._values.items():
            if code == OBJECT:
                kept.extend(values[code])
            else:
                kept.frombytes(a2b_base64(values[code]))
            if len(kept) != codes.count(code) * len(rows):
                raise ValueError(f"{len(kept)} values of {len(rows)} records")
        if any(len(column) != len(rows) for column in columns):
            raise ValueError("columns differ in length")
        places = [rows._place(tuple(map(scope_of, trace))) for trace in traces]
        if max(rows._where, default=-1) >= len(places):
            raise ValueError("a trace is missing")
        if len(rows._traces) < len(places):  # those of stored records are told apart, though they are equal
            rows._where = array("I", [places[place] for place in rows._where])
        return rows


def _text(column: Any) -> Any:
    return column if type(column) is list else b2a_base64(column, newline=False).decode()


# Records that are sent to other processes.


def records_to_json(records: Iterable[RunRecord]) -> str:
    """Return records as JSON text: those that are alike in columns, the others one by one."""
    known: dict[Kind, Rows] = {}
    others = []
    conditions: dict[str, list[RunRecord]] = {}
    for record in records:
        conditions.setdefault(record.condition, []).append(record)
    for of_condition in conditions.values():
        if (all_of_one := alike(of_condition)) is not None:
            kind, values = all_of_one
            known[kind] = Rows(kind)
            known[kind].append_all(of_condition, values)
            continue
        for record in of_condition:
            if (found := kind_of(record)) is None:
                others.append(record.to_json())
            else:
                kind = found[0]
                if kind not in known:
                    known[kind] = Rows(kind)
                known[kind].append(record, found[1])
    return json.dumps([_FORMAT, [rows.to_json() for rows in known.values()], others])


def records_from_json(text: str | bytes) -> tuple[list[Rows], list[RunRecord]]:
    """Return what `records_to_json` was given: records that are alike, and the others.

    Raises
    ------
    ValueError
        If the text does not hold whole records of this format.
    """
    with well_formed("run records"):
        version, alike, others = json.loads(text)
        if version != _FORMAT:
            raise ValueError(f"format {version!r}, not {_FORMAT!r}")
        return list(map(Rows.from_json, alike)), list(map(RunRecord.from_json, others))
