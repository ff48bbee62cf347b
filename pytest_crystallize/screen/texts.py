"""What the screen shows of experiments, as styled text of a given width."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from crystallize.seam import (
    PASSING,
    compared,
    counted,
    duration,
    failed_anyway,
    fails_anyway,
    p_value,
    printable,
    printable_lines,
    verdict_fields,
)
from pytest_crystallize.report.text import VerdictLine, table, wrapped
from pytest_crystallize.screen.palette import Meaning, Palette
from pytest_crystallize.screen.state import Experiment, ScreenState

PARTS: Final[tuple[tuple[str, str, Meaning, str], ...]] = (
    ("cached", "▒", "cached", "cached"),
    ("run", "▆", "good", "run"),
    ("failed", "✖", "bad", "failed"),
    ("skipped", "▁", "doubt", "skipped"),
    ("not_begun", "▁", "doubt", "not begun"),
)
"""States of runs, with the sign, the colour and the word of each; signs differ where there is no colour."""
REST: Final = "·"
_COLOURS: Final[dict[str, Meaning]] = {"green": "good", "red": "bad", "yellow": "doubt"}


def joined(parts: Sequence[Text], separator: str = " · ") -> Text:
    """Return texts, joined."""
    return Text(separator).join(part for part in parts if part.plain)


def time_left(seconds: float) -> str:
    """Return a time to go, as exactly as it can be known."""
    if seconds < 1:
        return "< 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def pace_text(rate: float | None, left: int) -> str:
    """Return how fast runs end, and when the last one will."""
    if rate is None or not left:
        return ""
    shown = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
    return f"{shown} · {time_left(left / rate)} to go"


# Lists on the left.


def sign_of(each: Experiment, palette: Palette) -> Text:
    """Return a sign that says how far an experiment is, and what came out."""
    if each.phase == "running":
        return Text("▶", palette["cached"])
    if each.phase == "waiting":
        return Text("◦", palette["cached"])
    if each.phase == "idle":
        return Text("◦", palette["faint"])
    if each.has_failed:
        return Text("✗", palette["bad"])
    if each.phase == "interrupted":
        return Text("■", palette["doubt"])
    return Text("✓", palette["good"]) if each.is_whole else Text("!", palette["doubt"])


def result_of(each: Experiment, palette: Palette) -> Text:
    """Return in a few characters how far an experiment is, or what came out."""
    if each.phase == "running":
        return Text(f"{100 * each.ran // max(each.planned, 1)} %", palette["cached"])
    if each.phase == "waiting":
        return Text("waits", palette["faint"])
    if each.phase == "interrupted":
        return Text("cancelled", palette["doubt"])
    if each.phase == "idle":
        return Text("", palette["faint"])
    broken = sum(e["outcome"] in ("failed", "error", "not run") for e in each.verdicts.values())
    if broken:
        return Text(f"{broken} failed", palette["bad"])
    if not each.is_whole:
        off = len(each.was_off)
        return Text(f"{off} off" if off else "skipped", palette["doubt"])
    return Text("passed", palette["good"])


def experiment_label(each: Experiment, palette: Palette, width: int) -> Text:
    """Return the line of an experiment: a sign, its name, and what came out."""
    sign, result = sign_of(each, palette), result_of(each, palette)
    name = Text(printable(each.name), palette["plain"])
    room = max(width - 3 - result.cell_len, 4)
    name.truncate(room, overflow="ellipsis", pad=True)
    return Text.assemble(sign, " ", name, " ", result)


def treatment_label(each: Experiment, name: str, palette: Palette) -> Text:
    """Return the line of a treatment: whether it is on, and what that means for what was run."""
    is_off, was_off = name in each.off, name in each.was_off
    sign = Text("○ ", palette["doubt"]) if is_off else Text("● ", palette["good"])
    label = Text.assemble(sign, (printable(name), palette["faint" if is_off else "plain"]))
    if is_off:
        label.append("  switched off", palette["doubt"])
    if is_off is not was_off or each.phase in ("running", "waiting"):
        label.append("  from the next run on" if is_off is not was_off else "", palette["faint"])
    return label


# One experiment.


def bar(counts: Mapping[str, int], planned: int, width: int, palette: Palette) -> Text:
    """Return a bar of runs by state; any state that there is has a place in it."""
    planned = max(planned, sum(counts.values()), 1)
    text, used, seen = Text(), 0, 0
    for state, sign, meaning, _ in PARTS:
        if not counts.get(state):
            continue
        seen += counts[state]
        end = min(max(width * seen // planned, used + 1), width)
        text.append(sign * (end - used), palette[meaning])
        used = end
    return text.append(REST * (width - used), palette["faint"])


def counts_text(counts: Mapping[str, int], palette: Palette) -> Text:
    """Return how many runs are in each state there is."""
    shown = [
        Text(f"{counts[state]:,} {word}", palette[meaning])
        for state, _, meaning, word in PARTS
        if counts.get(state)
    ]
    return joined(shown, ", ")


def progress(each: Experiment, palette: Palette, width: int) -> Iterator[Text]:
    """Yield the lines of an experiment: how far it is, its conditions, and what came from the cache."""
    total = each.total
    yield Text.assemble((printable(str(each.told["name"])), palette["name"]))
    most = "up to " if each.told["looks"] and each.phase != "done" else ""
    amount = f" {total.total():,} of {most}{each.planned:,} runs"
    yield bar(total, each.planned, max(width - len(amount), 8), palette).append(amount, palette["plain"])
    pace = pace_text(each.pace.rate, each.left) if each.phase == "running" else ""
    yield joined([counts_text(total, palette), Text(pace, palette["plain"])])
    names = [printable(name) for name in each.told["conditions"]]
    widest = min(max(map(len, names)), width // 3)
    for condition, name in zip(each.told["conditions"], names, strict=True):
        title = Text(f"  {name}", palette["plain"])
        title.truncate(widest + 2, overflow="ellipsis", pad=True)
        counts = each.counts.get(condition, Counter())
        if condition in each.was_off:
            yield Text.assemble(title, " ", ("switched off", palette["doubt"]))
            continue
        planned = int(each.told["replicates"])
        amount = f" {counts.total():,}"
        line = bar(counts, planned, max(width - widest - 12, 4), palette)
        yield Text.assemble(title, " ", line, (amount, palette["plain"]))
    for step, times in each.cached_steps.items():
        words = f"  step {printable(step)}: from the cache in {counted(times, 'run')}"
        yield Text(words, palette["cached"])
    if each.failures:
        yield Text(f"  {counted(len(each.failures), 'run')} failed: press f", palette["bad"])


def looks(each: Experiment, palette: Palette, width: int) -> Iterator[Text]:
    """Yield the looks at each claim: its p-value, against the boundary."""
    if not each.told["looks"]:
        return
    yield Text("Looks", palette["name"])
    found = dict(_trails(each))
    if not any(found.values()):
        planned = ", ".join(f"{n}" for n in each.told["looks"])
        yield Text(f"  to come after {planned} replicates", palette["faint"])
    for test in each.told["tests"]:
        trail = found.get(test["test"], [])
        if not trail:
            continue
        yield Text(f"  {printable(test['hypothesis'])} [{printable(test['treatment'])}]", palette["plain"])
        words = [
            f" p {p_value(p, level)} needs {compared(p, level, digits=2)[1]}{_outcome(status, width)}"
            for _, p, level, status in trail
        ]
        scale = max(4, min(width - 11 - max(map(len, words)), 40))
        top = max(-_log(min(p, level)) for _, p, level, _ in trail) or 1.0
        for (n, p, level, status), told in zip(trail, words, strict=True):
            line = Text(f"    n {n:<5}", palette["faint"])
            line.append_text(_mark(p, level, top, scale, palette))
            yield line.append(told, palette["plain"] if status is None else palette.status(status))


def _trails(each: Experiment) -> Iterator[tuple[str, list[tuple[int, float, float, str | None]]]]:
    """Yield each test with replicates, p-value, boundary and status of its looks."""
    for test in (known["test"] for known in each.told["tests"]):
        event = each.verdicts.get(test)
        if event is not None and event["verdict"] is not None and event["verdict"]["trail"]:
            *before, last = event["verdict"]["trail"]
            yield test, [*((*look, None) for look in before), (*last, str(event["status"]))]
            continue
        yield (
            test,
            [
                (look["replicates"], claim["p_value"], claim["level"], claim["status"])
                for look in each.looks
                for claim in look["claims"]
                if claim["test"] == test and claim["p_value"] is not None
            ],
        )


def _outcome(status: str | None, width: int) -> str:
    """Return what a look decided; where there is little room, as a sign."""
    if status is None:
        return ""
    return f" {status}" if width >= 60 else " ✓" if status in PASSING else " ✗"


def _log(p: float) -> float:
    return math.log10(max(p, 1e-300))


def _mark(p: float, level: float, top: float, width: int, palette: Palette) -> Text:
    """Return a scale from 1 to ever smaller p-values, with the boundary, and the p-value beside it."""
    at, boundary = (round(-_log(value) / top * (width - 1)) for value in (p, level))
    line = Text(REST * width, palette["faint"])
    plain = list(line.plain)
    plain[boundary] = "┃"
    plain[at] = "●" if at != boundary else "◉"
    line = Text("".join(plain), palette["faint"])
    line.stylize(palette["plain"], boundary, boundary + 1)
    line.stylize(palette["good" if p <= level else "doubt"], at, at + 1)
    return line


# All of them.


def status_line(state: ScreenState, doing: str, palette: Palette) -> Text:
    """Return what is going on, in one line."""
    ran = sum(each.ran for each in state.experiments.values() if each.phase != "idle")
    planned = sum(each.planned for each in state.experiments.values() if each.phase != "idle")
    if doing == "running":
        done = sum(each.phase == "done" for each in state.experiments.values())
        many = f"{done} of {counted(len(state.experiments), 'experiment')}"
        parts = ["running", many, f"{ran:,} of {planned:,} runs", pace_text(state.pace.rate, state.left)]
        return joined([Text(part, palette["plain"]) for part in parts])
    if doing:
        return Text(doing, palette["plain"])
    parts = [counted(len(state.experiments), "experiment")]
    if state.errors:
        parts.append(f"{counted(len(state.errors), 'file')} could not be collected")
    line = joined([Text(part, palette["bad" if i else "plain"]) for i, part in enumerate(parts)])
    return joined([line, *headline(state, palette)])


def headline(state: ScreenState, palette: Palette) -> list[Text]:
    """Return what came out of all that was run, and of what nothing is known."""
    statuses: Counter[str] = sum((each.statuses for each in state.experiments.values()), Counter())
    parts = [
        Text(f"{many} {status}", palette.status(status))
        for status, many in statuses.items()
        if status != "skipped"
    ]
    told = (event for each in state.experiments.values() for event in each.verdicts.values())
    if anyway := sum(fails_anyway(event["status"], event["outcome"]) for event in told):
        parts.append(Text(failed_anyway(anyway), palette["bad"]))
    off = sum(len(each.was_off) for each in state.experiments.values() if each.verdicts)
    skipped = statuses["skipped"]
    if off:
        parts.append(Text(f"{off} off, not tested", palette["doubt"]))
    elif skipped:
        parts.append(Text(f"{skipped} skipped", palette["doubt"]))
    return parts


def summary(
    state: ScreenState, palette: Palette, width: int, made: dict[tuple[object, ...], list[Text]]
) -> Text:
    """Return the verdicts of all experiments: tables of what was active, and what was switched off.

    What was `made` of an experiment is taken again as long as that has not changed.
    """
    lines: list[Text] = []
    ran = [each for each in state.experiments.values() if each.verdicts]
    if not ran:
        return Text("Nothing has been run yet: press r.", palette["faint"])
    lines += [joined(headline(state, palette)), Text()]
    for each in ran:
        key = each.id, each.version, palette.name, width
        if key not in made:
            made[key] = [*_experiment_summary(each, palette, width), Text()]
        lines += made[key]
    if rest := [printable(str(e.told["name"])) for e in state.experiments.values() if not e.verdicts]:
        lines.append(Text(f"not run: {', '.join(rest)}", palette["faint"]))
    for note in (state.finished or {}).get("notes", ()):
        lines += [Text(line, palette["doubt"]) for line in wrapped(f"note: {note}", width)]
    return Text("\n").join(lines)


def _experiment_summary(each: Experiment, palette: Palette, width: int) -> Iterator[Text]:
    heading = Text(printable(str(each.told["name"])), palette["name"])
    if each.done is not None:
        run, planned = each.done["run"], each.told["replicates"]
        stopped = f"stopped at {run} of " if 0 < run < planned else ""
        words = f": {stopped}{counted(planned, 'replicate')}, {duration(each.done['seconds'])}"
        heading.append(words, palette["plain"])
    yield heading
    if cached := each.total["cached"]:
        yield Text(f"  {cached:,} of {counted(each.ran, 'run')} from cache", palette["cached"])
    for step, times in each.cached_steps.items():
        yield Text(f"  step {printable(step)} from cache in {counted(times, 'run')}", palette["cached"])
    events = [event for event in each.verdicts.values() if event["treatment"] not in each.was_off]
    if rows := [_row(event) for event in events if event["verdict"] is not None]:
        for line in table(rows, width):
            meaning: Meaning = _COLOURS[line.colour] if isinstance(line, VerdictLine) else "plain"
            yield Text(str(line), palette[meaning])
    for event in events:
        yield from _without_verdict(event, palette, width)
    for name in each.was_off:
        words = f"  {printable(name)}: SWITCHED OFF, so nothing was tested of it"
        yield Text(words, palette["doubt"])
    changed = each.off.symmetric_difference(each.was_off)
    for name in (treatment for treatment in each.treatments if treatment in changed):
        word = "off" if name in each.off else "on"
        yield Text(f"  {printable(name)}: {word} from the next run on", palette["faint"])


def _without_verdict(event: Mapping[str, Any], palette: Palette, width: int) -> Iterator[Text]:
    """Yield why a claim is not supported, or what became of a test without a verdict."""
    about = printable(event["hypothesis"]) or "runs"
    if event["treatment"]:
        about += f" [{printable(event['treatment'])}]"
    has_verdict = event["verdict"] is not None
    if has_verdict and not event["reason"]:
        return
    word = "" if has_verdict else f"{event['status'].upper()}{': ' if event['reason'] else ''}"
    style = palette["plain"] if has_verdict else palette.status(event["status"])
    for line in wrapped(f"{about}: {word}{event['reason']}", width, indent="  "):
        yield Text(line, style)


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**verdict_fields(event["verdict"]), "outcome": event["outcome"]}


def failure_text(failure: Mapping[str, Any], palette: Palette) -> Text:
    """Return a failed run: where, its traceback, what it printed and recorded, and what repeats it."""
    name, plain = palette["name"], palette["plain"]
    text = Text().append(printable(failure["error"]) + "\n", palette["bad"])
    where = f"replicate {failure['replicate']} of {failure['condition']}, seed {failure['seed']}"
    text.append(
        printable(f"{where}, in {failure['step']}, after {duration(failure['seconds'])}") + "\n", plain
    )
    if failure["traceback"] is None:
        text.append("\nAs many failed before it, no more was kept of it than this.\n", palette["faint"])
    else:
        text.append("\nTraceback\n", name).append(
            printable_lines(failure["traceback"].rstrip()) + "\n", plain
        )
    for title, output in failure["output"] or ():
        text.append(f"\n{printable(title)}\n", name).append(printable_lines(output.rstrip()) + "\n", plain)
    if failure["metrics"] is not None:
        text.append("\nMetrics\n", name)
        for metric, values in failure["metrics"].items():
            shown = ", ".join(str(value) for value in values)
            text.append(printable(f"{metric} = {shown}") + "\n", plain)
        if not failure["metrics"]:
            text.append("none was recorded\n", palette["faint"])
    text.append("\nRepeat it\n", name).append(printable(failure["command"]), plain)
    return text
