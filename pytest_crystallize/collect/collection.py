"""From files and functions to experiments and their items."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pytest_crystallize
from crystallize import Experiment, ExperimentBuilder, ExperimentGraph, Hypothesis, Revision
from crystallize.errors import CrystallizeError, DefinitionError
from crystallize.seam import (
    BASELINE,
    DEFAULT_JUDGING,
    Caching,
    CaseDesign,
    as_treatments,
    check_case_key,
    check_decidable,
    failure,
    printable,
)
from pytest_crystallize.collect.arguments import check_arguments, is_parameter, params_of
from pytest_crystallize.collect.calibration import CalibrationItem
from pytest_crystallize.collect.items import HypothesisItem
from pytest_crystallize.collect.planning import PlanItem
from pytest_crystallize.collect.verifiers import VerifierItem, own_part
from pytest_crystallize.naming.ids import escape, relative
from pytest_crystallize.naming.places import place_of
from pytest_crystallize.naming.tracebacks import is_projects
from pytest_crystallize.options.mark import (
    CASES,
    MARK,
    ClaimedHypothesis,
    caching_of,
    claimed,
    judging_of,
    marks_on,
    plugins_of,
)
from pytest_crystallize.pytest_seam import (
    ShowsTraceback,
    decorator_of,
    fixtures_of,
    functions_of,
    saferepr,
)
from pytest_crystallize.units.experiment_runs import ExperimentRuns
from pytest_crystallize.units.factories import FactoryRuns
from pytest_crystallize.units.graphs import GraphRuns
from pytest_crystallize.units.marked import MarkedRuns
from pytest_crystallize.units.marked_async import AsyncMarkedRuns, has_to_await
from pytest_crystallize.units.settings import Settings


class ExperimentCollector(ShowsTraceback, pytest.Class):
    """Collector of one ``experiment_*`` function; its children are the hypotheses of each parameter set.

    It groups its tests as a class does, and is one for the sake of editors: they draw their trees of files
    and classes, and drop what is in neither.
    """

    def __init__(self, *, function: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.within: pytest.Module | pytest.Class = kwargs["parent"]
        self.obj = obj = function
        self.settings = settings
        self.own_markers.extend(marks_on(obj))
        self.keywords.update((mark.name, mark) for mark in self.own_markers)
        path, line = place_of(obj)
        self.beside = Path(path).parent
        self.where = f"{relative(path, self.config.rootpath)}:{line + 1}"

    def collect(self) -> Iterable[pytest.Item]:
        """Return one item per hypothesis and treatment of every parameter set."""
        marked = self._marked()
        if not marked:
            self.add_marker(MARK)
        seen: set[str] = set()
        for function in functions_of(self.within, self.name, self.obj):
            try:
                declared = [self._marked_runs(function)] if marked else self._factory_runs(function)
            except CrystallizeError as error:
                where = self._raised_at(error) or self.where
                raise self.CollectError(" ".join(f"{where}: {error}".split())) from error
            for runs, claims in declared:
                self._check_id(runs)
                self._count(runs)
                for item in self._items(function, runs, claims):
                    if item.nodeid in seen:
                        raise self.CollectError(f"{self.where}: two tests would be called {item.nodeid!r}")
                    seen.add(item.nodeid)
                    yield item
                if self.settings.options.check_verifiers:
                    yield from self._verifiers(runs, claims)

    def _verifiers(self, runs: ExperimentRuns, claims: Sequence[ClaimedHypothesis]) -> Iterator[VerifierItem]:
        """Yield a check of each verifier of the user's that no other experiment has had."""
        for claim in claims:
            part, key = own_part(claim.hypothesis) or (None, None)
            if key is None or key in self.settings.verifiers:
                continue
            self.settings.verifiers.add(key)
            leaf = ".".join(escape(name, brackets=False) for name in (runs.part, claim.label) if name)
            leaf = f"{leaf}[verifier]"
            item: VerifierItem = VerifierItem.from_parent(
                self, name=leaf, nodeid=f"{self.nodeid}::{leaf}", hypothesis=claim.hypothesis, part=part
            )
            _add_marks(item, claim.marks)
            yield item

    def _check_id(self, runs: ExperimentRuns) -> None:
        """Raise `CollectError` if another experiment has the id by which claims and records are told apart.

        pytest names files that are not below its root directory by their last part, or not at all.
        """
        mine = self.path, self.where
        known = self.settings.declared.setdefault(runs.id, mine)
        if known != mine:
            path, where = known
            raise self.CollectError(
                f"{self.where}: {self.name} in {self.path} would share the node id {runs.id!r}, and with it "
                f"its runs, with that of {where} in {path}; give a --rootdir below which both files lie, or "
                "run them in two sessions"
            )

    def _count(self, runs: ExperimentRuns) -> None:
        """Raise `CollectError` if there are more claims than alpha is split over."""
        settings, plan = self.settings, runs.later_plan
        settings.claims[runs.id] = len(plan.members) + len(plan.guards)
        declared, collected = settings.options.claims, sum(settings.claims.values())
        if declared is not None and collected > declared:
            raise self.CollectError(
                f"{self.where}: with {runs.name} there are {collected} claims, and alpha is split over "
                f"crystallize_claims = {declared}; declare how many there are in all"
            )

    def _raised_at(self, error: BaseException) -> str | None:
        """Return the user's line that an error came from, if code of the user's was running."""
        root = self.config.rootpath
        frames = traceback.extract_tb(error.__traceback__)
        users = [frame for frame in frames if is_projects(frame.filename, root)]
        return f"{relative(users[-1].filename, root)}:{users[-1].lineno}" if users else None

    def _items(
        self, function: pytest.Function, runs: ExperimentRuns, claims: Sequence[ClaimedHypothesis]
    ) -> Iterator[HypothesisItem]:
        callspec = getattr(function, "callspec", None)
        params = f"{printable(callspec.id)}-" if callspec is not None and callspec.id else ""
        marks = list(callspec.marks) if callspec is not None else []
        part = f"{escape(runs.part, brackets=False)}." if runs.part else ""
        if self.settings.options.calibrate:
            for claim in claims:
                leaf = f"{part}{escape(claim.label, brackets=False)}[{params}calibration]"
                yield self._item(leaf, runs, claim, None, [*marks, *claim.marks], CalibrationItem)
            return
        kind = PlanItem if self.settings.options.plan else HypothesisItem
        if not claims and kind is HypothesisItem:
            leaf = f"{part}replicates" + (f"[{params[:-1]}]" if params else "")
            yield self._item(leaf, runs, None, None, marks)
        for claim in claims:
            for treatment in runs.subjects(claim.hypothesis):
                leaf = f"{part}{escape(claim.label, brackets=False)}[{params}{escape(treatment)}]"
                yield self._item(leaf, runs, claim, treatment, [*marks, *claim.marks], kind)

    def _item(
        self,
        leaf: str,
        runs: ExperimentRuns,
        claim: ClaimedHypothesis | None,
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
        _add_marks(item, marks)
        return item.declared()

    # The marked function: its body is one condition run.

    def _marked(self) -> bool:
        """Return whether the function or its class, not only its module, carries the mark."""
        return any(
            mark.name == MARK
            for node in (self, *self.iter_parents())
            if not isinstance(node, pytest.Module | pytest.Package | pytest.Session)
            for mark in node.own_markers
        )

    def _marked_runs(self, function: pytest.Function) -> _Declared:
        keywords = self.settings.marks.keywords(self)
        treatments = as_treatments(keywords.get("treatments", ()), beside=self.beside)
        design = CaseDesign.declared(
            *(keywords.get(name) for name in CASES), replicates=keywords.get("replicates"), where=self.name
        )
        if design is not None:
            check_case_key({}, treatments, self.name)
        check_arguments(function, treatments, has_cases=design is not None)
        claims = [self._compared(claim) for claim in claimed(keywords.get("hypotheses", ()))]
        kind = AsyncMarkedRuns if has_to_await(function) else MarkedRuns
        runs = kind(
            function,
            self.settings,
            name=self.name,
            where=self.where,
            treatments=treatments,
            replicates=keywords.get("replicates"),
            seed=keywords.get("seed"),
            plugins=plugins_of(keywords),
            hypotheses=[claim.hypothesis for claim in claims],
            judging=judging_of(DEFAULT_JUDGING, keywords),
            caching=caching_of(Caching(), keywords),
            max_concurrency=keywords.get("max_concurrency"),
            design=design,
            budget=keywords.get("budget"),
        )
        runs.declare_exclusive(keywords.get("exclusive", False))
        _check_claims(claims, runs, self.name)
        return runs, claims

    # The factory: called once, returns an experiment.

    def _factory_runs(self, function: pytest.Function) -> list[_Declared]:
        keywords = self.settings.marks.keywords(self)
        made = self._made_by(function)
        options: dict[str, Any] = {"name": self.name, "where": self.where}
        options |= {keyword: keywords.get(keyword) for keyword in ("seed", "max_concurrency", "budget")}
        if isinstance(made, ExperimentGraph):
            return self._graph_runs(function, made, keywords, options)
        return [self._experiment_runs(function, made, keywords, options)]

    def _made_by(self, function: pytest.Function) -> Any:
        """Return what a factory gives, built if it is a builder."""
        params = params_of(function)
        fixtures = [name for name in fixtures_of(function).argnames if not is_parameter(function, name)]
        if fixtures:
            raise DefinitionError(
                f"{self.name} asks for {fixtures[0]!r}, but a factory is called once, at collection, without "
                "fixtures; parametrize it, or mark it with @pytest.mark.experiment if its body is one "
                "condition run"
            )
        try:
            with self.settings.collection_seeded(self.nodeid):
                made = function.obj(**{name: params[name] for name in fixtures_of(function).argnames})
                return made.build() if isinstance(made, ExperimentBuilder) else made
        except (SystemExit, GeneratorExit) as error:  # which pytest would not take for errors of collection
            raise DefinitionError(f"{self.name} raised {failure(error)}") from error

    def _graph_runs(
        self,
        function: pytest.Function,
        made: ExperimentGraph,
        keywords: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> list[_Declared]:
        graph = made.settled(replicates=self.settings.options.replicates)
        for experiment in graph.experiments.values():  # copies of this session's
            experiment.hypotheses = [*map(self._with_reference, experiment.hypotheses)]
        others: dict[str, GraphRuns] = {}
        parts = [
            GraphRuns(function, self.settings, graph=graph, others=others, part=part, **options)
            for part in graph.experiments
        ]
        for part_runs in parts:
            part_runs.declare_exclusive(keywords.get("exclusive", False))
        return [self._declared(runs) for runs in parts]

    def _experiment_runs(
        self, function: pytest.Function, made: Any, keywords: Mapping[str, Any], options: Mapping[str, Any]
    ) -> _Declared:
        """Return the runs of one experiment; where it does not say something, the mark does."""
        if inspect.iscoroutine(made):
            made.close()  # nobody will await it
        if not isinstance(made, Experiment):
            raise DefinitionError(
                f"{self.name} returned {saferepr(made)}; a factory returns an Experiment, a builder or an "
                "ExperimentGraph. If its body is one condition run, mark it with @pytest.mark.experiment"
            )
        if not made.given_plugins and "plugins" in keywords:
            made = made.with_plugins(plugins_of(keywords))
        claims = [] if made.hypotheses else claimed(keywords.get("hypotheses", ()))
        claims = [self._compared(claim) for claim in claims]
        hypotheses = [claim.hypothesis for claim in claims] or [*map(self._with_reference, made.hypotheses)]
        replicates, marked = keywords.get("replicates"), keywords.get("treatments", ())
        design = made.design
        if design is None and made.declared_replicates is None:
            design = CaseDesign.declared(
                *(keywords.get(name) for name in CASES), replicates=replicates, where=self.name
            )
        made = made.varied(
            design=design,
            treatments=made.treatments or as_treatments(marked, beside=self.beside),
            judging=judging_of(made.judging, keywords),
            caching=caching_of(made.caching, keywords),
            hypotheses=hypotheses,
        )
        runs = FactoryRuns(function, self.settings, experiment=made, replicates=replicates, **options)
        runs.declare_exclusive(keywords.get("exclusive", False))
        return self._declared(runs, claims)

    def _compared(self, claim: ClaimedHypothesis) -> ClaimedHypothesis:
        changed = self._with_reference(claim.hypothesis)
        return claim if changed is claim.hypothesis else replace(claim, hypothesis=changed)

    def _with_reference(self, hypothesis: Hypothesis) -> Hypothesis:
        """Return a hypothesis against the reference that the command line names, if it is against one."""
        named, revision = self.settings.options.compare, self.settings.options.against
        reference = hypothesis.reference
        if reference is None:
            return hypothesis
        changed = copy.copy(hypothesis)
        if revision is not None:
            changed.against = Revision.called(revision)
        elif named is not None and not isinstance(reference, Revision):
            changed.against = replace(reference, name=named, path=None)
        return changed

    def _declared(self, runs: FactoryRuns, claims: Sequence[ClaimedHypothesis] = ()) -> _Declared:
        claims = claims or [ClaimedHypothesis(h, h.name) for h in runs.experiment.hypotheses]
        _check_claims(claims, runs, self.name)
        return runs, claims

    def shown_traceback(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        """Show a factory's own lines, without those of pytest that called it."""
        path, line = place_of(self.obj)
        cut = excinfo.traceback.cut(path=path, firstlineno=line)
        if cut == excinfo.traceback:  # code of others raised before any of the user's
            cut = cut.cut(path=__file__).cut(excludepath=Path(pytest_crystallize.__file__).parent)
        return cut if cut != excinfo.traceback else super().shown_traceback(excinfo)


_Declared = tuple[ExperimentRuns, Sequence[ClaimedHypothesis]]


def _add_marks(item: pytest.Item, marks: Iterable[Any]) -> None:
    for mark in marks:
        item.add_marker(mark if isinstance(mark, pytest.MarkDecorator) else decorator_of(mark))


def _check_claims(claims: Sequence[ClaimedHypothesis], runs: ExperimentRuns, name: str) -> None:
    conditions = (BASELINE, *(treatment.name for treatment in runs.treatment_objects))
    check_decidable(conditions, [claim.hypothesis for claim in claims], name)
    labels: set[str] = set()
    for claim in claims:
        if claim.label in labels:
            raise DefinitionError(f"two hypotheses are named {claim.label!r}; give each a name=")
        labels.add(claim.label)
