"""The benchmarks that no other test runs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_engines_give_one_digest_within_their_memory():
    """A small number of replicates, serial, on Dask and under pytest on Dask."""
    pytest.importorskip("distributed")
    process = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "engines.py", "--only", "memory", "--replicates", "300"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.endswith("within the bounds\n")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_simulation_finds_the_tests_as_they_are_said_to_be():
    """Few repetitions, with bounds as wide as that asks for, pass every check, in 110 columns."""
    process = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "statistics_simulation.py", "--quick"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stderr == ""
    lines = process.stdout.splitlines()
    assert max(map(len, lines)) <= 110
    assert not any(line.startswith("NOT OK") for line in lines)
    assert sum(line.startswith("ok ") for line in lines) >= 80
