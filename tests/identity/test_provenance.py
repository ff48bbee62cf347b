"""Versions and commits."""

import subprocess

from crystallize import Experiment, pipeline_step
from crystallize.identity.provenance import (
    Machine,
    commit_and_changes,
    git_commit,
    has_changes,
    machine,
    versions,
)


def test_versions_are_those_installed():
    """What is not installed is said to be unknown."""
    import numpy as np

    assert versions()["numpy"] == np.__version__
    assert all(versions().values())


def test_outside_of_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    """Neither in one without commits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with git_commit() as commit:
        assert commit() is None
    subprocess.run(["git", "init", "-q"], check=True)
    with git_commit() as commit:
        assert commit() is None


def test_the_commit_is_that_of_the_beginning(tmp_path, monkeypatch):
    """It is asked for before the run, since that is the code which runs."""
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    with git_commit() as commit:
        assert commit() == head.stdout.strip()
        assert commit() == head.stdout.strip()


def test_a_result_knows_its_commit(tmp_path, monkeypatch):
    """Whether it comes from a run, or from looking at one replicate."""
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)

    @pipeline_step()
    def nothing(data, ctx):
        return data

    experiment = Experiment(0, [nothing])
    for result in (experiment.run(), experiment.debug()):
        assert result.provenance["git_commit"] == head.stdout.strip()


def test_without_git_there_is_no_commit(monkeypatch):
    """It is no failure."""
    monkeypatch.setenv("PATH", "")
    with git_commit() as commit:
        assert commit() is None


def test_changes_are_those_of_the_code(tmp_path, monkeypatch):
    """Tracked files and new Python files count; references, and other new files, do not."""
    assert has_changes(tmp_path / "none") is None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert has_changes() is None
    assert commit_and_changes() == (None, None)
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for name in ("a.txt", "references/main/a.json", "deep/references/main/b.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "m"]):
        subprocess.run(["git", *command], check=True)
    (tmp_path / "new.txt").write_text("1")
    for name in ("references/main/a.json", "deep/references/main/b.json"):
        (tmp_path / name).write_text("2")
    assert has_changes() is has_changes(tmp_path / "deep") is False
    commit, changed = commit_and_changes(tmp_path / "deep")
    assert len(commit or "") == 40
    assert changed is False
    (tmp_path / "deep" / "new.py").write_text("1")
    assert has_changes() is True
    (tmp_path / "deep" / "new.py").unlink()
    (tmp_path / "a.txt").write_text("2")
    assert has_changes(tmp_path / "deep") is True


def test_machines_are_told_apart():
    """By processor, cores and Python; this one has all of them."""
    here = machine()
    assert here.processor
    assert here.cores >= 1
    assert here.differences(here) == ""
    other = Machine("Abacus", here.cores, "CPython 2.7")
    of_processor, of_python = other.differences(here).split(" here, ")
    assert of_processor == f"processor 'Abacus' there, {here.processor!r}"
    assert of_python == f"python 'CPython 2.7' there, {here.python!r} here"
