"""Crossed t: replicates and units both drawn at random."""

import itertools

import numpy as np
import pytest
from scipy import stats as reference

from crystallize.errors import SampleError
from crystallize.stats import crossed_t

ALTERNATIVES = ["two-sided", "greater", "less"]


def cells(differences):
    """Return the arguments of `crossed_t` for a table of differences in which nan is an empty cell."""
    table = np.asarray(differences, dtype=float)
    filled = [(r, c) for r, c in itertools.product(*map(range, table.shape)) if not np.isnan(table[r, c])]
    values = [table[cell] for cell in filled]
    return (np.zeros(len(values)), values), {
        "replicates": [f"r{r}" for r, _ in filled],
        "units": [c for _, c in filled],
    }


def mean_squares(table):
    """Return the mean squares of replicates, units and noise of a full table, by projections."""
    r, c = table.shape
    rows, columns = np.full((r, r), 1 / r), np.full((c, c), 1 / c)
    between = (np.eye(r) - rows) @ table @ columns
    across = rows @ table @ (np.eye(c) - columns)
    noise = (np.eye(r) - rows) @ table @ (np.eye(c) - columns)
    return (
        (between**2).sum() / (r - 1),
        (across**2).sum() / (c - 1),
        (noise**2).sum() / ((r - 1) * (c - 1)),
    )


def table(seed, shape, *, replicates=1.0, units=1.0, noise=1.0):
    rng = np.random.default_rng(seed)
    return (
        0.5
        + replicates * rng.normal(size=(shape[0], 1))
        + units * rng.normal(size=(1, shape[1]))
        + noise * rng.normal(size=shape)
    )


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("shape", [(5, 8), (12, 4), (6, 6)])
def test_agrees_with_the_variance_components_of_a_full_table(shape, alternative):
    """The variance of the mean is (MS_r + MS_c - MS_e)/(RC), with Satterthwaite's degrees of freedom."""
    values = table(2, shape)
    (r, c), (first, second, noise) = shape, mean_squares(values)
    variance = (first + second - noise) / (r * c)
    df = (first + second - noise) ** 2 / (
        first**2 / (r - 1) + second**2 / (c - 1) + noise**2 / ((r - 1) * (c - 1))
    )
    arms, labels = cells(values)
    result = crossed_t(*arms, **labels, alternative=alternative, shift=0.2)
    t = (values.mean() - 0.2) / variance**0.5
    tail = {
        "two-sided": 2 * reference.t.sf(abs(t), df),
        "greater": reference.t.sf(t, df),
        "less": reference.t.cdf(t, df),
    }
    assert (result.statistic, result.df) == pytest.approx((t, df), rel=1e-10)
    assert result.p_value == pytest.approx(tail[alternative], rel=1e-9)
    radius = reference.t.isf(0.025, df) * variance**0.5
    assert result.interval == pytest.approx((values.mean() - radius, values.mean() + radius), rel=1e-10)
    assert (result.n, result.test) == (r, "crossed t")


def test_without_effects_of_either_the_larger_mean_square_alone_counts():
    """The sum of all three may be below it, by chance, and then gives too small a variance."""
    for seed in range(100):
        values = table(seed, (6, 9), replicates=0.0, units=0.0)
        first, second, noise = mean_squares(values)
        if second > first + second - noise and second > first:
            break
    arms, labels = cells(values)
    result = crossed_t(*arms, **labels)
    assert result.df == 8.0
    assert result.statistic == pytest.approx(values.mean() / (second / 54) ** 0.5, rel=1e-10)


@pytest.mark.parametrize("shape", [(2, 20), (3, 20), (20, 3)])
def test_few_replicates_or_units_leave_as_few_degrees_of_freedom(shape):
    """Whatever the other is."""
    arms, labels = cells(table(3, shape))
    assert crossed_t(*arms, **labels).df == min(shape) - 1


def test_agrees_with_the_counts_of_an_incomplete_table():
    """Mean squares are weighted by counts; what is left is the noise of least squares on both factors."""
    values = table(4, (7, 9))
    empty = np.random.default_rng(5).random(values.shape) < 0.3
    values[empty] = np.nan
    seen = ~empty
    n = seen.sum()
    mean = values[seen].mean()
    design = np.array(
        [np.concatenate((np.eye(7)[r], np.eye(9)[c])) for r, c in zip(*np.nonzero(seen), strict=True)]
    )
    left = values[seen] - design @ np.linalg.lstsq(design, values[seen], rcond=None)[0]
    noise_df = n - np.linalg.matrix_rank(design)
    noise = (left**2).sum() / noise_df
    parts, factors = [], []
    for axis, size in ((1, 7), (0, 9)):
        counts = seen.sum(axis=axis)
        square = (counts * (np.nanmean(values, axis=axis) - mean) ** 2).sum() / (size - 1)
        k = (counts**2).sum() / n
        factors.append(k / ((n - k) / (size - 1)))
        parts.append(square * factors[-1])
    parts.append(noise * (1 - sum(factors)))
    variance = sum(parts) / n
    df = sum(parts) ** 2 / sum(part**2 / d for part, d in zip(parts, (6, 8, noise_df), strict=True))
    arms, labels = cells(values)
    result = crossed_t(*arms, **labels)
    assert result.estimate == pytest.approx(mean, rel=1e-12)
    assert (result.statistic, result.df) == pytest.approx((mean / variance**0.5, df), rel=1e-9)


def test_neither_order_nor_names_nor_sides_matter():
    """Cells are a set; exchanging replicates and units, or the arms, changes no digit of p."""
    arms, labels = cells(table(6, (5, 7)))
    given = crossed_t(*arms, **labels)
    order = np.random.default_rng(0).permutation(35)
    shuffled = {key: [names[i] for i in order] for key, names in labels.items()}
    moved = crossed_t(arms[0], [arms[1][i] for i in order], **shuffled)
    turned = crossed_t(*arms, replicates=labels["units"], units=labels["replicates"])
    swapped = crossed_t(arms[1], arms[0], **labels)
    for other in (moved, turned, swapped):
        assert other.p_value == pytest.approx(given.p_value, rel=1e-12)


def test_equal_differences_count_as_the_signs_of_the_fewer():
    """Four seeds of ten cases are four signs."""
    arms, labels = cells(np.full((4, 10), 0.25))
    result = crossed_t(*arms, **labels, alternative="greater")
    assert (result.p_value, result.interval, result.degenerate) == (2**-4, (0.25, 0.25), True)


@pytest.mark.parametrize(
    ("replicates", "units", "message"),
    [
        ([0, 0, 1], [0, 1, 0], "can't tell noise from either"),
        ([0, 0, 1, 1], [0, 1, 1, 1], "a unit occurs twice in a replicate"),
        ([0, 0, 0, 0], [0, 1, 2, 3], "the samples have 1 replicate; it needs at least 2"),
        ([0, 1, 2, 3], [0, 0, 0, 0], "the samples have 1 unit; it needs at least 2"),
        ([0, 1, 2], [0, 0, 0, 0], "4 values have 3 replicates"),
    ],
)
def test_what_is_not_crossed_is_an_error(replicates, units, message):
    """It says what is there and what is needed."""
    n = len(units)
    with pytest.raises(SampleError, match=message):
        crossed_t([0.0] * n, list(range(n)), replicates=replicates, units=units)
