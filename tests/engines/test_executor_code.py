"""Units on executors of the user's: code, values and environments of the other process."""

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest
from executors import SLOW, experiment, keeps, numbers, outcome

from crystallize import (
    ArtifactPlugin,
    ExecutorExecution,
    Experiment,
    Treatment,
    hypothesis,
    pipeline_step,
    resource_factory,
    treatment,
    verifier,
)
from crystallize.errors import CrystallizeWarning, EngineError, NotPicklableError

pytestmark = [
    pytest.mark.usefixtures("empty_working_directory"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@treatment("more")
def more(ctx):
    ctx.add("n", 6)


@resource_factory
def scale(ctx):
    return 2.0


@pipeline_step()
def with_resource(data, ctx, *, factor=scale):
    ctx.record("y", float(data.max()) * factor)
    return data


@verifier
def always(baseline, treatment):
    return {"p_value": 0.5, "significant": False}


@hypothesis(verifier=always(), metrics="y")
def by_p_value(result):
    return result["p_value"]


def test_what_decorators_made_is_sent_by_name():
    """With the function that stands behind a name which now holds a step, a treatment, a resource."""

    def run(*execution):
        return Experiment(
            numbers, [with_resource], execution, treatments=[more], hypotheses=[by_p_value], replicates=4
        ).run()

    with ProcessPoolExecutor(2) as pool:
        assert outcome(run(ExecutorExecution(pool))) == outcome(run())


@SLOW
def test_code_of_the_script_is_sent_where_cloudpickle_is_installed():
    """Functions that no module holds reach processes that are not forked, too."""
    loky = pytest.importorskip("loky")
    step = pipeline_step()(lambda data, ctx: (data, {"y": data.sum()}))
    with loky.ProcessPoolExecutor(1) as pool:
        sent = experiment(ExecutorExecution(pool), step).run()
    assert sent.errors == ()
    assert sent.digest == experiment(None, step).run().digest


def test_what_can_not_be_sent_is_named():
    """Whatever the executor makes of the exception."""
    lock = Treatment("locked", {"delta": 1.0})
    lock.payload["delta"] = threading.Lock()
    with ProcessPoolExecutor(1) as pool, pytest.raises(NotPicklableError, match="treatment 'locked'"):
        experiment(ExecutorExecution(pool), treatments=[lock]).run()


def test_declared_files_that_are_not_there_are_not_compared(tmp_path, monkeypatch):
    """In one process they only keep runs from being stored, too."""
    monkeypatch.chdir(tmp_path)
    with ProcessPoolExecutor(1) as pool:
        result = experiment(ExecutorExecution(pool), inputs=["missing/*.csv"]).run()
    assert outcome(result) == outcome(experiment(None).run())


def test_a_process_with_other_values_refuses():
    """What units use is compared where they run, before the first of them."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(change, 2.0).result()
        with pytest.raises(EngineError, match=r"has other code .*: \S*SCALE changed"):
            experiment(ExecutorExecution(pool), scaled).run()
        pool.submit(change, 1.0).result()
        assert experiment(ExecutorExecution(pool), scaled).run().errors == ()


SCALE = 1.0


def change(value):
    global SCALE
    SCALE = value


@pipeline_step()
def scaled(data, ctx):
    return data * SCALE


class Measuring(ArtifactPlugin):
    """Plugin with hooks of its own around units, unlike the class that acts at home."""

    def after_step(self, experiment, step, data, ctx):
        ctx.metrics.add(f"after_{step.name}", 1.0)


def test_hooks_that_a_subclass_adds_are_called_where_units_run():
    """It is sent, since it does more with a unit than to write its artifacts."""
    plugins = [Measuring("kept")]
    with ProcessPoolExecutor(1) as pool:
        result = experiment(ExecutorExecution(pool), keeps, plugins=plugins).run()
    assert result.digest == experiment(None, keeps, plugins=plugins).run().digest
    assert result.metrics.baseline["after_keeps"] == [1.0] * 10


@pipeline_step()
def imports_late(data, ctx):
    import colorsys  # installed, and loaded by the first unit that runs

    return data, {"y": colorsys.rgb_to_hsv(0.1, 0.2, 0.3)[2]}


def test_a_late_import_of_what_is_installed_is_no_change():
    """Whether a module is loaded already says nothing of the code that imports it."""
    with ProcessPoolExecutor(1) as pool:
        for _ in range(2):
            result = experiment(ExecutorExecution(pool), imports_late).run(strategy="resume")
            assert not any(record.impure for record in result.records)
    assert sum(record.cached for record in result.records) == 20


@SLOW
def test_another_environment_is_told_and_not_stored(monkeypatch):
    """Here one that says that libraries compute on another number of threads."""
    loky = pytest.importorskip("loky")
    with loky.ProcessPoolExecutor(1, env={"OMP_NUM_THREADS": "3"}) as pool:
        made = experiment(ExecutorExecution(pool))
        with pytest.warns(CrystallizeWarning, match="threads of libraries"):
            result = made.run()
    assert all("environment is another" in record.impure for record in result.records)
    assert result.digest == experiment(None).run().digest


@SLOW
def test_verification_elsewhere_is_no_difference(monkeypatch):
    """What another environment gives is not compared with what is stored here."""
    loky = pytest.importorskip("loky")
    here = experiment(None).run(strategy="resume")
    with loky.ProcessPoolExecutor(1, env={"OMP_NUM_THREADS": "3"}) as pool, pytest.warns(CrystallizeWarning):
        again = experiment(ExecutorExecution(pool)).run(strategy="resume")
    assert again.errors == ()
    assert again.digest == here.digest


SCRIPT = """
    import sys
    from concurrent.futures import ProcessPoolExecutor
    from dataclasses import dataclass
    from enum import Enum
    from crystallize import *

    class Mode(Enum):
        FAST = 1
        SLOW = 2

    @dataclass(frozen=True)
    class Size:
        rows: int

    @data_source
    def numbers(ctx):
        return ctx.rng.normal(size=3)

    def helper(data):
        return float(data.sum())

    @pipeline_step()
    def work(data, ctx, *, mode=Mode.SLOW):
        return data, {"m": helper(data) + (5.0 if mode is Mode.FAST else 0.0) + ctx.rng.normal()}

    class Sized(PipelineStep):
        def __init__(self, size):
            self.size = size

        def __call__(self, data, ctx):
            return data, {"rows": self.size.rows}

    def run(*plugins):
        return Experiment(numbers, [work, Sized(Size(3))], plugins,
                          treatments=[Treatment("fast", {"mode": Mode.FAST})], replicates=8).run()

    if __name__ == "__main__":
        if sys.argv[1] == "loky":
            from loky import ProcessPoolExecutor
        with ProcessPoolExecutor(2) as pool:
            result = run(ExecutorExecution(pool))
        print([str(e) for e in result.errors], result.digest == run().digest)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loky", "standard"])
def test_what_stands_in_the_script_is_the_same_everywhere(tmp_path, kind):
    """Functions, classes, members of enumerations: with the identity that they have here."""
    pytest.importorskip("loky")
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, "script.py", kind], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[] True\n", done.stderr
