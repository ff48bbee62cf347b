"""Annotations in jobs of GitHub Actions."""

import re
from pathlib import Path

import pytest

from plugin.conftest import total
from pytest_crystallize.report.annotations import annotation

FAILING = total(treatments={"good": {"delta": 3.0}, "100%: a,b": {"delta": -3.0}})


@pytest.fixture
def job(project, monkeypatch):
    """Run as a job of GitHub Actions, in a repository above the project."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    return project


def annotations(result):
    return [line for line in result.outlines if line.startswith("::")]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_failed_hypotheses_are_annotated_at_their_experiment(job, workers):
    """One line each, escaped, with the path from the repository's root; what passed is not annotated."""
    path = job.write(FAILING)
    result = (job.run_workers if workers else job.run)("-q")
    (line,) = annotations(result)
    found = re.fullmatch(r"::error file=(.*),line=(\d+),title=(.*)::(.*)", line)
    assert found is not None, line
    file, number, title, message = found.groups()
    assert file == f"{job.path.name}/experiment_a.py"
    source = path.read_text().splitlines()
    assert source[int(number) - 1].startswith(("@pytest.mark.experiment", "def experiment_total"))
    assert title == "REFUTED%3A experiment_total%3A%3Atotal_increase[100%25%3A a%2Cb]"
    assert message.startswith("total goes the other way: difference -")


def test_what_ran_into_an_error_is_annotated(job):
    """Evidence that is missing is a failure too; an expected one is none."""
    job.write(
        """
        @pytest.mark.experiment(
            replicates=6,
            treatments={"t": {"x": 1.0}},
            hypotheses=[
                Hypothesis(metric="m", direction="increase"),
                pytest.param(Hypothesis(metric="n", direction="increase"), marks=pytest.mark.xfail),
            ],
        )
        def experiment_e(rng, x=0.0):
            return {"m": float("nan"), "n": rng.normal() - x}

        def test_ordinary():
            assert False
        """
    )
    (line,) = annotations(job.run())
    assert "title=INVALID%3A experiment_e%3A%3Am_increase[t]::metric 'm' is nan in replicate 0" in line


@pytest.mark.parametrize("value", ["", "false", None])
def test_elsewhere_nothing_is_annotated(project, monkeypatch, value):
    """Only GitHub reads such lines."""
    if value is not None:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    project.write(FAILING)
    assert annotations(project.run()) == []


@pytest.mark.slow
def test_nothing_is_annotated_twice(job):
    """The plugin for annotations of all failures annotates these too."""
    job.raw("pytest_github_actions_annotate_failures.py", "")
    job.write(FAILING)
    result = job.run_apart("-p", "pytest_github_actions_annotate_failures")
    assert annotations(result) == []
    result.assert_outcomes(passed=1, failed=1)


def test_files_outside_the_repository_keep_their_whole_path(monkeypatch, tmp_path):
    """Where there is no way from the repository's root."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "repository"))
    line = annotation(tmp_path / "other" / "a.py", 3, title="t", message="a\nb\r%")
    assert line == f"::error file={Path(tmp_path / 'other' / 'a.py').as_posix()},line=3,title=t::a%0Ab\\r%25"
