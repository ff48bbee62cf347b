"""Cacheable steps: what they share, what they do again, and what is never stored."""

import dataclasses
import importlib
import json
import logging
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystallize import (
    Artifact,
    ArtifactPlugin,
    AsyncExecution,
    BasePlugin,
    DataSource,
    Experiment,
    FrozenContext,
    GridSearch,
    Hypothesis,
    LoggingPlugin,
    Objective,
    ParallelExecution,
    Pipeline,
    PipelineStep,
    RunRecord,
    SeedPlugin,
    SerialExecution,
    Treatment,
    exit_step,
    pipeline_step,
    resource_factory,
)
from crystallize.context.seeding import global_state_restored
from crystallize.errors import ContextMutationError, CrystallizeWarning, DefinitionError
from crystallize.run.execute import units
from crystallize.run.step_cache import open_step_cache
from crystallize.storage.store import Store

CALLS = logging.getLogger("test_step_cache")  # loggers are no part of a fingerprint
ROOT = Path(__file__).parents[2]


class _Counter(logging.Handler):
    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        self.names.append(record.getMessage())


@pytest.fixture
def calls(monkeypatch):
    """Names of the steps that were really called."""
    counter = _Counter()
    monkeypatch.setattr(CALLS, "handlers", [counter])
    monkeypatch.setattr(CALLS, "propagate", False)
    CALLS.setLevel(logging.INFO)
    return counter.names


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give each test a cache of its own, and a directory to leave artifacts in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "of these tests")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "steps"


def facts(record):
    """Return all of a record but the time."""
    return dataclasses.replace(record, seconds=0.0, cached_steps=()).to_json()


def run(experiment, *, directory=None, mode="reuse"):
    """Run an experiment with the cache in some mode; return its records, and what there is to say."""
    plan = experiment.run_plan().with_step_cache(open_step_cache(directory, mode=mode))
    todo = list(units(plan.conditions, range(experiment.replicates)))
    with global_state_restored():
        records = [facts(plan.run(unit)) for unit in todo]
    return records, plan.conclude()


def same_in_every_mode(experiment):
    """Run without a cache, with an empty and with a full one; return what a run gave, and what was said."""
    off, nothing = run(experiment, mode="off")
    assert nothing == []
    cold, notes = run(experiment)
    warm, _ = run(experiment)
    assert cold == off
    assert warm == off
    return off, notes


def note_of(step, **options):
    """Run an experiment of one step twice; return the only reason why it is not cached."""
    experiment = Experiment([1.0, 2.0], [step], **options)
    _, first = run(experiment)
    records, second = run(experiment)
    assert len(first) == len(second) == 1
    assert not any(json.loads(record)[7] for record in records)  # no run failed
    return first[0]


# The three faults of others.


@pipeline_step(cacheable=True)
def scaled(data, ctx, *, factor=1.0):
    CALLS.info("scaled")
    return [x * factor for x in data]


@pipeline_step()
def total(data, ctx, *, offset=0.0):
    return data, {"total": sum(data) + offset}


def test_a_treatment_reaches_a_cacheable_step(calls):
    """What it puts into the context is part of the key as soon as the step reads it."""
    experiment = Experiment([1.0, 2.0], [scaled, total], treatments=[Treatment("double", {"factor": 2.0})])
    for expected in (["scaled"] * 2, []):
        calls.clear()
        result = experiment.run()
        assert result.metrics.baseline["total"] == [3.0]
        assert result.metrics.treatments["double"].metrics["total"] == [6.0]
        assert calls == expected


@pipeline_step(cacheable=True)
def noisy(data, ctx):
    CALLS.info("noisy")
    return [x + ctx.rng.normal() for x in data]


def test_a_stochastic_step_keeps_one_draw_for_each_replicate(calls):
    """No replicate gets what another one drew."""
    experiment = Experiment([1.0], [noisy, total], replicates=5)
    first = experiment.run().metrics.baseline["total"]
    assert len(set(first)) == 5
    assert experiment.run().metrics.baseline["total"] == first
    assert calls == ["noisy"] * 5
    more = experiment.run(replicates=7).metrics.baseline["total"]
    assert more[:5] == first
    assert len(set(more)) == 7
    assert calls == ["noisy"] * 7


@pipeline_step(cacheable=True)
def telling(data, ctx):
    CALLS.info("telling")
    ctx.metrics.add("case", ctx.rng.normal(), unit="a")
    ctx.metrics.add("case", {"nested": [1, None, float("nan")]}, unit=2)
    ctx.record("seed", ctx.seed)
    ctx.add("note", {"weights": np.arange(6.0).reshape(2, 3).T})
    ctx.artifacts.add("model.bin", b"\x00\xff")
    return data, {"returned": len(data)}


def test_metrics_context_keys_and_artifacts_come_back(calls, tmp_path):
    """Units, order, trace and bytes included, in records, results and files alike."""

    @pipeline_step()
    def reading(data, ctx):
        return data, {"sum": float(ctx["note"]["weights"].sum())}

    experiment = Experiment([1.0], [telling, reading], [ArtifactPlugin(tmp_path / "runs")], replicates=2)
    first, second = experiment.run(), experiment.run()
    assert calls == ["telling"] * 2
    assert [facts(r) for r in first.records] == [facts(r) for r in second.records]
    assert first.digest == second.digest
    entries = [(e.name, e.unit) for e in first.records[0].metrics]
    assert entries == [("case", "a"), ("case", 2), ("seed", None), ("returned", None), ("sum", None)]
    one, other = (result.to_dict()["provenance"]["runs"] for result in (first, second))
    assert [entry | {"seconds": 0} for entry in one] == [entry | {"seconds": 0} for entry in other]
    kept = sorted(path.read_bytes() for path in (tmp_path / "runs").rglob("model.bin"))
    assert kept == [b"\x00\xff"] * 4
    same_in_every_mode(experiment)


# What is shared, and what is not.


def test_a_treatment_that_the_step_does_not_read_shares_its_result(calls):
    """One call serves all conditions that look the same to it."""
    treatments = [Treatment("shift", {"offset": 1.0}), Treatment("double", {"factor": 2.0})]
    experiment = Experiment([1.0], [scaled, total], treatments=treatments, replicates=3)
    experiment.run()
    assert calls == ["scaled"] * 6  # 3 replicates under factor 1 and 2


def test_replicates_share_the_result_of_a_deterministic_step(calls):
    """Its seed is no part of the key."""

    @pipeline_step(cacheable=True, deterministic=True)
    def squared(data, ctx):
        CALLS.info("squared")
        return [x * x for x in data]

    experiment = Experiment([3.0], [squared, total], replicates=4)
    assert experiment.run().metrics.baseline["total"] == [9.0] * 4
    assert calls == ["squared"]


def test_the_same_step_elsewhere_draws_its_own_numbers(calls):
    """The number of the step is part of its seed."""
    experiment = Experiment([0.0], [noisy, noisy, total])
    value = experiment.run().metrics.baseline["total"]
    assert experiment.run().metrics.baseline["total"] == value
    assert calls == ["noisy"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda: Experiment([1.5], [scaled]),
        lambda: Experiment([1.0], [scaled(factor=2.0)]),
        lambda: Experiment([1.0], [scaled], [SeedPlugin(7)]),
        lambda: Experiment([1.0], [scaled], initial_ctx={"factor": 1.0}),
        lambda: Experiment([True], [scaled]),
        lambda: Experiment([1.0], [total, scaled]),
    ],
)
def test_another_input_parameter_seed_key_or_place_is_a_miss(change, calls):
    """Whatever the step depends on."""
    Experiment([1.0], [scaled]).run()
    change().run()
    assert calls == ["scaled"] * 2


def test_absent_keys_count(calls):
    """A key that was looked up in vain and is there later is one that was read."""

    @pipeline_step(cacheable=True)
    def curious(data, ctx):
        CALLS.info("curious")
        return [*data, "extra" in ctx]

    experiment = Experiment([1], [curious], initial_ctx={"other": 1})
    run(experiment)
    run(Experiment([1], [curious], initial_ctx={"other": 2}))
    assert calls == ["curious"]
    run(Experiment([1], [curious], initial_ctx={"extra": None}))
    assert calls == ["curious"] * 2


@pytest.mark.parametrize("look", [lambda ctx: sorted(ctx.as_dict()), repr, lambda ctx: _failing_message(ctx)])
def test_looking_at_all_keys_depends_on_all(look, calls):
    """Also on those that are added later."""

    @pipeline_step(cacheable=True)
    def everything(data, ctx, *, look=look):
        CALLS.info("everything")
        return look(ctx)

    run(Experiment([1], [everything], initial_ctx={"a": 1}))
    run(Experiment([1], [everything], initial_ctx={"a": 1}))
    assert calls == ["everything"]
    run(Experiment([1], [everything], initial_ctx={"a": 1, "b": 1}))
    assert calls == ["everything"] * 2
    same_in_every_mode(Experiment([1], [everything], initial_ctx={"c": [1]}))


def _failing_message(ctx):
    try:
        return ctx["nothing"]
    except KeyError as error:
        return str(error)


def test_a_key_that_a_step_adds_depends_on_its_absence(calls):
    """Where it is there already the step is called, and fails as it would without a cache."""

    @pipeline_step(cacheable=True)
    def adding(data, ctx):
        CALLS.info("adding")
        ctx.add("mine", 1)
        return data

    run(Experiment([1], [adding]))
    records, _ = run(Experiment([1], [adding], initial_ctx={"mine": 2}))
    assert "ContextMutationError" in records[0]
    assert calls == ["adding"] * 2


def test_an_artifact_that_is_there_already_fails_as_without_a_cache():
    """The result of a step of the same name is not used where the step would fail."""

    @pipeline_step(cacheable=True, deterministic=True)
    def keeping(data, ctx):
        ctx.artifacts.add("a", b"1")
        return data

    run(Experiment([1], [keeping]))
    (record,), _ = same_in_every_mode(Experiment([1], [keeping, keeping]))
    assert "was added twice" in record


def test_a_failure_to_add_a_key_depends_on_what_is_there(calls):
    """Also if the step goes on behind it; its message tells the value."""

    @pipeline_step(cacheable=True)
    def trying(data, ctx):
        CALLS.info("trying")
        for change in (lambda: ctx.add("mine", 0), lambda: ctx.__delitem__("other")):
            try:
                change()
            except ContextMutationError as error:
                data = [*data, str(error)]
        return data, {"messages": data}

    outcomes = [
        run(Experiment([1], [trying], initial_ctx=initial))[0][0]
        for initial in ({}, {"mine": 1}, {"mine": 2}, {"mine": 2, "other": 1}, {"mine": 1}, {})
    ]
    assert len(calls) == len(set(outcomes)) == 4
    assert outcomes[4:] == [outcomes[1], outcomes[0]]


def test_classes_that_are_met_in_the_data_count_by_their_code(calls):
    """The step's own code does not name them."""

    def shop(factor):
        class Item:
            def price(self):
                return factor

        return lambda ctx: [Item()]

    @pipeline_step(cacheable=True)
    def pricing(data, ctx):
        CALLS.info("pricing")
        return [float(item.price()) for item in data]

    for factor in (2, 3, 2):
        records, notes = run(Experiment(shop(factor), [pricing, total]))
        assert notes == []
        assert json.loads(records[0])[4][0][1] == factor
    assert len(calls) == 2


def test_what_another_process_read_is_looked_up_too(calls):
    """It may have stored results of the same code with other reads meanwhile."""

    @pipeline_step(cacheable=True)
    def branching(data, ctx, *, deep=False):
        CALLS.info("branching")
        return [ctx.get("depth")] if deep else [0]

    experiment = Experiment([1], [branching], treatments=[Treatment("deep", {"deep": True, "depth": 2})])
    shallow, deep = units(experiment.run_plan().conditions, range(1))
    here, there = experiment.run_plan(), experiment.run_plan()
    first = here.run(shallow)
    assert facts(there.run(shallow)) == facts(first)
    known = there.run(deep)
    assert facts(here.run(deep)) == facts(known)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("ask", "called"),
    [
        (lambda ctx: ctx.condition, 4),
        (lambda ctx: ctx.replicate, 2),
        (lambda ctx: len(ctx.metrics.entries), 2),
        (lambda ctx: len(ctx.artifacts.entries), 2),
        (lambda ctx: len(ctx.scopes), 4),
    ],
)
def test_what_else_a_context_tells_is_part_of_the_key(ask, called, calls):
    """The condition, the replicate, and what was recorded before."""

    @pipeline_step(cacheable=True)
    def asking(data, ctx, *, ask=ask):
        CALLS.info("asking")
        return [ask(ctx)]

    experiment = Experiment(
        [1.0], [asking, total], treatments=[Treatment("t", {"offset": 1.0})], replicates=2
    )
    same_in_every_mode(experiment)
    assert len(calls) == 4 + called
    calls.clear()

    @pipeline_step()
    def before(data, ctx):
        ctx.metrics.add("m", 1)
        ctx.artifacts.add("a", b"")
        return data

    same_in_every_mode(Experiment([1.0], [before, asking]))
    assert len(calls) == 2  # seeds of the second step; off, and cold


def test_metrics_recorded_before_count_if_they_are_read(calls):
    """A treatment that changes them is seen."""

    @pipeline_step(cacheable=True)
    def last_metric(data, ctx):
        CALLS.info("last_metric")
        return [ctx.metrics.entries[-1].value]

    records, _ = same_in_every_mode(
        Experiment([1.0], [total, last_metric, total], treatments=[Treatment("t", {"offset": 1.0})])
    )
    assert len({tuple(map(str, json.loads(record)[4][1])) for record in records}) == 2


def test_the_writer_of_an_output_counts(calls):
    """An artifact is what the experiment's writer makes of it."""

    @pipeline_step(cacheable=True)
    def writing(data, ctx):
        CALLS.info("writing")
        ctx.artifacts.add("out.txt", data)
        return data

    def with_writer(writer):
        return Experiment([1], [writing], outputs=[Artifact("out.txt", writer=writer)])

    one, _ = same_in_every_mode(with_writer(lambda value: str(value).encode()))
    other, _ = same_in_every_mode(with_writer(lambda value: repr(value + value).encode()))
    assert one != other


def test_resources_count_by_their_code_and_what_they_read(calls):
    """A key that the factory reads is one that the step reads."""

    @resource_factory
    def model(ctx):
        return ctx.get("depth", 1) * 10

    @pipeline_step(cacheable=True)
    def using(data, ctx, *, model=model):
        CALLS.info("using")
        return [x + model for x in data]

    experiment = Experiment(
        [1.0], [using, total], treatments=[Treatment("deep", {"depth": 2}), Treatment("t", {"offset": 1.0})]
    )
    records, _ = same_in_every_mode(experiment)
    assert [json.loads(record)[4][0][1] for record in records] == [11.0, 21.0, 12.0]
    assert calls == ["using"] * 5  # 3 without a cache


def test_a_resource_made_of_all_keys_is_made_anew_for_others():
    """Also where no key changed its value and one was added."""

    @resource_factory
    def names(ctx):
        return sorted(ctx.as_dict())

    assert names(FrozenContext({"a": 1})) == ["a"]
    assert names(FrozenContext({"a": 1, "b": 2})) == ["a", "b"]


PROJECT = """
from crystallize import PipelineStep, pipeline_step
{helper}
LIMIT = {limit}

def helper(x):
    # {comment}
    return x {operator} 1

@pipeline_step(cacheable=True)
def step(data, ctx):
    return [min(helper(x), LIMIT) for x in data]

class Step(PipelineStep):
    cacheable = True
    def __call__(self, data, ctx):
        return [min(helper(x), LIMIT) for x in data]
"""


@pytest.mark.parametrize("name", ["step", "Step"])
def test_an_edit_of_a_helper_is_a_miss(name, tmp_path, monkeypatch, cache):
    """Code counts transitively, with the constants it names; comments do not."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def outcome(**parts):
        text = PROJECT.format(**{"helper": "", "limit": 100, "comment": "", "operator": "+"} | parts)
        (tmp_path / "edited_project.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("edited_project", None)
        module = importlib.import_module("edited_project")
        monkeypatch.delitem(sys.modules, "edited_project", raising=False)
        sys.modules["edited_project"] = module
        output = Experiment([5], [getattr(module, name)]).apply()
        return output, len(list(cache.rglob("*.value")))

    assert outcome() == ([6], 1)
    assert outcome(comment="what it is for", helper="\n\n") == ([6], 1)
    assert outcome(operator="-") == ([4], 2)
    assert outcome(operator="-", limit=3) == ([3], 3)
    assert outcome() == ([6], 3)


# The same in every mode and execution.


@pipeline_step(cacheable=True)
def from_globals(data, ctx):
    CALLS.info("from_globals")
    return [x + random.random() + np.random.rand() for x in data]  # noqa: NPY002


@pipeline_step()
def global_metric(data, ctx):
    return data, {"drawn": random.random(), "numpy": np.random.rand()}  # noqa: NPY002


def test_later_global_draws_do_not_depend_on_a_cached_step(calls):
    """The generators are seeded before and behind it, whether or not it is called."""
    records, notes = same_in_every_mode(
        Experiment([1.0], [global_metric, from_globals, global_metric], replicates=2)
    )
    assert notes == []
    assert calls == ["from_globals"] * 4  # off and cold
    before, after = (json.loads(records[0])[4][i][1] for i in (0, 2))
    assert before != after


@pipeline_step(cacheable=True)
async def awaited(data, ctx):
    return [x + ctx.rng.normal() for x in data], {"async": ctx.rng.normal()}


@pytest.mark.parametrize(
    "execution",
    [SerialExecution(), ParallelExecution(2), ParallelExecution(2, "process"), AsyncExecution(3)],
    ids=["serial", "thread", "process", "async"],
)
def test_every_execution_gives_the_same_with_and_without_a_cache(execution, tmp_path):
    """Cold or warm, and from results that another execution stored."""

    def digests(directory, mode="reuse", execution=execution):
        experiment = Experiment(
            [1.0, 2.0],
            [telling, noisy, awaited, scaled, total],
            [ArtifactPlugin(tmp_path / "runs"), execution],
            treatments=[Treatment("double", {"factor": 2.0}), Treatment("shift", {"offset": 1.0})],
            replicates=3,
        )
        plan = experiment.run_plan().with_step_cache(open_step_cache(directory, mode=mode))
        result = experiment.execute_plan(plan, plan.conditions)
        return result.digest, sorted(map(facts, result.records))

    off = digests(None, mode="off", execution=SerialExecution())
    assert digests(None, mode="off") == off
    assert digests(tmp_path / "own") == off
    stored = sorted((tmp_path / "own").rglob("*.value"))
    assert len(stored) == 3 * (1 + 1 + 1 + 2)
    assert digests(tmp_path / "own") == off
    digests(tmp_path / "serial", execution=SerialExecution())
    assert digests(tmp_path / "serial") == off
    assert sorted((tmp_path / "own").rglob("*.value")) == stored


def law_step(function):
    return [pipeline_step(cacheable=cacheable)(function) for cacheable in (True, False)]


def adds(data, ctx, *, amount=0.5):
    return [x + amount for x in data]


def draws(data, ctx):
    return [x + ctx.rng.normal() for x in data], {"seed": ctx.seed}


def draws_globally(data, ctx):
    return [x + random.random() + np.random.rand() for x in data]  # noqa: NPY002


def writes(data, ctx):
    key = f"key{len(ctx.as_dict())}"
    ctx.add(key, {"data": np.array(data)[::-1]})
    ctx.artifacts.add(key, repr(data).encode())
    return data


def reads_all(data, ctx):
    return data, {"all": len(ctx.as_dict()), "word": ctx.condition}


def slices(data, ctx):
    return list(np.array(data * 2)[::2]), {"mean": float(np.mean(data)), "replicate": ctx.replicate}


LAW_STEPS = [law_step(f) for f in (adds, draws, draws_globally, writes, reads_all, slices)]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(LAW_STEPS) - 1), st.booleans()), min_size=1, max_size=5),
    st.sampled_from([{"amount": 1.0}, {"key1": 1.0}, {"other": [1]}]),
)
def test_cold_warm_and_off_are_the_same(tmp_path_factory, steps, changed):
    """For any pipeline, whichever of its steps are cacheable."""
    experiment = Experiment(
        [1.0, 0.1],
        [LAW_STEPS[kind][cacheable] for kind, cacheable in steps],
        treatments=[Treatment("t", changed)],
        replicates=2,
    )
    directory = tmp_path_factory.mktemp("law")
    off, _ = run(experiment, mode="off")
    cold, notes = run(experiment, directory=directory)
    warm, _ = run(experiment, directory=directory)
    assert notes == []
    assert cold == off
    assert warm == off


class Meddling(BasePlugin):
    """Looks up, draws and records around every step."""

    def __init__(self):
        self.seen = []

    def before_step(self, experiment, step, data, ctx):
        ctx.get("factor")
        ctx.get("later")
        ctx.rng.normal()
        self.seen.append((step.name, "before", repr(data)))

    def after_step(self, experiment, step, data, ctx):
        ctx.metrics.add("drawn", ctx.rng.normal() + random.random())
        self.seen.append((step.name, "behind", repr(data)))


def test_hooks_are_called_around_a_hit_and_hide_nothing(calls):
    """What a hook looked up before is still a read of the step."""
    plugin = Meddling()
    treatments = [Treatment("double", {"factor": 2.0})]
    experiment = Experiment([1.0], [scaled, noisy, total], [plugin], treatments=treatments)
    records, _ = same_in_every_mode(experiment)
    assert calls == ["scaled", "noisy"] * 4
    third = len(plugin.seen) // 3
    assert plugin.seen[:third] == plugin.seen[third : 2 * third] == plugin.seen[2 * third :]
    noise = [next(m[1] for m in json.loads(record)[4] if m[0] == "total") for record in records]
    assert noise[1] - noise[0] == pytest.approx(1.0)


def test_an_output_is_a_copy_with_and_without_a_cache():
    """What is done to it later reaches nothing that another run sees."""
    shared = [1.0]

    @pipeline_step(cacheable=True)
    def passing(data, ctx):
        return data

    @pipeline_step()
    def appending(data, ctx):
        data.append(1.0)
        return data, {"n": len(data)}

    class Sharing(DataSource):
        def fetch(self, ctx):
            return shared

    records, _ = same_in_every_mode(Experiment(Sharing(), [passing, appending], replicates=3))
    assert {json.loads(record)[4][0][1] for record in records} == {2}
    assert shared == [1.0]


def test_arrays_have_one_layout_with_and_without_a_cache():
    """Sums may round differently in another one."""

    @pipeline_step(cacheable=True)
    def laying_out(data, ctx):
        ctx.add("cube", np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2))
        return np.arange(24.0).reshape(4, 6)[::2, ::3]

    @pipeline_step()
    def strides(data, ctx):
        return data, {"strides": [*data.strides, *ctx["cube"].strides], "writeable": data.flags.writeable}

    same_in_every_mode(Experiment([1], [laying_out, strides]))


class Lazy:
    """Is copied with what it has worked out, and pickled without."""

    def __init__(self, known=None):
        self.known = known

    def __deepcopy__(self, memo):
        return Lazy(self.known)

    def __reduce__(self):
        return Lazy, ()


def test_added_keys_are_copies_with_and_without_a_cache():
    """What comes back from the cache is what the next step sees without one, too."""

    @pipeline_step(cacheable=True)
    def adding(data, ctx):
        ctx.add("lazy", Lazy(1))
        return [Lazy(2)]

    @pipeline_step()
    def seeing(data, ctx):
        return data, {"known": [ctx["lazy"].known, data[0].known]}

    (record,), _ = same_in_every_mode(Experiment([1], [adding, seeing]))
    assert json.loads(record)[4][0][1] == [None, None]


def test_modes(calls):
    """Refreshing calls every step and stores; off does neither."""
    experiment = Experiment([1.0], [scaled])
    run(experiment, mode="off")
    run(experiment)
    run(experiment, mode="refresh")
    run(experiment)
    assert len(calls) == 3
    with pytest.raises(DefinitionError, match="mode is 'on'; allowed are 'reuse', 'refresh' and 'off'"):
        open_step_cache(mode="on")


def test_single_passes_and_searches_use_the_cache(calls):
    """`apply` with other data, too; the data are part of the key."""
    experiment = Experiment([1.0], [exit_step(scaled), total])
    assert experiment.apply() == experiment.apply() == [1.0]
    assert experiment.apply(data=[4.0]) == experiment.apply(data=[4.0]) == [4.0]
    assert calls == ["scaled"] * 2
    for _ in range(2):
        experiment.optimize(
            GridSearch({"factor": [1.0, 3.0]}, objective=Objective("total", "maximize")), num_trials=2
        )
    assert calls == ["scaled"] * 4
    experiment.debug()
    assert calls == ["scaled"] * 4  # replicate 0 is known from `apply`


def test_a_cache_can_be_sent_to_another_process():
    """As a directory and options; what was noted stays behind."""
    cache = open_step_cache(Path("here"), mode="refresh", inputs=("a.csv",), env=("HOME",))
    cache.note("step", "part", "why")
    again = pickle.loads(pickle.dumps(cache))
    assert (again.directory, again.refresh, again.inputs, again.env) == (
        Path("here").absolute(),
        True,
        ("a.csv",),
        ("HOME",),
    )
    assert again.environment == cache.environment
    assert again.conclude() == []


class InMemory:
    """A cache of our own: of what was called with equal data, whatever else there was."""

    def __init__(self):
        self.results, self.said, self.call = {}, [], None

    def unit(self):
        return nullcontext()

    def entry(self, call):
        self.call = call
        return self

    def find(self):
        result = self.results.get(repr((self.call.name, self.call.seed, self.call.data)))
        return iter(() if result is None else [result])

    def watched(self):
        return nullcontext()

    def keep(self, reads, result):
        assert {read: self.call.look_up(read) for read in reads} == {("key", "factor"): 2.0}
        self.results[repr((self.call.name, self.call.seed, self.call.data))] = result

    def refuse(self, why):
        self.said.append(why)

    def conclude(self):
        return self.said


def test_another_cache_can_take_its_place(calls):
    """It is told what is called, and what that read; it keeps bytes."""
    own = InMemory()
    experiment = Experiment([1.0], [scaled, total], initial_ctx={"factor": 2.0}, replicates=2)
    plan = experiment.run_plan().with_step_cache(own)
    first, second = ([facts(plan.run(unit)) for unit in units(("baseline",), range(2))] for _ in range(2))
    assert first == second
    assert calls == ["scaled"] * 2
    assert len(own.results) == 2
    assert plan.conclude() == []


def test_nothing_is_loaded_without_a_cacheable_step():
    """Not even a module of the cache."""
    code = (
        "import sys; from crystallize import *\n"
        "@pipeline_step()\n"
        "def s(data, ctx): return data, {'x': 1.0}\n"
        "Experiment(0, [s]).run()\n"
        "caching = ('crystallize.identity.encoder', 'crystallize.storage.store')\n"
        "print([m for m in sys.modules if m in caching])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


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
    assert "CONFIGURATION changed" in note


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
    assert len(said) == 1


class _Meeting(logging.Handler):
    """Holds a step up until something has happened beside it."""

    def __init__(self):
        super().__init__()
        self.calls, self.under_way, self.done = 0, threading.Event(), threading.Event()

    def emit(self, record):
        self.calls += 1
        self.under_way.set()
        assert self.done.wait(30)


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
        assert meeting.under_way.wait(30)
        text = table.read_text()
        meeting.done.set()
        return [float(text)]

    experiment = Experiment(fetch, [noisy, total], [ParallelExecution(2)], replicates=2)
    first = experiment.run()
    assert first.errors == ()
    assert experiment.run().digest == first.digest
    assert meeting.calls == 2


# The disk.


def test_a_corrupt_result_is_a_miss(cache, calls):
    """Torn, flipped or emptied."""
    experiment = Experiment([1.0], [scaled, total])
    off, _ = run(experiment, mode="off")
    for damage in (lambda b: b[:-3], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""):
        run(experiment)
        (path,) = cache.rglob("*.value")
        path.write_bytes(damage(path.read_bytes()))
        calls.clear()
        assert run(experiment) == (off, [])
        assert calls == ["scaled"]


def test_a_cache_that_goes_away_is_filled_again(cache, calls):
    """Nothing is said: it is only empty."""
    experiment = Experiment([1.0], [scaled])
    run(experiment)
    shutil.rmtree(cache)
    assert run(experiment)[1] == []
    assert run(experiment)[1] == []
    assert len(calls) == 2


def test_a_cache_that_can_not_be_written_is_said_once(tmp_path, monkeypatch):
    """And the run goes on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "file"))
    experiment = Experiment([1.0], [scaled, noisy, total], replicates=3)
    with pytest.warns(CrystallizeWarning, match=r"the cache in .* can't be") as said:
        result = experiment.run()
    assert len(said) == 1
    assert result.errors == ()


def test_a_run_that_stored_something_tidies_up(monkeypatch):
    """Once, at its end; one that stored nothing does not."""
    tidied = []
    monkeypatch.setattr(Store, "tidy", lambda store: tidied.append(store.directory))
    experiment = Experiment([1.0], [scaled, noisy], replicates=3)
    experiment.run()
    assert len(tidied) == 1
    experiment.run()
    assert len(tidied) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Experiment([2.0], [scaled], [ParallelExecution(2, "process")], replicates=3).run()
    assert len(tidied) == 2


def test_hits_of_steps_are_shown(caplog, capsys):
    """In the log, behind each step of a verbose one, and in the tree; the results are the same."""

    @pipeline_step(cacheable=True)
    def slow(data, ctx):
        return data + ctx.rng.normal()

    @pipeline_step()
    def score(data):
        return data, {"x": data}

    experiment = Experiment(1.0, [slow, score], name="cached", replicates=2)
    cold = experiment.run()
    caplog.set_level(logging.INFO, "crystallize")
    caplog.handler.setLevel(0)
    warm = experiment.run()
    assert cold.digest == warm.digest
    assert [record.cached_steps for record in cold.records] == [(), ()]
    assert [record.cached_steps for record in warm.records] == [("slow",), ("slow",)]
    assert "cached: step slow from the cache in 2 of 2 runs" in caplog.messages
    assert RunRecord.from_json(warm.records[0].to_json()).cached_steps == ("slow",)
    warm.print_tree("step > action")
    shown = capsys.readouterr().out
    assert "slow\n│   ├── was taken from the cache\n" in shown
    assert shown.count("was taken from the cache") == 1
    Experiment(1.0, [slow, score], [LoggingPlugin(verbose=True)], name="cached").run()
    assert "cached: replicate 0 of baseline: slow (from the cache)" in caplog.messages
    assert "cached: replicate 0 of baseline: score" in caplog.messages
