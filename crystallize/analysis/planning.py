"""How many replicates a claim needs, before they are run: from a pilot, or from what is recorded.

Nothing is tested: what a pilot shows of the difference itself is not looked at, only how its values vary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from crystallize.analysis.bounds import Absence, Excess, with_discordance
from crystallize.analysis.claim_plan import POWER, ClaimPlan
from crystallize.analysis.claim_test import measured
from crystallize.analysis.comparison import Comparisons
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.decide import claim_of
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.references import References
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.second_metric import sample_of
from crystallize.analysis.sensitivity import (
    EffectScale,
    excess_of,
    sensitivity,
)
from crystallize.analysis.unchanged import unchanged_passes
from crystallize.boundary import failure
from crystallize.claims.claim import Claim
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.stopping import GroupSequential
from crystallize.claims.tests_of_means import WelchTTest
from crystallize.errors import DefinitionError, SampleError
from crystallize.stats import (
    Alternative,
    TestResult,
    exit_probabilities,
    group_sequential_boundaries,
    paired_t,
    planned_drift,
    variance_saved,
    welch_t,
)
from crystallize.stats.power import (
    Design,
    PairedT,
    TwoSampleT,
    minimum_detectable_effect,
    power,
    replicates,
    upper_sd_factor,
)
from crystallize.stats.samples import as_real

FEWEST: Final = 10
"""Replicates of a pilot, below which the spread is hardly known."""

_SIZES: Final = (10, 20, 30, 50, 100, 200, 500)
_POINTS: Final = 24
_WORTH: Final = 0.25  # of the variance, from which on a covariate is worth naming


class Planner:
    """Planner of the claims of an experiment.

    Parameters
    ----------
    plan : AnalysisPlan
        Of the run that is to come.
    runs : mapping of str to ConditionRuns
        A pilot: runs of the conditions, with other seeds than the run is to have.
    references : References, optional
        What hypotheses are against.
    effect : float, optional
        The difference that is to be found, in place of what claims with a sign declare as `effect`.
    target : float
        Power that is to be had.

    Raises
    ------
    DefinitionError
        If the effect or the power is none.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        runs: Mapping[str, ConditionRuns],
        references: References | None = None,
        *,
        effect: float | None = None,
        target: float = POWER,
    ) -> None:
        effect, target = checked_asked(effect, target)
        self.plan = plan
        self._runs = runs
        self._references = references or References()
        pilot = max((len(known.records) for known in runs.values()), default=0)
        self._comparisons = Comparisons(
            replace(plan, replicates=pilot, judging=replace(plan.judging, stopping=None)),
            runs,
            self._references,
        )
        self._effect = effect
        self._target = target

    def claim(self, hypothesis: Hypothesis, subject: str) -> ClaimPlan:
        """Return the plan of a claim; its reason says why there is none."""
        claim = hypothesis.claim
        known = ClaimPlan(
            hypothesis.name,
            subject,
            hypothesis.metric_label,
            direction="" if claim is None else claim.direction,
            planned=self.plan.replicates,
            power=self._target,
            seconds=self._seconds(hypothesis, subject),
        )
        if claim is None:
            return replace(known, reason="a verifier decides by itself: its power is not known")
        if claim.deterministic:
            return replace(known, needed=1, reason="no seed changes its values: one replicate is enough")
        try:
            sample = self._sample(hypothesis, subject)
            if isinstance(sample, str):
                return replace(known, reason=sample)
            return self._planned(known, hypothesis, claim, sample)
        except (SampleError, DefinitionError) as error:
            return replace(known, reason=failure(error))

    def _seconds(self, hypothesis: Hypothesis, subject: str) -> float:
        arms = (self._runs.get(name) for name in self.plan.rests_on(hypothesis, subject))
        return math.fsum(arm.records.seconds() / max(len(arm.records), 1) for arm in arms if arm is not None)

    def _sample(self, hypothesis: Hypothesis, subject: str) -> ClaimSample | str:
        """Return values that vary as those of the run will: against a reference, those that it recorded."""
        claim = claim_of(hypothesis)
        if hypothesis.reference is None:
            return self._comparisons.sample(hypothesis, subject)
        recorded = self._references.runs(hypothesis.reference, subject)
        here = self._runs.get(subject, ConditionRuns(subject, ()))
        known = recorded if recorded.records else here
        sample = sample_of(replace(claim, pairing="auto"), known, known)
        # How code changes will move pairs, nobody knows: nothing is paired.
        return sample if isinstance(sample, str) else replace(sample, paired=False)

    def _level(self, hypothesis: Hypothesis, claim: Claim) -> float:
        """Return the level at which a single difference, or harm, would have to be found."""
        plan = self.plan
        if claim.detects is not None:
            level = plan.guard_share(claim.level)
        else:
            level = claim.level / plan.family if plan.is_corrected(hypothesis) else claim.level
        stopping = plan.judging.stopping
        if isinstance(stopping, GroupSequential):
            return stopping.boundaries(plan.replicates, level, claim.alternative_of_p).levels[-1]
        return level

    def _planned(
        self, known: ClaimPlan, hypothesis: Hypothesis, claim: Claim, sample: ClaimSample
    ) -> ClaimPlan:
        test, sample, result = measured(claim, sample, claim.level, self.plan.judging.resampled)
        known = replace(known, test=result.test, pilot=sample.n, relative=claim.in_percent)
        if sample.n < FEWEST:
            return replace(known, reason=f"{sample.n} hardly tell how much it varies; a pilot has {FEWEST}")
        level = self._level(hypothesis, claim)
        found = sensitivity(claim, test, sample, result, level)
        if found is None:
            what = f"the power of the {test.name} test is not known"
            what = "what is compared does not vary" if result.degenerate else what
            return replace(known, reason=f"{what}, so no number of replicates follows")
        asked = _Asked(claim, found.cautious, level, found.scale)
        size = claim.size if not claim.is_superiority else self._effect or claim.effect
        known = replace(
            known,
            size=size,
            detectable=self._detectable(asked),
            unchanged=self._unchanged(hypothesis, test, sample, asked),
        )
        known = self._with_covariate(known, hypothesis, claim, sample)
        if size is None:
            return replace(known, reason="declare effect=, the smallest difference that is worth finding")
        needed = asked.needed(size, self._target)
        if needed is None:
            return replace(known, reason="no number of replicates would do")
        return replace(
            known,
            needed=needed,
            unpaired=self._unpaired(asked, test, sample, result, size),
            sequential=_sequential(asked, self._target, needed),
            curve=_curve(asked, size, max(2 * needed, self.plan.replicates)),
        )

    def _detectable(self, asked: _Asked) -> tuple[tuple[int, float], ...]:
        sizes = sorted({*_SIZES, self.plan.replicates})
        shown = ((n, asked.smallest(n, self._target)) for n in sizes)
        return tuple((n, size) for n, size in shown if math.isfinite(size))

    def _unpaired(
        self, asked: _Asked, test: StatisticalTest, sample: ClaimSample, result: TestResult, size: float
    ) -> int | None:
        """Return the replicates that it takes without pairs, where pairs of numbers are compared."""
        if (
            not isinstance(asked.design, PairedT)
            or sample.number is not None
            or asked.claim.second is not None
        ):
            return None
        arms = test.scores(sample.baseline, sample.treatment)
        apart = WelchTTest().design(*arms, result)
        if not isinstance(apart, TwoSampleT):
            return None
        wide = TwoSampleT(apart.sd * upper_sd_factor(2 * sample.n - 2))
        return replace(asked, design=wide).needed(size, self._target)

    def _unchanged(
        self, hypothesis: Hypothesis, test: StatisticalTest, sample: ClaimSample, asked: _Asked
    ) -> float | None:
        """Return how probably unchanged code passes with the planned replicates."""
        claim, n = asked.claim, self.plan.replicates
        if claim.is_superiority:
            return None
        if hypothesis.reference is None:
            assert claim.size is not None
            return min(asked.excludes(claim.size, n), 1.0 if claim.detects is None else 1 - claim.level)
        if self._references.repeats():
            return 1.0  # it gives the same
        if sample.units is None and sample.noise is None:  # of units, there are as many as there are
            sample = replace(sample, treatment=[sample.treatment[0]] * n)
        return unchanged_passes(claim, sample, test, claim.deciding_level)

    def _with_covariate(
        self, known: ClaimPlan, hypothesis: Hypothesis, claim: Claim, sample: ClaimSample
    ) -> ClaimPlan:
        """Return a plan with the covariate that saves most: the declared one, or what else is recorded."""
        if claim.covariate is not None:
            assert sample.beside is not None
            share = _saved(sample)
            return known if share is None else replace(known, covariate=claim.covariate, saved=share)
        for metric in self._others(hypothesis, known.treatment):
            try:
                with_it = replace(claim, covariate=metric)
                beside = sample_of(with_it, *self._comparisons.arms(hypothesis, known.treatment))
            except DefinitionError:  # no covariate goes with such a claim
                return known
            share = None if isinstance(beside, str) else _saved(beside)
            if share is not None and share > max(_WORTH, known.saved or 0.0):
                known = replace(known, covariate=metric, saved=share)
        return known

    def _others(self, hypothesis: Hypothesis, subject: str) -> list[str]:
        """Return the metrics beside those of a claim that both conditions recorded."""
        if hypothesis.is_by_itself:
            return []
        first, second = self._comparisons.arms(hypothesis, subject)
        return [
            name for name in first.names if name in second.names and name not in (hypothesis.metrics or ())
        ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim's question to a design, at a level: what it shows with how many replicates."""

    claim: Claim
    design: Design
    level: float
    scale: EffectScale

    @property
    def _bounded(self) -> Absence | Excess | None:
        """Question of a claim with a margin, or of more than `at_least` where rates are claimed to differ.

        That of an alarm is whether a harm that is there is shown.
        """
        claim = self.claim
        if claim.is_superiority or claim.detects is not None:
            return excess_of(self.scale, self.design, self.level)
        return Absence(self.design, self.level, claim.direction)

    @property
    def _sign(self) -> int:
        down = ("decrease", "no_decrease")  # of an alarm the harm
        return -1 if self.claim.direction in down else 1

    @property
    def _alternative(self) -> Alternative:
        if self.claim.detects is not None:
            return "less" if self._sign < 0 else "greater"
        return self.claim.alternative_of_p

    def needed(self, size: float, target: float) -> int | None:
        """Return the replicates that show a size, or that it is not reached where there is no difference."""
        if (bounded := self._bounded) is not None:
            return bounded.needed(self.scale.of(size), target)
        distance = self.scale.of(size) - self.scale.null
        design = with_discordance(self.design, distance)
        if distance <= 0 or distance > design.largest_effect(decrease=self._sign < 0):
            return None
        return replicates(
            design, self._sign * distance, target=target, alpha=self.level, alternative=self._alternative
        )

    def power(self, size: float, n: int) -> float:
        """Return the power of so many replicates."""
        if (bounded := self._bounded) is not None:
            return bounded.power(self.scale.of(size), n)
        distance = self.scale.of(size) - self.scale.null
        design = with_discordance(self.design, distance)
        if distance > design.largest_effect(decrease=self._sign < 0):
            return 0.0
        return power(design, n, self._sign * distance, alpha=self.level, alternative=self._alternative)

    def excludes(self, size: float, n: int) -> float:
        """Return how probably so many replicates exclude a size, at the level that decides the claim."""
        claim = self.claim
        return Absence(self.design, claim.deciding_level, claim.direction).power(self.scale.of(size), n)

    def smallest(self, n: int, target: float) -> float:
        """Return the smallest size that so many replicates show."""
        if (bounded := self._bounded) is not None:
            return self.scale.shown(bounded.smallest(n, target))
        beyond = minimum_detectable_effect(
            self.design,
            n,
            target=target,
            alpha=self.level,
            alternative=self._alternative,
            decrease=self._sign < 0,
        )
        return self.scale.shown(beyond + self.scale.null)


def _saved(sample: ClaimSample) -> float | None:
    """Return the part of the variance that what stands beside a sample saves."""
    if sample.beside is None or sample.units is not None:
        return None
    compare = paired_t if sample.paired else welch_t
    try:
        return variance_saved(sample.baseline, sample.treatment, covariates=sample.beside, compare=compare)
    except SampleError:  # the treatment changes it
        return None


def _curve(asked: _Asked, size: float, most: int) -> tuple[tuple[int, float], ...]:
    fewest = asked.design.minimum_n
    step = max(1, -(-(most - fewest) // _POINTS))
    return tuple((n, asked.power(size, n)) for n in range(fewest, most + step, step))


def _sequential(asked: _Asked, target: float, n: int) -> float:
    """Return the part of the replicates that looks take on average, if the difference is there."""
    sizes = GroupSequential().sizes(n)
    fractions = [size / n for size in sizes]
    level = asked.level if asked.claim.alternative_of_p == "two-sided" else min(2 * asked.level, 0.99)
    bounds = group_sequential_boundaries(fractions, alpha=level)
    exits = exit_probabilities(fractions, bounds, drift=planned_drift(level, target))
    stops = [above for _, above in exits[:-1]]
    early = math.fsum(f * p for f, p in zip(fractions, stops, strict=False))
    return early + 1 - math.fsum(stops)


def check_pilot(pilot: object, effect: float | None, target: float) -> None:
    """Raise `DefinitionError` unless a pilot is large enough, and what it is for makes sense."""
    checked_asked(effect, target)
    if type(pilot) is not int or pilot < FEWEST:
        raise DefinitionError(
            f"pilot is {pilot!r}; allowed is an integer >= {FEWEST}: fewer hardly tell how much values vary"
        )


def checked_asked(effect: float | None, target: float) -> tuple[float | None, float]:
    """Return an effect that is given, and a power, as floats; refuse those that make no sense."""
    asked, size = as_real(target), None if effect is None else as_real(effect)
    if not 0 < asked < 1:
        raise DefinitionError(f"power is {target!r}; allowed is a number between 0 and 1, such as 0.8")
    if size is not None and not 0 < size < math.inf:
        raise DefinitionError(f"effect is {effect!r}; allowed are positive finite numbers")
    return size, asked
