"""Treatments."""

import copy
import doctest
import pickle
import subprocess
import sys
import threading

import pytest

from crystallize import (
    Artifact,
    Experiment,
    FrozenContext,
    ParallelExecution,
    Treatment,
    data_source,
    pipeline_step,
    treatment,
)
from crystallize.declare import treatment as module
from crystallize.declare.treatment import BASELINE
from crystallize.errors import ContextMutationError, ContextValueError, DefinitionError


def add_delta(ctx):
    ctx.add("delta", 10.0)


@treatment("decorated")
def decorated(ctx):
    ctx["delta"] = 10.0


@pytest.mark.parametrize(
    "spelled",
    [
        treatment("t", {"delta": 10.0}),
        treatment("t", {"delta": 10.0})(),
        treatment("t", add_delta),
        decorated,
        decorated(),
        Treatment("t", {"delta": 10.0}),
        Treatment("t", add_delta),
        Treatment(name="t", apply={"delta": 10.0}),
        Treatment(name="t", apply=add_delta),
        Treatment(name="t", apply_fn=add_delta),
        Treatment(name="t", apply_fn=lambda ctx: ctx.__setitem__("delta", 10.0)),
    ],
)
def test_every_spelling_adds_its_keys(spelled):
    """A mapping or a function, as `apply` or `apply_fn`, called or not."""
    ctx = FrozenContext({"other": 1})
    spelled.apply(ctx)
    assert ctx.as_dict() == {"other": 1, "delta": 10.0}
    assert spelled() is spelled


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((BASELINE, {}), {}, "can't be named 'baseline'"),
        (("", {}), {}, "named ''; a name is a non-empty string"),
        ((3, {}), {}, "named 3"),
        (("t",), {}, "treatment 't' needs one change.*neither given"),
        (("t", {}), {"apply_fn": add_delta}, "both given"),
        (("t", 3), {}, "treatment 't' changes the context by 3; give a mapping"),
    ],
)
def test_a_treatment_that_makes_no_sense_is_refused(arguments, options, message):
    """The error names the treatment and says what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        Treatment(*arguments, **options)


@pytest.mark.parametrize("name", [{"delta": 1}, "", "baseline", lambda ctx: ctx.add("delta", 1)])
def test_a_decorator_without_a_name_is_refused_where_it_stands(name):
    """`treatment({...})` and `@treatment` were functions, which an experiment refused later, nameless."""
    with pytest.raises(DefinitionError, match=r"a treatment (is|can't be) named"):
        treatment(name)


def test_values_that_can_not_be_copied_are_refused():
    """As in the context."""
    with pytest.raises(ContextValueError, match="'handle' can't be kept immutable"):
        Treatment("t", {"handle": threading.Lock()})


def test_a_payload_is_a_snapshot():
    """Changing the mapping afterwards, or a value in a run, changes no other run."""
    payload = {"layers": [1]}
    changed = Treatment("t", payload)
    payload["layers"].append(2)
    payload["more"] = 1
    for _ in range(2):
        ctx = FrozenContext()
        changed.apply(ctx)
        assert ctx.as_dict() == {"layers": [1]}
        ctx["layers"].append(3)


def test_existing_keys_are_never_replaced():
    """Neither by a mapping nor by a function."""
    for change in ({"delta": 1}, add_delta):
        with pytest.raises(ContextMutationError, match="'delta' is 0 and can't be replaced"):
            Treatment("t", change).apply(FrozenContext({"delta": 0}))


def test_a_function_that_returns_its_change_is_told_so():
    """A mapping that it returns would have no effect, and the treatment would be the baseline."""
    with pytest.raises(DefinitionError, match=r"treatment 't' returned {'delta': 1}, which has no effect"):
        Treatment("t", lambda ctx: {"delta": 1}).apply(FrozenContext())
    Treatment("t", lambda ctx: ctx).apply(FrozenContext())


def test_a_collision_with_initial_ctx_is_found_at_construction():
    """Also if treatments are set later or given to `run`; the error names treatment, key and value."""

    @pipeline_step()
    def step(data, ctx, *, delta):
        return data, {"delta": delta}

    clash = Treatment("boost", {"delta": 1})
    message = "treatment 'boost' sets key 'delta', which initial_ctx holds already as 0"
    with pytest.raises(DefinitionError, match=message):
        Experiment(0, [step], initial_ctx={"delta": 0}, treatments=[clash])
    experiment = Experiment(0, [step], initial_ctx={"delta": 0})
    with pytest.raises(DefinitionError, match=message):
        experiment.treatments = [clash]
    with pytest.raises(DefinitionError, match=message):
        experiment.run(treatments=[clash])
    assert experiment.treatments == ()


def test_a_treatment_draws_from_a_stream_of_its_own():
    """What it draws is not what the data source draws next."""

    @pipeline_step()
    def step(data, ctx, *, delta=None):
        return data, {"data": data, "delta": delta}

    drawn = Treatment("drawn", lambda ctx: ctx.add("delta", ctx.rng.random()))
    result = Experiment(lambda ctx: ctx.rng.random(), [step], treatments=[drawn], replicates=2).run()
    treated = result.metrics.treatments["drawn"]
    assert treated["data"] == result.metrics.baseline["data"]
    assert not set(treated["data"]) & set(treated["delta"])


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert doctest.testmod(module).failed == 0


def test_decorated_treatment_is_pickled_by_name():
    """One that took its function's name can be sent to another process; a copy is another one still."""
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    for copied in (copy.copy, copy.deepcopy):
        changed = copied(decorated)
        changed.name = "other"
        assert (decorated.name, changed.function) == ("decorated", decorated.function)


def test_decorated_treatments_of_the_script_are_sent_with_their_functions():
    """Another process has another script, and makes them again."""
    pytest.importorskip("cloudpickle")
    code = (
        "import sys; from crystallize import treatment\n"
        "from crystallize.engines.payload import portable_dumps\n"
        "@treatment('more')\n"
        "def more(ctx): ctx.add('delta', 2.0)\n"
        "sys.stdout.buffer.write(portable_dumps()(more))"
    )
    sent = pickle.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    ctx = FrozenContext()
    sent.apply(ctx)
    assert (sent.name, ctx["delta"]) == ("more", 2.0)


@data_source
def few(ctx, *, n=2):
    return [1.0] * n


@data_source
def many():
    return [1.0] * 5


@pipeline_step()
def total(data):
    return data, {"total": sum(data)}


def test_a_treatment_may_be_another_data_source():
    """Called or not; the baseline keeps the experiment's, and given data replace both."""
    treatments = [Treatment("more", few(n=4)), Treatment("many", many)]
    experiment = Experiment(few, [total], treatments=treatments, replicates=2)
    metrics = experiment.run().metrics
    assert metrics.baseline["total"] == [2.0, 2.0]
    assert metrics.treatments["more"]["total"] == [4.0, 4.0]
    assert metrics.treatments["many"]["total"] == [5.0, 5.0]
    assert experiment.apply("many") == [1.0] * 5
    assert experiment.apply("many", data=[7.0]) == [7.0]


def test_a_data_source_as_treatment_travels_to_processes():
    """It is a part of the plan like any other."""
    parallel = [ParallelExecution(2, executor_type="process")]
    made = Experiment(few, [total], parallel, treatments=[Treatment("many", many)], replicates=3).run()
    assert made.metrics.treatments["many"]["total"] == [5.0] * 3


def test_an_asynchronous_data_source_as_treatment_is_awaited():
    """Also where nothing else in the experiment is asynchronous."""

    @data_source
    async def later():
        return [3.0]

    made = Experiment(few, [total], treatments=[Treatment("later", later)], replicates=1).run()
    assert made.metrics.treatments["later"]["total"] == [3.0]


def test_a_treatment_that_fetches_an_artifact_is_refused():
    """Which experiment wrote it could not be told."""
    with pytest.raises(
        DefinitionError, match=r"treatment 't' fetches artifact 'a.json'; only the data source"
    ):
        Treatment("t", Artifact.json("a.json"))
    with pytest.raises(DefinitionError, match=r"returned .*decorate it with @data_source"):
        Treatment("t", lambda ctx: [1]).apply(FrozenContext())
