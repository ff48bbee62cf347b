"""Artifacts on disk."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crystallize import ArtifactPlugin, Experiment, ParallelExecution, Treatment, pipeline_step
from crystallize.core.versions import MANIFEST, METADATA, RESULTS


@pipeline_step()
def save(data, ctx, *, fail=False):
    ctx.artifacts.add("model.bin", f"{ctx.condition} {ctx.replicate}".encode())
    if fail:
        raise ValueError("no")
    return data


@pipeline_step()
def silent(data, ctx):
    return data


def run(root, *steps, name="exp", versioned=True, **options):
    plugin = ArtifactPlugin(root, versioned)
    Experiment(0, steps or [save], [plugin], name=name, **options).run()
    return plugin


def tree(root):
    """Return the artifacts below a root, whatever describes their versions left out."""
    paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.name not in (METADATA, RESULTS, MANIFEST))


def test_artifacts_lie_by_replicate_condition_and_step(tmp_path):
    """Each with its bytes."""
    plugin = run(tmp_path, treatments=[Treatment("t", {"fail": False})], replicates=2)
    assert tree(tmp_path) == [
        f"exp/v0/replicate_{i}/{condition}/save/model.bin"
        for i in range(2)
        for condition in ("baseline", "t")
    ]
    assert plugin.version_dir == tmp_path / "exp" / "v0"
    assert (plugin.version_dir / "replicate_1/t/save/model.bin").read_bytes() == b"t 1"


def test_every_run_has_a_version_of_its_own(tmp_path):
    """Whatever else lies there, and however many start at once."""
    (tmp_path / "exp" / "v7").mkdir(parents=True)
    (tmp_path / "exp" / "notes").mkdir()
    assert run(tmp_path).version_dir.name == "v8"
    barrier = threading.Barrier(6, timeout=30)

    def reserve(_):
        barrier.wait()
        return ArtifactPlugin(tmp_path).reserve("exp")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(reserve, range(6)))) == 6


def test_a_plugin_used_again_begins_a_new_version(tmp_path):
    """A run never writes into another run's directory."""
    experiment = Experiment(0, [save], [ArtifactPlugin(tmp_path)], name="exp")
    experiment.run()
    experiment.run()
    assert sorted(p.name for p in (tmp_path / "exp").iterdir()) == ["v0", "v1"]


def test_without_versions_a_run_replaces_what_it_finds(tmp_path):
    """In v0."""
    for _ in range(2):
        run(tmp_path, versioned=False)
    assert tree(tmp_path) == ["exp/v0/replicate_0/baseline/save/model.bin"]


def test_a_run_without_artifacts_leaves_nothing(tmp_path):
    """Not even a directory, and it asks for no right to write."""
    plugin = run(tmp_path / "data", silent)
    assert list(tmp_path.iterdir()) == []
    assert plugin.version_dir is None


def test_a_failed_run_writes_no_artifacts(tmp_path):
    """What it would have written belongs to no result."""
    run(tmp_path, treatments=[Treatment("bad", {"fail": True})])
    assert tree(tmp_path) == ["exp/v0/replicate_0/baseline/save/model.bin"]


def test_threads_write_to_one_version(tmp_path):
    """Whoever is first."""
    Experiment(0, [save], [ArtifactPlugin(tmp_path), ParallelExecution(4)], name="exp", replicates=20).run()
    assert [p.name for p in (tmp_path / "exp").iterdir()] == ["v0"]
    assert len(tree(tmp_path)) == 20


def test_names_stay_inside_the_directory(tmp_path):
    """Names of experiments, conditions and steps are encoded."""
    run(tmp_path / "in", name="../out", treatments=[Treatment("a/../../b", {"fail": False})])
    assert tree(tmp_path) == [
        f"in/..%2Fout/v0/replicate_0/{c}/save/model.bin" for c in ("a%2F..%2F..%2Fb", "baseline")
    ]


def test_a_directory_that_can_not_be_written_fails_the_runs_that_need_it(tmp_path):
    """By name of the plugin; others are none the worse."""
    (tmp_path / "file").write_text("in the way")
    experiment = Experiment(0, [save], [ArtifactPlugin(tmp_path / "file")])
    (error,) = experiment.run().errors
    assert error.step == "ArtifactPlugin.after_replicate"
    assert Experiment(0, [silent], [ArtifactPlugin(tmp_path / "file")]).run().errors == ()
