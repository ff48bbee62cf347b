"""What no textbook formula takes, under pytest: the verdicts are those of the library."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import re

import pytest

from plugin.conftest import properties

PROJECT = """
NAN, INF = float("nan"), float("inf")
RISING = [0.3, 1.7, 0.2, 2.9, 1.1, 0.6, 2.2, 1.9]
UP = [v + 0.5 + 0.01 * i for i, v in enumerate(RISING)]

def but(values, i, value):
    return [*values[:i], value, *values[i + 1:]]

def claim(name, direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, name=name, **options)

def make(values, treatment, *hypotheses, **options):
    @pytest.mark.experiment(
        treatments={"t": {"values": treatment}}, hypotheses=list(hypotheses),
        replicates=len(values), **options
    )
    def body(replicate, values=values):
        value = values[replicate]
        if value is None:
            raise ValueError("broke")
        return {"x": value}
    return body

experiment_shift = make(RISING, [v + 1 for v in RISING],
    claim("equal_differences"), claim("one_sided", alternative="one-sided"),
    claim("wrong_sign", "decrease"), claim("inside", "equal", margin=1.5), correction="none")
experiment_five = make([0.1 * i for i in range(5)], [0.1 * i + 0.3 for i in range(5)], claim("five_signs"))
experiment_arms = make([1] * 4 + [1.0], [2.5] * 5, claim("unpaired", statistical_test=WelchTTest()))
experiment_zero = make(RISING, RISING, claim("nothing"), claim("guard", "no_decrease", margin=0.1))
experiment_nan = make(RISING, but(UP, 1, NAN),
    claim("gap"), claim("omitted", nan_policy="omit", max_missing=1),
    claim("worst", "no_decrease", margin=0.02, nan_policy="worst", worst=0), correction="none")
experiment_inf = make(but(RISING, 1, INF), UP, claim("infinite"))
experiment_failed = make(RISING, but(UP, 1, None),
    claim("failed"), claim("left_out", nan_policy="omit", max_missing=0.2), correction="none")
experiment_one = make([1.5], [2.5], claim("single"), claim("exact", deterministic=True))
experiment_two = make([1.5, 2.0], [2.5, 2.2], claim("pair"))
experiment_four = make([0] * 4, [1] * 4, claim("binary_too_few"))
experiment_constant = make([1.0] * 8, UP, claim("one_constant_arm", effect=0.1))
experiment_bools = make([False] * 9, [np.bool_(True)] * 9, claim("bools"))
experiment_numpy = make([np.float32(v) for v in RISING], [np.float64(v) for v in UP], claim("numpy"))
experiment_big = make([10**30 + 10**29 * i for i in range(8)], [12**30 + 10**29 * i * i for i in range(8)], claim("big"))
experiment_hang = make(
    list(map(np.float32, but(RISING, 3, 1e7))), list(map(np.float32, but(UP, 3, 2e7))),
    claim("hang", statistical_test=WilcoxonTest())
)
experiment_ulp = make(*[[1 + 7 * 2**-52 * i for i in arm] for arm in ((3, 1, 4, 1, 5, 9, 2, 6), (2, 7, 1, 8, 2, 8, 1, 8))],
    claim("ulp"))
"""

EXPECTED = {
    "equal_differences": ("supported", 2.0**-7, 8),
    "one_sided": ("supported", 2.0**-8, 8),
    "wrong_sign": ("refuted", 2.0**-7, 8),
    "inside": ("supported", 2.0**-8, 8),
    "five_signs": ("inconclusive", 2.0**-4, 5),
    "unpaired": ("supported", 2 / 252, 5),
    "nothing": ("inconclusive", 1.0, 8),
    "guard": ("supported", 2.0**-8, 8),
    "gap": ("invalid", None, 8),
    "omitted": ("supported", ..., 7),
    "worst": ("inconclusive", ..., 8),
    "infinite": ("invalid", None, 8),
    "failed": ("invalid", None, 7),
    "left_out": ("supported", ..., 7),
    "single": ("invalid", None, 1),
    "exact": ("supported", None, 1),
    "pair": ("invalid", None, 2),
    "binary_too_few": ("invalid", None, 4),
    "one_constant_arm": ("supported", ..., 8),
    "bools": ("supported", ..., 9),
    "numpy": ("supported", ..., 8),
    "big": ("supported", ..., 8),
    "hang": ("supported", 2.0**-7, 8),
    "ulp": ("inconclusive", 1.0, 8),
}

REASONS = {
    "gap": "metric 'x' is nan in replicate 1 of 't'",
    "infinite": "metric 'x' is inf in replicate 1 of 'baseline'",
    "failed": "1 of 8 replicates of 't' are missing: replicate 1 failed with ValueError: broke",
    "single": "the paired t test needs at least 3 replicates, not 1; run more",
    "pair": "the paired t test needs at least 3 replicates, not 2; run more",
    "binary_too_few": "can't reach alpha = 0.05; run at least 5 replicates",
    "wrong_sign": "x goes the other way",
}


def found(project):
    """Return the properties of each claim's test case, and its failure's message."""
    cases = {name.removesuffix("[t]"): case for name, case in project.cases().items()}
    return {
        name: (
            properties(case),
            (case.find("failure").get("message") if case.find("failure") is not None else ""),
        )
        for name, case in cases.items()
    }


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_every_row(project, workers):
    """Verdict, p, n, and the word and reason of what fails; the same on workers."""
    project.write(PROJECT)
    run = project.run_workers if workers else project.run
    result = run("-v", "--junitxml=junit.xml")
    passed = [name for name, (status, _, _) in EXPECTED.items() if status == "supported"]
    result.assert_outcomes(passed=len(passed), failed=len(EXPECTED) - len(passed))
    cases = found(project)
    assert set(cases) == set(EXPECTED)
    for name, (status, p_value, n) in EXPECTED.items():
        values, message = cases[name]
        assert (name, values["verdict"], int(values["n"])) == (name, status, n)
        if p_value is None:
            assert "p_value" not in values, name
        elif p_value is not ...:
            assert float(values["p_value"]) == pytest.approx(p_value, rel=1e-12), name
        assert bool(message) is (status != "supported")
        assert REASONS.get(name, "") in message
        word = status.upper()
        assert re.search(rf"::{name}\[t\] {word}\b|\] {word}\b.*::{name}\[t\]", result.stdout.str())
    text = result.stdout.str()
    assert re.search(r"t +\+1 +\[1, 1\] +0\.008 +8  SUPPORTED\*", text)
    assert "* no variance: what is compared never varies" in text
    joined = " ".join(text.split())
    assert "note: omitted [t]: 1 replicate of 8 lacks a value" in joined
    assert "note: the paired t test on 8 relies on roughly normal values" in joined
    assert "RuntimeWarning" not in text
