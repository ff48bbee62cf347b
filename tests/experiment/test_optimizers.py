"""Searches: what is asked, what is told, what wins, and that nothing searched on is confirmed on."""

import asyncio
import contextlib
import dataclasses
import math
import random
import sys

import numpy as np
import pytest
from scipy import stats

import crystallize.experiment.runner
from crystallize import (
    AsyncExecution,
    BaseOptimizer,
    BasePlugin,
    Experiment,
    GridSearch,
    Hypothesis,
    Objective,
    OptunaOptimizer,
    ParallelExecution,
    RandomSearch,
    SeedPlugin,
    Treatment,
    data_source,
    pipeline_step,
)
from crystallize.context.seeding import SEARCH, SeedStream
from crystallize.errors import CrystallizeWarning, DefinitionError, MissingExtraError, OptimizationError

LOWEST = Objective("x", "minimize")
HIGHEST = Objective("x", "maximize")


@pipeline_step()
def measure(data, ctx, *, delta=0.0):
    return data, {"x": delta + ctx.rng.random(), "delta": delta, "seed": ctx.seed}


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
    """Asks for what it was given, and keeps what it was told."""

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


def trial(delta):
    return Treatment(f"delta {delta}", {"delta": delta})


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
@pytest.mark.parametrize("searches", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_winner_of_null_treatments_is_confirmed_at_the_nominal_rate(searches, monkeypatch):
    """The best of 50 treatments without effect is supported in 5 % of the confirmations.

    Counter-check: claimed of the replicates that it was chosen on, it would be supported far more often.
    """
    monkeypatch.setattr(
        crystallize.experiment.runner, "git_commit", lambda: contextlib.nullcontext(lambda: None)
    )
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


# Ready-made searches.


def test_a_grid_is_every_combination():
    """The last key changes fastest; the names say what was tried."""
    search = GridSearch({"a": [1, 2], "b": ("x", None)}, LOWEST)
    search.trials_left = 10
    asked = search.ask()
    assert [treatment.payload for treatment in asked] == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": None},
        {"a": 2, "b": "x"},
        {"a": 2, "b": None},
    ]
    assert asked[1].name == "a=1, b=None"
    assert search.ask() == []


def test_a_grid_finds_the_best_of_several_keys():
    """In both directions; of equal ones the earliest."""

    @pipeline_step()
    def product(data, ctx, *, a, b):
        return data, {"x": a * b}

    experiment = Experiment(0, [product])
    grid = {"a": [1, 2, 0], "b": np.arange(3)}
    assert experiment.optimize(GridSearch(grid, HIGHEST), num_trials=9).payload == {"a": 2, "b": 2}
    assert experiment.optimize(GridSearch(grid, LOWEST), num_trials=9).payload == {"a": 1, "b": 0}


def test_a_batch_is_as_large_as_wanted():
    """By default all that is left, otherwise `batch_size`, never more than there are trials left."""
    for batch_size, sizes in [(None, [5]), (2, [2, 2, 1]), (9, [5])]:
        search = GridSearch({"delta": range(7)}, LOWEST, batch_size=batch_size)
        asked = []
        original = search.ask

        def ask(original=original, asked=asked):
            asked.append(original())
            return asked[-1]

        search.ask = ask
        Experiment(0, [measure]).optimize(search, num_trials=5)
        assert [len(treatments) for treatments in asked] == sizes


def test_names_are_short_and_distinct():
    """Values that look alike, or are too long to show, get a number."""
    search = GridSearch({"f": [1.00001, 1.00002, len, "x" * 100, np.zeros(3).tolist()]}, LOWEST)
    search.trials_left = 9
    assert [t.name for t in search.ask()] == ["f=1", "f=1 #1", "f=len", "trial_3", "f=[0.0, 0.0, 0.0]"]


def test_of_several_metrics_the_first_counts():
    """The next one breaks ties; the Pareto front is there for those who want to choose."""

    @pipeline_step()
    def pair(data, ctx, *, point):
        return data, {"loss": point[0], "gain": point[1]}

    points = [(1, 2), (0, 1), (0, 3), (2, 9), (2, 8)]
    search = GridSearch({"point": points}, Objective(["loss", "gain"], ["minimize", "maximize"]))
    assert Experiment(0, [pair]).optimize(search, num_trials=5).payload == {"point": (0, 3)}
    assert [t.payload["point"] for t in search.pareto_front()] == [(0, 3), (2, 9)]


@pytest.mark.parametrize(
    "source",
    [
        [1, 2, 3],
        stats.uniform(1, 2),
        stats.randint(1, 4),
        lambda rng: rng.uniform(1, 3),
        lambda rng: np.float64(rng.uniform(1, 3)),
        np.linspace(1, 3, 7),
    ],
    ids=["list", "scipy", "discrete", "numpy", "numpy scalar", "array"],
)
def test_random_search_draws_from_distributions(source):
    """Lists, scipy's, and functions of a numpy generator, as plain Python numbers."""
    search = RandomSearch({"delta": source}, LOWEST, seed=3)
    search.trials_left = 20
    drawn = [treatment.payload["delta"] for treatment in search.ask()]
    assert {type(value) for value in drawn} <= {int, float}
    assert all(1 <= value <= 3 for value in drawn)
    assert len({*drawn}) > 2


def test_scipys_newer_distributions_can_be_drawn_from():
    """They are sampled with the search's generator."""
    if not hasattr(stats, "Uniform"):
        pytest.skip("this scipy has none")
    search = RandomSearch({"delta": stats.Uniform(a=1.0, b=2.0)}, LOWEST)
    assert 1 <= search.ask()[0].payload["delta"] <= 2


def test_draws_depend_on_the_searchs_seed_alone():
    """Not on batches, not on the global generators, not on the experiment's seed."""

    def drawn(seed, batch_size, root):
        search = RandomSearch(
            {"delta": stats.norm(), "other": [1, 2]}, LOWEST, seed=seed, batch_size=batch_size
        )
        random.seed(root)
        np.random.seed(root)  # noqa: NPY002 - what is shown not to matter
        with pytest.warns(CrystallizeWarning, match="sets 'other'"):
            Experiment(0, [measure], [SeedPlugin(root)]).optimize(search, num_trials=4)
        return [trial.treatment.payload for trial in search.trials]

    assert drawn(1, None, 1) == drawn(1, 1, 2) == drawn(1, 3, 3)
    assert drawn(1, None, 1) != drawn(2, None, 1)


def test_random_search_finds_the_lowest():
    """Its best is the lowest of what it told."""
    search = RandomSearch({"delta": stats.uniform(0, 100)}, Objective("delta", "minimize"))
    best = Experiment(0, [measure]).optimize(search, num_trials=30)
    assert best.payload["delta"] == min(trial.values["delta"] for trial in search.trials) < 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GridSearch({"a": []}, LOWEST), "key 'a' has no values to try"),
        (lambda: GridSearch({"a": 3}, LOWEST), "key 'a' has values 3; give a list"),
        (lambda: GridSearch({"a": "abc"}, LOWEST), "key 'a' has values 'abc'"),
        (lambda: GridSearch({}, LOWEST), "grid is {}"),
        (lambda: GridSearch([1], LOWEST), r"grid is \[1\]"),
        (lambda: GridSearch({1: [1]}, LOWEST), "grid has key 1"),
        (lambda: GridSearch({"a": [1]}, LOWEST, batch_size=0), "batch_size is 0"),
        (lambda: GridSearch({"a": [1]}, "x"), "objective is 'x'"),
        (lambda: RandomSearch({"a": 3}, LOWEST), "key 'a' can't be drawn from 3"),
        (lambda: RandomSearch({"a": []}, LOWEST), "key 'a' has no values to try"),
        (lambda: RandomSearch({"a": [1]}, LOWEST, seed=-1), "seed is -1"),
    ],
)
def test_spaces_without_sense_are_refused(make, message):
    """When the search is made."""
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_search_that_was_told_nothing_has_no_best():
    """It says how many trials it was told."""
    with pytest.raises(OptimizationError, match="0 trials were told"):
        GridSearch({"a": [1]}, LOWEST).get_best_treatment()


# Optuna.


@pytest.fixture
def optuna():
    """Optuna, silent."""
    module = pytest.importorskip("optuna")
    module.logging.set_verbosity(module.logging.ERROR)
    return module


def test_without_optuna_the_error_names_the_extra(monkeypatch):
    """It is imported where it is used."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pytest-crystallize\[optuna\]'"):
        OptunaOptimizer({"delta": [1]}, LOWEST)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_optuna_says_what_to_try(optuna, batch_size):
    """From distributions and lists; failed trials are known as such to the study."""
    space = {"delta": optuna.distributions.FloatDistribution(-3, 3), "kind": ["good", "fails"]}

    @pipeline_step()
    def parabola(data, ctx, *, delta, kind):
        return data, {"x": delta**2 if kind == "good" else math.nan}

    optimizer = OptunaOptimizer(space, LOWEST, batch_size=batch_size)
    best = Experiment(0, [parabola]).optimize(optimizer, num_trials=30)
    states = [trial.state.name for trial in optimizer.study.trials]
    assert len(states) == 30
    assert {*states} == {"COMPLETE", "FAIL"}
    assert best.payload == optimizer.study.best_params
    assert abs(best.payload["delta"]) < 1
    assert best.payload["kind"] == "good"


def test_optuna_repeats_itself(optuna):
    """Its default sampler is seeded."""
    found = [
        Experiment(0, [measure]).optimize(
            OptunaOptimizer({"delta": optuna.distributions.FloatDistribution(0, 1)}, LOWEST), num_trials=12
        )
        for _ in range(2)
    ]
    assert found[0].payload == found[1].payload


def test_a_study_is_defined_by_running_it_and_goes_on(optuna):
    """A function of the trial, sampler, storage and name are passed through; a later process goes on."""
    storage = optuna.storages.InMemoryStorage()

    def space(trial):
        return {"delta": 2 * trial.suggest_float("half", 0, 1)}

    def optimizer():
        return OptunaOptimizer(
            space,
            Objective("delta", "minimize"),
            sampler=optuna.samplers.RandomSampler(seed=1),
            storage=storage,
            study_name="deltas",
            load_if_exists=True,
        )

    first = optimizer()
    best = Experiment(0, [measure]).optimize(first, num_trials=5)
    assert isinstance(first.study.sampler, optuna.samplers.RandomSampler)
    assert best.payload == {"delta": 2 * first.study.best_params["half"]}
    again = optimizer()
    assert again.get_best_treatment().payload == best.payload
    Experiment(0, [measure]).optimize(again, num_trials=2)
    assert len(again.study.trials) == 7


def test_a_study_may_have_several_objectives(optuna):
    """Directions are those of the objective; the first metric says which is the best."""

    @pipeline_step()
    def pair(data, ctx, *, a, b):
        return data, {"loss": a, "gain": b}

    optimizer = OptunaOptimizer(
        {"a": [0, 1], "b": [0, 1]}, Objective(["loss", "gain"], ["minimize", "maximize"]), batch_size=10
    )
    best = Experiment(0, [pair]).optimize(optimizer, num_trials=20)
    assert [direction.name for direction in optimizer.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert best.payload == {"a": 0, "b": 1}


def test_an_optuna_space_without_sense_is_refused(optuna):
    """As those of the other searches are."""
    with pytest.raises(DefinitionError, match="key 'delta' has values 3"):
        OptunaOptimizer({"delta": 3}, LOWEST)
    with pytest.raises(DefinitionError, match="return a mapping of context keys"):
        OptunaOptimizer(lambda trial: 3, LOWEST).ask()
    with pytest.raises(OptimizationError, match="has no trial that succeeded"):
        OptunaOptimizer({"delta": [1]}, LOWEST).get_best_treatment()
