"""Welch's t under all relabellings and shifts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from crystallize.stats.degenerate import constant_statistic, separation, snap, spread
from crystallize.stats.moments import moments
from crystallize.stats.precision import Precision
from crystallize.stats.rearrangements import Mask
from crystallize.stats.samples import Sample

TIE: Final = 1e-10
"""Statistics that differ by less, relative to the observed one, are equal but for rounding."""

_ROUNDING: Final = 1e-13  # what a difference of sums of squares may owe to rounding


class RelabelledWelch:
    """Welch's t under all labellings and shifts; the sums it needs are polynomials in the shift."""

    def __init__(self, first: Sample, second: Sample, labels: Iterator[Mask], precision: Precision) -> None:
        n, m = first.size, second.size
        (first_mean, first_variance), (second_mean, second_variance) = moments(first), moments(second)
        self.difference = second_mean - first_mean
        self.constant = max(spread(first), spread(second)) <= precision.constant
        self._reach = separation(first, second, precision.zero) if self.constant else (math.inf, -math.inf)
        if abs(self.difference) <= precision.zero or self._reach[0] <= 0 <= self._reach[1]:
            self.difference = 0.0
        self.error = 0.0 if self.constant else math.sqrt(first_variance / n + second_variance / m)
        self._sizes, self._zero = (n, m), precision.zero
        # Values are centred at their arm's mean: shifts count from the observed difference.
        residuals = np.concatenate((first - first_mean, second - second_mean))
        if self.constant:
            residuals[:] = 0.0
        treated = np.concatenate((np.zeros(n), np.ones(m)))
        columns = np.column_stack((residuals, residuals**2, treated, residuals * treated))
        sums = [treated[np.newaxis] @ columns, *(chosen.astype(np.float64) @ columns for chosen in labels)]
        self._sum, self._squares, self._moved, self._cross = np.concatenate(sums).T  # observed labels first
        self._all_sum, self._all_squares, _, self._all_cross = columns.sum(axis=0).tolist()

    def t(self, shift: float) -> float:
        """Return the observed t."""
        offset = self._offset(shift)
        return offset / self.error if self.error > 0 else constant_statistic(offset)

    def p_values(self, shift: float) -> tuple[float, float]:
        """Return the one-sided p-values, "greater" first."""
        n, m = self._sizes
        offset = self._offset(shift)
        squares = self._all_squares + 2 * offset * self._all_cross + m * offset**2
        sums = self._sum + offset * self._moved
        parts = self._squares + 2 * offset * self._cross + offset**2 * self._moved
        rest = self._all_sum + m * offset - sums
        variances = (parts - sums**2 / m) / (m - 1) / m + (squares - parts - rest**2 / n) / (n - 1) / n
        differences = sums / m - rest / n
        differences[np.abs(differences) <= _ROUNDING * math.sqrt(squares)] = 0.0
        errors = np.sqrt(np.where(variances > _ROUNDING * squares, variances, 0.0))
        with np.errstate(all="ignore"):
            t = np.where(differences == 0, 0.0, differences / errors)
        slack = TIE * abs(t[0]) if math.isfinite(t[0]) else 0.0
        upper, lower = np.count_nonzero(t >= t[0] - slack), np.count_nonzero(t <= t[0] + slack)
        return float(upper / t.size), float(lower / t.size)

    def _offset(self, shift: float) -> float:
        if self._reach[0] <= shift <= self._reach[1]:
            return 0.0
        return snap(self.difference, shift, self._zero) - shift

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the ends of the shifts that neither one-sided test rejects at alpha/2."""
        return self._limit(alpha, -1), self._limit(alpha, 1)

    def _limit(self, alpha: float, sign: int) -> float:
        def kept(shift: float) -> bool:
            upper, lower = self.p_values(shift)
            return (upper if sign < 0 else lower) > alpha / 2

        unit = self.error if self.error > 0 else max(abs(self.difference), 1.0)
        # Far off, the arms are separated, and a larger shift changes no p-value any more.
        if kept(self.difference + sign * 1e5 * unit):
            return sign * math.inf
        if self.constant:
            return self.difference
        inside, outside = 0.0, 1.0
        while kept(self.difference + sign * outside * unit):
            inside, outside = outside, 2 * outside
        while outside - inside > 1e-9 * outside:
            middle = (inside + outside) / 2
            if kept(self.difference + sign * middle * unit):
                inside = middle
            else:
                outside = middle
        return self.difference + sign * outside * unit
