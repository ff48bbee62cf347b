"""The runs of one condition, and the samples in them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from crystallize.context.record import RunRecord
from crystallize.context.recording import is_finite, is_number

_ADVICE = "; record float(...) of a value, a mean, or each value by ctx.metrics.add(name, value, unit=...)"


class _Several(list[Any]):
    """Several values of a metric in one replicate, where a plain list would be one value."""


_NOTHING: Any = object()
"""Stands where a replicate gave no value of a metric."""


class ConditionRuns:
    """The runs of one condition, by replicate, and the samples in them.

    Parameters
    ----------
    condition : str
        Name of the condition.
    records : sequence of RunRecord or None
        One entry per replicate, in order; None where there is no record.
    """

    def __init__(self, condition: str, records: Sequence[RunRecord | None]) -> None:
        self.condition = condition
        self.records = tuple(records)
        self._gaps: dict[str, str | None] = {}

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        """Metric -> per replicate, the value recorded, `_Several` of them, or `_NOTHING`."""
        columns: dict[str, list[Any]] = {}
        for replicate, record in enumerate(self.records):
            if record is None or record.error is not None or record.skipped is not None:
                continue
            for name, value, _, _, _ in record.metrics:
                column = columns.get(name)
                if column is None:
                    column = columns[name] = [_NOTHING] * len(self.records)
                before = column[replicate]
                if before is _NOTHING:
                    column[replicate] = value
                elif type(before) is _Several:
                    before.append(value)
                else:
                    column[replicate] = _Several([before, value])
        return columns

    @cached_property
    def metrics(self) -> dict[str, list[Any]]:
        """Metric -> one value per replicate, position i for replicate i.

        Several numbers recorded in one replicate are averaged, several other values stay a list, and nan
        stands where a replicate gave no value.
        """
        return {
            name: [item if type(item) in _SINGLE else _one_value(item) for item in column]
            for name, column in self._columns.items()
        }

    @cached_property
    def measured(self) -> frozenset[str]:
        """Metrics that no seed repeats."""
        return frozenset(e.name for record in self.records if record for e in record.metrics if e.measured)

    @cached_property
    def lacking(self) -> tuple[int, ...]:
        """Replicates without a successful run."""
        return tuple(
            i
            for i, record in enumerate(self.records)
            if record is None or record.error is not None or record.skipped is not None
        )

    @property
    def reached(self) -> int:
        """Number of replicates up to the last of which there is a record; all, if there is none."""
        last = max((i for i, record in enumerate(self.records) if record is not None), default=None)
        return len(self.records) if last is None else last + 1

    def first(self, replicates: int) -> ConditionRuns:
        """Return the first replicates."""
        return (
            self
            if replicates >= len(self.records)
            else ConditionRuns(self.condition, self.records[:replicates])
        )

    def with_constant(self, metric: str, value: float) -> ConditionRuns:
        """Return runs that recorded a number wherever these recorded a finite value of a metric."""
        return ConditionRuns(
            self.condition,
            [
                record
                and replace(
                    record,
                    metrics=tuple(
                        e._replace(value=value) if e.name == metric and is_finite(e.value) else e
                        for e in record.metrics
                    ),
                )
                for record in self.records
            ],
        )

    def with_totals(self, metrics: Iterable[str]) -> ConditionRuns:
        """Return runs in which what a metric has several times in one replicate, of one unit, is added up."""
        named = [metric for metric in metrics if self._has_several(metric)]
        if not named:
            return self
        records = []
        for record in self.records:
            if record is not None:
                totals: dict[tuple[str, Any], Any] = {}
                kept = []
                for entry in record.metrics:
                    key = entry.name, entry.unit
                    if entry.name not in named or not is_number(entry.value):
                        kept.append(entry)
                    elif key in totals:
                        totals[key] = totals[key]._replace(value=totals[key].value + entry.value)
                    else:
                        totals[key] = entry
                record = replace(record, metrics=(*kept, *totals.values()))
            records.append(record)
        return ConditionRuns(self.condition, records)

    def _has_several(self, metric: str) -> bool:
        return any(type(item) is _Several for item in self._columns.get(metric, ()))

    def column(self, metric: str) -> list[float | None]:
        """Return the mean of a metric in each replicate; None where it is no finite number.

        Whole numbers that no float holds stay what they are.
        """
        column = self._columns.get(metric)
        if column is None:
            return [None] * len(self.records)
        if _all_finite(column):
            return [_exact(value) for value in column]
        return [_finite_mean(item) for item in column]

    def holds_rates(self, metric: str) -> bool:
        """Return whether each replicate holds several values of a metric, and every one is 0 or 1."""
        column = self._columns.get(metric, [])
        return bool(column) and all(
            type(item) is _Several and all(value in (0, 1) for value in item) for item in column
        )

    def entries(self, metric: str) -> list[list[tuple[Any, str | int | None]]]:
        """Return the values of a metric with their units, by replicate."""
        return [
            [(e.value, e.unit) for e in record.metrics if e.name == metric]
            if record is not None and record.succeeded
            else []
            for record in self.records
        ]

    @cached_property
    def with_units(self) -> frozenset[str]:
        """Metrics of which a value belongs to a unit."""
        return frozenset(
            e.name for record in self.records if record for e in record.metrics if e.unit is not None
        )

    def sample(self, metrics: Iterable[str]) -> dict[str, list[Any]]:
        """Return copies of the samples of these metrics, which their receiver may change."""
        return {
            name: [item if type(item) in _SINGLE else copy.deepcopy(item) for item in self.metrics[name]]
            for name in metrics
        }

    def gap(self, metric: str) -> str | None:
        """Say why a metric is no sample of evidence in every replicate; None if it is one.

        No value, None, and anything that is or holds a nan or an infinity are no evidence.
        """
        if metric not in self._gaps:
            self._gaps[metric] = self._gap(metric)
        return self._gaps[metric]

    def _gap(self, metric: str) -> str | None:
        column = self._columns.get(metric)
        if column is None:
            column = [_NOTHING] * len(self.records)
        elif _all_finite(column):
            return None
        for replicate, item in enumerate(column):
            where = f"in replicate {replicate} of {self.condition!r}"
            if item is _NOTHING:
                record = self.records[replicate]
                names = dict.fromkeys(entry.name for entry in record.metrics) if record else ()
                known = ", ".join(map(repr, names))
                known = known or f"nothing; return {{{metric!r}: ...}} (a step: behind its data)"
                return f"metric {metric!r} is missing {where}; recorded there: {known}"
            for value in _scalars(item):
                if value is None or (is_number(value) and not is_finite(value)):
                    verb = "holds" if type(item) in (list, dict) else "is"
                    return f"metric {metric!r} {verb} {value} {where}"
        return None

    def not_numeric(self, metric: str) -> str | None:
        """Say where a metric is something else than a number; None if it is a number wherever it is there."""
        column = self._columns.get(metric, ())
        if _all_finite(column):
            return None
        for replicate, item in enumerate(column):
            for value in item if type(item) is _Several else (item,):
                if value is not _NOTHING and value is not None and not is_number(value):
                    return (
                        f"metric {metric!r} is {_short(value)} in replicate {replicate} of "
                        f"{self.condition!r}, not a number{_ADVICE if isinstance(value, list) else ''}"
                    )
        return None

    def mean(self, metric: str) -> float | None:
        """Return the mean over replicates, or None if it has none."""
        values = self.metrics.get(metric, [])
        return mean(values) if values and (_all_finite(values) or all(map(is_finite, values))) else None

    def never_run(self) -> str | None:
        """Say which replicates left no record at all; None if all did."""
        lost = [i for i, record in enumerate(self.records) if record is None]
        if not lost:
            return None
        return f"{len(lost)} of {len(self.records)} replicates of {self.condition!r} were not run: {lost[:5]}"

    def missing_evidence(self) -> str | None:
        """Say which replicates have no successful run; None if all have."""
        if not self.lacking:
            return None
        first = self.lacking[0]
        record = self.records[first]
        if record is None:
            what = "was not run"
        elif record.error is not None:
            what = f"failed with {_first_line(str(record.error))}"
        else:
            what = f"was skipped: {record.skipped}"
        more = f" (as did {len(self.lacking) - 1} more)" if len(self.lacking) > 1 else ""
        return (
            f"{len(self.lacking)} of {len(self.records)} replicates of {self.condition!r} are missing: "
            f"replicate {first} {what}{more}"
        )


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= 200 else line[:197] + "..."


def _finite_mean(item: Any) -> float | None:
    if item is _NOTHING:
        return None
    if type(item) is not _Several:
        return _exact(item) if is_finite(item) else None
    return mean(item) if all(map(is_finite, item)) else None


def _exact(value: float) -> float:
    """Return a number as a float, or as the whole number that it is where no float is."""
    return value if type(value) is int and abs(value) > _LARGEST_EXACT else float(value)


_LARGEST_EXACT = 2**53


_SINGLE = frozenset({float, int, bool, str})


def _one_value(item: Any) -> Any:
    if item is _NOTHING:
        return math.nan
    if type(item) is not _Several:
        return item
    return mean(item) if all(map(is_number, item)) else list(item)


def _all_finite(column: Sequence[Any]) -> bool:
    """Return whether every value is a finite number; quick, and False where it would have to look closer."""
    if not {float, int, bool}.issuperset(map(type, column)):
        return False
    try:
        return all(map(math.isfinite, column))
    except OverflowError:
        return False


def _scalars(value: Any) -> Iterator[Any]:
    """Yield every scalar in a metric's value."""
    if isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _scalars(item)
    else:
        yield value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean, correctly rounded where the sum is representable."""
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # partial sums beyond the largest float; inf - inf
        try:
            return math.fsum(value / len(values) for value in values)
        except (OverflowError, ValueError):
            return math.nan
