"""How often unchanged code passes where a reference does not repeat, by the one recording that there is.

Nobody knows what a second recording would have given. Its spread is taken to be the upper 80 % limit of the
observed one, and whatever varies between the replicates of one recording counts as what does not repeat, so
that mostly the true probability is at least the one that is told.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from crystallize.analysis.columns import deviation, mean
from crystallize.analysis.sample import CASES, ONE_SEED, RESPLITS, ClaimSample
from crystallize.analysis.sensitivity import EffectScale
from crystallize.claims.claim import Claim
from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_of_means import ResampledTTest
from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.crossed import error_of_replicates
from crystallize.stats.power import PairedT, ResampledT, TwoSampleT, power, upper_rate_limit, upper_sd_factor

_FEWEST: Final = 3  # values, of which a spread can be told


def unchanged_passes(claim: Claim, sample: ClaimSample, test: StatisticalTest, level: float) -> float | None:
    """Return how probably a claim with a margin holds if nothing has changed, but nothing repeats either.

    Parameters
    ----------
    claim : Claim
        A guard.
    sample : ClaimSample
        Its baseline is the recording, from which today's values are independent; of today's their number
        counts.
    test, level
        Which decides at which level.

    Returns
    -------
    float or None
        None where there is no telling: of values that do not vary, and of cases of which nobody knows what
        varies but themselves.
    """
    values, size = sample.baseline, claim.size
    if size is None or claim.is_superiority or min(len(values), len(sample.treatment)) < _FEWEST:
        return None
    if sample.population == ONE_SEED or (sample.population == CASES and sample.noise is None):
        return None
    margin = EffectScale(claim, abs(mean(values))).of(size)
    if claim.is_ratio:
        if sample.noise is not None or min(values) <= 0:  # the noise is not that of the logarithms
            return None
        sample = replace(sample, baseline=[math.log(value) for value in values])
    elif test.follows_design:  # what it compares are no means, nor rates
        return None
    of = _of_rates if test.of_rates else _of_means
    try:
        chance = of(sample, test, margin, level)
    except SampleError:  # what was recorded can't be tested
        return None
    if chance is None:
        return None
    if claim.detects is not None:
        chance = min(chance, 1 - claim.level)  # nor does the alarm go off
    return max(0.0, 2 * chance - 1) if claim.direction == "equal" else chance


def unrepeated(
    claim: Claim, sample: ClaimSample, test: StatisticalTest, level: float, *, what: str = ""
) -> str:
    """Say how probably unchanged code passes, and what; empty where there is no telling."""
    chance = unchanged_passes(claim, sample, test, level)
    if chance is None:
        return ""
    least = min(0.99, math.floor(100 * chance) / 100)  # rounded down: it is not certain
    return (
        f"{claim.label} does not repeat: unchanged code passes{what} with a probability of at least about "
        f"{least:g}, by this one recording"
    )


def _of_rates(sample: ClaimSample, test: StatisticalTest, margin: float, level: float) -> float | None:
    """Return the chance of a score test; a rate nearer to 1/2, by its limit, varies more."""
    values = sample.baseline
    fewer = min(count := round(math.fsum(values)), len(values) - count)
    rate = min(0.5, upper_rate_limit(fewer, len(values)))
    sizes = len(values), len(sample.treatment)
    if fewer == 0 and (1 - margin) ** min(sizes) > level:
        return 0.0  # a change of that size would mostly stay unseen by so few, which all alike do not exclude
    error = math.sqrt(rate * (1 - rate) * sum(1 / n for n in sizes))
    step = 1 / (2 * min(sizes))  # rates have steps, half of which a continuous approximation overlooks
    return float(special.ndtr((margin - step) / error + special.ndtri(level)))


def _of_means(sample: ClaimSample, test: StatisticalTest, margin: float, level: float) -> float | None:
    values = sample.baseline
    n: float = min(len(values), len(sample.treatment))
    if sample.replicates is not None and sample.units is not None:
        replicates, units = len(set(sample.replicates)), len(set(sample.units[0]))
        n = min(replicates, units)
        if n < _FEWEST:
            return None
        error = error_of_replicates(values, replicates=sample.replicates, units=sample.units[0])
        sd = error * math.sqrt(n) * upper_sd_factor(replicates - 1)
    elif sample.noise is not None:
        sd = sample.noise * upper_sd_factor(n - 1)
    else:
        sd = deviation(values) * upper_sd_factor(len(values) - 1)
    if not 0 < sd < math.inf:
        return None
    design: PairedT | ResampledT | TwoSampleT = PairedT(math.sqrt(2) * sd)
    if sample.population == RESPLITS and not isinstance(test, ResampledTTest):
        return None
    if isinstance(test, ResampledTTest):
        design = ResampledT(math.sqrt(2) * sd, test.test_fraction)
    elif not sample.paired:
        design, n = TwoSampleT(sd), 2 / (1 / len(values) + 1 / len(sample.treatment))
    return power(design, n, margin, alpha=level, alternative="greater")
