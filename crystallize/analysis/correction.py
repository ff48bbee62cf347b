"""Procedures that correct the p-values of several claims, and the levels at which each was compared."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

from crystallize.analysis.claim_test import Outcome
from crystallize.stats import Correction, adjust, step_down_max_t
from crystallize.stats.precision import as_paired_arms
from crystallize.text.formatting import compared


class Steps(Protocol):
    """A procedure for the p-values of several claims.

    Attributes
    ----------
    name : str
        ``"none"`` if it is the experiment's own.
    adjusted : sequence of float
        P-value of each, corrected for their number.
    """

    name: str

    @property
    def adjusted(self) -> Sequence[float]:
        """P-value of each claim, corrected for their number."""

    def level(self, i: int, alpha: float) -> float:
        """Return the level at which a p-value that is rejected was compared."""

    def level_beyond(self, alpha: float) -> float:
        """Return the level that no p-value reaches which is not rejected."""


class FixedSteps:
    """Holm's, or Benjamini and Hochberg's, procedure, or none.

    Parameters
    ----------
    p_values : sequence of float
        Of the claims.
    correction : {"holm", "bh", "none"}
        How they are corrected.
    total : int
        Over how many claims alpha is split, these among them.
    """

    name = "none"

    def __init__(self, p_values: Sequence[float], correction: Correction, total: int) -> None:
        self._correction = correction
        self._sorted = sorted(p_values)
        self._p_values = p_values
        self._total = max(total, 1)
        self.adjusted = adjust(p_values, correction, total=self._total)
        self._beyond: dict[float, float] = {}

    def level(self, i: int, alpha: float) -> float:
        """Return the level at which a p-value that is rejected was compared."""
        m = len(self._p_values)
        if self._correction == "holm":
            return alpha * (m / self._total) / (m - bisect_left(self._sorted, self._p_values[i]))
        return self.level_beyond(alpha)

    def level_beyond(self, alpha: float) -> float:
        """Return the level that no p-value reaches which is not rejected."""
        if alpha not in self._beyond:  # which mostly is that of all claims
            self._beyond[alpha] = self._level_beyond(alpha)
        return self._beyond[alpha]

    def _level_beyond(self, alpha: float) -> float:
        m, rejected = len(self._p_values), sum(p <= alpha for p in self.adjusted)
        if self._correction == "holm":
            share = alpha * (m / self._total)
            return share / (m - rejected) if rejected < m else share
        return alpha * max(rejected, 1) / self._total if self._correction == "bh" else alpha


class FlippedSteps:
    """The step-down max-t procedure for pairs of conditions, by flips of the signs of their differences.

    Parameters
    ----------
    p_values : sequence of float
        Of each pair for itself, below which no adjusted one lies.
    adjusted, levels : sequence of float
        As `step_down_max_t` returns them, for all claims that alpha is split over.
    """

    name = "max-t"

    def __init__(self, p_values: Sequence[float], adjusted: Sequence[float], levels: Sequence[float]) -> None:
        self.adjusted = [max(pair) for pair in zip(p_values, adjusted, strict=True)]
        self._levels = levels

    def level(self, i: int, alpha: float) -> float:
        """Return the level at which a p-value that is rejected was compared."""
        return self._levels[i]

    def level_beyond(self, alpha: float) -> float:
        """Return the level that no p-value reaches which is not rejected."""
        return min(alpha, max(self._levels))  # levels rise from step to step


def flipped_steps(outcomes: Sequence[Outcome], share: tuple[int, int]) -> FlippedSteps | None:
    """Return the procedure for all pairs of conditions; None where there is none for such samples.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of every pair.
    share : pair of int
        How many pairs there are, of how many claims that alpha is split over.
    """
    samples = [outcome.sample for outcome in outcomes]
    if len({len(sample.treatment) for sample in samples}) != 1 or not all(map(_can_be_flipped, outcomes)):
        return None
    # Of each pair on a scale of its own: floats may not hold the differences that were given.
    arms = [as_paired_arms("max-t", s.baseline, s.treatment, minimum=1) for s in samples]
    differences = zip(*(pair.differences.tolist() for pair in arms), strict=True)
    part, total = share
    level = outcomes[0].claim.level * part / total
    found = step_down_max_t(list(differences), alpha=level)
    adjusted = [min(1.0, p * total / part) for p in found.adjusted]
    return FlippedSteps([outcome.p_value for outcome in outcomes], adjusted, found.levels)


def too_few_to_flip(outcome: Outcome, level: float) -> str | None:
    """Say why flips of so few replicates can't show anything, whatever they gave; None if they can."""
    n = outcome.n
    if not _can_be_flipped(outcome) or 2.0 ** (1 - n) <= level:
        return None
    least, limit = compared(2.0 ** (1 - n), level, digits=3)
    return (
        f"with {n} replicates flips of the signs of all pairs can't give a p-value below "
        f"{least}, so they can't reach {limit}; run at least "
        f"{math.ceil(1 - math.log2(level))} replicates"
    )


def _can_be_flipped(outcome: Outcome) -> bool:
    sample = outcome.sample
    return outcome.is_default and sample.paired and sample.units is None and sample.beside is None
