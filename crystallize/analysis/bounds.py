"""Questions of claims with a bound: is a change beyond it excluded, or is there one, and how many show it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Final

from crystallize.claims.claim_terms import Direction
from crystallize.stats.power import (
    Design,
    OneSampleBinary,
    PairedBinary,
    UnpairedBinary,
    minimum_detectable_effect,
    power,
    replicates,
)

RATES: Final = (PairedBinary, UnpairedBinary, OneSampleBinary)
"""Designs of rates, which can be asked for a difference other than 0 under the null hypothesis."""
_NO_RATE: Final = 1 - 1e-9  # as far apart as rates can be
_CLOSE: Final = 1e-9


def smallest_reached(reached: Callable[[float], bool], low: float, high: float) -> float:
    """Return the smallest difference of rates at which something is reached; infinite if not at the highest.

    It is above `low`, and what is reached stays so above it.
    """
    if not reached(high):
        return math.inf
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def with_discordance(design: Design, effect: float) -> Design:
    """Return a design in which as many pairs differ as an effect would make differ, if that is more."""
    if isinstance(design, PairedBinary) and design.discordance < effect <= 1:
        return dataclasses.replace(design, discordance=effect)
    return design


@dataclasses.dataclass(frozen=True, slots=True)
class Absence:
    """Question whether changes of a size are excluded where there is none: what a claim with a margin asks.

    Parameters
    ----------
    design : Design
        With the spread that there is.
    level : float
        Of the test.
    direction : {"no_decrease", "no_increase", "equal"}
        Which changes are to be excluded; of two, both have to be.
    """

    design: Design
    level: float
    direction: Direction

    @property
    def _sides(self) -> tuple[int, ...]:
        return {"no_decrease": (-1,), "no_increase": (1,)}.get(self.direction, (-1, 1))

    def power(self, size: float, n: float) -> float:
        """Return the probability that so many replicates exclude a size."""
        if (of_rates := self._of_rates(size)) is not None:
            chances = [power(design, n, 0.0, **self._options(side)) for design, side in of_rates]
        else:  # the distance to the margin is what there is to be found, in either direction
            chance = power(self.design, n, size, alpha=self.level, alternative="greater")
            chances = [chance] * len(self._sides)
        return max(0.0, 1 - sum(1 - chance for chance in chances))

    def needed(self, size: float, target: float) -> int | None:
        """Return the replicates that exclude a size with a probability."""
        of_each = 1 - (1 - target) / len(self._sides)
        if size <= 0:
            return None
        if (of_rates := self._of_rates(size)) is None:
            return replicates(self.design, size, target=of_each, alpha=self.level, alternative="greater")
        found = [replicates(design, 0.0, target=of_each, **self._options(side)) for design, side in of_rates]
        known = [n for n in found if n is not None]
        return max(known) if len(known) == len(found) else None

    def smallest(self, n: float, target: float) -> float:
        """Return the smallest size that so many replicates exclude with a probability."""
        if not isinstance(self.design, RATES):
            of_each = 1 - (1 - target) / len(self._sides)
            return minimum_detectable_effect(
                self.design, n, target=of_each, alpha=self.level, alternative="greater"
            )
        return smallest_reached(lambda size: self.power(size, n) >= target, 0.0, _NO_RATE)

    def _of_rates(self, size: float) -> list[tuple[Design, int]] | None:
        """Return the designs of rates that differ by a size under the null hypothesis; None of numbers."""
        if not isinstance(self.design, RATES):
            return None
        size = min(size, _NO_RATE)
        return [(dataclasses.replace(self.design, null=side * size), side) for side in self._sides]

    def _options(self, side: int) -> dict[str, Any]:
        return {"alpha": self.level, "alternative": "greater" if side < 0 else "less"}


@dataclasses.dataclass(frozen=True, slots=True)
class Excess:
    """Question whether a rate changes by more than a bound: what a claim with `at_least` asks of rates.

    Their spread goes with how far apart they are, so that it is another one than whether equal rates move by
    what lies beyond the bound.

    Parameters
    ----------
    design : Design
        Of rates.
    level : float
        Of the test of the claimed side.
    bound : float
        What is to be exceeded, between 0 and 1.
    decrease : bool
        Whether a decrease is claimed.
    """

    design: Design
    level: float
    bound: float
    decrease: bool

    def power(self, size: float, n: float) -> float:
        """Return the probability that so many replicates show that a change of a size exceeds the bound."""
        if (design := self._asked(size)) is None:
            return 0.0
        return power(design, n, self._sign * size, **self._options)

    def needed(self, size: float, target: float) -> int | None:
        """Return the replicates that show it with a probability."""
        design = self._asked(size)
        if design is None or size <= self.bound:
            return None
        return replicates(design, self._sign * size, target=target, **self._options)

    def smallest(self, n: float, target: float) -> float:
        """Return the smallest size of which so many replicates show it with a probability."""
        largest = 1.0
        if not isinstance(self.design, PairedBinary):  # as many pairs differ as have to
            largest = min(largest, self.design.largest_effect(decrease=self.decrease))
        if largest <= self.bound:
            return math.inf
        return smallest_reached(lambda size: self.power(size, n) >= target, self.bound, largest)

    @property
    def _sign(self) -> int:
        return -1 if self.decrease else 1

    @property
    def _options(self) -> dict[str, Any]:
        return {"alpha": self.level, "alternative": "less" if self.decrease else "greater"}

    def _asked(self, size: float) -> Design | None:
        """Return the design in which a change of a size may be; None where there is no room for it."""
        design = with_discordance(self.design, size)
        if size > design.largest_effect(decrease=self.decrease):
            return None
        return dataclasses.replace(design, null=self._sign * self.bound)  # type: ignore[type-var]
