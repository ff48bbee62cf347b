"""The verdicts that records give under a plan, at once or look by look: pure, whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from crystallize.analysis.case_runs import CaseRuns
from crystallize.analysis.comparison import Comparisons
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.correction import too_few_to_flip
from crystallize.analysis.decide import Levels, Tested, claim_tested
from crystallize.analysis.deterministic import compared_directly
from crystallize.analysis.family import AnalysisPlan, Member
from crystallize.analysis.references import References
from crystallize.analysis.second_metric import ratio_of
from crystallize.analysis.sequential import ClaimLooks
from crystallize.analysis.slices import by_slice
from crystallize.analysis.unread import TreatmentKeys
from crystallize.analysis.verdict import Verdict
from crystallize.analysis.verifying import shown_metric
from crystallize.claims.comparator import kind_of
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.policy import DEFAULT_JUDGING, Judging
from crystallize.claims.reference import Reference
from crystallize.declare.case_design import CaseStream
from crystallize.declare.treatment import BASELINE
from crystallize.errors import DefinitionError
from crystallize.stats.undisturbed import undisturbed

_BONFERRONI: Final = "bonferroni"
_EVALUATE: Final = "evaluate"


class Analysis:
    """The verdicts that records give under a plan.

    Parameters
    ----------
    plan : AnalysisPlan
        What is claimed.
    runs : mapping of str to ConditionRuns
        By condition, of as many replicates as are planned. A treatment may be absent: then its claims count
        in the family as not significant.
    references : References, optional
        What hypotheses are against.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        runs: Mapping[str, ConditionRuns],
        references: References | None = None,
    ) -> None:
        self.plan = plan
        self.given = runs
        self._comparisons = Comparisons(plan, runs, references or References())
        self.runs = self._comparisons.runs
        self._tested: dict[Member, Tested | Verdict] = {}
        self._verdicts: dict[Member, Verdict] = {}
        self._looked: dict[Member, ClaimLooks] = {}

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return what a hypothesis has verdicts on: those that the reference alone has come last."""
        return self._comparisons.subjects(hypothesis)

    def compared(self, hypothesis: Hypothesis, treatment: str) -> tuple[ConditionRuns, ConditionRuns]:
        """Return what stands for the baseline, and what is compared with it."""
        return self._comparisons.arms(hypothesis, treatment)

    @undisturbed()
    def verdict(self, hypothesis: Hypothesis, treatment: str) -> Verdict:
        """Return the verdict on a hypothesis under a treatment."""
        key = hypothesis, treatment
        if key not in self._verdicts:
            if self.plan.judging.stopping is None:
                verdict = self._at_once(hypothesis, treatment)
                size = None
            else:
                looks = self.looks(hypothesis, treatment)
                last = looks.until(len(self.plan.sizes) - 1)
                assert last is not None  # the last look decides
                verdict = last.amended(trail=looks.trail)
                size = self.plan.sizes[max(verdict.look, 1) - 1]
            arms = self._comparisons.arms(hypothesis, treatment, size)
            self._verdicts[key] = self._completed(verdict, hypothesis, treatment, *arms)
        return self._verdicts[key]

    @undisturbed()
    def replicates_needed(self, claims: Iterable[Member], known: Iterable[str]) -> dict[str, int]:
        """Return how many replicates of each condition have to be run before the next look, or were enough.

        A condition is not run on once every claim about it is decided, and none is once all are.

        Parameters
        ----------
        claims : iterable of (Hypothesis, str)
            Hypotheses and what they are about that have to be decided.
        known : iterable of str
            Conditions that are run.
        """
        waiting, conditions = list(claims), list(known)
        about = {name for member in waiting for name in self.plan.rests_on(*member)}
        enough: dict[str, int] = {}
        for look, size in enumerate(self.plan.sizes[:-1]):
            open_ = [name for name in conditions if name not in enough]
            if any(not self.runs[name].records.resized(size).is_complete for name in open_):
                return {name: enough.get(name, size) for name in conditions}
            waiting = [member for member in waiting if self.looks(*member).until(look) is None]
            needed = {name for member in waiting for name in self.plan.rests_on(*member)}
            for name in open_:
                if not waiting or (name in about and name not in needed):
                    enough[name] = size
            if not waiting:
                break
        return {name: enough.get(name, self.plan.replicates) for name in conditions}

    def looks(self, hypothesis: Hypothesis, treatment: str) -> ClaimLooks:
        """Return the looks at a hypothesis under a treatment, as far as somebody has asked for them."""
        key = hypothesis, treatment
        if key not in self._looked:
            self._looked[key] = ClaimLooks(self._comparisons, hypothesis, treatment)
        return self._looked[key]

    def _at_once(self, hypothesis: Hypothesis, treatment: str) -> Verdict:
        """Return the verdict on all replicates, looked at once."""
        outcome = self._outcome(hypothesis, treatment)
        if isinstance(outcome, Verdict):
            return outcome
        # What the reference alone has comes to no verdict that is tested: all others are in the plan.
        return outcome.verdict(self._levels[hypothesis, treatment])

    def _outcome(self, hypothesis: Hypothesis, treatment: str) -> Tested | Verdict:
        """Return the outcome of a claim's test, or the verdict of what is not tested."""
        key = hypothesis, treatment
        if key not in self._tested:
            self._tested[key] = self._made(hypothesis, treatment)
        return self._tested[key]

    def _made(self, hypothesis: Hypothesis, treatment: str) -> Tested | Verdict:
        comparisons, claim = self._comparisons, hypothesis.claim
        if (fault := comparisons.why_unreferenced(hypothesis, treatment)) is not None:
            return Verdict.invalid(fault)
        if (fault := comparisons.why_without_effect(hypothesis, treatment)) is not None:
            return Verdict.invalid(fault)
        if claim is None:
            return comparisons.verified(hypothesis, treatment)
        sample = comparisons.sample(hypothesis, treatment)
        if isinstance(sample, str):
            return Verdict.invalid(sample)
        if claim.deterministic:
            return compared_directly(claim, sample, comparisons.names(hypothesis, treatment))
        level = claim.deciding_level
        family, pairs = self.plan.family if self.plan.is_corrected(hypothesis) else 1, 1
        if hypothesis.pairwise and self.plan.judging.correction == "holm":
            pairs = len(self.plan.subjects(hypothesis))  # the flips of all pairs share what these have
        share = level * pairs / family
        outcome = claim_tested(
            hypothesis,
            sample,
            level=level,
            planning_level=share,
            resampled=self.plan.judging.resampled,
        )
        if hypothesis.pairwise and self.plan.is_corrected(hypothesis) and isinstance(outcome, Tested):
            fault = too_few_to_flip(outcome.outcome, share)
            return outcome if fault is None else Verdict.invalid(fault, test=outcome.outcome.test.name)
        return outcome

    @cached_property
    def _levels(self) -> dict[Member, Levels]:
        """Levels with which the p-values of each claim are compared."""
        outcomes = {}
        for hypothesis, treatment in (*self.plan.members, *self.plan.guards):
            is_run = all(name in self.runs for name in self.plan.rests_on(hypothesis, treatment))
            known = self._outcome(hypothesis, treatment) if is_run else None
            if isinstance(known, Tested):
                outcomes[hypothesis, treatment] = known.outcome
        return self.plan.levels(outcomes)

    def _completed(
        self,
        verdict: Verdict,
        hypothesis: Hypothesis,
        subject: str,
        baseline: ConditionRuns,
        treatment: ConditionRuns,
    ) -> Verdict:
        """Return a verdict with what it is about, and how claims were judged together."""
        plan, claim, against = self.plan, hypothesis.claim, hypothesis.reference
        relative = claim is not None and claim.in_percent
        means = _means(hypothesis, baseline, treatment)
        difference = verdict.difference
        if difference is None:
            difference = _difference(*means, relative=relative)
        caveats = self._caveats(verdict, hypothesis, subject, treatment, difference)
        lacking = len({*baseline.lacking, *treatment.lacking})
        told = "" if against is None else self._comparisons.references.told(against, treatment.condition)
        return verdict.amended(
            hypothesis=hypothesis.name,
            treatment=subject,
            test=verdict.test or _named(hypothesis),
            metric=hypothesis.metric_label,
            alpha=None if claim is not None and claim.deterministic else hypothesis.alpha,
            n=verdict.n or max(0, min(len(baseline.records), len(treatment.records)) - lacking),
            baseline_mean=means[0],
            treatment_mean=means[1],
            difference=difference,
            lacking=lacking,
            family=plan.family if plan.is_corrected(hypothesis) else 1,
            correction=self._correction(verdict, hypothesis),
            direction="" if claim is None else claim.direction,
            margin=None if claim is None else claim.margin,
            at_least=None if claim is None else claim.at_least,
            detects=None if claim is None else claim.detects,
            worst=None if claim is None else claim.worst,
            relative=relative,
            planned=plan.planned(hypothesis, subject),
            slices=self._slices(verdict, hypothesis, baseline, treatment),
            caveat="; ".join(filter(None, caveats)),
            against=_against(hypothesis, baseline),
            comparator=kind_of(hypothesis.against, pairwise=hypothesis.pairwise),
            recorded=told,
        )

    def _correction(self, verdict: Verdict, hypothesis: Hypothesis) -> str:
        """Return the name of the correction of a claim's p-value, which its verdict may say itself."""
        if not self.plan.is_corrected(hypothesis):
            return "none"
        if verdict.correction != "none":
            return verdict.correction
        judging = self.plan.judging
        return judging.correction if judging.stopping is None else _BONFERRONI

    def _caveats(
        self,
        verdict: Verdict,
        hypothesis: Hypothesis,
        subject: str,
        treatment: ConditionRuns,
        difference: float | None,
    ) -> Iterator[str]:
        """Yield what a verdict relies on, empty texts among it."""
        if verdict.status == "invalid":
            yield verdict.caveat
            return
        references, condition = self._comparisons.references, treatment.condition
        yield references.used_margin(hypothesis, condition, difference, verdict.interval)
        yield verdict.caveat
        yield from references.caveats(hypothesis, condition, treatment)
        yield self._comparisons.changed_cases(hypothesis, subject)

    def _slices(
        self,
        verdict: Verdict,
        hypothesis: Hypothesis,
        baseline: ConditionRuns,
        treatment: ConditionRuns,
    ) -> dict[str, dict[str, Any]]:
        """Return what a claim of all cases is in each slice of them, if it is one and there are some."""
        claim, cases = hypothesis.claim, self.plan.cases
        if verdict.status == "invalid" or claim is None or cases is None:
            return {}
        known = cases.design.by_slice
        if hypothesis.slices or not known or claim.deterministic or claim.per is not None:
            return {}
        if not isinstance(baseline, CaseRuns) or not isinstance(treatment, CaseRuns):
            return {}
        return by_slice(hypothesis, baseline, treatment, known)


def _means(
    hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns
) -> tuple[float | None, float | None]:
    """Return what a verdict shows of both sides: means, or of a ratio of totals these."""
    claim, number = hypothesis.claim, hypothesis.number
    if claim is None or claim.per is None:
        metric = shown_metric(hypothesis, baseline, treatment)
        return baseline.mean(metric), treatment.mean(metric)
    return ratio_of(baseline, claim) if number is None else number, ratio_of(treatment, claim)


def _difference(before: float | None, after: float | None, *, relative: bool) -> float | None:
    """Return the difference of two means, or what part of the first one it is; None if there is none."""
    if before is None or after is None:
        return None
    if not relative:
        return after - before
    return (after - before) / abs(before) if before else None


def _named(hypothesis: Hypothesis) -> str:
    """Return the name of the test that a claim names, for a verdict on what no test came to see."""
    claim = hypothesis.claim
    name = "" if claim is None or claim.test is None else type(claim.test).name
    return name if isinstance(name, str) else ""  # a property of a user's may raise anything


def _against(hypothesis: Hypothesis, baseline: ConditionRuns) -> str:
    """Return the name or number of what stands for the baseline; empty of the baseline itself."""
    against = hypothesis.against
    if hypothesis.pairwise:
        return baseline.condition
    if against is None or isinstance(against, str):
        return against or ""
    return against.name if isinstance(against, Reference) else f"{against:g}"


def evaluate(
    hypothesis: Hypothesis,
    baseline: ConditionRuns,
    treatment: ConditionRuns,
    *,
    judging: Judging = DEFAULT_JUDGING,
    keys: TreatmentKeys | None = None,
    cases: CaseStream | None = None,
) -> Verdict:
    """Decide one hypothesis for one treatment; whatever evidence is missing makes it invalid.

    So does a key of the treatment that no run read, unless `keys` says that it may stay unread. Where the
    replicates are samples of cases, `cases` says of which.

    Parameters
    ----------
    hypothesis : Hypothesis
        What is claimed.
    baseline, treatment : ConditionRuns
        The runs of both conditions, of the same replicates.
    judging : Judging
        How the claim is judged; by default as by an experiment that says nothing.
    keys : TreatmentKeys, optional
        The keys that the treatment adds, and those that may stay unread.
    cases : CaseStream, optional
        The cases of which the replicates are samples.

    Raises
    ------
    DefinitionError
        If an experiment of both conditions would refuse the hypothesis: it can't be judged so, whatever is
        measured, or it is about something else.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     return data, {"score": boost + ctx.rng.normal()}
    >>> better = Hypothesis(metric="score", direction="increase")
    >>> result = Experiment(0, [score], treatments={"boosted": {"boost": 3.0}}, replicates=10).run()
    >>> baseline, boosted = (
    ...     ConditionRuns(name, [r for r in result.records if r.condition == name])
    ...     for name in ("baseline", "boosted")
    ... )
    >>> evaluate(better, baseline, boosted).status
    'supported'
    """
    replicates = max(len(baseline.records), len(treatment.records))
    replicates //= 1 if cases is None else cases.samples
    known = keys or TreatmentKeys()
    condition = treatment.condition
    plan = AnalysisPlan((hypothesis,), (condition,), replicates, judging, known, cases=cases)
    judging.check((hypothesis,), _EVALUATE)
    plan.check_cases(_EVALUATE)
    if condition not in (subjects := plan.subjects(hypothesis)):
        about = ", ".join(map(repr, subjects)) or "neither"
        raise DefinitionError(
            f"{_EVALUATE}: hypothesis {hypothesis.name!r} is to be judged on {condition!r} against the "
            f"baseline, and of these it is about {about}; give a hypothesis about {condition!r}, or run an "
            "experiment"
        )
    if others := {*plan.rests_on(hypothesis, condition)} - {BASELINE, condition}:
        raise DefinitionError(
            f"{_EVALUATE}: hypothesis {hypothesis.name!r} is against {min(others)!r}, whose runs are not "
            "given; give them as the baseline's, and leave against out"
        )
    return Analysis(plan, {BASELINE: baseline, condition: treatment}).verdict(hypothesis, condition)
