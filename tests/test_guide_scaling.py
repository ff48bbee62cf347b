"""The guide to scaling shows a session on a cluster; this runs it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
ADDRESS = "tcp://127.0.0.1:8786"

pytestmark = pytest.mark.slow


@pytest.fixture
def blocks(tmp_path):
    """Write the page's file of experiments; return its script, its commands and what it shows."""
    module, script = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown, refusal = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert "has other code than the process that sends it units of" in refusal
    (tmp_path / "experiment_walk.py").write_text(module, encoding="utf-8")
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    return [line.removeprefix("$ ") for line in commands.splitlines()], shown


def run(directory, *command, address):
    """Run a command of the page on a cluster of the test's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-P", *(part.replace(ADDRESS, address) for part in command)],
        cwd=directory,
        env=kept | {"COLUMNS": "80", "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_session_prints_what_the_page_shows(blocks, tmp_path, start_cluster):
    """Every line, but for addresses and times."""
    commands, shown = blocks
    program, *arguments = shlex.split(commands[-1])
    assert program == "pytest"
    address = start_cluster().address
    done = run(tmp_path, "-m", "pytest", "-p", "no:randomly", *arguments, address=address)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.sub(r"\d+\.\d\d s", "_ s", done.stdout.replace(address, ADDRESS)).splitlines()
    missing = [line for line in re.sub(r"\d+\.\d\d s", "_ s", shown).splitlines() if line not in printed]
    assert not missing, done.stdout


@pytest.mark.parametrize("kind", ["scheduler", "worker"])
def test_the_commands_take_the_options_shown(blocks, kind):
    """Dask's own command line has them."""
    commands, _ = blocks
    (command,) = (command for command in commands if command.startswith(f"dask {kind} "))
    told = run(".", "-m", "dask", kind, "--help", address="")
    for option in re.findall(r"--\w+", command):
        assert option in told.stdout


def test_the_script_runs_on_the_cluster(blocks, tmp_path, start_cluster):
    """With the module that it uploads."""
    address = start_cluster().address
    script = tmp_path / "script.py"
    script.write_text(script.read_text().replace(ADDRESS, address))
    done = run(tmp_path, str(script), address=address)
    assert (done.returncode, done.stdout) == (0, "supported\n"), done.stderr
