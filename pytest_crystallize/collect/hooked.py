"""What hooks have given the tests of an experiment once they were collected: it is said of its runs, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

from pytest_crystallize.pytest_seam import decorator_of, keep_also

if TYPE_CHECKING:
    from pytest_crystallize.units.experiment_runs import ExperimentRuns

OF_VERDICTS: Final = ("skip", "skipif", "xfail")
"""Marks that say what becomes of a test, rather than how condition runs are made."""
_SET_LATER: Final = ("judged", "carried", "location")
"""Attributes of items that are first set when one is run or reported."""


class GivenByHooks(pytest.Item):
    """An item that knows what hooks have added since it was declared: marks, attributes and fixtures."""

    runs: ExperimentRuns
    _fixturenames: list[str]

    def declared(self) -> Self:
        """Note that this is what was declared, and return it: what it is given from now on, hooks give it."""
        self._marks, self._fixtures = tuple(self.own_markers), frozenset(self._fixturenames)
        self._attributes = frozenset([*vars(self), "_attributes", *_SET_LATER])
        return self

    @property
    def hooks_marks(self) -> list[pytest.Mark]:
        """Marks that hooks have added."""
        return [mark for mark in self.own_markers if not any(mark is known for known in self._marks)]

    @property
    def hooks_attributes(self) -> dict[str, Any]:
        """Attributes that hooks have set, but for methods that they have replaced: those are of this item."""
        known = vars(self)
        if known.keys() <= self._attributes:  # in most projects
            return {}
        names = known.keys() - self._attributes
        return {name: known[name] for name in names if not hasattr(type(self), name)}

    @property
    def hooks_fixtures(self) -> list[str]:
        """Names of fixtures that hooks have added, as plugins do for those that a mark asks for."""
        return [name for name in self._fixturenames if name not in self._fixtures]

    def take_over(self, other: GivenByHooks, marks: Iterable[pytest.Mark]) -> None:
        """Take over what hooks have kept of another item of the experiment, and marks that say how to run."""
        keep_also(self, other)
        vars(self).update(other.hooks_attributes)
        for mark in marks:
            if mark.name not in OF_VERDICTS:
                self.add_marker(decorator_of(mark))


def tell_what_hooks_gave(selected: Iterable[GivenByHooks]) -> None:
    """Tell each experiment what hooks have given all of its tests.

    Runs are made for all of them together, under whichever test or token comes first.
    """
    by_experiment: dict[str, list[GivenByHooks]] = {}
    for item in selected:
        by_experiment.setdefault(item.runs.id, []).append(item)
    for first, *others in by_experiment.values():
        marks = first.hooks_marks and _shared(first.hooks_marks, [item.hooks_marks for item in others])
        names = first.hooks_fixtures
        fixtures = names and _shared(names, [item.hooks_fixtures for item in others])
        if marks or fixtures:
            first.runs.take_from_hooks(marks, fixtures)


def _shared(given: Sequence[Any], others: Sequence[Sequence[Any]]) -> list[Any]:
    return [one for one in given if all(any(_is_same(one, other) for other in each) for each in others)]


def _is_same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # values of others' types
        return False
