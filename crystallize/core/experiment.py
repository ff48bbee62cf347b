"""The experiment: what is run, under which conditions, and what is claimed."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import secrets
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from crystallize.boundary import failure
from crystallize.core.artifact import Artifact, alone, artifacts_in, checked_outputs
from crystallize.core.builder import PartsBuilder
from crystallize.core.caching import Caching
from crystallize.core.context import LOGGER, frozen_mapping
from crystallize.core.datasource import as_data_source, as_given_source
from crystallize.core.declaration import (
    check_decidable,
    check_replicates,
    checked_hypotheses,
    checked_treatments,
    with_defaults,
)
from crystallize.core.evaluation import runs_by_condition
from crystallize.core.family import AnalysisPlan
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.interim import Interim, Schedule
from crystallize.core.keywords import checked_keywords
from crystallize.core.optimizers import BaseOptimizer
from crystallize.core.optimizers.search import Search
from crystallize.core.pipeline import Hooks, Pipeline, as_pipeline
from crystallize.core.pipeline_step import PipelineStep, StepFactory
from crystallize.core.plugins import (
    ArtifactPlugin,
    AsyncExecution,
    BasePlugin,
    Execution,
    LoggingPlugin,
    SeedPlugin,
    SerialExecution,
)
from crystallize.core.plugins.execution import Executed, ended
from crystallize.core.policy import Judging
from crystallize.core.provenance import git_commit
from crystallize.core.record import RunRecord
from crystallize.core.references import references_by_path
from crystallize.core.result import Result, RunFailure
from crystallize.core.run import RAISED, RecordSource, RunPlan, Unit
from crystallize.core.seeding import SEARCH, SeedStream, check_root_seed, global_state_restored
from crystallize.core.step_cache import open_step_cache
from crystallize.core.stopping import Stopping
from crystallize.core.treatment import BASELINE, Treatment, Treatments
from crystallize.core.unread import TreatmentKeys, looked_up
from crystallize.errors import CrystallizeWarning, DefinitionError
from crystallize.stats import Correction

if TYPE_CHECKING:
    from crystallize.core.resumed_runs import ResumedRuns

P = TypeVar("P", bound=BasePlugin)
Strategy = Literal["rerun", "resume"]

DEFAULT_PLUGINS: tuple[type[BasePlugin], ...] = (SeedPlugin, ArtifactPlugin, LoggingPlugin, SerialExecution)
_SOURCE: Any = object()

DEFAULT_NAME = "experiment"


class Experiment:
    """Runs a baseline and treatments over seeded replicates, and verifies hypotheses about them.

    Parameters
    ----------
    datasource : DataSource
        Where the data come from; also an un-called factory, a function of the context, or a constant.
    pipeline : Pipeline or list of PipelineStep
        What is done with them; steps may be un-called factories.
    plugins : list of BasePlugin, optional
        Each replaces the default plugin of its own kind (`SeedPlugin`, `ArtifactPlugin`, `LoggingPlugin`,
        `SerialExecution`) and no other.
    name, description : str
        What it is called.
    initial_ctx : mapping, optional
        Keys that the context of every condition begins with.
    treatments : list of Treatment, or mapping of str to change
        The conditions beside the baseline; a mapping gives their changes by name.
    hypotheses : list of Hypothesis
        Claims about each treatment; `hypothesis` is another spelling for a single one.
    outputs : list of Artifact
        What a step writes in every run, for other experiments of an `ExperimentGraph` to read.
    replicates : int, optional
        How often each condition is run, >= 1; once if left out.
    correction : {"holm", "bh", "none"}
        How the p-values of all claims of superiority (each hypothesis, under each treatment) are corrected
        for their number. Claims with a margin must all hold anyway, and verifiers decide by themselves.
    stopping : GroupSequential or AnytimeValid, optional
        Look before all replicates are run, and stop once every claim is decided.
    resampled : float, optional
        Part of one data set that each replicate holds out, if replicates are random resplits of it: they
        overlap, so claims are tested by `ResampledTTest`.
    inputs : iterable of str
        Files that runs read, as patterns relative to the current directory (under pytest, to its rootdir).
        Stored runs count only as long as the files stay as they are.
    env : iterable of str
        Environment variables that runs read; stored runs count only as long as they stay as they are.
    cache_key : str, optional
        Stands for all that runs depend on and that can't be seen, such as a remote model: runs are stored
        that would not be otherwise. Change it when that changes.
    repeatable : bool
        Whether a run gives the same when it is made again. Of an experiment that can't, such as one of a
        remote model, nothing is stored, and it is not said that its runs differ.

    Raises
    ------
    DefinitionError
        If something can't be run as declared; the message says what and where.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, Treatment, pipeline_step
    >>> @pipeline_step()
    ... def total(data, ctx, *, delta=0.0):
    ...     return data, {"total": sum(data) + delta + ctx.rng.normal()}
    >>> experiment = Experiment(
    ...     [1, 2, 3],
    ...     [total],
    ...     treatments=[Treatment("boost", {"delta": 10.0})],
    ...     hypothesis=Hypothesis(metric="total", direction="increase"),
    ...     replicates=10,
    ... )
    >>> experiment.run().metrics["hypothesis"]["accepted"]
    True
    """

    @checked_keywords
    def __init__(
        self,
        datasource: Any,
        pipeline: Pipeline | Sequence[PipelineStep | StepFactory],
        plugins: Iterable[BasePlugin] | None = None,
        *,
        name: str = DEFAULT_NAME,
        description: str = "",
        initial_ctx: Mapping[str, Any] | None = None,
        treatments: Treatments = (),
        hypotheses: Iterable[Hypothesis] | Hypothesis = (),
        hypothesis: Hypothesis | None = None,
        outputs: Iterable[Artifact] = (),
        replicates: int | None = None,
        correction: Correction = "holm",
        stopping: Stopping | None = None,
        resampled: float | None = None,
        inputs: Iterable[str] = (),
        env: Iterable[str] = (),
        cache_key: str | None = None,
        repeatable: bool = True,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise DefinitionError(f"an experiment is named {name!r}; a name is a non-empty string")
        self.name = name
        self.description = description
        self.run_id = ""  # of a copy that is run: another one each time
        self.outputs = checked_outputs(outputs, self.label)
        self.datasource = as_data_source(datasource)
        self.pipeline = as_pipeline(pipeline)
        self.initial_ctx = frozen_mapping(initial_ctx or {})
        self.given_plugins = tuple(plugins or ())
        self.plugins = with_defaults(self.given_plugins, DEFAULT_PLUGINS)
        self.judging = Judging(correction, stopping, resampled)
        self.caching = Caching(inputs, env, cache_key, repeatable)  # type: ignore[arg-type]  # it makes tuples of them
        self.shared_treatments: frozenset[str] = frozenset()  # in a graph, with experiments not upstream
        self.treatments = treatments
        given = checked_hypotheses(hypotheses, self.label)
        if hypothesis is not None:
            if given:
                raise DefinitionError("give hypothesis= or hypotheses=, not both")
            given = (hypothesis,)
        self.hypotheses = given
        self.replicates = 1 if replicates is None else replicates
        self.declared_replicates: int | None = replicates
        for plugin in self.plugins:
            plugin.init_hook(self)

    @staticmethod
    def builder(name: str = DEFAULT_NAME) -> ExperimentBuilder:
        """Return a builder whose methods set one part each."""
        return ExperimentBuilder(name)

    @property
    def treatments(self) -> tuple[Treatment, ...]:
        """The conditions beside the baseline; may be set to a list or a mapping."""
        return self._treatments

    @treatments.setter
    def treatments(self, treatments: Treatments) -> None:
        self._treatments = checked_treatments(treatments, self.initial_ctx, self.label)

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The claims about each treatment; may be set to a list."""
        return self._hypotheses

    @hypotheses.setter
    def hypotheses(self, hypotheses: Iterable[Hypothesis] | Hypothesis) -> None:
        checked = checked_hypotheses(hypotheses, self.label)
        self.judging.check(checked, self.label)
        self._hypotheses = checked

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, the baseline first."""
        return (BASELINE, *(treatment.name for treatment in self.treatments))

    @property
    def treatment_keys(self) -> TreatmentKeys:
        """Which keys of the treatments may stay unread."""
        return TreatmentKeys.of(self.treatments, self.shared_treatments)

    @property
    def replicates(self) -> int:
        """How often each condition is run; may be set."""
        return self._replicates

    @replicates.setter
    def replicates(self, replicates: int) -> None:
        self._replicates = check_replicates(replicates, self.label)
        self.declared_replicates = self._replicates

    def validate(self) -> None:
        """Check that `run` has something to decide, and all that it needs.

        Raises
        ------
        DefinitionError
            If there are hypotheses and no treatment that they could be about, or the data source reads what
            another experiment writes.
        """
        for artifact in artifacts_in(self.datasource):
            raise DefinitionError(f"{self.label}: {alone(artifact.name)}")
        check_decidable(self.treatments, self.hypotheses, self.label)

    def run(
        self,
        *,
        treatments: Treatments | None = None,
        hypotheses: Iterable[Hypothesis] | Hypothesis | None = None,
        replicates: int | None = None,
        strategy: Strategy = "rerun",
    ) -> Result:
        """Run every condition in every replicate, and verify the hypotheses.

        A condition that fails in a replicate stops nothing: it is in ``result.errors``, and a hypothesis that
        lacks values for it is invalid.

        Parameters
        ----------
        treatments, hypotheses, replicates : optional
            In place of those of the experiment, for this run.
        strategy : {"rerun", "resume"}
            "resume" stores each run as soon as it is done, in the directory that ``CRYSTALLIZE_CACHE_DIR``
            names or in ``.cache/crystallize``, and uses those that are stored: after an interruption it goes
            on from there, and it runs only what a change concerns. Only runs that are sure to give the same
            again are stored; a warning says why others are not. "rerun" neither reads nor writes.

        Raises
        ------
        DefinitionError
            If these can't be run together.
        NotPicklableError
            If a part can't be sent to the processes it is to run in.
        """
        used = self.varied(treatments, hypotheses, replicates)
        used.validate()
        plan = used.plan()
        result = used.execute_plan(plan, plan.conditions, used._stored(plan, strategy))
        for treatment in used.treatments:
            used._warn_of_unread_keys(treatment, result, set())
        return result

    async def arun(
        self,
        *,
        treatments: Treatments | None = None,
        hypotheses: Iterable[Hypothesis] | Hypothesis | None = None,
        replicates: int | None = None,
        strategy: Strategy = "rerun",
    ) -> Result:
        """Do what `run` does, so that the running event loop goes on meanwhile.

        With `AsyncExecution`, on that loop; with any other execution, in a thread of its own.
        """
        used = self.varied(treatments, hypotheses, replicates)
        if not used._awaits:
            return await asyncio.to_thread(used.run, strategy=strategy)
        used.validate()
        plan = used.plan()
        result = await used.aexecute_plan(plan, plan.conditions, used._stored(plan, strategy))
        for treatment in used.treatments:
            used._warn_of_unread_keys(treatment, result, set())
        return result

    def optimize(
        self, optimizer: BaseOptimizer, *, num_trials: int, replicates_per_trial: int = 1
    ) -> Treatment:
        """Search for a promising treatment; it is a lead, not a proof.

        The treatments of one `ask` are evaluated in one run, without the baseline. Replicate i of every trial
        has the same seed, so that trials differ by their treatments rather than by their luck; these seeds
        come from a stream of their own, so that `run` confirms on replicates that the search has not seen.

        A trial fails if one of its replicates does, or records a metric of the objective not at all or not as
        a finite number. It is told as the worst value there is (inf for a metric that is minimized, -inf for
        one that is maximized) and is never the best.

        Parameters
        ----------
        optimizer : BaseOptimizer
            What to try next. It is told the mean of each metric over the replicates of a trial.
        num_trials : int
            How many treatments to evaluate at most; an optimizer that asks for nothing ends the search.
        replicates_per_trial : int
            How often to run each.

        Returns
        -------
        Treatment
            The optimizer's best.

        Raises
        ------
        OptimizationError
            If every trial failed.
        DefinitionError
            If an argument, or what the optimizer asks for, can't be run.
        """
        search = Search(optimizer, num_trials, self.label)
        while asked := search.ask():
            trial = self.varied(asked, (), replicates_per_trial)
            result = trial.execute_plan(trial._search_plan(), [treatment.name for treatment in asked])
            trial._tell(search, result)
        return search.best()

    async def aoptimize(
        self, optimizer: BaseOptimizer, *, num_trials: int, replicates_per_trial: int = 1
    ) -> Treatment:
        """Do what `optimize` does, as `arun` does what `run` does."""
        if not self._awaits:
            return await asyncio.to_thread(
                self.optimize, optimizer, num_trials=num_trials, replicates_per_trial=replicates_per_trial
            )
        search = Search(optimizer, num_trials, self.label)
        while asked := search.ask():
            trial = self.varied(asked, (), replicates_per_trial)
            result = await trial.aexecute_plan(trial._search_plan(), [treatment.name for treatment in asked])
            trial._tell(search, result)
        return search.best()

    def apply(
        self, treatment: Treatment | str | None = None, *, data: Any = _SOURCE, seed: int | None = None
    ) -> Any:
        """Pass data through the pipeline once, and return the output.

        The pass stops behind the step marked by `exit_step`; the steps behind it are not even set up. Hooks
        of plugins, `setup` and `teardown` are called as in a run. Exceptions come through. The global random
        generators are seeded for the pass, and put back after.

        Parameters
        ----------
        treatment : Treatment or str, optional
            A treatment, or the name of one of the experiment's; without it, the baseline.
        data : any, optional
            What to process in place of what the data source gives; a `DataSource` is fetched from, anything
            else is given to the first step as it is.
        seed : int, optional
            Root seed, in place of that of the `SeedPlugin`; the pass has the seed of its replicate 0.

        Returns
        -------
        any
            What the exit step returned (the data, of a pair of data and metrics), or the last step if none
            is marked.
        """
        chosen = () if treatment is None else (self.treatment(treatment),)
        used = self.varied(chosen, (), 1)
        plan = used.plan(None if seed is None else check_root_seed(seed))
        if data is not _SOURCE:
            plan = plan.with_data(as_given_source(data))
        plan = dataclasses.replace(plan, pipeline=plan.pipeline.until_exit(), outputs_required=False)
        with used._running(plan) as commit:
            record, output = plan.run_for_output(Unit(0, plan.conditions[-1]))
            result = used._result(plan, [record], commit())
            for plugin in used.plugins:
                plugin.after_run(used, result)
        return output

    def debug(self, treatment: Treatment | str | None = None, *, replicate: int = 0) -> Result:
        """Run one replicate of the baseline and of `treatment`, in this thread, step by step in the log.

        Exceptions come through, so that a debugger stops where they were raised.

        Parameters
        ----------
        treatment : Treatment or str, optional
            A treatment, or the name of one of the experiment's.
        replicate : int
            Which replicate's seed to use.
        """
        chosen = () if treatment is None else (self.treatment(treatment),)
        used = self.varied(chosen, (), 1)
        used.plugins = with_defaults([*used.plugins, LoggingPlugin(verbose=True)], DEFAULT_PLUGINS)
        plan = used.plan()
        with used._running(plan) as commit:
            records = [plan.run(Unit(replicate, condition), RAISED) for condition in plan.conditions]
            return used._conclude(
                plan, [dataclasses.replace(record, replicate=0) for record in records], commit()
            )

    # What executions and the pytest plugin build on.

    def plugin(self, kind: type[P]) -> P:
        """Return the plugin of a kind."""
        for plugin in reversed(self.plugins):
            if isinstance(plugin, kind):
                return plugin
        known = ", ".join(type(plugin).__name__ for plugin in self.plugins)
        raise LookupError(f"experiment {self.name!r} has no plugin of kind {kind.__name__}; it has {known}")

    def with_plugins(self, plugins: Iterable[BasePlugin]) -> Experiment:
        """Return a copy with other plugins; each replaces the default of its own kind."""
        changed = copy.copy(self)
        changed.given_plugins = tuple(plugins)
        changed.plugins = with_defaults(changed.given_plugins, DEFAULT_PLUGINS)
        for plugin in changed.plugins:
            plugin.init_hook(changed)
        return changed

    def treatment(self, treatment: Treatment | str) -> Treatment:
        """Return a treatment of the experiment by name; a `Treatment` is returned as it is."""
        if isinstance(treatment, Treatment):
            return treatment
        for known in self.treatments:
            if known.name == treatment:
                return known
        names = ", ".join(repr(known.name) for known in self.treatments) or "none"
        raise DefinitionError(f"experiment {self.name!r} has no treatment {treatment!r}; it has {names}")

    def plan(self, root_seed: int | None = None) -> RunPlan:
        """Return what a process needs to run any unit.

        Parameters
        ----------
        root_seed : int, optional
            In place of that of the `SeedPlugin`.
        """
        seeding = self.plugin(SeedPlugin)
        root = seeding.seed if root_seed is None else root_seed
        cacheable = self.pipeline.is_cacheable
        return RunPlan(
            self.name,
            self.datasource,
            self.pipeline,
            self.treatments,
            self.initial_ctx,
            SeedStream(root or 0),
            seeding.seed_globals,
            Hooks(
                self, (plugin for plugin in self.plugins if not isinstance(plugin, Execution | SeedPlugin))
            ),
            outputs={output.name: output.writer for output in self.outputs},
            step_cache=open_step_cache(
                inputs=self.caching.inputs, env=self.caching.env, cache_key=self.caching.cache_key
            )
            if cacheable
            else None,
        )

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"experiment {self.name!r}"

    @property
    def _execution(self) -> Execution:
        return self.plugin(Execution)  # type: ignore[type-abstract]  # asked for, not made

    @property
    def _awaits(self) -> bool:
        """Whether units run on the event loop of the caller."""
        return isinstance(self._execution, AsyncExecution)

    def _stored(self, plan: RunPlan, strategy: Strategy) -> ResumedRuns | None:
        """Return the stored runs of a run, if it is to use some."""
        if strategy not in ("rerun", "resume"):
            raise DefinitionError(f"strategy is {strategy!r}; allowed are 'rerun' and 'resume'")
        if strategy == "rerun":
            return None
        from crystallize.core.resumed_runs import resumed  # heavy: what it loads identifies code

        artifacts = self.plugin(ArtifactPlugin).root_dir
        stored = resumed(self.label, plan, self.given_plugins, self.caching, ignored=[artifacts])
        stored.begin(plan, self._execution, plan.conditions, self.replicates, self.hypotheses)
        return stored

    def execute_plan(
        self,
        plan: RunPlan,
        conditions: Sequence[str],
        stored: ResumedRuns | None = None,
        *,
        to_the_end: bool = False,
    ) -> Result:
        """Run these conditions in every replicate, or until every claim is decided."""
        source: RecordSource = stored or Executed(self._execution, plan)
        with self._running(plan) as commit:
            schedule = self._schedule(conditions, to_the_end=to_the_end)
            while todo := schedule.units_to_come(ahead=self._execution.runs_ahead):
                with ended(source.records(todo)) as arriving:
                    schedule.take_in(arriving)
            records = schedule.records()
            if stored:
                stored.conclude(records)
            return self._conclude(plan, records, commit())

    async def aexecute_plan(
        self,
        plan: RunPlan,
        conditions: Sequence[str],
        stored: ResumedRuns | None = None,
        *,
        to_the_end: bool = False,
    ) -> Result:
        """Do what `execute_plan` does, on the running event loop or in a thread of its own."""
        if not self._awaits:
            return await asyncio.to_thread(self.execute_plan, plan, conditions, stored, to_the_end=to_the_end)
        source: RecordSource = stored or Executed(self._execution, plan)
        with self._running(plan) as commit:
            schedule = self._schedule(conditions, to_the_end=to_the_end)
            while todo := schedule.units_to_come():
                schedule.take_in(await source.arecords(todo))
            records = schedule.records()
            if stored:
                stored.conclude(records)
            return self._conclude(plan, records, commit())

    def _schedule(self, conditions: Sequence[str], *, to_the_end: bool) -> Schedule:
        """Return which units of these conditions are to be run, look by look if there are looks."""
        treatments = tuple(treatment.name for treatment in self.treatments)
        plan = AnalysisPlan(self.hypotheses, treatments, self.replicates, self.judging, self.treatment_keys)
        stops = self.judging.stopping is not None and bool(self.hypotheses) and not to_the_end
        if stops:
            plan.check_reach(self.label)
        references = references_by_path(
            self.hypotheses if stops else (), elsewhere=self._execution.is_elsewhere
        )
        claims = [(h, subject) for h in self.hypotheses for subject in plan.subjects(h)]
        return Schedule(Interim(plan, references, to_the_end=not stops), claims, conditions)

    def _search_plan(self) -> RunPlan:
        """Return the plan of trials, whose seeds `run` never uses."""
        plan = self.plan()
        return dataclasses.replace(plan, stream=SeedStream(plan.stream.root, (SEARCH,)))

    def _tell(self, search: Search, result: Result) -> None:
        search.tell(result.metrics.treatments[treatment.name].runs for treatment in self.treatments)
        for treatment in self.treatments:
            self._warn_of_unread_keys(treatment, result, search.unread)

    @contextmanager
    def _running(self, plan: RunPlan) -> Iterator[Callable[[], str | None]]:
        """Bracket the units of a run; yields a function that returns the commit they are run at."""
        seeded = plan.seed_globals is not None
        with git_commit() as commit, global_state_restored() if seeded else nullcontext():
            try:
                for plugin in self.plugins:
                    plugin.before_run(self)
                yield commit
            except BaseException:
                self.plugin(ArtifactPlugin).tidy(self)
                raise
        for note in plan.conclude():
            warnings.warn(f"{self.label}: {note}", CrystallizeWarning, stacklevel=5)

    def _result(self, plan: RunPlan, records: Sequence[RunRecord], commit: str | None) -> Result:
        replicates = 1 + max(record.replicate for record in records)
        return Result(
            self.name,
            runs_by_condition(records, plan.conditions, replicates),
            self.hypotheses,
            judging=self.judging,
            planned=self.replicates,
            keys=self.treatment_keys,
            root_seed=plan.stream.root,
            steps=[{"name": step.name, "params": step.params} for step in plan.pipeline],
            git_commit=commit,
            inputs=self._input_digests(),
            elsewhere=self._execution.is_elsewhere,
            repeats=self.caching.repeatable,
        )

    def _input_digests(self) -> Mapping[str, str]:
        """Return name and digest of each declared input, as it is now."""
        if not self.caching.inputs:
            return {}
        from crystallize.core.run_identity import declared_inputs  # heavy: what it loads identifies code

        return declared_inputs(Path.cwd(), self.caching.inputs)

    def _conclude(self, plan: RunPlan, records: Sequence[RunRecord], commit: str | None) -> Result:
        result = self._result(plan, records, commit)
        for plugin in self.plugins:
            try:
                plugin.after_run(self, result)
            except BaseException as error:  # what was measured is not lost for a plugin's fault
                hook = f"{type(plugin).__name__}.after_run"
                message = failure(error)
                result.errors += (RunFailure("", None, hook, message, traceback.format_exc()),)
                LOGGER.exception("%s of experiment %r failed", hook, self.name)
        return result

    def _warn_of_unread_keys(self, treatment: Treatment, result: Result, known: set[str]) -> None:
        """Warn of keys that nothing read, except known ones, and note them as known."""
        runs = result.metrics.treatments[treatment.name].runs
        for key in self.treatment_keys.unread(runs):
            if key in known:
                continue
            known.add(key)
            keys = ", ".join(map(repr, looked_up(runs))) or "none"
            warnings.warn(
                f"treatment {treatment.name!r} of experiment {self.name!r} sets {key!r}, which nothing read "
                f"(known are: {keys}); name it like the step's parameter, or read it with ctx.get({key!r})",
                CrystallizeWarning,
                stacklevel=3,
            )

    def varied(
        self,
        treatments: Treatments | None,
        hypotheses: Iterable[Hypothesis] | Hypothesis | None,
        replicates: int | None,
    ) -> Experiment:
        """Return a copy that is to be run, with these in place of its own unless they are None."""
        changed = copy.copy(self)
        changed.run_id = secrets.token_hex(8)
        if treatments is not None:
            changed.treatments = treatments
        if hypotheses is not None:
            changed.hypotheses = hypotheses
        if replicates is not None:
            changed.replicates = replicates
        return changed

    def for_workers(self) -> Experiment:
        """Return what another process needs of this experiment: verifiers need not be picklable."""
        reduced = copy.copy(self)
        reduced._hypotheses = ()
        reduced.outputs = ()
        reduced.plugins = [plugin for plugin in self.plugins if not isinstance(plugin, Execution)]
        reduced.given_plugins = ()
        return reduced

    def __repr__(self) -> str:
        return (
            f"<Experiment {self.name!r}: {self.replicates} replicates of {1 + len(self.treatments)} "
            f"conditions, {len(self.hypotheses)} hypotheses>"
        )


class ExperimentBuilder(PartsBuilder):
    """Builds an experiment part by part; every method but `build` returns the builder.

    Parameters
    ----------
    name : str
        Name of the experiment.

    Examples
    --------
    >>> from crystallize import ExperimentBuilder, pipeline_step
    >>> @pipeline_step()
    ... def total(data):
    ...     return data, {"total": sum(data)}
    >>> ExperimentBuilder("sums").datasource([1, 2]).add_step(total).build().run().metrics.baseline
    {'total': [3]}
    """

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        super().__init__(name)

    def build(self) -> Experiment:
        """Return the experiment.

        Raises
        ------
        DefinitionError
            If the data source or the steps are missing, or something else can't be run.
        """
        return Experiment(**self._parts())
