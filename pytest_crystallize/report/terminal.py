"""The report for the terminal: tables of an experiment's verdicts, failed replicates, and words of status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crystallize.seam import (
    BLIND_SPOT,
    ExperimentResults,
    Failure,
    Outcome,
    Used,
    change_lines,
    counted,
    duration,
    number,
    p_of,
    plan_lines,
    printable,
    printable_lines,
    rate_interval,
    slice_lines,
)
from pytest_crystallize.naming.ids import variant
from pytest_crystallize.report.judged import Judged
from pytest_crystallize.report.text import VerdictLine, headed, rankings, table, wrapped

MDE_LEGEND = "MDE: the smallest difference that samples like these show with probability .8"
_MARKED = ("skipped", "xfailed", "xpassed")
"""Outcomes of tests that say nothing themselves of what is not supported."""


def experiment_lines(each: ExperimentResults, width: int, *, verbosity: int = 0) -> Iterator[str]:
    """Yield the lines of one experiment's table, none but a node id wider than `width`."""
    used = each.used or Used()
    yield from headed(each.node, f"{variant(each.name, each.node)}: {_heading(each, used)}", width)
    yield from _cache_lines(used, width, verbosity)
    yield from _calibration_lines([t.calibration for t in each.tests if t.calibration is not None], width)
    for plan in (test.planned for test in each.tests if test.planned is not None):
        for line in plan_lines(plan):
            yield from wrapped(line, width, indent="    " if line.startswith(" ") else "  ")
    claims = [test for test in each.tests if test.verdict is not None]
    rows = [_row(test) for test in claims]
    if rows:
        yield from table(rows, width)
    for test in claims:
        is_told = test.outcome in _MARKED or test.status == "no harm shown"
        if test.verdict is not None and test.verdict.reason and is_told:
            expected = f" (expected: {test.expected})" if test.expected else ""
            text = f"{test.hypothesis} [{test.treatment}]: {test.verdict.reason}{expected}"
            yield from wrapped(text, width, indent="  ")
    for line in rankings(rows):
        yield from wrapped(line, width, indent="  ")
    for condition, means in used.means.items():
        shown = ", ".join(f"{metric} {number(mean)}" for metric, mean in means.items()) or "no metrics"
        yield from wrapped(f"{condition}: {shown}", width, indent="  ")
    for line in each.notes:
        yield from wrapped(f"note: {line}", width, indent="  ")
    for line in (*change_lines(each, verbosity=verbosity), *slice_lines(each)):
        yield from wrapped(line, width, indent="    " if line.startswith(" ") else "  ")
    if verbosity > 0:
        known = [condition for condition in used.conditions if condition in each.digests]
        digests = " ".join(f"{condition}={each.digests[condition]}" for condition in known)
        yield from wrapped(f"digest {digests}", width, indent="  ")


def _heading(each: ExperimentResults, used: Used) -> str:
    rest = f"seed {each.seed}, {duration(used.seconds)}"
    calibration = next((t.calibration for t in each.tests if t.calibration is not None), None)
    if calibration is not None:
        tests, n = counted(calibration["tests"], "A/A test"), calibration["n"]
        return f"{tests} of {n} and {counted(n, 'replicate')}, {rest}"
    many = each.often if each.cases is not None else counted(each.planned, "replicate")
    if any(test.planned is not None for test in each.tests):
        return f"planned by {many} of {counted(len(used.conditions), 'condition')}, {rest}"
    if 0 < used.run < each.planned:
        many = f"stopped at {each.often}" if each.cases is not None else many
    if 0 < used.run < each.planned and each.cases is None:
        many = f"stopped at {used.run} of {many}"
    return f"{many} of {counted(len(used.conditions), 'condition')}, {rest}"


def _row(test: Outcome) -> dict[str, Any]:
    assert test.verdict is not None
    return {**test.verdict.to_dict(), "outcome": test.outcome}


def _cache_lines(used: Used, width: int, verbosity: int) -> Iterator[str]:
    """Yield how many runs were stored, and why others were not, or could not be used."""
    if used.cached:
        verified = f", {used.verified} verified" if used.verified else ""
        line = f"{used.cached} of {counted(used.runs, 'run')} from cache{verified}"
        yield from wrapped(line, width, indent="  ")
        if used.measured_on:
            yield from wrapped(f"measured on {' and '.join(used.measured_on)}", width, indent="  ")
    for step, times in used.cached_steps.items():
        line = f"step {step} from cache in {times} of {counted(used.runs, 'run')}"
        yield from wrapped(line, width, indent="  ")
    if used.changes and verbosity > 0:
        yield from wrapped(f"recomputed: {used.changes}", width, indent="  ")
    if used.why_run:
        yield from wrapped(f"run each time: {used.why_run}", width, indent="  ")


def _calibration_lines(rows: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Yield how often each hypothesis was supported where there was nothing to be found."""
    if not rows:
        return
    lines = [("false positives", "98 % interval", "alpha", "verdict")]
    for row in rows:
        rate = f"{row['false_positives']} ({100 * row['rate']:.3g} %)"
        known = row["status"] != "invalid"
        lines.append(
            (
                rate if known else "-",
                rate_interval(row) if known else "-",
                f"{row['alpha']:g}",
                row["status"].upper(),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    head, *texts = (
        "    " + "  ".join([*(cell.rjust(size) for cell, size in zip(line, widths, strict=False)), line[3]])
        for line in lines
    )
    yield head
    for row, text in zip(rows, texts, strict=True):
        yield from wrapped(row["hypothesis"], width, indent="  ")
        yield VerdictLine(text, row["status"])
    yield from wrapped(f"note: {BLIND_SPOT}", width, indent="  ")


def failure_lines(failure: Failure) -> Iterator[str]:
    """Yield a failed replicate: where, the user's traceback, what was captured, and how to repeat it."""
    first = failure.called(failure.replicates[:1], failure.cases[:1])
    yield ""
    yield printable(f"{first} of {failure.condition!r}, seed {failure.seed}, in {failure.step}:")
    yield ""
    yield from printable_lines(failure.traceback.rstrip()).split("\n")
    for title, text in failure.sections:
        yield f" {title} ".center(80, "-")
        yield from printable_lines(text.rstrip()).split("\n")
    if (more := len(failure.replicates) - 1) > 0:
        yield printable(f"and {more} more in the same way: {failure.others}")
    yield printable(f"repeat it: {failure.command}")


def status_word(judged: Judged, outcome: str) -> str:
    """Return the word that a verbose run and the short summary show for a verdict."""
    if judged.calibration is not None or judged.planned is not None:
        return str(judged.status).upper()
    verdict = judged.verdict
    if verdict is None:
        return outcome.upper()
    word = verdict.status.upper()
    shown = p_of(vars(verdict))
    if judged.claim is None:
        word = "PASSED" if verdict.passed else word
    elif shown != "-":
        word += f" p{'' if shown.startswith('<') else '='}{shown}"
    return f"{word} (cached)" if judged.cache.is_complete else word
