"""Units of work, the order in which they are run, and who gives their records."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, overload

from crystallize.context.record import RunRecord

_new_tuple: Final = tuple.__new__  # the shortest way: there are many


class Unit(NamedTuple):
    """Unit of work."""

    replicate: int
    condition: str


def unit_of(record: RunRecord) -> Unit:
    """Return the unit that a record is of."""
    return Unit(record.replicate, record.condition)


def units(conditions: Sequence[str], replicates: Iterable[int]) -> Iterator[Unit]:
    """Yield the units in the order in which one process runs them.

    Within a replicate the order of the conditions rotates with the replicate's number, so that a machine
    that warms up or slows down favours none of them.
    """
    turns = [rotated(conditions, turn) for turn in range(len(conditions))]
    for replicate in replicates:
        for condition in turns[replicate % len(turns)]:
            yield _new_tuple(Unit, (replicate, condition))


class Units(Sequence[Unit]):
    """The units of some replicates as `units` yields them; each is made when it is asked for.

    Parameters
    ----------
    conditions : sequence of str
        In the order of the first replicate.
    replicates : range
        Which replicates.
    """

    __slots__ = ("_conditions", "_replicates")

    def __init__(self, conditions: Sequence[str], replicates: range) -> None:
        self._conditions = conditions
        self._replicates = replicates

    def __len__(self) -> int:
        return len(self._conditions) * len(self._replicates)

    def __iter__(self) -> Iterator[Unit]:
        return units(self._conditions, self._replicates)

    @overload
    def __getitem__(self, place: int) -> Unit: ...

    @overload
    def __getitem__(self, place: slice) -> list[Unit]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        number, condition = divmod(range(len(self))[place], len(self._conditions))
        replicate = self._replicates[number]
        return Unit(replicate, rotated(self._conditions, replicate)[condition])


def rotated(conditions: Sequence[str], replicate: int) -> list[str]:
    """Return the conditions in the order in which this replicate runs them."""
    first = replicate % len(conditions)
    return [*conditions[first:], *conditions[:first]]


Arriving = Iterator[RunRecord | Awaitable[object]]
"""Records, and in between what is to be awaited on the running event loop."""


class RecordSource(Protocol):
    """Source of records of units: they are run here or elsewhere, were stored, or arrive from others.

    Who looks at them asks for some units and takes records in whatever order they arrive. Sources may stand
    behind one another: one gives what it has, and asks the next one for the rest.
    """

    def records(self, units: Sequence[Unit]) -> Arriving:
        """Yield the record of every unit, in any order; if closed, have nothing be run any more.

        A source that runs units on an event loop yields in between what is to be awaited there, before it is
        asked for more.
        """
