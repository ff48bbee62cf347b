"""Claims and records of a session: who runs which replicate, and what it gave.

Every process of a session appends to a log of its own in a directory they share, and reads the logs of the
others. A claim is a lock on one byte of a lock file; the system releases it when its holder dies.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crystallize.seam import write_whole

if TYPE_CHECKING:
    from crystallize import RunRecord

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


LOST = "ProcessDied"
"""Error type of a record that stands for a unit which ended its process."""


class Key(NamedTuple):
    """Which unit of work: experiment id, replicate, condition."""

    experiment: str
    replicate: int
    condition: str


class Exchange:
    """Records of one process; the base of what several processes share."""

    worker = "main"

    def __init__(self) -> None:
        self._records: dict[Key, RunRecord | str] = {}
        self.attempts: dict[Key, str] = {}
        self._agreed: dict[str, str] = {}

    def has(self, key: Key) -> bool:
        """Tell whether the record is there."""
        return key in self._records

    def record(self, key: Key) -> RunRecord | None:
        """Return a record, or None if it is not there."""
        found = self._records.get(key)
        if isinstance(found, str):
            from crystallize import RunRecord  # not at import time: the controller may never need it

            found = self._records[key] = RunRecord.from_json(found)
        return found

    def known(self, start: int = 0) -> list[Key]:
        """Return what there are records of, in the order in which they became known, from one on."""
        return list(self._records)[start:]

    def records(self, experiment: str) -> Iterator[RunRecord]:
        """Yield the records of an experiment that are there."""
        for key in list(self._records):
            if key.experiment == experiment:
                record = self.record(key)
                assert record is not None
                yield record

    def runs(self, experiment: str, conditions: Iterable[str], size: int) -> Iterator[RunRecord]:
        """Yield the records that are there of the first replicates under some conditions, in order."""
        for condition in conditions:
            for replicate in range(size):
                record = self.record(Key(experiment, replicate, condition))
                if record is not None:
                    yield record

    def counts(self) -> dict[str, int]:
        """Return how many records there are, by experiment."""
        counts: dict[str, int] = {}
        for key in list(self._records):
            counts[key.experiment] = counts.get(key.experiment, 0) + 1
        return counts

    def died(self, worker: str) -> list[Key]:
        """Return the units that a process began and did not end."""
        begun = [key for key, by in list(self.attempts.items()) if by == worker]
        return [key for key in begun if not self.has(key) or self._is_lost(key)]

    def _is_lost(self, key: Key) -> bool:
        record = self.record(key)
        return record is not None and record.error is not None and record.error.type == LOST

    def publish(self, key: Key, record: RunRecord) -> None:
        """Make a record known."""
        self._records[key] = record

    def attempt(self, key: Key) -> None:
        """Note that a unit is about to be run, in case it ends this process."""

    def acquire(self, experiment: str, replicate: int, *, wait: bool) -> bool:
        """Claim a replicate; without `wait`, return False if another process holds it."""
        return True

    def release(self, experiment: str, replicate: int) -> None:
        """Give a claim back."""

    def refresh(self) -> None:
        """Learn what other processes have published."""

    def agree(self, name: str, make: Callable[[], str]) -> str:
        """Return what the first process of the session that asked for `name` made."""
        if name not in self._agreed:
            self._agreed[name] = make()
        return self._agreed[name]

    def agreed(self, name: str) -> str | None:
        """Return what was made for `name`, if anything was."""
        return self._agreed.get(name)

    def close(self) -> None:
        """Close the files."""


class SharedExchange(Exchange):
    """Records that the processes of a session share through a directory.

    Parameters
    ----------
    directory : Path
        Made by the controlling process.
    worker : str or None
        Name of this process; None if it only reads.
    """

    def __init__(self, directory: Path, worker: str | None) -> None:
        super().__init__()
        self.directory = directory
        self.worker = worker or "controller"
        self._readers: dict[str, _Tail] = {}
        self._reading = threading.Lock()  # a thread that shows progress reads too
        self._scanned = 0.0
        self._log = -1
        self._locks = _Locks(directory / "claims")
        if worker is None:
            self._locks.acquire(_ALIVE, wait=False)
        else:
            self._log = os.open(directory / f"{worker}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def attempt(self, key: Key) -> None:
        """Note that a unit is about to be run; a replicate that ends its process is not run again."""
        self.attempts[key] = self.worker
        self._append(["attempt", key])

    def publish(self, key: Key, record: RunRecord) -> None:
        """Append a record to this process's log, whole or not at all."""
        super().publish(key, record)
        self._append(["record", key, record.to_json()])

    def _append(self, entry: list[object]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        written = os.write(self._log, line)
        if written != len(line):  # a disk that ran full: what is torn is terminated, and ignored by readers
            os.write(self._log, b"\n")
            raise OSError(
                f"{self.directory}: only {written} of {len(line)} bytes of a record could be written"
            )

    def refresh(self) -> None:
        """Read what has been appended to the logs since the last time."""
        with self._reading:
            self._find_logs()
            for reader in self._readers.values():
                for kind, key, *record in reader.entries():
                    if kind == "attempt":
                        self.attempts[key] = reader.worker
                    else:
                        self._records.setdefault(key, record[0])

    def _find_logs(self) -> None:
        changed = self.directory.stat().st_mtime
        if changed == self._scanned:
            return
        for path in self.directory.glob("*.log"):
            if path.stem not in self._readers and path.stem != self.worker:
                self._readers[path.stem] = _Tail(path)
        # A log made within the clock's resolution of this scan would not change the time again.
        self._scanned = changed if time.time() - changed > 1 else 0.0

    def acquire(self, experiment: str, replicate: int, *, wait: bool) -> bool:
        """Claim a replicate, and learn what was published until then."""
        if not self._locks.acquire(_offset(experiment, replicate), wait=wait):
            return False
        try:
            self.refresh()
        except BaseException:
            self.release(experiment, replicate)
            raise
        return True

    def release(self, experiment: str, replicate: int) -> None:
        """Give a claim back."""
        self._locks.release(_offset(experiment, replicate))

    def agree(self, name: str, make: Callable[[], str]) -> str:
        """Return what the first process of the session that asked for `name` made."""
        if name not in self._agreed:
            place = _NAMES + _offset(name, 0)
            path = self._agreed_path(name)
            self._locks.acquire(place, wait=True)
            try:
                if not path.exists():
                    write_whole(path, make().encode())  # others look without the lock
                self._agreed[name] = path.read_text(encoding="utf-8")
            finally:
                self._locks.release(place)
        return self._agreed[name]

    def agreed(self, name: str) -> str | None:
        """Return what was made for `name`, if anything was."""
        path = self._agreed_path(name)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _agreed_path(self, name: str) -> Path:
        return self.directory / f"{_NAMES + _offset(name, 0):x}.agreed"

    def close(self) -> None:
        """Close the files; this gives back every claim."""
        self._locks.close()
        for reader in self._readers.values():
            reader.close()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1


UNLIKE: Final = "unlike"
STATE: Final = "state"


def unlike(exchange: Exchange, experiment: str) -> str | None:
    """Return what was found of an experiment whose runs do not repeat."""
    return exchange.agreed(f"{UNLIKE} {experiment}")


def is_told(exchange: Exchange, experiment: str) -> bool:
    """Tell whether it was said already why runs of an experiment are not stored."""
    return any(exchange.agreed(f"{what} {experiment}") is not None for what in (UNLIKE, STATE))


def is_abandoned(directory: Path) -> bool:
    """Tell whether the process that made a session's directory is gone."""
    try:
        locks = _Locks(directory / "claims")
    except OSError:
        return False
    try:
        return locks.acquire(_ALIVE, wait=False)
    finally:
        locks.close()


_NAMES = 1 << 60  # claims of replicates lie below
_ALIVE = 1 << 61


class _Tail:
    """Reads the whole lines that were appended to a log since the last time."""

    def __init__(self, path: Path) -> None:
        self.worker = path.stem
        self._file = path.open("rb", buffering=0)
        self._rest = b""

    def entries(self) -> Iterator[list[Any]]:
        new = self._file.read()
        if not new:
            return
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            try:
                kind, (experiment, replicate, condition), *record = json.loads(line)
                if (kind, len(record)) in (("attempt", 0), ("record", 1)):
                    yield [kind, Key(experiment, replicate, condition), *record]
            except (ValueError, TypeError):  # torn by a full disk or a killed process: no entry
                continue

    def close(self) -> None:
        self._file.close()


def _offset(experiment: str, replicate: int) -> int:
    """Return the byte that stands for a replicate: distinct within an experiment, hardly ever shared."""
    digest = hashlib.blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return (int.from_bytes(digest, "big") >> 1 << 24) + replicate


class _Locks:
    """Locks on single bytes of a file, owned by this process and gone with it.

    POSIX record locks, not `flock`: a forked child does not inherit them. The file is opened once, since
    closing any descriptor of it would give back every lock.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    if sys.platform == "win32":

        def acquire(self, offset: int, *, wait: bool) -> bool:
            while True:
                os.lseek(self._file, offset, os.SEEK_SET)
                try:
                    msvcrt.locking(self._file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                except OSError:
                    if not wait:
                        return False
                else:
                    return True

        def release(self, offset: int) -> None:
            os.lseek(self._file, offset, os.SEEK_SET)
            msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)

    else:

        def acquire(self, offset: int, *, wait: bool) -> bool:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, offset)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN) and not wait:
                    return False
                raise
            return True

        def release(self, offset: int) -> None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def close(self) -> None:
        os.close(self._file)
