"""`crystallize cache` and `crystallize artifacts`: what sessions keep, explained, listed and made less."""

import os
import subprocess
import sys

import pytest

from crystallize import ArtifactPlugin, Experiment, pipeline_step
from crystallize.storage.sealed import Encoded
from crystallize.storage.secret import Secret
from crystallize.storage.store import Store
from plugin.conftest import ITEM, edited, total
from pytest_crystallize.command.main import main


def command(project, *arguments):
    """Run the command in a process of its own; return its exit code and what it printed."""
    code = "from pytest_crystallize.command.main import console; console()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_why_runs_are_made_again(project):
    """How many are stored of a test, a function or a file, and what has changed since; nothing is run."""
    project.write(total(lines="open('ran', 'a').write('x')"))
    project.ini("addopts = -n2 -ra -q --tb=short --durations=3\nfilterwarnings = error")
    code, out = command(project, "cache", "why", ITEM)
    assert code == 0
    assert out.splitlines()[0] == "experiment_a.py::experiment_total: 0 of 12 runs are stored"
    project.write(total())
    assert not (project.path / "ran").exists()
    project.run_apart("-n0")
    assert command(project, "cache", "why", "experiment_a.py")[1] == (
        "experiment_a.py::experiment_total: 12 of 12 runs are stored\n"
    )
    project.write(edited(total(), "uniform(0.5, 1.5)", "uniform(0.5, 1.6)"))
    out = command(project, "cache", "why", "experiment_a.py::experiment_total")[1]
    assert "  boost: 0 of 6: experiment_a.experiment_total changed\n" in out
    code, out = command(project, "cache", "why", "nothing.py")
    assert code == 2
    assert "nothing.py is no experiment, nor holds one" in out
    (project.path / "experiment_b.py").write_text("def experiment_b(:\n")
    code, out = command(project, "cache", "why", "experiment_b.py")
    assert code == 2
    assert "SyntaxError" in out


def test_runs_that_are_stored_and_made_each_time_say_why(project):
    """Of a claim about times they were said not to be stored, and nothing said why they never are taken."""
    source = total(lines="ctx.metrics.add('took', 0.1, measured=True)", arguments="rng, ctx")
    project.write(source)
    project.run_apart("-n0")
    assert command(project, "cache", "why", "experiment_a.py")[1] == (
        "experiment_a.py::experiment_total: 12 of 12 runs are stored\n"
    )
    project.write(edited(source, 'metric="total", direction="increase"', 'metric="took", direction="differ"'))
    assert command(project, "cache", "why", "experiment_a.py")[1] == (
        "experiment_a.py::experiment_total: 12 of 12 runs are stored\n"
        "  run each time: a hypothesis is about a measured metric, which tells of the session that "
        "measured it\n"
    )


@pytest.mark.slow
def test_the_order_of_tests_is_that_of_the_file_whatever_shuffles_them(project):
    """And options of what shuffles them are known, where addopts has some."""
    pytest.importorskip("pytest_randomly")
    names = [f"experiment_{letter}" for letter in "abcdefgh"]
    project.write("\n".join(total().replace("experiment_total", name) for name in names))
    project.ini("addopts = --randomly-seed=3")
    code, out = command(project, "cache", "why", "experiment_a.py")
    assert code == 0
    assert [line.split("::")[1].split(":")[0] for line in out.splitlines() if "::" in line] == names


@pytest.mark.slow
def test_cases_that_were_edited_are_named(project):
    """Of each condition, beside how many runs are stored."""
    cases = "Cases([{'id': f'q{i}', 'x': 1} for i in range(6)], id='id')"
    source = total(cases=cases, replicates=None, arguments="rng, case")
    project.write(source)
    project.run_apart("-n0")
    project.write(edited(source, "'x': 1", "'x': 1 + (i == 4)"))
    out = command(project, "cache", "why", "experiment_a.py")[1]
    assert "  baseline: 5 of 6: case 'q4' changed\n" in out
    assert "  boost: 5 of 6: case 'q4' changed\n" in out


@pytest.mark.slow
def test_the_cache_of_pytest_is_pruned(project):
    """What was used lately stays; where the cache lies, pytest says."""
    project.write(total())
    project.run_apart("-n0", "-o", "cache_dir=kept")
    place = "--", "-o", "cache_dir=kept"
    assert "removed 0 bytes that were not used for 30 days" in command(project, "cache", "prune", *place)[1]
    code, out = command(project, "cache", "prune", "--days=0", *place)
    assert code == 0
    assert " 0 bytes are left" in out
    code, out = command(project, "cache", "prune", "--", "-p", "no:cacheprovider")
    assert code == 2
    assert "pytest has no cache here" in out
    assert command(project, "artifacts", "list", *place)[1].startswith("no artifacts in ")


def test_what_nobody_used_for_days_is_removed(tmp_path):
    """And nothing else."""
    store = Store(tmp_path, Secret(b"k" * 32, None))
    for name in ("old", "new"):
        store.put(name, Encoded("text", name.encode()))
    old = store._place("old", "value")
    os.utime(old, (1, 1))
    size = old.stat().st_size
    assert store.prune(30) == (size, size)
    assert store.get("old") is None
    assert store.get("new") == Encoded("text", b"new")


def test_versions_of_artifacts_are_listed_and_pruned(tmp_path, monkeypatch, capsys):
    """The latest stay; what is no version is left alone."""

    @pipeline_step()
    def write(data, ctx):
        ctx.artifacts.add("sum.txt", b"3")
        return data, {"sum": 3}

    root = tmp_path / "data"
    for _ in range(3):
        Experiment(0, [write], [ArtifactPlugin(root)], name="sums").run()
    (root / "sums" / "vague").mkdir()
    assert main(["artifacts", "list", f"--root={root}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{root}/sums/v0: sums, 20")
    assert lines[0].endswith("UTC, 1 file")
    assert main(["artifacts", "prune", "--keep=1", f"--root={root}"]) == 0
    assert "removed 2 of 3 versions" in capsys.readouterr().out
    assert sorted(path.name for path in (root / "sums").iterdir()) == ["v2", "vague"]
    assert main(["artifacts", "list", f"--root={tmp_path / 'nowhere'}"]) == 2
    assert "there is no such directory" in capsys.readouterr().err
    for arguments in (
        ["artifacts", "prune"],
        ["artifacts", "prune", "--keep=0"],
        ["cache", "prune", "--days=x"],
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
