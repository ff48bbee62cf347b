"""Confidence interval of one proportion."""

from __future__ import annotations

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.samples import as_whole, check_alpha


def clopper_pearson_interval(successes: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    r"""Return the exact interval of a binomial proportion [1]_.

    Its ends are quantiles of beta distributions: alpha/2 of :math:`B(x, n - x + 1)` and 1 - alpha/2 of
    :math:`B(x + 1, n - x)`.

    Parameters
    ----------
    successes, n : int
        0 <= successes <= n, n >= 1.
    alpha : float
        The interval has level at least 1 - alpha; each end, 1 - alpha/2.

    Raises
    ------
    SampleError
        If an argument is out of its range.

    References
    ----------
    .. [1] Clopper, C. J. and Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in
       the case of the binomial. Biometrika 26, 404-413.

    Examples
    --------
    >>> low, high = clopper_pearson_interval(4, 20)
    >>> round(low, 4), round(high, 4)
    (0.0573, 0.4366)
    """
    alpha = check_alpha("Clopper-Pearson interval", alpha)
    x, size = as_whole(successes), as_whole(n)
    if x is None or size is None or not 0 <= x <= size or size < 1:
        raise SampleError(
            f"Clopper-Pearson interval: {successes!r} successes of {n!r}; allowed are 0 to n of n >= 1"
        )
    low = 0.0 if x == 0 else float(special.betaincinv(x, size - x + 1, alpha / 2))
    high = 1.0 if x == size else float(special.betaincinv(x + 1, size - x, 1 - alpha / 2))
    return low, high
