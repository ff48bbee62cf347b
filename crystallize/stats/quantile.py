"""Quantiles, such as the 95 % quantile of a latency: which arm exceeds a common one more often."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.degenerate import snap, spread
from crystallize.stats.mcnemar import mcnemar_p_value
from crystallize.stats.moments import largest, scaled, scaled_float
from crystallize.stats.precision import as_arms, as_paired_arms, precision_of, typical
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, as_real, as_sample, checked_options
from crystallize.stats.tails import tails_p_value

_NAME: Final = "quantile"
_BEYOND: Final = 5
"""Fewest values of an arm that are to lie beyond the quantile."""

_STEPS: Final = 100


def quantile_test(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    q: float,
    paired: bool = True,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the difference of the q-quantiles of two samples by how often each exceeds their common one.

    Under the null hypothesis the quantile of treatment - `shift` is that of the baseline. The pooled
    sample's q-quantile is exceeded by as many values of either arm then: of pairs, those of which one member
    exceeds it are tested by McNemar's mid-p, of independent arms the numbers by their hypergeometric law.

    Parameters
    ----------
    baseline, treatment : array_like
        Finite numbers; of pairs, the i-th values share a seed.
    q : float
        In (0, 1), with at least five values of each arm beyond it: 100 for .95.
    paired : bool
        Whether they are pairs.
    alternative : {"two-sided", "greater", "less"}
        The claim about the difference of the quantiles against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference of the quantiles under the null hypothesis.

    Returns
    -------
    TestResult
        `estimate` is the difference of the sample quantiles; `interval` holds the shifts that the two-sided
        test does not reject; `statistic` is how many more of the treatment exceed the common quantile.

    Raises
    ------
    SampleError
        If fewer than five values lie beyond the quantile, or an option is out of its range.

    Notes
    -----
    For q = 1/2 and independent arms it is Mood's median test [1]_. The bootstrap of a quantile with fewer
    values beyond it claims far too much (.158 for .05 at n = 30 and q = .95). Values that rounding alone
    tells from the common quantile are equal to it.

    References
    ----------
    .. [1] Brown, G. W. and Mood, A. M. (1951). On median tests for linear hypotheses. Proceedings of the
       Second Berkeley Symposium, 159-166.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.exponential(size=200)
    >>> result = quantile_test(before, 0.5 * before + 0.1 * rng.exponential(size=200), q=0.9)
    >>> round(result.estimate, 3), result.p_value < 0.001
    (-1.051, True)
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift)
    make = as_paired_arms if paired else as_arms
    q = _checked(q)
    arms = make(_NAME, baseline, treatment, minimum=fewest_for_quantile(q))
    first, second, precision = arms.baseline, arms.treatment, arms.precision
    size = max(typical(first), typical(second))

    def same(shift: float, limit: float) -> float:
        # The limit is a value of the baseline, or one of the treatment less the shift.
        own = min(abs(limit), abs(limit + shift))
        return max(precision.zero_at(size, own), precision.zero_of_shift(shift))

    def p_value(shift: float, alternative: Alternative) -> float:
        return _p_value(first, second - shift, q, alternative, paired=paired, same=partial(same, shift))

    before, after = float(np.quantile(first, q)), float(np.quantile(second, q))
    estimate = snap(after - before, 0.0, precision.zero_at(size, before, after))
    reach = float(max(second.max() - first.min(), first.max() - second.min(), 1e-300)) + abs(estimate)
    null = arms.scaled(shift)

    def end(alternative: Alternative, side: int) -> float:
        return _last(lambda s: p_value(s, alternative) > alpha / 2, estimate, side * reach)

    # Of values with ties the estimate may itself be rejected, and what lies on one side of it not.
    ends = end("greater", -1), end("less", 1)
    if p_value(null, "two-sided") > alpha:
        ends = min(ends[0], null), max(ends[1], null)
    moved = second - null
    limit = _common(first, moved, q)
    limit += same(null, limit)
    return TestResult(
        test=f"{_percent(q)} quantile",
        p_value=p_value(null, alternative),
        statistic=float(np.count_nonzero(moved > limit) - np.count_nonzero(first > limit)),
        df=None,
        estimate=arms.unscaled(estimate),
        interval=(arms.unscaled(ends[0]), arms.unscaled(ends[1])),
        confidence=1 - alpha,
        n=first.size if paired else (first.size, second.size),
        alternative=alternative,
        null=shift,
        estimand=f"difference of the {_percent(q)} quantiles",
        degenerate=max(spread(first), spread(second)) <= precision.zero,
    )


def one_sample_quantile_test(
    values: ArrayLike,
    *,
    q: float,
    number: float,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    """Test the q-quantile of one sample against a number by how many values exceed it, exactly.

    Parameters
    ----------
    values : array_like, shape (n,)
        Finite numbers, at least five of which are to be expected beyond the quantile.
    q : float
        As in `quantile_test`.
    number : float
        What the quantile is compared with.
    alternative, alpha, shift
        As in `quantile_test`.

    Returns
    -------
    TestResult
        `estimate` is the quantile minus `number`; the ends of the interval are order statistics less it.

    Raises
    ------
    SampleError
        As `quantile_test` does.

    Examples
    --------
    That half of the values lie above 1 is the sign test:

    >>> values = [1.2, 0.8, 1.9, 2.2, 1.4, 3.1, 1.1, 1.7, 2.4, 1.3]
    >>> round(one_sample_quantile_test(values, q=0.5, number=1.0, alternative="greater").p_value, 5)
    0.01074
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift)
    against = as_real(number)
    if not math.isfinite(against):
        raise SampleError(f"{_NAME}: number is {number!r}; allowed are finite numbers")
    q = _checked(q)
    given = as_sample(_NAME, "treatment", values, minimum=fewest_for_quantile(q))
    exponent = math.frexp(max(largest(given), abs(against)))[1]
    sample, level = np.sort(scaled(given, -exponent)), scaled_float(against, -exponent)
    n, limit = sample.size, level + scaled_float(shift, -exponent)
    precision = precision_of((values, given))
    same = precision.zero_at(typical(sample), level, limit)
    above, below = (int(np.count_nonzero(side * (sample - limit) > same)) for side in (1, -1))
    # At least so many above, if each is with 1 - q; at most so many below, if each is with q.
    larger = float(special.bdtrc(above - 1, n, 1 - q)) if above else 1.0
    smaller = float(special.bdtrc(below - 1, n, q)) if below else 1.0
    counts = special.bdtr(np.arange(n + 1.0), n, q)
    low = int(np.count_nonzero(counts <= alpha / 2))
    high = int(np.count_nonzero(counts < 1 - alpha / 2)) + 1
    interval = (
        scaled_float(float(sample[low - 1]) - level, exponent) if low else -math.inf,
        scaled_float(float(sample[high - 1]) - level, exponent) if high <= n else math.inf,
    )
    if tails_p_value(larger, smaller, "two-sided") > alpha:  # an end may be it but for rounding
        interval = min(interval[0], shift), max(interval[1], shift)
    return TestResult(
        test=f"{_percent(q)} quantile",
        p_value=tails_p_value(larger, smaller, alternative),
        statistic=float(above),
        df=None,
        estimate=scaled_float(float(np.quantile(sample, q)) - level, exponent),
        interval=interval,
        confidence=1 - alpha,
        n=n,
        alternative=alternative,
        null=shift,
        estimand=f"difference of the {_percent(q)} quantiles",
        degenerate=spread(sample) <= precision.zero,
    )


def fewest_for_quantile(q: float) -> int:
    """Return how many values it takes so that five are to be expected beyond a quantile.

    Parameters
    ----------
    q : float
        The quantile, in (0, 1).

    Raises
    ------
    SampleError
        If it is not in (0, 1).

    Examples
    --------
    >>> fewest_for_quantile(0.95), fewest_for_quantile(0.5)
    (100, 10)
    """
    level = _checked(q)
    return math.ceil(_BEYOND / min(level, 1 - level) - 1e-9)


def _checked(q: float) -> float:
    level = as_real(q)
    if not 0 < level < 1:
        raise SampleError(f"{_NAME}: q is {q!r}; allowed is a number between 0 and 1, such as 0.95")
    return level


def _percent(q: float) -> str:
    return f"{100 * q:g} %"


def _common(first: Sample, second: Sample, q: float) -> float:
    pooled = np.concatenate((first, second))
    k = math.ceil(q * pooled.size - 1e-9) - 1
    return float(np.partition(pooled, k)[k])


def _p_value(
    first: Sample,
    second: Sample,
    q: float,
    alternative: Alternative,
    *,
    paired: bool,
    same: Callable[[float], float],
) -> float:
    """Return the p-value: where ties lie on both sides of the common quantile, the larger of both ways."""
    limit = _common(first, second, q)
    within = same(limit)
    ways = [(first > limit + within, second > limit + within)]
    beyond = first.size + second.size - math.ceil(q * (first.size + second.size) - 1e-9)
    if sum(np.count_nonzero(way) for way in ways[0]) < beyond:
        ways.append((first >= limit - within, second >= limit - within))
    return max(_p_value_of(*way, alternative, paired=paired) for way in ways)


def _p_value_of(
    before: NDArray[np.bool_], after: NDArray[np.bool_], alternative: Alternative, *, paired: bool
) -> float:
    """Return the p-value of one arm having more values that exceed the common quantile."""
    if paired:
        gains, losses = int(np.count_nonzero(after & ~before)), int(np.count_nonzero(before & ~after))
        return mcnemar_p_value(gains, losses, alternative=alternative)
    upper, lower = _hypergeometric(int(before.sum()), int(after.sum()), before.size, after.size)
    return tails_p_value(upper, lower, alternative)


def _hypergeometric(before: int, after: int, n: int, m: int) -> tuple[float, float]:
    """Return the probability of at least, and of at most, so many of the second arm among those that exceed.

    Whole, not mid-p: how many exceed is settled by the sizes of the arms, so that nothing evens out what
    half an outcome has too little; of 11 and 11, a median would be found to differ in .086 for .05.
    """
    total = before + after
    counts = np.arange(max(0, total - n), min(m, total) + 1)
    logs = -sum(
        special.gammaln(part + 1) for part in (counts, m - counts, total - counts, n - total + counts)
    )
    with np.errstate(under="ignore"):
        mass = np.exp(logs - logs.max())
    mass /= mass.sum()
    return float(mass[counts >= after].sum()), float(mass[counts <= after].sum())


def _last(holds: Callable[[float], bool], start: float, reach: float) -> float:
    """Return the last point between a start and what lies beyond all, at which something still holds."""
    inside, outside = start, start + 2 * reach
    if not holds(start):
        return start
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside
