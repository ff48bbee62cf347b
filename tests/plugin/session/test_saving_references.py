"""What ``--crystallize-save`` writes, what it refuses to write, and what messages about references advise."""

import json
import re
import sys

import pytest

from plugin.conftest import edited

GATE = """
@pytest.mark.experiment(
    replicates={replicates},
    treatments={treatments},
    hypotheses=[
        Hypothesis(
            metric="accuracy", direction="no_decrease", margin=0.02, name="no_worse",
            against=Reference("main"),
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
    project.git("init", "-q")
    project.git("add", "experiment_a.py")
    project.git("commit", "-qm", "one")
    project.run("-q", *SAVE).assert_outcomes(skipped=1)
    return project.path / FILE


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("accuracy = float('nan')", "metric 'accuracy' is nan in replicate 0 of 'baseline'"),
        (
            "if replicate == 7: accuracy = -float('inf')",
            "metric 'accuracy' is -inf in replicate 7 of 'baseline'",
        ),
        ("if replicate == 7: accuracy = 'high'", "metric 'accuracy' is 'high' in replicate 7 of 'baseline'"),
        ("if replicate == 7: accuracy = None", "metric 'accuracy' is None in replicate 7 of 'baseline'"),
        ("if replicate == 7: return {}", "metric 'accuracy' is missing in replicate 7 of 'baseline'"),
    ],
    ids=["nan", "infinite", "text", "None", "missing"],
)
def test_a_claimed_metric_that_is_no_number_is_not_recorded(project, gate, saved, workers, body, fault):
    """Nothing is: the session fails, and the file stays as it was."""
    before = saved.read_bytes()
    gate(body=body)
    result = project.run(*SAVE) if workers == "0" else project.run_workers(*SAVE)
    assert result.ret == 1
    told = " ".join(result.stdout.str().split())
    assert ". What stays was recorded with 12 replicates of root seed 0 at commit" in told
    assert f"NOT SAVED: experiment_gate: {fault}" in told
    assert saved.read_bytes() == before


def test_advice_records_no_harm(project, gate, saved):
    """Where today's replicates are others, the reference's commit, date and replicates are named."""
    before, commit = saved.read_bytes(), project.git("rev-parse", "HEAD")
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


# A run that saves records, and judges nothing.

NEVER = """[
    Hypothesis(metric="accuracy", direction="increase", name="more"),
    pytest.param(
        Hypothesis(metric="accuracy", direction="decrease", name="less"),
        marks=pytest.mark.xfail(reason="known", strict=True),
    ),
]"""


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_what_is_inconclusive_fails_no_run_that_saves(project, gate, workers):
    """Whatever is claimed, and expected to fail, is skipped; the file is written, and the session passes."""
    gate(treatments={"same": {}}, others=NEVER)
    result = project.run(*SAVE, "-rs") if workers == "0" else project.run_workers(*SAVE, "-rs")
    assert result.ret == 0
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(["*run to be recorded as reference 'main', so nothing is judged"])
    assert (project.path / FILE).exists()


def test_a_family_is_not_run_to_be_recorded(project, gate):
    """What records a part needs no other condition, for no p-value is corrected."""
    gate(treatments={"one": {}, "two": {}}, others=NEVER, body="print(condition)")
    result = project.run("-s", *SAVE, "-k", "less and one")
    assert result.ret == 0
    ran = {line for line in result.stdout.lines if line in ("baseline", "one", "two")}
    assert ran == {"baseline", "one"}


def test_a_failing_replicate_fails_its_tests(project, gate, saved):
    """Also those that are expected to fail: missing evidence is no failure that was foreseen."""
    before = saved.read_bytes()
    gate(others=NEVER, treatments={"same": {}}, body="assert condition != 'same' or replicate != 3")
    result = project.run(*SAVE)
    assert result.ret == 1
    result.assert_outcomes(failed=3, skipped=1)
    result.stdout.fnmatch_lines(["NOT SAVED: experiment_gate: 1 of 12 replicates of 'same' are missing*"])
    assert saved.read_bytes() == before


def test_what_nobody_claims_may_be_incomplete(project):
    """It is left out, which is said; the rest is saved."""
    project.write(
        """
        @pytest.mark.experiment(
            replicates=3,
            hypotheses=[Hypothesis(metric="x", direction="increase", against=Reference("main"))],
        )
        def experiment_gate(replicate):
            return {"x": 1.0, "diagnosis": float("nan") if replicate == 1 else 0.0}
        """
    )
    result = project.run(*SAVE)
    assert result.ret == 0
    told = " ".join(result.stdout.str().split())
    assert "experiment_gate: not in the reference, since metric 'diagnosis' is nan in replicate 1" in told
    (recording,) = json.loads((project.path / FILE).read_text(encoding="utf-8"))["recordings"]
    assert list(recording["conditions"]["baseline"]["metrics"]) == ["x"]


def test_what_records_no_metric_is_told_and_fails_nothing(project):
    """There is nothing to save, and nothing is claimed."""
    project.write(
        """
        @pytest.mark.experiment(replicates=3)
        def experiment_gate():
            pass
        """
    )
    result = project.run(*SAVE)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["experiment_gate has no metric to record, so it has no reference of today"])
    assert not (project.path / FILE).exists()


def test_what_is_replaced_is_named(project, gate, saved):
    """By commit, date and replicates; and changes that were not committed are told."""
    commit = project.git("rev-parse", "--short=12", "HEAD")
    gate(replicates=20)
    told = " ".join(project.run(*SAVE).stdout.str().split())
    assert f"20 replicates of root seed 0 at commit {commit} with changes that were not committed" in told
    assert f"; before, it was recorded with 12 replicates of root seed 0 at commit {commit} on 20" in told


@pytest.mark.slow
def test_changed_inputs_are_told(project, gate, saved):
    """Their digests are kept; a verdict says which are others now."""
    data = project.raw("data/a.csv", "1")
    gate(keywords={"inputs": ["data"]})
    project.run("-q", *SAVE)
    (recording,) = json.loads(saved.read_text(encoding="utf-8"))["recordings"]
    assert list(recording["inputs"]) == ["data/a.csv"]
    project.run().stdout.no_fnmatch_line("*inputs are others*")
    data.write_text("2")
    project.raw("data/b.csv", "3")
    result = project.run("--crystallize-report=r.json")
    result.assert_outcomes(passed=1)
    told = " ".join(result.stdout.str().split())
    assert "; inputs are others than those of reference 'main', recorded at commit" in told
    report = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    caveat = report["experiments"][0]["tests"][0]["verdict"]["caveat"]
    assert caveat.endswith(": 'data/a.csv', 'data/b.csv'")


def test_a_directory_that_is_read_only_fails_the_session(project, gate, saved, monkeypatch):
    """The reason names it."""
    before = saved.read_bytes()

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied", str(saved.parent))

    monkeypatch.setattr("crystallize.analysis.reference_file.write_whole", refuse)
    result = project.run(*SAVE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT SAVED: experiment_gate: references*", "*can't be written: Permission*"])
    assert saved.read_bytes() == before


def test_renamed_experiments_and_conditions_say_what_to_rename(project, gate, saved):
    """The file of the one, the field of the other."""
    source = (project.path / "experiment_a.py").read_text(encoding="utf-8")
    project.raw("experiment_a.py", edited(source, "experiment_gate", "experiment_door"))
    told = " ".join(project.run().stdout.str().split())
    assert "experiment_door.json is not there" in told
    assert "if the experiment was renamed, rename its file" in told
    gate(treatments={"new": {}})
    told = " ".join(project.run().stdout.str().split())
    assert "reference 'main' has no condition 'new', but 'baseline', recorded with 12 replicates" in told
    assert "if it was renamed, rename it in the file, too" in told
