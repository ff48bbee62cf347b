"""What a condition run hands over: values of metrics, and artifacts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crystallize.core.names import file_key, unsafe_file_name
from crystallize.errors import ArtifactError, MetricError

if TYPE_CHECKING:
    from crystallize.core.journal import Journal


class MetricEntry(NamedTuple):
    """One recorded value of a metric."""

    name: str
    value: Any
    unit: str | int | None
    measured: bool
    step: str


_new_tuple: Final = tuple.__new__  # the shortest way: metrics are recorded in every run


class KeptArtifact(NamedTuple):
    """Bytes that a step wants kept."""

    name: str
    data: bytes
    step: str
    key: str  # of step and name, the same for two that would be one file anywhere


class Metrics:
    """The metrics log of one condition run; `ctx.metrics`."""

    __slots__ = ("_journal",)

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def entries(self) -> list[MetricEntry]:
        """Every recorded value, in order."""
        self._journal.ask("metrics")
        return self._journal.metrics

    def add(self, name: str, value: Any, *, unit: str | int | None = None, measured: bool = False) -> None:
        """Record a value.

        Parameters
        ----------
        name : str
            Name of the metric.
        value : number, str, bool, None, or lists and dicts of them
            numpy scalars are converted.
        unit : str or int, optional
            The case or cluster that the value belongs to, where a replicate records several values of a
            metric.
        measured : bool
            Whether no seed repeats the value (a time, a memory figure). Such a metric is left out of digests
            and of every claim of repeatability.

        Raises
        ------
        MetricError
            If the name is not a non-empty string, or JSON can't carry the value.
        """
        record(self._journal, name, value, unit, measured)


def record(
    journal: Journal, name: str, value: Any, unit: str | int | None = None, measured: object = False
) -> None:
    """Record a value; see `Metrics.add`."""
    step = journal.scope.name
    if type(name) is not str or not name:
        name = _checked_name(name, step)
    if type(value) is not float:
        value = _plain(value, name, step)
    if unit is not None and type(unit) is not str:
        unit = _checked_unit(unit, name, step)
    if measured is not False:
        measured = bool(measured)
    journal.metrics.append(_new_tuple(MetricEntry, (name, value, unit, measured, step)))


def _checked_name(name: object, step: str) -> str:
    if not isinstance(name, str) or not name:
        raise MetricError(f"a metric of {step!r} is named {name!r}; a name is a non-empty string")
    return str.__str__(name)


def _checked_unit(unit: object, name: str, step: str) -> str | int:
    if isinstance(unit, str):
        return str.__str__(unit)
    if isinstance(unit, int | np.integer) and not isinstance(unit, bool):
        return int(unit)
    raise MetricError(f"metric {name!r} of {step!r} has unit {unit!r}; a unit is a string or an int")


def _plain(value: Any, name: str, step: str) -> Any:
    try:
        return _to_json(value, name, step)
    except RecursionError as error:
        raise MetricError(
            f"metric {name!r} of {step!r} contains itself, or is nested too deep; record parts of it"
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


class Artifacts:
    """The artifact log of one condition run; `ctx.artifacts`."""

    __slots__ = ("_journal",)

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def entries(self) -> list[KeptArtifact]:
        """Everything handed over, in order."""
        self._journal.ask("artifacts")
        return self._journal.artifacts

    def add(self, name: str, data: Any) -> None:
        """Hand over bytes to be kept under `name`, in a directory of this replicate, condition and step.

        Parameters
        ----------
        name : str
            A plain file name.
        data : bytes
            The content. If the experiment declares an output of this name that has a writer, anything that
            the writer takes; bytes are kept as they are.

        Raises
        ------
        ArtifactError
            If the name is unsafe as a file name on any platform or already used by this step, or the content
            is not bytes.
        """
        step = self._journal.scope.name
        fault = unsafe_file_name(name) if isinstance(name, str) else "it is not a string"
        if fault:
            raise ArtifactError(
                f"artifact {name!r} of {step!r} can't be written: {fault}; give a plain file name such as "
                "'model.bin'"
            )
        outputs = self._journal.outputs
        entries = self._journal.artifacts
        self._journal.ask("writer", name)
        key = artifact_key(step, name)
        for entry in entries:
            if entry.key == key:
                raise ArtifactError(
                    f"artifact {name!r} was added twice by {step!r} in one run; give each a name of its own "
                    "(upper and lower case count as the same)"
                )
            if name == entry.name and name in outputs:
                raise ArtifactError(
                    f"output {name!r} was written by {entry.step!r} and by {step!r}; an output that is "
                    "declared is written once in a run"
                )
        writer = outputs.get(name)
        if writer is not None and not isinstance(data, _BYTES):
            data = writer(data)
            if not isinstance(data, _BYTES):
                raise ArtifactError(
                    f"the writer of output {name!r} returned a {type(data).__qualname__}; it returns bytes"
                )
        if not isinstance(data, _BYTES):
            raise ArtifactError(
                f"artifact {name!r} of {step!r} is a {type(data).__qualname__}; give bytes, as in "
                "text.encode(), or declare an output of this name that has a writer, as in "
                f"outputs=[Artifact.json({name!r})]"
            )
        entries.append(KeptArtifact(name, bytes(data), step, key))


_BYTES = (bytes, bytearray, memoryview)


def artifact_key(step: str, name: str) -> str:
    """Return what two artifacts have in common that would be one file on some platform."""
    return f"{file_key(step)}/{file_key(name)}"


def is_number(value: Any) -> bool:
    """Tell whether a metric's value counts as a number; booleans are 0 and 1."""
    return isinstance(value, int | float)


def is_finite(value: Any) -> bool:
    """Tell whether a metric's value is a finite number."""
    try:
        return is_number(value) and math.isfinite(value)
    except OverflowError:
        return False
