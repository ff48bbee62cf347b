"""Experiments that read what others write."""

import asyncio
import json
import random

import pytest

from crystallize import (
    Artifact,
    ArtifactPlugin,
    AsyncExecution,
    Experiment,
    ExperimentGraph,
    ExperimentInput,
    Hypothesis,
    ParallelExecution,
    PassAt,
    SeedPlugin,
    SerialExecution,
    Treatment,
    pipeline_step,
    stored_results,
)
from crystallize.declare.artifact import Inputs
from crystallize.errors import CrystallizeWarning, DefinitionError, UpstreamError
from crystallize.run.execute import RAISED, RECORDED, Outcomes
from crystallize.run.units import Unit, units

RAW = Artifact.json("raw.json")
MODEL = Artifact.npy("model.npy")


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)


@pipeline_step()
def generate(data, ctx, *, scale=1.0, fails_at=None):
    if ctx.replicate == fails_at:
        raise ValueError("no data")
    values = [scale * x for x in ctx.rng.normal(size=5).tolist()]
    ctx.artifacts.add("raw.json", values)
    ctx.metrics.add("drawn", values)
    ctx.metrics.add("global", random.random())
    return data


@pipeline_step()
def fit(data, ctx, *, shrink=0.0):
    raw, offset = data["raw"], data["offset"]
    model = [(1 - shrink) * x + offset for x in raw]
    ctx.artifacts.add("model.npy", model)
    ctx.metrics.add("drawn", ctx.rng.normal(size=5).tolist())
    ctx.metrics.add("global", random.random())
    return data, {"raw": raw}


@pipeline_step()
def evaluate(data, ctx, *, threshold=0.0):
    return data, {"model": data.tolist(), "above": float((data > threshold).sum()), "seen_as": ctx.condition}


BIG = Treatment("big", {"scale": 10.0})
SHRUNK = Treatment("shrunk", {"shrink": 0.5})
STRICT = Treatment("strict", {"threshold": 1.0})


def chain(plugins=(), *, replicates=3, initial=None, **treatments):
    """Return generate -> fit -> evaluate, each with treatments of its own."""

    def made(name, source, step, **options):
        return Experiment(
            source, [step], list(plugins), name=name, treatments=treatments.get(name, ()), **options
        )

    return ExperimentGraph(
        made("evaluate", MODEL, evaluate, replicates=replicates),
        made("fit", ExperimentInput(raw=RAW, offset=100.0), fit, outputs=[MODEL]),
        made("generate", 0, generate, outputs=[RAW], initial_ctx=initial),
    )


def metric(results, experiment, condition, name):
    return results[experiment].metrics[condition].metrics[name]


def test_experiments_run_behind_those_they_read_from():
    """Whatever order they are given in; the results are in the order of running."""
    graph = chain()
    assert repr(graph) == "<ExperimentGraph 'graph': generate -> fit -> evaluate>"
    assert graph.producers == {"evaluate": ("fit",), "fit": ("generate",), "generate": ()}
    results = graph.run()
    assert list(results) == ["generate", "fit", "evaluate"]
    assert all(result.errors == () for result in results.values())


def test_results_of_a_graph_are_kept(tmp_path, monkeypatch):
    """One of each experiment, as of an experiment that is run for itself."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    results = chain().run(store_results=True)
    assert asyncio.run(chain().arun(store_results=True)).keys() == results.keys()
    for name, result in results.items():
        assert [stored.load().digest for stored in stored_results(name)] == [result.digest] * 2


def test_a_replicate_reads_what_the_same_replicate_wrote():
    """In every condition, that of the same name."""
    results = chain(generate=[BIG]).run()
    for condition in ("baseline", "big"):
        raw = metric(results, "generate", condition, "drawn")
        assert len({str(values) for values in raw}) == 3
        assert metric(results, "fit", condition, "raw") == raw
        assert metric(results, "evaluate", condition, "model") == [[x + 100 for x in xs] for xs in raw]
    small, big = (metric(results, "generate", c, "drawn")[0] for c in ("baseline", "big"))
    assert big == [10 * x for x in small]


def test_treatments_pass_downstream_and_not_upstream():
    """Each experiment has its own, and those of the experiments that it depends on."""
    run = chain(generate=[BIG], fit=[SHRUNK], evaluate=[STRICT]).settled()
    assert {name: e.conditions for name, e in run.experiments.items()} == {
        "generate": ("baseline", "big"),
        "fit": ("baseline", "shrunk", "big"),
        "evaluate": ("baseline", "strict", "shrunk", "big"),
    }


def test_where_a_treatment_is_not_known_the_baseline_is_read():
    """It is what the experiment upstream would have done under a treatment that it does not have."""
    results = chain(fit=[SHRUNK], evaluate=[STRICT]).run()
    raw = metric(results, "generate", "baseline", "drawn")
    assert metric(results, "fit", "shrunk", "raw") == raw
    fitted = metric(results, "evaluate", "baseline", "model")
    assert metric(results, "evaluate", "strict", "model") == fitted
    assert metric(results, "evaluate", "strict", "seen_as") == ["strict"] * 3
    assert metric(results, "evaluate", "shrunk", "model") != fitted


def test_treatments_of_a_run_replace_all_others():
    """They are applied in every experiment."""
    results = chain(generate=[BIG], evaluate=[STRICT]).run(treatments=[SHRUNK], replicates=2)
    assert [tuple(result.metrics) for result in results.values()] == [("baseline", "shrunk")] * 3
    assert [result.replicates for result in results.values()] == [2] * 3


def test_treatments_of_the_graph_are_those_of_every_experiment():
    """Beside their own, of which one of the same name counts where it is."""
    experiments = chain(evaluate=[STRICT]).experiments.values()
    run = ExperimentGraph(*experiments, treatments=[BIG]).settled()
    assert [e.conditions for e in run.experiments.values()] == [
        ("baseline", "big"),
        ("baseline", "big"),
        ("baseline", "strict", "big"),
    ]


def test_an_experiment_is_run_as_often_as_those_behind_it_need():
    """And as often as it says, if that is more."""
    run = chain(replicates=7).settled()
    assert [e.replicates for e in run.experiments.values()] == [7, 7, 7]
    graph = ExperimentGraph(
        Experiment(0, [generate], name="a", outputs=[RAW], replicates=5),
        Experiment(RAW, [keep], name="b", replicates=2),
    )
    assert {name: r.replicates for name, r in graph.run().items()} == {"a": 5, "b": 2}


@pipeline_step()
def keep(data, ctx):
    return data, {"x": data}


def test_noise_downstream_is_not_the_noise_upstream_again():
    """An experiment that reads from others has seeds of its own; what comes first, those of a plain run."""
    results = chain().run()
    for name in ("drawn", "global"):
        assert metric(results, "generate", "baseline", name) != metric(results, "fit", "baseline", name)
    assert {r.seed for r in results["fit"].records}.isdisjoint(r.seed for r in results["generate"].records)
    plain = Experiment(0, [generate], outputs=[RAW], replicates=3).run()
    assert plain.digest == results["generate"].digest


def test_conditions_downstream_share_their_seeds():
    """Samples are paired by replicate there too."""
    results = chain(generate=[BIG], fit=[SHRUNK]).run()
    drawn = [metric(results, "fit", condition, "drawn") for condition in ("baseline", "shrunk", "big")]
    assert drawn[0] == drawn[1] == drawn[2]


@pytest.mark.parametrize("execution", ["threads", "processes", "asyncio", "arun"])
def test_every_execution_gives_the_same_bits(execution):
    """Artifacts are handed over through their versions on disk."""
    seeding = SeedPlugin(3, auto_seed=False)
    treatments = {"generate": [BIG], "fit": [SHRUNK], "evaluate": [STRICT]}

    def digests(plugin, root, run=ExperimentGraph.run):
        graph = chain([plugin, seeding, ArtifactPlugin(root)], replicates=6, **treatments)
        results = run(graph)
        assert all(result.errors == () for result in results.values())
        return {
            name: sorted((r.replicate, r.condition, r.artifacts, str(r.metrics[:1])) for r in result.records)
            for name, result in results.items()
        }

    plugin = {
        "threads": ParallelExecution(3),
        "processes": ParallelExecution(2, "process"),
    }.get(execution, AsyncExecution(3))
    run = (lambda graph: asyncio.run(graph.arun())) if execution == "arun" else ExperimentGraph.run
    assert digests(plugin, "other", run) == digests(SerialExecution(), "serial")


def test_an_async_source_may_be_one_of_the_inputs():
    """Fetched along with an artifact."""

    async def offset(ctx):
        await asyncio.sleep(0)
        return 1.0

    graph = ExperimentGraph(
        Experiment(0, [generate], name="generate", outputs=[RAW]),
        Experiment(
            ExperimentInput(raw=RAW, offset=offset), [fit], [AsyncExecution()], name="fit", outputs=[MODEL]
        ),
    )
    assert graph.run()["fit"].errors == ()
    assert asyncio.run(graph.arun())["fit"].errors == ()


def test_failures_upstream_are_errors_downstream_that_name_them():
    """Never a silent gap: through every experiment behind, in that condition and replicate only."""
    bad = Treatment("bad", {"fails_at": 1})
    results = chain(generate=[bad]).run()
    (first,), (second,), (third,) = (result.errors for result in results.values())
    assert (first.condition, first.replicate, first.message) == ("bad", 1, "ValueError: no data")
    upstream = (
        "UpstreamError: replicate 1 of 'bad' of experiment 'generate' failed in 'generate': "
        "ValueError: no data"
    )
    assert (second.condition, second.replicate, second.step) == ("bad", 1, "ExperimentInput")
    assert second.message == upstream
    assert (third.condition, third.replicate, third.step) == ("bad", 1, "model.npy")
    assert third.message == (
        f"UpstreamError: replicate 1 of 'bad' of experiment 'fit' failed in 'ExperimentInput': {upstream}"
    )


def test_a_hypothesis_that_lacks_a_replicate_upstream_is_invalid():
    """Its evidence is incomplete."""
    graph = chain(generate=[Treatment("bad", {"fails_at": 1})], replicates=4)
    graph.experiments["evaluate"].hypotheses = [Hypothesis(metric="above", direction="increase")]
    verdict = graph.run()["evaluate"].get_hypothesis("above_increase").verdicts["bad"]
    assert verdict.status == "invalid"
    assert "1 of 4 replicates of 'bad'" in verdict.reason


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"metric": "above", "slices": True}, "'evaluate': hypothesis .* has slices=True, and nothing says"),
        (
            {"metric": PassAt(2, "above")},
            "'evaluate': hypothesis .* is about PassAt.*, so about samples of cases, and there are",
        ),
    ],
)
def test_a_claim_about_cases_that_there_are_not_is_refused(claim, message):
    """Before anything is run: it would be about nothing, and have no verdict."""
    graph = chain(generate=[BIG])
    graph.experiments["evaluate"].hypotheses = [Hypothesis(direction="increase", **claim)]
    with pytest.raises(DefinitionError, match=message):
        graph.run()


def test_hypotheses_are_about_treatments_from_upstream_too():
    """An experiment may claim something of a treatment that another one defines."""
    claim = Hypothesis(metric="size", direction="increase")

    @pipeline_step()
    def size(data, ctx):
        return data, {"size": sum(abs(x) for x in data)}

    graph = ExperimentGraph(
        Experiment(0, [generate], name="generate", outputs=[RAW], treatments=[BIG]),
        Experiment(RAW, [size], name="size", hypotheses=[claim], replicates=10),
    )
    assert graph.run()["size"].metrics["hypothesis"]["accepted"]


def test_declared_dependencies_need_no_artifact():
    """An experiment waits for another one, and fails where that failed."""
    graph = ExperimentGraph(
        Experiment(0, [keep], name="second"),
        Experiment(0, [generate], name="first", initial_ctx={"fails_at": 0}),
        dependencies={"second": ["first"]},
    )
    results = graph.run()
    assert list(results) == ["first", "second"]
    assert results["second"].errors[0].message.startswith("UpstreamError: replicate 0 of 'baseline' of")


def test_an_artifact_is_known_by_its_name_too():
    """A consumer that is written elsewhere has a handle, and a loader, of its own."""
    graph = ExperimentGraph(
        Experiment(0, [generate], name="generate", outputs=[RAW]),
        Experiment(Artifact("raw.json", loader=lambda b: len(json.loads(b))), [keep], name="count"),
    )
    assert metric(graph.run(), "count", "baseline", "x") == [5]


def test_dependencies_tell_artifacts_of_one_name_apart():
    """Without them, the error names the experiments that write it."""
    experiments = [
        Experiment(0, [generate], name="a", outputs=[Artifact.json("raw.json")], initial_ctx={"scale": 2.0}),
        Experiment(0, [generate], name="b", outputs=[Artifact.json("raw.json")]),
        Experiment(Artifact.json("raw.json"), [keep], name="c"),
    ]
    with pytest.raises(
        DefinitionError, match=r"'c' reads artifact 'raw.json', .* by 'a' and 'b'; say in dep"
    ):
        ExperimentGraph(experiments)
    results = ExperimentGraph(experiments, dependencies={"c": "b"}).run()
    assert metric(results, "c", "baseline", "x") == metric(results, "b", "baseline", "drawn")


def test_two_artifacts_of_one_name_by_identity():
    """Each handle leads to the experiment that declares it."""
    ours, theirs = Artifact.json("raw.json"), Artifact.json("raw.json")
    graph = ExperimentGraph(
        Experiment(0, [generate], name="a", outputs=[ours], initial_ctx={"scale": 2.0}),
        Experiment(0, [generate], name="b", outputs=[theirs]),
        Experiment(ExperimentInput(a=ours, b=theirs), [keep], [ParallelExecution(2, "process")], name="c"),
    )
    (data,) = metric(graph.run(), "c", "baseline", "x")
    assert data["a"] == [2 * x for x in data["b"]]


def test_circles_are_refused_by_name():
    """Also of one experiment with itself."""
    with pytest.raises(
        DefinitionError, match=r"in a circle: 'a' -> 'b' -> 'a'|in a circle: 'b' -> 'a' -> 'b'"
    ):
        ExperimentGraph(
            Experiment(MODEL, [generate], name="a", outputs=[RAW]),
            Experiment(RAW, [fit], name="b", outputs=[MODEL]),
        )
    with pytest.raises(DefinitionError, match="in a circle: 'a' -> 'a'"):
        ExperimentGraph(Experiment(RAW, [generate], name="a", outputs=[RAW]))


@pytest.mark.parametrize(
    ("experiments", "options", "message"),
    [
        ([], {}, "has no experiments"),
        ([3], {}, "made of experiments, not of 3"),
        (["a", "a"], {}, "two experiments are named 'a'"),
        (
            ["a"],
            {"dependencies": {"b": ["a"]}},
            "dependencies name 'b', which is no experiment of it; it has 'a'",
        ),
        (["a"], {"dependencies": {"a": ["b"]}}, "dependencies name 'b'"),
        (
            ["reader", "a"],
            {},
            "experiment 'reader' reads artifact 'raw.json', which is declared as output by none",
        ),
    ],
)
def test_wrong_graphs_are_refused(experiments, options, message):
    """When they are made, by name of the experiments."""
    made = [
        Experiment(RAW if name == "reader" else 0, [keep], name=name) if isinstance(name, str) else name
        for name in experiments
    ]
    with pytest.raises(DefinitionError, match=f"graph 'graph'.*{message}"):
        ExperimentGraph(*made, **options)


def test_two_treatments_of_one_name_from_upstream_are_refused():
    """Unless they are the same, nobody could say which is meant."""

    def graph(one, other):
        return ExperimentGraph(
            Experiment(0, [generate], name="a", outputs=[RAW], treatments=[one]),
            Experiment(0, [fit], name="b", outputs=[MODEL], treatments=[other]),
            Experiment(ExperimentInput(x=RAW, y=MODEL), [keep], name="c"),
        )

    with pytest.raises(DefinitionError, match=r"'c' would have two treatments named 't', from 'a' and 'b'"):
        graph(Treatment("t", {"scale": 1.0}), Treatment("t", {"scale": 2.0}))
    alike = graph(Treatment("t", {"scale": 2.0}), Treatment("t", {"scale": 2.0}))
    assert alike.settled().experiments["c"].conditions == ("baseline", "t")


def test_a_treatment_that_an_experiment_can_not_have_is_refused():
    """It sets a key of its initial context."""
    with pytest.raises(DefinitionError, match=r"experiment 'generate': treatment 'big' sets key 'scale'"):
        chain(initial={"scale": 1.0}).run(treatments=[BIG])


def test_a_key_that_some_experiment_reads_is_no_warning():
    """A treatment is meant for one of them, mostly."""
    chain(generate=[BIG], evaluate=[STRICT]).run()
    with pytest.warns(
        CrystallizeWarning, match="treatment 'typo' of graph 'graph' sets 'scael', which nothing"
    ):
        chain(generate=[Treatment("typo", {"scael": 1})]).run()


def run_unit(run, name, unit, obtain, *, plan=None, outcomes=RECORDED):
    """Run a unit of a graph's experiment, obtaining first what it depends on."""
    inputs = Inputs(obtain(producer, needed) for producer, needed in run.upstream(name, unit))
    return (plan or run.plan(name)).with_inputs(lambda _: inputs).run(unit, outcomes)


def test_units_can_be_pulled_one_by_one(tmp_path):
    """A runner that obtains upstream units itself, in whatever order, gets the same records."""
    treatments = {"generate": [BIG], "fit": [SHRUNK], "evaluate": [STRICT]}
    expected = chain(**treatments).run()
    run = chain([ArtifactPlugin("pulled")], **treatments).settled()
    plans = {name: run.plan(name) for name in run.experiments}
    records = {}

    def pull(name, unit):
        if (name, unit) not in records:
            records[name, unit] = run_unit(run, name, unit, obtain, plan=plans[name])
        return records[name, unit]

    def obtain(name, unit):
        experiment = run.experiments[name]
        version = experiment.plugin(ArtifactPlugin).reserved(experiment)
        return run.upstream_unit(name, pull(name, unit), version)

    for unit in reversed([*units(run.experiments["evaluate"].conditions, range(3))]):
        pull("evaluate", unit)
    for (name, unit), record in records.items():
        (twin,) = (r for r in expected[name].records if (r.replicate, r.condition) == unit)
        assert (record.metrics, record.artifacts, record.seed) == (twin.metrics, twin.artifacts, twin.seed)
    assert ("generate", Unit(0, "big")) in records
    assert ("generate", Unit(0, "strict")) not in records


class Skipped(BaseException):
    pass


def test_what_is_skipped_upstream_is_skipped_downstream():
    """With the reason, and nothing is run."""
    run = chain().settled()

    def obtain(name, unit):
        def skip(ctx):
            raise Skipped("no gpu")

        plan = Experiment(skip, [keep]).run_plan()
        record = plan.run(unit, Outcomes(skips=(Skipped,)))
        return run.upstream_unit(name, record, None)

    record = run_unit(run, "fit", Unit(2, "baseline"), obtain)
    assert record.skipped == "replicate 2 of 'baseline' of experiment 'generate' was skipped: no gpu"
    assert not record.succeeded


def test_exceptions_come_through_if_asked():
    """For a debugger."""
    run = chain(initial={"fails_at": 0}).settled()

    def obtain(name, unit):
        return run.upstream_unit(name, run.plan(name).run(unit), None)

    with pytest.raises(UpstreamError, match="replicate 0 of 'baseline' of experiment 'generate' failed"):
        run_unit(run, "fit", Unit(0, "baseline"), obtain, outcomes=RAISED)


@pytest.mark.filterwarnings("ignore:.* something drew from the global generators")
def test_plugins_may_be_shared_by_experiments_and_runs(tmp_path):
    """Each run of each experiment has a version of its own all the same, also two graphs at the same time."""
    plugin = ArtifactPlugin(tmp_path / "shared")

    async def at_once():
        return await asyncio.gather(*(chain([plugin], replicates=20).arun() for _ in range(3)))

    runs = asyncio.run(at_once())
    assert len({results["evaluate"].digest for results in runs}) == 1
    assert sorted(p.name for p in (tmp_path / "shared" / "fit").iterdir()) == ["v0", "v1", "v2"]
    assert len({results["fit"].version_dir for results in runs}) == 3


def test_a_graph_may_be_run_again():
    """Nothing of the first run is left in it."""
    graph = chain()
    assert graph.run()["evaluate"].digest == graph.run()["evaluate"].digest
