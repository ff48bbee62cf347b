"""Units of experiments that a factory returned."""

from __future__ import annotations

import copy
import dataclasses
import json
from asyncio import CancelledError
from collections.abc import Callable, Generator
from contextlib import closing
from functools import cached_property

import pytest

from crystallize import (
    ArtifactPlugin,
    BasePlugin,
    Budget,
    Experiment,
    Result,
    RunRecord,
    SeedPlugin,
)
from crystallize.errors import FingerprintError
from crystallize.seam import (
    BASELINE,
    DEFAULT_NAME,
    RAISED,
    Execution,
    Expectation,
    Hooks,
    Outcomes,
    RunError,
    RunPlan,
    StepCache,
    Subject,
    Unit,
    WatchedPlan,
    fingerprint,
    given,
    global_state_restored,
    metrics_of_claims,
    open_step_cache,
    open_store,
    subject_of,
    text_of,
    unit_of,
)
from pytest_crystallize.boundary import FAILURES, SKIPS
from pytest_crystallize.isolation.process_loop import RunTask
from pytest_crystallize.naming.tracebacks import describe
from pytest_crystallize.records.record_cache import surroundings
from pytest_crystallize.units.artifacts import SharedArtifacts
from pytest_crystallize.units.experiment_runs import ExperimentRuns
from pytest_crystallize.units.settings import Settings
from pytest_crystallize.units.sources import Records, SharedRecords, Source, UnitsHere
from pytest_crystallize.units.together import AwaitedRuns, Script, UnitsTogether


class FactoryRuns(ExperimentRuns, AwaitedRuns):
    """Units of an `Experiment` that a factory returned."""

    default_replicates = 1

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        name: str,
        where: str,
        experiment: Experiment,
        seed: int | None,
        replicates: int | None = None,
        part: str = "",
        max_concurrency: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        declared = experiment.plugin(SeedPlugin).seed
        super().__init__(
            function,
            settings,
            name=name,
            where=where,
            treatments=experiment.treatments,
            replicates=experiment.declared_replicates or replicates,
            seed=seed if declared is None else declared,
            hypotheses=experiment.hypotheses,
            judging=experiment.judging,
            caching=experiment.caching,
            keys=experiment.treatment_keys,
            part=part,
            max_concurrency=max_concurrency,
            design=experiment.design,
            budget=budget,
        )
        self.awaits = experiment.run_plan().is_async and not self.on_cluster
        self.experiment_name = self.name if experiment.name == DEFAULT_NAME else experiment.name
        self._note_ignored(experiment)
        self.artifacts = self._shared_artifacts(experiment)
        self.experiment = self._as_settled(experiment)
        self.seeds_globals = experiment.plugin(SeedPlugin).seed_globals is not None
        self._began: list[BasePlugin] = []
        self._refusal: RunError | None = None

    def _note_ignored(self, experiment: Experiment) -> None:
        """Say which plugins of the experiment do nothing here."""
        for plugin in experiment.given_plugins:
            if isinstance(plugin, Execution):
                self.settings.note(
                    f"{self.name}: {type(plugin).__name__} is ignored under pytest; replicates run in "
                    "parallel under pytest-xdist's -n, or on a cluster"
                )

    def _as_settled(self, experiment: Experiment) -> Experiment:
        """Return the experiment as it is run here: so often, and with artifacts that processes share."""
        amount = {"replicates": self.replicates} if self.design is None else {"design": self.design}
        plugins = [
            self.artifacts if isinstance(plugin, ArtifactPlugin) else plugin for plugin in experiment.plugins
        ]
        return experiment.varied(name=self.experiment_name, **amount, plugins=plugins)

    def _shared_artifacts(self, experiment: Experiment) -> SharedArtifacts:
        plugin, settings = experiment.plugin(ArtifactPlugin), self.settings
        given = any(plugin is known for known in experiment.given_plugins)
        self.keep_versions = plugin.keep_versions if given else None
        used = copy.copy(plugin) if given else ArtifactPlugin(settings.options.artifact_root)
        return SharedArtifacts(used, self.experiment_name, self.id, settings.exchange)

    @cached_property
    def plan(self) -> RunPlan:
        """The experiment's plan; the hooks before the run are called when it is first asked for."""
        for plugin in self.experiment.plugins:
            plugin.before_run(self.experiment)
            self._began.append(plugin)
        return self.make_plan()

    def make_plan(self) -> RunPlan:
        """Return the experiment's plan."""
        plan = dataclasses.replace(self.experiment.run_plan(self.root_seed), stream=self.stream)
        return plan.with_step_cache(self._step_cache()) if plan.pipeline.is_cacheable else plan

    def _step_cache(self) -> StepCache | None:
        """Return where results of the experiment's cacheable steps are kept."""
        directory, records = self.settings.options.steps, self.settings.records
        if records is None:
            return None
        open_store(directory)  # now: the secret that it reads is no input of the unit that would open it
        root, caching = self.settings.config.rootpath, self.experiment.caching
        try:
            around = fingerprint(
                surroundings(self.function), name="surroundings", project_roots=[root]
            ).digest
        except FingerprintError:  # which is said of the runs
            if caching.cache_key is None:
                return None
            around = ""
        return open_step_cache(
            directory,
            mode=records.mode,
            inputs=caching.inputs,
            env=caching.env,
            cache_key=caching.cache_key,
            root=root,
            surroundings=json.dumps([around, records.set_up]),
            environment_digest=records.environment.digest,
            measured_anew=None if self.settings.options.save else metrics_of_claims(self.hypotheses),
        )

    def subject(self) -> Subject:
        """Return data source, steps, treatments and all else that the experiment runs."""
        root = self.settings.config.rootpath
        plan = self.make_plan()
        subject = subject_of(plan, self.experiment.given_plugins, self.caching, root=root, roots=(root,))
        treatments = {name: subject.treatments[name] for name in self.conditions}
        components = {**subject.components, **surroundings(self.function)}
        return dataclasses.replace(subject, components=components, treatments=treatments)

    def withdraw_steps(self) -> None:
        """Have nobody use the results of cacheable steps that this process has stored in this session."""
        if (steps := self._used_step_cache) is not None:
            steps.withdraw()

    @property
    def _used_step_cache(self) -> StepCache | None:
        """The cache of steps, if this process has begun the run; it has not where a hook before it raised."""
        return self.plan.step_cache if "plan" in self.__dict__ else None

    def batches(self, source: Callable[[], Source], *, wait: bool) -> Generator[Records, None, None]:
        """Yield at first all that a cluster can run, if there is one: also beyond the next look."""
        if self.on_cluster:
            ahead = range(self.first_missing(), self.replicates if self.looks_again else self.size)
            if units := [unit for replicate in ahead for unit in self.missing(replicate)]:
                yield SharedRecords(self, source, waits=False).records(units)
        yield from super().batches(source, wait=wait)

    def source(self, host: pytest.Item) -> Source:
        """Return the cluster, if there is one, or what runs units here, asynchronous ones together."""
        one_by_one = not (self.awaits or self.on_cluster)
        if one_by_one or self._refused(Unit(0, BASELINE), self._outcomes(host)) is not None:
            return UnitsHere(self, host)
        return self._cluster() if self.on_cluster else UnitsTogether(self, host)

    def _cluster(self) -> Source:
        assert self.settings.cluster is not None
        plan, root = self.plan, self.settings.config.rootpath
        if self.cache is not None:
            plan = WatchedPlan.of(plan, self.cache.stored)
        self.settings.timer.suspend()
        expectation = Expectation.of_plan(
            plan, self.experiment.given_plugins, self.caching, root=root, roots=(root,)
        )
        return self.settings.cluster.source(plan, expectation, self.settings.note)

    def take_in(self, arriving: Records) -> int:
        """Conclude records as they arrive; of a cluster, those beyond a look once it has been passed."""
        if not self.on_cluster:
            return super().take_in(arriving)
        self.repeats.hold()
        replicates: set[int] = set()
        ahead: list[RunRecord] = []
        with closing(arriving):
            for record in arriving:
                replicates.add(record.replicate)
                self.repeats.took_from(record)
                ahead.append(record)
                if self._decides(ahead):
                    break  # what is queued on the cluster is cancelled
        for record in ahead:  # beyond the look that decided: stored, but no part of a verdict
            if self.cache is not None:
                self.cache.take(unit_of(record), record)
        if ahead:
            self.artifacts.discard(
                {name: self.enough.get(name, self.size) for name in self.experiment.conditions}
            )
        self.repeats.settle_elsewhere(self._again_on_cluster)
        return len(replicates)

    def _again_on_cluster(self, unit: Unit) -> RunRecord | None:
        """Have the cluster run a unit once more."""
        with closing(self._cluster().records([unit])) as records:
            return next(records, None)

    def _decides(self, ahead: list[RunRecord]) -> bool:
        """Conclude what lies before the look that is to come, and go on to the next; tell if one decides."""
        while True:
            ready = [record for record in ahead if self.is_wanted(record)]
            ahead[:] = [record for record in ahead if not self.is_wanted(record)]
            for record in ready:
                self.conclude(record)
            if not (self.looks_again and self.is_complete()):
                return False
            if not self.advance():
                return True

    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit through the experiment's pipeline."""
        outcomes = self._outcomes(host)
        refused = self._refused(unit, outcomes)
        if refused is not None:
            return refused
        return self.settings.output.captured(host, lambda: self.judged(self.plan.run(unit, outcomes), host))

    def script(
        self,
        unit: Unit,
        host: pytest.Item,
        task: RunTask,
        *,
        outcomes: Outcomes | None = None,
        again: bool = False,
    ) -> Script:
        """Run a unit through the experiment's pipeline, on the event loop."""
        plan = self._without_hooks if again else self.plan
        recorded = outcomes or self._outcomes(host)
        ending = yield plan.arun(unit, recorded)
        try:
            record: RunRecord = given(ending)
        except recorded.failures as fault:  # a time-out; what a step raises is in the record
            if isinstance(fault, CancelledError):
                raise
            return self.failed(unit, recorded.describe(fault, self.name))
        return record if again or outcomes is not None else self.judged(record, host)

    @property
    def _without_hooks(self) -> RunPlan:
        return dataclasses.replace(self.plan, hooks=Hooks(self.experiment, ()))

    def run_again(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit without the hooks of plugins."""
        plan = self._without_hooks
        return self.settings.output.captured(host, lambda: plan.run(unit, self._outcomes(host)))

    def again(self, host: pytest.Item, unit: Unit) -> RunRecord:
        """Run a unit again, for nothing but to see what it gives."""
        return UnitsTogether(self, host).again(unit) if self.awaits else super().again(host, unit)

    def run_alone(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit whose exceptions come through."""
        if self.awaits:
            return UnitsTogether(self, host).alone(unit)
        with global_state_restored():
            self.prepare(unit, host)
            return self.plan.run(unit, RAISED)

    def _outcomes(self, host: pytest.Item) -> Outcomes:
        return Outcomes(FAILURES, SKIPS, lambda error, step: describe(error, step, host))

    def _refused(self, unit: Unit, outcomes: Outcomes) -> RunRecord | None:
        """Return the record of every unit if a hook before the run raised."""
        if self._refusal is None:
            try:
                _ = self.plan
            except FAILURES as fault:
                self._refusal = outcomes.describe(fault, "before_run")
        return None if self._refusal is None else self.failed(unit, self._refusal)

    def finish(self) -> None:
        """Call the hooks behind the run, once in each process that ran a unit."""
        if not self._began:
            return
        if (steps := self._used_step_cache) is not None:
            notes, _ = steps.report()
            for (step, _), why in notes.items():
                of_step = f"step {step!r} is not cached: " if step else ""
                self.settings.note(f"{self.name}: {of_step}{why}")
        runs = {name: known.padded(self.size) for name, known in self.runs(self.conditions).items()}
        result = Result(
            self.experiment.name, runs, root_seed=self.root_seed, steps=self.experiment.pipeline.described
        )
        for plugin in self._began:
            try:
                plugin.after_run(self.experiment, result)
            except KeyboardInterrupt:
                raise
            except FAILURES as error:  # `pytest.exit`, too: there is nothing left to end
                told = f"{type(error).__name__}: {text_of(error)}"
                self.settings.note(f"{self.name}: {type(plugin).__name__}.after_run failed: {told}")
