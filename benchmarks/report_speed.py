"""How long a report takes: 50 experiments of 4 hypotheses, 30 replicates, in each format; the limit is 3 s.

Run it as ``python benchmarks/report_speed.py``. It fails above the limit.
"""

from __future__ import annotations

import random
import sys
import time

from crystallize import Verdict
from crystallize.report.model import ExperimentResults, Outcome, SessionResults
from pytest_crystallize.session.publisher import formats

EXPERIMENTS, HYPOTHESES, REPLICATES = 50, 4, 30
LIMIT = 3.0


def experiment(number: int, replicates: int) -> ExperimentResults:
    draw = random.Random(number).gauss
    metrics = [f"metric_{i}" for i in range(HYPOTHESES)]
    samples = {
        metric: {name: [draw(0, 1) for _ in range(replicates)] for name in ("baseline", "boost")}
        for metric in metrics
    }
    tests = []
    for metric in metrics:
        verdict = Verdict(
            f"{metric}_increase",
            "boost",
            metric,
            "inconclusive",
            "the data allow either sign",
            p_value=0.3,
            level=0.05,
            test="paired t",
            n=replicates,
            difference=0.1,
            interval=(-0.2, 0.4),
            confidence=0.95,
            direction="no_decrease",
            margin=0.3,
            looks=5,
            look=5,
            trail=tuple((replicates * k // 5, 0.3, 0.01 * k) for k in range(1, 6)),
            planned=replicates,
        )
        node = f"experiment_{number}.py::experiment_{number}::{metric}_increase[boost]"
        tests.append(
            Outcome(node, verdict.hypothesis, "boost", "failed", f"pytest '{node}'", verdict=verdict)
        )
    return ExperimentResults(
        id=f"experiment_{number}.py::experiment_{number}",
        name=f"experiment_{number}",
        where=f"experiment_{number}.py:1",
        seed=0,
        seed_drawn=False,
        planned=replicates,
        run=replicates,
        conditions=("baseline", "boost"),
        off=(),
        condition_runs=2 * replicates,
        cached=0,
        seconds={"baseline": 1.0, "boost": 1.0},
        digests={"baseline": "0", "boost": "1"},
        seeds=tuple(range(replicates)),
        samples=samples,
        measured=(),
        tests=tuple(tests),
        failures=(),
        notes=(),
    )


def session(replicates: int) -> SessionResults:
    experiments = tuple(experiment(i, replicates) for i in range(EXPERIMENTS))
    return SessionResults("2026-01-01T00:00:00+00:00", 1.0, 1, (), None, {}, experiments)


def main() -> int:
    slow = False
    for replicates in (REPLICATES, 10 * REPLICATES):
        results = session(replicates)
        for suffix, report in formats().items():
            started = time.perf_counter()
            text = report(results)
            seconds = time.perf_counter() - started
            slow = slow or seconds > LIMIT
            print(
                f"{suffix:5}  {EXPERIMENTS} x {HYPOTHESES}, {replicates:3} replicates: {seconds:.2f} s "
                f"(limit {LIMIT:g} s), {len(text.encode()) / 1e6:.2f} MB"
            )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
