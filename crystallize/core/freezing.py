"""Values that nobody can change from afar: taken in as snapshots, given out as copies or read-only views."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import fractions
import pathlib
import types
import uuid
from typing import Any

import numpy as np

_ATOMIC: frozenset[type] = frozenset(
    {
        bool,
        bytes,
        complex,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        float,
        fractions.Fraction,
        int,
        range,
        str,
        type,
        types.BuiltinFunctionType,
        types.EllipsisType,
        types.FunctionType,
        types.ModuleType,
        types.NoneType,
        uuid.UUID,
    }
)
_IMMUTABLE_BASES = (enum.Enum, np.generic, np.dtype, pathlib.PurePath, type)


def freeze(value: Any) -> Any:
    """Take a snapshot of `value` that later changes to `value` do not reach.

    Lists, dicts, tuples and sets are rebuilt, numpy arrays copied and made read-only, everything else
    that is mutable is deep-copied.

    Raises
    ------
    TypeError
        If a part of `value` can't be copied.
    """
    kind = type(value)
    if kind in _ATOMIC or isinstance(value, _IMMUTABLE_BASES):
        return value
    if kind is np.ndarray and not value.dtype.hasobject:
        frozen = value.copy()
        frozen.setflags(write=False)
        return frozen
    if kind is dict:
        return {freeze(key): freeze(item) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(freeze(item) for item in value)
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise TypeError(f"a {kind.__module__}.{kind.__qualname__} can't be copied: {error}") from error


def thaw(frozen: Any) -> Any:
    """Give out a value taken in by `freeze`, so that changing it changes nothing else.

    Immutable values come back as they are, numpy arrays as read-only views (no copy), the rest as copies.
    """
    kind = type(frozen)
    if kind in _ATOMIC:
        return frozen
    if kind is np.ndarray and not frozen.dtype.hasobject:
        return frozen.view()
    if kind is dict:
        return {key: thaw(item) for key, item in frozen.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(thaw(item) for item in frozen)
    if isinstance(frozen, _IMMUTABLE_BASES):
        return frozen
    return copy.deepcopy(frozen)


def summarize(value: Any) -> Any:
    """Return what provenance shows of a value: short JSON values as they are, of others the type."""
    kind = type(value)
    if kind in (int, float, bool, types.NoneType):
        return value
    if kind is str:
        return value if len(value) <= 80 else value[:77] + "..."
    if kind is np.ndarray:
        return f"<ndarray {value.dtype} {value.shape}>"
    if isinstance(value, np.generic):
        return value.item()
    if kind in (list, tuple, dict, set, frozenset):
        text = repr(value) if len(value) <= 8 else ""
        return text if text and len(text) <= 80 else f"<{kind.__name__} of {len(value)}>"
    return f"<{kind.__qualname__}>"
