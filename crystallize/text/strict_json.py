"""Values as data that JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

_NOT_FINITE: Final = {str(value): value for value in (math.nan, math.inf, -math.inf)}


def strict_json(value: Any) -> Any:
    """Return a value as data that JSON has: nan and infinities as text, of what it does not know the repr."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return [strict_json(item) for item in sorted(value, key=repr)]
    if isinstance(value, np.generic | np.ndarray):
        return strict_json(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object that is read (`object_pairs_hook`); raise `ValueError` if it has a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice in one object, perhaps of a merge")
    return found


def from_strict_json(value: Any) -> Any:
    """Return a number, or a list of them, as it was before `strict_json` made text of nan and infinities."""
    if isinstance(value, list):
        return [from_strict_json(each) for each in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
