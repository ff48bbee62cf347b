"""Files of shards: the runs that each of several sessions made of one suite, and all of them together."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from crystallize import RunRecord
from crystallize.errors import FileFormatError
from crystallize.seam import (
    FileFormat,
    counted,
    environment_changes,
    first_of,
    records_from_json,
    write_whole,
)
from pytest_crystallize.options.values import Shard

_OF_MACHINES: Final = ("machine", "system", "threads of libraries")
"""Parts of an environment that belong to the machine, which shards need not share."""


class ShardError(FileFormatError):
    """Files that are no shards of one suite."""


SHARD: Final = FileFormat(
    name="crystallize-shard-1",
    noun="file of a shard",
    writer="--crystallize-shard=1/4",
    again="run that shard again",
    largest=1 << 32,
    error=ShardError,
)


@dataclass(frozen=True, slots=True)
class ExperimentShard:
    """Runs of one experiment that one session made.

    Attributes
    ----------
    name : str
        What reports call it.
    seed, replicates : int
        Root seed, and how many replicates there are in all shards together.
    conditions, needed : tuple of str
        All, and those that were run.
    claims : tuple of str
        Node ids of the tests that are to be judged once all shards are there.
    cases : str
        Digest of the cases; empty without.
    code : mapping of str to mapping
        Condition -> name of each part that its runs depend on -> digest; empty where that can't be known.
    unlike : str or None
        What was found if its runs do not repeat.
    records : str
        As `records_to_json` gives them.
    """

    name: str
    seed: int
    replicates: int
    conditions: tuple[str, ...]
    needed: tuple[str, ...]
    claims: tuple[str, ...]
    cases: str
    code: Mapping[str, Mapping[str, str]]
    unlike: str | None
    records: str

    def decoded(self) -> Iterator[RunRecord]:
        """Yield the records."""
        alike, others = records_from_json(self.records)
        for rows in alike:
            yield from (rows.record(row) for row in range(len(rows)))
        yield from others


@dataclass(frozen=True, slots=True)
class ShardFile:
    """Session of those that share a suite, as its file tells it.

    Attributes
    ----------
    shard : Shard
        Which one it is.
    arguments : tuple of str
        What pytest was given, without what may differ from shard to shard.
    commit : str or None
        Git commit that was checked out.
    dirty : bool or None
        Whether the code differed from it.
    versions : mapping of str to str
        Of Python and packages.
    environment : mapping of str to str
        Parts of the environment.
    notes : tuple of str
        What the session had to say.
    exit_status : int
        Of the session, as it was when the file was written.
    experiments : mapping of str to ExperimentShard
        By id.
    path : str
        Of the file.
    """

    shard: Shard
    arguments: tuple[str, ...]
    commit: str | None
    dirty: bool | None
    versions: Mapping[str, str]
    environment: Mapping[str, str]
    notes: tuple[str, ...]
    exit_status: int
    experiments: Mapping[str, ExperimentShard]
    path: str = ""

    def write(self, path: Path) -> None:
        """Write the file whole or not at all, with a digest of what it holds."""
        known = {name: getattr(self, name) for name in self.__slots__ if name not in ("path", "experiments")}
        experiments = {key: asdict(each) for key, each in self.experiments.items()}
        body = {**known, "experiments": experiments, "byteorder": sys.byteorder}
        text = json.dumps({"format": SHARD.name, "digest": _digest(body), **body}, indent=1)
        write_whole(path, text.encode())

    @classmethod
    def read(cls, path: str | Path) -> ShardFile:
        """Read a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ShardError
            If it can't be read, is none, or is not as it was written.
        """
        with SHARD.telling(path):
            data = SHARD.read(path)
            body = {name: value for name, value in data.items() if name not in ("format", "digest")}
            if data.get("digest") != _digest(body):
                raise SHARD.damaged()
            if data["byteorder"] != sys.byteorder:
                raise ValueError("it was written by a machine of another byte order than this one")
            experiments = {
                key: ExperimentShard(**_fields(ExperimentShard, each, ("conditions", "needed", "claims")))
                for key, each in data["experiments"].items()
            }
            known = _fields(cls, {**data, "path": str(path)}, ("arguments", "notes"))
            return cls(**{**known, "shard": Shard(*data["shard"]), "experiments": experiments})


def _fields(kind: type[ShardFile | ExperimentShard], data: Any, lists: Iterable[str]) -> dict[str, Any]:
    """Return what is given of data, of which those that are lists in JSON are tuples."""
    return {each.name: data[each.name] for each in fields(kind)} | {name: tuple(data[name]) for name in lists}


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=32).hexdigest()


class MergedShards:
    """All shards of a suite, put together.

    Parameters
    ----------
    files : sequence of ShardFile
        In any order.

    Raises
    ------
    ShardError
        If one is missing or there twice, or they are not of one suite, code and environment.
    """

    def __init__(self, files: Sequence[ShardFile]) -> None:
        self.files = sorted(files, key=lambda file: file.shard)
        if not files:
            raise ShardError("there is no shard to merge; give the files of all shards")
        _check_whole(self.files)
        for file in self.files[1:]:
            _check_alike(self.files[0], file)
        self._machines = {json.dumps([f.environment.get(name) for name in _OF_MACHINES]) for f in files}

    @property
    def first(self) -> ShardFile:
        """First shard: what is the same in all is taken from it."""
        return self.files[0]

    @cached_property
    def notes(self) -> list[str]:
        """Lines that the sessions had to say, each once."""
        said = dict.fromkeys(note for file in self.files for note in file.notes)
        names = ", ".join(file.path for file in self.files)
        others = (
            [] if len(self._machines) == 1 else ["shards ran on different machines: last bits may differ"]
        )
        return [f"merged from {counted(len(self.files), 'shard')}: {names}", *others, *said]

    def of(self, experiment: str) -> list[tuple[ShardFile, ExperimentShard]]:
        """Return what each shard holds of an experiment."""
        return [(f, f.experiments[experiment]) for f in self.files if experiment in f.experiments]


def _check_whole(files: Sequence[ShardFile]) -> None:
    count = files[0].shard.total
    by_number: dict[int, str] = {}
    for file in files:
        if file.shard.total != count:
            raise ShardError(
                f"{files[0].path} is shard {files[0].shard}, and {file.path} is shard {file.shard}; merge "
                "the shards of one suite"
            )
        if (other := by_number.setdefault(file.shard.number, file.path)) != file.path:
            raise ShardError(f"{other} and {file.path} both are shard {file.shard}; give each once")
    numbers = [file.shard.number for file in files]
    if twice := next((file for file in files if numbers.count(file.shard.number) > 1), None):
        raise ShardError(f"{twice.path} is given twice; give each shard once")
    if missing := [str(number) for number in range(1, count + 1) if number not in by_number]:
        raise ShardError(
            f"of {count} shards, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; "
            "without all there is no verdict"
        )


def _check_alike(first: ShardFile, other: ShardFile) -> None:
    """Raise `ShardError` unless two shards ran one suite: code, environment, selection, experiments."""

    def refuse(what: str) -> None:
        raise ShardError(f"{first.path} and {other.path} are of different suites: {what}")

    if first.commit != other.commit:
        refuse(f"commit {first.commit} and commit {other.commit}")
    if first.dirty != other.dirty:
        refuse("the code of one differs from its commit")
    if changed := environment_changes(_shared(first.environment), _shared(other.environment)):
        refuse(first_of(changed))
    if first.arguments != other.arguments:
        refuse(f"pytest {' '.join(first.arguments)} and pytest {' '.join(other.arguments)}")
    if odd := first.experiments.keys() ^ other.experiments.keys():
        refuse(f"only one has {first_of(sorted(odd))}")
    for key, one in first.experiments.items():
        two = other.experiments[key]
        for name in ("seed", "replicates", "conditions", "needed", "cases"):
            if getattr(one, name) != getattr(two, name):
                refuse(f"{name} of {key} are {getattr(one, name)} and {getattr(two, name)}")
        if odd_claims := sorted({*one.claims} ^ {*two.claims}):
            refuse(f"only one selected {first_of(odd_claims)}")
        if one.code != two.code:
            refuse(f"the code, the inputs or the variables of {key} are others")


def _shared(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of an environment that belong to no machine."""
    return {name: part for name, part in parts.items() if name not in _OF_MACHINES}
