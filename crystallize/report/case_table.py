"""The table of all cases on the page of an experiment: what each gave, side by side, to be filtered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

from crystallize.report.case_changes import change_lines, changes, shown_notes
from crystallize.report.model import ExperimentResults
from crystallize.report.unit_results import OfCondition, UnitResults
from crystallize.text.escaping import printable, printable_lines
from crystallize.text.formatting import counted, number

_FILTERS: Final = (("all", "all"), ("worse", "worse"), ("better", "better"), ("failed", "without a value"))
_EMPTY: Final = OfCondition({}, {}, ())


def case_table(each: ExperimentResults, key: str) -> Iterator[str]:
    """Yield the cases of an experiment as a table whose rows radio buttons choose, without any script."""
    if not each.units:
        return
    yield from (f'<p class="note">{_text(line)}</p>' for line in change_lines(each, verbosity=0))
    conditions = [name for name in each.conditions if any(name in unit.conditions for unit in each.units)]
    metrics = _names(unit.conditions[name].metrics for unit in each.units for name in unit.conditions)
    notes = _names(unit.conditions[name].notes for unit in each.units for name in unit.conditions)
    sliced = each.cases is not None and bool(each.cases.slices)
    kinds = _kinds(each)
    many = counted(len(each.units), "case")
    yield f'<details class="cases"><summary>{many}</summary><fieldset><legend>Show</legend>'
    for name, said in _FILTERS:
        checked = ' checked="checked"' if name == "all" else ""
        yield (
            f'<label><input type="radio" name="{key}-cases" class="{name}"{checked}/> {said} '
            f"({sum(name == 'all' or name in kinds[unit.id] for unit in each.units)})</label>"
        )
    yield "</fieldset>"
    caption = _text(f"Cases of {each.name}")
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}"><table>'
    yield f'<caption>{caption}</caption><thead><tr><th scope="col">Case</th>'
    yield '<th scope="col">Slice</th>' if sliced else ""
    for name in (*metrics, *notes):
        yield from (f'<th scope="col">{_text(name)}, {_text(condition)}</th>' for condition in conditions)
    yield "</tr></thead><tbody>"
    for unit in each.units:
        kind = " ".join(sorted(kinds[unit.id]))
        yield "".join(_row(unit, conditions, metrics, notes, kind, sliced=sliced))
    yield "</tbody></table></div></details>"


def _row(
    unit: UnitResults,
    conditions: Sequence[str],
    metrics: Sequence[str],
    notes: Sequence[str],
    kind: str,
    *,
    sliced: bool,
) -> Iterator[str]:
    yield f'<tr class="{kind}"><th scope="row">{_text(unit.id)}</th>'
    yield f"<td>{_text(unit.slice or '')}</td>" if sliced else ""
    sides = [unit.conditions.get(name, _EMPTY) for name in conditions]
    for metric in metrics:
        yield from (f"<td>{_text(_value(side, metric))}</td>" for side in sides)
    for note in notes:
        yield from (f"<td>{_lines(shown_notes(side.notes.get(note, ())))}</td>" for side in sides)
    yield "</tr>"


def _value(side: OfCondition, metric: str) -> str:
    value = side.metrics.get(metric)
    if value is None:
        return f"failed: {side.errors[0]}" if side.errors else "-"
    return number(value)


def _kinds(each: ExperimentResults) -> dict[str, set[str]]:
    """Return which of the filters show a case, by its id."""
    kinds: dict[str, set[str]] = {unit.id: set() for unit in each.units}
    for found in changes(each):
        for kind, units in (("worse", found.worse), ("better", found.better), ("failed", found.lacking)):
            for unit in units:
                kinds[unit.id].add(kind)
    for unit in each.units:
        if any(side.errors for side in unit.conditions.values()):
            kinds[unit.id].add("failed")
    return kinds


def _names(found: Iterator[Any]) -> list[str]:
    return list(dict.fromkeys(name for names in found for name in names))


def _text(value: str) -> str:
    return escape(printable(value))


def _lines(value: str) -> str:
    return escape(printable_lines(value)).replace("\n", "<br/>")
