"""The policy for data that do not vary, test by test: the table of `crystallize.stats.degenerate`."""

import math
from functools import partial

import pytest

from crystallize.stats import (
    anytime_t,
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
    resampled_t,
    welch_t,
    wilcoxon,
    yuen_t,
)

resampled = partial(resampled_t, test_fraction=0.2)
clustered = partial(clustered_t, baseline_units=list("abcdef"))
UNBOUNDED = (-math.inf, math.inf)


def anytime(baseline, treatment, **options):
    return anytime_t(baseline, treatment, looks=[len(baseline)], **options)[0]


EVIDENCE = 2**6 * math.gamma(6.5) / math.gamma(7) / math.gamma(0.5)  # E of six gains

# Six values of 1 against six of 3, and three against three: (p, interval) of each.
POLICY = [
    (paired_t, (2**-5, (2.0, 2.0)), (2**-2, (2.0, 2.0))),
    (resampled, (2 ** (1 - 2.4), (2.0, 2.0)), (2 ** (1 - 12 / 7), (2.0, 2.0))),
    (welch_t, (2 / 924, (2.0, 2.0)), (2 / 20, (2.0, 2.0))),
    (paired_permutation, (2**-5, (2.0, 2.0)), (2**-2, UNBOUNDED)),
    (permutation, (2 / 924, (2.0, 2.0)), (2 / 20, UNBOUNDED)),
    (wilcoxon, (2**-5, (2.0, 2.0)), (2**-2, UNBOUNDED)),
    (mann_whitney, (2 / 924, (2.0, 2.0)), (2 / 20, UNBOUNDED)),
    (anytime, (1 / EVIDENCE, UNBOUNDED), (0.4, UNBOUNDED)),
]


@pytest.mark.parametrize(("test", "six", "three"), POLICY)
def test_a_constant_difference(test, six, three):
    """The p-value is the floor of the number of values; the interval is [c, c], or unbounded above alpha."""
    for n, (p_value, interval) in ((6, six), (3, three)):
        result = test([1.0] * n, [3.0] * n)
        assert result.p_value == pytest.approx(p_value, rel=1e-12)
        assert result.interval == interval
        assert (result.estimate, result.degenerate) == (2.0, True)


def test_a_constant_difference_of_units():
    """Six units have the floor of six signs."""
    result = clustered([1.0] * 6, [3.0] * 6)
    assert (result.p_value, result.interval, result.degenerate) == (2**-5, (2.0, 2.0), True)


def test_a_constant_difference_of_ranks():
    """Brunner and Munzel's interval of separated arms keeps away from 1/2 where p <= .05 alone."""
    six, three = brunner_munzel([1.0] * 6, [3.0] * 6), brunner_munzel([1.0] * 3, [3.0] * 3)
    assert (six.p_value, three.p_value) == pytest.approx((2 / 924, 2 / 20), rel=1e-12)
    assert three.interval[0] <= 0.5 < six.interval[0]


trimmed = partial(yuen_t, paired=False)
NAMES = [paired_t, resampled, welch_t, clustered, paired_permutation, permutation, wilcoxon, mann_whitney]
NAMES += [yuen_t, trimmed]


@pytest.mark.parametrize("test", [*NAMES, brunner_munzel, anytime])
def test_no_difference_at_all(test):
    """Equal constant arms give p = 1, also with float noise."""
    for treatment in ([0.3] * 6, [0.1 + 0.2] * 6, [0.3, 0.1 + 0.2] * 3):
        result = test([0.3] * 6, treatment)
        assert (result.p_value, result.estimate, result.degenerate) == (1.0, result.null, True)


@pytest.mark.parametrize("test", NAMES)
def test_equal_arms_against_a_margin(test):
    """Non-inferiority and equivalence of equal arms have the one-sided floor, half the two-sided one."""
    floor = test([0.5] * 6, [0.9] * 6).p_value / 2
    assert non_inferiority(test, [0.5] * 6, [0.5] * 6, margin=0.1).p_value == pytest.approx(floor, rel=1e-12)
    assert equivalence(test, [0.5] * 6, [0.5] * 6, margin=0.1).p_value == pytest.approx(floor, rel=1e-12)


@pytest.mark.parametrize("test", NAMES)
def test_a_constant_difference_that_is_the_margin(test):
    """On the margin nothing is supported, whatever rounding says."""
    assert non_inferiority(test, [0.5] * 6, [0.4] * 6, margin=0.1).p_value == 1.0
    assert non_inferiority(test, [0.5] * 6, [0.6] * 6, margin=0.1, guard="no_increase").p_value == 1.0


@pytest.mark.parametrize("test", [welch_t, permutation, mann_whitney, brunner_munzel, trimmed])
def test_one_constant_arm_is_data(test):
    """A constant baseline is nothing degenerate."""
    result = test([1.0] * 5, [0.9, 1.4, 1.2, 1.6, 1.1])
    assert 0.01 < result.p_value < 0.3
    assert not result.degenerate


@pytest.mark.parametrize("test", [mcnemar, boschloo])
def test_binary_arms_without_successes(test):
    """Nothing but zeros gives p = 1 and an interval around 0 that allows for what was not seen."""
    result = test([0] * 8, [0] * 8)
    assert (result.p_value, result.estimate, result.degenerate) == (1.0, 0.0, True)
    assert result.interval[0] < 0 < result.interval[1]
