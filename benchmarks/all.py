"""Every promise about speed and memory, with its limit, in one table.

Figures that compare two runs are ratios or differences of medians, from rounds that alternate between the two
on the same machine. Each is the median of five such runs unless the table says otherwise.

Run ``python benchmarks/all.py``; it takes less than ten minutes on two cores, and exits with 1 if a figure
misses its limit. ``--write docs/performance.md`` writes the table, with machine and date; ``--only ROW ...``
measures some.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import math
import os
import pickle
import platform
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cache_identity
import library_overhead
import memory
import numpy as np
import plugin_overhead
import step_cache
import verdict_latency
from plugin_overhead import RUN, medians, write

from crystallize.identity.environment import processor

TRIVIAL = """
    import pytest
    from crystallize import Hypothesis

    @pytest.mark.experiment(
        replicates={replicates},
        treatments={{"a": {{"delta": 1.0}}, "b": {{"delta": 2.0}}}},
        hypotheses=[Hypothesis(metric="total", direction="increase")],
    )
    def experiment_trivial(rng, delta=0.0):
        return {{"total": delta + rng.random()}}
"""

UNEVEN = """
    import time
    import pytest

    SECONDS = [{seconds}]

    @pytest.mark.experiment(replicates={replicates})
    def experiment_uneven(replicate):
        end = time.perf_counter() + SECONDS[replicate]
        while time.perf_counter() < end:
            pass
        return {{"total": replicate}}
"""

SMALL = """
    import pytest
    from crystallize import Hypothesis

    @pytest.mark.experiment(
        replicates=8,
        treatments={"t": {"delta": 9.0}},
        hypotheses=[Hypothesis(metric="total", direction="increase")],
    )
    def experiment_small(rng, delta=0.0):
        return {"total": rng.normal() + delta}
"""

MANY = """
    import pytest
    from crystallize import Hypothesis

    CLAIMS = [Hypothesis(metric=name, direction="increase") for name in ("total", "size")]

    def made(number):
        @pytest.mark.experiment(replicates=10, treatments={"t": {"delta": 9.0}}, hypotheses=CLAIMS)
        def experiment(rng, delta=0.0):
            return {"total": rng.normal() + delta, "size": rng.normal() + delta}
        return experiment

    for number in range(1000):
        globals()[f"experiment_{number}"] = made(number)
"""

NOTHING = "def test_nothing():\n    pass\n"
ALONE: Final = ("-p", "no:hypothesispytest")
"""Plugins of others would be measured, too."""


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes
    ----------
    work : str
        What is measured.
    value, limit : float
        What it is, and what it may be.
    unit : str
        Of both; empty for a ratio.
    at_least : bool
        Whether more is better.
    """

    work: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the limit is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> list[str]:
        """Return the cells of its row."""
        relation = "at least" if self.at_least else "at most"
        shown = f"{self.value:#.3g}".rstrip(".")
        return [self.work, f"{shown} {self.unit}".strip(), f"{relation} {self.limit:g} {self.unit}".strip()]


def workers_pay(directory: Path) -> Iterator[Figure]:
    """Measure trivial runs with workers against those of one process."""
    nothing = write(directory, "test_nothing.py", NOTHING)
    for replicates, repetitions in ((10_000, 5), (60_000, 1)):
        name = write(directory, f"experiment_{replicates}.py", TRIVIAL.format(replicates=replicates))
        runs = {"one": (*RUN, "-n0", name), "two": (*RUN, "-n2", name)}
        if replicates == 10_000:
            runs |= {"start of one": (*RUN, "-n0", nothing), "start of two": (*RUN, "-n2", nothing)}
        times = medians(directory, runs, repetitions)
        if replicates == 10_000:
            starts = times["start of two"] - times["start of one"]
            ratio = (times["two"] - starts) / times["one"]
            yield Figure(
                "10,000 replicates x 3 trivial conditions: -n2, less the start of workers, over -n0",
                ratio,
                1.0,
            )
        else:
            yield Figure(
                "60,000 replicates x 3 trivial conditions, once: -n2 over -n0",
                times["two"] / times["one"],
                0.7,
            )


def busy_runs(directory: Path) -> Iterator[Figure]:
    """Measure runs that work, on two workers."""
    full = write(directory, "experiment_full.py", plugin_overhead.BURN)
    empty = write(directory, "test_empty.py", NOTHING)
    runs = {f"{n} {name}": (*RUN, n, name) for n in ("-n0", "-n2") for name in (full, empty)}
    times = medians(directory, runs, 3)
    serial, parallel = (times[f"{n} {full}"] - times[f"{n} {empty}"] for n in ("-n0", "-n2"))
    yield Figure(
        "200 replicates of 20 ms, median of 3: -n0 over -n2, starts left out",
        serial / parallel,
        1.9,
        at_least=True,
    )


def packing(directory: Path) -> Iterator[Figure]:
    """Measure uneven runs, on two workers."""
    seconds = [float(x) for x in np.random.default_rng(0).uniform(0.2, 1.8, size=30).round(2)]
    text = ", ".join(map(str, seconds))
    uneven = write(directory, "experiment_uneven.py", UNEVEN.format(seconds=text, replicates=len(seconds)))
    nothing = write(directory, "experiment_even.py", UNEVEN.format(seconds="0, 0", replicates=2))
    times = medians(directory, {"uneven": (*RUN, "-n2", uneven), "nothing": (*RUN, "-n2", nothing)}, 1)
    best = max(sum(seconds) / 2, max(seconds))
    ratio = (times["uneven"] - times["nothing"]) / best
    yield Figure(
        "30 uneven replicates of about 1 s, once: -n2, less the start, over the best packing", ratio, 1.05
    )


def fixtures(directory: Path) -> Iterator[Figure]:
    """Measure a condition run with four function-scoped fixtures."""
    many = write(directory, "experiment_many.py", plugin_overhead.FIXTURES.format(replicates=2000))
    few = write(directory, "experiment_few.py", plugin_overhead.FIXTURES.format(replicates=10))
    for option, limit in (("-n0", 0.12), ("-n1", 0.15)):
        times = medians(directory, {"many": (*RUN, option, many), "few": (*RUN, option, few)}, 5)
        each = (times["many"] - times["few"]) / (2 * 1990) * 1000
        yield Figure(f"a condition run with four fixtures, {option}", each, limit, "ms")


def library(directory: Path) -> Iterator[Figure]:
    """Measure the tutorial's pipeline over a bare loop."""
    loop, library = library_overhead.bare_loop(1000), library_overhead.library(1000)
    pairs = [(library_overhead.seconds(library), library_overhead.seconds(loop)) for _ in range(15)]
    best = [min(column) for column in zip(*pairs, strict=True)]
    yield Figure(
        "the tutorial's pipeline: the library over the bare loop, fastest of 15", best[0] / best[1], 2.0
    )


def sessions(directory: Path) -> Iterator[Figure]:
    """Measure small sessions, warm ones, and those of many experiments."""
    small = write(directory, "experiment_small.py", SMALL)
    nothing = write(directory, "test_nothing.py", NOTHING)
    times = medians(directory, {"small": (*RUN, *ALONE, small), "plain": (*ALONE, nothing)}, 9)
    added = times["small"] - times["plain"]
    yield Figure("a session with one small experiment, over pytest without it, median of 9", added, 0.35, "s")

    runs = write(directory, "experiment_runs.py", TRIVIAL.format(replicates=334))
    same = write(
        directory, "test_same.py", "import scipy.special\nfrom crystallize import Hypothesis\n\n", NOTHING
    )
    medians(directory, {"cold": ("--crystallize", *ALONE, runs)}, 1)
    warm = {"warm": ("--crystallize", *ALONE, runs), "empty": ("--crystallize", *ALONE, same)}
    times = medians(directory, warm, 9)
    yield Figure(
        "a warm session of 1,002 runs over an empty one, median of 9",
        times["warm"] - times["empty"],
        0.08,
        "s",
    )

    many = write(directory, "experiment_many.py", MANY)
    times = medians(directory, {n: (*RUN, *ALONE, n, many) for n in ("-n0", "-n2")}, 3)
    yield Figure("1,000 experiments x 2 claims x 10 replicates, -n0, median of 3", times["-n0"], 6.0, "s")
    yield Figure("the same, -n2 over -n0", times["-n2"] / times["-n0"], 0.8)


def caching(directory: Path) -> Iterator[Figure]:
    """Measure the hash of nested data, and a hit of the step cache."""
    nested = cache_identity.nested_data()
    rates = [cache_identity.megabytes_per_second(nested, len(pickle.dumps(nested)), 1) for _ in range(5)]
    yield Figure("the stable hash of nested data", statistics.median(rates), 40.0, "MB/s", at_least=True)
    os.environ["CRYSTALLIZE_CACHE_DIR"] = str(directory)
    os.environ["CRYSTALLIZE_CACHE_SECRET"] = "of a benchmark"
    hits = [step_cache.cost_of_hit([1.0, 2.0, 3.0], step_cache.slow) for _ in range(5)]
    yield Figure("a hit of the step cache, three floats", 1e6 * statistics.median(hits), 100.0, "us")


def verdicts(directory: Path) -> Iterator[Figure]:
    """Measure the way from records to verdicts."""
    claims = verdict_latency.hypotheses()
    times = [verdict_latency.seconds(claims, 100, repetition) for repetition in range(22)][1:]
    yield Figure(
        "verdicts of 12 claims x 3 treatments x 100 replicates, median of 21",
        1e3 * statistics.median(times),
        8.0,
        "ms",
    )


def large(directory: Path) -> Iterator[Figure]:
    """Measure the memory of the process that judges."""
    for row in ("library", "pytest -n2", "million"):
        replicates, conditions, metrics = memory.ROWS[row]
        said = memory.measured(row)
        work = f"{replicates:,} replicates x {conditions} conditions x {metrics} metrics, once"
        where = "pytest -n2" if row.startswith("pytest") else "the library"
        yield Figure(
            f"{work}: memory of the judging process, {where}", said["rss"] / 1024, memory.LIMITS[row], "MB"
        )
        if row == "million":
            yield Figure(f"{work}: from the last run to the verdict", said["verdict"], 3.0, "s")


ROWS: Final[dict[str, Callable[[Path], Iterable[Figure]]]] = {
    "workers": workers_pay,
    "busy": busy_runs,
    "packing": packing,
    "fixtures": fixtures,
    "library": library,
    "sessions": sessions,
    "caching": caching,
    "verdicts": verdicts,
    "memory": large,
}


def machine() -> str:
    """Return what the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def table(figures: Iterable[Figure]) -> str:
    """Return the figures in Markdown."""
    head = "| work | measured | limit | |\n|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(x.cells())} | {'' if x.is_met else 'missed'} |\n" for x in figures)


PAGE: Final = """# Performance

What `python benchmarks/all.py` measured on {date}: {machine}. Figures that compare two runs are from
rounds that alternate between the two; each is the median of five unless it says otherwise.

{table}"""


def main() -> int:
    """Measure the rows that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # of scipy: totals of the tutorial do not vary
    logging.getLogger("crystallize").setLevel(logging.WARNING)
    figures = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as directory:
            write(Path(directory), "pytest.ini", "[pytest]\n")
            for figure in ROWS[name](Path(directory)):
                figures.append(figure)
                print(
                    ": ".join(figure.cells()[:2]),
                    f"({figure.cells()[2]})",
                    "" if figure.is_met else "MISSED",
                    flush=True,
                )
    if options.write is not None:
        page = PAGE.format(date=datetime.date.today().isoformat(), machine=machine(), table=table(figures))
        options.write.write_text(page, encoding="utf-8")
    return int(not all(math.isfinite(x.value) and x.is_met for x in figures))


if __name__ == "__main__":
    sys.exit(main())
