"""The side of another commit in the comparisons of one experiment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from crystallize import ConditionRuns, RunRecord
from crystallize.seam import Origin, Recording, RevisionRuns, Unit, blocks_of, machine
from pytest_crystallize.against.commit_runs import CommitRuns, Made
from pytest_crystallize.records.exchange import Exchange, unlike
from pytest_crystallize.records.logs import Key

_BESIDE, _BY_BLOCKS = "beside", "by blocks"


class OtherSide:
    """Runs of one experiment at another commit, as far as the processes of this session have made them.

    Parameters
    ----------
    commit : CommitRuns
        What makes them.
    exchange : Exchange
        Where they are made known.
    experiment : str
        Id of the experiment.
    replicates : int
        How many of each condition there are to be.
    cases : sequence of str
        The case of each, if they are of cases.
    claimed : collection of str or None
        Metrics that are compared; None for all.
    repeatable : bool
        Whether runs here give the same when they are made again, as far as that is declared.

    Attributes
    ----------
    id : str
        What the processes of the session call the experiment there.
    each : float or None
        Seconds that a unit took the last time, on both sides; None if none was run.
    """

    def __init__(
        self,
        commit: CommitRuns,
        exchange: Exchange,
        experiment: str,
        *,
        replicates: int,
        cases: Sequence[str],
        claimed: Collection[str] | None,
        repeatable: bool,
    ) -> None:
        self._commit = commit
        self._exchange = exchange
        self._experiment = experiment
        self._replicates = replicates
        self._cases = list(cases)
        self._claimed = claimed
        self._repeatable = repeatable
        self._built: dict[int, Recording] = {}
        self._way: str | None = None
        self._came_first = False
        self.each: float | None = None
        self.id = commit.id_of(experiment)

    @cached_property
    def fault(self) -> str | None:
        """Reason why nothing can be compared."""
        known = self._commit.described(self._experiment)
        if isinstance(known, str):
            return known
        there = [name for name, _ in known["cases"]]
        if there == self._cases:
            return None
        other = next(
            (n for n in [*self._cases, *there] if (n in there) != (n in self._cases)), "their number"
        )
        return f"cases are others at {self._commit.name} ({other}): both commits have to run the same ones"

    @cached_property
    def conditions(self) -> Sequence[str]:
        """Conditions of the experiment there."""
        known = self._commit.described(self._experiment)
        return () if isinstance(known, str) else known["conditions"]

    @cached_property
    def references(self) -> RevisionRuns:
        """Runs that claims are against."""
        return RevisionRuns(self._recording, repeats=lambda: self._repeatable and not self._is_unlike())

    def _is_unlike(self) -> bool:
        known = (unlike(self._exchange, each) for each in (self._experiment, self.id))
        return any(found is not None for found in known)

    def _recording(self) -> Recording | str:
        """Return what there is so far, the same for as long as there is no more, or why there is nothing."""
        if self.fault is not None:
            return self.fault
        count = self._exchange.counts().get(self.id, 0)
        if count not in self._built:
            self._built[count] = self._build()
        return self._built[count]

    def _build(self) -> Recording:
        known = self._commit.described(self._experiment)
        assert not isinstance(known, str)
        runs = self._exchange.runs(self.id, self._replicates, self.conditions)
        labelled = {n: ConditionRuns(f"{n} in {self._commit.name}", each.records) for n, each in runs.items()}
        first = next(iter(labelled.values()))
        return Recording(
            self._origin,
            known["root_seed"],
            [0 if seed is None else seed for seed in first.seeds],
            labelled,
            [(name, digest) for name, digest in known["cases"]],
            blocks_of(self._replicates) if self.by_blocks else (),
        )

    @cached_property
    def _origin(self) -> Origin:
        return Origin.now(commit=self._commit.checkout.commit, dirty=False, machine=machine())

    # Who runs what.

    def is_needed(self, unit: Unit) -> bool:
        """Return whether a unit has to be run there, and was not yet."""
        if self.fault is not None or unit.condition not in self.conditions:
            return False
        return not self._exchange.has(self.key(unit))

    def key(self, unit: Unit) -> Key:
        """Return the key of a unit there."""
        return Key(self.id, *unit)

    def comes_first(self, units: Sequence[Unit]) -> bool:
        """Return whether the other commit runs units first: each does as often."""
        if len(units) > 1:
            self._came_first = not self._came_first
            return self._came_first
        (unit,) = units
        place = self.conditions.index(unit.condition) if unit.condition in self.conditions else 0
        return (unit.replicate + place) % 2 == 1

    def run(self, units: Sequence[Unit], take: Callable[[Unit, Made], object]) -> None:
        """Have units run there, and say of each at once what it gave."""
        self._commit.run(self._experiment, units, take)

    def run_apart(self, unit: Unit, *, there: bool) -> Made:
        """Have a unit run by the pair of processes of its block, on one of both sides."""
        block = blocks_of(self._replicates)[unit.replicate]
        return self._commit.run_apart(self._experiment, unit, block, there=there)

    # Measured metrics.

    @property
    def is_open(self) -> bool:
        """Whether nobody knows yet if something that is claimed is measured."""
        return self._known_way() is None

    @property
    def by_blocks(self) -> bool:
        """Whether both sides are run in pairs of processes, since what is compared was measured."""
        return self._known_way() == _BY_BLOCKS

    def _known_way(self) -> str | None:
        if self._way is None:
            self._way = self._exchange.agreed(f"way of {self.id}")
        return self._way

    def settle(self, record: RunRecord) -> None:
        """Have the first run that any process has made say whether what is claimed is measured."""
        measured = {entry.name for entry in record.metrics if entry.measured}
        compared = measured if self._claimed is None else measured.intersection(self._claimed)
        way = _BY_BLOCKS if compared else _BESIDE
        self._way = self._exchange.agree(f"way of {self.id}", lambda: way)
