"""The history of a reference: a file for each recording, which one speaks, and the mean of several.

Recordings that were added lie in a directory beside the file that a reference is saved to, so that branches
which add some merge without a conflict. The latest that holds a condition speaks of it, unless a `Reference`
says otherwise.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from crystallize.analysis.columns import as_precise_as, deviation, mean, mean_of_sample
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.reference_file import load_reference, write_reference
from crystallize.analysis.stored_reference import Recording, StoredReference
from crystallize.claims.claim import Claim
from crystallize.claims.reference import Reference
from crystallize.claims.tests_of_ranks import BrunnerMunzelTest, MannWhitneyTest, WilcoxonTest
from crystallize.claims.tests_of_rates import (
    BarnardTest,
    BinomialTest,
    BoschlooTest,
    FisherExactTest,
    McNemarTest,
)
from crystallize.claims.tests_of_scores import QuantileTest, WinRateTest
from crystallize.claims.tests_of_trimmed_means import YuenTest
from crystallize.context.record import RunRecord
from crystallize.context.recording import MetricEntry, is_finite
from crystallize.errors import ReferenceFileError
from crystallize.stats.tails import t_quantile
from crystallize.storage.versioned import telling
from crystallize.text.formatting import counted, number, short_commit

_SUFFIX: Final = ".json"

WHOLE: Final = ""
"""Stands for all metrics where it is said which have no mean over recordings."""
_OF_VALUES: Final = (
    *(WilcoxonTest, MannWhitneyTest, BrunnerMunzelTest, YuenTest, QuantileTest, WinRateTest),
    *(McNemarTest, BoschlooTest, FisherExactTest, BarnardTest, BinomialTest),
)
"""Tests of how values are distributed, or of yes/no."""
_MOST_SHOWN: Final = 100
_FEWEST_DIGITS: Final = 7  # of a commit


def history_directory(path: Path) -> Path | None:
    """Return where recordings are added, beside the file of a reference; None beside anything else."""
    return path.with_suffix("") if path.suffix == _SUFFIX else None


def load_history(path: Path, experiment: str | None = None) -> StoredReference:
    """Read all recordings of a reference, the earliest first.

    Parameters
    ----------
    path : Path
        The file of the reference; it need not be there if recordings were added.
    experiment : str, optional
        Whose it is to be.

    Raises
    ------
    FileNotFoundError
        If there is no recording.
    ReferenceFileError
        If one of them can't be read, or is of another experiment.
    """
    directory = history_directory(path)
    added = [] if directory is None else _added(directory)
    if not added:
        return load_reference(path, experiment)
    recordings: list[tuple[str, Recording]] = []
    named: str | None = None
    for file in ([path] if path.exists() else []) + added:
        held = load_reference(file, experiment)
        named = held.experiment if named is None else named
        if held.experiment != named:
            raise ReferenceFileError(
                f"{file} is a recording of {held.experiment}, among those of {named}: move it to where those "
                "of its experiment are"
            )
        label = "" if file == path else file.stem
        recordings += [(label, replace(recording, label=label)) for recording in held.recordings]
    recordings.sort(key=lambda known: (known[1].origin.recorded, known[0]))
    return StoredReference(named or "", tuple(recording for _, recording in recordings))


def _added(directory: Path) -> list[Path]:
    """Return the recordings in a directory, if there is one; what can't be read is not taken for none."""
    with telling(directory, "directory of recordings", ReferenceFileError):
        try:
            names = os.listdir(directory)  # noqa: PTH208 - a Path does not tell why it finds nothing
        except NotADirectoryError:
            return []
        except FileNotFoundError:
            if directory.is_symlink():
                raise ReferenceFileError(f"{directory} can't be read: it leads to nothing") from None
            return []
    return sorted(directory / name for name in names if name.endswith(_SUFFIX))


def add_recording(path: Path, experiment: str, recording: Recording) -> Path:
    """Write a file of its own for a recording, and return where it is.

    Parameters
    ----------
    path : Path
        The file of the reference, which stays as it is.
    experiment, recording
        As for `write_reference`.

    Raises
    ------
    ReferenceFileError
        If recordings that are there can't be read, or are another experiment's.
    OSError
        If it can't be written.
    """
    directory = history_directory(path)
    if directory is None:
        raise ReferenceFileError(f"{path} has no history: give it a name that ends with {_SUFFIX}")
    try:
        held = load_history(path, experiment).experiment
    except FileNotFoundError:
        held = experiment
    if held != experiment:
        raise ReferenceFileError(f"{directory} has recordings of {held}, not of {experiment}")
    when = "".join(digit for digit in recording.origin.recorded[:19] if digit not in "-:")
    stem = f"{when}Z-{short_commit(recording.origin.commit) or 'unknown'}"
    file, again = directory / f"{stem}{_SUFFIX}", 1
    while file.exists():
        again += 1
        file = directory / f"{stem}-{again}{_SUFFIX}"
    write_reference(file, experiment, recording)
    return file


def chosen(history: StoredReference, against: Reference) -> StoredReference:
    """Return what a reference says that today is compared with.

    Raises
    ------
    ReferenceFileError
        If there is no such recording.
    """
    whole = history.recordings
    if against.at is not None:
        found = tuple(recording for recording in whole if recording.label == against.at)
        found = found or tuple(recording for recording in whole if _is_called(recording, against.at))
        commits = dict.fromkeys(short_commit(recording.origin.commit) or "unknown" for recording in found)
        if len(commits) > 1:
            raise ReferenceFileError(
                f"{against}: {against.at!r} is said of several commits ({', '.join(commits)}): "
                "give one commit, or call the file of its recording so"
            )
        if not found:
            names = ", ".join(dict.fromkeys(map(_name, whole)))
            raise ReferenceFileError(
                f"{against} has no recording {against.at!r}, but {names}: at= is the name of a recording's "
                "file, the beginning of its commit, or a tag that commit had when it was recorded"
            )
        return replace(history, recordings=found, history=whole)
    if against.pool is None:
        return replace(history, history=whole)
    return replace(history, recordings=tuple(_pooled(history, against, against.pool)), history=whole)


def _is_called(recording: Recording, name: str) -> bool:
    commit = recording.origin.commit or ""
    return name in recording.tags or (len(name) >= _FEWEST_DIGITS and commit.startswith(name))


def _name(recording: Recording) -> str:
    names = dict.fromkeys((recording.label or short_commit(recording.origin.commit), *recording.tags))
    return ", ".join(filter(None, names)) or "one without a name"


# The mean of several recordings.


def _pooled(history: StoredReference, against: Reference, count: int) -> Iterator[Recording]:
    """Yield the mean recording of each condition."""
    for condition in history.conditions:
        holding = [recording for recording in history.recordings if condition in recording.conditions]
        last = holding[-count:]
        fault = _why_apart(last) or _twice(condition, last)
        if len(last) < count:
            fault = (
                f"it holds {counted(len(last), 'recording')} of condition {condition!r}, and "
                f"pool={count} asks for {count}: record more (--crystallize-append), or pool fewer"
            )
        if fault is not None:
            nothing = {condition: ConditionRuns(condition, ())}
            yield replace(last[-1], conditions=nothing, cases=(), left_out={WHOLE: fault})
            continue
        runs, left_out = _mean(condition, last, mixed=against.other_machines == "allow")
        yield replace(last[-1], conditions={condition: runs}, parts=tuple(last), left_out=left_out)


def _why_apart(recordings: Sequence[Recording]) -> str | None:
    """Say why recordings have no mean; None if the same replicates are in all of them."""
    last = recordings[-1]
    for recording in recordings:
        if (recording.root_seed, list(recording.seeds)) != (last.root_seed, list(last.seeds)):
            return (
                f"its recordings {_name(recording)} and {_name(last)} have other seeds "
                f"({counted(recording.replicates, 'replicate')} of root seed {recording.root_seed}, and "
                f"{last.replicates} of {last.root_seed}): what is pooled has the same"
            )
        if list(recording.cases) != list(last.cases):
            return f"its recordings {_name(recording)} and {_name(last)} are of other cases"
    return None


def _twice(condition: str, recordings: Sequence[Recording]) -> str | None:
    """Say which recordings are one and the same, which would count twice; None if none are."""
    for place, recording in enumerate(recordings):
        for earlier in recordings[:place]:
            # No two sessions record at the same microsecond.
            runs, same = recording.conditions[condition], earlier.conditions[condition]
            if recording.origin == earlier.origin and list(runs.records) == list(same.records):
                return (
                    f"its recordings {_name(earlier)} and {_name(recording)} are the same one (of condition "
                    f"{condition!r}, recorded {recording}), and would count twice: delete one of the files"
                )
    return None


def _mean(
    condition: str, recordings: Sequence[Recording], *, mixed: bool
) -> tuple[ConditionRuns, dict[str, str]]:
    """Return replicates of which each is the mean of what it gave in all recordings, and what has none."""
    arms = [recording.conditions[condition] for recording in recordings]
    metrics = dict.fromkeys(name for arm in arms for name in arm.names)
    left_out: dict[str, str] = {}
    rows: list[list[MetricEntry]] = [[] for _ in recordings[-1].seeds]
    for metric in metrics:
        measured = any(metric in arm.measured for arm in arms)
        fault = None if mixed or not measured else _why_other_machine(recordings)
        without = next((r for r, arm in zip(recordings, arms, strict=True) if metric not in arm.names), None)
        if without is not None:
            fault = f"its recording {_name(without)} has no {metric!r}"
        columns = [] if fault else [_column(arm, metric) for arm in arms]
        for replicate, cells in enumerate(zip(*columns, strict=True)):
            entries = None if fault else _mean_entries(metric, cells, measured)
            if entries is None:
                fault = fault or (
                    f"{metric!r} of replicate {replicate} is no number, or of other units, in one of its "
                    "recordings"
                )
                break
            rows[replicate] += entries
        if fault is not None:
            left_out[metric] = fault
    rows = [[entry for entry in row if entry.name not in left_out] for row in rows]
    seeds = recordings[-1].seeds
    records = [RunRecord(condition, i, seed, tuple(rows[i])) for i, seed in enumerate(seeds)]
    return ConditionRuns(condition, records), left_out


def _why_other_machine(recordings: Sequence[Recording]) -> str | None:
    last = recordings[-1].origin.machine
    for recording in recordings:
        here = recording.origin.machine
        if last is None or here is None or (differences := here.differences(last)):
            where = "nobody knows on which machine" if last is None or here is None else differences
            return (
                f"its recordings {_name(recording)} and {_name(recordings[-1])} were not measured on one "
                f"machine ({where})"
            )
    return None


_Cell = dict[str | int | None, float] | None


def _column(runs: ConditionRuns, metric: str) -> list[_Cell]:
    """Return, for each replicate, unit -> the mean of its values; None where one is no finite number."""
    column: list[_Cell] = []
    for record in runs.records:
        values: dict[str | int | None, list[Any]] = {}
        for entry in record.metrics if record is not None else ():
            if entry.name == metric:
                values.setdefault(entry.unit, []).append(entry.value)
        numbers = bool(values) and all(is_finite(value) for known in values.values() for value in known)
        column.append({unit: mean_of_sample(known) for unit, known in values.items()} if numbers else None)
    return column


def _mean_entries(metric: str, cells: Sequence[_Cell], measured: bool) -> list[MetricEntry] | None:
    known = [cell for cell in cells if cell is not None]
    if len(known) < len(cells) or any(cell.keys() != known[-1].keys() for cell in known):
        return None
    return [
        MetricEntry(metric, _arithmetic([cell[unit] for cell in known]), unit, measured, "reference")
        for unit in known[-1]
    ]


def _arithmetic(values: Sequence[float]) -> float:
    """Return a mean, which of values that repeat is the same to the last bit."""
    return values[0] if len(set(values)) == 1 else mean_of_sample(values)


def geometric_mean(held: Recording, condition: str, metric: str) -> ConditionRuns:
    """Return pooled runs in which a metric is the geometric mean over recordings, as ratios are of such.

    The logarithm of an arithmetic mean is larger than the mean of logarithms: what does not repeat would seem
    to have become smaller.
    """
    runs = held.conditions[condition]
    columns = [_column(part.conditions[condition], metric) for part in held.parts]
    records = []
    for record, cells in zip(runs.records, zip(*columns, strict=True), strict=True):
        assert record is not None  # only complete runs are recorded
        metrics = tuple(
            entry._replace(value=_geometric([cell[entry.unit] for cell in cells if cell is not None]))
            if entry.name == metric
            else entry
            for entry in record.metrics
        )
        records.append(replace(record, metrics=metrics))
    return ConditionRuns(runs.condition, records)


def _geometric(values: Sequence[float]) -> float:
    if min(values) <= 0:
        return min(values)  # which no test of ratios takes
    if len(set(values)) == 1:
        return values[0]
    return as_precise_as(values, math.exp(math.fsum(map(math.log, values)) / len(values)))


def no_means(claim: Claim | None) -> str:
    """Return the name of a claim's test, if it is none of means; empty if it is."""
    test = None if claim is None else claim.test
    return test.name if test is not None and isinstance(test, _OF_VALUES) else ""


def session_spread(held: Recording, condition: str, metric: str) -> float | None:
    """Return the standard deviation of the means of the recordings that were pooled; None of fewer than 3."""
    means = [part.conditions[condition].mean(metric) for part in held.parts]
    known = [value for value in means if value is not None]
    if len(known) < 3:
        return None
    return deviation(known)


# What reports show.


def course(
    history: Sequence[Recording], condition: str, metric: str, *, compared: Sequence[Recording]
) -> list[dict[str, Any]]:
    """Return what a metric of a condition was in each recording, as plain data for reports.

    Each has ``label``, ``recorded``, ``commit``, ``n``, the ``mean`` over replicates with its 95 % interval
    (``low``, ``high``; null of a single value), and whether it is ``compared`` with today.
    """
    points = []
    for recording in history[-_MOST_SHOWN:]:
        runs = recording.conditions.get(condition)
        values = [] if runs is None else [value for value in runs.values(metric) if is_finite(value)]
        if not values:
            continue
        middle, half = _mean_with_interval(values)
        points.append(
            {
                "label": recording.label,
                "recorded": recording.origin.recorded,
                "commit": recording.origin.commit,
                "n": len(values),
                "mean": middle,
                "low": None if half is None else middle - half,
                "high": None if half is None else middle + half,
                "compared": any(recording.origin == known.origin for known in compared),
            }
        )
    return points


def _mean_with_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return a mean, and half the width of its 95 % interval by Student's t; None of a single value."""
    n = len(values)
    middle = mean(values)
    if n < 2:
        return middle, None
    return middle, t_quantile(0.975, n - 1) * deviation(values) / math.sqrt(n)


def used_margin(
    claim: Claim,
    difference: float | None,
    interval: tuple[float, float] | None,
    *,
    condition: str,
    since: str,
) -> str:
    """Say how much of a claim's margin is used up since an anchor; empty where there is no margin."""
    size = claim.margin if claim.margin is not None else claim.detects
    if size is None or not size > 0 or difference is None:
        return ""
    low, high = interval or (difference, difference)
    harm, worst = {
        "no_decrease": (-difference, -low),
        "no_increase": (difference, high),
    }.get(claim.direction, (abs(difference), max(abs(low), abs(high))))
    if harm <= 0:
        return f"{condition!r} has used up nothing of the margin {number(size)} since {since}"
    most = f", at most {100 * worst / size:.0f} % by the interval" if math.isfinite(worst) else ""
    used = f"{condition!r} has used up {100 * harm / size:.0f} % of the margin {number(size)}"
    return f"{used} since {since}{most}"
