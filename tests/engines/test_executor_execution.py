"""Units on executors of the user's."""

import concurrent.futures
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from crystallize import (
    ArtifactPlugin,
    BasePlugin,
    ExecutorExecution,
    Experiment,
    GroupSequential,
    Hypothesis,
    ParallelExecution,
    SeedPlugin,
    Treatment,
    data_source,
    hypothesis,
    pipeline_step,
    resource_factory,
    treatment,
    verifier,
)
from crystallize.errors import CrystallizeWarning, DefinitionError, EngineError, NotPicklableError

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@data_source
def numbers(ctx, *, n=3):
    return ctx.rng.normal(size=n)


@pipeline_step()
def shifted(data, ctx, *, delta=0.0):
    return data, {"x": float(data.sum()) + delta + ctx.rng.random()}


@pipeline_step()
def public(data, ctx):
    """Draw from the global generators."""
    ctx.record("public", random.random() + np.random.random())  # noqa: NPY002
    return data


@pipeline_step()
def fails(data, ctx):
    if ctx.replicate == 2:
        raise ValueError("in the worker")
    return data


@pipeline_step()
def dies(data, ctx):
    if ctx.replicate == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return data


@pipeline_step()
def keeps(data, ctx):
    ctx.artifacts.add("where.txt", f"{ctx.replicate} {ctx.condition}".encode())
    return data


@pipeline_step()
def interrupts(data, ctx):
    if ctx.replicate == 3:
        raise KeyboardInterrupt
    return data


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


class Inline(Executor):
    """Calls what is submitted at once, in the thread that submits it."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Late(Inline):
    """Pickles what is submitted, as Dask does within a process; only begins what lies behind a look."""

    def __init__(self, look):
        self.look = look
        self.begun = []

    def submit(self, fn, /, *args):
        fn, (units,) = pickle.loads(pickle.dumps((fn, args)))
        if units[0].replicate < self.look:
            return super().submit(fn, units)
        future = Future()
        future.set_running_or_notify_cancel()
        self.begun.append((fn, units))
        return future


class Held(Executor):
    """Runs what is submitted when it is told to, newest first, in one thread."""

    def __init__(self, most=10**6):
        self.submitted = []
        self.most = most
        self.highest = 0
        self.pool = ThreadPoolExecutor(1)

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.submitted.append((future, fn, args))
        self.highest = max(self.highest, len(self.submitted))
        self.pool.submit(self._run_newest)
        return future

    def _run_newest(self):
        future, fn, args = self.submitted.pop()
        if future.set_running_or_notify_cancel():
            future.set_result(fn(*args))


class Failing(Inline):
    """Fails for blocks that hold a replicate."""

    def __init__(self, error, replicate):
        self.error, self.replicate = error, replicate
        self.sizes = []

    def submit(self, fn, units, /):
        self.sizes.append(len(units))
        if any(unit.replicate == self.replicate for unit in units):
            future = Future()
            future.set_exception(self.error)
            return future
        return super().submit(fn, units)


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def experiment(execution, *steps, plugins=(), **options):
    declared = {
        "treatments": [Treatment("boost", {"delta": 1.0})],
        "hypothesis": Hypothesis(metric="x", direction="increase"),
        "replicates": 10,
    }
    given = [*([execution] if execution else []), *plugins]
    return Experiment(numbers, [shifted, *steps], given, name="engines", **declared | options)


def outcome(result):
    return result.digest, repr(result.metrics), repr(result.hypotheses), [str(e) for e in result.errors]


SLOW = pytest.mark.slow  # loky starts its processes from scratch


@pytest.fixture(params=["processes", pytest.param("loky", marks=SLOW), "inline", "held", "one thread"])
def executor(request):
    """Executors of many kinds, some of this process."""
    match request.param:
        case "processes":
            made = ProcessPoolExecutor(2)
        case "loky":
            made = pytest.importorskip("loky").ProcessPoolExecutor(2)
        case "inline":
            made = Inline()
        case "held":
            made = Held()
        case _:
            made = ThreadPoolExecutor(1)
    yield made
    made.shutdown(wait=True)


def test_metrics_are_those_of_a_serial_run(executor):
    """Bit for bit, with errors and verdicts, in whatever order blocks are done."""
    steps = (fails,) if isinstance(executor, ThreadPoolExecutor) else (fails, public)
    serial = experiment(None, *steps).run()
    result = experiment(ExecutorExecution(executor), *steps).run()
    assert outcome(result) == outcome(serial)
    assert [r.scopes for r in result.records] == [r.scopes for r in serial.records]


def test_threads_warn_of_draws_from_the_global_generators():
    """They share them, as under ParallelExecution."""
    with ThreadPoolExecutor(2) as pool, pytest.warns(CrystallizeWarning, match="under threads"):
        experiment(ExecutorExecution(pool), public).run()


@pytest.mark.parametrize("kind", [ProcessPoolExecutor, ThreadPoolExecutor])
def test_the_executor_stays_usable(kind):
    """It is the user's to shut down."""
    with kind(1) as pool:
        experiment(ExecutorExecution(pool)).run()
        assert pool.submit(abs, -1).result() == 1


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


def test_artifacts_are_written_by_the_process_that_asked():
    """Whatever process made them."""
    with ProcessPoolExecutor(2) as pool:
        plugins = [ArtifactPlugin("kept")]
        result = experiment(ExecutorExecution(pool), keeps, plugins=plugins).run()
    found = {path.read_text() for path in result.version_dir.glob("replicate_*/*/keeps/where.txt")}
    assert found == {f"{i} {c}" for i in range(10) for c in ("baseline", "boost")}
    assert [len(record.artifacts) for record in result.records] == [1] * 20


def test_artifacts_that_can_not_be_written_fail_their_run():
    """As they would in one process."""

    class Refusing(ArtifactPlugin):
        stays_local = True

        def after_replicate(self, experiment, ctx):
            if ctx.replicate == 4:
                raise OSError(28, "No space left on device")

    with ProcessPoolExecutor(2) as pool:
        result = experiment(ExecutorExecution(pool), keeps, plugins=[Refusing("kept")]).run()
    assert {(e.replicate, e.step) for e in result.errors} == {(4, "Refusing.after_replicate")}


def test_hooks_of_others_are_called_where_units_run():
    """Only what writes artifacts acts at home."""
    with ProcessPoolExecutor(1) as pool:
        result = experiment(ExecutorExecution(pool), plugins=[Pids()]).run()
    assert set(result.metrics.baseline["pid"]).isdisjoint({os.getpid()})


class Pids(BasePlugin):
    def after_replicate(self, experiment, ctx):
        ctx.metrics.add("pid", os.getpid())


def test_a_failed_future_is_the_error_of_its_replicate():
    """Of that one only: a block that fails is cut into its units."""
    failing = Failing(MemoryError("no room"), 7)
    result = experiment(ExecutorExecution(failing), replicates=400).run()
    assert {(e.replicate, e.condition, e.message) for e in result.errors} == {
        (7, "baseline", "MemoryError: no room"),
        (7, "boost", "MemoryError: no room"),
    }
    assert result.hypotheses[0].verdicts["boost"].status == "invalid"
    assert max(failing.sizes) > 1


def test_a_process_that_dies_breaks_the_pool_and_no_result_is_lost_unseen():
    """Every unit has a record: those that were not run say what broke."""
    with ProcessPoolExecutor(1) as pool:
        result = experiment(ExecutorExecution(pool, max_pending=1), dies).run()
    assert len(result.records) == 20
    assert {record.error.type for record in result.records if record.error} == {"BrokenProcessPool"}
    assert all(record.succeeded for record in result.records if record.replicate < 2)


def test_an_executor_that_was_shut_down_is_told():
    """Nothing is measured, so it is no replicate's error."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(EngineError, match="takes no work: cannot schedule new futures after shutdown"):
        experiment(ExecutorExecution(pool)).run()


def test_submission_is_windowed():
    """No more blocks wait than it takes to keep the workers busy."""
    held = Held()
    experiment(ExecutorExecution(held, max_pending=3), replicates=200).run()
    assert held.highest <= 3


def test_an_interrupt_cancels_what_waits():
    """Here one that a unit raises."""
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            experiment(ExecutorExecution(pool, max_pending=8), interrupts, replicates=50).run()
        assert pool._work_queue.qsize() == 0 or all(
            item is None or item.future.cancelled() for item in list(pool._work_queue.queue)
        )


@pytest.mark.parametrize("stopping", [GroupSequential(), GroupSequential(looks=3, spending="pocock")])
def test_early_stopping_decides_as_a_serial_run_does(stopping):
    """Though units behind the look are run ahead, none of them counts."""
    options = {"replicates": 60, "stopping": stopping, "treatments": [Treatment("boost", {"delta": 3.0})]}
    serial = experiment(None, **options).run()
    for executor in (Inline(), Held()):
        result = experiment(ExecutorExecution(executor, max_pending=6), **options).run()
        assert outcome(result) == outcome(serial)
        assert result.replicates == serial.replicates < 60
        assert [r.replicate for r in result.records] == [r.replicate for r in serial.records]


def test_early_stopping_cancels_queued_work():
    """Most of what lies behind the look is never run."""
    ran = []
    counting = pipeline_step()(lambda data, ctx: (ran.append(ctx.replicate), data)[1])
    options = {"replicates": 4000, "stopping": GroupSequential(looks=100), "plugins": []}
    with ThreadPoolExecutor(1) as pool:  # blocks end in their order, else one may wait while others go on
        result = experiment(ExecutorExecution(pool), counting, **options).run()
    assert result.replicates == 160
    assert 320 <= len(ran) <= 320 + 5 * 256  # of blocks under way, and of one that was done


@pytest.mark.parametrize("seeded", [True, False])
def test_what_was_begun_in_this_process_runs_nothing_behind_the_end(seeded):
    """It would draw from the generators of whatever runs then."""
    executor = Late(look=160)
    stopped = experiment(
        ExecutorExecution(executor, max_pending=8),
        plugins=[SeedPlugin(auto_seed=seeded)],
        replicates=4000,
        stopping=GroupSequential(looks=100),
    ).run()
    assert stopped.replicates == 160
    assert executor.begun
    assert [fn(units).records for fn, units in executor.begun] == [[]] * len(executor.begun)


@pytest.mark.parametrize("kind", [ProcessPoolExecutor, ThreadPoolExecutor])
def test_resumes_what_is_stored(kind):
    """The records that come are stored, and used the next time."""
    with kind(2) as pool:
        made = experiment(ExecutorExecution(pool))
        first, second = made.run(strategy="resume"), made.run(strategy="resume")
    assert [sum(r.cached for r in result.records) for result in (first, second)] == [0, 20]
    assert first.digest == second.digest == experiment(None).run().digest


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ThreadPoolExecutor,), r"executor is <class .*; call it"),
        ((None,), "executor is None; give a concurrent.futures.Executor"),
        ((Inline(), 0), "max_pending is 0; give a positive integer, or None"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(DefinitionError, match=message):
        ExecutorExecution(*arguments)


def test_progress_counts_units(monkeypatch):
    """As under every execution."""
    from crystallize.engines import executor_execution as module  # what it calls is replaced

    seen = []
    monkeypatch.setattr(module, "progress", lambda items, total, label: seen.append((total, label)) or items)
    experiment(ExecutorExecution(Inline())).run()
    assert seen == [(20, "engines")]


def test_units_without_global_seeding_may_run_at_the_same_time():
    """Nothing then has to be kept apart."""
    plugins = [SeedPlugin(auto_seed=False)]
    serial = experiment(ParallelExecution(2), plugins=plugins).run()
    assert experiment(ExecutorExecution(Inline()), plugins=plugins).run().digest == serial.digest


def test_every_executor_of_the_standard_library_is_one():
    """What is taken is the standard interface, nothing more."""
    assert issubclass(ThreadPoolExecutor, concurrent.futures.Executor)


def test_early_stopping_in_threads_still_warns_of_shared_draws():
    """Though what was run ahead is given up."""
    options = {"replicates": 200, "stopping": GroupSequential(looks=20)}
    options["treatments"] = [Treatment("boost", {"delta": 30.0})]
    with ThreadPoolExecutor(2) as pool, pytest.warns(CrystallizeWarning, match="under threads"):
        result = experiment(ExecutorExecution(pool), public, **options).run()
    assert result.replicates < 200


def test_artifacts_of_what_was_run_ahead_are_gone():
    """A version holds the replicates that count."""
    options = {"replicates": 200, "stopping": GroupSequential(looks=20)}
    options["treatments"] = [Treatment("boost", {"delta": 30.0})]
    with ProcessPoolExecutor(2) as pool:
        result = experiment(ExecutorExecution(pool), keeps, plugins=[ArtifactPlugin("kept")], **options).run()
    kept = {path.name for path in result.version_dir.glob("replicate_*")}
    assert kept == {f"replicate_{i}" for i in range(result.replicates)}
    assert result.replicates < 200


class Measuring(ArtifactPlugin):
    """Has hooks of its own around units, unlike the class that acts at home."""

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


def test_an_executor_inside_a_unit_does_not_wait_for_it():
    """Such as an inline one."""

    @pipeline_step()
    def nested(data, ctx):
        inner = experiment(ExecutorExecution(Inline()), replicates=2).run()
        return data, {"inner": inner.metrics.baseline["x"][0]}

    assert experiment(ExecutorExecution(Inline()), nested, replicates=2).run().errors == ()


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
