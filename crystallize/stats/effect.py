"""The size of an effect, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """An effect of the treatment, as a number that can be compared across metrics.

    Attributes
    ----------
    name : str
        What it is, such as ``"Hedges g"``.
    estimate : float
        Positive (above 1/2 for a probability) if the treatment's values are the larger.
    interval : tuple of float
        Two-sided interval (low, high) at level `confidence`; infinite ends where the data set no bound.
    confidence : float
        Level of the interval, 1 - alpha.

    Examples
    --------
    >>> from crystallize.stats import hedges_g
    >>> effect = hedges_g([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.5])
    >>> effect.name, round(effect.estimate, 3), effect.confidence
    ('Hedges g', 0.7, 0.95)
    """

    name: str
    estimate: float
    interval: tuple[float, float]
    confidence: float

    @property
    def bounded(self) -> bool:
        """Whether both ends of the interval are finite."""
        return all(map(math.isfinite, self.interval))
