"""Pieces of the page: text of others as text, badges, commands, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from crystallize.analysis.verdict import GOOD
from crystallize.report.model import Outcome
from crystallize.text.escaping import printable

_KINDS: Final = {
    **dict.fromkeys(GOOD, "good"),
    "passed": "good",
    "inconclusive": "unsure",
    "skipped": "unsure",
}
_SIGNS: Final = {"good": "✓", "bad": "✗", "unsure": "?"}


def text(value: Any) -> str:
    """Return a text of others in one line, of which nothing is markup."""
    return escape(printable(str(value)))


def kind_of(outcome: Outcome) -> str:
    """Return ``"good"``, ``"bad"`` or ``"unsure"``, as which an outcome is marked."""
    if outcome.fails_anyway:
        return "bad"
    return "unsure" if outcome.outcome == "xfailed" else _KINDS.get(outcome.status, "bad")


def badge(word: str, kind: str) -> str:
    """Return a word with a sign, so that colour is not all that tells."""
    return f'<span class="badge {kind}"><span aria-hidden="true">{_SIGNS[kind]}</span> {text(word)}</span>'


def badge_of(outcome: Outcome) -> str:
    """Return what became of an outcome."""
    return badge(outcome.word, kind_of(outcome))


def command(title: str, line: str) -> str:
    """Return what repeats something; nothing where there is no command."""
    return f'<p class="command">{title}: <code>{text(line)}</code></p>' if line else ""


def facts(known: Mapping[str, str | None]) -> Iterator[str]:
    """Yield names with what is known; what is None is left out."""
    yield "<dl>"
    for name, value in known.items():
        if value is not None:
            yield f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>"
    yield "</dl>"


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table that scrolls by itself where it is too wide."""
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
    yield f"<caption>{text(caption)}</caption><thead><tr>"
    yield from (f'<th scope="col">{column}</th>' for column in columns)
    yield "</tr></thead><tbody>"
    for head, *cells in rows:
        yield f'<tr><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    yield "</tbody></table></div>"


def cards(kind: str, caption: str, columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the head of a table whose rows a narrow page shows as cards; rows and ``</table>`` follow.

    Parameters
    ----------
    kind : str
        Its class.
    caption : str
        For who can't see it.
    columns : sequence of (str, str)
        Class and heading, which may be markup, of each.
    """
    yield f'<table class="cards {kind}" role="table"><caption>{text(caption)}</caption>'
    yield '<thead role="rowgroup"><tr role="row">'
    yield from (f'<th scope="col" role="columnheader" class="{name}">{head}</th>' for name, head in columns)
    yield '</tr></thead><tbody role="rowgroup">'


def cell(name: str, content: str, label: str = "") -> str:
    """Return a cell of such a table; a narrow page shows the label before its content."""
    labelled = f' data-label="{label}"' if label else ""
    return f'<td role="cell" class="{name}"{labelled}>{content}</td>'


def head_cell(content: str) -> str:
    """Return the cell of such a table that says what its row is about."""
    return f'<th scope="row" role="rowheader" class="name">{content}</th>'
