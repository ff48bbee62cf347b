"""Anytime-valid tests: e-processes that may be looked at after every replicate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.precision import as_paired_arms
from crystallize.stats.result import TestResult
from crystallize.stats.samples import (
    as_binary_pairs,
    as_list,
    as_real,
    as_whole,
    check_alpha,
    check_shift,
    check_sizes,
    check_tallies,
)
from crystallize.stats.t import MINIMUM_N, Question, answer, paired_difference

_T: Final = "anytime-valid t"
_BINARY: Final = "anytime-valid McNemar"
_T_E_VALUE: Final = "t-mixture e-value"
_BINARY_E_VALUE: Final = "e-value of discordant pairs"


def anytime_t(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    looks: Sequence[int] | None = None,
    g: float = 1.0,
    alpha: float = 0.05,
    shift: float = 0.0,
) -> list[TestResult]:
    r"""Test the mean of paired differences at any number of looks, by a t-mixture e-process [1]_.

    The null hypothesis is :math:`E[d] = \text{shift}` for normal differences of unknown variance. The
    evidence at n pairs is :math:`E_n`, see `log_t_e_value`: the likelihood ratio of the t statistic, averaged
    over effects d_z that are normal with variance g. :math:`P(\sup_n E_n \ge 1/\alpha) \le \alpha`, whatever
    decides when to stop [2]_.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, n >= 3, in replicate order; the i-th values share a seed.
    looks : sequence of int, optional
        Ascending numbers of pairs, from 3 to n; all of them by default.
    g : float
        Variance of the effects that the test is made for, in units of d_z squared, > 0.
    alpha : float
        The intervals have level 1 - alpha, all together.
    shift : float
        Mean difference under the null hypothesis, in the units of the data.

    Returns
    -------
    list of TestResult
        One per look: `statistic` is :math:`E_n`, `p_value` is min(1, 1/(largest E so far)), `interval` holds
        the shifts for which :math:`E_n < 1/\alpha`, unbounded while n is small. Two-sided.

    Raises
    ------
    SampleError
        If a value is not finite, the lengths differ, n < 3, the looks do not ascend from 3 to n, or an
        option is out of its range.

    Notes
    -----
    Costs power against a test at one planned n; `group_sequential_boundaries` cost less where n_max is known.
    Wrong for independent samples and for several values of one replicate. The order of the replicates
    matters, as it must.

    Of differences that are all equal (as in `paired_t`) only the signs count: E is the one of
    `log_binary_e_value` for n gains, 1 if the differences equal `shift`. The interval is then [c, c], or
    unbounded while E is below 1/alpha, and the result is flagged `degenerate`.

    References
    ----------
    .. [1] Rouder, J. N., Speckman, P. L., Sun, D., Morey, R. D. and Iverson, G. (2009). Bayesian t tests for
       accepting and rejecting the null hypothesis. Psychonomic Bulletin and Review 16, 225-237.
    .. [2] Grünwald, P., de Heide, R. and Koolen, W. (2024). Safe testing. Journal of the Royal Statistical
       Society B 86, 1091-1128.

    Examples
    --------
    >>> first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    >>> second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    >>> last = anytime_t(first, second, looks=[10])[0]
    >>> round(last.statistic, 4), round(last.p_value, 6)
    (25.4751, 0.039254)
    """
    alpha, shift, variance = check_alpha(_T, alpha), check_shift(_T, shift), as_real(g)
    if not 0 < variance < math.inf:
        raise SampleError(f"{_T}: g is {g!r}; allowed are positive finite numbers, such as 1")
    whole = as_paired_arms(_T, baseline, treatment, minimum=MINIMUM_N)
    results = []
    best = 0.0
    for n in _looks(_T, looks, whole.baseline.size, MINIMUM_N):
        arms = whole.first(n)
        difference = paired_difference(arms, 1 / n)
        fixed = answer(Question(_T, "two-sided", alpha, shift), difference)
        if fixed.degenerate:
            log_e = 0.0 if fixed.statistic == 0 else log_binary_e_value(n, 0)
            width = 0.0 if log_e >= -math.log(alpha) else math.inf
        else:
            log_e = log_t_e_value(fixed.statistic, n, variance)
            radius = difference.error * t_e_radius(n, alpha, variance)
            width = arms.unscaled(radius)
        best = max(best, log_e)
        results.append(
            TestResult(
                test=_T,
                p_value=math.exp(-best),
                statistic=_exp(log_e),
                df=n - 1.0,
                estimate=fixed.estimate,
                interval=(_minus(fixed.estimate, width), _plus(fixed.estimate, width)),
                confidence=1 - alpha,
                n=n,
                alternative="two-sided",
                null=shift,
                degenerate=fixed.degenerate,
            )
        )
    return results


def anytime_mcnemar(
    baseline: ArrayLike, treatment: ArrayLike, *, looks: Sequence[int] | None = None, alpha: float = 0.05
) -> list[TestResult]:
    r"""Test paired 0/1 values at any number of looks, by an e-process on the discordant pairs [1]_.

    The null hypothesis is that gains (0 to 1) and losses (1 to 0) are equally probable. With s gains and f
    losses so far :math:`E = 2^{s+f} B(1/2 + s, 1/2 + f) / B(1/2, 1/2)`, the likelihood ratio averaged over
    Jeffreys' prior of the share of gains; :math:`P(\sup E \ge 1/\alpha) \le \alpha` (Ville).

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Zeros and ones (or booleans), n >= 1, in replicate order; the i-th values share a seed.
    looks : sequence of int, optional
        Ascending numbers of pairs, from 1 to n; all of them by default.
    alpha : float
        The intervals have level 1 - alpha, all together.

    Returns
    -------
    list of TestResult
        One per look: `statistic` is E, `p_value` is min(1, 1/(largest E so far)). `estimate` is the share of
        gains among the discordant pairs (1/2 if there are none), whose `null` is 1/2, and `interval` holds
        the shares whose E is below 1/alpha.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, the lengths differ, there are no pairs, the looks do not ascend from
        1 to n, or alpha is out of its range.

    Notes
    -----
    Wrong for independent samples. Valid at every n; without discordant pairs p = 1 and the interval is
    [0, 1]. Data that do not vary need no substitute; the flag `degenerate` marks them.

    References
    ----------
    .. [1] Robbins, H. (1970). Statistical methods related to the law of the iterated logarithm. Annals of
       Mathematical Statistics 41, 1397-1409.

    Examples
    --------
    Eight gains in a row:

    >>> last = anytime_mcnemar([0] * 8, [1] * 8)[-1]
    >>> round(last.statistic, 3), round(last.p_value, 4)
    (50.273, 0.0199)
    """
    alpha = check_alpha(_BINARY, alpha)
    first, second = as_binary_pairs(_BINARY, baseline, treatment)
    results = []
    best = 0.0
    for n in _looks(_BINARY, looks, first.size, 1):
        gains = int(np.count_nonzero(second[:n] > first[:n]))
        losses = int(np.count_nonzero(second[:n] < first[:n]))
        log_e = log_binary_e_value(gains, losses)
        best = max(best, log_e)
        share = gains / (gains + losses) if gains + losses else 0.5
        results.append(
            TestResult(
                test=_BINARY,
                p_value=math.exp(-best),
                statistic=_exp(log_e),
                df=None,
                estimate=share,
                interval=(_share_limit(gains, losses, alpha), 1 - _share_limit(losses, gains, alpha)),
                confidence=1 - alpha,
                n=n,
                alternative="two-sided",
                estimand="share of gains among the discordant pairs",
                null=0.5,
                degenerate=gains + losses == 0 or n in (gains, losses),
            )
        )
    return results


def log_t_e_value(t: float, n: int, g: float = 1.0) -> float:
    r"""Return the logarithm of the t-mixture e-value of n paired differences.

    With :math:`r = 1/(1 + n g)` and :math:`\nu = n - 1`,
    :math:`E_n = \sqrt r\, [(1 + t^2/\nu) / (1 + r t^2/\nu)]^{n/2}`.

    Parameters
    ----------
    t : float
        The paired t statistic, possibly infinite.
    n : int
        Pairs, >= 2.
    g : float
        Variance of the effects that the test is made for, > 0.

    Raises
    ------
    SampleError
        If t is nan, there are fewer than two pairs, or g is not positive.

    Examples
    --------
    >>> round(math.exp(log_t_e_value(4.0621, 10)), 4)
    25.4743
    """
    [n] = check_sizes(_T_E_VALUE, n, least=2)
    statistic, variance = as_real(t), as_real(g)
    if math.isnan(statistic) or not 0 < variance < math.inf:
        raise SampleError(f"{_T_E_VALUE}: t is {t!r} and g {g!r}; allowed are a number, and one above 0")
    t, g = statistic, variance
    log_r = -math.log1p(n * g)
    if abs(t) > 1e100:  # the limit, where t squared overflows
        return -(n - 1) / 2 * log_r
    square = t * t / (n - 1)
    return log_r / 2 + n / 2 * (math.log1p(square) - math.log1p(math.exp(log_r) * square))


def t_e_radius(n: int, alpha: float, g: float = 1.0) -> float:
    r"""Return the radius of the anytime-valid interval of a mean, in standard errors.

    It is the t at which `log_t_e_value` is :math:`-\ln \alpha`: with :math:`q = (r \alpha^2)^{1/n}` it is
    :math:`\sqrt{\nu (1 - q) / (q - r)}`, and infinite if :math:`q \le r`.

    Parameters
    ----------
    n, g
        As in `log_t_e_value`.
    alpha : float
        One minus the level.

    Examples
    --------
    >>> round(t_e_radius(10, 0.05), 4), t_e_radius(2, 0.05)
    (3.8698, inf)
    """
    log_r = -math.log1p(n * g)
    log_q = (log_r + 2 * math.log(alpha)) / n
    if log_q <= log_r:
        return math.inf
    return math.sqrt((n - 1) * -math.expm1(log_q) / (math.exp(log_q) - math.exp(log_r)))


def log_binary_e_value(gains: int, losses: int, share: float = 0.5) -> float:
    r"""Return the logarithm of :math:`B(1/2 + s, 1/2 + f) / B(1/2, 1/2) / (p^s (1 - p)^f)`.

    Parameters
    ----------
    gains, losses : int
        Discordant pairs of either kind, s and f.
    share : float
        Probability p of a gain under the null hypothesis, in [0, 1].

    Raises
    ------
    SampleError
        If a count is negative or no whole number, or the share is out of its range.

    Examples
    --------
    >>> round(math.exp(log_binary_e_value(8, 0)), 3), log_binary_e_value(0, 0)
    (50.273, 0.0)
    """
    gains, losses = check_tallies(_BINARY_E_VALUE, gains, losses)
    p = as_real(share)
    if not 0 <= p <= 1:
        raise SampleError(f"{_BINARY_E_VALUE}: share is {share!r}; allowed is a number from 0 to 1")
    likelihood = float(special.xlogy(gains, p) + special.xlog1py(losses, -p))
    return float(special.betaln(0.5 + gains, 0.5 + losses) - special.betaln(0.5, 0.5)) - likelihood


def _share_limit(gains: int, losses: int, alpha: float) -> float:
    """Return the smallest share whose e-value is below 1/alpha."""
    if gains == 0:
        return 0.0
    low, high = 0.0, gains / (gains + losses)
    while low < (middle := (low + high) / 2) < high and high - low > 1e-15:
        rejected = log_binary_e_value(gains, losses, middle) >= -math.log(alpha)
        low, high = (middle, high) if rejected else (low, middle)
    return low


def _looks(test: str, looks: Sequence[int] | None, n: int, least: int) -> Sequence[int]:
    if looks is None:
        return range(least, n + 1)
    given = as_list(test, "looks", looks)
    checked = [whole for look in given if (whole := as_whole(look)) is not None]
    ascending = len(checked) == len(given) and all(a < b for a, b in pairwise(checked))
    if not (checked and ascending and least <= checked[0] and checked[-1] <= n):
        raise SampleError(
            f"{test}: looks are {given}; allowed are ascending whole numbers from {least} to {n}"
        )
    return checked


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


def _minus(estimate: float, width: float) -> float:
    return -math.inf if width == math.inf else estimate - width


def _plus(estimate: float, width: float) -> float:
    return math.inf if width == math.inf else estimate + width
