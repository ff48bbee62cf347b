"""What ``--crystallize-save`` writes, what it refuses to write, and what messages about references advise."""

import json
import re
import subprocess
import sys

import pytest

GATE = """
@pytest.mark.experiment(
    replicates={replicates},
    treatments={treatments},
    hypotheses=[
        Hypothesis(
            metric="accuracy", direction="no_decrease", margin=0.02, against=Reference("main"), name="no_worse"
        ),
        *{others},
    ],
    **{keywords},
)
def experiment_gate(rng, replicate, condition, shift=0.0):
    accuracy = 0.6 + shift + rng.normal(scale=0.03)
    {body}
    return {{"accuracy": accuracy}}
"""
DEFAULTS = {"replicates": 12, "treatments": {}, "others": [], "keywords": {}, "body": ""}
FILE = "references/main/experiment_a/experiment_gate.json"
SAVE = ("--crystallize-save", "main")


def git(project, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def gate(project, monkeypatch):
    """Return a function that writes the experiment; edited within a second, it is not taken from a cache."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project.ini("crystallize_cache = off")
    return lambda **changes: project.write(GATE.format(**{**DEFAULTS, **changes}))


@pytest.fixture
def saved(gate, project):
    """Record the experiment as it is by default, at a commit."""
    gate()
    git(project, "init", "-q")
    git(project, "add", "experiment_a.py")
    git(project, "commit", "-qm", "one")
    project.run("-q", *SAVE).assert_outcomes(skipped=1)
    return project.path / FILE


@pytest.mark.xfail(strict=True, reason="whatever ran is recorded")
@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("accuracy = float('nan')", "metric 'accuracy' is nan in replicate 0 of 'baseline'"),
        ("if replicate == 7: accuracy = -float('inf')", "'accuracy' is -inf in replicate 7 of 'baseline'"),
        ("if replicate == 7: accuracy = 'high'", "'accuracy' is 'high' in replicate 7 of 'baseline', not a*"),
        ("if replicate == 7: accuracy = None", "'accuracy' is None in replicate 7 of 'baseline'"),
        ("if replicate == 7: return {}", "'accuracy' is missing in replicate 7 of 'baseline'"),
    ],
    ids=["nan", "infinite", "text", "None", "missing"],
)
def test_a_claimed_metric_that_is_no_number_is_not_recorded(project, gate, saved, workers, body, fault):
    """Nothing is: the session fails, and the file stays as it was."""
    before = saved.read_bytes()
    gate(body=body)
    result = project.run(*SAVE) if workers == "0" else project.run_workers(*SAVE)
    assert result.ret == 1
    assert f"NOT SAVED: experiment_gate: {fault}".rstrip("*") in " ".join(result.stdout.str().split())
    assert saved.read_bytes() == before


@pytest.mark.xfail(strict=True, reason="what compares advises to record what does harm")
def test_advice_records_no_harm(project, gate, saved):
    """Where today's replicates are others, the reference's commit, date and replicates are named."""
    before, commit = saved.read_bytes(), git(project, "rev-parse", "HEAD")
    gate(replicates=20, body="accuracy -= 0.2")
    result = project.run()
    result.assert_outcomes(failed=1)
    told = " ".join(result.stdout.str().split())
    assert re.search(
        r"INVALID: reference 'main' was recorded with 12 replicates of root seed 0 at commit "
        rf"{commit[:12]} on \d{{4}}-\d\d-\d\d",
        told,
    )
    assert "to compare, record 20 replicates at that commit" in told
    assert "pytest --crystallize" not in told
    for line in result.stdout.lines:
        assert "--crystallize-save" not in line or commit[:12] in told
    assert saved.read_bytes() == before
    assert json.loads(before)
