"""Cacheable steps, and runs of them with and without a cache."""

import dataclasses
import json
import logging
import random

import numpy as np

from crystallize import Experiment, pipeline_step
from crystallize.context.seeding import global_state_restored
from crystallize.run.step_cache import open_step_cache
from crystallize.run.units import units

CALLS = logging.getLogger("test_step_cache")  # loggers are no part of a fingerprint


def facts(record):
    """Return all of a record but the time."""
    return dataclasses.replace(record, seconds=0.0, cached_steps=()).to_json()


def run(experiment, *, directory=None, mode="reuse"):
    """Run an experiment with the cache in some mode; return its records, and what there is to say."""
    plan = experiment.run_plan().with_step_cache(open_step_cache(directory, mode=mode))
    todo = list(units(plan.conditions, range(experiment.replicates)))
    with global_state_restored():
        records = [facts(plan.run(unit)) for unit in todo]
    return records, plan.conclude()


def same_in_every_mode(experiment):
    """Run without a cache, with an empty and with a full one; return what a run gave, and what was said."""
    off, nothing = run(experiment, mode="off")
    assert nothing == []
    cold, notes = run(experiment)
    warm, _ = run(experiment)
    assert cold == off
    assert warm == off
    return off, notes


def note_of(step, **options):
    """Run an experiment of one step twice; return the only reason why it is not cached."""
    experiment = Experiment([1.0, 2.0], [step], **options)
    _, first = run(experiment)
    records, second = run(experiment)
    assert len(first) == len(second) == 1
    assert not any(json.loads(record)[7] for record in records)  # no run failed
    return first[0]


@pipeline_step(cacheable=True)
def scaled(data, ctx, *, factor=1.0):
    CALLS.info("scaled")
    return [x * factor for x in data]


@pipeline_step()
def total(data, ctx, *, offset=0.0):
    return data, {"total": sum(data) + offset}


@pipeline_step(cacheable=True)
def noisy(data, ctx):
    CALLS.info("noisy")
    return [x + ctx.rng.normal() for x in data]


@pipeline_step(cacheable=True)
def telling(data, ctx):
    CALLS.info("telling")
    ctx.metrics.add("case", ctx.rng.normal(), unit="a")
    ctx.metrics.add("case", {"nested": [1, None, float("nan")]}, unit=2)
    ctx.record("seed", ctx.seed)
    ctx.add("note", {"weights": np.arange(6.0).reshape(2, 3).T})
    ctx.artifacts.add("model.bin", b"\x00\xff")
    ctx.note("said", ["yes", 1])
    return data, {"returned": len(data)}


# The same in every mode and execution.


@pipeline_step(cacheable=True)
def from_globals(data, ctx):
    CALLS.info("from_globals")
    return [x + random.random() + np.random.rand() for x in data]  # noqa: NPY002
