"""The immutable context of a condition run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from crystallize.context.freezing import ATOMIC, freeze, summarize, thaw
from crystallize.context.journal import Journal
from crystallize.context.outputs import Artifacts, Metrics, add_note
from crystallize.context.seeding import check_root_seed
from crystallize.context.timing import timed
from crystallize.context.trace import Scope
from crystallize.errors import ContextMutationError, ContextValueError

LOGGER = logging.getLogger("crystallize")

T = TypeVar("T")

RUN_KEYS: Final = ("condition", "replicate", "seed_used")
"""Keys that every context answers to, unless they are set: what run it is of, and the replicate's seed."""


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

    __slots__ = ("_journal",)

    def __init__(self, initial: Mapping[str, Any] | None = None, *, seed: int = 0) -> None:
        bits = np.random.PCG64(np.random.SeedSequence(check_root_seed(seed)))
        word = int(bits.random_raw())
        self._journal = Journal(frozen_mapping(initial or {}), word, "baseline", 0)

    @property
    def condition(self) -> str:
        """Name of the condition: ``"baseline"``, or the treatment's name."""
        self._journal.ask("condition")
        return self._journal.condition

    @property
    def replicate(self) -> int:
        """0-based number of the replicate; where there are cases, of the sample of its case."""
        self._journal.ask("replicate")
        return self._journal.number

    @property
    def scopes(self) -> list[Scope]:
        """Reads and writes of the data source, the treatment and the steps so far."""
        self._journal.ask("scopes")
        return self._journal.scopes

    @property
    def metrics(self) -> Metrics:
        """The metrics log of this condition run."""
        return Metrics(self._journal)

    @property
    def artifacts(self) -> Artifacts:
        """The artifact log of this condition run."""
        return Artifacts(self._journal)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return self.get_value(key, self._of_the_run(key) if key in RUN_KEYS else default)

    def get_value(self, key: str, default: Any = None) -> Any:
        """Return the value that was set under `key`, or `default` if none was."""
        journal = self._journal
        if key not in journal.traced:
            journal.trace_look_up(key)
        if key not in journal.values:
            return default
        value = journal.values[key]
        return value if type(value) in ATOMIC else thaw(value)

    def _of_the_run(self, key: str) -> Any:
        """Return what a key of `RUN_KEYS` gives if it is not set."""
        if key in self._journal.values:
            return None
        match key:
            case "condition":
                return self.condition
            case "replicate":
                return self.replicate
        return self.seed

    __iter__ = None  # or else it would be tried with the keys 0, 1, ...; see `as_dict`

    def __contains__(self, key: object) -> bool:
        if key not in self._journal.traced and isinstance(key, str):
            self._journal.trace_look_up(key)
        return key in self._journal.values or key in RUN_KEYS

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            self._journal.ask("everything")  # the message tells of other keys
            known = ", ".join(map(repr, sorted(self._journal.values))) or "nothing"
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
        if key in self._journal.values:
            self._journal.ask("key", key)
            old = self._journal.values[key]
            raise ContextMutationError(
                f"context key {key!r} is {summarize(old)!r} and can't be replaced by {summarize(value)!r}; "
                "add another key"
            )
        frozen = value if type(value) in ATOMIC and type(key) is str else _frozen(key, value)
        self._journal.write(key, frozen)

    def __setitem__(self, key: str, value: Any) -> None:
        self.add(key, value)

    def __delitem__(self, key: str) -> None:
        self._journal.ask("key", key)
        old = f" is {summarize(self._journal.values[key])!r} and" if key in self._journal.values else ""
        raise ContextMutationError(f"context key {key!r}{old} can't be deleted")

    def as_dict(self) -> dict[str, Any]:
        """Return all keys and values, as copies; this reads every key."""
        self._journal.ask("everything")  # a key that is added later is one that this would read
        return {key: self.get(key) for key in self._journal.values}

    def record(self, name: str, value: Any, *, unit: str | int | None = None, measured: bool = False) -> None:
        """Record a metric, as `ctx.metrics.add` does."""
        self.metrics.add(name, value, unit=unit, measured=measured)

    def note(self, name: str, value: Any) -> None:
        """Note a text, or other plain data, for who reads the reports: it decides nothing.

        It is kept with the run, stored and shown with it: in the reports of cases side by side for all
        conditions. Texts of more than 4,000 characters, and other values whose JSON is longer, are cut; there
        may be several of one name.

        Parameters
        ----------
        name : str
            What it is, such as ``"answer"``.
        value : number, str, bool, None, or lists and dicts of them
            numpy scalars are converted.

        Raises
        ------
        MetricError
            If the name is not a non-empty string, JSON can't carry the value, or it is the 101st of the run.
        """
        add_note(self._journal, name, value)

    def time(
        self,
        function: Callable[..., T],
        *args: Any,
        metric: str = "seconds",
        rounds: int = 5,
        warmup: int = 1,
        calls: int | None = None,
    ) -> T:
        """Time a function, and record how many seconds a call takes: the least and the mean of some rounds.

        It is called to warm up, then in rounds of as many calls as the clock's resolution asks for, while the
        collection of garbage is held off. So it is called often: it must not depend on that, nor record
        anything. Random generators go on behind it as behind its first call.

        Parameters
        ----------
        function : callable
            What is timed; one with keywords is bound by `functools.partial`.
        *args
            What it is called with.
        metric : str
            Begins the names of the two metrics, which are recorded with `measured=True`: with the default,
            ``"seconds_min"``, which other processes disturb least, and ``"seconds_mean"``.
        rounds : int
            How many rounds.
        warmup : int
            Calls before the first round.
        calls : int, optional
            Calls of a round; by default as many as take a millisecond, one of whatever takes longer.

        Returns
        -------
        object
            What the first call returned.

        Raises
        ------
        MetricError
            If the function is asynchronous or records something, or a number makes no sense.

        Examples
        --------
        >>> ctx = FrozenContext()
        >>> ctx.time(sorted, [3, 1, 2])
        [1, 2, 3]
        >>> [entry.name for entry in ctx.metrics.entries]
        ['seconds_min', 'seconds_mean']
        """
        returned: T = timed(
            self._journal, function, args, metric=metric, rounds=rounds, warmup=warmup, calls=calls
        )
        return returned

    @property
    def seed(self) -> int:
        """Seed of the replicate, 32 bits, the same in every condition."""
        self._journal.trace_seed()
        return self._journal.seed

    @property
    def rng(self) -> np.random.Generator:
        """Generator of this replicate and step, the same in every condition."""
        return self._journal.generator()

    @property
    def logger(self) -> logging.Logger:
        """Logger of this package."""
        return LOGGER

    def __repr__(self) -> str:
        self._journal.ask("everything")
        shown = ", ".join(f"{key}={summarize(value)!r}" for key, value in self._journal.values.items())
        return f"FrozenContext({shown})"


_blank: Final = object.__new__


def context_of(journal: Journal) -> FrozenContext:
    """Return the face of a journal that users are given."""
    ctx: FrozenContext = _blank(FrozenContext)
    ctx._journal = journal
    return ctx


def journal_of(ctx: FrozenContext) -> Journal:
    """Return the journal behind a context; no attribute of it, since no step may depend on it."""
    return ctx._journal


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
