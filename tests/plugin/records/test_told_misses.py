"""What is said of runs that could have been stored, or used, and were not."""

import re
import shutil

import pytest

from plugin.conftest import edited, total
from plugin.records.conftest import experiment, hits, packs

FOREIGN = "some of what is stored is damaged, or of another secret"
WITHDRAWN = "what was stored was withdrawn by the session that had stored it"

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
HELD = (x for x in ()) if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" else 0
"""


@pytest.mark.slow
def test_what_one_worker_alone_can_not_identify_is_told(project):
    """That its runs are not stored, if it was another worker that looked what is."""
    project.write(HOLDING + total(lines=BOTH_RUN, replicates=8))
    result = project.run_apart("-n2")
    result.assert_outcomes(passed=1)
    told = " ".join(line.strip() for line in result.outlines)
    assert re.search("(those of gw1 are not stored, since|run each time:) .*generator", told)


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
    again = project.run_apart("-v")
    assert hits(again) == 10
    assert "recomputed" not in again.stdout.str()


def _install(project, version):
    """Have a distribution be installed in the project, in place of another version."""
    home = project.path / "installed"
    shutil.rmtree(home, ignore_errors=True)
    info = home / f"dosing-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dosing\nVersion: {version}\n")
    (info / "RECORD").write_text("")


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "evicted"])
def test_another_environment_is_told_by_what_is_of_another_version(project, monkeypatch, is_known):
    """As far as it is known what it was."""
    project.write(experiment())
    _install(project, "1.0")
    monkeypatch.setenv("PYTHONPATH", str(project.path / "installed"))
    project.run_apart()
    if not is_known:
        for path in project.path.rglob("*.list"):
            path.unlink()
    _install(project, "2.0")
    result = project.run_apart("-v")
    assert hits(result) == 0
    said = "dosing 1.0 * -> 2.0 *" if is_known else "the environment changed"
    result.stdout.fnmatch_lines([f"  recomputed: {said}"])


def test_what_a_look_leaves_out_is_not_told(project):
    """Stored runs behind the look that decides are not asked for; that they can't be used concerns nobody."""
    source = "FACTOR = open('factor').read()\n" + experiment(replicates=40)
    project.raw("factor", "1")
    project.write(source)
    project.run_apart()
    project.write(edited(source, "replicates=40", "replicates=40, stopping=GroupSequential()"))
    project.raw("factor", "2")
    project.run_apart()
    result = project.run_apart("-v")
    assert 0 < hits(result) < 80
    assert "recomputed" not in result.stdout.str()


def test_damage_is_told(project):
    """A file that was cut off is not used, and -v says so."""
    project.write(experiment())
    project.run_apart()
    for path in packs(project):
        path.write_bytes(path.read_bytes()[:-9])
    result = project.run_apart("-v")
    result.stdout.fnmatch_lines([f"  recomputed: {FOREIGN}"])


FAILS_LATE = """
@pytest.fixture(scope="module")
def wide():
    yield
    if os.environ.get("FAILS"):
        raise ValueError("the teardown failed")
"""


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_withdrawn_runs_are_told(project, monkeypatch, workers):
    """Runs behind which a teardown failed are made again, and -v says why; once they are stored, nothing."""
    project.write(FAILS_LATE + experiment(arguments="rng, wide"))
    monkeypatch.setenv("FAILS", "1")
    project.run_apart(f"-n{workers}").assert_outcomes(passed=1, errors=1)
    monkeypatch.delenv("FAILS")
    result = project.run_apart("-v")
    assert hits(result) == 0
    result.stdout.fnmatch_lines([f"  recomputed: {WITHDRAWN}"])
    again = project.run_apart("-v")
    assert hits(again) == 10
    assert "recomputed" not in again.stdout.str()


MEMO = """
MEMO = {}

def look(n):
    if n not in MEMO:
        MEMO[n] = n
    return MEMO[n]
"""


def test_what_runs_of_another_experiment_fill_is_told_by_what_it_holds(project):
    """Nothing was edited, and -v doesn't sound as if it was."""
    of = {"lines": "look(replicate)", "arguments": "rng, replicate"}
    project.write(MEMO + experiment(**of) + experiment(**of, name="experiment_other"))
    project.ini("crystallize_cache_verify = 0\n")
    project.run_apart()
    result = project.run_apart("-v")
    assert (hits(result), hits(result, "other")) == (10, 0)
    result.stdout.fnmatch_lines(["  recomputed: what experiment_a.MEMO holds changed"])


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
