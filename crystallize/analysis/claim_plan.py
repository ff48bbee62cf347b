"""The plan of a claim: how many replicates it needs, and what they would show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crystallize.text.formatting import effect, number

POWER: Final = 0.8
"""With which a difference is to be found, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """Number of replicates that a claim needs, and what they would show.

    Attributes
    ----------
    hypothesis, treatment, metric, direction : str
        What it is about; no direction of a verifier.
    test : str
        Which test it will have.
    pilot : int
        Replicates, or units, by which the spread is known.
    planned : int
        Replicates as declared.
    size : float or None
        The difference that is to be found, or the margin or loss that is to be shown not to be reached where
        there is no difference; as declared. None if nobody says.
    relative : bool
        Whether sizes are parts of the baseline's mean.
    power : float
        With which it is to be found or shown.
    needed : int or None
        Replicates for that, by the upper 80 % limit of the spread.
    unpaired : int or None
        As many, if seeds paired nothing.
    sequential : float or None
        Part of them that `GroupSequential` needs on average, if the difference is there.
    covariate, saved : str, float or None
        The metric that saves most of the variance, and which part.
    unchanged : float or None
        How probably unchanged code passes with the planned replicates, of a claim with a margin or a loss.
    detectable : sequence of (int, float)
        Replicates, and the smallest size that they show with that power.
    curve : sequence of (int, float)
        Replicates, and the power that they have.
    seconds : float
        Compute time of a replicate of the conditions that it rests on.
    reason : str
        Why there is no number, or what is to be done.
    """

    hypothesis: str
    treatment: str
    metric: str
    direction: str = ""
    test: str = ""
    pilot: int = 0
    planned: int = 0
    size: float | None = None
    relative: bool = False
    power: float = POWER
    needed: int | None = None
    unpaired: int | None = None
    sequential: float | None = None
    covariate: str = ""
    saved: float | None = None
    unchanged: float | None = None
    detectable: Sequence[tuple[int, float]] = ()
    curve: Sequence[tuple[int, float]] = ()
    seconds: float = 0.0
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return every field."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """The plans of the claims of an experiment.

    Attributes
    ----------
    name : str
        Of the experiment.
    claims : tuple of ClaimPlan
        In the order of declaration.
    seconds : float
        Compute time of a replicate of all conditions.
    """

    name: str
    claims: tuple[ClaimPlan, ...]
    seconds: float

    @property
    def replicates(self) -> int | None:
        """As many as the claim that needs the most; None if there is a claim of which nobody can tell."""
        needed = [claim.needed for claim in self.claims]
        known = [n for n in needed if n is not None]
        return max(known) if known and len(known) == len(needed) else None

    def __str__(self) -> str:
        lines = [line for claim in self.claims for line in plan_lines(claim.to_dict())]
        if self.replicates is not None:
            time = _time(self.replicates * self.seconds)
            lines.append(f"in all {self.replicates} replicates of every condition, {time} of computing")
        return "\n".join(lines)


def plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the plan of a claim in words, from its fields."""
    name = f"{plan['hypothesis']} [{plan['treatment']}]"
    if plan["size"] is not None and plan["needed"] is not None:
        yield f"{name}: {'; '.join(_parts(plan))}"
    else:
        yield f"{name}: {plan['reason']}"
    if plan["detectable"]:
        sizes = (f"{n}: {_size(plan, size)}" for n, size in plan["detectable"])
        what = "smallest margin" if _is_guard(plan) else "smallest difference"
        yield f"  {what} by replicates: {', '.join(sizes)}"


def _parts(plan: Mapping[str, Any]) -> Iterator[str]:
    size = _size(plan, plan["size"])
    what = f"that {size} is not reached where there is no difference" if _is_guard(plan) else size
    yield f"{plan['needed']} replicates show {what} (power {plan['power']:g})"
    yield f"{plan['planned']} are declared"
    if plan["unchanged"] is not None:
        chance = min(plan["unchanged"], 0.99)  # it is not certain
        yield f"unchanged code passes these with about {chance:.2g}"
    if plan["unpaired"] is not None:
        yield f"without pairs {plan['unpaired']}"
    if plan["sequential"] is not None and not _is_guard(plan):
        yield f"GroupSequential() takes about {100 * plan['sequential']:.0f} % of them if it is there"
    if plan["saved"] is not None:
        share = f"{100 * plan['saved']:.0f} % of the variance"
        yield f"covariate {plan['covariate']} saves about {share}, unless the treatment changes it"
    yield f"{_time(plan['seconds'])} each, {_time(plan['needed'] * plan['seconds'])} in all"


def _is_guard(plan: Mapping[str, Any]) -> bool:
    return plan["direction"] in ("no_decrease", "no_increase", "equal")


def _size(plan: Mapping[str, Any], size: float) -> str:
    return effect(size, relative=plan["relative"], sign=False, digits=3)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{number(seconds, digits=2)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
