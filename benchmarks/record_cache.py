"""What stored runs save, and what they cost: measured in one run.

Run it as ``python benchmarks/record_cache.py``. Figures of whole sessions are medians of several, each in a
process of its own; sessions that are compared alternate.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from crystallize import Experiment, Treatment, pipeline_step
from crystallize.identity.environment import environment
from crystallize.run.plan_subject import subject_of
from crystallize.run.units import Unit

SUITE = Path(__file__).resolve().parent.parent / "example_suite"
RUNS = """
    import pytest
    import scipy.special
    from crystallize import Experiment, Hypothesis

    @pytest.mark.experiment(
        replicates=500,
        treatments={"boost": {"delta": 1.0}},
        hypotheses=[Hypothesis(metric="total", direction="increase")],
    )
    def experiment_runs(rng, delta=0.0):
        return {"total": rng.normal() + delta}
"""
NOTHING = """
    import scipy.special
    from crystallize import Experiment, Hypothesis

    def test_nothing():
        pass
"""


def seconds(directory: Path, *args: str) -> float:
    """Return how long a session takes that has to pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--crystallize", *args]
    environ = {**os.environ, "CRYSTALLIZE_CACHE_SECRET": "benchmark"}
    started = time.perf_counter()
    process = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    assert process.returncode == 0, process.stdout
    return taken


@pipeline_step()
def step(data, ctx, *, delta=0.0):
    return data, {"total": delta}


def key_cost() -> tuple[float, float]:
    """Return milliseconds to identify an experiment again, and microseconds per key."""
    made = Experiment([1, 2], [step(delta=1.0)], treatments=[Treatment("boost", {"delta": 2.0})])
    subject = subject_of(made.run_plan(), (), made.caching, root=Path.cwd())
    known = subject.identify(environment())
    started = time.perf_counter()
    subject.identify(environment())
    again = time.perf_counter() - started
    started = time.perf_counter()
    for replicate in range(20_000):
        known.key(Unit(replicate, "boost"))
    return again * 1e3, (time.perf_counter() - started) / 20_000 * 1e6


def main() -> None:
    """Measure and print."""
    again, key = key_cost()
    print(f"key of a unit: {key:.1f} us (at most 50); identifying an experiment again: {again:.1f} ms")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "experiment_a.py").write_text(textwrap.dedent(RUNS))
        (directory / "test_a.py").write_text(textwrap.dedent(NOTHING))
        seconds(directory, "experiment_a.py")
        pairs = [(seconds(directory, "experiment_a.py"), seconds(directory, "test_a.py")) for _ in range(5)]
        warm, empty = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"warm session of 1,000 runs: {warm:.2f} s, one passing test {empty:.2f} s: "
            f"{warm - empty:+.2f} s (at most 0.3)"
        )
        cache = ["-o", f"cache_dir={directory / 'cache'}", str(SUITE)]
        cold = seconds(directory, *cache)
        warm = statistics.median(seconds(directory, *cache) for _ in range(3))
        print(f"example suite: cold {cold:.2f} s, warm {warm:.2f} s: {cold / warm:.1f} times faster")


if __name__ == "__main__":
    main()
