"""Tests of ranks, on request: they speak of something else than the mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from crystallize.claims.stat_test import BackedTest
from crystallize.claims.tests_of_means import IndependentMeansTest, PairedMeansTest
from crystallize.stats import Alternative, TestResult, brunner_munzel, mann_whitney, smallest_rank_p, wilcoxon


@dataclass(frozen=True, slots=True)
class WilcoxonTest(PairedMeansTest):
    """Wilcoxon's signed-rank test of paired differences; see `crystallize.stats.wilcoxon`.

    It speaks of the pseudo-median of the differences, not of their mean.

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = WilcoxonTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.025, 0.0312)
    """

    name: ClassVar[str] = "Wilcoxon"
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    function: ClassVar[Callable[..., TestResult]] = staticmethod(wilcoxon)

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of differences of one sign."""
        return smallest_rank_p(min(n_baseline, n_treatment), alternative=alternative)


@dataclass(frozen=True, slots=True)
class MannWhitneyTest(IndependentMeansTest):
    """Mann and Whitney's rank-sum test of two independent samples; see `crystallize.stats.mann_whitney`.

    It speaks of a shift in location (Hodges and Lehmann's), not of means.

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = MannWhitneyTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.02, 0.0476)
    """

    name: ClassVar[str] = "Mann-Whitney"
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    function: ClassVar[Callable[..., TestResult]] = staticmethod(mann_whitney)

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of arms that do not overlap."""
        return smallest_rank_p(n_baseline, n_treatment, alternative=alternative)


@dataclass(frozen=True, slots=True)
class BrunnerMunzelTest(BackedTest):
    """Brunner and Munzel's test of two independent samples; see `crystallize.stats.brunner_munzel`.

    It speaks of the probability that a value of the treatment is the larger one, which is 1/2 without effect.

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = BrunnerMunzelTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.84, 0.0329)
    """

    name: ClassVar[str] = "Brunner-Munzel"
    paired = False
    minimum_n: ClassVar[int] = 3
    function: ClassVar[Callable[..., TestResult]] = staticmethod(brunner_munzel)

    @property
    def tests_margins(self) -> bool:
        """No: its estimate is a probability, and no difference in the units of the metric."""
        return False
