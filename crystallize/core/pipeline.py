"""Ordered steps, one pass over the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import CoroutineType
from typing import Any

from crystallize.boundary import check_failure, failure
from crystallize.core.awaiting import never_awaited, outside_loop, run_to_completion, settled
from crystallize.core.context import FrozenContext
from crystallize.core.pipeline_step import PipelineStep, StepFactory, as_step, check_caching, recorded
from crystallize.core.seeding import SETUP, TEARDOWN
from crystallize.core.step_cache import CacheableSteps
from crystallize.errors import DefinitionError

StepHook = Callable[[PipelineStep, Any, FrozenContext], object]


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

    def run(self, data: Any, ctx: FrozenContext) -> Any:
        """Pass the data through every step and return what the last one returned.

        Metrics go to ``ctx.metrics``; nothing is cached. Every step's `setup` is called before the first
        step, every step's `teardown` in reverse order behind the last, also if a step raised.
        """
        if self.is_async:
            return run_to_completion(self._arun(data, ctx))
        try:
            self.setup(ctx)
            data = self.process(data, ctx)
        except BaseException as fault:
            self.teardown(ctx, fault)
            raise
        self.teardown(ctx)
        return data

    async def _arun(self, data: Any, ctx: FrozenContext) -> Any:
        try:
            await self.asetup(ctx)
            data = await self.aprocess(data, ctx)
        except BaseException as fault:
            await self.ateardown(ctx, fault)
            raise
        await self.ateardown(ctx)
        return data

    def until_exit(self) -> Pipeline:
        """Return the pipeline up to the first step marked by `exit_step`, or all of it if none is."""
        for index, step in enumerate(self.steps, start=1):
            if step.is_exit:
                return Pipeline(self.steps[:index])
        return self

    # Each part comes twice: the plain one is what runs a hundred thousand times, and awaits nothing.

    def setup(self, ctx: FrozenContext) -> None:
        """Call every step's `setup`."""
        for index, name, step in self._with_setup:
            ctx._enter(name, SETUP + index)
            step.setup(ctx)

    async def asetup(self, ctx: FrozenContext) -> None:
        """Do what `setup` does, awaiting what is to be awaited."""
        for index, name, step in self._with_setup:
            ctx._enter(name, SETUP + index)
            with outside_loop():
                waiting = step.setup(ctx)
            await settled(waiting)

    def teardown(self, ctx: FrozenContext, fault: BaseException | None = None) -> None:
        """Call every step's `teardown` in reverse order, every one of them even if one raises.

        Parameters
        ----------
        ctx : FrozenContext
            The context; it is left in the scope that raised first.
        fault : BaseException, optional
            What had ended the run. Later errors become notes on it; without it, the first one is raised.
        """
        if not self._with_teardown:
            return
        faults = _Faults(ctx, fault)
        for index, name, step in reversed(self._with_teardown):
            ctx._enter(name, TEARDOWN + index)
            try:
                step.teardown(ctx)
            except BaseException as error:
                check_failure(error)
                faults.add(name, error)
        faults.conclude()

    async def ateardown(self, ctx: FrozenContext, fault: BaseException | None = None) -> None:
        """Do what `teardown` does, awaiting what is to be awaited."""
        faults = _Faults(ctx, fault)
        for index, name, step in reversed(self._with_teardown):
            ctx._enter(name, TEARDOWN + index)
            try:
                with outside_loop():
                    waiting = step.teardown(ctx)
                await settled(waiting)
            except (Exception, SystemExit) as error:  # neither the task's cancellation nor its end
                check_failure(error)
                faults.add(name, error)
        faults.conclude()

    def process(
        self,
        data: Any,
        ctx: FrozenContext,
        *,
        before: Iterable[StepHook] = (),
        after: Iterable[StepHook] = (),
        cacheable: CacheableSteps | None = None,
    ) -> Any:
        """Pass the data through every step.

        Parameters
        ----------
        data, ctx : any, FrozenContext
            What the first step is given.
        before, after : iterable of callable
            Called with (step, data, ctx) around each step.
        cacheable : CacheableSteps, optional
            What calls the cacheable steps; otherwise, they are called like all others.
        """
        for index, name, step in self._parts:
            ctx._enter(name, index)
            for hook in before:
                hook(step, data, ctx)
            if cacheable is not None and step.cacheable:
                data = cacheable.call(step, index, data, ctx)
            else:
                data = step(data, ctx)
                if type(data) is tuple:
                    data = recorded(data, ctx)
                elif type(data) is CoroutineType:
                    raise never_awaited(data, f"step {name!r}")
            for hook in after:
                hook(step, data, ctx)
        return data

    async def aprocess(
        self,
        data: Any,
        ctx: FrozenContext,
        *,
        before: Iterable[StepHook] = (),
        after: Iterable[StepHook] = (),
        cacheable: CacheableSteps | None = None,
    ) -> Any:
        """Do what `process` does, awaiting what is to be awaited."""
        for index, name, step in self._parts:
            ctx._enter(name, index)
            with outside_loop():
                for hook in before:
                    hook(step, data, ctx)
            if cacheable is not None and step.cacheable:
                data = await cacheable.acall(step, index, data, ctx)
            else:
                with outside_loop():
                    waiting = step(data, ctx)
                data = recorded(await settled(waiting), ctx)
            with outside_loop():
                for hook in after:
                    hook(step, data, ctx)
        return data

    def __iter__(self) -> Iterator[PipelineStep]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Pipeline([{', '.join(step.name for step in self.steps)}])"


class _Faults:
    """What raised while steps are torn down: the first one counts, later ones become notes on it."""

    def __init__(self, ctx: FrozenContext, fault: BaseException | None) -> None:
        self._ctx = ctx
        self._given = self._first = fault
        self._scope = ctx._scope

    def add(self, name: str, error: BaseException) -> None:
        """Take in what the teardown of a step raised."""
        if self._first is None:
            self._scope, self._first = self._ctx._scope, error
        else:
            self._first.add_note(f"teardown of {name!r} failed too: {failure(error)}")

    def conclude(self) -> None:
        """Leave the context in the scope that raised first; raise what was not raised already."""
        if self._first is not None:
            self._ctx._scope = self._scope
            if self._first is not self._given:
                raise self._first


def pipeline(*steps: PipelineStep | StepFactory) -> Pipeline:
    """Make a pipeline of steps given one by one."""
    return Pipeline(steps)


def as_pipeline(value: Any) -> Pipeline:
    """Accept a pipeline or a list of steps."""
    return value if isinstance(value, Pipeline) else Pipeline(value)
