"""Runs that are stored as they finish, and taken up again."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crystallize import (
    AsyncExecution,
    BasePlugin,
    Experiment,
    GroupSequential,
    Hypothesis,
    ParallelExecution,
    SeedPlugin,
    SerialExecution,
    Treatment,
    data_source,
    pipeline_step,
)
from crystallize.analysis.digest import digest
from crystallize.errors import CrystallizeWarning
from crystallize.run.impurities import Impurities


@data_source
def numbers(ctx):
    return [1, 2]


@pipeline_step()
def total(data, ctx, *, delta=0.0):
    return data, {"total": sum(data) + delta + ctx.rng.normal()}


@pipeline_step()
async def waits(data, ctx):
    await asyncio.sleep(0)
    return data


@pipeline_step()
def reads(data, ctx):
    return data, {"read": float(Path("data.txt").read_text())}


@pipeline_step()
def draws(data, ctx):
    return data, {"drawn": random.random()}


@pipeline_step()
def unlike(data, ctx):
    return data, {"unlike": int.from_bytes(os.urandom(4), "big")}


@pipeline_step()
def clocked(data, ctx):
    ctx.metrics.add("took", 1.0, measured=True)
    return data


@pipeline_step()
def interrupted(data, ctx):
    if ctx.replicate == 3 and Path("stop").exists():
        raise KeyboardInterrupt
    return data


@pipeline_step()
def breaks(data, ctx):
    if ctx.replicate == 3:
        raise ValueError("broken")
    return data


EXECUTIONS = {
    "serial": SerialExecution,
    "threads": lambda: ParallelExecution(2),
    "processes": lambda: ParallelExecution(2, "process"),
    "async": lambda: AsyncExecution(3),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty directory, where the cache lies too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("crystallize.run.watched_runs.IMPURITIES", Impurities())  # what other tests have left
    return tmp_path


def experiment(*steps, execution=None, **options):
    """Return an experiment of two conditions."""
    plugins = [*options.pop("plugins", ()), *([execution] if execution else [])]
    options = {"treatments": [Treatment("boost", {"delta": 5.0})], "replicates": 6} | options
    return Experiment(numbers, [*steps, total], plugins, **options)


def resumed(result):
    """Return how many records were stored before."""
    return sum(record.cached for record in result.records)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_every_execution_stores_and_resumes(execution):
    """The second time all runs are there, and both results are those of a plain run."""
    made = experiment(*([waits] if execution == "async" else []), execution=EXECUTIONS[execution]())
    plain = made.run()
    first, second = made.run(strategy="resume"), made.run(strategy="resume")
    assert (resumed(plain), resumed(first), resumed(second)) == (0, 0, 12)
    assert digest(plain.records) == digest(first.records) == digest(second.records)
    more = made.run(replicates=9, strategy="resume")
    assert resumed(more) == 12
    assert digest(more.records) == digest(made.run(replicates=9).records)


@pytest.mark.skipif(sys.platform == "win32", reason="names may be as long as paths there")
def test_a_cache_that_can_not_be_looked_at_is_told(place, monkeypatch):
    """Its name is too long for the file system: runs are made, as where it can't be written."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(place / ("x" * 300)))
    with pytest.warns(CrystallizeWarning, match="since its runs are not stored: the cache in .* can't be"):
        result = experiment().run(strategy="resume")
    assert not result.errors


def test_awaited():
    """`arun` takes the strategy too."""
    made = experiment(waits, execution=AsyncExecution(2))
    asyncio.run(made.arun(strategy="resume"))
    assert resumed(asyncio.run(made.arun(strategy="resume"))) == 12
    assert resumed(asyncio.run(experiment().arun(strategy="resume"))) == 0


def test_rerun_leaves_nothing(place):
    """By default nothing is read or written."""
    experiment().run()
    assert not (place / "cache").exists()
    with pytest.raises(ValueError, match="strategy is 'again'; allowed are 'rerun' and 'resume'"):
        experiment().run(strategy="again")


@pytest.mark.parametrize("execution", ["serial", "threads", "async"])
def test_an_interrupt_loses_nothing_that_was_done(place, execution):
    """What was finished is stored; the rest is run, with the result of an uninterrupted run."""
    made = experiment(
        interrupted, *([waits] if execution == "async" else []), execution=EXECUTIONS[execution]()
    )
    whole = made.run()
    (place / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        made.run(strategy="resume")
    (place / "stop").unlink()
    result = made.run(strategy="resume")
    assert 0 < resumed(result) < 12
    assert digest(result.records) == digest(whole.records)


@pytest.mark.slow
def test_a_killed_process_loses_little(place):
    """Runs stored before kill -9 are used by the next process."""
    script = place / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys, time
            from crystallize import Experiment, pipeline_step

            @pipeline_step()
            def step(data, ctx):
                time.sleep(0.02)
                if ctx.replicate == 20 and "STOP" in os.environ:
                    os.kill(os.getpid(), signal.SIGKILL)
                return data, {"x": ctx.rng.normal()}

            if __name__ == "__main__":
                result = Experiment(0, [step], replicates=25).run(strategy="resume")
                print(sum(record.cached for record in result.records))
            """
        )
    )
    command = [sys.executable, str(script)]
    assert subprocess.run(command, env={**os.environ, "STOP": "1"}, check=False).returncode == -signal.SIGKILL
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0 < int(again.stdout) <= 20  # they are stored the less often, the longer it takes


@pytest.mark.parametrize("execution", ["serial", "threads", "processes"])
def test_impure_runs_are_not_stored(place, execution):
    """A warning says why, wherever they run."""
    (place / "data.txt").write_text("1")
    made = experiment(reads, execution=EXECUTIONS[execution]())
    for _ in range(2):
        with pytest.warns(CrystallizeWarning, match=r"not stored: opened data\.txt, which is not declared"):
            assert resumed(made.run(strategy="resume")) == 0


def test_declared_inputs_and_cache_keys(place):
    """What is declared may be read, and a cache_key admits all."""
    for text, expected in (("1", 0), ("1", 12), ("2", 0)):
        (place / "data.txt").write_text(text)
        assert resumed(experiment(reads, inputs=["data.txt"]).run(strategy="resume")) == expected
    for expected in (0, 12):
        assert resumed(experiment(reads, cache_key="a").run(strategy="resume")) == expected


class Shifts(BasePlugin):
    """Hooks that change what runs give."""

    def before_replicate(self, experiment, ctx):
        if ctx.replicate == 3:
            ctx.add("shift", 1.0)


def test_plugins_that_are_set_count_like_those_that_are_given(place):
    """What was stored without them is none of theirs, nor is anything stored of them."""
    made = experiment()
    made.run(strategy="resume")
    made.plugins = [*made.plugins, SerialExecution()]
    assert resumed(made.run(strategy="resume")) == 12
    made.plugins = [*made.plugins, Shifts()]
    with pytest.warns(CrystallizeWarning, match=r"Shifts\.before_replicate is a hook around runs"):
        assert resumed(made.run(strategy="resume")) == 0


def test_generators_without_a_seed():
    """Numbers that no seed repeats are not stored."""
    made = experiment(draws, plugins=[SeedPlugin(auto_seed=False)])
    with pytest.warns(CrystallizeWarning, match="drew from the global generators"):
        made.run(strategy="resume")
    experiment(draws).run(strategy="resume")
    assert resumed(experiment(draws).run(strategy="resume")) == 12


def test_a_result_that_does_not_repeat_is_an_error():
    """A stored run is made again; if it differs, it is an error that names the metric and both values.

    There is one only: of several, more are made again if one has taken far longer than others.
    """
    alone = {"replicates": 1, "treatments": [], "hypotheses": []}
    experiment(unlike, **alone).run(strategy="resume")
    result = experiment(unlike, **alone).run(strategy="resume")
    (error,) = result.errors
    assert "NotRepeatable: metric 'unlike' in replicate" in str(error)
    assert "stored unlike = " in str(error)


def test_measured_metrics():
    """A claim about one is never decided on stored runs."""
    claim = Hypothesis(metric="took", direction="differ")
    experiment(clocked).run(strategy="resume")
    assert resumed(experiment(clocked).run(strategy="resume")) == 12
    assert resumed(experiment(clocked, hypotheses=[claim]).run(strategy="resume")) == 0


def test_measured_metrics_that_a_cache_key_vouches_for(caplog):
    """A claim about one is decided on whole pairs of one session, and it is told when that was."""
    caplog.set_level("INFO", "crystallize")
    claimed = {"hypotheses": [Hypothesis(metric="took", direction="differ")], "cache_key": "1"}
    experiment(clocked, **claimed).run(strategy="resume")
    assert "measured on" not in caplog.text
    assert resumed(experiment(clocked, **claimed).run(strategy="resume")) == 12
    assert "values were measured on 20" in caplog.text


def test_failures_are_not_stored():
    """They are run again."""
    for expected in (0, 10):
        result = experiment(breaks).run(strategy="resume")
        assert resumed(result) == expected
        assert len(result.errors) == 2


def test_early_stopping():
    """Stored runs up to the look that decides are used, no others."""
    made = experiment(
        hypotheses=[Hypothesis(metric="total", direction="increase")],
        stopping=GroupSequential(looks=4),
        replicates=40,
    )
    first, second = made.run(strategy="resume"), made.run(strategy="resume")
    assert len(first.records) == len(second.records) < 80
    assert resumed(second) == len(second.records)


def test_a_cache_that_cannot_be_written(place):
    """A warning says so, and everything runs."""
    (place / "cache").write_text("a file")
    with pytest.warns(CrystallizeWarning, match="the cache in .* can't be"):
        assert resumed(experiment().run(strategy="resume")) == 0
