"""Cohen's kappa, and how likely some or all of k samples pass."""

import itertools
import math

import numpy as np
import pytest

from crystallize.errors import SampleError
from crystallize.stats import cohen_kappa, pass_all_k, pass_at_k


def labelled(table):
    """Return the labels of both raters, given how often each pair occurs."""
    pairs = [(i, j) for i, row in enumerate(table) for j, k in enumerate(row) for _ in range(k)]
    return [i for i, _ in pairs], [j for _, j in pairs]


def test_published_kappa():
    """SAS/STAT, PROC FREQ, skin condition: kappa .3449, standard error .0724, interval .2030 to .4868.

    Fleiss, Levin and Paik (2003), table 18.1, with two digits: kappa .68, interval .51 to .85.
    """
    skin = cohen_kappa(*labelled([[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]]))
    error = (skin.interval[1] - skin.interval[0]) / 2 / 1.959964
    assert [round(x, 4) for x in (skin.estimate, error, *skin.interval)] == [0.3449, 0.0724, 0.2030, 0.4868]
    diagnoses = cohen_kappa(*labelled([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))
    assert [diagnoses.estimate, *diagnoses.interval] == pytest.approx([0.68, 0.51, 0.85], abs=0.006)


def test_labels_have_no_order_and_names():
    """What labels are called, which comes first and which rater is which changes nothing."""
    first, second = labelled([[20, 5], [10, 15]])
    found = cohen_kappa(first, second)
    renamed = cohen_kappa(["yes" if i else "no" for i in second], ["yes" if i else "no" for i in first])
    assert renamed.estimate == pytest.approx(found.estimate, rel=1e-12)
    assert renamed.interval == pytest.approx(found.interval, rel=1e-12)
    assert cohen_kappa([0, 1, 0, 1], [1, 0, 1, 0]).estimate == -1
    assert cohen_kappa([0, 0, 0, 0], [0, 1, 0, 1]).estimate == 0


def test_perfect_agreement_is_not_certain():
    """All of few agree: the interval says how few."""
    low, high = cohen_kappa([0, 1] * 5, [0, 1] * 5).interval
    assert high == 1
    assert low == pytest.approx(2 * 0.025 ** (1 / 10) - 1)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([1, 1], [1], "2 and 1 labels"),
        ([1], [1], "2 or more"),
        ([1, None], [1, 2], "label None of case 1"),
        ([1, 2], [1, math.nan], "label nan of case 1"),
        ([1, 1], [1, 1], "both raters give 1 to all 2 cases"),
    ],
)
def test_what_has_no_kappa(first, second, told):
    """The message says why."""
    with pytest.raises(SampleError, match=told):
        cohen_kappa(first, second)


def test_the_interval_covers():
    """Of 2,000 samples of 200 cases the interval holds the true kappa in 93 to 97 %."""
    rng = np.random.default_rng(0)
    p = np.array([[0.4, 0.1], [0.1, 0.4]])
    draws = rng.multinomial(200, p.ravel(), size=2000)
    inside = 0
    for table in draws:
        low, high = cohen_kappa(*labelled(table.reshape(2, 2))).interval
        inside += low <= 0.6 <= high
    assert 0.93 <= inside / 2000 <= 0.97


@pytest.mark.parametrize(
    ("n", "passed", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 4), (7, 5, 7), (7, 3, 5)]
)
def test_k_of_n_samples(n, passed, k):
    """Both estimates are parts of all k-subsets of the samples, which makes them unbiased."""
    samples = [1] * passed + [0] * (n - passed)
    subsets = list(itertools.combinations(samples, k))
    assert pass_at_k(n, passed, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_all_k(n, passed, k) == pytest.approx(sum(map(all, subsets)) / len(subsets))


def test_pass_at_k_agrees_with_the_published_program():
    """Chen et al. (2021), figure 3, which multiplies 1 - k / i for i from n - c + 1 to n."""
    for n, c, k in ((200, 3, 1), (200, 3, 10), (200, 60, 100)):
        published = 1.0 if n - c < k else 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
        assert pass_at_k(n, c, k) == pytest.approx(published, rel=1e-12)


@pytest.mark.parametrize(("n", "passed", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)])
def test_what_can_not_be_estimated(n, passed, k):
    """There are as many samples as k at least, and no more pass than there are."""
    for estimate in (pass_at_k, pass_all_k):
        with pytest.raises(SampleError, match="samples"):
            estimate(n, passed, k)
