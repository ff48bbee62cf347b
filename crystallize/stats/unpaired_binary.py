"""Tests of two independent 0/1 samples: Boschloo, Fisher, Barnard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.risk_difference import (
    miettinen_nurminen_score,
    risk_difference_result,
    risk_difference_test,
)
from crystallize.stats.samples import as_binary, as_real, check_sizes, checked_options
from crystallize.stats.tails import normal_p_value
from crystallize.stats.unconditional import (
    LARGEST_TABLE,
    barnard_p_value,
    boschloo_p_value,
    fisher_p_value,
)

_BOSCHLOO: Final = "Boschloo"
_FISHER: Final = "Fisher exact"
_BARNARD: Final = "Barnard"

_PValue = Callable[[int, int, int, int, Alternative], float]


def boschloo(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the equality of the rates of two independent 0/1 samples by Boschloo's exact test [1]_.

    The null hypothesis is :math:`p_t - p_b = \text{shift}`. At 0, the p-value is the largest probability,
    over all :math:`p_t = p_b`, that Fisher's one-sided p-value is at most the observed one; two-sided it is
    twice the smaller of both directions, at most 1. At any other `shift` it is that of
    `risk_difference_test`.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Zeros and ones (or booleans), n >= 1.
    treatment : array_like, shape (m,)
        Zeros and ones, m >= 1, independent of the baseline's.
    alternative : {"two-sided", "greater", "less"}
        The claim about the risk difference against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Risk difference under the null hypothesis, in (-1, 1).

    Returns
    -------
    TestResult
        `estimate` is the risk difference, `interval` Miettinen and Nurminen's, `statistic` their score.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, an arm is empty, or an option is out of its range.

    Notes
    -----
    The size never exceeds alpha at shift 0, and the power is that of Fisher's test or better. Wrong for pairs
    (`mcnemar`) and for several values of one replicate. The interval is not the inverse of this test, so at
    the very edge the two can differ. Two arms that do not vary are flagged `degenerate`; if they are equal,
    p = 1. If n * m exceeds 1,000,000, where enumeration takes long, the p-value is that of the score.

    References
    ----------
    .. [1] Boschloo, R. D. (1970). Raised conditional level of significance for the 2 x 2-table when testing
       the equality of two probabilities. Statistica Neerlandica 24, 1-9.

    Examples
    --------
    31 successes of 63 against 74 of 117:

    >>> result = boschloo(31 * [1] + 32 * [0], 74 * [1] + 43 * [0], alternative="greater")
    >>> round(result.p_value, 6), round(result.estimate, 4)
    (0.035564, 0.1404)
    """
    if as_real(shift) != 0:
        return risk_difference_test(baseline, treatment, alternative=alternative, alpha=alpha, shift=shift)
    return _exact(_BOSCHLOO, boschloo_p_value, baseline, treatment, alternative, alpha, shift)


def fisher_exact(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the equality of the rates of two independent 0/1 samples by Fisher's exact test [1]_.

    The null hypothesis is :math:`p_t = p_b`. Given the successes in both arms together, those of the
    treatment are hypergeometric; the two-sided p-value adds up the tables that are at most as probable as the
    observed one.

    Parameters
    ----------
    baseline, treatment, alternative, alpha
        As in `boschloo`.
    shift : float
        Must be 0, for which alone the test is exact.

    Returns
    -------
    TestResult
        As in `boschloo`.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, an arm is empty, or an option is out of its range.

    Notes
    -----
    Conservative: its size for alpha = .05 at n = 30 is .027, where that of `boschloo` is .047. Wrong for
    pairs (`mcnemar`).

    References
    ----------
    .. [1] Fisher, R. A. (1935). The design of experiments. Oliver and Boyd.

    Examples
    --------
    The lady who tasted tea [1]_:

    >>> round(fisher_exact([1, 0, 0, 0], [1, 1, 1, 0], alternative="greater").p_value, 6)
    0.242857
    """
    return _exact(_FISHER, fisher_p_value, baseline, treatment, alternative, alpha, shift)


def barnard(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the equality of the rates of two independent 0/1 samples by Barnard's exact test [1]_.

    The null hypothesis is :math:`p_t = p_b`; the p-value is the largest probability, over all common rates,
    of a pooled Wald score at least as extreme as the observed one.

    Parameters
    ----------
    baseline, treatment, alternative, alpha
        As in `boschloo`.
    shift : float
        Must be 0, for which alone the test is exact.

    Returns
    -------
    TestResult
        As in `boschloo`.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, an arm is empty, or an option is out of its range.

    Notes
    -----
    Wrong for pairs (`mcnemar`). With very unequal arms it can be dominated by tables of extreme rates, where
    `boschloo` keeps the power of Fisher's test. If n * m exceeds 1,000,000 the p-value is that of the score.

    References
    ----------
    .. [1] Barnard, G. A. (1947). Significance tests for 2 x 2 tables. Biometrika 34, 123-138.

    Examples
    --------
    Infections of 15 vaccinated and 15 unvaccinated people, 7 and 12:

    >>> result = barnard(12 * [1] + 3 * [0], 7 * [1] + 8 * [0], alternative="less")
    >>> round(result.p_value, 6)
    0.034109
    """
    return _exact(_BARNARD, barnard_p_value, baseline, treatment, alternative, alpha, shift)


def smallest_binary_p(
    n: int, m: int, test: _PValue = boschloo_p_value, alternative: Alternative = "two-sided"
) -> float:
    """Return the smallest p-value that an exact test of two 0/1 arms can attain: that of full separation.

    Parameters
    ----------
    n, m : int
        Sizes of the arms.
    test : callable
        `boschloo_p_value`, `fisher_p_value` or `barnard_p_value`.
    alternative : {"two-sided", "greater", "less"}
        As in `boschloo`.

    Examples
    --------
    >>> [round(smallest_binary_p(n, n), 5) for n in (2, 3, 4)]
    [0.125, 0.03125, 0.00781]
    """
    n, m = check_sizes("exact test of two rates", n, m, least=0)
    if n * m > LARGEST_TABLE:
        return 0.0
    return test(n, n, 0, m, alternative) if alternative == "less" else test(0, n, m, m, alternative)


def _exact(
    test: str,
    exact: _PValue,
    baseline: ArrayLike,
    treatment: ArrayLike,
    alternative: Alternative,
    alpha: float,
    shift: float,
) -> TestResult:
    alpha, shift = checked_options(test, alternative, alpha, shift, below=1)
    if shift != 0:
        raise SampleError(
            f"{test}: shift is {shift!r}; allowed is 0, for which alone the test is exact; "
            "use boschloo or risk_difference_test, which test other differences by a score"
        )
    first = as_binary(test, "baseline", baseline)
    second = as_binary(test, "treatment", treatment)
    counts = int(first.sum()), first.size, int(second.sum()), second.size
    if exact is fisher_p_value or first.size * second.size <= LARGEST_TABLE:
        p_value = exact(*counts, alternative)
    else:
        p_value = normal_p_value(miettinen_nurminen_score(*counts, 0.0), alternative)
    return risk_difference_result(test, counts, p_value, alternative, alpha, 0.0)
