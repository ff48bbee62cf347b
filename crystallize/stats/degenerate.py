"""What a test may claim about data that do not vary.

A t statistic of constant differences divides by zero, and with float noise it yields p-values such as 1e-64.
What n equal differences do show is that all of them have the same sign; the p-value of that alone, which no
number of decimals can lower, is the floor used here. Values count as equal if their range is at most `tol`:
2^10 ulp of the largest value in play in double precision, 2^4 in single, 1 in half, 0 of whole numbers; a
difference within 4 ulp is none. Of pairs, each difference has the rounding of its own two values. Nothing
jumps where equal values end: with a range of `spread` beyond `tol` the p-value is at least
floor (tol / spread)^df. Equal values among which the shift lies show no sign: their difference is the shift.

The policy, test by test, two-sided. p = 1 where the constant difference c is the shift. There are n pairs,
arms of n and m values, G units, R replicates of C units; n' = 1/(1/n + f/(1 - f)) for the held-out
fraction f.

=================== ======================= ==================== =================================
test                what counts as constant p                    interval
=================== ======================= ==================== =================================
paired t            all d equal             2^(1-n)              [c, c]
resampled t         all d equal             min(1, 2^(1-n'))     [c, c]
clustered t         same d in every unit    2^(1-G)              [c, c]
crossed t           all d equal             2^(1-min(R, C))      [c, c]
adjusted t          all d on a line in z    2^(2-n), or as t     [c, c]
bootstrap t         as the t test           as the t test        [c, c]
Welch t             both arms constant      2/C(n+m, n)          [c, c]
paired permutation  needs no substitute     2^(1-n), counted     [c, c], unbounded if p > alpha
permutation         needs no substitute     2/C(n+m, n), counted [c, c], unbounded if p > alpha
Yuen t, h left      winsorized as in t      as t, with h for n   [c, c]
Wilcoxon            needs no substitute     2^(1-n), counted     [c, c], unbounded if p > alpha
Mann-Whitney        needs no substitute     2/C(n+m, n), counted [c, c], unbounded if p > alpha
Brunner-Munzel      arms do not overlap     2/C(n+m, n)          Newcombe's, with 1/2 if p > alpha
McNemar             needs no substitute     mid-p or exact       Tango's
Boschloo and others needs no substitute     1 if both are equal  Miettinen and Nurminen's
anytime-valid t     all d equal             1/E of n gains       [c, c], unbounded if p > alpha
=================== ======================= ==================== =================================

All of these are flagged `degenerate`. Non-inferiority and equivalence apply the same floors to the distance
from the margin; the verdict on a claim counts resplits without any difference one by one there. Effect sizes
in standard deviations are infinite, or 0, with an unbounded interval.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from crystallize.stats.result import Alternative
from crystallize.stats.samples import Sample

_LARGEST_EXPONENT: Final = 1074  # 2**-1074 is the smallest positive float


def snap(value: float, target: float, tolerance: float) -> float:
    """Return the target if the value differs from it by rounding only, else the value."""
    return target if math.isclose(value, target, rel_tol=2**-51, abs_tol=tolerance) else value


def spread(values: Sample) -> float:
    """Return the range of the values."""
    return float(np.maximum.reduce(values) - np.minimum.reduce(values))


def separation(first: Sample, second: Sample, zero: float) -> tuple[float, float]:
    """Return the smallest and the largest difference of both arms' values, and what counts as none beyond."""
    return float(second.min() - first.max()) - zero, float(second.max() - first.min()) + zero


def constant_difference(value: float, null: float, zero: float, reach: tuple[float, float]) -> float:
    """Return a difference that does not vary but for rounding: the null where not all values lie beyond it.

    Parameters
    ----------
    value, null : float
        The mean difference, and what it is tested against.
    zero : float
        What counts as no difference.
    reach : pair of float
        The smallest and the largest difference that rounding may have made of any of the values.
    """
    if reach[0] <= null <= reach[1]:
        return null
    return snap(snap(value, 0.0, zero), null, zero)


def continuous_p_value(p_value: float, floor: float, spread: float, tolerance: float, df: float) -> float:
    """Return the p-value of values that vary by little more than rounding: not far below the floor.

    Parameters
    ----------
    p_value : float
        By the usual reference distribution.
    floor : float
        What the p-value would be if the values were constant.
    spread, tolerance : float
        Range of the values, and what it may be of equal ones, at most as much.
    df : float
        Degrees of freedom: near constant values the p-value falls with this power of the range.
    """
    return max(p_value, floor * math.pow(tolerance / spread, df))


def constant_p_value(excess: float, one_sided_floor: float, alternative: Alternative) -> float:
    """Return the p-value of a constant difference.

    Parameters
    ----------
    excess : float
        The difference minus the shift; only its sign matters.
    one_sided_floor : float
        Probability, under the null hypothesis, of the most extreme arrangement in one direction.
    alternative : {"two-sided", "greater", "less"}
        Zero excess, or one in the wrong direction, gives 1.
    """
    if alternative == "two-sided":
        return min(1.0, 2 * one_sided_floor) if excess != 0 else 1.0
    claimed = excess > 0 if alternative == "greater" else excess < 0
    return one_sided_floor if claimed else 1.0


def paired_floor(n: float) -> float:
    """Return 2^(-n): n independent differences, symmetric about 0, are all positive.

    Not an integer where dependent differences are worth fewer independent ones.
    """
    return math.exp2(-n)


def unpaired_floor(n: int, m: int) -> float:
    """Return 1 / C(n + m, n): of all ways to label n + m values, the one that separates the arms."""
    if min(n, m) > _LARGEST_EXPONENT:  # C(n + m, n) >= 2^min(n, m), and is slow to compute
        return 0.0
    return 1 / math.comb(n + m, n)


def constant_statistic(excess: float) -> float:
    """Return the limit of excess / standard error as the standard error goes to 0."""
    return math.copysign(math.inf, excess) if excess != 0 else 0.0
