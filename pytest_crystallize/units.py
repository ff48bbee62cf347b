"""Running the units of work of an experiment inside pytest, and pulling the ones that a verdict needs."""

from __future__ import annotations

import asyncio
import copy
import inspect
import time
import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest
from _pytest._code import getfslineno
from _pytest.logging import caplog_handler_key, caplog_records_key
from _pytest.tmpdir import tmppath_result_key

from crystallize import (
    ArtifactPlugin,
    BasePlugin,
    ConditionRuns,
    Experiment,
    Result,
    RunRecord,
    SeedPlugin,
    Treatment,
)
from crystallize.core.context import LOGGER, FrozenContext
from crystallize.core.declaration import check_replicates
from crystallize.core.declared import Parameters
from crystallize.core.evaluation import digest, runs_by_condition, unread_keys
from crystallize.core.experiment import DEFAULT_NAME
from crystallize.core.plugins import Execution
from crystallize.core.run import RAISED, Outcomes, RunError, Unit, execute, rotated
from crystallize.core.seeding import (
    TREATMENT,
    SeedStream,
    check_root_seed,
    global_state_restored,
    seed_globals,
)
from crystallize.core.treatment import BASELINE
from crystallize.errors import DefinitionError
from pytest_crystallize.exchange import LOST, Exchange, Key
from pytest_crystallize.fixtures import UnitFixtures
from pytest_crystallize.ids import checksum
from pytest_crystallize.output import Output, with_properties
from pytest_crystallize.timeouts import Timer
from pytest_crystallize.tracebacks import users_part

FAILURES = (BaseException,)
ENDS_SESSION = (KeyboardInterrupt, pytest.exit.Exception)
SKIPS = (pytest.skip.Exception, unittest.SkipTest)


class Settings:
    """What the experiments of a session share.

    Attributes
    ----------
    exchange : Exchange
        Claims and records.
    fixtures : UnitFixtures
        What the condition run under way offers to fixtures.
    output : Output
        Captured output and warnings of units.
    seed, replicates : int or None
        From the command line.
    ini_seed, ini_replicates : int or None
        From the ini file.
    note : callable
        Takes a line that the summary shows once.
    artifact_root : path
        Where artifacts go if an experiment doesn't say.
    repro : Unit or None
        The unit to repeat.
    drawn_seed : int or None
        The root seed, if it was drawn at random.
    """

    def __init__(
        self,
        config: pytest.Config,
        exchange: Exchange,
        *,
        seed: int | None,
        ini_seed: int | None,
        replicates: int | None,
        ini_replicates: int | None,
        artifact_root: Any,
    ) -> None:
        self.config = config
        self.exchange = exchange
        self.fixtures = UnitFixtures()
        self.output = Output(config)
        self.timer = Timer(config)
        self.seed = seed
        self.ini_seed = ini_seed
        self.replicates = replicates
        self.ini_replicates = ini_replicates
        self.artifact_root = artifact_root
        self.repro: Unit | None = None
        self.drawn_seed: int | None = None
        self.notes: dict[str, None] = {}

    @property
    def session_seed(self) -> int:
        """Root seed of what belongs to no experiment: fixtures wider than a function, collection."""
        return self.seed if self.seed is not None else self.ini_seed or 0

    def note(self, text: str) -> None:
        """Have the summary show a line, once."""
        self.notes.setdefault(text)

    @contextmanager
    def collection_seeded(self, name: str) -> Iterator[None]:
        """Seed the global generators alike in every process, and put them back afterwards."""
        with global_state_restored():
            seed_globals(checksum(f"{self.session_seed}:{name}"))
            yield


class ExperimentRuns:
    """The units of one experiment (one parameter set of one function), and who runs them.

    Attributes
    ----------
    id : str
        Node id of the function with its parameters; the same in every process.
    name : str
        What reports call it.
    where : str
        ``file:line`` of the function.
    conditions : tuple of str
        All conditions, the baseline first.
    needed : set of str
        Those that the selected items need.
    replicates, root_seed : int
        As settled between command line, declaration and ini file.
    """

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        name: str,
        where: str,
        treatments: Sequence[Treatment],
        replicates: int | None,
        seed: int | None,
    ) -> None:
        self.function = function
        self.settings = settings
        self.id = function.nodeid
        callspec = getattr(function, "callspec", None)
        self.name = f"{name}[{callspec.id}]" if callspec is not None and callspec.id else name
        self.where = where
        path, line = getfslineno(function.obj)
        self.location = path, line
        self.treatment_objects = tuple(treatments)
        self.treatments = tuple(treatment.name for treatment in treatments)
        self.conditions = (BASELINE, *self.treatments)
        self.needed: set[str] = set()
        self.replicates = self._settled_replicates(replicates)
        self.root_seed = self._settled_seed(seed)
        self.stream = SeedStream(self.root_seed)
        self._first_open = 0
        self._complete: dict[str, ConditionRuns] = {}
        self._digests: dict[ConditionRuns, str] = {}

    def _settled_replicates(self, declared: int | None) -> int:
        settings = self.settings
        if declared is not None:
            check_replicates(declared, self.name)
        chosen = next(
            (n for n in (settings.replicates, declared, settings.ini_replicates) if n is not None), None
        )
        if chosen is None:
            raise DefinitionError(
                f"{self.name} declares no replicates; give replicates= in the mark, crystallize_replicates "
                "in the ini file, or --crystallize-replicates"
            )
        return chosen

    def _settled_seed(self, declared: int | None) -> int:
        if declared is not None:
            check_root_seed(declared)
        settings = self.settings
        return next(n for n in (settings.seed, declared, settings.ini_seed, 0) if n is not None)

    # Pulling.

    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process, without claiming it."""
        raise NotImplementedError

    def run_alone(self, unit: Unit, host: pytest.Item) -> None:
        """Run one unit in this process and let its exceptions through."""
        raise NotImplementedError

    def pull(self, host: pytest.Item, *, seconds: float | None = None, at_least: int = 1) -> None:
        """Run every needed unit that nobody has claimed, and wait for the claimed ones.

        Parameters
        ----------
        host : pytest.Item
            The item in whose call phase this happens.
        seconds : float, optional
            Stop after that time, but not before `at_least` replicates were run here; wait for nobody.
        at_least : int
            Replicates to run here before stopping.
        """
        settings = self.settings
        started = time.perf_counter()
        done_here = 0
        busy: list[int] = []
        settings.timer.belongs_to(host)
        with global_state_restored(), settings.output.of_units(self.id):
            settings.exchange.refresh()
            for replicate in range(self._first_open, self.replicates):
                if not self._missing(replicate):
                    if replicate == self._first_open:
                        self._first_open += 1
                    continue
                ran = self._run_replicate(replicate, host, wait=False)
                if ran is None:
                    busy.append(replicate)
                    continue
                done_here += ran
                if seconds is not None and done_here >= at_least and time.perf_counter() - started > seconds:
                    return
            if seconds is None:
                for replicate in busy:
                    settings.timer.suspend()
                    self._run_replicate(replicate, host, wait=True)
        settings.timer.restart()

    def _missing(self, replicate: int) -> list[str]:
        has, order = self.settings.exchange.has, rotated(self.conditions, replicate)
        return [c for c in order if c in self.needed and not has(Key(self.id, replicate, c))]

    def _run_replicate(self, replicate: int, host: pytest.Item, *, wait: bool) -> bool | None:
        """Claim a replicate and run what is missing of it; None if another process holds it."""
        exchange = self.settings.exchange
        if not exchange.acquire(self.id, replicate, wait=wait):
            return None
        try:
            missing = self._missing(replicate)
            for condition in missing:
                key = Key(self.id, replicate, condition)
                if key in exchange.attempts:
                    record = self._lost(key, exchange.attempts[key])
                else:
                    self._write(exchange.attempt, key)
                    self.settings.timer.restart()
                    record = self.run_unit(Unit(replicate, condition), host)
                self._write(exchange.publish, key, record)
            return bool(missing)
        finally:
            exchange.release(self.id, replicate)

    def _write(self, write: Callable[..., None], *args: Any) -> None:
        try:
            write(*args)
        except OSError as error:
            self.settings.note(f"records could not be written for other processes to read: {error}")

    def _lost(self, key: Key, worker: str) -> RunRecord:
        message = f"process {worker!r} died while it ran this condition"
        error = RunError(LOST, message, self.name, f"{message}.\nIt is not run again.\n")
        return RunRecord(key.condition, key.replicate, self.stream.seed(key.replicate), error=error)

    def runs(self, conditions: Iterable[str]) -> dict[str, ConditionRuns]:
        """Return what is known of these conditions."""
        return {condition: self._runs_of(condition) for condition in conditions}

    def _runs_of(self, condition: str) -> ConditionRuns:
        """Return a condition's runs; those that are complete are put together once for all hypotheses."""
        if condition in self._complete:
            return self._complete[condition]
        record = self.settings.exchange.record
        runs = ConditionRuns(condition, [record(Key(self.id, i, condition)) for i in range(self.replicates)])
        if None not in runs.records:
            self._complete[condition] = runs
        return runs

    def digest(self, runs: ConditionRuns) -> str:
        """Return the digest of a condition's metrics, made once where the runs are complete."""
        known = self._digests.get(runs)
        if known is None:
            known = self._digests[runs] = digest(record for record in runs.records if record is not None)
        return known

    def unread(self, arms: Mapping[str, ConditionRuns]) -> list[str]:
        """Say which keys of which treatments nothing read in any run."""
        return [
            f"treatment {treatment.name!r} sets {key!r}, which nothing read"
            for treatment in self.treatment_objects
            if treatment.name in arms
            for key in unread_keys(treatment, arms[treatment.name])
        ]

    def finish(self) -> None:
        """Act at the end of the session."""


class FactoryRuns(ExperimentRuns):
    """Units of an `Experiment` that a factory returned."""

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        name: str,
        where: str,
        experiment: Experiment,
        seed: int | None,
    ) -> None:
        experiment = copy.copy(experiment)  # two factories may return the same one
        declared = experiment.plugin(SeedPlugin).seed
        super().__init__(
            function,
            settings,
            name=name,
            where=where,
            treatments=experiment.treatments,
            replicates=experiment.replicates,
            seed=seed if declared is None else declared,
        )
        self.experiment = experiment
        if experiment.name == DEFAULT_NAME:
            experiment.name = self.name
        experiment.replicates = self.replicates
        for plugin in experiment.given_plugins:
            if isinstance(plugin, Execution):
                settings.note(
                    f"{self.name}: {type(plugin).__name__} is ignored under pytest; replicates run in "
                    "parallel under pytest-xdist's -n"
                )
        experiment.plugins = [
            self._shared_artifacts(plugin) if isinstance(plugin, ArtifactPlugin) else plugin
            for plugin in experiment.plugins
        ]
        self._began: list[BasePlugin] = []
        self._refusal: RunError | None = None

    def _shared_artifacts(self, plugin: ArtifactPlugin) -> SharedArtifacts:
        given = any(plugin is known for known in self.experiment.given_plugins)
        settings = self.settings
        return SharedArtifacts(
            plugin if given else ArtifactPlugin(settings.artifact_root),
            self.experiment.name,
            self.id,
            settings.exchange,
        )

    @cached_property
    def plan(self) -> Any:
        """The experiment's plan; the hooks before the run are called when it is first asked for."""
        for plugin in self.experiment.plugins:
            plugin.before_run(self.experiment)
            self._began.append(plugin)
        return self.experiment.plan(self.root_seed)

    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit through the experiment's pipeline."""
        return self.settings.output.captured(host, lambda: self._run(unit, host))

    def run_alone(self, unit: Unit, host: pytest.Item) -> None:
        """Run a unit whose exceptions come through."""
        with global_state_restored():
            self.plan.run(unit, RAISED)

    def _run(self, unit: Unit, host: pytest.Item) -> RunRecord:
        outcomes = Outcomes(FAILURES, SKIPS, lambda error, step: describe(error, step, host))
        if self._refusal is None:
            try:
                plan = self.plan
            except FAILURES as fault:
                self._refusal = outcomes.describe(fault, "before_run")
            else:
                record: RunRecord = plan.run(unit, outcomes)
                return record
        return RunRecord(
            unit.condition, unit.replicate, self.stream.seed(unit.replicate), error=self._refusal
        )

    def finish(self) -> None:
        """Call the hooks behind the run, once in each process that ran a unit."""
        if not self._began:
            return
        known = [record for key, record in self.settings.exchange.records() if key.experiment == self.id]
        runs = runs_by_condition(known, self.conditions, self.replicates)
        result = Result(self.experiment.name, runs, (), root_seed=self.root_seed, steps=(), git_commit=None)
        for plugin in self._began:
            try:
                plugin.after_run(self.experiment, result)
            except FAILURES as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                self.settings.note(
                    f"{self.name}: {type(plugin).__name__}.after_run failed: {type(error).__name__}: {error}"
                )


class SharedArtifacts(BasePlugin):
    """Has every process of a session write an experiment's artifacts to one version, made when needed."""

    def __init__(self, plugin: ArtifactPlugin, name: str, run_id: str, exchange: Exchange) -> None:
        self._plugin = plugin
        self._name = name
        self._run_id = run_id
        self._exchange = exchange

    def after_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Write the artifacts of a condition run."""
        if not ctx.artifacts.entries:
            return
        plugin = self._plugin
        if plugin.version_dir is None:
            reserve = partial(plugin.reserve, self._name)
            plugin.version_dir = Path(self._exchange.agree(self._run_id, lambda: str(reserve().absolute())))
        plugin.after_replicate(experiment, ctx)


class ConditionFunction(pytest.Function):
    """The marked function as the node whose fixtures each condition run sets up afresh."""

    def begin(self, host: pytest.Item) -> None:
        """Prepare for the next condition run inside the call phase of `host`."""
        self._chain = [*host.listchain(), self]
        if isinstance(self.parent, pytest.Class):
            self.__dict__.pop("_instance", None)
            self.__dict__.pop("_obj", None)
        self._initrequest()
        self.user_properties.clear()
        stash = self.stash
        stash[tmppath_result_key] = {"call": False}
        borrowed: tuple[Any, ...] = (caplog_handler_key, caplog_records_key)
        for key in borrowed:
            if key in host.stash:
                stash[key] = host.stash[key]

    def listchain(self) -> list[Any]:
        """Return the chain of the host item and this node, so that wider fixtures survive."""
        return self._chain

    @cached_property
    def ihook(self) -> Any:
        """Hooks of the session, looked up once."""
        return self.session.gethookproxy(self.path)


class MarkedRuns(ExperimentRuns):
    """Units of a function whose body is one condition run."""

    def __init__(self, function: pytest.Function, settings: Settings, **kwargs: Any) -> None:
        super().__init__(function, settings, **kwargs)
        self.treatment_by_name = {treatment.name: treatment for treatment in self.treatment_objects}
        self._node: ConditionFunction = ConditionFunction.from_parent(
            function.parent,
            name=function.name,
            callspec=getattr(function, "callspec", None),
            keywords=function.keywords,
            fixtureinfo=function._fixtureinfo,
            originalname=function.originalname,
        )
        self._arguments = function._fixtureinfo.argnames
        bound = Parameters(function.obj, (), "experiment")
        bound.defaults = {
            name: default
            for name, default in bound.defaults.items()
            if default is not inspect.Parameter.empty
        }
        self._parameters = bound
        self._artifacts = SharedArtifacts(
            ArtifactPlugin(settings.artifact_root), self.name, self.id, settings.exchange
        )

    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Set up the function's fixtures, call it, tear them down."""
        record = self.settings.output.captured(
            host, lambda: self._run(unit, host, Outcomes(FAILURES, SKIPS, self._describe))
        )
        return with_properties(record, self._node.user_properties)

    def run_alone(self, unit: Unit, host: pytest.Item) -> None:
        """Run a unit whose exceptions come through."""
        with global_state_restored():
            self._run(unit, host, RAISED)

    def _run(self, unit: Unit, host: pytest.Item, outcomes: Outcomes) -> RunRecord:
        ctx = FrozenContext._for_run(
            {}, self.stream.word(unit.replicate), unit.condition, unit.replicate, LOGGER
        )
        self._phase = "setup"
        return execute(ctx, lambda ctx: self._body(ctx, host), seed_globals=seed_globals, outcomes=outcomes)

    def _describe(self, error: BaseException, step: str) -> RunError:
        return describe(error, step if step in self.treatments else self._phase, self._node)

    def _body(self, ctx: FrozenContext, host: pytest.Item) -> None:
        if ctx.condition != BASELINE:
            ctx._enter(ctx.condition, TREATMENT)
            self.treatment_by_name[ctx.condition].apply(ctx)
        ctx._enter(self.function.originalname, 0)
        node, state, fixtures = self._node, host.session._setupstate, self.settings.fixtures
        node.begin(host)
        fixtures.current = ctx
        self._phase = "setup"
        try:
            state.setup(node)
            self._phase = self.function.originalname
            self._call(ctx)
            node.stash[tmppath_result_key]["call"] = True
        finally:
            if (phase := self._phase) == self.function.originalname:
                self._phase = "teardown"
            try:
                state.teardown_exact(host)
            finally:
                fixtures.current = None
            self._phase = phase
        self._artifacts.after_replicate(self, ctx)

    def _call(self, ctx: FrozenContext) -> None:
        node = self._node
        given = {name: node.funcargs[name] for name in self._arguments}
        returned = node.obj(**self._parameters.fill(given, ctx))
        if inspect.iscoroutine(returned):
            returned = asyncio.run(returned)
        if isinstance(returned, Mapping):
            for name, value in returned.items():
                ctx.metrics.add(name, value)
        elif returned is not None:
            raise TypeError(
                f"{self.name} returned {returned!r}; return a mapping of metrics, or nothing and record them "
                "by ctx.metrics.add"
            )


def describe(error: BaseException, step: str, node: pytest.Item) -> RunError:
    """Describe an exception in pytest's manner, with the user's part of the traceback; --pdb stops here."""
    if isinstance(error, ENDS_SESSION):
        raise error
    error = error.with_traceback(users_part(error.__traceback__))
    plain = RunError.from_exception(error, step)
    info = pytest.ExceptionInfo.from_exception(error)
    try:
        text = str(node.repr_failure(info))
    except Exception:  # a repr of the user's that fails must not hide the failure itself
        text = plain.traceback
    if node.config.getoption("usepdb", False):
        call: pytest.CallInfo[None] = pytest.CallInfo(None, info, 0.0, 0.0, 0.0, "call", _ispytest=True)
        report = pytest.TestReport.from_item_and_call(node, call)
        node.ihook.pytest_exception_interact(node=node, call=call, report=report)
    return RunError(plain.type, plain.message, step, text)
