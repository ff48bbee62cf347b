"""Roots of functions that fall, and are almost straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_TOLERANCE: Final = 1e-13
"""Of a root, or of a part of it where it exceeds 1."""
_STEPS: Final = 200


def falling_root(function: Callable[[float], float], guess: float, *, step: float, low: float) -> float:
    """Return where a function that falls crosses 0: by secants, kept inside what is known to enclose it.

    Parameters
    ----------
    function : callable
        Falls from positive to negative values, infinite ones included.
    guess : float
        Where to begin.
    step : float
        How far from the guess to look next; doubled until the root is enclosed.
    low : float
        Below which the root is not.

    Examples
    --------
    >>> round(falling_root(lambda x: 2 - x**3, 1.0, step=0.1, low=0.0), 12)
    1.259921049895
    """
    high = math.inf
    before = at_before = math.nan
    x = guess if guess > low else low + step
    while True:
        value = function(x)
        if value > 0:
            low = x
        else:
            high = x
        tolerance = _TOLERANCE * max(1.0, abs(x))
        if value == 0 or high - low <= tolerance:
            return x
        slope = (value - at_before) / (x - before)
        following = x - value / slope if slope < 0 else math.nan
        if not low < following < high:  # as behind infinite values, and at first
            following = x + step if value > 0 else max(x - step, (low + x) / 2)
            step *= 2
            if high < math.inf and not low < following < high:
                following = (low + high) / 2
        elif abs(following - x) <= tolerance:
            return following
        before, at_before, x = x, value, following


def falling_root_from(falling: Callable[[float], float], start: float) -> float:
    """Return where a falling function crosses 0, by regula falsi in Illinois form, next to the start.

    Nothing is known of where the root is; infinite where none is found, on the side where it would be.
    """
    value = falling(start)
    if value == 0:
        return start
    # Double the step until the sign changes.
    step = math.copysign(max(abs(start), 1.0) / 16, value)
    low, low_value = start, value
    for _ in range(_STEPS):
        high = start + step
        high_value = falling(high)
        if high_value == 0 or _opposite(high_value, value):
            break
        low, low_value, step = high, high_value, 2 * step
    else:
        return math.copysign(math.inf, value)
    for _ in range(_STEPS):
        if high_value == 0 or abs(high - low) <= 1e-14 * abs(high):
            break
        if math.isfinite(low_value) and math.isfinite(high_value):
            middle = high - high_value * (high - low) / (high_value - low_value)
        else:  # the interval of a permutation test may be unbounded
            middle = (low + high) / 2
        if not min(low, high) < middle < max(low, high):
            middle = (low + high) / 2
        middle_value = falling(middle)
        if _opposite(middle_value, high_value):
            low, low_value = high, high_value
        else:
            low_value /= 2
        if middle == high:
            break
        high, high_value = middle, middle_value
    return high


def _opposite(value: float, other: float) -> bool:
    """Return whether one is positive and one negative; their product may be 0."""
    return value < 0 < other or other < 0 < value
