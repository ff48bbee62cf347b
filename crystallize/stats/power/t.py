"""Power of t tests, by the noncentral t distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from crystallize.errors import SampleError
from crystallize.stats.result import Alternative
from crystallize.stats.samples import as_real, check_test_fraction
from crystallize.stats.t import MINIMUM_N
from crystallize.stats.tails import nctdtr, ndtri, normal_quantile, t_quantile


@dataclass(frozen=True, slots=True)
class TDesign:
    """Base of the t designs.

    Parameters
    ----------
    sd : float
        Unit of the effect: a standard deviation, > 0. With 1 effects are standardized.
    """

    minimum_n: ClassVar[int] = MINIMUM_N
    steady: ClassVar[bool] = True
    _arms: ClassVar[int] = 1

    sd: float = 1.0

    def __post_init__(self) -> None:
        sd = as_real(self.sd)
        if not 0 < sd < math.inf:
            raise SampleError(
                f"{type(self).__name__}: sd is {self.sd!r}; "
                "allowed are positive finite numbers, in the units of the metric"
            )
        object.__setattr__(self, "sd", sd)

    def largest_effect(self, *, decrease: bool) -> float:
        """Return infinity, in either direction."""
        return math.inf

    def about(self, effect: float, *, target: float, alpha: float, alternative: Alternative) -> float | None:
        """Return about how many replicates find an effect with a power, as if t were normal.

        None where more would not help, since the effect is none that is claimed, or the target below alpha.
        """
        z = normal_quantile(alpha if alternative == "two-sided" else min(1.0, 2 * alpha))
        distance = z + ndtri(target)
        claimed = effect < 0 if alternative == "less" else effect > 0
        if distance <= 0 or not (claimed or alternative == "two-sided") or effect == 0:
            return None
        ratio = effect / self.sd / distance
        return self._size(ratio * ratio) + z * z / (2 * self._arms)

    def _size(self, variance: float) -> float:
        """Return the size at which the mean, of values with variance 1, has a variance."""
        return self._arms / variance if variance > 0 else math.inf


@dataclass(frozen=True, slots=True)
class PairedT(TDesign):
    """Paired t test.

    Parameters
    ----------
    sd : float
        Standard deviation of the differences, > 0.

    Examples
    --------
    >>> round(PairedT().power(34, 0.5, alpha=0.05, alternative="two-sided"), 4)
    0.8078
    """

    name: ClassVar[str] = "paired t"

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n pairs."""
        return _t_power(effect / self.sd * math.sqrt(n), n - 1, alpha, alternative)


@dataclass(frozen=True, slots=True)
class TwoSampleT(TDesign):
    """Two-sample t test (Welch's, at equal variances).

    Parameters
    ----------
    sd : float
        Standard deviation of one value, > 0.

    Examples
    --------
    >>> round(TwoSampleT().power(20, 1.0, alpha=0.05, alternative="two-sided"), 6)
    0.868953
    """

    name: ClassVar[str] = "two-sample t"
    _arms: ClassVar[int] = 2

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n values in each arm."""
        return _t_power(effect / self.sd * math.sqrt(n / 2), 2 * n - 2, alpha, alternative)


@dataclass(frozen=True, slots=True)
class ResampledT(TDesign):
    """Corrected t test over n resplits of one data set.

    More resplits do not help without end: the standard error stays above sd * sqrt(f / (1 - f)).

    Parameters
    ----------
    sd : float
        Standard deviation of the differences, > 0.
    test_fraction : float
        Part f of the data set that each resplit holds out, in (0, 1).

    Examples
    --------
    >>> round(ResampledT(test_fraction=0.2).power(30, 1.0, alpha=0.05, alternative="two-sided"), 4)
    0.443
    """

    name: ClassVar[str] = "resampled t"

    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        super(ResampledT, self).__post_init__()  # slots: the class that a bare super() knows was replaced
        object.__setattr__(self, "test_fraction", check_test_fraction("ResampledT", self.test_fraction))

    def _size(self, variance: float) -> float:
        """Return the number of resplits at which the mean has a variance."""
        own = variance - self.test_fraction / (1 - self.test_fraction)
        return 1 / own if own > 0 else math.inf

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n resplits."""
        error = math.sqrt(1 / n + self.test_fraction / (1 - self.test_fraction))
        return _t_power(effect / self.sd / error, n - 1, alpha, alternative)


def _t_power(noncentrality: float, df: float, alpha: float, alternative: Alternative) -> float:
    if alternative == "less":
        noncentrality, alternative = -noncentrality, "greater"
    critical = t_quantile(alpha if alternative == "two-sided" else 2 * alpha, df)
    if alternative == "greater":
        critical = -critical if alpha > 0.5 else critical
        return 1 - _cdf(df, noncentrality, critical)
    return min(1.0, 1 - _cdf(df, noncentrality, critical) + _cdf(df, noncentrality, -critical))


def _cdf(df: float, noncentrality: float, t: float) -> float:
    # In the far tail scipy's distribution function is nan, where the probability is below every other error.
    if abs(noncentrality) > 1e3 + 1e3 * abs(t):
        return 0.0 if noncentrality > 0 else 1.0
    value = nctdtr(float(df), float(noncentrality), t)
    if math.isnan(value):
        return 0.0 if noncentrality > t else 1.0
    return value
