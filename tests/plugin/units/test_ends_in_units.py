"""Condition runs that end, or double, the process that they are in."""

from fnmatch import fnmatch
from string import Template

import pytest

from plugin.conftest import TOTAL, total

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

FORKING = Template("""
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
        $fixture
    yield
    Path("torn_down").open("a").write("x")

@pytest.mark.experiment(replicates=6, treatments=BOOST, hypotheses=CLAIM)
def experiment_marked(rng, forking_fixture, replicate, condition, delta=0.0):
    if (condition, replicate) == ("boost", 2):
        $body
    return {"total": rng.normal() + delta}

@pipeline_step()
def step(data, ctx, *, delta=0.0):
    if (ctx.condition, ctx.replicate) == ("boost", 2):
        $step
    return data, {"total": ctx.rng.normal() + delta}

@verifier
def judge(baseline, treatment):
    $verifier
    return {"p_value": 0.0, "significant": True}

def experiment_factory():
    claims = [*CLAIM, Hypothesis(verifier=judge(), metrics="total", name="judged")]
    return Experiment(0, [step], treatments=BOOST, hypotheses=claims, replicates=6)
""")


PATIENT = "import pytest_crystallize.isolation.forks as forks\nforks.CHILD_SECONDS = 100\n"
"""Lines of a conftest: sessions wait for children that come back late, since other processes are in the way."""


def forking(project, *, fixture="pass", body="pass", step="pass", verifier="pass"):
    project.write(FORKING.substitute(fixture=fixture, body=body, step=step, verifier=verifier))


PLACES = {
    "body": "replicate 2 of 'boost' of experiment_marked",
    "fixture": "replicate 2 of 'b*' of experiment_marked",
    "step": "replicate 2 of 'boost' of experiment_factory",
    "verifier": "experiment_a.py::experiment_factory::judged[[]boost]",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("body", ["-n0"]),
        ("body", ["-n2"]),
        ("verifier", ["-n0"]),
        *(pytest.param(place, ["-n0"], marks=pytest.mark.slow) for place in ("fixture", "step")),
        *(pytest.param(place, ["-n2"], marks=pytest.mark.slow) for place in ("fixture", "step", "verifier")),
    ],
)
def test_forked_child_that_comes_back(project, place, options):
    """The child is ended where it comes back, the session fails and names the place, and shows its verdicts once."""
    project.raw("conftest.py", PATIENT)
    forking(project, **{place: "os.fork()"})
    result = project.run_apart(*options)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"*a process forked in {PLACES[place]}*came back from there, and was ended*"]
    )
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 3
    assert outcomes["errors"] >= 1
    assert result.stdout.str().count("experiment_marked: 6 replicates of 2 conditions") == 1
    if place == "body":
        assert (project.path / "torn_down").read_text() == 12 * "x"


AROUND = {
    "collection": ("the collection of experiment_a.py", "", "os.fork()\n"),
    "start": ("a hook around the collection", "def pytest_sessionstart():\n    os.fork()\n", ""),
    "report": (
        "a hook around experiment_a.py::*",
        "def pytest_runtest_makereport(item, call):\n"
        "    if call.when == 'call' and item.name.startswith('total_increase'):\n        os.fork()\n",
        "",
    ),
    "end": ("a hook at the end of the session", "def pytest_sessionfinish():\n    os.fork()\n", ""),
    "results": (
        "a hook at the end of the session",
        "def pytest_terminal_summary():\n    if not hasattr(os, 'once'):\n        os.once = os.fork()\n",
        "",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("collection", ["-n0"]),
        ("report", ["-n0"]),
        ("end", ["-n1"]),
        *(pytest.param(p, ["-n0"], marks=pytest.mark.slow) for p in ("start", "end", "results")),
        *(pytest.param(p, ["-n1"], marks=pytest.mark.slow) for p in ("collection", "start", "report")),
    ],
)
def test_forked_child_around_condition_runs(project, place, options):
    """One that comes back from a module, or a hook of the session or of reports, doesn't run the session again."""
    where, hooks, first = AROUND[place]
    project.raw("conftest.py", f"import os\n{PATIENT}\n{hooks}")
    project.write(first + TOTAL)
    result = project.run_apart(*options)
    assert result.ret == 1
    output = result.stdout.str() + result.stderr.str()
    assert fnmatch(
        " ".join(output.split()), f"*a process forked in {where} came back from there, and was ended*"
    )
    assert output.count("== experiments ==") == 1
    assert result.parseoutcomes()["passed"] == 1


@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n2", marks=pytest.mark.slow)])
def test_forked_children_of_a_hook_of_ours(project, workers):
    """Each is ended before the next call, which it would have made as well, to fork in its turn."""
    calls = "open('calls', 'a').write('x')"
    hook = f"import os\n\ndef pytest_crystallize_record():\n    {calls}\n    os.fork()\n"
    project.raw("conftest.py", PATIENT + hook)
    project.write(total(replicates=3))
    result = project.run_apart(workers)
    assert (project.path / "calls").read_text() == 6 * "x"
    assert result.ret == 1
    told = result.stdout.str() + result.stderr.str()
    assert "a process forked in a hook pytest_crystallize_record came back" in told


def test_forked_child_behind_the_session(project):
    """One that comes back from the last hook of all ends there; who waits for its output would wait on."""
    lines = (
        "import atexit, os\n\ndef pytest_unconfigure():\n    atexit.register(open('ends', 'a').write, 'x')\n"
    )
    project.raw("conftest.py", lines + "    if (child := os.fork()):\n        os.waitpid(child, 0)\n")
    project.write(TOTAL)
    result = project.run_apart()
    assert result.ret == 0
    assert (project.path / "ends").read_text() == "x"


@pytest.mark.slow
def test_children_of_multiprocessing(project):
    """Processes that end by themselves disturb nothing."""
    forking(project, body="works()", step="works()")
    result = project.run_workers()
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    assert (project.path / "worked").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "ends_with"), [(7, 7), (0, 1), pytest.param("'7'", 1, marks=pytest.mark.slow)]
)
def test_exit_in_a_body(project, code, ends_with):
    """pytest.exit ends a session on workers as in one process, with the message and the code, if not 0."""
    project.write(total(lines=f"pytest.exit('enough', returncode={code})"))
    result = project.run_workers()
    assert result.ret == ends_with
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    told = "note: replicate 0 of 'b*' of experiment_total ended the session: Exit:*"
    result.stdout.fnmatch_lines([told, "*!!! *enough*"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_exit_in_an_ordinary_test(project, workers):
    """It ends a session with experiments on workers as in one process, too."""
    project.write(TOTAL)
    project.raw("test_b.py", "import pytest\n\ndef test_b():\n    pytest.exit('enough', returncode=7)\n")
    result = project.run_apart(f"-n{workers}")
    assert result.ret == 7
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
