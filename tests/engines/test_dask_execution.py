"""Units on a Dask cluster: a real scheduler, and workers that are processes of their own."""

import importlib
import os
import re
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from crystallize import (
    DaskExecution,
    ExecutorExecution,
    Experiment,
    GroupSequential,
    Hypothesis,
    SeedPlugin,
    Treatment,
    pipeline_step,
)
from crystallize.errors import CrystallizeWarning, DefinitionError, EngineError, OtherCodeError
from crystallize.run.units import units

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.slow

STEPS = """
    import os, random, signal, time
    import numpy as np
    from pathlib import Path
    from crystallize import DataSource, PipelineStep, data_source, pipeline_step

    SCALE = 1.0

    def scaled(value):
        return SCALE * value

    @data_source
    def numbers(ctx, *, n=3):
        return ctx.rng.normal(size=n)

    @pipeline_step()
    def shifted(data, ctx, *, delta=0.0):
        return data, {"x": scaled(float(data.sum())) + delta + ctx.rng.random()}

    @pipeline_step()
    def public(data, ctx):
        ctx.record("public", random.random() + np.random.random())
        return data

    @pipeline_step()
    def fails(data, ctx):
        if ctx.replicate == 2:
            raise ValueError("on the worker")
        return data

    @pipeline_step()
    def keeps(data, ctx):
        ctx.artifacts.add("where.txt", f"{ctx.replicate} {ctx.condition}".encode())
        return data

    @pipeline_step()
    def dies(data, ctx, *, at=5, once=""):
        if ctx.replicate == at and ctx.condition == "baseline":
            if once:
                try:
                    os.close(os.open(once, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return data
            os.kill(os.getpid(), signal.SIGKILL)
        return data

    @pipeline_step()
    def retires(data, ctx, *, at=5, times=2, attempts):
        if ctx.replicate == at and ctx.condition == "baseline":
            attempt = len(list(Path(attempts).iterdir()))
            (Path(attempts) / str(attempt)).touch()
            if attempt < times:
                from distributed import Client, get_worker
                worker = get_worker()
                with Client(worker.scheduler.address, set_as_default=False) as client:
                    client.retire_workers([worker.address], close_workers=True)
        return data

    @pipeline_step()
    def logs(data, ctx, *, path):
        with open(path, "a") as file:
            file.write(f"{os.getpid()} {ctx.replicate} {ctx.condition}\\n")
        return data

    @pipeline_step()
    def holds(data, ctx, *, until):
        while ctx.replicate >= 10 and not os.path.exists(until):
            time.sleep(0.01)
        return data

    @pipeline_step()
    def waits(data, ctx, *, seconds=0.01):
        time.sleep(seconds)
        return data

    class Large:
        def __init__(self, path):
            self.path, self.data = path, np.zeros(100_000)

        def __setstate__(self, state):
            vars(self).update(state)
            with open(self.path, "a") as file:
                file.write("arrived\\n")

    class FromLarge(DataSource):
        def __init__(self, large):
            self.large = large

        def fetch(self, ctx):
            return self.large.data[:3] + ctx.rng.normal(size=3)
"""


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Return the module of the experiment, which workers have to be given; artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "project_steps.py").write_text(textwrap.dedent(STEPS))
    yield importlib.import_module("project_steps")
    del sys.modules["project_steps"]


@pytest.fixture
def cluster(start_cluster, steps, tmp_path):
    """Return two workers that have the module."""
    started = start_cluster()
    with distributed.Client(started.address, set_as_default=False) as client:
        client.upload_file(str(tmp_path / "project_steps.py"))
    return started


def experiment(steps, execution, *more, plugins=(), source=None, **options):
    declared = {
        "treatments": [Treatment("boost", {"delta": 1.0})],
        "hypothesis": Hypothesis(metric="x", direction="increase"),
        "replicates": 12,
    }
    given = [*([execution] if execution else []), *plugins]
    source = steps.numbers if source is None else source
    return Experiment(source, [*more, steps.shifted], given, name="on dask", **declared | options)


def outcome(result):
    return result.digest, repr(result.metrics), repr(result.hypotheses), [str(e) for e in result.errors]


def told(caplog):
    """Return what we logged; Dask may log, too."""
    return [record.getMessage() for record in caplog.records if record.name == "crystallize"]


def by_worker(path):
    """Return which units each process ran."""
    ran = {}
    for line in Path(path).read_text().splitlines():
        pid, unit = line.split(" ", 1)
        ran.setdefault(int(pid), []).append(unit)
    return ran


def test_metrics_are_those_of_a_serial_run(cluster, steps, tmp_path):
    """Bit for bit, with errors and artifacts, on both workers, by address and by a client that stays open."""
    more = steps.fails, steps.public, steps.keeps, steps.waits(seconds=0.05)  # in which the other begins
    more += (steps.logs(path=str(tmp_path / "log")),)
    serial = experiment(steps, None, *more).run()
    (tmp_path / "log").unlink()
    result = experiment(steps, DaskExecution(cluster.address), *more).run()
    assert outcome(result) == outcome(serial)
    assert [record.scopes for record in result.records] == [record.scopes for record in serial.records]
    assert set(by_worker("log")) == set(cluster.pids)
    found = {path.read_text() for path in result.version_dir.glob("replicate_*/*/keeps/where.txt")}
    assert found == {f"{i} {c}" for i in range(12) if i != 2 for c in ("baseline", "boost")}
    with distributed.Client(cluster.address, set_as_default=False) as client:
        assert outcome(experiment(steps, DaskExecution(client), *more).run()) == outcome(serial)
        assert client.submit(abs, -1).result() == 1


def test_large_constants_are_sent_once_to_each_worker(cluster, steps, tmp_path):
    """However many blocks there are."""
    source = steps.FromLarge(steps.Large(str(tmp_path / "arrivals")))
    serial = experiment(steps, None, steps.waits, source=source).run()
    result = experiment(
        steps, DaskExecution(cluster.address), steps.waits, source=source, replicates=12
    ).run()
    assert result.metrics.baseline["x"] == serial.metrics.baseline["x"]
    assert (tmp_path / "arrivals").read_text().splitlines() == ["arrived"] * 2


def test_a_killed_worker_costs_no_result(cluster, steps, tmp_path, caplog):
    """Its units are run again by the other, and the loss is told."""
    more = steps.logs(path=str(tmp_path / "log")), steps.dies(at=5, once=str(tmp_path / "died"))
    result = experiment(steps, DaskExecution(cluster.address), *more).run()
    assert result.errors == ()
    assert (tmp_path / "died").exists()
    (said,) = told(caplog)
    assert re.fullmatch(
        r"on dask: worker tcp://\S+ was lost; what it was running is run again elsewhere", said
    )
    assert result.digest == experiment(steps, None, *more).run().digest
    assert set(by_worker("log")) == {*cluster.pids, os.getpid()}


def test_a_worker_killed_from_outside_costs_no_result(cluster, steps):
    """In the middle of a run, and a new one joins."""
    made = experiment(steps, DaskExecution(cluster.address), steps.waits, replicates=60)
    serial = experiment(steps, None, steps.waits, replicates=60).run()
    plan = made.run_plan()
    execution = made.plugins[-1] if isinstance(made.plugins[-1], DaskExecution) else made.given_plugins[0]
    records = []
    with closing(execution.execute(plan, list(units(plan.conditions, range(60))))) as arriving:
        for record in arriving:
            records.append(record)
            if len(records) == 10:
                cluster.kill(0)
                cluster.add()
                with distributed.Client(cluster.address, set_as_default=False) as client:
                    client.upload_file("project_steps.py")
    assert all(record.succeeded for record in records)
    found = {(r.replicate, r.condition): r.metrics for r in records}
    assert found == {(r.replicate, r.condition): r.metrics for r in serial.records}


def test_a_unit_that_kills_two_workers_is_reported(start_cluster, steps, tmp_path):
    """It is not tried a third time, and all others give their results."""
    cluster = start_cluster(3)
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.upload_file(str(tmp_path / "project_steps.py"))
    more = steps.logs(path=str(tmp_path / "log")), steps.dies(at=5)
    result = experiment(steps, DaskExecution(cluster.address), *more).run()
    (error,) = result.errors
    assert (error.replicate, error.condition, error.step) == (5, "baseline", "worker")
    assert "WorkerDied: 2 workers died while they ran this condition: tcp://" in error.message
    assert sum(units.count("5 baseline") for units in by_worker("log").values()) == 2
    assert result.hypotheses[0].verdicts["boost"].status == "invalid"
    serial = experiment(steps, None, steps.logs(path=os.devnull), steps.dies(at=99)).run()
    for condition in ("baseline", "boost"):
        expected = serial.metrics[condition]["x"]
        got = result.metrics[condition]["x"]
        assert [g for i, g in enumerate(got) if i != 5] == [e for i, e in enumerate(expected) if i != 5]


def test_a_unit_whose_workers_are_retired_is_not_to_blame(start_cluster, steps, tmp_path, caplog):
    """However often: a cluster that is scaled down takes workers away, no unit kills them."""
    cluster = start_cluster(4)
    upload(cluster, tmp_path)
    (tmp_path / "attempts").mkdir()
    leaves = steps.retires(attempts=str(tmp_path / "attempts"), times=3)
    result = experiment(steps, DaskExecution(cluster.address), steps.waits, leaves).run()
    assert result.errors == ()
    assert told(caplog) == []
    assert len(list((tmp_path / "attempts").iterdir())) == 4
    assert result.digest == experiment(steps, None, steps.waits, leaves).run().digest


def test_a_lost_scheduler_is_told_and_the_next_run_resumes(start_cluster, steps, tmp_path):
    """What was finished is kept."""
    cluster = start_cluster()
    upload(cluster, tmp_path)
    log, go = tmp_path / "log", tmp_path / "go"

    def lose():
        while not log.exists() or len(log.read_text().splitlines()) < 12:
            threading.Event().wait(0.02)
        cluster.lose_scheduler()

    more = steps.logs(path=str(log)), steps.holds(until=str(go))
    losing = threading.Thread(target=lose)
    losing.start()
    made = experiment(steps, DaskExecution(cluster.address), *more, replicates=30, cache_key="it logs")
    with pytest.raises(
        EngineError, match=rf"the Dask scheduler at {cluster.address} was lost; \d+ of 60 runs were done"
    ):
        made.run(strategy="resume")
    losing.join()
    go.touch()
    again = start_cluster()
    upload(again, tmp_path)
    made.plugins = [*made.plugins, DaskExecution(again.address)]
    result = made.run(strategy="resume")
    resumed = sum(record.cached for record in result.records)
    assert 1 <= resumed < 60
    assert result.digest == experiment(steps, None, *more, replicates=30).run().digest


def upload(cluster, tmp_path):
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.upload_file(str(tmp_path / "project_steps.py"))


def test_early_stopping_cancels_queued_work(cluster, steps, tmp_path):
    """The same verdict at the same number of replicates as in one process; what was queued is never run."""
    options = {
        "replicates": 2000,
        "stopping": GroupSequential(looks=50),
        "treatments": [Treatment("boost", {"delta": 30.0})],
    }
    noisy = steps.waits(seconds=0.002), steps.logs(path=str(tmp_path / "log"))
    serial = experiment(steps, None, steps.waits(seconds=0), steps.logs(path=os.devnull), **options).run()
    with distributed.Client(cluster.address, set_as_default=False) as client:
        result = experiment(steps, DaskExecution(client), *noisy, **options).run()
        left = waiting(client)
    assert outcome(result) == outcome(serial)
    assert result.replicates == serial.replicates < 500
    ran = sum(map(len, by_worker("log").values()))
    assert 2 * result.replicates <= ran < 4000
    assert left <= 2  # what workers have begun, they end


def tasks(client, *states):
    """Return how many of our tasks the scheduler has, in some states or in any."""

    def count(dask_scheduler):
        return sum(
            not states or ts.state in states
            for key, ts in dask_scheduler.tasks.items()
            if str(key).startswith("crystallize-")
        )

    return client.run_on_scheduler(count)


def waiting(client):
    """Return how many of our tasks the scheduler still has to give to a worker."""
    return tasks(client, "queued", "no-worker", "waiting")


def test_an_interrupt_cancels_queued_work(cluster, steps):
    """As closing the records does."""
    made = experiment(steps, None, steps.waits(seconds=0.05), replicates=200)
    plan = made.run_plan()
    with distributed.Client(cluster.address, set_as_default=False) as client:
        arriving = DaskExecution(client).execute(plan, list(units(plan.conditions, range(200))))
        for _ in range(50):
            next(arriving)
            # Two for each worker, and those of which the scheduler was not yet told that they are done with.
            assert tasks(client) <= 20
        with pytest.raises(KeyboardInterrupt):
            arriving.throw(KeyboardInterrupt)
        assert waiting(client) == 0
        assert client.submit(abs, -1).result() == 1


def test_resumes_what_is_stored(cluster, steps):
    """Runs of workers are as pure as those of this process, and no worker's own doings count as theirs."""
    made = experiment(steps, DaskExecution(cluster.address), steps.waits)
    first, second = made.run(strategy="resume"), made.run(strategy="resume")
    assert [sum(r.cached for r in result.records) for result in (first, second)] == [0, 24]
    assert first.digest == second.digest


# Workers that are not like this process.


def test_a_worker_without_the_code_is_told(start_cluster, steps):
    """Which module is missing, and what to do."""
    cluster = start_cluster(1)
    with pytest.raises(OtherCodeError, match=r"can't rebuild on dask: ModuleNotFoundError: No module named"):
        experiment(steps, DaskExecution(cluster.address)).run()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("return SCALE * value", "return SCALE * value + 1", r"project_steps\.scaled changed"),
        ("SCALE = 1.0", "SCALE = 2.0", r"project_steps\.SCALE changed"),
    ],
)
def test_a_worker_with_another_version_of_the_code_is_told(start_cluster, steps, tmp_path, old, new, told):
    """Before it runs anything; which function or variable differs."""
    cluster = start_cluster(1)
    source = textwrap.dedent(STEPS)
    (tmp_path / "project_steps.py").write_text(source.replace(old, new))
    upload(cluster, tmp_path)
    (tmp_path / "project_steps.py").write_text(source)
    more = [steps.logs(path=str(tmp_path / "log"))]
    with pytest.raises(OtherCodeError, match=rf"process \d+ on \S+ has other code .*: {told}; give it"):
        experiment(steps, DaskExecution(cluster.address), *more).run()
    assert not (tmp_path / "log").exists()
    upload(cluster, tmp_path)
    assert experiment(steps, DaskExecution(cluster.address), *more).run().errors == ()


def installed(directory, name, version):
    """Have a directory say that a distribution is installed."""
    metadata = directory / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(directory.parent)])}


def test_a_worker_with_another_numpy_is_told(start_cluster, steps, tmp_path):
    """Both versions are named."""
    cluster = start_cluster(0)
    cluster.add(env=installed(tmp_path / "other", "numpy", "1.0"))
    with pytest.raises(
        OtherCodeError, match=rf"has other code .*: numpy {np.__version__} -> 1\.0 editable; give it"
    ):
        experiment(steps, DaskExecution(cluster.address)).run()


def test_runs_of_another_environment_are_told_and_not_stored(start_cluster, steps, tmp_path):
    """What an experiment does not use may differ, but a stored run would pass for one of here."""
    cluster = start_cluster(0)
    cluster.add(env=installed(tmp_path / "other", "unrelated", "1.0"))
    made = experiment(steps, DaskExecution(cluster.address))
    with pytest.warns(CrystallizeWarning) as caught:
        result = made.run(strategy="resume")
    told = [str(warning.message) for warning in caught]
    assert any("another environment, so results may differ" in text for text in told)
    assert any("can't be resumed" in text and "unrelated 1.0 editable was added" in text for text in told)
    assert result.digest == experiment(steps, None).run().digest
    assert not any(record.cached for record in experiment(steps, None).run(strategy="resume").records)


def test_declared_variables_of_workers_are_compared(start_cluster, steps, tmp_path, monkeypatch):
    """They are an input."""
    monkeypatch.setenv("SETTING", "here")
    cluster = start_cluster(0)
    cluster.add(env={"SETTING": "there", "PYTHONPATH": str(tmp_path)})
    with pytest.raises(OtherCodeError, match="environment variable SETTING changed"):
        experiment(steps, DaskExecution(cluster.address), env=["SETTING"]).run()


def test_threads_of_a_worker_run_one_unit_at_a_time(start_cluster, steps, tmp_path):
    """Since they share the global generators."""
    cluster = start_cluster(0)
    cluster.add(options=("--nthreads", "4"))
    upload(cluster, tmp_path)
    result = experiment(steps, DaskExecution(cluster.address), steps.waits, steps.public).run()
    assert result.digest == experiment(steps, None, steps.waits, steps.public).run().digest
    unseeded = experiment(
        steps, DaskExecution(cluster.address), steps.waits, plugins=[SeedPlugin(auto_seed=False)]
    ).run()
    assert unseeded.digest == experiment(steps, None, steps.waits).run().digest


# Clusters that are not there.


@pipeline_step()
def lasting(data, ctx):
    return data


def test_no_scheduler_is_told():
    """And how to start one."""
    with pytest.raises(EngineError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        Experiment(1, [lasting], [DaskExecution("tcp://127.0.0.1:9", timeout=1)]).run()


def test_no_worker_is_told(start_cluster, steps):
    """After as long as was asked for."""
    cluster = start_cluster(0)
    with pytest.raises(EngineError, match=r"has had no worker for 0\.5 s; 0 of 24 runs were done"):
        experiment(steps, DaskExecution(cluster.address, timeout=0.5)).run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8786,), "cluster is 8786; give the address of a scheduler"),
        (("tcp://127.0.0.1:1", 0), "timeout is 0; give a positive number of seconds"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(DefinitionError, match=message):
        DaskExecution(*arguments)


# Dask in this process.


@pytest.fixture
def local_client():
    """Return a client of workers that are threads of this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("kind", ["dask", "executor"])
def test_workers_in_this_process_leave_the_generators_alone(local_client, steps, kind):
    """What Dask draws for itself moves no unit's numbers, nor do units those of what comes behind."""
    with local_client.as_current():
        execution = (
            DaskExecution(local_client)
            if kind == "dask"
            else ExecutorExecution(local_client.get_executor(pure=False))
        )
        more = steps.waits(seconds=0.001), steps.public
        serial = experiment(steps, None, *more, replicates=40).run()
        assert experiment(steps, execution, *more, replicates=40).run().digest == serial.digest
        stopped = experiment(
            steps, execution, *more, replicates=2000, stopping=GroupSequential(looks=50)
        ).run()
        assert stopped.replicates < 2000
        assert experiment(steps, None, *more, replicates=40).run().digest == serial.digest


def test_a_package_that_a_unit_loads_in_another_version_is_told(start_cluster, steps, tmp_path):
    """Though it was not there to be compared when the experiment arrived."""
    homes = {}
    for where, version in (("here", "1.0"), ("there", "2.0")):
        home = homes[where] = tmp_path / where / "site-packages"
        installed(home, "latecomer", version)
        (home / "latecomer.py").write_text(f"VERSION = {version}\n")
        (home / f"latecomer-{version}.dist-info" / "RECORD").write_text("latecomer.py,,\n")
    steps_file = tmp_path / "late_steps.py"
    steps_file.write_text(
        "from crystallize import pipeline_step\n"
        "@pipeline_step()\n"
        "def late(data, ctx):\n"
        "    import latecomer\n"
        "    return data * latecomer.VERSION\n"
    )
    cluster = start_cluster(0)
    cluster.add(env={"PYTHONPATH": os.pathsep.join([str(homes["there"]), str(tmp_path)])})
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from crystallize import *\n"
        "from late_steps import late\n"
        "from project_steps import numbers, shifted\n"
        f"made = Experiment(numbers, [late, shifted], [DaskExecution({cluster.address!r})], replicates=4)\n"
        "made.run()\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(homes["here"]), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "has other code" in done.stderr, done.stderr
    assert re.search(r"latecomer 1\.0( editable)? -> 2\.0", done.stderr), done.stderr


def test_an_asynchronous_client_is_refused():
    """Units are waited for."""

    class Asynchronous:
        asynchronous = True
        submit = None

    with pytest.raises(DefinitionError, match="cluster is an asynchronous client"):
        DaskExecution(Asynchronous())
