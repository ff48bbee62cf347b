"""Entries of what a condition run hands over, and which names, units and values a metric may have."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from crystallize.errors import MetricError
from crystallize.storage.names import file_key


class MetricEntry(NamedTuple):
    """Recorded value of a metric."""

    name: str
    value: Any
    unit: str | int | None
    measured: bool
    step: str


class CallEntry(NamedTuple):
    """A call of a remote function whose reply a condition run was given.

    Attributes
    ----------
    function : str
        Name of the function.
    call : str
        What tells the call from others.
    reply : str
        What tells its reply from others.
    seconds : float
        How long the call took when it was made.
    """

    function: str
    call: str
    reply: str
    seconds: float


class KeptArtifact(NamedTuple):
    """Bytes that a step wants kept."""

    name: str
    data: bytes
    step: str
    key: str  # of step and name, the same for two that would be one file anywhere


def checked_name(name: object, step: str) -> str:
    """Return the name of a metric as a plain string; refuse what is none."""
    if not isinstance(name, str) or not name:
        raise MetricError(f"a metric of {step!r} is named {name!r}; a name is a non-empty string")
    return str.__str__(name)


def checked_unit(unit: object, name: str, step: str) -> str | int:
    """Return a unit as a plain string or int; refuse what is neither."""
    if isinstance(unit, str):
        return str.__str__(unit)
    if isinstance(unit, int | np.integer) and not isinstance(unit, bool):
        return int(unit)
    raise MetricError(f"metric {name!r} of {step!r} has unit {unit!r}; a unit is a string or an int")


Note = tuple[str, Any]
"""Name and JSON value of something that was noted."""

_LONGEST_NOTE: Final = 4000  # characters


def cut(value: Any) -> Any:
    """Return what is kept of the value of a note: what is too long as the beginning of its text."""
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) <= _LONGEST_NOTE:
        return value
    return f"{text[:_LONGEST_NOTE]} ... ({len(text) - _LONGEST_NOTE} characters more)"


def as_json(value: Any, name: str, step: str, *, what: str = "metric") -> Any:
    """Return the value of a metric, or note, as exact JSON types; refuse what JSON can't carry."""
    try:
        return _to_json(value, name, step)
    except MetricError as error:
        if what == "metric":
            raise
        raise MetricError(f"{what} {str(error).removeprefix('metric ')}") from None
    except RecursionError as error:
        raise MetricError(
            f"{what} {name!r} of {step!r} contains itself, or is nested too deep; record parts of it"
        ) from error


def _to_json(value: Any, name: str, step: str) -> Any:
    """Convert a metric's value to exact JSON types."""
    if value is None or type(value) in (float, str, bool):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _checked_int(int(value), name, step)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [_to_json(item, name, step) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise MetricError(
                    f"metric {name!r} of {step!r} is a mapping with key {key!r}; keys are strings"
                )
        return {str.__str__(key): _to_json(item, name, step) for key, item in value.items()}
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and not isinstance(value, np.generic):
        return _number_in(value, shape, name, step)
    raise MetricError(
        f"metric {name!r} of {step!r} holds a {_kind(value)}, which JSON can't carry; allowed are numbers, "
        "strings, booleans, None, and lists and dicts of them: record float(...) of it, or parts of it"
    )


def _number_in(array: Any, shape: tuple[int, ...], name: str, step: str) -> Any:
    """Return the value of an array or tensor that holds just one; what is masked is no number."""
    if math.prod(shape) == 1 and callable(getattr(array, "item", None)):
        masked = isinstance(array, np.ma.MaskedArray) and bool(np.ma.getmaskarray(array).all())
        return math.nan if masked else _to_json(array.item(), name, step)
    raise MetricError(
        f"metric {name!r} of {step!r} holds a {_kind(array)} of shape {tuple(shape)}, not one number; record "
        "float(...) of one of its values, its mean(), or each value by ctx.metrics.add(name, value, unit=...)"
    )


def _kind(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _checked_int(value: int, name: str, step: str) -> int:
    try:
        float(value)
    except OverflowError:
        raise MetricError(
            f"metric {name!r} of {step!r} is an integer of {value.bit_length()} bits, beyond the range of "
            "floats, so that no statistic could use it; record its logarithm"
        ) from None
    return value


def of_unit(metrics: Iterable[MetricEntry], unit: str) -> tuple[MetricEntry, ...]:
    """Return entries that belong to a unit, unless they say that they belong to another one."""
    return tuple([entry if entry.unit is not None else entry._replace(unit=unit) for entry in metrics])


def artifact_key(step: str, name: str) -> str:
    """Return what two artifacts have in common that would be one file on some platform."""
    return f"{file_key(step)}/{file_key(name)}"


def is_number(value: Any) -> bool:
    """Return whether a metric's value counts as a number; booleans are 0 and 1."""
    return isinstance(value, int | float)


def is_finite(value: Any) -> bool:
    """Return whether a metric's value is a finite number."""
    try:
        return is_number(value) and math.isfinite(value)
    except OverflowError:
        return False
