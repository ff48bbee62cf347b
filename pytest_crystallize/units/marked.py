"""Units of functions whose body is one condition run."""

from __future__ import annotations

import asyncio
import copy
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

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
    check_failure,
    execute,
    global_state_restored,
    journal_of,
    quoted,
)
from pytest_crystallize.boundary import FAILURES, SKIPS, too_late
from pytest_crystallize.isolation.fixtures import RESERVED, is_ours, values_of
from pytest_crystallize.isolation.output import with_properties
from pytest_crystallize.isolation.unit_hooks import UnitHooks
from pytest_crystallize.naming.tracebacks import describe, is_users
from pytest_crystallize.pytest_seam import (
    begin_afresh,
    call_of,
    end,
    fixtures_of,
    forget_finished,
    replace_definitions,
    setup_state,
    tmppath_result_key,
)
from pytest_crystallize.records.record_cache import marked_components, marked_names
from pytest_crystallize.units.artifacts import SharedArtifacts
from pytest_crystallize.units.settings import Settings
from pytest_crystallize.units.units import ExperimentRuns

Phase = Literal["setup", "call"]


class ConditionFunction(pytest.Function):
    """The marked function as the node whose fixtures each condition run sets up afresh."""

    _host: pytest.Item | None = None

    def begin(self, host: pytest.Item) -> None:
        """Prepare for the next condition run inside the call phase of `host`."""
        self._begin_under(host)
        self.user_properties.clear()
        begin_afresh(self, host)

    def _begin_under(self, host: pytest.Item) -> None:
        if host is not self._host:
            self._host, self._chain = host, [*host.listchain(), self]
            self._unit_hooks.settle()

    def beside_others(self, host: pytest.Item, definitions: dict[str, Sequence[Any]]) -> ConditionFunction:
        """Return a node for a condition run beside others, with definitions of fixtures of its own."""
        self._begin_under(host)
        _ = self._make_report  # found once for all
        node = copy.copy(self)
        node._chain = [*host.listchain(), node]
        node.user_properties = []
        replace_definitions(node, definitions)
        begin_afresh(node, host)
        return node

    def listchain(self) -> list[Any]:
        """Return the chain of the host item and this node, so that wider fixtures survive."""
        return self._chain

    @cached_property
    def _unit_hooks(self) -> UnitHooks:
        return UnitHooks(self.config, self.session.gethookproxy(self.path))

    def take(self, names: Iterable[str], ctx: FrozenContext) -> None:
        """Take values of reserved fixtures as pytest would, if nobody hears of it."""
        if self._unit_hooks.are_unheard:
            self.funcargs.update(values_of(names, ctx))

    @cached_property
    def ihook(self) -> Any:
        """Hooks of the session, looked up once."""
        return self._unit_hooks

    def reported(self, phase: Phase) -> AbstractContextManager[None]:
        """Bracket a phase of a condition run, and make its report if the project has a hook for it.

        Fixtures learn of such a hook how their test went, and their test is the condition run.
        """
        return _UNREPORTED if self._make_report is None else self._reported(phase, self._make_report)

    @cached_property
    def _make_report(self) -> Callable[..., pytest.TestReport] | None:
        known = self.config.stash.setdefault(_REPORTED_BELOW, {})
        directory = self.path.parent  # which decides what conftests are heard
        if directory not in known:
            known[directory] = self._reporting()
        return known[directory]

    def _reporting(self) -> Callable[..., pytest.TestReport] | None:
        """Return the hook that makes reports, if the project has one; without plugins that know tests alone.

        These prepare for the reports of a test in a hook around all of it, which no condition run has.
        """
        heard = self.ihook.pytest_runtest_makereport.get_hookimpls()
        if not any(self._is_local(_file_of(hook)) for hook in heard):
            return None
        manager = self.config.pluginmanager
        around = [
            hook.plugin
            for hook in manager.hook.pytest_runtest_protocol.get_hookimpls()
            if is_users(_file_of(hook)) and not self._is_local(_file_of(hook))
        ]
        plugins = [hook.plugin for hook in heard]
        elsewhere = manager.hook.pytest_runtest_makereport.get_hookimpls()
        unheard = [hook.plugin for hook in elsewhere if hook.plugin not in plugins]
        return manager.subset_hook_caller("pytest_runtest_makereport", [*around, *unheard])

    def _is_local(self, file: Path) -> bool:
        return file.is_relative_to(self.config.rootpath) and "site-packages" not in file.parts

    @contextmanager
    def _reported(self, phase: Phase, make_report: Callable[..., pytest.TestReport]) -> Iterator[None]:
        start, clock = time.time(), time.perf_counter()
        fault = None
        try:
            yield
        except BaseException as raised:
            check_failure(raised)
            fault = pytest.ExceptionInfo.from_exception(raised)
            raise
        finally:
            seconds = time.perf_counter() - clock
            call = call_of(fault, phase, start, seconds)
            report = make_report(item=self, call=call)
            if fault is None and report.failed:  # plugins collect what is to fail a test until it is reported
                text = report.longreprtext.strip() or "a hook reports it as failed"
                raise pytest.fail.Exception(text, pytrace=False)


_UNREPORTED = nullcontext()
_REPORTED_BELOW: pytest.StashKey[dict[Path, Callable[..., pytest.TestReport] | None]] = pytest.StashKey()


def _file_of(hook: Any) -> Path:
    """Return the file of an implementation of a hook; of one that is compiled, no file of any project."""
    try:
        return Path(inspect.getfile(hook.function))
    except TypeError:
        return Path("<compiled>")


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
        self.node: ConditionFunction = ConditionFunction.from_parent(
            function.parent,
            name=function.name,
            callspec=getattr(function, "callspec", None),
            keywords=function.keywords,
            fixtureinfo=fixtures_of(function),
            originalname=function.originalname,
        )
        definitions = fixtures_of(function).name2fixturedefs.values()
        self.fixture_definitions = frozenset(d for known in definitions for d in known)
        settings.wide_fixtures.update((d, d) for d in self.fixture_definitions if d.scope != "function")
        self._arguments = fixtures_of(function).argnames
        known = fixtures_of(function).name2fixturedefs
        self._reserved = [
            n for n in self._arguments if n in RESERVED and n in known and is_ours(known[n][-1])
        ]
        bound = Parameters(function.obj, (), "experiment")
        bound.defaults = {
            name: default
            for name, default in bound.defaults.items()
            if default is not inspect.Parameter.empty
        }
        self._parameters = bound
        artifacts = next((plugin for plugin in plugins if isinstance(plugin, ArtifactPlugin)), None)
        self.keep_versions = None if artifacts is None else artifacts.keep_versions
        self.artifacts = SharedArtifacts(
            artifacts or ArtifactPlugin(settings.options.artifact_root),
            self.name,
            self.id,
            settings.exchange,
        )

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
        journal = journal_of(ctx)
        if (condition := journal.condition) != BASELINE:
            journal.enter(condition, TREATMENT)
            self.treatment_by_name[condition].apply(ctx)
        journal.enter(self.function.originalname, 0)
        node, state, fixtures = self.node, setup_state(host), self.settings.fixtures
        node.begin(host)
        host.funcargs = node.funcargs  # type: ignore[attr-defined]  # the host is an item of ours
        fixtures.current = ctx
        self._phase = "setup"
        node.take(self._reserved, ctx)
        try:
            with node.reported("setup"):
                state.setup(node)
            self._phase = self.function.originalname
            with node.reported("call"):
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

    def _call(self, ctx: FrozenContext) -> None:
        node = self.node
        arguments = self.arguments(node, ctx)
        try:
            returned = node.obj(**arguments)
            if inspect.iscoroutine(returned):
                returned = asyncio.run(returned)
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
