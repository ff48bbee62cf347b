"""What the pytest plugin costs: ratios and differences measured in one run.

Run it as ``python benchmarks/plugin_overhead.py``. Every figure is the median of several runs of pytest in a
process of its own; runs that are compared alternate.
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

RUN = ("--crystallize", "--crystallize-cache=refresh")
"""Run everything, and store it: that is what a first session costs."""

TUTORIAL = """
    from crystallize import Experiment, Hypothesis, data_source, pipeline_step, treatment

    @data_source
    def fetch_numbers(ctx):
        return [0, 0, 0]

    @pipeline_step()
    def add_delta(data, ctx, *, delta=0.0):
        return [x + delta for x in data]

    @pipeline_step()
    def summarize(data, ctx):
        return data, {"total": sum(data)}

    boost_total = treatment("boost_total", {"delta": 10.0})
"""

FACTORY = """
    def experiment_tutorial():
        return (
            Experiment.builder("basic")
            .datasource(fetch_numbers())
            .add_step(add_delta())
            .add_step(summarize())
            .treatments([boost_total()])
            .hypotheses([Hypothesis(metric="total", direction="increase")])
            .replicates(1000)
            .build()
        )
"""

SAME_IMPORTS = """
    import scipy.special

    def test_nothing():
        pass
"""

FIXTURES = """
    import pytest
    from crystallize import Hypothesis

    @pytest.fixture
    def first():
        return 1

    @pytest.fixture
    def second(first):
        return first + 1

    @pytest.fixture
    def third(second):
        yield second + 1

    @pytest.mark.experiment(
        replicates={replicates},
        treatments={{"boost": {{"delta": 1.0}}}},
        hypotheses=[Hypothesis(metric="total", direction="increase")],
    )
    def experiment_fixtures(first, second, third, rng, delta=0.0):
        return {{"total": first + second + third + delta * rng.random()}}
"""

BURN = """
    import time
    import pytest
    from crystallize import Hypothesis

    @pytest.mark.experiment(
        replicates=200,
        treatments={"boost": {"delta": 1.0}},
        hypotheses=[Hypothesis(metric="total", direction="increase")],
    )
    def experiment_burn(rng, delta=0.0):
        stop = time.process_time() + 0.010
        while time.process_time() < stop:
            pass
        return {"total": delta + rng.random()}
"""

UNUSED = """
    import sys

    def pytest_unconfigure(config):
        print("IMPORTED", [name for name in ("numpy", "scipy", "crystallize") if name in sys.modules])
"""


def pytest_seconds(directory: Path, *arguments: str) -> float:
    """Return the wall time of one pytest run in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        *arguments,
    ]
    start = time.perf_counter()
    environ = {**os.environ, "CRYSTALLIZE_CACHE_SECRET": "benchmark"}
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return seconds


def medians(directory: Path, runs: dict[str, tuple[str, ...]], repetitions: int) -> dict[str, float]:
    """Return the median time of each run, in rounds that alternate between them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, arguments in runs.items():
            times[name].append(pytest_seconds(directory, *arguments))
    return {name: statistics.median(values) for name, values in times.items()}


def write(directory: Path, name: str, *parts: str) -> str:
    """Write a file of dedented parts and return its name."""
    (directory / name).write_text("\n".join(textwrap.dedent(part) for part in parts), encoding="utf-8")
    return name


def factory_form(directory: Path) -> None:
    """(b) 1,000 replicates x 2 conditions in factory form against one passing test with the same imports."""
    experiment = write(directory, "experiment_tutorial.py", TUTORIAL, FACTORY)
    empty = write(directory, "test_nothing.py", TUTORIAL, SAME_IMPORTS)
    times = medians(directory, {"runs": (*RUN, experiment), "empty": (*RUN, empty)}, 7)
    print(
        f"(b) factory form, 2,000 condition runs: {times['runs']:.2f} s, one passing test "
        f"{times['empty']:.2f} s: {times['runs'] - times['empty']:+.2f} s (at most 0.5)"
    )


def fixture_form(directory: Path) -> None:
    """(c) time per condition run with four function-scoped fixtures, in one process and on one worker."""
    many = write(directory, "experiment_many.py", FIXTURES.format(replicates=2000))
    few = write(directory, "experiment_few.py", FIXTURES.format(replicates=10))
    for options in (("-n0",), ("-n1",)):
        runs = {"many": (*RUN, *options, many), "few": (*RUN, *options, few)}
        times = medians(directory, runs, 5)
        each = (times["many"] - times["few"]) / (2 * 1990) * 1000
        print(f"(c) fixture form, four fixtures, {options[0]}: {each:.3f} ms a condition run (at most 0.3)")


def speed_up(directory: Path) -> None:
    """(d) 200 replicates of 20 ms of CPU at -n2 against -n0, each less an empty run at the same -n."""
    full = write(directory, "experiment_full.py", BURN)
    empty = write(directory, "test_empty.py", "def test_empty():\n    pass\n")
    runs = {f"{n} {name}": (*RUN, n, name) for n in ("-n0", "-n2") for name in (full, empty)}
    times = medians(directory, runs, 5)
    serial, parallel = (times[f"{n} {full}"] - times[f"{n} {empty}"] for n in ("-n0", "-n2"))
    print(
        f"(d) 200 replicates of 20 ms: -n0 {serial:.2f} s, -n2 {parallel:.2f} s, each less an empty run: "
        f"{serial / parallel:.2f} times faster (at least 1.8)"
    )


def unused_plugin(directory: Path) -> None:
    """(e) import time of the installed but unused plugin, and what an ordinary run leaves imported."""
    code = (
        "import time, pytest; start = time.perf_counter(); import pytest_crystallize.plugin; "
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    seconds = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(11)]
    write(directory, "conftest.py", UNUSED)
    empty = write(directory, "test_ordinary.py", "def test_ordinary():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-p", "no:randomly", empty]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    imported = next(line for line in done.stdout.splitlines() if line.startswith("IMPORTED"))
    print(
        f"(e) unused plugin: {statistics.median(seconds) * 1000:.2f} ms to import (at most 5); of numpy, "
        f"scipy and crystallize an ordinary run imported {imported.removeprefix('IMPORTED ')}"
    )


def main() -> None:
    """Print every figure."""
    for measure in (factory_form, fixture_form, speed_up, unused_plugin):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            write(directory, "pytest.ini", "[pytest]\n")
            measure(directory)


if __name__ == "__main__":
    main()
