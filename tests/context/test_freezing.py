"""Snapshots."""

import collections
import copy
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize.context.freezing import Shared, freeze, freeze_if_possible, summarize, thaw

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(bytearray, st.binary())
    ),
    max_leaves=12,
)


def vandalise(value):
    """Change everything that can be changed, however deep."""
    if isinstance(value, dict):
        for item in value.values():
            vandalise(item)
        value.clear()
    elif isinstance(value, list | tuple):
        for item in value:
            vandalise(item)
        if isinstance(value, list):
            value.append("vandal")
    elif isinstance(value, bytearray):
        value.extend(b"vandal")


@given(values)
def test_freeze_and_thaw_isolate(value):
    """Whatever is done to the original and to what was handed out, the next one gets what was put in."""
    expected = repr(copy.deepcopy(value))
    frozen = freeze(value)
    vandalise(value)
    vandalise(thaw(frozen))
    assert repr(thaw(frozen)) == expected


@given(values)
def test_thaw_keeps_types(value):
    """A copy is of the same kinds as the original, however deep."""
    assert repr(thaw(freeze(value))) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.array(3.5),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::2],
        np.array(["2026-01-01"], dtype="datetime64[D]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["a", "bc"]),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)
def test_arrays_of_every_kind_are_kept(array):
    """Shape, type and values survive, and the view is read-only."""
    seen = thaw(freeze(array))
    np.testing.assert_array_equal(seen, array)
    assert seen.dtype == array.dtype
    assert not seen.flags.writeable


def test_subclasses_are_copied_whole():
    """A defaultdict, a Counter and a masked array stay what they are."""
    original = {
        "d": collections.defaultdict(list, a=[1]),
        "c": collections.Counter("aab"),
        "m": np.ma.masked_array([1, 2], mask=[True, False]),
    }
    seen = thaw(freeze(original))
    assert seen["d"].default_factory is list
    assert seen["c"] == collections.Counter("aab")
    assert seen["m"].mask.tolist() == [True, False]
    seen["m"][1] = 5
    assert original["m"][1] == 2


def test_a_mutable_numpy_scalar_is_copied():
    """A record of a structured array can be written to, unlike other numpy scalars."""
    record = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0]
    frozen = freeze(record)
    record["a"] = 9
    thaw(frozen)["a"] = 8
    assert thaw(frozen)["a"] == 1


def test_what_can_not_be_copied_can_be_shared():
    """Where a snapshot is a courtesy, the object itself is handed out."""
    lock = threading.Lock()
    with pytest.raises(TypeError, match="can't be copied"):
        freeze(lock)
    assert isinstance(freeze_if_possible(lock), Shared)
    assert thaw(freeze_if_possible(lock)) is lock
    assert thaw(freeze_if_possible([1])) == [1]


class Rude:
    def __repr__(self):
        raise RuntimeError("no representation")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, 1),
        (0.5, 0.5),
        (None, None),
        (True, True),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 77 + "..."),
        (np.float32(0.5), 0.5),
        (np.complex128(1j), "<complex128>"),
        (np.datetime64("2026-01-01"), "<datetime64>"),
        (np.zeros((2, 3)), "<ndarray float64 (2, 3)>"),
        ([1, "a", None], "[1, 'a', None]"),
        ({"a": [1]}, "{'a': [1]}"),
        (list(range(9)), "<list of 9>"),
        ({"b", "a"}, "<set of 2>"),
        ([object()], "<list of 1>"),
        ([Rude()], "<list of 1>"),
        (Rude(), "<Rude>"),
        (10**100, "<int of 333 bits>"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_summaries_are_short_json_and_the_same_everywhere(value, shown):
    """No address, no order of a set, no representation of the user's gets into a trace."""
    assert summarize(value) == shown
    assert type(summarize(value)) is type(shown)
