"""The looks at one claim: what is tested at each, against which level, and what it decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from crystallize.analysis.anytime import anytime_tested
from crystallize.analysis.comparison import Comparisons
from crystallize.analysis.curtailment import certain_status
from crystallize.analysis.decide import Levels, Tested, claim_tested
from crystallize.analysis.deterministic import compared_directly
from crystallize.analysis.sample import ONE_SEED
from crystallize.analysis.verdict import Status, Verdict
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.stopping import AnytimeValid, Curtailment, GroupSequential

_ONCE: Final = (
    "looked at once, at the end: replicates have other units each, and the first units are no sample of all"
)


class ClaimLooks:
    """The looks at one hypothesis under one treatment, up to the one that decides it."""

    def __init__(self, comparisons: Comparisons, hypothesis: Hypothesis, treatment: str) -> None:
        self._comparisons = comparisons
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

    def until(self, look: int) -> Verdict | None:
        """Return the verdict, if a look up to this one (from 0) gives it."""
        sizes = self._comparisons.plan.sizes
        while self._verdict is None and self._looked <= look:
            verdict = self._at(self._looked)
            self._looked += 1
            if verdict is not None:
                self._verdict = replace(verdict, look=self._looked, looks=len(sizes))
        decided = self._verdict
        return decided if decided is not None and decided.look <= look + 1 else None

    def _at(self, look: int) -> Verdict | None:
        """Return the verdict that a look gives; None if it leaves the claim open."""
        comparisons, hypothesis, treatment = self._comparisons, self._hypothesis, self._treatment
        plan, claim = comparisons.plan, hypothesis.claim
        stopping, sizes = plan.judging.stopping, plan.sizes
        last = look == len(sizes) - 1
        if (fault := comparisons.why_unreferenced(hypothesis, treatment)) is not None:
            return Verdict.invalid(fault)
        if (fault := comparisons.why_without_effect(hypothesis, treatment, sizes[look])) is not None:
            return Verdict.invalid(fault) if last else None  # a later replicate may read what none has so far
        if claim is None:  # a verifier speaks of all replicates, and only once
            return comparisons.verified(hypothesis, treatment) if last else None
        same_units = comparisons.are_same_units(hypothesis, treatment, sizes[look])
        if same_units is not None and isinstance(stopping, AnytimeValid):
            return Verdict.invalid(
                f"metric {claim.metric!r} has units, and AnytimeValid() tests replicates only; use "
                "GroupSequential(), or run all replicates without stopping= and --crystallize-early-stop"
            )
        if same_units is False and not last:
            return None  # all units have to be there: see `are_same_units`
        sample = comparisons.sample(hypothesis, treatment, sizes[look])
        if isinstance(sample, str):
            # Too many are missing so far, perhaps not of all; other faults do not go away.
            is_open = claim.nan_policy == "omit" and not last
            return None if is_open else Verdict.invalid(sample)
        if sample.population == ONE_SEED and not last:
            return None  # other seeds are to come
        if claim.deterministic:
            return compared_directly(claim, sample, comparisons.names(hypothesis, treatment))
        alpha = claim.level / plan.family if plan.is_corrected(hypothesis) else claim.deciding_level
        # What refutes a guard allows for all guards, though each has to hold at its own level.
        share = alpha if claim.is_superiority else plan.guard_share(claim.level)
        once = False
        if isinstance(stopping, Curtailment):
            levels = Levels.alone(alpha, share)
            outcome = claim_tested(
                hypothesis, sample, level=alpha, planning_level=alpha, resampled=plan.judging.resampled
            )
            if not last:
                return self._certain(outcome, sizes[look], levels)
        elif isinstance(stopping, AnytimeValid):
            outcome = anytime_tested(hypothesis, sample, g=stopping.g, level=alpha, best=self._best)
            levels = Levels.alone(alpha, share)
        else:
            assert isinstance(stopping, GroupSequential)
            boundaries = stopping.boundaries(plan.replicates, alpha, claim.alternative_of_p)
            mirrored = stopping.boundaries(plan.replicates, share, claim.alternative_of_p)
            levels = Levels.alone(boundaries.levels[look], mirrored.levels[look])
            planning_level = boundaries.levels[-1]
            if once := same_units is False and not self._trail:
                levels, planning_level = Levels.alone(alpha, share), alpha
            outcome = claim_tested(
                hypothesis,
                sample,
                level=levels.alpha,
                planning_level=planning_level,
                resampled=plan.judging.resampled,
            )
            if isinstance(outcome, Tested):
                outcome = replace(outcome, growth=plan.replicates / sizes[look])
        if isinstance(outcome, Verdict):
            return outcome if last else None  # an early look may be too small for the test
        self._best = outcome.p_value
        self._trail.append((sizes[look], outcome.p_value, levels.alpha))
        verdict = outcome.verdict(levels)
        if once:
            verdict = replace(verdict, caveat="; ".join(filter(None, (_ONCE, verdict.caveat))))
        if last or verdict.status != "inconclusive":
            return verdict
        if isinstance(stopping, GroupSequential):
            rest = slice(look + 1, None)
            nominal = boundaries.levels, mirrored.levels
            status = certain_status(outcome.outcome, sizes[rest], *(levels[rest] for levels in nominal))
            if status is not None:
                return self._curtailed(
                    outcome, status, sizes[look], Levels.alone(*(levels[-1] for levels in nominal))
                )
        if isinstance(stopping, GroupSequential) and stopping.futility:
            side = outcome.outcome.result.side
            z = boundaries.z(outcome.p_value, side)
            futile = boundaries.is_futile(look, z, claim.claimed)
            if futile and not mirrored.shows_harm(look, z, claim.claimed):
                reason = (
                    f"stopped for futility at {sizes[look]} of {plan.replicates} replicates, which would "
                    f"hardly show the effect that they are planned for any more: {outcome.shown}; "
                    "futility=False runs them all"
                )
                return replace(verdict, reason=reason)
        return None

    def _certain(self, outcome: Tested | Verdict, size: int, levels: Levels) -> Verdict | None:
        """Return the verdict that the last look alone will give, if it is certain already."""
        if isinstance(outcome, Verdict):
            return None
        planned = [self._comparisons.plan.replicates]
        status = certain_status(outcome.outcome, planned, [levels.alpha], [levels.mirror_alpha])
        return None if status is None else self._curtailed(outcome, status, size, levels)

    def _curtailed(self, outcome: Tested, status: Status, size: int, levels: Levels) -> Verdict:
        """Return the verdict that no replicate to come can change: what the last look will say."""
        verdict = replace(outcome.verdict(levels), status=status)
        planned = self._comparisons.plan.replicates
        why = f"decided at {size} of {planned} replicates: whatever the others give, it will be so"
        if status == "inconclusive":
            return replace(verdict, reason=f"{why}: {outcome.shown}")
        return replace(verdict, caveat="; ".join(filter(None, (why, verdict.caveat))))
