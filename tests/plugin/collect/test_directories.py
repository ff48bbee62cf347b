"""The directory that the processes of a session share: made, cleaned, and done without."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import os

import pytest

from plugin.conftest import TOTAL, total
from pytest_crystallize.records.directories import remove_stale
from pytest_crystallize.records.shared_exchange import SharedExchange


def test_stale_directories(project):
    """Directories of sessions that were killed long ago are removed, others are left alone."""
    sessions = project.path / ".pytest_cache" / "crystallize-sessions"
    old, new = sessions / "session-old", sessions / "session-new"
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "gw0.log").write_text("")
    for path in (old / "gw0.log", old):
        os.utime(path, (1, 1))
    remove_stale(sessions.iterdir())
    assert not old.exists()
    assert new.exists()


@pytest.mark.slow
def test_directory_of_a_long_session(project):
    """The directory of a session that still runs is not removed by another one, however long ago it was made."""
    running = project.path / ".pytest_cache" / "crystallize-sessions" / "session-running"
    running.mkdir(parents=True)
    exchange = SharedExchange(running, None)
    os.utime(running, (1, 1))
    project.write(TOTAL)
    project.run_workers().assert_outcomes(passed=1)
    assert list(running.parent.iterdir()) == [running]  # nothing is left of the other one either
    exchange.close()


CLEARING = """
import subprocess, sys

def pytest_configure_node(node):
    subprocess.run([sys.executable, "-m", "pytest", "--cache-clear", "--collect-only", "-q"], check=False)
"""


def test_a_session_whose_cache_another_one_clears(project):
    """It goes on: what its processes share is no cache, and is left alone."""
    project.write(TOTAL)
    project.raw("conftest.py", CLEARING)
    result = project.run_workers()
    result.assert_outcomes(passed=1)
    assert result.ret == 0


def test_stale_thing_that_cannot_be_removed(project):
    """A stale directory that somebody else removes at the same time, or a file among them, disturbs nobody."""
    sessions = project.path / "sessions"
    sessions.mkdir()
    (sessions / "a file").write_text("")
    (sessions / "dangling").symlink_to(project.path / "nowhere")
    os.utime(sessions / "a file", (1, 1))
    remove_stale(sessions.iterdir())


@pytest.mark.parametrize(
    ("cache", "workers"),
    [("/proc/nowhere/cache", 0), ("a_file", 0), pytest.param("a_file", 2, marks=pytest.mark.slow)],
)
def test_cache_that_cannot_be_written(project, cache, workers):
    """A cache directory that can't be made, or is a file, is done without."""
    project.raw("a_file", "a file")
    project.write(TOTAL)
    run = project.run_workers if workers else project.run
    result = run("-o", f"cache_dir={cache}", "-W", "ignore")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.slow
def test_without_the_cache_plugin_on_workers(project):
    """-p no:cacheprovider works on workers."""
    project.write(TOTAL)
    project.run_workers("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.mark.slow
def test_directory_that_vanishes(project):
    """If somebody removes the directory in the middle of a session, it ends all the same."""
    project.write(
        total(
            arguments="replicate, rng",
            lines="import shutil\nif replicate == 3: shutil.rmtree('.pytest_cache', ignore_errors=True)",
        )
    )
    result = project.run_workers()
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert result.ret in (0, 1)


@pytest.mark.slow
def test_full_disk(project):
    """Where records can't be written, the session ends and says so, and no verdict rests on less than all replicates."""
    project.raw(
        "conftest.py",
        """
        import os
        import pytest_crystallize.records.logs as logs

        class Full:
            def __init__(self):
                self.left = 1000

            def __getattr__(self, name):
                return getattr(os, name)

            def write(self, descriptor, data):
                if len(data) > self.left:
                    raise OSError(28, "No space left on device")
                self.left -= len(data)
                return os.write(descriptor, data)

        logs.os = Full()
        """,
    )
    project.write(total(replicates=30))
    result = project.run_workers()
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert result.ret in (0, 1)
    result.stdout.fnmatch_lines(["note: records could not be written for other processes to read: *"])
    if result.ret == 0:
        result.stdout.fnmatch_lines(["* 30  SUPPORTED"])


@pytest.mark.slow
def test_disk_that_is_full_from_the_start(project):
    """Where a worker can't say which tests it has, the session says so, and has not succeeded."""
    project.raw(
        "conftest.py",
        """
        import resource, signal

        def pytest_configure(config):
            if hasattr(config, "workerinput"):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        """,
    )
    project.write(TOTAL)
    result = project.run_workers(n=1)
    assert result.ret == 1
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["note: the controlling process can't be told which tests were selected: *"])
