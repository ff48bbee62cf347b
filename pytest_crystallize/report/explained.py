"""What a test says of its verdict, where it does not pass, and of a single run that was repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystallize import RunRecord, Verdict
from crystallize.seam import (
    CORRECTIONS,
    compared,
    digest,
    effect_of,
    extra_numbers,
    interval_of,
    level_of,
    name_of_p,
    number,
    printable,
    sides_of,
)
from pytest_crystallize.pytest_seam import saferepr


def explain(verdict: Verdict, drawn_seed: int | None = None) -> str:
    """Return what a test that does not pass says of its verdict."""
    lines = [f"{verdict.status.upper()}: {verdict.reason}" if verdict.reason else verdict.status.upper()]
    numbers = []
    if verdict.status == "inconclusive":  # what was found, and in lines of its own what would help
        lines[0], *numbers = lines[0].split("; ")
    row = verdict.to_dict()
    if verdict.baseline_mean is not None and verdict.treatment_mean is not None:
        metric = verdict.metric if verdict.direction else verdict.metric.split(", ")[0]
        shown = (
            f", {verdict.estimand or 'difference'} {effect_of(row)} {interval_of(row)}"
            if verdict.interval
            else ""
        )
        before, after = (number(mean, digits=6) for mean in (verdict.baseline_mean, verdict.treatment_mean))
        numbers.append(f"{metric}: {_compared_with(row)} {before}, {sides_of(row)[1]} {after}{shown}")
    if verdict.p_value is not None:
        name = name_of_p(row)
        shown, _ = compared(row["p_value" if name == "p" else "opposite_p"], level_of(row))
        numbers.append(f"{name} = {shown}{_compared(verdict)}, n = {verdict.n}, {verdict.test}")
    if extra := extra_numbers(row):
        numbers.append(extra)
    if verdict.population:
        numbers.append(f"speaks of {verdict.population}")
    if verdict.recorded and verdict.recorded not in verdict.reason:
        numbers.append(f"{verdict.comparator} {verdict.against!r} was {verdict.recorded}")
        if verdict.caveat:
            numbers.append(f"but {verdict.caveat}")
    if drawn_seed is not None:
        numbers.append(f"the root seed was drawn; repeat with --crystallize-seed={drawn_seed}")
    return "\n".join(map(printable, [*lines, *(f"  {line}" for line in numbers)]))


def _compared_with(row: Mapping[str, Any]) -> str:
    kind = row["comparator"]
    return f"{kind} {row['against']!r}" if kind in ("reference", "revision") else sides_of(row)[0]


def _compared(verdict: Verdict) -> str:
    """Say what the p-value was compared with."""
    if verdict.adjusted_p is not None:
        by = CORRECTIONS[verdict.correction]
        if name_of_p(verdict.to_dict()) != "p":
            return f", adjusted by {by} for {verdict.family} claims (alpha {verdict.alpha:g})"
        return (
            f", adjusted by {by} for {verdict.family} claims "
            f"{compared(verdict.adjusted_p, level_of(verdict.to_dict()))[0]} (alpha {verdict.alpha:g})"
        )
    if verdict.looks and verdict.level is not None and verdict.p_value is not None:
        _, level = compared(verdict.p_value, verdict.level, digits=3)
        return f" (level {level} at look {verdict.look} of {verdict.looks}, alpha {verdict.alpha:g})"
    return f" (alpha {verdict.alpha:g})" if verdict.alpha is not None else ""


def run_line(record: RunRecord) -> str:
    """Return in one line what a run gave, exactly."""
    metrics = ", ".join(f"{entry.name} = {saferepr(entry.value)}" for entry in record.metrics)
    return (
        f"replicate {record.replicate} of {record.condition!r}, seed {record.seed}: "
        f"{metrics or 'no metrics'}; digest {digest([record])}"
    )
