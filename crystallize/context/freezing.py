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
from typing import Any, Final

import numpy as np

ATOMIC: Final[frozenset[type]] = frozenset(
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
"""Types whose values nobody can change."""

_IMMUTABLE_BASES = (enum.Enum, np.number, np.bool_, np.str_, np.bytes_, np.dtype, pathlib.PurePath, type)
_LONGEST = 80  # characters of a text that provenance shows


def freeze(value: Any) -> Any:
    """Take a snapshot of `value` that later changes to `value` do not reach.

    Lists, dicts, tuples and sets are rebuilt, numpy arrays copied and made read-only, everything else
    that is mutable is deep-copied.

    Raises
    ------
    TypeError
        If a part of `value` can't be copied, or `value` contains itself.
    """
    try:
        return _freeze(value)
    except RecursionError as error:
        raise TypeError(f"a {type(value).__qualname__} contains itself, or is nested too deep") from error


def _freeze(value: Any) -> Any:
    kind = type(value)
    if kind in ATOMIC or isinstance(value, _IMMUTABLE_BASES):
        return value
    if kind is np.ndarray and not value.dtype.hasobject:
        frozen = value.copy(order="K")
        frozen.setflags(write=False)
        return frozen
    if kind is dict:
        return {_freeze(key): _freeze(item) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind([_freeze(item) for item in value])
    try:
        return copy.deepcopy(value)
    except RecursionError:
        raise
    except Exception as error:
        raise TypeError(f"a {kind.__module__}.{kind.__qualname__} can't be copied: {error}") from error


def thaw(frozen: Any) -> Any:
    """Give out a value taken in by `freeze`, so that changing it changes nothing else.

    Immutable values come back as they are, numpy arrays as read-only views (no copy), the rest as copies.
    """
    kind = type(frozen)
    if kind in ATOMIC:
        return frozen
    if kind is np.ndarray and not frozen.dtype.hasobject:
        return frozen.view()
    if kind is dict:
        return {key: thaw(item) for key, item in frozen.items()}
    if kind in (list, tuple, set, frozenset):
        return kind([thaw(item) for item in frozen])
    if kind is Shared:
        return frozen.value
    if isinstance(frozen, _IMMUTABLE_BASES):
        return frozen
    return copy.deepcopy(frozen)


class Shared:
    """A value that can't be copied, so that everybody is given the same one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def freeze_if_possible(value: Any) -> Any:
    """Take a snapshot of what can be copied; `thaw` gives out the rest as it is."""
    if type(value) in ATOMIC:
        return value
    try:
        return freeze(value)
    except TypeError:
        return Shared(value)


def summarize(value: Any) -> Any:
    """Return what provenance shows of a value: short JSON values as they are, of others the type."""
    kind = type(value)
    if kind is float or kind is bool or kind is types.NoneType:
        return value
    if kind is int:
        return value if -(2**256) < value < 2**256 else f"<int of {value.bit_length()} bits>"
    if kind is str:
        return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
    if kind is np.ndarray:
        return f"<ndarray {value.dtype} {value.shape}>"
    if isinstance(value, np.generic):
        plain = value.item()
        return summarize(plain) if isinstance(plain, bool | int | float | str) else f"<{kind.__qualname__}>"
    if kind in (list, tuple, dict) and len(value) <= 8 and _is_plain(value):
        text = repr(value)
        if len(text) <= _LONGEST:
            return text
    if kind in (list, tuple, dict, set, frozenset):
        return f"<{kind.__name__} of {len(value)}>"
    return f"<{kind.__qualname__}>"


def _is_plain(value: Any) -> bool:
    """Return whether a value has the same short text in every process."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return len(value) <= 8 and all(map(_is_plain, value))
    return type(value) in (float, bool, types.NoneType) or (
        type(value) in (int, str) and summarize(value) is value
    )
