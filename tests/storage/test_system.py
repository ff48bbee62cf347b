"""What operating systems do not share: asked for in one place, and missed by nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import crystallize

ROOT = Path(crystallize.__file__).parents[1]
ASKS = re.compile(
    r"sys\.platform|os\.name\b|hasattr\((?:os|signal), |getattr\(os, \"O_|"
    r"\b(?:fcntl|msvcrt|resource|termios)\b\.|os\.(?:fork\(|killpg|geteuid|O_NONBLOCK|sched_)"
)
PROGRAMS = {"pytest_crystallize/against/partner.py", "pytest_crystallize/against/program.py"} | {
    "pytest_crystallize/screen/supervisor.py"
}
"""Processes that end others of their group: a file of their own each, which loads nothing else."""


def test_one_module_asks_which_system_this_is():
    """Beside it only programs that are processes of their own do."""
    asking = {
        path.relative_to(ROOT).as_posix()
        for package in ("crystallize", "pytest_crystallize")
        for path in (ROOT / package).rglob("*.py")
        if ASKS.search(path.read_text(encoding="utf-8"))
    }
    assert asking - PROGRAMS == {"crystallize/storage/system.py"}


WITHOUT = r"""
import importlib, io, os, pkgutil, signal, sys, types

MISSING = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

# What others need to be loaded, before it is taken away.
import asyncio, concurrent.futures.process, ctypes, getpass, multiprocessing.pool, socket, subprocess
import tempfile
import hypothesis, numpy, pytest, scipy.special, xdist

for name in MISSING & {*sys.modules}:
    del sys.modules[name]
sys.meta_path.insert(0, Missing())
for name in "fork forkpty register_at_fork geteuid getuid killpg mkfifo sched_getaffinity".split():
    vars(os).pop(name, None)
for name in "O_NONBLOCK O_CLOEXEC O_NOCTTY O_NOFOLLOW O_DIRECTORY O_SYNC".split():
    vars(os).pop(name, None)
for name in "SIGKILL SIGHUP SIGUSR1 SIGALRM setitimer alarm pthread_kill".split():
    vars(signal).pop(name, None)
io._WindowsConsoleIO = type("_WindowsConsoleIO", (), {})  # pytest asks for it
sys.modules["msvcrt"] = types.SimpleNamespace(LK_LOCK=1, LK_NBLCK=2, LK_UNLCK=0, locking=lambda *given: None)
sys.platform = "win32"

for package in ("crystallize", "pytest_crystallize"):
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if found.name.rpartition(".")[2] != "__main__":
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:  # an extra
                assert error.name in ("rich", "textual"), found.name
plugins = ["-p", "no:randomly", "-p", "no:faulthandler", "-p", "no:xdist", "-p", "no:timeout"]
sys.exit(pytest.main(["--crystallize", *plugins, "experiment_a.py"]))
"""

EXPERIMENT = """
import pytest
from crystallize import Hypothesis

@pytest.mark.experiment(
    replicates=8,
    treatments={"boost": {"delta": 9.0}},
    hypotheses=[Hypothesis(metric="m", direction="increase")],
)
def experiment_a(rng, delta=0.0):
    return {"m": rng.normal() + delta}
"""


@pytest.mark.slow
def test_nothing_that_windows_lacks_is_needed(tmp_path, monkeypatch):
    """Every module can be imported, and an experiment is run and stored, without what only others have."""
    (tmp_path / "experiment_a.py").write_text(EXPERIMENT, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.delenv("CRYSTALLIZE_CACHE_SECRET", raising=False)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "16 runs from cache" in done.stdout
    assert (tmp_path / "crystallize" / "cache-secret").is_file()
