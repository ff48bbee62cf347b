"""Steps of a pipeline."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from crystallize.core.awaiting import is_async
from crystallize.core.context import FrozenContext
from crystallize.core.declared import Declared, Parameters
from crystallize.core.freezing import freeze_if_possible, thaw
from crystallize.errors import DefinitionError


class PipelineStep(ABC):
    """One step: takes the data and the context, returns the data for the next step.

    Subclass it and define `__call__`, or decorate a function with `pipeline_step`. A step that returns a
    pair ``(data, metrics)`` with a mapping as its second part records these metrics.

    Attributes
    ----------
    is_exit : bool
        Whether a single pass that is to return an output stops behind this step; see `exit_step`.
    """

    is_exit: bool = False

    @property
    def name(self) -> str:
        """Name in traces and errors; the class's by default."""
        return type(self).__name__

    @property
    def params(self) -> dict[str, Any]:
        """Explicit parameters, shown in the provenance; the public attributes by default."""
        hidden = ("is_exit",)
        return {key: value for key, value in vars(self).items() if key[0] != "_" and key not in hidden}

    @property
    def is_async(self) -> bool:
        """Whether calling, setting up or tearing down has to be awaited."""
        kind = type(self)
        return is_async(kind.__call__) or is_async(kind.setup) or is_async(kind.teardown)

    @abstractmethod
    def __call__(self, data: Any, ctx: FrozenContext) -> Any:
        """Process the data; may be ``async def``, as may `setup` and `teardown`."""

    def setup(self, ctx: FrozenContext) -> Any:  # noqa: B027 - a hook, not an omission
        """Prepare for one condition run; called before its data are fetched."""

    def teardown(self, ctx: FrozenContext) -> Any:  # noqa: B027 - a hook, not an omission
        """Clean up after one condition run, whether or not it failed."""


class FunctionStep(PipelineStep):
    """A step made of a function and parameters.

    Every run is given copies of the parameters, and read-only views of numpy arrays, so that none can change
    what another one sees; only what can't be copied is the same object in every run.
    """

    def __init__(self, factory: StepFactory, params: dict[str, Any]) -> None:
        self._factory = factory
        self._params = {key: freeze_if_possible(value) for key, value in params.items()}

    @property
    def name(self) -> str:
        """Name of the function."""
        return self._factory.__name__

    @property
    def params(self) -> dict[str, Any]:
        """The parameters given, as copies."""
        return {key: thaw(value) for key, value in self._params.items()}

    @property
    def is_async(self) -> bool:
        """Whether the function is ``async def``."""
        return self._factory.is_async

    def __call__(self, data: Any, ctx: FrozenContext) -> Any:
        """Call the function."""
        factory = self._factory
        if not (self._params or factory.parameters.defaults):
            return factory.function(data, ctx)
        return factory.function(
            data, ctx, **factory.parameters.fill(self.params if self._params else {}, ctx)
        )

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.params.items())})"


class StepFactory(Declared):
    """What `pipeline_step` makes of a function: call it with parameters to get a `PipelineStep`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.parameters = Parameters(function, ("data", "ctx"), "step")
        self.is_async = is_async(function)

    def __call__(self, **params: Any) -> FunctionStep:
        """Return the step with these parameters fixed."""
        self.parameters.check(params)
        return FunctionStep(self, params)


def pipeline_step() -> Callable[[Callable[..., Any]], StepFactory]:
    """Make a pipeline step of a function ``(data, ctx, *, parameter=default)``.

    Parameters behind the first two are given when the step is made, or else filled from the context (this is
    how a treatment reaches them), or else have their defaults. The function returns the data for the next
    step, or a pair of the data and a mapping of metrics. It may be ``async def``; see `AsyncExecution`.

    Examples
    --------
    >>> @pipeline_step()
    ... def scale(data, ctx, *, factor=1):
    ...     return [x * factor for x in data]
    >>> scale(factor=3)([1, 2], FrozenContext())
    [3, 6]
    >>> scale()([1, 2], FrozenContext({"factor": 10}))
    [10, 20]
    """
    return StepFactory


def exit_step(step: PipelineStep | StepFactory) -> PipelineStep:
    """Mark the step whose output a single pass of the pipeline returns; `run` goes on behind it."""
    marked = copy.copy(as_step(step))
    marked.is_exit = True
    return marked


def as_step(value: Any) -> PipelineStep:
    """Accept a step, its un-called factory, or a subclass of `PipelineStep` that needs no arguments."""
    if isinstance(value, PipelineStep):
        return value
    if isinstance(value, StepFactory) or (isinstance(value, type) and issubclass(value, PipelineStep)):
        return value()
    name = getattr(value, "__name__", "it")
    raise DefinitionError(
        f"{value!r} is not a pipeline step; decorate {name} with @pipeline_step(), or subclass PipelineStep"
    )


def metrics_of(output: Any) -> tuple[Any, Mapping[str, Any] | None]:
    """Split what a step returned into the data and, if it returned a pair with a mapping, the metrics."""
    if type(output) is tuple and len(output) == 2:
        metrics = output[1]
        if type(metrics) is dict or isinstance(metrics, Mapping):
            return output
    return output, None
