"""Units on executors of the user's."""

import concurrent.futures
import os
import pickle
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from executors import SLOW, Inline, experiment, keeps, outcome, public

from crystallize import (
    ArtifactPlugin,
    BasePlugin,
    ExecutorExecution,
    GroupSequential,
    ParallelExecution,
    SeedPlugin,
    Treatment,
    pipeline_step,
)
from crystallize.errors import CrystallizeWarning, DefinitionError, EngineError

pytestmark = [
    pytest.mark.usefixtures("empty_working_directory"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


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
def interrupts(data, ctx):
    if ctx.replicate == 3:
        raise KeyboardInterrupt
    return data


class Late(Inline):
    """Executor that pickles, as Dask does within a process, and only begins what lies behind a look."""

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
    """Executor that runs what is submitted when it is told to, newest first, in one thread."""

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
    """Executor that fails for blocks that hold a replicate."""

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


def test_an_executor_inside_a_unit_does_not_wait_for_it():
    """Such as an inline one."""

    @pipeline_step()
    def nested(data, ctx):
        inner = experiment(ExecutorExecution(Inline()), replicates=2).run()
        return data, {"inner": inner.metrics.baseline["x"][0]}

    assert experiment(ExecutorExecution(Inline()), nested, replicates=2).run().errors == ()
