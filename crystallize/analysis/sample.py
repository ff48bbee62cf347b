"""The sample that a claim is tested on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import ArrayLike

from crystallize.stats import is_binary
from crystallize.stats.samples import as_doubles
from crystallize.stats.skewness import skew_of_mean

SEEDS = "seeds of this data set"
RESPLITS = "resampled splits of one data set"
CASES = "cases"
ONE_SEED = "cases under one seed"
CROSSED = "seeds and cases"
SESSIONS = "runs of two sessions"
PROCESSES = "pairs of processes"


@dataclass(frozen=True)
class ClaimSample:
    """The values of one metric in both conditions; what is made of them is kept for the next claim on them.

    Attributes
    ----------
    baseline, treatment : sequence of float
        One per replicate, or of a clustered test all of them.
    paired : bool
        Whether the i-th values share a seed.
    omitted : int
        Replicates left out for lack of a value.
    units : pair of sequences or None
        The unit of each value, for a test that is told them.
    replicates : sequence or None
        The replicate of the i-th values, where units are crossed with replicates.
    population : str
        What a verdict on the sample speaks of.
    binary_elsewhere : bool
        Whether every value of the metric in the other conditions is 0 or 1.
    of_rates : bool
        Whether the values are means of several ones that all are 0 or 1.
    repeats : bool
        Whether unchanged code gives the same values for the same seeds.
    noise : float or None
        Standard error of a unit's mean in the baseline, where units have several values.
    beside : pair of sequences or None
        Values of a second metric beside those of both arms: denominators, or a covariate.
    number : float or None
        What one sample is compared with: every value of the baseline is this number.
    noun : str
        What messages call units.
    """

    baseline: Sequence[float]
    treatment: Sequence[float]
    paired: bool = True
    omitted: int = 0
    units: tuple[Sequence[Any], Sequence[Any]] | None = None
    population: str = SEEDS
    binary_elsewhere: bool = True
    of_rates: bool = False
    replicates: Sequence[int] | None = None
    repeats: bool = True
    noise: float | None = None
    number: float | None = None
    beside: tuple[Sequence[float], Sequence[float]] | None = None
    noun: str = "units"

    @cached_property
    def is_binary(self) -> bool:
        """Whether every value is 0 or 1, wherever the metric is recorded."""
        arms = (self.treatment,) if self.number is not None else (self.baseline, self.treatment)
        # Mostly the first values tell that they are not.
        return self.binary_elsewhere and all(is_binary(arm[:1]) for arm in arms) and all(map(is_binary, arms))

    @cached_property
    def baseline_total(self) -> float:
        """Sum of the baseline's values."""
        return math.fsum(self.baseline)

    @cached_property
    def means(self) -> list[float]:
        """Means of both arms, whose last digits may be off."""
        return [sum(values) / len(values) for values in (self.baseline, self.treatment)]

    @cached_property
    def skew(self) -> tuple[float, float]:
        """Skewness of the mean difference, and the variance that it has in normal samples."""
        if self.paired:
            return skew_of_mean(_half_differences(self.baseline, self.treatment))
        return skew_of_mean(self.baseline, self.treatment)

    @property
    def why_unpaired(self) -> str:
        """Reason why values are no pairs, and what to do."""
        if self.population == SESSIONS:
            return "values measured in two sessions are none"
        return "the conditions share no seeds; run both with the same root seed"

    @property
    def n(self) -> int:
        """Replicates that units are crossed with; or units; or pairs, or values of the smaller arm."""
        if self.replicates is not None:
            return len(set(self.replicates))
        if self.units is not None:
            return len(set(self.units[0]))
        return min(len(self.baseline), len(self.treatment))

    @property
    def counted(self) -> tuple[int, str]:
        """Number and kind of what is alike where all differences are: of crossed values the fewer of both."""
        if self.replicates is not None and self.units is not None:
            return min((self.n, "replicates"), (len(set(self.units[0])), "units"))
        return self.n, self.noun if self.population in (CASES, ONE_SEED) else "replicates"


def _half_differences(baseline: Sequence[float], treatment: Sequence[float]) -> ArrayLike:
    """Return differences of halves: that of whole values may be beyond floats."""
    doubles = as_doubles(baseline, treatment)
    if doubles is None:
        return [t / 2 - b / 2 for b, t in zip(baseline, treatment, strict=False)]
    return doubles[1] / 2 - doubles[0] / 2
