"""Bytes on disk that are believed only if we wrote them, where and as they are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from crystallize.storage.atomic import UNFINISHED, write_whole
from crystallize.storage.regular import read_regular
from crystallize.storage.sealed import MAGIC, Bytes, Encoded, Record, seal_of, sealed, unsealed
from crystallize.storage.secret import Secret

GIBIBYTE: Final = 1 << 30

_PARTS = "(parts)"  # kind of a pack's first records, the very first having no key

_SHARD = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"[0-9a-f]{32}\.(?:value|list)|[0-9a-f]{32}-[0-9a-f]{32}-[0-9a-f]{32}\.pack")
_DAY: Final = 86400.0  # seconds
_STALE = 3600.0  # seconds after which nobody finishes a temporary file any more

_NO_PARTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})

_MANY = 8  # small packs of one group that are worth making one of
_SMALL = 1 << 20  # bytes; larger packs are not written again
_REMOVALS = 2  # of a directory that one write bears, the first being that it was never made
_LAST: Final = (1 << 64) - 1  # ns; what a name has room for
_LISTINGS = 3  # of a shard whose packs are replaced while they are read


Sort = Literal["value", "list"]


class Store:
    """Store of what was computed, for whoever has the same secret.

    There are two ways to keep it. A large value has a file of its own, under its key (`put`, `get`). Many
    small records that are needed together share files, called packs, under a slot and the parts of their keys
    that they have in common (`publish`, `load`), so that few files are opened to read them all.

    No method raises because of the disk or of what lies there. A file that is torn, flipped, moved, forged or
    written with another secret is a miss; so is one that can't be read, and what can't be written is not
    stored. Files appear whole, under their final name; nothing is locked.

    Parameters
    ----------
    directory : path
        Where the files go; made when it is needed.
    secret : Secret
        Without its key nothing is read or written.
    capacity : int
        Bytes that `tidy` leaves.

    Attributes
    ----------
    fault : str or None
        The first reason why something could not be read or written.
    rejected : int
        Files with something in them that is not ours.
    """

    def __init__(
        self, directory: str | os.PathLike[str], secret: Secret, *, capacity: int = GIBIBYTE
    ) -> None:
        self.directory = Path(directory).absolute()  # steps may change the working directory
        self._prefix = os.path.join(self.directory, "")  # noqa: PTH118 - as below
        self.capacity = capacity
        self.fault = secret.fault
        self.rejected = 0
        self._key = secret.key
        self._latest: dict[str, int] = {}

    def get(self, key: str, sort: Sort = "value") -> Encoded | None:
        """Return the value stored under a key, or None."""
        if self._key is None:
            return None
        path = self._spelled(f"{_digest(key)}.{sort}")
        data = self._read(path)
        if data is None:
            return None
        records, whole = unsealed(data, seal_of(self._key, sort))
        if not whole or [record.key for record in records] != [key]:
            self.rejected += 1
            return None
        _touch(path)
        return records[0].value

    def touch(self, key: str, sort: Sort = "value") -> bool:
        """Note that a value is used, without reading it; return whether there is a file under its key."""
        try:
            os.utime(self._place(key, sort))
        except OSError:
            return False
        return True

    def has(self, key: str, sort: Sort = "value") -> bool:
        """Return whether there is a file under a key, whoever wrote it."""
        return os.path.exists(self._place(key, sort))  # noqa: PTH110 - a Path raises where there is no access

    def put(self, key: str, value: Encoded, sort: Sort = "value") -> bool:
        """Store a value under a key, in place of an earlier one; return whether it is there.

        Lists of files, on which values depend, are another sort than the values themselves.
        """
        if self._key is None:
            return False
        record = sealed(seal_of(self._key, sort), key, value)
        return self._write(self._place(key, sort), [MAGIC, *record])

    def remove(self, key: str) -> None:
        """Remove the value stored under a key, if there is one."""
        try:
            self._place(key, "value").unlink(missing_ok=True)
        except OSError as error:
            self._note("written", error)

    def load(self, slot: str, parts: Mapping[str, str]) -> dict[str, Encoded]:
        """Return key -> value of every record that was published in a slot under the same parts."""
        read = dict(self.packs(slot, parts))
        return {key: value for name in sorted(read) for key, value in read[name]}  # the latest last

    def packs(
        self, slot: str, parts: Mapping[str, str], wanted: Callable[[], Container[str]] | None = None
    ) -> Iterator[tuple[str, list[tuple[str, Encoded]]]]:
        """Yield the same records pack by pack, with what tells which of two packs is the later one.

        Parameters
        ----------
        slot, parts
            As in `publish`.
        wanted : callable, optional
            Returns the keys that are wanted, once there is a pack; records of others are passed over.
        """
        if self._key is None:
            return
        prefix = _prefix(slot, _canonical(parts))
        seal = seal_of(self._key, prefix)
        read: set[str] = set()
        for _ in range(_LISTINGS):
            before = len(read)
            # Of packs that were used together, the latest is touched last.
            listed = sorted(name for name in self._group(prefix) if name not in read)
            for name in listed:
                path = self._spelled(name)
                data = self._read(path)
                if data is None:
                    continue
                read.add(name)
                records, whole = unsealed(data, seal, None if wanted is None else wanted())
                self.rejected += not whole
                if records:
                    _touch(path)
                    yield name, [(r.key, r.value) for r in records if r.value.kind != _PARTS]
            if len(read) - before == len(listed):
                break
            # A pack has gone since it was listed. If it was merged with others, the merged one is there.

    def publish(
        self,
        slot: str,
        parts: Mapping[str, str],
        records: Mapping[str, Encoded],
        further: Mapping[str, Mapping[str, str]] = _NO_PARTS,
    ) -> bool:
        """Store records in a slot, beside those that are there; return whether they are.

        Parameters
        ----------
        slot : str
            What the records are of, for instance one experiment.
        parts : mapping of str to str
            What else the records are found by, and what `explain` tells: name of each part -> its digest.
        records : mapping of str to Encoded
            Key -> value. They appear all at once.
        further : mapping of str to mapping, optional
            Key -> parts of some of the records that they are not found by, for `explain`.
        """
        if self._key is None:
            return False
        if not records:
            return True
        canonical = _canonical(parts)
        prefix = _prefix(slot, canonical)
        seal = seal_of(self._key, prefix)
        chunks = [MAGIC, *sealed(seal, "", Encoded(_PARTS, canonical))]
        for key, more in further.items():
            chunks += sealed(seal, key, Encoded(_PARTS, _canonical(more)))
        for key, value in records.items():
            chunks += sealed(seal, key, value)
        name = f"{prefix}-{self._behind_others(prefix):016x}{secrets.token_hex(8)}.pack"
        return self._write(self._path(name), chunks)

    def _behind_others(self, prefix: str) -> int:
        """Return a time behind those of all packs of a group, also where the clock was set back since."""
        if prefix not in self._latest:
            self._group(prefix)
        self._latest[prefix] = now = min(max(time.time_ns(), self._latest[prefix] + 1), _LAST)
        return now

    def _group(self, prefix: str) -> list[str]:
        """Return the packs of a group, and note the latest of them."""
        names = self._packs(prefix)
        known = (int(_age(name), 16) for name in filter(_NAME.fullmatch, names))
        self._latest[prefix] = max(self._latest.get(prefix, 0), *known, 0)
        return names

    def explain(self, slot: str, key: str | None = None) -> dict[str, str] | None:
        """Return the parts of the records in a slot that were published or loaded last, or None.

        Parameters
        ----------
        slot : str
            As in `publish`.
        key : str, optional
            Of further parts, which are told, too; packs without them do not count.
        """
        if self._key is None:
            return None
        # Another process may remove any of them at any time.
        for _, name in sorted(self._dated(self._packs(_digest(slot))), reverse=True):
            data = self._read(self._path(name))
            if data is not None:
                records, _ = unsealed(data, seal_of(self._key, name.rpartition("-")[0]))
                said = {record.key: record.value.data for record in records if record.value.kind == _PARTS}
                if "" in said and (key is None or key in said):
                    parts: dict[str, str] = json.loads(said[""])
                    return parts if key is None else {**parts, **json.loads(said[key])}
        return None

    def tidy(self) -> None:
        """Remove stale temporary files, evict what was used longest ago, and merge small packs.

        For one process at the end of its session. Others may read and write meanwhile: a record is never
        missing because it is being merged.
        """
        if self._key is None:
            return
        files = self._finished()
        files.sort(key=lambda file: (file.used, file.path), reverse=True)
        excess = sum(file.size for file in files) - self.capacity
        while excess > 0:
            file = files.pop()
            _remove(file.path)
            excess -= file.size
        for prefix, packs in _by_prefix(files).items():
            if sum(map(_is_small, packs)) >= _MANY:
                packs.sort(key=lambda pack: pack.name)
                for is_small, row in groupby(packs, _is_small):
                    if is_small:
                        self._merge(self._key, prefix, [*row])

    def _finished(self) -> list[_File]:
        """Return our files; remove temporary ones that nobody goes on to write."""
        files = []
        for file in self._scan():
            if not UNFINISHED.fullmatch(file.name):
                files.append(file)
            elif time.time() - file.used / 1e9 > _STALE:
                _remove(file.path)
        return files

    def prune(self, days: float) -> tuple[int, int]:
        """Remove what was not used for some days; return how many bytes that were, and how many are left."""
        removed = left = 0
        for file in self._scan():
            if time.time() - file.used / 1e9 > days * _DAY:
                _remove(file.path)
                removed += file.size
            else:
                left += file.size
        return removed, left

    def _merge(self, secret: bytes, prefix: str, packs: list[_File]) -> None:
        """Make one pack of several in a row, between which none was published: the latest value counts."""
        if len(packs) < _MANY:
            return
        seal = seal_of(secret, prefix)
        latest: dict[tuple[str, bool], Record] = {}
        merged: list[_File] = []
        for pack in packs:
            data = self._read(pack.path)
            records, whole = unsealed(data, seal) if data is not None else ([], False)
            if whole and records[0].value.kind == _PARTS:
                merged.append(pack)
                for record in records:
                    latest[record.key, record.value.kind == _PARTS] = record
            elif records or data is None:  # it stays between others, damaged or not to be read just now
                self._replace(prefix, merged, latest)
                merged, latest = [], {}
            # One without any record of ours is somebody else's.
        self._replace(prefix, merged, latest)

    def _replace(self, prefix: str, merged: list[_File], latest: Mapping[tuple[str, bool], Record]) -> None:
        """Put one pack in the place of several, if they are many."""
        if len(merged) < _MANY:
            return
        chunks: list[Bytes] = [MAGIC, *(record.raw for record in latest.values())]
        path = self._path(f"{prefix}-{_age(merged[-1].name)}{secrets.token_hex(8)}.pack")
        if self._write(path, chunks, used=max(pack.used for pack in merged)):
            for pack in merged:
                _remove(pack.path)

    def _place(self, key: str, sort: Sort) -> Path:
        return self._path(f"{_digest(key)}.{sort}")

    def _path(self, name: str) -> Path:
        return Path(self._spelled(name))

    def _spelled(self, name: str) -> str:
        return f"{self._prefix}{name[:2]}{os.sep}{name}"  # a Path costs more

    def _packs(self, prefix: str) -> list[str]:
        try:
            names = os.listdir(self.directory / prefix[:2])  # noqa: PTH208 - a Path for each costs more
        except FileNotFoundError:
            return []
        except OSError as error:
            self._note("read", error)
            return []
        return [name for name in names if name.startswith(prefix + "-") and name.endswith(".pack")]

    def _dated(self, names: Iterable[str]) -> Iterator[tuple[int, str]]:
        for name in names:
            with contextlib.suppress(OSError):
                yield self._path(name).stat().st_mtime_ns, name

    def _scan(self) -> Iterator[_File]:
        """Yield our files, finished or not; what else lies in the directory is left alone."""
        for shard in self._entries(self.directory):
            if _SHARD.fullmatch(shard.name) and shard.is_dir(follow_symlinks=False):
                for entry in self._entries(shard.path):
                    if _NAME.fullmatch(entry.name) or UNFINISHED.fullmatch(entry.name):
                        with contextlib.suppress(OSError):
                            status = entry.stat(follow_symlinks=False)
                            yield _File(entry.path, entry.name, status.st_size, status.st_mtime_ns)

    def _entries(self, directory: str | Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                return list(entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._note("read", error)
            return []

    def _read(self, path: Path | str) -> bytes | None:
        try:
            return read_regular(path, self.capacity)  # nothing of ours is larger
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note("read", error)
            return None

    def _write(self, path: Path, chunks: Sequence[Bytes], *, used: int | None = None) -> bool:
        size = sum(map(len, chunks))
        if size > self.capacity:
            self._say(f"{size:,} bytes are more than the cache holds, {self.capacity:,}")
            return False
        try:
            for removals in range(_REMOVALS + 1):
                try:
                    # What a crash of the machine tears is not authentic.
                    write_whole(path, chunks, mode=0o600)
                    break
                except FileNotFoundError:  # the directory is not there yet, or not there any more
                    if removals == _REMOVALS:
                        raise
                    self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                    path.parent.mkdir(mode=0o700, exist_ok=True)
            if used is not None:
                with contextlib.suppress(FileNotFoundError):  # another process has evicted it already
                    os.utime(path, ns=(used, used))
        except OSError as error:
            self._note("written", error)
            return False
        return True

    def _note(self, done: str, error: OSError) -> None:
        self._say(f"the cache in {self.directory} can't be {done}: {error.strerror or error}")

    def _say(self, reason: str) -> None:
        if self.fault is None:
            self.fault = reason

    def __repr__(self) -> str:
        return f"<Store {self.directory}>"


class _File(NamedTuple):
    path: str  # a Path costs more than all else that is asked of a file
    name: str
    size: int
    used: int  # time of the last use, in ns


def _is_small(pack: _File) -> bool:
    return pack.size < _SMALL


def _by_prefix(files: Iterable[_File]) -> dict[str, list[_File]]:
    """Return the packs among some files by slot and common parts, which packs that are merged share."""
    groups: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        prefix, _, pack = file.name.rpartition("-")
        if pack:
            groups[prefix].append(file)
    return groups


def _age(pack: str) -> str:
    """Return when a pack was published, in hexadecimal, as its name says."""
    return pack.rpartition("-")[2][:16]


def _touch(path: str) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - as above


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _prefix(slot: str, canonical: bytes) -> str:
    return f"{_digest(slot)}-{blake2b(canonical, digest_size=16).hexdigest()}"


def _canonical(parts: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(parts), sort_keys=True).encode()
