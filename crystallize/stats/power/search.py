"""Replicates for an effect, and the effect for a number of replicates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from crystallize.errors import SampleError
from crystallize.stats.power.design import Design
from crystallize.stats.power.t import TDesign
from crystallize.stats.result import Alternative
from crystallize.stats.samples import as_real, check_alpha, check_alternative

LARGEST_N: Final = 10_000_000
"""More replicates are not considered."""

_RUN: Final = 5
_BACK: Final = 12


def power(
    design: Design,
    n: float,
    effect: float,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> float:
    """Return the probability that a true effect is found significant.

    Parameters
    ----------
    design : Design
        Such as ``PairedT(sd=0.03)``.
    n : float
        Pairs, or values per arm; t designs take fractions too.
    effect : float
        The true difference, treatment minus baseline, in the units of the design; one that matters, not the
        one that was observed.
    alpha : float
        Level of the test.
    alternative : {"two-sided", "greater", "less"}
        As in the tests. "two-sided" counts rejections in the wrong direction, too.

    Returns
    -------
    float
        In [0, 1]; 0 if n is too small for the test.

    Raises
    ------
    SampleError
        If n, the effect or an option is out of its range.

    Examples
    --------
    >>> from crystallize.stats.power import TwoSampleT
    >>> round(power(TwoSampleT(), 20, 1.0), 6)
    0.868953
    """
    n, effect, alpha = _check(design, n, effect, alpha, alternative)
    return _power(design, n, effect, alpha, alternative)


def _power(design: Design, n: float, effect: float, alpha: float, alternative: Alternative) -> float:
    """Return the power of what is checked."""
    if n < design.minimum_n:
        return 0.0
    return min(1.0, max(0.0, design.power(n, effect, alpha=alpha, alternative=alternative)))


def replicates(
    design: Design,
    effect: float,
    *,
    target: float = 0.8,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> int | None:
    """Return the smallest number of replicates whose power reaches the target.

    Parameters
    ----------
    design, effect
        As in `power`.
    target : float
        Power to be reached, in (0, 1).
    alpha, alternative
        As in `power`.

    Returns
    -------
    int or None
        Pairs, or values per arm. Where the power of an exact test moves in a sawtooth, the first of five in a
        row that reach the target. None if no number up to 10,000,000 does: resplits of one data set have a
        floor, an effect of 0 or against the alternative is never found.

    Raises
    ------
    SampleError
        If the effect or an option is out of its range.

    Examples
    --------
    >>> from crystallize.stats.power import PairedT, TwoSampleT
    >>> replicates(PairedT(), 0.5), replicates(TwoSampleT(), 1.0, target=0.9)
    (34, 23)
    """
    target = _check_target(design, target)
    _, effect, alpha = _check(design, design.minimum_n, effect, alpha, alternative)

    def reached(n: int) -> bool:
        return _power(design, n, effect, alpha, alternative) >= target

    if isinstance(design, TDesign):
        guess = design.about(effect, target=target, alpha=alpha, alternative=alternative)
        if guess is not None:
            return _fewest(reached, guess, design.minimum_n)
    low, high = design.minimum_n - 1, design.minimum_n
    while not reached(high):
        if high >= LARGEST_N:
            return None
        low, high = high, min(2 * high, LARGEST_N)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    if design.steady:
        return high
    n, run = max(design.minimum_n, high - _BACK), 0
    while run < _RUN:
        run = run + 1 if reached(n) else 0
        n += 1
    return n - _RUN


def _fewest(reached: Callable[[int], bool], guess: float, least: int) -> int | None:
    """Return the smallest number from which on all reach it, by steps from a guess that double."""
    low, high, step = least - 1, LARGEST_N + 1, 1
    n = round(min(max(guess, least), LARGEST_N))
    while high - low > 1:
        if reached(n):
            high, n = n, max(n - step, (low + n) // 2)
        else:
            low, n = n, min(n + step, (n + high) // 2)
        step *= 2
    return high if high <= LARGEST_N else None


def minimum_detectable_effect(
    design: Design,
    n: float,
    *,
    target: float = 0.8,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    decrease: bool = False,
) -> float:
    """Return the smallest effect whose power reaches the target with n replicates.

    Parameters
    ----------
    design, n
        As in `power`.
    target : float
        Power to be reached, in (0, 1).
    alpha, alternative
        As in `power`.
    decrease : bool
        Ask for the smallest decrease; implied by the alternative "less".

    Returns
    -------
    float
        Size of the effect, >= 0, in the units of the design; infinite if none reaches the target. With
        `sd` the observed standard deviation of a t design it tells what would have gone unseen; it is not the
        power at the observed effect.

    Raises
    ------
    SampleError
        If n or an option is out of its range, or `decrease` is asked of the alternative "greater".

    Examples
    --------
    >>> from crystallize.stats.power import PairedT
    >>> [round(minimum_detectable_effect(PairedT(), n), 2) for n in (5, 10, 12, 30, 100)]
    [1.68, 1.0, 0.89, 0.53, 0.28]
    """
    target = _check_target(design, target)
    if decrease and alternative == "greater":
        raise SampleError(
            f"power of {design.name}: decrease is True with alternative 'greater', which never finds one; "
            "allowed are 'less' and 'two-sided'"
        )
    decrease = decrease or alternative == "less"
    sign = -1 if decrease else 1

    def reached(size: float) -> bool:
        return power(design, n, sign * size, alpha=alpha, alternative=alternative) >= target

    if reached(0.0):
        return 0.0
    largest = design.largest_effect(decrease=decrease)
    low, high = 0.0, min(1.0, largest)
    if largest == math.inf:
        high = _unit(design)
        while not reached(high):
            if high > 1e300:
                return math.inf
            low, high = high, 2 * high
    elif not reached(high):
        return math.inf
    while high - low > 1e-12 * high and low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _unit(design: Design) -> float:
    return float(getattr(design, "sd", 1.0))


def _check(
    design: Design, n: float, effect: float, alpha: float, alternative: Alternative
) -> tuple[float, float, float]:
    name = f"power of {design.name}"
    level = check_alpha(name, alpha)
    check_alternative(name, alternative)
    size, difference = as_real(n), as_real(effect)
    if not 0 <= size <= LARGEST_N:
        raise SampleError(f"{name}: n is {n!r}; allowed is 0 to {LARGEST_N}")
    if not math.isfinite(difference):
        raise SampleError(f"{name}: effect is {effect!r}; allowed are finite numbers")
    return size, difference, level


def _check_target(design: Design, target: float) -> float:
    power = as_real(target)
    if not 0 < power < 1:
        raise SampleError(
            f"power of {design.name}: target is {target!r}; allowed is a number between 0 and 1, such as 0.8"
        )
    return power
