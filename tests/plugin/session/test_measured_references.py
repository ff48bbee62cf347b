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
            against=Reference("main"{other}), **dict({claim}),
        )
    ],
    **dict({keywords}),
)
def experiment_times(rng, ctx):
    ctx.metrics.add("seconds", (1.0 + 0.01 * rng.random()) * {factor}, measured=True)
"""
FILE = "references/main/experiment_a/experiment_times.json"


@pytest.fixture
def times(project, monkeypatch):
    """Return a function that writes the experiment."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(factor=1.0, other="", claim="", keywords=""):
        project.write(TIMES.format(factor=factor, other=other, claim=claim, keywords=keywords))

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


@pytest.mark.slow
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
    assert "measured in another session" in found["caveat"]
    assert "seeds do not pair" in found["caveat"]
    elsewhere(project)
    (found,) = verdicts(project)
    assert found["status"] == "invalid"
    assert "processor 'Abacus 3000' there" in found["reason"]


def test_other_machines_may_be_allowed(project, times):
    """Where the change that is sought is larger than what machines differ by; the verdict says it."""
    times(other=", other_machines='allow'")
    project.run("-q", "--crystallize-save", "main")
    elsewhere(project)
    (found,) = verdicts(project)
    assert found["status"] == "supported"
    assert "measured in another session, on another machine" in found["caveat"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claim", "keywords", "reason"),
    [
        ("pairing='none'", "", ""),
        ("pairing='intersect'", "", ""),
        ("", "stopping=GroupSequential()", ""),
        ("statistical_test=PairedTTest()", "", "needs pairs, and values measured in two sessions are none"),
        ("", "resampled=0.5", "needs pairs, and values measured in two sessions are none"),
    ],
    ids=["unpaired", "shared seeds", "looks", "paired test", "resplits"],
)
def test_no_way_of_asking_pairs_times_of_two_sessions(project, times, claim, keywords, reason):
    """What can be tested without pairs is; what can't is invalid."""
    times(claim=claim, keywords=keywords)
    project.run("-q", "--crystallize-save", "main")
    (found,) = verdicts(project)
    assert found["status"] == ("invalid" if reason else "supported")
    assert reason in found["reason"]
    elsewhere(project)
    (found,) = verdicts(project)
    assert "on another machine" in found["reason"]


def test_runs_on_a_cluster_have_no_machine(project, times):
    """A reference that does not say which it was, is of another one."""
    times()
    project.run("-q", "--crystallize-save", "main")
    path = project.path / FILE
    data = json.loads(path.read_text(encoding="utf-8"))
    data["recordings"][0]["machine"] = None
    path.write_text(json.dumps(data), encoding="utf-8")
    (found,) = verdicts(project)
    assert found["status"] == "invalid"
    assert "on machines that nobody knows" in found["reason"]


@pytest.mark.slow
def test_a_verifier_of_times_is_asked_on_their_machine_alone(project):
    """It may read any metric, or every one."""
    project.write(
        """
        @verifier
        def shorter(baseline, treatment):
            return {"p_value": 0.001, "significant": True}

        @pytest.mark.experiment(
            replicates=3,
            hypotheses=[
                Hypothesis(shorter(), metrics, name=str(metrics), against=Reference("main"))
                for metrics in (None, ["seconds"], ["steps"])
            ],
        )
        def experiment_times(ctx):
            ctx.metrics.add("seconds", 1.0, measured=True)
            return {"steps": 3}
        """
    )
    project.run("-q", "--crystallize-save", "main")
    assert [found["status"] for found in verdicts(project)] == ["supported"] * 3
    elsewhere(project)
    assert [found["status"] for found in verdicts(project)] == ["invalid", "invalid", "supported"]
