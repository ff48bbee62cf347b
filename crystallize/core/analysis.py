"""The analysis plan: how the claims of an experiment are judged together, at once or look by look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, get_args

from crystallize.core.anytime import anytime_tested
from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.decision import Decision
from crystallize.core.evidence import claim_sample
from crystallize.core.judging import Tested, tested
from crystallize.core.reference import Reference
from crystallize.core.sample import ClaimSample
from crystallize.core.stat_test import McNemarTest, PairedTTest, ResampledTTest
from crystallize.core.stopping import AnytimeValid, GroupSequential, Stopping
from crystallize.core.stored_reference import StoredReference
from crystallize.core.treatment import BASELINE
from crystallize.core.verdict import Verdict
from crystallize.core.verifying import decide_by_verifier, shown_metric
from crystallize.errors import DefinitionError
from crystallize.stats import Correction, adjust

if TYPE_CHECKING:
    from crystallize.core.claim import Claim
    from crystallize.core.hypothesis import Hypothesis

_BONFERRONI: Final = "bonferroni"


@dataclass(frozen=True, slots=True)
class Judging:
    """How the claims of an experiment are judged.

    Parameters
    ----------
    correction : {"holm", "bh", "none"}
        Of the p-values of all claims of superiority, over hypotheses and treatments.
    stopping : GroupSequential or AnytimeValid, optional
        When to look, and what a look may decide.
    resampled : float, optional
        Part of the data set that each replicate holds out, if replicates are resplits of one data set.

    Raises
    ------
    DefinitionError
        If an argument is none of these, or they make no sense together.
    """

    correction: Correction = "holm"
    stopping: Stopping | None = None
    resampled: float | None = None

    def __post_init__(self) -> None:
        if self.correction not in get_args(Correction):
            allowed = ", ".join(map(repr, get_args(Correction)))
            raise DefinitionError(f"correction is {self.correction!r}; allowed are {allowed}")
        if self.stopping is not None and not isinstance(self.stopping, Stopping):
            hint = "; call it" if isinstance(self.stopping, type) else ""
            raise DefinitionError(
                f"stopping is {self.stopping!r}; give GroupSequential() or AnytimeValid(){hint}"
            )
        if self.stopping is not None and self.correction == "bh":
            raise DefinitionError(
                "correction='bh' and stopping=: looks need the level of each claim beforehand; use "
                "'holm' (early "
                "stopping then splits alpha by Bonferroni) or 'none'"
            )
        part = self.resampled
        if part is not None and (
            isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part < 1
        ):
            raise DefinitionError(
                f"resampled is {part!r}; give the part of the data set that each replicate holds out, a "
                "number "
                "between 0 and 1"
            )
        if part is not None and isinstance(self.stopping, AnytimeValid):
            raise DefinitionError(
                "resampled= and stopping=AnytimeValid(): there is no such test of resplits; use "
                "GroupSequential()"
            )

    def check(self, hypotheses: Iterable[Hypothesis], where: str) -> None:
        """Raise `DefinitionError` if a claim can't be judged in this way."""
        for hypothesis in hypotheses:
            if hypothesis.claim is not None and (fault := self._fault(hypothesis.claim)) is not None:
                raise DefinitionError(f"{where}: hypothesis {hypothesis.name!r} {fault}")

    def _fault(self, claim: Claim) -> str | None:
        test = claim.test
        if self.resampled is not None and not claim.deterministic:
            own = test is not None and not type(test).__module__.startswith("crystallize.")
            if test is not None and not own and not isinstance(test, ResampledTTest):
                return (
                    f"uses the {test.name} test, but replicates are resplits (resampled={self.resampled:g}), "
                    "which overlap: it would find differences that are not there; leave statistical_test out"
                )
            if claim.kind == "binary" or claim.pairing == "none":
                what = "kind='binary'" if claim.kind == "binary" else "pairing='none'"
                return f"has {what}, and resampled= is for means of paired resplits; leave it out"
        if isinstance(self.stopping, AnytimeValid) and not claim.deterministic:
            served = test is None or isinstance(test, PairedTTest) or test == McNemarTest()
            if not served or claim.pairing == "none":
                return "can't be stopped by AnytimeValid(), which serves the default tests of pairs only"
            if claim.alternative == "one-sided":
                return "is one-sided, and AnytimeValid() tests both sides; leave alternative out"
            if claim.relative and claim.margin is not None:
                return "has a relative margin, for which AnytimeValid() has no test; give an absolute one"
        return None


DEFAULT_JUDGING: Final = Judging()


@dataclass(frozen=True)
class AnalysisPlan:
    """What is claimed of which treatments, and how it is judged.

    Parameters
    ----------
    hypotheses : sequence of Hypothesis
        All of the experiment.
    treatments : sequence of str
        All of the experiment.
    replicates : int
        Planned number.
    judging : Judging
        How the claims are judged.
    """

    hypotheses: tuple[Hypothesis, ...]
    treatments: tuple[str, ...]
    replicates: int
    judging: Judging = DEFAULT_JUDGING

    @cached_property
    def family(self) -> int:
        """How many p-values a correction is for: of every claim of superiority, for all that it is about."""
        return sum(len(self.subjects(h)) for h in self.hypotheses if _in_family(h))

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return the conditions that a hypothesis is about: the treatments, or against a reference all."""
        return self.treatments if hypothesis.against is None else (BASELINE, *self.treatments)

    @property
    def sizes(self) -> list[int]:
        """Replicates at each look; all of them at the only one without early stopping."""
        stopping = self.judging.stopping
        return [self.replicates] if stopping is None else stopping.sizes(self.replicates)

    def is_corrected(self, hypothesis: Hypothesis) -> bool:
        """Whether the verdict on a hypothesis allows for the other claims."""
        return self.judging.correction != "none" and self.family > 1 and _in_family(hypothesis)

    def conditions(self, hypothesis: Hypothesis, treatment: str) -> tuple[str, ...]:
        """Return the conditions that a verdict rests on: all of them if its p-value is adjusted."""
        if self.is_corrected(hypothesis) and self.judging.stopping is None:
            return (BASELINE, *self.treatments)
        return (treatment,) if hypothesis.against is not None else (BASELINE, treatment)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _in_family(hypothesis: Hypothesis) -> bool:
    claim = hypothesis.claim
    return claim is not None and claim.is_superiority and not claim.deterministic


class Analysis:
    """The verdicts that records give under a plan.

    Parameters
    ----------
    plan : AnalysisPlan
        What is claimed.
    runs : mapping of str to ConditionRuns
        By condition, of as many replicates as are planned. A treatment may be absent: then its claims count
        in the family as not significant.
    references : mapping of Reference to StoredReference or str, optional
        What hypotheses are against, or why there is none.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        runs: Mapping[str, ConditionRuns],
        references: Mapping[Reference, StoredReference | str] | None = None,
    ) -> None:
        self.plan = plan
        self.runs = runs
        self.references = references or {}
        self._tested: dict[tuple[Hypothesis, str], Tested | Decision] = {}
        self._verdicts: dict[tuple[Hypothesis, str], Verdict] = {}
        self._looked: dict[tuple[Hypothesis, str], _Looks] = {}
        self._prefixes: dict[tuple[int, int], ConditionRuns] = {}

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return what a hypothesis has verdicts on: those that the reference alone has come last."""
        subjects = self.plan.subjects(hypothesis)
        known = None if hypothesis.against is None else self.references.get(hypothesis.against)
        if not isinstance(known, StoredReference):
            return subjects
        return (*subjects, *(name for name in known.conditions if name not in subjects))

    def verdict(self, hypothesis: Hypothesis, treatment: str) -> Verdict:
        """Return the verdict on a hypothesis under a treatment."""
        key = hypothesis, treatment
        if key not in self._verdicts:
            if self.plan.judging.stopping is None:
                decision = self._decided_at_once(hypothesis, treatment)
                arms = self._arms(hypothesis, treatment)
            else:
                looks = self._looks(hypothesis, treatment)
                decided = looks.until(len(self.plan.sizes) - 1)
                assert decided is not None  # the last look decides
                decision = decided
                size = self.plan.sizes[max(decision.look, 1) - 1]
                arms = self._arms(hypothesis, treatment, size)
            self._verdicts[key] = self._as_verdict(hypothesis, decision, *arms)
        return self._verdicts[key]

    def replicates_needed(self, claims: Iterable[tuple[Hypothesis, str]], known: Iterable[str]) -> int:
        """Return how many replicates have to be run before the next look, or were enough.

        Parameters
        ----------
        claims : iterable of (Hypothesis, str)
            Hypotheses and treatments that have to be decided.
        known : iterable of str
            Conditions that are run.
        """
        waiting, arms = list(claims), [self.runs[condition] for condition in known]
        for look, size in enumerate(self.plan.sizes[:-1]):
            if any(record is None for arm in arms for record in arm.records[:size]):
                return size
            if all(self._looks(h, t).until(look) is not None for h, t in waiting):
                return size
        return self.plan.replicates

    # All replicates at once.

    def _decided_at_once(self, hypothesis: Hypothesis, treatment: str) -> Decision:
        claim, plan = hypothesis.claim, self.plan
        if (fault := self._unreferenced(hypothesis, treatment)) is not None:
            return fault
        if claim is None:
            return self._decided_by_verifier(hypothesis, self._arms(hypothesis, treatment))
        outcome = self._test(hypothesis, treatment)
        if isinstance(outcome, Decision):
            return outcome
        adjusted = self._adjusted[hypothesis, treatment] if plan.is_corrected(hypothesis) else None
        with hypothesis.undisturbed():
            return outcome.decide(claim.level, adjusted_p=adjusted)

    def _test(self, hypothesis: Hypothesis, treatment: str) -> Tested | Decision:
        key = hypothesis, treatment
        if key not in self._tested:
            claim = hypothesis.claim
            assert claim is not None
            level = claim.level
            share = level / self.plan.family if self.plan.is_corrected(hypothesis) else level
            arms = self._arms(hypothesis, treatment)
            self._tested[key] = self._unreferenced(hypothesis, treatment) or self._test_claim(
                hypothesis, claim, arms, level, share
            )
        return self._tested[key]

    # What is compared with what.

    def _arms(
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

    def _prefix(self, runs: ConditionRuns, size: int) -> ConditionRuns:
        key = id(runs), size
        if key not in self._prefixes:
            self._prefixes[key] = runs.first(size)
        return self._prefixes[key]

    def _unreferenced(self, hypothesis: Hypothesis, condition: str) -> Decision | None:
        """Return the decision that there is nothing to compare a condition with, if so."""
        reason = self._why_unreferenced(hypothesis, condition)
        return None if reason is None else Decision(status="invalid", reason=reason)

    def _why_unreferenced(self, hypothesis: Hypothesis, condition: str) -> str | None:
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

    def _decided_by_verifier(
        self, hypothesis: Hypothesis, arms: tuple[ConditionRuns, ConditionRuns]
    ) -> Decision:
        if hypothesis.against is not None and hypothesis.metrics is None and not arms[1].lacking:
            # It is given the metrics that both have; what the reference alone has is gone.
            lost = (arms[1].gap(metric) for metric in arms[0].metrics if arms[0].gap(metric) is None)
            if (reason := next((gap for gap in lost if gap), None)) is not None:
                return Decision(status="invalid", reason=reason)
        return decide_by_verifier(hypothesis, *arms)

    def _test_claim(
        self,
        hypothesis: Hypothesis,
        claim: Claim,
        arms: tuple[ConditionRuns, ConditionRuns],
        level: float,
        planning_level: float,
    ) -> Tested | Decision:
        sample = self._sample(hypothesis, claim, arms)
        if isinstance(sample, str):
            return Decision(status="invalid", reason=sample)
        if claim.deterministic:
            return claim.decide_deterministic(sample, (arms[0].condition, arms[1].condition))
        with hypothesis.undisturbed():
            return tested(
                claim,
                sample,
                level=level,
                planning_level=planning_level,
                resampled=self.plan.judging.resampled,
            )

    def _sample(
        self, hypothesis: Hypothesis, claim: Claim, arms: tuple[ConditionRuns, ConditionRuns]
    ) -> ClaimSample | str:
        against = hypothesis.against
        sample = claim_sample(claim, *arms)
        if against is None or not isinstance(sample, str):
            return sample
        return f"against reference {against.name!r}: {sample}"

    @cached_property
    def _adjusted(self) -> dict[tuple[Hypothesis, str], float]:
        """Adjusted p-values of the family; what has no p-value counts as 1."""
        members = [(h, t) for h in self.plan.hypotheses if _in_family(h) for t in self.plan.subjects(h)]
        p_values = []
        for hypothesis, treatment in members:
            outcome = self._test(hypothesis, treatment) if treatment in self.runs else None
            p_values.append(outcome.p_value if isinstance(outcome, Tested) else 1.0)
        adjusted = adjust(p_values, self.plan.judging.correction)
        return dict(zip(members, adjusted, strict=True))

    # Look by look.

    def _looks(self, hypothesis: Hypothesis, treatment: str) -> _Looks:
        key = hypothesis, treatment
        if key not in self._looked:
            self._looked[key] = _Looks(self, hypothesis, treatment)
        return self._looked[key]

    def _as_verdict(
        self, hypothesis: Hypothesis, decision: Decision, baseline: ConditionRuns, treatment: ConditionRuns
    ) -> Verdict:
        plan, claim = self.plan, hypothesis.claim
        metric = shown_metric(hypothesis, baseline, treatment)
        means = baseline.mean(metric), treatment.mean(metric)
        difference = decision.difference
        if difference is None and means[0] is not None and means[1] is not None:
            difference = means[1] - means[0]
        lacking = len({*baseline.lacking, *treatment.lacking})
        sequential = plan.judging.stopping is not None
        corrected = plan.is_corrected(hypothesis)
        return Verdict(
            hypothesis.name,
            treatment.condition,
            hypothesis.metric_label,
            decision.status,
            decision.reason,
            decision.p_value,
            None if claim is not None and claim.deterministic else hypothesis.alpha,
            decision.test,
            min(len(baseline.records), len(treatment.records)) - lacking
            if decision.n is None
            else decision.n,
            *means,
            difference,
            decision.interval,
            decision.degenerate,
            lacking,
            decision.details,
            adjusted_p=decision.adjusted_p,
            level=decision.level,
            family=plan.family if corrected else 1,
            correction=(_BONFERRONI if sequential else plan.judging.correction) if corrected else "none",
            direction="" if claim is None else claim.direction,
            margin=None if claim is None else claim.margin,
            relative=claim is not None and claim.relative and claim.margin is not None,
            confidence=decision.confidence,
            estimand=decision.estimand,
            detectable=decision.detectable,
            omitted=decision.omitted,
            population=decision.population,
            caveat=decision.caveat,
            look=decision.look,
            looks=decision.looks,
            planned=plan.replicates,
            against="" if hypothesis.against is None else hypothesis.against.name,
            trail=self._looks(hypothesis, treatment.condition).trail if sequential else (),
        )


class _Looks:
    """The looks at one hypothesis under one treatment, up to the one that decides it."""

    def __init__(self, analysis: Analysis, hypothesis: Hypothesis, treatment: str) -> None:
        self._analysis = analysis
        self._hypothesis = hypothesis
        self._treatment = treatment
        self._looked = 0
        self._decision: Decision | None = None
        self._best = 1.0  # the smallest anytime-valid p so far
        self._trail: list[tuple[int, float, float]] = []

    @property
    def trail(self) -> tuple[tuple[int, float, float], ...]:
        """Replicates, p-value and level at each look that gave a p-value."""
        return tuple(self._trail)

    def until(self, look: int) -> Decision | None:
        """Return the decision, if a look up to this one (from 0) makes it."""
        sizes = self._analysis.plan.sizes
        while self._decision is None and self._looked <= look:
            decision = self._at(self._looked)
            self._looked += 1
            if decision is not None:
                self._decision = replace(decision, look=self._looked, looks=len(sizes))
        decided = self._decision
        return decided if decided is not None and decided.look <= look + 1 else None

    def _at(self, look: int) -> Decision | None:
        """Return what a look decides; None if it leaves the claim open."""
        plan, hypothesis, claim = self._analysis.plan, self._hypothesis, self._hypothesis.claim
        stopping, sizes = plan.judging.stopping, plan.sizes
        last = look == len(sizes) - 1
        if (fault := self._analysis._unreferenced(hypothesis, self._treatment)) is not None:
            return fault
        arms = self._analysis._arms(hypothesis, self._treatment, sizes[look])
        if claim is None:  # a verifier speaks of all replicates, and only once
            return self._analysis._decided_by_verifier(hypothesis, arms) if last else None
        sample = self._analysis._sample(hypothesis, claim, arms)
        if isinstance(sample, str):
            # Too many are missing so far, perhaps not of all; other faults do not go away.
            is_open = claim.nan_policy == "omit" and not last
            return None if is_open else Decision(status="invalid", reason=sample)
        if claim.deterministic:
            return claim.decide_deterministic(sample, (arms[0].condition, arms[1].condition))
        alpha = claim.level / plan.family if plan.is_corrected(hypothesis) else claim.level
        if isinstance(stopping, AnytimeValid):
            outcome = anytime_tested(claim, sample, g=stopping.g, level=alpha, best=self._best)
            level = alpha
        else:
            assert isinstance(stopping, GroupSequential)
            boundaries = stopping.boundaries(plan.replicates, alpha, claim.alternative_of_p)
            level = boundaries.levels[look]
            outcome = self._analysis._test_claim(hypothesis, claim, arms, level, boundaries.levels[-1])
            if isinstance(outcome, Tested):
                outcome = replace(outcome, growth=plan.replicates / sizes[look])
        if isinstance(outcome, Decision):
            return outcome if last else None  # an early look may be too small for the test
        self._best = outcome.p_value
        self._trail.append((sizes[look], outcome.p_value, level))
        with hypothesis.undisturbed():
            decision = outcome.decide(level)
        if last or decision.status != "inconclusive":
            return decision
        if isinstance(stopping, GroupSequential) and stopping.futility:
            sign = outcome.result.estimate - outcome.result.null
            if boundaries.is_futile(look, outcome.p_value, sign, claim.claimed):
                reason = (
                    f"stopped for futility at {sizes[look]} of {plan.replicates} replicates, which would "
                    f"hardly show the effect that they are planned for any more: {outcome.shown}; "
                    "futility=False runs them all"
                )
                return replace(decision, reason=reason)
        return None


def evaluate(
    hypothesis: Hypothesis,
    baseline: ConditionRuns,
    treatment: ConditionRuns,
    *,
    judging: Judging = DEFAULT_JUDGING,
) -> Verdict:
    """Decide one hypothesis for one treatment; whatever evidence is missing makes it invalid."""
    replicates = max(len(baseline.records), len(treatment.records))
    plan = AnalysisPlan((hypothesis,), (treatment.condition,), replicates, judging)
    return Analysis(plan, {BASELINE: baseline, treatment.condition: treatment}).verdict(
        hypothesis, treatment.condition
    )
