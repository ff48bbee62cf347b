"""Treatments that a file declares, under pytest."""

import re

import pytest

from plugin.conftest import body, mark

ARMS = '{"boost": {"delta": 3.0}, "small": {"delta": 2.0}}'
DECLARED = {
    "mark": mark(treatments='"arms.json"') + body(),
    "call": mark(treatments='Treatment.from_file("arms.json")') + body(),
    "factory": """
def experiment_total():
    @pipeline_step()
    def measure(data, ctx, *, delta=0.0):
        return data, {"total": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

    claim = Hypothesis(metric="total", direction="increase")
    return Experiment(0, [measure], treatments="arms.json", hypotheses=[claim], replicates=6)
""",
}


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=[] if how == "mark" else [pytest.mark.slow]) for how in DECLARED]
)
def test_an_edited_file_runs_anew_what_it_changed(project, how):
    """The values are what runs depend on, not the file; which lies beside that of the experiment."""
    project.write(DECLARED[how], "sub/experiment_a.py")
    arms = project.raw("sub/arms.json", ARMS)
    project.run().assert_outcomes(passed=2)
    arms.write_text(ARMS.replace("2.0", "1.9"))
    result = project.run("-o", "crystallize_cache_verify=0")
    result.assert_outcomes(passed=2)
    assert re.search(r"\b12 of 18 runs from cache", result.stdout.str())


def test_a_file_that_is_wrong_is_an_error_of_collection(project):
    """At the experiment, with the file and what is wrong."""
    project.write(mark(treatments='"arms.json"') + body())
    project.raw("arms.json", '{"boost": 3}')
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*experiment_a.py:*arms.json, treatment 'boost' is 3, which adds no keys*"])
