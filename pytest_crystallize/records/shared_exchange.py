"""Claims and records that the processes of a session share.

Each of them appends to a log of its own in a directory they share, and reads the logs of the others. A claim
is a lock on bytes of a lock file; the system releases it when its holder dies.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crystallize.seam import Locks
from pytest_crystallize.records.agreements import Agreements
from pytest_crystallize.records.exchange import LOST, Exchange
from pytest_crystallize.records.lock_bytes import ALIVE, CLAIMS, name_byte, next_byte, replicate_byte
from pytest_crystallize.records.logs import Block, Key, Log, LogReaders

if TYPE_CHECKING:
    from crystallize import RunRecord
    from crystallize.seam import RecordTable

_CLAIMED: Final = "claimed"
"""Under which name, with the id of an experiment behind it, up to which replicate all are claimed."""
_MOST_NAMED: Final = 200


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
        tables = {condition: self.table(experiment, condition) for condition in block.replicates}
        unread = _Unread(block.read, tables)
        for condition, replicates in block.replicates.items():
            new = tables[condition].expect(replicates, unread.load)
            self.became_known(experiment, condition, new)
            self._of_others[experiment] = self._of_others.get(experiment, 0) + len(new)
            first = self._first_of_others.setdefault(experiment, [])
            if len(first) < _MOST_NAMED:
                first.append((condition, new[:_MOST_NAMED]))

    def claim(self, experiment: str, start: int, size: int, most: int) -> range:
        """Claim a block of replicates, and learn what was published until then."""
        if self.is_claimed(experiment, size):
            return range(size, size)
        place = next_byte(experiment)
        self._locks.acquire(place, wait=True)
        try:
            before = self.next_unclaimed[experiment] = self._claimed(experiment)
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
        if not self._locks.acquire(replicate_byte(experiment, block.start), len(block), wait=wait):
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
            self._locks.release(replicate_byte(experiment, replicates.start), len(replicates))

    def agree(self, name: str, make: Callable[[], str]) -> str:
        """Return what the first process of the session that asked for `name` made."""
        if (known := self.agreed(name)) is not None:
            return known
        place = name_byte(name)
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
