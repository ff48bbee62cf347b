"""Steps of a pipeline."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, overload

from crystallize.context.context import FrozenContext
from crystallize.context.freezing import Shared
from crystallize.declare.awaiting import is_async
from crystallize.declare.decorated import Declared
from crystallize.declare.functions import Given, Parameters
from crystallize.errors import DefinitionError


class PipelineStep(ABC):
    """Base of steps, which take the data and the context, and return the data for the next step.

    Subclass it and define `__call__`, or decorate a function with `pipeline_step`. A step that returns a
    pair ``(data, metrics)`` with a mapping as its second part records these metrics.

    Attributes
    ----------
    is_exit : bool
        Whether a single pass that is to return an output stops behind this step; see `exit_step`.
    cacheable : bool
        Whether a run may take what the step gives from the cache; see `pipeline_step`.
    deterministic : bool
        Whether a cacheable step uses neither seed nor replicate, so that all replicates share its result.

    Examples
    --------
    >>> from crystallize import Experiment
    >>> class Total(PipelineStep):
    ...     def __init__(self, weight):
    ...         self.weight = weight
    ...     def __call__(self, data, ctx):
    ...         return data, {"total": self.weight * sum(data)}
    >>> Experiment([1, 2, 3], [Total(0.5)]).run().metrics.baseline["total"]
    [3.0]
    """

    is_exit: bool = False
    cacheable: bool = False
    deterministic: bool = False

    @property
    def name(self) -> str:
        """Name in traces and errors; the class's by default."""
        return type(self).__name__

    @property
    def params(self) -> dict[str, Any]:
        """Explicit parameters, shown in the provenance; the public attributes by default."""
        hidden = ("is_exit", "cacheable", "deterministic")
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


class FunctionStep(Given, PipelineStep):
    """A step made of a function and parameters.

    Every run is given copies of the parameters, and read-only views of numpy arrays, so that none can change
    what another one sees; only what can't be copied is the same object in every run.
    """

    def __init__(self, factory: StepFactory, params: Mapping[str, Any]) -> None:
        super().__init__(factory, params)
        self.cacheable = factory.cacheable
        self.deterministic = factory.deterministic

    def __call__(self, data: Any, ctx: FrozenContext) -> Any:
        """Call the function."""
        factory = self.factory
        function, parameters = factory.function, factory.parameters
        if not (self.frozen or parameters.defaults):  # the shortest way: this is called for every run
            return function(data, ctx) if parameters.takes_ctx else function(data)
        filled = parameters.fill(self.params if self.frozen else {}, ctx)
        return function(data, ctx, **filled) if parameters.takes_ctx else function(data, **filled)


def code_of(step: PipelineStep) -> object:
    """Return what decides what a step does: its code with all that was given to it."""
    if not isinstance(step, FunctionStep):
        return step
    params = {key: value.value if type(value) is Shared else value for key, value in step.frozen.items()}
    return step.factory.function, params


class StepFactory(Declared):
    """Factory of a `PipelineStep`, called with its parameters; made by `pipeline_step`."""

    def __init__(
        self, function: Callable[..., Any], *, cacheable: bool = False, deterministic: bool = False
    ) -> None:
        super().__init__(function)
        self.parameters = Parameters(function, ("data", "ctx"), "step")
        self.is_async = is_async(function)
        self.cacheable = cacheable
        self.deterministic = deterministic

    def __call__(self, **params: Any) -> FunctionStep:
        """Return the step with these parameters fixed."""
        self.parameters.check(params)
        return FunctionStep(self, params)

    def reduce_by_value(self) -> tuple[Any, ...]:
        """Return what makes it again where its module is another one."""
        return _factory_again, (self.function, self.cacheable, self.deterministic)


def _factory_again(function: Callable[..., Any], cacheable: bool, deterministic: bool) -> StepFactory:
    return StepFactory(function, cacheable=cacheable, deterministic=deterministic)


@overload
def pipeline_step(function: Callable[..., Any], /) -> StepFactory: ...
@overload
def pipeline_step(
    *, cacheable: bool = False, deterministic: bool = False
) -> Callable[[Callable[..., Any]], StepFactory]: ...
def pipeline_step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    cacheable: bool = False,
    deterministic: bool = False,
) -> Any:
    """Make a pipeline step of a function ``(data, ctx, *, parameter=default)``; the context may be left out.

    It decorates with and without parentheses.

    Parameters behind these are given when the step is made, or else filled from the context (this is
    how a treatment reaches them), or else have their defaults. The function returns the data for the next
    step, or a pair of the data and a mapping of metrics. It may be ``async def``; see `AsyncExecution`.

    Parameters
    ----------
    function : callable
        The function, if it is decorated without parentheses.
    cacheable : bool
        Whether a run may take what the step gives (output, metrics, context keys, artifacts) from the cache
        instead of calling it. It may as long as the step's code and parameters, its input data, the keys of
        the context that it reads, its seed and the environment are what they were. The global random
        generators are seeded anew before and behind the step, with or without a cache, and its output is
        handed on as the copy that a cache would give.
    deterministic : bool
        Whether a cacheable step uses neither seed nor replicate, so that all replicates share its result.

    Raises
    ------
    DefinitionError
        If a step is to be deterministic and not cacheable.

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

    def declare(function: Callable[..., Any]) -> StepFactory:
        check_caching(getattr(function, "__name__", repr(function)), cacheable, deterministic)
        return StepFactory(function, cacheable=cacheable, deterministic=deterministic)

    return declare if function is None else declare(function)


def check_caching(name: str, cacheable: object, deterministic: object) -> None:
    """Raise `DefinitionError` unless a step is cacheable or not, and deterministic only if cacheable."""
    for option, value in (("cacheable", cacheable), ("deterministic", deterministic)):
        if not isinstance(value, bool):
            raise DefinitionError(f"step {name!r} has {option}={value!r}; it is True or False")
    if deterministic and not cacheable:
        raise DefinitionError(
            f"step {name!r} is deterministic=True but not cacheable; deterministic only says that replicates "
            "may share a cached result, so declare cacheable=True too, or neither"
        )


def exit_step(step: PipelineStep | StepFactory) -> PipelineStep:
    """Mark the step whose output a single pass of the pipeline returns; `run` goes on behind it.

    Parameters
    ----------
    step : PipelineStep
        The step, or its un-called factory.

    Examples
    --------
    >>> from crystallize import Experiment
    >>> @pipeline_step()
    ... def double(data):
    ...     return 2 * data
    >>> @pipeline_step()
    ... def judge(data):
    ...     return None, {"size": data}
    >>> Experiment(3, [exit_step(double), judge]).apply()
    6
    """
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
