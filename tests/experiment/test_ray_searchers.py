"""Searchers of Ray Tune itself, where it is installed."""

import warnings

import pytest

from crystallize import Experiment, Objective, SearcherOptimizer, pipeline_step

with warnings.catch_warnings(action="ignore"):  # of what Ray imports
    tune = pytest.importorskip("ray.tune")
    search = pytest.importorskip("ray.tune.search")
    hyperopt = pytest.importorskip("ray.tune.search.hyperopt")
    optuna = pytest.importorskip("ray.tune.search.optuna")

pytestmark = pytest.mark.filterwarnings("ignore")
LOWEST = Objective("x", "minimize")


@pipeline_step()
def parabola(data, *, delta, kind="good", shift=1.0):
    if kind == "fails":
        raise ValueError(kind)
    return data, {"x": (delta - shift) ** 2, "y": delta}


SPACE = {"delta": tune.uniform(-3, 3), "kind": tune.choice(["good", "fails"]), "shift": 1.5}


def searchers():
    """Return a searcher of each kind, by name."""
    return {
        "hyperopt": hyperopt.HyperOptSearch(random_state_seed=1, n_initial_points=10),
        "optuna": optuna.OptunaSearch(seed=1),
        "limited": search.ConcurrencyLimiter(optuna.OptunaSearch(seed=1), max_concurrent=2),
    }


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("name", ["hyperopt", "optuna", "limited"])
def test_a_searcher_of_ray_finds_the_lowest(name, batch_size):
    """With a space that it is given, of which one choice fails; twice the same."""
    found = []
    for _ in range(2):
        optimizer = SearcherOptimizer(searchers()[name], LOWEST, space=SPACE, batch_size=batch_size)
        best = Experiment(0, [parabola]).optimize(optimizer, num_trials=40)
        assert len(optimizer.trials) == 40
        found.append([trial.treatment.payload for trial in optimizer.trials])
        assert best.payload["kind"] == "good"
        assert best.payload["shift"] == 1.5
        assert abs(best.payload["delta"] - 1.5) < 0.5
    assert found[0] == found[1]


def test_a_searcher_with_a_space_of_its_own():
    """It needs no other; its metric and mode are those of the objective."""
    space = {"delta": tune.uniform(-3, 3)}
    searcher = hyperopt.HyperOptSearch(space, metric="x", mode="min", random_state_seed=1)
    best = Experiment(0, [parabola]).optimize(SearcherOptimizer(searcher, LOWEST), num_trials=20)
    assert abs(best.payload["delta"] - 1.0) < 1
    with pytest.raises(ValueError, match="takes no space="):
        SearcherOptimizer(searcher, LOWEST, space=SPACE)
    with pytest.raises(ValueError, match="has mode='min', and the objective says 'max'"):
        SearcherOptimizer(searcher, Objective("x", "maximize"))


def test_several_objectives():
    """Optuna's searcher takes a list of them."""
    pair = Objective(["x", "y"], ["minimize", "maximize"])
    searcher = optuna.OptunaSearch({"delta": tune.uniform(-3, 3)}, metric=["x", "y"], mode=["min", "max"])
    best = Experiment(0, [parabola]).optimize(SearcherOptimizer(searcher, pair), num_trials=15)
    assert abs(best.payload["delta"] - 1) < 2
