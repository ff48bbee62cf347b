"""Every condition run of an experiment, in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

from crystallize.context.record import RunRecord
from crystallize.context.record_table import Records


class RunRecords(Sequence[RunRecord]):
    """The records of all conditions, by replicate; each is made when it is looked at.

    Parameters
    ----------
    conditions : sequence of Records
        Those of each condition, the baseline first.
    """

    def __init__(self, conditions: Sequence[Records]) -> None:
        self._conditions = conditions

    @cached_property
    def _is_complete(self) -> bool:
        sizes = {len(records) for records in self._conditions}
        return len(sizes) == 1 and all(records.is_complete for records in self._conditions)

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """Replicate and condition of each that there is, where some are missing."""
        conditions = list(enumerate(self._conditions))
        most = max((len(records) for records in self._conditions), default=0)
        return [(i, place) for i in range(most) for place, records in conditions if records.has(i)]

    def __len__(self) -> int:
        return sum(records.present for records in self._conditions)

    def __iter__(self) -> Iterator[RunRecord]:
        for row in itertools.zip_longest(*self._conditions):
            for record in row:
                if record is not None:
                    yield record

    @overload
    def __getitem__(self, place: int) -> RunRecord: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[RunRecord, ...]: ...

    def __getitem__(self, place: int | slice) -> Any:
        wanted = range(len(self))[place]
        return tuple(map(self._at, wanted)) if isinstance(wanted, range) else self._at(wanted)

    def _at(self, place: int) -> RunRecord:
        if self._is_complete:
            replicate, condition = divmod(place, len(self._conditions))
        else:
            replicate, condition = self._places[place]
        record = self._conditions[condition][replicate]
        assert record is not None
        return record

    def __repr__(self) -> str:
        return repr(tuple(self))

    def kinds(self) -> Iterator[tuple[RunRecord, int]]:
        """Yield one of each kind of record with how many there are: they differ in values and times alone."""
        return itertools.chain.from_iterable(records.kinds() for records in self._conditions)


def provenance_of(record: RunRecord) -> dict[str, Any]:
    """Return where the numbers of a run are from: its seed, what its steps read and wrote, its artifacts."""
    return {
        "replicate": record.replicate,
        "condition": record.condition,
        "seed": record.seed,
        "seconds": record.seconds,
        "steps": [
            {
                "step": scope.name,
                "reads": dict(scope.reads),
                "absent": list(scope.absent),
                "writes": dict(scope.writes),
            }
            for scope in record.scopes
        ],
        "artifacts": [artifact._asdict() for artifact in record.artifacts],
    }
