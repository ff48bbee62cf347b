"""Condition runs that end, or double, the process that they are in."""

import pytest

from plugin.conftest import TOTAL

FORKING = """
import threading

@pytest.mark.experiment(
    replicates=6,
    treatments={"boost": {"delta": 5.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, replicate, condition, delta=0.0):
    if (condition, replicate) == ("boost", 2):
        os.fork()
    return {"total": rng.normal() + delta}
"""


@pytest.mark.parametrize("options", [["-n0"], ["-n2"]], ids=["here", "workers"])
def test_forked_child_that_comes_back(project, options):
    """The child is ended and named, the session ends and fails."""
    project.write(FORKING)
    result = project.run_apart(*options, timeout=40)
    assert result.ret == 1
    output = result.stdout.str()
    assert output.count(" = experiments = ".strip()) <= 1
    result.stdout.fnmatch_lines(
        ["*a process forked in replicate 2 of 'boost' of experiment_total came back*"]
    )


@pytest.mark.parametrize(("options", "code"), [(["-n2"], 7), (["-n2"], 0)])
def test_exit_in_a_body(project, options, code):
    """pytest.exit ends a session on workers as it does in one process, with the message and the code, if not 0."""
    project.write(TOTAL.replace("    return", f"    pytest.exit('enough', returncode={code})\n    return"))
    result = project.run_apart(*options, timeout=40)
    assert result.ret == (code or 1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["*!!! *enough*"])
