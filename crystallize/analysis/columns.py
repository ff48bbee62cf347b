"""The values of one metric by replicate, and whether they are numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from crystallize.context.record_table import Records
from crystallize.context.recording import is_finite, is_number
from crystallize.context.rows import OBJECT
from crystallize.stats.moments import scaled_float
from crystallize.stats.precision import precision_of

Column = Sequence[Any]
"""By replicate, the value recorded, `Several` of them, or `NOTHING`; of plain numbers an array."""


class Several(list[Any]):
    """Several values of a metric in one replicate, where a plain list would be one value."""


NOTHING: Any = object()
"""Stands where a replicate gave no value of a metric."""


class SingleMean(float):
    """Mean or total of numbers of single precision: a double, and off by the rounding of what it is of."""

    __slots__ = ()

    dtype: Final = np.dtype(np.float32)
    """What tests look at, to tell rounding from a difference."""


class HalfNumber(float):
    """Number that stands beside values of half precision: a double, and compared by their rounding."""

    __slots__ = ()

    dtype: Final = np.dtype(np.float16)


SINGLE: Final = frozenset({float, int, bool, str})
_LARGEST_EXACT: Final = 2**53
_BEYOND: Final = 2**10  # a number so many times as large as all values is rounded to none of them
_SPARE: Final = 64  # bits that sums of large values need beside those of floats
_SQUARED: Final = 480  # powers of two whose squares, and sums of these, are floats


def single_values(records: Records) -> dict[str, dict[int, Any]]:
    """Return metric -> replicate -> value, of records that succeeded and are in no column."""
    found: dict[str, dict[int, Any]] = {}
    for replicate, record in records.whole().items():
        if record.error is None and record.skipped is None:
            for name, value, _, _, _ in record.metrics:
                values = found.get(name)
                if values is None:
                    found[name] = {replicate: value}
                elif replicate not in values:
                    values[replicate] = value
                elif type(before := values[replicate]) is Several:
                    before.append(value)
                else:
                    values[replicate] = Several([before, value])
    return found


def column_of(records: Records, metric: str, single: Mapping[int, Any]) -> Column:
    """Return the values of a metric, some of which are known already by their replicates."""
    if len(single) == len(records):
        in_order = list(single.values())
        return array("d", in_order) if {float} == set(map(type, in_order)) else in_order
    if not single and (numbers := _array_of(records, metric)) is not None:
        return numbers
    column: list[Any] = [NOTHING] * len(records)
    for replicate, value in single.items():
        column[replicate] = value
    for rows, counted, replicates in records.parts():
        places = [place for place, name in enumerate(rows.kind.names) if name == metric]
        if places:
            values: Any = rows.column(places[0])
            if len(places) > 1:
                values = list(map(Several, zip(*map(rows.column, places), strict=True)))
            for row, replicate in zip(counted.tolist(), replicates.tolist(), strict=True):
                column[replicate] = values[row]
    return column


def _array_of(records: Records, metric: str) -> Column | None:
    """Return an array if each replicate has one plain number, all of the same type."""
    found: list[tuple[Any, Any, str]] = []
    for rows, counted, replicates in records.parts():
        if rows.kind.names.count(metric) != 1:
            return None
        place = rows.kind.names.index(metric)
        code = rows.kind.codes[place]
        if code == OBJECT or (found and found[0][2] != code):
            return None
        found.append((replicates, np.array(rows.column(place))[counted], code))
    if not found or sum(len(values) for _, values, _ in found) != len(records):
        return None
    column = np.empty(len(records), dtype=found[0][1].dtype)
    for replicates, values, _ in found:
        column[replicates] = values
    return array(found[0][2], column.tobytes())


def in_each(column: Column) -> list[Any]:
    """Return one value per replicate: the mean of several numbers, several other values as a list, or nan."""
    if type(column) is array:
        return column.tolist()
    return [item if type(item) in SINGLE else _one_value(item) for item in column]


def _one_value(item: Any) -> Any:
    if item is NOTHING:
        return math.nan
    if type(item) is not Several:
        return item
    return mean(item) if all(map(is_number, item)) else list(item)


def finite_means(column: Column) -> Sequence[float | None]:
    """Return the mean in each replicate; None where it is no finite number.

    Whole numbers that no float holds stay what they are.
    """
    return [_finite_mean(item) for item in column]


def exact(column: Column) -> Sequence[float]:
    """Return plain numbers as floats, or as the whole numbers that they are where no float is."""
    return column if type(column) is array and column.typecode == "d" else [_exact(v) for v in column]


def _finite_mean(item: Any) -> float | None:
    if item is NOTHING:
        return None
    if type(item) is not Several:
        return _exact(item) if is_finite(item) else None
    return mean_of_sample(item) if all(map(is_finite, item)) else None


def _exact(value: float) -> float:
    """Return a number as a float, or as the whole number that it is where no float is."""
    if type(value) is SingleMean or (type(value) is int and abs(value) > _LARGEST_EXACT):
        return value
    return float(value)


def all_finite(column: Column) -> bool:
    """Return whether every value is a finite number; quick, and False where it would have to look closer."""
    if type(column) is array:
        return int(np.count_nonzero(np.isfinite(np.asarray(column)))) == len(column)
    if not {float, int, bool}.issuperset(map(type, column)):
        return False
    try:
        return all(map(math.isfinite, column))
    except OverflowError:
        return False


def scalars(value: Any) -> Iterator[Any]:
    """Yield every scalar in a metric's value."""
    if isinstance(value, list):
        for item in value:
            yield from scalars(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from scalars(item)
    else:
        yield value


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean, correctly rounded where the sum is representable."""
    try:
        try:
            return math.fsum(values) / len(values)
        except OverflowError:  # partial sums beyond the largest float, where the mean of numbers never is
            scaled = math.fsum(math.ldexp(value, -_SPARE) for value in values)
            return math.ldexp(scaled / len(values), _SPARE)
    except ValueError:  # inf - inf
        return math.nan


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of at least two finite numbers; infinite beyond floats."""
    squares, power = squares_about_means([values])
    return scaled_float(math.sqrt(squares / (len(values) - 1)), power)


def squares_about_means(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the sum of squares about the mean of each sample, of values over 2^k, and k; mostly it is 0.

    Parameters
    ----------
    samples : sequence of sequence of float
        Numbers; of what is infinite or none, the sum is none.
    """
    means = [mean(values) for values in samples]
    apart = [value - middle for values, middle in zip(samples, means, strict=True) for value in values]
    furthest = max(map(abs, apart))
    if furthest == math.inf and all(map(math.isfinite, means)):  # a difference is beyond the largest float
        squares, power = squares_about_means([[math.ldexp(v, -2) for v in values] for values in samples])
        return squares, power + 2
    power = math.frexp(furthest)[1]
    if abs(power) <= _SQUARED:
        return math.fsum(value**2 for value in apart), 0
    return math.fsum(math.ldexp(value, -power) ** 2 for value in apart), power


def mean_of_sample(values: Sequence[float]) -> float:
    """Return the mean of finite numbers for a sample, in which it stands with the precision that they have.

    What was recorded in single precision is told by the numbers alone, as that of single values is: none of
    them needs more. Whole numbers have no rounding. One number is its own mean, and tells that by itself.
    """
    if len(values) == 1 and type(values[0]) is not SingleMean:
        return mean(values)
    return as_precise_as(values, mean(values))


def as_precise_as(values: Sequence[float], found: float) -> float:
    """Return what was made of finite numbers with the precision that they have."""
    return SingleMean(found) if _are_single(values) else found


def all_as_precise_as(values: Sequence[float], found: Sequence[float]) -> Sequence[float]:
    """Return what stands beside finite numbers, without a precision of its own, with that of these."""
    if not _are_single(values) or max(map(abs, found)) > _BEYOND * max(map(abs, values)):
        return found
    is_half = precision_of((values, np.array(values, dtype=np.float64))).is_half
    return list(map(HalfNumber if is_half else SingleMean, found))


def _are_single(values: Sequence[float]) -> bool:
    # Mostly the first value tells that they are not.
    if array("f", values[:1])[0] != values[0] and type(values[0]) is not SingleMean:
        return False
    plain = [value for value in values if type(value) is not SingleMean]
    if array("f", plain).tolist() != plain:
        return False
    return len(plain) < len(values) or not all(float(value).is_integer() for value in plain)
