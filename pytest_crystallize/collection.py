"""From files and functions to experiments and their items."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import pytest
from _pytest._code import getfslineno
from _pytest._io.saferepr import saferepr
from _pytest.mark.structures import ParameterSet, get_unpacked_marks

from crystallize import (
    Experiment,
    ExperimentBuilder,
    ExperimentGraph,
    Hypothesis,
    Treatment,
)
from crystallize.boundary import failure
from crystallize.core.caching import Caching
from crystallize.core.escaping import printable
from crystallize.core.policy import DEFAULT_JUDGING, Judging
from crystallize.errors import CrystallizeError, DefinitionError
from pytest_crystallize.calibration import CalibrationItem
from pytest_crystallize.factories import FactoryRuns, GraphRuns
from pytest_crystallize.fixtures import RESERVED, hidden_by
from pytest_crystallize.ids import escape, relative
from pytest_crystallize.items import HypothesisItem
from pytest_crystallize.marked import MarkedRuns
from pytest_crystallize.naming import is_named_by
from pytest_crystallize.units import ExperimentRuns, Settings

_Options = TypeVar("_Options", Judging, Caching)

JUDGED = tuple(field.name for field in fields(Judging))
CACHED = tuple(field.name for field in fields(Caching))
KEYWORDS = ("replicates", "treatments", "hypotheses", "seed", *JUDGED, *CACHED)


class ExperimentCollector(pytest.Class):
    """One ``experiment_*`` function; its children are the hypotheses of each of its parameter sets.

    It groups its tests as a class does, and is one for the sake of editors: they draw their trees of files
    and classes, and drop what is in neither.
    """

    def __init__(self, *, function: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.within: pytest.Module | pytest.Class = kwargs["parent"]
        self.obj = obj = function
        self.settings = settings
        self.own_markers.extend(get_unpacked_marks(obj))
        self.keywords.update((mark.name, mark) for mark in self.own_markers)
        path, line = getfslineno(obj)
        self.where = f"{relative(path, self.config.rootpath)}:{line + 1}"

    def collect(self) -> Iterable[pytest.Item]:
        """Return one item per hypothesis and treatment of every parameter set."""
        marked = self._marked()
        if not marked:
            self.add_marker("experiment")
        seen: set[str] = set()
        for function in self.within._genfunctions(self.name, self.obj):
            try:
                declared = [self._marked_runs(function)] if marked else self._factory_runs(function)
            except CrystallizeError as error:
                raise self.CollectError(" ".join(f"{self.where}: {error}".split())) from error
            for runs, claims in declared:
                for item in self._items(function, runs, claims):
                    if item.nodeid in seen:
                        raise self.CollectError(f"{self.where}: two tests would be called {item.nodeid!r}")
                    seen.add(item.nodeid)
                    yield item

    def _items(
        self, function: pytest.Function, runs: ExperimentRuns, claims: Sequence[_ClaimedHypothesis]
    ) -> Iterator[HypothesisItem]:
        callspec = getattr(function, "callspec", None)
        params = f"{printable(callspec.id)}-" if callspec is not None and callspec.id else ""
        marks = list(callspec.marks) if callspec is not None else []
        part = f"{escape(runs.part, brackets=False)}." if runs.part else ""
        if self.settings.calibrate:
            for claim in claims:
                leaf = f"{part}{escape(claim.label, brackets=False)}[{params}calibration]"
                kept = [mark for mark in (*marks, *claim.marks) if mark.name != "xfail"]
                yield self._item(leaf, runs, claim, None, kept, CalibrationItem)
            return
        if not claims:
            leaf = f"{part}replicates" + (f"[{params[:-1]}]" if params else "")
            yield self._item(leaf, runs, None, None, marks)
        for claim in claims:
            for treatment in runs.subjects(claim.hypothesis):
                leaf = f"{part}{escape(claim.label, brackets=False)}[{params}{escape(treatment)}]"
                yield self._item(leaf, runs, claim, treatment, [*marks, *claim.marks])

    def _item(
        self,
        leaf: str,
        runs: ExperimentRuns,
        claim: _ClaimedHypothesis | None,
        treatment: str | None,
        marks: list[Any],
        kind: type[HypothesisItem] = HypothesisItem,
    ) -> HypothesisItem:
        item: HypothesisItem = kind.from_parent(
            self,
            name=leaf,
            nodeid=f"{self.nodeid}::{leaf}",
            runs=runs,
            hypothesis=None if claim is None else claim.hypothesis,
            label="" if claim is None else claim.label,
            treatment=treatment,
        )
        runs.members.append(item)
        for mark in marks:
            item.add_marker(
                mark if isinstance(mark, pytest.MarkDecorator) else pytest.MarkDecorator(mark, _ispytest=True)
            )
        return item

    # The marked function: its body is one condition run.

    def _marked(self) -> bool:
        """Tell whether the function or its class, not only its module, carries the mark."""
        return any(
            mark.name == "experiment"
            for node in (self, *self.iter_parents())
            if not isinstance(node, pytest.Module | pytest.Package | pytest.Session)
            for mark in node.own_markers
        )

    def _mark_keywords(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for mark in self.iter_markers("experiment"):
            if mark.args:
                raise DefinitionError(
                    f"@pytest.mark.experiment takes keywords only, not {saferepr(mark.args[0])}; they are "
                    f"{', '.join(KEYWORDS)}"
                )
            for keyword, value in mark.kwargs.items():
                if keyword not in KEYWORDS:
                    raise DefinitionError(
                        f"@pytest.mark.experiment has no keyword {keyword!r}; its keywords are "
                        f"{', '.join(KEYWORDS)}"
                    )
                merged.setdefault(keyword, value)
        return merged

    def _marked_runs(self, function: pytest.Function) -> _Declared:
        keywords = self._mark_keywords()
        self._refuse_hidden_fixtures(function)
        claims = [self._compared(claim) for claim in _claimed(keywords.get("hypotheses", ()))]
        runs = MarkedRuns(
            function,
            self.settings,
            name=self.name,
            where=self.where,
            treatments=_treatments(keywords.get("treatments", ())),
            replicates=keywords.get("replicates"),
            seed=keywords.get("seed"),
            hypotheses=[claim.hypothesis for claim in claims],
            judging=_filled(DEFAULT_JUDGING, DEFAULT_JUDGING, keywords),
            caching=_filled(Caching(), Caching(), keywords),
        )
        _check_claims(claims, runs, self.name)
        return runs, claims

    def _refuse_hidden_fixtures(self, function: pytest.Function) -> None:
        info = function._fixtureinfo
        if "subtests" in info.names_closure:
            raise DefinitionError(
                f"{self.name} asks for 'subtests', but a condition run is no test; record metrics, or raise"
            )
        parameters = inspect.signature(function.obj).parameters
        for name in RESERVED:
            if name in getattr(function, "callspec", _NO_PARAMS).params:
                raise DefinitionError(
                    f"parameter {name!r} hides the fixture {name!r} of crystallize; rename it"
                )
            if name in parameters and parameters[name].default is not inspect.Parameter.empty:
                raise DefinitionError(
                    f"argument {name!r} has a default, so it is not the fixture {name!r} of crystallize; "
                    "drop the default, or rename it"
                )
            for definition in info.name2fixturedefs.get(name, ())[-1:]:
                if fault := hidden_by(definition, self.config.rootpath):
                    raise DefinitionError(fault)

    # The factory: called once, returns an experiment.

    def _factory_runs(self, function: pytest.Function) -> list[_Declared]:
        keywords = self._mark_keywords()
        params = dict(getattr(function, "callspec", _NO_PARAMS).params)
        fixtures = [name for name in function._fixtureinfo.argnames if not _is_parameter(function, name)]
        if fixtures:
            raise DefinitionError(
                f"{self.name} asks for {fixtures[0]!r}, but a factory is called once, at collection, without "
                "fixtures; parametrize it, or mark it with @pytest.mark.experiment if its body is one "
                "condition run"
            )
        try:
            with self.settings.collection_seeded(self.nodeid):
                made = function.obj(**{name: params[name] for name in function._fixtureinfo.argnames})
                if isinstance(made, ExperimentBuilder):
                    made = made.build()
        except (SystemExit, GeneratorExit) as error:  # which pytest would not take for errors of collection
            raise DefinitionError(f"{self.name} raised {failure(error)}") from error
        options: dict[str, Any] = {"name": self.name, "where": self.where, "seed": keywords.get("seed")}
        if isinstance(made, ExperimentGraph):
            graph = made.settled(replicates=self.settings.replicates)
            for experiment in graph.experiments.values():
                experiment.hypotheses = [self._with_reference(h) for h in experiment.hypotheses]
            others: dict[str, GraphRuns] = {}
            parts = [
                GraphRuns(function, self.settings, graph=graph, others=others, part=part, **options)
                for part in graph.experiments
            ]
            return [self._declared(runs) for runs in parts]
        if inspect.iscoroutine(made):
            made.close()  # nobody will await it
        if not isinstance(made, Experiment):
            raise DefinitionError(
                f"{self.name} returned {saferepr(made)}; a factory returns an Experiment, a builder or an "
                "ExperimentGraph. If its body is one condition run, mark it with @pytest.mark.experiment"
            )
        made = copy.copy(made)  # two factories may return the same one
        if not made.treatments:
            made.treatments = _treatments(keywords.get("treatments", ()))
        made.judging = _filled(made.judging, DEFAULT_JUDGING, keywords)
        made.caching = _filled(made.caching, Caching(), keywords)
        claims = [] if made.hypotheses else _claimed(keywords.get("hypotheses", ()))
        claims = [self._compared(claim) for claim in claims]
        if claims:
            made.hypotheses = [claim.hypothesis for claim in claims]
        elif self.settings.compare is not None:
            made.hypotheses = [self._with_reference(hypothesis) for hypothesis in made.hypotheses]
        runs = FactoryRuns(
            function, self.settings, experiment=made, replicates=keywords.get("replicates"), **options
        )
        return [self._declared(runs, claims)]

    def _compared(self, claim: _ClaimedHypothesis) -> _ClaimedHypothesis:
        return replace(claim, hypothesis=self._with_reference(claim.hypothesis))

    def _with_reference(self, hypothesis: Hypothesis) -> Hypothesis:
        """Return a hypothesis against the reference that the command line names, if it is against one."""
        if self.settings.compare is None or hypothesis.against is None:
            return hypothesis
        changed = copy.copy(hypothesis)
        changed.against = replace(hypothesis.against, name=self.settings.compare, path=None)
        return changed

    def _declared(self, runs: FactoryRuns, claims: Sequence[_ClaimedHypothesis] = ()) -> _Declared:
        claims = claims or [_ClaimedHypothesis(h, h.name, ()) for h in runs.experiment.hypotheses]
        _check_claims(claims, runs, self.name)
        return runs, claims

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        path, line = getfslineno(self.obj)
        cut = excinfo.traceback.cut(path=path, firstlineno=line)
        return cut if cut != excinfo.traceback else super()._traceback_filter(excinfo)


def _filled(declared: _Options, default: _Options, keywords: Mapping[str, Any]) -> _Options:
    """Return how claims are judged, or what runs depend on: as declared, and where nothing is, as marked."""
    names = [entry.name for entry in fields(declared)]
    given = {
        name: keywords[name]
        for name in names
        if name in keywords and getattr(declared, name) == getattr(default, name)
    }
    return replace(declared, **given)


class _NoParams:
    params: Mapping[str, Any] = {}


_NO_PARAMS = _NoParams()


@dataclass(frozen=True)
class _ClaimedHypothesis:
    hypothesis: Hypothesis
    label: str
    marks: Sequence[Any]


_Declared = tuple[ExperimentRuns, Sequence[_ClaimedHypothesis]]


def _is_parameter(function: pytest.Function, name: str) -> bool:
    """Tell whether an argument is given directly by parametrize, rather than by a fixture."""
    if name not in getattr(function, "callspec", _NO_PARAMS).params:
        return False
    definitions = function._fixtureinfo.name2fixturedefs.get(name, ())
    return not definitions or definitions[-1].func.__module__ == "_pytest.python"


def _claimed(declared: Any) -> list[_ClaimedHypothesis]:
    if isinstance(declared, Hypothesis | ParameterSet):
        declared = [declared]
    claims = []
    for entry in _listed(declared, "hypotheses", "a list of hypotheses"):
        marks: Sequence[Any] = ()
        label = None
        hypothesis: Any = entry
        if isinstance(entry, ParameterSet):
            marks, label = tuple(entry.marks), entry.id
            if len(entry.values) != 1:
                raise DefinitionError(
                    f"pytest.param of a hypothesis holds {len(entry.values)} values; give one"
                )
            hypothesis = entry.values[0]
        if not isinstance(hypothesis, Hypothesis):
            raise DefinitionError(f"hypotheses= holds {saferepr(hypothesis)}, which is not a Hypothesis")
        claims.append(
            _ClaimedHypothesis(hypothesis, label if isinstance(label, str) else hypothesis.name, marks)
        )
    return claims


def _treatments(declared: Any) -> tuple[Treatment, ...]:
    if isinstance(declared, Treatment):
        declared = [declared]
    if isinstance(declared, Mapping):
        return tuple(Treatment(name, change) for name, change in declared.items())
    treatments = _listed(declared, "treatments", "a list of treatments or a mapping of names to changes")
    names: set[str] = set()
    for treatment in treatments:
        if not isinstance(treatment, Treatment):
            raise DefinitionError(f"treatments= holds {saferepr(treatment)}, which is not a Treatment")
        if treatment.name in names:
            raise DefinitionError(f"two treatments are named {treatment.name!r}")
        names.add(treatment.name)
    return tuple(treatments)


def _listed(declared: Any, keyword: str, allowed: str) -> list[Any]:
    if isinstance(declared, str) or not isinstance(declared, Iterable):
        raise DefinitionError(f"{keyword}={saferepr(declared)}; give {allowed}")
    return list(declared)


def _check_claims(claims: Sequence[_ClaimedHypothesis], runs: ExperimentRuns, name: str) -> None:
    of_treatments = [claim for claim in claims if claim.hypothesis.against is None]
    if of_treatments and not runs.treatment_objects:
        raise DefinitionError(
            f"{name} claims {of_treatments[0].label!r} but has no treatment to claim it of; give treatments="
        )
    labels: set[str] = set()
    for claim in claims:
        if claim.label in labels:
            raise DefinitionError(f"two hypotheses are named {claim.label!r}; give each a name=")
        labels.add(claim.label)


def is_experiment_function(name: str, obj: object, patterns: Sequence[str]) -> bool:
    """Tell whether an attribute of a module or class is an experiment by its name."""
    if not is_named_by(name, patterns):
        return False
    obj = getattr(obj, "__func__", obj)
    return inspect.isfunction(obj)
