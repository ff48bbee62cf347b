"""The JUnit report: one test case per hypothesis and treatment, with plain properties."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import pytest

from plugin.conftest import TOTAL, properties, total

TWO = """

@pytest.mark.experiment(
    replicates=6,
    treatments={"good": {"delta": 3.0}, "bad": {"delta": -3.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
    seed=5,
)
def experiment_total(rng, replicate, delta=0.0):
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(replicates=2)
def experiment_none():
    return {"m": np.float64(1.5)}

def test_ordinary(record_property):
    record_property("own", 1)
"""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_cases_and_properties(project, workers):
    """p, test, n, means, effect, seed and time are properties of each case, plain values, with and without workers."""
    project.write(TWO)
    run = project.run_workers if workers else project.run
    run("--junitxml", "junit.xml", "-o", "junit_family=legacy").assert_outcomes(passed=3, failed=1)
    cases = project.cases()
    assert sorted(cases) == ["replicates", "test_ordinary", "total_increase[bad]", "total_increase[good]"]
    assert cases["total_increase[good]"].get("classname") == "experiment_a.experiment_total"
    assert cases["total_increase[good]"].find("failure") is None
    assert (
        cases["total_increase[bad]"].find("failure").get("message").startswith("total goes the other way: ")
    )
    found = properties(cases["total_increase[good]"])
    assert set(found) == {
        "verdict",
        "p_value",
        "adjusted_p",
        "test",
        "n",
        "baseline_mean",
        "treatment_mean",
        "difference",
        "interval_low",
        "interval_high",
        "detectable",
        "seed",
        "compute_seconds",
    }
    assert found["verdict"] == "supported"
    assert found["n"] == "6"
    assert found["seed"] == "5"
    assert 0 < float(found["p_value"]) < float(found["adjusted_p"]) < 0.05
    assert found["test"] == "paired t"
    assert float(found["interval_low"]) < float(found["difference"]) < float(found["interval_high"])
    assert float(found["detectable"]) > 0
    assert float(found["difference"]) == pytest.approx(
        float(found["treatment_mean"]) - float(found["baseline_mean"])
    )
    assert float(found["compute_seconds"]) > 0
    assert properties(cases["test_ordinary"]) == {"own": "1"}
    assert "np." not in (project.path / "junit.xml").read_text()


def test_what_the_numbers_are(project):
    """Of a refuted claim the p-value of its opposite is told, and what a difference is, if not one of means."""
    margin = '[Hypothesis(metric="total", direction="no_decrease", margin=0.5, relative=True)]'
    project.write(
        total(
            treatments='{"bad": {"delta": -9.0}}', hypotheses=margin, value="9 + 0.1 * rng.normal() + delta"
        )
    )
    project.run("--junitxml", "junit.xml").assert_outcomes(failed=1)
    found = properties(project.cases()["total_no_decrease[bad]"])
    assert found["verdict"] == "refuted"
    assert float(found["opposite_p"]) < 0.05 < float(found["p_value"])
    assert found["estimand"] == "relative change"


def test_properties_switched_off(project):
    """The ini option crystallize_junit_properties switches them off."""
    project.ini("crystallize_junit_properties = false\n")
    project.write(TOTAL)
    project.run("--junitxml", "junit.xml").assert_outcomes(passed=1)
    assert properties(project.cases()["total_increase[boost]"]) == {}


def test_failed_replicates(project):
    """A failed replicate's traceback and output are in the test case's failure."""
    project.write(total(lines="print('printed')\nassert not delta, 'bad luck'"))
    project.run("--junitxml", "junit.xml").assert_outcomes(failed=1)
    failure = project.cases()["total_increase[boost]"].find("failure")
    assert "bad luck" in failure.text
    assert "printed" in failure.text
    assert failure.get("message").startswith("6 of 6 replicates of 'boost' are missing")


def test_odd_values(project):
    """Means and p-values that are nan, infinite or huge don't break the report."""
    project.write("""
        @verifier
        def check(baseline, treatment):
            return {"p_value": np.float32(0.01), "significant": np.bool_(True), "note": object(), "big": 10**400}

        @pytest.mark.experiment(replicates=2, treatments={"a": {"x": 1}}, hypotheses=[Hypothesis(check)])
        def experiment_x(x=0):
            return {"m": 1e308, "n": 10**300 if x else 1, "s": "text", "l": [1, 2], "b": True}
    """)
    project.run("--junitxml", "junit.xml").assert_outcomes(passed=1)
    assert list(project.cases()) == ["check[a]"]


def test_xfail_and_skip(project):
    """Xfail and skip are skipped test cases."""
    project.write(total(above="@pytest.mark.xfail", direction="decrease"))
    project.write("@pytest.mark.skip\n" + TOTAL.strip(), "experiment_b.py")
    project.run("--junitxml", "junit.xml").assert_outcomes(xfailed=1, skipped=1)
    cases = project.cases()
    assert cases["total_decrease[boost]"].find("skipped").get("type") == "pytest.xfail"
    assert cases["total_increase[boost]"].find("skipped") is not None
