"""Errors beside the body of a condition run: in threads, finalizers, coroutines, and the teardown of fixtures."""

import re

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


@pytest.mark.xfail(reason="errors of threads belong to the item that a unit happened to run in", strict=True)
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
    assert re.search(r"15 of 16 runs from cache, 1 verified", results[1].stdout.str())
