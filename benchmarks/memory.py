"""What many replicates take of memory, and how soon a verdict follows the last run.

Run it as ``python benchmarks/memory.py [ROW ...]``. Every row is a process of its own; its figure is the
largest resident size it had, less that of a process that only imports what it needs.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from contextlib import ExitStack
from pathlib import Path

PARTS = """
    import resource, time
    from crystallize import Experiment, Hypothesis, Treatment, data_source, pipeline_step
    import scipy.special, scipy.stats

    ended = 0.0

    @data_source
    def nothing(ctx):
        return None

    @pipeline_step()
    def measure(data, ctx, *, delta=0.0, metrics={metrics}):
        global ended
        values = ctx.rng.random(metrics)
        for number in range(metrics):
            ctx.metrics.add(f"m{{number}}", float(values[number]) + delta)
        ended = time.perf_counter()
        return data

    def experiment_many():
        return Experiment(
            nothing(),
            [measure()],
            treatments=[Treatment(f"t{{n}}", {{"delta": 0.01 * n}}) for n in range(1, {conditions})],
            hypotheses=[Hypothesis(metric="m0", direction="increase")],
            replicates={replicates},
        )
"""
SCRIPT = """
    experiment = experiment_many()
    if {runs}:
        result = experiment.run()
        assert all(v.status == "supported" for h in result.hypotheses for v in h.verdicts.values())
        print("verdict", time.perf_counter() - ended)
    print("rss", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

SUITE = """
    import pytest
    from crystallize import Hypothesis, Treatment
    import scipy.special, scipy.stats

    @pytest.mark.experiment(
        replicates={replicates},
        treatments=[Treatment(f"t{{n}}", {{"delta": 0.01 * n}}) for n in range(1, {conditions})],
        hypotheses=[Hypothesis(metric="m0", direction="increase")],
    )
    def experiment_many(rng, delta=0.0):
        values = rng.random({metrics})
        return {{f"m{{number}}": float(values[number]) + delta for number in range({metrics})}}
"""

CONFTEST = """
    import resource

    def pytest_unconfigure(config):
        name = config.workerinput["workerid"] if hasattr(config, "workerinput") else "main"
        with open(f"rss.{name}", "w") as file:
            file.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""

ROWS = {
    "library": (100_000, 3, 5),
    "pytest -n0": (100_000, 3, 5),
    "pytest -n2": (100_000, 3, 5),
    "pytest on Dask": (100_000, 3, 5),
    "million": (1_000_000, 2, 1),
}
LIMITS = {"library": 200, "pytest -n0": 200, "pytest -n2": 200, "pytest on Dask": 200, "million": 1000}


def in_library(replicates: int, conditions: int, metrics: int, *, runs: bool = True) -> dict[str, float]:
    """Return what a script of the library said of itself."""
    script = textwrap.dedent(PARTS + SCRIPT).format(
        replicates=replicates, conditions=conditions, metrics=metrics, runs=runs
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def under_pytest(way: str, replicates: int, conditions: int, metrics: int) -> dict[str, float]:
    """Return the most that a process of a session took, be it the controlling one or a worker."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory, options = Path(name), [way.split()[1]]
        suite = SUITE
        if way.endswith("Dask"):
            from distributed import LocalCluster

            cluster = stack.enter_context(
                LocalCluster("127.0.0.1:0", n_workers=2, threads_per_worker=1, dashboard_address=None)
            )
            suite, options = PARTS, ["-n0", "--crystallize-dask", cluster.scheduler.address]
        text = textwrap.dedent(suite).format(replicates=replicates, conditions=conditions, metrics=metrics)
        (directory / "pytest.ini").write_text("[pytest]\n")
        (directory / "experiment_many.py").write_text(text)
        (directory / "conftest.py").write_text(textwrap.dedent(CONFTEST))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--crystallize"]
        environ = {**os.environ, "CRYSTALLIZE_CACHE_SECRET": "benchmark"}
        command += [*options, "--crystallize-cache=off"]
        done = subprocess.run(
            command, cwd=directory, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        return {"rss": max(float(path.read_text()) for path in directory.glob("rss.*"))}


def measured(row: str) -> dict[str, float]:
    """Return what the judging process of a row said of itself: KB of memory, and seconds of verdicts."""
    size = ROWS[row]
    return under_pytest(row, *size) if row.startswith("pytest") else in_library(*size)


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="only these")
    for row in parser.parse_args().rows or ROWS:
        size = ROWS[row]
        if row.startswith("pytest"):
            found, least = measured(row), under_pytest(row, 10_000, size[1], size[2])
            least["rss"] -= (found["rss"] - least["rss"]) / 9  # of what even few replicates take
        else:
            found, least = measured(row), in_library(*size, runs=False)
        megabytes = (found["rss"] - least["rss"]) / 1024
        said = f", the verdict {found['verdict']:.1f} s behind the last run" if "verdict" in found else ""
        replicates, conditions, metrics = size
        print(
            f"{row}: {replicates:,} replicates x {conditions} conditions x {metrics} metrics: "
            f"{megabytes:.0f} MB (at most {LIMITS[row]}){said}",
            flush=True,
        )


if __name__ == "__main__":
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of this process")
    main()
