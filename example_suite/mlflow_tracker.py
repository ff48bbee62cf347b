"""Sends what a session gave to MLflow; a plugin of a hundred lines, to be copied and changed.

``pytest --crystallize -p mlflow_tracker`` loads it, as does ``pytest_plugins = ["mlflow_tracker"]`` in the
topmost conftest.py. Where things go, MLflow's own variables say, as in
``MLFLOW_TRACKING_URI=sqlite:///mlflow.db``.

One run stands for the session, and holds its reports. Nested in it, each condition of an experiment has one:
its parameters are what it read of its context, a metric's value at step i is that of replicate i, and its
verdicts are tags and metrics. For another tracker, change `Tracker.send` and `Tracker.upload`.
"""

from __future__ import annotations

import math
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

if TYPE_CHECKING:
    from crystallize import RunRecord
    from pytest_crystallize.results import ExperimentResults, SessionResults

EXPERIMENT = "crystallize"
AT_ONCE = 1000
"""How many metrics MLflow takes at once."""


class Tracker:
    """What implements the hooks; pytest calls them in the controlling process, with or without workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.parameters: dict[tuple[str, str], dict[str, Any]] = {}
        self.session: str | None = None

    @cached_property
    def client(self) -> MlflowClient:
        """The connection, made when there is something to be sent: what fails then is told in the summary."""
        return MlflowClient()

    def pytest_crystallize_record(self, experiment: str, record: RunRecord) -> None:
        """Learn from one run of each condition what it read."""
        if (experiment, record.condition) not in self.parameters:
            read = {key: value for scope in record.scopes for key, value in scope.reads.items()}
            self.parameters[experiment, record.condition] = read

    def pytest_crystallize_report(self, results: SessionResults) -> None:
        """Send everything once the session is over."""
        known = self.client.get_experiment_by_name(EXPERIMENT)
        place = known.experiment_id if known else self.client.create_experiment(EXPERIMENT)
        headline = ": ".join(filter(None, results.headline()))
        tags = {"mlflow.runName": headline, "commit": results.commit or "unknown"}
        self.session = self.client.create_run(place, tags=tags).info.run_id
        self.send(self.session, params={"arguments": " ".join(results.arguments), **results.versions})
        for experiment in results.experiments:
            for condition in experiment.conditions:
                name = f"{experiment.name} [{condition}]"
                run = self.client.create_run(
                    place, tags={"mlflow.runName": name, "mlflow.parentRunId": self.session}
                )
                self.send(run.info.run_id, **self.condition(experiment, condition))
                self.client.set_terminated(run.info.run_id)

    def condition(self, experiment: ExperimentResults, condition: str) -> dict[str, Any]:
        """Return what is sent of a condition."""
        params = {"experiment": experiment.id, "condition": condition, "root seed": experiment.seed}
        params |= self.parameters.get((experiment.id, condition), {})
        metrics = [
            (metric, value, replicate)
            for metric, arms in experiment.samples.items()
            for replicate, value in enumerate(arms.get(condition, ()))
        ]
        tags = {"digest": experiment.digests.get(condition, "")}
        for test in experiment.tests:
            if test.verdict is None or test.treatment != condition:
                continue
            tags[f"verdict {test.hypothesis}"] = test.verdict.status
            tags[f"reason {test.hypothesis}"] = test.verdict.reason or "none"
            low, high = test.verdict.interval or (None, None)
            found = {
                "p": test.verdict.p_value,
                "difference": test.verdict.difference,
                "low": low,
                "high": high,
            }
            metrics += [(f"{test.hypothesis} {key}", value, 0) for key, value in found.items()]
        return {"params": params, "metrics": metrics, "tags": tags}

    def send(self, run: str, *, params: Any = (), metrics: Any = (), tags: Any = ()) -> None:
        """Send to a run of MLflow what it has room for; numbers that are not finite are left out."""
        now = int(time.time() * 1000)
        sent = [
            Metric(key.replace("[", "(").replace("]", ")"), float(value), now, step)
            for key, value, step in metrics
            if isinstance(value, int | float) and math.isfinite(value)
        ]
        texts = [Param(key, str(value)[:6000]) for key, value in dict(params).items()]
        marks = [RunTag(key, str(value)[:5000]) for key, value in dict(tags).items()]
        self.client.log_batch(run, params=texts, tags=marks)
        for start in range(0, len(sent), AT_ONCE):
            self.client.log_batch(run, metrics=sent[start : start + AT_ONCE])

    def upload(self, path: Path) -> None:
        """Add a report to the run of the session."""
        self.client.log_artifact(self.session, str(path))

    def pytest_unconfigure(self) -> None:
        """Add the reports, which are written by now, and close the run of the session."""
        if self.session is None:
            return
        for path in self.config.option.crystallize_report:
            if (self.config.invocation_params.dir / path).exists():
                self.upload(self.config.invocation_params.dir / path)
        self.client.set_terminated(self.session)


def pytest_configure(config: pytest.Config) -> None:
    """Send nothing but what experiments gave, and from one process."""
    if config.option.crystallize and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Tracker(config), "mlflow-tracker")
