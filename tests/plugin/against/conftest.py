"""Projects in a git repository, compared with another of their commits."""

import json
import subprocess
import sys

import pytest

PACKAGE = "LOSS, SECONDS = 0.0, 0.002\n"


class Repository:
    """Project with a package, of which one commit is tagged ``v1``."""

    def __init__(self, project):
        self.project = project
        self.path = project.path
        project.raw(
            ".gitignore",
            ".pytest_cache\n__pycache__\n*.egg-info\ngenerated.py\nr.json\nran\nstd*\nrunpytest-*\n",
        )
        project.ini("pythonpath = src\n")
        self.package(PACKAGE)
        project.git("init", "-q", "-b", "main")

    def package(self, text, name="pkg/__init__.py"):
        """Write a module below ``src``."""
        return self.project.raw(f"src/{name}", text)

    def commit(self, tag=None):
        """Commit all that is there."""
        self.project.git("add", "-A")
        self.project.git("commit", "-qm", "as it is")
        if tag is not None:
            self.project.git("tag", tag)

    def compare(self, *options, apart=False):
        """Compare with ``v1``; return the verdicts by test, with the result."""
        args = ("-p", "no:randomly", "--crystallize-against=v1", "--crystallize-report=r.json")
        run = self.project.pytester.runpytest_subprocess if apart else self.project.run_plain
        result = run(*args, *options)
        return self.verdicts(), result

    def verdicts(self):
        """Return the verdicts that the report tells, by the last part of the name of the test."""
        report = self.project.path / "r.json"
        if not report.exists():
            return {}
        data = json.loads(report.read_text(encoding="utf-8"))
        report.unlink()
        tests = [test for each in data["experiments"] for test in each["tests"]]
        return {test["test"].partition("::")[2]: test["verdict"] for test in tests}

    def state(self):
        """Return what of the user's git knows: what is changed, staged, stashed, and the branches."""
        seen = (("status", "--porcelain"), ("stash", "list"), ("branch", "-v"), ("diff",))
        return [self.project.git(*arguments) for arguments in seen]


@pytest.fixture
def repository(project, monkeypatch):
    """Return a project with a package in a repository."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
        monkeypatch.delitem(sys.modules, name)
    return Repository(project)


def leftovers(marker):
    """Return the processes whose command line or environment has a text."""
    found = subprocess.run(["ps", "axeww", "-o", "pid,command"], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if marker in line and "ps axeww" not in line]
