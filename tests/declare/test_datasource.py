"""Data sources."""

import doctest
import threading

import numpy as np
import pytest

from crystallize import DataSource, Experiment, ExperimentInput, FrozenContext, data_source, pipeline_step
from crystallize.declare import datasource
from crystallize.declare.datasource import as_data_source
from crystallize.errors import DefinitionError, StepParameterError


@data_source
def plain(ctx):
    """Documented."""
    return [1, 2]


@data_source()
def with_parameters(ctx, n=1, *, scale=1.0):
    return [scale] * n


class Numbers(DataSource):
    def __init__(self, n=2):
        self.n = n
        self._cache = None

    def fetch(self, ctx):
        return list(range(self.n))


def fetch(source, **values):
    return as_data_source(source).fetch(FrozenContext(values))


@pytest.mark.parametrize(
    ("spelling", "data"),
    [
        (plain, [1, 2]),
        (plain(), [1, 2]),
        (with_parameters(n=2), [1.0, 1.0]),
        (Numbers, [0, 1]),
        (Numbers(3), [0, 1, 2]),
        (Numbers(3)(), [0, 1, 2]),
        (lambda ctx: ctx.get("key", 7), 7),
        (7, 7),
        (None, None),
        ([1, [2]], [1, [2]]),
    ],
)
def test_every_spelling_is_accepted(spelling, data):
    """A source, its factory or class, with and without parentheses, a function, a constant."""
    assert fetch(spelling) == data


def test_parameters_are_given_or_come_from_the_context_or_have_defaults():
    """In this order."""
    assert fetch(with_parameters) == [1.0]
    assert fetch(with_parameters, n=2, scale=3.0) == [3.0, 3.0]
    assert fetch(with_parameters(n=1), n=2, scale=3.0) == [3.0]


def test_unknown_and_missing_parameters_are_named():
    """The errors name the data source, the parameter, and what there is."""
    with pytest.raises(
        StepParameterError, match=r"data source 'with_parameters' has no parameter 'm'; .* 'n', 'scale'"
    ):
        with_parameters(m=1)

    @data_source
    def needy(ctx, path):
        return path

    with pytest.raises(
        StepParameterError, match=r"data source 'needy' needs parameter 'path': .*needy\(path"
    ):
        fetch(needy)
    assert issubclass(StepParameterError, TypeError)


def test_every_run_gets_a_constant_of_its_own():
    """What one condition does to the data reaches no other; an array is a read-only view."""
    given = [1, [2]]
    source = as_data_source(given)
    given.append(3)
    source.fetch(FrozenContext())[1].append(4)
    assert source.fetch(FrozenContext()) == [1, [2]]
    with pytest.raises(ValueError, match="read-only"):
        as_data_source(np.zeros(2)).fetch(FrozenContext())[0] = 1


def test_every_run_gets_parameters_of_its_own():
    """A list given as a parameter is a snapshot, copied for each run."""

    @data_source
    def growing(ctx, items):
        items.append(1)
        return items

    given = [0]
    source = growing(items=given)
    given.append(9)
    assert source.fetch(FrozenContext()) == source.fetch(FrozenContext()) == [0, 1]
    assert source.params == {"items": [0]}


def test_a_constant_that_can_not_be_copied_is_refused():
    """The error says to give a function."""
    with pytest.raises(DefinitionError, match=r"can't be a constant: .*lock.*; give a function"):
        as_data_source(threading.Lock())
    endless = []
    endless.append(endless)
    with pytest.raises(DefinitionError, match="contains itself"):
        as_data_source(endless)


def test_a_source_may_take_no_context():
    """Whether it is decorated or given as it is; its parameters are filled all the same."""

    @data_source
    def numbers(*, n=2):
        return [0] * n

    assert numbers().fetch(FrozenContext({"n": 3})) == [0, 0, 0]
    assert numbers(n=1).fetch(FrozenContext()) == [0]
    assert as_data_source(lambda: 1).fetch(FrozenContext()) == 1


def test_what_is_no_function_is_no_source():
    """The error shows what was given."""
    with pytest.raises(DefinitionError, match="a function is declared here, not 3"):
        data_source(3)


def test_names_and_parameters_are_those_of_the_declaration():
    """They are what traces and provenance show."""
    assert (plain().name, plain.__doc__, plain.__name__) == ("plain", "Documented.", "plain")
    assert with_parameters(n=2).params == {"n": 2}
    assert (Numbers().name, Numbers(4).params) == ("Numbers", {"n": 4})
    assert as_data_source(3).name == "constant"


def test_fetch_is_required():
    """A data source without it can't be made."""
    with pytest.raises(TypeError, match="abstract"):
        DataSource()


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert doctest.testmod(datasource).failed == 0


@data_source
def noise(ctx):
    return float(ctx.rng.normal())


@pipeline_step()
def record(data, ctx):
    return data, {"data": data}


def inputs(**sources):
    return Experiment(ExperimentInput(**sources), [record]).run()


def test_named_sources_are_fetched_into_a_dictionary():
    """Every spelling of a source; each is traced, and fails, under its name."""
    result = inputs(a=plain, b=with_parameters(n=2), c=Numbers, d=lambda ctx: ctx.replicate, e="text")
    assert result.metrics.baseline["data"] == [
        {"a": [1, 2], "b": [1.0, 1.0], "c": [0, 1], "d": 0, "e": "text"}
    ]
    (error,) = inputs(a=1, b=lambda ctx: 1 / 0).errors
    assert error.step == "ExperimentInput.b"


def test_named_sources_have_random_numbers_of_their_own():
    """They depend on the name, and on no other source."""
    (both,) = inputs(a=noise, b=noise).metrics.baseline["data"]
    assert both["a"] != both["b"]
    (more,) = inputs(c=noise, b=noise, a=noise).metrics.baseline["data"]
    assert {name: more[name] for name in both} == both


def test_named_sources_may_be_nested():
    """With names inside of names."""
    (data,) = inputs(a=noise, more=ExperimentInput(a=noise, b=2)).metrics.baseline["data"]
    assert data["more"]["b"] == 2
    assert data["a"] != data["more"]["a"]


def test_inputs_need_a_source():
    """By name."""
    with pytest.raises(DefinitionError, match="an ExperimentInput needs a source"):
        ExperimentInput()
    assert ExperimentInput(a=plain, b=3).params == {"a": "plain", "b": "constant"}
