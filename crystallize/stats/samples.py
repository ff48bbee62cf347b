"""Validation: what a sample must be before a statistic is computed from it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystallize.errors import SampleError
from crystallize.stats.result import Alternative

Sample = NDArray[np.float64]

REMEMBERED: Final = 2**11
"""Up to so many values it is worth remembering what was made of them."""

_MOST: Final = 2**53
"""Up to this size every whole number is a double; nobody counts further."""

_ALTERNATIVES: tuple[str, ...] = get_args(Alternative)


def as_sample(test: str, arm: str, values: ArrayLike, *, minimum: int) -> Sample:
    """Return the values of one arm as a one-dimensional array of finite floats.

    Parameters
    ----------
    test, arm : str
        Named in the error: the test's display name, and "baseline" or "treatment".
    values : array_like, shape (n,)
        Real numbers or booleans.
    minimum : int
        The fewest values that the test can take.

    Raises
    ------
    SampleError
        If a value is no finite real number, the shape is wrong, or there are too few values.
    """
    sample = _as_floats(test, arm, values)
    if sample.ndim != 1:
        raise SampleError(
            f"{test}: {arm} has shape {sample.shape}; allowed is one dimension, one value per replicate; "
            "reduce each replicate to one number"
        )
    finite = np.isfinite(sample)
    if np.count_nonzero(finite) < sample.size:
        position = int(np.argmin(finite))
        raise SampleError(
            f"{test}: {arm}[{position}] is {float(sample[position])}; allowed are finite numbers; "
            "mend the metric, or leave the replicate out of every condition"
        )
    if sample.size < minimum:
        raise SampleError(
            f"{test}: {arm} has {sample.size} value(s); it needs at least {minimum}; run more replicates"
        )
    return sample


def as_doubles(baseline: Sequence[float], treatment: Sequence[float]) -> tuple[Sample, Sample] | None:
    """Return pairs as arrays where they are doubles in a row, as mostly they are; None where they are not."""
    arms = baseline, treatment
    if all(type(arm) is array and arm.typecode == "d" for arm in arms) and len(baseline) == len(treatment):
        return np.asarray(baseline), np.asarray(treatment)
    return None


def as_pairs(test: str, baseline: ArrayLike, treatment: ArrayLike, *, minimum: int) -> tuple[Sample, Sample]:
    """Return both arms as arrays of equal length whose i-th values belong together.

    Raises
    ------
    SampleError
        As `as_sample`, or if the lengths differ.
    """
    first = as_sample(test, "baseline", baseline, minimum=minimum)
    second = as_sample(test, "treatment", treatment, minimum=minimum)
    check_lengths(test, first, second)
    return first, second


def check_lengths(test: str, baseline: Sample, treatment: Sample) -> None:
    """Raise SampleError unless both arms have as many values."""
    if baseline.size != treatment.size:
        raise SampleError(
            f"{test}: baseline has {baseline.size} values and treatment {treatment.size}; "
            "pairs need equal lengths; run the missing replicates, or use a test of independent samples"
        )


def as_binary_pairs(test: str, baseline: ArrayLike, treatment: ArrayLike) -> tuple[Sample, Sample]:
    """Return both arms as paired arrays of zeros and ones, of which one pair is enough.

    Raises
    ------
    SampleError
        As `as_pairs`, or if a value is neither 0 nor 1.
    """
    first, second = as_pairs(test, baseline, treatment, minimum=1)
    _check_binary(test, "baseline", first)
    _check_binary(test, "treatment", second)
    return first, second


def as_binary(test: str, arm: str, values: ArrayLike) -> Sample:
    """Return the values of one arm as an array of zeros and ones, of which one is enough.

    Raises
    ------
    SampleError
        As `as_sample`, or if a value is neither 0 nor 1.
    """
    sample = as_sample(test, arm, values, minimum=1)
    _check_binary(test, arm, sample)
    return sample


def check_alternative(test: str, alternative: str) -> None:
    """Raise SampleError unless the alternative is one of the three."""
    if alternative not in _ALTERNATIVES:
        allowed = ", ".join(map(repr, _ALTERNATIVES))
        raise SampleError(f"{test}: alternative is {alternative!r}; allowed are {allowed}")


def as_whole(number: Any) -> int | None:
    """Return a whole number of any type as an int, whose sums and powers never overflow; None of all else."""
    if isinstance(number, np.bool_):  # of which numpy 1 warns that it is no index
        return int(number)
    try:
        return index(number)
    except TypeError:
        return _as_whole_real(number)


def _as_whole_real(number: Any) -> int | None:
    try:
        whole = int(number)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if whole == number else None


def as_real(number: Any) -> float:
    """Return a real number of any type as a float, with which alone scipy computes; nan of all else."""
    try:
        return math.nan if isinstance(number, str | bytes) else float(number)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def as_list(test: str, what: str, given: Any, *, of: str = "numbers") -> list[Any]:
    """Return what is to be a sequence as a list.

    Raises
    ------
    SampleError
        If it is none.
    """
    try:
        return list(given)
    except TypeError:
        raise SampleError(f"{test}: {what} is {given!r}; allowed is a sequence of {of}") from None


def as_two(test: str, what: str, given: Any) -> tuple[Any, Any]:
    """Return what stands beside the baseline and the treatment, a sample each.

    Raises
    ------
    SampleError
        If there are not two.
    """
    both = as_list(test, what, given, of="two samples, one beside each arm")
    if len(both) != 2:
        raise SampleError(
            f"{test}: {what} has {len(both)} parts; allowed are two samples, one beside the baseline and one "
            "beside the treatment"
        )
    return both[0], both[1]


def check_compare(test: str, compare: Any) -> None:
    """Raise SampleError unless it can be called, as a `Comparison` is."""
    if not callable(compare):
        raise SampleError(f"{test}: compare is {compare!r}; allowed are functions such as paired_t")


def check_counts(test: str, *counts: tuple[int, int]) -> list[tuple[int, int]]:
    """Return counts, and the numbers of what they are of, as plain ints.

    Raises
    ------
    SampleError
        If a count is no whole number between 0 and the number of what it is of, or that exceeds 2^53.
    """
    checked = []
    for part, of in counts:
        few, many = as_whole(part), as_whole(of)
        if few is None or many is None or not 0 <= few <= many <= _MOST:
            raise SampleError(f"{test}: {part!r} of {of!r}; allowed is a count from 0 to what it is of")
        checked.append((few, many))
    return checked


def check_tallies(test: str, *tallies: int) -> list[int]:
    """Return numbers of what was counted as plain ints.

    Raises
    ------
    SampleError
        If one is negative or no whole number.
    """
    return _check_whole(test, "a count of {!r}", tallies, 0)


def check_sizes(test: str, *sizes: int, least: int = 1) -> list[int]:
    """Return sizes as plain ints.

    Raises
    ------
    SampleError
        If one is no whole number, or not as large as it has to be.
    """
    return _check_whole(test, "a sample of {!r} values", sizes, least)


def _check_whole(test: str, what: str, numbers: Iterable[object], least: int) -> list[int]:
    checked = []
    for number in numbers:
        whole = as_whole(number)
        if whole is None or not least <= whole <= _MOST:
            raise SampleError(
                f"{test}: {what.format(number)}; allowed are whole numbers from {least} to 2^53"
            )
        checked.append(whole)
    return checked


def check_one_or_two(test: str, sizes: tuple[int, ...]) -> list[int]:
    """Return the number of pairs, or the sizes of two arms, as plain ints; either may be 0.

    Raises
    ------
    SampleError
        If there are not one or two, or one is negative or no whole number.
    """
    if len(sizes) not in (1, 2):
        raise SampleError(
            f"{test}: {len(sizes)} sizes; allowed are one, the number of pairs, or two, those of both arms"
        )
    return check_sizes(test, *sizes, least=0)


def check_resamples(test: str, resamples: int, *, option: str = "resamples") -> int:
    """Return the number of rearrangements as a plain int.

    Raises
    ------
    SampleError
        If it is no whole number, or too small for a p-value of .01.
    """
    whole = as_whole(resamples)
    if whole is None or whole < 99:
        raise SampleError(
            f"{test}: {option} is {resamples!r}; allowed are 99 and more, whole numbers such as 9999"
        )
    return whole


def check_alpha(test: str, alpha: float) -> float:
    """Return alpha as a plain float.

    Raises
    ------
    SampleError
        If it is not between 0 and 1.
    """
    level = as_real(alpha)
    if not 0 < level < 1:
        raise SampleError(f"{test}: alpha is {alpha!r}; allowed is a number between 0 and 1, such as 0.05")
    return level


def check_shift(test: str, shift: float, *, below: float = math.inf) -> float:
    """Return the shift as a plain float.

    Raises
    ------
    SampleError
        If it is not finite, or not smaller in size than `below`.
    """
    number = as_real(shift)
    if not abs(number) < below:
        allowed = "finite numbers" if below == math.inf else f"numbers between -{below:g} and {below:g}"
        raise SampleError(f"{test}: shift is {shift!r}; allowed are {allowed}, in the units of the metric")
    return number


def checked_options(
    test: str, alternative: Alternative, alpha: float, shift: float, *, below: float = math.inf
) -> tuple[float, float]:
    """Return alpha and shift as plain floats, after all three options are checked.

    Raises
    ------
    SampleError
        If the alternative is none of the three, alpha is not in (0, 1), or the shift is not below the limit.
    """
    check_alternative(test, alternative)
    return check_alpha(test, alpha), check_shift(test, shift, below=below)


def check_test_fraction(test: str, test_fraction: float) -> float:
    """Return the part that is held out as a plain float.

    Raises
    ------
    SampleError
        If it is not between 0 and 1.
    """
    part = as_real(test_fraction)
    if not 0 < part < 1:
        raise SampleError(
            f"{test}: test_fraction is {test_fraction!r}; allowed is a number between 0 and 1: the part of "
            "the data set that each resplit holds out, such as 0.2"
        )
    return part


def is_binary(values: ArrayLike) -> bool:
    """Return whether there is at least one value and every value is 0 or 1 (or a boolean).

    Parameters
    ----------
    values : array_like
        Anything; what is not numeric is not binary.

    Examples
    --------
    >>> is_binary([0, 1, True]), is_binary([0, 0.5]), is_binary([])
    (True, False, False)
    """
    first = values[0] if isinstance(values, list | array) and len(values) else None
    if type(first) is float and first not in (0.0, 1.0):
        return False
    try:
        found = _as_floats("is_binary", "values", values)
    except SampleError:
        return False
    return found.size > 0 and bool(((found == 0) | (found == 1)).all())


def _as_floats(test: str, arm: str, values: ArrayLike) -> Sample:
    try:
        given = np.asarray(values)
        if given.dtype.kind == "O":  # such as Fraction, Decimal, or integers beyond 64 bits
            return np.array([float(value) for value in given.ravel()]).reshape(given.shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise SampleError(
            f"{test}: {arm} can't be read as an array of numbers ({error}); "
            "allowed is a sequence of real numbers, one per replicate"
        ) from error
    if given.dtype.kind not in "biuf":
        raise SampleError(
            f"{test}: {arm} holds values of type {given.dtype}; "
            "allowed are real numbers and booleans; convert the metric first"
        )
    if given.dtype == np.float64:
        return given.astype(np.float64)
    with np.errstate(all="ignore"):  # a long double may exceed float64: it is found as infinite
        return given.astype(np.float64)


def _check_binary(test: str, arm: str, sample: Sample) -> None:
    binary = (sample == 0) | (sample == 1)
    if not binary.all():
        position = int(np.argmin(binary))
        raise SampleError(
            f"{test}: {arm}[{position}] is {float(sample[position])}; allowed are 0 and 1; "
            "use a t test for other numbers"
        )
