"""Timing of functions within a condition run."""

import asyncio
import gc
import itertools
import random
import time
from functools import partial

import numpy as np
import pytest

from crystallize import Experiment, FrozenContext, Hypothesis, LogRatioTest, pipeline_step
from crystallize.errors import MetricError


def recorded(ctx):
    return {entry.name: entry for entry in ctx.metrics.entries}


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still unless it is told to go on."""

    class Clock:
        now = 0.0

        def work(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def test_least_and_mean_of_rounds_are_measured(clock):
    """The calls that warm up count in neither."""
    ctx, took = FrozenContext(), iter([9.0, 9.0, 3.0, 1.0, 2.0])
    ctx.time(lambda: clock.work(next(took)), rounds=3, warmup=2)
    assert {name: entry.value for name, entry in recorded(ctx).items()} == {
        "seconds_min": 1.0,
        "seconds_mean": 2.0,
    }
    assert all(entry.measured for entry in ctx.metrics.entries)


@pytest.mark.parametrize("seconds", [pytest.param(3e-10, marks=pytest.mark.slow), 1e-7, 2e-4, 0.5])
def test_a_round_takes_a_millisecond_at_least(clock, seconds):
    """Whatever a call takes, its time is found."""
    calls = itertools.count()

    def function():
        next(calls)
        clock.work(seconds)

    ctx = FrozenContext()
    ctx.time(function, metric="f")
    assert recorded(ctx)["f_min"].value == pytest.approx(seconds, rel=1e-3)
    assert 5 * 1e-3 <= next(calls) * seconds <= max(0.1, 6 * seconds)


def test_what_is_long_need_not_be_called_more_than_once(clock):
    """Without a warm-up, the first call is the first round, unless it is too short for the clock."""
    ctx, calls = FrozenContext(), itertools.count()

    def function(seconds):
        next(calls)
        clock.work(seconds)

    ctx.time(function, 7.0, rounds=1, warmup=0)
    assert next(calls) == 1
    assert recorded(ctx)["seconds_mean"].value == 7.0
    ctx.time(function, 1e-5, metric="short", rounds=1, warmup=0, calls=4)
    assert next(calls) == 2 + 1 + 4


def test_garbage_is_not_collected_meanwhile():
    """Afterwards, and where the function fails, it is as before."""
    seen = set()
    FrozenContext().time(lambda: seen.add(gc.isenabled()))
    assert seen == {False}
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        FrozenContext().time(lambda: 1 / 0)
    assert gc.isenabled()


def test_what_follows_does_not_depend_on_how_often_it_was_called():
    """Generators, of the run and global ones, go on as behind one call, whose value is returned."""

    def draws(ctx, time_it):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002 - the global generators are what it is about
        function = lambda: (ctx.rng.random(), random.random(), np.random.random())  # noqa: E731, NPY002
        return time_it(function), function()

    timed, plain = FrozenContext(), FrozenContext()
    assert draws(timed, timed.time) == draws(plain, lambda function: function())
    ctx = FrozenContext()
    ctx.time(random.random)
    assert ctx.rng.random() == FrozenContext().rng.random()


async def awaited():
    pass


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (3, {}, "is given 3; give a function"),
        (awaited, {}, "asynchronous function"),
        (len, {"rounds": 0}, "rounds=0; allowed are ints from 1 on"),
        (len, {"warmup": -1}, "warmup=-1; allowed are ints from 0 on"),
        (len, {"calls": 1.5}, "calls=1.5; allowed are ints from 1 on"),
    ],
)
def test_what_cannot_be_timed_is_refused(function, options, said):
    """With what is allowed."""
    args = ("text",) if function is len else ()
    with pytest.raises(MetricError, match=said):
        FrozenContext().time(function, *args, **options)


def test_what_is_timed_records_nothing():
    """It is called many times."""
    ctx = FrozenContext()
    with pytest.raises(MetricError, match="record what it returns"):
        ctx.time(ctx.record, "x", 1.0)


@pipeline_step()
def measure(data, ctx, *, calls=300):
    ctx.time(partial(sum, start=0), range(30 * calls), metric="sum")
    return data


def test_at_least_ten_percent_faster():
    """A claim about times, of a third of the work."""
    faster = Hypothesis(
        metric="sum_min",
        direction="decrease",
        at_least=0.1,
        relative=True,
        statistical_test=LogRatioTest(),
        name="faster",
    )
    experiment = Experiment(lambda ctx: 0, [measure], treatments={"less": {"calls": 100}}, replicates=8)
    result = experiment.run(hypotheses=[faster])
    assert result.get_hypothesis("faster").verdicts["less"].status == "supported"


def test_inside_a_loop():
    """What is not asynchronous can be timed beside others that wait."""

    async def body():
        return FrozenContext().time(len, "four")

    assert asyncio.run(body()) == 4
