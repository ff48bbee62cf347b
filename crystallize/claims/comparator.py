"""What a hypothesis compares conditions with: the baseline, another treatment, a number, or a reference."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import Any, Literal

from crystallize.claims.reference import Reference, Revision
from crystallize.declare.numbers import plain_number
from crystallize.declare.treatment import BASELINE
from crystallize.errors import DefinitionError

Comparator = Reference | str | float | None
"""A reference, the name of a treatment, a number; or None for the baseline."""

Kind = Literal["baseline", "treatment", "number", "reference", "revision", "pair"]


def checked_comparator(against: Any) -> Comparator:
    """Return what a hypothesis is against, or raise `DefinitionError` if it can't be."""
    if against is None or isinstance(against, Reference):
        return against
    if isinstance(against, str) and against.strip():
        return None if against == BASELINE else against
    number = plain_number(against)
    if type(number) in (int, float) and abs(number) <= sys.float_info.max:
        return float(number)
    raise DefinitionError(
        f"against is {against!r}; give a number, the name of another treatment, or Reference('main')"
    )


def checked_subjects(treatments: Any, against: Comparator) -> tuple[str, ...] | None:
    """Return the conditions that a hypothesis is about, or raise `DefinitionError` if these are none."""
    if treatments is None:
        return None
    listed = isinstance(treatments, Iterable) and not isinstance(treatments, str)
    names: tuple[Any, ...] = tuple(treatments) if listed else (treatments,)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise DefinitionError(f"treatments={treatments!r}; give the name of a treatment or a list of names")
    other = BASELINE if against is None else against
    if other in names:
        raise DefinitionError(f"treatments={treatments!r} names {other!r}, which they are compared with")
    return tuple(dict.fromkeys(names))


def pairs_of(conditions: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return all pairs of conditions, (first, second), by the name of the claim that the second differs."""
    return {
        f"{second}-vs-{first}": (first, second) for first, second in itertools.combinations(conditions, 2)
    }


def kind_of(against: Comparator, *, pairwise: bool = False) -> Kind:
    """Return what kind of thing a hypothesis is against."""
    if pairwise:
        return "pair"
    if against is None:
        return "baseline"
    if isinstance(against, Reference):
        return "revision" if isinstance(against, Revision) else "reference"
    return "treatment" if isinstance(against, str) else "number"
