"""Small projects with experiments, and pytest run on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

PRELUDE = "import os, random, sys, warnings\nimport numpy as np\nimport pytest\nfrom crystallize import *\n"


def mark(above: str = "", *, direction: str = "increase", **declared: Any) -> str:
    """Return the mark of an experiment whose only hypothesis is supported, if its body is `BODY`.

    Parameters
    ----------
    above : str
        Lines above it, of other marks or of what it needs.
    direction : str
        Of the hypothesis.
    **declared
        Keywords of the mark, in place of these or further ones; a text is code, and stands as it is.
    """
    keywords = {
        "replicates": 6,
        "treatments": '{"boost": {"delta": 3.0}}',
        "hypotheses": f'[Hypothesis(metric="total", direction="{direction}")]',
    }
    lines = [f"    {name}={value},\n" for name, value in {**keywords, **declared}.items()]
    return "\n" + (above and f"{above}\n") + f"@pytest.mark.experiment(\n{''.join(lines)})\n"


VALUE = "rng.normal() + delta * rng.uniform(0.5, 1.5)"


def body(
    name: str = "experiment_total", *, arguments: str = "rng", lines: str = "", value: str = VALUE
) -> str:
    """Return the function of an experiment; lines of its own come before it returns."""
    lines = textwrap.indent(lines and f"{lines}\n", "    ")
    return f'\ndef {name}({arguments}, delta=0.0):\n{lines}    return {{"total": {value}}}\n'


def total(above: str = "", *, name: str = "experiment_total", **changes: Any) -> str:
    """Return an experiment whose only hypothesis is supported, but for what is changed of it.

    Parameters
    ----------
    above, name : str
        As those of `mark` and `body`, whose keywords are taken, too.
    """
    inside = {key: changes.pop(key) for key in ("arguments", "lines", "value") if key in changes}
    return mark(above, **changes) + body(name, **inside)


MARK, BODY, TOTAL = mark(), body(), total()
"""The mark, the function, and both: an experiment whose only hypothesis is supported."""


def edited(source: str, old: str, new: str) -> str:
    """Return a program behind an edit of a part that it has."""
    assert old in source
    return source.replace(old, new)


HANGS = 300.0
"""Seconds, many times what any session takes that does not hang."""

ITEM = "experiment_a.py::experiment_total::total_increase[boost]"
"""Node id of its only test."""

RERUNS = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for last in (False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = not last and any(report.failed for report in reports)
        for report in reports:
            if again and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not again:
            return True
"""
"""A conftest that has what failed run again, once, as pytest-rerunfailures does."""


@dataclass
class Project:
    """A directory with experiments, on which pytest is run.

    Attributes
    ----------
    pytester : pytest.Pytester
        Of the test.
    """

    pytester: pytest.Pytester

    @property
    def path(self) -> Path:
        """The directory."""
        return self.pytester.path

    def write(self, source: str, name: str = "experiment_a.py") -> Path:
        """Write a file of experiments; names from crystallize, numpy and pytest are imported in it."""
        return self.raw(name, PRELUDE + textwrap.dedent(source))

    def raw(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat() if path.exists() else None
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        if before:  # size and second are what tells Python that bytecode is not of this text
            os.utime(path, (before.st_atime + 1, before.st_mtime + 1))
        return path

    def ini(self, text: str) -> Path:
        """Write lines of the section ``[pytest]`` of an ini file."""
        return self.raw("pytest.ini", "[pytest]\n" + textwrap.dedent(text))

    def run(self, *args: str, **options: Any) -> pytest.RunResult:
        """Run pytest with --crystallize in this process, without random order."""
        return self.pytester.runpytest_inprocess("--crystallize", "-p", "no:randomly", *args, **options)

    def run_plain(self, *args: str) -> pytest.RunResult:
        """Run pytest in this process as it is."""
        return self.pytester.runpytest_inprocess(*args)

    def run_apart(self, *args: str, timeout: float = HANGS) -> pytest.RunResult:
        """Run pytest with --crystallize in a process of its own, which is killed if it hangs."""
        return self.pytester.runpytest_subprocess(
            "--crystallize", "-p", "no:randomly", *args, timeout=timeout
        )

    def run_workers(self, *args: str, n: int = 2, timeout: float = HANGS) -> pytest.RunResult:
        """Run pytest with --crystallize on workers of pytest-xdist."""
        return self.run_apart(f"-n{n}", *args, timeout=timeout)

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        """Start pytest with --crystallize in a session of processes of its own."""
        command = [sys.executable, "-m", "pytest", "--crystallize", "-p", "no:randomly", *args]
        return subprocess.Popen(
            command,
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )

    def git(self, *arguments: str) -> str:
        """Run git in the directory, and return what it printed."""
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def log(self, name: str = "log") -> list[Any]:
        """Return the JSON values that experiments have written to a file, a line each."""
        path = self.path / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def json(self, name: str) -> Any:
        """Return what a file of JSON holds."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def cases(self, name: str = "junit.xml") -> dict[str, ElementTree.Element]:
        """Return the test cases of a JUnit report by name; two of one name are an error."""
        cases = list(ElementTree.parse(self.path / name).iter("testcase"))
        by_name = {case.get("name", ""): case for case in cases}
        assert len(by_name) == len(cases)
        return by_name


def properties(case: ElementTree.Element) -> dict[str, str]:
    """Return the properties of a JUnit test case."""
    return {entry.get("name", ""): entry.get("value", "") for entry in case.iter("property")}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return an empty project."""
    monkeypatch.setenv("COLUMNS", "80")
    # none of an earlier text is run by the next session, if both are of one size and second
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Project(pytester)
