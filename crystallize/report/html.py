"""The report for readers: one page that stands alone, without scripts and without the network.

Every text of others goes through `_text`. The page is well-formed XML too, which the tests rely on.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from typing import Any

from crystallize.analysis.claim_plan import plan_lines
from crystallize.analysis.columns import mean
from crystallize.analysis.sample import PROCESSES, SESSIONS
from crystallize.analysis.verdict import PASSING, Verdict
from crystallize.context.recording import is_finite
from crystallize.report.case_table import case_table
from crystallize.report.drawing import MOST_DOTS
from crystallize.report.failures import Failure
from crystallize.report.history_plot import history_plot
from crystallize.report.model import ExperimentResults, Outcome, SessionResults
from crystallize.report.plots import estimation_plot, looks_plot, power_plot
from crystallize.report.wording import effect_of, group_line, interval_of, mde_of, p_of, sides_of
from crystallize.text.escaping import printable, printable_lines
from crystallize.text.formatting import compared, interval, level_of, number, p_value

_KINDS = {
    **dict.fromkeys(PASSING, "good"),
    "calibrated": "good",
    "planned": "good",
    "passed": "good",
    "inconclusive": "unsure",
    "skipped": "unsure",
}
_PASTS = {"reference": "Reference", "revision": "Revision"}
_SIGNS = {"good": "✓", "bad": "✗", "unsure": "?"}
_COLUMNS = ("Verdict", "Experiment", "Hypothesis", "Treatment", "Effect", "Interval", "p", "n")


def html_report(results: SessionResults) -> str:
    """Return a session's results as a page of HTML."""
    return "\n".join(_page(results)) + "\n"


def html_section(results: SessionResults) -> str:
    """Return a session's results as a section of a page of others, with its own style."""
    parts = [f'<div class="crystallize"><style>{_style()}</style>']
    for i, each in enumerate(results.experiments):
        parts += _experiment(each, f"e{i}")
    return "\n".join([*parts, "</div>"])


def _style() -> str:
    return resources.files("crystallize.report").joinpath("report.css").read_text(encoding="utf-8")


def _page(results: SessionResults) -> Iterator[str]:
    done, rest = results.headline()
    yield "<!DOCTYPE html>"
    yield '<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield '<meta name="color-scheme" content="light dark"/>'
    yield f"<title>{_text(done)}: experiments</title>"
    yield '<link rel="icon" href="data:,"/>'  # or a browser asks the server for one
    yield f"<style>{_style()}</style></head><body>"
    yield '<a class="skip" href="#main">Skip to the verdicts</a>'
    yield f"<header><h1>{_text(done)}</h1>"
    yield f'<p class="rest">{_text(rest)}</p>' if rest else ""
    yield f"<p>{_text(results.provenance)}</p></header>"
    if len(results.experiments) > 1:
        yield '<nav aria-label="Experiments"><ul>'
        yield from (
            f'<li><a href="#e{i}">{_text(each.name)}</a></li>' for i, each in enumerate(results.experiments)
        )
        yield "</ul></nav>"
    yield '<main id="main" tabindex="-1">'
    yield from _overview(results)
    for i, each in enumerate(results.experiments):
        yield from _experiment(each, f"e{i}")
    yield "</main><footer>"
    if results.notes:
        yield '<section aria-labelledby="notes"><h2 id="notes">Notes</h2><ul>'
        yield from (f"<li>{_text(note)}</li>" for note in results.notes)
        yield "</ul></section>"
    if results.exit_status is not None:
        command = shlex.join(["pytest", *results.arguments])
        yield f"<p><code>{_text(command)}</code>, exit status {results.exit_status}</p>"
    yield "</footer></body></html>"


def _overview(results: SessionResults) -> Iterator[str]:
    rows = []
    for i, each in enumerate(results.experiments):
        for j, outcome in enumerate(each.tests):
            row = None if outcome.verdict is None else outcome.verdict.to_dict()
            cells = (
                f'<a href="#e{i}-{j}">{_badge(outcome)}</a>',
                f'<a href="#e{i}">{_text(each.name)}</a>',
                _text(outcome.hypothesis),
                _text(outcome.treatment),
                _text("" if row is None else effect_of(row)),
                _text("" if row is None else interval_of(row)),
                _text(outcome.shown_p),
                "" if row is None else str(row["n"]),
            )
            rows.append(cells)
    if rows:
        yield '<section aria-labelledby="overview"><h2 id="overview">All verdicts</h2>'
        yield from _table("Every hypothesis under every treatment", _COLUMNS, rows, head=1)
        yield "</section>"


def _experiment(each: ExperimentResults, key: str) -> Iterator[str]:
    yield f'<section class="experiment" aria-labelledby="{key}"><h2 id="{key}">{_text(each.name)}</h2>'
    yield f"<p>{_text(each.extent)}; <code>{_text(each.where)}</code></p>"
    if each.off:
        yield f"<p>Switched off, so not tested: {', '.join(map(_text, each.off))}</p>"
    for number_, outcome in enumerate(each.tests):
        yield from _outcome(each, outcome, f"{key}-{number_}")
    for failure in each.failures:
        yield from _failure(failure)
    yield from (f'<p class="note">{_text(note)}</p>' for note in each.notes)
    yield from case_table(each, key)
    yield from _samples(each)
    yield "</section>"


def _outcome(each: ExperimentResults, outcome: Outcome, key: str) -> Iterator[str]:
    title = " under ".join(_text(part) for part in (outcome.hypothesis, outcome.treatment) if part) or "Runs"
    yield f'<article aria-labelledby="{key}"><h3 id="{key}">{title} {_badge(outcome)}</h3>'
    if outcome.reason:
        yield f'<p class="reason">{_text(outcome.reason)}</p>'
    if outcome.expected:
        yield f"<p>Expected: {_text(outcome.expected)}</p>"
    verdict = outcome.verdict
    if verdict is not None:
        yield from _figures(each, outcome, verdict, key)
        yield from _facts(verdict)
    if outcome.calibration is not None:
        found = outcome.calibration
        low, high = found["interval"]
        yield (
            f"<p>Supported in {found['false_positives']} of {found['tests']} A/A tests of {found['n']} and "
            f"{found['n']} replicates: {100 * found['rate']:.3g} %, 98 % interval {100 * low:.3g} % to "
            f"{100 * high:.3g} %, alpha {found['alpha']:g}</p>"
        )
    if outcome.planned is not None:
        plot = power_plot(outcome.planned, key=f"{key}-power")
        said = "Power by replicates, by the upper 80 % limit of the pilot's spread."
        yield from (f"<p>{_text(line.strip())}</p>" for line in plan_lines(outcome.planned))
        yield (
            f'<div class="figures"><figure>{plot}<figcaption>{said}</figcaption></figure></div>'
            if plot
            else ""
        )
    yield _command("Repeat it", outcome.command)
    yield "</article>"


def _figures(each: ExperimentResults, outcome: Outcome, verdict: Verdict, key: str) -> Iterator[str]:
    metric = _metric(each, verdict)
    samples, reference = each.samples.get(metric, {}), outcome.reference
    left, right = sides_of(verdict.to_dict())
    arms = [samples.get(condition, ()) for condition in (left, right)]
    paired, recorded = verdict.comparator != "number", ""
    if verdict.comparator == "number":
        left, arms[0] = verdict.against, [float(verdict.against)] * len(arms[1])
    if verdict.comparator in _PASTS:
        held = {} if reference is None else reference
        arms[0] = held.get("samples", {}).get(metric, ())[: each.run if verdict.looks else None]
        recorded = f"; left, what was {verdict.recorded}"
        paired = verdict.population not in (SESSIONS, PROCESSES) and _are_pairs(
            held.get("seeds", ()), each.seeds
        )
    plot = estimation_plot(verdict, *arms, key=f"{key}-plot", names=(left, right), paired=paired)
    caption = _caption(metric, max(map(len, arms)), paired=paired) + recorded
    plots = [
        (plot, f"{caption}; right, the difference and its interval."),
        (looks_plot(verdict, key=f"{key}-looks"), "p at each look, and the level that it is compared with."),
        (
            history_plot(
                metric,
                ({} if reference is None else reference).get("recordings", {}).get(metric, ()),
                arms[1],
                key=f"{key}-history",
            ),
            f"{metric} in each recording, with 95 % intervals, and today; large: what counts.",
        ),
    ]
    shown = [f"<figure>{plot}<figcaption>{_text(said)}</figcaption></figure>" for plot, said in plots if plot]
    if shown:
        yield f'<div class="figures">{"".join(shown)}</div>'


def _are_pairs(held: Sequence[int], seeds: Sequence[int | None]) -> bool:
    """Return whether replicates of a reference and of today have the same seeds."""
    return all(then == now for then, now in zip(held, seeds, strict=False) if now is not None)


def _caption(metric: str, replicates: int, *, paired: bool) -> str:
    dots = "a dot per replicate" + (", lines join the same seed" if paired else "")
    if replicates > MOST_DOTS:
        dots = f"{MOST_DOTS} quantiles of {replicates} replicates"
    return f"{metric}: {dots}"


def _metric(each: ExperimentResults, verdict: Verdict) -> str:
    """Return the metric to be drawn: the first, where a verifier reads several."""
    if verdict.metric in each.samples:
        return verdict.metric
    return next((name for name in each.samples if verdict.metric.startswith(f"{name}, ")), verdict.metric)


def _facts(verdict: Verdict) -> Iterator[str]:
    row, level = verdict.to_dict(), None
    if verdict.level is not None:
        p = verdict.deciding_p
        level = number(verdict.level) if p is None else compared(p, verdict.level)[1]
    left, right = sides_of(row)
    if verdict.comparator in _PASTS:
        left, right = verdict.comparator, "today"
    held = f"{verdict.against}, {verdict.recorded}" if verdict.recorded else None
    facts = {
        "Claim": group_line([row]),
        "Means": f"{left} {number(verdict.baseline_mean)}, {right} {number(verdict.treatment_mean)}",
        _PASTS.get(verdict.comparator, "Reference"): held,
        "Effect": None if verdict.difference is None else effect_of(row),
        "Interval": None if verdict.interval is None else interval_of(row),
        "p": None if verdict.p_value is None else p_value(verdict.p_value, level_of(row)),
        "Adjusted p": None if verdict.adjusted_p is None else p_value(verdict.adjusted_p, level_of(row)),
        "p of the opposite": None if verdict.opposite_p is None else p_of(row),
        "Level": level,
        "Replicates": f"{verdict.n} of {verdict.planned}" if verdict.planned else str(verdict.n),
        "Look": f"{verdict.look} of {verdict.looks}" if verdict.looks else None,
        "Effect size": _sizes(verdict),
        "Detectable": None if verdict.detectable is None else mde_of(row),
        "Relies on": verdict.caveat or None,
        "No variance": "every difference is the same" if verdict.degenerate else None,
    }
    yield "<dl>"
    for name, value in facts.items():
        if value is not None:
            yield f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>"
    yield "</dl>"


def _sizes(verdict: Verdict) -> str | None:
    sizes = (
        f"{name} {number(size['estimate'], digits=3)} {interval(size['interval'])}"
        for name, size in verdict.effect_sizes.items()
    )
    return ", ".join(sizes) or None


def _failure(failure: Failure) -> Iterator[str]:
    which = failure.which[:1].upper() + failure.which[1:]
    error = failure.error.partition("\n")[0]
    yield (
        f"<details><summary>{_text(which)} of <code>{_text(failure.condition)}</code> "
        f"failed in <code>{_text(failure.step)}</code>: {_text(error)}</summary>"
    )
    yield f'<pre tabindex="0">{escape(printable_lines(failure.traceback.rstrip()))}</pre>'
    yield _command("Repeat the first", failure.command)
    yield "</details>"


def _samples(each: ExperimentResults) -> Iterator[str]:
    """Yield a table of what each condition gave."""
    rows = []
    for metric, arms in each.samples.items():
        for condition, values in arms.items():
            known = [float(value) for value in values if is_finite(value)]
            lacking = sum(value is None for value in values)
            shown = [number(f(known)) if known else "-" for f in (mean, _deviation, min, max)]
            rows.append((_text(metric), _text(condition), str(len(values) - lacking), *shown))
    if rows:
        columns = ("Metric", "Condition", "n", "Mean", "Deviation", "Least", "Most")
        yield "<details><summary>Samples and digests</summary>"
        yield from _table(f"Samples of {each.name}", columns, rows)
        digests = ", ".join(f"{name} {value}" for name, value in each.digests.items())
        yield f"<p>Digests: <code>{_text(digests)}</code></p></details>"


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    center = mean(values)
    try:
        return math.sqrt(math.fsum((value - center) ** 2 for value in values) / (len(values) - 1))
    except OverflowError:
        return math.inf


def _badge(outcome: Outcome) -> str:
    kind = "unsure" if outcome.outcome == "xfailed" else _KINDS.get(outcome.status, "bad")
    sign = f'<span aria-hidden="true">{_SIGNS[kind]}</span>'
    return f'<span class="badge {kind}">{sign} {_text(outcome.word)}</span>'


def _command(title: str, command: str) -> str:
    return f'<p class="command">{title}: <code>{_text(command)}</code></p>' if command else ""


def _table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, head: int = 0
) -> Iterator[str]:
    """Yield a table that scrolls by itself where it is too wide; `head` is the column of headings."""
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{_text(caption)}"><table>'
    yield f"<caption>{_text(caption)}</caption><thead><tr>"
    yield from (f'<th scope="col">{column}</th>' for column in columns)
    yield "</tr></thead><tbody>"
    for row in rows:
        cells = [f"<td>{cell}</td>" for cell in row]
        cells[head] = f'<th scope="row">{row[head]}</th>'
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _text(value: Any) -> str:
    return escape(printable(str(value)))
