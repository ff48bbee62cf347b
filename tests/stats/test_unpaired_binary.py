"""Boschloo, Fisher and Barnard."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize import stats
from crystallize.errors import SampleError
from crystallize.stats import (
    barnard,
    barnard_p_value,
    boschloo,
    boschloo_p_value,
    fisher_exact,
    fisher_p_value,
    risk_difference_test,
    smallest_binary_p,
)
from crystallize.stats.unconditional import largest_probability

ALTERNATIVES = ["two-sided", "greater", "less"]
EXACT = [boschloo, fisher_exact, barnard]
P_VALUES = [boschloo_p_value, fisher_p_value, barnard_p_value]

laws = examples(60)
sizes = st.integers(1, 25)


@st.composite
def tables(draw):
    n, m = draw(sizes), draw(sizes)
    return draw(st.integers(0, n)), n, draw(st.integers(0, m)), m


def sample(x, n, y, m):
    return [1] * x + [0] * (n - x), [1] * y + [0] * (m - y)


def of_scipy(x, n, y, m):
    return [[y, x], [m - y, n - x]]


# Published values.


def test_published_p_values():
    """Fisher's tea gives .242857, the table of scipy's Boschloo example .0355641."""
    assert fisher_p_value(1, 4, 3, 4, "greater") == pytest.approx(0.242857, rel=5e-6)
    assert boschloo_p_value(31, 63, 74, 117, "greater") == pytest.approx(0.0355641, rel=5e-6)
    assert boschloo(*sample(31, 63, 74, 117), alternative="greater").p_value == pytest.approx(
        0.0355641, rel=5e-6
    )


def test_result_has_the_risk_difference_and_its_interval():
    """The estimate is a risk difference, with Miettinen and Nurminen's interval and score."""
    result = boschloo(*sample(48, 80, 56, 70))
    assert result.estimate == pytest.approx(0.2)
    assert result.interval == pytest.approx((0.0528, 0.3382), abs=5e-5)
    assert (result.test, result.estimand, result.null, result.n) == (
        "Boschloo",
        "risk difference",
        0.0,
        (80, 70),
    )


# Against computations of another kind.


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(
    "table", [(1, 4, 3, 4), (0, 7, 5, 9), (3, 10, 30, 35), (40, 60, 41, 50), (0, 5, 0, 5), (9, 9, 2, 2)]
)
def test_fisher_agrees_with_scipy(table, alternative):
    """Fisher's p-value is scipy's to 1e-12."""
    expected = reference.fisher_exact(of_scipy(*table), alternative=alternative)[1]
    assert fisher_p_value(*table, alternative) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(
    "table", [(1, 4, 3, 4), (0, 7, 5, 9), (3, 10, 30, 35), (31, 63, 74, 117), (12, 20, 10, 30)]
)
def test_boschloo_agrees_with_scipy(table, alternative):
    """Boschloo's p-value is never below scipy's, and above it by no more than its optimizer misses."""
    expected = reference.boschloo_exact(of_scipy(*table), alternative=alternative).pvalue
    p_value = boschloo_p_value(*table, alternative)
    assert p_value >= expected * (1 - 1e-12)
    assert p_value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("test", [reference.boschloo_exact, reference.barnard_exact])
def test_where_scipy_says_nan_the_p_value_is_one(test):
    """Arms without any success, or without failure, give p = 1."""
    for exact in P_VALUES:
        for alternative in ALTERNATIVES:
            assert exact(0, 5, 0, 8, alternative) == 1.0
            assert exact(5, 5, 8, 8, alternative) == 1.0


def brute_force(region, n, m):
    """Return the largest probability of a region on a dense grid of rates."""
    rates = np.sin(np.linspace(0.001, math.pi / 2 - 0.001, 4001))[:, None] ** 2
    baseline = reference.binom.pmf(np.arange(n + 1), n, rates)
    treatment = reference.binom.pmf(np.arange(m + 1), m, rates)
    return float(((baseline @ region) * treatment).sum(axis=1).max())


def test_barnard_is_the_supremum_where_scipy_stops_at_a_local_maximum():
    """Of 12/33 and 6/21 Barnard's two-sided p-value is .637; scipy 1.17 says .589."""
    n, m = 33, 21
    x, y = np.arange(n + 1)[:, None], np.arange(m + 1)
    # Exact comparison of the squared scores as fractions: (n y - m x)^2 / (s (N - s)).
    total = x + y
    spread = np.where((total > 0) & (total < n + m), total * (n + m - total), 1)
    squares = (n * y - m * x) ** 2
    region = squares * spread[12, 6] >= squares[12, 6] * spread
    p_value = barnard_p_value(12, n, 6, m)
    assert p_value == pytest.approx(brute_force(region, n, m), rel=1e-6)
    assert p_value == pytest.approx(0.63712, abs=1e-5)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (7, 12), (20, 20)])
def test_largest_probability_is_that_of_a_dense_grid(n, m):
    """The maximum over the common rate is found, for regions of any shape."""
    rng = np.random.default_rng(n)
    for density in (0.05, 0.3, 0.9):
        region = rng.random((n + 1, m + 1)) < density
        region[0, 0] = region[n, m] = False
        best = brute_force(region, n, m)
        assert best <= largest_probability(region) <= best * (1 + 1e-5)


@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 11)])
@pytest.mark.parametrize("exact", P_VALUES)
def test_size_never_exceeds_alpha(exact, n, m):
    """Over all common rates the chance of p <= .05 is at most .05."""
    for alternative in ALTERNATIVES:
        p_values = np.array([[exact(x, n, y, m, alternative) for y in range(m + 1)] for x in range(n + 1)])
        for alpha in (0.05, 0.2):
            assert brute_force(p_values <= alpha, n, m) <= alpha


# Large arms.


def test_large_arms_are_tested_by_the_score():
    """Beyond a million of tables the p-value is that of the score, at once."""
    baseline, treatment = sample(5000, 20_000, 5300, 20_000)
    assert boschloo(baseline, treatment).p_value == risk_difference_test(baseline, treatment).p_value
    assert barnard(baseline, treatment).p_value == risk_difference_test(baseline, treatment).p_value
    expected = reference.fisher_exact(of_scipy(5000, 20_000, 5300, 20_000))[1]
    assert fisher_exact(baseline, treatment).p_value == pytest.approx(expected, rel=1e-9)


# Shift.


def test_boschloo_of_another_difference_is_the_score_test():
    """With a shift the result is that of the risk difference test, by its name, too."""
    baseline, treatment = sample(48, 80, 56, 70)
    result = boschloo(baseline, treatment, shift=-0.1, alternative="greater")
    assert result == risk_difference_test(baseline, treatment, shift=-0.1, alternative="greater")
    assert result.test == "Miettinen-Nurminen score"


@pytest.mark.parametrize("test", [fisher_exact, barnard])
def test_exact_tests_refuse_a_shift(test):
    """There is no exact test of another difference, and the message names the way out."""
    with pytest.raises(
        SampleError, match=r"shift is 0\.1; allowed is 0.*use boschloo or risk_difference_test"
    ):
        test([0, 1], [1, 1], shift=0.1)


# Smallest p-values, and laws.


def test_smallest_attainable_p():
    """Full separation of three per arm is significant by Boschloo, of four by Fisher."""
    assert smallest_binary_p(3, 3) == pytest.approx(2**-5)
    assert smallest_binary_p(3, 3, fisher_p_value) == pytest.approx(0.1)
    assert smallest_binary_p(4, 4, fisher_p_value) == pytest.approx(2 / 70)
    assert smallest_binary_p(4, 5, alternative="less") == pytest.approx(
        smallest_binary_p(5, 4, alternative="greater")
    )


@laws
@given(table=tables(), alternative=st.sampled_from(ALTERNATIVES))
def test_boschloo_is_never_above_fisher_and_never_below_the_smallest(table, alternative):
    """Boschloo's test is uniformly more powerful than Fisher's, one-sided."""
    n, m = table[1], table[3]
    assert boschloo_p_value(*table, alternative) >= smallest_binary_p(n, m, alternative=alternative) * (
        1 - 1e-9
    )
    if alternative != "two-sided":
        assert boschloo_p_value(*table, alternative) <= fisher_p_value(*table, alternative) * (1 + 1e-9)


@laws
@given(table=tables(), exact=st.sampled_from(P_VALUES))
def test_relabelling_success_and_failure_mirrors_the_p_values(table, exact):
    """What is greater for successes is less for failures."""
    x, n, y, m = table
    for alternative, opposite in zip(ALTERNATIVES, ["two-sided", "less", "greater"], strict=True):
        mirrored = exact(n - x, n, m - y, m, opposite)
        assert exact(x, n, y, m, alternative) == pytest.approx(mirrored, rel=1e-6)


@pytest.mark.parametrize("test", [*EXACT, partial(risk_difference_test, shift=0.1)])
def test_empty_arms_are_refused(test):
    """At least one value per arm is needed."""
    with pytest.raises(SampleError, match=r"baseline has 0 value\(s\); it needs at least 1"):
        test([], [1])


@pytest.mark.parametrize("test", [barnard, boschloo, fisher_exact])
def test_probabilities_that_vanish_where_numpy_raises(test):
    """They count as nothing."""
    arms = [0] * 900 + [1] * 100, [1] * 980 + [0] * 20
    with np.errstate(all="raise"):
        found = test(*arms)
    assert found.p_value < 1e-100


BY_COUNTS = [
    lambda **given: stats.fisher_p_value(1, 3, 2, 3, **given),
    lambda **given: stats.boschloo_p_value(1, 3, 2, 3, **given),
    lambda **given: stats.barnard_p_value(1, 3, 2, 3, **given),
    lambda **given: stats.mcnemar_p_value(1, 7, **given),
    lambda **given: stats.binomial_p_value(1, 7, 0.5, **given),
]


@pytest.mark.parametrize("by_counts", BY_COUNTS)
def test_a_misspelt_alternative_is_no_other_one(by_counts):
    """It was taken for "greater" by tests that looked for the two others."""
    with pytest.raises(
        SampleError, match="alternative is 'smaller'; allowed are 'two-sided', 'greater', 'less'"
    ):
        by_counts(alternative="smaller")


@pytest.mark.parametrize(
    "impossible",
    [
        lambda: stats.fisher_p_value(5, 3, 1, 3),
        lambda: stats.boschloo_p_value(-1, 3, 1, 3),
        lambda: stats.barnard_p_value(1, 3, -1, 3),
        lambda: stats.mcnemar_p_value(-1, 3),
        lambda: stats.mcnemar_p_value(3, -1),
        lambda: stats.binomial_p_value(5, 3, 0.5),
    ],
)
def test_counts_that_no_sample_has_give_no_p_value(impossible):
    """A negative one was the last of a table, or a tail of probability 0."""
    with pytest.raises(SampleError, match=r"allowed (is a count|are whole numbers) from 0"):
        impossible()


def test_a_rate_or_quantile_out_of_range_is_refused():
    """Of the p-value of counts, and of how many values a quantile takes."""
    with pytest.raises(SampleError, match=r"rate is 1.5; allowed is a number from 0 to 1"):
        stats.binomial_p_value(1, 3, 1.5)
    with pytest.raises(SampleError, match=r"q is 1.5; allowed is a number between 0 and 1"):
        stats.fewest_for_quantile(1.5)
