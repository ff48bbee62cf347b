"""Samples of metrics whose values belong to units: who is nested in whom, and what is paired with what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from crystallize.analysis.case_runs import CaseRuns
from crystallize.analysis.columns import mean_of_sample, squares_about_means
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.sample import CASES, CROSSED, ONE_SEED, SEEDS, ClaimSample
from crystallize.claims.claim import Claim
from crystallize.context.recording import is_finite
from crystallize.stats.moments import scaled_float
from crystallize.text.formatting import first_of

Entries = Sequence[Sequence[tuple[Any, str | int | None]]]
"""By replicate, values with their units."""


def is_nested_in_units(metric: str, runs: ConditionRuns) -> bool:
    """Return whether each replicate is of one unit, and some unit has several: samples of one case each."""
    if metric not in runs.with_units:
        return False
    units = [{unit for _, unit in row} for row in runs.entries(metric) if row]
    if not units or any(len(names) != 1 or None in names for names in units):
        return False
    return len(set().union(*units)) < len(units)


def paired_by_unit(claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns) -> ClaimSample | str:
    """Return the means of each unit in both conditions, whatever replicates they come from."""
    rows = [arm.entries(claim.metric) for arm in (baseline, treatment)]
    lacking = [sum(not _cells(row) for row in entries) for entries in rows]
    if (fault := _unfilled(claim, max(lacking), len(rows[lacking.index(max(lacking))]))) is not None:
        return fault
    columns = [_unit_values(entries) for entries in rows]
    shared = _shared_units(claim, columns[0], columns[1], baseline, treatment)
    if isinstance(shared, str):
        return shared
    first, second = ([mean_of_sample(column[unit]) for unit in shared] for column in columns)
    # That all samples of each case agree is no reason to read their means as yes/no.
    return ClaimSample(
        first,
        second,
        omitted=max(lacking),
        population=CASES,
        binary_elsewhere=False,
        of_rates=_of_rates(columns),
        noise=_noise([columns[0][unit] for unit in shared]),
    )


def of_cases(metric: str, sample: ClaimSample, baseline: CaseRuns) -> ClaimSample:
    """Return the sample of values by case as one that speaks of cases."""
    samples = [
        values
        for record, values in zip(baseline.records, baseline.samples_of(metric), strict=True)
        if record is not None and record.succeeded and values and all(map(is_finite, values))
    ]
    several = any(len(row) > 1 for row in baseline.rows)
    # That all samples of each case agree is no reason to read their means as yes/no.
    return replace(
        sample,
        population=CASES if sample.population == SEEDS else sample.population,
        binary_elsewhere=sample.binary_elsewhere and not several,
        noise=_noise(samples) if samples else None,
        noun="cases",
    )


def of_units(claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns) -> ClaimSample | str | None:
    """Return the sample of a metric with units in pairs of replicates; None if their means are the sample.

    Units that recur in several replicates are crossed with them. Units of which each is in one replicate only
    are nested in replicates: the mean of each replicate is the sample, as it is for metrics without units. A
    single replicate is a sample of units, under one seed.
    """
    arms = baseline, treatment
    rows = [[_cells(row) for row in arm.entries(claim.metric)] for arm in arms]
    kept = [i for i, pair in enumerate(zip(*rows, strict=True)) if all(pair)]
    omitted = len(rows[0]) - len(kept)
    if (fault := _unfilled(claim, omitted, len(rows[0]))) is not None:
        return fault
    cells: list[tuple[int, str | int, float, float]] = []
    for i in kept:
        first, second = rows[0][i], rows[1][i]
        shared = _shared_units(claim, first, second, *arms, where=f" in replicate {i}")
        if isinstance(shared, str):
            return shared
        cells += [(i, unit, first[unit], second[unit]) for unit in shared]
    if not cells:
        return f"no replicate has a finite value of metric {claim.metric!r} in both conditions"
    recurring = max(Counter(unit for _, unit, _, _ in cells).values(), default=0) > 1
    if not recurring and len(kept) > 1:
        return None
    replicates, units, before, after = (list(column) for column in zip(*cells, strict=True))
    rates = all(value in (0, 1) for value in (*before, *after))
    if not recurring:
        return ClaimSample(before, after, population=ONE_SEED)
    return ClaimSample(
        before, after, True, omitted, (units, units), CROSSED, False, of_rates=rates, replicates=replicates
    )


def without_unit(metric: str, *arms: ConditionRuns) -> str | None:
    """Say that some values of a metric with units have none; None if all have one."""
    if all(unit is not None for arm in arms for row in arm.entries(metric) for _, unit in row):
        return None
    return (
        f"some values of metric {metric!r} have a unit and some have none; record unit= with all of them, or "
        "with none"
    )


def other_recurring_units(claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns) -> str | None:
    """Say which units only one of two unpaired conditions has; None where each replicate has new ones."""
    entries = [arm.entries(claim.metric) for arm in (baseline, treatment)]
    seen = [_unit_values(rows) for rows in entries]
    occurrences = [sum(len({unit for _, unit in row}) for row in rows) for rows in entries]
    if occurrences == [len(units) for units in seen]:
        return None
    shared = _shared_units(claim, seen[0], seen[1], baseline, treatment)
    return shared if isinstance(shared, str) else None


def are_same_units(metric: str, runs: ConditionRuns) -> bool | None:
    """Return whether every replicate has the same several units of a metric; None if it has none.

    Then the first replicates are a sample of all: their order is that of their seeds. Where replicates have
    other units, the first ones may be the first of a file, which nobody has drawn, and which belong together
    is not known before all have run.
    """
    if metric not in runs.with_units:
        return None
    rows = [{unit for _, unit in row} for row in runs.entries(metric) if row]
    if not set().union(*rows) - {None}:
        return None
    return len(rows[0]) > 1 and all(row == rows[0] for row in rows)


def _cells(row: Iterable[tuple[Any, str | int | None]]) -> dict[Any, float]:
    """Return the mean of each unit in a replicate; nothing if a value is no finite number."""
    values: dict[Any, list[float]] = {}
    for value, unit in row:
        if not is_finite(value):
            return {}
        values.setdefault(unit, []).append(value)
    return {unit: of[0] if len(of) == 1 else mean_of_sample(of) for unit, of in values.items()}


def _unit_values(entries: Entries) -> dict[str | int, list[float]]:
    values: dict[Any, list[float]] = {}
    for row in entries:
        for value, unit in row:
            if is_finite(value):
                values.setdefault(unit, []).append(value)
    return values


def _noise(samples: Sequence[Sequence[float]]) -> float | None:
    """Return the standard error of a unit's mean, by the spread of its values; None of single ones."""
    df = sum(len(values) - 1 for values in samples)
    if not df:
        return None
    squares, power = squares_about_means(samples)
    variance = squares / df * math.fsum(1 / len(values) for values in samples) / len(samples)
    return scaled_float(math.sqrt(variance), power)


def _of_rates(columns: Sequence[Mapping[str | int, Sequence[float]]]) -> bool:
    return all(value in (0, 1) for column in columns for several in column.values() for value in several)


def _shared_units(
    claim: Claim,
    first: Mapping[str | int, Any],
    second: Mapping[str | int, Any],
    baseline: ConditionRuns,
    treatment: ConditionRuns,
    *,
    where: str = "",
) -> list[str | int] | str:
    """Return the units of both, in the order of the first, or say which only one of them has."""
    shared = [unit for unit in first if unit in second]
    if claim.pairing == "intersect" and shared:
        return shared
    apart = []
    for here, there, own, others in (
        (baseline, treatment, first, second),
        (treatment, baseline, second, first),
    ):
        if only := [unit for unit in own if unit not in others]:
            names = first_of(list(map(repr, only)), 5)
            apart.append(
                f"unit {names} is recorded{where} of {here.condition!r} and not of {there.condition!r}"
            )
    if not apart:
        return shared
    return (
        f"metric {claim.metric!r}: {'; '.join(apart)}: they would be averaged over different units; record "
        f"the same "
        "ones, or compare what both have by pairing='intersect'"
    )


def _unfilled(claim: Claim, omitted: int, n: int) -> str | None:
    """Say why replicates that lack a value can't be left out; None if they may."""
    if not omitted:
        return None
    if claim.nan_policy == "worst":
        return f"nan_policy='worst' does not know the units of metric {claim.metric!r} that lack; use 'omit'"
    allowed = claim.max_missing
    most = 0 if allowed is None else allowed if isinstance(allowed, int) else int(allowed * n)
    if omitted <= most:
        return None
    return (
        f"{omitted} of {n} replicates lack a finite value of {claim.metric!r}, and max_missing={allowed!r} "
        f"allows {most}; mend them: what is dropped may be what is bad"
    )
