"""The files of references: read strictly, written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystallize.analysis.stored_reference import REFERENCE, Recording, StoredReference
from crystallize.errors import ReferenceFileError
from crystallize.storage.atomic import write_whole
from crystallize.storage.names import file_key
from crystallize.storage.regular import read_regular
from crystallize.text.formatting import counted
from crystallize.text.strict_json import unique_keys


def load_reference(path: Path, experiment: str | None = None) -> StoredReference:
    """Read a reference file.

    Parameters
    ----------
    path : Path
        The file.
    experiment : str, optional
        Whose it is to be.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ReferenceFileError
        If it can't be read, or is of an experiment whose name differs in upper and lower case alone: some
        file systems have one file for both.
    """
    reference, _ = _read(path)
    if experiment is not None:
        _check_whose(path, reference.experiment, experiment)
    return reference


def write_reference(
    path: Path, experiment: str, recording: Recording, *, partial: bool = False
) -> StoredReference | None:
    """Write a reference file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file; directories are made.
    experiment : str
        Name of the experiment.
    recording : Recording
        What is written.
    partial : bool
        Whether conditions of the file that the recording lacks are kept: it is of a part of the experiment.

    Returns
    -------
    StoredReference or None
        What was there before, where that can be read.

    Raises
    ------
    ReferenceFileError
        If what is to be kept is of other replicates, or no reference; or if what lies there is another
        experiment's.
    OSError
        If it can't be written.
    """
    earlier, kept = None, list[Any]()
    try:
        earlier, data = _read(path)
    except FileNotFoundError:
        pass
    except ReferenceFileError:
        if partial:
            raise
    if earlier is not None:
        _check_whose(path, earlier.experiment, experiment)
        if partial:
            kept = _kept(earlier, data, recording)
    text = to_json(
        {"format": REFERENCE.name, "experiment": experiment, "recordings": [*kept, recording.to_data()]}
    ).encode()
    if len(text) > REFERENCE.largest:
        raise ReferenceFileError(
            f"{experiment}: a file of {len(text):,} bytes is too large for a reference, which has at most "
            f"{REFERENCE.largest:,}; record fewer metrics"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text, durable=True)
    return earlier


def _read(path: Path) -> tuple[StoredReference, Mapping[str, Any]]:
    with REFERENCE.telling(path):
        data = parse_json(read_regular(path, REFERENCE.largest))
        return StoredReference.from_data(data), data


def _check_whose(path: Path, held: str, experiment: str) -> None:
    if held != experiment and file_key(held) == file_key(experiment):
        raise ReferenceFileError(
            f"{path} is the reference of {held}, and {experiment} would have the same file where upper and "
            "lower case are the same; give them names that differ otherwise"
        )


def _kept(earlier: StoredReference, data: Mapping[str, Any], recording: Recording) -> list[Any]:
    """Return the data of earlier recordings without the conditions that are recorded anew."""
    for name, known in earlier.conditions.items():
        same = (known.root_seed, list(known.seeds)) == (recording.root_seed, list(recording.seeds))
        if name not in recording.conditions and not same:
            raise ReferenceFileError(
                f"{earlier.experiment}: only {', '.join(map(repr, recording.conditions))} ran, with "
                f"{counted(recording.replicates, 'replicate')} of root seed {recording.root_seed}, and "
                f"condition {name!r} of the reference was recorded {known}; record the same replicates, or "
                "the whole experiment"
            )
    kept = []
    for held in data["recordings"]:
        rest = {
            name: held["conditions"][name] for name in held["conditions"] if name not in recording.conditions
        }
        if rest:
            kept.append({**held, "conditions": rest})
    return kept


def to_json(data: Mapping[str, Any]) -> str:
    """Return the data of a file as JSON text, sorted, a value a line, so that versions can be compared."""
    return json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n"


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds.

    Raises
    ------
    ValueError
        If it is none, says something twice, or holds a number that is not finite.
    """
    try:
        return json.loads(
            text, object_pairs_hook=unique_keys, parse_constant=_not_finite, parse_float=_finite_number
        )
    except RecursionError as fault:
        raise ValueError("nested too deep") from fault


def _finite_number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text)


def _not_finite(text: str) -> Any:
    raise ValueError(f"it holds {text}, which is no finite number")
