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
from crystallize.core.stat_test import McNemarTest, PairedTTest, ResampledTTest
from crystallize.core.stopping import AnytimeValid, GroupSequential, Stopping
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
        """How many p-values a correction is for: of every claim of superiority, for every treatment."""
        return len(self.treatments) * sum(map(_in_family, self.hypotheses))

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
        return (BASELINE, treatment)


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
    """

    def __init__(self, plan: AnalysisPlan, runs: Mapping[str, ConditionRuns]) -> None:
        self.plan = plan
        self.runs = runs
        self._tested: dict[tuple[Hypothesis, str], Tested | Decision] = {}
        self._verdicts: dict[tuple[Hypothesis, str], Verdict] = {}
        self._looked: dict[tuple[Hypothesis, str], _Looks] = {}
        self._prefixes: dict[tuple[str, int], ConditionRuns] = {}

    def verdict(self, hypothesis: Hypothesis, treatment: str) -> Verdict:
        """Return the verdict on a hypothesis under a treatment."""
        key = hypothesis, treatment
        if key not in self._verdicts:
            if self.plan.judging.stopping is None:
                decision = self._decided_at_once(hypothesis, treatment)
                arms = self.runs[BASELINE], self.runs[treatment]
            else:
                looks = self._looks(hypothesis, treatment)
                decided = looks.until(len(self.plan.sizes) - 1)
                assert decided is not None  # the last look decides
                decision = decided
                arms = self._first(treatment, self.plan.sizes[max(decision.look, 1) - 1])
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
        for look, size in enumerate(self.plan.sizes):
            if any(record is None for arm in arms for record in arm.records[:size]):
                return size
            if all(self._looks(h, t).until(look) is not None for h, t in waiting):
                return size
        return self.plan.replicates

    # All replicates at once.

    def _decided_at_once(self, hypothesis: Hypothesis, treatment: str) -> Decision:
        claim, plan = hypothesis.claim, self.plan
        baseline = self.runs[BASELINE]
        if claim is None:
            return decide_by_verifier(hypothesis, baseline, self.runs[treatment])
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
            arms = self.runs[BASELINE], self.runs[treatment]
            self._tested[key] = self._test_claim(hypothesis, claim, arms, level, share)
        return self._tested[key]

    def _test_claim(
        self,
        hypothesis: Hypothesis,
        claim: Claim,
        arms: tuple[ConditionRuns, ConditionRuns],
        level: float,
        planning_level: float,
    ) -> Tested | Decision:
        sample = claim_sample(claim, *arms)
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

    @cached_property
    def _adjusted(self) -> dict[tuple[Hypothesis, str], float]:
        """Adjusted p-values of the family; what has no p-value counts as 1."""
        members = [(h, t) for h in self.plan.hypotheses if _in_family(h) for t in self.plan.treatments]
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

    def _first(self, treatment: str, size: int) -> tuple[ConditionRuns, ConditionRuns]:
        for condition in (BASELINE, treatment):
            if (condition, size) not in self._prefixes:
                self._prefixes[condition, size] = self.runs[condition].first(size)
        return self._prefixes[BASELINE, size], self._prefixes[treatment, size]

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
            len(baseline.records) - lacking if decision.n is None else decision.n,
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
        arms = self._analysis._first(self._treatment, sizes[look])
        if claim is None:  # a verifier speaks of all replicates, and only once
            return decide_by_verifier(hypothesis, *arms) if last else None
        sample = claim_sample(claim, *arms)
        if isinstance(sample, str):
            return Decision(status="invalid", reason=sample)
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
                    f"stopped for futility: if the effect that {plan.replicates} replicates are planned for "
                    f"were there, they would hardly show it any more; {outcome.shown}"
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
