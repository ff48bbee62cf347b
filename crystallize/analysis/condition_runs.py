"""The runs of one condition, and the samples in them."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from operator import add
from typing import Any

from crystallize.analysis.columns import (
    NOTHING,
    SINGLE,
    Column,
    Several,
    all_finite,
    as_precise_as,
    column_of,
    exact,
    finite_means,
    in_each,
    mean,
    scalars,
    single_values,
)
from crystallize.context.record import NOT_BEGUN, RunRecord
from crystallize.context.record_table import Records, RecordTable
from crystallize.context.recording import is_finite, is_number
from crystallize.context.trace import Scope

_ADVICE = "; record float(...) of a value, a mean, or each value by ctx.metrics.add(name, value, unit=...)"


class ConditionRuns:
    """The runs of one condition, by replicate, and the samples in them.

    Parameters
    ----------
    condition : str
        Name of the condition.
    records : sequence of RunRecord or None
        One entry per replicate, in order; None where there is no record.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     return data, {"score": boost + ctx.rng.normal()}
    >>> result = Experiment(0, [score], replicates=3).run()
    >>> runs = ConditionRuns("baseline", result.records)
    >>> len(runs.records), runs.condition
    (3, 'baseline')
    """

    noun = "replicate"
    """What messages call what there is a record of."""

    def __init__(self, condition: str, records: Sequence[RunRecord | None]) -> None:
        self.condition = condition
        self.records = Records.of(records)
        self._columns: dict[str, Column | None] = {}
        self._finite: dict[str, bool] = {}
        self._gaps: dict[str, str | None] = {}
        self._means: dict[str, float | None] = {}

    def _column(self, metric: str) -> Column | None:
        if metric not in self._columns:
            single = self._single.get(metric, {})
            self._columns[metric] = column_of(self.records, metric, single) if metric in self.names else None
        return self._columns[metric]

    def _is_finite(self, metric: str) -> bool:
        """Return whether each replicate gave one finite number."""
        if metric not in self._finite:
            column = self._column(metric)
            self._finite[metric] = column is not None and all_finite(column)
        return self._finite[metric]

    @cached_property
    def _single(self) -> dict[str, dict[int, Any]]:
        return single_values(self.records)

    @cached_property
    def names(self) -> Sequence[str]:
        """The metrics that successful runs recorded, in order."""
        if self.records.are_whole:
            return tuple(self._single)
        known = self.records.entries(succeeded=True)
        return tuple(dict.fromkeys(entry.name for entries in known for entry in entries))

    def values(self, metric: str) -> list[Any]:
        """Return one value of a metric per replicate, position i for replicate i.

        Several numbers recorded in one replicate are averaged, several other values stay a list, and nan
        stands where a replicate gave no value. Without any, there is no list of them.
        """
        column = self._column(metric)
        return [] if column is None else in_each(column)

    def without(self, metric: str) -> list[int]:
        """Return the replicates that gave no value of a metric."""
        column = self._column(metric)
        if type(column) is array:
            return []
        return [i for i, item in enumerate(column or [NOTHING] * len(self.records)) if item is NOTHING]

    @cached_property
    def metrics(self) -> dict[str, list[Any]]:
        """Metric -> its `values`; all of them, which are kept."""
        return {name: self.values(name) for name in self.names}

    @cached_property
    def measured(self) -> frozenset[str]:
        """Metrics that no seed repeats."""
        return frozenset(e.name for entries in self.records.entries() for e in entries if e.measured)

    def called(self, position: int) -> str:
        """Return what messages call the replicate at a position."""
        return f"replicate {position}"

    def chosen(self, positions: Iterable[int]) -> ConditionRuns:
        """Return the runs of some replicates, in the order of their positions."""
        return ConditionRuns(self.condition, [self.records[i] for i in positions])

    @cached_property
    def lacking(self) -> tuple[int, ...]:
        """Replicates without a successful run."""
        return self.records.lacking()

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """The traces of the parts of all runs, each once."""
        return tuple({id(scope): scope for trace in self.records.traces() for scope in trace}.values())

    @cached_property
    def seeds(self) -> Sequence[int | None]:
        """The seed of each replicate."""
        return self.records.seeds()

    @property
    def reached(self) -> int:
        """Number of replicates up to the last of which there is a record; all, if there is none."""
        return self.records.reached or len(self.records)

    def first(self, replicates: int) -> ConditionRuns:
        """Return the first replicates."""
        return self if replicates >= len(self.records) else self.padded(replicates)

    def padded(self, replicates: int) -> ConditionRuns:
        """Return the runs of another number of replicates; there may be none of the last ones."""
        return ConditionRuns(self.condition, self.records.resized(replicates))

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
                several: dict[tuple[str, Any], list[Any]] = {}
                kept = []
                for entry in record.metrics:
                    key = entry.name, entry.unit
                    if entry.name not in named or not is_number(entry.value):
                        kept.append(entry)
                    else:
                        several.setdefault(key, []).append(entry)
                record = replace(record, metrics=(*kept, *map(_total, several.values())))
            records.append(record)
        return ConditionRuns(self.condition, records)

    def _has_several(self, metric: str) -> bool:
        return any(type(item) is Several for item in self._column(metric) or ())

    def column(self, metric: str) -> Sequence[float | None]:
        """Return the mean of a metric in each replicate; None where it is no finite number.

        Whole numbers that no float holds stay what they are.
        """
        column = self._column(metric)
        if column is None:
            return [None] * len(self.records)
        return exact(column) if self._is_finite(metric) else finite_means(column)

    def holds_rates(self, metric: str) -> bool:
        """Return whether each replicate holds several values of a metric, and every one is 0 or 1."""
        column = self._column(metric) or ()
        return bool(column) and all(
            type(item) is Several and all(value in (0, 1) for value in item) for item in column
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
        return frozenset(e.name for entries in self.records.entries() for e in entries if e.unit is not None)

    def sample(self, metrics: Iterable[str]) -> dict[str, list[Any]]:
        """Return copies of the samples of these metrics, which their receiver may change."""
        return {name: _copied(self.values(name)) for name in metrics}

    def gap(self, metric: str) -> str | None:
        """Say why a metric is no sample of evidence in every replicate; None if it is one.

        No value, None, and anything that is or holds a nan or an infinity are no evidence.
        """
        if metric not in self._gaps:
            self._gaps[metric] = self._gap(metric)
        return self._gaps[metric]

    def _gap(self, metric: str) -> str | None:
        if self._is_finite(metric):
            return None
        found = self._column(metric)
        column = [NOTHING] * len(self.records) if found is None else list(found)
        for replicate, item in enumerate(column):
            where = f"in {self.called(replicate)} of {self.condition!r}"
            if item is NOTHING:
                record = self.records[replicate]
                names = dict.fromkeys(entry.name for entry in record.metrics) if record else ()
                known = ", ".join(map(repr, names))
                known = known or f"nothing; return {{{metric!r}: ...}} (a step: behind its data)"
                others = sum(other is NOTHING for other in column[replicate + 1 :])
                more = f" (as in {others} more)" if others else ""
                return f"metric {metric!r} is missing {where}; recorded there: {known}{more}"
            for value in scalars(item):
                if value is None or (is_number(value) and not is_finite(value)):
                    verb = "holds" if type(item) in (list, dict) else "is"
                    return f"metric {metric!r} {verb} {value} {where}"
        return None

    def not_numeric(self, metric: str) -> str | None:
        """Say where a metric is something else than a number; None if it is a number wherever it is there."""
        if self._is_finite(metric):
            return None
        for replicate, item in enumerate(self._column(metric) or ()):
            for value in item if type(item) is Several else (item,):
                if value is not NOTHING and value is not None and not is_number(value):
                    return (
                        f"metric {metric!r} is {short(value)} in {self.called(replicate)} of "
                        f"{self.condition!r}, not a number{_ADVICE if isinstance(value, list) else ''}"
                    )
        return None

    def mean(self, metric: str) -> float | None:
        """Return the mean over replicates, or None if it has none."""
        if metric not in self._means:
            self._means[metric] = self._mean(metric)
        return self._means[metric]

    def _mean(self, metric: str) -> float | None:
        column = self._column(metric)
        if column is None:
            return None
        values = column if type(column) is array else in_each(column)
        return mean(values) if self._is_finite(metric) or all(map(is_finite, values)) else None

    def never_run(self) -> str | None:
        """Say which replicates left no record at all; None if all did."""
        if self.records.is_complete:
            return self.out_of_budget()
        lost = [i for i, record in enumerate(self.records) if record is None]
        which = lost[:5] if self.noun == "replicate" else ", ".join(map(self.called, lost[:5]))
        return f"{len(lost)} of {len(self.records)} {self.noun}s of {self.condition!r} were not run: {which}"

    def out_of_budget(self) -> str | None:
        """Say how far a budget has reached; None if it has reached for all."""
        failed = [record for i in self.lacking if (record := self.records[i]) is not None]
        left = [r.error for r in failed if r.error is not None and r.error.type == NOT_BEGUN]
        if not left:
            return None
        n = len(self.records)
        return (
            f"budget spent at {n - len(left)} of {n} {self.noun}s of {self.condition!r}: {left[0].message}; "
            "what was run stays stored, so that the next run goes on from there"
        )

    def missing_evidence(self) -> str | None:
        """Say which replicates have no successful run; None if all have."""
        if not self.lacking:
            return None
        if (fault := self.out_of_budget()) is not None:
            return fault
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
            f"{len(self.lacking)} of {len(self.records)} {self.noun}s of {self.condition!r} are missing: "
            f"{self.called(first)} {what}{more}"
        )


def runs_by_condition(
    records: Iterable[RunRecord], conditions: Iterable[str], replicates: int
) -> dict[str, ConditionRuns]:
    """Sort records into conditions and replicates.

    Where a unit has several records, one that did not succeed counts, in whatever order they come.
    """
    tables = {name: RecordTable() for name in conditions}
    for record in records:
        table = tables.get(record.condition)
        if table is not None and 0 <= record.replicate < replicates:
            table.put_unless_failed(record)
    return {name: ConditionRuns(name, Records(table, replicates)) for name, table in tables.items()}


def _total(entries: list[Any]) -> Any:
    """Return the entries of one unit as one, whose value is their total."""
    values = [entry.value for entry in entries]
    if len(values) == 1:
        return entries[0]
    total = reduce(add, values)  # unlike `sum`, which newer versions of Python compensate
    return entries[0]._replace(value=as_precise_as(values, total) if all(map(is_finite, values)) else total)


def _copied(values: list[Any]) -> list[Any]:
    """Return values, with copies of those that can be changed."""
    if SINGLE.issuperset(map(type, values)):
        return values
    return [item if type(item) in SINGLE else copy.deepcopy(item) for item in values]


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= 200 else line[:197] + "..."


def short(value: Any) -> str:
    """Return what messages show of a value."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
