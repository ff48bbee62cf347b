"""What a session gave, as plain data: what every report is made of, and what hooks are given."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from crystallize import ConditionRuns, RunRecord, Verdict
from crystallize.core.evaluation import digest, runs_by_condition
from pytest_crystallize.ids import typed
from pytest_crystallize.items import kind_of_failure
from pytest_crystallize.report import ExperimentSummary, counted, notes, p_of

SCHEMA = "crystallize-report-1"
_OPEN = ("refuted", "inconclusive", "miscalibrated", "invalid", "error", "skipped", "not run")
_BROKEN = ("failed", "error", "not run")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test: a hypothesis under one treatment, or the runs of an experiment without one.

    Attributes
    ----------
    test : str
        Node id.
    hypothesis, treatment : str
        What it is about; empty where an experiment has no hypotheses.
    outcome : str
        ``"passed"``, ``"failed"``, ``"xfailed"``, ``"xpassed"``, ``"skipped"``, ``"error"`` (around the
        test), or ``"not run"``.
    command : str
        What repeats it, in the directory in which pytest was started.
    message : str
        What is to be said that the verdict does not say: why it was skipped, which error there was.
    expected : str
        Why a failure was expected.
    verdict : Verdict or None
        The verdict, if one was given.
    calibration : mapping or None
        What A/A tests found: the fields of `Calibration`, and ``rate``.
    reference : mapping or None
        What stands for the baseline, if a hypothesis is against a reference: ``name``, ``recorded`` (a
        date), ``commit``, ``dirty``, ``machine``, ``replicates``, ``root_seed``, ``seeds``, and ``samples``
        by metric.
    """

    test: str
    hypothesis: str
    treatment: str
    outcome: str
    command: str
    message: str = ""
    expected: str = ""
    verdict: Verdict | None = None
    calibration: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None

    @property
    def status(self) -> str:
        """Status of the verdict or the calibration; without one, the outcome."""
        if self.verdict is not None:
            return self.verdict.status
        return self.outcome if self.calibration is None else str(self.calibration["status"])

    @property
    def word(self) -> str:
        """The status in capitals, with what qualifies it."""
        degenerate = "*" if self.verdict is not None and self.verdict.degenerate else ""
        marked = {"xfailed": " (xfail)", "xpassed": " (xpass)"}.get(self.outcome, "")
        return self.status.upper() + degenerate + ("" if self.verdict is None else marked)

    @property
    def reason(self) -> str:
        """Why it is not supported, or has no verdict."""
        given = self.verdict.reason if self.verdict is not None else (self.calibration or {}).get("reason")
        return self.message or str(given or "")

    @property
    def p_value(self) -> float | None:
        """The p-value that decides; see `Verdict.deciding_p`."""
        return None if self.verdict is None else self.verdict.deciding_p

    @property
    def shown_p(self) -> str:
        """The p-value that decides as text, or a dash."""
        return "-" if self.verdict is None else p_of(self.verdict.to_dict())


@dataclass(frozen=True, slots=True)
class Failure:
    """Condition runs that failed in the same way.

    Attributes
    ----------
    condition : str
        Name of the condition.
    replicates : tuple of int
        Which ones.
    seed : int
        Of the first.
    step : str
        Data source, treatment, step or hook that raised.
    error : str
        Type and text of the exception.
    traceback : str
        The user's part of the traceback, of the first.
    command : str
        What repeats the first, in the directory in which pytest was started.
    """

    condition: str
    replicates: tuple[int, ...]
    seed: int
    step: str
    error: str
    traceback: str
    command: str


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """What one experiment gave.

    Attributes
    ----------
    id, name, where : str
        Unique id, name with parameters, and ``file:line``.
    seed : int
        Root seed.
    seed_drawn : bool
        Whether it was drawn at random.
    planned, run : int
        Replicates that were planned, and how many were run: fewer, if it was stopped early or interrupted.
    conditions, off : tuple of str
        All conditions, the baseline first; and the treatments that are switched off.
    condition_runs, cached : int
        How many condition runs there are, and how many of them came from the cache.
    seconds : mapping of str to float
        Compute time by condition.
    digests : mapping of str to str
        Digest of the metrics that are not measured, by condition.
    seeds : tuple of int or None
        Of each replicate; None where there is no record of it.
    samples : mapping
        Metric -> condition -> one value per replicate; None where there is none. Several numbers in one
        replicate are averaged.
    measured : tuple of str
        Metrics that no seed repeats.
    tests : tuple of Outcome
        In order of collection.
    failures : tuple of Failure
        Failed condition runs, by kind.
    notes : tuple of str
        What else is worth knowing.
    """

    id: str
    name: str
    where: str
    seed: int
    seed_drawn: bool
    planned: int
    run: int
    conditions: tuple[str, ...]
    off: tuple[str, ...]
    condition_runs: int
    cached: int
    seconds: Mapping[str, float]
    digests: Mapping[str, str]
    seeds: tuple[int | None, ...]
    samples: Mapping[str, Mapping[str, Sequence[Any]]]
    measured: tuple[str, ...]
    tests: tuple[Outcome, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]

    @property
    def extent(self) -> str:
        """How many replicates of how many conditions, in words."""
        many = counted(self.planned, "replicate")
        if self.run < self.planned:
            many = f"{self.run} of {many}"
        return f"{many} of {counted(len(self.seconds), 'condition')}"


@dataclass(frozen=True, slots=True)
class SessionResults:
    """What a session gave.

    Attributes
    ----------
    started : str
        Date and time, ISO 8601, UTC.
    seconds : float
        Wall time.
    exit_status : int
        Of pytest.
    arguments : tuple of str
        Command line.
    commit : str or None
        Git commit that was checked out.
    versions : mapping of str to str
        Of Python and packages.
    experiments : tuple of ExperimentResults
        In order of collection.
    notes : tuple of str
        What the summary of the session says of no experiment in particular.
    """

    started: str
    seconds: float
    exit_status: int
    arguments: tuple[str, ...]
    commit: str | None
    versions: Mapping[str, str]
    experiments: tuple[ExperimentResults, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return every field, and the name of the schema first."""
        return {"schema": SCHEMA, **asdict(self)}

    def headline(self) -> tuple[str, str]:
        """Return how many hypotheses passed, and what became of the others."""
        outcomes = [outcome for each in self.experiments for outcome in each.tests]
        counts = Counter(outcome.status for outcome in outcomes if outcome.hypothesis)
        expected = Counter(outcome.status for outcome in outcomes if outcome.outcome == "xfailed")
        parts = [
            f"{counts[status]} {status}" + (f" ({expected[status]} expected)" if expected[status] else "")
            for status in _OPEN
            if counts[status]
        ]
        if broken := sum(not each.hypothesis and each.outcome in _BROKEN for each in outcomes):
            parts.append(f"{counted(broken, 'experiment')} without hypotheses failed")
        rest = ", ".join(parts)
        total = sum(counts.values())
        if not total:
            return "No hypotheses tested", rest
        good = "calibrated" if counts["calibrated"] + counts["miscalibrated"] else "supported"
        return f"{counts[good]} of {total} {'hypothesis' if total == 1 else 'hypotheses'} {good}", rest


@dataclass(frozen=True, slots=True)
class Told:
    """What the reports of one test told the controlling process."""

    outcome: str
    message: str = ""
    expected: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)


def verdict_of(payload: Mapping[str, Any]) -> Verdict | None:
    """Return the verdict that a report carried; None if it carried none on a hypothesis."""
    found = payload.get("verdict")
    if found is None or not found["hypothesis"]:
        return None
    interval = None if found["interval"] is None else tuple(found["interval"])
    return Verdict(**{**found, "interval": interval, "trail": tuple(map(tuple, found["trail"]))})


def experiment_results(
    key: str,
    known: Mapping[str, Any],
    told: Mapping[str, Told],
    records: Sequence[RunRecord],
    *,
    summary: ExperimentSummary | None,
    commands: Mapping[str, Sequence[str]],
) -> ExperimentResults:
    """Put together what became of one experiment.

    Parameters
    ----------
    key : str
        Id of the experiment.
    known : mapping
        Its announcement.
    told : mapping of str to Told
        By node id, of the tests that were reported.
    records : sequence of RunRecord
        Every condition run that is there, in whatever order.
    summary : ExperimentSummary or None
        None, if none of its tests was reported.
    commands : mapping of str to sequence of str
        By node id, what repeats a test; the selected tests in order of collection.
    """
    last = max((record.replicate + 1 for record in records), default=0)
    run = last if summary is None else min(summary.run, last)
    conditions = known["conditions"]
    there = {record.condition for record in records}
    arms = runs_by_condition(records, [name for name in conditions if name in there], run)
    kept = [record for arm in arms.values() for record in arm.records if record is not None]
    tests = [
        _outcome(nodeid, names, told.get(nodeid), commands[nodeid])
        for nodeid, names in known["tests"].items()
        if nodeid in commands
    ]
    order = {nodeid: place for place, nodeid in enumerate(commands)}
    tests.sort(key=lambda outcome: order[outcome.test])
    return ExperimentResults(
        id=key,
        name=known["name"],
        where=known["where"],
        seed=known["seed"],
        seed_drawn=known["seed_drawn"],
        planned=known["replicates"],
        run=run,
        conditions=tuple(conditions),
        off=tuple(known["off"]),
        condition_runs=len(kept),
        cached=sum(map(_is_cached, kept)),
        seconds={
            name: math.fsum(
                record.seconds for record in arm.records if record is not None and not _is_cached(record)
            )
            for name, arm in arms.items()
        },
        digests={
            name: digest(record for record in arm.records if record is not None) for name, arm in arms.items()
        },
        seeds=_seeds(arms, run),
        samples=_samples(arms),
        measured=tuple(sorted(frozenset().union(*(arm.measured for arm in arms.values())))),
        tests=tuple(tests),
        failures=tuple(_failures(kept, tests, commands)),
        notes=() if summary is None else (*summary.unread, *notes(summary)),
    )


def _outcome(nodeid: str, names: Sequence[str], told: Told | None, command: Sequence[str]) -> Outcome:
    hypothesis, treatment = names
    repeat = shlex.join(command)
    if told is None:
        return Outcome(nodeid, hypothesis, treatment, "not run", repeat)
    return Outcome(
        nodeid,
        hypothesis,
        treatment,
        told.outcome,
        repeat,
        told.message,
        told.expected,
        verdict_of(told.payload),
        told.payload.get("calibration"),
        told.payload.get("reference"),
    )


def _is_cached(record: RunRecord) -> bool:
    return bool(getattr(record, "cached", False))


def _seeds(arms: Mapping[str, ConditionRuns], run: int) -> tuple[int | None, ...]:
    """Return the seed of each replicate; all conditions share them."""
    seeds = {
        record.replicate: record.seed for arm in arms.values() for record in arm.records if record is not None
    }
    return tuple(seeds.get(replicate) for replicate in range(run))


def _samples(arms: Mapping[str, ConditionRuns]) -> dict[str, dict[str, list[Any]]]:
    samples: dict[str, dict[str, list[Any]]] = {}
    for condition, arm in arms.items():
        names = [
            frozenset()
            if record is None or not record.succeeded
            else {entry.name for entry in record.metrics}
            for record in arm.records
        ]
        for metric, values in arm.sample(arm.metrics).items():
            samples.setdefault(metric, {})[condition] = [
                value if metric in recorded else None for value, recorded in zip(values, names, strict=True)
            ]
    return samples


def _failures(
    records: Sequence[RunRecord], tests: Sequence[Outcome], commands: Mapping[str, Sequence[str]]
) -> list[Failure]:
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        if record.error is not None:
            groups.setdefault(kind_of_failure(record), []).append(record)
    failures = []
    for group in groups.values():
        first = group[0]
        assert first.error is not None
        about = next((t for t in tests if t.treatment in ("", first.condition)), None) or next(
            iter(tests), None
        )
        repro = (f"--crystallize-repro={first.replicate}:{typed(first.condition)}",)
        failures.append(
            Failure(
                first.condition,
                tuple(record.replicate for record in group),
                first.seed,
                first.error.step,
                str(first.error),
                first.error.traceback,
                "" if about is None else shlex.join([*commands[about.test], *repro]),
            )
        )
    return failures
