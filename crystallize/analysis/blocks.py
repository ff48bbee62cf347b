"""Values of processes: how fast a process is by chance no seed repeats, so what varies is pairs of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crystallize.analysis.columns import mean
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.context.record import RunRecord
from crystallize.context.recording import MetricEntry

FEWEST_BLOCKS: Final = 10
"""How many pairs of processes tell a change of the code from what processes differ by."""


def blocks_of(replicates: int) -> list[int]:
    """Return of each replicate the block that it is in, all of nearly the same size."""
    number = min(FEWEST_BLOCKS, replicates)
    return [i * number // replicates for i in range(replicates)]


def in_blocks(
    baseline: ConditionRuns, treatment: ConditionRuns, metrics: Iterable[str], blocks: Sequence[int]
) -> tuple[ConditionRuns, ConditionRuns] | str:
    """Return the means of each block as runs whose pairs are blocks, or say why there are none.

    Parameters
    ----------
    baseline, treatment : ConditionRuns
        Of as many replicates as `blocks` has.
    metrics : iterable of str
        Those that are needed; each replicate has to have them.
    blocks : sequence of int
        The block of each replicate.
    """
    if (pairs := len(set(blocks))) < FEWEST_BLOCKS:
        return (
            f"{pairs} replicates make {pairs} pairs of processes, and measured values of two commits need "
            f"{FEWEST_BLOCKS}: what processes differ by is in no fewer; run at least {FEWEST_BLOCKS}"
        )
    named = list(metrics)
    for arm in (baseline, treatment):
        gaps = (arm.gap(name) or arm.not_numeric(name) for name in named)
        if (fault := arm.missing_evidence() or next((gap for gap in gaps if gap), None)) is not None:
            return fault
    return _means(baseline, named, blocks), _means(treatment, named, blocks)


def _means(runs: ConditionRuns, metrics: Sequence[str], blocks: Sequence[int]) -> ConditionRuns:
    held: list[list[MetricEntry]] = [[] for _ in set(blocks)]
    for name in metrics:
        values: list[list[float]] = [[] for _ in held]
        for block, value in zip(blocks, runs.column(name), strict=True):
            assert value is not None  # there is no gap
            values[block].append(value)
        for entries, known in zip(held, values, strict=True):
            entries.append(MetricEntry(name, mean(known), None, True, "block"))
    records = [RunRecord(runs.condition, i, i, tuple(entries)) for i, entries in enumerate(held)]
    return ConditionRuns(runs.condition, records)
