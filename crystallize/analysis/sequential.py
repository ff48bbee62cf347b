"""The looks at one claim: what is tested at each, against which level, and what it decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from crystallize.analysis.anytime import anytime_tested
from crystallize.analysis.claim_test import Outcome
from crystallize.analysis.comparison import Comparisons
from crystallize.analysis.curtailment import certain_status
from crystallize.analysis.decide import Levels, Tested, claim_of, claim_tested
from crystallize.analysis.deterministic import compared_directly
from crystallize.analysis.sample import ONE_SEED, ClaimSample
from crystallize.analysis.verdict import Status, Verdict
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.stopping import AnytimeValid, Curtailment, GroupSequential
from crystallize.stats.mcnemar import PAIRED_SCORE
from crystallize.stats.risk_difference import UNPAIRED_SCORE
from crystallize.stats.tails import normal_p_value

_ONCE: Final = (
    "looked at once, at the end: replicates have other units each, and the first units are no sample of all"
)
_SCORES: Final = (PAIRED_SCORE, UNPAIRED_SCORE)


class ClaimLooks:
    """The looks at one hypothesis under one treatment, up to the one that decides it."""

    def __init__(self, comparisons: Comparisons, hypothesis: Hypothesis, treatment: str) -> None:
        self._comparisons = comparisons
        self._plan = comparisons.plan
        self._hypothesis = hypothesis
        self._treatment = treatment
        self._looked = 0
        self._verdict: Verdict | None = None
        self._best = 1.0  # the smallest anytime-valid p so far
        self._trail: list[tuple[int, float, float]] = []

    @property
    def trail(self) -> tuple[tuple[int, float, float], ...]:
        """Replicates, p-value and level at each look that gave a p-value."""
        return tuple(self._trail)

    @property
    def decided(self) -> Verdict | None:
        """The verdict, if a look so far gave it."""
        return self._verdict

    def until(self, look: int) -> Verdict | None:
        """Return the verdict, if a look up to this one (from 0) gives it."""
        sizes = self._plan.sizes
        while self._verdict is None and self._looked <= look:
            verdict = self._at(self._looked)
            self._looked += 1
            if verdict is not None:
                self._verdict = replace(verdict, look=self._looked, looks=len(sizes))
        decided = self._verdict
        return decided if decided is not None and decided.look <= look + 1 else None

    def _at(self, look: int) -> Verdict | None:
        """Return the verdict that a look gives; None if it leaves the claim open."""
        sample = self._sample(look)
        if not isinstance(sample, ClaimSample):
            return sample
        stopping, last = self._plan.judging.stopping, self._is_last(look)
        if isinstance(stopping, GroupSequential):
            return self._within_boundaries(sample, look, stopping)
        alpha, share = self._shares
        levels = Levels.alone(alpha, share)
        if isinstance(stopping, AnytimeValid):
            outcome = anytime_tested(self._hypothesis, sample, g=stopping.g, level=alpha, best=self._best)
        else:
            outcome = self._tested(sample, alpha, alpha)
        if isinstance(outcome, Verdict):
            return outcome if last else None  # an early look may be too small for the test
        if isinstance(stopping, Curtailment) and not last:
            planned = [self._plan.replicates]
            status = certain_status(outcome.outcome, planned, [levels.alpha], [levels.mirror_alpha])
            return None if status is None else self._curtailed(outcome, status, look, levels)
        verdict = self._judged(outcome, look, levels)
        return verdict if last or verdict.status != "inconclusive" else None

    def _is_last(self, look: int) -> bool:
        return look == len(self._plan.sizes) - 1

    def _sample(self, look: int) -> ClaimSample | Verdict | None:
        """Return what a look tests; the verdict where nothing is tested, or None where it is too early."""
        comparisons, hypothesis, treatment = self._comparisons, self._hypothesis, self._treatment
        claim, size, last = hypothesis.claim, self._plan.sizes[look], self._is_last(look)
        if (fault := comparisons.why_unreferenced(hypothesis, treatment)) is not None:
            return Verdict.invalid(fault)
        if (fault := comparisons.why_without_effect(hypothesis, treatment, size)) is not None:
            return Verdict.invalid(fault) if last else None  # a later replicate may read what none has so far
        if claim is None:  # a verifier speaks of all replicates, and only once
            return comparisons.verified(hypothesis, treatment) if last else None
        same_units = comparisons.are_same_units(hypothesis, treatment, size)
        if same_units is not None and isinstance(self._plan.judging.stopping, AnytimeValid):
            return Verdict.invalid(
                f"metric {claim.metric!r} has units, and AnytimeValid() tests replicates only; use "
                "GroupSequential(), or run all replicates without stopping= and --crystallize-early-stop"
            )
        if same_units is False and not last:
            return None  # all units have to be there: see `are_same_units`
        sample = comparisons.sample(hypothesis, treatment, size)
        if isinstance(sample, str):
            # Too many are missing so far, perhaps not of all; other faults do not go away.
            is_open = claim.nan_policy == "omit" and not last
            return None if is_open else Verdict.invalid(sample)
        if sample.population == ONE_SEED and not last:
            return None  # other seeds are to come
        if claim.deterministic:
            return compared_directly(claim, sample, comparisons.names(hypothesis, treatment))
        return sample

    @property
    def _shares(self) -> tuple[float, float]:
        """The parts of alpha for a claim, and for its opposite."""
        plan, claim = self._plan, claim_of(self._hypothesis)
        alpha = claim.level / plan.family if plan.is_corrected(self._hypothesis) else claim.deciding_level
        # What refutes a guard allows for all guards, though each has to hold at its own level.
        return alpha, alpha if claim.is_superiority else plan.guard_share(claim.level)

    def _tested(self, sample: ClaimSample, level: float, planning_level: float) -> Tested | Verdict:
        return claim_tested(
            self._hypothesis,
            sample,
            level=level,
            planning_level=planning_level,
            resampled=self._plan.judging.resampled,
        )

    def _judged(self, outcome: Tested, look: int, levels: Levels) -> Verdict:
        """Return the verdict on what a look has tested, which leaves a trace."""
        self._best = outcome.p_value
        self._trail.append((self._plan.sizes[look], outcome.p_value, levels.alpha))
        return outcome.verdict(levels)

    def _within_boundaries(self, sample: ClaimSample, look: int, stopping: GroupSequential) -> Verdict | None:
        """Return the verdict that a look gives against the boundaries of all looks together."""
        plan, claim, last = self._plan, claim_of(self._hypothesis), self._is_last(look)
        alpha, share = self._shares
        boundaries, mirrored = (
            stopping.boundaries(plan.replicates, level, claim.alternative_of_p) for level in (alpha, share)
        )
        levels = Levels.alone(boundaries.levels[look], mirrored.levels[look])
        planning_level = boundaries.levels[-1]
        if once := last and not self._trail and self._has_other_units(look):
            levels, planning_level = Levels.alone(alpha, share), alpha
        outcome = self._tested(sample, levels.alpha, planning_level)
        if isinstance(outcome, Verdict):
            return outcome if last else None  # an early look may be too small for the test
        outcome = replace(outcome, growth=plan.replicates / plan.sizes[look])
        verdict = self._judged(outcome, look, levels)
        if once:
            verdict = replace(verdict, caveat="; ".join(filter(None, (_ONCE, verdict.caveat))))
        if last or verdict.status in ("supported", "refuted"):
            return verdict
        z = harm = boundaries.z(_trend_p(outcome.outcome), outcome.outcome.result.side)
        if claim.detects is not None:  # its harm is a difference of any size, not one beyond the loss
            harm = mirrored.z(1 - outcome.outcome.mirror_p, outcome.outcome.result.side)
        is_coming = mirrored.shows_harm(look, harm, claim.claimed)
        if claim.detects is not None and outcome.outcome.result.degenerate:
            is_coming = outcome.outcome.is_opposed  # the p-value of equal differences has no normal trend
        if verdict.status == "no harm shown" and not is_coming:
            return verdict
        rest, nominal = slice(look + 1, None), (boundaries.levels, mirrored.levels)
        status = certain_status(outcome.outcome, plan.sizes[rest], *(levels[rest] for levels in nominal))
        if status is not None:
            final = Levels.alone(*(levels[-1] for levels in nominal))
            return self._curtailed(outcome, status, look, final)
        if not stopping.futility or is_coming or not boundaries.is_futile(look, z, claim.claimed):
            return None
        return replace(
            verdict,
            reason=f"stopped for futility at {plan.sizes[look]} of {plan.replicates} replicates, which would "
            f"hardly show the effect that they are planned for any more: {outcome.shown}; futility=False "
            "runs them all",
        )

    def _has_other_units(self, look: int) -> bool:
        size = self._plan.sizes[look]
        return self._comparisons.are_same_units(self._hypothesis, self._treatment, size) is False

    def _curtailed(self, outcome: Tested, status: Status, look: int, levels: Levels) -> Verdict:
        """Return the verdict that no replicate to come can change: what the last look will say."""
        verdict = replace(outcome.verdict(levels), status=status)
        size, planned = self._plan.sizes[look], self._plan.replicates
        why = f"decided at {size} of {planned} replicates: whatever the others give, it will be so"
        if status == "inconclusive":
            return replace(verdict, reason=f"{why}: {outcome.shown}")
        return replace(verdict, caveat="; ".join(filter(None, (why, verdict.caveat))))


def _trend_p(outcome: Outcome) -> float:
    """Return the p-value that goes on as a trend does.

    Of rates that are told from a margin it is their score's: a binomial one may be 1 early on, which says
    nothing.
    """
    result = outcome.result
    if result.test.removeprefix("TOST ") not in _SCORES:
        return outcome.p_value
    return normal_p_value(result.statistic, result.alternative)
