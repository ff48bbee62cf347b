"""What identifies condition runs: what counts, and what does not."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize import Experiment, Hypothesis, Treatment, data_source, pipeline_step
from crystallize.declare.dependencies import Caching
from crystallize.errors import DefinitionError, FingerprintError
from crystallize.identity.environment import Environment
from crystallize.identity.fingerprint import changes
from crystallize.run.plan_subject import subject_of
from crystallize.run.plugins import BasePlugin, LoggingPlugin, SeedPlugin
from crystallize.run.units import Unit

HERE = Environment.from_json({"Python": "3", "numpy": "1.0 files 00"})


@data_source
def numbers(ctx, *, n=3):
    return [0] * n


@pipeline_step()
def total(data, ctx, *, delta=0.0):
    return data, {"total": sum(data) + delta}


@pipeline_step()
def other(data, ctx):
    return data


class Hooked(BasePlugin):
    def before_step(self, experiment, step, data, ctx):
        pass


def experiment(**changed):
    """Return an experiment with some of its parts changed."""
    parts = {
        "datasource": numbers(),
        "pipeline": [total()],
        "treatments": [Treatment("boost", {"delta": 1.0})],
        "replicates": 3,
    } | changed
    return Experiment(parts.pop("datasource"), parts.pop("pipeline"), parts.pop("plugins", ()), **parts)


def identity(made, tmp_path=None, environment=HERE):
    """Return the identity of an experiment."""
    return subject_of(made.run_plan(), made.given_plugins, made.caching, root=tmp_path).identify(environment)


def keys(found):
    """Return the keys of a replicate of each condition."""
    return {condition: found.key(Unit(1, condition)) for condition in found.seals}


COUNTS = {
    "parameter of a step": {"pipeline": [total(delta=2.0)]},
    "another step": {"pipeline": [total(), other()]},
    "order of the steps": {"pipeline": [other(), total()]},
    "parameter of the data source": {"datasource": numbers(n=2)},
    "constant data": {"datasource": [1, 2]},
    "initial context": {"initial_ctx": {"a": 1}},
    "root seed": {"plugins": [SeedPlugin(1)]},
    "seeding function": {"plugins": [SeedPlugin(auto_seed=False)]},
    "cache_key": {"cache_key": "a"},
    "variable": {"env": ["CRYSTALLIZE_NO_SUCH_VARIABLE"]},
}


@pytest.mark.parametrize("name", COUNTS)
def test_all_that_runs_depend_on_counts(name):
    """Every condition has another key."""
    before, after = keys(identity(experiment())), keys(identity(experiment(**COUNTS[name])))
    assert all(before[condition] != after[condition] for condition in before)


SAYS_NOTHING = {
    "name": {"name": "another", "description": "longer"},
    "replicates": {"replicates": 99},
    "hypotheses": {"hypotheses": [Hypothesis(metric="total", direction="increase", alpha=0.01)]},
    "correction": {"correction": "none"},
    "logging": {"plugins": [LoggingPlugin()]},
    "default seed": {"plugins": [SeedPlugin(0)]},
}


@pytest.mark.parametrize("name", SAYS_NOTHING)
def test_what_decides_on_runs_does_not_count(name):
    """Keys and slots are the same."""
    before, after = identity(experiment()), identity(experiment(**SAYS_NOTHING[name]))
    assert keys(before) == keys(after)
    assert before.slot == after.slot


def test_a_treatment_counts_for_its_own_condition():
    """The others keep their keys when it changes or is joined by another."""
    before = keys(identity(experiment()))
    changed = keys(identity(experiment(treatments=[Treatment("boost", {"delta": 2.0})])))
    joined = keys(
        identity(experiment(treatments=[Treatment("new", {"delta": 9}), Treatment("boost", {"delta": 1.0})]))
    )
    assert changed["baseline"] == before["baseline"]
    assert changed["boost"] != before["boost"]
    assert {name: joined[name] for name in before} == before


def test_the_environment_counts():
    """Another version is another key, of the same code."""
    new = Environment.from_json({"Python": "3", "numpy": "2.0 files 00"})
    before, after = identity(experiment()), identity(experiment(), environment=new)
    assert set(keys(before).values()).isdisjoint(keys(after).values())
    assert changes(before.parts["boost"], after.parts["boost"]) == []


def test_changes_of_code_and_values_are_explained():
    """By the names that the code has."""
    before = identity(experiment())
    after = identity(experiment(treatments=[Treatment("boost", {"delta": 2.0})], initial_ctx={"a": 1}))
    assert changes(before.parts["boost"], after.parts["boost"]) == [
        "initial context changed",
        "treatment boost changed",
    ]


@given(st.lists(st.tuples(st.integers(0, 2**40), st.sampled_from(["baseline", "boost"])), unique=True))
def test_keys_of_units_differ(units):
    """No two units share one."""
    found = identity(experiment())
    assert len({found.key(Unit(*unit)) for unit in units}) == len(units)


def test_inputs_count_by_content(tmp_path):
    """Files of patterns and directories, by name and content; their times say nothing."""
    (tmp_path / "data").mkdir()
    first = tmp_path / "data" / "a.csv"
    first.write_text("1")

    def found(*inputs):
        return identity(experiment(inputs=inputs), tmp_path)

    before = {pattern: keys(found(pattern)) for pattern in ("data/*.csv", "data", "**/*.csv", "data/a.csv")}
    first.write_text("1")
    assert all(keys(found(pattern)) == known for pattern, known in before.items())
    first.write_text("2")
    assert all(keys(found(pattern)) != known for pattern, known in before.items())
    first.write_text("1")
    assert keys(found("data")) == before["data"]
    (tmp_path / "data" / "b.csv").write_text("1")
    assert keys(found("data")) != before["data"]
    assert keys(found("data/a.csv")) == before["data/a.csv"]
    with pytest.raises(FingerprintError, match=r"inputs= '\*\.txt' names no file in"):
        found("*.txt")


def test_what_cannot_be_identified_is_named():
    """A hook around steps, and an open file; a cache_key stands for either."""
    with pytest.raises(FingerprintError, match=r"Hooked\.before_step is a hook around runs"):
        identity(experiment(plugins=[Hooked()]))
    identity(experiment(plugins=[Hooked()], cache_key="a"))
    with Path(__file__).open(encoding="utf-8") as file:
        held = dataclasses.replace(experiment().run_plan(), seed_globals=lambda seed: file)
        with pytest.raises(FingerprintError, match="seeding"):
            subject_of(held, (), Caching(), root=None).identify(HERE)
        found = subject_of(held, (), Caching(cache_key="a"), root=None).identify(HERE)
    assert found.labels is None


@pytest.mark.parametrize(
    "wrong",
    [{"inputs": "a"}, {"inputs": [1]}, {"env": 3}, {"env": [""]}, {"cache_key": ""}, {"cache_key": 1}],
)
def test_wrong_declarations(wrong):
    """The error says what was given and what is allowed."""
    with pytest.raises(DefinitionError, match=rf"{next(iter(wrong))} is .*; give "):
        experiment(**wrong)


def test_the_builder_sets_them(tmp_path):
    """As the keywords do."""
    built = Experiment.builder("b").datasource(1).add_step(total)
    made = built.inputs([tmp_path / "a"]).env(["B"]).cache_key("c").build()
    assert made.caching == Caching((str(tmp_path / "a"),), ("B",), "c")
