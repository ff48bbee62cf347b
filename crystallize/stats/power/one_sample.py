"""Power of the exact test of one rate against a number, by enumeration."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.binomial import side_beyond
from crystallize.stats.result import Alternative
from crystallize.stats.samples import as_real


@dataclass(frozen=True, slots=True)
class OneSampleBinary:
    """Exact binomial test of one sample; the effect is the rate minus the number.

    Parameters
    ----------
    rate : float
        What the rate is compared with, in [0, 1].
    null : float
        Difference from it under the null hypothesis, in (-1, 1).

    Examples
    --------
    >>> round(OneSampleBinary(0.85).power(60, 0.1, alpha=0.05, alternative="greater"), 4)
    0.8197
    """

    name: ClassVar[str] = "exact binomial"
    minimum_n: ClassVar[int] = 1
    steady: ClassVar[bool] = False

    rate: float
    null: float = 0.0

    def __post_init__(self) -> None:
        rate = as_real(self.rate)
        if not 0 <= rate <= 1:
            raise SampleError(f"OneSampleBinary: rate is {self.rate!r}; allowed is a number from 0 to 1")
        object.__setattr__(self, "rate", rate)
        null = as_real(self.null)
        if not -1 < null < 1:
            raise SampleError(f"OneSampleBinary: null is {self.null!r}; allowed are numbers between -1 and 1")
        object.__setattr__(self, "null", null)

    def largest_effect(self, *, decrease: bool) -> float:
        """Return what is left up to 1, or down to 0."""
        return self.rate if decrease else 1 - self.rate

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n values (rounded down)."""
        size, rate = int(n), min(max(self.rate + effect, 0.0), 1.0)
        tested = self.rate + self.null
        if beyond := side_beyond(tested):  # of no rate: any sample shows that it is on the other side
            return float(alternative != ("greater" if beyond > 0 else "less"))
        tested = min(max(tested, 0.0), 1.0)
        fewest, most = _critical(size, tested, alpha / 2 if alternative == "two-sided" else alpha)
        total = 0.0
        if alternative != "less" and most <= size:
            total += float(special.bdtrc(most - 1, size, rate)) if most else 1.0
        if alternative != "greater" and fewest >= 0:
            total += float(special.bdtr(fewest, size, rate))
        return min(1.0, total)


@lru_cache(maxsize=4096)
def _critical(n: int, rate: float, alpha: float) -> tuple[int, int]:
    """Return the largest count that shows a smaller rate, -1 if none does, and the smallest of a larger."""
    counts = range(n + 1)
    fewest = bisect_left(counts, True, key=lambda k: float(special.bdtr(k, n, rate)) > alpha)
    most = bisect_left(counts, True, key=lambda k: k > 0 and float(special.bdtrc(k - 1, n, rate)) <= alpha)
    return fewest - 1, most
