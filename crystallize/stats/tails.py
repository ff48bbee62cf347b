"""Tail probabilities and quantiles, from `scipy.special`: importing `scipy.stats` costs a second.

Those of single floats are from `scipy.special.cython_special`: the same to the last bit, in a fraction of the
time that ufuncs take to find out that they are given no arrays. They take nothing but floats.
"""

from __future__ import annotations

from typing import Final

from crystallize.stats import special
from crystallize.stats.result import Alternative

_HALF: Final = 0.5


def chdtri(df: float, p: float) -> float:
    """Return the number that a variable with a chi-square distribution exceeds with probability p."""
    value: float = special.cython_special.chdtri(df, p)
    return value


def nctdtr(df: float, noncentrality: float, t: float) -> float:
    """Return the distribution function of the noncentral t distribution."""
    value: float = special.cython_special.nctdtr(df, noncentrality, t)
    return value


def ndtr(x: float) -> float:
    """Return the distribution function of the standard normal distribution."""
    value: float = special.cython_special.ndtr(x)
    return value


def ndtri(p: float) -> float:
    """Return the quantile of the standard normal distribution."""
    value: float = special.cython_special.ndtri(p)
    return value


def stdtr(df: float, t: float) -> float:
    """Return the distribution function of Student's t distribution."""
    value: float = special.cython_special.stdtr(df, t)
    return value


def stdtrit(df: float, p: float) -> float:
    """Return the quantile of Student's t distribution."""
    value: float = special.cython_special.stdtrit(df, p)
    return value


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
    return float(special.bdtr(successes, tosses, _HALF)) if successes >= 0 else 0.0


def binomial_lower(ones: int, n: int, chance: float) -> float:
    """Return the probability of at most so many ones among n values."""
    return float(special.bdtr(ones, n, chance))


def binomial_upper(ones: int, n: int, chance: float) -> float:
    """Return the probability of at least so many ones among n values."""
    return float(special.bdtrc(ones - 1, n, chance)) if ones else 1.0
