"""The example suite: what it claims, and that its verdicts depend on nothing but its seeds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / "example_suite"


def run_suite(*arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["COLUMNS"] = "80"
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "--crystallize", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_is_collected():
    """Every file and both forms are found."""
    pytest.importorskip("sklearn")
    session = run_suite("--collect-only", "-q", "-p", "no:randomly", str(SUITE))
    assert session.returncode == 0, session.stdout + session.stderr
    found = [line for line in session.stdout.splitlines() if "::" in line]
    assert {line.split("::")[0] for line in found} == {path.name for path in SUITE.glob("experiment_*.py")}
    assert len(found) == 21


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), pytest.param(("-n2",), marks=pytest.mark.slow)], ids=["n0", "n2"])
def test_light_examples_are_supported(options):
    """The tutorial and the game give their verdicts, with workers and without, in 80 columns."""
    files = [str(SUITE / f"experiment_{name}.py") for name in ("tutorial", "social_deception")]
    session = run_suite(*options, *files)
    assert session.returncode == 0, session.stdout + session.stderr
    assert "9 passed" in session.stdout
    assert len(re.findall(r" SUPPORTED\*?$", session.stdout, re.MULTILINE)) == 9
    report = session.stdout.split(" experiments ")[1]
    assert max(map(len, report.splitlines()[1:])) <= 80


@pytest.mark.slow
def test_prompts_are_compared_without_a_call_the_second_time(tmp_path):
    """The model of the example is asked once; workers, and a later session, give the same verdicts."""
    pytest.importorskip("openai")
    copied = shutil.copytree(SUITE, tmp_path / "suite", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    first, again = (
        run_suite(n, "-p", "no:randomly", str(copied / "experiment_prompt.py")).stdout for n in ("-n0", "-n2")
    )
    assert "2 passed" in first
    assert "remote chat: 160 of 160 calls made, 0 saved" in first
    assert "remote chat: 0 of 160 calls made, 160 saved" in again
    rows = [re.findall(r"^    stepwise .*", said, re.MULTILINE) for said in (first, again)]
    assert rows[0] == rows[1] != []


@pytest.mark.slow
def test_digest_is_the_same_however_it_is_run():
    """One digest in one process, with workers, in random order, and through the library's processes."""
    pytest.importorskip("sklearn")
    workers = ["n0", "worksteal", "loadfile", "random-n2", "dask"]  # that of random order is of --dist=load
    library = ["serial", "thread", "process", "executor", "cluster"]
    script = ROOT / "benchmarks" / "same_digest.py"
    process = subprocess.run(
        [sys.executable, script, "--replicates", "5", "--only", *workers, *library],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "the same metrics and verdicts in every mode" in process.stdout
