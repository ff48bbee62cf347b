"""What a pilot says of the spread: limits, since the observed one is too small in half of all cases."""

from __future__ import annotations

import math
from typing import Final

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.samples import as_real, as_whole
from crystallize.stats.tails import chdtri

_LEVEL: Final = 0.8


def upper_sd_factor(df: float, *, level: float = _LEVEL) -> float:
    r"""Return what to multiply an observed standard deviation by for its upper confidence limit [1]_.

    The limit is :math:`s \sqrt{\nu / \chi^2_{1 - \text{level}, \nu}}`. The number of replicates that is
    planned by it has at least the power that is planned for in `level` of all cases; by s itself, in half of
    them.

    Parameters
    ----------
    df : float
        Degrees of freedom of the standard deviation, > 0; below 9 it is hardly known.
    level : float
        Of the one-sided limit, in (0, 1).

    Raises
    ------
    SampleError
        If an argument is out of its range.

    References
    ----------
    .. [1] Browne, R. H. (1995). On the use of a pilot sample for sample size determination. Statistics in
       Medicine 14, 1933-1940.

    Examples
    --------
    >>> round(upper_sd_factor(9), 4), round(upper_sd_factor(29), 4)
    (1.2934, 1.1359)
    """
    freedom, part = as_real(df), as_real(level)
    if not 0 < freedom < math.inf or not 0 < part < 1:
        raise SampleError(f"pilot: df is {df!r} and level {level!r}; allowed are df > 0 and 0 < level < 1")
    return math.sqrt(freedom / chdtri(freedom, part))


def upper_rate_limit(successes: int, n: int, *, level: float = _LEVEL) -> float:
    """Return the upper confidence limit of a rate (Clopper and Pearson's, one-sided).

    Parameters
    ----------
    successes, n : int
        How many of how many, 0 <= successes <= n, n >= 1.
    level : float
        Of the limit, in (0, 1).

    Examples
    --------
    >>> round(upper_rate_limit(3, 10), 4), upper_rate_limit(10, 10)
    (0.4837, 1.0)
    """
    x, size, part = as_whole(successes), as_whole(n), as_real(level)
    if x is None or size is None or not 0 <= x <= size or size < 1 or not 0 < part < 1:
        raise SampleError(f"pilot: {successes!r} of {n!r} at level {level!r}; allowed are 0 to n, n >= 1")
    return 1.0 if x == size else float(special.betaincinv(x + 1, size - x, part))
