"""Pipelines."""

import pytest

from crystallize import FrozenContext, Pipeline, PipelineStep, pipeline, pipeline_step
from crystallize.context.context import journal_of
from crystallize.errors import DefinitionError, MetricError


@pipeline_step()
def double(data, ctx):
    return data * 2


@pipeline_step()
def report(data, ctx):
    return data, {"value": data, "half": data / 2}


class Logged(PipelineStep):
    """Step that notes that it is called, and fails where it is told to."""

    def __init__(self, label, log, fails=()):
        self.label, self.log, self.fails = label, log, fails

    @property
    def name(self):
        return self.label

    def note(self, what):
        self.log.append(f"{what} {self.label}")
        if what in self.fails:
            raise RuntimeError(f"{what} of {self.label}")

    def setup(self, ctx):
        self.note("setup")

    def __call__(self, data, ctx):
        self.note("call")
        return data

    def teardown(self, ctx):
        self.note("teardown")


def test_every_spelling_of_a_pipeline():
    """One by one or as a list; steps or their factories."""
    for spelled in (pipeline(double, report()), Pipeline([double(), report])):
        ctx = FrozenContext()
        assert spelled.run(3, ctx) == 6
        assert [(e.name, e.value, e.step) for e in ctx.metrics.entries] == [
            ("value", 6, "report"),
            ("half", 3.0, "report"),
        ]
        assert [step.name for step in spelled] == ["double", "report"]
        assert len(spelled) == 2
        assert repr(spelled) == "Pipeline([double, report])"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "needs at least one step"),
        (double, "a list of steps, not of"),
        (double(), "a list of steps, not of"),
        (3, "a list of steps, not of 3"),
        ([double, 3], "3 is not a pipeline step"),
    ],
)
def test_what_is_no_pipeline_is_refused(steps, message):
    """The error shows what was given."""
    with pytest.raises(DefinitionError, match=message):
        Pipeline(steps)


def test_bad_metrics_of_a_step_are_refused_by_name():
    """Name and value are checked as in `metrics.add`."""

    @pipeline_step()
    def train(data, ctx):
        return data, {"model": object()}

    @pipeline_step()
    def numbered(data, ctx):
        return data, {1: 2}

    with pytest.raises(MetricError, match=r"metric 'model' of 'train' holds a builtins.object"):
        Pipeline([train]).run(0, FrozenContext())
    with pytest.raises(MetricError, match="a metric of 'numbered' is named 1"):
        Pipeline([numbered]).run(0, FrozenContext())


def test_setup_and_teardown_bracket_the_steps():
    """Teardown goes in reverse order."""
    log = []
    Pipeline([Logged("a", log), Logged("b", log)]).run(0, FrozenContext())
    assert log == ["setup a", "setup b", "call a", "call b", "teardown b", "teardown a"]


@pytest.mark.parametrize("where", ["setup", "call"])
def test_every_teardown_is_called_if_a_step_fails(where):
    """What happened first is raised, and told to have happened in the step where it did."""
    log = []
    ctx = FrozenContext()
    steps = [Logged("a", log, ("teardown",)), Logged("b", log, (where,)), Logged("c", log, ("teardown",))]
    with pytest.raises(RuntimeError, match=f"{where} of b") as caught:
        Pipeline(steps).run(0, ctx)
    assert log[-3:] == ["teardown c", "teardown b", "teardown a"]
    assert caught.value.__notes__ == [
        "teardown of 'c' failed too: RuntimeError: teardown of c",
        "teardown of 'a' failed too: RuntimeError: teardown of a",
    ]
    assert journal_of(ctx).scope.name == "b"


def test_a_teardown_that_fails_fails_the_run():
    """The first one is raised, the others are notes on it."""
    log = []
    ctx = FrozenContext()
    steps = [Logged("a", log, ("teardown",)), Logged("b", log), Logged("c", log, ("teardown",))]
    with pytest.raises(RuntimeError, match="teardown of c") as caught:
        Pipeline(steps).run(0, ctx)
    assert caught.value.__notes__ == ["teardown of 'a' failed too: RuntimeError: teardown of a"]
    assert journal_of(ctx).scope.name == "c"


def test_setup_call_and_teardown_draw_from_streams_of_their_own():
    """Weights drawn in setup are not the noise drawn in the step."""
    drawn = []

    class Draws(PipelineStep):
        def setup(self, ctx):
            drawn.append(ctx.rng.random())

        def __call__(self, data, ctx):
            drawn.append(ctx.rng.random())

        teardown = setup

    Pipeline([Draws()]).run(0, FrozenContext())
    assert len(set(drawn)) == 3
