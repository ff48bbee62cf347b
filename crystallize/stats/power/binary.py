"""Power of the tests of 0/1 data, by enumeration."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.result import Alternative
from crystallize.stats.risk_difference import miettinen_nurminen_p_value, miettinen_nurminen_score
from crystallize.stats.samples import Sample, as_real
from crystallize.stats.tails import normal_quantile
from crystallize.stats.tango import tango_scores, tango_upper_p_values
from crystallize.stats.unconditional import fisher_table, largest_probability

ENUMERATED_PAIRS: Final = 10_000
"""Up to so many pairs the numbers of discordant ones are enumerated; beyond, power is approximate."""

ENUMERATED_N: Final = 100
"""Up to so many values per arm the tables of two arms are enumerated; beyond, power is approximate."""

_TIE: Final = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class PairedBinary:
    """McNemar's test of pairs; the effect is the risk difference.

    Parameters
    ----------
    discordance : float
        Part of the pairs whose values differ, in (0, 1]; no effect is larger.
    exact : bool
        As in `mcnemar`.
    null : float
        Risk difference under the null hypothesis, in (-1, 1); any other than 0 is tested by Tango's score.

    Notes
    -----
    Exact up to 10,000 pairs; beyond, by the normal approximation.

    Examples
    --------
    >>> round(PairedBinary(0.3).power(50, 0.2, alpha=0.05, alternative="two-sided"), 4)
    0.7743

    That a loss of .1 is excluded where there is none:

    >>> round(PairedBinary(0.1, null=-0.1).power(78, 0.0, alpha=0.05, alternative="greater"), 4)
    0.8106
    """

    name: ClassVar[str] = "McNemar"
    minimum_n: ClassVar[int] = 1
    steady: ClassVar[bool] = False

    discordance: float
    exact: bool = False
    null: float = 0.0

    def __post_init__(self) -> None:
        discordance = as_real(self.discordance)
        if not 0 < discordance <= 1:
            raise SampleError(
                f"PairedBinary: discordance is {self.discordance!r}; allowed is a number above 0, up to 1: "
                "the part of the pairs whose values differ"
            )
        object.__setattr__(self, "discordance", discordance)
        object.__setattr__(self, "null", _checked_null("PairedBinary", self.null))
        if self.exact and self.null:
            raise SampleError(f"PairedBinary: null is {self.null!r}; of the exact test allowed is 0")

    def largest_effect(self, *, decrease: bool) -> float:
        """Return the discordance, in either direction: then all discordant pairs go one way."""
        return self.discordance

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n pairs (rounded down)."""
        if abs(effect) > self.discordance:
            raise SampleError(
                f"PairedBinary: effect is {effect!r}; allowed are numbers up to the discordance, "
                f"{self.discordance!r}"
            )
        if self.null:
            return self._score_power(n, effect, alpha, alternative)
        if n > ENUMERATED_PAIRS:
            return self._large_sample_power(n, effect, alpha, alternative)
        discordant, mass, critical = _discordant_pairs(
            int(n), self.discordance, alpha, self.exact, alternative
        )
        gain = (1 + effect / self.discordance) / 2
        rejected = np.zeros(discordant.size)
        if alternative != "less":
            rejected += _cdf(critical, discordant, 1 - gain)
        if alternative != "greater":
            rejected += _cdf(critical, discordant, gain)
        return min(1.0, float(mass @ rejected))

    def _score_power(self, n: float, effect: float, alpha: float, alternative: Alternative) -> float:
        """Return the power of Tango's test of a difference that is not 0."""
        total, level = 0.0, alpha / 2 if alternative == "two-sided" else alpha
        for side in (1, -1):  # a test of the other side is that of gains and losses exchanged
            if alternative == ("less" if side > 0 else "greater"):
                continue
            gain = (1 + side * effect / self.discordance) / 2
            if n > ENUMERATED_PAIRS:
                gains, losses = gain * self.discordance * n, (1 - gain) * self.discordance * n
                score = float(tango_scores(gains, losses, n, side * self.null))
                total += _score_exceeds(side * (effect - self.null), score, level, self._error(n, effect))
                continue
            discordant, mass, critical = _significant_losses(
                int(n), self.discordance, level, side * self.null
            )
            total += float(mass @ _cdf(critical, discordant, 1 - gain))
        return min(1.0, total)

    def _error(self, n: float, effect: float) -> float:
        """Return the standard error of the observed risk difference."""
        return math.sqrt(max(self.discordance - effect**2, 1e-300) / n)

    def _large_sample_power(self, n: float, effect: float, alpha: float, alternative: Alternative) -> float:
        level = alpha if alternative == "two-sided" else 2 * alpha
        needed = normal_quantile(level) * math.sqrt(self.discordance)
        error = math.sqrt(max(self.discordance - effect**2, 1e-300))
        above, below = (
            float(special.ndtr((sign * effect * math.sqrt(n) - needed) / error)) for sign in (1, -1)
        )
        return {"two-sided": min(1.0, above + below), "greater": above, "less": below}[alternative]


@dataclass(frozen=True, slots=True)
class UnpairedBinary:
    """Boschloo's test of two independent arms of equal size; the effect is the risk difference.

    Parameters
    ----------
    baseline_rate : float
        Probability of a 1 in the baseline, in [0, 1].
    null : float
        Risk difference under the null hypothesis, in (-1, 1); any other than 0 is tested by Miettinen and
        Nurminen's score.

    Notes
    -----
    Exact up to 100 values per arm; beyond, by the normal approximation of the score test, which is slightly
    optimistic.

    Examples
    --------
    >>> round(UnpairedBinary(0.6).power(50, 0.3, alpha=0.05, alternative="two-sided"), 3)
    0.944
    """

    name: ClassVar[str] = "Boschloo"
    minimum_n: ClassVar[int] = 1
    steady: ClassVar[bool] = False

    baseline_rate: float
    null: float = 0.0

    def __post_init__(self) -> None:
        rate = as_real(self.baseline_rate)
        if not 0 <= rate <= 1:
            raise SampleError(
                f"UnpairedBinary: baseline_rate is {self.baseline_rate!r}; allowed is a number from 0 to 1"
            )
        object.__setattr__(self, "baseline_rate", rate)
        object.__setattr__(self, "null", _checked_null("UnpairedBinary", self.null))

    def largest_effect(self, *, decrease: bool) -> float:
        """Return what is left up to 1, or down to 0."""
        return self.baseline_rate if decrease else 1 - self.baseline_rate

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n values in each arm (rounded down)."""
        size, first, second = int(n), self.baseline_rate, self.baseline_rate + effect
        if not -1e-12 <= second <= 1 + 1e-12:
            raise SampleError(
                f"UnpairedBinary: effect is {effect!r} with a baseline rate of {first!r}; "
                "allowed are effects that lead to a rate from 0 to 1"
            )
        second = min(max(second, 0.0), 1.0)
        level = alpha / 2 if alternative == "two-sided" else alpha
        total = 0.0
        if alternative != "less":
            total += _one_sided_power(size, first, second, level, self.null)
        if alternative != "greater":
            total += _one_sided_power(size, second, first, level, -self.null)
        return min(1.0, total)


def _checked_null(design: str, null: float) -> float:
    difference = as_real(null)
    if not -1 < difference < 1:
        raise SampleError(f"{design}: null is {null!r}; allowed are numbers between -1 and 1")
    return difference


def _score_exceeds(excess: float, score: float, alpha: float, error: float) -> float:
    """Return about how probably a score is significant that is `score` at the expected counts.

    `excess` is the expected difference less that under the null hypothesis, `error` its standard error.
    """
    if score == 0:  # nothing varies under the null hypothesis, or it is true
        return alpha
    return float(special.ndtr((excess - normal_quantile(2 * alpha) * excess / score) / error))


def _one_sided_power(n: int, first: float, second: float, alpha: float, null: float) -> float:
    """Return the probability that the second arm's rate is found to be the larger, by more than the null."""
    if n <= ENUMERATED_N:
        region = _score_region(n, alpha, null) if null else _boschloo_region(n, alpha)
        counts = np.arange(n + 1)
        return float(_binomial_mass(n, counts, first) @ region @ _binomial_mass(n, counts, second))
    if null:
        score = miettinen_nurminen_score(first * n, n, second * n, n, null)
        spread = math.sqrt(max(first * (1 - first) + second * (1 - second), 1e-300) / n)
        return _score_exceeds(second - first - null, score, alpha, spread)
    pooled = (first + second) / 2
    error = math.sqrt(first * (1 - first) + second * (1 - second))
    distance = (second - first) * math.sqrt(n) - normal_quantile(2 * alpha) * math.sqrt(
        2 * pooled * (1 - pooled)
    )
    return float(special.ndtr(distance / error)) if error > 0 else float(distance > 0)


@lru_cache(maxsize=256)
def _boschloo_region(n: int, alpha: float) -> Sample:
    """Return 1.0 for the tables in which Boschloo's one-sided p-value is at most alpha."""
    fisher = fisher_table(n, n)
    cuts = np.unique(fisher)
    low, high = -1, cuts.size - 1  # the largest cut is 1: with it, every table is in the region
    while high - low > 1:
        middle = (low + high) // 2
        inside = largest_probability(fisher <= cuts[middle] * _TIE) <= alpha
        low, high = (middle, high) if inside else (low, middle)
    if low < 0:
        return np.zeros(fisher.shape)
    region: Sample = (fisher <= cuts[low] * _TIE).astype(np.float64)
    return region


@lru_cache(maxsize=256)
def _score_region(n: int, alpha: float, null: float) -> Sample:
    """Return 1.0 for the tables in which Miettinen and Nurminen's one-sided p-value is at most alpha."""
    region = np.zeros((n + 1, n + 1))
    for x in range(n + 1):  # the p-value falls with what the second arm has

        def is_significant(y: int, x: int = x) -> bool:
            return miettinen_nurminen_p_value(x, n, y, n, null, "greater") <= alpha

        region[x, bisect_left(range(n + 1), True, key=is_significant) :] = 1.0
    return region


@lru_cache(maxsize=256)
def _significant_losses(
    n: int, discordance: float, alpha: float, null: float
) -> tuple[NDArray[np.int_], Sample, NDArray[np.int_]]:
    """Return the likely numbers of discordant pairs, their probabilities, and how many may be losses.

    With so many or fewer of each, Tango's test finds a difference above that of the null hypothesis; -1 where
    it can't.
    """
    counts = _likely(n, discordance)
    low, high = np.full(counts.size, -1), counts + 1
    while (open_ := high - low > 1).any():
        middle = np.where(open_, (low + high) // 2, np.maximum(low, 0))
        significant = tango_upper_p_values(counts - middle, middle, n, null) <= alpha
        low = np.where(open_ & significant, middle, low)
        high = np.where(open_ & ~significant, middle, high)
    return counts, _binomial_mass(n, counts, discordance), low


@lru_cache(maxsize=256)
def _discordant_pairs(
    n: int, discordance: float, alpha: float, exact: bool, alternative: Alternative
) -> tuple[NDArray[np.int_], Sample, NDArray[np.int_]]:
    """Return the likely numbers of discordant pairs, their probabilities, and what is significant in each."""
    counts = _likely(n, discordance)
    return (
        counts,
        _binomial_mass(n, counts, discordance),
        _critical_counts(counts, alpha, exact, alternative),
    )


def _critical_counts(
    tosses: NDArray[np.int_], alpha: float, exact: bool, alternative: Alternative
) -> NDArray[np.int_]:
    """Return the largest count of the rarer kind that is significant, -1 if none is."""
    level = alpha / 2 if alternative == "two-sided" else alpha
    low, high = np.full(tosses.size, -1), tosses.copy()
    # Twice a tail is below 1 only below the middle: two-sided, a count is never significant from there on.
    if alternative == "two-sided":
        high = (tosses + 1) // 2
    while (open_ := high - low > 1).any():
        middle = np.where(open_, (low + high) // 2, low)
        tail = _cdf(middle, tosses, 0.5)
        if not exact:
            tail = (tail + _cdf(middle - 1, tosses, 0.5)) / 2
        significant = tail <= level * (1 + 1e-12)
        low = np.where(open_ & significant, middle, low)
        high = np.where(open_ & ~significant, middle, high)
    return low


def _cdf(counts: NDArray[np.int_], tosses: NDArray[np.int_], chance: float) -> Sample:
    below = special.bdtr(np.maximum(counts, 0).astype(np.float64), tosses.astype(np.intp), chance)
    return np.where(counts >= 0, below, 0.0).astype(np.float64)


def _likely(n: int, chance: float) -> NDArray[np.int_]:
    """Return the counts that a binomial variable takes but for a probability below 1e-15."""
    reach = 9 * math.sqrt(n * chance * (1 - chance)) + 30
    centre = n * chance
    return np.arange(max(0, math.floor(centre - reach)), min(n, math.ceil(centre + reach)) + 1)


def _binomial_mass(n: int, counts: NDArray[np.int_], chance: float) -> Sample:
    log_choose = special.gammaln(n + 1) - special.gammaln(counts + 1) - special.gammaln(n - counts + 1)
    with np.errstate(under="ignore"):
        mass: Sample = np.exp(
            log_choose + special.xlogy(counts, chance) + special.xlog1py(n - counts, -chance)
        )
    return mass
