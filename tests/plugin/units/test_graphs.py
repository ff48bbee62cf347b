"""Graphs of experiments, and asynchronous steps, under pytest."""

import runpy
from string import Template

import pytest

from crystallize import stored_versions

CHAIN = Template("""
weights, scores = Artifact.json("weights.json"), Artifact.json("scores.json")

@pipeline_step()
def train(data, ctx, *, rate=1.0):
    with open("log", "a") as log:
        print(f'["train", {ctx.replicate}, "{ctx.condition}"]', file=log)
    $train
    fitted = [rate * x + ctx.rng.normal() * rate for x in data]
    ctx.artifacts.add("weights.json", fitted)
    return data, {"loss": sum(fitted)}

@pipeline_step()
def score(data, ctx):
    total = sum(data) + ctx.rng.normal()
    ctx.artifacts.add("scores.json", total)
    return data, {"score": total}

@pipeline_step()
def judge(data, ctx):
    return data, {"final": data * 2 + ctx.rng.normal()}

def experiment_chain():
    return ExperimentGraph(
        Experiment([1, 2], [train], name="train", outputs=[weights], replicates=8,
                   treatments=[Treatment("fast", {"rate": 5.0})],
                   hypotheses=[Hypothesis(metric="loss", direction="increase")]),
        Experiment(weights, [score], name="score", outputs=[scores], replicates=8),
        Experiment(scores, [judge], name="judge", replicates=8,
                   hypotheses=[Hypothesis(metric="final", direction="increase")]),
    )
""")
ITEMS = ["train.loss_increase[fast]", "score.replicates", "judge.final_increase[fast]"]

WAITING = Template("""
import asyncio

running = most = 0

@pipeline_step()
async def wait(data, ctx, *, delta=0.0):
    global running, most
    running += 1
    most = max(most, running)
    for _ in range(5):
        await asyncio.sleep(0)
    running -= 1
    $draw
    return data, {"total": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

def experiment_waiting():
    return Experiment([1], [wait], replicates=24, treatments=[Treatment("boost", {"delta": 9.0})],
                      hypotheses=[Hypothesis(metric="total", direction="increase")])
""")


def chain(project, train="pass"):
    project.write(CHAIN.substitute(train=train))


def digests(result):
    return sorted(line for line in result.outlines if line.startswith("  digest"))


def test_experiments_downstream_give_what_they_give_in_the_library(project):
    """Their seeds are drawn from the stream of their place in the graph, once."""
    chain(project)
    project.run("--crystallize-report=report.json")
    made = runpy.run_path(str(project.path / "experiment_a.py"))["experiment_chain"]().run()
    found = {each["name"]: each["samples"] for each in project.json("report.json")["experiments"]}
    for name, metric in (("train", "loss"), ("score", "score"), ("judge", "final")):
        metrics = made[name].metrics
        known = found[f"experiment_chain: {name}"][metric]
        assert known["baseline"] == metrics.baseline[metric]
        assert known["fast"] == metrics.treatments["fast"][metric]


def test_every_experiment_of_a_graph_has_its_items(project):
    """The hypotheses of every experiment are tests; treatments reach the experiments downstream."""
    chain(project)
    result = project.run("-v")
    result.assert_outcomes(passed=3)
    for item in ITEMS:
        result.stdout.fnmatch_lines([f"experiment_a.py::experiment_chain::{item.replace('[', '[[]')} *"])
    assert len(project.log()) == 16


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_selected_item_pulls_what_is_upstream(project, is_async):
    """A node id of an experiment downstream runs the experiments that it depends on, each unit once."""
    chain(project)
    if is_async:
        path = project.path / "experiment_a.py"
        path.write_text(path.read_text().replace("def train(", "async def train("))
    everything = project.run("-v")
    (project.path / "log").unlink()
    alone = project.run("-v", f"experiment_a.py::experiment_chain::{ITEMS[2]}")
    alone.assert_outcomes(passed=1)
    assert set(digests(alone)) < set(digests(everything))
    assert len(project.log()) == len({tuple(entry) for entry in project.log()}) == 16


@pytest.mark.slow
def test_graph_on_workers(project):
    """Two workers run every unit of a graph of three experiments once, to the same digests."""
    chain(project)
    serial = project.run("-v")
    (project.path / "log").unlink()
    result = project.run_workers("-v")
    result.assert_outcomes(passed=3)
    assert digests(result) == digests(serial)
    assert len(project.log()) == len({tuple(entry) for entry in project.log()}) == 16
    versions = sorted((project.path / ".pytest_cache/d/crystallize/artifacts/train").iterdir())
    assert len(versions) == 2  # one a session
    stored = stored_versions("train", project.path / ".pytest_cache/d/crystallize/artifacts")
    assert [version.complete for version in stored] == [True, True]
    assert [len(version.artifacts) for version in stored] == [16, 16]


def test_what_fails_upstream_is_missing_downstream(project):
    """A replicate that failed upstream is missing evidence downstream, told without our own traceback."""
    chain(project, "if ctx.replicate == 3 and rate > 1: raise ValueError('boom')")
    result = project.run()
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*1 of 8 replicates of 'fast' are missing: replicate 3 failed with ValueError: boom",
            "UpstreamError: replicate 3 of 'fast' of experiment 'train' failed in 'train': ValueError: boom",
        ]
    )
    result.stdout.no_fnmatch_line("*/crystallize/*")


@pytest.mark.slow
def test_what_kills_a_worker_upstream(project):
    """A replicate upstream that ends its process is not run again, and ends no other."""
    chain(project, "if ctx.replicate == 3 and rate > 1: os._exit(1)")
    result = project.run_workers()
    result.assert_outcomes(failed=3)
    assert len(project.log()) == 16


def test_repeat_one_unit_of_a_graph(project):
    """The line that repeats a unit runs it with what it depends on."""
    chain(project)
    result = project.run(
        f"experiment_a.py::experiment_chain::{ITEMS[2]}", "--crystallize-repro", "3:fast", "-rs"
    )
    result.assert_outcomes(skipped=1)
    assert project.log() == [["train", 3, "fast"]]


def test_a_graph_that_cannot_be_run_is_a_collection_error(project):
    """A cycle, or an artifact that nobody writes, is told in one line with its place."""
    project.write(
        """
        def experiment_odd():
            return ExperimentGraph(Experiment(Artifact("a.bin"), [pipeline_step()(lambda d, c: d)]))
        """
    )
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["experiment_a.py:*: graph 'graph': experiment 'experiment' reads artifact 'a.bin'*"]
    )


@pytest.mark.parametrize(("concurrency", "most"), [(None, 20), (1, 1), (3, 6)])
def test_asynchronous_replicates_share_a_loop(project, concurrency, most):
    """Replicates with asynchronous steps wait together, as many as the ini file allows; numbers stay."""
    if concurrency:
        project.ini(f"crystallize_max_concurrency = {concurrency}\n")
    project.write(WAITING.substitute(draw='with open("log", "a") as log: print(most, file=log)'))
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    assert max(project.log()) == most
    result.stdout.fnmatch_lines(["  digest baseline=c78f60d51b12e489 boost=*0ddafd2467f4"])


def test_global_generators_of_asynchronous_replicates(project):
    """What they draw from the global generators is each one's own, whatever others draw meanwhile."""
    project.write(WAITING.substitute(draw="ctx.metrics.add('drawn', random.random() + np.random.normal())"))
    one_by_one = project.run("-v", "-o", "crystallize_max_concurrency=1")
    together = project.run("-v", "-W", "error")
    together.assert_outcomes(passed=1)
    assert digests(together) == digests(one_by_one) != []


def test_an_asynchronous_replicate_that_fails(project):
    """It is told like any other, and the others go on."""
    project.write(WAITING.substitute(draw="if ctx.replicate == 5: raise ValueError('bad luck')"))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*1 of 24 replicates of 'baseline' are missing: *", "*raise ValueError('bad luck')*"]
    )
