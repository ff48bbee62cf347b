"""Condition runs that end, or double, the process that they are in."""

import pytest

from plugin.conftest import TOTAL

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

FORKING = """
import multiprocessing
from pathlib import Path

CLAIM = [Hypothesis(metric="total", direction="increase")]
BOOST = [Treatment("boost", {"delta": 5.0})]

def child_works():
    Path("worked").touch()

def works():
    process = multiprocessing.get_context("fork").Process(target=child_works)
    process.start()
    process.join()

@pytest.fixture
def forking_fixture(replicate):
    if replicate == 2:
        FIXTURE
    yield
    Path("torn_down").open("a").write("x")

@pytest.mark.experiment(replicates=6, treatments=BOOST, hypotheses=CLAIM)
def experiment_marked(rng, forking_fixture, replicate, condition, delta=0.0):
    if (condition, replicate) == ("boost", 2):
        BODY
    return {"total": rng.normal() + delta}

@pipeline_step()
def step(data, ctx, *, delta=0.0):
    if (ctx.condition, ctx.replicate) == ("boost", 2):
        STEP
    return data, {"total": ctx.rng.normal() + delta}

@verifier
def judge(baseline, treatment):
    VERIFIER
    return {"p_value": 0.0, "significant": True}

def experiment_factory():
    claims = [*CLAIM, Hypothesis(verifier=judge(), metrics="total", name="judged")]
    return Experiment(0, [step], treatments=BOOST, hypotheses=claims, replicates=6)
"""


def forking(project, **where):
    source = FORKING
    for place in ("FIXTURE", "BODY", "STEP", "VERIFIER"):
        source = source.replace(place, where.get(place, "pass"))
    project.write(source)


PLACES = {
    "BODY": "replicate 2 of 'boost' of experiment_marked",
    "FIXTURE": "replicate 2 of 'b*' of experiment_marked",
    "STEP": "replicate 2 of 'boost' of experiment_factory",
    "VERIFIER": "experiment_a.py::experiment_factory::judged[[]boost]",
}


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("BODY", ["-n0"]),
        ("BODY", ["-n2"]),
        ("VERIFIER", ["-n0"]),
        *(pytest.param(place, ["-n0"], marks=pytest.mark.slow) for place in ("FIXTURE", "STEP")),
        *(pytest.param(place, ["-n2"], marks=pytest.mark.slow) for place in ("FIXTURE", "STEP", "VERIFIER")),
    ],
)
def test_forked_child_that_comes_back(project, place, options):
    """The child is ended where it comes back, the session fails and names the place, and shows its verdicts once."""
    forking(project, **{place: "os.fork()"})
    result = project.run_apart(*options, timeout=60)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"*a process forked in {PLACES[place]}*came back from there, and was ended*"]
    )
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 3
    assert outcomes["errors"] >= 1
    assert result.stdout.str().count("experiment_marked: 6 replicates of 2 conditions") == 1
    if place == "BODY":
        assert (project.path / "torn_down").read_text() == 12 * "x"


def test_children_of_multiprocessing(project):
    """Processes that end by themselves disturb nothing."""
    forking(project, BODY="works()", STEP="works()")
    result = project.run_workers(timeout=60)
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    assert (project.path / "worked").exists()


@pytest.mark.parametrize(("options", "code"), [(["-n2"], 7), (["-n2"], 0)])
def test_exit_in_a_body(project, options, code):
    """pytest.exit ends a session on workers as in one process, with the message and the code, if not 0."""
    project.write(TOTAL.replace("    return", f"    pytest.exit('enough', returncode={code})\n    return"))
    result = project.run_apart(*options, timeout=40)
    assert result.ret == (code or 1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    told = "note: replicate 0 of 'b*' of experiment_total ended the session: Exit:*"
    result.stdout.fnmatch_lines([told, "*!!! *enough*"])
