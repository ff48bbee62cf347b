"""What is kept of a condition run: metrics, traces, artifacts, and the exception that ended it."""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from crystallize.boundary import text_of
from crystallize.context.recording import CallEntry, MetricEntry, Note
from crystallize.context.trace import Scope

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep
_ABOVE_USERS = (_PACKAGE, str(Path(asyncio.__file__).parent) + os.sep)
NOT_BEGUN: Final = "BudgetSpent"
"""Error type of the record of a run that was not begun, since a budget was spent."""
_FORMAT: Final = "crystallize-run-4"


def _encoder() -> Callable[[object], str]:
    """Return `json.dumps` for data without cycles; it makes an encoder each time, and runs are many."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.dumps
    options = ": ", ", ", False, False, True
    encode = make(None, json.JSONEncoder().default, json.encoder.encode_basestring_ascii, None, *options)
    return lambda data: "".join(encode(data, 0))


_text: Final = _encoder()


@dataclass(frozen=True, slots=True)
class RunError:
    """An exception that ended a condition run.

    Attributes
    ----------
    type : str
        Name of the exception's class.
    message : str
        The exception as text.
    step : str
        Data source, treatment, step or hook that raised it.
    traceback : str
        The user's part of the traceback, as text.
    """

    type: str
    message: str
    step: str
    traceback: str

    @classmethod
    def from_exception(cls, error: BaseException, step: str) -> RunError:
        """Describe an exception; frames of this package and asyncio above the user's are left out."""
        start = error.__traceback__
        frame = start
        while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_ABOVE_USERS):
            frame = frame.tb_next
        text = "".join(traceback.format_exception(type(error), error, frame or start))
        return cls(type(error).__qualname__, text_of(error), step, text)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class ArtifactEntry(NamedTuple):
    """Entry of an artifact in a record, without its bytes."""

    name: str
    step: str
    size: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Record of one condition run.

    Attributes
    ----------
    condition : str
        ``"baseline"`` or the treatment's name.
    replicate : int
        0-based number of the replicate.
    seed : int
        The replicate's 32-bit seed.
    metrics : tuple of MetricEntry
        Every recorded value, in order.
    scopes : tuple of Scope
        What data source, treatment and steps read and wrote of the context.
    artifacts : tuple of ArtifactEntry
        Name, step, size in bytes and blake2b digest of each artifact.
    error : RunError or None
        Why the run failed.
    skipped : str or None
        Why the run was skipped.
    seconds : float
        Wall time; of runs that are under way at the same time on an event loop, each one's share of it.
    sections : tuple of (str, str)
        Captured output, by heading.
    cached : bool
        Whether an earlier run had stored it; it says nothing of what was measured.
    impure : str or None
        What the run did, so that a stored record can't stand for it.
    cached_steps : tuple of str
        The cacheable steps whose results an earlier call had stored.
    calls : tuple of CallEntry
        Calls of remote functions, sorted.
    notes : tuple of (str, any)
        Name and value of what was noted, in order.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     return data, {"score": boost + ctx.rng.normal()}
    >>> record = Experiment(0, [score], replicates=2).run().records[1]
    >>> record.condition, record.replicate, record.error
    ('baseline', 1, None)
    >>> [(entry.name, entry.step) for entry in record.metrics]
    [('score', 'score')]
    """

    condition: str
    replicate: int
    seed: int
    metrics: tuple[MetricEntry, ...] = ()
    scopes: tuple[Scope, ...] = ()
    artifacts: tuple[ArtifactEntry, ...] = ()
    error: RunError | None = None
    skipped: str | None = None
    seconds: float = 0.0
    sections: tuple[tuple[str, str], ...] = ()
    cached: bool = field(default=False, compare=False)
    impure: str | None = field(default=None, compare=False)
    cached_steps: tuple[str, ...] = field(default=(), compare=False)
    calls: tuple[CallEntry, ...] = field(default=(), compare=False)
    notes: tuple[Note, ...] = field(default=(), compare=False)

    @property
    def succeeded(self) -> bool:
        """Whether the run gave all that it was to give."""
        return self.error is None and self.skipped is None

    @property
    def measured_by_stored_steps(self) -> frozenset[str]:
        """Measured metrics whose values are those of an earlier call of a cacheable step."""
        return frozenset(e.name for e in self.metrics if e.measured and e.step in self.cached_steps)

    def to_json(self) -> str:
        """Return the record as JSON text; floats come back bit for bit."""
        before, behind = _parts(self)
        scopes = ", ".join([scope.to_text() for scope in self.scopes])
        return f"{_text((_FORMAT, *before))[:-1]}, [{scopes}], {_text(behind)[1:]}"

    @classmethod
    def from_json(cls, text: str | bytes) -> RunRecord:
        """Build a record from what `to_json` returned.

        Raises
        ------
        ValueError
            If the text is not a whole record of this format.
        """
        with well_formed("a run record"):
            version, condition, replicate, seed, metrics, scopes, *behind = json.loads(text)
            _check_format(version)
            return _record((condition, replicate, seed, metrics), tuple(map(Scope.from_json, scopes)), behind)


def _parts(record: RunRecord) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return what stands in JSON before the traces of a record, and what behind them."""
    error = record.error
    return (record.condition, record.replicate, record.seed, record.metrics), (
        record.artifacts,
        error and (error.type, error.message, error.step, error.traceback),
        record.skipped,
        record.seconds,
        record.sections,
        record.cached,
        record.impure,
        record.cached_steps,
        record.calls,
        record.notes,
    )


def _record(before: Sequence[Any], scopes: tuple[Scope, ...], behind: Sequence[Any]) -> RunRecord:
    condition, replicate, seed, metrics = before
    artifacts, error, skipped, seconds, sections, cached, impure, cached_steps, calls, notes = behind
    return record_of(
        condition,
        replicate,
        seed,
        tuple([MetricEntry(*entry) for entry in metrics]),
        scopes,
        tuple([ArtifactEntry(*entry) for entry in artifacts]),
        error and RunError(*error),
        skipped,
        seconds,
        tuple([(title, content) for title, content in sections]),
        cached,
        impure,
        tuple(cached_steps),
        tuple([CallEntry(*entry) for entry in calls]),
        tuple([(name, value) for name, value in notes]),
    )


def as_cached(record: RunRecord) -> RunRecord:
    """Return a record as one that an earlier run had stored; `replace` would take twice as long."""
    return record_of(
        record.condition,
        record.replicate,
        record.seed,
        record.metrics,
        record.scopes,
        record.artifacts,
        record.error,
        record.skipped,
        record.seconds,
        record.sections,
        True,
        record.impure,
        record.cached_steps,
        record.calls,
        record.notes,
    )


@contextmanager
def well_formed(what: str) -> Iterator[None]:
    """Raise `ValueError` for whatever is wrong with data that was read."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError) as fault:
        raise ValueError(f"not {what}: {fault}") from fault


def _check_format(version: object) -> None:
    if version != _FORMAT:
        raise ValueError(f"format {version!r}, not {_FORMAT!r}")


class _Unfrozen:
    """A record whose fields are being set: in a frozen one each would take a call, in every run."""

    __slots__ = tuple(entry.name for entry in fields(RunRecord))


def record_of(
    condition: str,
    replicate: int,
    seed: int,
    metrics: tuple[MetricEntry, ...],
    scopes: tuple[Scope, ...],
    artifacts: tuple[ArtifactEntry, ...],
    error: RunError | None,
    skipped: str | None,
    seconds: float,
    sections: tuple[tuple[str, str], ...],
    cached: bool,
    impure: str | None,
    cached_steps: tuple[str, ...],
    calls: tuple[CallEntry, ...],
    notes: tuple[Note, ...],
) -> RunRecord:
    """Return a record of the values of all its fields, in order."""
    record: Any = _Unfrozen()
    record.condition = condition
    record.replicate = replicate
    record.seed = seed
    record.metrics = metrics
    record.scopes = scopes
    record.artifacts = artifacts
    record.error = error
    record.skipped = skipped
    record.seconds = seconds
    record.sections = sections
    record.cached = cached
    record.impure = impure
    record.cached_steps = cached_steps
    record.calls = calls
    record.notes = notes
    record.__class__ = RunRecord
    return record  # type: ignore[no-any-return]
