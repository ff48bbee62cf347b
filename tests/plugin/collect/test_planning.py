"""``--crystallize-plan``: how many replicates claims need; nothing is tested."""

import json
from string import Template

import pytest

SOURCE = Template("""
@pytest.mark.experiment(
    replicates=30,
    treatments={"a": {"delta": 5.0}, "b": {"delta": 0.0}},
    hypotheses=[
        Hypothesis(metric="x", direction="increase", effect=0.3, treatments=["a"]),
        pytest.param(
            Hypothesis(metric="x", direction="no_decrease", margin=0.5),
            marks=pytest.mark.xfail(reason="known"),
        ),
        Hypothesis(metric="x", direction="decrease", against=11.0, treatments=["baseline"]),
    ],
)
def experiment_x(rng, seed, condition, delta=0.0):
    $first
    own = np.random.default_rng([seed, len(condition) + ord(condition[0])]).normal()
    return {"x": 10 + rng.normal() + delta + 0.3 * own}
""")


NOTE = 'with open("seeds.txt", "a") as file:\n        print(seed, file=file)'


def source(first=NOTE):
    """Return an experiment that notes its seeds, or does something else first."""
    return SOURCE.substitute(first=first)


PLAN = "--crystallize-plan"


@pytest.fixture
def seeds(project):
    """Return a function that returns the seeds that were run since it was asked last."""
    project.write(source())
    path = project.path / "seeds.txt"

    def ran():
        found = set(path.read_text().split()) if path.exists() else set()
        path.write_text("")
        return found

    return ran


def test_a_pilot_tells_how_many_replicates_claims_need(project, seeds):
    """On seeds that no run has; every report says it, and HTML draws the power."""
    formats = [f"--crystallize-report=r.{suffix}" for suffix in ("json", "html", "md")]
    result = project.run(PLAN, *formats)
    result.assert_outcomes(passed=4)
    pilot = seeds()
    assert len(pilot) == 10
    text = " ".join(result.stdout.str().split())
    assert "planned by 10 replicates of 3 conditions" in text
    assert "x_increase [a]: " in text
    assert "replicates show 0.3 (power 0.8); 30 are declared; without pairs " in text
    assert "that 0.5 is not reached where there is no difference" in text
    (each,) = json.loads((project.path / "r.json").read_text())["experiments"]
    plans = [test["planned"] for test in each["tests"]]
    assert [plan["treatment"] for plan in plans] == ["a", "a", "b", "baseline"]
    assert [test["verdict"] for test in each["tests"]] == [None] * 4
    assert plans[0]["needed"] > 5
    assert "effect=" in plans[3]["reason"]
    page, markdown = ((project.path / f"r.{suffix}").read_text() for suffix in ("html", "md"))
    assert "4 of 4 claims planned" in page
    assert "Power of x_increase under a" in page
    assert "PLANNED" in markdown
    project.run("-q")
    assert pilot.isdisjoint(seeds())


def test_a_pilot_is_as_large_as_is_typed_and_comes_from_the_cache(project, seeds):
    """Ten at least; the second time nothing is run."""
    project.write(source(first="pass"))
    result = project.run(PLAN, "--crystallize-replicates=12")
    result.stdout.fnmatch_lines(["*planned by 12 replicates of 3 conditions*", "*; 30 are declared; *"])
    result = project.run(PLAN, "--crystallize-replicates=12")
    result.stdout.fnmatch_lines(["*36 of 36 runs from cache*"])


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_pilot_that_fails_plans_nothing(project, workers):
    """It has no spread."""
    project.write(source(first="assert delta < 1"))
    result = project.run(PLAN, "-n", workers)
    result.assert_outcomes(failed=2, passed=2)
    result.stdout.fnmatch_lines(["*INVALID: 10 of 10 replicates of 'a' are missing*"])


def test_a_plan_implies_experiments_and_stands_alone(project):
    """Without hypotheses there is nothing to plan; with a recording it makes no sense."""
    project.write(source())
    result = project.run_plain(PLAN, "-q", "-p", "no:randomly")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*planned by 10 replicates*"]
    )  # whatever the verbosity: it is what was asked for
    result = project.run(PLAN, "--crystallize-save=main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--crystallize-plan and --crystallize-save*"])
    project.write("@pytest.mark.experiment(replicates=3)\ndef experiment_x(rng):\n    return {'x': 1}")
    assert project.run(PLAN).ret == pytest.ExitCode.NO_TESTS_COLLECTED
