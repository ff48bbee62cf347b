"""Non-inferiority and equivalence, absolute and relative."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import examples

from crystallize.errors import SampleError
from crystallize.stats import (
    boschloo,
    brunner_munzel,
    clustered_t,
    equivalence,
    mann_whitney,
    mcnemar,
    non_inferiority,
    paired_permutation,
    paired_t,
    permutation,
    relative_equivalence,
    relative_non_inferiority,
    relative_superiority,
    resampled_t,
    risk_difference_test,
    welch_t,
    wilcoxon,
)

resampled = partial(resampled_t, test_fraction=0.2)
MEANS = [paired_t, welch_t, resampled]
ANY = [*MEANS, paired_permutation, permutation, wilcoxon, mann_whitney, brunner_munzel]
BASELINE = np.array([10.0, 11.2, 9.1, 10.5, 9.7, 10.2])
TREATMENT = np.array([10.1, 11.0, 9.4, 10.3, 9.9, 10.1])

laws = examples(60)
numbers = st.floats(-100, 100).map(lambda value: round(value, 2))
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8)
margins = st.floats(0.01, 100)


def arms(drawn):
    return [pair[0] for pair in drawn], [pair[1] for pair in drawn]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("compare", [*MEANS, paired_permutation])
def test_a_multiple_is_no_more_precise_than_what_it_is_of(compare, dtype):
    """Exactly a tenth more, but for rounding, was more, or less, than that in single precision."""
    for seed in range(12):
        first = (1 + np.random.default_rng(seed).random(12)).astype(dtype)
        if compare is welch_t:
            first[:] = first[0]
        for change in (0.1, 1 / 3, -0.1):
            second = (first.astype(float) * (1 + change)).astype(dtype)
            for alternative in ("two-sided", "greater", "less"):
                result = relative_superiority(compare, first, second, change=change, alternative=alternative)
                assert (result.p_value, result.degenerate) == (1.0, True)
        assert relative_non_inferiority(compare, first, second, margin=0.1).p_value == 1.0


@pytest.mark.parametrize("compare", ANY)
def test_non_inferiority_is_the_one_sided_test_at_the_margin(compare):
    """Guards against a decrease and an increase are the one-sided tests at -margin and +margin."""
    down = non_inferiority(compare, BASELINE, TREATMENT, margin=0.4)
    assert down == compare(BASELINE, TREATMENT, alternative="greater", shift=-0.4, alpha=0.1)
    up = non_inferiority(compare, BASELINE, TREATMENT, margin=0.4, guard="no_increase", alpha=0.01)
    assert up == compare(BASELINE, TREATMENT, alternative="less", shift=0.4, alpha=0.02)
    assert down.confidence == pytest.approx(0.9)


def test_score_tests_of_zero_one_data():
    """Pairs are tested by Tango's score, independent arms by Miettinen and Nurminen's."""
    baseline, treatment = [1] * 40 + [0] * 10, [1] * 38 + [0] * 12
    assert non_inferiority(mcnemar, baseline, treatment, margin=0.1).test == "Tango score"
    for compare in (boschloo, risk_difference_test):
        result = non_inferiority(compare, baseline, treatment, margin=0.1)
        assert (result.test, result.null) == ("Miettinen-Nurminen score", -0.1)


def test_clustered_values_have_margins_too():
    """A test with options of its own is bound with functools.partial."""
    compare = partial(clustered_t, baseline_units=list("abcabc"))
    assert non_inferiority(compare, BASELINE, TREATMENT, margin=0.4).n == 3


@laws
@given(compare=st.sampled_from(MEANS), drawn=pairs, margin=margins, alpha=st.floats(0.001, 0.4))
def test_interval_within_the_margin_is_a_p_value_below_alpha(compare, drawn, margin, alpha):
    """Supported by p and supported by the 1 - 2 alpha interval are the same."""
    result = non_inferiority(compare, *arms(drawn), margin=margin, alpha=alpha)
    assume(not result.degenerate and abs(result.p_value - alpha) > 1e-9)
    assert (result.p_value < alpha) == (result.interval[0] > -margin)
    both = equivalence(compare, *arms(drawn), margin=margin, alpha=alpha)
    assert (both.p_value < alpha) == (-margin < both.interval[0] and both.interval[1] < margin) or (
        abs(both.p_value - alpha) < 1e-9
    )


@laws
@given(compare=st.sampled_from(ANY), drawn=pairs, margin=margins)
def test_equivalence_takes_the_larger_p_value(compare, drawn, margin):
    """TOST is as good as the worse of both guards, and says which that is."""
    guards = [
        non_inferiority(compare, *arms(drawn), margin=margin, guard=guard)
        for guard in ("no_decrease", "no_increase")
    ]
    result = equivalence(compare, *arms(drawn), margin=margin)
    assert result.p_value == max(guard.p_value for guard in guards)
    assert result.test == f"TOST {guards[0].test}"
    assert result.null in {guard.null for guard in guards}


@laws
@given(compare=st.sampled_from(MEANS), drawn=pairs, margin=margins)
def test_a_larger_margin_is_easier(compare, drawn, margin):
    """The p-value does not rise with the margin."""
    narrow, wide = (non_inferiority(compare, *arms(drawn), margin=m).p_value for m in (margin, 1.5 * margin))
    assert wide <= narrow * (1 + 1e-9)


# Degenerate input.


def test_equal_arms_have_the_floor_of_the_distance_from_the_margin():
    """Five equal pairs show non-inferiority with p = 2^-5, and equivalence, too."""
    assert non_inferiority(paired_t, [0.5] * 5, [0.5] * 5, margin=0.1).p_value == 2**-5
    assert equivalence(paired_t, [0.5] * 5, [0.5] * 5, margin=0.1).p_value == 2**-5
    assert non_inferiority(paired_t, [0.5] * 5, [0.4] * 5, margin=0.1).p_value == 1.0


# Relative margins.


@pytest.mark.parametrize("compare", MEANS)
def test_a_relative_margin_is_a_contrast(compare):
    """No decrease by 3 % is a test of treatment - 0.97 baseline, shown as a relative change."""
    result = relative_non_inferiority(compare, BASELINE, TREATMENT, margin=0.03)
    contrast = compare(0.97 * BASELINE, TREATMENT, alternative="greater")
    assert result.p_value == pytest.approx(contrast.p_value, rel=1e-9)
    assert result.estimate == pytest.approx(TREATMENT.mean() / BASELINE.mean() - 1)
    assert (result.null, result.estimand) == (-0.03, "relative change")
    up = relative_non_inferiority(compare, BASELINE, TREATMENT, margin=0.03, guard="no_increase")
    contrast = compare(1.03 * BASELINE, TREATMENT, alternative="less")
    assert up.p_value == pytest.approx(contrast.p_value, rel=1e-9)
    both = relative_equivalence(compare, BASELINE, TREATMENT, margin=0.03)
    assert (both.p_value, both.test) == (max(up.p_value, result.p_value), f"TOST {up.test}")


def test_a_known_baseline_makes_a_relative_margin_absolute():
    """With a constant baseline of 10, 5 % are 0.5."""
    baseline = np.full(6, 10.0)
    relative = relative_non_inferiority(paired_t, baseline, TREATMENT, margin=0.05, alpha=0.05)
    absolute = non_inferiority(paired_t, baseline, TREATMENT, margin=0.5)
    assert relative.p_value == pytest.approx(max(absolute.p_value, 2**-6), rel=1e-9)
    assert relative.interval == pytest.approx(
        (absolute.interval[0] / 10, absolute.interval[1] / 10), rel=1e-9
    )


@laws
@given(compare=st.sampled_from(MEANS), drawn=pairs, margin=st.floats(0.01, 2), alpha=st.floats(0.01, 0.3))
def test_relative_interval_within_the_margin_is_a_p_value_below_alpha(compare, drawn, margin, alpha):
    """Also for relative changes, of a baseline of either sign, p and interval say the same."""
    baseline, treatment = arms(drawn)
    assume(abs(math.fsum(baseline)) > 1e-6)
    result = relative_non_inferiority(compare, baseline, treatment, margin=margin, alpha=alpha)
    assert result.interval[0] <= result.estimate <= result.interval[1]
    assume(not result.degenerate and abs(result.p_value - alpha) > 1e-6)
    assume(abs(result.interval[0] + margin) > 1e-6)
    assert (result.p_value < alpha) == (result.interval[0] > -margin)


def test_negative_baselines_have_relative_margins_of_their_size():
    """No decrease by 3 % of a baseline of -10 allows -10.3."""
    mirrored = relative_non_inferiority(paired_t, -BASELINE, -TREATMENT, margin=0.03)
    plain = relative_non_inferiority(paired_t, BASELINE, TREATMENT, margin=0.03, guard="no_increase")
    assert mirrored.p_value == pytest.approx(plain.p_value, rel=1e-12)
    assert mirrored.interval == pytest.approx((-plain.interval[1], -plain.interval[0]), rel=1e-12)


def test_a_baseline_that_may_be_zero_supports_no_relative_margin():
    """If its sign is not sure, p is large and the interval unbounded; a mean of 0 is refused."""
    result = relative_non_inferiority(paired_t, [-1.0, 1.1, -0.9, 1.0], [5.0, 6.0, 5.5, 6.5], margin=0.1)
    assert result.p_value > 0.05
    assert result.interval == (-math.inf, math.inf)
    with pytest.raises(
        SampleError, match=r"the baseline's mean is 0.*use a margin in the units of the metric"
    ):
        relative_non_inferiority(paired_t, [-1.0, 1.0, 0.0], [1.0, 2.0, 3.0], margin=0.1)


# Refusals.


@pytest.mark.parametrize(
    "test", [non_inferiority, equivalence, relative_non_inferiority, relative_equivalence]
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0}, "margin is 0; allowed are positive finite numbers"),
        ({"margin": -1}, "margin is -1; allowed"),
        ({"margin": math.nan}, "margin is nan; allowed"),
        ({"margin": math.inf}, "margin is inf; allowed"),
        ({"margin": 1, "alpha": 0.5}, "alpha is 0.5; allowed is a number below 0.5"),
        ({"margin": 1, "alpha": 0}, "alpha is 0; allowed"),
    ],
)
def test_options_out_of_range_are_refused(test, options, message):
    """A margin must be positive, alpha one-sided."""
    with pytest.raises(SampleError, match=message):
        test(paired_t, BASELINE, TREATMENT, **options)


def test_an_unknown_guard_is_refused():
    """The message lists the guards."""
    with pytest.raises(SampleError, match="guard is 'up'; allowed are 'no_decrease', 'no_increase'"):
        non_inferiority(paired_t, BASELINE, TREATMENT, margin=1, guard="up")
