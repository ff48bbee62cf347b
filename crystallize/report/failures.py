"""Condition runs that failed, by kind: what is told once for all that failed in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.context.record import NOT_BEGUN, RunRecord
from crystallize.report.case_names import CaseNames
from crystallize.report.wording import counted_list
from crystallize.text.formatting import first_of

_CASES_SHOWN: Final = 5
PROPERTY: Final = "property "
"""What the heading of a section begins with that holds a property recorded by `record_property`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Condition runs that failed in the same way.

    Attributes
    ----------
    condition : str
        Name of the condition.
    replicates : tuple of int
        Which ones.
    seed : int
        Of the first.
    step : str
        Data source, treatment, step or hook that raised.
    error : str
        Type and text of the exception.
    traceback : str
        The user's part of the traceback, of the first.
    command : str
        What repeats the first, in the directory in which pytest was started.
    sections : tuple of (str, str)
        What the first printed and logged, by heading.
    cases : tuple of str
        Of which samples of which cases the replicates are, in words; empty where there are none.
    """

    condition: str
    replicates: tuple[int, ...]
    seed: int
    step: str
    error: str
    traceback: str
    command: str
    sections: tuple[tuple[str, str], ...] = ()
    cases: tuple[str, ...] = ()

    @property
    def which(self) -> str:
        """Runs that they are, in words: replicates, or samples of cases."""
        return self.called(self.replicates, self.cases)

    @property
    def others(self) -> str:
        """Runs that they are but for the first."""
        return self.called(self.replicates[1:], self.cases[1:])

    @staticmethod
    def called(replicates: Sequence[int], cases: Sequence[str]) -> str:
        """Return replicates as text, or the cases that they are of."""
        if not cases:
            return counted_list(replicates)
        return first_of(cases, _CASES_SHOWN, between="; ")

    @property
    def cause(self) -> tuple[str, ...]:
        """Cause that failures which a session shows once have in common.

        Where no line of the user's raised, what was declared is wrong in every condition, whatever the
        numbers.
        """
        if self.traceback == self.error:
            return self.step, _numberless(self.error)
        return self.condition, self.step, self.error


def failures_of(
    arms: Iterable[ConditionRuns], command: Callable[[str, int], str], cases: CaseNames | None = None
) -> Iterator[Failure]:
    """Yield the failures among runs, one for each kind, in the order in which they come.

    Parameters
    ----------
    arms : iterable of ConditionRuns
        Failed or not.
    command : callable
        Takes the condition and the replicate of a run; returns what repeats it.
    cases : CaseNames, optional
        The cases that the runs are of, if they are of any.
    """
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in (record for arm in arms for record in arm.records.whole().values()):
        if record.error is not None and record.error.type != NOT_BEGUN:
            groups.setdefault(_kind(record), []).append(record)
    for group in groups.values():
        first = group[0]
        assert first.error is not None
        yield Failure(
            first.condition,
            tuple(record.replicate for record in group),
            first.seed,
            first.error.step,
            str(first.error),
            first.error.traceback,
            command(first.condition, first.replicate),
            tuple((title, text) for title, text in first.sections if not title.startswith(PROPERTY)),
            () if cases is None else tuple(cases.label(record.replicate) for record in group),
        )


def _kind(record: RunRecord) -> tuple[str, ...]:
    """Return what failures of one kind have in common; numbers in their messages may differ."""
    error = record.error
    assert error is not None
    places = re.findall(r"^\S.*:\d+(?=: |$)", error.traceback, re.MULTILINE)
    message = _numberless(error.message.partition("\n")[0])
    return (record.condition, error.type, error.step, message, *places[-1:])


def _numberless(message: str) -> str:
    """Return a message without its numbers."""
    return re.sub(r"-?\d[\d.]*(e[-+]?\d+)?", "#", message)
