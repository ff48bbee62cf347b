"""Statistical tests as objects that a hypothesis can be declared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from crystallize.errors import DefinitionError
from crystallize.stats import (
    Alternative,
    TestResult,
    is_binary,
    mcnemar,
    paired_t,
    resampled_t,
    smallest_mcnemar_p,
    welch_t,
)

__all__ = [
    "McNemarTest",
    "PairedTTest",
    "ResampledTTest",
    "StatisticalTest",
    "WelchTTest",
    "default_test",
]


class StatisticalTest(ABC):
    """A test of treatment against baseline.

    A test of your own sets `name` and `paired` and defines `compare`; the rest has defaults.

    Attributes
    ----------
    name : str
        Display name.
    paired : bool
        True if the i-th values of both arms must share a seed; False if the test treats the arms as
        independent.
    minimum_n : int
        The fewest pairs, or values per arm, that the test takes.

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
    paired: ClassVar[bool]
    minimum_n: ClassVar[int] = 2

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.compare is StatisticalTest.compare:
            return
        for attribute, example in (("name", "'my test'"), ("paired", "True")):
            if not hasattr(cls, attribute):
                raise DefinitionError(
                    f"{cls.__qualname__} defines compare() but not {attribute!r}; "
                    f"set it in the class body, such as {attribute} = {example}"
                )

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

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the smallest p-value that the test can attain at these sizes.

        An experiment whose alpha is below it can't support its claim, so its verdict is `invalid`. Unless it
        is overridden, the answer is 0 from `minimum_n` on and 1 below; `alternative` makes no difference.
        """
        return 0.0 if min(n_baseline, n_treatment) >= self.minimum_n else 1.0


@dataclass(frozen=True, slots=True)
class PairedTTest(StatisticalTest):
    """Paired t test of the mean difference; see `crystallize.stats.paired_t`."""

    name: ClassVar[str] = "paired t"
    paired: ClassVar[bool] = True
    minimum_n: ClassVar[int] = 3

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test the mean difference of the pairs against `shift`."""
        return paired_t(baseline, treatment, alternative=alternative, alpha=alpha, shift=shift)


@dataclass(frozen=True, slots=True)
class WelchTTest(StatisticalTest):
    """Welch's t test of the difference of two means; see `crystallize.stats.welch_t`."""

    name: ClassVar[str] = "Welch t"
    paired: ClassVar[bool] = False
    minimum_n: ClassVar[int] = 3

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test the difference of the means against `shift`."""
        return welch_t(baseline, treatment, alternative=alternative, alpha=alpha, shift=shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampledTTest(StatisticalTest):
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
    paired: ClassVar[bool] = True
    minimum_n: ClassVar[int] = 3

    test_fraction: float

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise DefinitionError(
                f"ResampledTTest: test_fraction is {self.test_fraction!r}; "
                "allowed is a number between 0 and 1: the part of the data set that each resplit holds out, "
                "such as 0.2"
            )

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test the mean difference over the resplits against `shift`."""
        return resampled_t(
            baseline,
            treatment,
            test_fraction=self.test_fraction,
            alternative=alternative,
            alpha=alpha,
            shift=shift,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarTest(StatisticalTest):
    """McNemar's test of paired 0/1 values, by default mid-p; see `crystallize.stats.mcnemar`.

    Parameters
    ----------
    exact : bool
        Keep the size below alpha at the price of power.
    """

    name: ClassVar[str] = "McNemar"
    paired: ClassVar[bool] = True
    minimum_n: ClassVar[int] = 1

    exact: bool = False

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test the risk difference of the pairs against `shift`."""
        return mcnemar(
            baseline, treatment, exact=self.exact, alternative=alternative, alpha=alpha, shift=shift
        )

    def smallest_p(self, n_baseline: int, n_treatment: int, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of pairs that are all discordant in one direction."""
        return smallest_mcnemar_p(min(n_baseline, n_treatment), exact=self.exact, alternative=alternative)


def default_test(baseline: ArrayLike, treatment: ArrayLike, *, paired: bool) -> StatisticalTest:
    """Return the test that is used where a hypothesis names none.

    The choice looks at nothing but the pairing and whether every value is 0 or 1.

    Parameters
    ----------
    baseline, treatment : array_like
        One value per replicate.
    paired : bool
        Whether the i-th values of both arms share a seed.

    Returns
    -------
    StatisticalTest
        McNemar's test for 0/1 pairs, the paired t test for other pairs, else Welch's t test.

    Examples
    --------
    >>> default_test([0.1, 0.2, 0.3], [0.2, 0.2, 0.4], paired=True).name
    'paired t'
    """
    if not paired:
        return WelchTTest()
    return McNemarTest() if is_binary(baseline) and is_binary(treatment) else PairedTTest()
