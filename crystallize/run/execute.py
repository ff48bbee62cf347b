"""The unit of work: run condition C of replicate i with seed s, and return a record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from crystallize.boundary import text_of
from crystallize.context.context import FrozenContext, context_of, journal_of
from crystallize.context.current import ASKING, CURRENT
from crystallize.context.journal import OUTSIDE, Journal
from crystallize.context.record import ArtifactEntry, RunError, RunRecord, record_of
from crystallize.context.recording import KeptArtifact, of_unit
from crystallize.context.seeding import HOOKS, TREATMENT, SeedStream
from crystallize.declare.artifact import Inputs
from crystallize.declare.awaiting import (
    Body,
    Ending,
    SharedTime,
    awaited,
    finished,
    given,
    outside_loop,
    refuse_inside_a_loop,
    run_to_completion,
)
from crystallize.declare.datasource import DataSource
from crystallize.declare.treatment import BASELINE, Treatment
from crystallize.errors import ArtifactError, UpstreamError
from crystallize.run.beginnings import Beginning, beginnings
from crystallize.run.pipeline import Hooks, Pipeline
from crystallize.run.step_cache import CacheableSteps, StepCache
from crystallize.run.straight import straight_pass
from crystallize.run.units import Unit
from crystallize.storage.run_directory import digest_of


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Exceptions that end a unit of work, and their descriptions.

    Attributes
    ----------
    failures : tuple of exception types
        Recorded as the run's error; everything else goes through.
    skips : tuple of exception types
        Recorded as a skip, with their text as the reason.
    describe : callable
        Makes a `RunError` of an exception and the name of the scope that raised it.
    """

    failures: tuple[type[BaseException], ...] = (
        Exception,
        SystemExit,
        GeneratorExit,
        asyncio.CancelledError,  # of what a step ran itself: a task that awaits a run is cancelled elsewhere
    )
    skips: tuple[type[BaseException], ...] = ()
    describe: Callable[[BaseException, str], RunError] = RunError.from_exception


RECORDED = Outcomes()
RAISED = Outcomes(failures=())


def execute(
    journal: Journal,
    body: Callable[[FrozenContext], object],
    *,
    seed_globals: Callable[[int], object] | None,
    outcomes: Outcomes = RECORDED,
) -> RunRecord:
    """Run `body` as one unit of work and return its record.

    Parameters
    ----------
    journal : Journal
        A fresh one.
    body : callable
        Does the work, given the context.
    seed_globals : callable, optional
        Seeds the global generators, given the replicate's seed.
    outcomes : Outcomes
        What becomes of exceptions.
    """
    error: RunError | None = None
    skipped: str | None = None
    seed = journal.seed
    outer = CURRENT.get() if ASKING else None
    if ASKING:
        CURRENT.set(journal)
    start = time.perf_counter()
    try:
        if seed_globals is not None:
            seed_globals(seed)
        body(context_of(journal))
    except outcomes.skips as reason:
        skipped = text_of(reason)
    except outcomes.failures as fault:
        error = outcomes.describe(fault, journal.scope.name)
    finally:
        if ASKING:
            CURRENT.set(outer)
    seconds = time.perf_counter() - start
    kept, calls = journal.artifacts, journal.calls
    metrics = tuple(journal.metrics)
    return record_of(
        journal.condition,
        journal.replicate,
        seed,
        metrics if journal.case is None else of_unit(metrics, journal.case),
        tuple(journal.scopes),
        tuple([_entry(artifact) for artifact in kept]) if kept else (),
        error,
        skipped,
        seconds if seconds > 0.0 else 0.0,  # a step may have patched the clock
        (),
        False,
        None,
        journal.cached_steps,
        tuple(sorted(calls)) if calls else (),
        journal.notes,
    )


def _entry(artifact: KeptArtifact) -> ArtifactEntry:
    return ArtifactEntry(artifact.name, artifact.step, len(artifact.data), digest_of(artifact.data))


async def aexecute(
    journal: Journal,
    body: Callable[[FrozenContext], Awaitable[Ending]],
    *,
    seed_globals: Callable[[int], object] | None,
    outcomes: Outcomes = RECORDED,
    shared: SharedTime,
) -> RunRecord:
    """Do what `execute` does with a body that is awaited."""
    run = shared.begin()
    outer = CURRENT.get()
    CURRENT.set(journal)
    try:
        if seed_globals is not None:
            seed_globals(journal.seed)
        ending = await body(context_of(journal))
    except BaseException as fault:
        ending = None, fault
    finally:
        CURRENT.set(outer)
    seconds = shared.end(run)
    if isinstance(ending[1], asyncio.CancelledError):
        raise ending[1]
    record = execute(journal, lambda ctx: given(ending), seed_globals=None, outcomes=outcomes)
    return replace(record, seconds=seconds)


@dataclass(frozen=True)
class RunPlan:
    """Plan of a run: all that a process needs to run any unit of an experiment.

    Attributes
    ----------
    name : str
        The experiment's name.
    datasource, pipeline : DataSource, Pipeline
        What a unit does.
    treatments : tuple of Treatment
        The conditions beside the baseline, in order.
    initial : dict
        Frozen keys of the initial context.
    stream : SeedStream
        Seeds by replicate.
    seed_globals : callable or None
        Seeds the global generators at the start of each unit.
    hooks : Hooks
        Calls around a unit and its steps.
    outputs : mapping
        Name of each declared output -> its writer.
    outputs_required : bool
        Whether a unit fails that does not write all of them.
    inputs : callable, optional
        What a unit depends on in other experiments.
    shares_generators : bool
        Whether units run at the same time that share the global generators.
    step_cache : StepCache, optional
        Where results of cacheable steps come from and go to; without it, every step is called.
    """

    name: str
    datasource: DataSource
    pipeline: Pipeline
    treatments: tuple[Treatment, ...]
    initial: Mapping[str, Any]
    stream: SeedStream
    seed_globals: Callable[[int], object] | None
    hooks: Hooks = field(default_factory=Hooks)
    outputs: Mapping[str, Callable[[Any], bytes] | None] = field(default_factory=dict)
    outputs_required: bool = True
    inputs: Callable[[Unit], Inputs] | None = None
    shares_generators: bool = False
    step_cache: StepCache | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, the baseline first."""
        return (BASELINE, *(treatment.name for treatment in self.treatments))

    def without_global_seeding(self) -> RunPlan:
        """Return a plan that leaves the global generators alone."""
        return replace(self, seed_globals=None)

    def with_step_cache(self, cache: StepCache | None) -> RunPlan:
        """Return a plan whose cacheable steps use another cache; with None, none.

        `open_step_cache` gives one of a directory and a mode.
        """
        return replace(self, step_cache=cache)

    @cached_property
    def cacheable_steps(self) -> CacheableSteps | None:
        """Caller of the cacheable steps, if there are any."""
        if not self.pipeline.is_cacheable:
            return None
        return CacheableSteps(self.step_cache, self.seed_globals, shared=self.shares_generators)

    def finished(self, records: Sequence[RunRecord]) -> Sequence[RunRecord]:
        """Return what counts of a block of units that were run in a process they had been sent to."""
        return records

    def conclude(self) -> list[str]:
        """Tidy up at the end of a run; return what its user should know, once."""
        return [] if self.step_cache is None else self.step_cache.conclude()

    def journal(self, unit: Unit) -> Journal:
        """Return a fresh journal for a unit, before its treatment is applied."""
        replicate, condition = unit
        journal = Journal(self.initial, self.stream.word(replicate), condition, replicate)
        if self.stream.samples:
            self.stream.begin(journal)
        if self.outputs:
            journal.outputs = self.outputs
        if self.inputs is not None:
            journal.inputs = self.inputs(unit)
        return journal

    def failed(self, unit: Unit, error: RunError) -> RunRecord:
        """Return the record of a unit that was ended from outside, or not begun."""
        return RunRecord(unit.condition, unit.replicate, self.stream.seed(unit.replicate), error=error)

    def with_data(self, source: DataSource) -> RunPlan:
        """Return a plan that fetches from another source, under whatever treatment."""
        treatments = tuple(treatment.without_source() for treatment in self.treatments)
        return replace(self, datasource=source, treatments=treatments)

    def until_exit(self) -> RunPlan:
        """Return a plan of the steps up to the one marked by `exit_step`; outputs need not be written."""
        return replace(self, pipeline=self.pipeline.until_exit(), outputs_required=False)

    def with_inputs(self, inputs: Callable[[Unit], Inputs]) -> RunPlan:
        """Return a plan whose units depend on others."""
        return replace(self, inputs=inputs)

    def __getstate__(self) -> dict[str, Any]:
        """Send to another process what can be sent."""
        return {name: value for name, value in vars(self).items() if name != "_pass"}

    @cached_property
    def _shared_time(self) -> SharedTime:
        return SharedTime()

    @cached_property
    def is_async(self) -> bool:
        """Whether units have something to await."""
        sources = (self.datasource, *(t.source for t in self.treatments if t.source is not None))
        return self.pipeline.is_async or any(source.is_async for source in sources)

    def run(self, unit: Unit, outcomes: Outcomes = RECORDED) -> RunRecord:
        """Run one unit; if something in it is asynchronous, on an event loop of its own.

        Raises
        ------
        EventLoopError
            If a loop is running already where one is needed.
        """
        if self.is_async:
            refuse_inside_a_loop()
        journal = self.journal(unit)
        if journal.inputs is not None and (skipped := _skipped(journal)) is not None:
            return skipped
        return execute(journal, self._pass, seed_globals=self.seed_globals, outcomes=outcomes)

    async def arun(self, unit: Unit, outcomes: Outcomes = RECORDED) -> RunRecord:
        """Run one unit on the running event loop."""
        if not self.is_async:
            with outside_loop():
                return self.run(unit, outcomes)
        journal = self.journal(unit)
        return _skipped(journal) or await aexecute(
            journal,
            self._await_body,
            seed_globals=self.seed_globals,
            outcomes=outcomes,
            shared=self._shared_time,
        )

    def run_for_output(self, unit: Unit) -> tuple[RunRecord, Any]:
        """Run one unit whose exceptions come through; also return what its last step returned."""
        if self.is_async:
            refuse_inside_a_loop()
        outputs: list[Any] = []
        record = execute(
            self.journal(unit),
            lambda ctx: outputs.append(self._pass(ctx)),
            seed_globals=self.seed_globals,
            outcomes=RAISED,
        )
        return record, outputs[0]

    @cached_property
    def _pass(self) -> Callable[[FrozenContext], Any]:
        """Does all that a unit does."""
        if self.is_async or self.inputs is not None:
            return self._run_body
        return straight_pass(self.pipeline, self, self._beginnings) or self._run_body

    @cached_property
    def _beginnings(self) -> dict[str, Beginning]:
        is_same = not self.stream.samples
        return beginnings(self.datasource, self.treatments, self.initial, is_same=is_same)

    def _run_body(self, ctx: FrozenContext) -> Any:
        if self.is_async:
            return given(run_to_completion(self._await_body(ctx)))
        return finished(self._body(ctx))

    async def _await_body(self, ctx: FrozenContext) -> Ending:
        return await awaited(partial(self._body, ctx))

    def _body(self, ctx: FrozenContext, cancelling: Callable[[], object] | None = None) -> Body:
        """Do all that a unit does; see `Pipeline.body`."""
        body = self.pipeline.body(ctx, self, None, cancelling)
        return body if self.cacheable_steps is None else _within(self.cacheable_steps.unit(), body)

    def begin(self, ctx: FrozenContext) -> DataSource:
        """Check what is upstream, apply the treatment, and call the hooks before the replicate."""
        journal, hooks = journal_of(ctx), self.hooks
        inputs = journal.inputs
        if inputs is not None:
            self._check_inputs(journal)
        source, treatment, values, scope = self._beginnings[journal.condition]
        if scope is not None and values is not None:
            journal.begin_behind(values, scope)
        elif treatment is not None:
            journal.enter(treatment.name, TREATMENT)
            treatment.apply(ctx)
        if hooks.before_replicate:
            journal.enter(OUTSIDE, HOOKS)
            for hook in hooks.before_replicate:
                hook(ctx)
        return source if inputs is None else _Downstream(source, inputs)

    def end(self, ctx: FrozenContext) -> None:
        """Check what was written, and call the hooks behind the replicate."""
        if self.outputs and self.outputs_required:
            self._check_outputs(journal_of(ctx))
        for hook in self.hooks.after_replicate:
            hook(ctx)

    def _check_inputs(self, journal: Journal) -> None:
        try:
            journal.inputs.check()
        except UpstreamError:
            journal.enter(self.datasource.name, 0)  # there is nothing for it to fetch
            raise

    def _check_outputs(self, journal: Journal) -> None:
        written = [entry.name for entry in journal.artifacts]
        for name in self.outputs:
            if name not in written:
                known = ", ".join(map(repr, written)) or "nothing"
                journal.enter("outputs", HOOKS)
                raise ArtifactError(
                    f"experiment {self.name!r} declares output {name!r}, which no step wrote; "
                    f"written: {known}"
                )


def _within(bracket: AbstractContextManager[object], body: Body) -> Body:
    with bracket:
        return (yield from body)


class _Downstream(DataSource):
    """A data source, as that of a unit that reads what others wrote."""

    def __init__(self, source: DataSource, inputs: Inputs) -> None:
        self._source = source
        self._inputs = inputs

    @property
    def name(self) -> str:
        """Name of the data source."""
        return self._source.name

    def fetch(self, ctx: FrozenContext) -> Any:
        """Read the keys of the treatment that were read upstream, since they are in the data; fetch these."""
        for key in sorted(self._inputs.reads & journal_of(ctx).values.keys()):
            ctx.get(key)
        return self._source.fetch(ctx)


def _skipped(journal: Journal) -> RunRecord | None:
    """Return the record of a unit that is skipped since one upstream was."""
    inputs: Inputs | None = journal.inputs
    if inputs is None or (reason := inputs.skipped) is None:
        return None
    return RunRecord(journal.condition, journal.replicate, journal.seed, skipped=reason)
