"""Tests of the mean difference by Student's t: paired, Welch, and corrected for resplits of one data set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from numpy.typing import ArrayLike

from crystallize.stats.degenerate import (
    constant_difference,
    constant_p_value,
    constant_statistic,
    continuous_p_value,
    paired_floor,
    separation,
    spread,
    unpaired_floor,
)
from crystallize.stats.moments import moments
from crystallize.stats.precision import Arms, as_arms, as_paired_arms
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import (
    check_alpha,
    check_alternative,
    check_shift,
    check_test_fraction,
)
from crystallize.stats.tails import t_p_value, t_quantile

MINIMUM_N: Final = 3
"""The fewest values per arm that a t test takes."""

_PAIRED: Final = "paired t"
_WELCH: Final = "Welch t"
_RESAMPLED: Final = "resampled t"


def paired_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the mean of paired differences by Student's t [1]_.

    With :math:`d_i` = treatment - baseline of pair i, the null hypothesis is :math:`E[d] = \text{shift}`;
    the statistic :math:`(\bar d - \text{shift}) / (s_d / \sqrt n)` has n - 1 degrees of freedom.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, n >= 3; the i-th values share a seed.
    alternative : {"two-sided", "greater", "less"}
        The claim about the mean difference against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Mean difference under the null hypothesis, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is the mean difference, `n` the number of pairs.

    Raises
    ------
    SampleError
        If a value is not finite, the lengths differ, n < 3, or an option is out of its range.

    Notes
    -----
    Wrong for independent samples (`welch_t`), for several values of one replicate, and for resplits of one
    data set (`resampled_t`). Differences count as equal if they are as far apart as rounding makes equal
    ones (2^10 ulp of the values of their pairs in double precision, less in others, 0 of whole numbers), as 0
    within 4 ulp. If all are equal to c, the p-value is that of n equal signs, 2^(1-n) two-sided and 2^(-n)
    one-sided (1 if c is on the other side of `shift`, or some of them do not lie beyond it, so that c is
    `shift`); the interval is [c, c], and the result is flagged `degenerate`.

    References
    ----------
    .. [1] Student (1908). The probable error of a mean. Biometrika 6, 1-25.

    Examples
    --------
    Additional hours of sleep of ten patients under two drugs [1]_:

    >>> first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    >>> second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    >>> result = paired_t(first, second)
    >>> round(result.estimate, 2), round(result.statistic, 4), round(result.p_value, 5)
    (1.58, 4.0621, 0.00283)
    """
    question = Question(_PAIRED, alternative, alpha, shift)
    arms = as_paired_arms(_PAIRED, baseline, treatment, minimum=MINIMUM_N)
    return answer(question, paired_difference(arms, 1 / arms.baseline.size))


def resampled_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    test_fraction: float,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test paired differences over random resplits of one data set by the corrected t [1]_.

    Training sets of different resplits overlap, so the differences are correlated and :math:`s_d^2 / n`
    understates the variance of their mean. The correction uses
    :math:`s_d^2 (1/n + n_\text{test}/n_\text{train})`, where :math:`n_\text{test}/n_\text{train}` =
    f / (1 - f) for the held-out fraction f, with n - 1 degrees of freedom.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, n >= 3; the i-th values come from the same resplit.
    test_fraction : float
        Part of the data set that each resplit holds out, in (0, 1).
    alternative, alpha, shift
        As in `paired_t`.

    Returns
    -------
    TestResult
        `estimate` is the mean difference, `n` the number of resplits.

    Raises
    ------
    SampleError
        If a value is not finite, the lengths differ, n < 3, or an option is out of its range.

    Notes
    -----
    The null hypothesis speaks of learners trained on data sets like this one. More resplits do not help
    without end: the variance does not fall below :math:`s_d^2 f / (1 - f)`.

    Equal differences c are treated as in `paired_t`, but n resplits do not have n independent signs. The
    corrected variance is that of :math:`m = 1 / (1/n + f / (1 - f))` independent differences; the p-value is
    that of m equal signs, min(1, 2^(1-m)) two-sided and 2^(-m) one-sided.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52,
       239-281.

    Examples
    --------
    >>> result = resampled_t([0.80, 0.82, 0.79, 0.81], [0.82, 0.83, 0.82, 0.83], test_fraction=0.2)
    >>> round(result.statistic, 4), round(result.p_value, 4)  # the paired t would give 4.899 and 0.0163
    (3.4641, 0.0405)
    """
    question = Question(_RESAMPLED, alternative, alpha, shift)
    held_out = check_test_fraction(_RESAMPLED, test_fraction)
    arms = as_paired_arms(_RESAMPLED, baseline, treatment, minimum=MINIMUM_N)
    variance_factor = 1 / arms.baseline.size + held_out / (1 - held_out)
    return answer(question, paired_difference(arms, variance_factor))


def welch_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the difference of the means of two independent samples by Welch's t [1]_.

    The null hypothesis is :math:`\mu_\text{treatment} - \mu_\text{baseline} = \text{shift}`. The variances
    may differ: with :math:`v = s^2/n` of each arm, the squared standard error is :math:`v_1 + v_2` and its
    degrees of freedom are :math:`(v_1 + v_2)^2 / (v_1^2/(n_1-1) + v_2^2/(n_2-1))`.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Finite numbers, n >= 3.
    treatment : array_like, shape (m,)
        Finite numbers, m >= 3, independent of the baseline's.
    alternative, alpha, shift
        As in `paired_t`.

    Returns
    -------
    TestResult
        `estimate` is the difference of the means, `n` is (n, m).

    Raises
    ------
    SampleError
        If a value is not finite, an arm has fewer than 3, or an option is out of its range.

    Notes
    -----
    Valid but wasteful for pairs, where `paired_t` has more power. One constant arm is no obstacle. If both
    are constant (but for rounding, as in `paired_t`), the p-value is that of complete separation of the arms
    under random labels, 2/C(n+m, n) two-sided and 1/C(n+m, n) one-sided (1 if the difference c is on the
    other side of `shift`, or the arms overlap but for the shift, so that c is `shift`); the interval is
    [c, c], `df` is n + m - 2, and the result is flagged `degenerate`.

    References
    ----------
    .. [1] Welch, B. L. (1947). The generalization of 'Student's' problem when several different population
       variances are involved. Biometrika 34, 28-35.

    Examples
    --------
    >>> first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    >>> second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    >>> result = welch_t(first, second)
    >>> round(result.statistic, 5), round(result.df, 4), round(result.p_value, 5)
    (1.86081, 17.7765, 0.07939)
    """
    question = Question(_WELCH, alternative, alpha, shift)
    return answer(question, _independent_difference(as_arms(_WELCH, baseline, treatment, minimum=MINIMUM_N)))


@dataclass(frozen=True, slots=True)
class Question:
    """Question that is asked of the samples; checked when made, with plain floats."""

    test: str
    alternative: Alternative
    alpha: float
    shift: float

    def __post_init__(self) -> None:
        check_alternative(self.test, self.alternative)
        object.__setattr__(self, "alpha", check_alpha(self.test, self.alpha))
        object.__setattr__(self, "shift", check_shift(self.test, self.shift))


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A mean difference in units of 2^exponent.

    Attributes
    ----------
    mean, error, df : float
        Estimate, standard error (0 of one that does not vary) and degrees of freedom.
    n : int or tuple of int
        As in `TestResult`.
    arms : Arms
        Where it comes from.
    apart : float
        Range of what varies, as a multiple of the largest that equal values have.
    floor : float
        One-sided p-value of constant differences.
    reach : pair of float
        Of one that does not vary, the smallest and the largest difference that any of the values shows.
    """

    mean: float
    error: float
    df: float
    n: int | tuple[int, int]
    arms: Arms
    apart: float
    floor: float
    reach: tuple[float, float]


def paired_difference(arms: Arms, variance_factor: float) -> MeanDifference:
    """Return the mean of the differences; its variance is that of one of them times the factor."""
    n = arms.differences.size
    mean, variance = arms.moments
    return MeanDifference(
        mean=mean,
        error=0.0 if arms.apart <= 1 else math.sqrt(variance * variance_factor),
        df=n - 1.0,
        n=n,
        arms=arms,
        apart=arms.apart,
        floor=paired_floor(1 / variance_factor),
        reach=arms.reach if arms.apart <= 1 else (mean, mean),
    )


def _independent_difference(arms: Arms) -> MeanDifference:
    """Return the difference of the means, with the degrees of freedom of Welch and Satterthwaite."""
    first, second = arms.baseline, arms.treatment
    n, m = first.size, second.size
    (first_mean, first_variance), (second_mean, second_variance) = moments(first), moments(second)
    error, df = 0.0, n + m - 2.0
    apart = arms.precision.apart(max(spread(first), spread(second)))
    if apart > 1:
        error = math.sqrt(first_variance / n + second_variance / m)
        shares = first_variance / n / error**2, second_variance / m / error**2
        df = 1 / (shares[0] ** 2 / (n - 1) + shares[1] ** 2 / (m - 1))
    mean = second_mean - first_mean
    return MeanDifference(
        mean=mean,
        error=error,
        df=df,
        n=(n, m),
        arms=arms,
        apart=apart,
        floor=unpaired_floor(n, m),
        reach=(mean, mean) if apart > 1 else separation(first, second, arms.precision.zero),
    )


def answer(question: Question, difference: MeanDifference) -> TestResult:
    """Return the outcome of Student's t test of a mean difference."""
    arms = difference.arms
    null = arms.scaled(question.shift)
    mean, radius, df = difference.mean, 0.0, difference.df
    degenerate = difference.error == 0
    if degenerate:
        mean = constant_difference(mean, null, arms.zero, difference.reach)
    floor = constant_p_value(mean - null, difference.floor, question.alternative)
    if degenerate:
        statistic, p_value = constant_statistic(mean - null), floor
    else:
        statistic = (mean - null) / difference.error
        p_value = t_p_value(statistic, df, question.alternative)
        p_value = continuous_p_value(p_value, floor, difference.apart, 1.0, df)
        radius = t_quantile(question.alpha, df) * difference.error
    return TestResult(
        test=question.test,
        p_value=p_value,
        statistic=statistic,
        df=df,
        estimate=arms.unscaled(mean),
        interval=(arms.unscaled(mean - radius), arms.unscaled(mean + radius)),
        confidence=1 - question.alpha,
        n=difference.n,
        alternative=question.alternative,
        null=question.shift,
        degenerate=degenerate,
    )
