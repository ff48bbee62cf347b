"""Tests of rates: of values that are 0 or 1."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import BackedTest, BuiltInTest, Values, check_flag
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats import (
    Alternative,
    Comparison,
    TestResult,
    barnard,
    barnard_p_value,
    binomial,
    boschloo,
    boschloo_p_value,
    fisher_exact,
    fisher_p_value,
    mcnemar,
    smallest_binary_p,
    smallest_binomial_p,
    smallest_mcnemar_p,
)
from crystallize.stats.power import Design, OneSampleBinary, PairedBinary, UnpairedBinary


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarTest(BackedTest):
    """McNemar's test of paired 0/1 values, by default mid-p; see `crystallize.stats.mcnemar`.

    With a margin it is Tango's score test.

    Parameters
    ----------
    exact : bool
        Keep the size below alpha at the price of power.

    Raises
    ------
    DefinitionError
        If it is neither True nor False.

    Examples
    --------
    >>> before = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    >>> after = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1]
    >>> result = McNemarTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.5, 0.0156)
    """

    name: ClassVar[str] = "McNemar"
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    of_rates: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(mcnemar)

    exact: bool = False

    def __post_init__(self) -> None:
        check_flag(self, "exact")

    @property
    def tests_margins(self) -> bool:
        """Whether the test is not the exact one, which knows no margin."""
        return not self.exact

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of pairs that are all discordant in one direction."""
        return smallest_mcnemar_p(min(n_baseline, n_treatment), exact=self.exact, alternative=alternative)

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the design with the part of the pairs that are discordant."""
        discordant = sum(b != t for b, t in zip(baseline, treatment, strict=True))
        return PairedBinary(discordant / len(baseline), self.exact) if discordant else None


class _IndependentRates(BackedTest):
    """Base of exact tests of two independent 0/1 samples."""

    __slots__ = ()

    paired = False
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    of_rates: ClassVar[bool] = True
    p_value: ClassVar[Callable[..., float]]

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of arms that are fully separated."""
        return smallest_binary_p(n_baseline, n_treatment, type(self).p_value, alternative)

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return Boschloo's design at the baseline's rate."""
        return UnpairedBinary(statistics.fmean(baseline))


@dataclass(frozen=True, slots=True)
class BoschlooTest(_IndependentRates):
    """Boschloo's exact test of two independent 0/1 samples; see `crystallize.stats.boschloo`.

    With a margin it is Miettinen and Nurminen's score test, with their interval.

    Examples
    --------
    >>> before = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    >>> after = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1]
    >>> result = BoschlooTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.5, 0.0207)
    """

    name: ClassVar[str] = "Boschloo"
    function: ClassVar[Callable[..., TestResult]] = staticmethod(boschloo)
    p_value: ClassVar[Callable[..., float]] = staticmethod(boschloo_p_value)


@dataclass(frozen=True, slots=True)
class FisherExactTest(_IndependentRates):
    """Fisher's exact test of two independent 0/1 samples; see `crystallize.stats.fisher_exact`.

    Examples
    --------
    >>> before = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    >>> after = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1]
    >>> result = FisherExactTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.5, 0.0349)
    """

    name: ClassVar[str] = "Fisher"
    function: ClassVar[Callable[..., TestResult]] = staticmethod(fisher_exact)
    p_value: ClassVar[Callable[..., float]] = staticmethod(fisher_p_value)

    @property
    def tests_margins(self) -> bool:
        """No: it is exact for equal rates alone."""
        return False


@dataclass(frozen=True, slots=True)
class BarnardTest(_IndependentRates):
    """Barnard's exact test of two independent 0/1 samples; see `crystallize.stats.barnard`.

    Examples
    --------
    >>> before = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    >>> after = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1]
    >>> result = BarnardTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.5, 0.0207)
    """

    name: ClassVar[str] = "Barnard"
    function: ClassVar[Callable[..., TestResult]] = staticmethod(barnard)
    p_value: ClassVar[Callable[..., float]] = staticmethod(barnard_p_value)

    @property
    def tests_margins(self) -> bool:
        """No: it is exact for equal rates alone."""
        return False


@dataclass(frozen=True, slots=True)
class BinomialTest(BuiltInTest):
    """Exact test of one sample of 0/1 values against a rate; see `crystallize.stats.binomial`.

    The default of yes/no against a number; no claim about two conditions takes it.

    Parameters
    ----------
    rate : float
        What the rate is compared with, in [0, 1]; `compare` does not look at the baseline.

    Raises
    ------
    DefinitionError
        If it is no such number.

    Examples
    --------
    >>> result = BinomialTest(rate=0.5).compare([], [1, 1, 1, 0, 1, 1, 0, 1, 1, 1], alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.3, 0.0547)
    """

    name: ClassVar[str] = "exact binomial"
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    of_rates: ClassVar[bool] = True

    rate: float

    def __post_init__(self) -> None:
        make_plain(self)
        rate = self.rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise DefinitionError(f"BinomialTest: rate is {rate!r}; allowed is a number from 0 to 1")

    @property
    def compares_with(self) -> float:
        """The rate."""
        return self.rate

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of the treatment's rate with `rate`."""

        def compare(_: ArrayLike, treatment: ArrayLike, **options: Any) -> TestResult:
            return binomial(treatment, rate=self.rate, **options)

        return compare

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of values that are all 0 or all 1."""
        return smallest_binomial_p(n_treatment, self.rate, alternative)

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the design of one sample."""
        return OneSampleBinary(self.rate)
