"""Runs by case: what all samples of a case gave, as one value of each metric."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from crystallize.analysis.columns import mean_of_sample
from crystallize.analysis.condition_runs import ConditionRuns, short
from crystallize.claims.pass_at import PassAt
from crystallize.context.record import NOT_BEGUN, RunRecord
from crystallize.context.recording import MetricEntry, is_finite, is_number
from crystallize.declare.case_design import CaseStream
from crystallize.text.formatting import first_of

_NO_CONSTANTS: Final[Mapping[str, float]] = MappingProxyType({})


class CaseRuns(ConditionRuns):
    """The runs of one condition by case: position i of each sample is that of case i.

    Every metric of a case is the mean over its samples of what each gave. A case of which a sample failed, or
    did not record a metric, lacks it: what others gave says nothing of the one that is missing. Cases pair by
    their ids, in whatever order they were run and under whatever seeds.

    Parameters
    ----------
    condition : str
        Name of the condition.
    ids : sequence of str
        Of the cases, in order.
    rows : sequence of sequence of RunRecord or None
        By case, the records of its samples.
    passes : tuple of PassAt
        What is estimated of each case beside its means.
    constants : mapping of str to float
        What stands in place of the finite values of a metric.
    """

    noun = "case"

    def __init__(
        self,
        condition: str,
        ids: Sequence[str],
        rows: Sequence[Sequence[RunRecord | None]],
        passes: tuple[PassAt, ...] = (),
        constants: Mapping[str, float] = _NO_CONSTANTS,
    ) -> None:
        one = [_as_one(i, name, row, passes) for i, (name, row) in enumerate(zip(ids, rows, strict=True))]
        of_cases = ConditionRuns(condition, one)
        for metric, value in constants.items():
            of_cases = of_cases.with_constant(metric, value)
        super().__init__(condition, of_cases.records)
        self.ids = tuple(ids)
        self.rows = rows
        self.passes = passes
        self.constants = constants

    def called(self, position: int) -> str:
        """Return what messages call a case."""
        return f"case {self.ids[position]!r}"

    def chosen(self, positions: Iterable[int]) -> CaseRuns:
        """Return the runs of some cases, in the order of their positions."""
        kept = list(positions)
        return CaseRuns(
            self.condition,
            [self.ids[i] for i in kept],
            [self.rows[i] for i in kept],
            self.passes,
            self.constants,
        )

    def of_ids(self, ids: Collection[str]) -> CaseRuns:
        """Return the runs of the cases that have one of these ids."""
        return self.chosen(i for i, name in enumerate(self.ids) if name in ids)

    def first(self, replicates: int) -> ConditionRuns:
        """Return the first cases."""
        return self if replicates >= len(self.ids) else self.chosen(range(replicates))

    def with_constant(self, metric: str, value: float) -> ConditionRuns:
        """Return runs that recorded a number wherever these recorded a finite value of a metric."""
        known = {**self.constants, metric: value}
        return CaseRuns(self.condition, self.ids, self.rows, self.passes, known)

    def with_totals(self, metrics: Iterable[str]) -> ConditionRuns:
        """Return runs in which what a metric has several times in one sample, of one unit, is added up."""
        named = tuple(metrics)
        return self._of_samples(lambda runs: runs.with_totals(named))

    def with_passes(self, of: PassAt) -> CaseRuns:
        """Return runs with the estimate for each case of how likely some, or all, of k samples pass."""
        return CaseRuns(self.condition, self.ids, self.rows, (*self.passes, of), self.constants)

    def _of_samples(self, change: Any) -> CaseRuns:
        rows = [tuple(change(ConditionRuns(self.condition, row)).records) for row in self.rows]
        return CaseRuns(self.condition, self.ids, rows, self.passes, self.constants)

    def holds_rates(self, metric: str) -> bool:
        """Return whether each case has several samples, whose every value of a metric is 0 or 1."""
        samples = self.samples_of(metric)
        return bool(samples) and all(
            len(values) > 1 and all(value in (0, 1) for value in values) for values in samples
        )

    def _gap(self, metric: str) -> str | None:
        """Say of an estimate of passes what is no evidence in the samples that it is made of."""
        fault = super()._gap(metric)
        of = next((of for of in self.passes if of.name == metric), None)
        if fault is None or of is None:
            return fault
        if (gap := self.gap(of.metric)) is not None:
            return gap
        for position, values in enumerate(self.samples_of(of.metric)):
            where = f"{self.called(position)} of {self.condition!r}"
            for value in values:
                if value not in (0, 1):
                    return f"metric {metric!r} takes 0 or 1, and {of.metric!r} is {short(value)} in {where}"
            if len(values) < of.k:
                return f"metric {metric!r} takes {of.k} samples of a case, of which {where} has {len(values)}"
        return fault

    def samples_of(self, metric: str) -> list[list[Any]]:
        """Return the values of a metric in the samples of each case."""
        return [
            [e.value for record in row if record is not None for e in record.metrics if e.name == metric]
            for row in self.rows
        ]


def by_case(runs: ConditionRuns, stream: CaseStream) -> CaseRuns:
    """Return the runs of a condition, whose replicates are samples of cases, by case."""
    samples = stream.samples
    count = -(-len(runs.records) // samples)
    padded = (*runs.records, *(None,) * (count * samples - len(runs.records)))
    rows = [padded[i : i + samples] for i in range(0, len(padded), samples)]
    return CaseRuns(runs.condition, [stream.of(i * samples)[0].id for i in range(count)], rows)


def recorded_by_case(runs: ConditionRuns, ids: Sequence[str]) -> CaseRuns:
    """Return recorded runs by case, given the case of each replicate."""
    rows: dict[str, list[RunRecord | None]] = {}
    for name, record in zip(ids, runs.records, strict=True):
        rows.setdefault(name, []).append(record)
    return CaseRuns(runs.condition, list(rows), list(rows.values()))


def aligned(baseline: CaseRuns, today: CaseRuns, *, shared: bool) -> tuple[CaseRuns, CaseRuns]:
    """Return recorded runs in today's order of cases; of both only cases that both have, if `shared`.

    Cases that were recorded and are there no more come last.
    """
    places = {name: i for i, name in enumerate(baseline.ids)}
    if shared:
        today = today.chosen(i for i, name in enumerate(today.ids) if name in places)
    ordered = [places[name] for name in today.ids if name in places]
    known = set(today.ids)
    gone = [] if shared else [i for name, i in places.items() if name not in known]
    return baseline.chosen([*ordered, *gone]), today


def other_cases(baseline: CaseRuns, today: CaseRuns) -> str | None:
    """Say which cases only one side has; None if both have the same."""
    apart = [
        f"{_named(only)} in {own.condition!r} and not in {other.condition!r}"
        for own, other in ((baseline, today), (today, baseline))
        if (only := [name for name in own.ids if name not in set(other.ids)])
    ]
    if not apart:
        return None
    return f"{'; '.join(apart)}; to compare the cases that both have, say pairing='intersect'"


def _named(ids: Collection[str]) -> str:
    shown = first_of(list(map(repr, ids)), 5)
    return f"case {shown} is" if len(ids) == 1 else f"cases {shown} are"


def _as_one(
    position: int, name: str, row: Sequence[RunRecord | None], passes: tuple[PassAt, ...]
) -> RunRecord | None:
    """Return the samples of a case as one record; None if one of them was not run."""
    first = row[0]
    if first is None or None in row:
        return None
    failed = [record for record in row if record is not None and not record.succeeded]
    if failed:
        fault = next((r for r in failed if r.error is not None and r.error.type == NOT_BEGUN), failed[0])
        return replace(fault, replicate=position, seed=_seed_of(name))
    own = [_metrics_of(record) for record in row if record is not None]
    metrics = []
    for metric, (measured, step) in _entries_of(row).items():
        values = [values[metric] for values in own if metric in values]
        if len(values) == len(row):
            metrics.append(MetricEntry(metric, _mean(values), None, measured, step))
            estimates = [of for of in passes if of.metric == metric]
            metrics += [MetricEntry(of.name, of.estimate(values), None, measured, step) for of in estimates]
    return RunRecord(
        first.condition,
        position,
        _seed_of(name),
        tuple(metrics),
        tuple(scope for record in row if record is not None for scope in record.scopes),
        seconds=sum(record.seconds for record in row if record is not None),
    )


def _seed_of(name: str) -> int:
    """Return what cases of one id have in common, and no others: the text as a number."""
    return int.from_bytes(name.encode("utf-8", "surrogatepass"))


def _entries_of(row: Sequence[RunRecord | None]) -> dict[str, tuple[bool, str]]:
    found: dict[str, tuple[bool, str]] = {}
    for record in row:
        for entry in () if record is None else record.metrics:
            measured = found.get(entry.name, (False, ""))[0]
            found[entry.name] = measured or entry.measured, entry.step
    return found


def _metrics_of(record: RunRecord) -> Mapping[str, Any]:
    """Return metric -> its value in one sample, the mean of several."""
    found: dict[str, list[Any]] = {}
    for entry in record.metrics:
        found.setdefault(entry.name, []).append(entry.value)
    return {name: values[0] if len(values) == 1 else _mean(values) for name, values in found.items()}


def _mean(values: list[Any]) -> Any:
    """Return the mean of numbers; one value as it is, and of others the list."""
    if len(values) == 1:
        return values[0]
    if not all(is_number(value) for value in values):
        return next((value for value in values if value is None), values)
    odd = next((value for value in values if not is_finite(value)), None)
    return mean_of_sample(values) if odd is None else odd
