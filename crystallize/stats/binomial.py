"""Exact test of one sample of 0/1 values against a rate."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.proportion import clopper_pearson_interval
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import as_binary, as_real, check_alternative, check_counts, checked_options
from crystallize.stats.tails import tails_p_value

_NAME: Final = "exact binomial"
_ROUNDING: Final = 1e-12


def binomial(
    values: ArrayLike,
    *,
    rate: float,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test the rate of one sample of 0/1 values against a number, exactly [1]_.

    Under the null hypothesis the number of ones is binomial(n, `rate` + `shift`). The two-sided p-value is
    twice the smaller tail, so that the interval of Clopper and Pearson holds the rates that it does not
    reject.

    Parameters
    ----------
    values : array_like, shape (n,)
        Zeros and ones (or booleans), n >= 1.
    rate : float
        What the rate is compared with, in [0, 1].
    alternative : {"two-sided", "greater", "less"}
        The claim about the rate against `rate` + `shift`.
    alpha : float
        The interval has level at least 1 - alpha and is two-sided under every alternative.
    shift : float
        Difference from `rate` under the null hypothesis. What leads out of [0, 1] is true of no rate: that
        the rate is on the near side of it is shown by any sample.

    Returns
    -------
    TestResult
        `estimate` is the rate minus `rate`, and so are the ends of the interval; `statistic` is the number of
        ones.

    Raises
    ------
    SampleError
        If a value is neither 0 nor 1, there is none, or an option is out of its range.

    References
    ----------
    .. [1] Clopper, C. J. and Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in
       the case of the binomial. Biometrika 26, 404-413.

    Examples
    --------
    Mendel's 682 of 925 plants, of which three quarters were expected:

    >>> result = binomial([1] * 682 + [0] * 243, rate=0.75)
    >>> round(result.p_value, 4), [round(0.75 + end, 4) for end in result.interval]
    (0.392, [0.7077, 0.7654])
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift, below=1)
    rate = _check_rate(rate)
    sample = as_binary(_NAME, "treatment", values)
    n, ones = sample.size, int(np.count_nonzero(sample))
    low, high = clopper_pearson_interval(ones, n, alpha)
    return TestResult(
        test=_NAME,
        p_value=_p_value_at(ones, n, rate + shift, alternative),
        statistic=float(ones),
        df=None,
        estimate=ones / n - rate,
        interval=(low - rate, high - rate),
        confidence=1 - alpha,
        n=n,
        alternative=alternative,
        estimand="risk difference",
        null=shift,
        degenerate=ones in (0, n),
    )


def binomial_p_value(ones: int, n: int, rate: float, alternative: Alternative = "two-sided") -> float:
    """Return the p-value of so many ones among n, if each has this probability.

    Parameters
    ----------
    ones, n : int
        How many ones there are, among how many values.
    rate : float
        Probability of a one under the null hypothesis, in [0, 1].
    alternative : {"two-sided", "greater", "less"}
        What is claimed of the rate; "two-sided" doubles the smaller tail.

    Raises
    ------
    SampleError
        If the ones are negative or more than there are values, the rate is not in [0, 1], or the alternative
        is none of these.

    Examples
    --------
    >>> round(binomial_p_value(10, 10, 0.85, "greater"), 4)
    0.1969
    """
    check_alternative(_NAME, alternative)
    [(ones, n)] = check_counts(_NAME, (ones, n))
    rate = _check_rate(rate)
    upper = float(special.bdtrc(ones - 1, n, rate)) if ones else 1.0
    return min(1.0, tails_p_value(upper, float(special.bdtr(ones, n, rate)), alternative))


def _p_value_at(ones: int, n: int, tested: float, alternative: Alternative) -> float:
    """Return the p-value against a number that, but for rounding, may be no rate."""
    if beyond := side_beyond(tested):
        return tails_p_value(float(beyond > 0), float(beyond < 0), alternative)
    return binomial_p_value(ones, n, min(max(tested, 0.0), 1.0), alternative)


def side_beyond(number: float) -> int:
    """Return 1 of a number above 1, -1 of one below 0, 0 of a rate."""
    return (number > 1 + _ROUNDING) - (number < -_ROUNDING)


def _check_rate(rate: float) -> float:
    number = as_real(rate)
    if not 0 <= number <= 1:
        raise SampleError(f"{_NAME}: rate is {rate!r}; allowed is a number from 0 to 1")
    return number


def smallest_binomial_p(n: int, rate: float, alternative: Alternative = "two-sided") -> float:
    """Return the smallest p-value that n values can give against a rate.

    Parameters
    ----------
    n : int
        How many values.
    rate, alternative
        As in `binomial_p_value`.

    Examples
    --------
    >>> round(smallest_binomial_p(18, 0.85, "greater"), 4), round(smallest_binomial_p(19, 0.85, "greater"), 4)
    (0.0536, 0.0456)
    """
    return min(binomial_p_value(ones, n, rate, alternative) for ones in (0, n))
