"""The immutable context of a condition run, with its log of metrics and artifacts."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from crystallize.core.freezing import freeze, summarize, thaw
from crystallize.core.names import unsafe_file_name
from crystallize.core.seeding import check_root_seed, generator
from crystallize.errors import ArtifactError, ContextMutationError, ContextValueError, MetricError

LOGGER = logging.getLogger("crystallize")

OUTSIDE = "run"
"""Name of the scope of everything that happens outside a data source, treatment or step."""


class MetricEntry(NamedTuple):
    """One recorded value of a metric."""

    name: str
    value: Any
    unit: str | int | None
    measured: bool
    step: str


class Artifact(NamedTuple):
    """Bytes that a step wants kept."""

    name: str
    data: bytes
    step: str


class Scope:
    """What one part of a run (data source, treatment, step) read and wrote of the context.

    Attributes
    ----------
    name : str
        Name of the data source, treatment or step.
    index : int
        Where its random numbers come from: 0 for the data source, k for the k-th step.
    reads : dict
        Key -> shown value, of each key that was found. Keys the part had itself written do not count.
    absent : list of str
        Keys that were looked up and not found.
    writes : dict
        Key -> shown value.
    seeded : bool
        Whether `seed` or `rng` was asked for.
    """

    __slots__ = ("absent", "index", "name", "reads", "seeded", "writes")

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self.reads: dict[str, Any] = {}
        self.absent: list[str] = []
        self.writes: dict[str, Any] = {}
        self.seeded = False

    def to_json(self) -> list[Any]:
        """Return the trace as JSON data."""
        return [self.name, self.index, self.reads, self.absent, self.writes, self.seeded]

    @classmethod
    def from_json(cls, data: list[Any]) -> Scope:
        """Build a trace from what `to_json` returned."""
        scope = cls(data[0], data[1])
        scope.reads, scope.absent, scope.writes, scope.seeded = data[2:]
        return scope


class Metrics:
    """The metrics log of one condition run; `ctx.metrics`."""

    __slots__ = ("_context", "entries")

    def __init__(self, context: FrozenContext) -> None:
        self._context = context
        self.entries: list[MetricEntry] = []

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
        step = self._context._scope.name
        if type(name) is not str or not name:
            raise MetricError(f"a metric of {step!r} is named {name!r}; a name is a non-empty string")
        if type(value) not in _PLAIN:
            value = _plain(value, name, step)
        if unit is not None and type(unit) not in (str, int):
            raise MetricError(f"metric {name!r} of {step!r} has unit {unit!r}; a unit is a string or an int")
        self.entries.append(MetricEntry(name, value, unit, bool(measured), step))


_PLAIN = frozenset({int, float, bool, str, type(None)})


def _plain(value: Any, name: str, step: str) -> Any:
    """Convert a metric's value to exact JSON types."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, np.generic) and isinstance(plain := value.item(), bool | int | float | str):
        return plain
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item, name, step) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise MetricError(
                    f"metric {name!r} of {step!r} is a mapping with key {key!r}; keys are strings"
                )
        return {str(key): _plain(item, name, step) for key, item in value.items()}
    advice = (
        "record its .tolist()" if isinstance(value, np.ndarray) else "record float(...) of it, or parts of it"
    )
    raise MetricError(
        f"metric {name!r} of {step!r} holds a {kind.__module__}.{kind.__qualname__}, which JSON can't carry; "
        f"allowed are numbers, strings, booleans, None, and lists and dicts of them: {advice}"
    )


class Artifacts:
    """The artifact log of one condition run; `ctx.artifacts`."""

    __slots__ = ("_context", "entries")

    def __init__(self, context: FrozenContext) -> None:
        self._context = context
        self.entries: list[Artifact] = []

    def add(self, name: str, data: bytes) -> None:
        """Hand over bytes to be kept under `name`, in a directory of this replicate, condition and step.

        Raises
        ------
        ArtifactError
            If the name is unsafe as a file name on any platform or already used by this step, or `data` is
            not bytes.
        """
        step = self._context._scope.name
        if not isinstance(name, str) or (fault := unsafe_file_name(name)):
            reason = fault if isinstance(name, str) else "it is not a string"
            raise ArtifactError(
                f"artifact {name!r} of {step!r} can't be written: {reason}; give a plain file name such as 'model.bin'"
            )
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ArtifactError(
                f"artifact {name!r} of {step!r} is a {type(data).__qualname__}; give bytes, as in text.encode()"
            )
        if any(entry.name.lower() == name.lower() and entry.step == step for entry in self.entries):
            raise ArtifactError(f"artifact {name!r} was added twice by {step!r} in one run; give each a name")
        self.entries.append(Artifact(name, bytes(data), step))


class FrozenContext:
    """Parameters of one condition run: keys can be added, never replaced or deleted.

    Mutable values come back as copies, numpy arrays as read-only views, so that no step can change what
    another one sees. Every look-up is traced, an absent key too.

    Parameters
    ----------
    initial : mapping, optional
        Keys to begin with.
    seed : int
        Root seed of a context that is made by hand, for instance to try out a step; its `seed` and `rng` are
        those of replicate 0 under that root seed.

    Raises
    ------
    ContextValueError
        If a value can't be copied.

    Examples
    --------
    >>> ctx = FrozenContext({"depth": 3})
    >>> ctx["width"] = 8
    >>> ctx.get("depth"), ctx["width"], "height" in ctx
    (3, 8, False)
    >>> ctx["depth"] = 4
    Traceback (most recent call last):
        ...
    crystallize.errors.ContextMutationError: context key 'depth' is 3 and can't be replaced by 4; add another key
    """

    __slots__ = (
        "_rng",
        "_scope",
        "_values",
        "_word",
        "artifacts",
        "condition",
        "logger",
        "metrics",
        "replicate",
        "scopes",
    )

    _values: dict[str, Any]
    _word: int

    def __init__(self, initial: Mapping[str, Any] | None = None, *, seed: int = 0) -> None:
        values = frozen_mapping(initial or {})
        bits = np.random.PCG64(np.random.SeedSequence(check_root_seed(seed)))
        self._begin(values, int(bits.random_raw()), "baseline", 0, LOGGER)

    def _begin(
        self, values: dict[str, Any], word: int, condition: str, replicate: int, logger: logging.Logger
    ) -> None:
        self._values = values
        self._word = word
        self._rng: np.random.Generator | None = None
        self._scope = Scope(OUTSIDE, 0)
        self.scopes: list[Scope] = []
        self.metrics = Metrics(self)
        self.artifacts = Artifacts(self)
        self.condition = condition
        self.replicate = replicate
        self.logger = logger

    @classmethod
    def _for_run(
        cls, frozen: dict[str, Any], word: int, condition: str, replicate: int, logger: logging.Logger
    ) -> FrozenContext:
        """Make the context of a unit of work from values that are frozen already; `frozen` is not kept."""
        ctx = cls.__new__(cls)
        ctx._begin(frozen.copy(), word, condition, replicate, logger)
        return ctx

    def _enter(self, name: str, index: int) -> Scope:
        """Begin the data source, treatment or step `name`; what follows is traced under it."""
        scope = self._scope = Scope(name, index)
        self.scopes.append(scope)
        self._rng = None
        return scope

    # What steps use.

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        scope = self._scope
        if key in self._values:
            value = self._values[key]
            if key not in scope.reads and key not in scope.writes:
                scope.reads[key] = summarize(value)
            return thaw(value)
        if key not in scope.absent:
            scope.absent.append(key)
        return default

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            known = ", ".join(map(repr, sorted(self._values))) or "nothing"
            raise KeyError(f"the context has no key {key!r}; it has {known}")
        return self.get(key)

    def __contains__(self, key: object) -> bool:
        scope = self._scope
        if key in self._values:
            if key not in scope.reads and key not in scope.writes:
                scope.reads[str(key)] = summarize(self._values[key])  # type: ignore[index]
            return True
        if key not in scope.absent:
            scope.absent.append(str(key))
        return False

    def add(self, key: str, value: Any) -> None:
        """Add a key.

        Raises
        ------
        ContextMutationError
            If the key is there already.
        ContextValueError
            If the value can't be copied, so that nobody could be kept from changing it.
        """
        if key in self._values:
            old = self._values[key]
            raise ContextMutationError(
                f"context key {key!r} is {summarize(old)!r} and can't be replaced by {summarize(value)!r}; "
                "add another key"
            )
        frozen = _frozen(key, value)
        self._values[key] = frozen
        self._scope.writes[key] = summarize(frozen)

    def __setitem__(self, key: str, value: Any) -> None:
        self.add(key, value)

    def __delitem__(self, key: str) -> None:
        old = f" is {summarize(self._values[key])!r} and" if key in self._values else ""
        raise ContextMutationError(f"context key {key!r}{old} can't be deleted")

    def as_dict(self) -> dict[str, Any]:
        """Return all keys and values, as copies; this reads every key."""
        return {key: self.get(key) for key in self._values}

    def record(self, name: str, value: Any, *, unit: str | int | None = None, measured: bool = False) -> None:
        """Record a metric, as `ctx.metrics.add` does."""
        self.metrics.add(name, value, unit=unit, measured=measured)

    @property
    def seed(self) -> int:
        """Seed of the replicate, 32 bits, the same in every condition."""
        self._scope.seeded = True
        return self._word >> 32

    @property
    def rng(self) -> np.random.Generator:
        """Generator of this replicate and step, the same in every condition."""
        if self._rng is None:
            self._scope.seeded = True
            self._rng = generator(self._word, self._scope.index)
        return self._rng

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={summarize(value)!r}" for key, value in self._values.items())
        return f"FrozenContext({shown})"


def frozen_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return frozen copies of the values of a mapping, by key.

    Raises
    ------
    ContextValueError
        If a key is not a string or a value can't be copied.
    """
    return {key: _frozen(key, value) for key, value in values.items()}


def _frozen(key: str, value: Any) -> Any:
    if not isinstance(key, str):
        raise ContextValueError(f"context key {key!r} is a {type(key).__qualname__}; keys are strings")
    try:
        return freeze(value)
    except (TypeError, RecursionError) as error:
        raise ContextValueError(
            f"context key {key!r} can't be kept immutable: {error or 'it contains itself'}; give plain data, or "
            "wrap what opens it in crystallize.resource_factory"
        ) from error


def is_number(value: Any) -> bool:
    """Tell whether a metric's value counts as a number; booleans are 0 and 1."""
    return isinstance(value, int | float)


def is_finite(value: Any) -> bool:
    """Tell whether a metric's value is a finite number."""
    try:
        return is_number(value) and math.isfinite(value)
    except OverflowError:
        return False
