"""What runs that wait cost when several are under way: marked functions under pytest, and the library.

For runs that wait 50 ms: the time of the experiment, and what there is beside the waiting, by how many are
under way. For some waits of 3 s among them: the time against `AsyncExecution`, and on two workers, without
what a session takes whose runs do not wait.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crystallize import AsyncExecution, Experiment, pipeline_step

RUNS = 200
SHORT, LONG, LONG_ONES = 0.05, 3.0, 8

SOURCE = f"""
import asyncio
import random
import pytest

@pytest.fixture
async def client(seed):
    await asyncio.sleep(0)
    yield seed

@pytest.mark.experiment(replicates=2)
async def experiment_nothing():
    return {{"drawn": random.random()}}

@pytest.mark.experiment(replicates={RUNS})
async def experiment_short(client):
    await asyncio.sleep({SHORT})
    return {{"drawn": random.random()}}

@pytest.mark.experiment(replicates={RUNS})
async def experiment_stragglers(replicate):
    await asyncio.sleep({LONG} if replicate % {RUNS // LONG_ONES} == 0 else {SHORT})
    return {{"drawn": random.random()}}
"""


@pipeline_step()
async def wait(data: object, ctx: object) -> object:
    """Wait as the marked function does."""
    await asyncio.sleep(LONG if ctx.replicate % (RUNS // LONG_ONES) == 0 else SHORT)  # type: ignore[attr-defined]
    return data


def session(directory: Path, experiment: str, at_once: int, workers: int = 0) -> tuple[float, str]:
    """Return how long a session took, and the digest of its runs."""
    args = ["--crystallize", "--crystallize-cache=off", "-p", "no:randomly", f"-n{workers}", "-v"]
    option = f"crystallize_max_concurrency={at_once}"
    command = [sys.executable, "-m", "pytest", *args, "-o", option, f"experiment_a.py::{experiment}"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    took = time.perf_counter() - started
    digest = re.search(r"digest baseline=(\w+)", done.stdout)
    assert digest is not None, done.stdout
    return took, digest[1]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "experiment_a.py").write_text(SOURCE)
        start = min(session(directory, "experiment_nothing", 1)[0] for _ in range(3))
        print(f"{RUNS} runs of {SHORT * 1000:.0f} ms; a session without them takes {start:.2f} s")
        for at_once in (1, 10, 50, 200):
            took, digest = session(directory, "experiment_short", at_once)
            waits = -(-RUNS // at_once) * SHORT
            each = (took - start - waits) / RUNS * 1000
            print(
                f"  {at_once:3} at once: {took - start:6.2f} s, {each:5.2f} ms a run beside waiting; {digest}"
            )
        print(f"{LONG_ONES} of {RUNS} runs take {LONG:g} s, 50 at once")
        execution = AsyncExecution(max_concurrency=50)
        started = time.perf_counter()
        Experiment([0], [wait], replicates=RUNS, plugins=[execution]).run()
        print(f"  AsyncExecution  {time.perf_counter() - started:6.2f} s")
        for workers in (0, 2):
            start = min(session(directory, "experiment_nothing", 1, workers)[0] for _ in range(3))
            took, digest = session(directory, "experiment_stragglers", 50, workers)
            print(
                f"  -n{workers}             {took - start:6.2f} s behind a start of {start:.2f} s; {digest}"
            )


if __name__ == "__main__":
    main()
