"""Statistical tests as objects that a hypothesis can be declared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import ClassVar, Literal

from numpy.typing import ArrayLike

from crystallize.claims.layout import Layout
from crystallize.errors import DefinitionError
from crystallize.stats import Alternative, Comparison, TestResult
from crystallize.stats.power import Design

Values = Sequence[float]
"""What a metric was in one condition, by replicate or unit."""

Scale = Literal["difference", "ratio"]
"""What a test estimates and takes as its shift: a difference in units of the metric, or a ratio minus 1."""

__all__ = ["BackedTest", "BuiltInTest", "Scale", "StatisticalTest", "Values", "check_flag"]


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
    >>> import numpy as np
    >>> from crystallize.stats import paired_t
    >>> class RootTTest(StatisticalTest):
    ...     '''Paired t of square roots, for counts, which vary the more the larger they are.'''
    ...
    ...     name = "root t"
    ...     paired = True
    ...     minimum_n = 3
    ...
    ...     def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
    ...         first, second = np.sqrt(baseline), np.sqrt(treatment)
    ...         return paired_t(first, second, alternative=alternative, alpha=alpha, shift=shift)
    >>> RootTTest().compare([1, 4, 9, 4], [4, 9, 16, 16]).estimate
    1.25
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
        if "compare" in vars(cls):  # what is inherited speaks of another one
            if "scale" not in vars(cls):
                cls.scale = None
            if "bound" not in vars(cls):
                cls.bound = StatisticalTest.bound  # type: ignore[method-assign]
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

    @property
    def compares_with(self) -> float | None:
        """Number that it compares the treatment with, whatever the baseline; None if it is the baseline."""
        return None

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

    def saved(self, baseline: Values, treatment: Values, layout: Layout) -> float | None:
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

    def scores(self, baseline: Values, treatment: Values) -> tuple[list[float], list[float]]:
        """Return what is compared: the values, unless it is overridden."""
        return list(baseline), list(treatment)

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the design whose power tells what samples that vary like these would leave unseen.

        None, unless it is overridden: what such a sample can show is not known then. `result` is what
        `compare` returned for the samples.
        """
        return None


class BuiltInTest(StatisticalTest):
    """A test that functions of `crystallize.stats` do, as the design has values belong together."""

    __slots__ = ()

    name: ClassVar[str] = ""
    scale: ClassVar[Scale | None] = "difference"
    paired = True

    @abstractmethod
    def comparison(self, layout: Layout) -> Comparison:
        """Return what compares values that belong together in this way."""

    def bound(self, layout: Layout) -> Comparison:
        """Return what compares values that belong together in this way."""
        return self.comparison(layout)

    def compare(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        *,
        alpha: float = 0.05,
        alternative: Alternative = "two-sided",
        shift: float = 0.0,
    ) -> TestResult:
        """Test treatment minus baseline against `shift`, as pairs; in a hypothesis, as the design has it."""
        compare = self.comparison(Layout())
        return compare(baseline, treatment, alternative=alternative, alpha=alpha, shift=shift)


def check_flag(test: StatisticalTest, option: str) -> None:
    """Raise `DefinitionError` unless an option of a test is True or False."""
    value = getattr(test, option)
    if not isinstance(value, bool):
        raise DefinitionError(f"{type(test).__name__}: {option} is {value!r}; allowed are True and False")


class BackedTest(BuiltInTest):
    """A test that one function does, whatever the design; the fields of the class are options of it."""

    __slots__ = ()

    function: ClassVar[Callable[..., TestResult]]

    def comparison(self, layout: Layout) -> Comparison:
        """Return the function that the class names, with its options."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return partial(type(self).function, **options)
