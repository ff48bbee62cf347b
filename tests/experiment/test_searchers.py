"""Searchers with the methods of Ray Tune's as optimizers."""

import math

import numpy as np
import pytest

from crystallize import Experiment, Objective, SearcherOptimizer, pipeline_step
from crystallize.errors import DefinitionError, OptimizationError

LOWEST = Objective("x", "minimize")


@pipeline_step()
def parabola(data, *, delta, shift=1.0, inner=None):
    if delta > 90:
        raise ValueError("too far")
    return data, {"x": (delta - shift) ** 2, "y": delta}


class Searcher:
    """A searcher that suggests what it was given, and notes all calls."""

    def __init__(self, suggestions, *, metric=None, mode=None, takes_space=True):
        self.suggestions, self.metric, self.mode = list(suggestions), metric, mode
        self.takes_space, self.calls = takes_space, []

    def set_search_properties(self, metric, mode, config, **spec):
        self.calls.append(("set", metric, mode, config))
        return self.takes_space

    def suggest(self, trial_id):
        self.calls.append(("suggest", trial_id))
        return self.suggestions.pop(0)

    def on_trial_result(self, trial_id, result):
        self.calls.append(("result", trial_id, result))

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.calls.append(("complete", trial_id, result, error))


def test_a_searcher_is_asked_and_told_as_ray_does():
    """What it is after and where, each trial by an id, its result and its end; of a failed one its error."""
    searcher = Searcher([{"delta": np.float64(3.0)}, {"delta": 99.0}, "FINISHED"])
    optimizer = SearcherOptimizer(searcher, LOWEST, space={"delta": "a distribution", "shift": 2.0})
    best = Experiment(0, [parabola]).optimize(optimizer, num_trials=10, replicates_per_trial=2)
    told = {"x": 1.0, "trial_id": "trial_0", "training_iteration": 1}
    assert searcher.calls == [
        ("set", "x", "min", {"delta": "a distribution", "shift": 2.0}),
        ("suggest", "trial_0"),
        ("result", "trial_0", {**told, "done": False}),
        ("complete", "trial_0", {**told, "done": True}, False),
        ("suggest", "trial_1"),
        ("complete", "trial_1", None, True),
        ("suggest", "trial_2"),
    ]
    assert best.payload == {"delta": 3.0, "shift": 2.0}
    assert type(best.payload["delta"]) is float
    assert [trial.failed for trial in optimizer.trials] == [False, True]


def test_batches_end_where_a_searcher_has_nothing_now():
    """It is told of what runs before it is asked again; never for more trials than are wanted."""
    searcher = Searcher([{"delta": 3.0}, {"delta": 2.0}, None, {"delta": 1.5}, {"delta": 0.0}])
    optimizer = SearcherOptimizer(searcher, LOWEST, batch_size=3)
    best = Experiment(0, [parabola]).optimize(optimizer, num_trials=3)
    assert best.payload == {"delta": 1.5}
    assert [call[:2] for call in searcher.calls if call[0] in ("suggest", "complete")] == [
        ("suggest", "trial_0"),
        ("suggest", "trial_1"),
        ("suggest", "trial_2"),
        ("complete", "trial_0"),
        ("complete", "trial_1"),
        ("suggest", "trial_2"),
        ("complete", "trial_2"),
    ]


def test_two_methods_are_enough_and_several_metrics_have_their_modes():
    """A searcher needs neither results nor properties; nested values are merged with those of the space."""

    class Least:
        def suggest(self, trial_id):
            return {"delta": float(trial_id[-1]), "inner": {"b": 2}}

        def on_trial_complete(self, trial_id, result=None, error=False):
            pass

    pair = Objective(["x", "y"], ["minimize", "maximize"])
    best = Experiment(0, [parabola]).optimize(SearcherOptimizer(Least(), pair), num_trials=4)
    assert best.payload == {"delta": 1.0, "inner": {"b": 2}}
    searcher = Searcher([{"delta": 1.0, "inner": {"b": 2}}])
    optimizer = SearcherOptimizer(searcher, pair, space={"inner": {"a": 1, "b": "?"}, "delta": "?"})
    assert optimizer.ask()[0].payload == {"delta": 1.0, "inner": {"a": 1, "b": 2}}
    assert searcher.calls[0][:3] == ("set", ["x", "y"], ["min", "max"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearcherOptimizer(object(), LOWEST), r"is no searcher: it has no suggest\(\)"),
        (lambda: SearcherOptimizer(Searcher, LOWEST), "is no searcher: it is a class; call it"),
        (
            lambda: SearcherOptimizer(Searcher([], metric="loss"), LOWEST),
            "Searcher has metric='loss', and the objective says 'x'",
        ),
        (
            lambda: SearcherOptimizer(Searcher([], metric="x", mode="max"), LOWEST),
            "Searcher has mode='max', and the objective says 'min'",
        ),
        (
            lambda: SearcherOptimizer(Searcher([], takes_space=False), LOWEST, space={"delta": 1}),
            "Searcher takes no space=",
        ),
        (lambda: SearcherOptimizer(Searcher([]), LOWEST, space={}), "space is {}"),
        (lambda: SearcherOptimizer(Searcher([]), LOWEST, batch_size=0), "batch_size is 0"),
        (lambda: SearcherOptimizer(Searcher([3]), LOWEST).ask(), r"Searcher.suggest returned 3; it returns"),
    ],
)
def test_searchers_without_sense_are_refused(make, message):
    """When the optimizer is made, or by what they suggest."""
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_searcher_that_suggests_nothing_has_no_best():
    """Nothing was tried."""
    with pytest.raises(OptimizationError, match="0 trials were told"):
        Experiment(0, [parabola]).optimize(SearcherOptimizer(Searcher([None]), LOWEST), num_trials=3)


def test_a_trial_without_a_finite_value_has_failed():
    """Its searcher is told an error, never nan or infinity."""
    searcher = Searcher([{"delta": 1.0}])
    optimizer = SearcherOptimizer(searcher, LOWEST)
    optimizer.ask()
    optimizer.tell({"x": math.inf})
    assert searcher.calls[-1] == ("complete", "trial_0", None, True)
