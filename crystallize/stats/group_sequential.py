"""Group sequential designs: looks, boundaries, futility, repeated intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from crystallize.errors import SampleError
from crystallize.stats import special
from crystallize.stats.result import Alternative
from crystallize.stats.samples import (
    Sample,
    as_list,
    as_real,
    as_sample,
    as_whole,
    check_alpha,
    check_alternative,
)
from crystallize.stats.spending import Spending, spending_function
from crystallize.stats.tails import normal_quantile

_NAME: Final = "early stopping"
_FAR: Final = 38.0  # the normal tail beyond is below every float
_WIDE: Final = 9.0  # the normal density beyond adds nothing to an integral of order 1


def look_sizes(n_max: int, looks: int) -> list[int]:
    """Return how many replicates each look takes: equal steps, rounded up, the last one n_max.

    Parameters
    ----------
    n_max : int
        Planned replicates.
    looks : int
        Number of looks, from 1 to n_max.

    Raises
    ------
    SampleError
        If there are no looks, or more looks than replicates.

    Examples
    --------
    >>> look_sizes(30, 5), look_sizes(10, 3)
    ([6, 12, 18, 24, 30], [4, 7, 10])
    """
    count, most = as_whole(looks), as_whole(n_max)
    if count is None or most is None or not 1 <= count <= most:
        raise SampleError(
            f"{_NAME}: looks is {looks!r} with {n_max!r} replicates; allowed are 1 to {n_max!r}"
        )
    return [-(-most * look // count) for look in range(1, count + 1)]


def group_sequential_boundaries(
    fractions: ArrayLike, *, alpha: float = 0.05, spending: Spending = "obrien-fleming"
) -> list[float]:
    r"""Return the boundaries of a two-sided group sequential test by alpha spending [1]_.

    At look k the null hypothesis is rejected if :math:`|Z_k| \ge c_k`, equivalently if the fixed test's own
    two-sided p-value is at most :math:`2 (1 - \Phi(c_k))`, its nominal p. The :math:`c_k` solve
    :math:`P(|Z_1| < c_1, \ldots, |Z_{k-1}| < c_{k-1}, |Z_k| \ge c_k) = \alpha(t_k) - \alpha(t_{k-1})` by
    recursive numerical integration [2]_, :math:`Z` being Brownian motion over :math:`\sqrt t`.

    Parameters
    ----------
    fractions : array_like, shape (K,)
        Parts of the planned information at the looks (n_k / n_max), ascending in (0, 1].
    alpha : float
        Two-sided level. A one-sided claim at level a uses the boundaries of alpha = 2 a.
    spending : {"obrien-fleming", "pocock"}
        See `obrien_fleming_spending` and `pocock_spending`.

    Returns
    -------
    list of float
        One boundary per look; infinite where what may be spent is below every float.

    Raises
    ------
    SampleError
        If the fractions do not ascend in (0, 1], alpha is out of its range, or the spending is unknown.

    Notes
    -----
    The boundaries use the joint distribution of normal statistics with independent increments. Nominal
    p-values of t tests bring it to small samples well enough from about 5 replicates per look on; with fewer
    than 15 replicates in all, 3 looks are enough. Looks that depend on the data seen are not covered.

    References
    ----------
    .. [1] Lan, K. K. G. and DeMets, D. L. (1983). Discrete sequential boundaries for clinical trials.
       Biometrika 70, 659-663.
    .. [2] Jennison, C. and Turnbull, B. W. (2000). Group sequential methods with applications to clinical
       trials, chapter 19. Chapman and Hall.

    Examples
    --------
    >>> [round(c, 4) for c in group_sequential_boundaries([1 / 3, 2 / 3, 1])]
    [3.7103, 2.5114, 1.993]
    """
    times = _fractions(fractions)
    alpha = check_alpha(_NAME, alpha)
    spent = [0.0, *(spending_function(spending)(time, alpha) for time in times)]
    density = _start()
    boundaries = []
    for time, (before, now) in zip(times, pairwise(spent), strict=True):
        step = _Step(density, time)
        boundary = step.boundary(now - before)
        boundaries.append(boundary)
        density = step.continued(boundary)
    return boundaries


def nominal_p_values(boundaries: Sequence[float]) -> list[float]:
    """Return the two-sided p-value of the fixed test up to which each look rejects.

    Parameters
    ----------
    boundaries : sequence of float
        From `group_sequential_boundaries`.

    Raises
    ------
    SampleError
        If a boundary is no number, or negative.

    Examples
    --------
    >>> [round(p, 5) for p in nominal_p_values([3.7103, 2.5114, 1.9930])]
    [0.00021, 0.01203, 0.04626]
    """
    return [2.0 * float(special.ndtr(-boundary)) for boundary in _check_boundaries(boundaries)]


def exit_probabilities(
    fractions: ArrayLike, boundaries: Sequence[float], *, drift: float = 0.0
) -> list[tuple[float, float]]:
    """Return the probabilities that a design stops at each look, below and above.

    Parameters
    ----------
    fractions : array_like, shape (K,)
        As in `group_sequential_boundaries`.
    boundaries : sequence of float, length K
        Two-sided boundaries of Z.
    drift : float
        Expected Z at the full information: the effect over its standard error at n_max.

    Returns
    -------
    list of tuple of float
        (below, above) at each look. With drift 0 they add up to alpha, otherwise to the power.

    Raises
    ------
    SampleError
        If the fractions do not ascend in (0, 1], the lengths differ, a boundary is nan or negative, or the
        drift is not finite.

    Examples
    --------
    >>> exits = exit_probabilities([0.5, 1.0], [2.7965, 1.9774], drift=2.8)
    >>> [round(above, 3) for _, above in exits]
    [0.207, 0.589]
    """
    times = _fractions(fractions)
    limits = _check_boundaries(boundaries)
    if len(limits) != len(times):
        raise SampleError(
            f"{_NAME}: {len(times)} fractions and {len(limits)} boundaries; one belongs to each"
        )
    mean = as_real(drift)
    if not math.isfinite(mean):
        raise SampleError(f"{_NAME}: drift is {drift!r}; allowed are finite numbers")
    density = _start()
    exits = []
    for time, boundary in zip(times, limits, strict=True):
        step = _Step(density, time, mean)
        exits.append(step.tails(boundary))
        density = step.continued(boundary)
    return exits


def planned_drift(alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the expected Z at the full information of the effect that n_max replicates are planned for.

    Parameters
    ----------
    alpha : float
        Two-sided level of the fixed test.
    power : float
        Its power at that effect, in (0, 1).

    Raises
    ------
    SampleError
        If alpha or the power is out of its range.

    Examples
    --------
    >>> round(planned_drift(), 4)
    2.8016
    """
    alpha, target = check_alpha(_NAME, alpha), as_real(power)
    if not 0 < target < 1:
        raise SampleError(f"{_NAME}: power is {power!r}; allowed is a number between 0 and 1, such as 0.8")
    return normal_quantile(alpha) + float(special.ndtri(target))


def conditional_power(
    z: float,
    fraction: float,
    boundary: float,
    *,
    drift: float | None = None,
    alternative: Alternative = "two-sided",
) -> float:
    r"""Return the probability that the last look will reject, given what was seen so far [1]_.

    With :math:`B = z \sqrt t`, the final Z is normal with mean :math:`B + \theta (1 - t)` and variance
    1 - t. The drift :math:`\theta` is an assumption on the replicates to come.

    Parameters
    ----------
    z : float
        Z statistic at this look, positive if the treatment's values are the larger.
    fraction : float
        Part t of the information at this look, in (0, 1].
    boundary : float
        Boundary of Z at the last look.
    drift : float, optional
        Size of the expected Z at the full information, in the direction of the claim (two-sided: of z); by
        default `planned_drift`, 2.80.
    alternative : {"two-sided", "greater", "less"}
        "two-sided" counts rejections on either side.

    Returns
    -------
    float
        In [0, 1]. Below .2 even the planned effect would hardly be found in the looks to come. Stopping there
        is not binding: the boundaries keep their level whether one stops or not.

    Raises
    ------
    SampleError
        If the fraction is not in (0, 1], z or the drift is nan, the boundary is nan or negative, or the
        alternative is unknown.

    Notes
    -----
    The current trend, :math:`|z|/\sqrt t`, is no good drift to stop by: early looks are noisy. In five looks
    at 30 pairs and d = .5, stopping below .2 lowers the power from .746 to .567 by the trend, and to .740 by
    the planned drift; without effect it takes 41 % and 76 % of the replicates.

    References
    ----------
    .. [1] Lan, K. K. G. and Wittes, J. (1988). The B-value: a tool for monitoring data. Biometrics 44,
       579-585.

    Examples
    --------
    >>> round(conditional_power(0.5, 0.6, 2.031), 4), round(conditional_power(-1.0, 0.6, 2.031), 4)
    (0.2041, 0.415)
    """
    check_alternative(_NAME, alternative)
    time = as_real(fraction)
    if not 0 < time <= 1:
        raise SampleError(f"{_NAME}: the information fraction is {fraction!r}; allowed is above 0, up to 1")
    [limit] = _check_boundaries([boundary])
    score, expected = as_real(z), planned_drift() if drift is None else as_real(drift)
    if math.isnan(score) or math.isnan(expected):
        raise SampleError(f"{_NAME}: z is {z!r} and drift {drift!r}; allowed are numbers")
    direction = {"two-sided": math.copysign(1.0, score), "greater": 1.0, "less": -1.0}[alternative]
    # Beyond 1e100 everything is certain, and infinities do not meet.
    mean = _clipped(score) * math.sqrt(time) + direction * _clipped(expected) * (1 - time)
    if time == 1:
        above, below = float(mean >= limit), float(mean <= -limit)
    else:
        error = math.sqrt(1 - time)
        above, below = (
            float(special.ndtr((mean - limit) / error)),
            float(special.ndtr((-mean - limit) / error)),
        )
    return {"two-sided": min(1.0, above + below), "greater": above, "less": below}[alternative]


class _Density(NamedTuple):
    """Brownian motion that has not left the boundaries: nodes, their weights times the density, the time."""

    nodes: Sample
    masses: Sample
    time: float


class _Step:
    """Step of the recursion, from a density to the next look."""

    def __init__(self, density: _Density, time: float, drift: float = 0.0) -> None:
        self._time = time
        self._masses = density.masses
        self._means = density.nodes + drift * (time - density.time)
        self._deviation = math.sqrt(time - density.time)

    def tails(self, boundary: float) -> tuple[float, float]:
        """Return the probabilities to be below -boundary and above it, on the scale of Z."""
        limit = boundary * math.sqrt(self._time)
        with np.errstate(under="ignore"):
            below = self._masses @ special.ndtr((-limit - self._means) / self._deviation)
            above = self._masses @ special.ndtr((self._means - limit) / self._deviation)
        return float(below), float(above)

    def boundary(self, probability: float) -> float:
        """Return the boundary that is left with the given probability, both sides together."""
        if sum(self.tails(_FAR)) >= probability:
            return math.inf
        low, high = 0.0, _FAR
        while low < (middle := (low + high) / 2) < high and high - low > 1e-14 * high:
            low, high = (middle, high) if sum(self.tails(middle)) > probability else (low, middle)
        return high

    def continued(self, boundary: float) -> _Density:
        """Return the density at this look of what has not left."""
        reach = _WIDE * self._deviation
        edge = boundary * math.sqrt(self._time)
        low, high = max(-edge, float(self._means.min()) - reach), min(edge, float(self._means.max()) + reach)
        if not low < high:
            return _Density(np.zeros(1), np.zeros(1), self._time)
        # Gauss-Legendre nodes converge very fast once some lie within each standard deviation of the step.
        unit_nodes, unit_weights = _quadrature(16 * math.ceil(2 + 6 * (high - low) / self._deviation / 16))
        nodes = low + (high - low) * (unit_nodes + 1) / 2
        distances = (nodes[:, np.newaxis] - self._means) / self._deviation
        with np.errstate(under="ignore"):
            density = np.exp(-(distances**2) / 2) @ self._masses / self._deviation / math.sqrt(2 * math.pi)
            masses = density * unit_weights * (high - low) / 2
        return _Density(nodes, masses, self._time)


@lru_cache(maxsize=32)
def _quadrature(nodes: int) -> tuple[Sample, Sample]:
    result: tuple[Sample, Sample] = np.polynomial.legendre.leggauss(nodes)
    return result


def _start() -> _Density:
    return _Density(np.zeros(1), np.ones(1), 0.0)


def _check_boundaries(boundaries: Sequence[float]) -> list[float]:
    checked = []
    for boundary in as_list(_NAME, "boundaries", boundaries):
        number = as_real(boundary)
        if not number >= 0:
            raise SampleError(f"{_NAME}: a boundary is {boundary!r}; allowed are numbers from 0 on")
        checked.append(number)
    return checked


def _fractions(fractions: ArrayLike) -> list[float]:
    times: list[float] = as_sample(_NAME, "fractions", fractions, minimum=1).tolist()
    if not (times[0] > 0 and times[-1] <= 1 and all(a < b for a, b in pairwise(times))):
        raise SampleError(f"{_NAME}: fractions are {times}; allowed are ascending numbers above 0, up to 1")
    return times


def _clipped(value: float) -> float:
    return min(max(value, -1e100), 1e100)
