"""Traces."""

import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from crystallize.context import trace
from crystallize.context.trace import Scope, untouched

shown = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
events = st.lists(
    st.tuples(st.sampled_from(["read", "absent", "write"]), st.text(max_size=3), shown)
    | st.just(("seeded", "", None)),
    max_size=6,
)


def follow(events):
    scope = untouched("step", 1)
    for event in events:
        scope = scope.then(*event)
    return scope


@given(events)
def test_equal_events_lead_to_one_object(events):
    """That is what keeps a hundred thousand records small."""
    assert follow(events) is follow(events)


@given(events)
def test_a_trace_comes_back_from_json_and_pickle(events):
    """Nothing is lost on the way, down to the type and sign of a zero."""
    scope = follow(events)
    assert Scope.from_json(json.loads(json.dumps(scope.to_json()))) == scope
    assert pickle.loads(pickle.dumps(scope)) == scope


def test_values_that_are_equal_but_not_the_same_lead_apart():
    """1, 1.0 and True are three values, 0.0 and -0.0 are two."""
    start = untouched("step", 1)
    values = [1, 1.0, True, 0.0, -0.0, False, "1"]
    assert len({id(start.then("read", "k", value)) for value in values}) == len(values)


def test_values_that_are_no_numbers_lead_to_one_object():
    """Each run computes one of its own, and no two of them are equal."""
    start = untouched("step", 1)
    assert start.then("write", "k", float("nan")) is start.then("write", "k", float("nan"))


def test_a_scope_does_not_change():
    """An event leads to another scope; the one before still says what it said."""
    start = untouched("step", 1)
    read = start.then("read", "a", 1)
    both = read.then("write", "b", 2)
    assert (start.reads, read.reads, both.reads) == ({}, {"a": 1}, {"a": 1})
    assert (read.writes, both.writes) == ({}, {"b": 2})
    assert (both.absent, both.seeded, both.name, both.index) == ([], False, "step", 1)


def test_long_traces_are_no_recursion():
    """A step that reads thousands of keys is traced and forgotten like any other."""
    scope = follow([("read", f"k{i}", i) for i in range(3000)])
    assert len(scope.reads) == 3000
    assert pickle.loads(pickle.dumps(scope)) == scope


def test_traces_that_never_repeat_do_not_pile_up():
    """What is kept for sharing is bounded."""
    behind = untouched("step", 1).then("read", "k", 1)
    first = behind.then("write", "noise", 0)
    for number in range(trace._MOST_KEPT + 1):
        behind.then("write", "noise", number)
    assert behind.then("write", "noise", 0) is not first
