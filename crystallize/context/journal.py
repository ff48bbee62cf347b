"""The journal of a condition run: the engine's view of what it knows and of what it has done so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np

from crystallize.context.freezing import summarize
from crystallize.context.recording import CallEntry, KeptArtifact, MetricEntry, Note
from crystallize.context.seeding import generator
from crystallize.context.trace import Event, Scope, untouched

OUTSIDE = "run"
"""Name of the scope of everything that happens outside a data source, treatment or step."""

Asked = Literal["key", "everything", "condition", "replicate", "metrics", "artifacts", "scopes", "writer"]
"""What a cacheable step may ask of a context beside the look-ups and seeds that every scope traces."""

Traced = set[str | None] | frozenset[str | None]
"""Keys that a part has looked up or written; None stands for the seed."""

UNTRACED: Final[Traced] = frozenset()
"""Those of a part that begins."""

_OUTSIDE: Final = untouched(OUTSIDE, 0)
_NO_OUTPUTS: Final[Mapping[str, Callable[[Any], Any] | None]] = MappingProxyType({})
_NO_CALLS: Final[MutableMapping[CallEntry, None]] = {}
"""What a run without calls has; the first one is put into another."""


class Journal:
    """Journal of one condition run: what it knows, and all that it has done so far.

    Data sources, treatments, steps and hooks are given a `FrozenContext`, which lets them read and add; what
    runs them works with the journal behind it.

    Parameters
    ----------
    values : mapping
        Frozen values to begin with; it is not kept.
    word : int
        The replicate's 64-bit word.
    condition, replicate
        What run it is of.

    Attributes
    ----------
    seed : int
        Seed of the replicate, 32 bits.
    values : dict
        Frozen values by key.
    scope : Scope
        What the current part has read and written.
    scopes : list of Scope
        Of all parts so far; the last one is the current one.
    traced : set of str or None
        Keys that the current part has looked up or written; None stands for the seed.
    metrics, artifacts : list
        What was recorded and handed over, in order.
    outputs : mapping
        Name of each declared output -> its writer.
    inputs : Inputs or None
        What the run depends on in other experiments.
    cached_steps : tuple of str
        The steps that were not called, since the cache had their results.
    calls : dict
        Calls of remote functions, in whatever order their replies came; the values say nothing.
    asked : set or None
        What else the current part asked for, noted while a cacheable step runs.
    notes : tuple of (str, any)
        Name and JSON value of what was noted, in order.
    case : str or None
        Id of the case that the run is of, if it is of one; the replicate is then one of its samples.
    sample : int
        Which sample of its case the run is.
    """

    __slots__ = (
        "_rng",
        "artifacts",
        "asked",
        "cached_steps",
        "calls",
        "case",
        "condition",
        "inputs",
        "metrics",
        "notes",
        "outputs",
        "replicate",
        "sample",
        "scope",
        "scopes",
        "seed",
        "traced",
        "values",
        "word",
    )

    def __init__(self, values: Mapping[str, Any], word: int, condition: str, replicate: int) -> None:
        self.values = {**values}
        self.word = word
        self.seed = word >> 32
        self.condition = condition
        self.replicate = replicate
        self.scope = _OUTSIDE
        self.scopes: list[Scope] = []
        self.traced = UNTRACED
        self.metrics: list[MetricEntry] = []
        self.artifacts: list[KeptArtifact] = []
        self.outputs = _NO_OUTPUTS
        self.inputs: Any = None
        self.cached_steps: tuple[str, ...] = ()
        self.calls = _NO_CALLS
        self.asked: set[tuple[Any, str]] | None = None
        self.notes: tuple[Note, ...] = ()
        self.case: str | None = None
        self.sample = 0
        self._rng: np.random.Generator | None = None

    @property
    def number(self) -> int:
        """Number of the replicate as users are told it: of a case, that of its sample."""
        return self.replicate if self.case is None else self.sample

    def enter(self, name: str, index: int) -> None:
        """Begin the data source, treatment or step `name`; what follows is traced under it."""
        self.scope = scope = untouched(name, index)
        self.scopes.append(scope)
        self.traced = UNTRACED
        self._rng = None

    def enter_behind(self, scope: Scope, traced: Traced) -> None:
        """Begin a part where it has looked up some keys, and done nothing else."""
        self.scope = scope
        self.scopes.append(scope)
        self.traced = traced
        self._rng = None

    def begin_behind(self, values: Mapping[str, Any], scope: Scope) -> None:
        """Begin where a part has ended that did nothing but to look up and write these values."""
        self.values = {**values}
        self.scope = scope
        self.scopes.append(scope)

    def trace(self, event: Event, key: str = "", shown: Any = None) -> None:
        """Add an event to the trace of the current part."""
        self.scope = scope = self.scope.then(event, key, shown)
        if self.scopes:
            self.scopes[-1] = scope

    def _add_traced(self, key: str | None) -> None:
        traced = self.traced
        if type(traced) is set:
            traced.add(key)
        else:  # it stands for many parts
            self.traced = {*traced, key} if traced else {key}

    def trace_look_up(self, key: str) -> None:
        """Trace that the current part looks up a key."""
        traced = self.traced
        if type(traced) is set:  # as `_add_traced`, without calling it: this is for each look-up
            traced.add(key)
        else:
            self.traced = {*traced, key} if traced else {key}
        if key in self.values:
            scope = self.scope.then("read", key, summarize(self.values[key]))
        else:
            scope = self.scope.then("absent", key)
        self.scope = scope
        if self.scopes:
            self.scopes[-1] = scope

    def trace_seed(self) -> None:
        """Trace that the current part asks for random numbers or the seed."""
        if None not in self.traced:
            self._add_traced(None)
            self.trace("seeded")

    def write(self, key: str, frozen: Any) -> None:
        """Add a key, whose value is frozen."""
        self.values[key] = frozen
        self._add_traced(key)
        self.trace("write", key, summarize(frozen))

    def ask(self, what: Asked, name: str = "") -> None:
        """Note what else a cacheable step depends on."""
        if self.asked is not None:
            self.asked.add((what, name))

    def generator(self) -> np.random.Generator:
        """Return the generator of the current part."""
        if self._rng is None:
            self.trace_seed()
            self._rng = generator(self.word, self.scope.index)
        return self._rng

    @property
    def drawing(self) -> np.random.Generator | None:
        """The generator of the current part, if it was asked for."""
        return self._rng

    def forget_generator(self) -> None:
        """Have the current part draw from the beginning of its stream when it next asks for the generator."""
        self._rng = None

    # Cacheable steps.

    def set_apart(self, asked: set[tuple[Any, str]]) -> tuple[Scope, Traced]:
        """Begin the trace of the current part anew; return what `rejoin` is given to put it behind the old.

        Parameters
        ----------
        asked : set
            Takes what is asked for meanwhile.
        """
        outer = self.scope, self.traced
        self.scope, self.traced, self._rng = untouched(self.scope.name, self.scope.index), UNTRACED, None
        self.asked = asked
        return outer

    def rejoin(self, outer: tuple[Scope, Traced]) -> list[tuple[Event, str]]:
        """End what `set_apart` began; return what was looked up and written meanwhile, in order."""
        events = self.scope.events
        (self.scope, self.traced), self.asked = outer, None
        if self.scopes:
            self.scopes[-1] = self.scope
        self.retrace(events)
        return events

    def retrace(self, events: Iterable[tuple[Event, str]]) -> None:
        """Trace what a step looked up and wrote, unless a hook before it did so already."""
        self._rng = None
        for event, key in events:
            if event == "seeded":
                self.trace_seed()
            elif event == "write" or key not in self.traced:
                self._add_traced(key)
                self.trace(event, key, None if event == "absent" else summarize(self.values[key]))
