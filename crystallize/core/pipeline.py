"""Ordered steps, one pass over the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crystallize.core.context import FrozenContext
from crystallize.core.pipeline_step import PipelineStep, StepFactory, as_step, metrics_of
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
            raise DefinitionError(f"a pipeline is made of a list of steps, not of {steps!r}")
        self.steps: tuple[PipelineStep, ...] = tuple(as_step(step) for step in steps)
        if not self.steps:
            raise DefinitionError("a pipeline needs at least one step")
        self._with_setup = [s for s in self.steps if type(s).setup is not PipelineStep.setup]
        self._with_teardown = [s for s in self.steps if type(s).teardown is not PipelineStep.teardown]

    def run(self, data: Any, ctx: FrozenContext) -> Any:
        """Pass the data through every step and return what the last one returned; metrics go to ``ctx.metrics``.

        Every step's `setup` is called before the first step, every step's `teardown` in reverse order behind
        the last, also if a step raised.
        """
        try:
            self.setup(ctx)
            return self.process(data, ctx)
        finally:
            self.teardown(ctx)

    def setup(self, ctx: FrozenContext) -> None:
        """Call every step's `setup`."""
        for step in self._with_setup:
            ctx._enter(step.name, self.steps.index(step) + 1)
            step.setup(ctx)

    def teardown(self, ctx: FrozenContext) -> None:
        """Call every step's `teardown` in reverse order; the first error is raised once all were called."""
        faults: list[Exception] = []
        for step in reversed(self._with_teardown):
            ctx._enter(step.name, self.steps.index(step) + 1)
            try:
                step.teardown(ctx)
            except Exception as fault:
                faults.append(fault)
        if faults:
            raise faults[0]

    def process(
        self,
        data: Any,
        ctx: FrozenContext,
        *,
        before: Iterable[StepHook] = (),
        after: Iterable[StepHook] = (),
    ) -> Any:
        """Pass the data through every step, calling hooks with (step, data, ctx) around each."""
        for index, step in enumerate(self.steps, start=1):
            ctx._enter(step.name, index)
            for hook in before:
                hook(step, data, ctx)
            data, metrics = metrics_of(step(data, ctx))
            if metrics is not None:
                for name, value in metrics.items():
                    ctx.metrics.add(name, value)
            for hook in after:
                hook(step, data, ctx)
        return data

    def __iter__(self) -> Iterator[PipelineStep]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Pipeline([{', '.join(step.name for step in self.steps)}])"


def pipeline(*steps: PipelineStep | StepFactory) -> Pipeline:
    """Make a pipeline of steps given one by one."""
    return Pipeline(steps)


def as_pipeline(value: Any) -> Pipeline:
    """Accept a pipeline or a list of steps."""
    return value if isinstance(value, Pipeline) else Pipeline(value)
