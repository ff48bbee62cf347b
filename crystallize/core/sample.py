"""The sample that a claim is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SEEDS = "seeds of this data set"
RESPLITS = "resampled splits of one data set"
CASES = "cases"


@dataclass(frozen=True, slots=True)
class ClaimSample:
    """The values of one metric in both conditions.

    Attributes
    ----------
    baseline, treatment : sequence of float
        One per replicate, or of a clustered test all of them.
    paired : bool
        Whether the i-th values share a seed.
    omitted : int
        Replicates left out for lack of a value.
    units : pair of sequences or None
        The unit of each value, for a clustered test.
    population : str
        What a verdict on the sample speaks of.
    """

    baseline: Sequence[float]
    treatment: Sequence[float]
    paired: bool = True
    omitted: int = 0
    units: tuple[Sequence[Any], Sequence[Any]] | None = None
    population: str = SEEDS

    @property
    def n(self) -> int:
        """Units, if the values have some; or else pairs, or values of the smaller arm."""
        if self.units is not None:
            return len(set(self.units[0]))
        return min(len(self.baseline), len(self.treatment))
