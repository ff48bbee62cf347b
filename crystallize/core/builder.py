"""The builder: an experiment declared part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crystallize.core.artifact import Artifact
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.pipeline import Pipeline, as_pipeline
from crystallize.core.pipeline_step import PipelineStep, StepFactory, as_step
from crystallize.core.plugins import BasePlugin
from crystallize.core.stopping import Stopping
from crystallize.core.treatment import Treatment
from crystallize.errors import DefinitionError
from crystallize.stats import Correction

if TYPE_CHECKING:
    from crystallize.core.experiment import Experiment

_MISSING: Any = object()


class ExperimentBuilder:
    """Builds an experiment part by part; every method returns the builder.

    Parameters
    ----------
    name : str
        Name of the experiment.
    make : callable
        What `build` calls with the parts; `Experiment.builder` gives `Experiment`.
    """

    def __init__(self, name: str, make: Callable[..., Experiment]) -> None:
        self._name = name
        self._make = make
        self._datasource: Any = _MISSING
        self._steps: list[PipelineStep] = []
        self._options: dict[str, Any] = {}

    def datasource(self, datasource: Any) -> ExperimentBuilder:
        """Set where the data come from."""
        self._datasource = datasource
        return self

    def pipeline(self, pipeline: Pipeline | Sequence[PipelineStep | StepFactory]) -> ExperimentBuilder:
        """Set all steps at once."""
        self._steps = list(as_pipeline(pipeline))
        return self

    def add_step(self, step: PipelineStep | StepFactory) -> ExperimentBuilder:
        """Append a step."""
        self._steps.append(as_step(step))
        return self

    def plugins(self, plugins: Iterable[BasePlugin]) -> ExperimentBuilder:
        """Set plugins; each replaces the default of its own kind."""
        return self._set(plugins=list(plugins))

    def treatments(self, treatments: Iterable[Treatment]) -> ExperimentBuilder:
        """Set the treatments."""
        return self._set(treatments=list(treatments))

    def hypotheses(self, hypotheses: Iterable[Hypothesis]) -> ExperimentBuilder:
        """Set the hypotheses."""
        return self._set(hypotheses=list(hypotheses))

    def replicates(self, replicates: int) -> ExperimentBuilder:
        """Set how often each condition is run."""
        return self._set(replicates=replicates)

    def correction(self, correction: Correction) -> ExperimentBuilder:
        """Set how p-values are corrected for the number of claims."""
        return self._set(correction=correction)

    def stopping(self, stopping: Stopping) -> ExperimentBuilder:
        """Set when to look before all replicates are run."""
        return self._set(stopping=stopping)

    def resampled(self, test_fraction: float) -> ExperimentBuilder:
        """Declare that replicates are random resplits of one data set, of which each holds this part out."""
        return self._set(resampled=test_fraction)

    def outputs(self, outputs: Iterable[Artifact]) -> ExperimentBuilder:
        """Set what a step writes in every run, for other experiments to read."""
        return self._set(outputs=outputs)

    def inputs(self, inputs: Iterable[str]) -> ExperimentBuilder:
        """Set patterns of the files that runs read."""
        return self._set(inputs=inputs)

    def env(self, names: Iterable[str]) -> ExperimentBuilder:
        """Set the environment variables that runs read."""
        return self._set(env=names)

    def cache_key(self, key: str) -> ExperimentBuilder:
        """Set what stands for all that runs depend on and that can't be seen."""
        return self._set(cache_key=key)

    def description(self, description: str) -> ExperimentBuilder:
        """Set the description."""
        return self._set(description=description)

    def initial_ctx(self, initial_ctx: Mapping[str, Any]) -> ExperimentBuilder:
        """Set the keys that every context begins with."""
        return self._set(initial_ctx=initial_ctx)

    def _set(self, **options: Any) -> ExperimentBuilder:
        self._options |= options
        return self

    def build(self) -> Experiment:
        """Return the experiment.

        Raises
        ------
        DefinitionError
            If the data source or the steps are missing, or something else can't be run.
        """
        if self._datasource is _MISSING:
            raise DefinitionError(f"experiment {self._name!r} has no data source; call .datasource(...)")
        if not self._steps:
            raise DefinitionError(f"experiment {self._name!r} has no steps; call .add_step(...)")
        return self._make(self._datasource, self._steps, name=self._name, **self._options)
