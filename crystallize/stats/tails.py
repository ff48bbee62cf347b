"""Tail probabilities and quantiles, from `scipy.special`: importing `scipy.stats` costs a second.

Those of single floats are from `scipy.special.cython_special`: the same to the last bit, in a fraction of the
time that ufuncs take to find out that they are given no arrays. They take nothing but floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scipy.special import bdtr, cython_special

from crystallize.stats.result import Alternative

_HALF: Final = 0.5

chdtri: Final[Callable[[float, float], float]] = cython_special.chdtri
nctdtr: Final[Callable[[float, float, float], float]] = cython_special.nctdtr
ndtr: Final[Callable[[float], float]] = cython_special.ndtr
ndtri: Final[Callable[[float], float]] = cython_special.ndtri
stdtr: Final[Callable[[float, float], float]] = cython_special.stdtr
stdtrit: Final[Callable[[float, float], float]] = cython_special.stdtrit


def t_p_value(statistic: float, df: float, alternative: Alternative) -> float:
    """Return the p-value of a statistic that has Student's t distribution under the null hypothesis."""
    df, statistic = float(df), float(statistic)
    if alternative == "two-sided":
        return 2.0 * stdtr(df, -abs(statistic))
    return stdtr(df, statistic if alternative == "less" else -statistic)


def tails_p_value(upper: float, lower: float, alternative: Alternative) -> float:
    """Return the p-value of a statistic from the probabilities of at least, and of at most, its value."""
    return {"two-sided": min(1.0, 2 * min(upper, lower)), "greater": upper, "less": lower}[alternative]


def t_quantile(alpha: float, df: float) -> float:
    """Return the number that Student's t exceeds in size with probability alpha."""
    return abs(stdtrit(float(df), alpha / 2))


def normal_p_value(statistic: float, alternative: Alternative) -> float:
    """Return the p-value of a statistic that is standard normal under the null hypothesis."""
    statistic = float(statistic)
    if alternative == "two-sided":
        return 2.0 * ndtr(-abs(statistic))
    return ndtr(statistic if alternative == "less" else -statistic)


def normal_quantile(alpha: float) -> float:
    """Return the number that a standard normal variable exceeds in size with probability alpha."""
    return abs(ndtri(alpha / 2))


def fair_coin_cdf(successes: int, tosses: int) -> float:
    """Return the probability of at most `successes` heads in `tosses` of a fair coin."""
    return float(bdtr(successes, tosses, _HALF)) if successes >= 0 else 0.0
