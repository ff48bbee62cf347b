"""Parameters filled from the context, and resources."""

import copy
import doctest
import functools
import gc
import os
import pickle
import random
import threading

import numpy as np
import pytest

from crystallize import (
    Experiment,
    FrozenContext,
    ParallelExecution,
    Treatment,
    data_source,
    inject_from_ctx,
    pipeline_step,
    resource_factory,
)
from crystallize.context.context import journal_of
from crystallize.declare import functions, resources
from crystallize.declare.functions import Parameters
from crystallize.errors import ContextMutationError, DefinitionError, StepParameterError


@data_source
def module_level(ctx):
    return 1


@resource_factory
def own_process(ctx):
    return os.getpid()


@pipeline_step()
def who(data, ctx, *, process=own_process):
    return data, {"owner": process, "runner": os.getpid()}


def fill(function, given=None, leading=(), **values):
    return Parameters(function, leading, "step").fill(given or {}, FrozenContext(values))


def test_a_call_is_filled_in_order():
    """Given ones come first, then the context's, then defaults."""

    def function(a, b=2, *, c=3):
        pass

    assert fill(function, {"a": 1}) == {"a": 1, "b": 2, "c": 3}
    assert fill(function, {"b": 0}, a=5, b=6, c=7) == {"a": 5, "b": 0, "c": 7}
    assert fill(function, a=None, c=None) == {"a": None, "b": 2, "c": None}


def test_what_was_given_is_not_looked_up():
    """The trace says what a call depends on, and nothing else; an absent parameter is a read too."""

    def function(a, b=2):
        pass

    ctx = FrozenContext({"a": 1})
    journal_of(ctx).enter("step", 1)
    Parameters(function, (), "step").fill({"a": 3}, ctx)
    assert (ctx.scopes[0].reads, ctx.scopes[0].absent) == ({}, ["b"])


def test_defaults_are_copied_for_every_call():
    """A mutable default does not carry anything from one run into another."""

    def function(log=[], *, grid=np.zeros(2), lock=threading.Lock()):  # noqa: B006, B008
        pass

    first, second = fill(function), fill(function)
    first["log"].append(1)
    assert second["log"] == fill(function)["log"] == []
    assert not first["grid"].flags.writeable
    assert first["lock"] is second["lock"]


def test_leading_parameters_are_not_filled():
    """They are given by position, whatever they are called."""

    def function(numbers, context, depth=1):
        pass

    assert fill(function, leading=("data", "ctx"), numbers=3, context=4) == {"depth": 1}


def test_open_parameters_take_anything():
    """With ``**options`` no name is unknown."""
    Parameters(lambda data, ctx, **options: None, ("data", "ctx"), "step").check({"anything": 1})


def test_inject_from_ctx_fills_what_a_call_leaves_out():
    """The context is found among the positional arguments."""

    @inject_from_ctx
    def area(ctx, width, *, height=1):
        return width * height

    ctx = FrozenContext({"width": 3, "height": 2})
    assert area(ctx) == 6
    assert area(ctx, 5) == 10
    assert area(ctx, height=4) == 12
    assert area.__name__ == "area"


def test_inject_from_ctx_names_what_is_wrong():
    """No context, an unknown parameter, a missing one."""

    @inject_from_ctx
    def area(ctx, width):
        return width

    with pytest.raises(StepParameterError, match="area is injected from a context, but was given none"):
        area(3)
    with pytest.raises(StepParameterError, match=r"function 'area' has no parameter 'depth'; .* 'width'"):
        area(FrozenContext(), depth=1)
    with pytest.raises(StepParameterError, match="function 'area' needs parameter 'width'"):
        area(FrozenContext())


def test_declared_functions_are_pickled_by_name():
    """As functions are; and copies are the thing itself."""
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert copy.copy(module_level) is copy.deepcopy(module_level) is module_level


def counting(read=lambda ctx: None):
    """Return a resource factory that counts how often it makes something."""
    made = []

    @resource_factory
    def resource(ctx):
        read(ctx)
        made.append(1)
        return object()

    return resource, made


def run(resource, *, replicates=3, execution=(), **treatments):
    @pipeline_step()
    def use(data, ctx, *, handle=resource):
        return data, {"handle": id(handle)}

    experiment = Experiment(
        0,
        [use, use],
        execution,
        initial_ctx={"fixed": 1},
        treatments=[Treatment(name, {"model": value}) for name, value in treatments.items()],
        replicates=replicates,
    )
    return experiment.run()


@pytest.mark.filterwarnings("ignore:treatment")
def test_a_resource_is_made_once():
    """All replicates, conditions and steps of a thread share it, if it reads nothing that differs."""
    resource, made = counting(lambda ctx: ctx["fixed"])
    run(resource, a=1, b=2)
    assert len(made) == 1


@pytest.mark.parametrize("create", [lambda: [[]][0], list, lambda kind=list: kind()])
def test_a_resource_that_needs_no_context_leaves_it_out(create):
    """As steps and data sources do: it failed in each run, since it was given one."""
    factory = resource_factory(create)
    assert factory(FrozenContext({})) == []
    assert factory(FrozenContext({})) is factory(FrozenContext({}))


def without_ctx(function):
    """Decorate what needs no context to be called with one."""

    @functools.wraps(function)
    def of_data(data, ctx):
        return function(data)

    @functools.wraps(function)
    def of_ctx(ctx):
        return function()

    return of_data if function.__code__.co_argcount else of_ctx


def passing_on(function):
    """Decorate what is called with whatever the wrapper is given."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "decorate", [without_ctx, passing_on, functools.cache, lambda function: passing_on(without_ctx(function))]
)
def test_a_wrapper_is_given_what_it_takes_itself(decorate):
    """A wrapper that takes a context was called without one, as the function behind it is."""

    @resource_factory
    @decorate
    def model():
        return 3

    @pipeline_step()
    @decorate
    def scaled(data):
        return 2 * data

    @pipeline_step()
    @passing_on
    def shifted(data, *, by=1, model=model):
        return data + by + model

    assert Experiment(1, [scaled, shifted], replicates=1).apply() == 6


class Loaded:
    def __call__(self, ctx):
        return 3


def of_size(size, ctx):
    return size


@pytest.mark.parametrize(
    ("create", "name"), [(Loaded(), "Loaded"), (functools.partial(of_size, 3), "of_size")]
)
def test_what_has_no_name_is_called_like_what_it_is_made_of(create, name):
    """Each run failed, since a factory without a name was asked for it."""
    factory = resource_factory(create)
    assert factory(FrozenContext({})) == 3
    assert repr(factory) == f"<ResourceFactory {name}>"
    assert pickle.loads(pickle.dumps(factory))(FrozenContext({})) == 3

    @pipeline_step()
    def used(data, *, model=factory):
        return data + model

    assert Experiment(1, [used], replicates=1).apply() == 4


def test_a_treatment_that_the_resource_reads_gets_its_own():
    """A treatment never works with the baseline's resource; an absent key is read too."""
    resource, made = counting(lambda ctx: ctx.get("model", 0))
    result = run(resource, a=1, b=2)
    assert len(made) == 3
    assert {s.name for r in result.records for s in r.scopes if "model" in s.reads} == {"use"}


@pytest.mark.parametrize("ask", [lambda ctx: ctx.seed, lambda ctx: ctx.rng])
def test_a_resource_that_asks_for_randomness_is_made_per_replicate(ask):
    """Otherwise the first replicate's numbers would be everybody's."""
    resource, made = counting(ask)
    run(resource, replicates=5)
    assert len(made) == 5


def test_a_resource_can_not_depend_on_who_is_first():
    """It is told neither the condition nor the replicate."""
    seen = set()
    resource, _ = counting(lambda ctx: seen.add((ctx.condition, ctx.replicate, ctx.get("model"))))
    run(resource, a=1)
    assert seen == {("resource", 0, None), ("resource", 0, 1)}


def test_arrays_that_are_equal_give_the_same_resource():
    """Also if they are not the same object."""
    resource, made = counting(lambda ctx: ctx["grid"])
    for grid in ([1.0, 2.0], [1.0, 2.0], [1.0, 3.0]):
        resource(FrozenContext({"grid": np.array(grid)}))
    resource(FrozenContext({"grid": np.array([1, 2])}))
    assert len(made) == 3


def test_values_that_are_equal_but_not_alike_give_others():
    """1 and True may mean different things to whoever reads them."""
    resource, made = counting(lambda ctx: ctx["model"])
    for value in (1, True, 1.0):
        resource(FrozenContext({"model": value}))
    assert len(made) == 3


@pytest.mark.parametrize(
    "write",
    [
        lambda ctx: ctx.add("x", 1),
        lambda ctx: ctx.record("x", 1),
        lambda ctx: ctx.artifacts.add("x", b""),
    ],
)
def test_a_resource_may_not_write(write):
    """It is made once, so that only the first run would see what it wrote."""
    resource, _ = counting(write)
    with pytest.raises(ContextMutationError, match="resource factory 'resource' wrote to the context"):
        resource(FrozenContext())


def test_making_a_resource_moves_no_global_generator():
    """It draws the same numbers whoever is first, and the run's own numbers stay what they are."""
    drawn = []
    resource, _ = counting(lambda ctx: drawn.append((random.random(), np.random.random())))  # noqa: NPY002
    other, _ = counting(lambda ctx: drawn.append((random.random(), np.random.random())))  # noqa: NPY002
    before = random.getstate()
    resource(FrozenContext())
    random.seed(3)
    expected = random.getstate()
    other(FrozenContext())
    assert random.getstate() == expected
    assert drawn[0] == drawn[1]
    random.setstate(before)


def test_every_thread_has_its_own_resource():
    """A resource need not be safe to share between threads."""
    barrier = threading.Barrier(2, timeout=300)
    resource, made = counting()

    @pipeline_step()
    def use(data, ctx, *, handle=resource):
        barrier.wait()
        return data

    Experiment(0, [use], [ParallelExecution(2)], replicates=2).run()
    assert len(made) == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_every_process_has_its_own_resource():
    """A child does not go on with what its parent had opened."""
    own_process(FrozenContext())
    result = Experiment(0, [who], [ParallelExecution(2, "process")], replicates=4).run()
    metrics = result.metrics.baseline.metrics
    assert metrics["owner"] == metrics["runner"]
    assert os.getpid() not in metrics["owner"]


def test_resources_come_by_every_way_a_parameter_does():
    """In the context, as a step's parameter, as a default, and behind ``**options``."""
    resource, _ = counting()
    expected = resource(FrozenContext())

    @pipeline_step()
    def use(data, ctx, *, handle):
        return handle

    @pipeline_step()
    def open_use(data, ctx, **options):
        return options["handle"]

    assert use()(0, FrozenContext({"handle": resource})) is expected
    assert use(handle=resource)(0, FrozenContext()) is expected
    assert open_use(handle=resource)(0, FrozenContext()) is expected


def test_resources_die_with_their_factory():
    """What no experiment can ask for any more is not kept."""
    gc.collect()  # what other tests have left
    resource, _ = counting()
    resource(FrozenContext())
    known = len(resources._resources.made)
    del resource
    gc.collect()
    assert len(resources._resources.made) == known - 1


def test_only_functions_are_declared():
    """The error shows what was given."""
    with pytest.raises(DefinitionError, match="a function is declared here, not 'model'"):
        resource_factory("model")


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert [doctest.testmod(module).failed for module in (functions, resources)] == [0, 0]
