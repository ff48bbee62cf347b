"""Show that a suite gives the same metrics and verdicts however it is run.

Runs every experiment of a suite under pytest in one process, with several numbers of workers, under
each --dist mode, in random order and with a Dask cluster on loopback, and those in factory form through
the library's executions too. Prints one digest per mode, of the metrics that are not measured and of
the verdicts; exits with 1 if two modes differ, or if one did not give every verdict.

    python benchmarks/same_digest.py [--suite example_suite] [--replicates N] [--only MODE ...] [--list]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = "CRYSTALLIZE_SAME_DIGEST_OUTPUT"

PYTEST_MODES = {
    "n0": ["-n0"],
    "no-xdist": ["-p", "no:xdist"],
    "load": ["-n2", "--dist", "load"],
    "load-n4": ["-n4", "--dist", "load"],
    "worksteal": ["-n2", "--dist", "worksteal"],
    "loadscope": ["-n2", "--dist", "loadscope"],
    "loadfile": ["-n2", "--dist", "loadfile"],
    "random-n0": ["-n0", "-p", "randomly", "--randomly-seed=1"],
    "random-n2": ["-n2", "-p", "randomly", "--randomly-seed=2"],
}
CLUSTER_MODES = {"dask": ["-n0"], "dask-n2": ["-n2"]}
LIBRARY_MODES = ("serial", "thread", "process", "executor", "cluster")

Facts = dict[str, str]
"""``experiment condition`` -> digest of its metrics, and ``experiment hypothesis treatment`` -> verdict."""


# As a plugin of the pytest sessions below (-p same_digest).


class Collector:
    """Gathers digests and verdicts of the session, in the controlling process."""

    def __init__(self) -> None:
        self.facts: Facts = {}

    def pytest_crystallize_report(self, results: Any) -> None:
        """Take in what the session gave."""
        for each in results.experiments:
            for condition, found in each.digests.items():
                self.facts[f"{each.name} {condition}"] = found
            for verdict in (test.verdict for test in each.tests if test.verdict is not None):
                self.facts[f"{each.name} {verdict.hypothesis} {verdict.treatment}"] = verdict.status

    def pytest_unconfigure(self) -> None:
        """Hand over what was gathered."""
        Path(os.environ[OUTPUT]).write_text(json.dumps(self.facts), encoding="utf-8")


def pytest_configure(config: Any) -> None:
    if OUTPUT in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector())


ON_CASES = ("experiment_prompt.py",)
"""Files whose experiments are run on cases, not on a number of replicates that could be set."""


def under_pytest(suite: Path, options: Iterable[str], replicates: int | None) -> Facts:
    """Run the suite in a session of its own and return what its reports told."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "facts.json")
        path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        options = list(options)
        if "randomly" not in options:
            options += ["-p", "no:randomly"]
        if replicates is not None:
            options.append(f"--crystallize-replicates={replicates}")
            options += [f"--ignore={suite / name}" for name in ON_CASES]
        session = subprocess.run(
            [*_PYTEST, *options, str(suite)],
            env={**os.environ, "PYTHONPATH": path, OUTPUT: str(output)},
            capture_output=True,
            text=True,
            check=False,
        )
        if session.returncode not in (0, 1) or not output.exists():
            said = f"{session.stdout[-4000:]}{session.stderr[-4000:]}"
            raise SystemExit(f"pytest {' '.join(options)} ended with {session.returncode}:\n{said}")
        facts: Facts = json.loads(output.read_text(encoding="utf-8"))
        return facts


# -P: what is installed is run, not what lies in the current directory
_PYTEST = (
    sys.executable,
    "-P",
    "-m",
    "pytest",
    "--crystallize",
    "-q",
    "-p",
    "same_digest",
    "-p",
    "no:cacheprovider",
)


# Through the library, without pytest.


def factories(suite: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name and the call of every experiment of a suite that is written as a factory."""
    sys.path.insert(0, str(suite))
    for path in sorted(suite.glob("experiment_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in vars(module).items():
            marks = {mark.name: mark for mark in getattr(function, "pytestmark", ())}
            if not name.startswith("experiment_") or "experiment" in marks:
                continue
            if "parametrize" not in marks:
                yield name, function
                continue
            mark = marks["parametrize"]
            for value, label in zip(mark.args[1], mark.kwargs["ids"], strict=True):
                yield f"{name}[{label}]", _bound(function, {mark.args[0]: value})


def _bound(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[[], Any]:
    return lambda: function(**arguments)


def cluster(stack: ExitStack, suite: Path) -> Any:
    """Start a Dask scheduler and two workers that can import the suite; return a client."""
    from distributed import Client, LocalCluster

    paths = os.pathsep.join(filter(None, [str(suite), os.environ.get("PYTHONPATH")]))
    local = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", env={"PYTHONPATH": paths})
    return stack.enter_context(Client(stack.enter_context(local), set_as_default=False))


def through_library(suite: Path, kind: str, replicates: int | None) -> Facts:
    """Run the experiments in factory form with an execution of the library's."""
    with ExitStack() as stack:
        return _through_library(suite, _execution(kind, suite, stack), replicates)


def _execution(kind: str, suite: Path, stack: ExitStack) -> Any:
    from crystallize import DaskExecution, ExecutorExecution, ParallelExecution, SerialExecution

    match kind:
        case "serial":
            return SerialExecution()
        case "executor":
            return ExecutorExecution(stack.enter_context(ProcessPoolExecutor(4)))
        case "cluster":
            return DaskExecution(cluster(stack, suite))
        case _:
            return ParallelExecution(4, kind)  # type: ignore[arg-type]


def _through_library(suite: Path, execution: Any, replicates: int | None) -> Facts:
    from crystallize import ExperimentBuilder, digest

    facts: Facts = {}
    for name, factory in factories(suite):
        experiment = factory()
        if isinstance(experiment, ExperimentBuilder):
            experiment = experiment.build()
        others = (plugin for plugin in experiment.plugins if plugin.kind is not execution.kind)
        experiment.plugins = [*others, execution]
        result = experiment.run(replicates=replicates)
        for condition in ("baseline", *result.metrics.treatments):
            facts[f"{name} {condition}"] = digest(r for r in result.records if r.condition == condition)
        for hypothesis in result.hypotheses:
            for treatment, verdict in hypothesis.verdicts.items():
                facts[f"{name} {hypothesis.name} {treatment}"] = verdict.status
    return facts


# What is printed.


def combined(facts: Facts) -> str:
    """Return one digest of all facts."""
    text = json.dumps(sorted(facts.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def differences(first: Facts, second: Facts) -> list[str]:
    """Say what is not the same in two sets of facts."""
    keys = sorted(first.keys() | second.keys())
    return [
        f"{key}: {first.get(key)} / {second.get(key)}" for key in keys if first.get(key) != second.get(key)
    ]


def _shown(mode: str) -> str:
    if mode in CLUSTER_MODES:
        return f"{' '.join(CLUSTER_MODES[mode])} and a cluster"
    options = PYTEST_MODES[mode]
    return "random order, " + options[0] if "randomly" in options else " ".join(options)


def main(arguments: list[str] | None = None) -> int:
    """Run the modes and compare them."""
    modes = [*PYTEST_MODES, *CLUSTER_MODES, *LIBRARY_MODES]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--suite", type=Path, default=ROOT / "example_suite")
    parser.add_argument(
        "--replicates",
        type=int,
        help="in place of those declared; leaves out experiments on cases",
    )
    parser.add_argument("--only", nargs="+", choices=modes, default=modes, metavar="MODE", help="only these")
    parser.add_argument("--list", action="store_true", help="list the modes")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(modes))
        return 0
    suite = options.suite.resolve()
    factory_names = {name for name, _ in factories(suite)}
    print(f"{'mode':28}  {'all experiments':16}  {'factory form':16}  {'facts':>5}  {'time':>7}")
    first: dict[bool, Facts] = {}
    faults: list[str] = []
    for mode in options.only:
        start = time.perf_counter()
        in_library = mode in LIBRARY_MODES
        if in_library:
            facts = through_library(suite, mode, options.replicates)
        elif mode in CLUSTER_MODES:
            with ExitStack() as stack:
                address = cluster(stack, suite).scheduler.address
                arguments = [*CLUSTER_MODES[mode], "--crystallize-dask", address]
                facts = under_pytest(suite, arguments, options.replicates)
        else:
            facts = under_pytest(suite, PYTEST_MODES[mode], options.replicates)
        subset = {key: value for key, value in facts.items() if key.split(" ", 1)[0] in factory_names}
        label = f"library, {mode}" if in_library else f"pytest {_shown(mode)}"
        shown = "-" if in_library else combined(facts)
        seconds = time.perf_counter() - start
        print(f"{label:28}  {shown:16}  {combined(subset):16}  {len(facts):5}  {seconds:5.1f} s", flush=True)
        if not facts:
            faults.append(f"{label}: no experiment was run")
        for whole, known in ((False, subset), (True, facts)):
            if not (whole and in_library):
                found = differences(first.setdefault(whole, known), known)
                faults += [f"{label}: {difference}" for difference in found]
    print("\n".join(dict.fromkeys(faults)) if faults else "the same metrics and verdicts in every mode")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
