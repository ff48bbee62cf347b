"""The report for pull requests and job summaries, in GitHub's Markdown.

A name may hold anything. Names stand in ``<code>`` with every character that Markdown, HTML or GitHub could
read as something else written as a numeric entity, which works in tables and headings alike; GitHub looks for
mentions and references in no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crystallize.analysis.claim_plan import plan_lines
from crystallize.analysis.verdict import GOOD, Verdict
from crystallize.report.case_changes import change_lines, changes, shown_by_name, slice_lines
from crystallize.report.failures import Failure
from crystallize.report.model import ExperimentResults, Outcome, SessionResults
from crystallize.report.wording import effect_of, interval_of, is_exact, margin_of
from crystallize.text.escaping import printable, printable_lines
from crystallize.text.formatting import counted, number

COLUMNS = [
    "experiment",
    "hypothesis",
    "metric",
    "treatment",
    "means",
    "effect",
    "margin",
    "p",
    "n",
    "verdict",
]
_SPECIAL = re.compile(
    r"[^\w ./,=%()'?;:+-]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore inside a word is a letter
    r"|^[-+=]|(?<=\d)[.)](?= )"  # lists
    r"|:(?=//)|(?<=www)\."  # links
)
_MARK = "⚠️"
_MARKS = {
    **dict.fromkeys(GOOD, "✅"),
    "refuted": "❌",
    "inconclusive": "❔",
    "not run": "⛔",
}
_TRACEBACK_CHARACTERS = 4000
_CASES_SHOWN = 20
_ROOM_FOR_NOTE = 200


def markdown_report(results: SessionResults, *, limit: int | None = None) -> str:
    """Return a session's results as GitHub-flavoured Markdown.

    Parameters
    ----------
    results : SessionResults
        What the session gave.
    limit : int, optional
        Bytes that it may take; what has no room is left out, and counted.
    """
    done, rest = results.headline()
    blocks = [f"**{done}**{f', {rest}' if rest else ''}\n"]
    rows = [
        _row(each, outcome)
        for each in results.experiments
        for group in each.by_hypothesis().values()
        for _, outcome in group
        if _is_claim(outcome)
    ]
    table = ["|".join(("", *cells, "")) + "\n" for cells in (COLUMNS, ["---"] * len(COLUMNS))] if rows else []
    details = [_details(each) for each in results.experiments]
    notes = [f"> {text(note)}\n" for note in results.notes]
    foot = f"{text(results.provenance)}\n"
    pieces = [*blocks, "\n", *table, *rows, "\n", *details, *(line + "\n" for line in notes), foot]
    return "".join(pieces if limit is None else _fitting(pieces, limit))


def _fitting(pieces: list[str], limit: int) -> Iterator[str]:
    """Yield the pieces that there is room for, and say how many are left out."""
    room = limit - _ROOM_FOR_NOTE
    left_out = 0
    for piece in pieces:
        size = len(piece.encode())
        if left_out or size > room:
            left_out += bool(piece.strip())
        else:
            room -= size
            yield piece
    if left_out and limit > _ROOM_FOR_NOTE:
        what = "row or section" if left_out == 1 else "rows and sections"
        yield f"\n\nLeft out for lack of room: {left_out} {what}.\n"


def _is_claim(outcome: Outcome) -> bool:
    return bool(outcome.hypothesis) or outcome.status != "passed"


def _row(experiment: ExperimentResults, outcome: Outcome) -> str:
    verdict, calibration = outcome.verdict, outcome.calibration
    metric = means = shown = margin = n = ""
    p = outcome.shown_p
    if verdict is not None:
        row = verdict.to_dict()
        metric, means, margin, n = verdict.metric, _means(verdict), margin_of(row), str(verdict.n)
        if verdict.difference is not None:
            shown = effect_of(row)
            if is_exact(row):
                shown, p = f"{shown}, exact", "no test"
            elif verdict.interval is not None:
                shown += f" {interval_of(row)}"
    if outcome.planned is not None:
        n = "-" if outcome.planned["needed"] is None else str(outcome.planned["needed"])
    if calibration is not None:
        shown = f"{100 * calibration['rate']:.3g} % of {counted(calibration['tests'], 'A/A test')}"
        n = str(calibration["n"])
    cells = (
        *map(code, (experiment.name, outcome.hypothesis, metric, outcome.treatment)),
        *map(text, (means, shown, margin, p)),
        n,
        f"{_mark(outcome)} {text(outcome.word)}",
    )
    return "|".join(("", *cells, "")) + "\n"


def _mark(outcome: Outcome) -> str:
    return _MARK if outcome.fails_anyway else _MARKS.get(outcome.status, _MARK)


def _means(verdict: Verdict) -> str:
    """Return the means of both sides; without a difference of any, nothing."""
    sides = verdict.baseline_mean, verdict.treatment_mean
    return "" if sides == (None, None) else " → ".join(map(number, sides))


def _details(experiment: ExperimentResults) -> str:
    lines = [
        f"<details><summary>{code(experiment.name)}: {text(experiment.extent)}</summary>",
        "",
        f"{code(experiment.where)}",
        "",
    ]
    for outcome in experiment.tests:
        name = " ".join(code(part) for part in (outcome.hypothesis, outcome.treatment) if part)
        planned = "" if outcome.planned is None else "; ".join(map(str.strip, plan_lines(outcome.planned)))
        said = f": {text(outcome.reason or planned)}" if outcome.reason or planned else ""
        expected = f" (expected: {text(outcome.expected)})" if outcome.expected else ""
        lines.append(
            f"- {name or 'runs'}: **{text(outcome.word)}**{said}{expected}{_against(outcome)}"
            f"<br>{code(outcome.command)}"
        )
    for failure in experiment.failures:
        lines += ["", *_failure(failure)]
    if experiment.off:
        lines += ["", f"switched off: {' '.join(map(code, experiment.off))}"]
    lines += [line for note in experiment.notes for line in ("", text(note))]
    lines += _cases(experiment)
    digests = " ".join(code(f"{name}={value}") for name, value in experiment.digests.items())
    if digests:
        lines += ["", f"digest {digests}"]
    return "\n".join([*lines, "", "</details>", "", ""])


def _against(outcome: Outcome) -> str:
    """Return what was compared with a reference: its mean on the left, with commit and date."""
    verdict = outcome.verdict
    if verdict is None or not verdict.recorded or verdict.baseline_mean is None:
        return ""
    held = text(f": mean {number(verdict.baseline_mean)}, {verdict.recorded}")
    today = text(f": mean {number(verdict.treatment_mean)}")
    return f"<br>{verdict.comparator} {code(verdict.against)}{held}; {code(verdict.treatment)} today{today}"


def _cases(experiment: ExperimentResults) -> Iterator[str]:
    """Yield which cases changed, and the worst of them folded, with what was noted."""
    for line in (*change_lines(experiment, verbosity=0), *slice_lines(experiment)):
        yield from ("", text(line))
    for found in changes(experiment):
        if not found.worse:
            continue
        left, right = found.baseline, found.treatment
        yield from ("", f"<details><summary>{text(found.head(_CASES_SHOWN))}</summary>", "")
        yield f"|case|{code(found.metric)}|{code(left)}|{code(right)}|"
        yield "|---|---|---|---|"
        for unit in found.worse[:_CASES_SHOWN]:
            sides = (shown_by_name(unit.conditions[name].notes) for name in (left, right))
            cells = (code(unit.id), text(found.values(unit)), *map(text, sides))
            yield "|".join(("", *cells, ""))
        yield from ("", "</details>")


def _failure(failure: Failure) -> Iterator[str]:
    yield f"{text(failure.which)} of {code(failure.condition)} failed in {code(failure.step)}:"
    yield ""
    yield from fenced(failure.traceback.rstrip()[-_TRACEBACK_CHARACTERS:])
    yield ""
    yield code(failure.command)


def fenced(content: str) -> Iterator[str]:
    """Yield lines as a block of code that no line of theirs can end."""
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    yield fence + "text"
    yield printable_lines(content)
    yield fence


def text(content: str) -> str:
    """Return a text in one line of which nothing is markup, a mention or a reference."""
    return re.sub(
        "(&#(?:35|64);)", r"\1&#8288;", _escaped(content)
    )  # a word joiner ends what GitHub looks for


def code(content: str) -> str:
    """Return a name or a command as code in which nothing is markup; empty of nothing."""
    return f"<code>{_escaped(content)}</code>" if content else ""


def _escaped(content: str) -> str:
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group())};", printable(content))
