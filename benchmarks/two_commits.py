"""What sessions of two commits find of times, and what they cost.

In a temporary repository with a package below ``src``. ``--alarms N``: N sessions between identical commits,
with claims that minimum and mean of times differ, at alpha .05 each. ``--changes N``: N sessions, half of
them with a branch that is 15 % slower and half with one that is 15 % faster, while a process beside them is
busy all the time. ``--cost N``: N rounds of a session of two commits, and of ordinary sessions, of the same
runs. A session of times takes some 15 s of processor time, nearly all for the starts of 20 processes.

Each session of ``--alarms`` and ``--changes`` prints a line as it ends. With ``--keep FILE`` that line is
appended to a file, too, and sessions that the file has are counted, not run again: stop it when you like.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

EXPERIMENTS = """
import time

import pkg
import pytest
from crystallize import Hypothesis, Revision

def claim(metric, direction, **more):
    name = f"{metric}_{direction}"
    return Hypothesis(metric=metric, direction=direction, against=Revision(), name=name, **more)

@pytest.mark.experiment(
    replicates=30,
    correction="none",
    hypotheses=[claim(m, "differ") for m in ("minimum", "mean")]
    + [claim("minimum", d, at_least=0.05, relative=True) for d in ("increase", "decrease")],
)
def experiment_times(ctx):
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        pkg.work()
        taken.append(time.perf_counter() - started)
    ctx.metrics.add("minimum", min(taken), measured=True)
    ctx.metrics.add("mean", sum(taken) / len(taken), measured=True)

@pytest.mark.experiment(
    replicates=10,
    treatments={"other": {"shift": 1.0}},
    hypotheses=[Hypothesis(metric="value", direction="no_decrease", margin=0.5, against=Revision())],
)
def experiment_values(rng, shift=0.0):
    pkg.work()
    return {"value": rng.normal() + shift}
"""
WORK = "def work():\n    return sum(i * i for i in range({steps}))\n"
STEPS = 24_000  # more than a millisecond


class Project:
    """Repository with a package, whose commit ``v1`` is compared with what is written to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "src" / "pkg").mkdir(parents=True)
        (directory / "pytest.ini").write_text("[pytest]\npythonpath = src\n")
        (directory / "experiment_a.py").write_text(EXPERIMENTS)
        self.write(1.0)
        self.git("init", "-q")
        self.git("add", "-A")
        self.git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one")
        self.git("tag", "v1")

    def git(self, *arguments: str) -> None:
        """Run git."""
        subprocess.run(["git", *arguments], cwd=self.directory, check=True)

    def write(self, factor: float) -> None:
        """Have the work take that many times as long as in the commit."""
        (self.directory / "src" / "pkg" / "__init__.py").write_text(WORK.format(steps=int(STEPS * factor)))

    def session(self, *options: str) -> tuple[tuple[float, float], dict[str, Any]]:
        """Run pytest; return processor time, of children too, and wall time, and verdicts by test."""
        report = self.directory / "r.json"
        command = [sys.executable, "-m", "pytest", "-q", f"--crystallize-report={report}", *options]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        before = os.times()
        subprocess.run(
            [*command, "-p", "pytest_crystallize.plugin"],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            check=False,
        )
        after = os.times()
        processor = (
            after.children_user + after.children_system - before.children_user - before.children_system
        )
        data = json.loads(report.read_text())
        report.unlink()
        tests = [test for each in data["experiments"] for test in each["tests"]]
        took = processor, after.elapsed - before.elapsed
        return took, {test["verdict"]["hypothesis"]: test["verdict"] for test in tests if test["verdict"]}


class Kept:
    """Statuses that sessions gave, told as they come, and kept from one start of this program to the next.

    Parameters
    ----------
    file : Path or None
        Lines of JSON, one for each session.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, list[dict[str, str]]] = {}
        if file is not None and file.exists():
            for line in file.read_text().splitlines(keepends=True):
                if line.endswith("\n"):  # or it was stopped while it wrote
                    session = json.loads(line)
                    self._known.setdefault(session["of"], []).append(session["statuses"])
            file.write_text("".join(_line(of, each) for of, ran in self._known.items() for each in ran))

    def sessions(self, of: str, project: Project, number: int) -> list[dict[str, str]]:
        """Return statuses by the name of the hypothesis, and run as many sessions as are missing."""
        known = self._known.setdefault(of, [])
        if known:
            print(f"{of}: {len(known)} sessions are kept", flush=True)
        while len(known) < number:
            took, verdicts = project.session("--crystallize-against=v1", "experiment_a.py::experiment_times")
            statuses: dict[str, str] = {name: verdict["status"] for name, verdict in verdicts.items()}
            assert statuses["minimum_differ"] != "invalid", verdicts
            known.append(statuses)
            line = _line(of, statuses)
            print(f"{len(known)} of {number}, {took[1]:.0f} s: {line}", end="", flush=True)
            if self._file is not None:
                with self._file.open("a") as file:
                    file.write(line)
        return known[:number]


def _line(of: str, statuses: dict[str, str]) -> str:
    return json.dumps({"of": of, "statuses": statuses}) + "\n"


def alarms(project: Project, sessions: int, kept: Kept) -> None:
    """Count significant differences between identical commits."""
    ran = kept.sessions("identical commits", project, sessions)
    spread = 1.96 * math.sqrt(0.05 * 0.95 / sessions)
    for metric in ("minimum", "mean"):
        found = sum(statuses[f"{metric}_differ"] == "supported" for statuses in ran)
        print(
            f"identical commits, {metric}: {found} alarms in {sessions} sessions "
            f"({found / sessions:.1%}; alpha 5 %, by chance up to {0.05 + spread:.1%})",
            flush=True,
        )


def changes(project: Project, sessions: int, kept: Kept) -> None:
    """Count what is found of branches that are slower and faster, beside a busy process."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for factor, right, wrong in ((1.15, "increase", "decrease"), (0.85, "decrease", "increase")):
            project.write(factor)
            ran = kept.sessions(f"work x {factor}, busy beside", project, (sessions + 1) // 2)
            found = sum(statuses[f"minimum_{right}"] == "supported" for statuses in ran)
            opposite = sum(statuses[f"minimum_{wrong}"] == "supported" for statuses in ran)
            print(
                f"work x {factor}, busy beside: found in {found} of {len(ran)} sessions, "
                f"the opposite in {opposite}",
                flush=True,
            )
    finally:
        busy.kill()
        project.write(1.0)


def cost(project: Project, rounds: int, _: Kept) -> None:
    """Compare sessions of two commits with twice an ordinary session, as they alternate.

    Sessions of few runs are taken from those of many, so that what is compared is runs; and what the former
    take beyond two ordinary ones is what is left of a start.
    """
    options = ("--crystallize-cache=off", "experiment_a.py::experiment_values")
    few, many = "--crystallize-replicates=10", "--crystallize-replicates=410"
    ratios: dict[str, list[float]] = {"processor": [], "wall": []}
    starts: list[float] = []
    while len(starts) < rounds:
        one, two = "--crystallize", "--crystallize-against=v1"
        took = {key: project.session(*key, *options)[0] for key in product((one, two), (few, many))}
        for name, clock in (("processor", 0), ("wall", 1)):
            runs = {each: took[each, many][clock] - took[each, few][clock] for each in (one, two)}
            ratios[name].append(runs[two] / (2 * runs[one]))
        starts.append(took[two, few][0] / took[one, few][0])
    for name, found in ratios.items():
        print(
            f"{name} time of 800 runs at each commit, over those of ordinary sessions: "
            f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"
        )
    print(
        f"processor time of sessions of few runs, over that of ordinary ones: {statistics.median(starts):.2f}"
    )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("alarms", "changes", "cost"):
        parser.add_argument(f"--{option}", type=int, metavar="N", default=0)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="what sessions gave, to go on from")
    given = parser.parse_args()
    kept = Kept(given.keep)
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        for what in (cost, changes, alarms):
            if number := getattr(given, what.__name__):
                started = time.perf_counter()
                what(project, number, kept)
                print(f"  {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
