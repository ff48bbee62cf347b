"""Ways to run the units of an experiment."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crystallize import (
    ArtifactPlugin,
    BasePlugin,
    Experiment,
    Hypothesis,
    ParallelExecution,
    SeedPlugin,
    SerialExecution,
    Treatment,
    data_source,
    pipeline_step,
    verifier,
)
from crystallize.errors import CrystallizeWarning, DefinitionError, NotPicklableError
from crystallize.run.plugins import execution as module

pytestmark = [
    # Whether a test runner has threads is not the library's business.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@data_source
def numbers(ctx, *, n=3):
    return ctx.rng.normal(size=n)


@pipeline_step()
def private(data, ctx, *, delta=0.0):
    return data, {"x": float(data.sum()) + delta + ctx.rng.random(), "seed": ctx.seed}


@pipeline_step()
def public(data, ctx):
    """Draw from the global generators."""
    ctx.record("public", random.random() + np.random.random())  # noqa: NPY002
    return data


@pipeline_step()
def dies(data, ctx, *, how="exit", at=3):
    if ctx.replicate == at and ctx.condition == "boost":
        if how == "exit":
            os._exit(7)
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)  # until the signal arrives
    ctx.artifacts.add("done.txt", b"done")
    return data


@pipeline_step()
def fails(data, ctx):
    if ctx.replicate == 1:
        raise ValueError("in the worker")
    return data


class WithoutReturn(BasePlugin):
    def __setstate__(self, state):
        raise RuntimeError("made for one process")

    def __getstate__(self):
        return {"some": "state"}


BOOST = Treatment("boost", {"delta": 1.0})
UP = Hypothesis(metric="x", direction="increase")


def experiment(execution, *steps, **options):
    plugins = [execution] if execution is not None else []
    return Experiment(
        numbers,
        [*(steps or (private,))],
        [*plugins, *options.pop("plugins", ())],
        name=options.pop("name", "parallel"),
        **({"treatments": [BOOST], "hypothesis": UP, "replicates": 10} | options),
    )


def outcome(result):
    return result.digest, repr(result.metrics), repr(result.hypotheses), [str(e) for e in result.errors]


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("workers", [1, 3])
def test_parallel_runs_are_those_of_a_serial_one(kind, workers):
    """Bit for bit, with errors and verdicts, however many workers there are."""
    serial = experiment(SerialExecution(), private, fails).run()
    parallel = experiment(ParallelExecution(workers, kind), private, fails).run()
    assert outcome(parallel) == outcome(serial)
    assert [r.metrics for r in parallel.records] == [r.metrics for r in serial.records]
    assert [r.scopes for r in parallel.records] == [r.scopes for r in serial.records]


def test_processes_repeat_what_is_drawn_from_the_global_generators():
    """Every process has its own."""
    serial = experiment(SerialExecution(), private, public).run()
    parallel = experiment(ParallelExecution(2, "process"), private, public).run()
    assert outcome(parallel) == outcome(serial)


def test_threads_warn_of_draws_from_the_global_generators():
    """Once, since they can't be kept apart; what is drawn from `ctx.rng` is right all the same."""
    serial = experiment(SerialExecution()).run()
    with pytest.warns(
        CrystallizeWarning, match="parallel: something drew from the global generators"
    ) as caught:
        parallel = experiment(ParallelExecution(2), private, public).run()
    assert len(caught) == 1
    assert parallel.metrics.baseline["x"] == serial.metrics.baseline["x"]


def both_at_once(draw):
    """Return what two runs record that draw while the other one is under way."""
    barrier = threading.Barrier(2, timeout=60)

    def meets(data, ctx):
        barrier.wait()
        return data, {"x": draw(ctx)}

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(Experiment(0, [pipeline_step()(meets)], replicates=3).run) for _ in range(2)]
        return [run.result().metrics.baseline["x"] for run in runs]


def test_runs_at_the_same_time_warn_of_draws_from_the_global_generators():
    """Each seeds them for itself, and neither knows what it was given; they are put back behind both."""
    state = random.getstate()
    with pytest.warns(CrystallizeWarning, match="something drew .* another run was under way") as caught:
        both_at_once(lambda ctx: random.random())
    assert len(caught) == 2
    assert random.getstate() == state


def test_runs_at_the_same_time_that_draw_from_ctx_rng_do_not_warn():
    """Their numbers are their own; nor does one warn that a step of another runs."""
    state = random.getstate()
    first, second = both_at_once(lambda ctx: ctx.rng.random())
    assert first == second
    assert random.getstate() == state
    draws = pipeline_step()(lambda data, ctx: (data, {"x": random.random()}))

    def nests(data, ctx):
        drawn = random.random()
        Experiment(0, [draws]).run()
        return data, {"x": drawn + random.random()}

    twice = pipeline_step()(lambda data, ctx: (data, {"x": random.random() + random.random()}))
    nested = Experiment(0, [pipeline_step()(nests)], replicates=3).run()
    assert nested.digest == Experiment(0, [twice], replicates=3).run().digest


@pytest.mark.parametrize("plugins", [[], [SeedPlugin(auto_seed=False)]])
def test_threads_that_draw_from_ctx_rng_do_not_warn(plugins):
    """Nor does a run that seeds nothing."""
    state = random.getstate()
    experiment(ParallelExecution(2), plugins=plugins).run()
    assert random.getstate() == state


def test_a_seed_fn_that_seeds_the_globals_under_threads_is_warned_about():
    """It can't keep them apart either."""
    random.seed("as no unit is seeded")  # an earlier test may have left what the last unit seeds
    with pytest.warns(CrystallizeWarning, match="under threads"):
        experiment(ParallelExecution(2), plugins=[SeedPlugin(seed_fn=random.seed)]).run()


@pytest.mark.parametrize("how", ["exit", "SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("at", [0, 4, 9])
def test_a_process_that_dies_costs_its_unit_only(how, at, empty_working_directory):
    """The unit is an error, every other one is there, and the hypothesis misses what is missing."""
    if how == "SIGTERM" and sys.platform == "win32":
        pytest.skip("there is no such signal")
    result = experiment(ParallelExecution(2, "process"), private, dies(how=how, at=at)).run()
    lost = [(e.condition, e.replicate, e.step) for e in result.errors]
    assert ("boost", at, "process") in lost
    if how != "SIGTERM":  # that is also how the pool ends the other processes: all that ran are suspects
        assert len(lost) == 1
        assert ("exit code 7" if how == "exit" else "SIGKILL") in result.errors[0].message
    assert len(lost) <= 2
    assert len(result.records) == 20
    serial = experiment(SerialExecution()).run()
    survivors = [i for i in range(10) if ("boost", i, "process") not in lost]
    boosted = result.metrics.treatments["boost"]["x"]
    assert [boosted[i] for i in survivors] == [serial.metrics.treatments["boost"]["x"][i] for i in survivors]
    assert result.metrics["hypothesis"]["verdict"] == "invalid"
    written = list(empty_working_directory.glob("data/parallel/*/replicate_*/*/dies/done.txt"))
    # A suspect may have ended in the moment that the pool did: its record is an error, its file is there.
    assert 20 - len(lost) <= len(written) <= 19
    assert {path.parts[-5] for path in written} == {"v0"}


def test_every_unit_that_kills_its_process_is_named():
    """However many there are."""
    result = experiment(ParallelExecution(2, "process"), dies_always, treatments=[], hypothesis=None).run()
    assert [(e.replicate, e.step) for e in result.errors] == [(i, "process") for i in range(10)]


@pipeline_step()
def dies_always(data, ctx):
    os._exit(1)


def unpicklable():
    return threading.Lock()


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"datasource": lambda ctx: 0}, "the data source"),
        ({"pipeline": [private, public(), pipeline_step()(lambda data, ctx: data)]}, "step '<lambda>'"),
        ({"treatments": [BOOST, Treatment("odd", lambda ctx: None)]}, "treatment 'odd'"),
        ({"initial_ctx": {"fine": 1, "odd": lambda: 0}}, "key 'odd' of initial_ctx"),
        ({"plugins": [SeedPlugin(seed_fn=lambda seed: None)]}, "seed_fn of the SeedPlugin"),
        ({"plugins": [type("Local", (BasePlugin,), {})()]}, "plugin Local"),
    ],
)
def test_what_can_not_be_sent_to_a_process_is_named(parts, named):
    """The error says what to do."""
    options = {"datasource": numbers, "pipeline": [private]} | parts
    options["plugins"] = [ParallelExecution(2, "process"), *options.get("plugins", ())]
    with pytest.raises(
        NotPicklableError, match=f"{named} of experiment 'e' can't be sent to a process: .*top level"
    ):
        Experiment(name="e", **options).run()


def test_hypotheses_stay_at_home():
    """A verifier may be anything, since no worker needs it."""

    @verifier
    def local(baseline, treatment):
        return {"p_value": 0.5, "significant": False}

    claimed = Hypothesis(local, "x", ranker=lambda result: 0.0)
    result = experiment(ParallelExecution(2, "process"), hypothesis=claimed).run()
    assert result.metrics["hypothesis"]["verdict"] == "inconclusive"


def test_what_can_not_be_rebuilt_in_a_process_is_told():
    """The reason comes from the worker."""
    with pytest.raises(
        NotPicklableError, match="can't be rebuilt in another process: RuntimeError: made for one"
    ):
        experiment(ParallelExecution(2, "process"), plugins=[WithoutReturn()]).run()


class Interrupt(Exception):
    """Stand-in for Ctrl-C where a thread must not raise KeyboardInterrupt."""


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_interrupt_leaves_nothing_running(kind, monkeypatch):
    """What has not begun is cancelled, processes end, and the interrupt comes through."""
    before = set(multiprocessing.active_children())
    threads = threading.active_count()  # those of other tests may be there, too

    def interrupted(items, total, label):
        for item in items:
            yield item
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "progress", interrupted)
    ran.clear()
    with pytest.raises(KeyboardInterrupt):
        experiment(ParallelExecution(2, kind), slow, replicates=500, treatments=[], hypothesis=None).run()
    assert set(multiprocessing.active_children()) <= before
    assert len(ran) < 400
    assert threading.active_count() < threads + 20


ran = []


@pipeline_step()
def slow(data, ctx):
    ran.append(ctx.replicate)
    if ctx.replicate > 40:  # only being terminated ends a process in time; a thread can't be, and goes on
        time.sleep(0.2 if multiprocessing.parent_process() is None else 600)
    return data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_workers": 0}, "max_workers is 0; give a positive integer"),
        ({"max_workers": 1.5}, "max_workers is 1.5"),
        ({"max_workers": True}, "max_workers is True"),
        ({"executor_type": "fiber"}, "executor_type is 'fiber'; allowed are 'thread' and 'process'"),
    ],
)
def test_arguments_are_checked(arguments, message):
    """The error says what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        ParallelExecution(**arguments)


def test_conditions_rotate_within_a_replicate():
    """Each is first as often as any other, and the seeds are the same."""
    order = []

    @pipeline_step()
    def note(data, ctx, *, delta=0.0):
        order.append(ctx.condition)
        return data, {"seed": ctx.seed}

    others = [Treatment(name, {"delta": 1.0}) for name in "ab"]
    result = experiment(None, note, treatments=others, hypothesis=None, replicates=3).run()
    assert order == ["baseline", "a", "b", "a", "b", "baseline", "b", "baseline", "a"]
    assert len({tuple(m["seed"]) for m in result.metrics.values()}) == 1


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    """And only if tqdm is there."""
    pytest.importorskip("tqdm")
    items = [1, 2]
    assert module.progress(items, 2, "label") is items
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(module.progress(items, 2, "label")) == items
    assert module.progress(items, 2, "label") is not items
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert module.progress(items, 2, "label") is items


def test_artifacts_of_processes_go_to_one_version(tmp_path):
    """Whoever writes; and a run without artifacts leaves nothing."""
    plugin = ArtifactPlugin(tmp_path / "kept")
    experiment(ParallelExecution(2, "process"), private, dies(at=-1), plugins=[plugin]).run()
    assert [p.name for p in (tmp_path / "kept" / "parallel").iterdir()] == ["v0"]
    experiment(ParallelExecution(2, "process"), plugins=[ArtifactPlugin(tmp_path / "empty")]).run()
    assert not (tmp_path / "empty").exists()


SCRIPT = """
import time
from crystallize import Experiment, ParallelExecution, pipeline_step

@pipeline_step()
def slow(data, ctx):
    print("running", flush=True)
    time.sleep({seconds})
    return data

if __name__ == "__main__":
    Experiment(0, [slow], [ParallelExecution(2, {kind!r})], replicates=1000).run()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal for one process")
@pytest.mark.parametrize(("kind", "seconds"), [("process", 100), ("thread", 0.1)])
@pytest.mark.parametrize("whom", [os.kill, os.killpg], ids=["parent", "group"])
def test_ctrl_c_ends_a_run_at_once(tmp_path, kind, seconds, whom):
    """Also if the signal reaches the parent alone; no process stays behind."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(kind=kind, seconds=seconds))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, script], **pipes, start_new_session=True) as process:
        try:
            assert process.stdout.read(7) == b"running"
            whom(process.pid, signal.SIGINT)
            _, errors = process.communicate()  # the pipes close when the last process has ended
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in errors


UNGUARDED = """
import multiprocessing
from crystallize import Experiment, ParallelExecution, pipeline_step

multiprocessing.set_start_method("spawn", force=True)

@pipeline_step()
def total(data):
    return data, {"total": sum(data)}

Experiment([1, 2], [total], [ParallelExecution(2, "process")], replicates=4).run()
"""


@pytest.mark.slow
def test_a_script_without_main_guard_is_told_so_once(tmp_path):
    """Where processes import the script that starts them: one traceback, of the script itself."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1
    last = ended.stderr.splitlines()[-1]
    assert f"EngineError: {script} starts processes while it is imported" in last
    assert "if __name__ == '__main__':" in last


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("given", ["file", "stdin"])
def test_processes_that_can_not_begin_are_told_of_once(tmp_path, method, given):
    """Rather than as the end of each run: whichever start method it is, and where there is no file at all."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no such start method")
    (tmp_path / "script.py").write_text(UNGUARDED.replace("spawn", method))
    command, text = [sys.executable, "script.py"], None
    if given == "stdin":
        command, text = [sys.executable, "-"], (tmp_path / "script.py").read_text()
    ended = subprocess.run(command, input=text, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert "EngineError: " in last
    assert f"(start method '{method}')" in last
    assert "if __name__ == '__main__':" in last
