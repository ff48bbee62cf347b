"""What is declared of an experiment: its parts, checked; nothing here runs anything."""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.unread import TreatmentKeys
from crystallize.claims.hypothesis import Hypothesis, metrics_of_claims
from crystallize.claims.policy import Judging
from crystallize.claims.stopping import Stopping
from crystallize.context.context import frozen_mapping
from crystallize.context.seeding import SeedStream
from crystallize.declare.artifact import Artifact, alone, artifacts_in, checked_outputs
from crystallize.declare.case_design import CaseDesign, check_case_key
from crystallize.declare.cases import Cases
from crystallize.declare.datasource import DataSource, as_data_source
from crystallize.declare.dependencies import Caching
from crystallize.declare.own_attributes import is_own
from crystallize.declare.pipeline_step import PipelineStep, StepFactory
from crystallize.declare.treatment import BASELINE, Treatment, Treatments
from crystallize.errors import DefinitionError
from crystallize.experiment.checks import (
    check_decidable,
    check_replicates,
    checked_context,
    checked_hypotheses,
    checked_plugins,
    checked_treatments,
    with_defaults,
)
from crystallize.run.execute import RunPlan
from crystallize.run.pipeline import Hooks, Pipeline, as_pipeline
from crystallize.run.plugins import (
    ArtifactPlugin,
    BasePlugin,
    Execution,
    LoggingPlugin,
    SeedPlugin,
    SerialExecution,
)
from crystallize.run.step_cache import open_step_cache
from crystallize.stats import Correction
from crystallize.text.formatting import counted
from crystallize.text.keywords import checked_keywords

P = TypeVar("P", bound=BasePlugin)

DEFAULT_NAME = "experiment"
DEFAULT_PLUGINS: tuple[type[BasePlugin], ...] = (SeedPlugin, ArtifactPlugin, LoggingPlugin, SerialExecution)
_SETTABLE = ("treatments", "hypotheses", "replicates", "plugins")


@functools.lru_cache(maxsize=256)
def _unsettable(name: str) -> str | None:
    """Return why an attribute can't be set that is meant for a part that is declared; None if it is none."""
    if name in ExperimentDeclaration.__annotations__:
        return None
    declared = [*inspect.signature(ExperimentDeclaration.__init__).parameters][1:]
    if name in declared:
        return "it stays as it was declared"
    if meant := difflib.get_close_matches(name, declared, n=1, cutoff=0.85):
        return f"it has no such part; did you mean {meant[0]!r}?"
    if name == "seed":
        return "it has no such part; a root seed is given by plugins=[SeedPlugin(seed=...)]"
    return None


def _check_new(name: str, experiment: ExperimentDeclaration) -> None:
    """Raise `AttributeError` if an attribute is meant for a part that is declared: it would say nothing.

    What a subclass has of its own, or its methods use, may say something there.
    """
    why = _unsettable(name)
    if why is None or is_own(name, type(experiment)):
        return
    settable = ", ".join(_SETTABLE)
    raise AttributeError(
        f"{name!r} of {experiment.label} can't be set: {why}; declare another experiment, or set one of "
        f"{settable}"
    )


class ExperimentDeclaration:
    """The parts of an experiment; what they mean is said of `Experiment`.

    Treatments, hypotheses, replicates and plugins may be set, and are checked then; every other part stays as
    it was declared. What runs an experiment works with a copy of its own.

    Attributes
    ----------
    run_id : str
        Of a copy that is run: another one each time.
    given_plugins : tuple of BasePlugin
        Those that were given, without the default ones.
    judging : Judging
        How claims are judged.
    caching : Caching
        What runs depend on, as declared.
    declared_replicates : int or None
        How often each condition is run, if that was said.
    shared_treatments : frozenset of str
        In a graph, the treatments of experiments that are not upstream.
    design : CaseDesign or None
        The cases that it is run on, if there are any.
    """

    name: str
    description: str
    run_id: str
    outputs: tuple[Artifact, ...]
    datasource: DataSource
    pipeline: Pipeline
    initial_ctx: Mapping[str, Any]
    given_plugins: tuple[BasePlugin, ...]
    judging: Judging
    caching: Caching
    shared_treatments: frozenset[str]
    design: CaseDesign | None

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
        cases: Cases | None = None,
        samples: int | None = None,
        slices: str | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise DefinitionError(f"an experiment is named {name!r}; a name is a non-empty string")
        self.name = name
        self.description = description
        self.run_id = ""
        self.outputs = checked_outputs(outputs, self.label)
        self.datasource = as_data_source(datasource)
        self.pipeline = as_pipeline(pipeline)
        self.initial_ctx = frozen_mapping(checked_context(initial_ctx or {}, self.label))
        self.given_plugins = checked_plugins(plugins or (), self.label)
        self._plugins = tuple(with_defaults(self.given_plugins, DEFAULT_PLUGINS))
        self.judging = Judging(correction, stopping, resampled)
        self.caching = Caching(inputs, env, cache_key, repeatable)  # type: ignore[arg-type]  # it makes tuples of them
        self.shared_treatments = frozenset()
        self.treatments = treatments
        given = checked_hypotheses(hypotheses, self.label)
        if hypothesis is not None and given:
            raise DefinitionError("give hypothesis= or hypotheses=, not both")
        self.hypotheses = given if hypothesis is None else (hypothesis,)
        self.declared_replicates = None if replicates is None else check_replicates(replicates, self.label)
        self.design = CaseDesign.declared(cases, samples, slices, replicates=replicates, where=self.label)
        self._check_case_key()
        for plugin in self.plugins:
            plugin.init_hook(self)

    if not TYPE_CHECKING:  # where it would let anything be set

        def __setattr__(self, name, value):
            if name not in _SETTABLE and name in ExperimentDeclaration.__annotations__ and name in vars(self):
                settable = ", ".join(_SETTABLE)
                raise AttributeError(
                    f"{name!r} of {self.label} can't be set to {value!r}: it stays as it was declared; "
                    f"declare another experiment, or set one of {settable}"
                )
            if not (name[0] == "_" or name in vars(self) or name in _SETTABLE):
                _check_new(name, self)
            object.__setattr__(self, name, value)

    @property
    def label(self) -> str:
        """Name of the experiment in messages."""
        return f"experiment {self.name!r}"

    # Parts that may be set.

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
    def replicates(self) -> int:
        """Number of replicates of each condition, of cases their samples; may be set where there are none."""
        if self.design is not None:
            return self.design.replicates
        return 1 if self.declared_replicates is None else self.declared_replicates

    @replicates.setter
    def replicates(self, replicates: int) -> None:
        if self.design is not None:
            raise DefinitionError(
                f"{self.label} has cases, so replicates={replicates!r} can't be set: a replicate is one "
                "sample of one case; declare cases= and samples="
            )
        self.declared_replicates = check_replicates(replicates, self.label)

    @property
    def plugins(self) -> tuple[BasePlugin, ...]:
        """The plugins, with the default ones; may be set to a list."""
        return self._plugins

    @plugins.setter
    def plugins(self, plugins: Iterable[BasePlugin]) -> None:
        given, had = checked_plugins(plugins, self.label), self._plugins
        kept = with_defaults(given, DEFAULT_PLUGINS)
        default = {id(plugin) for plugin in had} - {id(plugin) for plugin in self.given_plugins}
        named = tuple(plugin for plugin in given if id(plugin) not in default)
        vars(self).update(given_plugins=named, _plugins=tuple(kept))
        for plugin in kept:
            if not any(plugin is known for known in had):
                plugin.init_hook(self)

    def _check_case_key(self) -> None:
        if self.design is not None:
            check_case_key(self.initial_ctx, self.treatments, self.label)

    def varied(self, **parts: Any) -> Self:
        """Return a copy with other parts, which are checked as when they are set.

        Of plugins, those that were given stay the same: others stand in for some of them, in one place.
        """
        if unknown := parts.keys() - ExperimentDeclaration.__annotations__.keys() - set(_SETTABLE):
            raise TypeError(f"{self.label} has no part {min(unknown)!r}")
        changed = copy.copy(self)
        if "plugins" in parts:
            changed._plugins = tuple(parts.pop("plugins"))
        vars(changed).update((name, part) for name, part in parts.items() if name not in _SETTABLE)
        for name in _SETTABLE:
            if name in parts:
                setattr(changed, name, parts[name])
        changed.judging.check(changed.hypotheses, changed.label)
        changed._check_case_key()
        return changed

    @property
    def once(self) -> int | None:
        """Number of replicates of one pass; None where there are cases, which have theirs."""
        return 1 if self.design is None else None

    def for_run(
        self,
        treatments: Treatments | None = None,
        hypotheses: Iterable[Hypothesis] | Hypothesis | None = None,
        replicates: int | None = None,
    ) -> Self:
        """Return a copy that is to be run, with these in place of its own unless they are None."""
        given = {"treatments": treatments, "hypotheses": hypotheses, "replicates": replicates}
        parts = {name: part for name, part in given.items() if part is not None}
        return self.varied(run_id=secrets.token_hex(8), **parts)

    def for_workers(self) -> Self:
        """Return what another process needs of this experiment: verifiers need not be picklable."""
        plugins = [plugin for plugin in self.plugins if not isinstance(plugin, Execution)]
        return self.varied(hypotheses=(), outputs=(), plugins=plugins, given_plugins=())

    def with_plugins(self, plugins: Iterable[BasePlugin]) -> Self:
        """Return a copy with other plugins; each replaces the default of its own kind."""
        given = tuple(plugins)
        changed = self.varied(given_plugins=given, plugins=with_defaults(given, DEFAULT_PLUGINS))
        for plugin in changed.plugins:
            plugin.init_hook(changed)
        return changed

    # What follows from them.

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, the baseline first."""
        return (BASELINE, *(treatment.name for treatment in self.treatments))

    @property
    def analysis_plan(self) -> AnalysisPlan:
        """Claims of the experiment, and the policy that they are judged by."""
        treatments = tuple(treatment.name for treatment in self.treatments)
        cases = None if self.design is None else self.design.stream(self.plugin(SeedPlugin).seed or 0)
        counted = self.replicates if self.design is None else len(self.design.cases)
        return AnalysisPlan(
            self.hypotheses, treatments, counted, self.judging, self.treatment_keys, cases=cases
        )

    @property
    def treatment_keys(self) -> TreatmentKeys:
        """Keys of the treatments that may stay unread."""
        return TreatmentKeys.of(self.treatments, self.shared_treatments)

    @property
    def execution(self) -> Execution:
        """Execution that runs the units."""
        return self.plugin(Execution)  # type: ignore[type-abstract]  # asked for, not made

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
        check_decidable(self.conditions, self.hypotheses, self.label)
        self.analysis_plan.check_cases(self.label)

    def run_plan(self, root_seed: int | None = None, *, anew: bool = False) -> RunPlan:
        """Return what a process needs to run any unit.

        Parameters
        ----------
        root_seed : int, optional
            In place of that of the `SeedPlugin`.
        anew : bool
            Whether no stored result of a step stands for what it measures, even if nothing is claimed of it.
        """
        seeding, caching = self.plugin(SeedPlugin), self.caching
        root = seeding.seed if root_seed is None else root_seed
        hooked = (plugin for plugin in self.plugins if not isinstance(plugin, Execution | SeedPlugin))
        step_cache = None
        if self.pipeline.is_cacheable:
            step_cache = open_step_cache(
                inputs=caching.inputs,
                env=caching.env,
                cache_key=caching.cache_key,
                measured_anew=None if anew else metrics_of_claims(self.hypotheses),
            )
        return RunPlan(
            self.name,
            self.datasource,
            self.pipeline,
            self.treatments,
            self.initial_ctx,
            SeedStream(root or 0) if self.design is None else self.design.stream(root or 0),
            seeding.seed_globals,
            Hooks(self, hooked),
            outputs={output.name: output.writer for output in self.outputs},
            step_cache=step_cache,
        )

    def __repr__(self) -> str:
        claims = "1 hypothesis" if len(self.hypotheses) == 1 else f"{len(self.hypotheses)} hypotheses"
        return (
            f"<Experiment {self.name!r}: {counted(self.replicates, 'replicate')} of "
            f"{counted(1 + len(self.treatments), 'condition')}, {claims}>"
        )
