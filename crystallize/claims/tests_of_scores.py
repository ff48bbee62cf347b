"""Tests of scores made of the values, which the design compares as it compares values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import BuiltInTest, Scale, StatisticalTest, Values
from crystallize.claims.tests_of_means import PairedTTest, WelchTTest
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats import (
    Comparison,
    TestResult,
    adjusted_t,
    fewest_for_quantile,
    log_ratio,
    logarithms,
    one_sample_quantile_test,
    quantile_test,
    ratio_of_totals,
    ratio_scores,
    variance_saved,
    win_rate,
    win_scores,
)
from crystallize.stats.power import Design, PairedT, TwoSampleT
from crystallize.stats.tails import t_quantile

Beside = tuple[Values, Values]
_THIN = 10  # values beyond a quantile, below which a verdict says so


class ScoredTest(BuiltInTest):
    """A test of means of scores: paired, Welch's, crossed with units or of resplits, as the design has it."""

    __slots__ = ()

    paired = False  # it takes either
    minimum_n: ClassVar[int] = 3
    relies_on_normality: ClassVar[bool] = True
    follows_design: ClassVar[bool] = True

    @property
    def takes_one_sample(self) -> bool:
        """Whether pairs of a value and one constant are a sample that it can take."""
        return True

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the t design of the scores; None of units that are crossed with replicates."""
        if not _is_by_value(baseline, treatment, result):
            return None
        test: StatisticalTest = PairedTTest() if isinstance(result.n, int) else WelchTTest()
        return test.design(*self.scores(baseline, treatment), result)


@dataclass(frozen=True, slots=True)
class LogRatioTest(ScoredTest):
    """Test of the ratio of geometric means, in percent; see `crystallize.stats.log_ratio`.

    For times, costs per item and tokens, which differ by factors. Its margins, effects and intervals are
    relative (``relative=True``). It does not speak of totals, which follow arithmetic means.

    Examples
    --------
    >>> before = [10.0, 12.0, 9.0, 11.0, 10.5]
    >>> after = [8.1, 9.4, 7.3, 8.6, 8.5]
    >>> result = LogRatioTest().compare(before, after, alternative="less")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (-0.201, 0.0)
    """

    name: ClassVar[str] = "log ratio"
    scale: ClassVar[Scale | None] = "ratio"

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of logarithms by the design's test of means."""
        return partial(log_ratio, compare=layout.means)

    def scores(self, baseline: Values, treatment: Values) -> tuple[list[float], list[float]]:
        """Return the logarithms."""
        first, second = logarithms(baseline, treatment)
        return first.tolist(), second.tolist()


@dataclass(frozen=True, slots=True)
class WinRateTest(ScoredTest):
    """Test of how often the treatment has the larger value of a pair; see `crystallize.stats.win_rate`.

    For ratings and preferences, of which only the order in each pair counts. A margin is of the win rate,
    which is 1/2 where both are alike. Smaller values win nothing: claim a "decrease" of what is to be small.

    Examples
    --------
    >>> before = [3, 4, 2, 3, 5, 2, 3, 4]
    >>> after = [4, 5, 4, 3, 5, 4, 4, 4]
    >>> result = WinRateTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.812, 0.0056)
    """

    name: ClassVar[str] = "win rate"
    paired = True
    tests_relative_margins: ClassVar[bool] = False

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of wins by the design's test of pairs."""
        return partial(win_rate, compare=layout.means)

    @property
    def takes_one_sample(self) -> bool:
        """No: nothing wins against a number, which has a test of its mean."""
        return False

    def scores(self, baseline: Values, treatment: Values) -> tuple[list[float], list[float]]:
        """Return the score of each pair, against none."""
        return [0.0] * len(baseline), win_scores(baseline, treatment).tolist()


@dataclass(frozen=True, slots=True)
class RatioTest(ScoredTest):
    """Test of the ratio of totals, the default of ``metric=Ratio(...)``.

    See `crystallize.stats.ratio_of_totals`.

    Parameters
    ----------
    denominators : pair of sequence
        Beside the values of both arms.
    """

    name: ClassVar[str] = "ratio of totals"
    divides_itself: ClassVar[bool] = True

    denominators: Beside

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of residuals by the design's test of means."""
        return partial(
            ratio_of_totals, denominators=self.denominators, compare=layout.means, relative=layout.relative
        )

    def scores(self, baseline: Values, treatment: Values) -> tuple[list[float], list[float]]:
        """Return what varies in the ratio."""
        first, second = ratio_scores(baseline, treatment, self.denominators)
        return first.tolist(), second.tolist()


@dataclass(frozen=True, slots=True)
class AdjustedTest(ScoredTest):
    """Test of means that are adjusted for a covariate, the default with ``covariate=``.

    See `crystallize.stats.adjusted_t`.

    Parameters
    ----------
    covariates : pair of sequence
        Beside the values of both arms.
    """

    name: ClassVar[str] = "adjusted t"
    minimum_n: ClassVar[int] = 4

    covariates: Beside

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of what the covariate leaves by the design's test of means."""
        return partial(adjusted_t, covariates=self.covariates, compare=layout.means)

    def saved(self, baseline: Values, treatment: Values, layout: Layout) -> float | None:
        """Return the part of the variance that the covariate saves."""
        return variance_saved(baseline, treatment, covariates=self.covariates, compare=layout.means)

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the t design with the standard error that the result has."""
        if result.df is None or result.degenerate or not _is_by_value(baseline, treatment, result):
            return None
        radius = (result.interval[1] - result.interval[0]) / 2
        error = radius / t_quantile(1 - result.confidence, result.df)
        if isinstance(result.n, int):
            return PairedT(error * math.sqrt(result.n)) if error else None
        return TwoSampleT(error / math.sqrt(sum(1 / n for n in result.n))) if error else None


@dataclass(frozen=True, slots=True)
class QuantileTest(BuiltInTest):
    """Test of a quantile, such as that of 95 %, of pairs or of independent samples.

    See `crystallize.stats.quantile_test`, and `crystallize.stats.one_sample_quantile_test` against a number.

    Parameters
    ----------
    q : float
        In (0, 1). At least five values of each condition have to lie beyond: 100 for .95.

    Raises
    ------
    DefinitionError
        If q is none.

    Examples
    --------
    >>> before = [9.1, 8.7, 9.9, 9.4, 8.9, 9.6, 9.2, 9.3, 9.0, 9.5]
    >>> after = [8.2, 8.0, 8.9, 8.5, 8.1, 8.8, 8.3, 8.2, 8.4, 8.6]
    >>> result = QuantileTest(0.5).compare(before, after, alternative="less")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (-0.9, 0.002)
    """

    name: ClassVar[str] = "quantile"
    paired = False  # it takes either
    follows_design: ClassVar[bool] = True
    divides_itself: ClassVar[bool] = True

    q: float

    def __post_init__(self) -> None:
        make_plain(self)
        if isinstance(self.q, bool) or not isinstance(self.q, int | float) or not 0 < self.q < 1:
            raise DefinitionError(
                f"QuantileTest: q is {self.q!r}; allowed is a number between 0 and 1, as 0.95"
            )

    @property
    def minimum_n(self) -> int:  # type: ignore[override]
        """As many that five are to be expected beyond the quantile."""
        return fewest_for_quantile(self.q)

    @property
    def takes_one_sample(self) -> bool:
        """Whether pairs of a value and one constant are a sample that it can take."""
        return True

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of pairs, of independent samples, or of one sample with a number."""
        layout.refuse_parts("quantile", "quantile")
        compare: Callable[..., TestResult] = partial(quantile_test, q=self.q, paired=layout.paired)
        if layout.number is not None:
            number = layout.number

            def compare(_: ArrayLike, treatment: ArrayLike, **options: Any) -> TestResult:
                return one_sample_quantile_test(treatment, q=self.q, number=number, **options)

        return partial(self._relative, compare) if layout.relative else compare

    def _relative(self, compare: Comparison, *arms: ArrayLike, **options: Any) -> TestResult:
        """Compare logarithms, whose quantiles are the logarithms of the quantiles."""
        result = log_ratio(*arms, compare=compare, **options)
        return replace(
            result,
            test=result.test.removeprefix("log "),
            estimand=f"relative change of the {100 * self.q:g} % quantile",
        )

    def thin(self, n: int) -> str:
        """Say how few values lie beyond the quantile, if that is fewer than ten."""
        beyond = n * min(self.q, 1 - self.q)
        if beyond >= _THIN:
            return ""
        return f"about {beyond:.0f} of {n} values lie beyond the {100 * self.q:g} % quantile"


def _is_by_value(baseline: Values, treatment: Values, result: TestResult) -> bool:
    """Return whether a test counts pairs, or values, rather than units under several seeds."""
    sizes = (result.n,) * 2 if isinstance(result.n, int) else result.n
    return sizes == (len(baseline), len(treatment))
