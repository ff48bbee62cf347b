"""The parts of an experiment, set one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.stopping import Stopping
from crystallize.declare.artifact import Artifact, checked_outputs
from crystallize.declare.cases import Cases
from crystallize.declare.pipeline_step import PipelineStep, StepFactory, as_step
from crystallize.declare.treatment import Treatments
from crystallize.errors import DefinitionError
from crystallize.experiment.checks import (
    checked_hypotheses,
    checked_plugins,
    checked_treatments,
    read_once,
)
from crystallize.run.pipeline import Pipeline, as_pipeline
from crystallize.run.plugins import BasePlugin
from crystallize.stats import Correction

_MISSING: Any = object()


class PartsBuilder:
    """Builder of the parts of an experiment; every method returns the builder.

    Parameters
    ----------
    name : str
        Name of the experiment.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._datasource: Any = _MISSING
        self._steps: list[PipelineStep] = []
        self._options: dict[str, Any] = {}

    def datasource(self, datasource: Any) -> Self:
        """Set where the data come from."""
        self._datasource = datasource
        return self

    def pipeline(self, pipeline: Pipeline | Sequence[PipelineStep | StepFactory]) -> Self:
        """Set all steps at once."""
        self._steps = list(as_pipeline(pipeline))
        return self

    def add_step(self, step: PipelineStep | StepFactory) -> Self:
        """Append a step."""
        self._steps.append(as_step(step))
        return self

    def plugins(self, plugins: Iterable[BasePlugin]) -> Self:
        """Set plugins; each replaces the default of its own kind."""
        return self._set(plugins=checked_plugins(plugins, self._label))

    def treatments(self, treatments: Treatments) -> Self:
        """Set the treatments."""
        return self._set(treatments=checked_treatments(treatments, {}, self._label))

    def hypotheses(self, hypotheses: Iterable[Hypothesis] | Hypothesis) -> Self:
        """Set the hypotheses."""
        return self._set(hypotheses=checked_hypotheses(hypotheses, self._label))

    def replicates(self, replicates: int) -> Self:
        """Set how often each condition is run."""
        return self._set(replicates=replicates)

    def cases(self, cases: Cases, *, samples: int = 1, slices: str | None = None) -> Self:
        """Set the cases that it is run on, how often on each, and by which key they are sliced."""
        return self._set(cases=cases, samples=samples, slices=slices)

    def correction(self, correction: Correction) -> Self:
        """Set how p-values are corrected for the number of claims."""
        return self._set(correction=correction)

    def stopping(self, stopping: Stopping) -> Self:
        """Set when to look before all replicates are run."""
        return self._set(stopping=stopping)

    def resampled(self, test_fraction: float) -> Self:
        """Declare that replicates are random resplits of one data set, of which each holds this part out."""
        return self._set(resampled=test_fraction)

    def outputs(self, outputs: Iterable[Artifact]) -> Self:
        """Set what a step writes in every run, for other experiments to read."""
        return self._set(outputs=checked_outputs(outputs, self._label))

    def inputs(self, inputs: Iterable[str]) -> Self:
        """Set patterns of the files that runs read."""
        return self._set(inputs=_once("inputs", inputs))

    def env(self, names: Iterable[str]) -> Self:
        """Set the environment variables that runs read."""
        return self._set(env=_once("env", names))

    def cache_key(self, key: str) -> Self:
        """Set what stands for all that runs depend on and that can't be seen."""
        return self._set(cache_key=key)

    def repeatable(self, repeatable: bool) -> Self:
        """Set whether a run gives the same when it is made again."""
        return self._set(repeatable=repeatable)

    def description(self, description: str) -> Self:
        """Set the description."""
        return self._set(description=description)

    def initial_ctx(self, initial_ctx: Mapping[str, Any]) -> Self:
        """Set the keys that every context begins with."""
        return self._set(initial_ctx=initial_ctx)

    @property
    def _label(self) -> str:
        return f"experiment {self._name!r}"

    def _set(self, **options: Any) -> Self:
        self._options |= options
        return self


def parts_of(builder: PartsBuilder) -> dict[str, Any]:
    """Return the arguments of the `Experiment` that is built; no method, since users see those.

    Raises
    ------
    DefinitionError
        If the data source or the steps are missing.
    """
    if builder._datasource is _MISSING:
        raise DefinitionError(f"{builder._label} has no data source; call .datasource(...)")
    if not builder._steps:
        raise DefinitionError(f"{builder._label} has no steps; call .add_step(...)")
    parts = {"datasource": builder._datasource, "pipeline": builder._steps, "name": builder._name}
    return {**parts, **builder._options}


def _once(keyword: str, names: Iterable[str]) -> Any:
    """Return what an iterator gives, which could not be read by a second `build`; all else as it is."""
    return read_once(names, keyword) if isinstance(names, Iterator) else names
