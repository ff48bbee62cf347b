"""Cacheable steps: cold, warm and without a cache they give the same."""

import json
import pickle
import random
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from cached_steps import facts, from_globals, noisy, run, same_in_every_mode, scaled, telling, total
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from laws import examples

from crystallize import (
    ArtifactPlugin,
    AsyncExecution,
    BasePlugin,
    DataSource,
    Experiment,
    GridSearch,
    Objective,
    ParallelExecution,
    SerialExecution,
    Treatment,
    exit_step,
    pipeline_step,
)
from crystallize.declare.awaiting import driven
from crystallize.errors import DefinitionError
from crystallize.experiment.runner import Runner
from crystallize.run.step_cache import open_step_cache
from crystallize.run.units import units

pytestmark = pytest.mark.usefixtures("cache")

ROOT = Path(__file__).parents[2]


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


@pytest.mark.slow
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
        result = driven(Runner(experiment, plan).result())
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
@examples(25, suppress=[HealthCheck.function_scoped_fixture])
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
    """Plugin that looks up, draws and records around every step."""

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
    """Object that is copied with what it has worked out, and pickled without."""

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
