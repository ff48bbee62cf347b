"""Cacheable steps: what is never stored, and what is said of it."""

import json
import logging
import os
import random
import sqlite3
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from cached_steps import CALLS, from_globals, noisy, note_of, run, same_in_every_mode, scaled, total

from crystallize import (
    Experiment,
    GridSearch,
    Hypothesis,
    Objective,
    ParallelExecution,
    Pipeline,
    PipelineStep,
    SeedPlugin,
    Treatment,
    pipeline_step,
)
from crystallize.context.seeding import global_state_restored
from crystallize.errors import CrystallizeWarning, DefinitionError
from crystallize.run.step_cache import open_step_cache
from crystallize.run.units import units

pytestmark = pytest.mark.usefixtures("cache")


# Declarations.


def test_deterministic_means_nothing_without_cacheable():
    """For functions where they are declared, for classes where they are used."""
    with pytest.raises(DefinitionError, match="step 'f' is deterministic=True but not cacheable"):

        @pipeline_step(deterministic=True)
        def f(data, ctx):
            return data

    class Sure(PipelineStep):
        deterministic = True

        def __call__(self, data, ctx):
            return data

    with pytest.raises(DefinitionError, match="step 'Sure' is deterministic=True but not cacheable"):
        Pipeline([Sure])
    with pytest.raises(DefinitionError, match="step 'g' has cacheable='yes'; it is True or False"):

        @pipeline_step(cacheable="yes")
        def g(data, ctx):
            return data


class Offset(PipelineStep):
    cacheable = True

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, data, ctx):
        CALLS.info("Offset")
        return [x + self.amount for x in data]


def test_a_class_step_counts_by_its_state(calls):
    """Its attributes are part of the key; the switches are no parameters."""
    for amount in (1, 2, 1):
        records, _ = run(Experiment([1], [Offset(amount), total]))
        assert json.loads(records[0])[4][0][1] == 1 + amount
    assert len(calls) == 2
    step = Offset(1)
    step.cacheable, step.deterministic = True, True
    assert step.params == {"amount": 1}
    assert scaled(factor=2.0).params == {"factor": 2.0}


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda ctx: ctx.seed, "asked for ctx.seed or ctx.rng"),
        (lambda ctx: ctx.rng, "asked for ctx.seed or ctx.rng"),
        (lambda ctx: ctx.replicate, "asked for ctx.replicate"),
        (lambda ctx: random.random(), "drew from the global generators"),
        (lambda ctx: np.random.rand(), "drew from the global generators"),  # noqa: NPY002
    ],
)
@pytest.mark.parametrize("mode", ["reuse", "off"])
def test_a_deterministic_step_that_is_not_is_an_error(use, said, mode):
    """With and without a cache."""

    @pipeline_step(cacheable=True, deterministic=True)
    def wrong(data, ctx, *, use=use):
        use(ctx)
        return data

    records, _ = run(Experiment([1], [wrong]), mode=mode)
    error = json.loads(records[0])[7]
    assert error[0] == "DefinitionError"
    assert error[2] == "wrong"
    assert f"declared deterministic=True, but it {said}" in error[1]


def test_a_deterministic_step_may_ask_for_its_condition(calls):
    """Each condition then has a result of its own."""

    @pipeline_step(cacheable=True, deterministic=True)
    def named(data, ctx):
        CALLS.info("named")
        return [len(ctx.condition)]

    treatments = [Treatment("t", {"offset": 1.0})]
    same_in_every_mode(Experiment([1], [named, total], treatments=treatments, replicates=3))
    assert len(calls) == 6 + 2


# What is not stored, said once.


def test_data_without_identity_are_named():
    """The message says which part, and why."""

    @pipeline_step()
    def generating(data, ctx):
        return iter(data)

    @pipeline_step(cacheable=True)
    def cached(data, ctx):
        return 1

    experiment = Experiment([1], [generating, cached], replicates=3)
    with pytest.warns(CrystallizeWarning) as said:
        experiment.run()
    (message,) = [str(warning.message) for warning in said]
    assert message.startswith(
        "experiment 'experiment': step 'cached' is not cached: its input data is a builtins.list_iterator: "
    )


def test_code_without_identity_is_named():
    """Where it can't be seen what it would do."""

    @pipeline_step(cacheable=True)
    def blind(data, ctx):
        return eval("1")

    assert "eval" in note_of(blind)


def test_a_context_value_without_identity_is_named():
    """But only if the step reads it."""

    class Opaque:
        __slots__ = ("held",)

        def __init__(self):
            self.held = iter([1])

        def __deepcopy__(self, memo):
            return self

    @pipeline_step(cacheable=True)
    def looking(data, ctx):
        return "value" in ctx

    @pipeline_step(cacheable=True)
    def ignoring(data, ctx):
        return data

    assert "context key 'value'" in note_of(looking, initial_ctx={"value": Opaque()})
    assert run(Experiment([1], [ignoring], initial_ctx={"value": Opaque()}))[1] == []


def test_functions_in_the_context_count_by_their_code(calls):
    """A treatment may give another function."""

    @pipeline_step(cacheable=True)
    def applying(data, ctx, *, function):
        CALLS.info("applying")
        return [function(x) for x in data]

    experiment = Experiment(
        [2.0],
        [applying, total],
        initial_ctx={"apply": 0},
        treatments=[Treatment("other", {"function": lambda x: x * 3})],
    )
    records, notes = same_in_every_mode(experiment)
    assert notes == []
    assert json.loads(records[1])[4][0][1] == 6.0


def test_an_output_that_can_not_be_pickled_is_handed_on(calls):
    """The step is called each time."""

    @pipeline_step(cacheable=True)
    def locking(data, ctx):
        CALLS.info("locking")
        return lambda: data

    @pipeline_step()
    def calling(data, ctx):
        return data, {"n": len(data())}

    records, notes = same_in_every_mode(Experiment([1, 2], [locking, calling], replicates=2))
    assert json.loads(records[0])[4][0][1] == 2
    assert len(calls) == 6
    assert len(notes) == 1
    assert (
        "step 'locking' is not cached: what it gave: a value of type 'function' can't be pickled" in notes[0]
    )


def test_a_measured_metric_keeps_a_step_from_being_stored():
    """A stored time would be a lie."""

    @pipeline_step(cacheable=True)
    def timed(data, ctx):
        ctx.metrics.add("seconds", 1.0, measured=True)
        return data

    assert "its metric 'seconds' is measured" in note_of(timed, replicates=2)


@pipeline_step(cacheable=True)
def clocked(data, ctx):
    ctx.metrics.add("seconds", time.perf_counter(), measured=True)
    return data


def seconds_of(**options):
    """Return the measured values of a run, and whether each is one that was stored."""
    result = Experiment([1.0], [clocked], cache_key="clock 1", **options).run()
    records = result.records
    return [
        (entry.value, entry.measured, record.measured_by_stored_steps)
        for record in records
        for entry in record.metrics
    ]


def test_a_cache_key_vouches_for_what_a_step_measures():
    """Its values are used again, as measured ones that are of another call."""
    cold, warm = seconds_of(replicates=2), seconds_of(replicates=2)
    assert [value for value, _, _ in cold] == [value for value, _, _ in warm]
    assert [rest for _, *rest in cold] == [[True, frozenset()]] * 2
    assert [rest for _, *rest in warm] == [[True, {"seconds"}]] * 2


@pytest.mark.parametrize("about", ["seconds", None])
def test_what_is_claimed_of_a_measured_metric_is_measured_anew(about):
    """Whether results of the step are stored or not: time goes by."""
    seconds_of(replicates=2)
    claim = Hypothesis(verifier=lambda baseline, treatment: {}, metrics=about, name="seconds")
    with pytest.warns(CrystallizeWarning, match="'seconds' is measured, and what is claimed of it"):
        values = seconds_of(replicates=2, hypotheses=[claim], treatments=[Treatment("t", {})])
    assert [stored for _, _, stored in values] == [frozenset()] * 4


def test_a_search_measures_anew():
    """Its objective may be about what a step measures."""
    experiment = Experiment([1.0], [clocked, total], cache_key="clock 1", replicates=2)
    experiment.run()
    search = GridSearch({"offset": [1.0]}, Objective("seconds", "minimize"))
    with pytest.warns(CrystallizeWarning, match="'seconds' is measured, and what is claimed of it"):
        experiment.optimize(search, num_trials=1)


def test_stored_values_of_a_step_are_in_no_reference(tmp_path):
    """Nobody knows when and where they were measured."""
    experiment = Experiment([1.0], [clocked, total], cache_key="clock 1", replicates=2)
    first = experiment.run().save_reference(tmp_path / "first.json")
    again = experiment.run().save_reference(tmp_path / "again.json")
    assert not first
    assert "metric 'seconds' of 'baseline' was measured in an earlier session" in again[0]


def test_a_step_that_changes_its_input_is_not_stored():
    """A stored result would not change it."""

    @pipeline_step(cacheable=True)
    def sorting(data, ctx):
        data.append(0.0)
        return len(data)

    assert "its input data: it changes them" in note_of(sorting, replicates=2)


CONFIGURATION = {"runs": 0}


def test_a_step_that_changes_what_its_code_reaches_is_not_stored(monkeypatch):
    """The message says what changed."""
    monkeypatch.setitem(CONFIGURATION, "runs", 0)

    @pipeline_step(cacheable=True)
    def counting(data, ctx):
        CONFIGURATION["runs"] += 1
        return CONFIGURATION["runs"]

    note = note_of(counting, replicates=2)
    assert "while it ran" in note
    assert "CONFIGURATION holds changed" in note


def test_an_impure_step_is_run_each_time(tmp_path, calls):
    """A file that was not declared, or a database; one reason is said, once."""
    table = tmp_path / "table.csv"
    table.write_text("1")
    database = tmp_path / "data.db"
    database.touch()

    @pipeline_step(cacheable=True)
    def reading(data, ctx, *, path=str(table)):
        CALLS.info("reading")
        with open(path) as file:  # noqa: PTH123
            return int(file.read())

    @pipeline_step(cacheable=True)
    def querying(data, ctx, *, path=str(database)):
        sqlite3.connect(path).close()
        return data

    assert "table.csv, which is not declared in inputs=" in note_of(reading, replicates=2)
    assert len(calls) == 4
    assert "data.db" in note_of(querying)


@pytest.mark.parametrize("declared", [{}, {"cache_key": "mine"}], ids=["watched", "vouched for"])
def test_a_step_that_stopped_in_a_debugger_is_not_kept(declared, monkeypatch):
    """What somebody did there is in no key."""
    monkeypatch.setattr(sys, "breakpointhook", lambda: None)

    @pipeline_step(cacheable=True)
    def stopping(data, ctx):
        breakpoint()  # noqa: T100
        return data

    assert "it stopped in a debugger" in note_of(stopping, **declared)


@lru_cache
def loaded(path):
    return Path(path).read_text()


def test_a_step_that_was_impure_once_stays_so_in_this_process(tmp_path):
    """What it read may still be in memory, where no hook sees it."""
    loaded.cache_clear()
    table = tmp_path / "table.csv"
    table.write_text("1")

    @pipeline_step(cacheable=True)
    def remembering(data, ctx, *, path=str(table)):
        return loaded(path)

    assert "table.csv" in note_of(remembering)


def test_declared_files_and_variables_are_part_of_the_key(tmp_path, calls, monkeypatch):
    """Steps may read them."""
    table = tmp_path / "data" / "table.csv"
    table.parent.mkdir()
    table.write_text("1")

    @pipeline_step(cacheable=True)
    def reading(data, ctx, *, path=str(table)):
        CALLS.info("reading")
        return [float(Path(path).read_text()) + float(os.environ["SHIFT"])]

    def value(inputs):
        experiment = Experiment([1.0], [reading, total])
        plan = experiment.run_plan().with_step_cache(open_step_cache(inputs=(str(inputs),), env=("SHIFT",)))
        (unit,) = units(plan.conditions, range(1))
        record = plan.run(unit)
        assert plan.conclude() == []
        return record.metrics[0].value

    monkeypatch.setenv("SHIFT", "0")
    for number, inputs in enumerate((table, table.parent, table.parent / "*.cs*")):
        calls.clear()
        for text in ("1", "22"):
            table.write_text(text * (1 + number))
            assert value(inputs) == value(inputs) == float(text * (1 + number))
        assert len(calls) == 2
    monkeypatch.setenv("SHIFT", "1")
    assert value(table) == 222223.0


@pytest.mark.parametrize(
    ("plugin", "why"),
    [
        (SeedPlugin(auto_seed=False), "which nothing seeds"),
        (SeedPlugin(seed_fn=lambda seed: random.seed(seed)), "seed_fn does not put all of these"),
        (SeedPlugin(seed_fn=lambda seed: (random.seed(seed), np.random.seed(seed))), None),  # noqa: NPY002
    ],
)
def test_global_draws_that_do_not_follow_from_the_seed_are_not_stored(plugin, why, calls):
    """Nor are generators seeded that the `SeedPlugin` leaves alone."""
    experiment = Experiment([1.0], [from_globals, total], [plugin])
    _, first = run(experiment)
    _, second = run(experiment)
    assert len(calls) == (2 if why else 1)
    assert [why in note for note in first + second] == ([True, True] if why else [])


def test_a_normal_number_left_from_before_is_a_global_draw_too():
    """Numpy draws them in pairs, and moves no further for the second."""

    @pipeline_step(cacheable=True)
    def normal(data, ctx):
        return [np.random.normal()]  # noqa: NPY002

    plan = Experiment([1.0], [normal], [SeedPlugin(auto_seed=False)]).run_plan()
    (unit,) = units(plan.conditions, range(1))
    with global_state_restored():
        np.random.seed(1)  # noqa: NPY002
        np.random.normal()  # noqa: NPY002
        plan.run(unit)
    (note,) = plan.conclude()
    assert "which nothing seeds" in note


def test_how_generators_are_seeded_counts_for_a_step_that_draws_from_them(calls):
    """And for no other."""
    for plugins in ([], [SeedPlugin(auto_seed=False)], [SeedPlugin(seed_fn=random.seed)], []):
        run(Experiment([1.0], [from_globals, scaled(factor=2.0)], plugins))
    assert calls.count("from_globals") == 3
    calls.clear()
    for plugins in ([], [SeedPlugin(auto_seed=False)], [SeedPlugin(seed_fn=random.seed)]):
        run(Experiment([1.0], [noisy], plugins))
    assert calls == ["noisy"]


def test_nothing_is_seeded_where_the_user_says_so():
    """A cacheable step moves no generator then."""
    experiment = Experiment([1.0], [scaled], [SeedPlugin(auto_seed=False)])
    with global_state_restored():
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        before = random.getstate()
        plan = experiment.run_plan()
        for unit in units(plan.conditions, range(2)):
            plan.run(unit)
        assert random.getstate() == before


def test_global_draws_under_threads_are_not_stored():
    """Nobody can say whose numbers they were."""
    experiment = Experiment([1.0], [from_globals], [ParallelExecution(2)], replicates=4)
    with pytest.warns(CrystallizeWarning) as said:
        experiment.run()
    assert sum("units that run at the same time share" in str(w.message) for w in said) == 1
    assert run(experiment)[1] == []  # and nothing was stored that another execution would find


@pipeline_step(cacheable=True)
def unpicklable(data, ctx):
    return lambda: data


def test_a_refusal_is_said_once_by_all_processes_together():
    """They report to the one that started them."""
    experiment = Experiment([1.0], [unpicklable], [ParallelExecution(2, "process")], replicates=6)
    with pytest.warns(CrystallizeWarning, match="step 'unpicklable' is not cached") as said:
        experiment.run()
    assert [each.category for each in said].count(CrystallizeWarning) == 1  # Python may warn of fork, too


class _Meeting(logging.Handler):
    """Meeting that holds a step up until something has happened beside it."""

    def __init__(self):
        super().__init__()
        self.calls, self.under_way, self.done = 0, threading.Event(), threading.Event()

    def emit(self, record):
        self.calls += 1
        self.under_way.set()
        assert self.done.wait(300)


def test_files_that_other_units_open_count_for_no_step(tmp_path, monkeypatch):
    """Under threads, a data source that reads a file keeps no step beside it from being stored."""
    table = tmp_path / "table.csv"
    table.write_text("1.0")
    meeting = _Meeting()
    monkeypatch.setattr(CALLS, "handlers", [meeting])
    monkeypatch.setattr(CALLS, "propagate", False)
    CALLS.setLevel(logging.INFO)

    def fetch(ctx):
        if ctx.replicate == 0:
            return [1.0]
        assert meeting.under_way.wait(300)
        text = table.read_text()
        meeting.done.set()
        return [float(text)]

    experiment = Experiment(fetch, [noisy, total], [ParallelExecution(2)], replicates=2)
    first = experiment.run()
    assert first.errors == ()
    assert experiment.run().digest == first.digest
    assert meeting.calls == 2
