"""Samples to check verifiers on, as strategies of the Hypothesis library.

Values are whole numbers or quarters, whose sums and differences are exact: what depends on nothing but
rounding is no fault of a verifier. The strategies shrink towards few replicates and small numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crystallize.testing.subject import Arms, Subject

_MORE: Final = 7  # replicates beyond the fewest: enough for a rank test to find an effect
_EXTREMES: Final = (1e154, 1e300, 1.7e308, 1e-154, 2.3e-308, 5e-324)
_NOT_FINITE: Final = (math.nan, math.inf, -math.inf)
_TYPES: Final = (int, np.int64, np.float64)

_WHOLE: Final = st.integers(-400, 400)
_NOT_ZERO: Final = st.integers(1, 400) | st.integers(-400, -1)
_FEW: Final = st.integers(0, 2)
_BINARY: Final = st.integers(0, 1)
_OBVIOUS: Final = 1000  # beyond the range of the values
_EFFECTS: Final = st.sampled_from((0, 200, -200, _OBVIOUS, -_OBVIOUS))

Pair = tuple[Any, Any]


def ordinary(subject: Subject, effects: SearchStrategy[int] = _EFFECTS) -> SearchStrategy[Arms]:
    """Give values of which no two are equal, nor two differences, often with an effect.

    Binary values are 0 and 1 in each arm, with differences both ways.
    """
    if subject.binary:
        each_way = ((0, 1), (1, 0))
        mixed = _samples(subject, _both(_BINARY), subject.minimum_n, each_way)
        return mixed | st.sampled_from(each_way).flatmap(
            lambda pair: _samples(subject, st.just(pair), subject.minimum_n, each_way, more=2 * _MORE)
        )
    distinct = _samples(subject, _both(_WHOLE), subject.minimum_n).map(_spread)
    return st.builds(_with_effect, distinct, effects, st.sampled_from((1.0, 0.25)))


def tied(subject: Subject) -> SearchStrategy[Arms]:
    """Give few different numbers, so that many are equal, though neither all nor all differences are."""
    if subject.binary:
        return ordinary(subject)
    few = _samples(subject, _both(_FEW), subject.minimum_n, ((0, 1), (1, 0), (0, 0)))
    return st.builds(_with_effect, few, st.sampled_from((0, 1, -1)), st.just(1.0))


def varied(subject: Subject) -> SearchStrategy[Arms]:
    """Give tied or ordinary values."""
    return tied(subject) | ordinary(subject)


def several(subject: Subject) -> SearchStrategy[list[Arms]]:
    """Give samples that have nothing to do with each other, mostly more than two, which make many pairs."""
    return st.lists(varied(subject), min_size=2, max_size=6)


def reordered(subject: Subject) -> SearchStrategy[tuple[Arms, Arms]]:
    """Give samples, and the same with replicates exchanged; in each arm other ones, if unpaired."""
    place = st.integers(0, subject.minimum_n + _MORE)
    order = st.lists(st.tuples(place, place), min_size=1, max_size=_MORE)
    if subject.paired:
        return st.builds(lambda arms, order: (arms, arms.exchanged(order, order)), varied(subject), order)
    return st.builds(lambda arms, *orders: (arms, arms.exchanged(*orders)), varied(subject), order, order)


def identical(subject: Subject) -> SearchStrategy[Arms]:
    """Give arms that agree in every replicate."""
    value = _BINARY if subject.binary else (_FEW | _WHOLE).map(float)
    return _samples(subject, value.map(lambda x: (x, x)), subject.minimum_n)


def constant_arms(subject: Subject) -> SearchStrategy[Arms]:
    """Give arms that differ from each other, but do not vary."""
    pair = st.sampled_from(((0, 1), (1, 0))) if subject.binary else st.builds(_apart, _WHOLE, _NOT_ZERO)
    sizes = st.integers(subject.minimum_n, subject.minimum_n + _MORE)
    return st.builds(lambda arms, n: arms.repeated(n), _samples(subject, pair, 1, more=0), sizes)


def constant_differences(subject: Subject) -> SearchStrategy[Arms]:
    """Give arms that vary, with the same difference in every replicate; not for binary values."""
    same = _samples(subject, _WHOLE.map(lambda x: (x, x)), subject.minimum_n, ((0, 0), (1, 1)))
    return st.builds(_with_effect, same, _NOT_ZERO, st.just(1.0))


def not_finite(subject: Subject) -> SearchStrategy[Arms]:
    """Give samples with an obvious effect in which some values are nan or infinite."""
    place = st.tuples(st.integers(0, 1), st.sampled_from(subject.metrics), st.integers(0, 2 * _MORE))
    holes = st.lists(st.tuples(place, st.sampled_from(_NOT_FINITE)), min_size=1, max_size=2)

    def pierced(arms: Arms, holes: Sequence[tuple[tuple[int, str, int], float]]) -> Arms:
        result = arms.copied()
        for (arm, metric, position), value in holes:
            result[arm][metric][position % arms.n] = value
        return result

    return st.builds(pierced, ordinary(subject, st.just(_OBVIOUS)), holes)


def empty(subject: Subject) -> SearchStrategy[Arms]:
    """Give the one sample without replicates."""
    return st.just(_arms(subject.metrics, []))


def single(subject: Subject) -> SearchStrategy[Arms]:
    """Give one replicate."""
    if subject.binary:
        return _samples(subject, _both(_BINARY), 1, more=0)
    return st.builds(_with_effect, _samples(subject, _both(_WHOLE), 1, more=0), _EFFECTS, st.just(1.0))


def extreme(subject: Subject) -> SearchStrategy[Arms]:
    """Give values whose sums or squares leave the range of a float; not for binary values."""
    value = st.builds(math.copysign, st.sampled_from(_EXTREMES), st.sampled_from((1.0, -1.0)))
    return _samples(subject, _both(value), subject.minimum_n).map(_unlike)


def typed(subject: Subject) -> SearchStrategy[tuple[Arms, Arms]]:
    """Give numbers as floats, and the same numbers as another type that can hold them."""

    def samples(
        value: SearchStrategy[int], *types: Callable[[int], Any]
    ) -> SearchStrategy[tuple[Arms, Arms]]:
        return st.builds(
            lambda arms, other: (arms.mapped(float), arms.mapped(other)),
            _samples(subject, _both(value), subject.minimum_n),
            st.sampled_from(types),
        )

    binary = samples(_BINARY, bool, np.bool_, *_TYPES)
    large = _WHOLE.map(lambda x: x * 10**10)  # whose squares are beyond 64-bit integers
    return binary if subject.binary else binary | samples(_WHOLE | large, *_TYPES)


def _both(value: SearchStrategy[Any]) -> SearchStrategy[Pair]:
    return st.tuples(value, value)


def _samples(
    subject: Subject,
    pair: SearchStrategy[Pair],
    fewest: int,
    first: Sequence[Pair] = (),
    *,
    more: int = _MORE,
) -> SearchStrategy[Arms]:
    """Give a pair of values for every metric and replicate, those of the first replicates fixed."""
    size = max(fewest - len(first), 0)
    names = subject.metrics
    rows = st.lists(st.tuples(*[pair] * len(names)), min_size=size, max_size=size + more)
    fixed = [(pair,) * len(names) for pair in first]
    return rows.map(lambda rows: _arms(names, fixed + rows))


def _arms(names: Sequence[str], rows: Sequence[tuple[Pair, ...]]) -> Arms:
    return Arms(*({name: [row[i][arm] for row in rows] for i, name in enumerate(names)} for arm in (0, 1)))


def _apart(value: int, difference: int) -> Pair:
    return float(value), float(value + difference)


def _unlike(arms: Arms) -> Arms:
    """Change the sign of the treatment if the arms are identical, which is another matter."""
    if arms.baseline != arms.treatment:
        return arms
    return Arms(arms.baseline, arms.mapped(operator.neg).treatment)


def _with_effect(arms: Arms, effect: int, unit: float) -> Arms:
    return Arms(
        arms.mapped(lambda value: value * unit).baseline,
        arms.mapped(lambda value: (value + effect) * unit).treatment,
    )


def _spread(arms: Arms) -> Arms:
    """Raise whole numbers as little as makes all of a metric distinct, and all differences."""
    result = arms.copied()
    for first, second in result.columns():
        taken: set[int] = set()
        differences: set[int] = set()
        for i in range(arms.n):
            while first[i] in taken:
                first[i] += 1
            taken.add(first[i])
            while second[i] in taken or second[i] - first[i] in differences:
                second[i] += 1
            taken.add(second[i])
            differences.add(second[i] - first[i])
    return result
