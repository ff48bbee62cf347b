"""Many paired comparisons at once, by flips of signs."""

import itertools

import numpy as np
import pytest

from crystallize.errors import SampleError
from crystallize.stats import paired_permutation, step_down_max_t
from crystallize.stats.tails import t_quantile


def by_hand(table):
    """Return adjusted p-values by the definition, from Student's t over all flips."""
    n, m = table.shape

    def t(values):
        return np.abs(values.mean(axis=0) / values.std(axis=0, ddof=1) * np.sqrt(n))

    observed = t(table)
    flipped = np.array([t(table * np.array(s)[:, None]) for s in itertools.product((1, -1), repeat=n)])
    order, adjusted, largest = np.argsort(-observed), np.empty(m), 0.0
    for step, i in enumerate(order):
        reached = flipped[:, order[step:]].max(axis=1)
        largest = max(largest, float(np.mean(reached >= observed[i] * (1 - 1e-9))))
        adjusted[i] = largest
    return adjusted


@pytest.mark.parametrize("shape", [(6, 1), (7, 3), (9, 6)])
def test_the_definition(shape):
    """The largest t over all flips of rows, stepped down."""
    table = np.random.default_rng(sum(shape)).normal(0.5, 1, shape)
    assert step_down_max_t(table).adjusted == pytest.approx(by_hand(table), abs=1e-12)


def test_a_single_comparison_is_the_permutation_test():
    """Darwin's plants: twice 863 of 2^15 flips."""
    darwin = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    found = step_down_max_t([[d] for d in darwin])
    assert found.adjusted[0] == pytest.approx(0.0526733, abs=5e-8)
    assert found.adjusted[0] == paired_permutation([0] * 15, darwin).p_value


@pytest.mark.parametrize("seed", range(20))
def test_intervals_exclude_0_where_the_claim_is_rejected(seed):
    """The paired t interval at the level of its step."""
    table = np.random.default_rng(seed).normal([0.0, 0.6, 0.9, 1.2], 1, (12, 4))
    found = step_down_max_t(table, alpha=0.05)
    error = table.std(axis=0, ddof=1) / np.sqrt(12)
    for i, (p, level) in enumerate(zip(found.adjusted, found.levels, strict=True)):
        excludes = abs(table[:, i].mean()) > t_quantile(level, 11) * error[i]
        assert excludes == (p <= 0.05)


def test_differences_that_do_not_vary():
    """None at all shows nothing; the same one each time is worth its signs."""
    found = step_down_max_t([[0.0, 1.0]] * 6)
    assert found.adjusted == (1.0, 2 / 2**6)


def test_random_flips_are_the_same_each_time():
    """And many replicates need no more memory."""
    table = np.random.default_rng(0).normal(0.3, 1, (200, 3))
    assert step_down_max_t(table, resamples=999) == step_down_max_t(table, resamples=999)
    with pytest.raises(SampleError, match=r"shape \(3,\); allowed are n rows"):
        step_down_max_t([1.0, 2.0, 3.0])
