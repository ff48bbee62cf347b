"""Steps."""

import doctest
import pickle
import random
import threading

import numpy as np
import pytest

from crystallize import (
    Experiment,
    FrozenContext,
    Pipeline,
    PipelineStep,
    Treatment,
    data_source,
    exit_step,
    pipeline_step,
)
from crystallize.declare import pipeline_step as module
from crystallize.declare.pipeline_step import as_step
from crystallize.errors import DefinitionError, StepParameterError


@pipeline_step()
def scale(data, ctx, factor=1, *, offset=0):
    """Scale."""
    return [x * factor + offset for x in data]


class Add(PipelineStep):
    def __init__(self, amount=1):
        self.amount = amount
        self._hidden = 0

    def __call__(self, data, ctx):
        return [x + self.amount for x in data]


def test_parameters_are_given_or_come_from_the_context_or_have_defaults():
    """In this order."""
    assert scale()([1, 2], FrozenContext()) == [1, 2]
    assert scale()([1, 2], FrozenContext({"factor": 3, "offset": 1})) == [4, 7]
    assert scale(factor=2)([1, 2], FrozenContext({"factor": 3})) == [2, 4]


def test_unknown_parameters_are_named_when_the_step_is_made():
    """The error names step and parameter, and lists those there are."""
    with pytest.raises(
        StepParameterError, match=r"step 'scale' has no parameter 'fcator'; .* 'factor', 'offset'"
    ):
        scale(fcator=2)
    with pytest.raises(TypeError, match="its parameters are none"):
        pipeline_step()(lambda data, ctx: data)(depth=1)


def test_missing_parameters_are_named_when_the_step_runs():
    """The error names step and parameter, and says how to give it."""

    @pipeline_step()
    def fit(data, ctx, *, model):
        return data

    with pytest.raises(
        StepParameterError, match=r"step 'fit' needs parameter 'model': give it as fit\(model=...\), or"
    ):
        fit()(0, FrozenContext())


def test_every_run_gets_parameters_of_its_own():
    """An estimator given as a parameter is not trained on by one run after the other."""

    @pipeline_step()
    def train(data, ctx, *, model, grid, lock):
        model.append(data)
        assert not grid.flags.writeable
        return len(model), lock

    given, lock = [], threading.Lock()
    step = train(model=given, grid=np.zeros(2), lock=lock)
    given.append("later")
    assert step(1, FrozenContext()) == step(2, FrozenContext()) == (1, lock)
    assert step.params["model"] == []


def test_a_generator_given_as_a_parameter_starts_anew_in_every_run():
    """Who runs first does not decide who draws which numbers."""

    @pipeline_step()
    def noise(data, ctx, *, rng, old):
        return rng.random(), old.random()

    step = noise(rng=np.random.default_rng(1), old=random.Random(1))
    assert step(0, FrozenContext()) == step(0, FrozenContext())


@pytest.mark.parametrize(
    ("output", "data", "metrics"),
    [
        ((1, {"m": 2}), 1, {"m": 2}),
        ((1, {}), 1, {}),
        ((1, 2), (1, 2), {}),
        ((1, {"m": 2}, 3), (1, {"m": 2}, 3), {}),
        ([1, {"m": 2}], [1, {"m": 2}], {}),
        ({"m": 2}, {"m": 2}, {}),
        (None, None, {}),
    ],
)
def test_a_pair_with_a_mapping_is_data_and_metrics(output, data, metrics):
    """Everything else is data."""
    ctx = FrozenContext()
    assert Pipeline([pipeline_step(lambda _: output)]).run(None, ctx) == data
    assert {entry.name: entry.value for entry in ctx.metrics.entries} == metrics


def test_every_spelling_of_a_step_is_accepted():
    """A step, its factory, a class that needs no arguments."""
    for spelling in (scale, scale(), Add, Add(2)):
        assert isinstance(as_step(spelling), PipelineStep)
    assert as_step(Add)([1], FrozenContext()) == [2]


def test_a_function_without_decorator_is_no_step():
    """The error says which decorator to use."""

    def run_game(config, ctx):
        return config

    with pytest.raises(DefinitionError, match=r"decorate run_game with @pipeline_step\(\), or subclass"):
        as_step(run_game)
    with pytest.raises(DefinitionError, match="3 is not a pipeline step"):
        as_step(3)
    message = r"step 'short' takes 0 positional arguments; it is called with \(data\), or with \(data, ctx\)"
    with pytest.raises(DefinitionError, match=message):

        @pipeline_step()
        def short(*, data):
            return data


def test_a_step_may_take_no_context():
    """Its parameters are filled all the same; a second one without default is the context."""

    @pipeline_step()
    def scaled(data, *, factor=2):
        return data * factor

    @pipeline_step()
    def shifted(data, by=1):
        return data + by

    @pipeline_step()
    def told(data, context=None):
        return data, {"by": context.get("by")}

    experiment = Experiment(
        1, [scaled, shifted(), told], treatments=[Treatment("other", {"factor": 5, "by": 7})], replicates=1
    )
    assert experiment.apply() == 3
    assert experiment.apply("other") == 12
    assert experiment.run().metrics.treatments["other"]["by"] == [7]


def test_exit_step_marks_a_copy():
    """The step that was given stays as it is, and does the same."""
    step = scale(factor=2)
    marked = exit_step(step)
    assert (marked.is_exit, step.is_exit) == (True, False)
    assert marked([1], FrozenContext()) == [2]
    assert exit_step(Add).is_exit
    assert exit_step(scale).name == "scale"
    assert pickle.loads(pickle.dumps(marked)).is_exit


def test_run_goes_on_behind_an_exit_step():
    """Only a single pass stops there."""
    result = Experiment([1], [exit_step(scale), Add(1), total]).run()
    assert result.metrics.baseline["total"] == [2]


@pipeline_step()
def total(data, ctx):
    return data, {"total": sum(data)}


def test_names_and_parameters_are_those_of_the_declaration():
    """They are what traces and provenance show."""
    assert (scale().name, scale.__doc__) == ("scale", "Scale.")
    assert repr(scale(factor=2)) == "scale(factor=2)"
    assert repr(data_source(lambda ctx, *, size=3: size)(size=4)) == "<lambda>(size=4)"
    assert (Add(3).name, Add(3).params) == ("Add", {"amount": 3})
    assert exit_step(Add(3)).params == {"amount": 3}


def test_a_step_must_be_callable():
    """A subclass without `__call__` can't be made."""
    with pytest.raises(TypeError, match="abstract"):
        PipelineStep()


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert doctest.testmod(module).failed == 0


def test_with_and_without_parentheses():
    """A step is decorated as a data source is: parentheses are for options."""

    @pipeline_step
    def scale(data, ctx, *, factor=1):
        return data * factor

    assert scale(factor=3)(2, FrozenContext()) == 6


def test_a_context_is_not_iterated_over():
    """Its keys are not 0, 1, ...: whoever iterates is told, rather than that key 0 is missing."""
    with pytest.raises(TypeError, match="'FrozenContext' object is not iterable"):
        list(FrozenContext({"a": 1}))
