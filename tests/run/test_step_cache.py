"""Cacheable steps: what they share, and what they do again."""

import decimal
import importlib
import json
import sys

import pytest
from cached_steps import CALLS, facts, noisy, run, same_in_every_mode, scaled, telling, total

from crystallize import (
    Artifact,
    ArtifactPlugin,
    Experiment,
    FrozenContext,
    SeedPlugin,
    Treatment,
    pipeline_step,
    resource_factory,
)
from crystallize.errors import ContextMutationError
from crystallize.run.units import units

pytestmark = pytest.mark.usefixtures("cache")


def test_a_treatment_reaches_a_cacheable_step(calls):
    """What it puts into the context is part of the key as soon as the step reads it."""
    experiment = Experiment([1.0, 2.0], [scaled, total], treatments=[Treatment("double", {"factor": 2.0})])
    for expected in (["scaled"] * 2, []):
        calls.clear()
        result = experiment.run()
        assert result.metrics.baseline["total"] == [3.0]
        assert result.metrics.treatments["double"].metrics["total"] == [6.0]
        assert calls == expected


def test_a_stochastic_step_keeps_one_draw_for_each_replicate(calls):
    """No replicate gets what another one drew."""
    experiment = Experiment([1.0], [noisy, total], replicates=5)
    first = experiment.run().metrics.baseline["total"]
    assert len(set(first)) == 5
    assert experiment.run().metrics.baseline["total"] == first
    assert calls == ["noisy"] * 5
    more = experiment.run(replicates=7).metrics.baseline["total"]
    assert more[:5] == first
    assert len(set(more)) == 7
    assert calls == ["noisy"] * 7


def test_metrics_context_keys_and_artifacts_come_back(calls, tmp_path):
    """Units, order, trace and bytes included, in records, results and files alike."""

    @pipeline_step()
    def reading(data, ctx):
        return data, {"sum": float(ctx["note"]["weights"].sum())}

    experiment = Experiment([1.0], [telling, reading], [ArtifactPlugin(tmp_path / "runs")], replicates=2)
    first, second = experiment.run(), experiment.run()
    assert calls == ["telling"] * 2
    assert [facts(r) for r in first.records] == [facts(r) for r in second.records]
    assert first.digest == second.digest
    entries = [(e.name, e.unit) for e in first.records[0].metrics]
    assert entries == [("case", "a"), ("case", 2), ("seed", None), ("returned", None), ("sum", None)]
    one, other = (result.to_dict()["provenance"]["runs"] for result in (first, second))
    assert [entry | {"seconds": 0} for entry in one] == [entry | {"seconds": 0} for entry in other]
    kept = sorted(path.read_bytes() for path in (tmp_path / "runs").rglob("model.bin"))
    assert kept == [b"\x00\xff"] * 4
    same_in_every_mode(experiment)


# What is shared, and what is not.


def test_a_treatment_that_the_step_does_not_read_shares_its_result(calls):
    """One call serves all conditions that look the same to it."""
    treatments = [Treatment("shift", {"offset": 1.0}), Treatment("double", {"factor": 2.0})]
    experiment = Experiment([1.0], [scaled, total], treatments=treatments, replicates=3)
    experiment.run()
    assert calls == ["scaled"] * 6  # 3 replicates under factor 1 and 2


def test_replicates_share_the_result_of_a_deterministic_step(calls):
    """Its seed is no part of the key."""

    @pipeline_step(cacheable=True, deterministic=True)
    def squared(data, ctx):
        CALLS.info("squared")
        return [x * x for x in data]

    experiment = Experiment([3.0], [squared, total], replicates=4)
    assert experiment.run().metrics.baseline["total"] == [9.0] * 4
    assert calls == ["squared"]


def test_the_same_step_elsewhere_draws_its_own_numbers(calls):
    """The number of the step is part of its seed."""
    experiment = Experiment([0.0], [noisy, noisy, total])
    value = experiment.run().metrics.baseline["total"]
    assert experiment.run().metrics.baseline["total"] == value
    assert calls == ["noisy"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda: Experiment([1.5], [scaled]),
        lambda: Experiment([1.0], [scaled(factor=2.0)]),
        lambda: Experiment([1.0], [scaled], [SeedPlugin(7)]),
        lambda: Experiment([1.0], [scaled], initial_ctx={"factor": 1.0}),
        lambda: Experiment([True], [scaled]),
        lambda: Experiment([1.0], [total, scaled]),
    ],
)
def test_another_input_parameter_seed_key_or_place_is_a_miss(change, calls):
    """Whatever the step depends on."""
    Experiment([1.0], [scaled]).run()
    change().run()
    assert calls == ["scaled"] * 2


def test_absent_keys_count(calls):
    """A key that was looked up in vain and is there later is one that was read."""

    @pipeline_step(cacheable=True)
    def curious(data, ctx):
        CALLS.info("curious")
        return [*data, "extra" in ctx]

    experiment = Experiment([1], [curious], initial_ctx={"other": 1})
    run(experiment)
    run(Experiment([1], [curious], initial_ctx={"other": 2}))
    assert calls == ["curious"]
    run(Experiment([1], [curious], initial_ctx={"extra": None}))
    assert calls == ["curious"] * 2


@pytest.mark.parametrize("look", [lambda ctx: sorted(ctx.as_dict()), repr, lambda ctx: _failing_message(ctx)])
def test_looking_at_all_keys_depends_on_all(look, calls):
    """Also on those that are added later."""

    @pipeline_step(cacheable=True)
    def everything(data, ctx, *, look=look):
        CALLS.info("everything")
        return look(ctx)

    run(Experiment([1], [everything], initial_ctx={"a": 1}))
    run(Experiment([1], [everything], initial_ctx={"a": 1}))
    assert calls == ["everything"]
    run(Experiment([1], [everything], initial_ctx={"a": 1, "b": 1}))
    assert calls == ["everything"] * 2
    same_in_every_mode(Experiment([1], [everything], initial_ctx={"c": [1]}))


def _failing_message(ctx):
    try:
        return ctx["nothing"]
    except KeyError as error:
        return str(error)


def test_a_key_that_a_step_adds_depends_on_its_absence(calls):
    """Where it is there already the step is called, and fails as it would without a cache."""

    @pipeline_step(cacheable=True)
    def adding(data, ctx):
        CALLS.info("adding")
        ctx.add("mine", 1)
        return data

    run(Experiment([1], [adding]))
    records, _ = run(Experiment([1], [adding], initial_ctx={"mine": 2}))
    assert "ContextMutationError" in records[0]
    assert calls == ["adding"] * 2


def test_an_artifact_that_is_there_already_fails_as_without_a_cache():
    """The result of a step of the same name is not used where the step would fail."""

    @pipeline_step(cacheable=True, deterministic=True)
    def keeping(data, ctx):
        ctx.artifacts.add("a", b"1")
        return data

    run(Experiment([1], [keeping]))
    (record,), _ = same_in_every_mode(Experiment([1], [keeping, keeping]))
    assert "was added twice" in record


def test_a_failure_to_add_a_key_depends_on_what_is_there(calls):
    """Also if the step goes on behind it; its message tells the value."""

    @pipeline_step(cacheable=True)
    def trying(data, ctx):
        CALLS.info("trying")
        for change in (lambda: ctx.add("mine", 0), lambda: ctx.__delitem__("other")):
            try:
                change()
            except ContextMutationError as error:
                data = [*data, str(error)]
        return data, {"messages": data}

    outcomes = [
        run(Experiment([1], [trying], initial_ctx=initial))[0][0]
        for initial in ({}, {"mine": 1}, {"mine": 2}, {"mine": 2, "other": 1}, {"mine": 1}, {})
    ]
    assert len(calls) == len(set(outcomes)) == 4
    assert outcomes[4:] == [outcomes[1], outcomes[0]]


def test_classes_that_are_met_in_the_data_count_by_their_code(calls):
    """The step's own code does not name them."""

    def shop(factor):
        class Item:
            def price(self):
                return factor

        return lambda ctx: [Item()]

    @pipeline_step(cacheable=True)
    def pricing(data, ctx):
        CALLS.info("pricing")
        return [float(item.price()) for item in data]

    for factor in (2, 3, 2):
        records, notes = run(Experiment(shop(factor), [pricing, total]))
        assert notes == []
        assert json.loads(records[0])[4][0][1] == factor
    assert len(calls) == 2


def test_what_another_process_read_is_looked_up_too(calls):
    """It may have stored results of the same code with other reads meanwhile."""

    @pipeline_step(cacheable=True)
    def branching(data, ctx, *, deep=False):
        CALLS.info("branching")
        return [ctx.get("depth")] if deep else [0]

    experiment = Experiment([1], [branching], treatments=[Treatment("deep", {"deep": True, "depth": 2})])
    shallow, deep = units(experiment.run_plan().conditions, range(1))
    here, there = experiment.run_plan(), experiment.run_plan()
    first = here.run(shallow)
    assert facts(there.run(shallow)) == facts(first)
    known = there.run(deep)
    assert facts(here.run(deep)) == facts(known)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("ask", "called"),
    [
        (lambda ctx: ctx.condition, 4),
        (lambda ctx: ctx.replicate, 2),
        (lambda ctx: len(ctx.metrics.entries), 2),
        (lambda ctx: len(ctx.artifacts.entries), 2),
        (lambda ctx: len(ctx.scopes), 4),
    ],
)
def test_what_else_a_context_tells_is_part_of_the_key(ask, called, calls):
    """The condition, the replicate, and what was recorded before."""

    @pipeline_step(cacheable=True)
    def asking(data, ctx, *, ask=ask):
        CALLS.info("asking")
        return [ask(ctx)]

    experiment = Experiment(
        [1.0], [asking, total], treatments=[Treatment("t", {"offset": 1.0})], replicates=2
    )
    same_in_every_mode(experiment)
    assert len(calls) == 4 + called
    calls.clear()

    @pipeline_step()
    def before(data, ctx):
        ctx.metrics.add("m", 1)
        ctx.artifacts.add("a", b"")
        return data

    same_in_every_mode(Experiment([1.0], [before, asking]))
    assert len(calls) == 2  # seeds of the second step; off, and cold


def test_metrics_recorded_before_count_if_they_are_read(calls):
    """A treatment that changes them is seen."""

    @pipeline_step(cacheable=True)
    def last_metric(data, ctx):
        CALLS.info("last_metric")
        return [ctx.metrics.entries[-1].value]

    records, _ = same_in_every_mode(
        Experiment([1.0], [total, last_metric, total], treatments=[Treatment("t", {"offset": 1.0})])
    )
    assert len({tuple(map(str, json.loads(record)[4][1])) for record in records}) == 2


def test_the_writer_of_an_output_counts(calls):
    """An artifact is what the experiment's writer makes of it."""

    @pipeline_step(cacheable=True)
    def writing(data, ctx):
        CALLS.info("writing")
        ctx.artifacts.add("out.txt", data)
        return data

    def with_writer(writer):
        return Experiment([1], [writing], outputs=[Artifact("out.txt", writer=writer)])

    one, _ = same_in_every_mode(with_writer(lambda value: str(value).encode()))
    other, _ = same_in_every_mode(with_writer(lambda value: repr(value + value).encode()))
    assert one != other


def test_resources_count_by_their_code_and_what_they_read(calls):
    """A key that the factory reads is one that the step reads."""

    @resource_factory
    def model(ctx):
        return ctx.get("depth", 1) * 10

    @pipeline_step(cacheable=True)
    def using(data, ctx, *, model=model):
        CALLS.info("using")
        return [x + model for x in data]

    experiment = Experiment(
        [1.0], [using, total], treatments=[Treatment("deep", {"depth": 2}), Treatment("t", {"offset": 1.0})]
    )
    records, _ = same_in_every_mode(experiment)
    assert [json.loads(record)[4][0][1] for record in records] == [11.0, 21.0, 12.0]
    assert calls == ["using"] * 5  # 3 without a cache


def test_a_resource_made_of_all_keys_is_made_anew_for_others():
    """Also where no key changed its value and one was added."""

    @resource_factory
    def names(ctx):
        return sorted(ctx.as_dict())

    assert names(FrozenContext({"a": 1})) == ["a"]
    assert names(FrozenContext({"a": 1, "b": 2})) == ["a", "b"]


PROJECT = """
from crystallize import PipelineStep, pipeline_step
{helper}
LIMIT = {limit}

def helper(x):
    # {comment}
    return x {operator} 1

@pipeline_step(cacheable=True)
def step(data, ctx):
    return [min(helper(x), LIMIT) for x in data]

class Step(PipelineStep):
    cacheable = True
    def __call__(self, data, ctx):
        return [min(helper(x), LIMIT) for x in data]
"""


RATES = {"rates": [1.0]}


def test_what_changes_from_one_replicate_to_the_next_is_a_miss(calls, monkeypatch):
    """The fingerprint of a step is known within a run, and known to hold no more."""
    monkeypatch.setitem(RATES, "rates", [1.0])

    @pipeline_step()
    def changing(data, ctx):
        if ctx.replicate == 2:
            RATES["rates"].append(1.0)
        return data

    @pipeline_step(cacheable=True, deterministic=True)
    def rated(data, ctx):
        CALLS.info("rated")
        return [sum(RATES["rates"])]

    result = Experiment([1.0], [changing, rated, total], replicates=4).run()
    assert result.metrics.baseline["total"] == [1.0, 1.0, 2.0, 2.0]
    assert calls == ["rated"] * 2


@pytest.mark.parametrize("name", ["step", "Step"])
def test_an_edit_of_a_helper_is_a_miss(name, tmp_path, monkeypatch, cache):
    """Code counts transitively, with the constants it names; comments do not."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def outcome(**parts):
        text = PROJECT.format(**{"helper": "", "limit": 100, "comment": "", "operator": "+"} | parts)
        (tmp_path / "edited_project.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("edited_project", None)
        module = importlib.import_module("edited_project")
        monkeypatch.delitem(sys.modules, "edited_project", raising=False)
        sys.modules["edited_project"] = module
        output = Experiment([5], [getattr(module, name)]).apply()
        return output, len(list(cache.rglob("*.value")))

    assert outcome() == ([6], 1)
    assert outcome(comment="what it is for", helper="\n\n") == ([6], 1)
    assert outcome(operator="-") == ([4], 2)
    assert outcome(operator="-", limit=3) == ([3], 3)
    assert outcome() == ([6], 3)


def test_what_a_module_does_that_is_loaded_again_counts(tmp_path, monkeypatch, calls):
    """In a notebook, say: what it has set meanwhile is not what the stored result was made with."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(decimal.getcontext(), "prec", 28)
    settings, module = tmp_path / "settings_again.py", tmp_path / "loaded_again.py"
    settings.write_text("import decimal\ndecimal.getcontext().prec = 5\n")
    module.write_text(
        "import decimal, settings_again\ndef third(): return float(decimal.Decimal(1) / decimal.Decimal(3))\n"
    )
    third = importlib.import_module("loaded_again").third
    again = sys.modules["settings_again"]

    @pipeline_step(cacheable=True, deterministic=True)
    def divided(data, ctx):
        CALLS.info("divided")
        return third()

    assert [Experiment([1], [divided]).apply() for _ in range(2)] == [0.33333] * 2
    settings.write_text("import decimal\ndecimal.getcontext().prec = 10\n")
    importlib.reload(again)
    assert [Experiment([1], [divided]).apply() for _ in range(2)] == [0.3333333333] * 2
    assert calls == ["divided"] * 2
    for name in ("settings_again", "loaded_again"):
        monkeypatch.delitem(sys.modules, name)
