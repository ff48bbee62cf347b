"""Times against a reference: the machine they were taken on, and what seeds do not pair."""

import json
import sys

import pytest

TIMES = """
@pytest.mark.experiment(
    replicates=12,
    hypotheses=[
        Hypothesis(
            metric="seconds", direction="no_increase", margin=0.1, relative=True, name="no_slower",
            against=Reference("main"{other}), **{claim},
        )
    ],
    **{keywords},
)
def experiment_times(rng, ctx):
    ctx.metrics.add("seconds", (1.0 + 0.01 * rng.random()) * {factor}, measured=True)
"""
FILE = "references/main/experiment_a/experiment_times.json"


@pytest.fixture
def times(project, monkeypatch):
    """Return a function that writes the experiment."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(factor=1.0, other="", claim=None, keywords=None):
        project.write(TIMES.format(factor=factor, other=other, claim=claim or {}, keywords=keywords or {}))

    return write


def elsewhere(project):
    """Have the reference be of another machine."""
    path = project.path / FILE
    data = json.loads(path.read_text(encoding="utf-8"))
    for recording in data["recordings"]:
        recording["machine"]["processor"] = "Abacus 3000"
    path.write_text(json.dumps(data), encoding="utf-8")


def verdicts(project, *options):
    """Return what is reported of every test."""
    project.run("--crystallize-report=r.json", *options)
    report = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    return [test["verdict"] for each in report["experiments"] for test in each["tests"]]


@pytest.mark.xfail(strict=True, reason="times are paired by seed, wherever they were taken")
@pytest.mark.parametrize(("factor", "status"), [(1.02, "supported"), (2.0, "refuted")])
def test_times_are_compared_on_their_machine(project, times, factor, status):
    """As of two sessions, which no seed pairs; on another machine not at all."""
    times()
    project.run("-q", "--crystallize-save", "main")
    times(factor)
    (found,) = verdicts(project)
    assert found["status"] == status
    assert "paired" not in found["test"]
    assert found["population"] == "runs of two sessions"
    assert "times of another session" in found["caveat"]
    assert "seeds do not pair them" in found["caveat"]
    elsewhere(project)
    (found,) = verdicts(project)
    assert found["status"] == "invalid"
    assert "processor 'Abacus 3000' there" in found["reason"]
