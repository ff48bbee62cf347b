"""Statistical tests as objects that a hypothesis can be declared with."""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from crystallize.claims.layout import Layout
from crystallize.errors import DefinitionError
from crystallize.stats import (
    Alternative,
    Comparison,
    TestResult,
    barnard,
    barnard_p_value,
    boschloo,
    boschloo_p_value,
    fisher_exact,
    fisher_p_value,
    is_binary,
    mcnemar,
    paired_t,
    resampled_t,
    smallest_binary_p,
    smallest_mcnemar_p,
    welch_t,
)
from crystallize.stats.moments import common_exponent, moments, scaled, scaled_float
from crystallize.stats.power import Design, PairedBinary, PairedT, ResampledT, TwoSampleT, UnpairedBinary

Scale = Literal["difference", "ratio"]
"""What a test estimates and takes as its shift: a difference in units of the metric, or a ratio minus 1."""

__all__ = [
    "BarnardTest",
    "BoschlooTest",
    "FisherExactTest",
    "McNemarTest",
    "PairedTTest",
    "ResampledTTest",
    "Scale",
    "StatisticalTest",
    "WelchTTest",
    "default_test",
]


class StatisticalTest(ABC):
    """A test of treatment against baseline.

    A test of your own sets `name` and `paired` and defines `compare`; the rest has defaults. Without `scale`
    it can't serve a claim that says how large a difference is.

    Attributes
    ----------
    name : str
        Display name.
    paired : bool
        True if the i-th values of both arms must share a seed; False if the test treats the arms as
        independent.
    minimum_n : int
        The fewest pairs, or values per arm, that the test takes.
    scale : {"difference", "ratio"} or None
        What `compare` estimates and takes as `shift`: a difference in the units of the metric, or a relative
        change, the ratio minus 1 (then the unit of its `design` is a difference of logarithms). A class that
        defines `compare` says it itself; None, the default, knows no margin.
    tests_margins : bool
        Whether `compare` takes a `shift` other than 0.
    tests_relative_margins : bool
        Whether a margin may be a part of what the baseline has, such as its mean.
    relies_on_normality : bool
        Whether small samples have to be roughly normal.
    of_rates : bool
        Whether values are yes/no, and a shift is tested by a test of rates.

    Examples
    --------
    >>> class TrimmedTTest(StatisticalTest):
    ...     '''Welch's t without the smallest and the largest value of each arm.'''
    ...
    ...     name = "trimmed t"
    ...     paired = False
    ...     minimum_n = 5
    ...
    ...     def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
    ...         first, second = sorted(baseline)[1:-1], sorted(treatment)[1:-1]
    ...         return welch_t(first, second, alternative=alternative, alpha=alpha, shift=shift)
    >>> TrimmedTTest().compare([1, 2, 3, 4, 90], [3, 4, 5, 6, 90]).estimate
    2.0
    """

    __slots__ = ()

    name: ClassVar[str]
    paired: bool
    minimum_n: ClassVar[int] = 2
    tests_relative_margins: ClassVar[bool] = True
    relies_on_normality: ClassVar[bool] = False
    of_rates: ClassVar[bool] = False
    scale: ClassVar[Scale | None] = None
    follows_design: ClassVar[bool] = False  # whether it is of pairs, units, resplits or none of them
    divides_itself: ClassVar[bool] = False  # whether what it is bound to tests relative sizes

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "compare" in vars(cls) and "scale" not in vars(cls):
            cls.scale = None  # what is inherited speaks of another compare()
        if cls.compare is StatisticalTest.compare:
            return
        for attribute, example in (("name", "'my test'"), ("paired", "True")):
            if not hasattr(cls, attribute):
                raise DefinitionError(
                    f"{cls.__qualname__} defines compare() but not {attribute!r}; "
                    f"set it in the class body, such as {attribute} = {example}"
                )

    @property
    def tests_margins(self) -> bool:
        """Whether `compare` takes a shift other than 0: by default, whether it says on which scale."""
        return self.scale is not None

    @property
    def takes_one_sample(self) -> bool:
        """Whether pairs of a value and one constant are a sample that it can take."""
        return self.paired and not self.of_rates

    @abstractmethod
    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test treatment minus baseline against `shift`.

        Parameters
        ----------
        baseline, treatment : array_like, shapes (n,) and (m,)
            One number per replicate, in replicate order; n == m if the test is paired.
        alpha : float
            The interval of the result has level 1 - alpha.
        alternative : {"two-sided", "greater", "less"}
            The claim about treatment minus baseline.
        shift : float
            The difference under the null hypothesis.

        Raises
        ------
        SampleError
            If the test can't take the samples or an option.
        """

    def bound(self, layout: Layout) -> Comparison:
        """Return `compare` for values that belong together in this way."""
        return self.compare

    def saved(self, baseline: Sequence[float], treatment: Sequence[float], layout: Layout) -> float | None:
        """Return the part of the variance that a covariate saves; None without one."""
        return None

    def thin(self, n: int) -> str:
        """Say what is doubtful of a test on n values; empty if nothing is."""
        return ""

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the smallest p-value that the test can attain at these sizes.

        An experiment whose alpha is below it can't support its claim, so its verdict is `invalid`. Unless it
        is overridden, the answer is 0 from `minimum_n` on and 1 below; `alternative` makes no difference.
        """
        return 0.0 if min(n_baseline, n_treatment) >= self.minimum_n else 1.0

    def scores(
        self, baseline: Sequence[float], treatment: Sequence[float]
    ) -> tuple[list[float], list[float]]:
        """Return what is compared: the values, unless it is overridden."""
        return list(baseline), list(treatment)

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the design whose power tells what samples that vary like these would leave unseen.

        None, unless it is overridden: what such a sample can show is not known then. `result` is what
        `compare` returned for the samples.
        """
        return None


class BackedTest(StatisticalTest):
    """A test that a function of `crystallize.stats` does; the fields of the class are options of it."""

    __slots__ = ()

    name: ClassVar[str] = ""
    scale: ClassVar[Scale | None] = "difference"
    paired = True
    function: ClassVar[Callable[..., TestResult]]

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test treatment minus baseline against `shift`; see the function that the class names."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return type(self).function(
            baseline, treatment, alternative=alternative, alpha=alpha, shift=shift, **options
        )


class PairedMeansTest(BackedTest):
    """What tests of the mean of paired differences share."""

    __slots__ = ()

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the paired t design with the standard deviation of the differences."""
        sd = _sd([t - b for b, t in zip(baseline, treatment, strict=True)])
        return PairedT(sd) if sd and not result.degenerate else None


class IndependentMeansTest(BackedTest):
    """What tests of the difference of two means share."""

    __slots__ = ()

    paired = False

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the two-sample t design with the root mean square of both standard deviations."""
        sd = math.hypot(_sd(baseline), _sd(treatment)) / math.sqrt(2)
        return TwoSampleT(sd) if sd and not result.degenerate else None


class _IndependentRates(BackedTest):
    """What exact tests of two independent 0/1 samples share."""

    __slots__ = ()

    paired = False
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    of_rates: ClassVar[bool] = True
    p_value: ClassVar[Callable[..., float]]

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of arms that are fully separated."""
        return smallest_binary_p(n_baseline, n_treatment, type(self).p_value, alternative)

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return Boschloo's design at the baseline's rate."""
        return UnpairedBinary(statistics.fmean(baseline))


def _sd(values: Sequence[float]) -> float:
    """Return the standard deviation; 0 if there is no telling, or nothing but rounding."""
    if len(values) < 2:
        return 0.0
    sample = np.asarray(values, dtype=np.float64)
    exponent = common_exponent(sample)
    sd = scaled_float(math.sqrt(moments(scaled(sample, -exponent))[1]), exponent)
    return sd if 1e-12 * max(map(abs, values)) < sd < math.inf else 0.0


@dataclass(frozen=True, slots=True)
class PairedTTest(PairedMeansTest):
    """Paired t test of the mean difference; see `crystallize.stats.paired_t`."""

    name: ClassVar[str] = "paired t"
    minimum_n: ClassVar[int] = 3
    relies_on_normality: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(paired_t)


@dataclass(frozen=True, slots=True)
class WelchTTest(IndependentMeansTest):
    """Welch's t test of the difference of two means; see `crystallize.stats.welch_t`."""

    name: ClassVar[str] = "Welch t"
    minimum_n: ClassVar[int] = 3
    relies_on_normality: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(welch_t)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampledTTest(PairedMeansTest):
    """Corrected t test over resplits of one data set; see `crystallize.stats.resampled_t`.

    Parameters
    ----------
    test_fraction : float
        Part of the data set that each resplit holds out, in (0, 1).

    Raises
    ------
    DefinitionError
        If the fraction is not between 0 and 1.
    """

    name: ClassVar[str] = "resampled t"
    minimum_n: ClassVar[int] = 3
    relies_on_normality: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(resampled_t)

    test_fraction: float

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise DefinitionError(
                f"ResampledTTest: test_fraction is {self.test_fraction!r}; "
                "allowed is a number between 0 and 1: the part of the data set that each resplit holds out, "
                "such as 0.2"
            )

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the design of resplits with the standard deviation of the differences."""
        sd = _sd([t - b for b, t in zip(baseline, treatment, strict=True)])
        return ResampledT(sd, self.test_fraction) if sd and not result.degenerate else None


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarTest(BackedTest):
    """McNemar's test of paired 0/1 values, by default mid-p; see `crystallize.stats.mcnemar`.

    With a margin it is Tango's score test.

    Parameters
    ----------
    exact : bool
        Keep the size below alpha at the price of power.
    """

    name: ClassVar[str] = "McNemar"
    minimum_n: ClassVar[int] = 1
    tests_relative_margins: ClassVar[bool] = False
    of_rates: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(mcnemar)

    exact: bool = False

    @property
    def tests_margins(self) -> bool:
        """Whether the test is not the exact one, which knows no margin."""
        return not self.exact

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of pairs that are all discordant in one direction."""
        return smallest_mcnemar_p(min(n_baseline, n_treatment), exact=self.exact, alternative=alternative)

    def design(
        self, baseline: Sequence[float], treatment: Sequence[float], result: TestResult
    ) -> Design | None:
        """Return the design with the part of the pairs that are discordant."""
        discordant = sum(b != t for b, t in zip(baseline, treatment, strict=True))
        return PairedBinary(discordant / len(baseline), self.exact) if discordant else None


@dataclass(frozen=True, slots=True)
class BoschlooTest(_IndependentRates):
    """Boschloo's exact test of two independent 0/1 samples; see `crystallize.stats.boschloo`.

    With a margin it is Farrington and Manning's score test, with Miettinen and Nurminen's interval.
    """

    name: ClassVar[str] = "Boschloo"
    function: ClassVar[Callable[..., TestResult]] = staticmethod(boschloo)
    p_value: ClassVar[Callable[..., float]] = staticmethod(boschloo_p_value)


@dataclass(frozen=True, slots=True)
class FisherExactTest(_IndependentRates):
    """Fisher's exact test of two independent 0/1 samples; see `crystallize.stats.fisher_exact`."""

    name: ClassVar[str] = "Fisher"
    function: ClassVar[Callable[..., TestResult]] = staticmethod(fisher_exact)
    p_value: ClassVar[Callable[..., float]] = staticmethod(fisher_p_value)

    @property
    def tests_margins(self) -> bool:
        """No: it is exact for equal rates alone."""
        return False


@dataclass(frozen=True, slots=True)
class BarnardTest(_IndependentRates):
    """Barnard's exact test of two independent 0/1 samples; see `crystallize.stats.barnard`."""

    name: ClassVar[str] = "Barnard"
    function: ClassVar[Callable[..., TestResult]] = staticmethod(barnard)
    p_value: ClassVar[Callable[..., float]] = staticmethod(barnard_p_value)

    @property
    def tests_margins(self) -> bool:
        """No: it is exact for equal rates alone."""
        return False


def default_test(
    baseline: ArrayLike, treatment: ArrayLike, *, paired: bool, kind: str = "auto"
) -> StatisticalTest:
    """Return the test that is used where a hypothesis names none.

    The choice looks at nothing but the pairing and whether every value is 0 or 1.

    Parameters
    ----------
    baseline, treatment : array_like
        One value per replicate.
    paired : bool
        Whether the i-th values of both arms share a seed.
    kind : {"auto", "numeric", "binary"}
        What the values are declared to be, so that not even this is looked at.

    Returns
    -------
    StatisticalTest
        McNemar's or Boschloo's for 0/1 values, else the paired or Welch's t test.

    Examples
    --------
    >>> default_test([0.1, 0.2, 0.3], [0.2, 0.2, 0.4], paired=True).name
    'paired t'
    """
    binary = kind == "binary" or (kind == "auto" and is_binary(baseline) and is_binary(treatment))
    if paired:
        return McNemarTest() if binary else PairedTTest()
    return BoschlooTest() if binary else WelchTTest()
