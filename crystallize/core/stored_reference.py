"""References: what an experiment gave at an earlier commit, kept to be compared with."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.provenance import versions
from crystallize.core.record import RunRecord
from crystallize.core.recording import MetricEntry
from crystallize.core.reference import Reference
from crystallize.errors import ReferenceFileError

if TYPE_CHECKING:
    from crystallize.core.hypothesis import Hypothesis

FORMAT: Final = "crystallize-reference-1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which code gave a condition; after a partial update they differ.

    Attributes
    ----------
    git_commit : str or None
        What was checked out; None outside of a repository.
    versions : mapping of str to str
        Of Python and packages.
    """

    git_commit: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredReference:
    """What a reference file holds.

    Attributes
    ----------
    experiment : str
        Name of the experiment, with parameters.
    root_seed : int
        Of the runs.
    seeds : sequence of int
        Seed of each replicate.
    conditions : mapping of str to ConditionRuns
        By condition, of these replicates.
    origins : mapping of str to Origin
        By condition.
    """

    experiment: str
    root_seed: int
    seeds: Sequence[int]
    conditions: Mapping[str, ConditionRuns]
    origins: Mapping[str, Origin]

    @property
    def replicates(self) -> int:
        """How often each condition was run."""
        return len(self.seeds)

    def labelled(self, name: str) -> StoredReference:
        """Return the reference with conditions that messages can tell from those of today."""
        labelled = {
            condition: ConditionRuns(f"{condition} in {name}", runs.records)
            for condition, runs in self.conditions.items()
        }
        return replace(self, conditions=labelled)

    def updated(self, earlier: StoredReference) -> StoredReference:
        """Return this reference with the conditions of an earlier one that it lacks.

        Raises
        ------
        ReferenceFileError
            If they are of other replicates.
        """
        kept = {name: runs for name, runs in earlier.conditions.items() if name not in self.conditions}
        if kept and (self.root_seed, list(self.seeds)) != (earlier.root_seed, list(earlier.seeds)):
            raise ReferenceFileError(
                f"{self.experiment}: only {_named(self.conditions)} ran, and the conditions "
                f"{_named(kept)} of the reference have {earlier.replicates} replicates of root seed "
                f"{earlier.root_seed}, not {self.replicates} of {self.root_seed}; run the whole experiment "
                "to record it anew"
            )
        return replace(
            self,
            conditions={**kept, **self.conditions},
            origins={**{name: earlier.origins[name] for name in kept}, **self.origins},
        )

    def to_json(self) -> str:
        """Return the reference as JSON text, sorted, a value a line, so that versions can be compared."""
        data = {
            "format": FORMAT,
            "experiment": self.experiment,
            "root_seed": self.root_seed,
            "replicates": self.replicates,
            "seeds": list(self.seeds),
            "conditions": {
                name: {
                    "git_commit": self.origins[name].git_commit,
                    "versions": dict(self.origins[name].versions),
                    "measured": sorted(runs.measured),
                    "metrics": _columns(runs),
                }
                for name, runs in self.conditions.items()
            },
        }
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> StoredReference:
        """Build a reference from what `to_json` returned.

        Raises
        ------
        ValueError
            If the text is not a whole reference of this format.
        """
        try:
            data = json.loads(text)
        except RecursionError as fault:
            raise ValueError("nested too deep") from fault
        if _part(data, dict, "it").get("format") != FORMAT:
            raise ValueError(f"format {data.get('format')!r}, not {FORMAT!r}")
        try:
            seeds = [_part(seed, int, "a seed") for seed in _part(data["seeds"], list, "seeds")]
            if not seeds or len(seeds) != data["replicates"]:
                raise ValueError(f"{len(seeds)} seeds of {data['replicates']!r} replicates")
            conditions = _part(data["conditions"], dict, "conditions")
            if not conditions:
                raise ValueError("it has no condition")
            return cls(
                _part(data["experiment"], str, "experiment"),
                _part(data["root_seed"], int, "root_seed"),
                seeds,
                {name: _condition(name, stored, seeds) for name, stored in conditions.items()},
                {name: _origin(name, stored) for name, stored in conditions.items()},
            )
        except KeyError as fault:
            raise ValueError(f"{fault} is missing") from fault


def _columns(runs: ConditionRuns) -> dict[str, list[Any]]:
    """Return metric -> per replicate, its value, or a list of [unit, value] where there are several."""
    columns: dict[str, list[Any]] = {}
    for i, record in enumerate(runs.records):
        assert record is not None  # only complete runs are recorded
        for entry in record.metrics:
            column = columns.setdefault(entry.name, [[] for _ in runs.records])
            column[i].append([entry.unit, entry.value])
    return {name: [_plain(values) for values in column] for name, column in columns.items()}


def _plain(values: list[list[Any]]) -> Any:
    alone = len(values) == 1 and values[0][0] is None and not isinstance(values[0][1], list)
    return values[0][1] if alone else values


def _condition(name: str, stored: Any, seeds: Sequence[int]) -> ConditionRuns:
    """Return the runs that a file holds of a condition."""
    where = f"condition {name!r}"
    measured = _part(_part(stored, dict, where)["measured"], list, f"'measured' of {where}")
    entries: list[list[MetricEntry]] = [[] for _ in seeds]
    for metric, column in _part(stored["metrics"], dict, f"'metrics' of {where}").items():
        what = f"metric {metric!r} of {where}"
        if len(_part(column, list, what)) != len(seeds):
            raise ValueError(f"{what} has {len(column)} values of {len(seeds)} replicates")
        for i, cell in enumerate(column):
            for pair in cell if isinstance(cell, list) else [[None, cell]]:
                if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in _UNITS:
                    raise ValueError(f"{what} holds {pair!r:.60}, not a unit and a value, in replicate {i}")
                entries[i].append(MetricEntry(metric, pair[1], pair[0], metric in measured, "reference"))
    return ConditionRuns(name, [RunRecord(name, i, seed, tuple(entries[i])) for i, seed in enumerate(seeds)])


_UNITS: Final = (type(None), str, int)


def _origin(name: str, stored: Mapping[str, Any]) -> Origin:
    commit, where = stored["git_commit"], f"condition {name!r}"
    if commit is not None:
        _part(commit, str, f"'git_commit' of {where}")
    return Origin(commit, _part(stored["versions"], dict, f"'versions' of {where}"))


def _part(value: Any, kind: type[T], what: str) -> T:
    """Return a value that is of a kind."""
    if type(value) is not kind:
        raise ValueError(f"{what} is {value!r:.60}, not of type {kind.__name__}")
    return value


def recorded(
    name: str, runs: Mapping[str, ConditionRuns], *, root_seed: int, git_commit: str | None
) -> StoredReference:
    """Return a reference made of runs.

    Raises
    ------
    ReferenceFileError
        If a replicate failed or was not run: only complete runs are recorded.
    """
    if not runs:
        raise ReferenceFileError(f"{name}: nothing ran, so there is nothing to record")
    for known in runs.values():
        if (missing := known.missing_evidence()) is not None:
            raise ReferenceFileError(f"{name}: {missing}; only complete runs are recorded")
    records = next(iter(runs.values())).records
    seeds = [record.seed for record in records if record is not None]
    origin = Origin(git_commit, versions())
    return StoredReference(name, root_seed, seeds, runs, dict.fromkeys(runs, origin))


def resolved(
    hypotheses: Iterable[Hypothesis], where: Callable[[Reference], Path | None]
) -> dict[Reference, StoredReference | str]:
    """Return the reference that each hypothesis is against, or why there is none.

    Parameters
    ----------
    hypotheses : iterable of Hypothesis
        Of one experiment.
    where : callable
        Returns the file of a reference, None if nobody says which it is.
    """
    found: dict[Reference, StoredReference | str] = {}
    for hypothesis in hypotheses:
        against = hypothesis.against
        if against is None or against in found:
            continue
        path = where(against)
        if path is None:
            found[against] = (
                f"nothing says where reference {against.name!r} is: give Reference({against.name!r}, "
                "path=...)"
            )
            continue
        try:
            found[against] = load_reference(path).labelled(against.name)
        except FileNotFoundError:
            found[against] = (
                f"there is no reference {against.name!r}: {path} is not there; record it at the commit to "
                "compare with"
            )
        except ReferenceFileError as fault:
            found[against] = str(fault)
    return found


def load_reference(path: Path) -> StoredReference:
    """Read a reference file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ReferenceFileError
        If it can't be read.
    """
    try:
        return StoredReference.from_json(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as fault:
        raise ReferenceFileError(f"{path} is no reference: {fault}") from fault


def write_reference(path: Path, reference: StoredReference, *, partial: bool = False) -> None:
    """Write a reference file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file; directories are made.
    reference : StoredReference
        What is written.
    partial : bool
        Whether conditions of the file that the reference lacks are kept: it is of a part of the experiment.

    Raises
    ------
    ReferenceFileError
        If what lies there is of other replicates, or no reference.
    OSError
        If it can't be written.
    """
    if partial:
        with contextlib.suppress(FileNotFoundError):
            reference = reference.updated(load_reference(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(reference.to_json())
        Path(temporary).chmod(0o644)  # it is made to be committed
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _named(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names))
