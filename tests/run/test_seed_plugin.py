"""Seeding as a plugin."""

import random

import numpy as np
import pytest

from crystallize import Experiment, SeedPlugin, pipeline_step
from crystallize.errors import DefinitionError


@pipeline_step()
def draw(data, ctx):
    ctx.record("private", ctx.rng.random())
    ctx.record("public", random.random())
    ctx.record("numpy", np.random.random())  # noqa: NPY002 - the global generator is what is tested
    return data


def run(*plugins, replicates=3):
    return Experiment(0, [draw], plugins, replicates=replicates).run()


def test_runs_repeat():
    """The same seed gives the same numbers, 0 if none is given, and others others."""
    assert run(SeedPlugin(42)).digest == run(SeedPlugin(42)).digest
    assert run(SeedPlugin(0)).digest == run(SeedPlugin()).digest == run().digest
    assert run(SeedPlugin(42)).digest != run(SeedPlugin(43)).digest
    assert run(SeedPlugin(np.int64(42))).root_seed == 42


def test_a_longer_run_begins_with_the_shorter_one():
    """Replicate 7 is the same, however many there are."""
    short, long = run(replicates=2), run(replicates=4)
    for metric in ("private", "public", "numpy"):
        assert long.metrics.baseline[metric][:2] == short.metrics.baseline[metric]


def test_without_auto_seed_the_globals_are_left_alone():
    """They go on where they were; `ctx.rng` is seeded all the same."""
    state = random.getstate()
    random.seed(1)
    expected = [random.random() for _ in range(3)]
    random.seed(1)
    result = run(SeedPlugin(auto_seed=False))
    assert result.metrics.baseline["public"] == expected
    assert result.metrics.baseline["private"] == run().metrics.baseline["private"]
    assert random.random() not in expected  # nor are they put back
    random.setstate(state)


def test_a_seed_fn_seeds_in_place_of_the_default():
    """It is called once per condition run, with the replicate's seed."""
    seeds = []
    result = run(SeedPlugin(seed_fn=seeds.append))
    assert seeds == list(result.provenance["seeds"].values())


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_other_seeds_are_refused(seed):
    """At construction."""
    with pytest.raises(DefinitionError, match="a root seed is an integer >= 0"):
        SeedPlugin(seed)
