"""A single pass: what it calls, where it stops, what it returns."""

import random

import numpy as np
import pytest

from crystallize import (
    ArtifactPlugin,
    BasePlugin,
    DataSource,
    Experiment,
    PipelineStep,
    SeedPlugin,
    Treatment,
    data_source,
    exit_step,
    pipeline_step,
)
from crystallize.errors import DefinitionError


@data_source
def numbers(ctx, *, n=3):
    return [0] * n


@pipeline_step()
def add(data, ctx, *, delta=0):
    return [x + delta for x in data], {"delta": delta}


@pipeline_step()
def draw(data, ctx):
    return [float(ctx.rng.random()), random.random(), ctx.seed]


class Logged(PipelineStep):
    """Step that notes that it is called, and passes the data on."""

    def __init__(self, label, log, fails=False):
        self._label, self._log, self._fails = label, log, fails

    def setup(self, ctx):
        self._log.append(f"setup {self._label}")

    def __call__(self, data, ctx):
        self._log.append(f"call {self._label}")
        if self._fails:
            raise ZeroDivisionError("in the step")
        return [*data, self._label]

    def teardown(self, ctx):
        self._log.append(f"teardown {self._label}")


class Hooks(BasePlugin):
    """Plugin that notes every hook."""

    def __init__(self, log):
        self.log = log

    def before_run(self, experiment):
        self.log.append("before_run")

    def before_replicate(self, experiment, ctx):
        self.log.append(f"before_replicate {ctx.replicate} of {ctx.condition}")

    def before_step(self, experiment, step, data, ctx):
        self.log.append("before_step")

    def after_step(self, experiment, step, data, ctx):
        self.log.append("after_step")

    def after_replicate(self, experiment, ctx):
        self.log.append("after_replicate")

    def after_run(self, experiment, result):
        self.log.append(f"after_run {len(result.records)}")


def test_the_output_is_that_of_the_exit_step():
    """Without its metrics; steps behind it are neither called nor set up."""
    log = []
    steps = [Logged("a", log), exit_step(Logged("b", log)), Logged("c", log)]
    assert Experiment(numbers, steps).apply() == [0, 0, 0, "a", "b"]
    assert log == ["setup a", "setup b", "call a", "call b", "teardown b", "teardown a"]
    assert Experiment(numbers, [add, exit_step(add(delta=2)), add]).apply() == [2, 2, 2]


def test_without_an_exit_step_the_last_one_counts():
    """The whole pipeline is passed."""
    assert Experiment(numbers, [add(delta=1), add(delta=1)]).apply() == [2, 2, 2]


def test_the_first_exit_step_counts():
    """A second one is behind it."""
    assert Experiment(numbers, [exit_step(add(delta=1)), exit_step(add(delta=1))]).apply() == [1, 1, 1]


def test_run_goes_on_behind_the_exit_step():
    """Only a single pass stops there."""
    log = []
    Experiment(numbers, [exit_step(Logged("a", log)), Logged("b", log)]).run()
    assert "call b" in log


def test_hooks_are_called_as_in_a_run():
    """Around the run, the replicate and each step."""
    log = []
    Experiment(numbers, [exit_step(Logged("a", log)), Logged("b", log)], [Hooks(log)]).apply()
    assert log == [
        "before_run",
        "before_replicate 0 of baseline",
        "setup a",
        "before_step",
        "call a",
        "after_step",
        "teardown a",
        "after_replicate",
        "after_run 1",
    ]


def test_a_treatment_a_name_or_none():
    """A name is that of one of the experiment's treatments; a treatment need not be."""
    boost = Treatment("boost", {"delta": 10})
    experiment = Experiment(numbers, [add], treatments=[boost], replicates=5)
    assert experiment.apply() == [0, 0, 0]
    assert experiment.apply("boost") == experiment.apply(boost) == [10, 10, 10]
    assert experiment.apply(Treatment("other", {"delta": 3, "n": 1})) == [3]
    assert (experiment.treatments, experiment.replicates) == ((boost,), 5)
    with pytest.raises(DefinitionError, match="has no treatment 'bost'; it has 'boost'"):
        experiment.apply("bost")


def test_a_treatment_that_can_not_be_applied_is_refused():
    """As in a run."""
    experiment = Experiment(numbers, [add], initial_ctx={"delta": 1})
    with pytest.raises(DefinitionError, match="which initial_ctx holds already"):
        experiment.apply(Treatment("boost", {"delta": 2}))


def test_data_replace_the_data_source():
    """They are given as they are, None too; a data source is fetched from."""
    given = object()
    seen = []

    @pipeline_step()
    def note(data, ctx):
        seen.append(data)
        return data

    def broken(ctx):
        raise AssertionError("the data source was asked")

    experiment = Experiment(broken, [note])
    for data in (given, None, len, np.zeros(3)):
        assert experiment.apply(data=data) is data
    assert experiment.apply(data=numbers) == experiment.apply(data=numbers(n=3)) == [0, 0, 0]

    class Source(DataSource):
        def fetch(self, ctx):
            return ctx.get("delta", "from the source")

    assert experiment.apply(data=Source()) == "from the source"
    assert experiment.apply(Treatment("t", {"delta": 4}), data=Source()) == 4


def test_the_pass_has_the_seed_of_replicate_0():
    """It repeats what `run` did first, and another seed gives what a run with that root seed does."""
    experiment = Experiment(0, [draw], [SeedPlugin(3)])
    assert experiment.apply() == experiment.apply()
    seeds = experiment.run().provenance["seeds"]
    assert experiment.apply()[2] == seeds[0]
    assert experiment.apply(seed=8) == Experiment(0, [draw], [SeedPlugin(8)]).apply() != experiment.apply()
    with pytest.raises(DefinitionError, match="seed is -1"):
        experiment.apply(seed=-1)


@pytest.mark.parametrize("fails", [False, True])
def test_the_global_generators_are_put_back(fails):
    """Also if the pass fails."""
    random.seed(5)
    state = random.getstate()
    experiment = Experiment(numbers, [draw, Logged("a", [], fails)])
    try:
        experiment.apply()
    except ZeroDivisionError:
        assert fails
    assert random.getstate() == state


def test_exceptions_come_through_behind_the_teardown():
    """As they were raised, by a step, a source, a treatment or a hook."""
    log = []
    with pytest.raises(ZeroDivisionError, match="in the step"):
        Experiment(numbers, [Logged("a", log), Logged("b", log, fails=True)]).apply()
    assert log[-2:] == ["teardown b", "teardown a"]

    class Broken(BasePlugin):
        def after_run(self, experiment, result):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Experiment(numbers, [add], [Broken()]).apply()


def test_artifacts_of_the_pass_are_kept(tmp_path):
    """By the same plugin, in a version of its own."""

    @pipeline_step()
    def save(data, ctx):
        ctx.artifacts.add("out.txt", b"1")
        return data

    experiment = Experiment(0, [save], [ArtifactPlugin(tmp_path)], name="e")
    experiment.run()
    experiment.apply(Treatment("t", {}))
    assert (tmp_path / "e/v1/replicate_0/t/save/out.txt").read_bytes() == b"1"
