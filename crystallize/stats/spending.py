"""How much of alpha has been spent at a part of the planned information."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.samples import as_real, check_alpha
from crystallize.stats.tails import normal_quantile

Spending = Literal["obrien-fleming", "pocock"]
"""A spending function by its name."""

_NAMES: Final[tuple[str, ...]] = get_args(Spending)


def obrien_fleming_spending(fraction: float, alpha: float) -> float:
    r"""Return the alpha spent by Lan and DeMets' O'Brien-Fleming-type function [1]_.

    It is :math:`4 (1 - \Phi(z_{\alpha/4} / \sqrt t))`, two-sided: very little at first, almost all of alpha
    at the end.

    Parameters
    ----------
    fraction : float
        Part t of the planned information, in [0, 1].
    alpha : float
        Two-sided level.

    References
    ----------
    .. [1] Lan, K. K. G. and DeMets, D. L. (1983). Discrete sequential boundaries for clinical trials.
       Biometrika 70, 659-663.

    Examples
    --------
    >>> [round(obrien_fleming_spending(t, 0.05), 6) for t in (0.2, 0.6, 1)]
    [1e-06, 0.007616, 0.05]
    """
    fraction, alpha = _check(fraction, alpha)
    if fraction == 0:
        return 0.0
    return min(alpha, 4.0 * float(special.ndtr(-normal_quantile(alpha / 2) / math.sqrt(fraction))))


def pocock_spending(fraction: float, alpha: float) -> float:
    r"""Return the alpha spent by Lan and DeMets' Pocock-type function [1]_.

    It is :math:`\alpha \ln(1 + (e - 1) t)`, two-sided: about evenly over the looks.

    Parameters
    ----------
    fraction, alpha
        As in `obrien_fleming_spending`.

    References
    ----------
    .. [1] Lan, K. K. G. and DeMets, D. L. (1983). Discrete sequential boundaries for clinical trials.
       Biometrika 70, 659-663.

    Examples
    --------
    >>> [round(pocock_spending(t, 0.05), 6) for t in (0.2, 0.6, 1)]
    [0.01477, 0.035426, 0.05]
    """
    fraction, alpha = _check(fraction, alpha)
    return min(alpha, alpha * math.log1p((math.e - 1) * fraction))


def spending_function(name: Spending) -> Callable[[float, float], float]:
    """Return the spending function of that name.

    Raises
    ------
    SampleError
        If there is none.
    """
    if name not in _NAMES:
        allowed = ", ".join(map(repr, _NAMES))
        raise SampleError(f"early stopping: spending is {name!r}; allowed are {allowed}")
    return obrien_fleming_spending if name == "obrien-fleming" else pocock_spending


def _check(fraction: float, alpha: float) -> tuple[float, float]:
    level, time = check_alpha("early stopping", alpha), as_real(fraction)
    if not 0 <= time <= 1:
        raise SampleError(f"early stopping: the information fraction is {fraction!r}; allowed is 0 to 1")
    return time, level
