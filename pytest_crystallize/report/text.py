"""Verdicts as lines of a terminal; pure functions."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crystallize.seam import (
    GOOD,
    disarmed,
    effect_of,
    escaped,
    extra_numbers,
    fails_anyway,
    group_line,
    interval_of,
    mark_of,
    mde_of,
    name_of_p,
    p_of,
    printable,
    ranked,
)
from pytest_crystallize.pytest_seam import wcswidth, wcwidth

WIDEST = 120
"""Columns that a table takes at most."""
COLUMNS = ("diff", "interval", "p", "MDE", "n", "verdict")
_COLOURS = {
    **dict.fromkeys(GOOD, "green"),
    **dict.fromkeys(("refuted", "inconclusive", "invalid", "miscalibrated"), "red"),
}


class VerdictLine(str):
    """A line that ends with a verdict, and the colour that a terminal shows it in."""

    colour: str

    def __new__(cls, text: str, status: str, outcome: str = "") -> VerdictLine:
        """Return the line of a test of this status and outcome."""
        line = super().__new__(cls, text)
        line.colour = "yellow" if outcome == "xfailed" else _COLOURS[status]
        if fails_anyway(status, outcome):
            line.colour = "red"
        return line


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    degenerate = "*" if row["degenerate"] else ""
    return {
        "diff": effect_of(row),
        "interval": interval_of(row),
        "p": p_of(row),
        "MDE": mde_of(row),
        "n": str(row["n"]),
        "verdict": row["status"].upper() + degenerate + mark_of(row["status"], row["outcome"]),
    }


def rankings(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the order in which a hypothesis's own ranker puts its treatments, where there are several."""
    for hypothesis in dict.fromkeys(row["hypothesis"] for row in rows):
        ranks = {row["treatment"]: row["rank"] for row in rows if row["hypothesis"] == hypothesis}
        if len(ranks) > 1 and any(rank is not None for rank in ranks.values()):
            yield f"{hypothesis} ranks {', '.join(ranked(ranks))}"


def table(rows: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Yield an aligned table of verdicts: a line per hypothesis, below it a line per treatment.

    A treatment whose name would make its line too wide stands on a line above its numbers, and a column that
    has nothing to say is left out.
    """
    cells = [_cells(row) for row in rows]
    columns = [c for c in COLUMNS if c in ("verdict", "n") or any(cell[c] != "-" for cell in cells)]
    widths = {c: max(len(c), *(len(cell[c]) for cell in cells)) for c in columns}
    room = width - sum(widths.values()) - 2 * len(columns) - 4
    names = [printable(row["treatment"]) for row in rows]
    head = "treatment" if room >= len("treatment") else ""
    widest = max((size for size in map(wcswidth, [head, *names]) if size <= room), default=0)

    def line(name: str, cell: Mapping[str, str]) -> str:
        numbers = [cell[column].rjust(widths[column]) for column in columns[:-1]]
        return "  ".join(["    " + name + " " * (widest - wcswidth(name)), *numbers, cell["verdict"]])

    yield line(head, {column: column for column in columns})
    entries = list(zip(rows, cells, names, strict=True))
    for hypothesis in dict.fromkeys(row["hypothesis"] for row in rows):
        group = [entry for entry in entries if entry[0]["hypothesis"] == hypothesis]
        yield from wrapped(group_line([row for row, _, _ in group]), width, indent="  ")
        for row, cell, name in group:
            if wcswidth(name) > room:
                yield from wrapped(name, width, indent="    ")
            text = line("" if wcswidth(name) > room else name, cell)
            yield VerdictLine(text, row["status"], row["outcome"])
            if extra := extra_numbers(row):
                yield from wrapped(extra, width, indent="      ")
    if any("*" in cell["verdict"] for cell in cells):
        yield "  * no variance: what is compared never varies"
    if any(name_of_p(row) != "p" for row in rows):
        yield "  p of a refuted claim is that of its opposite"


def wrapped(text: str, width: int, *, indent: str = "") -> Iterator[str]:
    """Yield a text in lines no wider than `width`, breaking words only where they must be."""
    padded = "".join(char + _PAD if wcwidth(char) == 2 else char for char in printable(text))
    padded = _BEFORE_UNIT.sub(_GLUE, padded)
    room = width - 1 if _PAD in padded else width  # a word that is broken may leave a pad behind
    words = padded.split()
    breaks = any(len(word) > room - len(indent) - 2 for word in words)
    if any("::" in word if breaks else word.startswith("::") for word in words):
        room -= len(escaped(":")) - 1  # a line that begins so is made longer
    for line in textwrap.wrap(
        padded, room, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    ):
        yield disarmed(line.replace(_PAD, "").replace(_GLUE, " "))


def headed(node: str, text: str, width: int) -> Iterator[str]:
    """Yield `wrapped` lines that begin with a node id as it can be pasted: quoted, and in one piece."""
    node = printable(shlex.quote(node)) if node else ""
    lines = list(wrapped(f"{node}{text}", width))
    if lines[0].startswith(f"{node}{text[:1]}".rstrip()):
        yield from lines
    else:  # it is wider; the terminal breaks it, which leaves it in one piece
        yield node
        yield from wrapped(text.removeprefix(": ").lstrip(), width, indent="  ")


_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|%)(?:[,;) ]|$))")
_GLUE = "\ue001"
"""Stands between a number and its unit, which are not parted."""

_PAD = "\ue000"
"""Stands behind a character that takes two columns, while columns are counted; itself it is not printable."""
