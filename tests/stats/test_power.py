"""Power, replicates and minimum detectable effects."""

import itertools
import math
import tracemalloc
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import binomial_p_value, boschloo_p_value, mcnemar_p_value
from crystallize.stats.power import (
    OneSampleBinary,
    PairedBinary,
    PairedT,
    ResampledT,
    TwoSampleT,
    UnpairedBinary,
    minimum_detectable_effect,
    power,
    replicates,
)
from crystallize.stats.risk_difference import miettinen_nurminen_p_value
from crystallize.stats.tango import tango_p_value

ALTERNATIVES = ["two-sided", "greater", "less"]
T_DESIGNS = [PairedT(), TwoSampleT(), ResampledT(test_fraction=0.2), PairedT(sd=3.0)]
BINARY = [PairedBinary(0.3), PairedBinary(0.5, exact=True), UnpairedBinary(0.4)]
DESIGNS = [*T_DESIGNS, *BINARY]
SYMMETRIC = [design for design in DESIGNS if not isinstance(design, UnpairedBinary)]
"""Those in which an effect and its opposite are found equally often."""

laws = examples(40)


# Published values.


def test_published_power_of_the_two_sample_t():
    """20 per arm find 1 SD with .868953; .9 takes 22.0211, so 23."""
    assert power(TwoSampleT(), 20, 1.0) == pytest.approx(0.868953, rel=5e-6)
    assert power(TwoSampleT(), 22.0211, 1.0) == pytest.approx(0.9, rel=5e-6)
    assert replicates(TwoSampleT(), 1.0, target=0.9) == 23


def test_published_minimum_detectable_effects_of_the_paired_t():
    """In SD of the differences: 1.68, 1.00, .89, .53, .28 at n = 5, 10, 12, 30, 100."""
    for n, expected in ((5, 1.68), (10, 1.00), (12, 0.89), (30, 0.53), (100, 0.28)):
        assert minimum_detectable_effect(PairedT(), n) == pytest.approx(expected, abs=0.005)
    assert replicates(PairedT(), 0.5) == 34


# Against computations of another kind.


@pytest.mark.parametrize(("n", "effect"), [(3, 1.0), (10, 0.5), (30, -0.8), (100, 0.01), (12, 0.0)])
def test_t_power_is_that_of_the_noncentral_t(n, effect):
    """Both tails beyond the critical value, with scipy's nct, whose far tail is nan."""
    critical = reference.t.isf(0.025, n - 1)
    nc = effect * math.sqrt(n)
    expected = reference.nct.sf(critical, n - 1, nc) + np.nan_to_num(reference.nct.cdf(-critical, n - 1, nc))
    assert power(PairedT(), n, effect) == pytest.approx(expected, rel=1e-9)
    one_sided = reference.nct.sf(reference.t.isf(0.05, n - 1), n - 1, nc)
    assert power(PairedT(), n, effect, alternative="greater") == pytest.approx(one_sided, rel=1e-9)
    assert power(PairedT(), n, -effect, alternative="less") == pytest.approx(one_sided, rel=1e-9)


def test_resampled_t_divides_by_the_corrected_error():
    """Its power is that of the paired t with 1/n + test/train in place of 1/n."""
    scale = math.sqrt((1 / 30 + 0.25) * 30)
    assert power(ResampledT(test_fraction=0.2), 30, 1.0) == pytest.approx(
        power(PairedT(), 30, 1.0 / scale), rel=1e-9
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_mcnemar_power_is_the_sum_over_all_samples(exact, alternative):
    """Every pair of counts of gains and losses, weighted by its multinomial probability."""
    n, gain, loss = 14, 0.35, 0.1
    expected = 0.0
    for gains, losses in itertools.product(range(n + 1), repeat=2):
        if gains + losses <= n:
            p_value = mcnemar_p_value(gains, losses, exact=exact, alternative=alternative)
            chance = reference.multinomial.pmf(
                [gains, losses, n - gains - losses], n, [gain, loss, 1 - gain - loss]
            )
            expected += chance * (p_value <= 0.05)
    design = PairedBinary(gain + loss, exact=exact)
    assert power(design, n, gain - loss, alternative=alternative) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_boschloo_power_is_the_sum_over_all_tables(alternative):
    """Every table whose Boschloo p-value is at most alpha."""
    n, first, second = 9, 0.3, 0.85
    expected = sum(
        reference.binom.pmf(x, n, first) * reference.binom.pmf(y, n, second)
        for x, y in itertools.product(range(n + 1), repeat=2)
        if boschloo_p_value(x, n, y, n, alternative) <= 0.05
    )
    assert power(UnpairedBinary(first), n, second - first, alternative=alternative) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(("null", "effect"), [(-0.15, 0.0), (-0.15, -0.05), (0.1, 0.0), (0.1, 0.3)])
def test_power_against_a_difference_is_the_sum_over_all_tables(alternative, null, effect):
    """Of those that Tango's, Miettinen and Nurminen's and the binomial test reject."""
    n, level = 17, 0.05
    counts = range(n + 1)
    gain = (0.4 + effect) / 2
    pairs = [(gains, losses) for gains in counts for losses in range(n + 1 - gains)]
    tables = np.array([t for t in pairs if tango_p_value(*t, n, null, alternative) <= level]).reshape(-1, 2)
    rest = n - tables.sum(axis=1, keepdims=True)
    chances = [gain, 0.4 - gain, 0.6]
    expected = reference.multinomial.pmf(np.hstack([tables, rest]), n, chances).sum()
    found = power(PairedBinary(0.4, null=null), n, effect, alternative=alternative)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)

    before, after = (reference.binom.pmf(counts, n, rate) for rate in (0.6, 0.6 + effect))
    expected = sum(
        before[x] * after[y]
        for x, y in itertools.product(counts, repeat=2)
        if miettinen_nurminen_p_value(x, n, y, n, null, alternative) <= level
    )
    found = power(UnpairedBinary(0.6, null=null), n, effect, alternative=alternative)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)

    expected = sum(after[y] for y in counts if binomial_p_value(y, n, 0.6 + null, alternative) <= level)
    found = power(OneSampleBinary(0.6, null=null), n, effect, alternative=alternative)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("design", "beyond", "effect"),
    [(PairedBinary(0.2, null=-0.02), 10_001, -0.011), (UnpairedBinary(0.9, null=-0.2), 101, -0.1)],
)
def test_large_samples_against_a_difference_are_approximated(design, beyond, effect):
    """Where the enumeration ends, power goes on nearly unchanged."""
    exact, about = (power(design, n, effect, alternative="greater") for n in (beyond - 1, beyond))
    assert 0.5 < exact < 0.9
    assert about == pytest.approx(exact, abs=0.03)


def test_the_critical_counts_of_a_rate_are_searched():
    """No array of all counts is made, of which a search for replicates would make hundreds."""
    tracemalloc.start()
    try:
        found = power(OneSampleBinary(0.85), 5_000_000, 0.0005)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    below, above = reference.binom(5_000_000, 0.85).ppf([0.025, 0.975])
    true = reference.binom(5_000_000, 0.8505)
    assert found == pytest.approx(true.cdf(below - 1) + true.sf(above), rel=1e-6)
    assert replicates(OneSampleBinary(0.85), 0.0) is None


def test_large_binary_arms_are_approximated():
    """Beyond 100 per arm the normal approximation goes on where enumeration ends."""
    design = UnpairedBinary(0.6)
    assert power(design, 101, 0.15) == pytest.approx(power(design, 100, 0.15), abs=0.03)
    assert replicates(design, 0.05) == pytest.approx(1471, abs=10)  # Fleiss without continuity correction
    assert power(UnpairedBinary(0.0), 500, 1.0) == 1.0


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_many_pairs_are_approximated(alternative):
    """Beyond 10,000 pairs the normal approximation goes on where enumeration ends."""
    design = PairedBinary(0.3)
    enumerated, approximate = (power(design, n, 0.014, alternative=alternative) for n in (10_000, 10_001))
    assert approximate == pytest.approx(enumerated, abs=0.005)
    assert power(PairedBinary(0.3), 20_000, 0.3) == 1.0


# Laws.


@laws
@given(
    test=st.sampled_from([*((d, "greater") for d in DESIGNS), *((d, "two-sided") for d in SYMMETRIC)]),
    n=st.integers(3, 60),
    effect=st.floats(0, 0.3),
    more=st.floats(0, 0.3),
)
def test_power_rises_with_the_effect(test, n, effect, more):
    """A larger effect in the claimed direction is found more often; power is in [0, 1]."""
    design, alternative = test
    effect, larger = sorted((effect, min(more + effect, 0.3)))
    less, greater = (power(design, n, size, alternative=alternative) for size in (effect, larger))
    assert 0 <= less <= greater + 1e-9
    assert greater <= 1


def test_the_least_power_of_two_sided_tests_of_rates_may_lie_beside_no_effect():
    """Only from a half are both directions alike; from .4, a small increase is found less often than none."""
    none, small = (power(UnpairedBinary(0.4), 7, effect) for effect in (0.0, 0.0078))
    assert small < none < 0.05
    assert power(UnpairedBinary(0.5), 7, 0.0078) > power(UnpairedBinary(0.5), 7, 0.0)


@laws
@given(
    design=st.sampled_from(T_DESIGNS),
    n=st.integers(3, 500),
    effect=st.floats(-3, 3),
    alpha=st.floats(0.001, 0.3),
)
def test_power_of_t_tests_rises_with_n_and_alpha(design, n, effect, alpha):
    """One more replicate, or a larger alpha, never lowers it; without effect it is alpha."""
    plain = power(design, n, effect, alpha=alpha)
    assert power(design, n + 1, effect, alpha=alpha) >= plain - 1e-9
    assert power(design, n, effect, alpha=1.1 * alpha) >= plain
    assert power(design, n, 0.0, alpha=alpha) == pytest.approx(alpha, rel=1e-6)


@laws
@given(design=st.sampled_from(T_DESIGNS), effect=st.floats(0.3, 5), target=st.floats(0.1, 0.95))
def test_replicates_are_the_smallest_number_that_reaches_the_target(design, effect, target):
    """Power reaches the target there and not one before."""
    n = replicates(design, effect, target=target)
    if n is None:
        assert power(design, 10_000_000, effect) < target
    else:
        assert power(design, n, effect) >= target
        assert n == 3 or power(design, n - 1, effect) < target


@pytest.mark.parametrize(
    ("design", "effect"), [(PairedBinary(0.3), 0.2), (PairedBinary(0.05), 0.05), (UnpairedBinary(0.5), -0.45)]
)
def test_replicates_of_exact_tests_lie_behind_the_last_dip(design, effect):
    """From there five numbers in a row reach the target, and the one before does not."""
    n = replicates(design, effect)
    assert all(power(design, n + more, effect) >= 0.8 for more in range(5))
    assert power(design, n - 1, effect) < 0.8


@laws
@given(
    design=st.sampled_from(DESIGNS), n=st.integers(3, 60), target=st.floats(0.2, 0.95), decrease=st.booleans()
)
def test_minimum_detectable_effect_is_where_power_reaches_the_target(design, n, target, decrease):
    """At the effect power is the target; if it is infinite, the largest possible effect falls short."""
    effect = minimum_detectable_effect(design, n, target=target, decrease=decrease)
    sign = -1 if decrease else 1
    if math.isinf(effect):
        assert power(design, n, sign * design.largest_effect(decrease=decrease)) < target
    else:
        assert power(design, n, sign * effect) == pytest.approx(target, abs=1e-6)


def test_the_unit_of_the_effect_is_the_standard_deviation():
    """With sd = 3 effects are three times as large."""
    assert minimum_detectable_effect(PairedT(sd=3.0), 12) == pytest.approx(
        3 * minimum_detectable_effect(PairedT(), 12), rel=1e-9
    )
    assert minimum_detectable_effect(PairedT(sd=1e-250), 12) > 0


# What can't be reached.


def test_what_no_number_of_replicates_finds():
    """No effect, one against the alternative, and one below the floor of resplits take None."""
    assert replicates(PairedT(), 0.0) is None
    assert replicates(PairedT(), -1.0, alternative="greater") is None
    assert replicates(ResampledT(test_fraction=0.2), 1.0) is None
    assert replicates(PairedBinary(0.5), 0.0) is None


def test_too_few_replicates_find_nothing():
    """Below the test's minimum power is 0, and so few binary pairs have no detectable effect."""
    assert power(PairedT(), 2, 100.0) == 0.0
    assert minimum_detectable_effect(PairedT(), 2) == math.inf
    assert minimum_detectable_effect(PairedBinary(1.0), 4) == math.inf
    assert minimum_detectable_effect(UnpairedBinary(0.5), 3) == math.inf


@pytest.mark.parametrize("design", DESIGNS)
def test_huge_numbers_have_a_defined_answer(design):
    """Ten million replicates, and effects at the end of the floats, give numbers in [0, 1]."""
    for n, effect in ((10_000_000, 0.3), (10_000_000, 0.0), (3, 0.3), (0, 0.3)):
        for alternative in ALTERNATIVES:
            assert 0 <= power(design, n, effect, alternative=alternative) <= 1
    if design in T_DESIGNS:
        assert power(design, 30, 1e300) == power(design, 30, -1e300) == 1.0
        assert power(design, 30, -1e300, alternative="greater") == 0.0


# Refusals.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PairedT(sd=0.0), "PairedT: sd is 0.0; allowed are positive finite numbers"),
        (lambda: TwoSampleT(sd=math.nan), "TwoSampleT: sd is nan; allowed"),
        (lambda: ResampledT(test_fraction=1.0), "ResampledT: test_fraction is 1.0; allowed"),
        (lambda: ResampledT(sd=-1.0), "ResampledT: sd is -1.0; allowed"),
        (lambda: PairedBinary(0.2, null=1), "PairedBinary: null is 1; allowed are numbers between -1 and 1"),
        (lambda: PairedBinary(0.2, True, 0.1), "PairedBinary: null is 0.1; of the exact test allowed is 0"),
        (lambda: UnpairedBinary(0.2, null=-1), "UnpairedBinary: null is -1; allowed are numbers between"),
        (lambda: OneSampleBinary(0.2, null=2), "OneSampleBinary: null is 2; allowed are numbers between"),
        (lambda: PairedBinary(0.0), "PairedBinary: discordance is 0.0; allowed is a number above 0"),
        (
            lambda: UnpairedBinary(1.5),
            "UnpairedBinary: baseline_rate is 1.5; allowed is a number from 0 to 1",
        ),
        (
            lambda: power(PairedBinary(0.2), 10, 0.3),
            "effect is 0.3; allowed are numbers up to the discordance, 0.2",
        ),
        (lambda: power(UnpairedBinary(0.9), 10, 0.3), "effect is 0.3 with a baseline rate of 0.9; allowed"),
        (lambda: power(PairedT(), -1, 0.3), "power of paired t: n is -1; allowed"),
        (lambda: power(PairedT(), 10, math.nan), "effect is nan; allowed are finite numbers"),
        (lambda: power(PairedT(), 10, 1, alpha=0), "alpha is 0; allowed"),
        (lambda: power(PairedT(), 10, 1, alternative="up"), "alternative is 'up'; allowed"),
        (lambda: replicates(PairedT(), 1, target=1), "target is 1; allowed is a number between 0 and 1"),
        (lambda: minimum_detectable_effect(PairedT(), 9, target=0), "target is 0; allowed"),
        (
            lambda: minimum_detectable_effect(PairedT(), 9, alternative="greater", decrease=True),
            "decrease is True with alternative 'greater'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    """The message names the design, what was given and what is allowed."""
    with pytest.raises(SampleError, match=message):
        call()


@pytest.mark.parametrize("kind", [Decimal, Fraction, np.float32, np.float16, np.longdouble])
@pytest.mark.parametrize("of", [PairedT, ResampledT, PairedBinary, UnpairedBinary, OneSampleBinary])
def test_designs_of_numbers_of_any_type(of, kind):
    """They compute with floats: a decimal ended in a TypeError, single precision in other digits."""
    given, plain = of(kind(0.25)), of(0.25)
    assert given == plain
    assert repr(given) == repr(plain)
    assert power(given, 20, 0.1) == power(plain, 20, 0.1)
    assert replicates(given, 0.2) == replicates(plain, 0.2)
    assert ResampledT(test_fraction=kind(0.25)) == ResampledT(test_fraction=0.25)


@pytest.mark.parametrize("unit", [2.0**-1074, 2.0**-1070, 2.0**-1000, 2.0**900])
@pytest.mark.parametrize("of", [PairedT, TwoSampleT, ResampledT])
def test_the_smallest_effect_is_found_in_any_unit(of, unit):
    """Between the smallest floats there is no middle, and the search had no end."""
    found = minimum_detectable_effect(of(unit), 20)
    assert found == pytest.approx(minimum_detectable_effect(of(1.0), 20) * unit, rel=1e-9, abs=unit * 0.5001)
    assert power(of(unit), 20, found) >= 0.8


@pytest.mark.parametrize("bad", ["0.5", None, math.nan, [0.5]])
def test_designs_of_what_is_no_number_are_refused(bad):
    """By the message that other values are refused by."""
    for of in (TwoSampleT, PairedBinary, UnpairedBinary, OneSampleBinary):
        with pytest.raises(SampleError, match="allowed"):
            of(bad)
    with pytest.raises(SampleError, match="test_fraction is"):
        ResampledT(test_fraction=bad)
