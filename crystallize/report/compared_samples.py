"""The two samples that a verdict compares, as plots show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crystallize.analysis.columns import mean
from crystallize.analysis.sample import PROCESSES, SESSIONS
from crystallize.analysis.verdict import Verdict
from crystallize.context.recording import is_finite
from crystallize.report.effect_scale import SHIFTS
from crystallize.report.model import ExperimentResults, Outcome
from crystallize.report.wording import PASTS, sides_of
from crystallize.text.formatting import or_zero, scale_of


@dataclass(frozen=True, slots=True)
class ComparedSamples:
    """Samples that a verdict compares.

    Attributes
    ----------
    metric : str
        Of which they are.
    names : pair of str
        What both sides are called.
    baseline, treatment : sequence
        One value per replicate; not all have to be numbers.
    paired : bool
        Whether the i-th values belong together.
    """

    metric: str
    names: tuple[str, str]
    baseline: Sequence[Any]
    treatment: Sequence[Any]
    paired: bool

    @classmethod
    def of(cls, each: ExperimentResults, outcome: Outcome, verdict: Verdict) -> ComparedSamples:
        """Return what the verdict of an outcome compares."""
        metric = _metric(each, verdict)
        samples, reference = each.samples.get(metric, {}), outcome.reference or {}
        left, right = sides_of(verdict.to_dict())
        treatment = samples.get(right, ())
        if verdict.comparator == "number":
            held = [float(verdict.against)] * len(treatment)
            return cls(metric, (verdict.against, right), held, treatment, paired=False)
        if verdict.comparator in PASTS:
            held = reference.get("samples", {}).get(metric, ())[: each.run if verdict.looks else None]
            seeds = zip(reference.get("seeds", ()), each.seeds, strict=False)
            same = all(then == now for then, now in seeds if now is not None)
            paired = verdict.population not in (SESSIONS, PROCESSES) and same
            return cls(metric, (left, right), held, treatment, paired=paired)
        return cls(metric, (left, right), samples.get(left, ()), treatment, paired=True)

    @property
    def replicates(self) -> int:
        """Number of replicates of the side that has more."""
        return max(len(self.baseline), len(self.treatment))

    def differences(self, verdict: Verdict) -> list[float]:
        """Return what each replicate says of the effect, in its units; nothing of effects of another kind.

        Of pairs their differences (none of yes/no), otherwise how far each treated value lies from the
        baseline's mean; where the effect is a relative change, as parts of that mean.
        """
        if verdict.estimand not in ("", "relative change", *SHIFTS):
            return []
        known = [float(value) for value in self.baseline if is_finite(value)]
        center = mean(known) if known else math.nan
        relative = verdict.estimand == "relative change"
        unit = abs(center) if relative else 1.0
        if not math.isfinite(center) or unit == 0:
            return []
        if self.paired:
            pairs = zip(self.baseline, self.treatment, strict=False)
            found = [float(t) - float(b) for b, t in pairs if is_finite(b) and is_finite(t)]
        else:
            found = [float(t) - center for t in self.treatment if is_finite(t)]
        if set(found) <= {-1.0, 0.0, 1.0}:  # of yes/no, of which dots would only be stacks
            return []
        scale = scale_of(verdict.to_dict())
        return [or_zero(value / unit, scale) for value in found]


def _metric(each: ExperimentResults, verdict: Verdict) -> str:
    """Return the metric to be drawn: the first, where a verifier reads several."""
    if verdict.metric in each.samples:
        return verdict.metric
    return next((name for name in each.samples if verdict.metric.startswith(f"{name}, ")), verdict.metric)
