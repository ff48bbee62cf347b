"""What a process of a session writes for the others to read: a log of its records, and what it is running."""

from __future__ import annotations

import json
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from crystallize import RunRecord

APPENDED_EVERY: Final = 0.05
"""Seconds after which what was gathered is appended; so much work a process that is killed may lose."""


class Key(NamedTuple):
    """Key of a unit of work: experiment id, replicate, condition."""

    experiment: str
    replicate: int
    condition: str


class Block(NamedTuple):
    """Records that were appended at once; the log alone holds them until one is asked for.

    Attributes
    ----------
    experiment : str
        Id of their experiment.
    replicates : dict of str to list of int
        Those of each condition.
    size : int
        Length of their text.
    read : callable
        Returns the text.
    """

    experiment: str
    replicates: dict[str, list[int]]
    size: int
    read: Callable[[], bytes]


class Log:
    """Log of this process, which it appends to.

    Records are gathered and appended together, since each time costs as much as a short run; what is under
    way is known to others all the same, and each of them at once.

    Parameters
    ----------
    path : Path
        The log; another file beside it holds which unit is under way.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gathered: dict[str, list[RunRecord]] = {}
        self._since = 0.0
        self._slot = _Slot(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begin(self, key: Key) -> None:
        """Tell which unit is under way; of several at a time, the log keeps all but one."""
        if not self._slot.take(key):
            self._append(json.dumps(["attempt", key]).encode() + b"\n")

    def end(self, key: Key) -> None:
        """Tell that a unit is not under way any more; what the log holds of it, its record has to end."""
        if not self._slot.give_up(key):
            self.flush()

    def beside(self, is_so: bool) -> None:
        """Note for others whether what is under way is no test's."""
        self._slot.beside(is_so)

    def add(self, key: Key, record: RunRecord) -> None:
        """Gather a record, and append all if it is time."""
        now = time.perf_counter()
        if not self._gathered:
            self._since = now
        self._gathered.setdefault(key.experiment, []).append(record)
        if now - self._since > APPENDED_EVERY:
            self.flush()

    def flush(self) -> None:
        """Append what was gathered."""
        gathered, self._gathered = self._gathered, {}
        for experiment, records in gathered.items():
            self._append(_block(experiment, records))

    def _append(self, text: bytes) -> None:
        written = os.write(self._file, text)
        if written != len(text):  # a disk that ran full: what is torn is terminated, and ignored by readers
            os.write(self._file, b"\n")
            raise OSError(
                f"{self._path.parent}: only {written} of {len(text)} bytes of records could be written"
            )

    def close(self) -> None:
        """Close the files."""
        self._slot.close()
        os.close(self._file)


def append(path: Path, text: bytes) -> None:
    """Append to a file that others may append to, too, all of it at once."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, text)
    finally:
        os.close(file)


def _block(experiment: str, records: Sequence[RunRecord]) -> bytes:
    """Return two lines: which records these are with the length of the second, and that, the records."""
    from crystallize.seam import records_to_json  # the controller never needs it

    text = records_to_json(records).encode()
    replicates: dict[str, list[int]] = {}
    for record in records:
        replicates.setdefault(record.condition, []).append(record.replicate)
    return b"%s\n%s\n" % (json.dumps(["records", len(text), experiment, replicates]).encode(), text)


class LogReader:
    """Reader of another process's log, from where it was left the last time.

    Parameters
    ----------
    path : Path
        The log.
    """

    def __init__(self, path: Path) -> None:
        self.worker = path.stem
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._slot = _slot_of(path).open("rb", buffering=0)
        self._again: FileIO | None = None  # of what is read where it lies, maybe while another thread goes on
        self._place = 0
        self._rest = b""
        self._head: Block | None = None

    def under_way(self) -> Key | None:
        """Return the unit that its process is running, or was when it died."""
        self._slot.seek(0)
        return _key_in(self._slot.read())

    def is_beside(self) -> bool:
        """Return whether what its process is running is no test's, or may be none's; or was when it died."""
        self._slot.seek(0)
        slot = self._slot.read()
        return len(slot) < _SLOT or bool(slot[_BESIDE])

    def entries(self) -> Iterator[Block | Key]:
        """Yield what is new: records, and units that were begun."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            place, size = self._place, len(line)
            self._place += size + 1
            head, self._head = self._head, None
            if head is not None and size == head.size:
                yield head._replace(read=partial(self._read, place, size))
                continue
            found = _head(line)
            if isinstance(found, Block):
                self._head = found
            elif found is not None:
                yield found

    def _read(self, place: int, size: int) -> bytes:
        if self._again is None:
            self._again = self._path.open("rb", buffering=0)
        self._again.seek(place)
        return self._again.read(size)

    def close(self) -> None:
        """Close the files."""
        for file in (self._file, self._slot, self._again):
            if file is not None:
                file.close()


class LogReaders:
    """Readers of the logs in a session's directory, from where each was left the last time.

    Parameters
    ----------
    directory : Path
        Of the session.
    but : str
        Whose log not to read.
    """

    def __init__(self, directory: Path, *, but: str = "") -> None:
        self._directory = directory
        self._but = but
        self._readers: dict[str, LogReader] = {}
        self._scanned = 0.0

    def current(self) -> Iterable[LogReader]:
        """Return the readers of all logs that there are by now."""
        changed = self._directory.stat().st_mtime
        if changed != self._scanned:
            for path in self._directory.glob("*.log"):
                if path.stem not in self._readers and path.stem != self._but:
                    self._readers[path.stem] = LogReader(path)
            # A log made within the clock's resolution of this scan would not change the time again.
            self._scanned = changed if time.time() - changed > 1 else 0.0
        return self._readers.values()

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers.values():
            reader.close()


def _head(line: bytes) -> Block | Key | None:
    """Return a block whose text is the next line, or a unit that was begun.

    What a full disk or a killed process has torn is nothing.
    """
    try:
        kind, *data = json.loads(line)
        if kind == "attempt":
            (key,) = data
            return Key(*key)
        size, experiment, replicates = data
        whole = kind == "records" and all(type(i) is int for known in replicates.values() for i in known)
        return Block(experiment, replicates, int(size), bytes) if whole and replicates else None
    except (ValueError, TypeError, AttributeError):
        return None


# What is under way.

_SLOT: Final = 4096  # bytes
_BESIDE: Final = _SLOT - 1  # in the last one, whether it is beside the tests
_LENGTH: Final = struct.Struct("<I")
_NOTHING: Final = _LENGTH.pack(0)


def _slot_of(log: Path) -> Path:
    return log.with_suffix(".now")


class _Slot:
    """Memory that other processes read, and that stays when this one is killed: the unit under way.

    Parameters
    ----------
    log : Path
        The log that it belongs to.
    """

    def __init__(self, log: Path) -> None:
        path = _slot_of(log)
        self._memory: mmap.mmap | None = None
        try:
            path.write_bytes(bytes(_SLOT))  # written, so that no full disk can fail what is stored later
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), _SLOT)
        except OSError:  # a disk that is full: all is told by the log, as far as that can be written
            path.touch()
        self._taken: Key | None = None
        self._named: dict[tuple[str, str], bytes] = {}

    def take(self, key: Key) -> bool:
        """Tell others of a unit; return False if there is one already, or the name is too long."""
        if self._memory is None:
            return False
        experiment, replicate, condition = key
        name = self._named.get((experiment, condition))
        if name is None:
            name = self._named[experiment, condition] = json.dumps([experiment, condition]).encode()
        text = b"%d %s" % (replicate, name)
        end = _LENGTH.size + len(text)
        if self._taken is not None or end > _BESIDE:
            return False
        self._memory[_LENGTH.size : end] = text
        self._memory[: _LENGTH.size] = _LENGTH.pack(len(text))  # now it counts
        self._taken = key
        return True

    def give_up(self, key: Key) -> bool:
        """Tell others that a unit is not under way any more; return False if it was not told of here."""
        if self._memory is None or self._taken != key:
            return False
        self._memory[: _LENGTH.size] = _NOTHING
        self._taken = None
        return True

    def beside(self, is_so: bool) -> None:
        """Note for others whether what is under way is no test's."""
        if self._memory is not None:
            self._memory[_BESIDE] = is_so

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()


def _key_in(slot: bytes) -> Key | None:
    (length,) = _LENGTH.unpack_from(slot) if len(slot) >= _LENGTH.size else (0,)
    if not length:
        return None
    try:
        replicate, _, name = slot[_LENGTH.size : _LENGTH.size + length].partition(b" ")
        experiment, condition = json.loads(name)
        return Key(experiment, int(replicate), condition)
    except (ValueError, TypeError):  # its process is alive, and going on
        return None
