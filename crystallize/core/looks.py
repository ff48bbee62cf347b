"""Which units an experiment has to run: all of them, or as many as it takes to decide every claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from crystallize.core.analysis import Analysis, AnalysisPlan
from crystallize.core.evaluation import runs_by_condition
from crystallize.core.record import RunRecord
from crystallize.core.run import RunPlan, Unit, units
from crystallize.core.stored_reference import resolved

if TYPE_CHECKING:
    from crystallize.core.experiment import Experiment


class Looks:
    """Takes in the records of a run, and says at each look whether more are needed.

    What a look decides depends on the replicates before it alone, not on the order in which records come, nor
    on what was run beyond it.

    Parameters
    ----------
    experiment : Experiment
        What is run.
    plan : RunPlan
        How.
    conditions : sequence of str
        Which conditions are run.
    to_the_end : bool
        Never stop early.
    """

    def __init__(
        self, experiment: Experiment, plan: RunPlan, conditions: Sequence[str], *, to_the_end: bool
    ) -> None:
        self._experiment = experiment
        self._plan = plan
        self._conditions = conditions
        self._stops = experiment.judging.stopping is not None and experiment.hypotheses and not to_the_end
        self._records: list[RunRecord] = []
        self._counts = [0] * experiment.replicates
        self._asked = 0
        self._complete = 0
        self._needed = self._replicates_needed()

    def units_to_come(self, *, ahead: bool = False) -> list[Unit]:
        """Return the units up to the next look, or all that are left; none if nothing is left to find out."""
        if self._complete >= self._needed:
            return []
        first, self._asked = self._asked, self._experiment.replicates if ahead else self._needed
        return list(units(self._conditions, range(first, self._asked)))

    def take_in(self, records: Iterable[RunRecord]) -> None:
        """Take in records until the last one, or until no more are needed."""
        for record in records:
            self._records.append(record)
            self._counts[record.replicate] += 1
            while self._complete < len(self._counts) and self._counts[self._complete] == len(
                self._conditions
            ):
                self._complete += 1
            if self._complete >= self._needed:
                before, self._needed = self._needed, self._replicates_needed()
                if self._needed == before < self._asked:  # what is still to come was run ahead
                    return

    def records(self) -> list[RunRecord]:
        """Return the records that count: none beyond the look that decided."""
        return [record for record in self._records if record.replicate < self._needed]

    def _replicates_needed(self) -> int:
        experiment = self._experiment
        if not self._stops:
            return experiment.replicates
        hypotheses, conditions = experiment.hypotheses, self._plan.conditions
        analysis = Analysis(
            AnalysisPlan(hypotheses, conditions[1:], experiment.replicates, experiment.judging),
            runs_by_condition(self._records, conditions, experiment.replicates),
            resolved(hypotheses, lambda reference: reference.file),
        )
        claims = [(h, subject) for h in hypotheses for subject in analysis.plan.subjects(h)]
        return analysis.replicates_needed(claims, conditions)
