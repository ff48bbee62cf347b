"""What is compared with what: the runs on both sides of a verdict, and the samples in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crystallize.analysis.blocks import in_blocks
from crystallize.analysis.case_runs import CaseRuns, aligned, by_case, other_cases, recorded_by_case
from crystallize.analysis.columns import all_as_precise_as
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.decide import claim_of
from crystallize.analysis.family import AnalysisPlan, Member
from crystallize.analysis.references import References, measured_metrics
from crystallize.analysis.sample import PROCESSES, ClaimSample
from crystallize.analysis.second_metric import sample_of
from crystallize.analysis.unit_samples import are_same_units, is_nested_in_units
from crystallize.analysis.unread import without_reading
from crystallize.analysis.verdict import Verdict
from crystallize.analysis.verifying import verified
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.reference import Reference
from crystallize.declare.cases import CASE
from crystallize.declare.treatment import BASELINE
from crystallize.stats import is_binary


class Comparisons:
    """The two sides of every verdict of a plan: conditions of today, or a condition and its own past.

    Parameters
    ----------
    plan, runs, references
        As in `Analysis`.

    Attributes
    ----------
    runs : mapping of str to ConditionRuns
        By condition; where runs are samples of cases, by case.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        runs: Mapping[str, ConditionRuns],
        references: References,
    ) -> None:
        self.plan = plan
        self.runs = (
            runs if plan.cases is None else {n: by_case(known, plan.cases) for n, known in runs.items()}
        )
        self.references = references
        self._of_cases: dict[tuple[Hypothesis, str, int | None], tuple[CaseRuns, CaseRuns]] = {}
        self._prefixes: dict[tuple[int, int], ConditionRuns] = {}
        self._constants: dict[Member, ConditionRuns] = {}
        self._unread: dict[ConditionRuns, str | None] = {}
        self._binary: dict[tuple[Reference | None, str, int | None], bool] = {}
        self._samples: dict[tuple[Any, ...], ClaimSample | str] = {}

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return what a hypothesis has verdicts on: those that the reference alone has come last."""
        held = self.references.conditions(hypothesis.reference)
        named = hypothesis.treatments
        known = (BASELINE, *self.plan.treatments) if hypothesis.slices else ()
        gone = (name for name in held if (named is None or name in named) and name not in known)
        return tuple(dict.fromkeys((*self.plan.subjects(hypothesis), *gone)))

    def arms(
        self, hypothesis: Hypothesis, condition: str, size: int | None = None
    ) -> tuple[ConditionRuns, ConditionRuns]:
        """Return what stands for the baseline, and the condition that is compared with it."""
        first, second = self.plan.sides(hypothesis, condition)
        today = self._today(second)
        if first is not None:
            baseline = self._today(first)
        elif hypothesis.number is not None:
            baseline = self._constant(hypothesis, today)
        else:
            assert hypothesis.reference is not None
            baseline = self.references.baseline(hypothesis, second)
        arms = baseline, today
        if isinstance(today, CaseRuns):
            return self._by_case(hypothesis, condition, baseline, today, size)
        return arms if size is None else (self._prefix(arms[0], size), self._prefix(arms[1], size))

    def _by_case(
        self, hypothesis: Hypothesis, subject: str, baseline: ConditionRuns, today: CaseRuns, size: int | None
    ) -> tuple[CaseRuns, CaseRuns]:
        """Return both sides of the cases that a claim is about, of which the first ones are taken."""
        key = hypothesis, subject, size
        if key not in self._of_cases:
            claim, part = hypothesis.claim, self.plan.slice_of(hypothesis, subject)
            if not isinstance(baseline, CaseRuns):
                ids = self.references.cases(hypothesis.reference, today.condition)
                baseline = baseline if ids else ConditionRuns(baseline.condition, ())  # what is of no case
                shared = claim is not None and claim.pairing == "intersect"
                baseline, today = aligned(recorded_by_case(baseline, ids), today, shared=shared)
            arms = []
            for runs in (baseline, today):
                if size is not None:
                    runs = runs.chosen(range(min(size, len(runs.ids))))
                if part is not None:
                    runs = runs.of_ids(part)
                arms.append(runs.with_passes(claim.passes) if claim is not None and claim.passes else runs)
            self._of_cases[key] = arms[0], arms[1]
        return self._of_cases[key]

    def _constant(self, hypothesis: Hypothesis, today: ConditionRuns) -> ConditionRuns:
        """Return runs that give a number wherever those of today give a value."""
        key = hypothesis, today.condition
        if key not in self._constants:
            assert hypothesis.number is not None
            self._constants[key] = today.with_constant(claim_of(hypothesis).metric, hypothesis.number)
        return self._constants[key]

    def _is_binary(self, hypothesis: Hypothesis, metric: str, size: int | None) -> bool:
        """Say whether a metric is 0 or 1 wherever it is recorded: a row is not read unlike its neighbour."""
        against = hypothesis.reference
        key = against, metric, size
        if key not in self._binary:
            known = [*self.runs.values()]
            if against is not None:
                known += (self.references.runs(against, name) for name in self.references.conditions(against))
            # Others than both sides may not be run on; what is read alike at each look is what all have.
            least = None if size is None else self.plan.sizes[0]
            prefixes = known if least is None else [self._prefix(runs, least) for runs in known]
            columns = ([v for v in runs.column(metric) if v is not None] for runs in prefixes)
            self._binary[key] = all(
                is_binary(column[:1]) and is_binary(column) for column in columns if column
            )
        return self._binary[key]

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
        claim, arms = claim_of(hypothesis), self.arms(hypothesis, condition, size)
        is_plain = claim.test is None and claim.second is None and claim.nan_policy == "invalid"
        if not is_plain or hypothesis.is_by_itself:
            return self._sample(hypothesis, condition, arms, size)
        key = arms, size, claim.metric, claim.pairing, claim.deterministic  # nothing else of it is looked at
        if key not in self._samples:
            self._samples[key] = self._sample(hypothesis, condition, arms, size)
        return self._samples[key]

    def _sample(
        self,
        hypothesis: Hypothesis,
        condition: str,
        arms: tuple[ConditionRuns, ConditionRuns],
        size: int | None,
    ) -> ClaimSample | str:
        claim, against = claim_of(hypothesis), hypothesis.reference
        of_sessions = against is not None and bool(measured_metrics(hypothesis, *arms))
        sample: ClaimSample | str
        if of_sessions and (blocks := self.references.blocks(hypothesis, condition, arms[1])):
            sample = self._of_processes(hypothesis, arms, blocks)
        else:
            sample = sample_of(claim, *arms, of_sessions=of_sessions, by_unit=self._is_by_case)
        if claim.per is not None and hypothesis.number is not None and not isinstance(sample, str):
            assert sample.beside is not None  # the number is what each replicate's denominator is worth
            sample = replace(sample, baseline=[hypothesis.number * d for d in sample.beside[1]])
        if hypothesis.number is not None and not isinstance(sample, str) and len(sample.treatment):
            baseline = all_as_precise_as(sample.treatment, sample.baseline)
            sample = sample if baseline is sample.baseline else replace(sample, baseline=baseline)
        if not isinstance(sample, str):
            elsewhere, number = sample.binary_elsewhere, hypothesis.number
            if elsewhere and (number is not None or sample.is_binary):  # else it plays no part
                elsewhere = self._is_binary(hypothesis, claim.metric, size)
            repeats = against is None or self.references.is_mean(against, condition)
            repeats = repeats or (
                sample.paired and sample.population != PROCESSES and self.references.repeats()
            )
            if (elsewhere, repeats, number) == (sample.binary_elsewhere, sample.repeats, sample.number):
                return sample
            return replace(sample, binary_elsewhere=elsewhere, repeats=repeats, number=number)
        if against is None:
            return sample
        told = self.references.told(against, condition)
        return f"against {against} ({told}): {sample}"

    def _of_processes(
        self, hypothesis: Hypothesis, arms: tuple[ConditionRuns, ConditionRuns], blocks: Sequence[int]
    ) -> ClaimSample | str:
        """Return the sample of a claim whose pairs are processes, or say why there is none."""
        if self.plan.judging.stopping is not None:
            return (
                "measured values of two commits are compared once, when all pairs of processes have run; "
                "stop no such experiment early"
            )
        claim = claim_of(hypothesis)
        means = in_blocks(*arms, hypothesis.metrics or (claim.metric,), blocks)
        if isinstance(means, str):
            return means
        sample = sample_of(claim, *means, by_unit=False)
        return sample if isinstance(sample, str) else replace(sample, population=PROCESSES)

    @property
    def _is_by_case(self) -> bool:
        """Whether the units of values are cases; resplits overlap, and what is in them recurs by chance."""
        return self.plan.judging.resampled is None

    def are_same_units(self, hypothesis: Hypothesis, condition: str, size: int) -> bool | None:
        """Return whether each of the first replicates has the same units of a claim; None without units."""
        claim = claim_of(hypothesis)
        if claim.deterministic or not self._is_by_case:
            return None
        return are_same_units(claim.metric, self.arms(hypothesis, condition, size)[1])

    def verified(self, hypothesis: Hypothesis, condition: str) -> Verdict:
        """Return what a hypothesis's verifier makes of all replicates."""
        arms = self.arms(hypothesis, condition)
        if hypothesis.reference is not None and hypothesis.metrics is None and not arms[1].lacking:
            # It is given the metrics that both have; what the reference alone has is gone.
            lost = (arms[1].gap(metric) for metric in arms[0].names if arms[0].gap(metric) is None)
            if (reason := next((gap for gap in lost if gap), None)) is not None:
                return Verdict.invalid(reason)
        if blocks := self.references.blocks(hypothesis, condition, arms[1]):
            means = in_blocks(*arms, hypothesis.metrics or arms[0].names, blocks)
            if isinstance(means, str):
                return Verdict.invalid(means)
            return replace(verified(hypothesis, *means), population=PROCESSES)
        return verified(hypothesis, *arms)

    def why_without_effect(
        self, hypothesis: Hypothesis, condition: str, size: int | None = None
    ) -> str | None:
        """Say why a treatment reached nothing that was measured in the first replicates; None if it did."""
        first, second = self.arms(hypothesis, condition, size)
        compared = (second,) if hypothesis.reference is not None else (first, second)
        for runs in compared:
            if runs not in self._unread:
                fault = self.plan.keys.fault(runs)
                if fault is None and self.plan.cases is not None:
                    fault = without_reading(runs, CASE)
                self._unread[runs] = fault
        return next((fault for runs in compared if (fault := self._unread[runs])), None)

    def changed_cases(self, hypothesis: Hypothesis, subject: str) -> str:
        """Tell of how many cases a reference was recorded when they held something else; empty if of none."""
        if hypothesis.reference is None or self.plan.cases is None:
            return ""
        condition = self.plan.sides(hypothesis, subject)[1]
        held = self.references.recording(hypothesis.reference, condition)
        before = dict(() if held is None else held.cases)
        changed = [
            case.id
            for case in self.plan.cases.order
            if case.id in before and not case.digest.startswith(before[case.id])
        ]
        if not changed:
            return ""
        many = f"case {changed[0]!r} holds" if len(changed) == 1 else f"{len(changed)} cases hold"
        return f"{many} something else than when {hypothesis.reference} was recorded"

    def why_unreferenced(self, hypothesis: Hypothesis, condition: str) -> str | None:
        """Say why there is nothing to compare a condition with; None if there is."""
        if hypothesis.reference is None:
            return None
        is_there = condition in self.plan.subjects(hypothesis)
        name = self.plan.sides(hypothesis, condition)[1] if is_there else condition
        today = self._today(name) if is_there else None
        by_case = self.plan.cases is not None
        by_unit = not by_case and self._is_by_unit(hypothesis, condition)
        fault = self.references.why_not(
            hypothesis, name, today, self.plan.replicates, by_unit=by_unit, by_case=by_case
        )
        if fault is not None or not isinstance(today, CaseRuns):
            return fault
        return self._why_other_cases(hypothesis, condition, name)

    def _why_other_cases(self, hypothesis: Hypothesis, subject: str, condition: str) -> str | None:
        """Say why cases of today do not pair with those of a reference; None if they do."""
        against, claim = hypothesis.reference, hypothesis.claim
        assert against is not None
        told = self.references.told(against, condition)
        if not self.references.cases(against, condition):
            return f"{against} ({told}) says of no case what it gave; record it anew"
        arms = self.arms(hypothesis, subject)
        assert isinstance(arms[0], CaseRuns)
        assert isinstance(arms[1], CaseRuns)
        if claim is not None and claim.pairing != "auto":
            return None
        fault = other_cases(arms[0], arms[1])
        return None if fault is None else f"against {against} ({told}): {fault}"

    def _is_by_unit(self, hypothesis: Hypothesis, condition: str) -> bool:
        """Return whether each replicate is of one case on both sides: then cases pair, not replicates."""
        claim = hypothesis.claim
        if claim is None:
            return False
        return all(is_nested_in_units(claim.metric, runs) for runs in self.arms(hypothesis, condition))

    def _today(self, condition: str) -> ConditionRuns:
        known = self.runs.get(condition)
        return ConditionRuns(condition, ()) if known is None else known  # it may be gone
