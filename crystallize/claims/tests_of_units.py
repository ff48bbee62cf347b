"""Tests of values that belong to units: cases under the seeds of replicates, clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import Scale, StatisticalTest
from crystallize.errors import SampleError
from crystallize.stats import Alternative, Comparison, TestResult, clustered_t, crossed_t
from crystallize.stats.power import Design, PairedT
from crystallize.stats.tails import t_quantile


@dataclass(frozen=True, slots=True)
class CrossedTTest(StatisticalTest):
    """Two-way t test where units and replicates are both drawn at random; see `crystallize.stats.crossed_t`.

    The default where a metric is recorded with ``unit=`` and the same units recur under the seeds of several
    replicates, which both conditions share. It speaks of other seeds and other cases like these.
    """

    name: ClassVar[str] = "crossed t"
    paired = True
    minimum_n: ClassVar[int] = 2
    relies_on_normality: ClassVar[bool] = True
    scale: ClassVar[Scale | None] = "difference"

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
        units: Sequence[Any] | None = None,
        replicates: Sequence[Any] | None = None,
    ) -> TestResult:
        """Test the mean difference against `shift`.

        Parameters
        ----------
        baseline, treatment, alpha, alternative, shift
            As in every test, but with a value of each unit in each replicate.
        units, replicates : sequence
            Unit and replicate of the i-th values.

        Raises
        ------
        SampleError
            If there are none.
        """
        if units is None or replicates is None:
            raise SampleError(
                "crossed t: the values have no units; record them by metrics.add(..., unit=...)"
            )
        return crossed_t(
            baseline,
            treatment,
            replicates=replicates,
            units=units,
            alternative=alternative,
            alpha=alpha,
            shift=shift,
        )

    def bound(self, layout: Layout) -> Comparison:
        """Return `compare` for units that are crossed with replicates."""
        units = None if layout.units is None else layout.units[0]
        return partial(self.compare, units=units, replicates=layout.replicates)


@dataclass(frozen=True, slots=True)
class ClusteredTTest(StatisticalTest):
    """Cluster-robust t test over the units of a metric; see `crystallize.stats.clustered_t`.

    The units are those of ``metrics.add(name, value, unit=...)``, which are the same in every replicate, such
    as cases; without units, the replicates. It speaks of units: more replicates of the same ones make it
    no surer.
    """

    name: ClassVar[str] = "clustered t"
    paired = True
    minimum_n: ClassVar[int] = 3
    tests_relative_margins: ClassVar[bool] = False
    relies_on_normality: ClassVar[bool] = True
    scale: ClassVar[Scale | None] = "difference"

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
        units: tuple[Sequence[Any], Sequence[Any]] | None = None,
    ) -> TestResult:
        """Test the difference of the means against `shift`.

        Parameters
        ----------
        baseline, treatment, alpha, alternative, shift
            As in every test, but with all values of every replicate.
        units : pair of sequences, optional
            The unit of each value in both arms; without, each value is a unit of its own and pairs with the
            one at its place in the other arm.
        """
        if units is None:
            own = range(len(list(baseline)))  # type: ignore[arg-type]
            units = own, own
        return clustered_t(
            baseline,
            treatment,
            baseline_units=units[0],
            treatment_units=units[1],
            alternative=alternative,
            alpha=alpha,
            shift=shift,
        )

    def bound(self, layout: Layout) -> Comparison:
        """Return `compare` for values of units."""
        return partial(self.compare, units=layout.units)

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the paired t design over units, with the standard error that the result has."""
        if result.degenerate or result.df is None:
            return None
        radius = (result.interval[1] - result.interval[0]) / 2
        sd = radius / t_quantile(1 - result.confidence, result.df) * math.sqrt(result.df + 1)
        return PairedT(sd) if 0 < sd < math.inf else None
