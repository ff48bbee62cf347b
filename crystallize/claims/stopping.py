"""Early stopping: at which replicates an experiment is looked at, and what a look may decide."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, get_args

from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats import (
    Alternative,
    Spending,
    conditional_power,
    group_sequential_boundaries,
    log_binary_e_value,
    log_t_e_value,
    look_sizes,
    nominal_p_values,
    planned_drift,
    special,
)

_FEW: Final = 15  # replicates, below which more than three looks do not keep their level
_FEWEST_PAIRS: Final = 3  # of the t-mixture
_HOPELESS: Final = 0.2  # conditional power of the claim at the effect that is planned for
_PROBABLE: Final = 0.5  # conditional power of its opposite by the current trend


@dataclass(frozen=True, slots=True)
class GroupSequential:
    r"""Group-sequential design: a planned number of looks, until every claim is decided.

    Alpha is spent over the looks [1]_ so that a true null hypothesis is rejected at any of them with
    probability at most alpha. A claim is supported at a look if the p-value of its own test is at most the
    nominal level of that look. See `crystallize.stats.group_sequential_boundaries`.

    Parameters
    ----------
    looks : int
        Number of looks, equally spaced, the last one at all replicates; >= 2. With fewer than 15 replicates
        there are at most 3.
    spending : {"obrien-fleming", "pocock"}
        Save alpha for the last look, or spend it evenly.
    futility : bool
        Stop as inconclusive where the last look would hardly support the claim any more, nor show that it
        does harm: if the conditional power at the effect that the replicates are planned for falls below .2,
        and that of the opposite claim by the current trend is below .5.

    Raises
    ------
    DefinitionError
        If an argument is none of these.

    References
    ----------
    .. [1] Lan, K. K. G. and DeMets, D. L. (1983). Discrete sequential boundaries for clinical trials.
       Biometrika 70, 659-663.

    Examples
    --------
    >>> GroupSequential().sizes(30)
    [6, 12, 18, 24, 30]
    """

    looks: int = 5
    spending: Spending = "obrien-fleming"
    futility: bool = True

    def __post_init__(self) -> None:
        make_plain(self)
        if type(self.looks) is not int or self.looks < 2:
            raise DefinitionError(f"GroupSequential: looks is {self.looks!r}; allowed is an integer >= 2")
        if self.spending not in get_args(Spending):
            allowed = ", ".join(map(repr, get_args(Spending)))
            raise DefinitionError(f"GroupSequential: spending is {self.spending!r}; allowed are {allowed}")
        if not isinstance(self.futility, bool):
            raise DefinitionError(f"GroupSequential: futility is {self.futility!r}; allowed are True, False")

    def sizes(self, replicates: int) -> list[int]:
        """Return the number of replicates at each look."""
        looks = min(self.looks, 3) if replicates < _FEW else self.looks
        return look_sizes(replicates, min(looks, replicates))

    def boundaries(self, replicates: int, alpha: float, alternative: Alternative) -> Boundaries:
        """Return what the p-value of a test is compared with at each look.

        Parameters
        ----------
        replicates : int
            Planned number.
        alpha : float
            Level of all looks together; below .5 if one-sided.
        alternative : {"two-sided", "greater", "less"}
            Of the p-value. A one-sided test uses the boundaries of the two-sided one at 2 alpha.
        """
        return _boundaries(tuple(self.sizes(replicates)), alpha, alternative, self.spending)


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Nominal levels of the looks of one claim.

    Attributes
    ----------
    levels : tuple of float
        At look k the null hypothesis is rejected if p is at most ``levels[k]``.
    """

    levels: tuple[float, ...]
    _fractions: tuple[float, ...]
    _last: float
    _drift: float
    _alternative: Alternative

    def z(self, p_value: float, side: float) -> float:
        """Return the standard normal statistic of a p-value; the side is that on which the data lie."""
        if self._alternative == "two-sided":
            return math.copysign(-float(special.ndtri(p_value / 2)), side)
        return float(special.ndtri(p_value)) * (1 if self._alternative == "less" else -1)

    def is_futile(self, look: int, z: float, claimed: Alternative) -> bool:
        """Return whether the last look would hardly reject any more, were the planned effect true.

        Parameters
        ----------
        look : int
            From 0.
        z : float
            At this look.
        claimed : {"two-sided", "greater", "less"}
            The side on which a rejection would support the claim.
        """
        power = conditional_power(
            z, self._fractions[look], self._last, drift=self._drift, alternative=claimed
        )
        return power < _HOPELESS

    def shows_harm(self, look: int, z: float, claimed: Alternative) -> bool:
        """Return whether the last look would probably refute the claim, if the trend so far goes on.

        The parameters are those of `is_futile`; to stop would leave harm as inconclusive.
        """
        if claimed == "two-sided":
            return False
        harm: Alternative = "less" if claimed == "greater" else "greater"
        fraction = self._fractions[look]
        trend = z / math.sqrt(fraction) * (1 if harm == "greater" else -1)
        return conditional_power(z, fraction, self._last, drift=trend, alternative=harm) >= _PROBABLE


@lru_cache(maxsize=256)
def _boundaries(
    sizes: tuple[int, ...], alpha: float, alternative: Alternative, spending: Spending
) -> Boundaries:
    one_sided = alternative != "two-sided"
    level = 2 * alpha if one_sided else alpha
    fractions = tuple(size / sizes[-1] for size in sizes)
    bounds = group_sequential_boundaries(fractions, alpha=level, spending=spending)
    levels = tuple(p / 2 if one_sided else p for p in nominal_p_values(bounds))
    return Boundaries(levels, fractions, bounds[-1], planned_drift(level), alternative)


@dataclass(frozen=True, slots=True)
class AnytimeValid:
    """Anytime-valid design: looks without a planned end, by an e-process.

    Valid whenever one stops, also if replicates are added after the results were seen. It serves claims with
    the default test on pairs: a t-mixture for numbers, for 0/1 values the discordant pairs. See
    `crystallize.stats.anytime_t` and `crystallize.stats.anytime_mcnemar`.

    Parameters
    ----------
    g : float
        Variance of the standardized effects that the test is made for, > 0.
    every : int
        Replicates from one look to the next. Replicates run in parallel between looks, not across them.

    Raises
    ------
    DefinitionError
        If an argument is none of these.

    Examples
    --------
    >>> AnytimeValid().sizes(12)
    [5, 10, 12]
    """

    g: float = 1.0
    every: int = 5

    def __post_init__(self) -> None:
        make_plain(self)
        if isinstance(self.g, bool) or not isinstance(self.g, int | float) or not 0 < self.g < math.inf:
            raise DefinitionError(f"AnytimeValid: g is {self.g!r}; allowed are positive finite numbers")
        _check_every("AnytimeValid", self.every)

    def sizes(self, replicates: int) -> list[int]:
        """Return the number of replicates at each look."""
        return [*range(self.every, replicates, self.every), replicates]

    def smallest_p(self, replicates: int, kind: str = "auto") -> float:
        """Return the smallest p-value that so many pairs can give, of a kind or of either."""
        too_few = replicates < _FEWEST_PAIRS
        numeric = 0.0 if too_few else log_t_e_value(math.inf, replicates, self.g)
        binary = log_binary_e_value(replicates, 0)
        return math.exp(-{"numeric": numeric, "binary": binary}.get(kind, max(numeric, binary)))

    def enough(self, level: float, kind: str = "auto") -> int:
        """Return the fewest pairs that can give a p-value at a level."""
        return next(n for n in itertools.count(1) if self.smallest_p(n, kind) <= level)


@dataclass(frozen=True, slots=True)
class Curtailment:
    """Rule that stops where replicates to come can't change the verdict, of yes/no claims with a side.

    The verdict is the one that all replicates would give, whatever they give, so that neither level nor power
    is spent. That they are 0 and 1 has to be declared, by ``kind="binary"`` or the test; other claims are
    decided at the end. Of several claims with a sign each gets its share of alpha.

    Parameters
    ----------
    every : int
        Replicates from one look to the next.

    Raises
    ------
    DefinitionError
        If it is none.

    Examples
    --------
    >>> Curtailment().sizes(12)
    [5, 10, 12]
    """

    every: int = 5

    def __post_init__(self) -> None:
        make_plain(self)
        _check_every("Curtailment", self.every)

    def sizes(self, replicates: int) -> list[int]:
        """Return the number of replicates at each look."""
        return [*range(self.every, replicates, self.every), replicates]


def _check_every(owner: str, every: object) -> None:
    if type(every) is not int or every < 1:
        raise DefinitionError(f"{owner}: every is {every!r}; allowed is an integer >= 1")


Stopping = GroupSequential | AnytimeValid | Curtailment
