"""Yuen's t of trimmed means."""

import numpy as np
import pytest
from scipy import stats as reference

from crystallize import YuenTest
from crystallize.errors import DefinitionError, SampleError
from crystallize.stats import fewest_to_trim, yuen_t

BEFORE = [83.8, 83.3, 86, 82.5, 86.7, 79.6, 76.9, 94.2, 73.4, 80.5, 81.6, 82.1, 77.6, 83.5, 89.9, 86, 87.3]
AFTER = [95.2, 94.3, 91.5, 91.9, 100.3, 76.7, 76.8, 101.6, 94.9, 75.2, 77.8, 95.5, 90.7, 92.5, 93.8, 91.7, 98]
FIRST = [2.7, 2.7, 1.1, 3.0, 1.9, 3.0, 3.8, 3.8, 0.3, 1.9, 1.9]
SECOND = [6.5, 5.4, 8.1, 3.5, 0.5, 3.8, 6.8, 4.9, 9.5, 6.2, 4.1]


def test_pairs_have_the_published_values():
    """Mair and Wilcox's example: 17 patients, t = 3.829 with 10 degrees of freedom, p = .0033."""
    result = yuen_t(BEFORE, AFTER)
    assert (round(result.statistic, 3), result.df, round(result.p_value, 4)) == (3.829, 10.0, 0.0033)
    assert (round(result.estimate, 5), result.n) == (8.56364, 17)
    assert result.interval == pytest.approx((3.5804, 13.5469), abs=5e-5)
    assert result.estimand == "difference of the 20 % trimmed means"


def test_independent_samples_have_the_published_values():
    """R's YuenTTest: t = 4.2461168970325, p = .002878909511344."""
    result = yuen_t(FIRST, SECOND, paired=False)
    assert result.statistic == pytest.approx(4.2461168970325, rel=1e-13)
    assert result.p_value == pytest.approx(0.002878909511344, rel=1e-12)
    assert result.n == (11, 11)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize(("n", "m", "trim"), [(5, 9, 0.2), (20, 13, 0.1), (8, 40, 0.25)])
def test_independent_samples_as_scipy_compares_them(n, m, trim, alternative):
    """With its degrees of freedom; scipy trims the same number, and takes no shift."""
    rng = np.random.default_rng([n, m])
    first, second = rng.standard_t(2, n), 0.5 + 3 * rng.standard_t(2, m)
    expected = reference.ttest_ind(second, first, equal_var=False, trim=trim, alternative=alternative)
    result = yuen_t(first, second - 1.5, paired=False, trim=trim, alternative=alternative, shift=-1.5)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert result.df == pytest.approx(expected.df, rel=1e-9)


@pytest.mark.parametrize("wild", [0.0, 1e9])
def test_trimmed_values_move_nothing_but_by_their_order(wild):
    """However large the largest value is; the mean is another number each time."""
    arms = [*BEFORE[:-1], 99.0 + wild], [*AFTER[:-1], 110.0 + wild]
    whole = [*BEFORE[:-1], 99.0], [*AFTER[:-1], 110.0]
    for paired in (True, False):
        assert yuen_t(*arms, paired=paired).p_value == pytest.approx(
            yuen_t(*whole, paired=paired).p_value, rel=1e-6
        )


def test_equal_values_are_as_many_equal_signs_as_are_left():
    """Or none, where they do not differ."""
    result = yuen_t([1.0] * 10, [2.0] * 10)
    assert (result.p_value, result.interval, result.degenerate) == (2**-5, (1.0, 1.0), True)
    assert yuen_t([1.0] * 10, [1.0] * 10).p_value == 1.0
    assert yuen_t([1.0] * 10, [2.0] * 10, paired=False).p_value == 2 / 924


@pytest.mark.parametrize("trim", [0, 0.26, -0.1, True, None, float("nan")])
def test_what_can_not_be_trimmed_is_refused(trim):
    """By what is allowed."""
    with pytest.raises(SampleError, match=r"Yuen t: trim is .*; allowed is a number above 0, up to 0\.25"):
        yuen_t(BEFORE, AFTER, trim=trim)
    with pytest.raises(DefinitionError, match=r"Yuen t: trim is .*; allowed is"):
        YuenTest(trim=trim)


def test_one_value_at_least_is_trimmed():
    """Of each end, and three are left."""
    assert [fewest_to_trim(trim) for trim in (0.2, 0.25, 0.1, 0.05)] == [5, 5, 10, 20]
    with pytest.raises(SampleError, match="at least 5"):
        yuen_t([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 6.0])
