"""How many calls of remote functions were made, and how many were not."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from crystallize.text.formatting import counted


@dataclass(slots=True)
class Counts:
    """Calls of one remote function.

    Attributes
    ----------
    calls : int
        How often it was called.
    made : int
        How many calls left this machine, each once, however often it was tried.
    kept : int
        Calls whose reply was kept already.
    awaited : int
        Calls that waited for an equal one, and took its reply.
    retries : int
        Tries after the first of a call.
    refusals : int
        Tries that were refused since there were too many.
    waited : float
        Seconds for which calls waited until they were tried again, and until everybody's pause was over.
    """

    calls: int = 0
    made: int = 0
    kept: int = 0
    awaited: int = 0
    retries: int = 0
    refusals: int = 0
    waited: float = 0.0

    def plus(self, other: Counts) -> Counts:
        """Return the sum."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Counts(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def line(self, name: str) -> str:
        """Say what became of the calls."""
        parts = [f"{self.made} of {counted(self.calls, 'call')} made, {self.kept + self.awaited} saved"]
        if self.awaited:
            parts[0] += f" ({self.awaited} by waiting for an equal one)"
        if self.retries or self.refusals:
            refused = f" ({self.refusals} refused)" if self.refusals else ""
            retries = f"{self.retries} {'retry' if self.retries == 1 else 'retries'}"
            parts.append(f"{retries}{refused}, {self.waited:.1f} s waited for them")
        return f"remote {name}: {', '.join(parts)}"


METER: ContextVar[Callable[[int], object] | None] = ContextVar("crystallize_meter", default=None)
"""Is told of each call that is made, where a budget holds; tasks and threads of a run inherit it."""

Heard = Callable[[str, dict[str, float]], object]
"""Is told what is added to the counts of a function, as soon as it is."""

_counts: dict[str, Counts] = {}
_heard: list[Heard] = []
_lock = threading.Lock()


def count(name: str, **more: float) -> None:
    """Add to the counts of a function."""
    with _lock:
        counts = _counts.setdefault(name, Counts())
        for field, number in more.items():
            setattr(counts, field, getattr(counts, field) + number)
        for heard in _heard:
            heard(name, more)
    meter = METER.get()
    if meter is not None and (made := int(more.get("made", 0))):
        meter(made)


def calls_made(*, anew: bool = False) -> dict[str, Counts]:
    """Return name -> counts of each function that this process has called; on request, forget them."""
    with _lock:
        found = {name: dataclasses.replace(counts) for name, counts in sorted(_counts.items())}
        if anew:
            _counts.clear()
    return found


def hear_counts(heard: Heard | None) -> None:
    """Have every count from now on be told, in the order in which they are made; None: tell nobody."""
    with _lock:
        _heard[:] = [] if heard is None else [heard]


def counts_of_lines(lines: Iterable[bytes]) -> dict[str, Counts]:
    """Return name -> counts of lines of JSON, each a name and what is added; what is torn is left out."""
    total: dict[str, Counts] = {}
    for line in lines:
        try:
            name, more = json.loads(line)
            total[name] = total.get(name, Counts()).plus(Counts(**more))
        except (ValueError, TypeError):
            continue
    return total
