"""Errors beside the body of a condition run: in threads, finalizers, coroutines, and the teardown of fixtures."""


import pytest

STRICT = ("-p", "no:asyncio", "-W", "error")
"""Every warning is an error; pytest-asyncio, where it is installed, would give one of its own."""

THREAD = """
import threading

def bad():
    raise ValueError("the thread crashed")

@pytest.mark.experiment(
    replicates=8,
    treatments={"boost": {"delta": 5.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, replicate, condition, delta=0.0):
    if (condition, replicate) == ("boost", 5):
        thread = threading.Thread(target=bad)
        thread.start()
        thread.join()
    return {"total": rng.normal() + delta}
"""

LOST = "INVALID: 1 of 8 replicates of 'boost' are missing: replicate 5 failed with ValueError: the thread crashed"


def test_error_of_a_thread(project):
    """It is that of the run that started the thread, here and on workers, with a cold and a warm cache."""
    project.write(THREAD)
    results = [
        project.run("-n0", *STRICT),
        project.run("-n0", *STRICT),
        project.run("-n0", *STRICT, "--crystallize-cache=off"),
        project.run_workers(*STRICT, "--crystallize-cache=off"),
    ]
    for result in results:
        result.assert_outcomes(failed=1)
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [
                LOST + "*",
                "replicate 5 of 'boost', seed *, in a thread:",
                "*raise ValueError*the thread crashed*",
            ]
        )
    results[1].stdout.fnmatch_lines(["*15 of 16 runs from cache*"])


OTHERS = """
import asyncio, functools

class Closing:
    def __del__(self):
        raise ValueError("could not be closed")

async def answer():
    return 42

def left_behind(what):
    if what == "finalizer":
        Closing()
    else:
        answer()

CLAIM = [Hypothesis(metric="total", direction="increase")]

@pytest.mark.parametrize("what", ["finalizer", "coroutine"])
@pytest.mark.experiment(replicates=6, treatments={"boost": {"delta": 5.0}}, hypotheses=CLAIM)
async def experiment_marked(rng, replicate, what, delta=0.0):
    if delta and replicate == 3:
        left_behind(what)
    return {"total": rng.normal() + delta}

@pipeline_step()
def leave(data, ctx, *, what, delta=0.0):
    if delta and ctx.replicate == 3:
        left_behind(what)
    return data, {"total": ctx.rng.normal() + delta}

@pipeline_step()
async def leave_async(data, ctx, *, what, delta=0.0):
    await asyncio.sleep(0)
    if delta and ctx.replicate == 3:
        left_behind(what)
    await asyncio.sleep(0)
    return data, {"total": ctx.rng.normal() + delta}

@pytest.mark.parametrize("what", ["finalizer", "coroutine"])
@pytest.mark.parametrize("step", [leave, leave_async], ids=["sync", "async"])
def experiment_factory(step, what):
    steps = [step(what=what)]
    return Experiment(0, steps, treatments=[Treatment("boost", {"delta": 5.0})], hypotheses=CLAIM, replicates=6)
"""


@pytest.mark.parametrize("options", [["-n0"], ["-n2"]], ids=["here", "workers"])
def test_finalizers_and_coroutines(project, options):
    """Theirs, too, are the run's, in both forms and where runs share an event loop; none of them is stored."""
    project.write(OTHERS)
    for _ in range(2):
        result = project.run_apart(*options, *STRICT)
        result.assert_outcomes(failed=6)
        assert result.ret == 1
        output = result.stdout.str()
        lost = "INVALID: 1 of 6 replicates of 'boost' are missing: replicate 3 failed with "
        assert output.count(f"{lost}ValueError: could not be closed") == 3
        assert output.count(f"{lost}RuntimeWarning: coroutine 'answer' was never awaited") == 3
        assert output.count("replicate 3 of 'boost', seed ") == 6
    assert output.count("11 of 12 runs from cache") == 6
