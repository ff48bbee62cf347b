"""From verdicts to lines of text; pure functions of plain data."""

from __future__ import annotations

import itertools
import math
import shlex
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from _pytest._io.wcwidth import wcswidth, wcwidth

from pytest_crystallize.ids import escape

NUMBERS = ("baseline", "treated", "diff", "p", "n", "verdict")


@dataclass
class ExperimentSummary:
    """What the reports of one experiment's tests told.

    Attributes
    ----------
    name, where : str
        Function with parameters, and ``file:line``.
    replicates, seed : int
        As settled.
    seconds : dict
        Compute time by condition.
    digests : dict
        Digest of the metrics that are not measured, by condition.
    rows : list of dict
        Verdicts, in order of collection, with ``outcome``, ``place`` and ``expected``.
    metrics : dict
        Condition -> metric -> mean, of an experiment without hypotheses.
    unread : dict
        What treatments set and nothing read, as sentences (keys; the values say nothing).
    conditions : list of str
        All conditions, as declared.
    """

    name: str
    where: str
    replicates: int
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)

    def add(self, payload: Mapping[str, Any], outcome: str, *, place: int = 0, expected: str = "") -> None:
        """Take in what one report carried.

        Parameters
        ----------
        payload : mapping
            From the report.
        outcome : str
            ``"passed"``, ``"failed"``, ``"skipped"``, ``"xfailed"`` or ``"xpassed"``.
        place : int
            Where the test stood among those collected.
        expected : str
            Why a failure was expected.
        """
        self.seconds |= payload["seconds"]
        self.digests |= payload["digests"]
        self.metrics |= payload["metrics"]
        self.conditions = payload["conditions"]
        self.unread |= dict.fromkeys(payload["unread"])
        verdict = payload.get("verdict")
        if verdict is not None and verdict["hypothesis"]:
            self.rows.append({**verdict, "outcome": outcome, "place": place, "expected": expected})
            self.rows.sort(key=lambda row: row["place"])


def experiment_lines(
    summary: ExperimentSummary, width: int, *, verbose: bool = False, located: bool = False
) -> Iterator[str]:
    """Yield the lines of one experiment's table, none wider than `width`; `located` has its place told."""
    place = f" ({summary.where})" if located else ""
    time = duration(math.fsum(summary.seconds.values()))
    conditions = len(summary.seconds)
    head = (
        f"{summary.name}{place}: {counted(summary.replicates, 'replicate')} of "
        f"{counted(conditions, 'condition')}, seed {summary.seed}, {time}"
    )
    yield from wrapped(head, width)
    if summary.rows:
        yield from table([_cells(row) for row in summary.rows], width)
        for row in summary.rows:
            if row["reason"] and row["outcome"] not in ("passed", "failed"):  # a failure says it itself
                expected = f" (expected: {row['expected']})" if row["expected"] else ""
                text = f"{row['hypothesis']} [{row['treatment']}]: {row['reason']}{expected}"
                yield from wrapped(text, width, indent="  ")
    for condition, means in summary.metrics.items():
        shown = ", ".join(f"{metric} {number(mean)}" for metric, mean in means.items()) or "no metrics"
        yield from wrapped(f"{condition}: {shown}", width, indent="  ")
    for line in summary.unread:
        yield from wrapped(f"note: {line}", width, indent="  ")
    if verbose:
        known = [condition for condition in summary.conditions if condition in summary.digests]
        digests = " ".join(f"{condition}={summary.digests[condition]}" for condition in known)
        yield from wrapped(f"digest {digests}", width, indent="  ")


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    degenerate = "*" if row["degenerate"] else ""
    return {
        "group": f"{row['hypothesis']} ({row['metric']})",
        "treatment": printable(row["treatment"]),
        "baseline": number(row["baseline_mean"]),
        "treated": number(row["treatment_mean"]),
        "diff": number(row["difference"], sign=True),
        "p": p_value(row["p_value"]),
        "n": str(row["n"]),
        "verdict": row["status"].upper() + degenerate + (" xfail" if row["outcome"] == "xfailed" else ""),
    }


def table(rows: Sequence[Mapping[str, str]], width: int) -> Iterator[str]:
    """Yield an aligned table: a line per hypothesis and its metric, below it a line per treatment.

    A treatment whose name would make its line too wide stands on a line above its numbers.
    """
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in NUMBERS}
    room = width - sum(widths.values()) - 2 * len(NUMBERS) - 4
    sizes = [len("treatment"), *(wcswidth(row["treatment"]) for row in rows)]
    names = max((size for size in sizes if size <= room), default=0)

    def line(name: str, cells: Mapping[str, str]) -> str:
        numbers = [cells[column].rjust(widths[column]) for column in NUMBERS[:-1]]
        return "  ".join(["    " + name + " " * (names - wcswidth(name)), *numbers, cells["verdict"]])

    yield line("treatment" if names >= len("treatment") else "", {column: column for column in NUMBERS})
    for group, grouped in itertools.groupby(
        sorted(rows, key=_group_order(rows)), key=lambda row: row["group"]
    ):
        yield from wrapped(group, width, indent="  ")
        for row in grouped:
            name = row["treatment"]
            if wcswidth(name) > room:
                yield from wrapped(name, width, indent="    ")
                name = ""
            yield line(name, row)
    if any("*" in row["verdict"] for row in rows):
        yield "  * no variance: every difference is the same"


def _group_order(rows: Sequence[Mapping[str, str]]) -> Callable[[Mapping[str, str]], int]:
    """Return a sort key that keeps groups in their order of arrival."""
    order = {group: place for place, group in enumerate(dict.fromkeys(row["group"] for row in rows))}
    return lambda row: order[row["group"]]


def printable(text: str) -> str:
    """Return a text with what can't be printed escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def wrapped(text: str, width: int, *, indent: str = "") -> Iterator[str]:
    """Yield a text in lines no wider than `width`, breaking words only where they must be."""
    padded = "".join(char + _PAD if wcwidth(char) == 2 else char for char in printable(text))
    for line in textwrap.wrap(
        padded, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    ):
        yield line.replace(_PAD, "")


_PAD = "\ue000"
"""Stands behind a character that takes two columns, while columns are counted; itself it is not printable."""


def number(value: float | None, *, sign: bool = False) -> str:
    """Return a number in four significant digits, or a dash."""
    if value is None:
        return "-"
    return f"{value:+.4g}" if sign else f"{value:.4g}"


def p_value(value: float | None) -> str:
    """Return a p-value in the field's manner."""
    if value is None:
        return "-"
    if value < 0.001:
        return "<0.001"
    return f"{value:.3f}" if value < 0.9995 else "1.000"


def duration(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers with runs of neighbours written as ranges."""
    parts: list[list[int]] = []
    for value in sorted(numbers):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def failure_lines(
    failure: Mapping[str, Any], nodeid: str, width: int, options: Sequence[str] = ()
) -> Iterator[str]:
    """Yield a failed replicate: where, the user's traceback, what was captured, and how to repeat it.

    Parameters
    ----------
    failure : mapping
        One of a report's failures.
    nodeid : str
        What pytest is to be given from the current directory to run this test.
    width : int
        Columns.
    options : sequence of str
        What else the command line said.
    """
    replicates = failure["replicates"]
    condition = failure["condition"]
    yield ""
    yield f"replicate {replicates[0]} of {condition!r}, seed {failure['seed']}, in {failure['step']}:"
    yield ""
    yield from failure["traceback"].rstrip().splitlines()
    for title, text in failure["sections"]:
        yield f" {title} ".center(min(width, 80), "-")
        yield from text.rstrip().splitlines()
    if len(replicates) > 1:
        yield f"and {len(replicates) - 1} more in the same way: {counted_list(replicates[1:])}"
    named = condition if condition.isprintable() else escape(condition)
    command = ["pytest", "--crystallize", *options, nodeid, "--crystallize-repro", f"{replicates[0]}:{named}"]
    yield f"repeat it: {shlex.join(command)}"


def counted_list(replicates: Sequence[int]) -> str:
    """Return replicates as text."""
    return f"{'replicate' if len(replicates) == 1 else 'replicates'} {ranges(replicates)}"


def status_word(payload: Mapping[str, Any], outcome: str) -> str:
    """Return the word that a verbose run and the short summary show for a verdict."""
    verdict = payload.get("verdict")
    if verdict is None:
        return outcome.upper()
    if not verdict["hypothesis"]:
        return "PASSED" if verdict["status"] == "supported" else verdict["status"].upper()
    shown = verdict["p_value"]
    word: str = verdict["status"].upper()
    return word if shown is None else f"{word} p{'' if shown < 0.001 else '='}{p_value(shown)}"
