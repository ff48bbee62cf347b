"""Stored runs: their files, whoever damages them and whatever ends a session."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import signal
import sys

import pytest

from plugin.conftest import TOTAL
from plugin.records.conftest import cached, digests, experiment, hits, packs


@pytest.mark.slow
def test_files_that_are_not_ours(project, monkeypatch):
    """Torn, flipped and forged records, and those of another secret, are run again; nothing is said."""
    project.write(experiment())
    project.run()
    whole = {path: path.read_bytes() for path in packs(project)}
    assert whole
    for change in (lambda b: b[:-3], lambda b: b.replace(b'"total"', b'"tOtal"'), lambda b: b""):
        for path, data in whole.items():
            for other in packs(project):
                other.unlink()
            path.write_bytes(change(data))
        result = project.run()
        result.assert_outcomes(passed=1)
        assert hits(result) < 10
    for path, data in whole.items():
        path.write_bytes(data)
    assert hits(project.run()) == 10
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "another")
    from crystallize.storage.place import open_store  # its stores are kept by directory

    open_store.cache_clear()
    assert hits(project.run()) == 0
    open_store.cache_clear()


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(project):
    """One note in the summary says so, and everything runs."""
    project.write(experiment())
    place = project.path / ".pytest_cache/d/crystallize"
    place.mkdir(parents=True)
    (place / "records").write_text("a file")
    result = project.run_apart("-n2")
    result.assert_outcomes(passed=1)
    text = " ".join(line.strip() for line in result.outlines)
    assert text.count("note: runs are not stored: the cache in") == 1


@pytest.mark.slow
def test_no_secret(project, monkeypatch):
    """Without a place for the secret nothing is stored, and the summary says what to do."""
    project.write(experiment())
    home = project.raw("home", "a file")
    monkeypatch.delenv("CRYSTALLIZE_CACHE_SECRET")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "below"))
    monkeypatch.setenv("HOME", str(home / "below"))
    for _ in range(2):
        result = project.run_apart()
        result.assert_outcomes(passed=1)
        assert hits(result) == 0
        text = " ".join(line.strip() for line in result.outlines)
        assert text.count("runs are not stored: the cache's secret") == 1
    assert packs(project) == []


def slow(stops):
    """Return an experiment of 120 runs that ends in a replicate which the environment names."""
    return experiment(
        f"time.sleep(0.01)\nif replicate == int(os.environ.get('STOP', -1)): {stops}",
        above="import signal, time",
        arguments="replicate, rng",
        replicates=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_session_goes_on(project, workers):
    """Behind an interrupt, all finished runs are there; the next session ends with the digest of an undisturbed one."""
    project.write(slow("raise KeyboardInterrupt"))
    whole = project.run_apart("-v", "--crystallize-cache=off")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP", "30")
        project.run_apart(f"-n{workers}")
    result = project.run_apart("-v")
    found, runs, _ = cached(result)["total"]
    assert runs == 120
    assert found >= 55
    assert digests(result) == digests(whole)


@pytest.mark.slow
def test_a_killed_session_goes_on(project):
    """What a kill -9 loses is what was not stored yet; the rest is run, to the same digest."""
    project.write(slow("os.kill(os.getpid(), signal.SIGKILL)"))
    whole = project.run_apart("-v", "--crystallize-cache=off")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP", "50")
        killed = project.start()
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
    result = project.run_apart("-v")
    assert 0 < hits(result) <= 100  # they are stored the less often, the longer it takes
    assert digests(result) == digests(whole)


@pytest.mark.slow
def test_a_killed_worker(project):
    """The verdict is INVALID in the session that lost a run, and stored runs complete it in the next one."""
    project.write(slow("os.kill(os.getpid(), signal.SIGKILL)"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP", "50")
        result = project.run_workers("-v")
        result.assert_outcomes(failed=1)
    result = project.run_workers("-v")
    result.assert_outcomes(passed=1)
    assert 0 < hits(result) < 120


@pytest.mark.slow
def test_two_sessions_at_once(project):
    """Both end well, and the next one finds the runs of either."""
    project.write(experiment("import time; time.sleep(0.02)"))
    first, second = project.start(), project.start("-n2")
    assert first.communicate()[0].count("SUPPORTED") == 1
    assert second.communicate()[0].count("SUPPORTED") == 1
    assert (first.returncode, second.returncode) == (0, 0)
    assert hits(project.run()) == 10


def test_experiments_that_one_function_made(project):
    """Runs of each lie in files of their own, so that a session reads those of none of the others for it."""
    project.write(
        """
        import pytest

        def made():
            @pytest.mark.experiment(replicates=2)
            def experiment(rng):
                return {"total": rng.normal()}
            return experiment

        experiment_first, experiment_second = made(), made()
        """
    )
    project.run()
    assert len({path.name.rpartition("-")[0] for path in packs(project)}) == 2


def test_a_home_that_can_not_be_looked_at(project, monkeypatch):
    """Python starts without what is installed there, as under another user whose home was inherited; so do runs."""
    monkeypatch.setenv("PYTHONUSERBASE", str(project.path / ("x" * 300)))
    project.write(TOTAL)
    for _ in range(2):
        result = project.run_apart()
        result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*12 of 12 runs from cache*"])


FULL = """
import resource

def pytest_collection_finish(session):
    if hasattr(session.config, "workerinput"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit of size there")
def test_processes_that_can_not_write_for_each_other(project):
    """As on a full disk: the tests say so, and what to do, in a line."""
    project.write(TOTAL)
    project.raw("conftest.py", FULL)
    result = project.run_workers()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["INVALID: the processes of this session can't agree on what is run: *; make room there*"]
    )
    assert "Traceback" not in result.stdout.str()
    result.stdout.no_fnmatch_line("*agreements.py*")


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit of size there")
def test_notes_of_processes_that_can_not_write(project):
    """Where nothing is to be agreed on, each makes all runs, and what it has to say is told."""
    project.write(TOTAL)
    project.raw("conftest.py", FULL)
    result = project.run_workers("-p", "no:cacheprovider")
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["note: records could not be written for other processes to read: *"])
