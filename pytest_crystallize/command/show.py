"""``crystallize show``: what a session measured, as its summary shows it, and the results that were kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crystallize import Result, stored_results
from crystallize.seam import REFERENCE, REPORT, RESULT, counted, load_reference, printable
from pytest_crystallize.command.main import GOOD
from pytest_crystallize.command.reading import read_data, session_results
from pytest_crystallize.records.shards import ShardFile
from pytest_crystallize.report.terminal import experiment_lines, failure_lines
from pytest_crystallize.report.text import WIDEST, wrapped
from pytest_crystallize.results import SessionResults


def show(file: str | None = None, *, verbose: bool = False) -> int:
    """Print what a file holds; without one, list the results that were kept.

    Parameters
    ----------
    file : str, optional
        A report, a saved result, a reference or the file of a shard.
    verbose : bool
        Whether digests are shown, too.
    """
    if file is None:
        kept = stored_results()
        for stored in kept:
            print(stored)
        if not kept:
            print("no result is kept: Experiment.run(store_results=True) keeps one")
        return GOOD
    found, data = read_data(file)
    if found == RESULT:
        print(Result.load(file))
        return GOOD
    if found == REPORT:
        lines = _report_lines(session_results(file, data), verbosity=int(verbose))
    elif found == REFERENCE:
        lines = _reference_lines(file)
    else:
        lines = _shard_lines(file)
    for line in lines:
        print(line)
    return GOOD


def width() -> int:
    """Return in how many columns tables are to be shown."""
    return min(shutil.get_terminal_size().columns, WIDEST) if sys.stdout.isatty() else WIDEST


def _report_lines(results: SessionResults, *, verbosity: int) -> Iterator[str]:
    columns = width()
    yield from wrapped(f"{': '.join(filter(None, results.headline()))} ({results.provenance})", columns)
    for each in results.experiments:
        yield ""
        yield from experiment_lines(each, columns, verbosity=verbosity)
        for test in each.tests:
            if test.outcome != "passed" or (test.verdict is not None and not test.verdict.passed):
                yield from wrapped(
                    f"{test.word} {test.test}: {test.reason}".removesuffix(": "), columns, indent="  "
                )
        for failure in each.failures:
            yield from failure_lines(failure)
    for note in results.notes:
        yield from wrapped(f"note: {note}", columns)


def _reference_lines(file: str) -> Iterator[str]:
    reference = load_reference(Path(file))
    yield printable(f"reference of {reference.experiment}")
    for condition, recording in reference.conditions.items():
        means = _means(recording.conditions[condition])
        yield from wrapped(f"{condition}, recorded {recording}: {means}", width(), indent="  ")


def _means(runs: Any) -> str:
    found: Mapping[str, float | None] = {metric: runs.mean(metric) for metric in runs.names}
    return ", ".join(f"{metric} {mean:.6g}" for metric, mean in found.items() if mean is not None)


def _shard_lines(file: str) -> Iterator[str]:
    shard = ShardFile.read(file)
    yield f"shard {shard.shard}, to be judged with the others: crystallize merge"
    for key, each in shard.experiments.items():
        records = list(each.decoded())
        failed = sum(record.error is not None for record in records)
        yield printable(f"  {key}: {counted(len(records), 'run')}, {failed} failed")
