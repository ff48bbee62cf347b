"""Outputs of an experiment that others read: how they are declared, written and found again."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from crystallize.context.context import FrozenContext, journal_of
from crystallize.declare.datasource import DataSource
from crystallize.errors import DefinitionError, UpstreamError
from crystallize.storage.names import file_key, unsafe_file_name
from crystallize.storage.run_directory import artifact_path, read_verified

T = TypeVar("T")

Loader = Callable[[Any], Any]
Writer = Callable[[Any], bytes]


class Artifact(DataSource):
    """A declared output of one experiment, and a data source of others; `ExperimentGraph` joins the two.

    A step of the experiment that declares it, ``Experiment(..., outputs=[artifact])``, writes it with
    ``ctx.artifacts.add(name, ...)``. As a data source of another experiment it gives what the same condition
    of the same replicate wrote.

    Parameters
    ----------
    name : str
        Name of the file.
    loader : callable, optional
        Makes of the file's bytes what the data source gives; without it, it gives the bytes.
    writer : callable, optional
        Makes bytes of what a step gives to ``ctx.artifacts.add``; without it, steps give bytes.
    from_path : bool
        Give the loader the file's path in place of its bytes; it must not change the file.

    Raises
    ------
    DefinitionError
        If the name can't be a file's on every platform, or a function is none.

    Examples
    --------
    >>> import pickle
    >>> model = Artifact("model.pkl", loader=pickle.loads, writer=pickle.dumps)
    >>> scores = Artifact.json("scores.json")
    """

    def __init__(
        self,
        name: str,
        *,
        loader: Loader | None = None,
        writer: Writer | None = None,
        from_path: bool = False,
    ) -> None:
        fault = unsafe_file_name(name) if isinstance(name, str) else "it is not a string"
        if fault:
            raise DefinitionError(
                f"an artifact is named {name!r}, which can't be a file: {fault}; give a plain file name such "
                "as 'model.bin'"
            )
        for role, function in (("loader", loader), ("writer", writer)):
            if function is not None and not callable(function):
                raise DefinitionError(f"artifact {name!r}: {role} is {function!r}; give a function")
        self._name = name
        self.loader = loader
        self.writer = writer
        self.from_path = from_path
        self.id = secrets.token_hex(8)  # two artifacts of one name are two; a copy in another process is one

    @classmethod
    def text(cls, name: str) -> Artifact:
        """Return an artifact that is a string, as UTF-8."""
        return cls(name, loader=_decoded, writer=_encoded)

    @classmethod
    def json(cls, name: str) -> Artifact:
        """Return an artifact that is plain data, as JSON; floats come back bit for bit."""
        return cls(name, loader=json.loads, writer=_as_json)

    @classmethod
    def npy(cls, name: str) -> Artifact:
        """Return an artifact that is a numpy array, in numpy's format; never pickled, so without objects."""
        return cls(name, loader=_from_npy, writer=_as_npy)

    @property
    def name(self) -> str:
        """Name of the file."""
        return self._name

    @property
    def params(self) -> dict[str, Any]:
        """Name of the file."""
        return {"name": self._name}

    def fetch(self, ctx: FrozenContext) -> Any:
        """Return what the same condition of the same replicate of the experiment upstream wrote.

        Raises
        ------
        DefinitionError
            If the experiment was not run by an `ExperimentGraph`, or none upstream declares the artifact.
        ArtifactError
            If the file is not what was written.
        """
        inputs: Inputs | None = journal_of(ctx).inputs
        if inputs is None:
            raise DefinitionError(alone(self._name))
        found = inputs.find(self)
        data = read_verified(found.path, found.size, found.digest)
        if self.loader is None:
            return found.path if self.from_path else data
        return self.loader(found.path if self.from_path else data)

    def __repr__(self) -> str:
        return f"Artifact({self._name!r})"


def alone(name: str) -> str:
    """Say why an artifact can't be read without a graph."""
    return (
        f"artifact {name!r} is written by another experiment; run both by an ExperimentGraph, as in "
        "ExperimentGraph(producer, consumer).run()"
    )


def artifacts_in(source: DataSource) -> Iterator[Artifact]:
    """Yield the artifacts that a data source fetches, as far as it says so."""
    if isinstance(source, Artifact):
        yield source
    for part in source.parts:
        yield from artifacts_in(part)


def checked_outputs(outputs: Iterable[Artifact], where: str) -> tuple[Artifact, ...]:
    """Return the outputs of an experiment, or raise `DefinitionError`."""
    if isinstance(outputs, Artifact | str) or not isinstance(outputs, Iterable):
        raise DefinitionError(f"{where}: outputs={outputs!r}; give a list, as in [Artifact('model.bin')]")
    checked = tuple(outputs)
    names: dict[str, str] = {}
    for output in checked:
        if not isinstance(output, Artifact):
            raise DefinitionError(f"{where}: {output!r} is not an output; give Artifact('model.bin')")
        key = file_key(output.name)
        if key in names:
            raise DefinitionError(
                f"{where}: outputs {names[key]!r} and {output.name!r} would be one file; give each a name"
            )
        names[key] = output.name
    return checked


class Output(NamedTuple):
    """Identity of a declared output: its id, and its name."""

    id: str
    name: str


def resolve(artifact: Artifact, declared: Iterable[tuple[T, Iterable[Output]]]) -> list[tuple[T, Output]]:
    """Return which declared outputs an artifact may stand for: the very same, or else those of its name.

    Parameters
    ----------
    artifact : Artifact
        What is to be read.
    declared : iterable of pairs
        Something that has outputs, and these.
    """
    known = [(owner, output) for owner, outputs in declared for output in outputs]
    same = [(owner, output) for owner, output in known if output.id == artifact.id]
    return same or [(owner, output) for owner, output in known if output.name == artifact.name]


class FoundArtifact(NamedTuple):
    """Place of an artifact, and what is known of it."""

    path: Path
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class UpstreamUnit:
    """A condition run that another one depends on: what it wrote, or why it did not.

    Attributes
    ----------
    experiment, condition, replicate
        Which.
    outputs : tuple of Output
        What the experiment declares.
    entries : tuple of ArtifactEntry
        What the run wrote.
    version : Path or None
        Where it wrote.
    conditions : tuple of str
        All conditions of the experiment.
    failure : str or None
        Why the run failed.
    skipped : str or None
        Why it was skipped.
    reads : frozenset of str
        The keys of the context that it read, or that what lies further upstream did.
    """

    experiment: str
    condition: str
    replicate: int
    outputs: tuple[Output, ...] = ()
    entries: tuple[Any, ...] = ()
    version: Path | None = None
    conditions: tuple[str, ...] = ()
    failure: str | None = None
    skipped: str | None = None
    reads: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"replicate {self.replicate} of {self.condition!r} of experiment {self.experiment!r}"

    def locate(self, name: str) -> FoundArtifact:
        """Return where an output lies."""
        for entry in self.entries:
            if entry.name == name and self.version is not None:
                inside = artifact_path(
                    self.conditions, self.replicate, self.condition, entry.step, entry.name
                )
                return FoundArtifact(self.version / inside, entry.size, entry.digest)
        raise UpstreamError(f"{self} has no artifact {name!r}")


class Inputs:
    """Artifacts that one condition run depends on.

    Parameters
    ----------
    units : iterable of UpstreamUnit
        One of each experiment upstream.
    """

    def __init__(self, units: Iterable[UpstreamUnit]) -> None:
        self.units = tuple(units)

    @property
    def skipped(self) -> str | None:
        """Reason why this run is skipped: one upstream was."""
        return next((f"{unit} was skipped: {unit.skipped}" for unit in self.units if unit.skipped), None)

    @property
    def reads(self) -> frozenset[str]:
        """The keys of the context that anything upstream read."""
        return frozenset(key for unit in self.units for key in unit.reads)

    def check(self) -> None:
        """Raise `UpstreamError` if a run upstream failed."""
        for unit in self.units:
            if unit.failure is not None:
                raise UpstreamError(f"{unit} failed in {unit.failure}")

    def find(self, artifact: Artifact) -> FoundArtifact:
        """Return where an artifact lies."""
        found = resolve(artifact, ((unit, unit.outputs) for unit in self.units))
        if len(found) != 1:
            known = ", ".join(repr(unit.experiment) for unit in self.units) or "nothing"
            declared = ", ".join(repr(output.name) for unit in self.units for output in unit.outputs)
            raise DefinitionError(
                f"artifact {artifact.name!r} is declared by {len(found)} of the experiments upstream "
                f"({known}); their outputs are {declared or 'none'}"
            )
        ((unit, output),) = found
        return unit.locate(output.name)


def _decoded(data: bytes) -> str:
    return data.decode()


def _encoded(value: str) -> bytes:
    return value.encode()


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _from_npy(data: bytes) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _as_npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(value), allow_pickle=False)
    return file.getvalue()
