"""What is compared with what: the runs on both sides of a verdict, and the samples in them."""

from __future__ import annotations

from collections.abc import Mapping

from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.decide import claim_of
from crystallize.core.family import AnalysisPlan
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.references import References, measured_metrics
from crystallize.core.samples import ClaimSample, claim_sample
from crystallize.core.treatment import BASELINE
from crystallize.core.verdict import Verdict
from crystallize.core.verifying import verified


class Comparisons:
    """The two sides of every verdict of a plan: conditions of today, or a condition and its own past.

    Parameters
    ----------
    plan, runs, references
        As in `Analysis`.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        runs: Mapping[str, ConditionRuns],
        references: References,
    ) -> None:
        self.plan = plan
        self.runs = runs
        self.references = references
        self._prefixes: dict[tuple[int, int], ConditionRuns] = {}

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return what a hypothesis has verdicts on: those that the reference alone has come last."""
        held = self.references.conditions(hypothesis.against)
        return tuple(dict.fromkeys((*self.plan.subjects(hypothesis), *held)))

    def arms(
        self, hypothesis: Hypothesis, condition: str, size: int | None = None
    ) -> tuple[ConditionRuns, ConditionRuns]:
        """Return what stands for the baseline, and the condition that is compared with it."""
        if hypothesis.against is None:
            baseline = self.runs[BASELINE]
        else:
            baseline = self.references.runs(hypothesis.against, condition)
        arms = baseline, self._today(condition)
        return arms if size is None else (self._prefix(arms[0], size), self._prefix(arms[1], size))

    def names(self, hypothesis: Hypothesis, condition: str) -> tuple[str, str]:
        """Return what messages call both sides."""
        baseline, today = self.arms(hypothesis, condition)
        return baseline.condition, today.condition

    def _prefix(self, runs: ConditionRuns, size: int) -> ConditionRuns:
        key = id(runs), size
        if key not in self._prefixes:
            self._prefixes[key] = runs.first(size)
        return self._prefixes[key]

    def sample(self, hypothesis: Hypothesis, condition: str, size: int | None = None) -> ClaimSample | str:
        """Return the sample of a claim, of the first replicates or all, or say why there is none."""
        arms, against = self.arms(hypothesis, condition, size), hypothesis.against
        of_sessions = against is not None and bool(measured_metrics(hypothesis, *arms))
        sample = claim_sample(claim_of(hypothesis), *arms, of_sessions=of_sessions)
        if against is None or not isinstance(sample, str):
            return sample
        told = self.references.told(against, condition)
        return f"against reference {against.name!r} ({told}): {sample}"

    def verified(self, hypothesis: Hypothesis, condition: str) -> Verdict:
        """Return what a hypothesis's verifier makes of all replicates."""
        arms = self.arms(hypothesis, condition)
        if hypothesis.against is not None and hypothesis.metrics is None and not arms[1].lacking:
            # It is given the metrics that both have; what the reference alone has is gone.
            lost = (arms[1].gap(metric) for metric in arms[0].metrics if arms[0].gap(metric) is None)
            if (reason := next((gap for gap in lost if gap), None)) is not None:
                return Verdict.invalid(reason)
        return verified(hypothesis, *arms)

    def why_without_effect(
        self, hypothesis: Hypothesis, condition: str, size: int | None = None
    ) -> str | None:
        """Say why a treatment reached nothing that was measured in the first replicates; None if it did."""
        return self.plan.keys.fault(self.arms(hypothesis, condition, size)[1])

    def why_unreferenced(self, hypothesis: Hypothesis, condition: str) -> str | None:
        """Say why there is nothing to compare a condition with; None if there is."""
        today = self._today(condition) if condition in self.plan.subjects(hypothesis) else None
        return self.references.why_not(hypothesis, condition, today, self.plan.replicates)

    def _today(self, condition: str) -> ConditionRuns:
        return self.runs.get(condition, ConditionRuns(condition, ()))  # it may be gone
