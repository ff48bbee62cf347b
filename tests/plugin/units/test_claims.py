"""Claims of particular kinds under pytest: what every report says of them."""

import json

import pytest

SOURCE = """
@pytest.mark.experiment(
    replicates=20,
    treatments={"fast": {"factor": 0.7}, "same": {"factor": 1.0}},
    hypotheses=[
        Hypothesis(metric="seconds", direction="decrease", at_least=0.2, relative=True),
        Hypothesis(
            metric="seconds", direction="no_increase", margin=0.1, relative=True,
            statistical_test=LogRatioTest(), name="by_ratio",
        ),
        Hypothesis(metric="seconds", direction="no_increase", detects=0.1, name="alarm"),
    ],
)
def experiment_time(rng, factor=1.0):
    return {"seconds": rng.lognormal(0, 0.3) * factor * rng.uniform(0.95, 1.05)}
"""
SCORED = """
@pytest.mark.experiment(
    replicates=40,
    treatments={"fast": {"factor": 0.6}},
    hypotheses=[
        Hypothesis(metric=Ratio("seconds", "done"), direction="decrease"),
        Hypothesis(metric="seconds", direction="decrease", statistical_test=QuantileTest(0.5), name="median"),
        Hypothesis(metric="seconds", direction="decrease", statistical_test=WinRateTest(), name="wins"),
        Hypothesis(metric="seconds", direction="decrease", covariate="load", name="adjusted"),
    ],
)
def experiment_time(rng, replicate, condition, factor=1.0):
    load = np.random.default_rng([replicate, len(condition)]).normal()
    seconds = rng.lognormal(0, 0.3) * factor * rng.uniform(0.95, 1.05)
    return {"seconds": seconds + 0.1 * load + 0.5, "done": rng.integers(1, 4), "load": load}
"""


@pytest.fixture
def claims(project):
    """Return a function that runs the experiment, and returns the text, the page and the verdicts by test."""
    project.write(SOURCE)

    def run(*args):
        formats = [f"--crystallize-report=r.{suffix}" for suffix in ("json", "html", "md")]
        result = project.run(*formats, *args)
        (each,) = json.loads((project.path / "r.json").read_text())["experiments"]
        tests = {test["test"].partition("experiment_time::")[2]: test["verdict"] for test in each["tests"]}
        pages = [(project.path / f"r.{suffix}").read_text() for suffix in ("html", "md")]
        return " ".join(result.stdout.str().split()), *pages, tests

    return run


def test_sizes_are_shown_in_percent(claims):
    """Difference, interval and the smallest that is seen, with what is claimed."""
    text, page, markdown, tests = claims()
    assert tests["seconds_decrease[fast]"]["status"] == "supported"
    assert tests["by_ratio[same]"]["status"] == "supported"
    assert "paired t over seeds of this data set, at least 20 %" in text
    assert "log paired t over seeds of this data set, margin 10 %" in text
    assert "diff is the change of the geometric mean" in text
    assert ">at least</text>" in page
    assert "REFUTED" in markdown
    assert "changes by less than the 20 % claimed" in markdown


def test_ratios_quantiles_wins_and_covariates(project, claims):
    """Each says what it estimates, and a covariate what it saves."""
    project.write(SCORED)
    text, page, markdown, tests = claims()
    for name in ("seconds_per_done_decrease", "median", "wins", "adjusted"):
        assert tests[f"{name}[fast]"]["status"] == "supported", name
    assert "seconds_per_done_decrease (seconds per done)" in text
    assert "diff is the difference of the ratios" in text
    assert "diff is the difference of the 50 % quantiles" in text
    assert "win rate, paired t over seeds of this data set" in text
    assert "covariate load saves" in text
    assert tests["adjusted[fast]"]["saved"] > 0.2
    assert "seconds per done" in page
    assert "wins" in markdown


def test_no_harm_has_a_word_of_its_own(project, claims):
    """In every report; it passes, counts in the headline, and says what it excludes."""
    text, page, markdown, tests = claims("-v", "-k", "alarm and same", "--junitxml=junit.xml")
    assert tests["alarm[same]"]["status"] == "no harm shown"
    assert "1 passed" in text
    assert "NO HARM SHOWN p" in text
    assert "alarm [same]: a rise of 0.1 is excluded at 80 %" in text
    assert ", detects 0.1, 60 % interval" in text
    for report in (page, markdown):
        assert "0 of 1 hypothesis supported, 1 with no harm shown" in report
        assert "NO HARM SHOWN" in report
        assert "a rise of 0.1 is excluded at 80 %" in report
    assert ">detects</text>" in page
    assert "✅" in markdown
    assert 'value="no harm shown"' in (project.path / "junit.xml").read_text()


@pytest.mark.slow
def test_workers_and_the_cache_give_the_same(claims):
    """Whoever runs what, and whatever is stored."""
    *_, cold = claims("-n2")
    *_, warm = claims("-n2")
    *_, alone = claims("-n0", "--cache-clear")
    assert cold == warm == alone
