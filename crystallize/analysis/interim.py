"""Looks before the end: what each decides, and how many replicates are to be run for the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from crystallize.analysis.analysis import Analysis
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.family import AnalysisPlan, Member
from crystallize.analysis.references import References
from crystallize.context.record import RunRecord
from crystallize.context.record_table import Records, RecordTable
from crystallize.run.units import Unit, Units


class Interim:
    """Number of replicates to run until the next look at an experiment.

    Parameters
    ----------
    plan : AnalysisPlan
        What is claimed, and when there are looks.
    references : References
        As in `Analysis`.
    to_the_end : bool
        Run all replicates, whatever they show.
    told : callable, optional
        Called behind each look but the last, with the analysis that looked and the replicates it looked at.

    Attributes
    ----------
    planned : int
        Replicates at the end: of cases, their samples.
    size : int
        Replicates that have to be run before the next look, or were enough.
    enough : dict of str to int
        Of conditions whose claims are all decided, how many replicates were.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        references: References,
        *,
        to_the_end: bool = False,
        told: Callable[[Analysis, int], None] | None = None,
    ) -> None:
        self._told = told
        self.plan = plan
        self._references = references
        self.enough: dict[str, int] = {}
        self.planned = plan.replicates * plan.samples
        self.size = self.planned if to_the_end else plan.sizes[0] * plan.samples

    @property
    def is_open(self) -> bool:
        """Whether a look is to come before the end, so that what is run beyond it may be in vain."""
        return self.size < self.planned

    def advance(self, runs: Mapping[str, ConditionRuns], claims: Sequence[Member]) -> bool:
        """Look at the replicates up to `size`, and go on to the next look; tell whether there is one.

        Parameters
        ----------
        runs : mapping of str to ConditionRuns
            All conditions that are run, complete up to `size`.
        claims : sequence of (Hypothesis, str)
            Those that have to be decided, with what they are about; without any, all replicates are run.
        """
        before, planned, samples = self.size, self.planned, self.plan.samples
        if self.is_open:
            here = {name: known.padded(planned) for name, known in runs.items()}
            look = Analysis(self.plan, here, self._references)
            needed = look.replicates_needed(claims, here) if claims else {}
            needed = {name: n * samples for name, n in needed.items()}  # looks take whole cases
            self.size = max(needed.values(), default=planned)
            self.enough = {name: n for name, n in needed.items() if n < self.size}
            if self._told is not None and claims:
                self._told(look, before)
        return self.size > before

    def is_wanted(self, condition: str, replicate: int) -> bool:
        """Return whether a replicate of a condition is to be run, now or after a look that is to come."""
        return replicate < self.enough.get(condition, self.planned)

    def wanted(self, condition: str) -> int:
        """Return how many replicates of a condition are to be run so far."""
        return self.enough.get(condition, self.size)


class Schedule:
    """The units of an experiment that are still to be run, look by look.

    What a look decides depends on the replicates before it alone, not on the order in which records come, nor
    on what was run beyond it.

    Parameters
    ----------
    interim : Interim
        When there are looks.
    claims : sequence of (Hypothesis, str)
        Those that have to be decided.
    conditions : sequence of str
        Which conditions are run.
    """

    def __init__(self, interim: Interim, claims: Sequence[Member], conditions: Sequence[str]) -> None:
        self._interim = interim
        self._claims = claims
        self._conditions = conditions
        self._tables = {name: RecordTable() for name in conditions}
        self._counts = [0] * interim.planned
        self._whole = [len(conditions)] * interim.planned
        self._asked = 0
        self._complete = 0

    def units_to_come(self, *, ahead: bool = False) -> Sequence[Unit]:
        """Return the units up to the next look, or all that are left; none if nothing is left to find out."""
        if self._complete >= self._interim.size:
            return ()
        first, self._asked = self._asked, len(self._counts) if ahead else self._interim.size
        on = [name for name in self._conditions if ahead or name not in self._interim.enough]
        self._whole[first : self._asked] = [len(on)] * (self._asked - first)
        return Units(on, range(first, self._asked))

    def take_in(self, record: RunRecord) -> bool:
        """Take in a record; tell whether no more are needed, so that what is still to come was run ahead."""
        counts, whole, complete = self._counts, self._whole, self._complete
        self._tables[record.condition].put_unless_failed(record)
        counts[record.replicate] += 1
        if complete < self._interim.size and counts[complete] < whole[complete]:
            return False
        while complete < len(counts) and counts[complete] == whole[complete]:
            complete += 1
        self._complete = complete
        if complete < self._interim.size or self._interim.advance(self._runs(), self._claims):
            return False
        return self._interim.size < self._asked

    def runs(self) -> dict[str, ConditionRuns]:
        """Return the runs that count: none beyond the look that decided all claims about a condition."""
        return {name: runs.first(self._interim.wanted(name)) for name, runs in self._runs().items()}

    def _runs(self) -> dict[str, ConditionRuns]:
        size = len(self._counts)
        return {name: ConditionRuns(name, Records(table, size)) for name, table in self._tables.items()}
