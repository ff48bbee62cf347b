"""Tests of one sample against a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from crystallize.claims.stat_test import Scale, StatisticalTest
from crystallize.stats import Alternative, TestResult, binomial, smallest_binomial_p
from crystallize.stats.power import Design, OneSampleBinary


@dataclass(frozen=True, slots=True)
class BinomialTest(StatisticalTest):
    """Exact test of one sample of 0/1 values against a rate; see `crystallize.stats.binomial`.

    The default of yes/no against a number.

    Parameters
    ----------
    rate : float
        What the rate is compared with; `compare` does not look at the baseline.
    """

    name: ClassVar[str] = "exact binomial"
    paired = True
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    of_rates: ClassVar[bool] = True
    scale: ClassVar[Scale | None] = "difference"

    rate: float

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test the treatment's rate minus `rate` against `shift`."""
        return binomial(treatment, rate=self.rate, alternative=alternative, alpha=alpha, shift=shift)

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of values that are all 0 or all 1."""
        return smallest_binomial_p(n_treatment, self.rate, alternative)

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the design of one sample."""
        return OneSampleBinary(self.rate)
