"""Searches: what is asked, what is told, what wins, and that nothing searched on is confirmed on."""

import asyncio
import contextlib
import dataclasses
import math
import random

import pytest
from scipy import stats
from searches import HIGHEST, LOWEST, measure, trial

import crystallize.experiment.runner
from crystallize import (
    AsyncExecution,
    BaseOptimizer,
    BasePlugin,
    Experiment,
    GridSearch,
    Hypothesis,
    Objective,
    ParallelExecution,
    SeedPlugin,
    Treatment,
    data_source,
    pipeline_step,
)
from crystallize.context.seeding import SEARCH, SeedStream
from crystallize.errors import CrystallizeWarning, DefinitionError, OptimizationError


@pipeline_step()
def fragile(data, ctx, *, delta=0.0):
    """Fail in one of the many ways in which a trial can fail."""
    if delta == "raises" and ctx.replicate == 1:
        raise ValueError("no such model")
    if delta == "lacks" and ctx.replicate == 1:
        return data
    values = {"nan": math.nan, "inf": -math.inf, "text": "good", "none": None, "list": [1.0]}
    return data, {"x": values.get(delta, 5.0 if isinstance(delta, str) else delta)}


class Scripted(BaseOptimizer):
    """Search that asks for what it was given, and keeps what it was told."""

    def __init__(self, batches, objective=LOWEST):
        super().__init__(objective)
        self.batches = list(batches)
        self.told = []
        self.left = []

    def ask(self):
        self.left.append(self.trials_left)
        return self.batches.pop(0) if self.batches else []

    def tell(self, values):
        self.told.append(values)

    def get_best_treatment(self):
        return Treatment("best", {"delta": 0})


# The objective.


def test_an_objective_has_one_metric_or_several():
    """With one direction for all, or one for each."""
    assert Objective("x", "maximize").directions == {"x": "maximize"}
    assert Objective(["x", "y"], "minimize").directions == {"x": "minimize", "y": "minimize"}
    assert Objective(("x", "y"), ("minimize", "maximize")).directions == {"x": "minimize", "y": "maximize"}


@pytest.mark.parametrize(
    ("metric", "direction", "message"),
    [
        ("x", "up", "direction of 'x' is 'up'; allowed are 'minimize' and 'maximize'"),
        ("x", "", "direction of 'x' is ''"),
        ("x", None, "direction of 'x' is None"),
        (["x", "y"], ["minimize", "upwards"], "is 'upwards'"),
        (["x", "y"], ["minimize"], "2 metrics and 1 directions"),
        ([], "minimize", "give the name of a metric"),
        ("", "minimize", "give the name of a metric"),
        (3, "minimize", "give the name of a metric"),
        (["x", "x"], "minimize", "names a metric twice"),
    ],
)
def test_an_objective_without_sense_is_refused(metric, direction, message):
    """The error says what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        Objective(metric, direction)


# The course of a search.


def test_treatments_of_one_ask_are_one_run():
    """Hooks around a run are called once for each ask; what is told comes in the order of the ask."""
    runs = []

    class Count(BasePlugin):
        def before_run(self, experiment):
            runs.append([treatment.name for treatment in experiment.treatments])

    optimizer = Scripted([[trial(3), trial(1)], [trial(2)]], Objective("delta", "minimize"))
    best = Experiment(0, [measure], [Count()]).optimize(optimizer, num_trials=3, replicates_per_trial=2)
    assert runs == [["delta 3", "delta 1"], ["delta 2"]]
    assert optimizer.told == [{"delta": 3.0}, {"delta": 1.0}, {"delta": 2.0}]
    assert best.name == "best"


def test_the_baseline_is_not_run():
    """It is no trial, and would cost as much as one."""
    conditions = []

    @pipeline_step()
    def note(data, ctx, *, delta):
        conditions.append(ctx.condition)
        return data, {"x": delta}

    Experiment(0, [note]).optimize(Scripted([[trial(3)]]), num_trials=1, replicates_per_trial=2)
    assert conditions == ["delta 3"] * 2


def test_the_number_of_trials_is_a_limit():
    """What an ask gives beyond it is neither evaluated nor told, and the optimizer can know before."""
    optimizer = Scripted([[trial(1)], [trial(2), trial(3), trial(4)], [trial(5)]])
    Experiment(0, [measure]).optimize(optimizer, num_trials=3)
    assert len(optimizer.told) == 3
    assert optimizer.left == [3, 2]


def test_nothing_asked_ends_the_search():
    """An optimizer may have enough before."""
    optimizer = Scripted([[trial(1)]])
    Experiment(0, [measure]).optimize(optimizer, num_trials=10)
    assert len(optimizer.told) == 1


def test_what_is_told_is_the_mean_over_replicates():
    """Several values in one replicate count as their mean; every metric of the objective is told."""

    @pipeline_step()
    def several(data, ctx, *, delta=0):
        for value in (delta, delta + 2):
            ctx.record("x", value + ctx.replicate)
        ctx.record("y", ctx.replicate)
        return data

    optimizer = Scripted([[trial(1)]], Objective(["y", "x"], "maximize"))
    Experiment(0, [several]).optimize(optimizer, num_trials=1, replicates_per_trial=3)
    assert optimizer.told == [{"y": 1.0, "x": 3.0}]
    assert list(optimizer.told[0]) == ["y", "x"]


@pytest.mark.parametrize("how", ["raises", "lacks", "nan", "inf", "text", "none", "list"])
@pytest.mark.parametrize("objective", [LOWEST, HIGHEST])
def test_a_trial_that_fails_is_told_as_the_worst(how, objective):
    """In one replicate or in all, so that neither `min` nor `max` chooses it."""
    optimizer = Scripted([[trial(how), trial(1.0)]], objective)
    Experiment(0, [fragile]).optimize(optimizer, num_trials=2, replicates_per_trial=2)
    worst = math.inf if objective is LOWEST else -math.inf
    assert optimizer.told == [{"x": worst}, {"x": 1.0}]


@pytest.mark.parametrize("objective", [LOWEST, HIGHEST])
def test_a_trial_that_fails_never_wins(objective):
    """Whatever the direction."""
    search = GridSearch({"delta": ["raises", "nan", 7.0, "inf", "lacks"]}, objective)
    best = Experiment(0, [fragile]).optimize(search, num_trials=5, replicates_per_trial=2)
    assert best.payload == {"delta": 7.0}
    assert [t.failed for t in search.trials] == [True, True, False, True, True]


def test_if_every_trial_fails_there_is_no_winner():
    """The error says why the first one failed."""
    search = Scripted([[trial("raises"), trial("nan")]])
    with pytest.raises(OptimizationError, match=r"'e': all 2 trials failed.*no such model"):
        Experiment(0, [fragile], name="e").optimize(search, num_trials=2, replicates_per_trial=2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (trial(1), "Scripted.ask returned Treatment.*; return a list of treatments"),
        (3, "Scripted.ask returned 3"),
        ([trial(1), {"delta": 2}], "which is no treatment"),
        ([trial(1), trial(1)], "two treatments are named 'delta 1'"),
    ],
)
def test_what_can_not_be_asked_for_is_refused(asked, message):
    """The error names the optimizer's class."""
    with pytest.raises(DefinitionError, match=message):
        Experiment(0, [measure]).optimize(Scripted([asked]), num_trials=2)


def test_arguments_without_sense_are_refused():
    """Before anything is run."""

    class Forgot(Scripted):
        def __init__(self):
            pass

    class NoBest(Scripted):
        def get_best_treatment(self):
            return "delta 1"

    experiment = Experiment(0, [measure])
    for number in (0, -1, 2.0, True):
        with pytest.raises(DefinitionError, match="num_trials is"):
            experiment.optimize(Scripted([]), num_trials=number)
    with pytest.raises(DefinitionError, match="replicates=0"):
        experiment.optimize(Scripted([[trial(1)]]), num_trials=1, replicates_per_trial=0)
    with pytest.raises(DefinitionError, match="is not an optimizer: subclass BaseOptimizer; call it"):
        experiment.optimize(Scripted, num_trials=1)
    with pytest.raises(DefinitionError, match=r"call super\(\).__init__\(objective\)"):
        experiment.optimize(Forgot(), num_trials=1)
    with pytest.raises(DefinitionError, match="get_best_treatment returned 'delta 1'"):
        experiment.optimize(NoBest([[trial(1)]]), num_trials=1)
    with pytest.raises(DefinitionError, match=r"give Objective\(metric, direction\)"):
        Scripted([], "x")


def test_a_key_that_nothing_reads_is_warned_of_once():
    """However many trials set it."""
    search = GridSearch({"dleta": [1, 2, 3]}, LOWEST, batch_size=1)
    with pytest.warns(CrystallizeWarning, match="sets 'dleta', which nothing read") as caught:
        Experiment(0, [measure]).optimize(search, num_trials=3)
    assert len(caught) == 1


def test_the_experiment_and_the_global_generators_are_as_before():
    """A search leaves no trace."""
    experiment = Experiment(0, [measure], treatments=[trial(9)], replicates=4)
    random.seed(1)
    state = random.getstate()
    experiment.optimize(GridSearch({"delta": [1]}, LOWEST), num_trials=1)
    assert [treatment.name for treatment in experiment.treatments] == ["delta 9"]
    assert experiment.replicates == 4
    assert random.getstate() == state


@pytest.mark.parametrize(
    "execution",
    [ParallelExecution(2), ParallelExecution(2, "process"), AsyncExecution(2)],
    ids=["threads", "processes", "async"],
)
def test_every_execution_finds_the_same(execution):
    """Values are told bit for bit."""
    searches = [GridSearch({"delta": [2.0, 1.0]}, LOWEST) for _ in range(2)]
    for search, plugins in zip(searches, [[], [execution]], strict=True):
        Experiment(0, [measure], plugins).optimize(search, num_trials=2, replicates_per_trial=3)
    assert searches[0].trials[0].values == searches[1].trials[0].values
    assert searches[1].get_best_treatment().payload == {"delta": 1.0}


@pytest.mark.parametrize("plugins", [[], [AsyncExecution()]])
def test_a_search_can_be_awaited(plugins):
    """In a thread, or on the running loop, with the same winner."""
    experiment = Experiment(0, [measure], plugins)
    search = GridSearch({"delta": [2.0, 1.0, 3.0]}, LOWEST, batch_size=2)
    best = asyncio.run(experiment.aoptimize(search, num_trials=3, replicates_per_trial=2))
    assert best.payload == {"delta": 1.0}
    assert len(search.trials) == 3


# Seeds.


def test_trials_share_their_seeds_and_run_has_others():
    """Replicate i of every trial has the same seed, in every ask; none is a seed of `run`."""
    seen = {}

    @pipeline_step()
    def note(data, ctx, *, delta=0):
        seen.setdefault(ctx.condition, []).append((ctx.seed, float(ctx.rng.random()), random.random()))
        return data, {"x": delta}

    experiment = Experiment(0, [note], [SeedPlugin(5)])
    search = GridSearch({"delta": [1, 2]}, LOWEST, batch_size=1)
    best = experiment.optimize(search, num_trials=2, replicates_per_trial=20)
    assert seen["delta=1"] == seen["delta=2"]
    searched = seen.copy()
    seen.clear()
    experiment.run(treatments=[best], replicates=20)
    for numbers in zip(*searched["delta=1"], strict=True):
        for confirmed in zip(*seen["delta=1"], strict=True):
            assert not {*numbers} & {*confirmed}


@pytest.mark.parametrize("root", [0, 1, 2**31, 12345678901234567890])
def test_the_streams_of_search_and_run_share_no_seed(root):
    """Nor do those of different root seeds; of 2,000 seeds of 32 bits one may meet by chance."""
    run = {SeedStream(root).word(i) for i in range(2000)}
    search = {SeedStream(root, (SEARCH,)).word(i) for i in range(2000)}
    assert len(run | search) == 4000


def null_experiment(root):
    """Return an experiment whose treatments have no effect, each with noise of its own."""

    @pipeline_step()
    def measure_noise(data, ctx, *, arm=50):
        return data, {"x": float(ctx.rng.standard_normal(51)[arm])}

    @data_source
    def nothing(ctx):
        return None

    return Experiment(nothing, [measure_noise], [SeedPlugin(root)], name="null")


CLAIM = Hypothesis(metric="x", direction="increase", alternative="one-sided", alpha=0.05, name="better")


@pytest.mark.slow
def test_the_winner_of_null_treatments_is_confirmed_at_the_nominal_rate(monkeypatch):
    """The best of 50 treatments without effect is supported in 5 % of the confirmations.

    Counter-check: claimed of the replicates that it was chosen on, it would be supported far more often.
    """
    monkeypatch.setattr(
        crystallize.experiment.runner, "git_commit", lambda: contextlib.nullcontext(lambda: None)
    )
    searches = 2000
    confirmed = reused = 0
    for root in range(searches):
        experiment = null_experiment(root)
        best = experiment.optimize(
            GridSearch({"arm": range(50)}, HIGHEST), num_trials=50, replicates_per_trial=4
        )
        fresh = experiment.run(treatments=[best], hypotheses=[CLAIM], replicates=6)
        confirmed += fresh.metrics["hypothesis"]["accepted"]
        with monkeypatch.context() as patch:
            patch.setattr(Experiment, "run_plan", plan_of_the_search(Experiment.run_plan))
            stale = experiment.run(treatments=[best], hypotheses=[CLAIM], replicates=4)
        reused += stale.metrics["hypothesis"]["accepted"]
    interval = stats.binomtest(confirmed, searches).proportion_ci(0.999, "exact")
    assert interval.low < 0.05 < interval.high
    assert stats.binomtest(reused, searches, 0.05, alternative="greater").pvalue < 1e-9
    assert reused > 0.25 * searches


def plan_of_the_search(original):
    """Give `run` the seeds of a search."""

    def run_plan(self):
        return dataclasses.replace(original(self), stream=SeedStream(self.plugin(SeedPlugin).seed, (SEARCH,)))

    return run_plan
