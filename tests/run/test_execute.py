"""The unit of work and its record."""

import json
import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize import (
    BasePlugin,
    Experiment,
    PipelineStep,
    RunRecord,
    Treatment,
    pipeline_step,
)
from crystallize.context.context import journal_of
from crystallize.context.journal import Journal
from crystallize.context.record import ArtifactEntry, RunError
from crystallize.context.recording import MetricEntry
from crystallize.context.trace import untouched
from crystallize.run.execute import RAISED, Outcomes, SharedTime, execute
from crystallize.run.units import Unit, rotated, units
from crystallize.storage.run_directory import digest_of

texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**1000), 2**1000) | st.floats() | texts
metric_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
entries = st.builds(
    MetricEntry, texts, metric_values, st.none() | texts | st.integers(), st.booleans(), texts
)
scopes = st.builds(
    lambda name, reads, absent, writes: (
        untouched(name, 1)
        .then("read", "r", reads)
        .then("absent", absent)
        .then("write", "w", writes)
        .then("seeded")
    ),
    texts,
    scalars,
    texts,
    scalars,
)
records = st.builds(
    RunRecord,
    texts,
    st.integers(0, 10**6),
    st.integers(0, 2**32 - 1),
    st.lists(entries, max_size=4).map(tuple),
    st.lists(scopes, max_size=3).map(tuple),
    st.lists(st.builds(ArtifactEntry, texts, texts, st.integers(0)), max_size=2).map(tuple),
    st.none() | st.builds(RunError, texts, texts, texts, texts),
    st.none() | texts,
    st.floats(0, allow_nan=False),
    st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
)


@given(records)
def test_a_record_comes_back_from_json_bit_for_bit(record):
    """Every float with sign and payload of its text, every type, every key."""
    text = record.to_json()
    again = RunRecord.from_json(text)
    assert again.to_json() == text
    assert repr(again) == repr(record)
    assert RunRecord.from_json(text.encode()).to_json() == text
    assert pickle.loads(pickle.dumps(record)).to_json() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[]",
        '["crystallize-run-3"]',
        "[1, 2",
        json.dumps(["other"] + [0] * 10),
        b"\xff",
        "1",
    ],
)
def test_half_a_record_is_no_record(text):
    """What was cut off, or comes from another format, is a ValueError and nothing else."""
    with pytest.raises(ValueError, match="not a run record"):
        RunRecord.from_json(text)


def test_every_prefix_of_a_record_is_refused():
    """A writer that died leaves nothing that could pass for a record."""
    text = RunRecord("baseline", 0, 1, (MetricEntry("x", 1.5, None, False, "s"),)).to_json()
    for end in range(len(text)):
        with pytest.raises(ValueError, match="not a run record"):
            RunRecord.from_json(text[:end])


def test_conditions_rotate_with_the_replicate():
    """A machine that warms up or slows down favours none of them."""
    assert [rotated("abc", i) for i in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert list(units(["a", "b"], range(2))) == [
        Unit(0, "a"),
        Unit(0, "b"),
        Unit(1, "b"),
        Unit(1, "a"),
    ]


def journal(condition="baseline", replicate=0):
    return Journal({}, 5 << 32, condition, replicate)


def test_execute_records_what_was_done():
    """Metrics, traces and artifacts without their bytes, seed and time."""

    def body(ctx):
        journal_of(ctx).enter("step", 1)
        ctx.record("x", 1.5)
        ctx.artifacts.add("a.bin", b"1234")
        ctx.get("depth")

    seeded = []
    record = execute(journal("boost", 3), body, seed_globals=seeded.append)
    assert (record.condition, record.replicate, record.seed) == ("boost", 3, 5)
    assert seeded == [5]
    assert record.metrics == (("x", 1.5, None, False, "step"),)
    assert record.artifacts == (("a.bin", "step", 4, digest_of(b"1234")),)
    assert record.scopes[0].absent == ["depth"]
    assert record.succeeded
    assert record.seconds > 0


def test_nobody_can_file_a_record_under_another_name():
    """What a step does to the context's attributes does not move its record."""

    def body(ctx):
        ctx.condition, ctx.replicate = "baseline", 0

    record = execute(journal("boost", 3), body, seed_globals=None)
    assert (record.condition, record.replicate) == ("boost", 3)


def fail(ctx):
    journal_of(ctx).enter("train", 1)
    ctx.record("x", 1)
    raise ZeroDivisionError("a reason")


def test_a_failure_is_recorded_with_its_step_and_traceback():
    """What had been recorded before is kept in the record, and the traceback begins in the user's code."""
    record = execute(journal(), fail, seed_globals=None)
    assert not record.succeeded
    assert (record.error.type, record.error.message, record.error.step) == (
        "ZeroDivisionError",
        "a reason",
        "train",
    )
    assert str(record.error) == "ZeroDivisionError: a reason"
    assert 'raise ZeroDivisionError("a reason")' in record.error.traceback
    assert "run/execute.py" not in record.error.traceback
    assert len(record.metrics) == 1


@pytest.mark.parametrize("error", [SystemExit(3), RecursionError(), StopIteration(), AssertionError("no")])
def test_whatever_a_step_raises_is_recorded(error):
    """An exit in a step must not end the experiment."""

    def body(ctx):
        raise error

    assert execute(journal(), body, seed_globals=None).error.type == type(error).__name__


def test_an_interrupt_is_no_failure():
    """Ctrl-C ends the run."""

    def body(ctx):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(journal(), body, seed_globals=None)


def test_outcomes_say_what_ends_a_unit():
    """A skip keeps its reason, and with no failures everything is raised."""

    class Skipped(BaseException):
        pass

    def body(ctx):
        raise Skipped("not here")

    record = execute(journal(), body, seed_globals=None, outcomes=Outcomes(skips=(Skipped,)))
    assert (record.skipped, record.error, record.succeeded) == ("not here", None, False)
    with pytest.raises(ZeroDivisionError):
        execute(journal(), fail, seed_globals=None, outcomes=RAISED)


def test_an_exception_that_can_not_be_shown_is_recorded():
    """A broken `__str__` does not hide the failure."""

    class Broken(Exception):
        def __str__(self):
            raise ValueError

    def body(ctx):
        raise Broken

    assert "its __str__ failed" in execute(journal(), body, seed_globals=None).error.message


def test_a_seed_fn_that_fails_is_the_runs_failure():
    """It is part of the unit."""

    def broken(seed):
        raise OSError("no entropy")

    assert execute(journal(), lambda ctx: None, seed_globals=broken).error.message == "no entropy"


@pytest.mark.parametrize("hook", ["before_replicate", "before_step", "after_step", "after_replicate"])
def test_a_hook_that_fails_is_named(hook):
    """The run has failed, and the error is the plugin's, not the step's."""

    class Faulty(BasePlugin):
        pass

    def raises(self, experiment, *args):
        raise RuntimeError("broken hook")

    setattr(Faulty, hook, raises)
    result = Experiment(0, [measure], [Faulty()], replicates=2).run()
    assert [(e.step, e.replicate, e.message) for e in result.errors] == [
        (f"Faulty.{hook}", i, "RuntimeError: broken hook") for i in range(2)
    ]
    assert math.isnan(result.metrics.baseline.get("x", [math.nan])[0])


@pytest.mark.parametrize("raised_in", ["fetch", "step"])
def test_the_error_is_of_the_part_that_failed_first(raised_in):
    """Also if another step is torn down afterwards."""

    class Handle(PipelineStep):
        def __call__(self, data, ctx):
            if raised_in == "step":
                raise ValueError("in the step")

        def teardown(self, ctx):
            pass

    class Other(Handle):
        def __call__(self, data, ctx):
            pass

    def source(ctx):
        if raised_in == "fetch":
            raise ValueError("in the source")

    (error,) = Experiment(source, [Other(), Handle(), Other()]).run().errors
    assert error.step == {"fetch": "source", "step": "Handle"}[raised_in]


@pytest.mark.parametrize("fails", [False, True])
def test_a_failing_treatment_is_named(fails):
    """Its condition fails, the baseline does not."""

    def change(ctx):
        ctx.add("delta", 1)
        if fails:
            raise ValueError("no such model")

    result = Experiment(0, [measure], treatments=[Treatment("boost", change)]).run()
    assert [(e.condition, e.step) for e in result.errors] == [("boost", "boost")] * fails
    assert result.metrics.baseline["x"] == [0]


@pipeline_step()
def measure(data, ctx, *, delta=0):
    return data, {"x": data + delta}


@pipeline_step()
def noise(data, ctx, *, delta=0):
    """Draw from everything that can be drawn from."""
    drawn = [ctx.rng.random(), random.random(), float(np.random.random()), ctx.seed]  # noqa: NPY002
    return data, {"drawn": drawn, "delta": delta}


@pipeline_step()
def more_noise(data, ctx):
    return data, {"more": float(ctx.rng.random())}


def drawn(replicates=3, treatments=("a",), steps=(noise, more_noise), root=0):
    plan = Experiment(
        0, list(steps), treatments=[Treatment(name, {"delta": i}) for i, name in enumerate(treatments)]
    ).run_plan(root)
    return {u: plan.run(u) for u in units(plan.conditions, range(replicates))}


def values(record):
    return {e.name: e.value for e in record.metrics if e.name != "delta"}


def test_every_condition_of_a_replicate_gets_the_same_numbers():
    """Common random numbers: the difference between conditions is the treatment's."""
    runs = drawn(treatments=("a", "b"))
    for replicate in range(3):
        assert (
            values(runs[replicate, "baseline"])
            == values(runs[replicate, "a"])
            == values(runs[replicate, "b"])
        )
    assert len({str(values(runs[i, "baseline"])) for i in range(3)}) == 3


def test_numbers_depend_on_nothing_but_root_seed_replicate_and_step():
    """Neither on how many treatments and replicates there are, nor on names, nor on who ran before."""
    reference = drawn()
    more = drawn(replicates=5, treatments=("other", "a", "third"))
    for replicate in range(3):
        assert values(reference[replicate, "a"]) == values(more[replicate, "a"])
    plan = Experiment(0, [noise, more_noise], name="renamed").run_plan(0)
    assert values(plan.run(Unit(2, "baseline"))) == values(reference[2, "baseline"])
    assert values(drawn(root=1)[0, "a"]) != values(reference[0, "a"])


def test_a_step_that_draws_less_moves_no_other_step():
    """The generator of a step is its own."""

    @pipeline_step()
    def silent(data, ctx):
        return data

    with_noise, without = drawn(), drawn(steps=(silent, more_noise))
    assert values(with_noise[1, "baseline"])["more"] == values(without[1, "baseline"])["more"]


def test_equal_traces_of_many_runs_are_one_object():
    """A record is small, since its traces are shared with the other runs of its condition."""
    result = Experiment(0, [measure], treatments=[Treatment("a", {"delta": 1})], replicates=50).run()
    assert len({id(scope) for record in result.records for scope in record.scopes}) <= 5


def test_a_context_is_freed_without_the_garbage_collector():
    """A cycle in it would make the collector run after every few hundred runs."""
    plan = Experiment(0, [measure]).run_plan()
    held = []

    class Canary:
        def __del__(self):
            held.append("freed")

        def __deepcopy__(self, memo):
            return self

    def body(ctx):
        ctx.add("canary", Canary())
        ctx.record("x", ctx.rng.random())
        ctx.artifacts.add("a", b"")

    execute(plan.journal(Unit(0, "baseline")), body, seed_globals=None)
    assert held == ["freed"]


def test_runs_under_way_share_the_time(monkeypatch):
    """What passes is divided among those that are under way, so their times add up to it."""
    now = iter([10.0, 11.0, 13.0, 14.0, 20.0, 21.0])
    monkeypatch.setattr("crystallize.run.execute.time.perf_counter", lambda: next(now))
    shared = SharedTime()
    first, second = shared.begin(), shared.begin()
    assert shared.end(first) == 1 + 2 / 2
    assert shared.end(second) == 2 / 2 + 1
    assert shared.end(shared.begin()) == 1
