"""Which cases a claim finds changed, the worst first, and what was noted of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crystallize.report.model import ExperimentResults
from crystallize.report.unit_results import UnitResults
from crystallize.report.wording import effect_of, interval_of, sides_of
from crystallize.text.formatting import counted, number

_UP: Final = ("increase", "no_decrease")
_DOWN: Final = ("decrease", "no_increase")
_WORST_SHOWN: Final = 5
_IN_K: Final = re.compile(r" pass[@^]\d+\Z")  # what `PassAt` and `PassAll` call a metric's passes
_SHORT: Final = 60  # characters of a note in a line


@dataclass(frozen=True, slots=True)
class Changes:
    """Cases that one claim finds changed.

    Attributes
    ----------
    metric, baseline, treatment : str
        Of what, and between which conditions.
    shown : str
        What the verdict is about: the treatment, or it in a slice.
    worse, better, lacking : tuple of UnitResults
        The cases, the largest changes first; of a claim that has no direction, lower and higher; and those of
        which there is nothing to compare.
    words : (str, str)
        What both are called.
    same : int
        How many cases did not change.
    """

    metric: str
    baseline: str
    treatment: str
    shown: str
    worse: tuple[UnitResults, ...]
    better: tuple[UnitResults, ...]
    lacking: tuple[UnitResults, ...]
    words: tuple[str, str]
    same: int

    def __str__(self) -> str:
        parts = [f"{counted(len(self.worse), 'case')} {self.words[0]}", f"{len(self.better)} {self.words[1]}"]
        parts += [f"{self.same} the same"] if self.same else []
        parts += [f"{len(self.lacking)} without a value"] if self.lacking else []
        return f"{self.metric} [{self.shown}]: {', '.join(parts)}"

    def head(self, most: int) -> str:
        """Return what the list of the worst cases, of so many at most, is called."""
        shown = min(most, len(self.worse))
        whole = f"All {shown}" if shown > 1 else "The one"
        which = f"The {shown} largest of {len(self.worse)}" if shown < len(self.worse) else whole
        return f"{which} that {self.words[0]}: {self.metric} [{self.shown}]"

    def values(self, unit: UnitResults) -> str:
        """Return the metric of a case under both conditions."""
        sides = (unit.conditions[name].metrics[self.metric] for name in (self.baseline, self.treatment))
        return " -> ".join(map(number, sides))

    def notes(self, unit: UnitResults) -> str:
        """Return what was noted of a case under both conditions, shortened."""
        first, second = (unit.conditions[name].notes for name in (self.baseline, self.treatment))
        return "".join(
            f"; {note}: {_short(first.get(note, ()))} -> {_short(second.get(note, ()))}"
            for note in dict.fromkeys((*first, *second))
        )

    def why_lacking(self, unit: UnitResults) -> str:
        """Say why there is nothing to compare of a case."""
        for name in (self.baseline, self.treatment):
            side = unit.conditions.get(name)
            if side is None:
                return f"not run under {name!r}"
            if side.errors:
                return f"failed under {name!r}: {side.errors[0]}"
        return "no finite value"


def shown_notes(values: Sequence[Any]) -> str:
    """Return what was noted in all samples as text."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return " | ".join(texts)


def shown_by_name(notes: Mapping[str, Sequence[Any]]) -> str:
    """Return all that was noted as text, by name."""
    return "; ".join(f"{name}: {shown_notes(values)}" for name, values in notes.items())


def _short(values: Sequence[Any]) -> str:
    text = " ".join(shown_notes(values).split())
    return repr(text if len(text) <= _SHORT else text[: _SHORT - 3] + "...")


def changes_of(
    units: Sequence[UnitResults], metric: str, baseline: str, treatment: str, direction: str, *, shown: str
) -> Changes:
    """Sort cases by what a metric did under a treatment."""
    known = [(unit, unit.change(metric, baseline, treatment)) for unit in units]
    moved = sorted(((change, i) for i, (_, change) in enumerate(known) if change), key=lambda it: -abs(it[0]))
    lower = [units[i] for change, i in moved if change < 0]
    higher = [units[i] for change, i in moved if change > 0]
    lacking = tuple(unit for unit, change in known if change is None)
    same = len(units) - len(lower) - len(higher) - len(lacking)
    words = ("got worse", "better") if direction in (*_UP, *_DOWN) else ("went down", "up")
    worse, better = (higher, lower) if direction in _DOWN else (lower, higher)
    return Changes(metric, baseline, treatment, shown, tuple(worse), tuple(better), lacking, words, same)


def changes(each: ExperimentResults) -> Iterator[Changes]:
    """Yield which cases each claim against a condition of today finds changed, once for each metric."""
    if each.cases is None:
        return
    seen = set()
    for test in each.tests:
        verdict = test.verdict
        if verdict is None or not verdict.direction or verdict.comparator not in ("baseline", "treatment"):
            continue
        baseline, treatment = sides_of(verdict.to_dict())
        units, shown = each.units, treatment
        for part in each.cases.slices:
            if treatment not in each.conditions and treatment.endswith(f" in {part}"):
                treatment = treatment.removesuffix(f" in {part}")
                units = tuple(unit for unit in units if unit.slice == part)
        metric = _metric_of(verdict.metric, each.units)
        key = metric, baseline, shown, verdict.direction in _DOWN
        if metric is None or key in seen or not units:
            continue
        seen.add(key)
        yield changes_of(units, metric, baseline, treatment, verdict.direction, shown=shown)


def _metric_of(claimed: str, units: Sequence[UnitResults]) -> str | None:
    """Return the metric of cases that a claim is about; None if no case has it, as the ratio of two."""
    known = {metric for unit in units for side in unit.conditions.values() for metric in side.metrics}
    if claimed in known:
        return claimed
    counted_in_k = _IN_K.sub("", claimed)
    return counted_in_k if counted_in_k in known or not known else None


def change_lines(each: ExperimentResults, *, verbosity: int) -> Iterator[str]:
    """Yield how many cases got worse and better; with -v the worst of them, with what was noted."""
    for found in changes(each):
        yield str(found)
        for unit in found.worse[:_WORST_SHOWN] if verbosity > 0 else ():
            yield f"  {unit.id!r}: {found.values(unit)}{found.notes(unit)}"
        for unit in found.lacking[:_WORST_SHOWN] if verbosity > 0 else ():
            yield f"  {unit.id!r}: {found.why_lacking(unit)}"


def slice_lines(each: ExperimentResults) -> Iterator[str]:
    """Yield what each verdict is in each slice of the cases."""
    for test in each.tests:
        for name, part in ({} if test.verdict is None else test.verdict.slices).items():
            shown = part["reason"]
            if part["difference"] is not None:
                row = {**test.verdict.to_dict(), **part} if test.verdict is not None else {}
                shown = f"{effect_of(row)} {'' if part['interval'] is None else interval_of(row)}".rstrip()
            yield f"{test.hypothesis} [{test.treatment}] in {name}: {shown}, n = {part['n']}"
