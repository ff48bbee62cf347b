"""Numbers as text: the same effect, interval and p-value in every message and report.

A difference of two numbers is no more precise than they are: what is left of 0.1 + 0.2 - 0.3 is shown as 0,
not as 5.551e-17. A p-value has as many digits as it takes to see on which side of its level it lies.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Literal

_ROUNDING: Final = 8 * sys.float_info.epsilon
USUAL_LEVEL: Final = 0.05  # which readers have in mind where none is declared
_COMMIT_DIGITS: Final = 12
_MOST_DIGITS: Final = 17  # which tell any two floats apart
SHARES: Final = ("win rate", "probability of superiority", "share of gains among the discordant pairs")
"""Estimands that are 1/2 where there is no difference."""


def or_zero(value: float, scale: float) -> float:
    """Return a difference of numbers of a size, 0 if rounding these may have made all of it."""
    if abs(value) >= 1 and float(value).is_integer():  # whole numbers are subtracted exactly, however large
        return value
    return 0.0 if abs(value) <= _ROUNDING * scale else value


def number(value: float | None, *, sign: bool = False, digits: int = 4, scale: float = 0.0) -> str:
    """Return a number as text, or a dash.

    Parameters
    ----------
    value : float or None
        What to show.
    sign : bool
        Whether a positive number has a sign.
    digits : int
        Significant digits.
    scale : float
        Size of the numbers that it is a difference of; what rounding these leaves is shown as 0.
    """
    if value is None:
        return "-"
    value = or_zero(value, scale)
    if value == 0:
        return "0"
    return f"{value:+.{digits}g}" if sign else f"{value:.{digits}g}"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def first_of(texts: Collection[str], most: int = 3, *, between: str = ", ") -> str:
    """Return the first of some texts, so many at most, and how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return between.join(islice(texts, most)) + more


def short_commit(commit: str | None) -> str:
    """Return as much of a commit's name as tells it apart; empty if it is unknown."""
    return (commit or "")[:_COMMIT_DIGITS]


def effect(
    value: float | None, *, relative: bool, sign: bool = True, digits: int = 4, scale: float = 0.0
) -> str:
    """Return a difference, or a relative one in per cent; see `number`."""
    if value is None or not relative:
        return number(value, sign=sign, digits=digits, scale=scale)
    return f"{number(100 * value, sign=sign, digits=digits, scale=100 * scale)} %"


def interval(
    ends: Sequence[float] | None,
    *,
    relative: bool = False,
    digits: int = 3,
    scale: float = 0.0,
    margin: float | None = None,
    null: float = 0.0,
) -> str:
    """Return an interval, or a dash; see `number`.

    It is seen on which side of a margin each end lies, and of `null`, where there is no difference.
    """
    if ends is None:
        return "-"
    factor = 100 if relative else 1
    limits = [factor * null] if null else []  # on which side of 0 a number lies, its sign says
    limits += [factor * (null + side) for side in (-margin, margin)] if margin else []
    low, high = (_end(factor * end, digits, factor * scale, limits) for end in ends)
    return f"[{low}, {high}]" + (" %" if relative else "")


def _end(value: float, digits: int, scale: float, limits: Sequence[float]) -> str:
    shown = number(value, digits=digits, scale=scale)
    for more in range(digits + 1, _MOST_DIGITS + 1):
        if all(
            _side(value, limit) in (_side(float(shown), limit), _side(float(shown), float(number(limit))))
            for limit in limits
        ):
            break
        shown = number(value, digits=more, scale=scale)
    return shown


def scale_of(verdict: Mapping[str, Any]) -> float:
    """Return the size of the numbers that a verdict's difference is one of, from its fields."""
    means = () if verdict["estimand"] else (verdict["baseline_mean"], verdict["treatment_mean"])
    return noise_scale(verdict["interval"], means, relative=verdict["relative"])


def noise_scale(ends: Sequence[float] | None, means: Sequence[float | None], *, relative: bool) -> float:
    """Return the size of the numbers that a difference and the ends of its interval are differences of.

    Parameters
    ----------
    ends : sequence of float or None
        The interval.
    means : sequence of float or None
        Of the conditions, if it is they that are subtracted.
    relative : bool
        Whether the difference is a part of the baseline's mean.
    """
    sizes = (*(ends or ()), *((1.0,) if relative else means))
    return max((abs(size) for size in sizes if size is not None and math.isfinite(size)), default=0.0)


def null_of(estimand: str) -> float:
    """Return the value of an estimand where there is no difference."""
    return 0.5 if estimand in SHARES else 0.0


def level_of(verdict: Mapping[str, Any]) -> float:
    """Return what a verdict's p-value is compared with, from the fields of the verdict."""
    levels = (verdict["level"], verdict["alpha"], USUAL_LEVEL)
    return next(level for level in levels if level is not None)


def name_of_p(verdict: Mapping[str, Any]) -> str:
    """Return what to call the p-value that decides, from the fields of the verdict: of which claim it is."""
    own = verdict["p_value"] if verdict["adjusted_p"] is None else verdict["adjusted_p"]
    return "p" if verdict["opposite_p"] in (None, own) else "p of the opposite"


def p_value(value: float | None, level: float = USUAL_LEVEL) -> str:
    """Return a p-value in the field's manner, or a dash.

    Parameters
    ----------
    value : float or None
        The p-value.
    level : float
        What it is compared with.
    """
    if value is None:
        return "-"
    if value < 0.001 <= level:
        return "<0.001"
    if value > 0:
        return _told_apart(value, level, 3, "f" if value >= 0.001 else "g")[0]
    return f"<{sys.float_info.min:.0e}"


def compared(value: float, level: float, *, digits: int = 4) -> tuple[str, str]:
    """Return a p-value and its level in as many significant digits as it takes to tell them apart."""
    return _told_apart(value, level, digits, "g")


def _told_apart(value: float, level: float, digits: int, kind: Literal["f", "g"]) -> tuple[str, str]:
    for more in range(digits, _MOST_DIGITS + 1):
        shown, limit = f"{value:.{more}{kind}}", f"{level:.{more}{kind}}"
        side = _side(value, level)
        if side == _side(float(shown), level) == _side(float(shown), float(limit)):
            break
    return shown, limit


def _side(value: float, level: float) -> int:
    return (value > level) - (value < level)


def percent(level: float) -> str:
    """Return the level of an interval as text; that of an early look is not called 100 %."""
    return f"{100 * level:.4g} %" if level < 0.99995 else "more than 99.99 %"
