"""What runs have left in memory, until a run that is made again without it shows whether it matters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crystallize.identity.kept_state import Additions, cleared, refilled_alike, set_aside
from crystallize.identity.process_state import Move, came_again, put_back

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Suspects:
    """Traces of runs that later ones may use, each by its label.

    Attributes
    ----------
    memos : mapping
        Functions whose memos were filled.
    grown : mapping
        Dictionaries, attributes of instances too, with the entries that they got.
    moved : mapping
        Settings of the process that were changed since the first run began.
    """

    memos: Mapping[str, Any] = field(default_factory=dict)
    grown: Mapping[str, Additions] = field(default_factory=dict)
    moved: Mapping[str, Move] = field(default_factory=dict)

    def without(self, sound: Collection[str]) -> Suspects:
        """Return those that are not known to keep what is the same for all."""
        return Suspects(_but(sound, self.memos), _but(sound, self.grown), _but(sound, self.moved))

    @property
    def labels(self) -> list[str]:
        """The labels of all of them."""
        return [*self.memos, *self.grown, *self.moved]

    @contextmanager
    def emptied(self) -> Iterator[dict[str, Any]]:
        """Have memos be empty, and the rest as it was; in the end, that is again what it had become.

        What memos held is given.
        """
        held = cleared(self.memos)
        with set_aside(self.grown.values()), put_back(self.moved.values()):
            yield held

    def became_other(self) -> set[str]:
        """Return the labels of those that a run has left otherwise, before they are what they had become."""
        grown = {label for label, added in self.grown.items() if not refilled_alike(added)}
        return grown | {label for label, move in self.moved.items() if not came_again(move)}


def _but(sound: Collection[str], found: Mapping[str, _Found]) -> dict[str, _Found]:
    return {label: each for label, each in found.items() if label not in sound}
