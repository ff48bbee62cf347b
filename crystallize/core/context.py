"""The immutable context of a condition run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np

from crystallize.core.freezing import ATOMIC, freeze, summarize, thaw
from crystallize.core.recording import Artifacts, KeptArtifact, MetricEntry, Metrics
from crystallize.core.seeding import check_root_seed, generator
from crystallize.core.trace import Event, Scope, untouched
from crystallize.errors import ContextMutationError, ContextValueError

LOGGER = logging.getLogger("crystallize")

_NO_OUTPUTS: Final[Mapping[str, Callable[[Any], Any] | None]] = MappingProxyType({})

OUTSIDE = "run"
"""Name of the scope of everything that happens outside a data source, treatment or step."""

RUN_KEYS: Final = ("condition", "replicate", "seed_used")
"""Keys that every context answers to, unless they are set: what run it is of, and the replicate's seed."""

Asked = Literal["key", "everything", "condition", "replicate", "metrics", "artifacts", "scopes", "writer"]
"""What a cacheable step may ask of a context beside the look-ups and seeds that every scope traces."""


class FrozenContext:
    """Parameters of one condition run: keys can be added, never replaced or deleted.

    Mutable values come back as copies, numpy arrays as read-only views, so that no step can change what
    another one sees. Every look-up is traced, an absent key too.

    The keys ``"condition"``, ``"replicate"`` and ``"seed_used"`` give what the attributes `condition`,
    `replicate` and `seed` do, unless the initial context, a treatment or a step sets such a key. They are no
    values of the context: `as_dict` leaves them out, and no default of a parameter gives way to them.

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
    >>> ctx["depth"] = 4  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    crystallize.errors.ContextMutationError: context key 'depth' is 3 and can't be replaced by 4; ...
    """

    __slots__ = (
        "_artifacts",
        "_asked",
        "_condition",
        "_inputs",
        "_metrics",
        "_outputs",
        "_repeated",
        "_replicate",
        "_rng",
        "_scope",
        "_scopes",
        "_traced",
        "_values",
        "_word",
        "logger",
    )

    def __init__(self, initial: Mapping[str, Any] | None = None, *, seed: int = 0) -> None:
        bits = np.random.PCG64(np.random.SeedSequence(check_root_seed(seed)))
        self._begin(frozen_mapping(initial or {}), int(bits.random_raw()), "baseline", 0, LOGGER)

    def _begin(
        self, values: dict[str, Any], word: int, condition: str, replicate: int, logger: logging.Logger
    ) -> None:
        self._values = values
        self._word = word
        self._rng: np.random.Generator | None = None
        self._scope = untouched(OUTSIDE, 0)
        self._traced: set[str | None] = set()
        self._metrics: list[MetricEntry] = []
        self._artifacts: list[KeptArtifact] = []
        self._inputs: Any = None
        self._repeated: tuple[str, ...] = ()  # cacheable steps that were taken from the cache
        self._outputs = _NO_OUTPUTS
        self._scopes: list[Scope] = []
        self._asked: set[tuple[Asked, str]] | None = None  # a set while a cacheable step runs
        self._condition = condition
        self._replicate = replicate
        self.logger = logger

    @classmethod
    def _for_run(
        cls, frozen: Mapping[str, Any], word: int, condition: str, replicate: int, logger: logging.Logger
    ) -> FrozenContext:
        """Make the context of a unit of work from values that are frozen already; `frozen` is not kept."""
        ctx = cls.__new__(cls)
        ctx._begin({**frozen}, word, condition, replicate, logger)
        return ctx

    def _enter(self, name: str, index: int) -> None:
        """Begin the data source, treatment or step `name`; what follows is traced under it."""
        self._scope = scope = untouched(name, index)
        self._scopes.append(scope)
        if self._traced:
            self._traced = set()
        self._rng = None

    def _trace(self, event: Event, key: str = "", shown: Any = None) -> None:
        """Add an event to the trace of the current scope."""
        self._scope = scope = self._scope.then(event, key, shown)
        if self._scopes:
            self._scopes[-1] = scope

    def _trace_look_up(self, key: str) -> None:
        self._traced.add(key)
        if key in self._values:
            self._trace("read", key, summarize(self._values[key]))
        else:
            self._trace("absent", key)

    def _trace_seeded(self) -> None:
        if None not in self._traced:
            self._traced.add(None)
            self._trace("seeded")

    def _ask(self, what: Asked, name: str = "") -> None:
        """Note what else a cacheable step depends on."""
        if self._asked is not None:
            self._asked.add((what, name))

    # What steps use.

    @property
    def condition(self) -> str:
        """Name of the condition: ``"baseline"``, or the treatment's name."""
        self._ask("condition")
        return self._condition

    @property
    def replicate(self) -> int:
        """0-based number of the replicate."""
        self._ask("replicate")
        return self._replicate

    @property
    def scopes(self) -> list[Scope]:
        """What data source, treatment and steps have read and written so far."""
        self._ask("scopes")
        return self._scopes

    @property
    def metrics(self) -> Metrics:
        """The metrics log of this condition run."""
        return Metrics(self)  # made when asked for: kept, it would make a cycle for the collector to find

    @property
    def artifacts(self) -> Artifacts:
        """The artifact log of this condition run."""
        return Artifacts(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return self.get_value(key, self._of_the_run(key) if key in RUN_KEYS else default)

    def get_value(self, key: str, default: Any = None) -> Any:
        """Return the value that was set under `key`, or `default` if none was."""
        if key not in self._traced:
            self._trace_look_up(key)
        if key not in self._values:
            return default
        value = self._values[key]
        return value if type(value) in ATOMIC else thaw(value)

    def _of_the_run(self, key: str) -> Any:
        """Return what a key of `RUN_KEYS` gives if it is not set."""
        if key in self._values:
            return None
        match key:
            case "condition":
                return self.condition
            case "replicate":
                return self.replicate
        return self.seed

    __iter__ = None  # or else it would be tried with the keys 0, 1, ...; see `as_dict`

    def __contains__(self, key: object) -> bool:
        if key not in self._traced and isinstance(key, str):
            self._trace_look_up(key)
        return key in self._values or key in RUN_KEYS

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            self._ask("everything")  # the message tells of other keys
            known = ", ".join(map(repr, sorted(self._values))) or "nothing"
            raise KeyError(f"the context has no key {key!r}; it has {known}")
        return self.get(key)

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
            self._ask("key", key)
            old = self._values[key]
            raise ContextMutationError(
                f"context key {key!r} is {summarize(old)!r} and can't be replaced by {summarize(value)!r}; "
                "add another key"
            )
        frozen = value if type(value) in ATOMIC and type(key) is str else _frozen(key, value)
        self._values[key] = frozen
        self._traced.add(key)
        self._trace("write", key, summarize(frozen))

    def __setitem__(self, key: str, value: Any) -> None:
        self.add(key, value)

    def __delitem__(self, key: str) -> None:
        self._ask("key", key)
        old = f" is {summarize(self._values[key])!r} and" if key in self._values else ""
        raise ContextMutationError(f"context key {key!r}{old} can't be deleted")

    def as_dict(self) -> dict[str, Any]:
        """Return all keys and values, as copies; this reads every key."""
        self._ask("everything")  # a key that is added later is one that this would read
        return {key: self.get(key) for key in self._values}

    def record(self, name: str, value: Any, *, unit: str | int | None = None, measured: bool = False) -> None:
        """Record a metric, as `ctx.metrics.add` does."""
        self.metrics.add(name, value, unit=unit, measured=measured)

    @property
    def seed(self) -> int:
        """Seed of the replicate, 32 bits, the same in every condition."""
        self._trace_seeded()
        return self._word >> 32

    @property
    def rng(self) -> np.random.Generator:
        """Generator of this replicate and step, the same in every condition."""
        if self._rng is None:
            self._trace_seeded()
            self._rng = generator(self._word, self._scope.index)
        return self._rng

    def __repr__(self) -> str:
        self._ask("everything")
        shown = ", ".join(f"{key}={summarize(value)!r}" for key, value in self._values.items())
        return f"FrozenContext({shown})"


def steps_from_cache(ctx: FrozenContext) -> tuple[str, ...]:
    """Return the steps so far that were not called; no attribute, since no step may depend on it."""
    return ctx._repeated


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
    except TypeError as error:
        raise ContextValueError(
            f"context key {key!r} can't be kept immutable: {error}; give plain data, or wrap what opens it "
            "in crystallize.resource_factory"
        ) from error
