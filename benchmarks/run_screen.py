"""What the run screen costs while 10,000 replicates end fast, and how long a key takes to be answered.

The session runs in processes of its own; measured is the process of the screen, in time of the processor,
since others may use that as well. A key moves the highlight, and is answered once the screen is drawn anew.

Run ``python benchmarks/run_screen.py``; it exits with 1 if a figure misses its limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pytest_crystallize.screen.app import RunScreen

LIMITS = {"share of a core": 0.20, "key in s": 0.100}

SOURCE = """
import time
import pytest
from crystallize import GroupSequential, Hypothesis

@pytest.mark.experiment(
    replicates=10_000,
    treatments={"boost": {"delta": 0.001}, "less": {"delta": -0.001}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_many(rng, delta=0.0):
    time.sleep(0.0005)
    return {"total": rng.normal() + delta}

@pytest.mark.experiment(replicates=2, treatments={"boost": {"delta": 1.0}})
def experiment_few(rng, delta=0.0):
    return {"total": rng.normal() + delta}
"""


async def measured() -> dict[str, float]:
    """Return both figures."""
    app = RunScreen(["-n0", "-p", "no:randomly", "--crystallize-cache=off"])
    async with app.run_test(size=(120, 40)) as pilot:
        while not app.state.experiments or app.check_action("cancel", ()):
            await pilot.pause(0.05)
        await pilot.press("r")
        while not any(each.ran for each in app.state.experiments.values()):
            await pilot.pause(0.05)
        began, used = time.perf_counter(), time.process_time()
        for _ in range(20):
            await asyncio.sleep(0.5)
        share = (time.process_time() - used) / (time.perf_counter() - began)
        keys = []
        for key in ("down", "up") * 10:
            await asyncio.sleep(0.07)
            pressed = time.process_time()
            await pilot.press(key)
            await pilot.pause()
            keys.append(time.process_time() - pressed)
        ran = sum(each.ran for each in app.state.experiments.values())
        print(f"{ran} runs ended by then; keys took {statistics.median(keys):.3f} s in the median")
        await pilot.press("q")
        while app.check_action("cancel", ()):
            await asyncio.sleep(0.05)
    return {"share of a core": share, "key in s": max(keys)}


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        Path("experiment_many.py").write_text(SOURCE, encoding="utf-8")
        os.environ.pop("PYTEST_ADDOPTS", None)
        found = asyncio.run(measured())
    for name, value in found.items():
        print(f"{name}: {value:.3f}, {value / LIMITS[name]:.2f} of what is allowed")
    return int(any(value > LIMITS[name] for name, value in found.items()))


if __name__ == "__main__":
    sys.exit(main())
