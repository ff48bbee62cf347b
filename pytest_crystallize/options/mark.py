"""What ``@pytest.mark.experiment`` says: its keywords, and the hypotheses and options among them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MethodType
from typing import Any, TypeVar

import pytest

from crystallize import ArtifactPlugin, BasePlugin, Hypothesis, SeedPlugin
from crystallize.errors import DefinitionError
from crystallize.seam import (
    DEFAULT_JUDGING,
    Caching,
    Judging,
    entries_of,
    quoted,
    read_once,
    unknown_keyword,
    with_defaults,
)
from pytest_crystallize.pytest_seam import ParameterSet

MARK = "experiment"
JUDGED = tuple(field.name for field in fields(Judging))
CACHED = tuple(field.name for field in fields(Caching))
CASES = ("cases", "samples", "slices")
KEYWORDS = (
    "replicates",
    *CASES,
    "budget",
    "treatments",
    "hypotheses",
    "seed",
    "plugins",
    "max_concurrency",
    "exclusive",
    *JUDGED,
    *CACHED,
)
PLUGINS = (SeedPlugin, ArtifactPlugin)
"""What runs of a marked function can use: pytest itself executes and logs them, and has hooks around them."""

UNBOUND: tuple[Any, ...] = (
    functools.partialmethod,
    functools.singledispatchmethod,
    functools.cached_property,
)
"""What a class makes a method or an attribute of, and pytest collects no test of."""

_Options = TypeVar("_Options", Judging, Caching)


def marks_on(obj: Any) -> list[pytest.Mark]:
    """Return the marks that were put on a function, or on what a partial function or a descriptor is made of.

    Only attributes of its own are asked for: something that makes up attributes has no marks.
    """
    if isinstance(obj, staticmethod | classmethod | MethodType):
        obj = obj.__func__
    if isinstance(obj, property):
        obj = obj.fget
    try:
        found = vars(obj).get("pytestmark", ())
    except Exception:  # no attributes of its own, or a proxy of something that is not there
        return []
    marks = as_marks(found)
    if marks:
        return marks
    return marks_on(getattr(obj, "func", None)) if isinstance(obj, (functools.partial, *UNBOUND)) else []


def as_marks(found: Any) -> list[pytest.Mark]:
    """Return the marks in what an attribute ``pytestmark`` holds."""
    entries = found if isinstance(found, list | tuple) else [found]
    marks = [entry.mark if isinstance(entry, pytest.MarkDecorator) else entry for entry in entries]
    return [mark for mark in marks if isinstance(mark, pytest.Mark)]


def is_marked(marks: Sequence[pytest.Mark]) -> bool:
    """Return whether the mark is among marks."""
    return any(mark.name == MARK for mark in marks)


class MarkReader:
    """Reader of the marks of a session; what an iterator gives is kept, since it gives it only once."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Iterator[Any], tuple[Any, ...]]] = {}

    def keywords(self, node: pytest.Collector) -> dict[str, Any]:
        """Return the keywords of all marks on a node and its parents; the closest win.

        Raises
        ------
        DefinitionError
            If one of them is unknown, or something is given without keyword.
        """
        merged: dict[str, Any] = {}
        for mark in node.iter_markers(MARK):
            if mark.args:
                raise DefinitionError(
                    f"@pytest.mark.experiment takes keywords only, not {quoted(mark.args[0])}; they are "
                    f"{', '.join(KEYWORDS)}"
                )
            for keyword, value in mark.kwargs.items():
                if keyword not in KEYWORDS:
                    raise DefinitionError(unknown_keyword("@pytest.mark.experiment", keyword, KEYWORDS))
                merged.setdefault(keyword, self._once(keyword, value))
        return merged

    def _once(self, keyword: str, value: Any) -> Any:
        if not isinstance(value, Iterator):
            return value
        if id(value) not in self._read:
            self._read[id(value)] = value, read_once(value, keyword)
        return self._read[id(value)][1]


@dataclass(frozen=True)
class ClaimedHypothesis:
    """A hypothesis, what its tests are called, and the marks on them."""

    hypothesis: Hypothesis
    label: str
    marks: Sequence[Any] = ()


_OF_RUNS = ("filterwarnings", "usefixtures")
"""Marks that speak of condition runs."""


def claimed(declared: Any) -> list[ClaimedHypothesis]:
    """Return the hypotheses of a mark, each of which may be wrapped in `pytest.param`."""
    if isinstance(declared, Hypothesis | ParameterSet):
        declared = [declared]
    return [_claimed(entry) for entry in entries_of(declared, "hypotheses", "a list of hypotheses")]


def _claimed(entry: Any) -> ClaimedHypothesis:
    marks: Sequence[Any] = ()
    label = None
    hypothesis: Any = entry
    if isinstance(entry, ParameterSet):
        marks, label = tuple(entry.marks), entry.id
        if len(entry.values) != 1:
            raise DefinitionError(f"pytest.param of a hypothesis holds {len(entry.values)} values; give one")
        hypothesis = entry.values[0]
        if (shared := next((mark.name for mark in marks if mark.name in _OF_RUNS), None)) is not None:
            raise DefinitionError(
                f"pytest.param of a hypothesis has the mark {shared!r}, but replicates are run for all "
                "hypotheses together; put the mark on the function, its class or its module"
            )
    if not isinstance(hypothesis, Hypothesis):
        raise DefinitionError(
            f"hypotheses= holds {quoted(hypothesis)}, which is not a Hypothesis; give "
            "Hypothesis(metric='accuracy', direction='increase')"
        )
    return ClaimedHypothesis(hypothesis, label if isinstance(label, str) else hypothesis.name, marks)


def plugins_of(keywords: Mapping[str, Any]) -> list[BasePlugin]:
    """Return the plugins of a marked function, of each kind the last one given, by default a `SeedPlugin`.

    Raises
    ------
    DefinitionError
        If something else is given, or a seed twice.
    """
    given = entries_of(keywords.get("plugins", ()), "plugins", "a list of plugins")
    for plugin in given:
        if not isinstance(plugin, PLUGINS):
            known = " and ".join(f"{kind.__name__}(...)" for kind in PLUGINS)
            raise DefinitionError(
                f"plugins= of @pytest.mark.experiment holds {quoted(plugin)}; it takes {known}. Executions, "
                "logs and hooks are pytest's there; a factory that returns an Experiment takes every plugin"
            )
    used = with_defaults(given, (SeedPlugin,))
    seed = next(plugin.seed for plugin in used if isinstance(plugin, SeedPlugin))
    if seed is not None and keywords.get("seed") not in (None, seed):
        raise DefinitionError(
            f"@pytest.mark.experiment has seed={keywords['seed']} and SeedPlugin({seed}); give the seed once"
        )
    return used


def judging_of(declared: Judging, keywords: Mapping[str, Any]) -> Judging:
    """Return how claims are judged: as declared, and where nothing is, as marked."""
    return _filled(declared, DEFAULT_JUDGING, keywords)


def caching_of(declared: Caching, keywords: Mapping[str, Any]) -> Caching:
    """Return what runs depend on: as declared, and where nothing is, as marked."""
    return _filled(declared, Caching(), keywords)


def _filled(declared: _Options, default: _Options, keywords: Mapping[str, Any]) -> _Options:
    names = [entry.name for entry in fields(declared)]
    given = {
        name: keywords[name]
        for name in names
        if name in keywords and getattr(declared, name) == getattr(default, name)
    }
    return replace(declared, **given)
