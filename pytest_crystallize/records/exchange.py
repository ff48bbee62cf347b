"""Claims and records of a session: who runs which replicate, and what it gave.

Every process of a session appends to a log of its own in a directory they share, and reads the logs of the
others. A claim is a lock on bytes of a lock file; the system releases it when its holder dies.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crystallize.seam import Locks
from pytest_crystallize.records.agreements import Agreements
from pytest_crystallize.records.directories import ALIVE, CLAIMS
from pytest_crystallize.records.logs import Block, Key, Log, LogReaders

if TYPE_CHECKING:
    from crystallize import ConditionRuns, RunRecord
    from crystallize.seam import RecordTable

LOST = "ProcessDied"
"""Error type of a record that stands for a unit which ended its process."""
UNLIKE: Final = "unlike"
STATE: Final = "state"
"""Under which names, with the id of an experiment behind them, it is told that its runs do not repeat, or
that they change what later ones use."""
STOPPED: Final = "stopped"
"""Under which name workers are told that the session is being stopped."""
_CLAIMED: Final = "claimed"
"""Under which name, with the id of an experiment behind it, up to which replicate all are claimed."""


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
    """

    worker = "main"
    workers = 1
    directory: Path | None = None

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], RecordTable] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._order = array("I"), array("I")  # places of experiments with conditions; replicates
        self._counts: dict[str, int] = {}
        self._next: dict[str, int] = {}
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

        return {
            name: ConditionRuns(name, Records(self._table(experiment, name), size)) for name in conditions
        }

    def _table(self, experiment: str, condition: str) -> RecordTable:
        table = self._tables.get((experiment, condition))
        if table is None:
            from crystallize.seam import RecordTable  # heavy: the first record needs it

            table = self._tables[experiment, condition] = RecordTable()
            self._places[experiment, condition] = len(self._places)
        return table

    def _note(self, experiment: str, condition: str, replicates: Sequence[int]) -> None:
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
        table = self._table(experiment, condition)
        if replicate not in table:
            self._note(experiment, condition, (replicate,))
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
        first = max(start, self._next.get(experiment, 0))
        self._next[experiment] = last = max(first, min(first + most, size))
        return range(first, last)

    def is_claimed(self, experiment: str, size: int) -> bool:
        """Return whether it is known here that somebody has claimed each of the first replicates."""
        return self._next.get(experiment, 0) >= size

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


class SharedExchange(Exchange):
    """Records that the processes of a session share through a directory.

    Parameters
    ----------
    directory : Path
        Made by the controlling process.
    worker : str or None
        Name of this process; None if it only reads.
    workers : int
        How many processes run units.
    """

    def __init__(self, directory: Path, worker: str | None, workers: int = 1) -> None:
        super().__init__()
        self.directory: Path = directory
        self.workers = workers
        self.worker = worker or "controller"
        self._readers = LogReaders(directory, but=self.worker)
        self._reading = threading.Lock()  # a thread that shows progress reads too
        self._of_others: dict[str, int] = {}
        self._first_of_others: dict[str, list[tuple[str, list[int]]]] = {}
        self._begun: set[Key] = set()
        self._attempts: dict[Key, str] = {}
        self._under_way: dict[Key, str] = {}
        self._log = None if worker is None else Log(directory / f"{worker}.log")
        self._locks = Locks(directory / CLAIMS)
        self._agreements = Agreements(directory, self._locks)
        if worker is None:
            self._locks.acquire(ALIVE, wait=False)

    def begin(self, key: Key) -> None:
        """Note that a unit is about to be run; one that ends its process is not run again."""
        assert self._log is not None
        self._begun.add(key)
        self._log.begin(key)

    def end(self, key: Key) -> None:
        """Note that a unit has been run, if it was begun here."""
        if key in self._begun:
            assert self._log is not None
            self._log.end(key)
            self._begun.discard(key)

    def beside(self, is_so: bool) -> None:
        """Note whether what is under way here is no test's, which would be told if this process dies."""
        assert self._log is not None
        self._log.beside(is_so)

    def publish(self, key: Key, record: RunRecord) -> None:
        """Keep a record, and have it appended to this process's log before long."""
        super().publish(key, record)
        assert self._log is not None
        self._log.add(key, record)

    def flush(self) -> None:
        """Append what was published to this process's log."""
        if self._log is not None:
            self._log.flush()

    def begun_by(self, key: Key) -> str | None:
        """Return which process has begun a unit and not ended it, if one has."""
        if key in self._begun:
            return self.worker
        return self._attempts.get(key) or self._under_way.get(key)

    def died(self, worker: str) -> list[Key]:
        """Return the units that a process began and did not end."""
        begun = [key for key, by in (self._attempts | self._under_way).items() if by == worker]
        return [key for key in begun if not self.has(key) or self._is_lost(key)]

    def died_beside(self, worker: str) -> bool:
        """Return whether what a process was running when it died was no test's."""
        with self._reading:
            return any(reader.is_beside() for reader in self._readers.current() if reader.worker == worker)

    def _is_lost(self, key: Key) -> bool:
        record = self.record(key)
        return record is not None and record.error is not None and record.error.type == LOST

    def of_others(self, experiment: str) -> int:
        """Return how many units of an experiment other processes have run."""
        return self._of_others.get(experiment, 0)

    def some_of_others(self, experiment: str) -> Sequence[Key]:
        """Return the first of these units."""
        first = self._first_of_others.get(experiment, ())
        keys = (Key(experiment, i, condition) for condition, replicates in first for i in replicates)
        return list(itertools.islice(keys, _MOST_NAMED))

    def refresh(self) -> None:
        """Read what has been appended to the logs since the last time."""
        with self._reading:
            under_way = {}
            for reader in self._readers.current():
                if (begun := reader.under_way()) is not None:  # read before the records, which may end it
                    under_way[begun] = reader.worker
                for entry in reader.entries():
                    if isinstance(entry, Key):
                        self._attempts[entry] = reader.worker
                    else:
                        self._expect(entry)
            self._under_way = under_way

    def _expect(self, block: Block) -> None:
        """Know of records of another process, which are read when one of them is looked at."""
        experiment = block.experiment
        tables = {condition: self._table(experiment, condition) for condition in block.replicates}
        unread = _Unread(block.read, tables)
        for condition, replicates in block.replicates.items():
            new = tables[condition].expect(replicates, unread.load)
            self._note(experiment, condition, new)
            self._of_others[experiment] = self._of_others.get(experiment, 0) + len(new)
            first = self._first_of_others.setdefault(experiment, [])
            if len(first) < _MOST_NAMED:
                first.append((condition, new[:_MOST_NAMED]))

    def claim(self, experiment: str, start: int, size: int, most: int) -> range:
        """Claim a block of replicates, and learn what was published until then."""
        if self.is_claimed(experiment, size):
            return range(size, size)
        place = _NEXT + _offset(experiment, 0)
        self._locks.acquire(place, wait=True)
        try:
            before = self._next[experiment] = self._claimed(experiment)
            block = super().claim(experiment, start, size, most)
            if block.stop > before:
                with suppress(OSError):  # who claims them, too, waits for them, and finds nothing to run
                    self._agreements.put(f"{_CLAIMED} {experiment}", block.stop)
            if not block:
                return block
        finally:
            self._locks.release(place)
        self._lock(experiment, block, wait=True)
        return block

    def is_claimed(self, experiment: str, size: int) -> bool:
        """Return whether somebody has claimed each of the first replicates."""
        return super().is_claimed(experiment, size) or self._claimed(experiment) >= size

    def _claimed(self, experiment: str) -> int:
        claimed: int | None = self._agreements.get(f"{_CLAIMED} {experiment}")
        return claimed or 0

    def acquire(self, experiment: str, replicate: int, *, wait: bool) -> bool:
        """Claim a replicate, and learn what was published until then."""
        return self._lock(experiment, range(replicate, replicate + 1), wait=wait)

    def _lock(self, experiment: str, block: range, *, wait: bool) -> bool:
        if not self._locks.acquire(_offset(experiment, block.start), len(block), wait=wait):
            return False
        try:
            self.refresh()
        except BaseException:
            self.release(experiment, block)
            raise
        return True

    def release(self, experiment: str, replicates: range) -> None:
        """Give back what was claimed at once, all of it known to others."""
        try:
            self.flush()
        finally:
            self._locks.release(_offset(experiment, replicates.start), len(replicates))

    def agree(self, name: str, make: Callable[[], str]) -> str:
        """Return what the first process of the session that asked for `name` made."""
        if (known := self.agreed(name)) is not None:
            return known
        place = _NAMES + _offset(name, 0)
        self._locks.acquire(place, wait=True)
        try:
            made = self.agreed(name)
            if made is None:
                made = make()
                with suppress(OSError):  # others run then what this one has found stored
                    self.flush()
                self._agreements.put(name, made)
        finally:
            self._locks.release(place)
        return made

    def agreed(self, name: str) -> str | None:
        """Return what was made for `name`, if anything was."""
        found: str | None = self._agreements.get(name)
        return found

    def close(self) -> None:
        """Close the files; this gives back every claim."""
        super().close()
        self._locks.close()
        self._readers.close()
        self._agreements.close()
        if self._log is not None:
            self._log.close()
            self._log = None


class _Unread:
    """Records of another process that are in its log alone until one of them is looked at.

    Parameters
    ----------
    read : callable
        Returns them as text.
    tables : dict of str to RecordTable
        Those of their conditions.
    """

    __slots__ = ("_is_read", "_read", "_tables")

    def __init__(self, read: Callable[[], bytes], tables: Mapping[str, RecordTable]) -> None:
        self._read = read
        self._tables = tables
        self._is_read = False

    def load(self) -> None:
        """Read them into their tables, each of which asks for that."""
        from crystallize.seam import records_from_json  # heavy, as records are

        if self._is_read:
            return
        alike, others = records_from_json(self._read())
        self._is_read = True
        for rows in alike:
            self._tables[rows.kind.condition].add(rows)
        for record in others:
            self._tables[record.condition].take(record)


def unlike(exchange: Exchange, experiment: str) -> str | None:
    """Return what was found of an experiment whose runs do not repeat."""
    return exchange.agreed(f"{UNLIKE} {experiment}")


def is_told(exchange: Exchange, experiment: str) -> bool:
    """Return whether it was said already why runs of an experiment are not stored."""
    return any(exchange.agreed(f"{what} {experiment}") is not None for what in (UNLIKE, STATE))


_MOST_NAMED = 200
_NEXT = 1 << 59  # claims of replicates lie below
_NAMES = 1 << 60


def _offset(experiment: str, replicate: int) -> int:
    """Return the byte that stands for a replicate: distinct within an experiment, hardly ever shared."""
    digest = hashlib.blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return (int.from_bytes(digest, "big") >> 1 << 24) + replicate
