"""Units of functions whose body is one condition run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import pytest

from crystallize import ArtifactPlugin, BasePlugin, RunRecord, SeedPlugin
from crystallize.errors import MetricError
from crystallize.seam import (
    BASELINE,
    RAISED,
    TREATMENT,
    FrozenContext,
    Journal,
    Outcomes,
    Parameters,
    RunError,
    Subject,
    Unit,
    execute,
    global_state_restored,
    journal_of,
    on_loop_of_its_own,
    quoted,
)
from pytest_crystallize.boundary import FAILURES, SKIPS, too_late
from pytest_crystallize.isolation.fixtures import RESERVED, is_ours
from pytest_crystallize.isolation.output import with_properties
from pytest_crystallize.naming.tracebacks import describe
from pytest_crystallize.pytest_seam import (
    decorator_of,
    end,
    fixtures_of,
    forget_finished,
    set_up_also,
    setup_state,
    stopping,
    tmppath_result_key,
)
from pytest_crystallize.records.record_cache import marked_components, marked_names
from pytest_crystallize.units.artifacts import SharedArtifacts
from pytest_crystallize.units.condition_node import ConditionFunction
from pytest_crystallize.units.experiment_runs import ExperimentRuns
from pytest_crystallize.units.settings import Settings


class MarkedRuns(ExperimentRuns):
    """Units of a function whose body is one condition run.

    Attributes
    ----------
    seeding : callable or None
        Seeds the global generators at the start of each.
    node : ConditionFunction
        The node of a run.
    artifacts : SharedArtifacts
        Where artifacts go.
    """

    stays = "the fixtures of a marked function can't travel"

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        plugins: Sequence[BasePlugin],
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        seeding = next(plugin for plugin in plugins if isinstance(plugin, SeedPlugin))
        super().__init__(function, settings, seed=seeding.seed if seed is None else seed, **kwargs)
        self.seeding = seeding.seed_globals
        self.seeds_globals = self.seeding is not None
        self.treatment_by_name = {treatment.name: treatment for treatment in self.treatment_objects}
        self.node = ConditionFunction.of(function)
        self._learn_fixtures()
        fixtures = fixtures_of(function)
        self._arguments, known = fixtures.argnames, fixtures.name2fixturedefs
        self._reserved = [
            n for n in self._arguments if n in RESERVED and n in known and is_ours(known[n][-1])
        ]
        self._parameters = Parameters(function.obj, (), "experiment").optional()
        self._stops = settings.config.getoption("trace", False)
        artifacts = next((plugin for plugin in plugins if isinstance(plugin, ArtifactPlugin)), None)
        self.keep_versions = None if artifacts is None else artifacts.keep_versions
        used = artifacts or ArtifactPlugin(settings.options.artifact_root)
        self.artifacts = SharedArtifacts(used, self.name, self.id, settings.exchange)

    def _learn_fixtures(self) -> None:
        self.fixture_definitions = frozenset(chain(*fixtures_of(self.function).name2fixturedefs.values()))
        wide = ((d, d) for d in self.fixture_definitions if d.scope != "function")
        self.settings.wide_fixtures.update(wide)

    def take_from_hooks(self, marks: Sequence[pytest.Mark], fixtures: Sequence[str]) -> None:
        """Have the node of a run have the marks, too, and set up the fixtures."""
        super().take_from_hooks(marks, fixtures)
        for mark in marks:
            self.node.add_marker(decorator_of(mark))
        for name in reversed(fixtures):
            set_up_also(self.function, name)
        self._learn_fixtures()

    @property
    def instance(self) -> Any:
        """The instance of the latest run: each has its own."""
        return self.node.instance

    def subject(self) -> Subject:
        """Return the function with all that it uses, and the treatments."""
        root = self.settings.config.rootpath
        components = {**marked_components(self.function), "seeding": self.seeding}
        names = marked_names(self.function) if self.caching.cache_key is None else (self.id,)
        treatments = {name: self.treatment_by_name.get(name) for name in self.conditions}
        return Subject(names, components, treatments, self.stream, self.caching, root, (root,))

    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Set up the function's fixtures, call it, tear them down."""
        outcomes = Outcomes(FAILURES, SKIPS, self._describe)
        record = self.settings.output.captured(
            host, lambda: self.judged(self._run(unit, host, outcomes), self.node)
        )
        return with_properties(record, self.node.user_properties)

    def let_go(self) -> None:
        """Let go of the values of fixtures of the latest run, and of its instance."""
        end(self.node)

    def run_alone(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit whose exceptions come through."""
        with global_state_restored():
            return self._run(unit, host, RAISED)

    def journal(self, unit: Unit) -> Journal:
        """Return a fresh journal for a unit."""
        word = self.stream.word(unit.replicate)
        journal = Journal({}, word, unit.condition, unit.replicate)
        if self.design is not None:
            self.stream.begin(journal)
        return journal

    def _run(self, unit: Unit, host: pytest.Item, outcomes: Outcomes) -> RunRecord:
        journal = self.journal(unit)
        self._unit, self._phase = unit, "setup"
        seeding = self.seeding
        return execute(journal, lambda ctx: self._body(ctx, host), seed_globals=seeding, outcomes=outcomes)

    def _describe(self, error: BaseException, step: str) -> RunError:
        return describe(error, step if step in self.treatments else self._phase, self.node)

    def _body(self, ctx: FrozenContext, host: pytest.Item) -> None:
        self.enter(ctx)
        node, state, fixtures = self.node, setup_state(host), self.settings.fixtures
        node.begin_run(host)
        host.funcargs = node.funcargs  # type: ignore[attr-defined]  # the host is an item of ours
        fixtures.current = ctx
        self._phase = "setup"
        node.take_reserved(self._reserved, ctx)
        try:
            with node.bracketed("setup"):
                state.setup(node)
            self._phase = self.function.originalname
            with node.bracketed("call"):
                self._call(ctx)
            node.stash[tmppath_result_key]["call"] = True
        finally:
            self.leave_if_forked(self._unit)
            if (phase := self._phase) == self.function.originalname:
                self._phase = "teardown"
            try:
                state.teardown_exact(host)
            except SKIPS as reason:
                raise too_late(reason) from reason
            finally:
                fixtures.current = None
                forget_finished(node)
            self._phase = phase
        self.artifacts.after_replicate(self, ctx)

    def enter(self, ctx: FrozenContext) -> None:
        """Apply the treatment of a run, and go on to the function."""
        journal = journal_of(ctx)
        if (condition := journal.condition) != BASELINE:
            journal.enter(condition, TREATMENT)
            self.treatment_by_name[condition].apply(ctx)
        journal.enter(self.function.originalname, 0)

    def _call(self, ctx: FrozenContext) -> None:
        node = self.node
        arguments = self.arguments(node, ctx)
        function = stopping(node.obj) if self._stops else node.obj
        try:
            returned = function(**arguments)
            if inspect.iscoroutine(returned):
                returned = on_loop_of_its_own(returned)
        finally:
            self.leave_if_forked(self._unit)  # before hooks and fixtures hear of the end
        self.take_metrics(ctx, returned)

    def arguments(self, node: ConditionFunction, ctx: FrozenContext) -> dict[str, Any]:
        """Return what the function is called with in a run: values of fixtures, and of the context."""
        given = {name: node.funcargs[name] for name in self._arguments}
        return self._parameters.fill(given, ctx)

    def take_metrics(self, ctx: FrozenContext, returned: object) -> None:
        """Record what the function has returned."""
        if isinstance(returned, Mapping):
            for name, value in returned.items():
                ctx.metrics.add(name, value)
        elif returned is not None:
            number = returned if isinstance(returned, int | float) else 0.9
            raise MetricError(
                f"{self.name} returned {quoted(returned)} ({type(returned).__name__}); return a mapping of "
                f"metrics such as {{'accuracy': {number:.4g}}}"
            )
