"""Tests that rearrange or redraw the values at hand, also for statistics of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import BuiltInTest, StatisticalTest, Values, check_flag
from crystallize.claims.tests_of_means import PairedTTest, WelchTTest
from crystallize.context.seeding import seeded_alike
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats import (
    Alternative,
    Comparison,
    Statistic,
    TestResult,
    bootstrap_t,
    paired_permutation,
    permutation,
    smallest_permutation_p,
)
from crystallize.stats.bootstrap import DRAWS, MINIMUM_N
from crystallize.stats.power import Design


class _Resampling(BuiltInTest):
    """Base of tests that may be of a statistic of one's own."""

    __slots__ = ()

    statistic: Statistic | None

    def _check(self, option: str, number: object) -> None:
        """Raise `DefinitionError` unless the statistic is a function, and the number large enough."""
        kind = type(self).__name__
        check_flag(self, "paired")
        if self.statistic is not None and not callable(self.statistic):
            raise DefinitionError(
                f"{kind}: statistic is {self.statistic!r}; give a function of (baseline, treatment)"
            )
        if type(number) is not int or number < 99:
            raise DefinitionError(
                f"{kind}: {option} is {number!r}; allowed is an integer >= 99: with fewer, p can't be as "
                "small as .01"
            )

    @property
    def tests_margins(self) -> bool:
        """Whether the statistic is the one in the units of the metric."""
        return self.statistic is None

    def _seeded(self, compare: Callable[..., TestResult]) -> Comparison:
        """Return a comparison by the statistic; one of the user's may draw from the global generators."""
        compare = partial(compare, statistic=self.statistic)
        return compare if self.statistic is None else seeded_alike()(compare)

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the design of the t test, whose power it nearly has; None with a statistic of your own."""
        if self.statistic is not None:
            return None
        test: StatisticalTest = PairedTTest() if self.paired else WelchTTest()
        return test.design(baseline, treatment, result)


@dataclass(frozen=True, slots=True, kw_only=True)
class PermutationTest(_Resampling):
    """Permutation test; see `crystallize.stats.paired_permutation` and `crystallize.stats.permutation`.

    Parameters
    ----------
    paired : bool
        Exchange labels within pairs; or else relabel all values, with Welch's t as the statistic.
    statistic : callable, optional
        A function of (baseline, treatment), arrays of shapes (n,) and (m,), that returns a finite number, in
        place of the mean difference or Welch's t. It knows no margin. The global generators, from which it
        may draw, are seeded alike each time.
    resamples : int
        Random arrangements where there are more than 65,536, drawn from a fixed seed.

    Raises
    ------
    DefinitionError
        If an argument is none of these.

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = PermutationTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.024, 0.0312)
    """

    name: ClassVar[str] = "permutation"
    minimum_n: ClassVar[int] = 2

    paired: bool = True
    statistic: Statistic | None = None
    resamples: int = 9_999

    def __post_init__(self) -> None:
        make_plain(self)
        self._check("resamples", self.resamples)

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison by rearranging the values."""
        return self._seeded(
            partial(paired_permutation if self.paired else permutation, resamples=self.resamples)
        )

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of the most extreme arrangement."""
        sizes = (min(n_baseline, n_treatment),) if self.paired else (n_baseline, n_treatment)
        return smallest_permutation_p(*sizes, alternative=alternative, resamples=self.resamples)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapTTest(_Resampling):
    """Studentised bootstrap, for means of skewed values and statistics of your own.

    See `crystallize.stats.bootstrap_t`.

    Parameters
    ----------
    paired : bool
        Draw pairs, or else from each arm for itself.
    statistic : callable, optional
        A smooth function of (baseline, treatment), arrays of shapes (n,) and (m,), that returns a finite
        number, in place of the difference of the means. It knows no margin, and each draw calls it n + 1
        times.
    draws : int
        Samples that are drawn, from a fixed seed.

    Raises
    ------
    DefinitionError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> before, after = rng.lognormal(0.0, 1.0, 30), rng.lognormal(0.8, 1.0, 30)
    >>> result = BootstrapTTest().compare(before, after, alternative="greater")
    >>> result.p_value < 0.05
    True
    """

    name: ClassVar[str] = "bootstrap t"
    minimum_n: ClassVar[int] = MINIMUM_N

    paired: bool = True
    statistic: Statistic | None = None
    draws: int = DRAWS

    def __post_init__(self) -> None:
        make_plain(self)
        self._check("draws", self.draws)

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison by redrawing the values."""
        return self._seeded(partial(bootstrap_t, paired=self.paired, draws=self.draws))

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of a sample that is more extreme than all that are drawn."""
        one_sided = 1 / (self.draws + 1) if min(n_baseline, n_treatment) >= MINIMUM_N else 1.0
        return min(1.0, 2 * one_sided) if alternative == "two-sided" else one_sided
