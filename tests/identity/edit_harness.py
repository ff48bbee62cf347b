"""Judges one edit of a project in fresh processes: a warm session against a cold one."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crystallize.identity.audit import unheard

ROOT = Path(__file__).parents[2]


class Link(str):
    """The target of a symbolic link."""

    __slots__ = ()


Content = str | bytes | Link | None
"""What a file is to hold; None if it is to be removed."""


@dataclass(frozen=True)
class Case:
    """A project, and an edit of it.

    Attributes
    ----------
    kind, name : str
        What the edit is an instance of, and what it is.
    before, after : mapping
        Path of each file -> its text; None in `after` for one that is removed.
    options : tuple of two tuples
        Further options of Python, before and after.
    variables : tuple of two mappings
        Environment variables, before and after.
    unseen : bool
        Whether the guide says that such edits are not seen.
    same_times : bool
        Whether files keep their times.
    """

    kind: str
    name: str
    before: dict[str, Content]
    after: dict[str, Content]
    options: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    variables: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))
    unseen: bool = False
    same_times: bool = False


EXPERIMENT = """
import pytest
{imports}

@pytest.mark.experiment(replicates=2, treatments={{"t": {{"delta": 1.0}}}}{mark})
def experiment_a(rng, delta=0.0{arguments}):
    return {{"y": float({value}), "z": rng.normal() + delta}}
"""


def experiment(value: str, imports: str = "", mark: str = "", arguments: str = "") -> str:
    """Return an experiment one of whose metrics is an expression."""
    return EXPERIMENT.format(value=value, imports=imports, mark=mark, arguments=arguments)


def write(directory: Path, contents: dict[str, Content], *, same_times: bool = False) -> None:
    """Write or remove files, unheard: sessions are forks of this process, which has not made them."""
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat() if same_times else None
        if content is None or isinstance(content, Link):
            path.unlink(missing_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content)
        elif content is not None:
            with unheard():
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        if before is not None:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


PLUGIN = "pytest_crystallize.plugin"
LOADED = (
    "crystallize.experiment.experiment",
    "crystallize.run.stored_runs",
    "pytest_crystallize.session.activation",
    "pytest_crystallize.records.record_cache",
    "pytest_crystallize.session.publisher",
    PLUGIN,
)
OPTIONS = ["--disable-plugin-autoload", "-p", PLUGIN, "--crystallize", "-v", "-W", "ignore"]
OPTIONS += ["-o", "crystallize_cache_verify=0"]


def session(directory: Path, case: Case, behind: bool, *args: str) -> tuple[str, str]:
    """Return what a session in a process of its own says of verdicts and digests, and all that it says."""
    arguments = [*OPTIONS, *args, "."]
    variables = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), **case.variables[behind]}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    if any(case.options) or any(case.variables):
        command = [sys.executable, *case.options[behind], "-m", "pytest", *arguments]
        done = subprocess.run(
            command, cwd=directory, env=kept | variables, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
    else:
        said = forked(directory, kept | variables, arguments)
    found = re.findall(r"digest .*|\d+ (?:failed|errors?)\b|SUPPORTED|REFUTED|INVALID", said)
    if not any(line.startswith("digest") for line in found):
        raise AssertionError(f"{case.kind}, {case.name}: no digest\n{said}")
    return "\n".join(found), said


def forked(directory: Path, environ: dict[str, str], arguments: list[str]) -> str:
    """Return the output of a session in a fork of this process, which has loaded what all sessions load."""
    for name in ("numpy", *LOADED):
        importlib.import_module(name)
    with tempfile.TemporaryFile() as output:
        process = os.fork()
        if process == 0:
            try:
                signal.alarm(120)
                os.chdir(directory)
                os.environ.clear()
                os.environ.update(environ)
                sys.path.insert(0, str(directory))
                sys.dont_write_bytecode = True
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
                pytest.main(arguments)
                sys.stdout.flush()
            finally:
                os._exit(0)
        os.waitpid(process, 0)
        output.seek(0)
        return output.read().decode(errors="replace")


@dataclass(frozen=True)
class Judged:
    """Outcome of a case.

    Attributes
    ----------
    case : Case
        The case.
    stale : bool
        Whether stored runs were stale.
    changed : bool
        Whether the edit changed anything.
    stored : bool
        Whether runs were stored at all: if not, none can be stale.
    """

    case: Case
    stale: bool
    changed: bool
    stored: bool


NOT_STORED = re.compile(r"run each time|not stored|nothing of it is stored")


def judge(case: Case, directory: Path) -> Judged:
    """Store runs, edit, and compare a warm session with a cold one."""
    directory.mkdir()
    write(directory, {"pytest.ini": "[pytest]\npythonpath = .\n", **case.before})
    before, said = session(directory, case, False)
    write(directory, case.after, same_times=case.same_times)
    warm, _ = session(directory, case, True)
    cold, _ = session(directory, case, True, "--crystallize-cache=off")
    return Judged(case, warm != cold, before != cold, NOT_STORED.search(said) is None)
