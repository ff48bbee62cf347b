"""What a `cache_key` vouches for: measured values, artifacts and the network, in whole runs and in steps."""

import re
from string import Template

import pytest

from plugin.conftest import edited

SOURCE = Template("""
import socket, time

def measure(ctx):
    ctx.metrics.add("took", time.perf_counter(), measured=True)

def write(ctx):
    ctx.artifacts.add("a.bin", b"1")

def ask(ctx):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))

@pipeline_step(cacheable=True)
def kept(data, ctx, *, do):
    do(ctx)
    return ctx.rng.random()

@pipeline_step()
def total(data, ctx, *, do, delta=0.0):
    do(ctx)
    return data, {"total": (data or 0.0) + delta}

def nothing(ctx):
    pass

def make(*steps, data=0, **options):
    treatments = [Treatment("t", {"delta": 3.0})]
    return Experiment(data, steps, treatments=treatments, replicates=3, $declared, **options)

CLAIM = Hypothesis(metric="took", direction="increase", name="took")
""")
FACTORIES = {
    f"{do}_{place}": steps
    for do in ("measure", "write", "ask")
    for place, steps in {
        "in_run": f"make(total(do={do}))",
        "in_step": f"make(kept(do={do}), total(do=nothing))",
    }.items()
}
# Data of its own: experiments made of the same things share stored runs, and the last one stored counts.
CLAIMED = "make(kept(do=measure), total(do=nothing), data=1, hypotheses=[CLAIM])"


def told(result):
    """Return experiment -> what is said of its runs, and of its step's."""
    found, name = {}, ""
    for line in result.outlines:
        if (head := re.match(r"experiment_a\.py::experiment_(\w+):", line)) is not None:
            name = head[1]
        elif (hits := re.match(r"  (?:step (\w+) from cache in )?(\d+) of 6 runs", line)) is not None:
            found[name, hits[1] or ""] = int(hits[2])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_key_vouches_for_runs_and_steps(project, workers):
    """Cold, warm, and with an edit behind the step; of claims about measured values only in whole runs."""
    factories = FACTORIES | {"claimed": CLAIMED}
    made = "".join(f"\ndef experiment_{name}():\n    return {made}\n" for name, made in factories.items())
    vouched = SOURCE.substitute(declared="cache_key='1'") + made
    changed = edited(vouched, "(data or 0.0) + delta", "(data or 0.0) + 2 * delta")

    def session(text, *args):
        project.write(text)
        return project.run_apart("-vv", f"-n{workers}", *args)

    runs = {(name, ""): 6 for name in factories}
    steps = {(name, "kept"): 6 for name in factories if name.endswith("_in_step")}
    # The step of a treatment's run has its baseline's result, but for what is claimed of a measured value.
    shared = dict.fromkeys(steps, 3)
    assert told(session(vouched)) == shared
    warm = session(vouched)
    assert told(warm) == runs
    assert warm.stdout.str().count("measured on") == 1
    assert told(session(changed)) == steps
    saved = session(changed, "--crystallize-save", "main")
    recorded = {(name, ""): 6 for name in factories if name != "claimed"}
    assert told(saved) == recorded
    assert "saved reference 'main'" in saved.stdout.str()
    unvouched = SOURCE.substitute(declared="inputs=[]") + made
    session(unvouched)
    left = {("measure_in_run", ""): 6, ("measure_in_step", ""): 6, ("write_in_step", "kept"): 6}
    assert told(session(unvouched)) == left
