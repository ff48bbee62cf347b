"""Experiments: how they are declared and run."""

import asyncio
import copy
import dataclasses
import random
import threading

import numpy as np
import pytest

from crystallize import (
    Artifact,
    BasePlugin,
    DataSource,
    Experiment,
    Hypothesis,
    LoggingPlugin,
    Pipeline,
    SeedPlugin,
    Treatment,
    data_source,
    pipeline_step,
)
from crystallize.errors import DefinitionError
from crystallize.run.plugins import Execution


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@data_source
def source(ctx, *, start=0.0):
    return start


@pipeline_step()
def measure(data, ctx, *, delta=0.0):
    return data, {"x": data + delta + ctx.rng.random()}


BOOST = Treatment("boost", {"delta": 1.0})
UP = Hypothesis(metric="x", direction="increase")


@pytest.mark.parametrize("pipeline", [[measure], [measure()], Pipeline([measure]), (measure,)])
@pytest.mark.parametrize("datasource", [source, source(), 0.0, lambda ctx: 0.0])
def test_every_spelling_of_the_parts(datasource, pipeline):
    """They all are the same experiment."""
    result = Experiment(datasource, pipeline).run()
    assert result.digest == Experiment(datasource=source(), pipeline=Pipeline([measure()])).run().digest


def test_the_builder_builds_the_same():
    """Every method sets one part and returns the builder."""
    built = (
        Experiment.builder("named")
        .datasource(source)
        .pipeline([measure])
        .add_step(measure)
        .initial_ctx({"start": 2.0})
        .treatments([BOOST])
        .hypotheses([UP])
        .replicates(4)
        .plugins([SeedPlugin(3)])
        .description("described")
        .build()
    )
    written = Experiment(
        source,
        [measure, measure],
        [SeedPlugin(3)],
        name="named",
        description="described",
        initial_ctx={"start": 2.0},
        treatments=[BOOST],
        hypotheses=[UP],
        replicates=4,
    )
    assert repr(built) == repr(written) == "<Experiment 'named': 4 replicates of 2 conditions, 1 hypothesis>"
    assert built.description == "described"
    assert built.run().digest == written.run().digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "an experiment is named ''"),
        ({"name": 3}, "an experiment is named 3"),
        ({"replicates": 0}, "experiment 'experiment' has replicates=0; .* integer >= 1"),
        ({"replicates": True}, "replicates=True"),
        ({"replicates": 2.0}, "replicates=2.0"),
        ({"treatments": [BOOST, BOOST]}, "two treatments are named 'boost'"),
        ({"treatments": [{"delta": 1}]}, "holds {'delta': 1}, which is not a Treatment; give Treatment"),
        ({"hypotheses": [UP, UP]}, "two hypotheses are named 'x_increase'; give each a name="),
        ({"hypotheses": ["x"]}, "'x' is not a hypothesis"),
        ({"hypotheses": [UP], "hypothesis": UP}, "hypothesis= or hypotheses=, not both"),
        ({"plugins": [SeedPlugin]}, "which is not a plugin; call it"),
        ({"plugins": ["seed"]}, "plugins= holds 'seed', which is not a plugin; give instances such as Seed"),
        ({"plugins": [BOOST]}, "which is not a plugin; .*; treatments are given as treatments="),
        ({"plugins": SeedPlugin(3)}, "plugins=.*SeedPlugin.*; give a list, as in .SeedPlugin"),
        ({"plugins": 20}, "experiment 'experiment': plugins=20; give a list, as in"),
        ({"initial_ctx": "start"}, "'experiment': initial_ctx='start'; give a mapping of keys to values"),
        ({"initial_ctx": [("start", 1)]}, "give a mapping of keys to values, as in {'size': 8}"),
        ({"pipeline": []}, "at least one step"),
    ],
)
def test_what_can_not_be_run_is_refused(options, message):
    """At construction; the error says what was given and what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        Experiment(**({"datasource": 0, "pipeline": [measure]} | options))


def test_a_builder_without_parts_is_refused():
    """The error names the method to call."""
    with pytest.raises(DefinitionError, match=r"experiment 'e' has no data source; call .datasource"):
        Experiment.builder("e").build()
    with pytest.raises(DefinitionError, match=r"experiment 'e' has no steps; call .add_step"):
        Experiment.builder("e").datasource(0).build()


def test_one_part_where_a_builder_takes_several_is_refused():
    """As an experiment does it, and not by what Python says of it."""
    begun = Experiment.builder("e").datasource(0).add_step(measure)
    with pytest.raises(DefinitionError, match=r"experiment 'e': plugins=.*; give a list, as in .SeedPlugin"):
        begun.plugins(SeedPlugin(3))
    with pytest.raises(DefinitionError, match=r"experiment 'e': outputs=.*; give a list, as in .Artifact"):
        begun.outputs(Artifact("model.bin"))


def test_parts_can_be_set_later():
    """And are checked then."""
    experiment = Experiment(0, [measure])
    experiment.treatments = [BOOST]
    experiment.hypotheses = [UP]
    experiment.replicates = 5
    assert experiment.run().metrics["hypothesis"]["n"] == 5
    with pytest.raises(DefinitionError):
        experiment.replicates = -1


def test_a_claim_needs_a_treatment():
    """`validate` says so, and so does `run`."""
    experiment = Experiment(0, [measure], hypothesis=UP)
    for check in (experiment.validate, experiment.run):
        with pytest.raises(DefinitionError, match="claims 'x_increase' but has no treatment"):
            check()
    Experiment(0, [measure]).validate()


def test_run_takes_other_parts_for_once():
    """The experiment itself stays as it is."""
    experiment = Experiment(0, [measure], treatments=[BOOST], replicates=2)
    result = experiment.run(treatments=[Treatment("other", {"delta": 2.0})], hypotheses=[UP], replicates=4)
    assert list(result.metrics) == ["baseline", "other"]
    assert (result.replicates, len(result.hypotheses)) == (4, 1)
    assert (experiment.replicates, experiment.treatments, experiment.hypotheses) == (2, (BOOST,), ())


def test_the_data_are_fetched_once_per_condition_run():
    """Under the context that the treatment has changed."""
    fetched = []

    class Source(DataSource):
        def fetch(self, ctx):
            fetched.append((ctx.replicate, ctx.condition, ctx.get("delta", 0.0)))
            return 0.0

    Experiment(Source(), [measure, measure], treatments=[BOOST], replicates=2).run()
    assert sorted(fetched) == [
        (0, "baseline", 0.0),
        (0, "boost", 1.0),
        (1, "baseline", 0.0),
        (1, "boost", 1.0),
    ]


def test_a_failing_condition_stops_no_other():
    """Every other run is there, and the next run of the experiment is as good as the first."""

    @pipeline_step()
    def fragile(data, ctx, *, fail=False):
        if fail and ctx.replicate == 1:
            raise ValueError("no")
        return data, {"x": 1}

    experiment = Experiment(0, [fragile], treatments=[Treatment("bad", {"fail": True})], replicates=3)
    for _ in range(2):
        result = experiment.run()
        assert [(e.condition, e.replicate) for e in result.errors] == [("bad", 1)]
        assert len(result.records) == 6


def test_the_globals_are_as_before():
    """Behind a run, and behind one that was interrupted."""

    @pipeline_step()
    def draw(data, ctx, *, stop=False):
        random.random()
        np.random.random()  # noqa: NPY002 - the global generator is what is tested
        if stop:
            raise KeyboardInterrupt
        return data

    before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    Experiment(0, [draw], replicates=3).run()
    with pytest.raises(KeyboardInterrupt):
        Experiment(0, [draw(stop=True)]).run()
    assert (random.getstate(), repr(np.random.get_state())) == before  # noqa: NPY002


def test_hooks_are_called_in_order():
    """Init, before and after the run, each replicate, each step."""
    log = []

    class Spy(BasePlugin):
        def init_hook(self, experiment):
            log.append("init")

        def before_run(self, experiment):
            log.append("before_run")

        def after_run(self, experiment, result):
            log.append(f"after_run {len(result.records)}")

        def before_replicate(self, experiment, ctx):
            log.append(f"before_replicate {ctx.condition} {ctx.get('delta')}")

        def after_replicate(self, experiment, ctx):
            log.append(f"after_replicate {len(ctx.metrics.entries)}")

        def before_step(self, experiment, step, data, ctx):
            log.append(f"before_step {step.name} {data}")

        def after_step(self, experiment, step, data, ctx):
            log.append(f"after_step {step.name} {len(ctx.metrics.entries)}")

    experiment = Experiment(0, [measure], [Spy()], treatments=[BOOST], name="spied")
    assert log == ["init"]
    experiment.run()
    assert log[1:] == [
        "before_run",
        "before_replicate baseline None",
        "before_step measure 0",
        "after_step measure 1",
        "after_replicate 1",
        "before_replicate boost 1.0",
        "before_step measure 0",
        "after_step measure 1",
        "after_replicate 1",
        "after_run 2",
    ]


def test_a_hook_behind_the_run_that_fails_loses_nothing(caplog):
    """The result is there, with the error; the others' hooks are called."""
    called = []

    class Faulty(BasePlugin):
        def after_run(self, experiment, result):
            raise RuntimeError("disk full")

    class Next(BasePlugin):
        def after_run(self, experiment, result):
            called.append(result)

    result = Experiment(
        0, [measure], [Faulty(), Next()], treatments=[BOOST], hypothesis=UP, replicates=8
    ).run()
    assert called == [result]
    assert result.metrics["hypothesis"]["accepted"]
    (error,) = result.errors
    assert (error.condition, error.replicate, error.step) == ("", None, "Faulty.after_run")
    assert str(error) == "Faulty.after_run: RuntimeError: disk full"
    assert "disk full" in caplog.text


def test_a_hook_before_the_run_that_fails_stops_it(empty_working_directory):
    """Nothing was measured yet."""

    class Faulty(BasePlugin):
        def before_run(self, experiment):
            raise RuntimeError("no licence")

    with pytest.raises(RuntimeError, match="no licence"):
        Experiment(0, [measure], [Faulty()]).run()
    assert list(empty_working_directory.iterdir()) == []


def test_a_hook_moves_no_step_of_another_condition():
    """What it draws before a replicate comes from a stream of its own."""

    class Draws(BasePlugin):
        def before_replicate(self, experiment, ctx):
            ctx.add("drawn", ctx.rng.random())

    @pipeline_step()
    def report(data, ctx, *, drawn=None, delta=None):
        return data, {"drawn": drawn, "own": ctx.rng.random()}

    result = Experiment(0, [report], [Draws()], treatments=[BOOST], replicates=2).run()
    baseline, boost = result.metrics.baseline, result.metrics.treatments["boost"]
    assert dict(baseline) == dict(boost)
    assert not set(baseline["drawn"]) & set(baseline["own"])
    assert baseline["own"] == Experiment(0, [report], replicates=2).run().metrics.baseline["own"]


def test_a_plugin_replaces_the_default_of_its_kind_only():
    """Of several of a kind the last one counts."""

    class MySeeds(SeedPlugin):
        pass

    experiment = Experiment(0, [measure], [SeedPlugin(1), MySeeds(2), BasePlugin()])
    kinds = [type(plugin).__name__ for plugin in experiment.plugins]
    assert sorted(kinds) == ["ArtifactPlugin", "BasePlugin", "LoggingPlugin", "MySeeds", "SerialExecution"]
    assert experiment.plugin(SeedPlugin).seed == 2
    assert len(experiment.given_plugins) == 3
    with pytest.raises(LookupError, match="no plugin of kind Missing; it has "):
        experiment.plugin(type("Missing", (BasePlugin,), {}))


def test_debug_runs_one_replicate_loudly(caplog):
    """The baseline and a treatment, by name or itself, and step by step in the log."""
    experiment = Experiment(0, [measure], treatments=[BOOST], replicates=9)
    result = experiment.debug("boost", replicate=3)
    assert list(result.metrics) == ["baseline", "boost"]
    assert result.metrics.baseline["x"] == experiment.run().metrics.baseline["x"][3:4]
    assert "replicate 3 of boost: measure" in caplog.text
    assert list(experiment.debug().metrics) == ["baseline"]
    assert list(experiment.debug(Treatment("new", {"delta": 3.0})).metrics) == ["baseline", "new"]
    with pytest.raises(DefinitionError, match="has no treatment 'bost'; it has 'boost'"):
        experiment.debug("bost")
    assert experiment.debug(replicate=np.int64(3)).digest == experiment.debug(replicate=3).digest
    for wrong in (-1, 1.0, "3", None, True):
        with pytest.raises(DefinitionError, match=r"replicate is .*; replicates are numbered from 0"):
            experiment.debug(replicate=wrong)


def test_debug_lets_exceptions_through():
    """So that a debugger stops where they were raised."""

    @pipeline_step()
    def broken(data, ctx):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Experiment(0, [broken]).debug()


def test_debug_keeps_the_plugins_that_were_given(caplog):
    """Only the logging is another one."""
    experiment = Experiment(0, [measure], [SeedPlugin(5), LoggingPlugin(log_level="ERROR")])
    assert experiment.debug().root_seed == 5
    assert "measure" in caplog.text


def test_arun_lets_the_event_loop_go_on():
    """It gives what `run` gives, inside a running loop."""
    released = threading.Event()

    @pipeline_step()
    def waits(data, ctx):
        assert released.wait(300)
        return data, {"x": 1}

    async def main():
        running = asyncio.ensure_future(Experiment(0, [waits], name="async").arun(replicates=2))
        await asyncio.sleep(0)
        released.set()
        return await running

    assert asyncio.run(main()).metrics.baseline["x"] == [1, 1]


def test_a_plan_runs_any_unit_under_any_root_seed():
    """That is what other ways to execute an experiment build on."""
    experiment = Experiment(0, [measure], [SeedPlugin(7)], treatments=[BOOST], replicates=3)
    plan = experiment.run_plan()
    assert plan.conditions == ("baseline", "boost")
    assert plan.stream.root == 7
    assert experiment.run_plan(9).stream.root == 9
    reseeded = Experiment(0, [measure], [SeedPlugin(9)], treatments=[BOOST], replicates=3).run()
    records = [experiment.run_plan(9).run(type(u)(*u)) for u in reversed([*units_of(experiment)])]
    assert {(r.replicate, r.condition, r.metrics) for r in records} == {
        (r.replicate, r.condition, r.metrics) for r in reseeded.records
    }


def units_of(experiment):
    from crystallize.run.units import units

    return units(experiment.run_plan().conditions, range(experiment.replicates))


def test_an_execution_may_yield_records_in_any_order():
    """Neither samples nor verdicts depend on it."""

    class Backwards(Execution):
        def execute(self, plan, units):
            for unit in reversed(units):
                yield plan.run(unit)

    forwards = Experiment(0, [measure], treatments=[BOOST], hypothesis=UP, replicates=6).run()
    backwards = Experiment(0, [measure], [Backwards()], treatments=[BOOST], hypothesis=UP, replicates=6).run()
    assert backwards.digest == forwards.digest
    assert backwards.metrics["hypothesis"] == forwards.metrics["hypothesis"]


def test_records_that_an_execution_loses_are_missed():
    """A sample is never shortened unseen."""

    class Lossy(Execution):
        def execute(self, plan, units):
            for unit in units[:-1]:
                yield plan.run(unit)

    result = Experiment(0, [measure], [Lossy()], treatments=[BOOST], hypothesis=UP, replicates=6).run()
    assert result.metrics["hypothesis"]["verdict"] == "invalid"
    assert "replicate 5 was not run" in result.metrics["hypothesis"]["reason"]


def test_what_is_declared_stays():
    """Only what the documents set can be set, on any experiment; the message says what that is."""
    experiment = Experiment(0, [measure], name="sums")
    for part in ("name", "datasource", "pipeline", "judging", "caching", "given_plugins", "outputs"):
        with pytest.raises(AttributeError, match=f"'{part}' of experiment 'sums' can't be set .*treatments"):
            setattr(experiment, part, None)
    experiment.plugins = [SeedPlugin(3)]
    assert experiment.plugin(SeedPlugin).seed == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hypothesis",
            "it stays as it was declared; declare another experiment, or set one of treatm",
        ),
        ("stopping", "it stays as it was declared"),
        ("cases", "it stays as it was declared"),
        ("treatment", "it has no such part; did you mean 'treatments'?"),
        ("replicate", "it has no such part; did you mean 'replicates'?"),
        ("seed", r"a root seed is given by plugins=\[SeedPlugin\(seed=...\)\]"),
    ],
)
def test_what_would_say_nothing_can_not_be_set(name, message):
    """A claim that is set under another name would never be tested."""
    experiment = Experiment(0, [measure], name="sums", treatments=[BOOST])
    with pytest.raises(AttributeError, match=f"'{name}' of experiment 'sums' can't be set: .*{message}"):
        setattr(experiment, name, None)
    experiment.note = "what a plugin keeps"
    assert experiment.run().errors == ()


class Seeded(Experiment):
    """Keeps what it was given, before and behind what it is made of."""

    def __init__(self, seed, hypothesis, case):
        self.case = case
        super().__init__(0, [measure], [SeedPlugin(seed)], name="sums", hypothesis=hypothesis)
        self.seed, self.hypothesis = seed, hypothesis


@dataclasses.dataclass
class Sized(Experiment):
    seed: int
    output: str = ""

    def __post_init__(self):
        super().__init__(0, [measure], [SeedPlugin(self.seed)], name="sums")


class Numbered(Experiment):
    seed = 1

    @property
    def case(self):
        return self._case

    @case.setter
    def case(self, case):
        self._case = case


@pytest.mark.parametrize(
    ("made", "other"),
    [
        (lambda: Seeded(3, UP, 1), "cases"),
        (lambda: Sized(3), "hypothesis"),
        (lambda: Numbered(0, [measure], name="sums"), "hypothesis"),
    ],
)
def test_what_a_subclass_has_of_its_own_may_be_set(made, other):
    """It says something there, under whatever name; another name is refused as ever."""
    experiment = made()
    experiment.seed = 4
    assert experiment.seed == 4
    assert copy.copy(experiment).seed == 4
    with pytest.raises(AttributeError, match=f"'{other}' of experiment 'sums' can't be set: it stays"):
        setattr(experiment, other, None)


def test_plugins_that_are_set():
    """Each replaces the default of its kind, and is checked and told of the experiment as usual."""
    built = []

    class Built(BasePlugin):
        def init_hook(self, experiment):
            built.append(experiment.name)

    experiment = Experiment(0, [measure], [Built()], name="sums", replicates=3)
    expected = Experiment(0, [measure], [SeedPlugin(3)], replicates=3).run().digest
    experiment.plugins = [SeedPlugin(3), *experiment.given_plugins, Built()]
    assert experiment.run().digest == expected
    assert built == ["sums", "sums"]
    with pytest.raises(DefinitionError, match="which is not a plugin; call it"):
        experiment.plugins = [SeedPlugin]
    with pytest.raises(DefinitionError, match=r"experiment 'sums': plugins=.*; give a list, as in"):
        experiment.plugins = SeedPlugin(4)
    assert experiment.run().digest == expected
