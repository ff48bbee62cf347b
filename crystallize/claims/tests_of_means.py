"""Tests of means, of which the design has one by default."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from crystallize.claims.stat_test import BackedTest, Values
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats import TestResult, paired_t, resampled_t, welch_t
from crystallize.stats.moments import largest, moments, scaled, scaled_float
from crystallize.stats.power import Design, PairedT, ResampledT, TwoSampleT
from crystallize.stats.samples import Sample, as_doubles


class PairedMeansTest(BackedTest):
    """Base of tests of the mean of paired differences."""

    __slots__ = ()

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the paired t design with the standard deviation of the differences."""
        sd = _sd(_differences(baseline, treatment))
        return PairedT(sd) if sd and not result.degenerate else None


class IndependentMeansTest(BackedTest):
    """Base of tests of the difference of two means."""

    __slots__ = ()

    paired = False

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the two-sample t design with the root mean square of both standard deviations."""
        sd = math.hypot(_sd(baseline), _sd(treatment)) / math.sqrt(2)
        return TwoSampleT(sd) if sd and not result.degenerate else None


def _differences(baseline: Values, treatment: Values) -> Values | Sample:
    doubles = as_doubles(baseline, treatment)
    if doubles is None:
        return [t - b for b, t in zip(baseline, treatment, strict=True)]
    with np.errstate(over="ignore"):
        return doubles[1] - doubles[0]


def _sd(values: Values | Sample) -> float:
    """Return the standard deviation; 0 if there is no telling, or nothing but rounding."""
    if len(values) < 2:
        return 0.0
    return _sd_of_bytes(np.asarray(values, dtype=np.float64).tobytes())


@lru_cache(maxsize=128)
def _sd_of_bytes(values: bytes) -> float:
    """Return that of doubles: the same samples are tested for several claims."""
    sample = np.frombuffer(values)
    size = largest(sample)
    exponent = math.frexp(size)[1]
    sd = scaled_float(math.sqrt(moments(scaled(sample, -exponent))[1]), exponent)
    return sd if 1e-12 * size < sd < math.inf else 0.0


@dataclass(frozen=True, slots=True)
class PairedTTest(PairedMeansTest):
    """Paired t test of the mean difference; see `crystallize.stats.paired_t`.

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = PairedTTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.024, 0.0046)
    """

    name: ClassVar[str] = "paired t"
    minimum_n: ClassVar[int] = 3
    relies_on_normality: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(paired_t)


@dataclass(frozen=True, slots=True)
class WelchTTest(IndependentMeansTest):
    """Welch's t test of the difference of two means; see `crystallize.stats.welch_t`.

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = WelchTTest().compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.024, 0.0308)
    """

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

    Examples
    --------
    >>> before = [0.71, 0.69, 0.74, 0.70, 0.72]
    >>> after = [0.73, 0.72, 0.76, 0.74, 0.73]
    >>> result = ResampledTTest(test_fraction=0.2).compare(before, after, alternative="greater")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.024, 0.0175)
    """

    name: ClassVar[str] = "resampled t"
    minimum_n: ClassVar[int] = 3
    relies_on_normality: ClassVar[bool] = True
    function: ClassVar[Callable[..., TestResult]] = staticmethod(resampled_t)

    test_fraction: float

    def __post_init__(self) -> None:
        make_plain(self)
        part = self.test_fraction
        if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part < 1:
            raise DefinitionError(
                f"ResampledTTest: test_fraction is {part!r}; "
                "allowed is a number between 0 and 1: the part of the data set that each resplit holds out, "
                "such as 0.2"
            )

    def design(self, baseline: Values, treatment: Values, result: TestResult) -> Design | None:
        """Return the design of resplits with the standard deviation of the differences."""
        sd = _sd(_differences(baseline, treatment))
        return ResampledT(sd, self.test_fraction) if sd and not result.degenerate else None
