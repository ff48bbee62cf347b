"""Objectives, and a step to search on."""

from crystallize import Objective, Treatment, pipeline_step

LOWEST = Objective("x", "minimize")
HIGHEST = Objective("x", "maximize")


@pipeline_step()
def measure(data, ctx, *, delta=0.0):
    return data, {"x": delta + ctx.rng.random(), "delta": delta, "seed": ctx.seed}


def trial(delta):
    return Treatment(f"delta {delta}", {"delta": delta})
