"""Rank tests: Wilcoxon's signed rank, Mann-Whitney, Brunner-Munzel. None of them speaks of the mean.

By hand and not by `scipy.stats`, which costs a second to import and is exact only without ties.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.stats.degenerate import (
    constant_p_value,
    constant_statistic,
    snap,
    spread,
    unpaired_floor,
)
from crystallize.stats.moments import moments
from crystallize.stats.order_statistics import Differences, WalshMeans
from crystallize.stats.precision import Arms, as_arms, as_paired_arms
from crystallize.stats.ranks import (
    choice_sum_distribution,
    choice_sum_is_feasible,
    choice_sum_rejections,
    doubled_midranks,
    levels,
    signed_sum_distribution,
    signed_sum_is_feasible,
    signed_sum_rejections,
    tie_sizes,
)
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, check_alternative, check_one_or_two, checked_options
from crystallize.stats.superiority import superiority, superiority_interval
from crystallize.stats.tails import (
    normal_p_value,
    normal_quantile,
    t_p_value,
    t_quantile,
    tails_p_value,
)

_WILCOXON: Final = "Wilcoxon signed rank"
_MANN_WHITNEY: Final = "Mann-Whitney"
_BRUNNER_MUNZEL: Final = "Brunner-Munzel"


def wilcoxon(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the symmetry of paired differences about `shift` by Wilcoxon's signed ranks [1]_.

    The null hypothesis is that :math:`d_i - \text{shift}`, treatment minus baseline, is distributed
    symmetrically about 0. Differences equal to `shift` are dropped; the sizes of the others are ranked, and
    the sum of the ranks of the positive ones is compared with its distribution over all signs.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, n >= 1; the i-th values share a seed.
    alternative : {"two-sided", "greater", "less"}
        The claim about the pseudo-median of the differences against `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Pseudo-median of the differences under the null hypothesis, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is the pseudo-median, the median of all means of two differences (of one with itself, too),
        and not the mean difference. `interval` are the order statistics of these means that belong to the
        distribution without ties [2]_; unbounded if n is too small for alpha. `statistic` is the smaller of
        the rank sums of positive and of negative differences.

    Raises
    ------
    SampleError
        If a value is not finite, the lengths differ, an arm is empty, or an option is out of its range.

    Notes
    -----
    Wrong as a test of the mean if differences are skewed, for independent samples (`mann_whitney`), and for
    several values of one replicate. p is exact, with ties too, up to about 270 pairs, beyond normal with the
    correction for ties. The smallest one is 2^(1-n) two-sided: below n = 6 nothing is significant at .05. If
    all differences equal `shift`, p = 1; if all are equal, they are n ties, which needs no substitute, and
    the result is flagged `degenerate`.

    References
    ----------
    .. [1] Wilcoxon, F. (1945). Individual comparisons by ranking methods. Biometrics Bulletin 1, 80-83.
    .. [2] Hollander, M., Wolfe, D. A. and Chicken, E. (2014). Nonparametric statistical methods, 3rd edition,
       sections 3.1 to 3.3. Wiley.

    Examples
    --------
    Darwin's 15 pairs of plants:

    >>> differences = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    >>> result = wilcoxon([0] * 15, differences)
    >>> result.statistic, round(result.p_value, 7)
    (24.0, 0.0412598)
    """
    alpha, shift = checked_options(_WILCOXON, alternative, alpha, shift)
    arms = as_paired_arms(_WILCOXON, baseline, treatment, minimum=1)
    null = _bounded(arms.scaled(shift))
    differences, tolerances = arms.differences, np.maximum(arms.zeros, arms.precision.zero_of_shift(null))
    offsets = differences - null
    kept = np.abs(offsets) > tolerances
    upper, lower, positive, negative = _signed_rank_tails(offsets[kept], tolerances[kept])
    n = differences.size
    rejections = (
        signed_sum_rejections(n, alpha)
        if signed_sum_is_feasible(n)
        else _normal_rejections(n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24, alpha)
    )
    means = WalshMeans(np.sort(differences))
    estimate, low, high = (
        snap(value, 0.0, arms.zero) for value in (means.median(), *means.limits(rejections))
    )
    return TestResult(
        test=_WILCOXON,
        p_value=tails_p_value(upper, lower, alternative),
        statistic=min(positive, negative),
        df=None,
        estimate=arms.unscaled(estimate),
        interval=(arms.unscaled(low), arms.unscaled(high)),
        confidence=1 - alpha,
        n=n,
        alternative=alternative,
        estimand="pseudo-median of the differences",
        null=shift,
        sign=positive - negative,
        degenerate=arms.apart <= 1,
    )


def mann_whitney(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test two independent samples by Mann and Whitney's U [1]_ (Wilcoxon's rank sum).

    The null hypothesis is that treatment - `shift` and baseline have the same distribution. U is the number
    of pairs (i, j) with :math:`t_j - \text{shift} > b_i`, equal ones counted half.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Finite numbers, n >= 1.
    treatment : array_like, shape (m,)
        Finite numbers, m >= 1, independent of the baseline's.
    alternative : {"two-sided", "greater", "less"}
        The claim about the location of the treatment against the baseline + `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference of location under the null hypothesis, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is Hodges and Lehmann's shift, the median of all differences :math:`t_j - b_i`, and not
        the difference of the means nor of the medians. `interval` are the order statistics of these
        differences that belong to the distribution without ties [2]_; unbounded if the arms are too small for
        alpha. `statistic` is U.

    Raises
    ------
    SampleError
        If a value is not finite, an arm is empty, or an option is out of its range.

    Notes
    -----
    Wrong if the distributions differ otherwise than by a shift, in variance say: then it tests neither means
    nor medians, and its size is off (`brunner_munzel`, `welch_t`). Wrong for pairs (`wilcoxon`) and for
    several values of one replicate. p is exact, with ties too, up to about 42 values per arm, beyond normal
    with the corrections for ties and continuity. The smallest one is 2/C(n+m, n) two-sided: below 4 per arm
    nothing is significant at .05. If all values are equal, p = 1; two constant arms need no substitute.
    Either is flagged `degenerate`.

    References
    ----------
    .. [1] Mann, H. B. and Whitney, D. R. (1947). On a test of whether one of two random variables is
       stochastically larger than the other. Annals of Mathematical Statistics 18, 50-60.
    .. [2] Hollander, M., Wolfe, D. A. and Chicken, E. (2014). Nonparametric statistical methods, 3rd edition,
       sections 4.1 to 4.3. Wiley.

    Examples
    --------
    Ages at diagnosis of diabetes, of women and men:

    >>> result = mann_whitney([20, 11, 17, 12], [19, 22, 16, 29, 24])
    >>> result.statistic, round(result.p_value, 6)
    (17.0, 0.111111)
    """
    alpha, shift = checked_options(_MANN_WHITNEY, alternative, alpha, shift)
    arms = as_arms(_MANN_WHITNEY, baseline, treatment, minimum=1)
    first, second = arms.baseline, arms.treatment
    n, m = first.size, second.size
    upper, lower, u = _rank_sum_tails(*_leveled(arms, shift))
    rejections = (
        choice_sum_rejections(n, m, alpha)
        if choice_sum_is_feasible(n, m)
        else _normal_rejections(n * m / 2, n * m * (n + m + 1) / 12, alpha)
    )
    differences = Differences(np.sort(first), np.sort(second))
    estimate, low, high = (
        snap(value, 0.0, arms.zero) for value in (differences.median(), *differences.limits(rejections))
    )
    return TestResult(
        test=_MANN_WHITNEY,
        p_value=tails_p_value(upper, lower, alternative),
        statistic=u,
        df=None,
        estimate=arms.unscaled(estimate),
        interval=(arms.unscaled(low), arms.unscaled(high)),
        confidence=1 - alpha,
        n=(n, m),
        alternative=alternative,
        estimand="median of the pairwise differences",
        null=shift,
        sign=u - n * m / 2,
        degenerate=max(spread(first), spread(second)) <= arms.precision.constant,
    )


def brunner_munzel(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test whether one of two independent samples tends to larger values, by Brunner and Munzel [1]_.

    With :math:`\theta = P(T - \text{shift} > B) + P(T - \text{shift} = B)/2`, the null hypothesis is
    :math:`\theta = 1/2`; the variances and shapes may differ. The statistic is studentized by placements and
    has Student's t distribution with Satterthwaite's degrees of freedom.

    Parameters
    ----------
    baseline : array_like, shape (n,)
        Finite numbers, n >= 2.
    treatment : array_like, shape (m,)
        Finite numbers, m >= 2, independent of the baseline's.
    alternative : {"two-sided", "greater", "less"}
        The claim about the probability against 1/2.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Subtracted from the treatment before anything else, in the units of the data.

    Returns
    -------
    TestResult
        `estimate` is the probability :math:`\theta`, in [0, 1], after the shift; `null` is 1/2, and
        `interval` is one of :math:`\theta`.

    Raises
    ------
    SampleError
        If a value is not finite, an arm has fewer than 2, or an option is out of its range.

    Notes
    -----
    Approximate: below 10 values per arm its size exceeds alpha somewhat. Wrong for pairs and for several
    values of one replicate. If the arms do not overlap the statistic divides by zero: then the p-value is
    that of complete separation under random labels, 2/C(n+m, n) two-sided, the interval is that of
    `probability_of_superiority` (and contains 1/2 if that p-value exceeds alpha), `df` is n + m - 2, and the
    result is flagged `degenerate`; likewise, with p = 1, if all values are equal.

    References
    ----------
    .. [1] Brunner, E. and Munzel, U. (2000). The nonparametric Behrens-Fisher problem: asymptotic theory and
       a small-sample approximation. Biometrical Journal 42, 17-25.

    Examples
    --------
    Pain scores after surgery under two treatments [1]_:

    >>> first = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]
    >>> second = [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    >>> result = brunner_munzel(first, second)
    >>> round(result.statistic, 6), round(result.p_value, 6), round(result.estimate, 6)
    (3.137467, 0.005786, 0.788961)
    """
    alpha, shift = checked_options(_BRUNNER_MUNZEL, alternative, alpha, shift)
    first, second = _leveled(as_arms(_BRUNNER_MUNZEL, baseline, treatment, minimum=2), shift)
    n, m = first.size, second.size
    # Placements: how much of the other arm lies below each value.
    ranks = doubled_midranks(np.concatenate((first, second)))
    baseline_placements = ranks[:n] - doubled_midranks(first)
    treatment_placements = ranks[n:] - doubled_midranks(second)
    estimate = superiority(first, second)
    variances = (
        moments(baseline_placements.astype(np.float64))[1] / (4 * n * m * m),
        moments(treatment_placements.astype(np.float64))[1] / (4 * m * n * n),
    )
    variance = sum(variances)
    degenerate = variance == 0
    if degenerate:
        df = n + m - 2.0
        statistic = constant_statistic(estimate - 0.5)
        p_value = constant_p_value(estimate - 0.5, unpaired_floor(n, m), alternative)
        low, high = superiority_interval(estimate, n, m, alpha)
        if 2 * unpaired_floor(n, m) > alpha:  # the arms are too small to exclude 1/2
            low, high = min(low, 0.5), max(high, 0.5)
        interval = low, high
    else:
        df = variance**2 / (variances[0] ** 2 / (n - 1) + variances[1] ** 2 / (m - 1))
        error = math.sqrt(variance)
        statistic = (estimate - 0.5) / error
        p_value = t_p_value(statistic, df, alternative)
        radius = t_quantile(alpha, df) * error
        interval = max(0.0, estimate - radius), min(1.0, estimate + radius)
    return TestResult(
        test=_BRUNNER_MUNZEL,
        p_value=p_value,
        statistic=statistic,
        df=df,
        estimate=estimate,
        interval=interval,
        confidence=1 - alpha,
        n=(n, m),
        alternative=alternative,
        estimand="probability of superiority",
        null=0.5,
        degenerate=degenerate,
    )


def smallest_rank_p(*sizes: int, alternative: Alternative = "two-sided") -> float:
    """Return the smallest p-value that Wilcoxon's or Mann and Whitney's test can attain, without ties.

    Parameters
    ----------
    *sizes : int
        The number of pairs, or the sizes of both arms.
    alternative : {"two-sided", "greater", "less"}
        As in `wilcoxon`.

    Raises
    ------
    SampleError
        If a size is negative or no whole number, there are not one or two, or the alternative is unknown.

    Examples
    --------
    >>> smallest_rank_p(6), round(smallest_rank_p(3, 3), 4), round(smallest_rank_p(4, 4), 4)
    (0.03125, 0.1, 0.0286)
    """
    check_alternative("rank test", alternative)
    checked = check_one_or_two("rank test", sizes)
    one_sided = math.exp2(-checked[0]) if len(checked) == 1 else unpaired_floor(*checked)
    return min(1.0, 2 * one_sided) if alternative == "two-sided" else one_sided


def _signed_rank_tails(offsets: Sample, tolerances: Sample) -> tuple[float, float, float, float]:
    """Return both one-sided p-values and the rank sums of the positive and the negative values."""
    sizes = levels(np.abs(offsets), tolerances)
    ranks = doubled_midranks(sizes)
    positive, total, n = int(ranks[offsets > 0].sum()), int(ranks.sum()), offsets.size
    if n == 0:
        return 1.0, 1.0, 0.0, 0.0
    if signed_sum_is_feasible(n):
        mass = signed_sum_distribution(ranks)
        # Exchanging the arms mirrors a symmetric distribution: upper and lower are sums in the same order.
        upper, lower = float(mass[: total - positive + 1].sum()), float(mass[: positive + 1].sum())
    else:
        ties = tie_sizes(sizes).astype(np.float64)
        variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
        z = (positive - total / 2) / 2 / math.sqrt(variance)
        upper, lower = normal_p_value(z, "greater"), normal_p_value(z, "less")
    return min(1.0, upper), min(1.0, lower), positive / 2, (total - positive) / 2


def _rank_sum_tails(first: Sample, second: Sample) -> tuple[float, float, float]:
    """Return both one-sided p-values, "greater" first, and U of the second sample."""
    n, m = first.size, second.size
    ranks = doubled_midranks(np.concatenate((first, second)))
    doubled_u = int(ranks[n:].sum()) - m * (m + 1)
    if choice_sum_is_feasible(n, m):
        mass = choice_sum_distribution(ranks, min(n, m))
        sums = int(ranks[:n].sum() if n <= m else ranks[n:].sum())
        low, high = min(1.0, float(mass[: sums + 1].sum())), min(1.0, float(mass[sums:].sum()))
        return *((low, high) if n <= m else (high, low)), doubled_u / 2
    ties = tie_sizes(np.concatenate((first, second))).astype(np.float64)
    total = n + m
    variance = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if variance <= 0:
        return 1.0, 1.0, doubled_u / 2
    distance, error = (doubled_u - n * m) / 2, math.sqrt(variance)
    upper = normal_p_value((distance - 0.5) / error, "greater")
    lower = normal_p_value((distance + 0.5) / error, "less")
    return upper, lower, doubled_u / 2


def _normal_rejections(mean: float, variance: float, alpha: float) -> int:
    """Return the number of values 0, 1, ... below the quantile of a large sample."""
    return max(0, math.floor(mean - normal_quantile(alpha) * math.sqrt(variance)))


def _leveled(arms: Arms, shift: float) -> tuple[Sample, Sample]:
    """Return the order of the baseline's values and of the treatment's less the shift, noise removed."""
    null = _bounded(arms.scaled(shift))
    n = arms.baseline.size
    tolerances = arms.precision.zeros_at(np.concatenate((arms.baseline, arms.treatment)))
    tolerances[n:] = np.maximum(tolerances[n:], arms.precision.zero_of_shift(null))
    order = levels(np.concatenate((arms.baseline, arms.treatment - null)), tolerances)
    return order[:n], order[n:]


def _bounded(shift: float) -> float:
    """Return a shift of values in [-1, 1]; whatever exceeds 4 separates them in the same way."""
    return min(max(shift, -4.0), 4.0)
