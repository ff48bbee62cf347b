"""`--crystallize-check-verifiers`: each verifier of the user's is tried, once, on samples of every kind."""

import pytest

VERIFIERS = """
def p_of(baseline, treatment, alternative="two-sided"):
    before, after = (np.asarray(arm["total"], dtype=float) for arm in (baseline, treatment))
    return paired_t(before, after, alternative=alternative).p_value

@verifier
def sound(baseline, treatment, alpha=0.05):
    p = p_of(baseline, treatment)
    return {"p_value": p, "significant": p < alpha}

@verifier
def sided(baseline, treatment, alpha=0.05):
    p = p_of(baseline, treatment, alternative="greater")
    return {"p_value": p, "significant": p < alpha}

@verifier
def rates(baseline, treatment):
    first, second = baseline["total"], treatment["total"]
    if {*first, *second} - {0, 1}:
        raise ValueError("values are 0 or 1")
    gained, lost = (sum(a < b for a, b in zip(*arms)) for arms in ((first, second), (second, first)))
    n = gained + lost
    p = min(1.0, 2 * sum(math.comb(n, k) for k in range(max(gained, lost), n + 1)) / 2**n)
    return {"p_value": p, "significant": p < 0.05}

@verifier
def hopeful(baseline, treatment):
    return {"p_value": 0.01, "significant": True}

class Hopeful(StatisticalTest):
    name, paired, minimum_n, scale = "hopeful", True, 3, "difference"

    def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
        return TestResult("hopeful", 0.0, 0.01, alternative, estimate=1.0, interval=(0.5, 1.5))

MARK = {"replicates": 6, "treatments": {"boost": {"delta": 9.0}}}
"""


def of(verifier):
    return f"Hypothesis(verifier={verifier}(), metrics='total', name='{verifier}')"


@pytest.fixture
def suite(project):
    """Write experiments with verifiers: sound ones, one twice, and one that hopes."""
    source = "import math\nfrom crystallize.stats import TestResult, paired_t\n" + VERIFIERS
    source += "def experiment_a(rng, delta=0.0):\n    return {'total': rng.normal() + delta}\n"
    source += (
        "experiment_a = pytest.mark.experiment(hypotheses=["
        f"{of('sound')}, {of('sided')}, {of('hopeful')}, "
        "Hypothesis(metric='total', direction='increase')], **MARK)(experiment_a)\n"
    )
    source += "def experiment_b(rng, delta=0.0):\n    return {'total': rng.normal() + delta}\n"
    source += (
        f"experiment_b = pytest.mark.experiment(hypotheses=[{of('sound')}, "
        f"pytest.param({of('rates')}, marks=pytest.mark.xfail), "
        "Hypothesis(metric='total', direction='increase', statistical_test=Hopeful(), name='own')], "
        "**MARK)(experiment_b)\n"
    )
    project.write(source)
    return project


@pytest.mark.slow
def test_each_verifier_is_checked_once_as_what_it_is(suite):
    """Beside the verdicts: of two sides, of one, and of rates; tests of the library are not."""
    result = suite.run("--crystallize-check-verifiers", "-v", "-k", "verifier")
    outcomes = {
        line.split()[0].split("::", 1)[1]: line.split()[1]
        for line in result.outlines
        if "[verifier]" in line and line.startswith("experiment_a.py::") and "%" in line
    }
    assert outcomes == {
        "experiment_a::sound[verifier]": "PASSED",
        "experiment_a::sided[verifier]": "PASSED",
        "experiment_a::hopeful[verifier]": "FAILED",
        "experiment_b::rates[verifier]": "PASSED",
        "experiment_b::own[verifier]": "FAILED",
    }
    for line in (
        "verifier 'hopeful' fails * checks, as alternative='two-sided', binary=False",
        "*identical arms are decided, and not significant",
        "If it is meant to be something else, *",
    ):
        result.stdout.fnmatch_lines([line])
    assert "runtest" not in result.stdout.str()


def test_a_session_without_the_option_has_no_such_test(suite):
    """Nor does one in which Hypothesis is missing, which the error says."""
    assert "[verifier]" not in suite.run("--collect-only", "-q").stdout.str()
    both = suite.run("--collect-only", "-q", "--crystallize-check-verifiers").stdout.str()
    assert both.count("[verifier]") == 5
    assert both.count("[boost]") == 7


def test_the_error_names_the_extra(suite, monkeypatch):
    """Where Hypothesis is not installed."""
    monkeypatch.setattr("pytest_crystallize.options.contradictions.find_spec", lambda name: None)
    result = suite.run("--crystallize-check-verifiers")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*install it with pip install 'pytest-crystallize[[]testing[]]'*"])
