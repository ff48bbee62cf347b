"""The plugin that sends sessions to MLflow: what arrives, at a stand-in and at MLflow itself."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

TRACKER = Path(__file__).resolve().parents[3] / "example_suite" / "mlflow_tracker.py"

EXPERIMENT = """
@pytest.mark.experiment(
    replicates=6,
    treatments={"boost": {"delta": 9.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, delta=0.0):
    return {"total": rng.normal() + delta}
"""

STAND_IN = '''
import json
from types import SimpleNamespace as Named

class MlflowClient:
    """What the tracker uses of MLflow's, with runs in a file."""

    runs = {}

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return "0"

    def create_run(self, place, tags):
        run = str(len(self.runs))
        self.runs[run] = {"tags": dict(tags), "params": {}, "metrics": [], "artifacts": [], "ended": False}
        return Named(info=Named(run_id=run))

    def log_batch(self, run, metrics=(), params=(), tags=()):
        kept = self.runs[run]
        kept["params"].update(params)
        kept["tags"].update(tags)
        kept["metrics"] += [[key, value, step] for key, value, _, step in metrics]

    def log_artifact(self, run, path):
        self.runs[run]["artifacts"].append(path)

    def set_terminated(self, run):
        self.runs[run]["ended"] = True
        with open("sent.json", "w") as file:
            json.dump(list(self.runs.values()), file)
'''


@pytest.fixture
def tracked(project):
    """Write an experiment, and the plugin beside it."""
    project.write(EXPERIMENT)
    shutil.copy(TRACKER, project.path)
    project.pytester.syspathinsert()
    return project


def test_what_is_sent(tracked, monkeypatch):
    """A run of the session with its report; nested in it one of each condition, with its verdicts."""
    tracked.raw("mlflow/__init__.py", STAND_IN)
    tracked.raw(
        "mlflow/entities.py",
        "def Metric(key, value, timestamp, step):\n    return key, value, timestamp, step\n"
        "def Param(key, value):\n    return key, value\n"
        "RunTag = Param\n",
    )
    result = tracked.run("-p", "mlflow_tracker", "--crystallize-report=report.html")
    result.assert_outcomes(passed=1)
    session, baseline, boost = json.loads((tracked.path / "sent.json").read_text())
    assert session["tags"]["mlflow.runName"] == "1 of 1 hypothesis supported"
    assert session["artifacts"] == [str(tracked.path / "report.html")]
    assert all(run["ended"] for run in (session, baseline, boost))
    assert {run["tags"]["mlflow.parentRunId"] for run in (baseline, boost)} == {"0"}
    assert boost["params"]["delta"] == "9.0"
    assert "delta" not in baseline["params"]
    assert boost["tags"]["verdict total_increase"] == "supported"
    assert [step for key, _, step in baseline["metrics"] if key == "total"] == [*range(6)]
    assert {key for key, _, _ in boost["metrics"]} > {"total", "total_increase p", "total_increase low"}


def test_a_tracker_that_fails_changes_no_verdict(tracked):
    """The summary says so."""
    tracked.raw("mlflow/__init__.py", "def MlflowClient():\n    raise ConnectionError('nobody is there')\n")
    tracked.raw("mlflow/entities.py", "Metric = Param = RunTag = None\n")
    result = tracked.run("-p", "mlflow_tracker")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    told = " ".join(result.stdout.str().split())
    assert "pytest_crystallize_report raised ConnectionError: nobody is there" in told


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="takes mlflow: nox -s trackers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what MLflow itself uses
def test_mlflow_itself(tracked, monkeypatch):
    """In a database of its own, with workers."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked.path}/mlflow.db")
    result = tracked.run_apart("-n2", "-p", "mlflow_tracker", "--crystallize-report=report.html")
    result.assert_outcomes(passed=1)
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("crystallize").experiment_id])
    named = {run.info.run_name: run for run in runs}
    assert {*named} == {
        "1 of 1 hypothesis supported",
        "experiment_total [baseline]",
        "experiment_total [boost]",
    }
    boost = named["experiment_total [boost]"]
    assert boost.data.params["delta"] == "9.0"
    assert boost.data.tags["verdict total_increase"] == "supported"
    assert len(client.get_metric_history(boost.info.run_id, "total")) == 6
    (report,) = client.list_artifacts(named["1 of 1 hypothesis supported"].info.run_id)
    assert report.path == "report.html"
