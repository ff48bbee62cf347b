"""What a condition run hands over: metrics and artifacts, as its code adds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crystallize.context.journal import Journal
from crystallize.context.recording import (
    KeptArtifact,
    MetricEntry,
    artifact_key,
    as_json,
    checked_name,
    checked_unit,
    cut,
)
from crystallize.errors import ArtifactError, MetricError
from crystallize.storage.names import unsafe_file_name

_MOST_NOTES: Final = 100
_BYTES: Final = (bytes, bytearray, memoryview)
_new_tuple: Final = tuple.__new__  # the shortest way: metrics are recorded in every run


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
        name = checked_name(name, step)
    if type(value) is not float:
        value = as_json(value, name, step)
    if unit is not None and type(unit) is not str:
        unit = checked_unit(unit, name, step)
    if measured is not False:
        measured = bool(measured)
    journal.metrics.append(_new_tuple(MetricEntry, (name, value, unit, measured, step)))


def recorded(output: tuple[Any, ...], journal: Journal) -> Any:
    """Return the data in what a step returned; if that is a pair with a mapping, its metrics are recorded."""
    if len(output) != 2:
        return output
    data, metrics = output
    if type(metrics) is not dict and not isinstance(metrics, Mapping):
        return output
    step = journal.scope.name
    for name, value in metrics.items():
        if type(value) is float and type(name) is str and name:  # as in `record`, without calling it
            journal.metrics.append(_new_tuple(MetricEntry, (name, value, None, False, step)))
        else:
            record(journal, name, value)
    return data


def add_note(journal: Journal, name: str, value: Any) -> None:
    """Note something; see `FrozenContext.note`."""
    step = journal.scope.name
    if not isinstance(name, str) or not name:
        raise MetricError(f"a note of {step!r} is named {name!r}; a name is a non-empty string")
    if len(journal.notes) >= _MOST_NOTES:
        raise MetricError(
            f"note {name!r} of {step!r} is one more than the {_MOST_NOTES} of a run; note a list of several"
        )
    journal.notes += ((str.__str__(name), cut(as_json(value, name, step, what="note"))),)


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
