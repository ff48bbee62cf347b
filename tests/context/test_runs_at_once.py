"""Runs that are under way at the same time in one process, and those that never come to their end."""

import asyncio
import contextvars
import random
import subprocess
import sys

from crystallize import AsyncExecution, Experiment, Hypothesis, Treatment, pipeline_step, verifier


@pipeline_step()
async def forever(data, ctx):
    await asyncio.Event().wait()


@pipeline_step()
def draws(data, ctx):
    return data, {"x": random.random()}


def left_in_the_middle():
    """Return a run that was begun in another context, on an event loop that was closed under it."""
    run = Experiment(0, [forever], [AsyncExecution(1)], name="left").arun()

    async def begin():
        contextvars.copy_context().run(run.send, None)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    return run


def test_a_run_that_was_left_in_the_middle_is_none_that_is_under_way():
    """Wherever it is closed, the global generators are put back; later runs do not warn."""
    state = random.getstate()
    run = left_in_the_middle()
    assert random.getstate() != state
    run.close()
    assert random.getstate() == state
    Experiment(0, [draws], name="later").run()


SEEDS_AS_A_RUN_IS_CLOSED = """
import asyncio
import numpy as np
from crystallize import AsyncExecution, Experiment, Hypothesis, Treatment, pipeline_step, verifier

@pipeline_step()
async def forever(data, ctx):
    await asyncio.Event().wait()

async def begin(run):
    run.send(None)

left = Experiment(0, [forever], [AsyncExecution(2)]).arun()
loop = asyncio.new_event_loop()
loop.run_until_complete(begin(left))
seed = np.random.seed

def closes(number):
    left.close()
    seed(number)

np.random.seed = closes
Experiment(0, [pipeline_step()(lambda data, ctx: data)]).run()
print("done")
"""


def test_a_run_that_was_left_in_the_middle_may_be_closed_while_another_seeds():
    """As where garbage is collected, which may be anywhere."""
    command = [sys.executable, "-c", SEEDS_AS_A_RUN_IS_CLOSED]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.stdout == "done\n"


@verifier
def by_lot(baseline, treatment):
    return {"p_value": random.random(), "significant": True}


def test_that_a_verifier_draws_is_nothing_to_runs_beside_it():
    """It is given the same numbers each time, and what they are drawn from is put back."""

    async def main():
        decided = asyncio.Event()

        @pipeline_step()
        async def waits(data, ctx):
            await decided.wait()
            return data, {"x": ctx.rng.random()}

        @pipeline_step()
        async def goes_on(data, ctx):
            return data, {"x": ctx.rng.random()}

        treatment, claim = Treatment("other", {}), Hypothesis(verifier=by_lot, metrics="x")
        judged = Experiment(0, [goes_on], [AsyncExecution(2)], treatments=[treatment], hypothesis=claim)
        beside = asyncio.create_task(Experiment(0, [waits], [AsyncExecution(2)], replicates=2).arun())
        await asyncio.sleep(0)  # so that it is begun
        await judged.arun()
        assert not beside.done()
        decided.set()
        await beside

    asyncio.run(main())
