"""Running an experiment: from what is declared to its result, whatever runs the units."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from crystallize.analysis.analysis import Analysis
from crystallize.analysis.claim_plan import ExperimentPlan
from crystallize.analysis.condition_runs import ConditionRuns, runs_by_condition
from crystallize.analysis.interim import Interim, Schedule
from crystallize.analysis.planning import Planner
from crystallize.analysis.references import references_by_path
from crystallize.analysis.unread import warn_of_unread
from crystallize.boundary import failure
from crystallize.context.context import LOGGER
from crystallize.context.record import RunRecord
from crystallize.context.runs_at_once import generators_restored
from crystallize.context.seeding import PLANNING, SEARCH
from crystallize.declare.awaiting import driven
from crystallize.declare.treatment import Treatment
from crystallize.errors import DefinitionError
from crystallize.experiment.declaration import ExperimentDeclaration
from crystallize.experiment.optimize.search import Search
from crystallize.experiment.result import Result
from crystallize.experiment.result_metrics import HypothesisResult
from crystallize.experiment.run_failure import RunFailure
from crystallize.identity.provenance import git_commit
from crystallize.run.execute import RAISED, RunPlan
from crystallize.run.plugins import ArtifactPlugin, AsyncExecution
from crystallize.run.plugins.execution import Executed, ended
from crystallize.run.units import Arriving, RecordSource, Unit
from crystallize.stats.special import load_scipy
from crystallize.text.warned import warn

if TYPE_CHECKING:
    from crystallize.run.resumed_runs import ResumedRuns

T = TypeVar("T")
Strategy = Literal["rerun", "resume"]


class Runner:
    """Run of an experiment.

    Parameters
    ----------
    experiment : ExperimentDeclaration
        As `ExperimentDeclaration.for_run` returned it.
    plan : RunPlan
        What a unit does.
    on_loop : bool
        Whether an event loop is running on which the units are awaited.
    to_the_end : bool
        Whether all replicates are run, whatever a look would decide.
    """

    def __init__(
        self,
        experiment: ExperimentDeclaration,
        plan: RunPlan,
        *,
        on_loop: bool = False,
        to_the_end: bool = False,
    ) -> None:
        self.experiment = experiment
        self.plan = plan
        self._analysis_plan = experiment.analysis_plan
        self._on_loop = on_loop
        self._to_the_end = to_the_end
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        load_scipy()

    async def result(self, conditions: Sequence[str] | None = None, strategy: Strategy = "rerun") -> Result:
        """Run conditions in every replicate, or until every claim is decided.

        Parameters
        ----------
        conditions : sequence of str, optional
            All of them, if left out.
        strategy : {"rerun", "resume"}
            See `Experiment.run`.
        """
        execution = self.experiment.execution
        executed = Executed(execution, self.plan, awaits=self._on_loop)
        stored = self._stored(strategy, executed)
        source: RecordSource = stored or executed
        with self.bracketed() as commit:
            schedule = self._schedule(conditions or self.plan.conditions)
            ahead = execution.runs_ahead and not self._on_loop
            while todo := schedule.units_to_come(ahead=ahead):
                await self._take_in(source.records(todo), schedule)
            runs = schedule.runs()
            if stored is not None:
                stored.conclude(record for known in runs.values() for record, _ in known.records.kinds())
            result = self.conclude(runs, commit())
        self._warn_of_notes()
        return result

    async def _take_in(self, records: Arriving, schedule: Schedule) -> None:
        """Take in records as they come, until a look decides what is to come."""
        with ended(records) as arriving:
            for record in arriving:
                if not isinstance(record, RunRecord):
                    await record
                elif schedule.take_in(record):
                    break

    def _stored(self, strategy: Strategy, executed: Executed) -> ResumedRuns | None:
        """Return the stored runs, if some are to be used."""
        if strategy not in get_args(Strategy):
            raise DefinitionError(f"strategy is {strategy!r}; allowed are 'rerun' and 'resume'")
        if strategy == "rerun":
            return None
        from crystallize.run.resumed_runs import resumed  # heavy: what it loads identifies code

        experiment = self.experiment
        artifacts = experiment.plugin(ArtifactPlugin).root_dir
        stored = resumed(
            experiment.label, self.plan, experiment.given_plugins, experiment.caching, ignored=[artifacts]
        )
        stored.begin(executed, self.plan.conditions, experiment.replicates, experiment.hypotheses)
        return stored

    def _schedule(self, conditions: Sequence[str]) -> Schedule:
        """Return which units of these conditions are to be run, look by look if there are looks."""
        plan, hypotheses = self._analysis_plan, self.experiment.hypotheses
        stops = self.experiment.judging.stopping is not None and bool(hypotheses) and not self._to_the_end
        if stops:
            plan.check_reach(self.experiment.label)
        elsewhere = self.experiment.execution.is_elsewhere
        references = references_by_path(hypotheses if stops else (), elsewhere=elsewhere)
        claims = [(h, subject) for h in hypotheses for subject in plan.subjects(h)]
        return Schedule(Interim(plan, references, to_the_end=not stops), claims, conditions)

    @contextmanager
    def bracketed(self) -> Iterator[Callable[[], str | None]]:
        """Bracket the units of a run; yields a function that returns the commit they are run at."""
        experiment, seeded = self.experiment, self.plan.seed_globals is not None
        with git_commit() as commit, generators_restored(seeds=seeded) as run:
            try:
                for plugin in experiment.plugins:
                    plugin.before_run(experiment)
                yield commit
            except BaseException:
                experiment.plugin(ArtifactPlugin).tidy(experiment)
                raise
        if seeded and run.drew:
            warn(
                f"{experiment.label}: something drew from the global generators (random, numpy.random) while "
                "another run was under way in this process, so its numbers depend on timing; draw from "
                "ctx.rng, or run one after the other"
            )

    def made_of(self, runs: Mapping[str, ConditionRuns], commit: str | None) -> Result:
        """Return what runs say, with the verdicts on what is claimed."""
        experiment, plan = self.experiment, self.plan
        replicates = max(known.records.reached for known in runs.values())
        conditions = {
            name: runs.get(name, ConditionRuns(name, ())).padded(replicates) for name in plan.conditions
        }
        if experiment.judging.stopping is not None:  # of some conditions fewer may have been enough
            conditions = {name: known.first(known.reached) for name, known in conditions.items()}
        inputs, elsewhere = self._input_digests(), experiment.execution.is_elsewhere
        references = references_by_path(
            experiment.hypotheses,
            inputs=inputs,
            elsewhere=elsewhere,
            repeats=lambda: experiment.caching.repeatable,
        )
        analysis = Analysis(self._analysis_plan, conditions, references)
        return Result(
            experiment.name,
            conditions,
            [
                HypothesisResult(h, {s: analysis.verdict(h, s) for s in analysis.subjects(h)})
                for h in experiment.hypotheses
            ],
            planned=experiment.replicates,
            root_seed=plan.stream.root,
            steps=plan.pipeline.described,
            git_commit=commit,
            inputs=inputs,
            elsewhere=elsewhere,
            cases=self._analysis_plan.cases,
            started=self._started,
        )

    def _input_digests(self) -> dict[str, str]:
        """Return name and digest of each declared input, as it is now."""
        if not self.experiment.caching.inputs:
            return {}
        from crystallize.identity.inputs import declared_inputs  # heavy: what it loads identifies code

        return declared_inputs(Path.cwd(), self.experiment.caching.inputs)

    def conclude(self, runs: Mapping[str, ConditionRuns], commit: str | None) -> Result:
        """Return what runs say, when the hooks behind the run have been called."""
        result = self.made_of(runs, commit)
        for plugin in self.experiment.plugins:
            try:
                plugin.after_run(self.experiment, result)
            except BaseException as error:  # what was measured is not lost for a plugin's fault
                hook = f"{type(plugin).__name__}.after_run"
                message = failure(error)
                result.errors += (RunFailure("", None, hook, message, traceback.format_exc()),)
                LOGGER.exception("%s of experiment %r failed", hook, self.experiment.name)
        return result

    def _warn_of_notes(self) -> None:
        for note in self.plan.conclude():
            warn(f"{self.experiment.label}: {note}")

    # One pass.

    def output(self) -> Any:
        """Run one unit of the last condition, and return what its last step returned."""
        with self.bracketed() as commit:
            record, output = self.plan.run_for_output(Unit(0, self.plan.conditions[-1]))
            result = self.made_of(runs_by_condition([record], self.plan.conditions, 1), commit())
            for plugin in self.experiment.plugins:
                plugin.after_run(self.experiment, result)
        self._warn_of_notes()
        return output

    def debugged(self, replicate: int) -> Result:
        """Run every condition of one replicate in this thread; exceptions come through."""
        with self.bracketed() as commit:
            records = [self.plan.run(Unit(replicate, name), RAISED) for name in self.plan.conditions]
            counted = [dataclasses.replace(record, replicate=0) for record in records]
            result = self.conclude(runs_by_condition(counted, self.plan.conditions, 1), commit())
        self._warn_of_notes()
        return result


async def run(
    experiment: ExperimentDeclaration, strategy: Strategy, *, on_loop: bool, store_results: bool = False
) -> Result:
    """Run an experiment that is to be run for itself; see `Experiment.run`."""
    experiment.validate()
    result = await Runner(experiment, experiment.run_plan(), on_loop=on_loop).result(strategy=strategy)
    _warn_of_unread_keys(experiment, result, set())
    if store_results:
        store(result)
    return result


def store(result: Result) -> None:
    """Keep a result beside the cache."""
    from crystallize.experiment.stored_results import store_result  # only where they are stored

    store_result(result)


async def search(
    experiment: ExperimentDeclaration, found: Search, replicates: int, *, on_loop: bool
) -> Treatment:
    """Search for a promising treatment; see `Experiment.optimize`."""
    while asked := found.ask():
        trial = experiment.for_run(asked, (), experiment.once if replicates == 1 else replicates)
        plan = trial.run_plan(anew=True)  # an objective may be about it
        plan = dataclasses.replace(plan, stream=plan.stream.branched((SEARCH,)))
        names = [treatment.name for treatment in asked]
        result = await Runner(trial, plan, on_loop=on_loop).result(names)
        found.tell(result.metrics.treatments[name].runs for name in names)
        _warn_of_unread_keys(trial, result, found.unread)
    return found.best()


async def plan_claims(
    experiment: ExperimentDeclaration,
    pilot: int,
    strategy: Strategy,
    *,
    effect: float | None,
    power: float,
    on_loop: bool,
) -> ExperimentPlan:
    """Tell how many replicates the claims need, by a pilot or by what is recorded; see `Experiment.plan`."""
    experiment.validate()
    if not experiment.hypotheses:
        raise DefinitionError(
            f"{experiment.label} claims nothing that could be planned; give hypotheses=[...]"
        )
    if experiment.design is not None:
        raise DefinitionError(
            f"{experiment.label} is run on the cases that there are: no number is to be planned"
        )
    plan = experiment.analysis_plan
    references = references_by_path(experiment.hypotheses, repeats=lambda: experiment.caching.repeatable)
    claims = [(h, subject) for h in experiment.hypotheses for subject in plan.subjects(h)]
    needed = {
        name
        for hypothesis, subject in claims
        if hypothesis.reference is None or not references.runs(hypothesis.reference, subject).records
        for name in plan.rests_on(hypothesis, subject)
    }
    runs: dict[str, ConditionRuns] = {}
    if conditions := [name for name in experiment.conditions if name in needed]:
        trial = experiment.varied(hypotheses=(), replicates=pilot)
        units = trial.run_plan(anew=True)  # its values are what claims are planned by
        units = dataclasses.replace(units, stream=units.stream.branched((PLANNING,)))
        result = await Runner(trial, units, on_loop=on_loop).result(conditions, strategy)
        runs = {name: result.metrics[name].runs.padded(pilot) for name in conditions}
    planner = Planner(plan, runs, references, effect=effect, target=power)
    seconds = math.fsum(arm.records.seconds() for arm in runs.values()) / pilot
    return ExperimentPlan(experiment.name, tuple(planner.claim(*claim) for claim in claims), seconds)


def _warn_of_unread_keys(experiment: ExperimentDeclaration, result: Result, known: set[str]) -> None:
    """Warn of keys that nothing read, except known ones, and note them as known."""
    for treatment in experiment.treatments:
        runs = result.metrics.treatments[treatment.name].runs
        for key in experiment.treatment_keys.unread(runs):
            if key not in known:
                known.add(key)
                warn_of_unread(treatment.name, key, experiment.label, [runs])


async def beside_loop(experiment: ExperimentDeclaration, body: Callable[[bool], Coroutine[Any, Any, T]]) -> T:
    """Await a body on the running event loop, if units are awaited there; otherwise in a thread of its own.

    Parameters
    ----------
    experiment : ExperimentDeclaration
        What is run.
    body : callable
        Makes what is awaited, given whether units are to be awaited on the loop.
    """
    if isinstance(experiment.execution, AsyncExecution):
        return await body(True)
    return await asyncio.to_thread(lambda: driven(body(False)))
