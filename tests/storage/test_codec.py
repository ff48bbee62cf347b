"""Values as bytes, and back."""

import math
import pickle
import struct
import sys
from collections import OrderedDict
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from crystallize.errors import NotStorableError
from crystallize.storage.codec import decode, encode
from crystallize.storage.sealed import Encoded


def same(a, b):
    """Return whether two values are alike in types, bits and order."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))  # with surrogates
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
keys = st.text() | st.integers() | st.none() | st.booleans()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner)
)


@given(values)
def test_a_value_comes_back_as_it_was(value):
    """Whatever its kind: types, bits of floats, order of keys."""
    assert same(decode(encode(value)), value)


def test_plain_values_are_json():
    """It is read without running code."""
    value = {
        "b": [1, -0.0, math.inf, -math.inf, 1e-323, 2**1000],
        "a": {"": None, "é": "\U0001f600", "t": True},
    }
    encoded = encode(value)
    assert encoded.kind == "json"
    assert same(decode(encoded), value)


class Colour(IntEnum):
    RED = 1


shared = []


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: "a"},
        [b"bytes"],
        Colour.RED,
        np.float64(0.5),
        OrderedDict(a=1),
        math.nan,
        struct.unpack("<d", b"\x01\0\0\0\0\0\xf4\xff")[0],
        2**5000,
        10 ** (sys.get_int_max_str_digits() + 1),
        "\ud800",
        ["\ud83d\ude00"],
        {"\udc00": 1},
        [1, [2, (3,)]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_is_not_json(value):
    """Tuples become lists, keys become text, subclasses their base, and pairs of surrogates one character."""
    encoded = encode(value)
    assert encoded.kind == "pickle"
    assert same(decode(encoded), value)


def test_what_is_one_object_stays_one():
    """A list that occurs twice, and one that holds itself."""
    first, second = decode(encode([shared, shared]))
    assert first is second
    loop = []
    loop.append(loop)
    assert (again := decode(encode(loop)))[0] is again


def test_deep_values_are_not_json():
    """Its parser would have to be as deep where it is read."""
    value = []
    for _ in range(100):
        value = [value]
    assert encode(value).kind == "pickle"
    assert decode(encode(value)) == value


numeric = npst.arrays(
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?")
    | npst.complex_number_dtypes(endianness="?")
    | npst.datetime64_dtypes(endianness="?")
    | npst.timedelta64_dtypes(endianness="?"),
    npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
)


def assert_same_array(back, array):
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert back.dtype.byteorder == array.dtype.byteorder
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE"):
        assert back.flags[flag] == array.flags[flag], flag


@given(numeric, st.sampled_from("CF"), st.booleans())
def test_numeric_arrays_come_back_without_pickle(array, order, writeable):
    """With their bits, type, shape, order and flags."""
    array = np.array(array, order=order)
    array.flags.writeable = writeable
    encoded = encode(array)
    assert encoded.kind == ("npy" if writeable else "npy-read-only")
    assert_same_array(decode(encoded), array)


def test_two_arrays_do_not_share_memory():
    """Changing one that was read changes no other."""
    encoded = encode(np.arange(3))
    decode(encoded)[0] = 9
    assert decode(encoded)[0] == 0


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a", None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
        np.ma.masked_array([1, 2], mask=[0, 1]),
        np.array(["a", "bc"]),
    ],
    ids=["object", "structured", "masked", "text"],
)
def test_other_arrays_are_pickled(array):
    """Nothing of them gets lost."""
    encoded = encode(array)
    assert encoded.kind == "pickle"
    back = decode(encoded)
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert back.tolist() == array.tolist()


def test_what_a_type_says_of_itself_is_kept():
    """The format of arrays has no place for it, a pickle has."""
    array = np.zeros(2, dtype=np.dtype("f8", metadata={"of": "metres"}))
    assert decode(encode(array)).dtype.metadata == {"of": "metres"}


def test_a_slice_with_gaps_keeps_its_values():
    """Its layout becomes C, which the documentation says."""
    array = np.arange(24.0).reshape(4, 6)[::2, ::-1]
    back = decode(encode(array))
    assert back.tolist() == array.tolist()
    assert back.flags.c_contiguous


class Unpicklable:
    def __reduce__(self):
        raise OSError("not me")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda: 1, "a value of type 'function' can't be pickled: "),
        ([Unpicklable()], "a value of type 'list' can't be pickled: OSError: not me"),
        ((x for x in ()), "a value of type 'generator' can't be pickled: "),
    ],
    ids=["lambda", "raising", "generator"],
)
def test_what_can_not_be_pickled_is_refused(value, reason):
    """The error names the type and the cause, whatever was raised."""
    with pytest.raises(NotStorableError) as caught:
        encode(value)
    assert str(caught.value).startswith(reason)


class Irrevocable:
    def __reduce__(self):
        return int, ("not a number",)


def test_what_can_not_be_unpickled_is_refused():
    """Its class may have changed, or never have worked."""
    with pytest.raises(NotStorableError, match=r"a stored pickle can't be read: ValueError: invalid literal"):
        decode(encode(Irrevocable()))


@pytest.mark.parametrize("kind", ["json", "npy"])
def test_bytes_of_another_kind_are_refused(kind):
    """Neither JSON nor an array is ever unpickled."""
    with pytest.raises(NotStorableError, match=f"a stored {kind} can't be read"):
        decode(Encoded(kind, pickle.dumps(1)))


def test_an_array_of_objects_is_not_read_as_one_of_numbers(tmp_path):
    """Numpy's format may hold a pickle; it is refused."""
    np.save(tmp_path / "objects.npy", np.array([Colour.RED, None]), allow_pickle=True)
    with pytest.raises(NotStorableError, match="allow_pickle=False"):
        decode(Encoded("npy", (tmp_path / "objects.npy").read_bytes()))


def test_an_unknown_kind_is_refused():
    """The error says which there are."""
    with pytest.raises(NotStorableError) as caught:
        decode(Encoded("yaml", b""))
    assert str(caught.value) == "a stored value is of kind 'yaml'; there are json, npy, npy-read-only, pickle"
