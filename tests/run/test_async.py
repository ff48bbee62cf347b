"""Asynchronous steps and data sources, on one event loop or on one for each unit."""

import asyncio
import functools
import gc
import random
import weakref

import pytest

from crystallize import (
    AsyncExecution,
    BasePlugin,
    DataSource,
    Experiment,
    FrozenContext,
    ParallelExecution,
    Pipeline,
    PipelineStep,
    SerialExecution,
    Treatment,
    data_source,
    exit_step,
    inject_from_ctx,
    pipeline_step,
)
from crystallize.declare.awaiting import is_async
from crystallize.errors import CrystallizeWarning, DefinitionError, EventLoopError
from crystallize.run.units import Unit

BOOST = Treatment("boost", {"delta": 10.0})


@data_source
async def fetch(ctx, *, n=2):
    await asyncio.sleep(0)
    return [float(ctx.rng.random()) for _ in range(n)]


@pipeline_step()
async def add(data, ctx, *, delta=0.0):
    for _ in range(ctx.replicate % 3):  # units are done in another order than they are begun
        await asyncio.sleep(0)
    return [x + delta + float(ctx.rng.random()) for x in data]


@pipeline_step()
def total(data, ctx):
    return data, {"total": sum(data) + ctx.rng.normal()}


@pipeline_step()
async def from_the_globals(data, ctx):
    await asyncio.sleep(0)
    return data, {"x": random.random()}


class Together(PipelineStep):
    """Count of the units that are under way at the same time, which waits until `meet` of them are."""

    def __init__(self, meet=1):
        self._meet, self._now, self.most = meet, 0, 0

    async def __call__(self, data, ctx):
        self._now += 1
        self.most = max(self.most, self._now)
        while self.most < self._meet:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._now -= 1
        return data


def experiment(*plugins, steps=(add, total), **kwargs):
    return Experiment(fetch, list(steps), plugins, treatments=[BOOST], replicates=7, **kwargs)


EXECUTIONS = [
    AsyncExecution(1),
    AsyncExecution(3),
    AsyncExecution(),
    SerialExecution(),
    ParallelExecution(2),
    ParallelExecution(2, "process"),
]


def test_every_execution_gives_the_same_metrics():
    """Bit for bit, whatever the order in which units are done."""
    digests = {experiment(execution).run().digest for execution in EXECUTIONS}
    digests |= {asyncio.run(experiment(execution).arun()).digest for execution in EXECUTIONS[:4]}
    assert len(digests) == 1


def test_plain_steps_run_under_an_async_execution():
    """Nothing awaits, so units run one after the other, and global generators are seeded for each."""

    @pipeline_step()
    def drawn(data, ctx):
        return data, {"x": random.random()}

    digests = {Experiment(0, [drawn], [e], replicates=5).run().digest for e in EXECUTIONS[:4]}
    assert len(digests) == 1


@pytest.mark.parametrize("limit", [1, 4])
def test_no_more_units_wait_at_the_same_time_than_allowed(limit):
    """And that many do."""
    step = Together(meet=limit)
    Experiment(0, [step], [AsyncExecution(limit)], replicates=20).run()
    assert step.most == limit


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
def test_the_limit_is_a_number(limit):
    """At least 1."""
    with pytest.raises(DefinitionError, match="max_concurrency is"):
        AsyncExecution(limit)


def test_arun_uses_the_running_loop():
    """Other tasks of the loop go on meanwhile, and the step may use what belongs to the loop."""

    async def main():
        gate = asyncio.Event()

        @pipeline_step()
        async def wait(data, ctx):
            await gate.wait()
            return data, {"x": 1}

        async def opens():
            gate.set()

        run = asyncio.create_task(Experiment(0, [wait], [AsyncExecution()], replicates=3).arun())
        await asyncio.sleep(0)
        await asyncio.create_task(opens())
        return await run

    assert asyncio.run(main()).metrics.baseline["x"] == [1, 1, 1]


def test_arun_of_another_execution_runs_in_a_thread():
    """So that an async step has an event loop of its own."""
    assert asyncio.run(experiment().arun()).digest == experiment().run().digest


@pytest.mark.parametrize("plugins", [[], [AsyncExecution()]])
def test_run_inside_a_running_loop_says_what_to_do(plugins):
    """A loop can't be started inside another one; plain steps can be run anywhere."""

    async def main():
        with pytest.raises(EventLoopError, match=r"await experiment.arun\(\.\.\.\)"):
            experiment(*plugins).run()
        return Experiment([1], [total]).run()

    assert not asyncio.run(main()).errors


def test_sources_steps_setup_and_teardown_may_be_async():
    """In classes too; each is awaited in its turn."""
    log = []

    class Source(DataSource):
        async def fetch(self, ctx):
            log.append("fetch")
            return 1

    class Step(PipelineStep):
        async def setup(self, ctx):
            log.append("setup")

        def __call__(self, data, ctx):
            log.append("call")
            return data, {"x": data}

        async def teardown(self, ctx):
            log.append("teardown")

    for plugins in ([], [AsyncExecution()]):
        log.clear()
        assert Experiment(Source(), [Step], plugins).run().metrics.baseline["x"] == [1]
        assert log == ["setup", "fetch", "call", "teardown"]


def test_an_async_function_of_the_context_is_a_source():
    """Without a decorator, as a plain one is."""

    async def source(ctx):
        return [2.0]

    assert Experiment(source, [exit_step(add)]).apply(BOOST)[0] > 12


def test_apply_and_debug_await_too():
    """On an event loop of their own."""
    one = experiment(steps=[exit_step(add()), total()])
    output = one.apply("boost", seed=0)
    assert len(output) == 2
    assert all(x > 10 for x in output)
    assert one.debug("boost").metrics.treatments["boost"]["total"] == pytest.approx(
        experiment().run().metrics.treatments["boost"]["total"][:1]
    )


def test_a_pipeline_runs_alone():
    """`Pipeline.run` awaits its steps."""
    ctx = FrozenContext({"delta": 1.0})
    assert len(Pipeline([add(), total()]).run([0.0], ctx)) == 1
    assert ctx.metrics.entries[0].name == "total"


def test_metrics_and_hooks_behind_an_async_step():
    """A pair is split as that of a plain step is."""

    @pipeline_step()
    async def pair(data, ctx):
        return data, {"x": 1.0}

    result = Experiment(0, [pair], [AsyncExecution()]).run()
    assert result.metrics.baseline["x"] == [1.0]
    assert result.records[0].metrics[0].step == "pair"


def test_failures_are_recorded_and_end_no_other_unit():
    """With the step, and the user's traceback."""

    @pipeline_step()
    async def fragile(data, ctx):
        await asyncio.sleep(0)
        if ctx.replicate == 2:
            raise ValueError("a reason")
        return data, {"x": 1}

    for plugins in ([], [AsyncExecution(2)]):
        result = Experiment(0, [fragile], plugins, replicates=4).run()
        assert [(e.replicate, e.step, e.message) for e in result.errors] == [
            (2, "fragile", "ValueError: a reason")
        ]
        assert 'raise ValueError("a reason")' in result.errors[0].traceback
        assert "run/execute.py" not in result.errors[0].traceback
        assert len(result.records) == 4


@pytest.mark.parametrize("plugins", [[], [AsyncExecution(2)], [ParallelExecution(2)]])
def test_a_cancellation_from_within_a_plain_step_is_recorded(plugins):
    """Of a task that the step ran itself: it ends one unit, as where the step is awaited."""

    @pipeline_step()
    def fragile(data, ctx):
        if ctx.replicate == 1:
            raise asyncio.CancelledError("a reason")
        return data, {"x": 1}

    result = Experiment(0, [fragile], plugins, replicates=3).run()
    assert [(e.replicate, e.message) for e in result.errors] == [(1, "CancelledError: a reason")]
    assert len(result.records) == 3


class Unshown(Exception):
    """An exception, and a value, that nobody may ask for its repr."""

    def __repr__(self):
        raise SystemExit("it was asked for its repr")


@pytest.mark.parametrize("plugins", [[], [AsyncExecution(2)]])
def test_nobody_asks_for_the_repr_of_what_a_pass_gives(plugins):
    """Python shows the task that an event loop was run for: nothing of the user's is in it."""

    @pipeline_step()
    async def fragile(data, ctx):
        await asyncio.sleep(0)
        if ctx.replicate == 1:
            raise Unshown("a reason")
        return Unshown(), {"x": 1}

    result = Experiment(0, [fragile], plugins, replicates=3).run()
    assert [e.message for e in result.errors] == ["Unshown: a reason"]
    assert len(result.records) == 3


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), StopIteration()])
@pytest.mark.parametrize("plugins", [[], [AsyncExecution(2)]])
def test_whatever_a_step_raises_is_recorded(error, plugins):
    """An exit, or a cancellation from within, ends one unit."""

    @pipeline_step()
    async def fragile(data, ctx):
        if ctx.replicate == 1:
            raise error
        return data, {"x": 1}

    result = Experiment(0, [fragile], plugins, replicates=3).run()
    assert [e.replicate for e in result.errors] == [1]
    assert len(result.records) == 3


@pytest.mark.parametrize("where", ["fetch", "setup", "step", "teardown", "treatment", "hook"])
@pytest.mark.parametrize("awaits", [False, True])
def test_whatever_raises_may_end_with_stop_iteration(where, awaits):
    """It is what it was raised as, wherever that was, beside asynchronous parts too."""

    def stop(*args):
        raise StopIteration("no more")

    class Step(PipelineStep):
        def __call__(self, data, ctx):
            return data

    class Hook(BasePlugin):
        pass

    if where in ("setup", "teardown", "step"):
        setattr(Step, {"step": "__call__"}.get(where, where), stop)
    if where == "hook":
        Hook.after_replicate = stop
    source = stop if where == "fetch" else fetch() if awaits else 0
    treatment = Treatment("t", apply_fn=stop if where == "treatment" else lambda ctx: None)
    plan = Experiment(
        source, [Step(), *([add] if awaits else [])], [Hook()], treatments=[treatment]
    ).run_plan()
    error = plan.run(Unit(0, "t")).error
    assert (error.type, error.message) == ("StopIteration", "no more")


@pytest.mark.parametrize("last", [[], [add]], ids=["sync", "async"])
def test_what_a_failed_run_used_is_given_up_at_once(last):
    """No circle of frames keeps its data until the collector comes by."""

    class Data(list):
        pass

    used = []

    @pipeline_step
    def fail(data):
        used.append(weakref.ref(data))
        raise ValueError

    plan = Experiment(lambda ctx: Data(), [fail, *last]).run_plan()
    gc.collect()
    gc.disable()
    try:
        assert not plan.run(Unit(0, "baseline")).succeeded
        assert last or used[0]() is None
        gc.collect()
        assert used[0]() is None
    finally:
        gc.enable()


def test_an_interrupt_comes_through(caplog):
    """It is no failure of a unit and no group of exceptions, and asyncio has nothing to complain of."""
    gc.collect()  # what it might have to, of other tests
    caplog.clear()

    @pipeline_step()
    async def interrupted(data, ctx):
        raise KeyboardInterrupt

    class Ends(BaseException):
        pass

    @pipeline_step()
    async def ends(data, ctx):
        raise Ends

    with pytest.raises(KeyboardInterrupt):
        Experiment(0, [interrupted], [AsyncExecution()], replicates=3).run()
    with pytest.raises(Ends):
        Experiment(0, [ends], [AsyncExecution()], replicates=3).run()
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_cancelled_run_cleans_up():
    """Steps are torn down, the global generators put back, and no unit is begun any more."""
    log, started = [], asyncio.Event()

    class Step(PipelineStep):
        async def __call__(self, data, ctx):
            log.append(f"call {ctx.replicate}")
            started.set()
            await asyncio.Event().wait()

        async def teardown(self, ctx):
            await asyncio.sleep(0)
            log.append(f"teardown {ctx.replicate}")

    async def main():
        run = asyncio.create_task(Experiment(0, [Step], [AsyncExecution(2)], replicates=5).arun())
        await started.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    random.seed(3)
    state = random.getstate()
    asyncio.run(main())
    assert sorted(log) == ["call 0", "call 1", "teardown 0", "teardown 1"]
    assert random.getstate() == state


def test_concurrent_draws_from_the_global_generators_are_warned_of():
    """Units share them, so which unit gets which number depends on timing."""
    with pytest.warns(
        CrystallizeWarning, match=r"under asyncio.*draw from ctx.rng, or use AsyncExecution\(1\)"
    ):
        Experiment(0, [from_the_globals], [AsyncExecution(2)], replicates=4).run()


def test_runs_that_are_awaited_at_the_same_time_do_not_warn():
    """That another run seeds the global generators is no draw."""

    async def both():
        made = Experiment(lambda ctx: ctx.rng.random(), [add], [AsyncExecution(2)], replicates=4)
        return await asyncio.gather(made.arun(), made.arun())

    first, second = asyncio.run(both())
    assert first.digest == second.digest


def test_one_unit_at_a_time_may_draw_from_the_global_generators():
    """They are seeded for each, as in `SerialExecution`."""
    digests = {
        Experiment(0, [from_the_globals], [e], replicates=4).run().digest
        for e in (AsyncExecution(1), SerialExecution())
    }
    assert len(digests) == 1


def test_a_coroutine_that_nothing_awaits_is_refused():
    """It would be the next step's data; the error says what to do."""

    class Delegates(PipelineStep):
        def __call__(self, data, ctx):
            return add()(data, ctx)

    (error,) = Experiment([1], [Delegates]).run().errors
    assert error.message.startswith("DefinitionError: step 'Delegates' returned a coroutine")
    (error,) = Experiment(lambda ctx: fetch().fetch(ctx), [total]).run().errors
    assert "data source '<lambda>' returned a coroutine" in error.message


def test_async_functions_are_told_behind_their_wrappers():
    """`partial`, `functools.wraps`, `inject_from_ctx` and callable objects."""

    async def plain(data, ctx, *, delta=0):
        return data

    @functools.wraps(plain)
    def wrapped(*args, **kwargs):
        return plain(*args, **kwargs)

    class Callable:
        async def __call__(self, data, ctx):
            return data

    for function in (plain, wrapped, inject_from_ctx(plain), functools.partial(plain, delta=1), Callable()):
        assert is_async(function)
    for function in (len, print, lambda: None, total.function, Callable, functools.partial(len)):
        assert not is_async(function)
    step = pipeline_step()(inject_from_ctx(plain))
    assert Experiment(3, [step]).apply() == 3


async def doubled(value):
    await asyncio.sleep(0)
    return 2 * value


class Waiting(PipelineStep):
    """A synchronous step every part of which runs coroutines of its own."""

    def setup(self, ctx):
        self.ready = asyncio.run(doubled(1))

    def __call__(self, data, ctx, *, gain=0):
        return data, {"x": asyncio.run(doubled(data + ctx.get("gain", 0))) + self.ready}

    def teardown(self, ctx):
        asyncio.run(doubled(1))


@pytest.mark.parametrize("plugins", [[], [AsyncExecution(3)]])
def test_synchronous_parts_run_coroutines_beside_asynchronous_ones(plugins):
    """What else is asynchronous makes no difference: to sources, treatments, steps, and cacheable ones."""

    @data_source
    def source(ctx):
        return asyncio.run(doubled(1))

    @pipeline_step()
    async def fetch(data, ctx):
        task = asyncio.current_task()
        await asyncio.sleep(0)
        assert asyncio.current_task() is task is not None
        return data

    @pipeline_step(cacheable=True)
    def cached(data, ctx):
        return asyncio.run(doubled(data))

    more = Treatment("more", lambda ctx: ctx.add("gain", asyncio.run(doubled(2))))

    def run(*steps):
        return Experiment(source, list(steps), plugins, treatments=[more], replicates=4).run()

    beside, alone = run(fetch, cached, Waiting, fetch), run(cached, Waiting)
    assert beside.errors == alone.errors == ()
    assert beside.metrics.treatments["more"]["x"] == alone.metrics.treatments["more"]["x"] == [18] * 4


def test_the_loop_goes_on_behind_a_synchronous_part():
    """Inside a loop of the caller's, too, and although the part raises."""

    @pipeline_step()
    def fails(data, ctx):
        asyncio.run(doubled(1))
        raise ValueError("no")

    async def main():
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        result = await Experiment(0, [asynchronous, fails], [AsyncExecution(2)], replicates=2).arun()
        assert asyncio.current_task() is task
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)
        return result

    @pipeline_step()
    async def asynchronous(data, ctx):
        return await doubled(data)

    assert [str(error) for error in asyncio.run(main()).errors] == [
        f"replicate {i} of 'baseline', fails: ValueError: no" for i in range(2)
    ]
