"""What each case gave under each condition: its metrics, and what was noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.context.record import NOT_BEGUN
from crystallize.report.case_names import CaseNames


@dataclass(frozen=True, slots=True)
class OfCondition:
    """Results of one case under one condition.

    Attributes
    ----------
    metrics : mapping of str to float or None
        Mean over the samples; None where one of them failed or did not record it as a finite number.
    notes : mapping of str to tuple
        Name -> what was noted, by sample.
    errors : tuple of str
        What the samples failed with.
    """

    metrics: Mapping[str, float | None]
    notes: Mapping[str, tuple[Any, ...]]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnitResults:
    """Results of one case.

    Attributes
    ----------
    id : str
        Of the case.
    slice : str or None
        Its slice, where the cases are sliced.
    conditions : mapping of str to OfCondition
        By condition.
    """

    id: str
    slice: str | None
    conditions: Mapping[str, OfCondition]

    def change(self, metric: str, baseline: str, treatment: str) -> float | None:
        """Return by how much a metric differs between two conditions; None where one of them lacks it."""
        sides = (self.conditions.get(name) for name in (baseline, treatment))
        first, second = (None if side is None else side.metrics.get(metric) for side in sides)
        return None if first is None or second is None else second - first


def unit_results(cases: CaseNames | None, arms: Mapping[str, ConditionRuns]) -> tuple[UnitResults, ...]:
    """Return what each case gave of which a run is there, in the order of the data set."""
    return () if cases is None else tuple(_results(cases, arms))


def _results(cases: CaseNames, arms: Mapping[str, ConditionRuns]) -> Iterator[UnitResults]:
    by_case = {name: cases.by_case(arm) for name, arm in arms.items()}
    metrics = {
        name: {metric: runs.column(metric) for metric in runs.metrics} for name, runs in by_case.items()
    }
    places = {name: {case: i for i, case in enumerate(runs.ids)} for name, runs in by_case.items()}
    slices = {case: part for part, ids in cases.slices.items() for case in ids}
    for case in cases.rows:
        found = {}
        for name, runs in by_case.items():
            place = places[name].get(case)
            if place is None or not any(runs.rows[place]):
                continue
            values = {metric: column[place] for metric, column in metrics[name].items()}
            ran = [record for record in runs.rows[place] if record is not None]
            notes: dict[str, tuple[Any, ...]] = {}
            for record in ran:
                for note, value in record.notes:
                    notes[note] = (*notes.get(note, ()), value)
            errors = tuple(str(r.error) for r in ran if r.error is not None and r.error.type != NOT_BEGUN)
            found[name] = OfCondition(values, notes, errors)
        if found:
            yield UnitResults(case, slices.get(case), found)
