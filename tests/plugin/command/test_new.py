"""`crystallize new`."""

import pytest

from pytest_crystallize.command.main import main
from pytest_crystallize.command.new import WORKFLOW


def test_the_experiment_runs_as_it_stands(project, monkeypatch, capsys):
    """And its claim is supported; a second one leaves the workflow alone."""
    monkeypatch.chdir(project.path)
    assert main(["new", "queue"]) == 0
    assert "pytest --crystallize experiment_queue.py" in capsys.readouterr().out
    result = project.run("-W", "error")
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    workflow = (project.path / WORKFLOW).read_text()
    assert "pytest --crystallize" in workflow
    (project.path / WORKFLOW).write_text("mine")
    assert main(["new", "experiment_other"]) == 0
    assert (project.path / WORKFLOW).read_text() == "mine"
    assert (project.path / "experiment_other.py").exists()


@pytest.mark.parametrize("name", ["Queue", "a-b", "../a", "", "experiment_", "a b", "é"])
def test_names_that_are_none_are_refused(tmp_path, monkeypatch, capsys, name):
    """They would be no name of a function, or of a file elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert "is no name of an experiment" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys):
    """The experiment that is there stays."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment_a.py").write_text("mine")
    assert main(["new", "a"]) == 2
    assert "experiment_a.py is there already" in capsys.readouterr().err
    assert (tmp_path / "experiment_a.py").read_text() == "mine"
