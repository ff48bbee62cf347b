"""What verdicts cost: 12 hypotheses on 3 treatments over 100 replicates, from records to verdicts.

The claims have the default tests: superiority in one family under Holm's correction, and guards with margins.
Every repetition has records and values of its own, so that nothing is remembered of the last one but what a
process remembers of any sample (the power of designs); the first repetition, which fills that memory, is told
apart.

Run ``python benchmarks/verdict_latency.py``; it exits with 1 if the fastest repetition exceeds the limit.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time

import numpy as np

from crystallize import ConditionRuns, Hypothesis, RunRecord
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.family import AnalysisPlan
from crystallize.context.recording import MetricEntry
from crystallize.stats.special import load_scipy

LIMIT = 0.100  # seconds

TREATMENTS = {"none": 0.0, "some": 0.2, "more": 0.6}
METRICS = ("accuracy", "loss", "score", "gain")


def hypotheses() -> tuple[Hypothesis, ...]:
    claims = [Hypothesis(metric=m, direction="increase", effect=0.3, name=f"{m} up") for m in METRICS]
    claims += [Hypothesis(metric=m, direction="no_decrease", margin=0.2, name=f"{m} kept") for m in METRICS]
    claims += [Hypothesis(metric=m, direction="equal", margin=0.5, name=f"{m} equal") for m in METRICS[:2]]
    claims += [Hypothesis(metric=m, direction="differ", name=f"{m} differs") for m in METRICS[2:]]
    return tuple(claims)


def runs(replicates: int, repetition: int) -> dict[str, ConditionRuns]:
    """Return the runs of a repetition."""
    rng = np.random.default_rng(repetition)
    noise = rng.normal(size=(len(METRICS), replicates))
    made = {}
    for name, shift in {"baseline": 0.0, **TREATMENTS}.items():
        values = noise + rng.normal(shift, 1.0, size=noise.shape)
        made[name] = ConditionRuns(
            name,
            [
                RunRecord(
                    name,
                    i,
                    1000 + i,
                    tuple(
                        MetricEntry(metric, float(values[j, i]), None, False, "step")
                        for j, metric in enumerate(METRICS)
                    ),
                )
                for i in range(replicates)
            ],
        )
    return made


def seconds(claims: tuple[Hypothesis, ...], replicates: int, repetition: int) -> float:
    """Return the time of all verdicts."""
    fresh = runs(replicates, repetition)
    gc.collect()
    start = time.perf_counter()
    analysis = Analysis(AnalysisPlan(claims, tuple(TREATMENTS), replicates), fresh)
    statuses = [analysis.verdict(claim, treatment).status for claim in claims for treatment in TREATMENTS]
    elapsed = time.perf_counter() - start
    assert len(statuses) == 36
    assert {"supported", "inconclusive"} <= set(statuses)
    assert "invalid" not in statuses
    return elapsed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=21)
    options = parser.parse_args()
    claims = hypotheses()
    load_scipy()  # as whoever runs experiments does, before the first run
    first, *measured = (seconds(claims, options.replicates, i) for i in range(options.repetitions + 1))
    assert "scipy.stats" not in sys.modules
    print(
        f"{len(claims)} hypotheses, {len(TREATMENTS)} treatments, {options.replicates} replicates: "
        f"{1e3 * first:.1f} ms at first, {1e3 * min(measured):.1f} ms at best, "
        f"{1e3 * statistics.median(measured):.1f} ms in the median of {len(measured)}; "
        f"limit {1e3 * LIMIT:g} ms"
    )
    return int(min(measured) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
