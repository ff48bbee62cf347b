"""What conditions are compared with under pytest: a number, another treatment, one another."""

import json
from string import Template

import pytest

SOURCE = Template("""
@pytest.mark.experiment(
    replicates=12,
    treatments={"old": {"delta": 1.0}, "new": {"delta": 2.5}},
    hypotheses=[
        Hypothesis(metric="total", direction="increase", against=$number),
        Hypothesis(metric="total", direction="increase", against="$treatment", name="beats_old"),
        Hypothesis(metric="total", direction="differ", pairwise=True),
        Hypothesis(metric="total", direction="increase", treatments=["new"]),
    ],
)
def experiment_total(rng, delta=0.0):
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
""")


def source(number=-0.8, treatment="old"):
    """Return an experiment that is compared with a number, with another treatment, and with itself."""
    return SOURCE.substitute(number=number, treatment=treatment)


TESTS = [
    "total_above_-0.8[baseline]",
    "total_above_-0.8[old]",
    "total_above_-0.8[new]",
    "beats_old[new]",
    "total_differ[old-vs-baseline]",
    "total_differ[new-vs-baseline]",
    "total_differ[new-vs-old]",
    "total_increase[new]",
]


@pytest.fixture
def reports(project):
    """Return a function that runs the experiment, and returns the result and the verdicts by test."""
    project.write(source())

    def run(*args, passed=8):
        formats = [f"--crystallize-report=r.{suffix}" for suffix in ("json", "html", "md")]
        result = project.run("-q", *formats, *args)
        result.assert_outcomes(passed=passed)
        (each,) = json.loads((project.path / "r.json").read_text())["experiments"]
        tests = {test["test"].partition("experiment_total::")[2]: test for test in each["tests"]}
        return result, {name: test["verdict"] for name, test in tests.items() if test["verdict"]}

    return run


def test_every_comparison_is_a_test_of_its_own(project, reports):
    """Of each condition, of each other treatment, of each pair; reports say against what."""
    _, verdicts = reports()
    assert list(verdicts) == TESTS
    text = " ".join(project.run().stdout.str().split())
    assert "total_above_-0.8 (total) against -0.8: paired t over seeds of this data set" in text
    assert "beats_old (total) against treatment old, there 1.45" in text
    assert "total_differ (total), all pairs: paired t" in text
    assert "p adjusted by step-down max-t for 8 claims" in text
    page = (project.path / "r.html").read_text()
    assert "against -0.8" in page
    assert "total: old and new" in page
    assert "new-vs-old" in (project.path / "r.md").read_text()
    assert verdicts["total_differ[new-vs-old]"]["against"] == "old"


def test_a_selected_pair_has_the_verdict_that_it_has_among_all(reports):
    """What its correction needs is run; in a second session it comes from the cache."""
    _, among_all = reports()
    _, alone = reports("-k", "new-vs-old", passed=1)
    assert alone["total_differ[new-vs-old]"] == among_all["total_differ[new-vs-old]"]


@pytest.mark.slow
def test_workers_give_the_same(reports):
    """Whoever runs what."""
    _, one = reports("-n0")
    _, two = reports("-n2", "--cache-clear")
    assert one == two


def test_a_treatment_that_is_switched_off_is_compared_with_nothing(project, reports):
    """Nor anything with it."""
    result = project.run("-q", "--crystallize-disable=old", "-rs")
    result.assert_outcomes(passed=4, skipped=4)
    result.stdout.fnmatch_lines(["*treatment 'old' is switched off*"])


def test_a_failure_names_what_it_was_compared_with(project):
    """In the message of the test."""
    project.write(source(number=9))
    result = project.run("-k", "above_9 and baseline")
    result.stdout.fnmatch_lines(["*REFUTED: total goes the other way*", "*total: against 9, baseline *"])


def test_conditions_that_are_not_there_are_errors_of_collection(project):
    """They name those that are."""
    project.write(source(treatment="odl"))
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'beats_old' is about 'odl', and there is no such condition; there are*"])
