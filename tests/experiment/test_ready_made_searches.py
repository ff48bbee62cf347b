"""Searches that need no optimizer of one's own: grids, random draws, Optuna."""

import math
import random
import sys

import numpy as np
import pytest
from scipy import stats
from searches import HIGHEST, LOWEST, measure

from crystallize import (
    Experiment,
    GridSearch,
    Objective,
    OptunaOptimizer,
    RandomSearch,
    SeedPlugin,
    pipeline_step,
)
from crystallize.errors import CrystallizeWarning, DefinitionError, MissingExtraError, OptimizationError

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
        (lambda: GridSearch({"a": {"x", "y"}}, LOWEST), "key 'a' has values .* another order"),
        (lambda: RandomSearch({"a": {"x", "y"}}, LOWEST), "key 'a' has values .* another order"),
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
