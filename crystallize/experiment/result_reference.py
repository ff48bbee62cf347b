"""References that are made of a result."""

from __future__ import annotations

from pathlib import Path

from crystallize.analysis.history import add_recording
from crystallize.analysis.recordable import make_recording
from crystallize.analysis.reference_file import write_reference
from crystallize.analysis.stored_reference import Origin
from crystallize.errors import ReferenceFileError
from crystallize.experiment.result_parts import ResultParts
from crystallize.identity.provenance import commit_and_changes


def origin_now(parts: ResultParts) -> Origin:
    """Return the origin of what was measured in this process."""
    commit, changed = commit_and_changes()
    dirty = changed if commit == parts.commit else None  # another one is checked out by now
    return Origin.now(commit=parts.commit, dirty=dirty, machine=parts.machine, inputs=parts.inputs)


def origin_then(parts: ResultParts) -> Origin:
    """Return the origin of what was loaded: nobody can tell whether the code differed from its commit."""
    return Origin(parts.started, parts.commit, None, parts.machine, parts.versions, parts.inputs)


def write_recording(path: Path, parts: ResultParts, origin: Origin, *, append: bool) -> list[str]:
    """Write what was measured to a reference; see `Result.save_reference`."""
    fewest = min(len(known.records) for known in parts.conditions.values())
    if fewest < parts.planned:
        raise ReferenceFileError(
            f"{parts.name} was stopped early, after {fewest} of {parts.planned} "
            "replicates, and only complete runs are recorded; run it without stopping="
        )
    recording, left_out = make_recording(
        parts.name,
        parts.conditions,
        origin,
        root_seed=parts.root_seed,
        claimed=[metric for result in parts.hypotheses for metric in result.claimed],
        cases=[] if parts.cases is None else [parts.cases.named(i) for i in range(fewest)],
    )
    if recording.is_empty:
        raise ReferenceFileError(f"{parts.name} has no metric to record")
    if append:
        add_recording(path, parts.name, recording)
    else:
        write_reference(path, parts.name, recording)
    return left_out
