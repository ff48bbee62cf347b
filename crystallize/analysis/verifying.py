"""Verifiers at work: what they are given, and how their answers are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.condition_samples import verifier_metrics
from crystallize.analysis.sample import SEEDS
from crystallize.analysis.verdict import Verdict
from crystallize.boundary import failure, shown
from crystallize.claims.hypothesis import Hypothesis, Sample
from crystallize.stats.precision import as_paired_arms


def verified(hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns) -> Verdict:
    """Ask a hypothesis's verifier about runs; whatever evidence is missing makes the verdict invalid."""
    arms = (baseline, treatment)
    reason, metrics = verifier_metrics(hypothesis.metrics, *arms)
    if reason is not None:
        return Verdict.invalid(reason)
    verdict = answered(hypothesis, *(arm.sample(metrics) for arm in arms))
    if verdict.status == "invalid":
        return verdict
    return replace(verdict, degenerate=_no_variance(metrics, *arms), population=SEEDS)


def answered(hypothesis: Hypothesis, baseline: Sample, treatment: Sample) -> Verdict:
    """Ask a hypothesis's verifier about complete samples; never raises for what it does."""
    verifier = hypothesis.verifier
    assert verifier is not None
    label = getattr(verifier, "__name__", type(verifier).__name__)
    try:
        with hypothesis.seeded():
            return _read(verifier(baseline, treatment), label)
    except BaseException as error:
        known = ", ".join(map(repr, baseline)) or "none"
        reason = f"the verifier raised {failure(error)}; it is {label!r}, metrics given: {known}"
        return Verdict.invalid(reason, test=label)


def shown_metric(hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns) -> str:
    """Return the metric whose means are shown: the first that the hypothesis is about."""
    if hypothesis.claim is not None:
        return hypothesis.claim.metric
    if hypothesis.metrics:
        return hypothesis.metrics[0]
    reason, metrics = verifier_metrics(None, baseline, treatment)
    return metrics[0] if reason is None else ""


def _no_variance(metrics: Iterable[str], baseline: ConditionRuns, treatment: ConditionRuns) -> bool:
    """Return whether the differences of each numeric metric are all equal, over more than one replicate."""
    numeric = [m for m in metrics if not baseline.not_numeric(m) and not treatment.not_numeric(m)]
    if not numeric or len(baseline.records) < 2:
        return False
    return all(_equal_differences(baseline.values(m), treatment.values(m)) for m in numeric)


def _equal_differences(baseline: Sequence[float], treatment: Sequence[float]) -> bool:
    return as_paired_arms("verifier", baseline, treatment, minimum=1).apart <= 1


def _read(returned: Any, label: str) -> Verdict:
    """Read what the verifier `label` returned; anything that is no evidence is invalid."""
    if not isinstance(returned, Mapping):
        return Verdict.invalid(
            f"verifier {label!r} returned {_short(returned)}; it must return a mapping with "
            "p_value and "
            "significant",
            test=label,
        )
    details = {str(key): _plain(value) for key, value in returned.items()}
    if "p_value" not in details or not ("significant" in details or "accepted" in details):
        got = ", ".join(map(repr, details)) or "nothing"
        return Verdict.invalid(
            f"verifier {label!r} returned {got}; it must return p_value and significant (or accepted)",
            test=label,
            details=details,
        )
    p_value = details["p_value"]
    if isinstance(p_value, bool) or not isinstance(p_value, int | float) or not 0 <= p_value <= 1:
        return Verdict.invalid(
            f"verifier {label!r} returned p_value = {_short(p_value)}, which is no probability",
            test=label,
            details=details,
        )
    verdict = details.get("accepted", details.get("significant"))
    if not isinstance(verdict, bool):
        return Verdict.invalid(
            f"verifier {label!r} returned {_short(verdict)} where it must say True or False",
            p_value=float(p_value),
            test=label,
            details=details,
        )
    details.setdefault("significant", verdict)
    details.setdefault("accepted", verdict)
    return Verdict(
        status="supported" if verdict else "inconclusive",
        reason="" if verdict else f"verifier {label!r} does not accept it; more replicates may decide it",
        p_value=float(p_value),
        test=label,
        details=details,
    )


def _plain(value: Any) -> Any:
    """Turn numpy scalars, 0-d arrays and numbers of the user's classes into Python's own."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if isinstance(value, float):  # whatever operators a class defines
        return float.__pos__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__pos__(value)
    return value


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 60 else f"a {type(value).__qualname__}"
