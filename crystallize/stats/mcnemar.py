"""McNemar's test of paired 0/1 values: mid-p and exact."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import (
    Sample,
    as_binary_pairs,
    as_real,
    check_alternative,
    check_tallies,
    checked_options,
)
from crystallize.stats.tails import fair_coin_cdf
from crystallize.stats.tango import tango_interval, tango_p_value, tango_score

_MID_P: Final = "McNemar mid-p"
_EXACT: Final = "McNemar exact"
PAIRED_SCORE: Final = "Tango score"


def mcnemar(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    exact: bool = False,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the risk difference of paired 0/1 values by the discordant pairs [1]_.

    The null hypothesis is P(treatment = 1) - P(baseline = 1) = `shift`. At 0, the b gains (from 0 to 1) among
    the k discordant pairs are binomial(k, 1/2). The exact p-value is :math:`2 P(X \le \min(b, k-b))`, at most
    1; the mid-p value counts the observed outcome half [2]_. At any other `shift` the p-value is that of
    Tango's score test [3]_, and no smaller than a binomial one: that of the losses, were the probability of a
    gain b/n, for a shift below 0, and the other way round above.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Zeros and ones (or booleans), n >= 1; the i-th values share a seed.
    exact : bool
        Keep the size below alpha at the price of power; `shift` must be 0.
    alternative, alpha, shift
        As in `boschloo`.

    Returns
    -------
    TestResult
        `estimate` is the risk difference (b - c)/n for b gains and c losses, `interval` is Tango's,
        `statistic` is Tango's score: at shift 0, (b - c)/sqrt(b + c), whose square is McNemar's chi-squared.
        `n` is the number of pairs.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, the lengths differ, an arm is empty, or an option is out of its range.

    Notes
    -----
    Wrong for independent samples, and for several values of one replicate. The size of the mid-p test can
    exceed alpha where nearly all pairs are discordant: enumerated for .05 it is at most .077 (at n = 16), and
    .057 at n = 100; it stays below .05 as long as at most half of the pairs are discordant. Without
    discordant pairs the p-value at shift 0 is 1. Tango's score alone has too small p-values where nearly all
    discordant pairs are of one kind: without gains a loss of .05 would be excluded at .2 by 20 pairs without
    a loss, of which it leaves .36 unseen. If all differences are equal the result is flagged
    `degenerate`, but neither the p-value nor the interval needs a substitute: both allow for the pairs that
    were not seen.

    References
    ----------
    .. [1] McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or
       percentages. Psychometrika 12, 153-157.
    .. [2] Fagerland, M. W., Lydersen, S. and Laake, P. (2013). The McNemar test for binary matched-pairs
       data: mid-p and asymptotic are better than exact conditional. BMC Medical Research Methodology 13, 91.
    .. [3] Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions for
       the paired-sample design. Statistics in Medicine 17, 891-908.

    Examples
    --------
    One gain, seven losses, and 13 pairs that agree:

    >>> baseline, treatment = [0] + 7 * [1] + 13 * [1], [1] + 7 * [0] + 13 * [1]
    >>> mcnemar(baseline, treatment).p_value, mcnemar(baseline, treatment, exact=True).p_value
    (0.0390625, 0.0703125)
    """
    test = PAIRED_SCORE if as_real(shift) != 0 else _EXACT if exact else _MID_P
    alpha, shift = checked_options(test, alternative, alpha, shift, below=1)
    if exact and shift != 0:
        raise SampleError(
            f"{_EXACT}: shift is {shift!r}; allowed is 0, for which alone the test is exact; "
            "use exact=False, which tests other differences by Tango's score"
        )
    first, second = as_binary_pairs(test, baseline, treatment)
    gains, losses = _discordant(first, second)
    n = first.size
    score = tango_score(gains, losses, n, shift)
    if shift == 0:
        p_value = mcnemar_p_value(gains, losses, exact=exact, alternative=alternative)
    else:
        p_value = tango_p_value(gains, losses, n, shift, alternative)
    return TestResult(
        test=test,
        p_value=p_value,
        statistic=score,
        df=None,
        estimate=(gains - losses) / n,
        interval=tango_interval(gains, losses, n, alpha),
        confidence=1 - alpha,
        n=n,
        alternative=alternative,
        estimand="risk difference",
        null=shift,
        degenerate=gains + losses == 0 or n in (gains, losses),
    )


def mcnemar_p_value(
    gains: int, losses: int, *, exact: bool = False, alternative: Alternative = "two-sided"
) -> float:
    """Return McNemar's p-value from the numbers of discordant pairs.

    Parameters
    ----------
    gains, losses : int
        Pairs that go from 0 to 1, and from 1 to 0. With none of either the p-value is 1.
    exact : bool
        Count the observed outcome whole, not half.
    alternative : {"two-sided", "greater", "less"}
        "greater" claims that gains are more probable than losses.

    Raises
    ------
    SampleError
        If a count is negative, or the alternative is none of these.

    Examples
    --------
    >>> mcnemar_p_value(1, 7), mcnemar_p_value(1, 7, exact=True)
    (0.0390625, 0.0703125)
    """
    test = _EXACT if exact else _MID_P
    check_alternative(test, alternative)
    gains, losses = check_tallies(test, gains, losses)
    if gains + losses == 0:
        return 1.0
    # Under the null hypothesis at least as many gains are as probable as at most as few losses.
    few = {"two-sided": min(gains, losses), "greater": losses, "less": gains}[alternative]
    tail = fair_coin_cdf(few, gains + losses)
    if not exact:
        tail = (tail + fair_coin_cdf(few - 1, gains + losses)) / 2
    return min(1.0, 2 * tail) if alternative == "two-sided" else tail


def smallest_mcnemar_p(n: int, *, exact: bool = False, alternative: Alternative = "two-sided") -> float:
    """Return the smallest p-value that McNemar's test of n pairs can attain.

    It is attained if all n pairs are discordant in one direction; with fewer discordant pairs, say k, nothing
    smaller than the value at n = k is in reach.

    Parameters
    ----------
    n : int
        Pairs, or discordant pairs if their number is known.
    exact : bool
        As in `mcnemar`.
    alternative : {"two-sided", "greater", "less"}
        As in `mcnemar`.

    Examples
    --------
    >>> smallest_mcnemar_p(4), smallest_mcnemar_p(5), smallest_mcnemar_p(6, exact=True)
    (0.0625, 0.03125, 0.03125)
    """
    gains, losses = (0, n) if alternative == "less" else (n, 0)
    return mcnemar_p_value(gains, losses, exact=exact, alternative=alternative)


def _discordant(baseline: Sample, treatment: Sample) -> tuple[int, int]:
    return int(np.count_nonzero(treatment > baseline)), int(np.count_nonzero(treatment < baseline))
