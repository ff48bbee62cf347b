"""References as data: what experiments gave at earlier commits, and the schema of the files that keep it.

A file holds recordings, each of one session. A session that ran a part of the conditions adds a recording of
that part, so the last recording that holds a condition speaks of it. `docs/references.md` has every field. A
reader ignores the fields that it does not know, and a writer leaves those of other recordings alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.context.record import RunRecord
from crystallize.context.recording import MetricEntry
from crystallize.errors import ReferenceFileError
from crystallize.identity.provenance import Machine, versions
from crystallize.storage.versioned import FileFormat
from crystallize.text.formatting import counted, short_commit

REFERENCE: Final = FileFormat(
    name="crystallize-reference-2",
    noun="reference",
    writer="--crystallize-save",
    again="record it again",
    largest=64 << 20,
    error=ReferenceFileError,
)
_FIRST_FORMAT: Final = "crystallize-reference-1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a recording: code, time and machine.

    Attributes
    ----------
    recorded : str
        Date and time, ISO 8601, UTC.
    commit : str or None
        What was checked out; None outside of a repository.
    dirty : bool or None
        Whether the code differed from the commit; None if nobody can tell.
    machine : Machine or None
        Where it was run; None if on several.
    versions : mapping of str to str
        Of Python and packages.
    inputs : mapping of str to str
        Declared input -> digest of its content; empty where it could not be read.
    """

    recorded: str
    commit: str | None
    dirty: bool | None
    machine: Machine | None
    versions: Mapping[str, str]
    inputs: Mapping[str, str]

    @classmethod
    def now(
        cls,
        *,
        commit: str | None,
        dirty: bool | None,
        machine: Machine | None,
        inputs: Mapping[str, str] | None = None,
    ) -> Origin:
        """Return the origin of what was run just now."""
        date = datetime.now(UTC).isoformat(timespec="microseconds")
        return cls(date, commit, None if commit is None else dirty, machine, versions(), inputs or {})

    def __str__(self) -> str:
        commit = "an unknown commit" if self.commit is None else f"commit {short_commit(self.commit)}"
        changes = " with changes that were not committed" if self.dirty else ""
        return f"at {commit}{changes} on {self.recorded[:16].replace('T', ' ')} UTC"


@dataclass(frozen=True, slots=True)
class Recording:
    """Recording made by one session.

    Attributes
    ----------
    origin : Origin
        Code, time and place.
    root_seed : int
        Of the runs.
    seeds : sequence of int
        Seed of each replicate.
    conditions : mapping of str to ConditionRuns
        By condition, of these replicates.
    cases : sequence of (str, str)
        Of each replicate, the id of the case that it is of, and the digest of what that held; none where
        replicates are of no cases.
    blocks : sequence of int
        Of each replicate, the block of those that one pair of processes ran, then and now; none where
        processes are of no account.
    label : str
        Name of its file, where it has one of its own.
    tags : sequence of str
        Tags that its commit had.
    parts : sequence of Recording
        Of what it is the mean, if it is one.
    left_out : mapping of str to str
        Metric -> why it has no mean; an empty name stands for all.
    """

    origin: Origin
    root_seed: int
    seeds: Sequence[int]
    conditions: Mapping[str, ConditionRuns]
    cases: Sequence[tuple[str, str]] = ()
    blocks: Sequence[int] = ()
    label: str = ""
    tags: Sequence[str] = ()
    parts: Sequence[Recording] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def replicates(self) -> int:
        """Number of replicates of each condition."""
        return len(self.seeds)

    @property
    def is_empty(self) -> bool:
        """Whether it holds no metric."""
        return not any(runs.names for runs in self.conditions.values())

    def __str__(self) -> str:
        many = counted(self.replicates, "replicate")
        if len(self.parts) > 1:
            first = self.parts[0].origin
            often = f"{len(self.parts)} times with {many} of root seed {self.root_seed}"
            return f"{often}, first {first} and last {self.origin}, of which the mean counts"
        return f"with {many} of root seed {self.root_seed} {self.origin}"

    def to_data(self) -> dict[str, Any]:
        """Return the recording as plain data."""
        return {
            **asdict(self.origin),
            "root_seed": self.root_seed,
            "seeds": list(self.seeds),
            **({"cases": [list(case) for case in self.cases]} if self.cases else {}),
            **({"tags": list(self.tags)} if self.tags else {}),
            "conditions": {
                name: {
                    "metrics": {
                        metric: {"measured": metric in runs.measured, "values": values}
                        for metric, values in _columns(runs).items()
                    }
                }
                for name, runs in self.conditions.items()
            },
        }

    @classmethod
    def from_data(cls, data: Any, where: str) -> Recording:
        """Build a recording from what `to_data` returned, or raise `ValueError`."""
        _part(data, dict, where)
        seeds = [_part(seed, int, "a seed") for seed in _part(data["seeds"], list, f"'seeds' of {where}")]
        if not seeds:
            raise ValueError(f"{where} has no replicate")
        conditions = _part(data["conditions"], dict, f"'conditions' of {where}")
        return cls(
            _origin(data, where),
            _part(data["root_seed"], int, f"'root_seed' of {where}"),
            seeds,
            {name: _condition(name, stored, seeds) for name, stored in conditions.items()},
            _cases(data.get("cases", []), len(seeds), where),
            tags=[
                _part(tag, str, f"a tag of {where}") for tag in _part(data.get("tags", []), list, "'tags'")
            ],
        )


@dataclass(frozen=True, slots=True)
class StoredReference:
    """Content of a reference file.

    Attributes
    ----------
    experiment : str
        Name of the experiment, with parameters.
    recordings : tuple of Recording
        The earliest first.
    history : tuple of Recording
        All that there are, where these are not all.
    """

    experiment: str
    recordings: tuple[Recording, ...]
    history: tuple[Recording, ...] = ()

    @property
    def conditions(self) -> dict[str, Recording]:
        """Condition -> the recording that speaks of it."""
        return {name: recording for recording in self.recordings for name in recording.conditions}

    def __str__(self) -> str:
        return " and ".join(dict.fromkeys(map(str, self.conditions.values())))

    def labelled(self, name: str) -> StoredReference:
        """Return the reference with conditions that messages can tell from those of today."""
        return replace(
            self,
            recordings=tuple(
                replace(
                    recording,
                    conditions={
                        condition: ConditionRuns(f"{condition} in {name}", runs.records)
                        for condition, runs in recording.conditions.items()
                    },
                )
                for recording in self.recordings
            ),
        )

    @classmethod
    def from_data(cls, data: Any) -> StoredReference:
        """Build a reference from the data of a file.

        Raises
        ------
        ValueError
            If it is not a whole reference of this format.
        """
        if _part(data, dict, "it").get("format") == _FIRST_FORMAT:
            raise ValueError(
                f"it has the format {_FIRST_FORMAT!r}, which says neither when nor on which machine it was "
                f"recorded{_commits(data)}; record it again at that commit"
            )
        REFERENCE.checked(data)
        try:
            recordings = _part(data["recordings"], list, "'recordings'")
            reference = cls(
                _part(data["experiment"], str, "'experiment'"),
                tuple(Recording.from_data(r, f"recording {i}") for i, r in enumerate(recordings)),
            )
        except KeyError as fault:
            raise ValueError(f"{fault} is missing") from fault
        if not reference.conditions:
            raise ValueError("it has no condition")
        return reference


def _commits(data: Mapping[str, Any]) -> str:
    conditions = data.get("conditions")
    stored = conditions.values() if isinstance(conditions, dict) else ()
    commits = {c.get("git_commit") for c in stored if isinstance(c, dict)}
    named = sorted(short_commit(commit) for commit in commits if isinstance(commit, str))
    return f" (at commit {', '.join(named)})" if named else ""


def _columns(runs: ConditionRuns) -> dict[str, list[Any]]:
    """Return metric -> per replicate, its value, or a list of [unit, value] where there are several."""
    columns: dict[str, list[Any]] = {}
    for i, record in enumerate(runs.records):
        assert record is not None  # only complete runs are recorded
        for entry in record.metrics:
            column = columns.setdefault(entry.name, [[] for _ in range(len(runs.records))])
            column[i].append([entry.unit, entry.value])
    return {name: [_plain(values) for values in column] for name, column in columns.items()}


def _plain(values: list[list[Any]]) -> Any:
    alone = len(values) == 1 and values[0][0] is None and not isinstance(values[0][1], list)
    return values[0][1] if alone else values


def _condition(name: str, stored: Any, seeds: Sequence[int]) -> ConditionRuns:
    """Return the runs that a file holds of a condition."""
    where = f"condition {name!r}"
    entries: list[list[MetricEntry]] = [[] for _ in seeds]
    metrics = _part(_part(stored, dict, where)["metrics"], dict, f"'metrics' of {where}")
    for metric, held in metrics.items():
        what = f"metric {metric!r} of {where}"
        measured = _part(_part(held, dict, what)["measured"], bool, f"'measured' of {what}")
        column = _part(held["values"], list, f"'values' of {what}")
        if len(column) != len(seeds):
            raise ValueError(f"{what} has {len(column)} values of {len(seeds)} replicates")
        for i, cell in enumerate(column):
            for pair in cell if isinstance(cell, list) else [[None, cell]]:
                if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in _UNITS:
                    raise ValueError(f"{what} holds {pair!r:.60}, not a unit and a value, in replicate {i}")
                entries[i].append(MetricEntry(metric, pair[1], pair[0], measured, "reference"))
    return ConditionRuns(name, [RunRecord(name, i, seed, tuple(entries[i])) for i, seed in enumerate(seeds)])


_UNITS: Final = (type(None), str, int)


def _cases(data: Any, replicates: int, where: str) -> list[tuple[str, str]]:
    """Return id and digest of the case of each replicate, if a recording has them."""
    cases = _part(data, list, f"'cases' of {where}")
    if cases and len(cases) != replicates:
        raise ValueError(f"{where} has {len(cases)} cases of {replicates} replicates")
    for case in cases:
        if not isinstance(case, list) or len(case) != 2 or {type(text) for text in case} != {str}:
            raise ValueError(f"{where} holds {case!r:.60}, not the id and the digest of a case")
    return [(name, digest) for name, digest in cases]


def _origin(data: Mapping[str, Any], where: str) -> Origin:
    text = _part(data["recorded"], str, f"'recorded' of {where}")
    try:
        date = datetime.fromisoformat(text)
    except ValueError as fault:
        raise ValueError(f"'recorded' of {where} is {text!r:.60}, which is no date") from fault
    if date.utcoffset() != timedelta(0):
        raise ValueError(f"'recorded' of {where} is {text!r:.60}, which is not in UTC")
    commit = _optional(data["commit"], str, f"'commit' of {where}")
    if commit is not None and not (commit.isascii() and commit.isalnum()):
        raise ValueError(f"'commit' of {where} is {commit!r:.60}, which names none")
    inputs = _part(data["inputs"], dict, f"'inputs' of {where}")
    for name, digest in inputs.items():
        _part(digest, str, f"input {name!r} of {where}")
    return Origin(
        date.isoformat(),
        commit,
        _optional(data["dirty"], bool, f"'dirty' of {where}"),
        _machine(data["machine"], f"'machine' of {where}"),
        _part(data["versions"], dict, f"'versions' of {where}"),
        inputs,
    )


def _machine(data: Any, where: str) -> Machine | None:
    if data is None:
        return None
    held = _part(data, dict, where)
    return Machine(
        _part(held["processor"], str, f"'processor' of {where}"),
        _part(held["cores"], int, f"'cores' of {where}"),
        _part(held["python"], str, f"'python' of {where}"),
    )


def _optional(value: Any, kind: type[T], what: str) -> T | None:
    return None if value is None else _part(value, kind, what)


def _part(value: Any, kind: type[T], what: str) -> T:
    """Return a value that is of a kind."""
    if type(value) is not kind:
        raise ValueError(f"{what} is {value!r:.60}, not of type {kind.__name__}")
    return value
