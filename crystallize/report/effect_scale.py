"""Which value of an effect says that there is none, and where the margins of a claim lie."""

from __future__ import annotations

from typing import Final

from crystallize.analysis.verdict import Verdict
from crystallize.text.formatting import SHARES

_NULLS: Final = {
    "": 0.0,
    "pseudo-median of the differences": 0.0,
    "median of the pairwise differences": 0.0,
    "relative change": 0.0,
    "change of the geometric mean": 0.0,
    "difference of the ratios": 0.0,
    "relative change of the ratio": 0.0,
    **dict.fromkeys(SHARES, 0.5),
}
SHIFTS: Final = ("pseudo-median of the differences", "median of the pairwise differences")


def margins_of(verdict: Verdict) -> list[float]:
    """Return where the margins of a claim are, seen from where there is no difference."""
    if verdict.at_least is not None:
        return [-verdict.at_least if verdict.direction == "decrease" else verdict.at_least]
    margin = verdict.margin if verdict.detects is None else verdict.detects
    if margin is None:
        return []
    sides = {"no_decrease": (-1,), "no_increase": (1,), "equal": (-1, 1)}.get(verdict.direction, ())
    return [side * margin for side in sides]


def null_of(verdict: Verdict) -> float | None:
    """Return the effect of no difference; None if nobody can tell."""
    return _NULLS.get(verdict.estimand)
