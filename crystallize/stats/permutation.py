"""Permutation tests: sign flips of pairs, and relabelling of independent samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.precision import as_arms, as_paired_arms
from crystallize.stats.rearrangements import EXACT_LIMIT, RESAMPLES, Mask, flips, labellings, labels
from crystallize.stats.relabelled_welch import TIE, RelabelledWelch
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import (
    Sample,
    as_pairs,
    as_sample,
    check_alternative,
    check_one_or_two,
    check_resamples,
    checked_options,
)
from crystallize.stats.tails import tails_p_value

Statistic = Callable[[Sample, Sample], float]
"""A number of (baseline, treatment) that grows with the treatment's advantage."""

_PAIRED: Final = "paired permutation"
_UNPAIRED: Final = "permutation"
_FAR: Final = 1e30


def paired_permutation(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    statistic: Statistic | None = None,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
    resamples: int = RESAMPLES,
) -> TestResult:
    r"""Test paired samples by exchanging the labels within pairs [1]_.

    The null hypothesis is that each difference :math:`d_i - \text{shift}`, treatment minus baseline, is
    distributed symmetrically about 0. The p-value is the part of all :math:`2^n` exchanges whose statistic is
    at least the observed one; two-sided it is twice the smaller of both directions, at most 1.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, n >= 1; the i-th values share a seed.
    statistic : callable, optional
        A function of (baseline, treatment), arrays of shape (n,), that returns a finite number; the mean
        difference by default.
    alternative : {"two-sided", "greater", "less"}
        The claim about the statistic of baseline and treatment - `shift`; "greater" if it is large.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        The difference under the null hypothesis, in the units of the data.
    resamples : int
        Random exchanges if 2^n exceeds 65,536, drawn by a generator with a fixed seed, so that the same
        samples give the same p-value; the observed arrangement counts as one more [3]_.

    Returns
    -------
    TestResult
        `estimate` is the mean difference, `statistic` the same minus `shift`. `interval` holds the shifts
        that the two-sided test does not reject at alpha [2]_; it is unbounded if n is too small. With a
        statistic of your own, `estimate` is its value, `null` its median over the exchanges, and the
        interval is unbounded, since none follows from the permutations.

    Raises
    ------
    SampleError
        If a value or a statistic is not finite, the lengths differ, or an option is out of its range.

    Notes
    -----
    Exact for symmetric differences, and free of a reference distribution; with asymmetric ones it is a test
    of symmetry and only roughly one of the mean. Wrong for independent samples (`permutation`) and for
    several values of one replicate. The smallest p-value is 2^(1-n) two-sided: below n = 6 nothing is
    significant at .05. Differences that are all equal need no substitute; if all are 0, p = 1. Either is
    flagged `degenerate`.

    References
    ----------
    .. [1] Fisher, R. A. (1935). The design of experiments, section 21. Oliver and Boyd.
    .. [2] Hartigan, J. A. (1969). Using subsample values as typical values. Journal of the American
       Statistical Association 64, 1303-1317.
    .. [3] Phipson, B. and Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical
       Applications in Genetics and Molecular Biology 9, 39.

    Examples
    --------
    Darwin's 15 pairs of crossed and self-fertilized plants [1]_:

    >>> differences = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    >>> result = paired_permutation([0] * 15, differences, alternative="greater")
    >>> round(result.p_value * 2**15)
    863
    """
    alpha, shift = checked_options(_PAIRED, alternative, alpha, shift)
    resamples = check_resamples(_PAIRED, resamples)
    if statistic is not None:
        first, second = as_pairs(_PAIRED, baseline, treatment, minimum=1)
        order = np.lexsort((second, first))  # so that the order of the replicates changes nothing
        first, second = first[order], second[order]
        moved = second - shift
        exchanged = (
            (np.where(flip, moved, first), np.where(flip, first, moved))
            for block in flips(first.size, resamples)
            for flip in block
        )
        return _custom(_PAIRED, statistic, (first, second), shift, exchanged, alternative, alpha)
    arms = as_paired_arms(_PAIRED, baseline, treatment, minimum=1)
    order = np.lexsort((arms.zeros, arms.differences))
    differences, zeros = arms.differences[order], arms.zeros[order]
    mirrored = tuple(-differences[::-1]) < tuple(differences)
    if mirrored:  # so that exchanging the arms changes no digit
        order = np.lexsort((zeros, -differences))
        differences, zeros = -differences[order], zeros[order]
    null = _bounded(arms.scaled(shift)) * (-1 if mirrored else 1)
    offsets = differences - null
    offsets[np.abs(offsets) <= zeros] = 0.0
    # A flip of the pairs in S lowers the sum by twice the sum over S: the mean over S is the shift at which
    # flipping S changes nothing. The p-value of every shift is known from these means.
    parts = []
    for mask in flips(differences.size, resamples):
        flipped = mask @ differences
        excess = flipped.copy() if null == 0 else mask @ offsets
        _tie(excess, mask, offsets, zeros)
        parts.append((mask.sum(axis=1), flipped, excess))
    sizes, flipped, excess = (np.concatenate(column) for column in zip(*parts, strict=True))
    total = sizes.size + 1
    upper = float((np.count_nonzero(excess <= 0) + 1) / total)
    lower = float((np.count_nonzero(excess >= 0) + 1) / total)
    means = np.sort(flipped[sizes > 0] / sizes[sizes > 0])
    low, high = _typical_limits(means, total - means.size, total, alpha)
    mean = math.fsum(differences.tolist()) / differences.size
    low, high = min(low, mean), max(high, mean)
    if mirrored:
        mean, low, high, upper, lower = -mean, -high, -low, lower, upper
    return TestResult(
        test=_PAIRED,
        p_value=tails_p_value(upper, lower, alternative),
        statistic=arms.unscaled(mean - arms.scaled(shift)),
        df=None,
        estimate=arms.unscaled(mean),
        interval=(arms.unscaled(low), arms.unscaled(high)),
        confidence=1 - alpha,
        n=differences.size,
        alternative=alternative,
        null=shift,
        degenerate=arms.apart <= 1,
    )


def permutation(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    statistic: Statistic | None = None,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
    resamples: int = RESAMPLES,
) -> TestResult:
    r"""Test two independent samples by relabelling, with Welch's t as the statistic [1]_.

    The null hypothesis is :math:`\mu_t - \mu_b = \text{shift}`. The p-value is the part of all
    :math:`\binom{n + m}{n}` labellings of the values (the treatment's less `shift`) whose t is at least the
    observed one; two-sided it is twice the smaller of both directions, at most 1. It is exact if the
    distributions are equal under the null hypothesis and, because t is studentized, right in large samples if
    only the means are.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Finite numbers, n >= 2 (n >= 1 with a statistic of your own).
    treatment : array_like, shape (m,)
        As many or not, independent of the baseline's.
    statistic : callable, optional
        A function of (baseline, treatment), arrays of shapes (n,) and (m,), that returns a finite number.
    alternative : {"two-sided", "greater", "less"}
        The claim about the statistic of baseline and treatment - `shift`; "greater" if it is large.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference of the means under the null hypothesis, in the units of the data.
    resamples : int
        Random labellings if there are more than 65,536, drawn by a generator with a fixed seed; the observed
        one counts as one more.

    Returns
    -------
    TestResult
        `estimate` is the difference of the means, `statistic` Welch's t (infinite if neither arm varies).
        `interval` holds the shifts that the two-sided test does not reject at alpha; it is unbounded where
        the arms are too small for that. With a statistic of your own, `estimate` is its value, `null` its
        median over the labellings, and the interval is unbounded.

    Raises
    ------
    SampleError
        If a value or a statistic is not finite, an arm is too small, or an option is out of its range.

    Notes
    -----
    Wasteful for pairs (`paired_permutation`), and wrong for several values of one replicate. Where variances
    and sizes are very unequal `welch_t` keeps its level better: with N(0,1), n = 30, and N(0,9), n = 10, the
    size for alpha = .05 is .10 here, .21 if the raw difference of the means were permuted, and .05 by Welch's
    t. The smallest p-value is 2/C(n+m, n) two-sided: below 4 per arm nothing is significant at .05. Two
    constant arms need no substitute: if they differ, the p-value is that smallest one, else 1. Either is
    flagged `degenerate`.

    References
    ----------
    .. [1] Janssen, A. (1997). Studentized permutation tests for non-i.i.d. hypotheses and the generalized
       Behrens-Fisher problem. Statistics and Probability Letters 36, 9-21.

    Examples
    --------
    >>> result = permutation([19, 22, 16, 29, 24], [20, 11, 17, 12])
    >>> round(result.p_value * 126), result.estimate
    (10, -7.0)
    """
    alpha, shift = checked_options(_UNPAIRED, alternative, alpha, shift)
    resamples = check_resamples(_UNPAIRED, resamples)
    if statistic is not None:
        first = np.sort(as_sample(_UNPAIRED, "baseline", baseline, minimum=1))
        second = np.sort(as_sample(_UNPAIRED, "treatment", treatment, minimum=1))
        pooled = np.concatenate((first, second - shift))
        relabelled = (
            (pooled[~mask], pooled[mask])
            for block in labels(first.size, second.size, resamples)
            for mask in block
        )
        return _custom(_UNPAIRED, statistic, (first, second), shift, relabelled, alternative, alpha)
    arms = as_arms(_UNPAIRED, baseline, treatment, minimum=2)
    first, second, null = np.sort(arms.baseline), np.sort(arms.treatment), arms.scaled(shift)
    mirrored = (first.size, tuple(first)) > (second.size, tuple(second))
    if mirrored:  # so that exchanging the arms changes no digit
        first, second, null = second, first, -null
    with np.errstate(under="ignore"):  # squares that vanish beside those of the largest values
        welch = RelabelledWelch(first, second, labels(first.size, second.size, resamples), arms.precision)
        upper, lower = welch.p_values(_bounded(null))
        low, high = welch.interval(alpha)
    t = welch.t(null)
    mean = welch.difference
    if mirrored:
        mean, low, high, upper, lower, t = -mean, -high, -low, lower, upper, -t
    return TestResult(
        test=_UNPAIRED,
        p_value=tails_p_value(upper, lower, alternative),
        statistic=t,
        df=None,
        estimate=arms.unscaled(mean),
        interval=(arms.unscaled(low), arms.unscaled(high)),
        confidence=1 - alpha,
        n=(arms.baseline.size, arms.treatment.size),
        alternative=alternative,
        null=shift,
        degenerate=welch.constant,
    )


def smallest_permutation_p(
    *sizes: int, alternative: Alternative = "two-sided", resamples: int = RESAMPLES
) -> float:
    """Return the smallest p-value that a permutation test can attain.

    Parameters
    ----------
    *sizes : int
        The number of pairs, or the sizes of both arms.
    alternative : {"two-sided", "greater", "less"}
        As in `permutation`.
    resamples : int
        As in `permutation`.

    Raises
    ------
    SampleError
        If a size is negative or no whole number, there are not one or two, or an option is out of its range.

    Examples
    --------
    >>> smallest_permutation_p(5), smallest_permutation_p(6), round(smallest_permutation_p(4, 4), 4)
    (0.0625, 0.03125, 0.0286)
    """
    check_alternative("permutation test", alternative)
    checked = check_one_or_two("permutation test", sizes)
    resamples = check_resamples("permutation test", resamples)
    count = 2 ** min(checked[0], 64) if len(checked) == 1 else labellings(*checked)
    one_sided = 1 / count if count <= EXACT_LIMIT else 1 / (resamples + 1)
    return min(1.0, 2 * one_sided) if alternative == "two-sided" else one_sided


def _tie(excess: Sample, mask: Mask, offsets: Sample, zeros: Sample) -> None:
    """Set sums over flipped pairs to 0 that are nothing but what rounding leaves of these pairs.

    Equal values are rounded alike, each by half a unit in the last place, which adds up; what else rounding
    does goes to either side.
    """
    zeros = np.where(offsets != 0, zeros, 0.0)
    with np.errstate(under="ignore"):  # what vanishes beside the rounding of the largest
        alike = zeros / 4 + TIE * np.abs(offsets)
        near = (excess != 0) & (np.abs(excess) <= math.fsum((alike + zeros).tolist()))
        if near.any():
            flipped = mask[near]
            none = flipped @ alike + np.sqrt(flipped @ np.square(zeros))
            excess[near] = np.where(np.abs(excess[near]) <= none, 0.0, excess[near])


def _custom(
    test: str,
    statistic: Statistic,
    arms: tuple[Sample, Sample],
    shift: float,
    rearranged: Iterator[tuple[Sample, Sample]],
    alternative: Alternative,
    alpha: float,
) -> TestResult:
    first, second = arms
    estimate = _value(test, statistic, first, second)
    observed = estimate if shift == 0 else _value(test, statistic, first, second - shift)
    values = np.array([observed, *(_value(test, statistic, *pair) for pair in rearranged)])
    slack = TIE * abs(observed)
    upper = float(np.count_nonzero(values >= observed - slack) / values.size)
    lower = float(np.count_nonzero(values <= observed + slack) / values.size)
    return TestResult(
        test=test,
        p_value=tails_p_value(upper, lower, alternative),
        statistic=observed,
        df=None,
        estimate=estimate,
        interval=(-math.inf, math.inf),
        confidence=1 - alpha,
        n=first.size if test == _PAIRED else (first.size, second.size),
        alternative=alternative,
        estimand="statistic",
        null=estimate - observed + float(np.median(values)),
        degenerate=bool(np.ptp(values) <= slack),
    )


def _value(test: str, statistic: Statistic, first: Sample, second: Sample) -> float:
    value = float(statistic(first, second))
    if not math.isfinite(value):
        raise SampleError(
            f"{test}: the statistic is {value} for baseline {first.tolist()[:5]}... and treatment "
            f"{second.tolist()[:5]}...; allowed are finite numbers under every permutation"
        )
    return value


def _typical_limits(means: Sample, unmoved: int, total: int, alpha: float) -> tuple[float, float]:
    """Return the ends of the shifts whose p-values exceed alpha/2 in both directions.

    The p-value "greater" of a shift is (means up to it + unmoved)/total: it exceeds alpha/2 from the k-th
    mean on.
    """
    k = math.floor(alpha / 2 * total * (1 + 1e-12)) - unmoved + 1
    if k <= 0 or not means.size:
        return -math.inf, math.inf
    return float(means[k - 1]), float(means[-k])


def _bounded(shift: float) -> float:
    """Return a shift whose square is finite; beyond, it changes no p-value of data scaled to at most 1."""
    return min(max(shift, -_FAR), _FAR)
