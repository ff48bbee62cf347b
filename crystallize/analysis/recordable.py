"""What of the runs of an experiment is recorded as a reference, and why the rest is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.stored_reference import Origin, Recording
from crystallize.errors import ReferenceFileError

if TYPE_CHECKING:
    from crystallize.claims.hypothesis import Hypothesis


class Claimed(NamedTuple):
    """A metric that a hypothesis is about.

    Attributes
    ----------
    metric : str or None
        Its name; None means every metric.
    numeric : bool
        Whether its values have to be numbers.
    """

    metric: str | None
    numeric: bool


def claimed_metrics(hypotheses: Iterable[Hypothesis]) -> list[Claimed]:
    """Return the metrics that hypotheses are about."""
    return [
        Claimed(metric, hypothesis.claim is not None)
        for hypothesis in hypotheses
        for metric in ((None,) if hypothesis.metrics is None else hypothesis.metrics)
    ]


def make_recording(
    name: str,
    runs: Mapping[str, ConditionRuns],
    origin: Origin,
    *,
    root_seed: int,
    claimed: Iterable[Claimed] = (),
    cases: Sequence[tuple[str, str]] = (),
) -> tuple[Recording, list[str]]:
    """Return a recording made of runs, and why which metrics are not in it.

    Complete and finite is what is recorded: a metric that is not, and that nothing is claimed of, is left
    out.

    Raises
    ------
    ReferenceFileError
        If a replicate failed or was not run, or gave no value of a metric of which something is claimed, or
        one that is not finite, or no number; and if nothing ran.
    """
    if not runs:
        raise ReferenceFileError(f"{name}: nothing ran, so there is nothing to record")
    for known in runs.values():
        if (missing := known.missing_evidence()) is not None:
            raise ReferenceFileError(f"{name}: {missing}; only complete runs are recorded")
    claims = list(claimed)
    for known in runs.values():
        if (fault := unrecordable(known, claims)) is not None:
            raise ReferenceFileError(
                f"{name}: {fault}; what a hypothesis is about is saved complete and finite, or nothing is"
            )
    left_out: dict[str, str] = {}
    for known in runs.values():
        for metric in known.names:
            if (fault := _why_left_out(known, metric)) is not None:
                left_out.setdefault(metric, fault)
    kept = {condition: _without(known, left_out) for condition, known in runs.items()}
    seeds = [seed for seed in next(iter(runs.values())).seeds if seed is not None]
    return Recording(origin, root_seed, seeds, kept, cases), list(left_out.values())


def unrecordable(runs: ConditionRuns, claimed: Iterable[Claimed]) -> str | None:
    """Say why what is claimed of complete runs can't be recorded; None if it can."""
    for metric, numeric in claimed:
        if metric is None and not runs.names:
            return f"no metric was recorded in {runs.condition!r}"
        for one in runs.names if metric is None else (metric,):
            fault = (runs.not_numeric(one) if numeric else None) or _why_left_out(runs, one)
            if fault is not None:
                return fault
    return None


def _why_left_out(runs: ConditionRuns, metric: str) -> str | None:
    """Say why a metric can't be recorded; None if it can.

    When and where stored runs measured something, nobody knows.
    """
    kinds = (record for record, _ in runs.records.kinds())
    stored = any(one.cached or metric in one.measured_by_stored_steps for one in kinds)
    if stored and metric in runs.measured:
        return f"metric {metric!r} of {runs.condition!r} was measured in an earlier session, and stored"
    return runs.gap(metric)


def _without(runs: ConditionRuns, metrics: Mapping[str, str]) -> ConditionRuns:
    if not metrics:
        return runs
    return ConditionRuns(
        runs.condition,
        [
            replace(record, metrics=tuple(e for e in record.metrics if e.name not in metrics))
            for record in runs.records
            if record is not None
        ],
    )
