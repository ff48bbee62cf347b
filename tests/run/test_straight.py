"""What is found out once for all runs of a condition is what each of them would find.

It is where no hooks are called around steps; so runs are compared with those that have hooks.
"""

import dataclasses
import pickle
import random

import pytest

from crystallize import (
    BasePlugin,
    Experiment,
    Treatment,
    data_source,
    inject_from_ctx,
    pipeline_step,
    resource_factory,
)
from crystallize.core import PipelineStep
from crystallize.declare.pipeline_step import FunctionStep
from crystallize.run.units import Unit


class Hooked(BasePlugin):
    """A plugin that is told of each step, so that nothing is found out beforehand."""

    def before_step(self, experiment, step, data, ctx):
        """Do nothing."""


class KeyAdded(BasePlugin):
    """A plugin that adds a key that differs from run to run."""

    def before_replicate(self, experiment, ctx):
        """Add it."""
        ctx.add("added", float(ctx.replicate))


@data_source
def numbers(ctx, *, n=2):
    return [float(ctx.rng.normal()) for _ in range(n)]


@data_source
def pair():
    return 1.0, {"no": "metric"}


@data_source
def writing(ctx, *, delta=0.0):
    ctx.add("late", delta + ctx.replicate)
    return [delta]


@pipeline_step
def shift(data, ctx, *, delta=0.0, added=0.0):
    again = ctx.get("delta", -1.0)
    return [x + delta for x in data], {"delta": delta, "again": again, "added": added}


@pipeline_step
def total(data):
    return data, {"total": sum(data), "drawn": random.random()}


@pipeline_step
def marked(data, *, marks=[]):  # noqa: B006 - each run has a copy
    marks.append(len(data))
    return data, {"marks": len(marks)}


@pipeline_step
def required(data, ctx, *, delta, replicate):
    return data, {"delta": delta, "replicate": replicate}


@pipeline_step
def adding(data, ctx):
    ctx.add("late", ctx.seed)
    return data


@pipeline_step
def of_late(data, ctx, *, late=-1):
    return data, {"late": late}


@resource_factory
def opened(ctx):
    return [ctx.get("delta", 0.0)]


@pipeline_step
def using(data, *, resource=opened):
    return data, {"opened": resource[0]}


@pipeline_step
@inject_from_ctx
def injected(data, ctx, *, delta=0.5):
    return data, {"injected": delta}


@pipeline_step
def stopping(data, *, delta=0.0):
    if delta:
        raise StopIteration(delta)
    return data, {"went": "on"}


@pipeline_step
def forgotten(data):
    async def never():
        return data

    return never()


class Three(PipelineStep):
    """A step of a class of its own, whose output is no pair."""

    def __call__(self, data, ctx):
        """Record what it looks up."""
        ctx.metrics.add("found", ctx.get("delta", 2))
        return data, 1, 2


class Twice(FunctionStep):
    """A step of a class derived from that of functions."""

    def __call__(self, data, ctx):
        """Pass the data through the function twice."""
        return super().__call__(super().__call__(data, ctx)[0], ctx)


def by_replicate(ctx):
    """Add a key that differs from run to run."""
    ctx.add("delta", 10.0 * ctx.replicate)


PIPELINES = [
    (numbers, [shift, total]),
    (numbers(n=3), [shift(added=2.0), total]),
    (pair, [Three()]),
    (writing, [of_late, shift]),
    (numbers, [marked, adding, of_late, shift]),
    (numbers, [required]),
    (numbers, [Twice(shift, {}), total]),
    (numbers, [using, injected, total]),
    (numbers, [stopping, total]),
    (numbers, [total, forgotten]),
]
TREATMENTS = [
    Treatment("more", {"delta": 1.0}),
    Treatment("long", {"delta": 2, "n": 4}, optional=["delta", "n"]),
    Treatment("own", by_replicate),
    Treatment("elsewhere", writing),
]


def left(source, steps, plugins, initial):
    """Return what runs leave, but for their times."""
    experiment = Experiment(source, steps, plugins, treatments=TREATMENTS, initial_ctx=initial, replicates=3)
    plan = experiment.run_plan()
    records = [plan.run(Unit(i, condition)) for condition in plan.conditions for i in range(3)]
    errors = [record.error and _of_the_users(record.error) for record in records]
    return [
        dataclasses.replace(record, seconds=0.0, error=error).to_json()
        for record, error in zip(records, errors, strict=True)
    ]


def _of_the_users(error):
    """Return an error without the traceback, if nothing in it is the user's."""
    return error if __file__ in error.traceback else dataclasses.replace(error, traceback="")


@pytest.mark.parametrize("initial", [{}, {"marks": [1, 2], "late": 5}], ids=["empty", "full"])
@pytest.mark.parametrize(("source", "steps"), PIPELINES)
def test_hooks_that_do_nothing_change_nothing(source, steps, initial):
    """Metrics, traces, errors with their tracebacks, and the numbers that generators give."""
    for plugins in ([], [KeyAdded()]):
        assert left(source, steps, plugins, initial) == left(source, steps, [*plugins, Hooked()], initial)


def test_a_plan_that_has_run_units_can_still_be_sent():
    """What is found out for its runs stays where it is."""
    plan = Experiment(numbers, [shift, total], replicates=2).run_plan()
    unit = Unit(1, "more")
    before = plan.run(unit)
    after = pickle.loads(pickle.dumps(plan)).run(unit)
    assert dataclasses.replace(after, seconds=before.seconds) == before
