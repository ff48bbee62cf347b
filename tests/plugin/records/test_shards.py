"""Files of shards: what is read is what was written, and shards of different suites are refused."""

import json
from dataclasses import replace

import pytest

from crystallize import RunRecord
from crystallize.context.recording import MetricEntry
from crystallize.seam import records_to_json
from pytest_crystallize.options.values import Shard
from pytest_crystallize.records import shards
from pytest_crystallize.records.shards import ExperimentShard, MergedShards, ShardError, ShardFile

VALUES = [0.1 + 0.2, float("nan"), float("inf"), -0.0, 5e-324, 2**70, True]


def file(number, total=2, **changes):
    entries = tuple(MetricEntry(f"m{i}", value, None, False, "step") for i, value in enumerate(VALUES))
    record = RunRecord("baseline", number - 1, 7, entries)
    experiment = ExperimentShard(
        name="experiment_a",
        seed=0,
        replicates=2,
        conditions=("baseline",),
        needed=("baseline",),
        claims=("a.py::experiment_a::replicates",),
        cases="",
        code={"baseline": {"experiment_a": "12"}},
        unlike=None,
        records=records_to_json([record]),
    )
    known = {
        "shard": Shard(number, total),
        "arguments": ("--crystallize",),
        "commit": "c0ffee",
        "dirty": False,
        "versions": {"python": "3.11"},
        "environment": {"Python": "CPython 3.11", "machine": "x86"},
        "notes": (),
        "exit_status": 0,
        "experiments": {"a.py::experiment_a": experiment},
        "path": f"{number}.json",
    }
    known |= {name: value for name, value in changes.items() if name in known}
    of_experiment = {name: value for name, value in changes.items() if name not in known}
    if of_experiment:
        known["experiments"] = {"a.py::experiment_a": replace(experiment, **of_experiment)}
    return ShardFile(**known)


def test_what_is_read_is_what_was_written(tmp_path):
    """Every value bit for bit, also those that JSON has no number for."""
    path = tmp_path / "shard.json"
    written = file(1, path=str(path))
    written.write(path)
    read = ShardFile.read(path)
    assert read == written
    ((_, shard),) = MergedShards([file(1, total=1)]).of("a.py::experiment_a")
    (record,) = shard.decoded()
    assert list(map(repr, VALUES)) == [repr(entry.value) for entry in record.metrics]


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"[1]"]
)
def test_a_file_that_was_cut_off_is_told(tmp_path, change):
    """Wherever it ends, and whatever it is."""
    path = tmp_path / "shard.json"
    file(1).write(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ShardError, match=r"shard.json is no file of a shard"):
        ShardFile.read(path)


def test_a_file_of_another_version_is_told(tmp_path):
    """Rather than a traceback: what it holds is as it was written, and not what this version reads."""
    path = tmp_path / "shard.json"
    file(1).write(path)
    data = json.loads(path.read_text())
    del data["format"], data["digest"], data["environment"]
    path.write_text(json.dumps({"format": shards.SHARD.name, "digest": shards._digest(data), **data}))
    with pytest.raises(ShardError, match="is no file of a shard: it has no 'environment'"):
        ShardFile.read(path)


@pytest.mark.parametrize(
    ("old", "new"), [("c0ffee", "c0ffef"), ('"12"', '"13"'), ('"replicates": 2', '"replicates": 1')]
)
def test_a_file_that_was_edited_is_told(tmp_path, old, new):
    """By the digest of all that it holds."""
    path = tmp_path / "shard.json"
    file(1).write(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ShardError, match="changed or damaged since it was written; run that shard"):
        ShardFile.read(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "there is no shard to merge"),
        ([file(1)], "of 2 shards, 2 is missing"),
        ([file(3, total=4)], "of 4 shards, 1, 2, 4 are missing"),
        ([file(1), file(1)], "1.json is given twice"),
        ([file(1), file(1, path="b.json"), file(2)], "1.json and b.json both are shard 1 of 2"),
        ([file(1), file(2, total=3)], "1.json is shard 1 of 2, and 2.json is shard 2 of 3"),
        ([file(1), file(2, commit="beef")], "commit c0ffee and commit beef"),
        ([file(1), file(2, dirty=True)], "the code of one differs from its commit"),
        ([file(1), file(2, environment={"Python": "CPython 3.12"})], "Python CPython 3.11 -> CPython 3.12"),
        ([file(1), file(2, arguments=("-k", "x"))], "pytest --crystallize and pytest -k x"),
        ([file(1), file(2, experiments={})], "only one has a.py::experiment_a"),
        ([file(1), file(2, claims=())], "only one selected a.py::experiment_a::replicates"),
        ([file(1), file(2, seed=1)], "seed of a.py::experiment_a are 0 and 1"),
        ([file(1), file(2, replicates=3)], "replicates of a.py::experiment_a are 2 and 3"),
        ([file(1), file(2, cases="other")], "cases of a.py::experiment_a"),
        (
            [file(1), file(2, code={})],
            "the code, the inputs or the variables of a.py::experiment_a are others",
        ),
    ],
)
def test_shards_of_different_suites_are_refused(files, message):
    """Which they are, and in what they differ."""
    with pytest.raises(ShardError, match=message):
        MergedShards(files)


def test_shards_may_run_on_different_machines():
    """Which is told, since the last bits of what they compute may differ."""
    other = {"Python": "CPython 3.11", "machine": "arm64"}
    merged = MergedShards([file(2, environment=other, notes=("a",)), file(1, notes=("a", "b"))])
    assert merged.notes == [
        "merged from 2 shards: 1.json, 2.json",
        "shards ran on different machines: last bits may differ",
        "a",
        "b",
    ]
