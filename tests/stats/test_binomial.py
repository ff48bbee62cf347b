"""The exact test of one rate against a number."""

import pytest
from scipy.stats import binomtest

from crystallize.errors import SampleError
from crystallize.stats import binomial, binomial_p_value, smallest_binomial_p
from crystallize.stats.power import OneSampleBinary, power, replicates

MENDEL = [1] * 682 + [0] * 243


@pytest.mark.parametrize(("alternative", "p_value"), [("greater", 0.8240891), ("less", 0.1960093)])
def test_mendel(alternative, p_value):
    """682 of 925 against 3/4, the example of R's binom.test: p of either side, and its interval."""
    result = binomial(MENDEL, rate=0.75, alternative=alternative)
    assert result.p_value == pytest.approx(p_value, abs=5e-8)
    assert [0.75 + end for end in result.interval] == pytest.approx([0.7076683, 0.7654066], abs=5e-8)


def test_two_sided_is_twice_the_smaller_side():
    """So that the interval holds the rates that are not rejected; R adds up what is less probable."""
    assert binomial(MENDEL, rate=0.75).p_value == pytest.approx(0.3920185, abs=5e-8)
    low, high = (0.75 + end for end in binomial(MENDEL, rate=0.75).interval)
    for end in (low, high):
        assert binomial(MENDEL, rate=end).p_value == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize("ones", [0, 1, 7, 19, 20])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_one_sided_agrees_with_scipy(ones, rate):
    """Also at the ends."""
    for alternative in ("greater", "less"):
        expected = binomtest(ones, 20, rate, alternative=alternative).pvalue
        assert binomial_p_value(ones, 20, rate, alternative) == pytest.approx(expected, rel=1e-9)


def test_a_shift_moves_the_rate():
    """Beyond 0 and 1 there is no rate, whatever was observed; a rate that is no rate is refused."""
    sample = [1] * 9 + [0]
    moved = binomial(sample, rate=0.85, shift=-0.05, alternative="greater")
    assert moved.p_value == pytest.approx(binomial_p_value(9, 10, 0.8, "greater"), rel=1e-12)
    assert (moved.null, moved.estimate) == (-0.05, pytest.approx(0.05))
    for sample_, rate, shift, above in (([0], 0.2, -0.5, 0), ([1], 0.2, -0.5, 0), ([1] * 99, 0.95, 0.1, 1)):
        assert binomial(sample_, rate=rate, shift=shift, alternative="greater").p_value == above
        assert binomial(sample_, rate=rate, shift=shift, alternative="less").p_value == 1 - above
    assert binomial([1] * 9, rate=0.9, shift=0.1, alternative="less").p_value == 1  # 1 is a rate
    with pytest.raises(SampleError, match="rate is 2; allowed is a number from 0 to 1"):
        binomial(sample, rate=2)


def test_the_smallest_p_says_how_many_it_takes():
    """19 of 19 against .85, one-sided at .05."""
    assert smallest_binomial_p(18, 0.85, "greater") > 0.05 > smallest_binomial_p(19, 0.85, "greater")


def test_power_is_enumerated():
    """Of 60 against .85 it takes 56: scipy's binom.sf(55, 60, .95) = 0.8196649."""
    design = OneSampleBinary(0.85)
    assert power(design, 60, 0.1, alternative="greater") == pytest.approx(0.8196649, abs=5e-8)
    assert replicates(design, 0.1, alternative="greater") == pytest.approx(60, abs=8)
    assert power(design, 60, -0.2, alternative="less") > 0.9 > power(design, 60, 0.0)
