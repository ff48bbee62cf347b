"""The python blocks of the documents that fixed the API, run as they are written.

A comment that begins with "adapted" says what was changed, and why: a block is a fragment, or has a typing
error. Those of the full workflow are in test_full_workflow.py.
"""

# The blocks keep the imports, names and layout that they have in the documents.
# ruff: noqa: I001, RUF059
# fmt: off

import pytest

pytestmark = [
    # The documents' pipelines are deterministic, so that scipy warns of precision loss: none may get out.
    pytest.mark.filterwarnings("error"),
]


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Run in a directory of its own: artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_000_first_experiment(empty_working_directory):
    """Data source, steps, treatment, verifier, hypothesis, builder, and what one gets."""
    # 1. Datasource

    from crystallize import data_source, FrozenContext

    @data_source
    def fetch_numbers(ctx: FrozenContext) -> list[int]:
        """Return the baseline payload that enters the pipeline."""
        return [0, 0, 0]

    # 2. Pipeline Steps

    from crystallize import pipeline_step

    @pipeline_step()
    def add_delta(data: list[int], ctx: FrozenContext, *, delta: float = 0.0) -> list[float]:
        """Inject a configurable delta (supplied by treatments or defaults)."""
        return [x + delta for x in data]

    @pipeline_step()
    def summarize(data: list[float], ctx: FrozenContext):
        """Record the total while preserving the data for downstream steps."""
        return data, {"total": sum(data)}

    # 3. Treatments & Hypotheses

    from crystallize import treatment, hypothesis, verifier
    from scipy.stats import ttest_ind

    boost_total = treatment("boost_total", {"delta": 10.0})

    @verifier
    def welch_t_test(baseline, treatment, alpha: float = 0.05):
        stat, p_value = ttest_ind(
            treatment["total"], baseline["total"], equal_var=False
        )
        return {"p_value": p_value, "significant": p_value < alpha}

    @hypothesis(verifier=welch_t_test(), metrics="total")
    def order_by_p_value(result: dict[str, float]) -> float:
        return result.get("p_value", 1.0)

    # 4. Assemble and Run

    from crystallize import Experiment, Pipeline, ParallelExecution  # noqa: F401 - as in the document

    experiment = (
        Experiment.builder("basic")
        .datasource(fetch_numbers())
        .add_step(add_delta())
        .add_step(summarize())
        .plugins([ParallelExecution(max_workers=4)])
        .treatments([boost_total()])
        .hypotheses([order_by_p_value])
        .replicates(12)
        .build()
    )

    result = experiment.run()

    # What you get
    assert result.metrics.baseline.metrics["total"] == [0.0] * 12
    assert result.metrics.treatments["boost_total"].metrics["total"] == [30.0] * 12
    verdict = result.get_hypothesis("order_by_p_value").results["boost_total"]
    assert verdict["p_value"] < 0.05
    assert verdict["significant"] is True
    assert verdict["degenerate"]
    assert result.get_hypothesis("order_by_p_value").ranking == ["boost_total"]
    assert not (empty_working_directory / "data").exists()


def test_000_artifacts(empty_working_directory):
    """The default plugin saves artifacts under data/basic/v0/replicate_*."""
    from crystallize import Experiment, pipeline_step

    @pipeline_step()
    def save(data, ctx):
        ctx.artifacts.add("file.txt", b"...")
        return data

    Experiment.builder("basic").datasource(0).add_step(save()).replicates(2).build().run()
    written = sorted(empty_working_directory.glob("data/basic/v0/replicate_*/**/file.txt"))
    assert [path.read_bytes() for path in written] == [b"..."] * 2


def test_000_experiment_graphs(empty_working_directory):
    """Outputs are declared (Artifact) and loaded from downstream experiments via ExperimentGraph."""
    from crystallize import Artifact, Experiment, ExperimentGraph, pipeline_step, treatment

    shifted = Artifact.json("shifted.json")

    @pipeline_step()
    def add_delta(data, ctx, *, delta=0.0):
        ctx.artifacts.add("shifted.json", [x + delta for x in data])
        return data

    @pipeline_step()
    def summarize(data, ctx):
        return data, {"total": sum(data)}

    shift = (
        Experiment.builder("shift")
        .datasource([0, 0, 0])
        .add_step(add_delta())
        .outputs([shifted])
        .treatments([treatment("boost_total", {"delta": 10.0})])
        .build()
    )
    total = Experiment.builder("total").datasource(shifted).add_step(summarize()).replicates(12).build()
    result = ExperimentGraph(shift, total).run()["total"]
    assert result.metrics.baseline.metrics["total"] == [0.0] * 12
    assert result.metrics.treatments["boost_total (v0)"].metrics["total"] == [30.0] * 12
    assert len(list(empty_working_directory.glob("data/shift/v0/replicate_*/*/*/shifted.json"))) == 24


def test_000_variations():
    """The execution is switched by an argument."""
    from crystallize import ParallelExecution

    assert ParallelExecution(executor_type="process").executor_type == "process"


def test_001_minimal_example(capsys):
    """Classes from crystallize.core, one hypothesis as a claim, and its verdict among the metrics."""
    from crystallize.core import Experiment, Pipeline, DataSource, Hypothesis, Treatment
    from crystallize.core.stat_test import WelchTTest  # Example statistical test

    # adapted: "details in later sections"; DataSource(...) stands for a class of one's own
    from crystallize.core import PipelineStep

    class Dataset(DataSource):
        def fetch(self, ctx):
            return ctx.rng.normal(size=20)

    class Train(PipelineStep):
        def __call__(self, data, ctx):
            return data, {"accuracy": data.mean() + 100 * ctx.get("learning_rate", 0.0)}

    # Define components (details in later sections)
    datasource = Dataset()  # e.g., loads a dataset
    pipeline = Pipeline(steps=[Train()])  # e.g., preprocess, train, evaluate
    hypothesis = Hypothesis(metric="accuracy", direction="increase", statistical_test=WelchTTest())
    # adapted: brackets and quotes were out of place
    treatment = Treatment(name="high_lr", apply_fn=lambda ctx: ctx.__setitem__("learning_rate", 0.01))

    # Instantiate and run
    experiment = Experiment(
        datasource=datasource,
        pipeline=pipeline,
        treatments=[treatment],
        hypothesis=hypothesis,
        replicates=5,  # Run 5 times for statistical power
    )
    result = experiment.run()

    # Inspect
    print(result.metrics)  # Dict with baseline and treatment metric samples
    print(result.metrics["hypothesis"])  # e.g., {'p_value': 0.03, 'significant': True, 'accepted': True}

    verdict = result.metrics["hypothesis"]
    assert verdict["p_value"] < 0.05
    assert verdict["significant"] is verdict["accepted"] is True
    printed = capsys.readouterr().out
    assert "baseline.accuracy: mean" in printed
    assert "high_lr.accuracy: mean" in printed


def test_002_adding_treatments(capsys):
    """Treatments of a mapping and of a function; results by name, with the version behind it."""
    # adapted: indented; "the pipeline from the previous tutorial" is repeated
    from crystallize import Experiment, data_source, pipeline_step

    @data_source
    def fetch_numbers(ctx):
        return [0, 0, 0]

    @pipeline_step()
    def summarize(data, ctx):
        return data, {"total": sum(data)}

    from crystallize import treatment, FrozenContext

    boost_total = treatment("boost_total", {"delta": 10.0})

    @treatment("dynamic_delta")
    def dynamic_delta(ctx: FrozenContext):
        ctx.add("delta", ctx.get("delta", 0) + 1.0)

    @pipeline_step()
    def add_delta(data: list[int], ctx: FrozenContext, *, delta: float = 0.0) -> list[float]:
        return [x + delta for x in data]

    experiment = (
        Experiment.builder("with_treatments")
        .datasource(fetch_numbers())
        .add_step(add_delta())
        .add_step(summarize())
        .treatments([boost_total(), dynamic_delta()])
        .replicates(12)
        .build()
    )
    result = experiment.run()
    print(result.metrics.baseline.metrics["total"])
    print(result.metrics.treatments["boost_total (v0)"].metrics["total"])
    print(result.metrics.treatments["dynamic_delta (v0)"].metrics["total"])

    assert capsys.readouterr().out.splitlines() == [str([x] * 12) for x in (0.0, 30.0, 3.0)]


def test_002_combining_treatments_with_a_graph():
    """Treatments of the same parameter, each in the experiment that it is about."""
    from crystallize import Artifact, Experiment, ExperimentGraph, pipeline_step, treatment

    numbers = Artifact.json("numbers.json")

    @pipeline_step()
    def add_delta(data, ctx, *, delta=0.0):
        ctx.artifacts.add("numbers.json", [x + delta for x in data])
        return data

    @pipeline_step()
    def summarize(data, ctx, *, delta=0.0):
        return data, {"total": sum(data) - delta}

    before, after = treatment("boost_total", {"delta": 10.0}), treatment("cut_total", {"delta": 3.0})
    graph = ExperimentGraph(
        Experiment([0, 0, 0], [add_delta], name="add", outputs=[numbers], treatments=[before()]),
        Experiment(numbers, [summarize], name="sum", treatments=[after()]),
    )
    totals = {name: arm.metrics["total"] for name, arm in graph.run()["sum"].metrics.items()}
    assert totals == {"baseline": [0.0], "cut_total": [-3.0], "boost_total": [20.0]}


def test_004_why_crystallize(empty_working_directory):
    """Un-called factories, plugins, treatments set later, and metrics added by a step."""
    # adapted: these names are the document's fragments
    from crystallize import (
        ArtifactPlugin,
        Experiment,
        LoggingPlugin,
        ParallelExecution,
        SeedPlugin,
        Treatment,
        data_source,
        pipeline_step,
    )

    class State:
        def __init__(self, winner, round_number):
            self.winner, self.round_number = winner, round_number

    class Game:
        def __init__(self, config, model, rng):
            self.model, self.rng = model or config["model"], rng

        def run(self):
            aligned = self.rng.random() < (0.9 if "dolphin" in self.model else 0.5)
            return State("aligned" if aligned else "mafia", int(self.rng.integers(1, 9)))

    @data_source
    def my_config(ctx):
        return {"model": "llama3"}

    # 3. Metrics That Travel With Results

    @pipeline_step()
    def run_game(config, ctx):
        game = Game(config, ctx.get("model"), ctx.rng)  # adapted: where the game comes from
        state = game.run()

        # Metrics are bound to this replicate, this treatment
        ctx.metrics.add("win", 1 if state.winner == "aligned" else 0)
        ctx.metrics.add("rounds", state.round_number)

        return state

    # 1. Replicates with Reproducibility

    experiment = Experiment(
        datasource=my_config,
        pipeline=[run_game],
        replicates=10,
        plugins=[SeedPlugin(seed=42)]
    )

    # 2. Treatments as First-Class Citizens

    experiment.treatments = [
        Treatment("dolphin_spoilers", {"model": "dolphin-llama3"}),
        Treatment("gemma_prey", {"model": "gemma3"}),
    ]
    # Runs baseline + all treatments, compares automatically

    # 4. Statistical Comparison Built In

    result = experiment.run()

    # Crystallize aggregates across replicates automatically
    baseline_win_rate = result.metrics.baseline.metrics["win"]  # [0,1,1,0,1,...]
    # adapted: the treatment was named "dolphin_spoilers" above
    treatment_win_rate = result.metrics.treatments["dolphin_spoilers"].metrics["win"]

    assert len(baseline_win_rate) == len(treatment_win_rate) == 10
    assert set(baseline_win_rate) == {0, 1}
    assert sum(treatment_win_rate) > sum(baseline_win_rate)
    # "Six months later, you can reproduce run #7 exactly."
    again = experiment.run()
    assert again.metrics.baseline["rounds"][7] == result.metrics.baseline["rounds"][7]
    assert again.provenance["seeds"][7] == result.provenance["seeds"][7]

    # 5. Plugins for Cross-Cutting Concerns

    plugins = [
        SeedPlugin(seed=42, auto_seed=True),
        LoggingPlugin(verbose=True),
        ArtifactPlugin(root_dir="./data", versioned=True),
        ParallelExecution(max_workers=4),
    ]

    experiment.plugins = plugins  # adapted: so that they are used
    assert experiment.run().digest == result.digest


def test_004_real_example():
    """The experiment has a name, and its treatments are mappings held in variables."""
    from crystallize import Experiment, Treatment, pipeline_step

    # adapted: these names are the document's fragments
    @pipeline_step()
    def run_alignment_lab(config, ctx, *, model=None):
        return config, {"model": model or config["model"]}

    def baseline_config(ctx):
        return {"model": "llama3"}

    dolphin_config, gemma_config = {"model": "dolphin"}, {"model": "gemma"}

    experiment = Experiment(
        name="social_deception",
        datasource=baseline_config,  # All Llama3
        pipeline=[run_alignment_lab],
        replicates=5,
    )

    experiment.treatments = [
        Treatment("dolphin_vs_llama", dolphin_config),
        Treatment("dolphin_vs_gemma", gemma_config),
    ]

    result = experiment.run()
    # Automatic: seeding, metrics collection, treatment comparison

    assert {name: set(m["model"]) for name, m in result.metrics.items()} == {
        "baseline": {"llama3"},
        "dolphin_vs_llama": {"dolphin"},
        "dolphin_vs_gemma": {"gemma"},
    }
