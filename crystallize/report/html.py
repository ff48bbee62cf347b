"""The report for readers: one page that stands alone, without scripts and without the network.

Every text of others goes through `text`. The page is well-formed XML too, which the tests rely on.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Final

from crystallize.analysis.columns import deviation, mean
from crystallize.context.recording import is_finite
from crystallize.report.case_table import case_table
from crystallize.report.failures import Failure
from crystallize.report.html_claims import SAME, claims
from crystallize.report.html_elements import (
    badge_of,
    cards,
    cell,
    command,
    facts,
    head_cell,
    kind_of,
    table,
    text,
)
from crystallize.report.model import ExperimentResults, Outcome, SessionResults
from crystallize.report.wording import duration, effect_of, interval_of, is_exact
from crystallize.text.escaping import printable_lines
from crystallize.text.formatting import counted, number

_OVERVIEW: Final = (
    ("verdict", "Verdict"),
    ("hypothesis", "Hypothesis"),
    ("name", "Treatment"),
    ("effect", "Effect"),
    ("interval", "Interval"),
    ("p", "p"),
    ("n", "n"),
)


def html_report(results: SessionResults) -> str:
    """Return a session's results as a page of HTML."""
    return "\n".join(_page(results)) + "\n"


def html_section(results: SessionResults, *, key: str) -> str:
    """Return a session's results as a section of a page of others, with its own style.

    Parameters
    ----------
    results : SessionResults
        What is to be shown.
    key : str
        Makes ids unique in the page.
    """
    parts = [f'<div class="crystallize section"><style>{_style()}</style>']
    for i, each in enumerate(results.experiments):
        parts += _experiment(each, f"{key}-{i}")
    parts += _provenance(results, f"{key}-provenance")
    return "\n".join([*parts, "</div>"])


def _style() -> str:
    return resources.files("crystallize.report").joinpath("report.css").read_text(encoding="utf-8")


def _page(results: SessionResults) -> Iterator[str]:
    done, rest = results.headline()
    yield "<!DOCTYPE html>"
    yield '<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield '<meta name="color-scheme" content="light dark"/>'
    yield f"<title>{text(done)}: experiments</title>"
    yield '<link rel="icon" href="data:,"/>'  # or a browser asks the server for one
    yield f'<style>{_style()}</style></head><body class="crystallize">'
    yield '<a class="skip" href="#main">Skip to the verdicts</a>'
    yield f"<header><h1>{text(done)}</h1>"
    yield f'<p class="rest">{text(rest)}</p>' if rest else ""
    yield from _bar(results)
    yield f"<p>{text(results.provenance)}</p></header>"
    if len(results.experiments) > 1:
        yield '<nav aria-label="Experiments"><ul>'
        yield from (
            f'<li><a href="#e{i}">{text(each.name)}</a></li>' for i, each in enumerate(results.experiments)
        )
        yield "</ul></nav>"
    yield '<main id="main" tabindex="-1">'
    yield from _overview(results)
    for i, each in enumerate(results.experiments):
        yield from _experiment(each, f"e{i}")
    yield from _provenance(results, "provenance")
    yield "</main><footer>"
    if results.notes:
        yield '<section aria-labelledby="notes"><h2 id="notes">Notes</h2><ul>'
        yield from (f"<li>{text(note)}</li>" for note in results.notes)
        yield "</ul></section>"
    yield "</footer></body></html>"


def _bar(results: SessionResults) -> Iterator[str]:
    """Yield a bar with a part for each kind of outcome; the headline says the same."""
    kinds = Counter(kind_of(test) for each in results.experiments for test in each.tests)
    if kinds:
        parts = "".join(
            f'<span class="{kind}" style="flex-grow:{kinds[kind]}"></span>'
            for kind in ("good", "unsure", "bad")
            if kinds[kind]
        )
        yield f'<div class="bar" aria-hidden="true">{parts}</div>'


def _overview(results: SessionResults) -> Iterator[str]:
    if not any(each.tests for each in results.experiments):
        return
    yield '<section aria-labelledby="overview"><h2 id="overview">All verdicts</h2>'
    yield from cards("verdicts", "Every hypothesis under every treatment", _OVERVIEW)
    for i, each in enumerate(results.experiments):
        if each.tests:
            link = f'<a href="#e{i}">{text(each.name)}</a>'
            head = f'<th scope="rowgroup" role="rowheader" colspan="{len(_OVERVIEW)}">{link}</th>'
            yield f'<tr role="row" class="group">{head}</tr>'
        for group in each.by_hypothesis().values():
            yield from ("".join(_verdict(test, f"e{i}-{j}")) for j, test in group)
    yield "</tbody></table>"
    tests = (test for each in results.experiments for test in each.tests)
    yield f'<p class="note">{SAME}</p>' if any("*" in test.word for test in tests) else ""
    yield "</section>"


def _verdict(test: Outcome, place: str) -> Iterator[str]:
    row = None if test.verdict is None else test.verdict.to_dict()
    exact = row is not None and is_exact(row) and row["difference"] is not None
    yield f'<tr role="row">{cell("verdict", badge_of(test))}'
    yield cell("hypothesis", text(test.hypothesis))
    yield head_cell(f'<a href="#{place}">{text(test.treatment or "runs")}</a>')
    yield cell("effect", "" if row is None else text(effect_of(row)), "effect")
    yield cell("interval", "" if row is None else "exact" if exact else text(interval_of(row)))
    yield cell("p", "no test" if exact else text(test.shown_p), "p")
    yield cell("n", "" if row is None else str(row["n"]), "n")
    yield "</tr>"


def _experiment(each: ExperimentResults, key: str) -> Iterator[str]:
    yield f'<section class="experiment" aria-labelledby="{key}"><h2 id="{key}">{text(each.name)}</h2>'
    where = f"; <code>{text(each.where)}</code>" if each.where else ""
    yield f"<p>{text(each.extent)}{where}</p>"
    if each.off:
        yield f"<p>Switched off, so not tested: {', '.join(map(text, each.off))}</p>"
    yield from claims(each, key)
    for failure in each.failures:
        yield from _failure(failure)
    yield from (f'<p class="note">{text(note)}</p>' for note in each.notes)
    yield from case_table(each, key)
    yield from _samples(each)
    yield "</section>"


def _failure(failure: Failure) -> Iterator[str]:
    which = failure.which[:1].upper() + failure.which[1:]
    error = failure.error.partition("\n")[0]
    yield (
        f"<details><summary>{text(which)} of <code>{text(failure.condition)}</code> "
        f"failed in <code>{text(failure.step)}</code>: {text(error)}</summary>"
    )
    yield f'<pre tabindex="0">{escape(printable_lines(failure.traceback.rstrip()))}</pre>'
    yield command("Repeat the first", failure.command)
    yield "</details>"


def _samples(each: ExperimentResults) -> Iterator[str]:
    """Yield a table of what each condition gave."""
    rows = []
    for metric, arms in each.samples.items():
        for condition, values in arms.items():
            known = [float(value) for value in values if is_finite(value)]
            lacking = sum(value is None for value in values)
            spread = deviation(known) if len(known) > 1 else None
            shown = [mean(known), spread, min(known), max(known)] if known else [None] * 4
            rows.append((text(metric), text(condition), str(len(values) - lacking), *map(number, shown)))
    if rows:
        columns = ("Metric", "Condition", "n", "Mean", "Deviation", "Least", "Most")
        yield "<details><summary>Samples, seeds and digests</summary>"
        yield from table(f"Samples of {each.name}", columns, rows)
        digests = ", ".join(f"{name} {value}" for name, value in each.digests.items())
        yield f"<p>Digests: <code>{text(digests)}</code></p>"
        seeds = ", ".join("-" if seed is None else str(seed) for seed in each.seeds)
        yield f"<p>Seeds, by replicate: <code>{seeds}</code></p></details>"


def _provenance(results: SessionResults, key: str) -> Iterator[str]:
    """Yield which code gave the numbers, of which inputs and seeds, when and where."""
    yield f'<section class="provenance" aria-labelledby="{key}"><h2 id="{key}">Provenance</h2>'
    changed = {None: "", True: ", with changes that were not committed", False: ", without changes"}
    machine = results.machine
    yield from facts(
        {
            "Commit": None if results.commit is None else f"{results.commit}{changed[results.dirty]}",
            "Started": f"{results.started.replace('T', ' ').removesuffix('+00:00')} UTC",
            "Took": duration(results.seconds),
            "Machine": None if machine is None else f"{machine.processor}, {counted(machine.cores, 'core')}",
            "Environment": ", ".join(f"{name} {version}" for name, version in results.versions.items()),
            "Exit status": None if results.exit_status is None else str(results.exit_status),
        }
    )
    if results.exit_status is not None:
        yield command("Run by", shlex.join(["pytest", *results.arguments]))
    rows = [
        (
            text(each.name),
            f"{each.seed}{', drawn for this session' if each.seed_drawn else ''}",
            text(", ".join(f"{name} {value}" for name, value in each.digests.items())),
            "<br/>".join(f"{text(name)} <code>{text(value)}</code>" for name, value in each.inputs.items())
            or "none declared",
        )
        for each in results.experiments
    ]
    if rows:
        columns = ("Experiment", "Root seed", "Digests of metrics", "Digests of inputs")
        yield from table("Seeds, metrics and inputs", columns, rows)
    yield "</section>"
