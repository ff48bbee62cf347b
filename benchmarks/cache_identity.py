"""What the identity of data, code and environment costs: each figure against its limit.

Hashes are timed on a list of a million floats, an array of ten million, and nested Python data (its size
being that of its pickle). Fingerprints are timed on a generated project of 75 parts and on code that uses
scikit-learn: cold is the first one of a fresh process, warm the fastest of the later ones.

Run ``python benchmarks/cache_identity.py``; it exits with 1 if a figure misses its limit.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crystallize.identity.stable_hash import stable_hash

FASTEST_NEEDED = {
    "list of floats": 100.0,
    "array": 400.0,
    "nested data": 40.0,
}  # MB/s
SLOWEST_ALLOWED = {  # ms
    "project, cold": 18.0,
    "project, warm": 8.0,
    "scikit-learn, cold": 50.0,
    "scikit-learn, warm": 8.0,
    "environment": 100.0,
}

MODULE = """
LIMIT = {number}

class Model:
    factor = LIMIT

    def fit(self, data):
        return [self.scaled(x) for x in data if x < LIMIT]

    def scaled(self, x):
        return x * self.factor

def prepare(data, *, offset={number}):
    {onward}
    return Model().fit([x + offset for x in data])
"""

LEARNING = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODELS = {
    "linear": make_pipeline(StandardScaler(), LogisticRegression(C=2.0)),
    "forest": RandomForestClassifier(n_estimators=10),
}
SCORER = make_scorer(accuracy_score)

def step(data, *, kind="linear", seed=0):
    x, y = data
    train, test, y_train, y_test = train_test_split(np.asarray(x), y, random_state=seed)
    model = MODELS[kind].fit(train, y_train)
    return np.mean(cross_val_score(model, test, y_test, scoring=SCORER))
"""

PROBE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from crystallize.identity.environment import environment
from crystallize.identity.fingerprint import fingerprint
import {module} as module
times = []
for _ in range(20):
    start = time.perf_counter()
    found = fingerprint(module.{function}, name="step")
    times.append(time.perf_counter() - start)
start = time.perf_counter()
environment()
print(json.dumps([len(found.parts), times[0], min(times[1:]), time.perf_counter() - start]))
"""


def write_project(home: Path) -> None:
    """Write fifteen modules of five parts each, every one of which uses the next, and the learning one."""
    for number in range(15):
        onward = f"from chain{number + 1} import prepare; data = prepare(data)" if number < 14 else "pass"
        (home / f"chain{number}.py").write_text(MODULE.format(number=number, onward=onward))
    (home / "learning.py").write_text(LEARNING)


def probe(home: Path, module: str, function: str) -> tuple[int, float, float, float]:
    """Return number of parts, seconds cold and warm, and seconds for the environment, in a fresh process."""
    code = PROBE.format(module=module, function=function)
    command = [sys.executable, "-c", code, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    parts, cold, warm, surroundings = json.loads(done.stdout)
    return parts, cold, warm, surroundings


def megabytes_per_second(value: object, size: int, repetitions: int) -> float:
    """Return the rate of the fastest repetition."""

    def seconds(run: Callable[[object], str]) -> float:
        start = time.perf_counter()
        run(value)
        return time.perf_counter() - start

    return size / 1e6 / min(seconds(stable_hash) for _ in range(repetitions))


def nested_data() -> list[dict[str, object]]:
    """Return rows such as a file of JSON lines has."""
    return [
        {"name": f"case {i}", "score": i / 7, "tags": ["a", "b"], "kept": i % 2 == 0, "place": (i, i + 1)}
        for i in range(50_000)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    numbers = random.Random(0)
    floats = [numbers.random() for _ in range(10**6)]
    nested = nested_data()
    subjects = {
        "list of floats": (floats, 8 * len(floats)),
        "array": (np.arange(1e7), 80_000_000),
        "nested data": (nested, len(pickle.dumps(nested))),
    }
    failed = False
    for name, (value, size) in subjects.items():
        rate, needed = megabytes_per_second(value, size, repetitions), FASTEST_NEEDED[name]
        failed |= rate < needed
        print(f"{name:>18}: {rate:6.0f} MB/s, {rate / needed:5.2f} of the {needed:g} needed")
    times: dict[str, list[float]] = {name: [] for name in SLOWEST_ALLOWED}
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        write_project(home)
        for name, module, function in (
            ("project", "chain0", "prepare"),
            ("scikit-learn", "learning", "step"),
        ):
            for _ in range(repetitions):
                parts, cold, warm, surroundings = probe(home, module, function)
                times[f"{name}, cold"].append(cold)
                times[f"{name}, warm"].append(warm)
                times["environment"].append(surroundings)
            print(f"{name:>18}: {parts} parts")
    for name, measured in times.items():
        took, allowed = 1e3 * min(measured), SLOWEST_ALLOWED[name]
        failed |= took > allowed
        print(f"{name:>18}: {took:6.1f} ms at best, {took / allowed:5.2f} of the {allowed:g} allowed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
