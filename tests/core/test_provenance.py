"""Versions and commits."""

import subprocess

from crystallize import Experiment, pipeline_step
from crystallize.core.provenance import git_commit, versions


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
