"""Clustered t."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import clustered_t, paired_t

ALTERNATIVES = ["two-sided", "greater", "less"]
laws = examples(40)


def regression(baseline, treatment, baseline_units, treatment_units):
    """Return slope, CR2 standard error and Bell and McCaffrey's df of value ~ arm, by the matrix formulas."""
    y = np.concatenate((baseline, treatment))
    x = np.column_stack((np.ones(y.size), np.arange(y.size) >= len(baseline))).astype(float)
    units = np.array([*baseline_units, *treatment_units])
    bread = np.linalg.inv(x.T @ x)
    slope = bread @ x.T @ y
    annihilator = np.eye(y.size) - x @ bread @ x.T
    residuals = annihilator @ y
    meat, vectors = np.zeros((2, 2)), []
    for unit in sorted(set(units)):
        own = units == unit
        values, basis = np.linalg.eigh(annihilator[np.ix_(own, own)])
        adjusted = basis @ np.diag(values**-0.5) @ basis.T
        score = x[own].T @ adjusted @ residuals[own]
        meat += np.outer(score, score)
        vectors.append(annihilator[own].T @ adjusted @ x[own] @ bread[:, 1])
    gram = np.array(vectors) @ np.array(vectors).T
    df = np.trace(gram) ** 2 / np.trace(gram @ gram)
    return slope[1], math.sqrt((bread @ meat @ bread)[1, 1]), df


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_sandwich_of_the_regression(seed, alternative):
    """Estimate, error, df and p-value are those of least squares with the CR2 covariance."""
    rng = np.random.default_rng(seed)
    baseline_units = [*"abcde", *rng.choice(list("abcde"), 9)]
    treatment_units = [*"abcde", *rng.choice(list("abcde"), 4)]
    baseline, treatment = rng.normal(size=14), rng.normal(1, 2, 9)
    slope, error, df = regression(baseline, treatment, baseline_units, treatment_units)
    result = clustered_t(
        baseline,
        treatment,
        baseline_units=baseline_units,
        treatment_units=treatment_units,
        alternative=alternative,
        shift=0.2,
    )
    t = (slope - 0.2) / error
    tail = {
        "two-sided": 2 * reference.t.sf(abs(t), df),
        "greater": reference.t.sf(t, df),
        "less": reference.t.cdf(t, df),
    }
    assert (result.estimate, result.statistic) == pytest.approx((slope, t), rel=1e-12)
    assert result.p_value == pytest.approx(tail[alternative], rel=1e-12)
    radius = reference.t.isf(0.025, df) * error
    assert result.interval == pytest.approx((slope - radius, slope + radius), rel=1e-12)
    assert result.df == pytest.approx(df, rel=1e-12)
    assert df < 4
    assert (result.n, result.null, result.test) == (5, 0.2, "clustered t")


@pytest.mark.parametrize("replicates", [1, 2, 7])
def test_balanced_units_give_the_paired_t_of_their_means(replicates):
    """With as many values in each unit the test is that of the units' means, however many replicates."""
    rng = np.random.default_rng(replicates)
    baseline, treatment = rng.normal(size=(replicates, 6)), rng.normal(0.5, 1, (replicates, 6))
    units = list(range(6)) * replicates
    result = clustered_t(baseline.ravel(), treatment.ravel(), baseline_units=units)
    expected = paired_t(baseline.mean(axis=0), treatment.mean(axis=0))
    for name in ("p_value", "statistic", "estimate", "interval", "df"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_repeating_every_value_changes_nothing():
    """A replicate that repeats the first one adds no evidence."""
    rng = np.random.default_rng(0)
    baseline, treatment, units = rng.normal(size=8), rng.normal(size=8), list("aabbccdd")
    once = clustered_t(baseline, treatment, baseline_units=units)
    twice = clustered_t([*baseline] * 2, [*treatment] * 2, baseline_units=units * 2)
    assert twice.p_value == pytest.approx(once.p_value, rel=1e-12)


def test_size_with_correlated_values():
    """8 units of 5 values with ICC .5: some 5 % of 1000 samples are rejected, not 27 %."""
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(8), 5).tolist()
    rejected = 0
    for _ in range(1000):
        differences = np.repeat(rng.normal(size=8), 5) + rng.normal(size=40)
        rejected += clustered_t(np.zeros(40), differences, baseline_units=units).p_value <= 0.05
    assert 0.03 <= rejected / 1000 <= 0.07


@laws
@given(data=st.data())
def test_order_of_values_and_names_of_units_are_irrelevant(data):
    """Values in another order with their units, and other names of units, give the identical result."""
    units = data.draw(st.permutations([*"abc", *data.draw(st.lists(st.sampled_from("abc"), max_size=6))]))
    values = st.integers(-50, 50).map(lambda value: value / 7)
    rows = [(data.draw(values), data.draw(values), unit) for unit in units]
    other = data.draw(st.permutations(rows))
    results = [
        clustered_t([r[0] for r in some], [r[1] for r in some], baseline_units=[names[r[2]] for r in some])
        for some, names in ((rows, {"a": "a", "b": "b", "c": "c"}), (other, {"a": 3, "b": None, "c": "a"}))
    ]
    assert results[0].p_value == pytest.approx(results[1].p_value, rel=1e-12)
    assert results[0].estimate == results[1].estimate


# Degenerate input.


@pytest.mark.parametrize(
    ("alternative", "expected"), [("two-sided", 2**-3), ("greater", 2**-4), ("less", 1.0)]
)
def test_equal_differences_have_the_p_value_of_equal_signs_of_units(alternative, expected):
    """Four units that all gain 0.1 (with float noise) give 2^-3 two-sided, however many values they have."""
    baseline = np.array([0.1, 0.2, 0.3, 0.7, 1.1, 0.6, 0.9, 0.4])
    result = clustered_t(baseline, baseline + 0.1, baseline_units=list("abcdabcd"), alternative=alternative)
    assert (result.p_value, result.degenerate, result.statistic) == (expected, True, math.inf)
    assert result.interval == (result.estimate, result.estimate)


def test_no_difference_at_all_supports_nothing_but_the_absence_of_a_loss():
    """Equal arms give p = 1, and the floor against a margin."""
    values, units = [1.0, 2.0, 2.0, 5.0], list("abca")
    assert clustered_t(values, values, baseline_units=units).p_value == 1.0
    result = clustered_t(values, values, baseline_units=units, shift=-0.1, alternative="greater")
    assert (result.p_value, result.interval) == (2**-3, (0.0, 0.0))


# Refusals.


@pytest.mark.parametrize(
    ("units", "others", "message"),
    [
        ("abc", None, "baseline has 4 values and 3 units; allowed is one unit per value"),
        ("abcd", "abc", "treatment has 4 values and 3 units"),
        ("abcd", "abcc", r"treatment has no value of unit 'd' \(1 unit\(s\) are missing there\)"),
        ("abcc", "abcd", "baseline has no value of unit 'd'"),
        ("aabb", None, r"the samples have 2 unit\(s\); it needs at least 3; more replicates of the same"),
    ],
)
def test_units_that_do_not_fit_are_refused(units, others, message):
    """The message names the arm and the unit."""
    with pytest.raises(SampleError, match=f"clustered t: {message}"):
        clustered_t(
            [1, 2, 3, 4], [2, 3, 4, 6], baseline_units=list(units), treatment_units=others and list(others)
        )
