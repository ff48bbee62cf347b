"""``crystallize show``: what a session measured, as its summary shows it, and the results that were kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crystallize import Result, stored_results
from crystallize.errors import ReferenceFileError, ResultFileError
from crystallize.seam import REFERENCE_FORMAT, REPORT_FORMAT, RESULT_FORMAT, load_reference, printable
from pytest_crystallize.command.main import GOOD, CommandError
from pytest_crystallize.command.reading import read_data, session_results
from pytest_crystallize.records.shards import ShardError, ShardFile
from pytest_crystallize.report.terminal import experiment_lines, failure_lines
from pytest_crystallize.report.text import wrapped
from pytest_crystallize.results import SessionResults

WIDEST = 120
"""Columns that a table takes at most."""


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
        found = stored_results()
        for stored in found:
            print(stored)
        if not found:
            print("no result is kept: Experiment.run(store_results=True) keeps one")
        return GOOD
    schema, data = read_data(file)
    if schema == RESULT_FORMAT:
        try:
            print(Result.load(file))
        except ResultFileError as fault:
            raise CommandError(str(fault)) from fault
        return GOOD
    if schema == REPORT_FORMAT:
        lines = _report_lines(session_results(file, data), verbosity=int(verbose))
    elif schema == REFERENCE_FORMAT:
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
    try:
        reference = load_reference(Path(file))
    except (ReferenceFileError, OSError) as fault:
        raise CommandError(str(fault)) from fault
    yield printable(f"reference of {reference.experiment}")
    for condition, recording in reference.conditions.items():
        means = _means(recording.conditions[condition])
        yield from wrapped(f"{condition}, recorded {recording}: {means}", width(), indent="  ")


def _means(runs: Any) -> str:
    found: Mapping[str, float | None] = {metric: runs.mean(metric) for metric in runs.names}
    return ", ".join(f"{metric} {mean:.6g}" for metric, mean in found.items() if mean is not None)


def _shard_lines(file: str) -> Iterator[str]:
    try:
        shard = ShardFile.read(file)
    except ShardError as fault:
        raise CommandError(str(fault)) from fault
    yield f"shard {shard.shard}, to be judged with the others: crystallize merge"
    for key, each in shard.experiments.items():
        records = list(each.decoded())
        failed = sum(record.error is not None for record in records)
        yield printable(f"  {key}: {len(records)} runs, {failed} failed")
