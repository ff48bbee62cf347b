import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import threading
import types
import uuid
import zoneinfo
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crystallize.context.freezing import freeze, thaw
from crystallize.errors import UnhashableValueError
from crystallize.identity import column_encoder
from crystallize.identity.fingerprint import fingerprint
from crystallize.identity.instances import attributes
from crystallize.identity.stable_hash import stable_hash

ROOT = Path(__file__).parents[2]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Plain:
    def __init__(self, **attributes):
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("left", "right")


class Named(str):
    __slots__ = ()


class Liar(list):
    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    name: str
    score: float = 0.0


Pair = collections.namedtuple("Pair", "first second")

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers() | st.text())
    ),
    max_leaves=12,
)

ALIKE = st.lists(
    st.recursive(
        st.sampled_from([None, False, True, 0, 1, 1.0, 0.0, "", "a", "ab", "b", 2**63, *Colour]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from(["a", "b", 1, True, 1.0]), inner, max_size=3)
            | st.builds(Plain, a=inner)
            | st.builds(Plain, b=inner, a=inner)
            | st.builds(Record, inner, inner)
            | st.builds(Pair, inner, inner)
        ),
        max_leaves=6,
    ),
    max_size=5,
)


def typed(value):
    """Return a value as it would be, did equality respect types and the order of dicts."""
    if isinstance(value, dict):
        return dict, [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, Plain | Record):
        return type(value), sorted((name, typed(item)) for name, item in attributes(value).items())
    return type(value), [typed(item) for item in value] if isinstance(value, list | tuple) else value


ROWS = [{"name": f"case {i}", "score": i / 7, "tags": ["a"], "kept": None, "at": (i, {})} for i in range(9)]
DISTINCT = [
    *(1, True, 1.0, "1", b"1", 1j + 1, np.float64(1), np.float32(1), np.int64(1)),
    *(np.array(1.0), np.bool_(True)),
    *(0, False, 0.0, -0.0, "", b"", None, [], (), {}, set(), frozenset(), bytearray(), ..., NotImplemented),
    *([1], (1,), {1}, frozenset({1}), {1: 1}, [[1]], [1.0], [True], [1, 1.0], ["1"], np.array([1]), range(1)),
    *([1, 2], [2, 1], {"a": 1, "b": 2}, {"b": 2, "a": 1}, {1: 2}, {2: 1}, slice(1), slice(0, 1)),
    *(["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], [("a", "b"), "c"], ["a", ("b", "c")]),
    *(2**63, -(2**63) - 1, 2**64, float("nan"), float("inf"), np.inf * np.ones(1), np.ones((1, 1))),
    *(decimal.Decimal("1"), decimal.Decimal("1.0"), fractions.Fraction(1), datetime.date(2020, 1, 1)),
    *(datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
    *(datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), datetime.datetime(2020, 1, 1, fold=1)),
    *(datetime.time(1), datetime.timedelta(1), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a")),
    *(Colour.RED, Colour.BLUE, Pair(1, 2), (1, 2), Pair(2, 1), Record("a"), Record("b"), Plain(), Plain(a=1)),
    *(Named("1"), collections.OrderedDict(), collections.defaultdict(list), collections.defaultdict(int)),
    *(collections.deque(), collections.deque(maxlen=3), collections.Counter(), int, float),
    *(len, np.mean, np.add),
    *(re.compile("a"), re.compile("a", re.I), re.compile(b"a")),
    *(functools.partial(int), types.SimpleNamespace(a=1)),
    *(np.random.default_rng(0), np.random.default_rng(1), random.Random(0), random.Random(1)),
    *(Liar([1]), Liar([2])),
    *(np.array(["a"]), np.array(["a"], dtype=object), np.zeros(0), np.zeros((0, 2)), np.zeros(2, np.float32)),
    *(np.zeros(1, ">f8"), np.zeros(1, "<f8"), np.zeros(1, "M8[s]"), np.zeros(1, "M8[ms]"), np.dtype("f4")),
    *(np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0]), uuid.UUID(int=1), ValueError("a")),
    *(pd.Series([1, 2]), pd.Series([1, 2], name="a"), pd.Series([1, 2], index=[1, 2]), pd.Index([1, 2])),
    *(pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]}), pd.DataFrame({"a": [1.0, 2.0]}), pd.NaT),
    *(pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]}), pd.Series(["a", None])),
    *(pd.Series(pd.Categorical(["a", "b"])), pd.Series(pd.Categorical(["a", "b"], ["b", "a"]))),
    *(pd.Series([]), pd.NA),
    *(pd.Series([1, None], dtype="Int64"), pd.Series([1, 0], dtype="Int64")),
    *(pd.Timestamp("2020"), pd.Timedelta(1)),
    *(pd.date_range("2020", periods=2), pd.date_range("2020", periods=2, tz="UTC"), pd.Period("2020-01")),
    *(ROWS, ROWS[:8], ROWS[::-1], [*ROWS[:8], {}], [*ROWS[:8], {**ROWS[8], "kept": True}]),
    *([{**row, "kept": False} for row in ROWS], [{**row, "kept": 0} for row in ROWS], tuple(ROWS)),
    *([dict(reversed(row.items())) for row in ROWS], [collections.OrderedDict(row) for row in ROWS]),
    *([{Named("a"): 1}] * 9, [{"a": 1}] * 9, [{"a": 1.0}] * 9, [{"a": True}] * 8 + [{"a": 1}], [{1: 1}] * 9),
    *([{1.0: 1}] * 9, [{True: 1}] * 9, [{"a": 1}] * 8 + [{Named("a"): 1}], [{}] * 9, [[]] * 9, [()] * 9),
    *([[1], [2, 3]] * 8, [[1, 2], [3]] * 8, [(1,), (2, 3)] * 8, [[1], (2, 3)] * 8, [[[1], [2, 3]]] * 8),
    *([True] * 9, [1] * 9, [False] * 9, [None] * 9, [None] * 8, [["*l"]] * 9, ["*l"] * 9, [[None]] * 9),
    *([[i] for i in range(1024)], [[i] for i in range(1025)], [[i] for i in range(1024)] + [(1024,)]),
    *(collections.deque([[1]] * 9), [[2**63]] * 9, [[2**64]] * 9, [Pair(1, 2)] * 9, [(1, 2)] * 9),
    *(pd.MultiIndex.from_tuples([(1, 2)]), pd.Interval(0, 1), pd.Interval(0, 1, closed="both")),
    *([Colour.RED] * 9, [Colour.BLUE] * 9, [Colour.RED] * 8 + [Colour.BLUE], [Colour.BLUE, Colour.RED] * 5),
    *([Plain()] * 9, [Plain(a=1)] * 9, [Plain(b=1)] * 9, [Plain(a=True)] * 9, [Plain(a=1)] * 8 + [Plain()]),
    *([Plain(a=1, b=2)] * 9, [Plain(a=2, b=1)] * 9),
    *([Record("a")] * 9, [Record("b")] * 9, [Record("a", 0)] * 9),
    *([Pair(1, 2.0)] * 9, [Pair(1, Pair(1, 2))] * 9, [Plain(a=Plain())] * 9, [Plain(a=Record("a"))] * 9),
    *({i: i for i in range(64)}, {i: float(i) for i in range(64)}, {float(i): i for i in range(64)}),
    *({i: i for i in range(65)}, {63 - i: 63 - i for i in range(64)}, {i: Plain() for i in range(64)}),
    *({i: Plain(a=1) for i in range(64)}, collections.OrderedDict((i, i) for i in range(64))),
    pd.RangeIndex(2),
]  # fmt: skip


def test_values_of_different_types_or_contents_differ():
    """Neither equality in Python nor equal bytes make two values the same."""
    hashes = {}
    for value in DISTINCT:
        other = hashes.setdefault(stable_hash(value), value)
        assert other is value, f"{other!r} and {value!r}"


@given(VALUES)
def test_a_copy_hashes_equal(value):
    """What counts is the value, not the object, nor whether parts are shared."""
    shared = [value, value]
    assert stable_hash(shared) == stable_hash([copy.deepcopy(value), copy.deepcopy(value)])


@given(VALUES)
def test_what_a_context_gives_out_hashes_as_what_was_put_in(value):
    """Freezing and thawing keep the hash."""
    assert stable_hash(thaw(freeze(value))) == stable_hash(value)


@given(VALUES, VALUES)
def test_values_that_python_tells_apart_hash_apart(first, second):
    """No two different values were ever made alike."""
    assume(repr(first) != repr(second))  # nan differs from itself
    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = False  # which a signalling nan raises where it is compared
        assume(first != second)
    assert stable_hash(first) != stable_hash(second)


@pytest.fixture(scope="module")
def early_columns():
    """Write by column what is too short for it to be worth it, in blocks of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_encoder.ColumnEncoder, "fewest", 1)
        for name, value in {"_BLOCK": 2, "_MOST": 5, "_DEEPEST": 3, "_MANY": 2}.items():
            patch.setattr(column_encoder, name, value)
        yield


@given(ALIKE, ALIKE)
def test_columns_keep_values_apart(early_columns, first, second):
    """Lists of what is alike are written by column, and hash apart and alike as all others do."""
    assert (stable_hash(first) == stable_hash(second)) == (typed(first) == typed(second))
    assert stable_hash(
        [types.MappingProxyType(row) if type(row) is dict else row for row in first]
    ) == stable_hash(copy.deepcopy(first))


@given(st.sets(st.integers() | st.text()), st.sets(st.integers() | st.text()))
def test_sets_of_variables_are_what_is_in_them(first, second):
    """Members of one type are written in their own order, others in that of what is said of each."""
    one, other = (fingerprint(members, name="members").digest for members in (first, second))
    assert (one == other) == (first == second)


@given(ALIKE, ALIKE)
def test_columns_of_variables_keep_values_apart(early_columns, first, second):
    """So are those that code of a project has in a variable, in whose fingerprint they are."""
    one, other, same = (
        fingerprint(value, name="rows").digest for value in (first, second, copy.deepcopy(first))
    )
    assert one == same
    assert (one == other) == (typed(first) == typed(second))


def test_columns_of_instances_keep_objects_apart():
    """Of a variable's, which of several places hold the very same one counts, and what leads back to it."""

    def ring(places):
        nodes = [Plain(rank=0) for _ in places]
        for node, place in zip(nodes, places, strict=True):
            node.onward = nodes[place]
        return nodes

    same, one = Plain(a=1), Plain(a=1)
    found = {}
    for name, value in {
        "one": [same] * 9,
        "nine": [Plain(a=1) for _ in range(9)],
        "two": [same] * 8 + [one],
        "others": [one] + [same] * 8,
        "in turn": [same, one] * 4 + [same],
        "of one": [Plain(a=same) for _ in range(9)],
        "of nine": [Plain(a=Plain(a=1)) for _ in range(9)],
        "ring": ring([1, 2, 3, 4, 5, 6, 7, 8, 0]),
        "loops": ring(range(9)),
        "star": ring([0] * 9),
        "of itself": [Plain(a=1)] * 8,
    }.items():
        digest = fingerprint(value, name="value").digest
        assert digest == fingerprint(copy.deepcopy(value), name="value").digest
        other = found.setdefault(digest, name)
        assert other == name
    assert fingerprint(ring(range(9)), name="value").digest in found


@given(st.lists(st.integers() | st.text(), unique=True), st.randoms())
def test_sets_have_no_order(items, shuffler):
    """The order in which members were added does not count; that of a dict's keys does."""
    shuffled = list(items)
    shuffler.shuffle(shuffled)
    assert stable_hash(set(items)) == stable_hash(set(shuffled))
    first, second = (fingerprint(set(members), name="members").digest for members in (items, shuffled))
    assert first == second
    same = stable_hash(dict.fromkeys(items)) == stable_hash(dict.fromkeys(shuffled))
    assert same == (items == shuffled)


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=3)))
def test_layout_of_an_array_does_not_count(array):
    """C order, Fortran order, views, strides and read-only copies hash equal."""
    expected = stable_hash(array)
    readonly = array.copy()
    readonly.setflags(write=False)
    strided = np.repeat(array, 2, axis=0)[::2]
    for other in (np.asfortranarray(array), array[...], readonly, strided):
        assert stable_hash(other) == expected


def test_padding_of_records_does_not_count():
    """Fields of a structured array are hashed, not the bytes between them."""
    dtype = np.dtype([("a", "u1"), ("b", "f8"), ("c", "i2", (2,))], align=True)
    zeros, ones = bytearray(b"\x00" * dtype.itemsize * 2), bytearray(b"\xff" * dtype.itemsize * 2)
    first, second = np.frombuffer(zeros, dtype), np.frombuffer(ones, dtype)
    assert stable_hash(first) != stable_hash(second)
    for name in dtype.names:
        second[name] = 0
    assert zeros != ones
    assert stable_hash(first) == stable_hash(second)


def test_a_mappingproxy_hashes_as_its_dict():
    """It is the read-only view of one."""
    assert stable_hash(types.MappingProxyType({"a": [1]})) == stable_hash({"a": [1]})


def test_slots_and_attributes_count_in_any_order():
    """The state of an instance is a mapping from names."""
    first, second = Slotted(), Slotted()
    first.left, first.right = 1, 2
    second.right, second.left = 2, 1
    assert stable_hash(first) == stable_hash(second)
    del second.left
    assert stable_hash(first) != stable_hash(second)
    assert stable_hash(Plain(a=1, b=2)) == stable_hash(Plain(b=2, a=1))


class Hiding:
    def __getattribute__(self, name):
        return {} if name == "__dict__" else object.__getattribute__(self, name)


class Both:
    __slots__ = ("__dict__", "rate")


def with_names(kind, **held):
    """Return an instance, given attributes by their names, and others as `__dict__` may have them."""
    value = kind()
    for name, item in held.pop("set_to", {}).items():
        setattr(value, name, item)
    object.__getattribute__(value, "__dict__").update(held.pop("others", {}))
    return value


@pytest.mark.parametrize("many", [1, 9])
@pytest.mark.parametrize(
    ("kind", "held", "other"),
    [
        (Hiding, {"set_to": {"rate": 1}}, {"set_to": {"rate": 2}}),
        (
            Both,
            {"set_to": {"rate": 1}, "others": {"rate": 0}},
            {"set_to": {"rate": 2}, "others": {"rate": 0}},
        ),
        (Both, {"set_to": {"rate": 1}}, {"others": {"rate": 1}}),
        (Plain, {"others": {1: 1}}, {"others": {"1": 1}}),
    ],
)
def test_no_attribute_hides_behind_another(kind, held, other, many):
    """A slot and an entry of `__dict__` may have one name, names may be no texts, a class may hide them."""
    first, second = ([with_names(kind, **which) for _ in range(many)] for which in (held, other))
    assert stable_hash(first) != stable_hash(second)
    assert fingerprint(first, name="value").digest != fingerprint(second, name="value").digest


def test_the_state_of_a_generator_counts():
    """Drawing from it makes it another value."""
    for generator, draw in [(np.random.default_rng(3), "random"), (random.Random(3), "random")]:
        before = stable_hash(generator)
        getattr(generator, draw)()
        assert stable_hash(generator) != before


def test_classes_of_instances_are_handed_out():
    """Their code is no part of the hash, so the caller must be able to fingerprint it."""
    met = set()
    stable_hash({"a": [Plain(b=Record("x"))], "c": Colour.RED}, classes=met)
    assert met == {Plain, Record, Colour}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (
            [*({"a": [1], "b": (2,)} for _ in range(1030)), {"a": [1], "b": (len, iter([]))}],
            r"data\[1030\]\['b'\]\[1\] is",
        ),
        ([*(Plain(a=1) for _ in range(1030)), Plain(a=[iter([])])], r"data\[1030\]\.a\[0\] is"),
        ({n: [len, iter([])] if n == 70 else n for n in range(80)}, r"data\[70\]\[1\] is"),
        ([[1, lambda: 0]] * 9, r"data\[0\]\[1\] is a builtins.function"),
        ({"model": [1, 2, 3, threading.local()]}, r"data\['model'\]\[3\] is a _thread._local"),
        (Plain(rows=(1, (i for i in ()))), r"data\.rows\[1\] is a builtins.generator"),
        ({(1, "a"): lambda: 0}, r"data\[\(1, 'a'\)\] is a builtins.function"),
        (np.array([[None, iter([])]], dtype=object), r"data\[0, 1\] is a builtins.list_iterator"),
        (pd.DataFrame({"a": [iter([])]}), r"data\['a'\].* is a builtins.list_iterator"),
    ],
)
def test_a_refusal_names_the_path_and_the_way_out(value, where):
    """What has no hash by value is refused, not guessed."""
    with pytest.raises(UnhashableValueError, match=rf"^{where}.*cache_key="):
        stable_hash(value, name="data")


def test_open_things_are_refused(tmp_path):
    """What they will give is not known."""
    (tmp_path / "a").write_text("x")
    with (tmp_path / "a").open() as file, pytest.raises(UnhashableValueError, match="an open file"):
        stable_hash(file)
    with socket.socket() as connection, pytest.raises(UnhashableValueError, match="not visible"):
        stable_hash([connection])


@pytest.mark.parametrize(
    ("make", "width"), [(list, 1), (list, 2), (list, 9), (list, 10**4), (dict, 1), (Plain, 1)]
)
def test_what_contains_itself_is_refused(make, width):
    """It has no end."""
    value = make()
    if isinstance(value, list):
        value.extend([value] * width)
    elif isinstance(value, dict):
        value["self"] = value
    else:
        value.self = value
    with pytest.raises(UnhashableValueError, match="contains itself"):
        stable_hash(value)


def test_subclasses_can_not_lie_about_what_they_hold():
    """The items of the builtin base count, whatever iteration shows."""
    assert stable_hash(Liar([1])) != stable_hash(Liar([1, 2]))


def test_hashes_are_the_same_in_every_process():
    """Hash seeds, addresses and interning play no part; pandas is not imported for it."""
    code = (
        "import sys, decimal, datetime, numpy as np\n"
        "from crystallize.identity.stable_hash import stable_hash\n"
        "value = [{'b', 'a', 'c', 1, None, (1, 'x')}, {'k': frozenset('abcdef')}, np.arange(3.0), len, int,\n"
        "  decimal.Decimal('1.10'), datetime.date(2020, 1, 1), np.random.default_rng(0)]\n"
        "print(stable_hash(value), 'pandas' in sys.modules)"
    )
    outputs = set()
    for seed in ("0", "1", "random"):
        variables = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert outputs.pop().endswith("False\n")
