"""Relative change of a mean, with an interval that knows that the baseline is estimated, too."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final, NamedTuple

from numpy.typing import ArrayLike

from crystallize.stats.comparison import Comparison
from crystallize.stats.degenerate import continuous_p_value, spread
from crystallize.stats.effect import Effect
from crystallize.stats.moments import common_exponent, scaled
from crystallize.stats.precision import Precision, precision_of, rounded_as, rounding
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.roots import falling_root_from
from crystallize.stats.samples import Sample, as_sample, check_alpha, check_compare

_RELATIVE: Final = "relative change"
_ROUNDING: Final = 2.0**-43  # of multiples of values below 1
_FAR: Final = 2.0**20  # times as far apart as equal values: what these are worth is of no account


class Ratio(NamedTuple):
    """Ratio of the means of two arms, in units that no multiple of them exceeds.

    The range of equal values is at most `rounding`.
    """

    compare: Comparison
    baseline: Sample
    treatment: Sample
    means: tuple[float, float]
    rounding: float
    precision: Precision

    def contrast(self, ratio: float, alternative: Alternative, alpha: float) -> TestResult:
        """Test the mean of treatment - ratio * baseline against 0."""
        arms = ratio * self.baseline, self.treatment
        if self.precision.is_coarse:  # which a multiple has not, as a double
            arms = rounded_as(self.precision, arms[0]), rounded_as(self.precision, arms[1])
        return self.compare(*arms, alternative=alternative, alpha=alpha, shift=0.0)

    def against(self, ratio: float, alternative: Alternative, alpha: float) -> TestResult:
        """Test the ratio of the means against the one given.

        Where each pair has the same ratio, it is all that the pairs show, however much the baseline varies:
        the p-value is that of equal differences, to which it rises without a jump.
        """
        moved = self.contrast(ratio, alternative, alpha)
        if moved.degenerate or self.baseline.size != self.treatment.size:
            return moved
        multiple = self.means[1] / self.means[0] * self.baseline
        apart = spread(self.treatment - multiple)
        options: dict[str, Any] = {"alternative": alternative, "alpha": alpha, "shift": 0.0}
        if apart > _FAR * self.rounding or not self.compare(multiple, multiple, **options).degenerate:
            return moved
        zeros = 0.0 * multiple
        excess = self.means[1] - ratio * self.means[0]
        floor = self.compare(zeros, zeros + excess, **options).p_value
        if apart <= self.rounding:
            return replace(moved, p_value=max(moved.p_value, floor), degenerate=True)
        df = self.baseline.size - 1 if moved.df is None else moved.df
        p_value = continuous_p_value(moved.p_value, floor, apart, self.rounding, df)
        return replace(moved, p_value=p_value)

    def baseline_sign(self, alpha: float) -> TestResult:
        """Test that the baseline's mean has the sign that it shows: against an arm of zeros."""
        alternative: Alternative = "greater" if self.means[0] > 0 else "less"
        zeros = 0.0 * self.treatment
        return self.compare(zeros, self.baseline, alternative=alternative, alpha=alpha, shift=0.0)

    def change(self, alpha: float) -> tuple[float, tuple[float, float]]:
        """Return the relative change and its interval; the baseline's mean is not 0."""
        first, second = self.means
        sign = 1 if first > 0 else -1
        ratio = second / first
        if self.baseline_sign(alpha).p_value <= alpha / 2:
            # The ends of the contrast's own interval fall (rise, if the baseline is negative) with the ratio.
            def end(index: int) -> float:
                return falling_root_from(
                    lambda r: sign * self.contrast(r, "two-sided", alpha).interval[index], ratio
                )

            low, high = min(end(0), end(1), ratio), max(end(0), end(1), ratio)
        else:
            low, high = -math.inf, math.inf
        change = sorted((sign * (low - 1), sign * (high - 1)))
        return sign * (ratio - 1), (change[0], change[1])


def ratio_of_means(test: str, compare: Comparison, baseline: ArrayLike, treatment: ArrayLike) -> Ratio:
    """Return the arms as a ratio.

    Raises
    ------
    SampleError
        If a value is not finite, or an arm is empty.
    """
    check_compare(test, compare)
    first = as_sample(test, "baseline", baseline, minimum=1)
    second = as_sample(test, "treatment", treatment, minimum=1)
    precision = precision_of((baseline, first), (treatment, second))
    exponent = common_exponent(first, second)
    first, second = scaled(first, -exponent), scaled(second, -exponent)
    means = math.fsum(first.tolist()) / first.size, math.fsum(second.tolist()) / second.size
    equal = max(math.ldexp(rounding(baseline, treatment), -exponent), _ROUNDING)
    return Ratio(compare, first, second, means, equal, precision)


def relative_change(
    compare: Comparison, baseline: ArrayLike, treatment: ArrayLike, *, alpha: float = 0.05
) -> Effect:
    r"""Estimate :math:`(\mu_t - \mu_b) / |\mu_b|` with Fieller's interval [1]_.

    A ratio :math:`\rho = \mu_t/\mu_b` belongs to the interval if `compare` does not reject that the mean of
    treatment - :math:`\rho` baseline is 0. Where it does not reject that :math:`\mu_b` is 0 either, no finite
    interval has level 1 - alpha, and both ends are infinite.

    Parameters
    ----------
    compare : callable
        `paired_t`, `welch_t`, or another test of means of any numbers; options of its own are bound with
        functools.partial.
    baseline, treatment : array_like
        As `compare` takes them.
    alpha : float
        The interval has level 1 - alpha.

    Returns
    -------
    Effect
        0.1 for a treatment whose mean is 10 % above the baseline's; `bounded` tells whether there is an
        interval.

    Raises
    ------
    SampleError
        If a value is not finite, alpha is out of its range, or as `compare` does.

    Notes
    -----
    It means something for quantities with a true zero (times, losses), not for scores on an arbitrary scale.
    If the baseline's mean is 0 the change is infinite, or 0 if the treatment's is 0, too; the interval is
    unbounded. Arms that do not vary have the interval [c, c], unless they are too short for `compare` to
    tell the baseline from 0.

    References
    ----------
    .. [1] Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal Statistical
       Society B 16, 175-185.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> effect = relative_change(paired_t, [10.0, 11.0, 9.0, 10.5], [11.0, 12.5, 10.5, 11.5])
    >>> round(effect.estimate, 4), [round(end, 4) for end in effect.interval]
    (0.1235, [0.0753, 0.1782])
    """
    alpha = check_alpha(_RELATIVE, alpha)
    arms = ratio_of_means(_RELATIVE, compare, baseline, treatment)
    if arms.means[0] == 0:
        arms.baseline_sign(alpha)  # for its errors
        estimate = math.copysign(math.inf, arms.means[1]) if arms.means[1] != 0 else 0.0
        interval = (-math.inf, math.inf)
    else:
        estimate, interval = arms.change(alpha)
    return Effect(name=_RELATIVE, estimate=estimate, interval=interval, confidence=1 - alpha)
