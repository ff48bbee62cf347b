"""Trimmed means: the mean of the middle of a sample, which a few wild values do not move."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.degenerate import paired_floor, separation, spread, unpaired_floor
from crystallize.stats.moments import moments
from crystallize.stats.precision import Arms, as_arms, as_paired_arms
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample
from crystallize.stats.t import MeanDifference, Question, answer

_NAME: Final = "Yuen t"


def yuen_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    trim: float = 0.2,
    paired: bool = True,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the difference of the trimmed means of two samples by Yuen's t [1]_.

    Of n values, :math:`g = \lfloor \gamma n \rfloor` are trimmed at each end, and :math:`h = n - 2g` are
    left. The standard error comes from the winsorized values: each of those that were trimmed is replaced by
    the nearest one that was not. With :math:`v = \text{SS}_w / (h (h - 1))`, where :math:`\text{SS}_w` is the
    sum of their squared deviations from their mean, it is :math:`\sqrt{v_1 + v_2}` of independent samples,
    with Welch's degrees of freedom for arms of h values. Of pairs, it is :math:`\sqrt v` of the differences
    of both arms' winsorized values, with h - 1 degrees of freedom [2]_.

    Parameters
    ----------
    baseline, treatment : array_like, shapes (n,) and (m,)
        Finite numbers, of which one at least is trimmed at each end: 5 of each for a trim of .2. Of pairs,
        the i-th values share a seed.
    trim : float
        Part of the values that is trimmed at each end, in (0, .25].
    paired : bool
        Whether they are pairs.
    alternative : {"two-sided", "greater", "less"}
        The claim about the difference of the trimmed means against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference of the trimmed means under the null hypothesis, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is the trimmed mean of the treatment minus that of the baseline, `n` the number of pairs,
        or (n, m).

    Raises
    ------
    SampleError
        If a value is not finite, an arm is too small, the lengths of pairs differ, or an option is out of its
        range.

    Notes
    -----
    Not about the mean: of skewed values the trimmed mean is another number, and totals follow the mean. It
    is to be chosen for what it speaks of, and before the data are seen. Trimming values and testing the rest
    by an ordinary t claims too much, since what is left varies less than the samples do. With few distinct
    values, independent samples find a little too much: .064 for .05, and .021 for .01, of values rounded to
    their standard deviation at n = 30; nothing of the kind is seen of finer ones.

    Winsorized values (of pairs, differences of them) that are all equal are treated as such values are in
    `welch_t` and `paired_t`, with h in place of n.

    References
    ----------
    .. [1] Yuen, K. K. (1974). The two-sample trimmed t for unequal population variances. Biometrika 61,
       165-170.
    .. [2] Wilcox, R. R. (2012). Introduction to robust estimation and hypothesis testing, 3rd edition,
       section 5.9. Academic Press.

    Examples
    --------
    Hours of sleep, one of them wild, so that the mean difference is 10.2 and the paired t has p = .27:

    >>> first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    >>> second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 90.0]
    >>> result = yuen_t(first, second)
    >>> round(result.estimate, 3), round(result.statistic, 3), result.df, round(result.p_value, 4)
    (1.867, 2.818, 5.0, 0.0372)
    """
    question = Question(_NAME, alternative, alpha, shift)
    minimum = fewest_to_trim(trim)
    make = as_paired_arms if paired else as_arms
    arms = _winsorized(make(_NAME, baseline, treatment, minimum=minimum), trim)
    difference = (_paired if paired else _independent)(arms, trim)
    estimand = f"difference of the {100 * trim:g} % trimmed means"
    return replace(answer(question, difference), estimand=estimand)


def fewest_to_trim(trim: float) -> int:
    """Return the fewest values of which one is trimmed at each end, and three are left.

    Parameters
    ----------
    trim : float
        Part of the values that is trimmed at each end, in (0, .25].

    Raises
    ------
    SampleError
        If the part is not in (0, .25].

    Examples
    --------
    >>> fewest_to_trim(0.2), fewest_to_trim(0.05)
    (5, 20)
    """
    if isinstance(trim, bool) or not isinstance(trim, int | float) or not 0 < trim <= 0.25:
        raise SampleError(f"{_NAME}: trim is {trim!r}; allowed is a number above 0, up to 0.25")
    return max(5, math.ceil(1 / trim - 1e-9))


def _middle(values: Sample, trim: float) -> Sample:
    """Return the values that are left, in order; of values and of winsorized ones they are the same."""
    cut = math.floor(trim * values.size + 1e-9)
    return np.sort(values)[cut : values.size - cut]


def _winsorized(arms: Arms, trim: float) -> Arms:
    """Return both samples with the ends pulled in, so that rounding is that of what is left."""
    middles = [_middle(values, trim) for values in (arms.baseline, arms.treatment)]
    first, second = (
        np.clip(values, middle[0], middle[-1])
        for values, middle in zip((arms.baseline, arms.treatment), middles, strict=True)
    )
    return arms.of(first, second)


def _mean(middle: Sample) -> float:
    return math.fsum(middle.tolist()) / middle.size


def _variance(winsorized: Sample, left: int) -> float:
    """Return the variance of a trimmed mean."""
    return moments(winsorized)[1] * (winsorized.size - 1) / (left * (left - 1))


def _paired(arms: Arms, trim: float) -> MeanDifference:
    """Return the difference of the trimmed means of pairs, of winsorized arms."""
    first, second = _middle(arms.baseline, trim), _middle(arms.treatment, trim)
    left, mean = first.size, _mean(second) - _mean(first)
    constant = arms.apart <= 1
    return MeanDifference(
        mean=mean,
        error=0.0 if constant else math.sqrt(_variance(arms.differences, left)),
        df=left - 1.0,
        n=arms.differences.size,
        arms=arms,
        apart=arms.apart,
        floor=paired_floor(left),
        reach=arms.reach if constant else (mean, mean),
    )


def _independent(arms: Arms, trim: float) -> MeanDifference:
    """Return the difference of the trimmed means of independent winsorized samples, with Welch's df."""
    first, second = _middle(arms.baseline, trim), _middle(arms.treatment, trim)
    mean = _mean(second) - _mean(first)
    error, df = 0.0, first.size + second.size - 2.0
    apart = arms.precision.apart(max(spread(arms.baseline), spread(arms.treatment)))
    if apart > 1:
        variances = _variance(arms.baseline, first.size), _variance(arms.treatment, second.size)
        error = math.sqrt(sum(variances))
        shares = [variance / error**2 for variance in variances]
        df = 1 / (shares[0] ** 2 / (first.size - 1) + shares[1] ** 2 / (second.size - 1))
    return MeanDifference(
        mean=mean,
        error=error,
        df=df,
        n=(arms.baseline.size, arms.treatment.size),
        arms=arms,
        apart=apart,
        floor=unpaired_floor(first.size, second.size),
        reach=(mean, mean) if apart > 1 else separation(first, second, arms.precision.zero),
    )
