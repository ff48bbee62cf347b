"""Roots of functions that are almost straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_TOLERANCE: Final = 1e-13
"""Of a root, or of a part of it where it exceeds 1."""


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
