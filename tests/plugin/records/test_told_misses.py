"""What is said of runs that could have been stored, or used, and were not."""

import re

import pytest

from plugin.conftest import total
from plugin.records.conftest import experiment, hits, packs

FOREIGN = "what is stored is damaged, or was written with another secret"

BOTH_RUN = """
own = os.environ["PYTEST_XDIST_WORKER"]
os.makedirs(own, exist_ok=True)
ended = time.monotonic() + 60
while not os.path.exists({"gw0": "gw1", "gw1": "gw0"}[own]) and time.monotonic() < ended:
    time.sleep(0.01)
held = HELD
"""
HOLDING = """
import time
HELD = {held} if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" else 0
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "said"),
    [
        (
            "(x for x in ())",
            "(note: experiment_total: those of gw1 are not stored, since|run each time:) .*generator",
        ),
        (
            "1",
            "note: experiment_total: those of gw[01] are not found by processes in which it is otherwise: "
            "experiment_a.HELD changed",
        ),
    ],
)
def test_what_one_worker_alone_finds_is_told(project, held, said):
    """That its runs have no identity, or another one than in the worker which looked what is stored."""
    project.write(HOLDING.format(held=held) + total(lines=BOTH_RUN, replicates=8))
    result = project.run_apart("-v", "-n2")
    result.assert_outcomes(passed=1)
    told = " ".join(line.strip() for line in result.outlines)
    assert re.search(said, told)


def test_another_secret_is_told(project, monkeypatch):
    """A cache that was written with another secret is of no use, and -v says so."""
    project.write(experiment())
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "one")
    project.run_apart()
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "another")
    result = project.run_apart("-v")
    assert hits(result) == 0
    result.stdout.fnmatch_lines([f"  recomputed: {FOREIGN}"])
    assert "recomputed" not in project.run_apart().stdout.str()


def test_damage_is_told(project):
    """A file that was cut off is not used, and -v says so."""
    project.write(experiment())
    project.run_apart()
    for path in packs(project):
        path.write_bytes(path.read_bytes()[:-9])
    result = project.run_apart("-v")
    result.stdout.fnmatch_lines([f"  recomputed: {FOREIGN}"])


NO_CACHE = """
import os
from _pytest.cacheprovider import Cache

def fail(self, name):
    raise OSError("no space left")

if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
    Cache.mkdir = fail
"""


@pytest.mark.slow
def test_a_worker_without_a_cache_is_told(project, monkeypatch):
    """Its runs are not stored, though those of the others are."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this process may be one itself
    project.raw("conftest.py", NO_CACHE)
    project.write(experiment())
    result = project.run_apart("-n2")
    result.assert_outcomes(passed=1)
    told = " ".join(line.strip() for line in result.outlines)
    assert "note: runs of gw1 are not stored: the cache can't be made: no space left" in told
