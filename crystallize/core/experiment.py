"""The experiment: what is run, under which conditions, and what is claimed."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from crystallize.core.builder import ExperimentBuilder
from crystallize.core.context import LOGGER, frozen_mapping
from crystallize.core.datasource import as_data_source
from crystallize.core.evaluation import runs_by_condition, unread_keys
from crystallize.core.freezing import summarize
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.pipeline import Pipeline, as_pipeline
from crystallize.core.pipeline_step import PipelineStep, StepFactory
from crystallize.core.plugins import (
    ArtifactPlugin,
    BasePlugin,
    Execution,
    LoggingPlugin,
    SeedPlugin,
    SerialExecution,
)
from crystallize.core.provenance import git_commit
from crystallize.core.result import Result, RunFailure
from crystallize.core.run import RAISED, Hooks, RunPlan, RunRecord, Unit, units
from crystallize.core.seeding import SeedStream, global_state_restored
from crystallize.core.treatment import Treatment
from crystallize.errors import CrystallizeWarning, DefinitionError

P = TypeVar("P", bound=BasePlugin)

_DEFAULT_PLUGINS: tuple[type[BasePlugin], ...] = (SeedPlugin, ArtifactPlugin, LoggingPlugin, SerialExecution)

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
    treatments : list of Treatment
        The conditions beside the baseline.
    hypotheses : list of Hypothesis
        Claims about each treatment; `hypothesis` is another spelling for a single one.
    replicates : int
        How often each condition is run, >= 1.

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

    def __init__(
        self,
        datasource: Any,
        pipeline: Pipeline | Sequence[PipelineStep | StepFactory],
        plugins: Iterable[BasePlugin] | None = None,
        *,
        name: str = DEFAULT_NAME,
        description: str = "",
        initial_ctx: Mapping[str, Any] | None = None,
        treatments: Iterable[Treatment] = (),
        hypotheses: Iterable[Hypothesis] = (),
        hypothesis: Hypothesis | None = None,
        replicates: int = 1,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise DefinitionError(f"an experiment is named {name!r}; a name is a non-empty string")
        self.name = name
        self.description = description
        self.datasource = as_data_source(datasource)
        self.pipeline = as_pipeline(pipeline)
        self.initial_ctx = frozen_mapping(initial_ctx or {})
        self.given_plugins = tuple(plugins or ())
        self.plugins = _with_defaults(self.given_plugins)
        self.treatments = treatments
        given = tuple(hypotheses)
        if hypothesis is not None:
            if given:
                raise DefinitionError("give hypothesis= or hypotheses=, not both")
            given = (hypothesis,)
        self.hypotheses = given
        self.replicates = replicates
        for plugin in self.plugins:
            plugin.init_hook(self)

    @staticmethod
    def builder(name: str = DEFAULT_NAME) -> ExperimentBuilder:
        """Return a builder whose methods set one part each."""
        return ExperimentBuilder(name, Experiment)

    @property
    def treatments(self) -> tuple[Treatment, ...]:
        """The conditions beside the baseline; may be set to a list."""
        return self._treatments

    @treatments.setter
    def treatments(self, treatments: Iterable[Treatment]) -> None:
        self._treatments = self._checked_treatments(treatments)

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The claims about each treatment; may be set to a list."""
        return self._hypotheses

    @hypotheses.setter
    def hypotheses(self, hypotheses: Iterable[Hypothesis]) -> None:
        self._hypotheses = self._checked_hypotheses(hypotheses)

    @property
    def replicates(self) -> int:
        """How often each condition is run; may be set."""
        return self._replicates

    @replicates.setter
    def replicates(self, replicates: int) -> None:
        self._replicates = check_replicates(replicates, f"experiment {self.name!r}")

    def validate(self) -> None:
        """Check that `run` has something to decide.

        Raises
        ------
        DefinitionError
            If there are hypotheses and no treatment that they could be about.
        """
        self._check_decidable(self.treatments, self.hypotheses)

    def run(
        self,
        *,
        treatments: Iterable[Treatment] | None = None,
        hypotheses: Iterable[Hypothesis] | None = None,
        replicates: int | None = None,
    ) -> Result:
        """Run every condition in every replicate, and verify the hypotheses.

        A condition that fails in a replicate stops nothing: it is in ``result.errors``, and a hypothesis that
        lacks values for it is invalid.

        Parameters
        ----------
        treatments, hypotheses, replicates : optional
            In place of those of the experiment, for this run.

        Raises
        ------
        DefinitionError
            If these can't be run together.
        NotPicklableError
            If a part can't be sent to the processes it is to run in.
        """
        used = self._with(treatments, hypotheses, replicates)
        used.validate()
        execution: Execution = used.plugin(Execution)  # type: ignore[type-abstract]  # asked for, not made
        plan = used.plan()
        todo = list(units(plan.conditions, range(used.replicates)))
        with used._running() as commit:
            records = list(execution.execute(plan, todo))
        result = used._conclude(plan, records, commit())
        for treatment in used.treatments:
            used._warn_of_unread_keys(treatment, result)
        return result

    async def arun(
        self,
        *,
        treatments: Iterable[Treatment] | None = None,
        hypotheses: Iterable[Hypothesis] | None = None,
        replicates: int | None = None,
    ) -> Result:
        """Do what `run` does in a thread of its own, so that an event loop goes on meanwhile."""
        return await asyncio.to_thread(
            self.run, treatments=treatments, hypotheses=hypotheses, replicates=replicates
        )

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
        used = self._with(chosen, (), 1)
        used.plugins = _with_defaults([*used.plugins, LoggingPlugin(verbose=True)])
        plan = used.plan()
        with used._running() as commit:
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
        )

    @contextmanager
    def _running(self) -> Iterator[Callable[[], str | None]]:
        """Bracket the units of a run; yields a function that returns the commit they are run at."""
        with git_commit() as commit, global_state_restored():
            try:
                for plugin in self.plugins:
                    plugin.before_run(self)
                yield commit
            except BaseException:
                self.plugin(ArtifactPlugin).tidy()
                raise

    def _conclude(self, plan: RunPlan, records: Sequence[RunRecord], commit: str | None) -> Result:
        result = Result(
            self.name,
            runs_by_condition(records, plan.conditions, self.replicates),
            self.hypotheses,
            root_seed=plan.stream.root,
            steps=[{"name": step.name, "params": step.params} for step in self.pipeline],
            git_commit=commit,
        )
        for plugin in self.plugins:
            try:
                plugin.after_run(self, result)
            except Exception as error:  # what was measured is not lost for a plugin's fault
                hook = f"{type(plugin).__name__}.after_run"
                message = f"{type(error).__name__}: {error}"
                result.errors += (RunFailure("", None, hook, message, traceback.format_exc()),)
                LOGGER.exception("%s of experiment %r failed", hook, self.name)
        return result

    def _warn_of_unread_keys(self, treatment: Treatment, result: Result) -> None:
        runs = result.metrics.treatments[treatment.name].runs
        for key in unread_keys(treatment, runs):
            missed = sorted({k for record in runs.records if record for s in record.scopes for k in s.absent})
            looked_up = f" (looked up and not found: {', '.join(map(repr, missed))})" if missed else ""
            warnings.warn(
                f"treatment {treatment.name!r} of experiment {self.name!r} sets {key!r}, which nothing read"
                f"{looked_up}; name it like the step's parameter, or read it with ctx.get({key!r})",
                CrystallizeWarning,
                stacklevel=3,
            )

    def _with(
        self,
        treatments: Iterable[Treatment] | None,
        hypotheses: Iterable[Hypothesis] | None,
        replicates: int | None,
    ) -> Experiment:
        if treatments is None and hypotheses is None and replicates is None:
            return self
        changed = copy.copy(self)
        if treatments is not None:
            changed.treatments = treatments
        if hypotheses is not None:
            changed.hypotheses = hypotheses
        if replicates is not None:
            changed.replicates = replicates
        return changed

    def _for_workers(self) -> Experiment:
        """Return what another process needs of this experiment: verifiers need not be picklable."""
        reduced = copy.copy(self)
        reduced._hypotheses = ()
        reduced.plugins = [plugin for plugin in self.plugins if not isinstance(plugin, Execution)]
        return reduced

    def _checked_treatments(self, treatments: Iterable[Treatment]) -> tuple[Treatment, ...]:
        where = f"experiment {self.name!r}"
        checked = tuple(treatments)
        names: set[str] = set()
        for treatment in checked:
            if not isinstance(treatment, Treatment):
                raise DefinitionError(
                    f"{where}: {treatment!r} is not a treatment; give Treatment(name, change)"
                )
            if treatment.name in names:
                raise DefinitionError(f"{where}: two treatments are named {treatment.name!r}")
            names.add(treatment.name)
            for key in treatment.payload or ():
                if key in self.initial_ctx:
                    raise DefinitionError(
                        f"{where}: treatment {treatment.name!r} sets key {key!r}, which initial_ctx holds "
                        f"already as {summarize(self.initial_ctx[key])!r}; keys are never replaced: leave it "
                        "out of initial_ctx and make it a default of the step"
                    )
        return checked

    def _checked_hypotheses(self, hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
        where = f"experiment {self.name!r}"
        checked = tuple(hypotheses)
        names: set[str] = set()
        for hypothesis in checked:
            if not isinstance(hypothesis, Hypothesis):
                raise DefinitionError(f"{where}: {hypothesis!r} is not a hypothesis; give Hypothesis(...)")
            if hypothesis.name in names:
                raise DefinitionError(
                    f"{where}: two hypotheses are named {hypothesis.name!r}; give each a name="
                )
            names.add(hypothesis.name)
        return checked

    def _check_decidable(self, treatments: Sequence[Treatment], hypotheses: Sequence[Hypothesis]) -> None:
        if hypotheses and not treatments:
            names = ", ".join(repr(hypothesis.name) for hypothesis in hypotheses)
            raise DefinitionError(
                f"experiment {self.name!r} claims {names} but has no treatment to claim it of; give "
                "treatments=[...]"
            )

    def __repr__(self) -> str:
        return (
            f"<Experiment {self.name!r}: {self.replicates} replicates of {1 + len(self.treatments)} "
            f"conditions, {len(self.hypotheses)} hypotheses>"
        )


def check_replicates(replicates: Any, where: str) -> int:
    """Return a number of replicates, or raise `DefinitionError`."""
    if type(replicates) is not int or replicates < 1:
        raise DefinitionError(
            f"{where} has replicates={replicates!r}; a number of replicates is an integer >= 1"
        )
    return replicates


def _with_defaults(plugins: Iterable[BasePlugin] | None) -> list[BasePlugin]:
    """Return the plugins, with the default of each kind that is missing; of a kind the last one counts."""
    given = list(plugins or ())
    for plugin in given:
        if not isinstance(plugin, BasePlugin):
            hint = "; call it" if isinstance(plugin, type) else ""
            raise DefinitionError(f"{plugin!r} is not a plugin{hint}")
    kinds = {plugin.kind: index for index, plugin in enumerate(given) if plugin.kind is not None}
    kept = [p for index, p in enumerate(given) if p.kind is None or kinds[p.kind] == index]
    return [default() for default in _DEFAULT_PLUGINS if default.kind not in kinds] + kept
