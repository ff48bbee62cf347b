"""Artifacts on disk."""

import contextlib
import hashlib
import math
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize import (
    ArtifactPlugin,
    Experiment,
    ParallelExecution,
    StoredVersion,
    Treatment,
    pipeline_step,
    stored_versions,
)
from crystallize.errors import ArtifactError, DefinitionError
from crystallize.storage.names import file_key, path_component
from crystallize.storage.run_directory import (
    MANIFEST,
    METADATA,
    RESULTS,
    artifact_path,
    new_version,
)


@pipeline_step()
def save(data, ctx, *, fail=False):
    ctx.artifacts.add("model.bin", f"{ctx.condition} {ctx.replicate}".encode())
    if fail:
        raise ValueError("no")
    return data


@pipeline_step()
def note(data, *, x=0):
    return data, {"x": x}


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
    barrier = threading.Barrier(6, timeout=300)

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


def test_a_version_says_what_it_is(tmp_path):
    """Metadata, results and a manifest of every artifact with size and digest."""
    plugin = run(tmp_path, treatments=[Treatment("t", {"fail": False})], replicates=2)
    version = StoredVersion(plugin.version_dir)
    assert version.complete
    assert version.number == 0
    metadata = version.metadata
    assert (metadata["experiment"], metadata["seed"], metadata["replicates"]) == ("exp", 0, 2)
    assert metadata["conditions"] == ["baseline", "t"]
    assert metadata["versions"]["numpy"] == np.__version__
    assert metadata["started"] <= metadata["finished"]
    assert "git_commit" in metadata
    written = {entry["path"]: entry for entry in version.artifacts}
    assert sorted(written) == tree(version.path)
    for path, entry in written.items():
        data = (version.path / path).read_bytes()
        assert entry["size"] == len(data)
        assert entry["blake2b"] == hashlib.blake2b(data).hexdigest()


def test_results_of_earlier_versions_can_be_loaded(tmp_path):
    """As the run gave them, nan and infinities too."""

    @pipeline_step()
    def measure(data, ctx, *, factor=1.0):
        values = [0.1, math.nan, math.inf]
        return data, {"x": factor * values[ctx.replicate], "text": "nan or so", "list": [1, "a"]}

    experiment = Experiment(
        0,
        [save, measure],
        [ArtifactPlugin(tmp_path)],
        name="a/b",
        treatments=[Treatment("t", {"factor": -1.0})],
    )
    results = [experiment.run(replicates=3), experiment.run(replicates=2)]
    versions = stored_versions("a/b", tmp_path)
    assert [version.path for version in versions] == [result.version_dir for result in results]
    for version, result in zip(versions, results, strict=True):
        assert repr(version.metrics) == repr({name: dict(arm) for name, arm in result.metrics.items()})
        assert version.results["digest"] == result.digest
        assert version.read("model.bin", replicate=1, condition="t") == b"t 1"
    assert stored_versions("never run", tmp_path) == []


def test_what_is_not_there_is_an_error_that_says_so(tmp_path):
    """No such artifact, several of them, another content, no results yet."""
    other = pipeline_step()(lambda data, ctx: ctx.artifacts.add("model.bin", b""))
    version = StoredVersion(run(tmp_path, save, other()).version_dir)
    with pytest.raises(ArtifactError, match=r"has 2 artifacts 'model.bin'; it has 'model.bin' of 'save'"):
        version.read("model.bin")
    assert version.read("model.bin", step="save") == b"baseline 0"
    with pytest.raises(
        ArtifactError, match=r"replicate 9 of 'baseline' in .* has 0 artifacts .*; it has none"
    ):
        version.read("model.bin", replicate=9)
    (version.path / "replicate_0/baseline/save/model.bin").write_bytes(b"baseline 1")
    with pytest.raises(ArtifactError, match="is not what was written"):
        version.read("model.bin", step="save")
    (version.path / MANIFEST).unlink()
    with pytest.raises(
        ArtifactError, match=r"has no manifest.json: its run was stopped, or has not ended yet"
    ):
        StoredVersion(version.path).artifacts  # noqa: B018
    (version.path / MANIFEST).write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest.json can't be read"):
        StoredVersion(version.path).artifacts  # noqa: B018


@pytest.mark.parametrize("text", ["null", "{}", "[]", "[" * 100_000, '{"artifacts": [{}], "metrics": null}'])
def test_files_of_a_version_that_hold_something_else_are_told(tmp_path, text):
    """They are JSON, and not what was written: cut by hand, or of another program."""
    path = run(tmp_path, save).version_dir
    for file in (MANIFEST, RESULTS):
        (path / file).write_text(text)
        with pytest.raises(ArtifactError, match=rf"{file} can't be read: "):
            StoredVersion(path).read("model.bin") if file == MANIFEST else StoredVersion(path).metrics


def test_a_result_says_where_its_artifacts_are(tmp_path):
    """If there are any."""
    plugins = [ArtifactPlugin(tmp_path)]
    assert Experiment(0, [save], plugins, name="exp").run().version_dir == tmp_path / "exp" / "v0"
    assert Experiment(0, [silent], plugins, name="exp").run().version_dir is None


KILLED = """
import os, pathlib
from crystallize import Experiment, ArtifactPlugin, pipeline_step
import crystallize.storage.run_directory as module

def in_pieces(data):
    yield data[:500]
    if data.startswith(b"5"):
        os.kill(os.getpid(), 9)
    yield data[500:]

write_whole = module.write_whole
module.write_whole = lambda path, data, **options: write_whole(path, in_pieces(data), **options)

@pipeline_step()
def save(data, ctx):
    ctx.artifacts.add("model.bin", str(ctx.replicate).encode() * 1000)

Experiment(0, [save], [ArtifactPlugin({root!r})], name="exp", replicates=10).run()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill")
def test_a_run_that_is_killed_leaves_whole_files_and_no_manifest(tmp_path):
    """In the middle of a write; the next run has another version."""
    done = subprocess.run([sys.executable, "-c", KILLED.format(root=str(tmp_path))], check=False)
    assert done.returncode == -9
    (version,) = stored_versions("exp", tmp_path)
    assert not version.complete
    assert repr(version) == f"<StoredVersion {version.path}, incomplete>"
    assert version.metadata["experiment"] == "exp"
    found = sorted(version.path.glob("replicate_*/**/*.bin"))
    assert [path.read_bytes() for path in found] == [str(i).encode() * 1000 for i in range(5)]
    assert sorted(p for p in version.path.rglob("replicate_*/**/*") if p.is_file()) == found
    assert run(tmp_path).version_dir.name == "v1"


def start_together(root, ready):
    """Run an experiment when all others are ready to."""
    ready.wait(300)
    run(root, replicates=20)


def test_processes_that_start_at_once_have_versions_of_their_own(tmp_path):
    """Each whole; also while others remove what they had reserved and did not need."""
    context = multiprocessing.get_context()
    ready = context.Barrier(4)
    processes = [context.Process(target=start_together, args=(tmp_path, ready)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    versions = stored_versions("exp", tmp_path)
    assert [version.number for version in versions] == [0, 1, 2, 3]
    for version in versions:
        assert version.complete
        assert [version.read("model.bin", replicate=i) for i in range(20)] == [
            f"baseline {i}".encode() for i in range(20)
        ]


def test_reserving_goes_on_while_others_clean_up(tmp_path):
    """A run that needed no directory removes it, maybe under the hands of one that is about to use it."""
    stopped = threading.Event()

    def in_vain():
        while not stopped.is_set():
            new = new_version(tmp_path / "data", "exp")
            for path in new.created:
                with contextlib.suppress(OSError):
                    path.rmdir()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(in_vain) for _ in range(2)]
        made = [new_version(tmp_path / "data", "exp").path for _ in range(50)]
        stopped.set()
        for future in futures:
            future.result()
    assert len(set(made)) == 50
    assert all(path.is_dir() for path in made)


def test_runs_of_one_experiment_at_the_same_time_share_no_version(tmp_path):
    """Threads that run the very same object."""
    experiment = Experiment(0, [save], [ArtifactPlugin(tmp_path)], name="exp", replicates=30)
    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(experiment.run) for _ in range(4)]]
    assert {result.version_dir.name for result in results} == {"v0", "v1", "v2", "v3"}
    assert all(len(version.artifacts) == 30 for version in stored_versions("exp", tmp_path))


def test_without_versions_an_unfinished_run_is_recognisable(tmp_path):
    """The manifest of an earlier run goes before the first artifact is written."""
    manifest = run(tmp_path, versioned=False).version_dir / MANIFEST
    assert manifest.exists()

    @pipeline_step()
    def interrupted(data, ctx):
        if ctx.replicate == 1:
            raise KeyboardInterrupt
        ctx.artifacts.add("a", b"")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted, versioned=False, replicates=2)
    assert not manifest.exists()


def test_a_run_without_artifacts_leaves_an_earlier_one_alone(tmp_path):
    """Also where all runs share a directory."""
    manifest = run(tmp_path, versioned=False).version_dir / MANIFEST
    before = manifest.stat()
    run(tmp_path, silent, versioned=False)
    assert manifest.stat() == before


def test_conditions_that_differ_in_case_share_no_directory(tmp_path):
    """Even on a file system that does not tell them apart."""
    change = {"fail": False}
    treatments = [Treatment(name, change) for name in ("deep", "Deep", "Baseline", "ångström")]
    version = StoredVersion(run(tmp_path, treatments=treatments).version_dir)
    directories = [entry["path"].split("/")[1] for entry in version.artifacts]
    assert len({directory.casefold() for directory in directories}) == 5
    assert "ångström" in directories
    for treatment in treatments:
        expected = f"{treatment.name} 0".encode()
        assert version.read("model.bin", condition=treatment.name) == expected


names = st.text(st.characters(), min_size=1, max_size=12) | st.text("aA.%/\\~ ", min_size=1, max_size=300)


@given(names, st.lists(names, min_size=1, max_size=4, unique=True), names)
def test_any_names_give_distinct_safe_paths(experiment, conditions, step):
    """Inside of the root, one per condition, whatever the file system takes for the same."""
    root = PurePosixPath("/root")
    conditions = tuple(conditions)
    paths = [
        root / path_component(experiment) / "v0" / artifact_path(conditions, 0, condition, step, "a")
        for condition in conditions
    ]
    assert len({file_key(str(path)) for path in paths}) == len(conditions)
    for path in paths:
        assert len(path.parts) == 8
        assert path.parts[:2] == ("/", "root")
        assert ".." not in path.parts
        assert not any(set(part) & set('\\:*?"<>|\0') for part in path.parts)
        assert max(len(part.encode(errors="surrogatepass")) for part in path.parts) <= 200


@given(names, names)
def test_steps_and_experiments_have_directories_of_their_own(one, other):
    """Different names, different paths."""
    same = one == other
    assert (path_component(one) == path_component(other)) == same
    paths = [artifact_path(("baseline",), 0, "baseline", step, "a") for step in (one, other)]
    assert (paths[0] == paths[1]) == same


@pytest.mark.slow
def test_ten_thousand_replicates_by_four_processes(tmp_path):
    """Nothing is lost, nothing overwritten."""
    plugins = [ArtifactPlugin(tmp_path), ParallelExecution(4, "process")]
    result = Experiment(
        0, [save], plugins, name="exp", treatments=[Treatment("t", {"fail": False})], replicates=10_000
    ).run()
    assert result.errors == ()
    (version,) = stored_versions("exp", tmp_path)
    expected = {(c, i): f"{c} {i}".encode() for i in range(10_000) for c in ("baseline", "t")}
    found = {
        (entry["condition"], entry["replicate"]): (version.path / entry["path"]).read_bytes()
        for entry in version.artifacts
    }
    assert found == expected
    assert sum(len(files) for _, _, files in os.walk(version.path)) == 20_000 + 3


def test_old_versions_can_be_pruned(tmp_path):
    """The newest are kept; what is incomplete, or no version, stays."""
    for _ in range(3):
        run(tmp_path)
    (tmp_path / "exp" / "v0" / MANIFEST).unlink()
    (tmp_path / "exp" / "notes").mkdir()
    plugin = ArtifactPlugin(tmp_path, keep_versions=2)
    for _ in range(2):
        Experiment(0, [save], [plugin], name="exp").run()
    left = {path.name for path in (tmp_path / "exp").iterdir()}
    assert left == {"v0", "v3", "v4", "notes"}
    assert stored_versions("exp", tmp_path)[-1].read("model.bin") == b"baseline 0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_versions": 0}, "keep_versions is 0; give an integer >= 1"),
        ({"keep_versions": True}, "keep_versions is True; give an integer >= 1"),
        ({"keep_versions": 1, "versioned": False}, "every run replaces the only version"),
    ],
)
def test_numbers_of_versions_that_make_no_sense_are_refused(options, message):
    """At construction."""
    with pytest.raises(DefinitionError, match=message):
        ArtifactPlugin(**options)


def test_a_name_with_a_version_is_of_that_version_only(tmp_path):
    """`treatments["boost (v1)"]` answers for the run that wrote v1."""
    experiment = Experiment(
        0, [save, note], [ArtifactPlugin(tmp_path)], name="exp", treatments=[Treatment("boost", {"x": 1})]
    )
    first, second = experiment.run(), experiment.run()
    assert first.metrics.treatments["boost (v0)"]["x"] == [1]
    assert second.metrics.treatments["boost (v1)"]["x"] == [1]
    with pytest.raises(KeyError, match=r"'boost \(v0\)' is of another run: this one is v1"):
        second.metrics.treatments["boost (v0)"]
