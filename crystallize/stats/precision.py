"""What rounding does to equal values: how far apart they may lie, in the type that they were recorded in.

The spacing of numbers depends on their type: those in [1/2, 1) are 2^-53 apart in double precision, 2^-24 in
single and 2^-11 in half. What a sum of a few rounded numbers is off by is a few of these units in the last
place (ulp) of the largest of them: of a pair, of the larger value, however large those of other pairs are.
Whole numbers have no rounding: they are compared exactly.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.stats.degenerate import spread
from crystallize.stats.moments import common_exponent, largest, moments, scaled, scaled_float
from crystallize.stats.samples import REMEMBERED, Sample, as_sample, check_lengths

_ZERO: Final = 4
"""Differences of so many ulp are none."""

_HALF, _SINGLE, _DOUBLE = 2.0**-11, 2.0**-24, 2.0**-53
_CONSTANT: Final = {_HALF: 1, _SINGLE: 2**4, _DOUBLE: 2**10, 0.0: 0}
"""A range of so many ulp is that of equal values."""

_HALF_BITS: Final = 11
_ZEROS: Final = 16  # so many bits are 0 by chance once in 65,536 samples

_FAR: Final = 2.0**10
"""Ranges of so many times that of equal values need no closer look."""

_LARGE: Final = 2**26
"""Whole numbers beyond are told apart better without what is common to them."""

_EXACT: Final = 2**53
"""Up to this size every whole number is a double."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The spacing of the numbers in [1/2, 1), 0 where the values are whole numbers.

    Attributes
    ----------
    ulp : float
        One unit in the last place.
    """

    ulp: float

    @property
    def zero(self) -> float:
        """The largest difference that counts as none, of values that are below 1."""
        return _ZERO * self.ulp

    @property
    def constant(self) -> float:
        """The largest range of values that count as equal, if they are below 1."""
        return _CONSTANT[self.ulp] * self.ulp

    @property
    def is_coarse(self) -> bool:
        """Whether the values have fewer digits than doubles."""
        return self.ulp > _DOUBLE

    @property
    def is_half(self) -> bool:
        """Whether the values are of half precision."""
        return self.ulp == _HALF

    def zero_at(self, *sizes: float) -> float:
        """Return the largest difference that counts as none of numbers of these sizes."""
        size = max(map(abs, sizes))
        return math.ldexp(self.zero, math.frexp(size)[1]) if size else 0.0

    def zeros_at(self, *values: Sample) -> Sample:
        """Return the same of each, or of each pair."""
        sizes = np.abs(values[0]) if len(values) == 1 else np.maximum(*map(np.abs, values))
        with np.errstate(under="ignore"):
            return np.where(sizes > 0, np.ldexp(self.zero, np.frexp(sizes)[1]), 0.0)

    def zero_of_shift(self, shift: float) -> float:
        """Return what counts as none beside a shift, which is a double whatever the values are."""
        return Precision(_DOUBLE).zero_at(min(abs(shift), 0.5)) if self.ulp else 0.0

    def apart(self, range_: float) -> float:
        """Return the range of values that are below 1 as a multiple of the largest that equal ones have."""
        if self.constant == 0:
            return math.inf if range_ > 0 else 0.0
        return range_ / self.constant


@dataclass(frozen=True, eq=False)
class Arms:
    """Two samples, divided by a power of two that brings the largest value into [1/2, 1); never changed.

    Attributes
    ----------
    baseline, treatment : numpy.ndarray
        Large whole numbers less one that is common to all, so that no difference is rounded; those that lie
        further apart than doubles tell whole numbers apart are rounded as other doubles are.
    exponent : int
        Of the power.
    precision : Precision
        Of the values as they were given.
    """

    baseline: Sample
    treatment: Sample
    exponent: int
    precision: Precision

    @cached_property
    def differences(self) -> Sample:
        """Treatment minus baseline of each pair; what rounding of these two alone makes is 0."""
        differences = self.treatment - self.baseline
        none = np.abs(differences) <= self.precision.zero
        if none.any():
            none &= np.abs(differences) <= self.zeros
        return _fixed(np.where(none, 0.0, differences))

    @cached_property
    def zeros(self) -> Sample:
        """Of each pair the largest difference that counts as none."""
        return _fixed(self.precision.zeros_at(self.baseline, self.treatment))

    @cached_property
    def zero(self) -> float:
        """The largest difference that counts as none of most values, which no outlier changes."""
        return self.precision.zero_at(typical(self.baseline), typical(self.treatment))

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and variance of the differences."""
        return moments(self.differences)

    @cached_property
    def apart(self) -> float:
        """Range of the differences, as a multiple of what equal ones may have; at most 1 if all are equal.

        What two of them may owe to rounding is the mean of what each may, by the values of its own pair.
        """
        apart = self.precision.apart(spread(self.differences))
        if not 0 < apart <= _FAR:
            return apart
        zeros, kinds = np.unique(self.zeros, return_inverse=True)
        high, low = np.full(zeros.size, -math.inf), np.full(zeros.size, math.inf)
        np.maximum.at(high, kinds, self.differences)
        np.minimum.at(low, kinds, self.differences)
        with np.errstate(all="ignore"):  # a pair of zeros has no rounding
            found = (high[:, np.newaxis] - low) / (zeros[:, np.newaxis] + zeros)
        return float(np.nanmax(found)) * 2 * self.precision.zero / self.precision.constant

    @cached_property
    def reach(self) -> tuple[float, float]:
        """The smallest and the largest number that rounding may have moved a difference to."""
        return (
            float(np.minimum.reduce(self.differences - self.zeros)),
            float(np.maximum.reduce(self.differences + self.zeros)),
        )

    def first(self, n: int) -> Arms:
        """Return the first values of both, on the same scale."""
        return replace(self, baseline=self.baseline[:n], treatment=self.treatment[:n])

    def of(self, baseline: Sample, treatment: Sample) -> Arms:
        """Return what was made of the values, none of which exceeds them, on a scale of its own."""
        exponent = common_exponent(baseline, treatment)
        return replace(
            self,
            baseline=_fixed(scaled(baseline, -exponent)),
            treatment=_fixed(scaled(treatment, -exponent)),
            exponent=self.exponent + exponent,
        )

    def scaled(self, value: float) -> float:
        """Return a number, such as a shift, on the scale of the samples."""
        return scaled_float(value, -self.exponent)

    def unscaled(self, value: float) -> float:
        """Return a number on the scale of what was given; infinite beyond floats."""
        return scaled_float(value, self.exponent)


class _Rounded(np.ndarray[Any, np.dtype[np.float64]]):
    """Doubles that are off by more than their own rounding."""

    ulp: float = _DOUBLE


def rounded_as(precision: Precision, values: Sample) -> Sample:
    """Return what was made of values of a precision, and has no other, as tests are to read it."""
    found = values.view(_Rounded)
    found.ulp = precision.ulp
    return found


def as_arms(test: str, baseline: ArrayLike, treatment: ArrayLike, *, minimum: int) -> Arms:
    """Return two samples on a common scale, without rounding whole numbers.

    Parameters
    ----------
    test : str
        Display name of the test, for errors.
    baseline, treatment : array_like
        Finite numbers.
    minimum : int
        The fewest of each.

    Raises
    ------
    SampleError
        As `as_sample`.
    """
    doubles = _doubles(baseline, minimum), _doubles(treatment, minimum)
    if doubles[0] and doubles[1] and (known := _arms_of_doubles(doubles[0], doubles[1])) is not None:
        return known
    first = as_sample(test, "baseline", baseline, minimum=minimum)
    second = as_sample(test, "treatment", treatment, minimum=minimum)
    return _arms(baseline, treatment, first, second)


@lru_cache(maxsize=128)
def _arms_of_doubles(baseline: bytes, treatment: bytes) -> Arms | None:
    """Return the arms of finite doubles: the same are tested for several claims, and at several levels."""
    first, second = np.frombuffer(baseline), np.frombuffer(treatment)
    finite = np.count_nonzero(np.isfinite(first)) + np.count_nonzero(np.isfinite(second))
    return _arms(first, second, first, second) if finite == first.size + second.size else None


def _doubles(given: Any, minimum: int) -> bytes | None:
    """Return the bytes of doubles in a row that are worth remembering; None of anything else."""
    if isinstance(given, list | tuple) and {float} == set(map(type, given)):
        given = array("d", given)
    if isinstance(given, array):
        are_doubles = given.typecode == "d"
    else:
        are_doubles = type(given) is np.ndarray and given.dtype == np.float64 and given.ndim == 1
    return given.tobytes() if are_doubles and minimum <= len(given) <= REMEMBERED // 2 else None


def _arms(baseline: Any, treatment: Any, first: Sample, second: Sample) -> Arms:
    precision = precision_of((baseline, first), (treatment, second))
    size = largest(first, second)
    if precision.ulp == 0 and size > _LARGE:
        if (centred := _centred(baseline, treatment)) is None:
            precision = Precision(_DOUBLE)
        else:
            first, second = centred
            size = largest(first, second)
    exponent = math.frexp(size)[1]
    with np.errstate(all="ignore"):  # what is lost is below the smallest float beside the largest value
        first, second = np.ldexp(first, -exponent), np.ldexp(second, -exponent)
    return Arms(_fixed(first), _fixed(second), exponent, precision)


def _fixed(sample: Sample) -> Sample:
    sample.flags.writeable = False
    return sample


def as_paired_arms(test: str, baseline: ArrayLike, treatment: ArrayLike, *, minimum: int) -> Arms:
    """Return two samples whose i-th values belong together, as `as_arms` does.

    Raises
    ------
    SampleError
        Also if the lengths differ.
    """
    arms = as_arms(test, baseline, treatment, minimum=minimum)
    check_lengths(test, arms.baseline, arms.treatment)
    return arms


def precision_of(*arms: tuple[ArrayLike, Sample]) -> Precision:
    """Return the precision of samples, given as they were recorded and as doubles.

    Values in double precision that all are numbers of single precision, as metrics from libraries that
    compute in it are, count as such; they are off by its rounding. So do those of half precision, unless they
    might be multiples of one number, as rates are.
    """
    if all(_is_whole(given, sample) for given, sample in arms):
        return Precision(0.0)
    known = [_spacing(given) for given, _ in arms]
    if max(known) > _DOUBLE:
        return Precision(max(known))
    with np.errstate(all="ignore"):
        single = all(_are_singles(sample) for _, sample in arms)
    if not single:
        return Precision(_DOUBLE)
    return Precision(_HALF if _are_halves(np.concatenate([sample for _, sample in arms])) else _SINGLE)


def _are_singles(values: Sample) -> bool:
    # Mostly the first value tells that they are not.
    return float(np.float32(values[0])) == values[0] and np.array_equal(values.astype(np.float32), values)


def _are_halves(values: Sample) -> bool:
    """Return whether values were rounded to half precision, which keeps 11 bits of each, whatever its size.

    Multiples of one number, such as rates out of 2,048, may be such values, too: those that need more than 11
    bits have zeros behind them by chance. And few numbers that are rounded to 11 bits need much fewer.
    """
    with np.errstate(all="ignore"):  # beyond its range
        if not np.array_equal(values.astype(np.float16), values):
            return False
    mantissa, exponent = np.frexp(np.unique(np.abs(values[values != 0])))
    kept = np.rint(mantissa * 2**_HALF_BITS).astype(np.int64)
    needed = _HALF_BITS - np.log2(kept & -kept)
    finest = (exponent - needed).min(initial=math.inf)
    zeros = np.maximum(exponent - _HALF_BITS - finest, 0).sum()
    return bool(zeros >= _ZEROS and needed.mean() >= _HALF_BITS - 2)


def typical(values: Sample) -> float:
    """Return the size of most values, which no outlier changes."""
    middle = values.size // 2
    return float(np.partition(np.abs(values), middle)[middle])


def rounding(*samples: ArrayLike) -> float:
    """Return the largest range of values like these that rounding alone may give; 0 of whole numbers.

    Parameters
    ----------
    *samples : array_like
        Finite numbers, at least one of each.

    Examples
    --------
    >>> rounding([0.1, 2.5]) == 2**10 * 2**-51, rounding([10**18, 3])
    (True, 0.0)
    """
    arms = [as_sample("rounding", "values", values, minimum=1) for values in samples]
    precision = precision_of(*zip(samples, arms, strict=True))
    exponent = math.frexp(max(float(np.abs(arm).max()) for arm in arms))[1]
    return math.ldexp(precision.constant, exponent)


def rounding_of_rest(
    arms: tuple[ArrayLike, ArrayLike],
    others: tuple[ArrayLike, ArrayLike],
    factor: float,
    exponents: tuple[int, int] = (0, 0),
) -> float:
    """Return the largest range that rounding alone may give to values less a factor times others.

    Parameters
    ----------
    arms, others : pair of array_like
        Finite numbers, at least one of each.
    factor : float
        What the others are multiplied by; it is rounded as doubles are, whatever they are.
    exponents : pair of int
        Of the powers of two that both are to be divided by first.
    """
    parts = tuple(zip((arms, others), (1.0, abs(factor)), exponents, strict=True))
    size = max(
        scale * scaled_float(largest(*(as_sample("rounding", "values", v, minimum=1) for v in of)), -exponent)
        for of, scale, exponent in parts
    )
    own = math.ldexp(Precision(_DOUBLE).constant, math.frexp(size)[1])
    return max(own, *(scale * scaled_float(rounding(*of), -exponent) for of, scale, exponent in parts))


def _spacing(given: Any) -> float:
    if isinstance(given, _Rounded):
        return given.ulp
    dtype = getattr(given, "dtype", None)
    if dtype is None and isinstance(given, list | tuple):
        dtypes = {getattr(value, "dtype", None) for value in given}
        if len(dtypes) > 1 and None in dtypes:
            plain = np.array([value for value in given if not hasattr(value, "dtype")], dtype=np.float64)
            with np.errstate(all="ignore"):
                if _are_singles(plain):
                    dtypes.remove(None)
        dtype = dtypes.pop() if len(dtypes) == 1 else None
    return {"f2": _HALF, "f4": _SINGLE}.get(dtype.str[1:] if isinstance(dtype, np.dtype) else "", _DOUBLE)


def _is_whole(given: Any, sample: Sample) -> bool:
    """Return whether all values are whole numbers; a double beyond 2^53 need not be one."""
    if not float(sample[0]).is_integer():
        return False
    if (np.abs(sample) <= _EXACT).all():
        return bool((sample == np.rint(sample)).all())
    if isinstance(given, np.ndarray) and given.dtype.kind != "O":
        return given.dtype.kind in "biu"
    return all(
        isinstance(value, int | np.integer) or (abs(value) <= _EXACT and float(value).is_integer())
        for value in given
    )


def _centred(baseline: Any, treatment: Any) -> tuple[Sample, Sample] | None:
    """Return large whole numbers less the first of them; None where doubles do not hold that either."""
    origin = int(baseline[0])
    arms = [[int(value) - origin for value in arm] for arm in (baseline, treatment)]
    if any(abs(value) >= _EXACT for arm in arms for value in arm):
        return None
    return np.array(arms[0], dtype=np.float64), np.array(arms[1], dtype=np.float64)
