"""Experiments that have the session to themselves, and devices that workers have to themselves."""

import pytest

from plugin.conftest import total

ALONE = """
import asyncio, json, time
from contextlib import contextmanager

@contextmanager
def noted(who):
    with open("log", "a", 1) as log:
        print(json.dumps([who, "begins"]), file=log)
    yield
    with open("log", "a", 1) as log:
        print(json.dumps([who, "ends"]), file=log)

@pytest.mark.experiment(replicates=12, exclusive=True)
def experiment_alone(replicate):
    with noted("alone"):
        time.sleep(0.002)

@pytest.mark.experiment(replicates=6, exclusive=True, max_concurrency=3)
async def experiment_awaited_alone(replicate):
    with noted("alone"):
        await asyncio.sleep(0.002)

@pytest.mark.experiment(replicates=200)
def experiment_beside(replicate):
    with noted("beside"):
        time.sleep(0.002)

@pytest.mark.experiment(replicates=20, max_concurrency=3)
async def experiment_awaited(replicate):
    with noted("beside"):
        await asyncio.sleep(0.002)

@pytest.mark.parametrize("n", range(30))
def test_beside(n):
    with noted("beside"):
        time.sleep(0.002)
"""


@pytest.mark.slow
def test_nothing_runs_beside_an_exclusive_experiment(project):
    """No other run, also of an asynchronous experiment, and no test, in any worker."""
    project.write(ALONE)
    result = project.run_workers("--crystallize-cache=off", n=3)
    result.assert_outcomes(passed=34)
    log = project.log()
    ended = [(log[i], log[i + 1]) for i, entry in enumerate(log) if entry == ["alone", "begins"]]
    assert len(ended) >= 18  # and some that were run again
    assert {second[0] + second[1] for _, second in ended} == {"aloneends"}
    assert len([entry for entry in log if entry == ["beside", "begins"]]) >= 250


@pytest.mark.parametrize("value", ["'yes'", "1", "None"])
def test_exclusive_is_true_or_false(project, value):
    """Anything else is an error of collection."""
    project.write(total(exclusive=value))
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*exclusive is {value}; give True or False*"])


DEVICES = """
import json

@pytest.mark.experiment(replicates=20, treatments={"boost": {"delta": 3.0}})
def experiment_total(rng, delta=0.0):
    seen = [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")]
    with open("log", "a", 1) as log:
        print(json.dumps(seen), file=log)
    return {"total": rng.normal() + delta}
"""


@pytest.fixture
def devices(project, monkeypatch, tmp_path):
    """Return the project, whose conftest has seen a device, and whose sessions share no lock with others."""
    monkeypatch.delenv("CRYSTALLIZE_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    project.raw(
        "conftest.py",
        """
        import os

        SEEN = os.environ.get("CUDA_VISIBLE_DEVICES")
        if worker := os.environ.get("PYTEST_XDIST_WORKER"):
            with open(f"seen-by-{worker}", "w") as file:
                file.write(str(SEEN))

        def pytest_runtest_setup():
            assert SEEN == os.environ.get("CUDA_VISIBLE_DEVICES")
        """,
    )
    project.write(DEVICES)
    return project


def test_one_process_sees_one_device(devices, monkeypatch):
    """Without workers, and until the session ends; where the ini file names none, what was visible stays."""
    devices.ini("crystallize_devices = 3 1\n")
    devices.run("--crystallize-cache=off").assert_outcomes(passed=1)
    assert {tuple(entry) for entry in devices.log()} == {("3", "3")}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    devices.ini("")
    devices.run("--crystallize-cache=off").assert_outcomes(passed=1)
    assert devices.log()[-1] == ["7", None]


@pytest.mark.slow
def test_workers_see_one_device_each(devices):
    """One that takes the place of a dead one, too; and what one device has run need not be run on another."""
    devices.ini("crystallize_devices = GPU-a GPU-b\n")
    result = devices.run_apart("-nauto", "--crystallize-cache=off", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*2 workers*"])
    seen = sorted(path.read_text() for path in devices.pytester.path.glob("seen-by-*"))
    assert seen == ["GPU-a", "GPU-b"]
    assert {tuple(entry) for entry in devices.log()} <= {("GPU-a", None), ("GPU-b", None)}
    devices.write(total(replicates=10))
    devices.run_workers().assert_outcomes(passed=1)
    again = devices.run_workers("-o", "crystallize_cache_verify=0", "-o", "crystallize_devices=GPU-c GPU-b")
    again.stdout.fnmatch_lines(["*20 of 20 runs from cache*"])


@pytest.mark.slow
def test_more_workers_than_devices(devices):
    """It is a usage error, unless a device is named as often as it may be shared."""
    devices.ini("crystallize_devices = 0\n")
    result = devices.run_workers()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ini option crystallize_devices names 1 device (0) for 2 workers*"])
    devices.run_workers("-o", "crystallize_devices=0 0").assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_session_waits_for_devices_of_another_one(devices):
    """It says so, and goes on when they are free."""
    devices.ini("crystallize_devices = 0 1\n")
    devices.write(
        "def test_a():\n    import sys\n    open('held', 'w').close()\n    sys.stdin.read()\n", "test_a.py"
    )
    holder = devices.start("-s", "test_a.py", stdin=-1)
    while not (devices.path / "held").exists():
        assert holder.poll() is None
    waiting = devices.start("-n2", "experiment_a.py")
    assert any("waiting for 2 of the devices 0 1" in line for line in waiting.stdout)
    assert waiting.poll() is None
    holder.communicate("")
    output, _ = waiting.communicate()
    assert waiting.returncode == 0, output
