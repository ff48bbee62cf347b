"""``crystallize_claims``: over how many claims of all experiments alpha is split."""

import json

import pytest

SOURCE = """
@pytest.mark.experiment(
    replicates=8,
    treatments={"a": {"delta": 1.0}, "b": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="x", direction="increase")],
)
def experiment_one(rng, delta=0.0):
    return {"x": rng.normal() + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(
    replicates=8,
    treatments={"t": {"delta": 3.0}},
    hypotheses=[
        Hypothesis(metric="x", direction="increase"),
        Hypothesis(metric="x", direction="no_decrease", margin=0.5),
    ],
)
def experiment_two(rng, delta=0.0):
    return {"x": rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""


def verdicts(project, *args):
    project.run("--crystallize-report=r.json", *args)
    experiments = json.loads((project.path / "r.json").read_text())["experiments"]
    return {
        test["test"]: test["verdict"] for each in experiments for test in each["tests"] if test["verdict"]
    }


@pytest.mark.slow
def test_verdicts_do_not_depend_on_what_else_is_selected(project):
    """A file, an experiment or a test alone has the verdict that it has among all."""
    project.write(SOURCE)
    project.ini("crystallize_claims = 10")
    among_all = verdicts(project)
    assert {verdict["family"] for verdict in among_all.values()} == {10, 1}  # a guard has to hold by itself
    for chosen in ("experiment_a.py::experiment_two", "experiment_a.py::experiment_one::x_increase[b]"):
        alone = verdicts(project, chosen)
        assert alone == {test: among_all[test] for test in among_all if test.startswith(chosen)}
    result = project.run()
    result.stdout.fnmatch_lines(["*p adjusted by Holm for 10 claims*"])


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_more_claims_than_declared_are_an_error(project, workers):
    """Of two and two there are four; three are an error of the experiment that is one too many."""
    project.write(SOURCE)
    project.ini("crystallize_claims = 4")
    project.run("-n", workers, "-q").assert_outcomes(passed=4)
    project.ini("crystallize_claims = 3")
    result = project.run("-n", workers)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*with experiment_two there are 4 claims, and alpha is split over*"])


def test_a_number_that_is_none_is_refused(project):
    """As any option of the ini file."""
    project.write(SOURCE)
    project.ini("crystallize_claims = many")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini option crystallize_claims: 'many' is not an integer >= 1*"])
