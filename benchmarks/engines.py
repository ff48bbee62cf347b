"""What engines outside the process cost: overhead per unit of work, and memory where records end up.

Starts a Dask scheduler and two workers on loopback. Prints, for units of one millisecond, the time that each
takes beyond the unit itself on every engine, beside what Dask takes for a task that does nothing; and the
largest resident memory of the process that evaluates 100,000 replicates of 3 conditions and 5 metrics. Exits
with 1 if a unit on Dask costs more than an empty task, or a process grows beyond 1 GB.

    python benchmarks/engines.py [--units N] [--replicates N] [--only PART ...]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crystallize import (
    DaskExecution,
    ExecutorExecution,
    Experiment,
    Hypothesis,
    ParallelExecution,
    SerialExecution,
    Treatment,
    pipeline_step,
)

WORKERS = 2
PARTS = ("overhead", "memory")
LIMIT_MB = 1000.0

SUITE = """
import engines

def experiment_large():
    return engines.large({replicates}, None)
"""


@pipeline_step()
def busy(data: Any, ctx: Any, *, seconds: float = 0.001) -> Any:
    """Keep a core busy for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return data, {"x": ctx.rng.normal()}


@pipeline_step()
def five(data: Any, ctx: Any, *, delta: float = 0.0) -> Any:
    """Record five metrics."""
    drawn = ctx.rng.normal(size=5)
    return data, {f"m{i}": float(value) + delta for i, value in enumerate(drawn)}


def nothing(number: int) -> None:
    """Do nothing."""


@contextmanager
def cluster() -> Iterator[Any]:
    """Start a scheduler and workers; yields a client."""
    from distributed import Client, LocalCluster  # the rest runs without

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as local,
        Client(local, set_as_default=False) as client,
    ):
        client.upload_file(__file__)  # workers import it by its name
        yield client


def overhead(number: int) -> list[str]:
    """Print the time per unit beyond the unit's own; return what exceeds its bound."""
    import engines  # by the name that workers have
    from distributed import wait  # the rest runs without

    units = number // 2
    print(f"{2 * units} units of 1 ms, {WORKERS} workers: time per unit beyond its own, a worker's")
    found: dict[str, float] = {}

    def measured(name: str, execution: Any, workers: int) -> None:
        experiment = Experiment(
            0, [engines.busy], [execution], name="units", treatments=[Treatment("t", {})], replicates=units
        )
        warm_up = experiment.run(replicates=4)
        assert not warm_up.errors, warm_up.errors
        start = time.perf_counter()
        result = experiment.run()
        wall = time.perf_counter() - start
        own = sum(record.seconds for record in result.records)
        found[name] = (wall * workers - own) / (2 * units)
        print(f"  {name:38} {found[name] * 1e6:8.0f} µs   ({wall:.2f} s in all)", flush=True)

    measured("SerialExecution", SerialExecution(), 1)
    measured("ParallelExecution, processes", ParallelExecution(WORKERS, "process"), WORKERS)
    with ProcessPoolExecutor(WORKERS) as pool:
        measured("ExecutorExecution, ProcessPoolExecutor", ExecutorExecution(pool), WORKERS)
    try:
        from loky import ProcessPoolExecutor as Loky  # measured where it is there
    except ImportError:
        pass
    else:
        with Loky(WORKERS) as pool:
            measured("ExecutorExecution, loky", ExecutorExecution(pool), WORKERS)
    with cluster() as client:
        measured("DaskExecution", DaskExecution(client), WORKERS)
        with client.as_current():
            wait(client.map(nothing, range(100), pure=False))
            start = time.perf_counter()
            wait(client.map(nothing, range(2 * units), pure=False))
        empty = (time.perf_counter() - start) * WORKERS / (2 * units)
        print(f"  {'Dask, a task that does nothing':38} {empty * 1e6:8.0f} µs")
    ratio = found["DaskExecution"] / empty
    print(f"a unit on Dask costs {ratio:.3f} of an empty task (bound 1)")
    return [] if ratio <= 1 else [f"a unit on Dask costs {ratio:.2f} empty tasks"]


def large(replicates: int, execution: Any) -> Experiment:
    """Return an experiment of many small units."""
    import engines  # as above

    return Experiment(
        0,
        [engines.five],
        [execution] if execution is not None else [],
        name="large",
        treatments=[Treatment("a", {"delta": 0.01}), Treatment("b", {"delta": 0.02})],
        hypotheses=[Hypothesis(metric=f"m{i}", direction="increase") for i in range(5)],
        replicates=replicates,
    )


def in_library(kind: str, replicates: int, said: Any) -> None:
    """Run the large experiment in this process, and say how large it became."""
    if kind == "serial":
        result = large(replicates, SerialExecution()).run()
    else:
        with cluster() as client:
            result = large(replicates, DaskExecution(client)).run()
    assert not result.errors
    said.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result.digest))


_PYTEST = (sys.executable, "-m", "pytest", "--crystallize", "-q", "-p", "no:randomly")


def under_pytest(replicates: int) -> float:
    """Run the large experiment under pytest on a cluster, and return how large the process became in MB."""
    with cluster() as client, tempfile.TemporaryDirectory() as directory:
        Path(directory, "experiment_large.py").write_text(SUITE.format(replicates=replicates))
        Path(directory, "conftest.py").write_text(
            "import resource\n"
            "def pytest_unconfigure(config):\n"
            "    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
            "    open('size', 'w').write(str(size))\n"
        )
        done = subprocess.run(
            [*_PYTEST, "--crystallize-dask", client.scheduler.address],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert "10 passed" in done.stdout or replicates < 100_000, done.stdout
        return float(Path(directory, "size").read_text())


def memory(replicates: int) -> list[str]:
    """Print how large the evaluating process becomes; return what exceeds its bound."""
    print(
        f"{replicates} replicates of 3 conditions and 5 metrics: largest memory of the process that evaluates"
    )
    context = multiprocessing.get_context("spawn")
    sizes: dict[str, float] = {}
    digests = set()
    for kind, name in (("serial", "SerialExecution"), ("dask", "DaskExecution")):
        said = context.Queue()
        start = time.perf_counter()
        process = context.Process(target=in_library, args=(kind, replicates, said))
        process.start()
        sizes[name], digest = said.get()
        process.join()
        digests.add(digest)
        print(f"  {name:38} {sizes[name]:8.0f} MB   ({time.perf_counter() - start:.1f} s in all)", flush=True)
    start = time.perf_counter()
    name = "pytest --crystallize-dask"
    sizes[name] = under_pytest(replicates)
    print(f"  {name:38} {sizes[name]:8.0f} MB   ({time.perf_counter() - start:.1f} s in all)", flush=True)
    faults = [f"{name} took {size:.0f} MB" for name, size in sizes.items() if size > LIMIT_MB]
    return faults if len(digests) == 1 else [*faults, "the digests differ"]


def main() -> int:
    """Run the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--replicates", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    parts: dict[str, Callable[[], list[str]]] = {
        "overhead": lambda: overhead(options.units),
        "memory": lambda: memory(options.replicates),
    }
    faults = [fault for part in options.only for fault in parts[part]()]
    print("\n".join(f"NOT OK: {fault}" for fault in faults) or "within the bounds")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
