"""What the library costs: the tutorial's pipeline, run by `Experiment.run` and by a bare loop.

Both do the same work in 1,000 replicates of 2 conditions: seed `random` and `numpy.random` alike, fetch, add,
sum, keep the total, and test the hypothesis in the end. They alternate in one process; the ratio of the
fastest repetitions says what the library costs, the ratio of the medians what the machine's other work adds.

Run ``python benchmarks/library_overhead.py``; it exits with 1 if the ratio of the fastest exceeds the limit.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy.stats import ttest_ind

from crystallize import Experiment, FrozenContext, data_source, hypothesis, pipeline_step, treatment, verifier
from crystallize.context.seeding import SeedStream

LIMIT = 3.0


@data_source
def fetch_numbers(ctx: FrozenContext) -> list[int]:
    return [0, 0, 0]


@pipeline_step()
def add_delta(data: list[int], ctx: FrozenContext, *, delta: float = 0.0) -> list[float]:
    return [x + delta for x in data]


@pipeline_step()
def summarize(data: list[float], ctx: FrozenContext) -> tuple[list[float], dict[str, float]]:
    return data, {"total": sum(data)}


boost_total = treatment("boost_total", {"delta": 10.0})


@verifier
def one_sample_apart(
    baseline: dict[str, list[float]], treatment: dict[str, list[float]], alpha: float = 0.05
) -> dict[str, float | bool]:
    _, p_value = ttest_ind(treatment["total"], baseline["total"], equal_var=False)
    return {"p_value": p_value, "significant": p_value < alpha}


@hypothesis(verifier=one_sample_apart(), metrics="total")
def order_by_p_value(result: dict[str, float]) -> float:
    return result.get("p_value", 1.0)


def library(replicates: int) -> Callable[[], list[float]]:
    """Return the tutorial's experiment as a function that gives the treatment's totals."""
    experiment = (
        Experiment.builder("overhead")
        .datasource(fetch_numbers())
        .add_step(add_delta())
        .add_step(summarize())
        .treatments([boost_total()])
        .hypotheses([order_by_p_value])
        .replicates(replicates)
        .build()
    )

    def run() -> list[float]:
        result = experiment.run()
        assert result.get_hypothesis("order_by_p_value").results["boost_total"]["p_value"] == 0.0
        return result.metrics.treatments["boost_total"].metrics["total"]

    return run


def bare_loop(replicates: int) -> Callable[[], list[float]]:
    """Return the same as a script would have it."""
    seeds = SeedStream(0)

    def run() -> list[float]:
        totals: dict[str, list[float]] = {"baseline": [], "boost_total": []}
        for replicate in range(replicates):
            seed = seeds.seed(replicate)
            for condition, delta in (("baseline", 0.0), ("boost_total", 10.0)):
                random.seed(seed)
                np.random.seed(seed)  # noqa: NPY002 - the library seeds the legacy generator, so must this
                data = [0, 0, 0]
                data, metrics = [x + delta for x in data], {}
                metrics["total"] = sum(data)
                totals[condition].append(metrics["total"])
        _, p_value = ttest_ind(totals["boost_total"], totals["baseline"], equal_var=False)
        assert p_value == 0.0
        return totals["boost_total"]

    return run


def seconds(run: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=21)
    options = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # of scipy: the totals do not vary
    subjects = {"bare loop": bare_loop(options.replicates), "library": library(options.replicates)}
    assert len({tuple(run()) for run in subjects.values()}) == 1, "they do not do the same work"
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(options.repetitions):
        for name, run in subjects.items():
            times[name].append(seconds(run))
    runs = 2 * options.replicates
    for name, measured in times.items():
        print(
            f"{name:>10}: {1e6 * min(measured) / runs:6.2f} µs a condition run at best, "
            f"{1e6 * statistics.median(measured) / runs:6.2f} in the median of {len(measured)}"
        )
    best = min(times["library"]) / min(times["bare loop"])
    median = statistics.median(times["library"]) / statistics.median(times["bare loop"])
    print(f"     ratio: {best:.2f} at best, {median:.2f} in the median; limit {LIMIT:g}")
    return int(best > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
