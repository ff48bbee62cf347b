"""Non-inferiority and equivalence: a test of two arms, moved by a margin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal

from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats.comparison import Comparison
from crystallize.stats.fieller import ratio_of_means
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import as_real, check_alpha, check_alternative, check_compare

Guard = Literal["no_decrease", "no_increase"]
"""Which change, if larger than the margin, is to be ruled out."""


_NON_INFERIORITY: Final = "non-inferiority"
_EQUIVALENCE: Final = "equivalence"
_BEYOND: Final = "inferiority"
_SUPERIORITY: Final = "superiority"
_SIDES: Final[dict[str, tuple[int, Alternative]]] = {
    "no_decrease": (-1, "greater"),
    "no_increase": (1, "less"),
}


def non_inferiority(
    compare: Comparison,
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    margin: float,
    guard: Guard = "no_decrease",
    alpha: float = 0.05,
) -> TestResult:
    r"""Test whether the treatment is worse than the baseline by less than a margin.

    With :math:`\delta` the difference that `compare` tests, the null hypothesis is :math:`\delta \le -`
    `margin` for "no_decrease", and :math:`\delta \ge` `margin` for "no_increase". The p-value is the
    one-sided one of `compare` at that shift.

    Parameters
    ----------
    compare : callable
        `paired_t`, `welch_t` and other tests of a mean; for 0/1 data `mcnemar`, which tests a shift by
        Tango's score, and `risk_difference_test`, by Miettinen and Nurminen's. Options of its own are bound
        with functools.partial.
    baseline, treatment : array_like
        As `compare` takes them.
    margin : float
        Largest change that is still tolerable, > 0, in the units of the data.
    guard : {"no_decrease", "no_increase"}
        The change to be ruled out.
    alpha : float
        One-sided; the interval has level 1 - 2 alpha, so it lies within the margin exactly where p < alpha,
        if `compare` gives the interval that belongs to its test.

    Returns
    -------
    TestResult
        Of `compare`, with `null` at the margin.

    Raises
    ------
    SampleError
        If the margin is not positive and finite, alpha is not in (0, 1/2), or as `compare` does.

    Notes
    -----
    A failed superiority test shows no equality: this does, up to the margin. The margin has to be chosen
    before the data are seen. Data that do not vary are treated as by `compare`, at the distance from the
    margin: equal arms of n pairs have p = 2^(-n) by `paired_t`.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> first, second = [0.80, 0.82, 0.79, 0.81], [0.79, 0.82, 0.80, 0.81]
    >>> result = non_inferiority(paired_t, first, second, margin=0.02)
    >>> round(result.p_value, 4), [round(end, 4) for end in result.interval]
    (0.0081, [-0.0096, 0.0096])
    """
    check_compare(_NON_INFERIORITY, compare)
    margin, alpha = _checked(_NON_INFERIORITY, margin, guard, alpha)
    sign, alternative = _SIDES[guard]
    return compare(baseline, treatment, alternative=alternative, alpha=2 * alpha, shift=sign * margin)


def equivalence(
    compare: Comparison, baseline: ArrayLike, treatment: ArrayLike, *, margin: float, alpha: float = 0.05
) -> TestResult:
    r"""Test whether treatment and baseline differ by less than a margin, by two one-sided tests [1]_.

    The null hypothesis is :math:`|\delta| \ge` `margin`, for the difference :math:`\delta` that `compare`
    tests; the p-value is the larger of those of :math:`\delta \le -` `margin` and of :math:`\delta \ge`
    `margin`.

    Parameters
    ----------
    compare, baseline, treatment, margin
        As in `non_inferiority`.
    alpha : float
        The interval has level 1 - 2 alpha.

    Returns
    -------
    TestResult
        Of the side with the larger p-value: `statistic`, `alternative` and `null` speak of it.

    Raises
    ------
    SampleError
        As in `non_inferiority`.

    Notes
    -----
    Both tests have level alpha, and no correction is due: both must reject. As in `non_inferiority`, data
    without variation are treated as by `compare`.

    References
    ----------
    .. [1] Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and the power approach
       for assessing the equivalence of average bioavailability. Journal of Pharmacokinetics and
       Biopharmaceutics 15, 657-680.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> first, second = [0.80, 0.82, 0.79, 0.81], [0.79, 0.82, 0.80, 0.81]
    >>> round(equivalence(paired_t, first, second, margin=0.02).p_value, 4)
    0.0081
    """
    check_compare(_EQUIVALENCE, compare)
    margin, alpha = _checked(_EQUIVALENCE, margin, "no_decrease", alpha)
    sides = [
        compare(baseline, treatment, alternative=alternative, alpha=2 * alpha, shift=sign * margin)
        for sign, alternative in _SIDES.values()
    ]
    worse = max(sides, key=lambda side: side.p_value)
    return replace(worse, test=f"TOST {worse.test}")


def beyond_margin(
    compare: Comparison,
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    margin: float,
    guard: Guard | None = None,
    relative: bool = False,
    alpha: float = 0.05,
) -> float:
    r"""Return the p-value of the claim that the difference lies beyond a margin: that a guard is violated.

    Of "no_decrease" the null hypothesis is :math:`\delta \ge -` `margin`, of "no_increase" :math:`\delta \le`
    `margin`, of neither :math:`|\delta| \le` `margin`. The p-value of the last is the sum of those of both
    sides, at the margin on which the estimate does not lie.

    Parameters
    ----------
    compare, baseline, treatment, margin
        As in `non_inferiority`.
    guard : {"no_decrease", "no_increase"}, optional
        The change that would violate it; either one if left out.
    relative : bool
        Whether the margin is a part of the baseline's mean, as in `relative_non_inferiority`.
    alpha : float
        Passed on to `compare`.

    Raises
    ------
    SampleError
        As in `non_inferiority`.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> first, second = [0.80, 0.82, 0.79, 0.81], [0.72, 0.75, 0.71, 0.73]
    >>> round(beyond_margin(paired_t, first, second, margin=0.02, guard="no_decrease"), 4)
    0.0001
    """
    check_compare(_BEYOND, compare)
    margin, alpha = _checked(_BEYOND, margin, "no_decrease" if guard is None else guard, alpha)

    def p_value(at: float, alternative: Alternative) -> float:
        if relative:
            return _relative(_BEYOND, compare, baseline, treatment, at, alternative, alpha).p_value
        return compare(baseline, treatment, alternative=alternative, alpha=2 * alpha, shift=at).p_value

    if guard is not None:
        sign, alternative = _SIDES[guard]
        return p_value(sign * margin, "less" if alternative == "greater" else "greater")
    alternatives: tuple[Alternative, ...] = ("less", "greater")
    return min(1.0, *(p_value(margin, side) + p_value(-margin, side) for side in alternatives))


def relative_non_inferiority(
    compare: Comparison,
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    margin: float,
    guard: Guard = "no_decrease",
    alpha: float = 0.05,
) -> TestResult:
    r"""Test whether the treatment is worse than the baseline by less than a part of the baseline's mean.

    With :math:`\rho = (\mu_t - \mu_b)/|\mu_b|`, the null hypothesis is :math:`\rho \le -` `margin`, or
    :math:`\rho \ge` `margin` for "no_increase". That the baseline's mean is itself estimated is allowed for:
    :math:`\mu_t = (1 - \text{margin}) \mu_b` is a hypothesis about the mean of the treatment minus a multiple
    of the baseline [1]_. The p-value is the larger of its one and that of the baseline's mean having the
    sign that it shows, without which a relative margin means nothing.

    Parameters
    ----------
    compare : callable
        `paired_t`, `welch_t`, or another test of means of any numbers.
    baseline, treatment : array_like
        As `compare` takes them.
    margin : float
        Part of the baseline's mean, > 0: 0.02 for 2 %.
    guard : {"no_decrease", "no_increase"}
        The change to be ruled out.
    alpha : float
        One-sided; the interval has level 1 - 2 alpha.

    Returns
    -------
    TestResult
        `estimate`, `interval` and `null` are relative changes; the interval holds the margins at which the
        two-sided test is not rejected at 2 alpha (Fieller's), unbounded where the baseline may be 0.

    Raises
    ------
    SampleError
        If the margin is not positive and finite, alpha is not in (0, 1/2), the baseline's mean is 0, or as
        `compare` does.

    Notes
    -----
    0/1 data are no numbers to be multiplied: state an absolute margin for them.

    References
    ----------
    .. [1] Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal Statistical
       Society B 16, 175-185.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> first, second = [80, 82, 79, 81], [79, 82, 80, 81]
    >>> result = relative_non_inferiority(paired_t, first, second, margin=0.02)
    >>> round(result.p_value, 4), [round(end, 4) for end in result.interval]
    (0.0142, [-0.0119, 0.012])
    """
    check_compare(_NON_INFERIORITY, compare)
    margin, alpha = _checked(_NON_INFERIORITY, margin, guard, alpha)
    sign, alternative = _SIDES[guard]
    return _relative(_NON_INFERIORITY, compare, baseline, treatment, sign * margin, alternative, alpha)


def relative_equivalence(
    compare: Comparison, baseline: ArrayLike, treatment: ArrayLike, *, margin: float, alpha: float = 0.05
) -> TestResult:
    r"""Test whether the treatment differs from the baseline by less than a part of the baseline's mean.

    The null hypothesis is :math:`|\mu_t - \mu_b| \ge` `margin` :math:`|\mu_b|`; the p-value is the larger of
    both of `relative_non_inferiority`.

    Parameters
    ----------
    compare, baseline, treatment, margin, alpha
        As in `relative_non_inferiority`.

    Returns
    -------
    TestResult
        Of the side with the larger p-value.

    Raises
    ------
    SampleError
        As in `relative_non_inferiority`.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> round(relative_equivalence(paired_t, [80, 82, 79, 81], [79, 82, 80, 81], margin=0.02).p_value, 4)
    0.0149
    """
    check_compare(_EQUIVALENCE, compare)
    margin, alpha = _checked(_EQUIVALENCE, margin, "no_decrease", alpha)
    sides = [
        _relative(_EQUIVALENCE, compare, baseline, treatment, sign * margin, alternative, alpha)
        for sign, alternative in _SIDES.values()
    ]
    worse = max(sides, key=lambda side: side.p_value)
    return replace(worse, test=f"TOST {worse.test}")


def relative_superiority(
    compare: Comparison,
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    change: float,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
) -> TestResult:
    r"""Test whether the treatment differs from the baseline by more than a part of the baseline's mean.

    With :math:`\rho = (\mu_t - \mu_b)/|\mu_b|`, the null hypothesis is :math:`\rho =` `change`, tested as in
    `relative_non_inferiority`.

    Parameters
    ----------
    compare, baseline, treatment
        As in `relative_non_inferiority`.
    change : float
        Under the null hypothesis: -0.2 for a fifth less.
    alternative : {"two-sided", "greater", "less"}
        The claim about the relative change.
    alpha : float
        The interval has level 1 - alpha.

    Returns
    -------
    TestResult
        `estimate`, `interval` and `null` are relative changes.

    Raises
    ------
    SampleError
        If the change is not finite, the baseline's mean is 0, or as `compare` does.

    Examples
    --------
    That the second is at least a fifth faster:

    >>> from crystallize.stats import paired_t
    >>> slow, fast = [10.0, 11.0, 9.5, 10.5], [7.2, 7.8, 7.1, 7.3]
    >>> result = relative_superiority(paired_t, slow, fast, change=-0.2, alternative="less")
    >>> round(result.p_value, 4), round(result.estimate, 4)
    (0.0038, -0.2829)
    """
    alpha = check_alpha(_SUPERIORITY, alpha)
    check_alternative(_SUPERIORITY, alternative)
    by = as_real(change)
    if not math.isfinite(by):
        raise SampleError(f"{_SUPERIORITY}: change is {change!r}; allowed are finite numbers, as 0.1")
    return _relative(_SUPERIORITY, compare, baseline, treatment, by, alternative, alpha / 2)


def _relative(
    test: str,
    compare: Comparison,
    baseline: ArrayLike,
    treatment: ArrayLike,
    change: float,
    alternative: Alternative,
    alpha: float,
) -> TestResult:
    """Test the relative change of the mean against the one given."""
    arms = ratio_of_means(test, compare, baseline, treatment)
    if arms.means[0] == 0:
        raise SampleError(
            f"{test}: the baseline's mean is 0, of which no part is a margin; "
            "use a margin in the units of the metric (relative=False)"
        )
    sign = 1 if arms.means[0] > 0 else -1
    moved = arms.against(1 + sign * change, alternative, 2 * alpha)
    estimate, interval = arms.change(2 * alpha)
    sign_p = arms.baseline_sign(2 * alpha).p_value
    return replace(
        moved,
        p_value=max(moved.p_value, min(1.0, 2 * sign_p) if alternative == "two-sided" else sign_p),
        estimate=estimate,
        interval=interval,
        estimand="relative change",
        null=change,
    )


def _checked(test: str, margin: float, guard: str, alpha: float) -> tuple[float, float]:
    size, level = as_real(margin), check_alpha(test, alpha)
    if not 0 < size < math.inf:
        raise SampleError(
            f"{test}: margin is {margin!r}; allowed are positive finite numbers: the largest tolerable change"
        )
    if not isinstance(guard, str) or guard not in _SIDES:
        allowed = ", ".join(map(repr, _SIDES))
        raise SampleError(f"{test}: guard is {guard!r}; allowed are {allowed}")
    if not level < 0.5:
        raise SampleError(f"{test}: alpha is {alpha!r}; allowed is a number below 0.5: it is one-sided")
    return size, level
