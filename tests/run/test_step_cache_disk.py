"""Cacheable steps: what becomes of their results on the disk, and how hits are shown."""

import logging
import os
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from cached_steps import noisy, run, scaled, total

from crystallize import Experiment, LoggingPlugin, ParallelExecution, RunRecord, pipeline_step
from crystallize.errors import CrystallizeWarning
from crystallize.identity import file_digests, loaded_files, prerequisites
from crystallize.storage.store import Store

pytestmark = pytest.mark.usefixtures("cache")


def test_a_corrupt_result_is_a_miss(cache, calls):
    """Torn, flipped or emptied."""
    experiment = Experiment([1.0], [scaled, total])
    off, _ = run(experiment, mode="off")
    for damage in (lambda b: b[:-3], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""):
        run(experiment)
        (path,) = cache.rglob("*.value")
        path.write_bytes(damage(path.read_bytes()))
        calls.clear()
        assert run(experiment) == (off, [])
        assert calls == ["scaled"]


def test_a_cache_that_goes_away_is_filled_again(cache, calls):
    """Nothing is said: it is only empty."""
    experiment = Experiment([1.0], [scaled])
    run(experiment)
    shutil.rmtree(cache)
    assert run(experiment)[1] == []
    assert run(experiment)[1] == []
    assert len(calls) == 2


def test_a_cache_that_can_not_be_written_is_said_once(tmp_path, monkeypatch):
    """And the run goes on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "file"))
    experiment = Experiment([1.0], [scaled, noisy, total], replicates=3)
    with pytest.warns(CrystallizeWarning, match=r"the cache in .* can't be") as said:
        result = experiment.run()
    assert len(said) == 1
    assert result.errors == ()


def test_a_run_that_stored_something_tidies_up(monkeypatch):
    """Once, at its end; one that stored nothing does not."""
    tidied = []
    monkeypatch.setattr(Store, "tidy", lambda store: tidied.append(store.directory))
    experiment = Experiment([1.0], [scaled, noisy], replicates=3)
    experiment.run()
    assert len(tidied) == 1
    experiment.run()
    assert len(tidied) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Experiment([2.0], [scaled], [ParallelExecution(2, "process")], replicates=3).run()
    assert len(tidied) == 2


def test_hits_of_steps_are_shown(caplog, capsys):
    """In the log, behind each step of a verbose one, and in the tree; the results are the same."""

    @pipeline_step(cacheable=True)
    def slow(data, ctx):
        return data + ctx.rng.normal()

    @pipeline_step()
    def score(data):
        return data, {"x": data}

    experiment = Experiment(1.0, [slow, score], name="cached", replicates=2)
    cold = experiment.run()
    caplog.set_level(logging.INFO, "crystallize")
    caplog.handler.setLevel(0)
    warm = experiment.run()
    assert cold.digest == warm.digest
    assert [record.cached_steps for record in cold.records] == [(), ()]
    assert [record.cached_steps for record in warm.records] == [("slow",), ("slow",)]
    assert "cached: step slow from the cache in 2 of 2 runs" in caplog.messages
    assert RunRecord.from_json(warm.records[0].to_json()).cached_steps == ("slow",)
    warm.print_tree("step > action")
    shown = capsys.readouterr().out
    assert "slow\n│   ├── was taken from the cache\n" in shown
    assert shown.count("was taken from the cache") == 1
    Experiment(1.0, [slow, score], [LoggingPlugin(verbose=True)], name="cached").run()
    assert "cached: replicate 0 of baseline: slow (from the cache)" in caplog.messages
    assert "cached: replicate 0 of baseline: score" in caplog.messages


@pipeline_step()
def of_a_file(data, ctx, *, edit=None):
    """Read the file of a replicate, and edit that of the first one."""
    if edit is not None and ctx.replicate == edit:
        with Path("0").open("a") as file:
            file.write("5")
    return [float(Path(str(ctx.replicate)).read_text())]


@pytest.fixture
def files(cache, monkeypatch):
    """Files of six replicates, whose times tell one change from the next at once."""
    monkeypatch.setattr(file_digests, "_SETTLED", -1)
    for replicate in range(6):
        with Path(str(replicate)).open("x") as file:  # one that is emptied counts as made by the process
            file.write(f"{replicate}.0")


@pytest.mark.usefixtures("files")
def test_what_runs_have_opened_is_resolved_once(monkeypatch):
    """Each run opens a file of its own, so that each result lists one more."""
    resolved = []

    class Counted(prerequisites.Spelled):
        @classmethod
        def of(cls, path):
            resolved.append(path)
            return super().of(path)

    monkeypatch.setattr(prerequisites, "Spelled", Counted)
    experiment = Experiment([1.0], [of_a_file, scaled, total], replicates=6)
    assert run(experiment)[1] == []
    own = [path for path in resolved if Path(path).name.isdecimal()]
    assert len(own) == len(set(own)) == 6


@pytest.mark.usefixtures("files")
def test_a_file_that_changes_when_it_is_known_is_looked_at_again(calls):
    """Results that it was listed beside are no longer true, and none is stored with it."""
    experiment = Experiment([1.0], [of_a_file(edit=3), scaled, total], replicates=6)
    (note,) = run(experiment)[1]
    assert note == "step 'scaled' is not cached: a file: 0 has changed since this process opened it"
    calls.clear()
    run(Experiment([1.0], [of_a_file, scaled, total], replicates=6))
    assert len(calls) == 6


@pytest.mark.parametrize("changed", ["loaded.py", "other.py"])
@pytest.mark.parametrize("moment", [3600.0, -1.0])
def test_a_result_goes_with_installed_files_as_they_were(changed, moment, calls, tmp_path, monkeypatch):
    """Those that the process has loaded are looked at again after a moment, others each time."""
    home = tmp_path / "installed"
    home.mkdir()
    paths = {name: str(home / name) for name in ("loaded.py", "other.py")}
    for path in paths.values():
        Path(path).write_text("before")
    monkeypatch.setattr(file_digests, "_SETTLED", -1)
    monkeypatch.setattr(loaded_files, "homes", lambda: (f"{home}{os.sep}",))
    monkeypatch.setattr(prerequisites, "LOADED", SimpleNamespace(now=lambda: paths))
    monkeypatch.setattr(prerequisites, "STARTED", 2**63)  # so that the files are older than the process
    monkeypatch.setattr(prerequisites, "_MOMENT", moment)
    monkeypatch.setattr(prerequisites, "_LOOK", prerequisites._Look())
    experiment = Experiment([1.0], [scaled, total])
    run(experiment)
    run(experiment)
    assert calls == ["scaled"]
    monkeypatch.setattr(prerequisites, "_LOOK", prerequisites._Look())  # that of another process
    monkeypatch.setattr(
        prerequisites, "LOADED", SimpleNamespace(now=lambda: {"loaded.py": paths["loaded.py"]})
    )
    run(experiment)
    assert calls == ["scaled"]
    Path(paths[changed]).write_text("and behind")
    run(experiment)
    assert len(calls) == (1 if changed == "loaded.py" and moment > 0 else 2)
