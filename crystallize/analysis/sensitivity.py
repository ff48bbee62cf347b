"""What a sample of this size, varying as it does, would leave unseen; and how large one would have to be.

Effects are those that matter to the user, or the smallest that would be found; never the one that was
observed.
"""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

from crystallize.analysis.bounds import RATES, Absence, Excess, smallest_reached, with_discordance
from crystallize.analysis.claim_plan import POWER
from crystallize.analysis.claim_test import Outcome
from crystallize.analysis.sample import RESPLITS, ClaimSample
from crystallize.boundary import check_failure
from crystallize.claims.claim import Claim
from crystallize.claims.stat_test import StatisticalTest
from crystallize.errors import SampleError
from crystallize.stats import Alternative, TestResult, cliffs_delta, d_z, hedges_g
from crystallize.stats.log_ratio import relative_change_of
from crystallize.stats.power import (
    Design,
    PairedBinary,
    ResampledT,
    TwoSampleT,
    UnpairedBinary,
    minimum_detectable_effect,
    power,
    replicates,
    upper_rate_limit,
    upper_sd_factor,
)

DIFFERENCES: Final = ("mean difference", "risk difference")
"""Estimands in the units of the metric."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sensitivity:
    """Smallest effects that a design can show.

    Parameters
    ----------
    design : Design
        With the spread that was observed.
    n : float
        Pairs, or values per arm.
    level : float
        Of the test.
    alternative : {"two-sided", "greater", "less"}
        Of the test.
    decrease : bool
        Whether a decrease is asked for.
    scale : EffectScale
        Of what the claim says of sizes.
    detectable : float or None
        The smallest difference that would be found with probability .8, as shown; None with a margin.
    """

    design: Design
    n: float
    level: float
    alternative: Alternative
    decrease: bool
    scale: EffectScale
    detectable: float | None

    @property
    def detectable_in_sd(self) -> float | None:
        """The same in standard deviations, where the design has one and it is counted from 0 in its units."""
        if self._sd is None or self.detectable is None or self.scale.is_other:
            return None
        return self.detectable / self._sd

    def replicates_for(self, effect: float) -> int | None:
        """Return how many replicates would find a true difference of this size with probability .8.

        The size is in the units of the design, and counted from 0.
        """
        if (excess := excess_of(self.scale, self.cautious, self.level)) is not None:
            return excess.needed(effect, POWER)
        sign = -1 if self.decrease else 1
        effect -= self.scale.null
        design = with_discordance(self.cautious, effect)
        if self._sd is None and effect > design.largest_effect(decrease=self.decrease):
            return None
        return replicates(design, sign * effect, target=POWER, alpha=self.level, alternative=self.alternative)

    @property
    def cautious(self) -> Design:
        """The design with the upper 80 % limit of the spread, which is too small in half of all cases."""
        design = self.design
        if isinstance(design, PairedBinary):
            limit = upper_rate_limit(round(design.discordance * self.n), math.floor(self.n))
            return dataclasses.replace(design, discordance=min(1.0, limit))
        if isinstance(design, UnpairedBinary) and not self.scale.claim.is_superiority:
            rate, n = design.baseline_rate, math.floor(self.n)
            rarer = min(0.5, upper_rate_limit(round(min(rate, 1 - rate) * n), n))
            return dataclasses.replace(design, baseline_rate=rarer if rate < 0.5 else 1 - rarer)
        if self._sd is None:
            return design
        df = 2 * self.n - 2 if isinstance(design, TwoSampleT) else self.n - 1
        return dataclasses.replace(design, sd=self._sd * upper_sd_factor(df))  # type: ignore[type-var]

    @property
    def _sd(self) -> float | None:
        return getattr(self.design, "sd", None)


def excess_of(scale: EffectScale, design: Design, level: float) -> Excess | None:
    """Return the question of a claim with `at_least` to a design of rates; None of others."""
    claim = scale.claim
    if claim.at_least is None or not isinstance(design, RATES):
        return None
    side = level / 2 if claim.alternative_of_p == "two-sided" else level
    return Excess(design, side, scale.null, claim.claimed == "less")


@dataclasses.dataclass(frozen=True, slots=True)
class EffectScale:
    """Scale between sizes as they are declared and shown, and those of a design.

    Parameters
    ----------
    claim : Claim
        Which says them.
    mean : float
        Size of the baseline's mean, of which relative ones are parts.
    """

    claim: Claim
    mean: float

    @property
    def _sign(self) -> int:
        return -1 if self.claim.direction in ("decrease", "no_decrease") else 1

    @property
    def null(self) -> float:
        """Bound that a claim with a sign has to exceed, in the units of the design."""
        return 0.0 if self.claim.at_least is None else self.of(self.claim.at_least)

    @property
    def is_other(self) -> bool:
        """Whether what is shown is no difference from 0 in the units of the metric."""
        return self.claim.in_percent or self.claim.at_least is not None

    def of(self, size: float) -> float:
        """Return a size that is declared, in the units of the design."""
        if self.claim.is_ratio:
            return abs(math.log1p(self._sign * size)) if self._sign * size > -1 else math.inf
        return size * self.mean if self.claim.relative else size

    def shown(self, size: float) -> float:
        """Return a size of the design as it is shown."""
        if self.claim.is_ratio:
            return abs(relative_change_of(self._sign * size))
        if not self.claim.has_relative_size:
            return size
        return size / self.mean if self.mean else math.inf

    def text(self, size: float) -> str:
        """Return a size that is declared, in words."""
        return f"{100 * size:.3g} %" if self.claim.relative else f"{size:.3g}"


def _detectable(design: Design, n: float, level: float, alternative: Alternative, decrease: bool) -> float:
    sd: float | None = getattr(design, "sd", None)
    if sd is None:
        found = _standard_detectable(design, n, level, alternative, decrease)
        if math.isinf(found) and isinstance(design, PairedBinary):
            return _detectable_alone(design, n, level, alternative, decrease)
        return found
    standard = dataclasses.replace(design, sd=1.0)  # type: ignore[type-var]
    return sd * _standard_detectable(standard, n, level, alternative, decrease)


@lru_cache(maxsize=1024)
def _standard_detectable(
    design: Design, n: float, level: float, alternative: Alternative, decrease: bool
) -> float:
    return minimum_detectable_effect(
        design, n, target=POWER, alpha=level, alternative=alternative, decrease=decrease
    )


@lru_cache(maxsize=1024)
def _detectable_alone(
    design: PairedBinary, n: float, level: float, alternative: Alternative, decrease: bool
) -> float:
    """Return the smallest effect that is found if all pairs that differ do so because of it."""

    def reached(effect: float) -> bool:
        alone = dataclasses.replace(design, discordance=effect)
        signed = -effect if decrease else effect
        return power(alone, n, signed, alpha=level, alternative=alternative) >= POWER

    return smallest_reached(reached, design.discordance, 1.0)


@lru_cache(maxsize=1024)
def _smallest_excess(excess: Excess, n: float) -> float:
    return excess.smallest(n, POWER)


def sensitivity(
    claim: Claim,
    test: StatisticalTest,
    sample: ClaimSample,
    result: TestResult,
    level: float,
    *,
    growth: float = 1.0,
) -> Sensitivity | None:
    """Return what a sample, grown by a factor, could show at a level; None where there is no telling."""
    try:
        design = test.design(sample.baseline, sample.treatment, result)
        if design is None or (sample.population == RESPLITS and not isinstance(design, ResampledT)):
            return None
        n: float = result.n if isinstance(result.n, int) else 2 / sum(1 / size for size in result.n)
        whole = len(sample.baseline) if claim.per is None else math.fsum((sample.beside or ((), ()))[0])
        scale = EffectScale(claim, abs(sample.baseline_total / whole))
        decrease, alternative = claim.claimed == "less", claim.alternative_of_p
        n, detectable = n * growth, None
        if (excess := excess_of(scale, design, level)) is not None:
            detectable = scale.shown(_smallest_excess(excess, n))
        elif claim.is_superiority:
            detectable = scale.shown(_detectable(design, n, level, alternative, decrease) + scale.null)
        return Sensitivity(design, n, level, alternative, decrease, scale, detectable)
    except BaseException as error:  # of a test of the user's; what a sample could not show decides nothing
        check_failure(error)
        return None


class Advice(NamedTuple):
    """Advice on an inconclusive sample: what it leaves open, and whether more of it would help."""

    text: str
    more: bool = True


def advice(
    outcome: Outcome, found: Sensitivity | None, interval: tuple[float, float], *, what: str
) -> Advice:
    """Say what an inconclusive sample leaves open, and how many replicates would do.

    The number rests on a spread that is itself estimated: it uses the upper 80 % limit of it, so that the
    power is reached in most cases, not in half of them.

    Parameters
    ----------
    outcome, found
        What came out, and what such a sample can show.
    interval : pair of float
        The one that is shown.
    what : str
        What is counted: replicates, or units.
    """
    claim = outcome.claim
    try:
        if found is None:
            both = outcome.sample.replicates is not None
            return Advice("run more replicates of more units" if both else f"run more {what}")
        if claim.is_superiority:
            return _superiority(outcome, found, interval, what)
        return _guard(claim, found, what)
    except BaseException as error:  # of a design of the user's
        check_failure(error)
        return Advice(f"run more {what}")


def _superiority(outcome: Outcome, found: Sensitivity, interval: tuple[float, float], what: str) -> Advice:
    claim, n, detectable, scale = outcome.claim, math.floor(found.n), found.detectable, found.scale
    if detectable is None or math.isinf(detectable):
        text = f"{n} {what} that vary like these can hardly show any difference"
    else:
        sd = f" ({found.detectable_in_sd:.2g} SD)" if found.detectable_in_sd is not None else ""
        least = f"{100 * detectable:.3g} %" if claim.in_percent else f"{detectable:.3g}"
        text = f"with {n} {what} a difference below {least}{sd} goes unseen"
    if claim.effect is None and isinstance(found.design, ResampledT):
        return Advice(f"{text}; more resplits hardly help, a larger data set would", more=False)
    if claim.effect is None:
        return Advice(
            f"{text}; plan more, or declare as effect= the smallest difference that matters to learn how many"
        )
    effect, declared = scale.of(claim.effect), scale.text(claim.effect)
    if effect == 0:
        return Advice(f"{text}; the baseline's mean is 0, of which the {declared} you declared is nothing")
    of_the_same = outcome.result.estimand in DIFFERENCES or claim.in_percent or claim.second is not None
    if of_the_same and _excludes(claim, interval, claim.effect if claim.in_percent else effect):
        return Advice(
            f"{text}; the interval excludes the {declared} you declared: it is hardly there", more=False
        )
    needed = found.replicates_for(effect)
    if needed is None:
        return Advice(f"{text}; no number of {what} would show the {declared} you declared", more=False)
    if needed <= found.n:
        return Advice(
            f"{text}; the {declared} you declared is neither seen nor excluded by {n}, which would mostly do"
        )
    by_limit = "" if found.cautious == found.design else _BY_LIMIT
    return Advice(f"{text}; about {needed} would show the {declared} you declared{by_limit}")


def _excludes(claim: Claim, interval: tuple[float, float], effect: float) -> bool:
    """Return whether an interval of the difference excludes the effect that was declared."""
    low, high = interval
    return {"increase": high < effect, "decrease": low > -effect}.get(
        claim.direction, -effect < low and high < effect
    )


def _guard(claim: Claim, found: Sensitivity, what: str) -> Advice:
    assert claim.size is not None
    margin = found.scale.of(claim.size)
    needed = Absence(found.cautious, found.level, claim.direction).needed(margin, POWER)
    if needed is None:
        return Advice(f"no number of {what} would do", more=False)
    by_limit = "" if found.cautious == found.design else _BY_LIMIT
    if needed <= found.n:
        return Advice(
            f"{math.floor(found.n)} {what} are enough to show it where there is no difference at all"
        )
    return Advice(
        f"about {needed} {what} would show it with probability {POWER:g} where there is no difference at all"
        f"{by_limit}"
    )


_BY_LIMIT: Final = " (by the upper 80 % limit of the spread)"


def effect_sizes(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return standardized effects of numbers, by name: d_z of pairs, else Hedges g and Cliff's delta.

    None of values that do not vary, of yes/no, and of values with units, which are no independent samples.
    """
    sample, test = outcome.sample, outcome.test
    named = outcome.claim.is_ratio or outcome.claim.second is not None
    if outcome.result.degenerate or sample.units is not None or test.of_rates or named:
        return {}
    estimates = (d_z,) if sample.paired else (hedges_g, cliffs_delta)
    try:
        found = [
            estimate(sample.baseline, sample.treatment, alpha=outcome.claim.level) for estimate in estimates
        ]
    except SampleError:  # too few values
        return {}
    return {
        effect.name: {
            "estimate": effect.estimate,
            "interval": effect.interval,
            "confidence": effect.confidence,
        }
        for effect in found
        if math.isfinite(effect.estimate)
    }
