"""A verifier on the runs of two conditions: its evidence, and what it makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.decision import Decision
from crystallize.core.sample import SEEDS

if TYPE_CHECKING:
    from crystallize.core.hypothesis import Hypothesis


def decide_by_verifier(hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns) -> Decision:
    """Ask a hypothesis's verifier; whatever evidence is missing makes the answer invalid."""
    arms = (baseline, treatment)
    reason, metrics = _evidence(hypothesis, *arms)
    if reason is not None:
        return Decision(status="invalid", reason=reason)
    decision = hypothesis.decide(*(arm.sample(metrics) for arm in arms))
    if decision.status == "invalid":
        return decision
    return replace(decision, degenerate=_no_variance(metrics, *arms), population=SEEDS)


def shown_metric(hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns) -> str:
    """Return the metric whose means are shown: the first that the hypothesis is about."""
    if hypothesis.metrics:
        return hypothesis.metrics[0]
    reason, metrics = _evidence(hypothesis, baseline, treatment)
    return metrics[0] if reason is None else ""


def _evidence(
    hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns
) -> tuple[str | None, tuple[str, ...]]:
    """Return why there is no evidence to decide upon, if so, and the metrics that the evidence is about."""
    arms = (baseline, treatment)
    reason = baseline.missing_evidence() or treatment.missing_evidence() or _not_pairs(*arms)
    if reason is not None:
        return reason, ()
    if hypothesis.metrics is not None:
        gaps = (arm.gap(name) for name in hypothesis.metrics for arm in arms)
        return next((gap for gap in gaps if gap), None), hypothesis.metrics
    recorded = dict.fromkeys((*baseline.metrics, *treatment.metrics))
    gaps_of = {name: baseline.gap(name) or treatment.gap(name) for name in recorded}
    complete = tuple(name for name, gap in gaps_of.items() if gap is None)
    if complete:
        return None, complete
    return next((gap for gap in gaps_of.values() if gap), "no metric was recorded"), ()


def _not_pairs(baseline: ConditionRuns, treatment: ConditionRuns) -> str | None:
    """Say why the values of two complete conditions are not pairs of the same seeds; None if they are."""
    sizes = len(baseline.records), len(treatment.records)
    if sizes[0] != sizes[1] or not sizes[0]:
        return (
            f"{sizes[0]} replicates of {baseline.condition!r} and {sizes[1]} of {treatment.condition!r}; a "
            "verdict needs the same replicates of both, and at least one"
        )
    for replicate, (one, other) in enumerate(zip(baseline.records, treatment.records, strict=True)):
        if one is not None and other is not None and one.seed != other.seed:
            return (
                f"replicate {replicate} has seed {one.seed} in {baseline.condition!r} and {other.seed} in "
                f"{treatment.condition!r}; both need the same root seed"
            )
    return None


def _no_variance(metrics: Iterable[str], baseline: ConditionRuns, treatment: ConditionRuns) -> bool:
    """Tell whether the differences of each numeric metric are all equal, over more than one replicate."""
    numeric = [m for m in metrics if not baseline.not_numeric(m) and not treatment.not_numeric(m)]
    if not numeric or len(baseline.records) < 2:
        return False
    return all(_equal_differences(baseline.metrics[m], treatment.metrics[m]) for m in numeric)


def _equal_differences(baseline: Sequence[float], treatment: Sequence[float]) -> bool:
    differences = [t - b for b, t in zip(baseline, treatment, strict=True)]
    largest = max(max(map(abs, values)) for values in (baseline, treatment, differences))
    return max(differences) - min(differences) <= 1e-12 * largest
