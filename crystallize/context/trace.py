"""What the parts of a condition run read and wrote of the context."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

Event = Literal["read", "absent", "write", "seeded"]

_MOST_KEPT: Final = 10_000


class Scope:
    """Reads and writes of the context by one part of a run (data source, treatment, step).

    A scope never changes: what happens next leads from it to another one, and the same events lead to the
    same object. The runs of a condition mostly leave equal traces, so a hundred thousand of them take the
    space of one.

    Parameters
    ----------
    name : str
        Name of the data source, treatment or step.
    index : int
        Where its random numbers come from: 0 for the data source, k for the k-th step.
    before : Scope, optional
        The scope that an event led from.
    event : str
        ``"read"``, ``"absent"``, ``"write"`` or ``"seeded"``.
    key : str
        The key of the context that was read, not found, or written.
    shown : JSON value
        What is shown of its value.
    """

    __slots__ = ("_next", "_text", "before", "event", "index", "key", "name", "shown")

    def __init__(
        self,
        name: str,
        index: int,
        before: Scope | None = None,
        event: Event | None = None,
        key: str = "",
        shown: Any = None,
    ) -> None:
        self.name = name
        self.index = index
        self.before = before
        self.event = event
        self.key = key
        self.shown = shown
        self._next: dict[tuple[Any, ...], Scope] = {}
        self._text: str | None = None

    @property
    def reads(self) -> dict[str, Any]:
        """Key -> shown value, of each key that was found. Keys the part had itself written do not count."""
        return {scope.key: scope.shown for scope in self._events("read")}

    @property
    def absent(self) -> list[str]:
        """Keys that were looked up and not found."""
        return [scope.key for scope in self._events("absent")]

    @property
    def writes(self) -> dict[str, Any]:
        """Key -> shown value, of each key that was added."""
        return {scope.key: scope.shown for scope in self._events("write")}

    @property
    def seeded(self) -> bool:
        """Whether `seed` or `rng` was asked for."""
        return bool(self._events("seeded"))

    @property
    def events(self) -> list[tuple[Event, str]]:
        """Every event with its key, in order."""
        return [(scope.event, scope.key) for scope in self._path() if scope.event is not None][::-1]

    def then(self, event: Event, key: str = "", shown: Any = None) -> Scope:
        """Return the scope that an event leads to."""
        step: tuple[Any, ...] = (event, key)
        if shown is not None:  # 1 and True are told apart by types, 0.0 and -0.0 by texts, nan is one by its
            step = (event, key, type(shown), shown if shown and shown == shown else str(shown))
        following = self._next.get(step)
        if following is None:
            following = self._next.setdefault(step, Scope(self.name, self.index, self, event, key, shown))
            _forks.add(self._next)
        return following

    def to_json(self) -> tuple[Any, ...]:
        """Return the trace as JSON data."""
        return (self.name, self.index, self.reads, self.absent, self.writes, self.seeded)

    def to_text(self) -> str:
        """Return the trace as JSON text, which is made once for all runs."""
        if self._text is None:
            self._text = json.dumps(self.to_json())
        return self._text

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Scope:
        """Build a trace from what `to_json` returned."""
        name, index, reads, absent, writes, seeded = data
        scope = untouched(name, index)
        for key, shown in reads.items():
            scope = scope.then("read", key, shown)
        for key in absent:
            scope = scope.then("absent", key)
        for key, shown in writes.items():
            scope = scope.then("write", key, shown)
        return scope.then("seeded") if seeded else scope

    def _events(self, event: Event) -> list[Scope]:
        return [scope for scope in self._path() if scope.event == event][::-1]

    def _path(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.before

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and (self is other or repr(self) == repr(other))

    def __hash__(self) -> int:
        return hash((self.name, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Scope.from_json, (self.to_json(),))

    def __repr__(self) -> str:
        return f"Scope.from_json({[*self.to_json()]})"


@lru_cache(maxsize=1000)
def scope_of(text: str) -> Scope:
    """Return the scope that `Scope.to_text` was called of."""
    return Scope.from_json(json.loads(text))


class _Forks:
    """Places where scopes are kept for sharing, so that a process that runs for long empties them."""

    def __init__(self) -> None:
        self._known: list[dict[tuple[Any, ...], Scope]] = []

    def add(self, fork: dict[tuple[Any, ...], Scope]) -> None:
        """Know of one more scope that is kept; if there are many, begin anew."""
        self._known.append(fork)
        if len(self._known) >= _MOST_KEPT:
            known, self._known = self._known, []
            for full in known:
                full.clear()


_forks = _Forks()


@lru_cache(maxsize=_MOST_KEPT)
def untouched(name: str, index: int) -> Scope:
    """Return the scope of a part that has neither read nor written anything; the same one every time."""
    return Scope(name, index)
