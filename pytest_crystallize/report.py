"""From verdicts to lines of text; pure functions of plain data."""

from __future__ import annotations

import math
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crystallize.core.calibration import BLIND_SPOT
from crystallize.core.escaping import disarmed, escaped, printable, printable_lines
from crystallize.core.evaluation import ranked
from crystallize.core.formatting import effect, interval, level_of, number, p_value, percent, scale_of
from pytest_crystallize.pytest_seam import wcswidth, wcwidth

COLUMNS = ("diff", "interval", "p", "MDE", "n", "verdict")
MDE_LEGEND = "MDE: the smallest difference that samples like these show with probability .8"
CORRECTIONS = {"holm": "Holm", "bh": "Benjamini and Hochberg", "bonferroni": "Bonferroni"}
TOLD_APART = frozenset({"p_value", "significant", "accepted"})
"""What a verifier returns that has a place of its own in every report."""


@dataclass
class ExperimentSummary:
    """What the reports of one experiment's tests told.

    Attributes
    ----------
    name, node : str
        Function with parameters; node id of the function, as it can be given to pytest, and its parameters.
    replicates, seed : int
        As settled.
    run : int
        Replicates that were run: fewer, if the experiment was stopped early.
    calibrations : list of dict
        What A/A tests found, in order of collection.
    for_family : list of str
        Conditions that were run for the sake of adjusted p-values alone.
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
    used : set of (str, int)
        Conditions, and how many replicates of each.
    cached_steps : set of (int, str, str)
        Replicate, condition and step of each call that an earlier one stood for.
    cached, verified : set of (int, str)
        Which runs earlier sessions had stored, and which of these were run again and gave the same.
    why_run : str or None
        Why all of them are run in every session.
    changes : str
        Why nothing that is stored could be used.
    measured_on : list of str
        Dates on which stored values were measured that claims are about.
    """

    name: str
    node: str
    replicates: int
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)
    run: int = 0
    for_family: list[str] = field(default_factory=list)
    calibrations: list[dict[str, Any]] = field(default_factory=list)
    used: set[tuple[str, int]] = field(default_factory=set)
    cached: set[tuple[int, str]] = field(default_factory=set)
    cached_steps: set[tuple[int, str, str]] = field(default_factory=set)
    verified: set[tuple[int, str]] = field(default_factory=set)
    why_run: str | None = None
    changes: str = ""
    measured_on: list[str] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """How many condition runs the verdicts rest on."""
        return sum(replicates for _, replicates in self.used)

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
        self.run = max(self.run, payload["run"])
        self.for_family = payload["for_family"]
        self.used |= {(name, payload["run"]) for name in payload["seconds"]}
        cache = payload["cache"]
        self.cached |= set(map(tuple, cache["cached"]))
        self.cached_steps |= set(map(tuple, cache["cached_steps"]))
        self.verified |= set(map(tuple, cache["verified"]))
        self.why_run = self.why_run or cache["why_run"]
        self.changes = self.changes or cache["changes"]
        self.measured_on = self.measured_on or cache["measured_on"]
        if "calibration" in payload:
            self.calibrations.append({**payload["calibration"], "place": place})
            self.calibrations.sort(key=lambda row: row["place"])
        verdict = payload.get("verdict")
        if verdict is not None and verdict["hypothesis"]:
            self.rows.append({**verdict, "outcome": outcome, "place": place, "expected": expected})
            self.rows.sort(key=lambda row: row["place"])


def experiment_lines(
    summary: ExperimentSummary, width: int, *, verbosity: int = 0, located: bool = False
) -> Iterator[str]:
    """Yield the lines of one experiment's table, none wider than `width`; `located` names its node id."""
    title = summary.node if located else summary.name
    time = duration(math.fsum(summary.seconds.values()))
    conditions = len(summary.seconds)
    many = counted(summary.replicates, "replicate")
    if 0 < summary.run < summary.replicates:
        many = f"stopped at {summary.run} of {many}"
    head = f"{title}: {many} of {counted(conditions, 'condition')}, seed {summary.seed}, {time}"
    if summary.calibrations:
        first = summary.calibrations[0]
        head = (
            f"{title}: {counted(first['tests'], 'A/A test')} of {first['n']} and {first['n']} "
            f"replicates, seed {summary.seed}, {time}"
        )
    yield from wrapped(head, width)
    yield from cache_lines(summary, width, verbosity)
    yield from calibration_lines(summary.calibrations, width)
    if summary.rows:
        yield from table(summary.rows, width)
        for row in summary.rows:
            if row["reason"] and row["outcome"] not in ("passed", "failed"):  # a failure says it itself
                expected = f" (expected: {row['expected']})" if row["expected"] else ""
                text = f"{row['hypothesis']} [{row['treatment']}]: {row['reason']}{expected}"
                yield from wrapped(text, width, indent="  ")
        for line in rankings(summary.rows):
            yield from wrapped(line, width, indent="  ")
    for condition, means in summary.metrics.items():
        shown = ", ".join(f"{metric} {number(mean)}" for metric, mean in means.items()) or "no metrics"
        yield from wrapped(f"{condition}: {shown}", width, indent="  ")
    for line in (*summary.unread, *notes(summary)):
        yield from wrapped(f"note: {line}", width, indent="  ")
    if verbosity > 0:
        known = [condition for condition in summary.conditions if condition in summary.digests]
        digests = " ".join(f"{condition}={summary.digests[condition]}" for condition in known)
        yield from wrapped(f"digest {digests}", width, indent="  ")


def cache_lines(summary: ExperimentSummary, width: int, verbosity: int) -> Iterator[str]:
    """Yield how many runs were stored, and why others were not, or could not be used."""
    if summary.cached:
        verified = f", {len(summary.verified)} verified" if summary.verified else ""
        line = f"{len(summary.cached)} of {counted(summary.runs, 'run')} from cache{verified}"
        yield from wrapped(line, width, indent="  ")
        if summary.measured_on:
            yield from wrapped(f"measured on {' and '.join(summary.measured_on)}", width, indent="  ")
    hits = Counter(step for _, _, step in sorted(summary.cached_steps))
    for step, times in hits.items():
        line = f"step {step} from cache in {times} of {counted(summary.runs, 'run')}"
        yield from wrapped(line, width, indent="  ")
    if summary.changes and verbosity > 1:
        yield from wrapped(f"recomputed: {summary.changes}", width, indent="  ")
    if summary.why_run:
        yield from wrapped(f"run each time: {summary.why_run}", width, indent="  ")


def calibration_lines(rows: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Yield how often each hypothesis was supported where there was nothing to be found."""
    if not rows:
        return
    lines = [("false positives", "98 % interval", "alpha", "verdict")]
    for row in rows:
        low, high = (f"{100 * end:.3g}" for end in row["interval"])
        rate = f"{row['false_positives']} ({100 * row['rate']:.3g} %)"
        known = row["status"] != "invalid"
        lines.append(
            (
                rate if known else "-",
                f"{low} to {high} %" if known else "-",
                f"{row['alpha']:g}",
                row["status"].upper(),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    names = ["", *(row["hypothesis"] for row in rows)]
    for name, line in zip(names, lines, strict=True):
        if name:
            yield from wrapped(name, width, indent="  ")
        cells = [cell.rjust(size) for cell, size in zip(line, widths, strict=False)]
        yield "    " + "  ".join([*cells, line[3]])
    yield from wrapped(f"note: {BLIND_SPOT}", width, indent="  ")


def notes(summary: ExperimentSummary) -> Iterator[str]:
    """Yield what else is worth knowing of an experiment's verdicts."""
    if summary.for_family:
        yield (
            f"{_listed(summary.for_family)} ran for the correction alone, which allows for claims that "
            "are not "
            "selected"
        )
    for row in summary.rows:
        if row["omitted"]:
            many = counted(row["omitted"], "replicate")
            verb = "lacks" if row["omitted"] == 1 else "lack"
            yield f"{row['hypothesis']} [{row['treatment']}]: {many} of {row['planned']} {verb} a value"
    yield from dict.fromkeys(row["caveat"] for row in summary.rows if row["caveat"])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    degenerate = "*" if row["degenerate"] else ""
    return {
        "diff": effect_of(row),
        "interval": interval_of(row),
        "p": p_of(row),
        "MDE": number(row["detectable"], digits=3, scale=scale_of(row)),
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
            yield line("" if wcswidth(name) > room else name, cell)
            if extra := extra_numbers(row):
                yield from wrapped(extra, width, indent="      ")
    if any("*" in cell["verdict"] for cell in cells):
        yield "  * no variance: every difference is the same"


def group_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what is common to the verdicts on one hypothesis: metric, test, intervals, population."""

    def common(key: str) -> Any:
        values = [row[key] for row in rows if row["status"] != "invalid"]
        return values[0] if values and values.count(values[0]) == len(values) else None

    first = rows[0]
    parts = [f"{first['hypothesis']} ({first['metric']})"]
    if first["against"]:
        parts[0] += f" against reference {first['against']}"
        if recorded := common("recorded"):
            parts[0] += f" ({recorded})"
    mean = common("baseline_mean")
    if mean is not None:
        parts[0] += f", {'there' if first['against'] else 'baseline'} {number(mean)}"
    if test := common("test"):
        parts.append(f"{test} over {population}" if (population := common("population")) else test)
    if first["margin"] is not None:
        parts.append(f"margin {effect(first['margin'], relative=first['relative'], sign=False)}")
    if common("reading"):
        parts.append(f"read as {common('reading')}")
    if (confidence := common("confidence")) is not None:
        parts.append(f"{percent(confidence)} interval")
    elif any(row["confidence"] is not None for row in rows):
        parts.append("interval at this claim's level")
    if estimand := common("estimand"):
        parts.append(f"diff is the {estimand}")
    if first["correction"] in CORRECTIONS:
        by = CORRECTIONS[first["correction"]]
        what = "alpha split" if first["correction"] == "bonferroni" else "p adjusted"
        parts.append(f"{what} by {by} for {first['family']} claims")
    return f"{parts[0]}: {', '.join(parts[1:])}" if parts[1:] else parts[0]


def extra_numbers(row: Mapping[str, Any]) -> str:
    """Return what a verifier gave beside the p-value."""
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


def interval_of(row: Mapping[str, Any]) -> str:
    """Return the interval of a verdict's difference, or a dash."""
    return interval(row["interval"], relative=row["relative"], scale=scale_of(row))


def p_of(row: Mapping[str, Any]) -> str:
    """Return the p-value that decides, or a dash: as `Verdict.deciding_p`."""
    given = (row[name] for name in ("opposite_p", "adjusted_p", "p_value"))
    return p_value(next((p for p in given if p is not None), None), level_of(row))


def wrapped(text: str, width: int, *, indent: str = "") -> Iterator[str]:
    """Yield a text in lines no wider than `width`, breaking words only where they must be."""
    padded = "".join(char + _PAD if wcwidth(char) == 2 else char for char in printable(text))
    padded = _BEFORE_UNIT.sub(_GLUE, padded)
    room = width - 1 if _PAD in padded else width  # a word that is broken may leave a pad behind
    room = room - len(escaped(":")) + 1 if "::" in padded else room  # a line that begins so is made longer
    for line in textwrap.wrap(
        padded, room, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    ):
        yield disarmed(line.replace(_PAD, "").replace(_GLUE, " "))


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
    yield printable(
        f"replicate {replicates[0]} of {condition!r}, seed {failure['seed']}, in {failure['step']}:"
    )
    yield ""
    yield from printable_lines(failure["traceback"].rstrip()).split("\n")
    for title, text in failure["sections"]:
        yield f" {title} ".center(min(width, 80), "-")
        yield from printable_lines(text.rstrip()).split("\n")
    if len(replicates) > 1:
        yield f"and {len(replicates) - 1} more in the same way: {counted_list(replicates[1:])}"
    repro = f"--crystallize-repro={replicates[0]}:{failure['typed']}"
    command = ["pytest", "--crystallize", *options, nodeid, repro]
    yield printable(f"repeat it: {shlex.join(command)}")


def counted_list(replicates: Sequence[int]) -> str:
    """Return replicates as text."""
    return f"{'replicate' if len(replicates) == 1 else 'replicates'} {ranges(replicates)}"


def status_word(payload: Mapping[str, Any], outcome: str) -> str:
    """Return the word that a verbose run and the short summary show for a verdict."""
    if "calibration" in payload:
        return str(payload["calibration"]["status"]).upper()
    verdict = payload.get("verdict")
    if verdict is None:
        return outcome.upper()
    word: str = verdict["status"].upper()
    shown = p_of(verdict)
    if not verdict["hypothesis"]:
        word = "PASSED" if verdict["status"] == "supported" else word
    elif shown != "-":
        word += f" p{'' if shown.startswith('<') else '='}{shown}"
    cache = payload["cache"]
    return f"{word} (cached)" if cache["runs"] and len(cache["cached"]) == cache["runs"] else word
