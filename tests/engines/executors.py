"""Executors of many kinds, and an experiment to run on them."""

import random
from concurrent.futures import Executor, Future

import numpy as np
import pytest

from crystallize import Experiment, Hypothesis, Treatment, data_source, pipeline_step


@data_source
def numbers(ctx, *, n=3):
    return ctx.rng.normal(size=n)


@pipeline_step()
def shifted(data, ctx, *, delta=0.0):
    return data, {"x": float(data.sum()) + delta + ctx.rng.random()}


@pipeline_step()
def public(data, ctx):
    """Draw from the global generators."""
    ctx.record("public", random.random() + np.random.random())  # noqa: NPY002
    return data


@pipeline_step()
def keeps(data, ctx):
    ctx.artifacts.add("where.txt", f"{ctx.replicate} {ctx.condition}".encode())
    return data


class Inline(Executor):
    """Executor that calls what is submitted at once, in the thread that submits it."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def experiment(execution, *steps, plugins=(), **options):
    declared = {
        "treatments": [Treatment("boost", {"delta": 1.0})],
        "hypothesis": Hypothesis(metric="x", direction="increase"),
        "replicates": 10,
    }
    given = [*([execution] if execution else []), *plugins]
    return Experiment(numbers, [shifted, *steps], given, name="engines", **declared | options)


def outcome(result):
    return result.digest, repr(result.metrics), repr(result.hypotheses), [str(e) for e in result.errors]


SLOW = pytest.mark.slow  # loky starts its processes from scratch
