"""Ordered steps, one pass over the data."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from functools import partial
from inspect import isawaitable
from types import CoroutineType
from typing import Any, Final, Protocol

from crystallize.boundary import check_failure, failure
from crystallize.context.context import FrozenContext, journal_of
from crystallize.context.outputs import recorded
from crystallize.context.seeding import HOOKS, SETUP, TEARDOWN
from crystallize.declare.awaiting import Body, awaited, expected, finished, given, run_to_completion
from crystallize.declare.datasource import DataSource
from crystallize.declare.pipeline_step import PipelineStep, StepFactory, as_step, check_caching
from crystallize.errors import DefinitionError
from crystallize.run.step_cache import CacheableSteps

StepHook = Callable[[PipelineStep, Any, FrozenContext], object]


class Hooks:
    """The plugins' calls around a unit of work and its steps.

    Parameters
    ----------
    experiment : Experiment
        What the hooks are told of.
    plugins : iterable of BasePlugin
        In the order in which they are called.
    """

    def __init__(self, experiment: Any = None, plugins: Iterable[Any] = ()) -> None:
        self.experiment = experiment
        self.plugins = tuple(plugins)

        def bound(name: str) -> tuple[Callable[..., object], ...]:
            return tuple(_hook(p, name, experiment) for p in self.plugins if p.overrides(name))

        self.before_replicate = bound("before_replicate")
        self.after_replicate = bound("after_replicate")
        self.before_step: tuple[StepHook, ...] = bound("before_step")
        self.after_step: tuple[StepHook, ...] = bound("after_step")

    def __reduce__(self) -> tuple[Any, ...]:
        """Send what units need to another process: the hypotheses stay behind."""
        return (Hooks, (self.experiment and self.experiment.for_workers(), self.plugins))


def _hook(plugin: Any, name: str, experiment: Any) -> Callable[..., object]:
    """Return a plugin's hook as a function of what comes behind the experiment; the context comes last."""
    method = getattr(plugin, name)
    hook = f"{type(plugin).__name__}.{name}"

    def of_unit(ctx: FrozenContext) -> object:
        try:
            return method(experiment, ctx)
        except BaseException:
            journal_of(ctx).enter(hook, HOOKS)  # the error is the hook's, not the step's
            raise

    def of_step(step: PipelineStep, data: Any, ctx: FrozenContext) -> object:
        try:
            return method(experiment, step, data, ctx)
        except BaseException:
            journal_of(ctx).enter(hook, HOOKS)
            raise

    return of_step if name.endswith("_step") else of_unit


class Around(Protocol):
    """Calls before and behind a pass through a pipeline."""

    @property
    def hooks(self) -> Hooks:
        """Hooks around each step."""

    @property
    def cacheable_steps(self) -> CacheableSteps | None:
        """Caller of the cacheable steps; without one they are called like all others."""

    def begin(self, ctx: FrozenContext) -> DataSource | None:
        """Act before the steps are set up; return what the data are fetched from, if they are."""

    def end(self, ctx: FrozenContext) -> None:
        """Act when the steps are torn down, unless something raised."""


class _Nothing:
    hooks = Hooks()
    cacheable_steps = None

    def begin(self, ctx: FrozenContext) -> None:
        return None

    def end(self, ctx: FrozenContext) -> None:
        return None


_NOTHING_AROUND: Final[Around] = _Nothing()


class Pipeline:
    """Steps in order; each receives what the one before it returned.

    Parameters
    ----------
    steps : iterable of PipelineStep
        Steps, or their un-called factories.

    Raises
    ------
    DefinitionError
        If there is no step, or something is not a step.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def double(data):
    ...     return 2 * data
    >>> @pipeline_step()
    ... def size(data):
    ...     return data, {"size": data}
    >>> Experiment(3, Pipeline([double, size])).run().metrics.baseline["size"]
    [6]
    """

    def __init__(self, steps: Iterable[PipelineStep | StepFactory]) -> None:
        if isinstance(steps, PipelineStep | StepFactory) or not isinstance(steps, Iterable):
            raise DefinitionError(
                f"a pipeline is made of a list of steps, not of {steps!r}; put it in brackets, as in [step]"
            )
        self.steps: tuple[PipelineStep, ...] = tuple(as_step(step) for step in steps)
        if not self.steps:
            raise DefinitionError("a pipeline needs at least one step; it was given none")
        for step in self.steps:
            check_caching(step.name, step.cacheable, step.deterministic)
        self.is_async = any(step.is_async for step in self.steps)
        self.is_cacheable = any(step.cacheable for step in self.steps)
        self._parts = tuple((index, step.name, step) for index, step in enumerate(self.steps, start=1))
        self._with_setup = [p for p in self._parts if type(p[2]).setup is not PipelineStep.setup]
        self._with_teardown = [p for p in self._parts if type(p[2]).teardown is not PipelineStep.teardown]
        self.sets_up = bool(self._with_setup or self._with_teardown)

    def run(self, data: Any, ctx: FrozenContext) -> Any:
        """Pass the data through every step and return what the last one returned.

        Metrics go to ``ctx.metrics``; nothing is cached. Every step's `setup` is called before the first
        step, every step's `teardown` in reverse order behind the last, also if a step raised.
        """
        if self.is_async:
            return given(run_to_completion(awaited(partial(self.body, ctx, _NOTHING_AROUND, data))))
        return finished(self.body(ctx, _NOTHING_AROUND, data))

    @property
    def described(self) -> list[dict[str, Any]]:
        """Name and parameters of each step."""
        return [{"name": step.name, "params": step.params} for step in self.steps]

    def until_exit(self) -> Pipeline:
        """Return the pipeline up to the first step marked by `exit_step`, or all of it if none is."""
        for index, step in enumerate(self.steps, start=1):
            if step.is_exit:
                return Pipeline(self.steps[:index])
        return self

    def body(
        self,
        ctx: FrozenContext,
        around: Around,
        data: Any = None,
        cancelling: Callable[[], object] | None = None,
    ) -> Body:
        """Pass data through every step; yield what is to be awaited.

        Parameters
        ----------
        ctx : FrozenContext
            The context; it is left in the scope that raised first.
        around : Around
            What is done before and behind.
        data : any
            What the first step is given, unless there is a source.
        cancelling : callable, optional
            Tells whether the task is being cancelled that awaits what is yielded; None if nothing does.
        """
        fault: BaseException | None = None
        journal = journal_of(ctx)
        awaits, begun = cancelling is not None, False
        before, after = around.hooks.before_step, around.hooks.after_step
        cacheable = around.cacheable_steps
        try:
            source = around.begin(ctx)
            begun = True
            for index, name, step in self._with_setup:
                journal.enter(name, SETUP + index)
                waiting = step.setup(ctx)
                if awaits and isawaitable(waiting):
                    yield waiting
            if source is not None:
                journal.enter(source.name, 0)
                data = source.fetch(ctx)
                if awaits or type(data) is CoroutineType:
                    data = yield from expected(data, "data source", source.name, awaits=awaits)
            for index, name, step in self._parts:
                journal.enter(name, index)
                for hook in before:
                    hook(step, data, ctx)
                call = None
                if cacheable is not None and step.cacheable:
                    call = cacheable.call(step, index, data, ctx)
                if call is None or call.is_to_be_made():
                    try:
                        data = step.__call__(data, ctx)  # in half the time of step(data, ctx)
                        if awaits or type(data) is CoroutineType:
                            data = yield from expected(data, "step", name, awaits=awaits)
                        if type(data) is tuple:
                            data = recorded(data, journal)
                    finally:
                        if call is not None:
                            call.end()
                if call is not None:
                    data = call.handed_on(data)
                for hook in after:
                    hook(step, data, ctx)
        except BaseException as error:
            fault = error
            if cancelling is not None and isinstance(error, CancelledError) and not cancelling():
                # Nobody cancelled the pass, so it is a failure of this one and ends no other.
                fault = RuntimeError(f"{journal.scope.name} was cancelled from within")
                fault.__cause__ = error
        try:
            if begun and self._with_teardown:
                fault = yield from self._torn_down(ctx, fault, awaits=awaits)
            if fault is None:
                around.end(ctx)
            return data, fault
        except BaseException as error:
            return None, error
        finally:
            del fault  # its traceback holds this frame

    def _torn_down(
        self, ctx: FrozenContext, fault: BaseException | None, *, awaits: bool
    ) -> Generator[Awaitable[Any], Any, BaseException | None]:
        """Call every step's `teardown`, every one of them even if one raises.

        The first exception counts, also `fault`, which had ended the steps; later ones become notes on it.
        """
        journal = journal_of(ctx)
        scope = journal.scope
        # Where a task awaits: neither its cancellation nor its end.
        failures = (Exception, SystemExit) if awaits else (BaseException,)
        try:
            for index, name, step in reversed(self._with_teardown):
                journal.enter(name, TEARDOWN + index)
                try:
                    waiting = step.teardown(ctx)
                    if awaits and isawaitable(waiting):
                        yield waiting
                except failures as error:
                    check_failure(error)
                    if fault is None:
                        scope, fault = journal.scope, error
                    else:
                        fault.add_note(f"teardown of {name!r} failed too: {failure(error)}")
            if fault is not None:
                journal.scope = scope
            return fault
        finally:
            del fault

    def __iter__(self) -> Iterator[PipelineStep]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Pipeline([{', '.join(step.name for step in self.steps)}])"


def pipeline(*steps: PipelineStep | StepFactory) -> Pipeline:
    """Make a pipeline of steps given one by one.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def size(data):
    ...     return data, {"size": data}
    >>> Experiment(3, pipeline(size)).run().metrics.baseline["size"]
    [3]
    """
    return Pipeline(steps)


def as_pipeline(value: Any) -> Pipeline:
    """Accept a pipeline or a list of steps."""
    return value if isinstance(value, Pipeline) else Pipeline(value)
