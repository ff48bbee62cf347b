"""``--crystallize-calibrate``: tests of the hypotheses themselves."""

import pytest

from plugin.conftest import properties

SUITE = """
    from scipy import stats

    @verifier
    def percentile_bootstrap(baseline, treatment, alpha=0.05):
        differences = np.subtract(treatment["x"], baseline["x"])
        draws = np.random.default_rng(0).integers(0, len(differences), (500, len(differences)))
        low, high = np.quantile(differences[draws].mean(axis=1), [alpha / 2, 1 - alpha / 2])
        return {"p_value": 0.5, "significant": low > 0 or high < 0}

    @verifier
    def smaller_p(baseline, treatment, alpha=0.05):
        larger = sum(t > b for t, b in zip(treatment["x"], baseline["x"]))
        sign = stats.binomtest(larger, len(baseline["x"])).pvalue
        p = min(sign, stats.ttest_rel(treatment["x"], baseline["x"]).pvalue)
        return {"p_value": p, "significant": p < alpha}

    builtin = [
        Hypothesis(metric="x", direction="differ"),
        pytest.param(
            Hypothesis(metric="x", direction="no_decrease", margin=0.5),
            marks=pytest.mark.xfail(reason="of the treatment"),
        ),
    ]
    treatments = {"some": {"delta": 1.0}, "more": {"delta": 2.0}}
"""

FIVE = (
    SUITE
    + """
    @pytest.mark.experiment(
        replicates=5, treatments=treatments, hypotheses=[Hypothesis(percentile_bootstrap, "x"), *builtin]
    )
    def experiment_five(rng, delta=0.0):
        return {"x": rng.normal() + delta}
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_bootstrap_of_five_is_exposed(project, workers):
    """One test per hypothesis, whatever treatments there are, and whatever is expected of these."""
    project.write(FIVE)
    result = project.run_apart("-n", workers, "--crystallize-calibrate", "400", "-v", "--junitxml=r.xml")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*MISCALIBRATED: supported by * of 400 A/A tests of 5 replicates, * % where 5 % are allowed*",
            "*experiment_five: 400 A/A tests of 5 and 5 replicates, seed 0*",
            "*  percentile_bootstrap*",
            "*0.05  MISCALIBRATED",
            "*  x_differ*",
            "*0.05  CALIBRATED",
            "*  x_no_decrease*",
            "*0.05  CALIBRATED",
            "*note: an A/A test sees no error that both its sides share*",
        ]
    )
    recorded = properties(project.cases("r.xml")["x_differ[calibration]"])
    assert (recorded["verdict"], recorded["tests"], recorded["n"]) == ("calibrated", "400", "5")
    assert 0.02 < float(recorded["false_positive_rate"]) < 0.09


def test_each_side_has_seeds_of_its_own(project):
    """Neither those of a run, nor twice the same."""
    project.write("""
            from pathlib import Path

            @pytest.mark.experiment(
                replicates=3, treatments={"t": {}}, hypotheses=[Hypothesis(metric="x", direction="differ")]
            )
            def experiment_a(seed, rng, condition):
                with Path("seeds.txt").open("a") as file:
                    file.write(f"{seed} {condition}\\n")
                return {"x": rng.normal()}
        """)
    project.run("-n0", "--crystallize-calibrate", "10").assert_outcomes(passed=1)
    seeds = (project.path / "seeds.txt").read_text().splitlines()
    assert len(set(seeds)) == len(seeds) == 2 * 3 * 10
    project.run("-n0")
    again = (project.path / "seeds.txt").read_text().splitlines()[60:]
    assert len(again) == 6
    assert not {line.split()[0] for line in again} & {line.split()[0] for line in seeds}


def test_a_replicate_that_fails_is_no_pass(project):
    """The message says what is missing, and how to repeat it."""
    project.write("""
            @pytest.mark.experiment(
                replicates=3, treatments={"t": {}}, hypotheses=[Hypothesis(metric="x", direction="differ")]
            )
            def experiment_a(rng, replicate):
                assert replicate != 7, "unlucky"
                return {"x": rng.normal()}
        """)
    result = project.run("-n0", "--crystallize-calibrate", "5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "INVALID: 1 of 30 replicates of 'baseline' are missing*",
            "*--crystallize-calibrate=5 *--crystallize-repro=7:baseline",
        ]
    )


def test_claims_with_a_comparator_or_slices_are_calibrated(project):
    """Whatever they compare: an A/A test is of the baseline, and of no treatment."""
    project.write("""
            cases = Cases([{"id": str(i), "topic": "even" if i % 2 == 0 else "odd"} for i in range(20)])

            @pytest.mark.experiment(
                cases=cases, slices="topic", treatments={"t": {"by": 1.0}, "u": {"by": 2.0}}, hypotheses=[
                    Hypothesis(metric="x", direction="differ", pairwise=True, name="pairs"),
                    Hypothesis(metric="x", direction="differ", against="u", name="other"),
                    Hypothesis(metric="x", direction="increase", against=0.5, name="number"),
                    Hypothesis(metric="x", direction="differ", slices=True, name="slices"),
                ]
            )
            def experiment_a(rng, case, by=0.0):
                return {"x": rng.normal() + by}
        """)
    for workers in ("-n0", "-n2"):
        project.run(workers, "--crystallize-calibrate", "5").assert_outcomes(passed=4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_smaller_of_two_p_values_is_exposed(project):
    """Its size is .077 at n = 17: it takes many tests to tell that from .05; the built-in ones pass."""
    project.write(
        SUITE
        + """
    @pytest.mark.experiment(
        replicates=17, treatments=treatments, hypotheses=[Hypothesis(smaller_p, "x"), *builtin]
    )
    def experiment_seventeen(rng, delta=0.0):
        return {"x": rng.normal() + delta}
"""
    )
    result = project.run_workers("--crystallize-calibrate", "2500", "-v", timeout=1800)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*smaller_p?calibration?*", "*MISCALIBRATED: supported by *"])
