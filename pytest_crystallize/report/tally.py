"""What runs gave, counted as they come: the events that tell of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from crystallize.seam import NOT_BEGUN, PROPERTY

if TYPE_CHECKING:
    from crystallize import RunRecord
    from crystallize.seam import Rows

STATES: Final = ("run", "cached", "failed", "skipped", "not_begun")
"""What may have become of a run; one that has failed or was skipped counts as nothing else."""
LISTED: Final = 20
"""Runs of a condition that are listed one by one; of more at a time there are counts alone."""
WHOLE: Final = 100
"""Failures of an experiment that are told with traceback, output and metrics."""


def state_of(record: RunRecord) -> str:
    """Return what became of a run, as one of `STATES`."""
    if record.error is not None:
        return "not_begun" if record.error.type == NOT_BEGUN else "failed"
    if record.skipped is not None:
        return "skipped"
    return "cached" if record.cached else "run"


class _Batch:
    """The runs of one condition since they were told of last."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.seconds = 0.0
        self.cached_steps = Counter[str]()
        self.listed: list[tuple[int, float, str, tuple[str, ...]]] = []

    def take(self, replicate: int, seconds: float, state: str, cached_steps: tuple[str, ...]) -> None:
        self.counts[state] += 1
        if state != "cached":
            self.seconds += seconds
            if cached_steps:
                self.cached_steps.update(dict.fromkeys(cached_steps, 1))
        if len(self.listed) <= LISTED:
            self.listed.append((replicate, seconds, state, cached_steps))


class Tally:
    """Counts of the runs of a session.

    Parameters
    ----------
    command : callable
        Takes the id of an experiment and the record of a run; returns what repeats it.
    """

    def __init__(self, command: Callable[[str, RunRecord], str]) -> None:
        self._command = command
        self._seen: dict[tuple[str, str], set[int]] = {}
        self._batches: dict[tuple[str, str], _Batch] = {}
        self._failures: list[dict[str, Any]] = []
        self._failed = Counter[str]()
        self.counts: dict[str, Counter[str]] = {}
        self.seconds: dict[str, float] = {}

    def take(self, experiment: str, rows: Iterable[Rows], records: Iterable[RunRecord]) -> None:
        """Take in records of an experiment; one that is known already counts for nothing."""
        for some in rows:
            kind = some.kind
            state = "cached" if kind.cached else "run"
            for replicate, seconds in zip(some.replicates, some.seconds, strict=True):
                self._take(experiment, kind.condition, replicate, seconds, state, kind.cached_steps)
        for record in records:
            state, condition = state_of(record), record.condition
            new = self._take(
                experiment, condition, record.replicate, record.seconds, state, record.cached_steps
            )
            if new and state == "failed":
                self._failures.append(self._failure(experiment, record))

    def _take(
        self,
        experiment: str,
        condition: str,
        replicate: int,
        seconds: float,
        state: str,
        cached_steps: tuple[str, ...],
    ) -> bool:
        key = experiment, condition
        seen = self._seen.setdefault(key, set())
        if replicate in seen:
            return False
        seen.add(replicate)
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = _Batch()
        batch.take(replicate, seconds, state, cached_steps)
        return True

    def _failure(self, experiment: str, record: RunRecord) -> dict[str, Any]:
        assert record.error is not None
        self._failed[experiment] += 1
        is_whole = self._failed[experiment] <= WHOLE
        metrics: dict[str, list[Any]] = {}
        for entry in record.metrics:
            metrics.setdefault(entry.name, []).append(entry.value)
        output = [list(section) for section in record.sections if not section[0].startswith(PROPERTY)]
        return {
            "event": "run_failed",
            "experiment": experiment,
            "condition": record.condition,
            "replicate": record.replicate,
            "seed": record.seed,
            "seconds": record.seconds,
            "step": record.error.step,
            "error": str(record.error),
            "command": self._command(experiment, record),
            "traceback": record.error.traceback if is_whole else None,
            "output": output if is_whole else None,
            "metrics": metrics if is_whole else None,
        }

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what to tell of the runs that were taken in since the last time."""
        batches, self._batches = self._batches, {}
        failures, self._failures = self._failures, []
        for (experiment, condition), batch in batches.items():
            known = self.counts.setdefault(experiment, Counter())
            known.update(batch.counts)
            self.seconds[experiment] = self.seconds.get(experiment, 0.0) + batch.seconds
            names = ("replicate", "seconds", "state", "cached_steps")
            listed = [dict(zip(names, each, strict=True)) for each in batch.listed]
            yield {
                "event": "runs",
                "experiment": experiment,
                "condition": condition,
                "counts": {state: batch.counts[state] for state in STATES},
                "seconds": batch.seconds,
                "cached_steps": dict(batch.cached_steps),
                "done": known.total(),
                "listed": listed if len(listed) <= LISTED else None,
            }
        yield from failures
