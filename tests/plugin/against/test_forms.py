"""Each form of an experiment at two commits."""

import pytest

FORMS = """
import asyncio
import pkg

def kept():
    return Hypothesis(metric="v", direction="equal", margin=0.1, against=Revision(), name="kept")

def marked(**keywords):
    return pytest.mark.experiment(hypotheses=[kept()], **keywords)

@marked(replicates=12)
async def experiment_async(rng):
    await asyncio.sleep(0)
    return {"v": rng.normal() + pkg.LOSS}

@marked(cases=Cases([{"id": str(i), "x": i} for i in range(12)], id="id"), samples=2)
def experiment_cases(case, rng):
    return {"v": case["x"] + rng.normal() + pkg.LOSS}

@marked(replicates=40, stopping=GroupSequential())
def experiment_looks(rng):
    return {"v": rng.normal() + pkg.LOSS}

@marked(replicates=12)
@pytest.mark.parametrize("a", [1, 2])
def experiment_parameters(rng, a, tmp_path):
    (tmp_path / "x").write_text("1")
    return {"v": a + rng.normal() + pkg.LOSS}

@data_source()
def draw(ctx):
    return ctx.rng.normal()

@pipeline_step()
def step(data, ctx, *, add=0.0):
    return data + add, {"v": data + add + pkg.LOSS}

@pipeline_step()
async def awaited(data, ctx, *, add=0.0):
    await asyncio.sleep(0)
    return data + add, {"v": data + add + pkg.LOSS}

def made(each):
    more = Treatment("more", {"add": 1.0})
    return Experiment(draw(), [each()], treatments=[more], hypotheses=[kept()], replicates=12)

def experiment_factory():
    return made(step)

def experiment_asynchronous_factory():
    return made(awaited)

weights = Artifact.json("weights.json")

@pipeline_step()
def train(data, ctx):
    ctx.artifacts.add("weights.json", [x + ctx.rng.normal() + pkg.LOSS for x in data])
    return data, {"v": ctx.rng.normal() + pkg.LOSS}

@pipeline_step()
def judge(data, ctx):
    return data, {"v": sum(data)}

def experiment_graph():
    return ExperimentGraph(
        Experiment([1, 2], [train], name="train", outputs=[weights], replicates=12, hypotheses=[kept()]),
        Experiment(weights, [judge], name="judge", replicates=12, hypotheses=[kept()]),
    )
"""
TESTS = {"async", "cases", "looks", "parameters", "factory", "asynchronous_factory", "graph"}


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "loss", "status"), [("-n0", 0.0, "supported"), ("-n2", 0.5, "refuted")])
def test_each_form_is_compared(repository, workers, loss, status):
    """What is awaited, on cases, stopped early, with parameters, of a factory, or of a graph."""
    repository.project.write(FORMS)
    repository.commit("v1")
    repository.package(f"LOSS = {loss}\n")
    found, result = repository.compare(workers, apart=True)
    assert {verdict["status"] for verdict in found.values()} == {status}, result.stdout.str()
    assert {test.partition("::")[0].removeprefix("experiment_").partition("[")[0] for test in found} == TESTS
    assert len(found) == 11
    assert found["experiment_looks::kept[baseline]"]["n"] < 40
    assert "with 40 replicates" not in found["experiment_looks::kept[baseline]"]["recorded"]
