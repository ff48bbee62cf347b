"""Numbers as they are declared, of whatever type."""

from __future__ import annotations

from dataclasses import fields
from numbers import Integral, Real
from typing import Any


def plain_number(given: Any) -> Any:
    """Return a real number of another type, as numpy's or a fraction, as Python's; all else as it is."""
    if type(given) in (int, float, bool) or not isinstance(given, Real):
        return given
    try:
        return int(given) if isinstance(given, Integral) else float(given)
    except OverflowError:
        return given


def make_plain(declared: Any) -> None:
    """Have the numbers in the fields of a frozen dataclass be Python's."""
    for field in fields(declared):
        given = getattr(declared, field.name)
        if (plain := plain_number(given)) is not given:
            object.__setattr__(declared, field.name, plain)
