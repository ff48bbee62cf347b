"""What a cached step costs: a warm run against a cold one, and the key of a hit.

A step that works for 20 ms is run over 50 replicates, cold and then warm; the ratio of the times says what is
left. The cost of a hit is that of a warm run over one in which the step is not there, per replicate: the
fingerprint of the code, the hash of the data, and what is read of the disk.

Run ``python benchmarks/step_cache.py``; it exits with 1 if the ratio exceeds the limit.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from crystallize import Experiment, FrozenContext, pipeline_step

REPLICATES = 50
LIMIT = 0.1
WORK = 0.02  # seconds


@pipeline_step(cacheable=True)
def slow(data: list[float], ctx: FrozenContext, *, factor: float = 1.0) -> list[float]:
    end = time.perf_counter() + WORK
    while time.perf_counter() < end:
        pass
    return [x * factor + ctx.rng.normal() for x in data]


@pipeline_step(cacheable=True, deterministic=True)
def features(data: np.ndarray, ctx: FrozenContext) -> np.ndarray:
    return data * 2.0


@pipeline_step()
def total(data: list[float], ctx: FrozenContext) -> tuple[list[float], dict[str, float]]:
    return data, {"total": float(np.sum(data))}


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def cost_of_hit(data: object, step: object) -> float:
    """Return the seconds that a hit adds to a replicate."""
    cached = Experiment(data, [step, total], replicates=REPLICATES)
    without = Experiment(data, [total], replicates=REPLICATES)
    cached.run()
    times = [(seconds(cached.run), seconds(without.run)) for _ in range(9)]
    with_hits, bare = (min(column) for column in zip(*times, strict=True))
    return (with_hits - bare) / REPLICATES


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        os.environ["CRYSTALLIZE_CACHE_DIR"] = directory
        os.environ["CRYSTALLIZE_CACHE_SECRET"] = "of a benchmark"
        experiment = Experiment([1.0, 2.0, 3.0], [slow, total], replicates=REPLICATES)
        cold = seconds(experiment.run)
        warm = min(seconds(experiment.run) for _ in range(5))
        ratio = warm / cold
        print(f"{REPLICATES} replicates of {1e3 * WORK:.0f} ms: {cold:.3f} s cold, {warm:.3f} s warm")
        print(f"ratio: {ratio:.3f}; limit {LIMIT:g}")
        for label, data, step in (
            ("three floats", [1.0, 2.0, 3.0], slow),
            ("array of 1 MB", np.arange(125_000.0), features),
        ):
            print(f"a hit, {label}: {1e6 * cost_of_hit(data, step):.0f} µs")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
