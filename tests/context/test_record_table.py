"""Records in columns are those that were put there, bit for bit."""

import dataclasses
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples

from crystallize import ConditionRuns, RunRecord
from crystallize.analysis.condition_runs import runs_by_condition
from crystallize.analysis.digest import digest
from crystallize.context import record_table
from crystallize.context.record import ArtifactEntry, RunError
from crystallize.context.record_table import Records, RecordTable
from crystallize.context.recording import CallEntry, MetricEntry
from crystallize.context.rows import Rows, kind_of, records_from_json, records_to_json
from crystallize.context.trace import untouched

REPLICATES = 6
WITHOUT_COLUMNS = 10**9

numbers = st.floats(allow_nan=True) | st.integers(-(2**70), 2**70) | st.booleans()
values = numbers | st.none() | st.text(max_size=3) | st.lists(st.floats() | st.none(), max_size=2)
entries = st.builds(
    MetricEntry,
    st.sampled_from("xyz"),
    values,
    st.none() | st.sampled_from([1, "1"]),
    st.booleans(),
    st.sampled_from(["fit", "score"]),
)
# Most records of an experiment are alike: a few shapes, of which each replicate fills one with values.
shapes = st.lists(
    st.tuples(st.sampled_from("xyz"), st.none() | st.sampled_from([1, "1"]), st.booleans()), max_size=3
)
filled = st.sampled_from([(("x", None, False),), (("x", None, False), ("y", "1", True))]) | shapes
scopes = st.sampled_from([(), (untouched("fit", 1),), (untouched("fit", 1).then("read", "x", 1.0),)])


@st.composite
def record(draw, replicate):
    shape = draw(filled)
    kind = draw(st.sampled_from([st.floats(), st.floats(-1, 1), numbers, values]))
    metrics = tuple(MetricEntry(name, draw(kind), unit, timed, "fit") for name, unit, timed in shape)
    failed = draw(st.integers(0, 9)) == 0
    return RunRecord(
        "boost",
        replicate,
        draw(st.integers(0, 2**32 - 1)),
        metrics,
        draw(scopes),
        error=RunError("ValueError", "no", "fit", "") if failed else None,
        skipped="why" if draw(st.integers(0, 9)) == 0 else None,
        seconds=draw(st.floats(0, 1)),
        cached=draw(st.booleans()),
        impure=draw(st.sampled_from([None, "it opened a socket"])),
        cached_steps=draw(st.sampled_from([(), ("fit",)])),
    )


@st.composite
def arrivals(draw):
    """Return records as they arrive, some replicates several times and some never."""
    replicates = draw(st.lists(st.integers(0, REPLICATES - 1), max_size=2 * REPLICATES))
    return [draw(record(replicate)) for replicate in replicates]


def bits(value):
    """Return what tells apart what compares equal, as 1 and True, and is equal for nan."""
    if type(value) is float:
        return struct.pack("<d", value)
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    return repr(value)


def facts(one):
    """Return all that a record says."""
    if one is None:
        return None
    metrics = [bits(list(entry)) for entry in one.metrics]
    traces = [scope.to_json() for scope in one.scopes]
    rest = (one.condition, one.replicate, one.seed, one.error, one.skipped, one.cached, one.impure)
    return metrics, traces, bits(one.seconds), rest, one.cached_steps


def table_of(arriving, most_whole):
    """Return a table that has columns for all records beyond so many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_table, "_MOST_WHOLE", most_whole)
        patch.setattr(record_table, "_ROWS_PER_KIND", 0 if most_whole == 0 else 16)
        table = RecordTable()
        for each in arriving:
            table.put(each)
        table.settle()
        return table


@examples(60)
@given(arrivals(), st.sampled_from([0, 1, 3]), st.integers(0, REPLICATES))
def test_columns_hold_what_a_list_of_records_would(arriving, most_whole, size):
    latest = {each.replicate: each for each in arriving}
    table = table_of(arriving, most_whole)
    assert len(table) == len(latest)
    assert [i in table for i in range(REPLICATES)] == [i in latest for i in range(REPLICATES)]
    expected = [latest.get(i) for i in range(size)]
    found = Records(table, size)
    assert list(map(facts, found)) == list(map(facts, expected))
    assert found.present == sum(each is not None for each in expected)
    assert found.is_complete == (None not in expected)


@examples(60)
@given(arrivals(), st.sampled_from([0, 1, 3]), st.integers(1, REPLICATES))
def test_what_is_asked_of_columns_is_what_records_say(arriving, most_whole, size):
    latest = {each.replicate: each for each in arriving}
    expected = ConditionRuns("boost", [latest.get(i) for i in range(size)])
    found = ConditionRuns("boost", Records(table_of(arriving, most_whole), size))
    assert sorted(found.names) == sorted(expected.names)
    for name in expected.names:
        assert bits(found.values(name)) == bits(expected.values(name))
        assert bits(list(found.column(name))) == bits(list(expected.column(name)))
        assert bits(found.mean(name)) == bits(expected.mean(name))
        assert found.gap(name) == expected.gap(name)
        assert found.not_numeric(name) == expected.not_numeric(name)
        assert found.holds_rates(name) == expected.holds_rates(name)
        assert bits(found.entries(name)) == bits(expected.entries(name))
    assert (found.measured, found.with_units) == (expected.measured, expected.with_units)
    assert (found.lacking, found.reached) == (expected.lacking, expected.reached)
    assert list(found.seeds) == list(expected.seeds)
    for cached in (True, False):
        assert bits(found.records.seconds(cached=cached)) == bits(expected.records.seconds(cached=cached))
    assert found.records.traces() == expected.records.traces()
    assert sum(times for _, times in found.records.kinds()) == expected.records.present
    there = [[each for each in runs.records if each] for runs in (found, expected)]
    assert digest(there[0]) == digest(there[1])


@examples(60)
@given(arrivals())
def test_columns_sent_as_text_come_back_bit_for_bit(arriving):
    parts = {}
    for each in arriving:
        if (known := kind_of(each)) is not None:
            kind, found = known
            parts.setdefault(kind, Rows(kind)).append(each, found)
    table, sent = table_of((), 0), table_of((), 0)
    first = {}
    for rows in parts.values():
        for row, replicate in enumerate(rows.replicates):
            first.setdefault(replicate, rows.record(row))
        table.add(Rows.from_json(json.loads(json.dumps(rows.to_json()))))
        sent.add(rows)
    for replicate in range(REPLICATES):
        assert (replicate in table) == (replicate in sent)
        assert bits(facts(table.get(replicate))) == bits(facts(sent.get(replicate)))


def test_many_records_are_not_kept_as_objects(monkeypatch):
    monkeypatch.setattr(record_table, "_MOST_WHOLE", 10)
    table = RecordTable()
    entry = MetricEntry("x", 0.5, None, False, "fit")
    for replicate in range(100):
        table.put(RunRecord("boost", replicate, replicate, (entry,), seconds=0.1))
    assert len(table.whole()) <= 10
    assert [each.replicate for each in Records(table, 100)] == list(range(100))


def test_records_that_are_like_few_others_are_compared_once(monkeypatch):
    """However often somebody looks at them: those of cases have units of their own."""
    monkeypatch.setattr(record_table, "_MOST_WHOLE", 8)
    compared = []
    monkeypatch.setattr(record_table, "kind_of", lambda record: compared.append(record) or kind_of(record))
    table = RecordTable()
    for number in range(100):
        table.put(RunRecord("baseline", number, 1, (MetricEntry("x", 0.5, f"unit {number}", False, "s"),)))
    Records(table, 100)
    assert 0 < len(table.whole()) < 100  # some are in columns
    compared.clear()
    records = Records(table, 100)
    assert not compared
    assert [record.replicate for record in records] == [*range(100)]


def test_of_several_records_one_that_failed_counts(monkeypatch):
    monkeypatch.setattr(record_table, "_MOST_WHOLE", 0)
    good = RunRecord("boost", 0, 1, seconds=0.1)
    bad = RunRecord("boost", 0, 1, error=RunError("ValueError", "no", "fit", ""))
    for arriving in ([good, bad], [bad, good], [good, good, bad, good]):
        assert runs_by_condition(arriving, ["boost"], 1)["boost"].lacking == (0,)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RunRecord)])
def test_every_field_of_a_record_comes_back(name):
    entry = MetricEntry("x", 0.5, None, False, "fit")
    plain = [RunRecord("boost", replicate, 7, (entry,), seconds=0.1) for replicate in range(3)]
    other = {
        "condition": "more",
        "replicate": 3,
        "seed": 8,
        "metrics": (entry, entry._replace(name="y", unit="1")),
        "scopes": (untouched("fit", 1),),
        "artifacts": (ArtifactEntry("model", "fit", 3, "d"),),
        "error": RunError("ValueError", "no", "fit", ""),
        "skipped": "why",
        "seconds": 0.2,
        "sections": (("output", "text"),),
        "cached": True,
        "impure": "it opened a socket",
        "cached_steps": ("fit",),
        "calls": (CallEntry("ask", "call", "reply", 1.0),),
        "notes": (("answer", "yes"),),
    }
    changed = dataclasses.replace(plain[1], **{name: other[name]})
    arriving = [plain[0], changed, plain[2]]
    for most_whole in (0, 2):
        table = table_of(arriving, most_whole)
        assert [table.get(each.replicate).to_json() for each in arriving] == [e.to_json() for e in arriving]
    alike, others = records_from_json(records_to_json(arriving))
    found = [rows.record(row) for rows in alike for row in range(len(rows))] + others
    assert sorted(each.to_json() for each in found) == sorted(each.to_json() for each in arriving)


def test_equal_traces_need_not_be_one_object():
    """Each order of reads and writes has its own, and as JSON they are equal."""
    fit = untouched("fit", 1)
    traces = (fit.then("read", "x", 1).then("write", "y", 2), fit.then("write", "y", 2).then("read", "x", 1))
    sent = [RunRecord("boost", i, i, (), (traces[i % 2],)) for i in range(4)]
    (rows,), others = records_from_json(records_to_json(sent))
    assert others == []
    assert [rows.record(row).to_json() for row in range(4)] == [each.to_json() for each in sent]
