"""Numbers, units and p-values are the same in every report."""

import json
import re

import pytest

REPORTS = [f"--crystallize-report=r.{suffix}" for suffix in ("html", "md", "json")]

RELATIVE = """
def gate(n, **change):
    claim = Hypothesis(metric="ms", direction="no_increase", margin=0.1, relative=True)
    return pytest.mark.experiment(replicates=n, treatments={"new": change}, hypotheses=[claim])

@gate(1, ms=210.0)
def experiment_too_few(ms=200.0):
    return {"ms": ms}

@gate(20, ms=2.0)
def experiment_zero(ms=0.0):
    return {"ms": ms}
"""


def test_a_relative_difference_without_interval(project):
    """It is a part of the baseline's mean, or there is none where that is 0."""
    project.write(RELATIVE)
    result = project.run("-v", *REPORTS)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["    new *+5 %  1  INVALID", "    new * 20  INVALID"])
    told = json.loads((project.path / "r.json").read_text())
    assert [t["verdict"]["difference"] for e in told["experiments"] for t in e["tests"]] == [0.05, None]
    for text in (result.stdout.str(), *((project.path / f"r.{s}").read_text() for s in ("html", "md"))):
        assert "200 %" not in text
        assert "1000 %" not in text


def texts(project, result):
    """Return what the terminal and the reports for readers say."""
    return [result.stdout.str(), *((project.path / f"r.{suffix}").read_text() for suffix in ("html", "md"))]


def test_what_rounding_leaves_of_a_difference(project):
    """It is shown as 0 wherever a number is, and stays what it is for programs."""
    project.write(
        """
        @pytest.mark.experiment(
            replicates=10,
            treatments={"t": {"parts": (0.1, 0.2, 0.3)}},
            hypotheses=[
                Hypothesis(lambda b, t: {"accepted": True, "p_value": 0.01}, metrics="m", name="verified"),
                Hypothesis(metric="m", direction="equal", margin=0.01, relative=True),
            ],
        )
        def experiment_sum(rng, parts=(0.3, 0.2, 0.1)):
            first, second, third = parts
            return {"m": rng.uniform() + (first + second + third)}  # sum() rounds less from Python 3.12 on
        """
    )
    result = project.run("-v", *REPORTS)
    differences = [t["verdict"]["difference"] for t in told(project)]
    assert all(0 < abs(difference) < 1e-15 for difference in differences)
    for text in texts(project, result):
        assert not re.search(r"\de-1\d", text)


@pytest.mark.parametrize(("p", "word"), [(0.0496, "SUPPORTED"), (0.0504, "INCONCLUSIVE")])
def test_a_p_value_beside_alpha(project, p, word):
    """It is seen on its side of alpha everywhere."""
    project.write(
        f"""
        @pytest.mark.experiment(
            replicates=3,
            treatments={{"t": {{"x": 1.0}}}},
            hypotheses=[Hypothesis(lambda b, t: {{"accepted": {p < 0.05}, "p_value": {p}}}, metrics="m")],
        )
        def experiment_p(rng, x=0.0):
            return {{"m": x + rng.normal()}}
        """
    )
    result = project.run("-v", *REPORTS)
    result.stdout.fnmatch_lines([f"* {word} p={p}*"])
    assert all(
        str(p) in text and not re.search(r"0\.050?\b(?! interval| s\b)", text)
        for text in texts(project, result)
    )


@pytest.mark.parametrize(("n", "wins", "interval"), [(59, 37, "0.50002, 0.754"), (38, 25, "0.4999, 0.816")])
def test_the_interval_of_a_share_beside_one_half(project, n, wins, interval):
    """It is seen on its side of 1/2, where there is no difference, everywhere; a share has no sign."""
    project.write(
        f"""
        @pytest.mark.experiment(
            replicates={n},
            treatments={{"t": {{"wins": {wins}}}}},
            hypotheses=[Hypothesis(metric="m", direction="increase", statistical_test=WinRateTest())],
        )
        def experiment_rated(replicate, wins=None):
            return {{"m": 0 if wins is None else 1 if replicate < wins else -1}}
        """
    )
    result = project.run("-v", *REPORTS)
    (test,) = told(project)
    low, _ = test["verdict"]["interval"]
    assert (low > 0.5) is (test["verdict"]["status"] == "supported")
    for text in texts(project, result):
        assert interval in text
        assert f"{wins / n:+.4g}" not in text
        assert not re.search(r"(\[|&#91;)0\.5, ", text)


def test_a_size_of_a_win_rate_is_called_so(project):
    """It is no size of the metric."""
    project.write(
        """
        claim = Hypothesis(metric="m", direction="no_decrease", margin=0.1, statistical_test=WinRateTest())

        @pytest.mark.experiment(replicates=20, treatments={"t": {"x": 9.0}}, hypotheses=[claim])
        def experiment_rated(rng, x=0.0):
            return {"m": x + rng.normal()}
        """
    )
    project.run(*REPORTS)
    page = (project.path / "r.html").read_text()
    assert "Claim: win rate of m decreases by no more than 0.1, compared with the baseline" in page


def test_shares_that_are_nearly_all(project):
    """What a covariate saves is no power of ten, and that unchanged code passes is not certain."""
    project.write(
        """
        @pytest.mark.experiment(
            replicates=20,
            treatments={"t": {"x": 1.0}},
            hypotheses=[
                Hypothesis(metric="m", direction="increase", covariate="load", pairing="none", name="saving"),
                Hypothesis(metric="m", direction="no_decrease", margin=90.0, pairing="none"),
            ],
        )
        def experiment_loaded(rng, x=0.0):
            load = rng.normal()
            return {"m": 30 * load + x + 0.01 * rng.normal(), "load": load}
        """
    )
    project.run().stdout.fnmatch_lines(["      covariate load saves 100 % of the variance"])
    result = project.run("--crystallize-plan", *REPORTS)
    for text in texts(project, result):
        assert "unchanged code passes these with about 0.99;" in " ".join(text.split())


def test_a_rate_of_false_positives_beside_alpha(project):
    """It is seen on which side of alpha its interval begins: here at .0500082."""
    project.write(
        """
        def rarely(baseline, treatment):
            return {"accepted": baseline["m"][0] < 0.075, "p_value": 0.1}

        @pytest.mark.experiment(
            replicates=1, treatments={"t": {"x": 1.0}}, hypotheses=[Hypothesis(rarely, metrics="m")]
        )
        def experiment_rate(rng, x=0.0):
            return {"m": rng.uniform()}
        """
    )
    result = project.run("--crystallize-calibrate=380", "--crystallize-seed=3", *REPORTS)
    (test,) = told(project)
    assert (test["calibration"]["false_positives"], test["calibration"]["status"]) == (30, "miscalibrated")
    result.stdout.fnmatch_lines(["  98 % interval of the rate: 5.001 to 11.7 %"])
    assert all("5.001 to 11.7 %" in text for text in texts(project, result)[:2])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("'t', alpha=0.0624", "p-value below 0.0625, so it can't reach alpha = 0.0624;"),
        ("None, alpha=0.06249, pairwise=True", "p-value below 0.0625, so it can't reach alpha = 0.06249;"),
        ("None, 'auto', alpha=0.06249, pairwise=True", "below 0.0625, so they can't reach 0.06249;"),
    ],
)
def test_the_least_p_value_beside_alpha(project, options, text):
    """What can't reach alpha is not shown as less."""
    project.write(
        f"""
        def claim(treatments, test=PermutationTest(), **options):
            options |= {{"treatments": treatments, "statistical_test": test}}
            return Hypothesis(metric="m", direction="differ", **options)

        @pytest.mark.experiment(
            replicates=5,
            treatments={{"t": {{"x": 1.0}}, "u": {{"x": 2.0}}}},
            hypotheses=[claim({options})],
        )
        def experiment_few(rng, x=0.0):
            return {{"m": x * rng.normal()}}
        """
    )
    assert text in project.run("-v").stdout.str()


@pytest.mark.parametrize(
    ("claim", "line"),
    [
        ('metric="loss, test", direction="increase"', "  loss, test: baseline 0, t 0, *"),
        ('lambda b, t: {"p_value": 1.0, "accepted": False}, metrics=["m", "n"]', "  m: baseline 0, t 0*"),
    ],
)
def test_means_are_of_the_metric_that_is_claimed(project, claim, line):
    """A metric may have a comma in its name; of several it is the first."""
    project.write(
        f"""
        claim = Hypothesis({claim})

        @pytest.mark.experiment(replicates=8, treatments={{"t": {{"x": 0.0}}}}, hypotheses=[claim])
        def experiment_named(x=0.0):
            return {{"loss, test": 0.0, "m": 0.0, "n": 1.0}}
        """
    )
    project.run().stdout.fnmatch_lines([line])


ONE = """
def always(baseline, treatment):
    return {"accepted": True, "p_value": 0.01}

@pytest.mark.experiment(
    replicates=1, treatments={"t": {"x": 1}}, hypotheses=[Hypothesis(always, metrics="m")]
)
def experiment_one(x=0):
    return {"m": x}
"""

SIX = """
ERRORS = [KeyError, IndexError, ValueError, TypeError, OSError, RuntimeError]

@pytest.mark.experiment(
    replicates=6, treatments={"t": {"x": 1}}, hypotheses=[Hypothesis(metric="m", direction="increase")]
)
def experiment_six(replicate, x=0):
    if x:
        raise ERRORS[replicate]()
    return {"m": 1.0}
"""


@pytest.mark.parametrize(
    ("program", "options", "line"),
    [
        (ONE, ["--crystallize-calibrate=1"], "*: 1 A/A test of 1 and 1 replicate, seed 0*"),
        (ONE, ["--crystallize-repro=0:t", "-rs"], "SKIPPED * no verdict: 1 of 1 replicate"),
        (SIX, [], "and 1 further kind of failure"),
    ],
)
def test_one_is_no_plural(project, program, options, line):
    """Of one of anything the noun is singular, in every report."""
    project.write(program)
    result = project.run(*options, *REPORTS)
    assert not re.search(r"\b1 (A/A tests|replicates|runs|further kinds)\b", " ".join(texts(project, result)))
    result.stdout.fnmatch_lines([line])


def told(project):
    """Return the tests of the report for programs."""
    report = json.loads((project.path / "r.json").read_text())
    return [test for each in report["experiments"] for test in each["tests"]]
