"""Holm, Benjamini-Hochberg, none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import adjust, benjamini_hochberg, holm

laws = examples(100)
families = st.lists(st.floats(0, 1), max_size=12)


def test_published_holm():
    """.01 .04 .03 .005 become .03 .06 .06 .02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-12)


@laws
@given(p_values=families.filter(bool))
def test_benjamini_hochberg_agrees_with_scipy(p_values):
    """The adjusted p-values are those of scipy.stats.false_discovery_control."""
    expected = reference.false_discovery_control(p_values)
    assert benjamini_hochberg(p_values) == pytest.approx(expected.tolist(), rel=1e-12)


@laws
@given(p_values=families, alpha=st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, alpha):
    """Adjusted p <= alpha exactly where Holm's sequence of comparisons with alpha/(k - i) rejects."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected, going = set(), True
    for i, index in enumerate(order):
        going = going and p_values[index] * (len(order) - i) <= alpha
        if going:
            rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected


@laws
@given(p_values=families, data=st.data())
def test_corrections_are_ordered_and_travel_with_the_hypotheses(p_values, data):
    """Raw p <= BH <= Holm <= min(1, k p), in the order of p, wherever a hypothesis stands in the list."""
    order = data.draw(st.permutations(range(len(p_values))))
    for correction in ("none", "bh", "holm"):
        adjusted = adjust(p_values, correction)
        assert [adjusted[i] for i in order] == adjust([p_values[i] for i in order], correction)
        assert all(
            a <= b
            for a, b in zip(
                sorted(adjusted), [adjusted[i] for i in np.argsort(p_values, kind="stable")], strict=True
            )
        )
    for p, fdr, fwer in zip(p_values, benjamini_hochberg(p_values), holm(p_values), strict=True):
        least = len(p_values) * math.ulp(0.0)  # products of the smallest numbers are rounded by as much
        assert p * (1 - 1e-12) - least <= fdr <= fwer * (1 + 1e-12) + least
        assert fwer <= min(1.0, len(p_values) * p * (1 + 1e-12) + least)
        assert type(fwer) is type(fdr) is float


def test_families_of_none_and_one():
    """No hypothesis needs no correction, and one is left alone."""
    for correction in ("none", "bh", "holm"):
        assert adjust([], correction) == []
        assert adjust([0.04], correction) == [0.04]
    assert adjust(np.array([0.01, 0.02])) == [0.02, 0.02]


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.1])
@pytest.mark.parametrize("correction", ["none", "bh", "holm"])
def test_what_is_no_p_value_is_refused(bad, correction):
    """A nan would reject nothing or everything, so it is an error."""
    with pytest.raises(SampleError, match=r"p-values\[1\] is"):
        adjust([0.1, bad], correction)


@pytest.mark.parametrize("correction", ["none", "bh", "holm"])
def test_no_fewer_claims_than_p_values(correction):
    """Also where alpha is not split."""
    with pytest.raises(SampleError, match="total is 1; allowed are 2 and more"):
        adjust([0.1, 0.2], correction, total=1)
    assert adjust([0.01, 0.02], "none", total=5) == [0.01, 0.02]


def test_an_unknown_correction_is_refused():
    """The message lists the corrections."""
    with pytest.raises(SampleError, match="correction is 'bonferroni'; allowed are 'holm', 'bh', 'none'"):
        adjust([0.1], "bonferroni")


@pytest.mark.parametrize(("correction", "ranks"), [("holm", 1), ("bh", 11)])
def test_shares_of_alpha_are_not_missed_by_rounding(correction, ranks):
    """Of 11, 22 or 44 claims one at alpha/11 and so on is rejected, and so are the steps of the step-up."""
    for claims in (3, 6, 11, 22, 44):
        for rank in range(1, min(ranks, claims - 1) + 1):
            p_values = [0.05 * rank / claims] * rank + [1.0] * (claims - rank)
            assert adjust(p_values, correction)[0] <= 0.05


def test_benjamini_and_hochberg_never_lower_a_p_value():
    """Not by rounding either."""
    p = 0.8322247155759113
    assert benjamini_hochberg([0.0, 0.0, p])[2] == p
