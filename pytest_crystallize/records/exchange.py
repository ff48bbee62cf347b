"""Claims and records of a session: who runs which replicate, and what it gave."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_crystallize.records.logs import Key

if TYPE_CHECKING:
    from crystallize import ConditionRuns, RunRecord
    from crystallize.seam import RecordTable

LOST = "ProcessDied"
"""Error type of a record that stands for a unit which ended its process."""
UNLIKE: Final = "unlike"
STATE: Final = "state"
ALTERED: Final = "altered"
"""Under which names, with the id of an experiment behind them, it is told that its runs do not repeat, that
they change what later ones use, or that values of fixtures are not what they were."""
STOPPED: Final = "stopped"
"""Under which name workers are told that the session is being stopped."""


class Exchange:
    """Records of one process; the base of what several processes share.

    Attributes
    ----------
    worker : str
        Name of this process.
    workers : int
        How many processes run units.
    directory : Path or None
        What the processes share; None where there is one.
    next_unclaimed : dict of str to int
        The first replicate of each experiment that nobody has claimed, as far as this process knows.
    """

    worker = "main"
    workers = 1
    directory: Path | None = None

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], RecordTable] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._order = array("I"), array("I")  # places of experiments with conditions; replicates
        self._counts: dict[str, int] = {}
        self.next_unclaimed: dict[str, int] = {}
        self._agreed: dict[str, str] = {}

    def has(self, key: Key) -> bool:
        """Return whether the record is there."""
        experiment, replicate, condition = key
        table = self._tables.get((experiment, condition))
        return table is not None and replicate in table

    def record(self, key: Key) -> RunRecord | None:
        """Return a record, or None if it is not there."""
        table = self._tables.get((key.experiment, key.condition))
        return None if table is None else table.get(key.replicate)

    def known(self, start: int = 0) -> Iterator[Key]:
        """Yield what there are records of, in the order in which they became known, from one on."""
        names = list(self._places)
        for place, replicate in zip(*(column[start:] for column in self._order), strict=True):
            experiment, condition = names[place]
            yield Key(experiment, replicate, condition)

    def runs(self, experiment: str, size: int, conditions: Iterable[str]) -> dict[str, ConditionRuns]:
        """Return what there is of the first replicates under some conditions."""
        from crystallize import ConditionRuns  # heavy: whoever judges has loaded it
        from crystallize.seam import Records

        return {name: ConditionRuns(name, Records(self.table(experiment, name), size)) for name in conditions}

    def table(self, experiment: str, condition: str) -> RecordTable:
        """Return the table of the records of an experiment under a condition."""
        table = self._tables.get((experiment, condition))
        if table is None:
            from crystallize.seam import RecordTable  # heavy: the first record needs it

            table = self._tables[experiment, condition] = RecordTable()
            self._places[experiment, condition] = len(self._places)
        return table

    def became_known(self, experiment: str, condition: str, replicates: Sequence[int]) -> None:
        """Take in that records have become known."""
        place = self._places[experiment, condition]
        self._order[0].extend([place] * len(replicates))
        self._order[1].extend(replicates)
        self._counts[experiment] = self._counts.get(experiment, 0) + len(replicates)

    def counts(self) -> dict[str, int]:
        """Return how many records there are, by experiment."""
        return dict(self._counts)

    def begun_by(self, key: Key) -> str | None:
        """Return which process has begun a unit and not ended it, if one has."""
        return None

    def publish(self, key: Key, record: RunRecord) -> None:
        """Make a record known, to others before long."""
        experiment, replicate, condition = key
        table = self.table(experiment, condition)
        if replicate not in table:
            self.became_known(experiment, condition, (replicate,))
        table.put(record)

    def flush(self) -> None:
        """Make known at once what others do not know yet."""

    def begin(self, key: Key) -> None:
        """Note that a unit is about to be run, in case it ends this process."""

    def end(self, key: Key) -> None:
        """Note that a unit has been run, if it was begun here."""

    def beside(self, is_so: bool) -> None:
        """Note whether what is under way here is no test's, which would be told if this process dies."""

    def of_others(self, experiment: str) -> int:
        """Return how many units of an experiment other processes have run."""
        return 0

    def some_of_others(self, experiment: str) -> Sequence[Key]:
        """Return the first of these units."""
        return ()

    def claim(self, experiment: str, start: int, size: int, most: int) -> range:
        """Claim a block of the first replicates that nobody has claimed so far; none if all are claimed.

        Parameters
        ----------
        experiment : str
            Id of the experiment.
        start, size : int
            Between which replicates.
        most : int
            How many at most.
        """
        first = max(start, self.next_unclaimed.get(experiment, 0))
        self.next_unclaimed[experiment] = last = max(first, min(first + most, size))
        return range(first, last)

    def is_claimed(self, experiment: str, size: int) -> bool:
        """Return whether it is known here that somebody has claimed each of the first replicates."""
        return self.next_unclaimed.get(experiment, 0) >= size

    def acquire(self, experiment: str, replicate: int, *, wait: bool) -> bool:
        """Claim a replicate; without `wait`, return False if another process holds it."""
        return True

    def release(self, experiment: str, replicates: range) -> None:
        """Give back what was claimed at once, all of it known to others."""

    def refresh(self) -> None:
        """Learn what other processes have published."""

    def catch_up(self) -> None:
        """Learn of it what can be read: what is shown, or written at the end, does without the rest."""
        with suppress(OSError):
            self.refresh()

    def agree(self, name: str, make: Callable[[], str]) -> str:
        """Return what the first process of the session that asked for `name` made."""
        if name not in self._agreed:
            self._agreed[name] = make()
        return self._agreed[name]

    def agreed(self, name: str) -> str | None:
        """Return what was made for `name`, if anything was."""
        return self._agreed.get(name)

    def said_first(self, name: str, text: str) -> str:
        """Return what the first process said under a name; the text, where that can't be told."""
        try:
            return self.agree(name, lambda: text)
        except OSError:  # a full disk
            return text

    def close(self) -> None:
        """Close the files, and let go of the records."""
        self._tables = {}


def unlike(exchange: Exchange, experiment: str) -> str | None:
    """Return what was found of an experiment whose runs do not repeat."""
    return exchange.agreed(f"{UNLIKE} {experiment}")


def is_told(exchange: Exchange, experiment: str) -> bool:
    """Return whether it was said already why runs of an experiment are not stored."""
    return any(exchange.agreed(f"{what} {experiment}") is not None for what in (UNLIKE, STATE, ALTERED))
