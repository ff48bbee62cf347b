"""What hooks have given the tests of an experiment once they were collected: it is said of its runs, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_crystallize.collect.items import HypothesisItem


def tell_what_hooks_gave(selected: Iterable[HypothesisItem]) -> None:
    """Tell each experiment what hooks have given all of its tests.

    Runs are made for all of them together, under whichever test or token comes first.
    """
    by_experiment: dict[str, list[HypothesisItem]] = {}
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
