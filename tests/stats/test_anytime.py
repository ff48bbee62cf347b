"""E-processes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import integrate
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import (
    anytime_mcnemar,
    anytime_t,
    log_binary_e_value,
    log_t_e_value,
    paired_t,
)
from crystallize.stats.anytime import t_e_radius

SLEEP_X = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_Y = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

laws = examples(60)
numbers = st.floats(-100, 100).map(lambda value: round(value, 2))
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=12)
binary_pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


# Published values.


def test_sleep():
    """T = 4.0621 of 10 pairs has E = 25.47426 and p = .0392553."""
    e_value = math.exp(log_t_e_value(4.0621, 10))
    assert e_value == pytest.approx(25.47426, rel=5e-6)
    assert 1 / e_value == pytest.approx(0.0392553, rel=5e-6)
    last = anytime_t(SLEEP_X, SLEEP_Y, looks=[10])[-1]
    assert (last.statistic, last.p_value) == pytest.approx((25.47426, 0.0392553), rel=1e-4)
    assert last.interval == pytest.approx((0.07481, 3.08519), abs=5e-6)
    assert (last.n, last.test, last.alternative) == (10, "anytime-valid t", "two-sided")


# What makes an e-value: its expectation under the null hypothesis is 1.


@pytest.mark.parametrize("n", [2, 3, 10, 40])
@pytest.mark.parametrize("g", [0.1, 1.0, 5.0])
def test_t_e_value_has_expectation_one(n, g):
    """The integral of E over Student's distribution is 1."""

    def weighted(y):  # t = sinh(y) brings the heavy tail within reach
        return math.exp(
            log_t_e_value(math.sinh(y), n, g) + reference.t.logpdf(math.sinh(y), n - 1)
        ) * math.cosh(y)

    mean, _ = integrate.quad(weighted, 0, 60, points=[1, 3, 8], limit=400)
    assert 2 * mean == pytest.approx(1.0, rel=1e-7)


@pytest.mark.parametrize("n", [2, 10, 40])
def test_t_e_value_is_the_likelihood_ratio_averaged_over_effects(n):
    """It is the mean ratio of the noncentral to the central t density over normal effects."""
    t = 2.3

    def weighted(effect):
        density = reference.nct.pdf(t, n - 1, effect * math.sqrt(n))
        return density * reference.norm.pdf(effect) / reference.t.pdf(t, n - 1)

    mean, _ = integrate.quad(weighted, -8, 8, points=[t / math.sqrt(n)], limit=400)
    assert math.exp(log_t_e_value(t, n)) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_binary_e_value_is_a_martingale(share):
    """The expectation after one more pair is the value before it, from 1 on."""
    assert log_binary_e_value(0, 0, share) == 0.0
    for gains in range(6):
        for losses in range(6):
            now = math.exp(log_binary_e_value(gains, losses, share))
            gain = math.exp(log_binary_e_value(gains + 1, losses, share))
            loss = math.exp(log_binary_e_value(gains, losses + 1, share))
            assert share * gain + (1 - share) * loss == pytest.approx(now, rel=1e-12)


def test_binary_e_value_is_the_formula():
    """E = 2^(s+f) B(1/2 + s, 1/2 + f) / B(1/2, 1/2)."""
    beta = math.gamma(7.5) * math.gamma(2.5) / math.gamma(10) / math.pi
    assert math.exp(log_binary_e_value(7, 2)) == pytest.approx(2**9 * beta, rel=1e-12)


# Radius and interval.


@pytest.mark.parametrize("n", [5, 10, 100, 10_000])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("g", [0.1, 1.0, 10.0])
def test_radius_is_the_t_at_which_e_is_one_over_alpha(n, alpha, g):
    """Where the radius is finite, E is 1/alpha there."""
    radius = t_e_radius(n, alpha, g)
    if math.isfinite(radius):
        assert log_t_e_value(radius, n, g) == pytest.approx(-math.log(alpha), rel=1e-6)
    else:
        assert log_t_e_value(math.inf, n, g) <= -math.log(alpha)


@laws
@given(drawn=pairs, alpha=st.floats(0.01, 0.5), g=st.floats(0.1, 10))
def test_interval_holds_the_shifts_without_evidence(drawn, alpha, g):
    """At a finite end of the interval, taken as shift, E is 1/alpha."""
    for look in anytime_t(*arms(drawn), alpha=alpha, g=g):
        assert look.interval[0] <= look.estimate <= look.interval[1]
        width = look.interval[1] - look.interval[0]
        if not look.degenerate and 1e-6 < width < math.inf:
            for end in look.interval:
                at_end = anytime_t(*arms(drawn), shift=end, g=g, looks=[look.n])[0]
                assert at_end.statistic == pytest.approx(1 / alpha, rel=1e-4)


@laws
@given(drawn=binary_pairs, alpha=st.floats(0.01, 0.5))
def test_binary_interval_holds_the_shares_without_evidence(drawn, alpha):
    """Inside of the interval E is below 1/alpha, outside above."""
    look = anytime_mcnemar(*arms(drawn), alpha=alpha)[-1]
    gains = sum(t > b for b, t in drawn)
    losses = sum(t < b for b, t in drawn)
    low, high = look.interval
    assert 0 <= low <= look.estimate <= high <= 1
    for share, inside in ((low + 1e-6, True), (low - 1e-6, False), (high - 1e-6, True), (high + 1e-6, False)):
        if 0 < share < 1:
            assert (log_binary_e_value(gains, losses, share) < -math.log(alpha)) is inside


# Laws.


@laws
@given(drawn=pairs)
def test_p_values_fall_and_are_sane(drawn):
    """A p-value is 1 over the largest E so far, so it never rises, and it is at most 1."""
    results = anytime_t(*arms(drawn))
    best = 1.0
    for look in results:
        best = max(best, look.statistic)
        assert look.p_value == pytest.approx(1 / best, rel=1e-12)
        assert {type(v) for v in (look.p_value, look.statistic, look.estimate, *look.interval)} == {float}
    assert [look.n for look in results] == list(range(3, len(drawn) + 1))


@laws
@given(drawn=pairs, data=st.data())
def test_a_look_knows_nothing_of_later_replicates(drawn, data):
    """The verdict at a look is that of the prefix alone, whatever else has run."""
    n = data.draw(st.integers(3, len(drawn)))
    looks = sorted({3, n})
    assert anytime_t(*arms(drawn), looks=looks) == anytime_t(*arms(drawn[:n]), looks=looks)


@laws
@given(drawn=pairs)
def test_swapping_the_arms_mirrors_the_looks(drawn):
    """Exchanged arms have the same evidence for the negative difference."""
    baseline, treatment = arms(drawn)
    for look, mirror in zip(anytime_t(baseline, treatment), anytime_t(treatment, baseline), strict=True):
        assert mirror.p_value == look.p_value
        assert mirror.interval == (-look.interval[1], -look.interval[0])


@laws
@given(drawn=binary_pairs.filter(lambda pairs: len(pairs) <= 12))
def test_swapping_binary_arms_mirrors_the_looks(drawn):
    """Exchanged arms exchange gains and losses."""
    baseline, treatment = arms(drawn)
    for look, mirror in zip(
        anytime_mcnemar(baseline, treatment), anytime_mcnemar(treatment, baseline), strict=True
    ):
        assert mirror.p_value == pytest.approx(look.p_value, rel=1e-12)
        assert mirror.estimate == pytest.approx(1 - look.estimate)
        assert mirror.interval == pytest.approx((1 - look.interval[1], 1 - look.interval[0]), abs=1e-12)


def test_continuous_looking_keeps_the_level():
    """Looking after every pair up to 40, fewer than 5 % of 200 null samples are ever rejected."""
    rng = np.random.default_rng(0)
    rejected = sum(anytime_t(np.zeros(40), rng.normal(size=40))[-1].p_value <= 0.05 for _ in range(200))
    assert rejected / 200 <= 0.05


# Degenerate and extreme input.


def test_equal_differences_have_the_evidence_of_their_signs():
    """E is that of n gains; the interval is [c, c] once it reaches 1/alpha, before that unbounded."""
    looks = anytime_t(np.arange(12.0), np.arange(12.0) + 2)
    for look in looks:
        assert look.degenerate
        assert look.statistic == pytest.approx(math.exp(log_binary_e_value(look.n, 0)))
        assert look.interval == ((2.0, 2.0) if look.statistic >= 20 else (-math.inf, math.inf))
    assert looks[0].p_value > 0.05 > looks[-1].p_value


def test_no_difference_at_all_is_no_evidence():
    """Equal pairs have E = 1 and p = 1 at every look, also by McNemar's e-process."""
    for look in [*anytime_t([1, 2, 3, 4], [1, 2, 3, 4]), *anytime_mcnemar([1, 0, 1], [1, 0, 1])]:
        assert (look.statistic, look.p_value, look.degenerate) == (1.0, 1.0, True)


def test_huge_evidence_does_not_overflow():
    """An infinite t, and 10,000 gains, have finite logarithms; E itself may be infinite, p then is 0."""
    assert log_t_e_value(math.inf, 10) == pytest.approx(4.5 * math.log(11))
    assert log_t_e_value(1e99, 10) == pytest.approx(log_t_e_value(math.inf, 10))
    last = anytime_mcnemar(np.zeros(10_000), np.ones(10_000), looks=[10_000])[0]
    assert (last.statistic, last.p_value) == (math.inf, 0.0)
    with np.errstate(all="raise"):
        anytime_t([1e308, -1e308, 1e308, 5], [-1e308, 1e308, 1e307, 5e-324])
        anytime_t([5e-324, 0, 0, 0], [0, 0, 1e-323, 0])


def test_evidence_agrees_with_the_t_test_in_order():
    """A larger |t| is more evidence at the same n."""
    values = [log_t_e_value(t, 12) for t in (0, 0.5, 1, 2, 5, 1e3, 1e50, math.inf)]
    assert values == sorted(values)
    result = paired_t(SLEEP_X, SLEEP_Y)
    assert anytime_t(SLEEP_X, SLEEP_Y)[-1].estimate == result.estimate


# Refusals.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anytime_t([1, 2], [1, 2]), r"baseline has 2 value\(s\); it needs at least 3"),
        (lambda: anytime_t([1, 2, 3], [1, 2, 3], g=0), "g is 0; allowed are positive finite numbers"),
        (
            lambda: anytime_t([1, 2, 3], [1, 2, 3], looks=[2, 3]),
            r"looks are \[2, 3\]; allowed are ascending whole numbers from 3 to 3",
        ),
        (lambda: anytime_t([1, 2, 3], [1, 2, 3], looks=[]), r"looks are \[\]"),
        (lambda: anytime_t([1, 2, 3, 4], [1, 2, 3, 5], looks=[3, 3]), r"looks are \[3, 3\]"),
        (lambda: anytime_t([1, 2, 3], [1, 2, math.nan]), r"treatment\[2\] is nan"),
        (lambda: anytime_mcnemar([0, 2], [0, 1]), r"baseline\[1\] is 2\.0; allowed are 0 and 1"),
        (
            lambda: anytime_mcnemar([0, 1], [0, 1], looks=[3]),
            r"looks are \[3\]; allowed are ascending whole numbers from 1 to 2",
        ),
        (lambda: anytime_mcnemar([0, 1], [0, 1], alpha=1), "alpha is 1;"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    """The message says what was given and what is allowed."""
    with pytest.raises(SampleError, match=message):
        call()
