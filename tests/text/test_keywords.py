"""Constructors say which keywords they have, and read what can be read only once only once."""

import pytest

from crystallize import (
    Artifact,
    Experiment,
    ExperimentGraph,
    Hypothesis,
    LoggingPlugin,
    Objective,
    Treatment,
    hypothesis,
    pipeline_step,
    verifier,
)
from crystallize.errors import DefinitionError


@pipeline_step()
def measure(data, ctx, *, delta=0.0):
    return data, {"x": delta + ctx.rng.normal()}


def claim(**options):
    return Hypothesis(metric="x", direction="increase", **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hypothesis(metrc="x"), "Hypothesis has no keyword 'metrc'; did you mean 'metric'?"),
        (
            lambda: Experiment(seed=1),
            "'seed': a root seed is given by plugins=[SeedPlugin(seed=...)]; its keywords",
        ),
        (lambda: Treatment("t", {}, opt=1), "Treatment has no keyword 'opt'; "),
        (lambda: claim(test=3), "Hypothesis has no keyword 'test'; did you mean 'statistical_test'?"),
        (lambda: Experiment(0, [measure], replicats=3), "no keyword 'replicats'; did you mean 'replicates'?"),
    ],
)
def test_an_unknown_keyword_is_refused_with_those_there_are(make, message):
    """And with the one that may be meant."""
    with pytest.raises(DefinitionError) as caught:
        make()
    assert message in str(caught.value)
    assert "its keywords are " in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Experiment([measure]),
            "Experiment is not given 'pipeline'; its arguments are datasource, pi",
        ),
        (lambda: Experiment(pipeline=[measure]), "Experiment is not given 'datasource'; its arguments are "),
        (lambda: Treatment(apply={}), "Treatment is not given 'name'; its arguments are name, apply"),
    ],
)
def test_a_missing_argument_is_told_with_those_there_are(make, message):
    """Of the class that the user knows, not of the one that it is made of."""
    with pytest.raises(DefinitionError) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Hypothesis(metric="x", direction="up"),
        lambda: Treatment("t", 3),
        lambda: Experiment(0, []),
        lambda: Experiment(0, [measure], replicats=3),
    ],
)
def test_a_refusal_shows_the_line_that_constructs(make):
    """Of the library no more than the line that refuses follows it, which pytest leaves out."""
    with pytest.raises(DefinitionError) as caught:
        make()
    ours = caught.traceback[2:]
    assert len(ours) == 1
    assert caught.traceback.filter(caught)[-1].path.name == "test_keywords.py"


SPELLINGS = {
    "list": [Treatment("up", {"delta": 1.0})],
    "one": Treatment("up", {"delta": 1.0}),
    "mapping": {"up": {"delta": 1.0}},
    "mapping to a treatment": {"up": Treatment("up", {"delta": 1.0})},
    "generator": (t for t in [Treatment("up", {"delta": 1.0})]),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_treatments_are_given_as_in_a_mark(spelling):
    """To the experiment, its builder, a run, and a graph."""
    given = tuple(SPELLINGS[spelling]) if spelling == "generator" else SPELLINGS[spelling]

    def once():
        return iter(given) if spelling == "generator" else given

    experiment = Experiment(0, [measure], treatments=once())
    builder = Experiment.builder().datasource(0).add_step(measure).treatments(once())
    graph = ExperimentGraph(experiment, treatments=once())
    for made in (experiment, builder.build(), builder.build(), *graph.settled().experiments.values()):
        assert made.conditions == ("baseline", "up")
    assert list(experiment.run(treatments=once()).metrics.treatments) == ["up"]


@pytest.mark.parametrize(
    ("treatments", "message"),
    [
        ([{"delta": 1.0}], "give Treatment('name', {'delta': 1.0}), or a mapping of names to changes"),
        ("up", "the treatments of 'up' are in no known format; a file of treatments ends in .yaml, "),
        (3, "treatments=3; give a list"),
        (None, "treatments=None; give a list"),
        ({"down": Treatment("up", {"delta": 1.0})}, "holds treatment 'up' under the name 'down'"),
        ({"up": 3}, "treatment 'up' changes the context by 3"),
    ],
)
def test_other_treatments_are_refused(treatments, message):
    """By the experiment and by its builder, which say what is allowed."""
    for refuse in (
        lambda: Experiment(0, [measure], name="e", treatments=treatments),
        lambda: Experiment.builder("e").treatments(treatments),
    ):
        with pytest.raises(DefinitionError) as caught:
            refuse()
        assert message in str(caught.value)
        assert str(caught.value).startswith("experiment 'e': ")


def test_what_can_be_read_once_is_read_once():
    """By a builder that builds twice, a decorator that decorates twice, an objective, a graph."""
    builder = (
        Experiment.builder("e")
        .datasource(0)
        .pipeline(iter([measure]))
        .treatments(iter([Treatment("up", {"delta": 1.0})]))
        .hypotheses(claim(name=name) for name in "ab")
        .plugins(iter([LoggingPlugin()]))
        .outputs(iter([Artifact("a.json")]))
        .inputs(iter(["*.csv"]))
        .env(iter(["HOME"]))
    )
    for built in (builder.build(), builder.build()):
        assert len(built.treatments) == len(built.given_plugins) == len(built.outputs) == 1
        assert [h.name for h in built.hypotheses] == ["a", "b"]
        assert (built.caching.inputs, built.caching.env) == (("*.csv",), ("HOME",))

    @verifier
    def nothing(baseline, treatment):
        return {"p_value": 1.0, "significant": False}

    decorate = hypothesis(verifier=nothing, metrics=iter(["x", "y"]))
    assert decorate(lambda r: 0).metrics == decorate(lambda r: 0).metrics == ("x", "y")
    objective = Objective(iter(["x", "y"]), iter(["minimize", "maximize"]))
    assert objective.directions == objective.directions == {"x": "minimize", "y": "maximize"}
