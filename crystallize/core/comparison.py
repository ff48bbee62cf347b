"""What is compared with what: the runs on both sides of a verdict, and the samples in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.decide import claim_of
from crystallize.core.family import AnalysisPlan
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.reference import Reference
from crystallize.core.samples import ClaimSample, claim_sample
from crystallize.core.stored_reference import StoredReference
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
        references: Mapping[Reference, StoredReference | str],
    ) -> None:
        self.plan = plan
        self.runs = runs
        self.references = references
        self._prefixes: dict[tuple[int, int], ConditionRuns] = {}

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return what a hypothesis has verdicts on: those that the reference alone has come last."""
        subjects = self.plan.subjects(hypothesis)
        known = None if hypothesis.against is None else self.references.get(hypothesis.against)
        if not isinstance(known, StoredReference):
            return subjects
        return (*subjects, *(name for name in known.conditions if name not in subjects))

    def arms(
        self, hypothesis: Hypothesis, condition: str, size: int | None = None
    ) -> tuple[ConditionRuns, ConditionRuns]:
        """Return what stands for the baseline, and the condition that is compared with it."""
        if hypothesis.against is None:
            baseline = self.runs[BASELINE]
        else:
            known = self.references.get(hypothesis.against)
            stored = known.conditions.get(condition) if isinstance(known, StoredReference) else None
            baseline = ConditionRuns(condition, ()) if stored is None else stored
        today = self.runs.get(condition, ConditionRuns(condition, ()))  # it may be gone
        arms = baseline, today
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
        sample = claim_sample(claim_of(hypothesis), *self.arms(hypothesis, condition, size))
        if hypothesis.against is None or not isinstance(sample, str):
            return sample
        return f"against reference {hypothesis.against.name!r}: {sample}"

    def verified(self, hypothesis: Hypothesis, condition: str) -> Verdict:
        """Return what a hypothesis's verifier makes of all replicates."""
        arms = self.arms(hypothesis, condition)
        if hypothesis.against is not None and hypothesis.metrics is None and not arms[1].lacking:
            # It is given the metrics that both have; what the reference alone has is gone.
            lost = (arms[1].gap(metric) for metric in arms[0].metrics if arms[0].gap(metric) is None)
            if (reason := next((gap for gap in lost if gap), None)) is not None:
                return Verdict.invalid(reason)
        return verified(hypothesis, *arms)

    def why_unreferenced(self, hypothesis: Hypothesis, condition: str) -> str | None:
        """Say why there is nothing to compare a condition with; None if there is."""
        if hypothesis.against is None:
            return None
        name = hypothesis.against.name
        known = self.references.get(hypothesis.against, f"there is no reference {name!r}")
        if isinstance(known, str):
            return known
        if condition not in known.conditions:
            held = _listed(known.conditions)
            return f"reference {name!r} has no condition {condition!r}, but {held}; record that, too"
        today = self.plan.subjects(hypothesis)
        if condition not in today:
            return (
                f"condition {condition!r} of reference {name!r} is gone; there are {_listed(today)}. "
                "If it is meant to be gone, record the reference anew"
            )
        if hypothesis.claim is None or hypothesis.claim.pairing == "auto":
            return self._not_the_same_replicates(name, known, condition)
        return None

    def _not_the_same_replicates(self, name: str, known: StoredReference, condition: str) -> str | None:
        """Say in what the replicates of a reference differ from those of today; None if they pair."""
        stored = f"reference {name!r} is of {known.replicates} replicates of root seed {known.root_seed}"
        if known.replicates != self.plan.replicates:
            return f"{stored}, and today's are {self.plan.replicates}"
        for record in self.runs[condition].records:
            if record is not None and record.seed != known.seeds[record.replicate]:
                return (
                    f"{stored}: its replicate {record.replicate} has seed {known.seeds[record.replicate]}, "
                    f"and today's has {record.seed}"
                )
        return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
