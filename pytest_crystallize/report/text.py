"""Verdicts as text, and the words that every report uses; pure functions."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crystallize.seam import (
    PASSING,
    disarmed,
    effect,
    escaped,
    interval,
    level_of,
    name_of_p,
    number,
    p_value,
    percent,
    printable,
    ranked,
    scale_of,
)
from pytest_crystallize.pytest_seam import wcswidth, wcwidth

COLUMNS = ("diff", "interval", "p", "MDE", "n", "verdict")
CORRECTIONS = {
    "holm": "Holm",
    "bh": "Benjamini and Hochberg",
    "bonferroni": "Bonferroni",
    "max-t": "step-down max-t",
}
_COLOURS = {
    **dict.fromkeys((*PASSING, "calibrated", "planned"), "green"),
    **dict.fromkeys(("refuted", "inconclusive", "invalid", "miscalibrated"), "red"),
}
TOLD_APART = frozenset({"p_value", "significant", "accepted"})
"""What a verifier returns that has a place of its own in every report."""


class VerdictLine(str):
    """A line that ends with a verdict, and the colour that a terminal shows it in."""

    colour: str

    def __new__(cls, text: str, status: str, *, expected: bool = False) -> VerdictLine:
        """Return the line of a status; `expected` says whether the test was expected to fail so."""
        line = super().__new__(cls, text)
        line.colour = "yellow" if expected else _COLOURS[status]
        return line


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    degenerate = "*" if row["degenerate"] else ""
    return {
        "diff": effect_of(row),
        "interval": interval_of(row),
        "p": p_of(row),
        "MDE": mde_of(row),
        "n": str(row["n"]),
        "verdict": row["status"].upper() + degenerate + (" xfail" if row["outcome"] == "xfailed" else ""),
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
            yield VerdictLine(text, row["status"], expected=row["outcome"] == "xfailed")
            if extra := extra_numbers(row):
                yield from wrapped(extra, width, indent="      ")
    if any("*" in cell["verdict"] for cell in cells):
        yield "  * no variance: what is compared never varies"
    if any(name_of_p(row) != "p" for row in rows):
        yield "  p of a refuted claim is that of its opposite"


def group_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what is common to the verdicts on one hypothesis: metric, test, intervals, population."""

    def common(key: str) -> Any:
        values = [row[key] for row in rows if row["status"] != "invalid"]
        return values[0] if values and values.count(values[0]) == len(values) else None

    first = rows[0]
    parts = [f"{first['hypothesis']} ({first['metric']})"]
    if first["comparator"] == "pair":
        parts[0] += ", all pairs"
    elif first["comparator"] != "baseline":
        kind = "" if first["comparator"] == "number" else f"{first['comparator']} "
        parts[0] += f" against {kind}{first['against']}"
        if recorded := common("recorded"):
            parts[0] += f" ({recorded})"
    mean = common("baseline_mean")
    if mean is not None and first["comparator"] not in ("pair", "number"):
        parts[0] += f", {'baseline' if first['comparator'] == 'baseline' else 'there'} {number(mean)}"
    if test := common("test"):
        parts.append(f"{test} over {population}" if (population := common("population")) else test)
    if first["margin"] is not None:
        parts.append(f"margin {effect(first['margin'], relative=first['relative'], sign=False)}")
    if first["detects"] is not None:
        size = effect(first["detects"], relative=first["relative"], sign=False)
        parts.append(f"detects {size}")
    if first["at_least"] is not None:
        parts.append(f"at least {effect(first['at_least'], relative=first['relative'], sign=False)}")
    if common("reading"):
        parts.append(f"read as {common('reading')}")
    if (confidence := common("confidence")) is not None:
        parts.append(f"{percent(confidence)} interval")
    elif any(row["confidence"] is not None for row in rows):
        parts.append("interval at this claim's level")
    if estimand := common("estimand"):
        parts.append(f"diff is the {estimand}")
    if (correction := common("correction") or first["correction"]) in CORRECTIONS:
        by = CORRECTIONS[correction]
        what = "alpha split" if correction == "bonferroni" else "p adjusted"
        parts.append(f"{what} by {by} for {first['family']} claims")
    return f"{parts[0]}: {', '.join(parts[1:])}" if parts[1:] else parts[0]


def sides_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what to call both sides of a verdict: what stands for the baseline, and what is compared."""
    against, compared = row["against"], row["treatment"]
    if row["comparator"] == "pair":
        return against, compared.removesuffix(f"-vs-{against}")
    return {
        "baseline": "baseline",
        "number": "against",
        "treatment": against,
        "reference": f"reference {against}",
    }[row["comparator"]], compared


def extra_numbers(row: Mapping[str, Any]) -> str:
    """Return what a verifier gave beside the p-value."""
    if row["saved"] is not None:
        return f"covariate {row['covariate']} saves {number(100 * row['saved'], digits=2)} % of the variance"
    if row["direction"]:
        return ""
    return ", ".join(
        f"{key} = {number(value, digits=6)}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in row["details"].items()
        if key not in TOLD_APART and isinstance(value, int | float | str | bool)
    )


def effect_of(row: Mapping[str, Any]) -> str:
    """Return the difference that a verdict rests on, or a dash."""
    return effect(row["difference"], relative=row["relative"], scale=scale_of(row))


def mde_of(row: Mapping[str, Any]) -> str:
    """Return the smallest difference that a sample like a verdict's shows, or a dash."""
    relative = row["relative"]
    return effect(row["detectable"], relative=relative, sign=False, digits=3, scale=scale_of(row))


def interval_of(row: Mapping[str, Any]) -> str:
    """Return the interval of a verdict's difference, or a dash."""
    size = row["margin"] or row["at_least"] or row["detects"]
    return interval(row["interval"], relative=row["relative"], scale=scale_of(row), margin=size)


def p_of(row: Mapping[str, Any]) -> str:
    """Return the p-value that decides, or a dash: as `Verdict.deciding_p`."""
    given = (row[name] for name in ("opposite_p", "adjusted_p", "p_value"))
    return p_value(next((p for p in given if p is not None), None), level_of(row))


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


def counted_list(replicates: Sequence[int]) -> str:
    """Return replicates as text."""
    return f"{'replicate' if len(replicates) == 1 else 'replicates'} {ranges(replicates)}"
