"""Tests of values that belong to units: cases under the seeds of replicates, clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import BuiltInTest, Values
from crystallize.errors import SampleError
from crystallize.stats import Comparison, TestResult, clustered_t
from crystallize.stats.power import Design, PairedT
from crystallize.stats.tails import t_quantile


@dataclass(frozen=True, slots=True)
class CrossedTTest(BuiltInTest):
    """Two-way t test where units and replicates are both drawn at random; see `crystallize.stats.crossed_t`.

    The default where a metric is recorded with ``unit=`` and the same units recur under the seeds of several
    replicates, which both conditions share. It speaks of other seeds and other cases like these.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     for case in range(6):
    ...         ctx.metrics.add("score", (1 + boost) * ctx.rng.exponential(), unit=case)
    ...     return data
    >>> better = Hypothesis(metric="score", direction="increase", statistical_test=CrossedTTest())
    >>> treatments = {"boosted": {"boost": 4.0}}
    >>> result = Experiment(0, [score], treatments=treatments, hypotheses=[better], replicates=8).run()
    >>> verdict = result.get_hypothesis("score_increase").verdicts["boosted"]
    >>> verdict.test, verdict.status
    ('crossed t', 'supported')
    """

    name: ClassVar[str] = "crossed t"
    relies_on_normality: ClassVar[bool] = True

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of units that are crossed with replicates."""
        if layout.units is None or layout.replicates is None:
            raise SampleError(
                "crossed t: the values have no units; record them by metrics.add(..., unit=...), or call "
                "crystallize.stats.crossed_t"
            )
        return layout.means


@dataclass(frozen=True, slots=True)
class ClusteredTTest(BuiltInTest):
    """Cluster-robust t test over the units of a metric; see `crystallize.stats.clustered_t`.

    The units are those of ``metrics.add(name, value, unit=...)``, which are the same in every replicate, such
    as cases; without units, the replicates. It speaks of units: more replicates of the same ones make it
    no surer.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     for case in range(6):
    ...         ctx.metrics.add("score", (1 + boost) * ctx.rng.exponential(), unit=case)
    ...     return data
    >>> better = Hypothesis(metric="score", direction="increase", statistical_test=ClusteredTTest())
    >>> treatments = {"boosted": {"boost": 4.0}}
    >>> result = Experiment(0, [score], treatments=treatments, hypotheses=[better], replicates=8).run()
    >>> verdict = result.get_hypothesis("score_increase").verdicts["boosted"]
    >>> verdict.test, verdict.status
    ('clustered t', 'supported')
    """

    name: ClassVar[str] = "clustered t"
    minimum_n: ClassVar[int] = 3
    tests_relative_margins: ClassVar[bool] = False
    relies_on_normality: ClassVar[bool] = True

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of values of units; without any, of pairs that are a unit each."""

        def compare(baseline: ArrayLike, treatment: ArrayLike, **options: Any) -> TestResult:
            own = range(np.size(baseline))
            first, second = layout.units or (own, own)
            return clustered_t(baseline, treatment, baseline_units=first, treatment_units=second, **options)

        return compare

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the paired t design over units, with the standard error that the result has."""
        if result.degenerate or result.df is None:
            return None
        radius = (result.interval[1] - result.interval[0]) / 2
        sd = radius / t_quantile(1 - result.confidence, result.df) * math.sqrt(result.df + 1)
        return PairedT(sd) if 0 < sd < math.inf else None
