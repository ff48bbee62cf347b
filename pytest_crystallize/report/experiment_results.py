"""From records and what the reports of tests told to the results of an experiment."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crystallize import ConditionRuns, RunRecord
from crystallize.seam import digest, runs_by_condition
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.report.case_names import CaseNames
from pytest_crystallize.report.failures import failures_of
from pytest_crystallize.report.judged import Judged
from pytest_crystallize.report.model import ExperimentResults, Outcome, Used
from pytest_crystallize.report.text import counted
from pytest_crystallize.report.told import Told, ToldTests
from pytest_crystallize.report.unit_results import unit_results


def experiment_results(
    key: str,
    known: Announced,
    told: ToldTests,
    records: Iterable[RunRecord],
    *,
    node: str,
    commands: Mapping[str, Sequence[str]],
) -> ExperimentResults:
    """Put together what became of one experiment.

    Parameters
    ----------
    key : str
        Id of the experiment.
    known : Announced
        What is known of it without its runs.
    told : ToldTests
        What the reports of its tests told.
    records : iterable of RunRecord
        Every condition run that is there, in whatever order.
    node : str
        See `ExperimentResults`.
    commands : mapping of str to sequence of str
        By node id, what repeats a test; the selected tests in order of collection.
    """
    records, judged = list(records), list(told.judged(key))
    cases = CaseNames.announced(known.cases)
    last = max((record.replicate + 1 for record in records), default=0)
    run = min(max((each.run for each in judged), default=last), last)
    enough = {name: n for each in judged for name, n in each.enough.items()}
    records = [record for record in records if record.replicate < enough.get(record.condition, run)]
    conditions = known.conditions
    there = {record.condition for record in records}
    arms = runs_by_condition(records, [name for name in conditions if name in there], run)
    kept = list(_records(arms))
    tests = tuple(
        _outcome(nodeid, known.tests[nodeid], told.of_test(nodeid), command)
        for nodeid, command in commands.items()
    )
    return ExperimentResults(
        id=key,
        name=known.name,
        where=known.where,
        seed=known.seed,
        seed_drawn=known.seed_drawn,
        planned=known.replicates,
        run=run,
        conditions=tuple(conditions),
        off=tuple(known.off),
        condition_runs=len(kept),
        cached=sum(record.cached for record in kept),
        seconds={name: _seconds(arm) for name, arm in arms.items()},
        digests={name: digest(_records({name: arm})) for name, arm in arms.items()},
        seeds=_seeds(kept, run),
        samples=_samples(arms),
        measured=tuple(sorted(frozenset().union(*(arm.measured for arm in arms.values())))),
        tests=tests,
        failures=tuple(failures_of(kept, lambda *about: _repeated(tests, commands, *about), cases)),
        cases=cases,
        units=() if cases is None else tuple(unit_results(cases, arms)),
        notes=tuple(_notes(known, run, enough, judged, tests)) if judged else (),
        node=node,
        used=_used(known, arms, judged) if judged else None,
    )


def _records(arms: Mapping[str, ConditionRuns]) -> Iterator[RunRecord]:
    return (record for arm in arms.values() for record in arm.records if record is not None)


def _outcome(nodeid: str, names: Sequence[str], told: Told | None, command: Sequence[str]) -> Outcome:
    hypothesis, treatment = names
    repeat = shlex.join(command)
    if told is None:
        return Outcome(nodeid, hypothesis, treatment, "not run", repeat)
    judged = told.judged
    return Outcome(
        nodeid,
        hypothesis,
        treatment,
        told.outcome,
        repeat,
        told.message,
        told.expected,
        None if judged is None else judged.claim,
        None if judged is None else judged.calibration,
        None if judged is None else judged.planned,
        None if judged is None else judged.reference,
    )


def _repeated(
    tests: Sequence[Outcome], commands: Mapping[str, Sequence[str]], condition: str, repro: str
) -> str:
    """Return what repeats a run: by a test that is about its condition, if there is one."""
    about = next((t for t in tests if t.treatment in ("", condition)), None) or next(iter(tests), None)
    return "" if about is None else shlex.join([*commands[about.test], repro])


def _seconds(arm: ConditionRuns) -> float:
    return math.fsum(record.seconds for record in arm.records if record is not None and not record.cached)


def _used(known: Announced, arms: Mapping[str, ConditionRuns], judged: Sequence[Judged]) -> Used:
    about = {name for each in judged for name in each.conditions}
    used = {name: arm for name, arm in arms.items() if name in about}
    records = list(_records(used))
    steps = {(r.replicate, r.condition, step) for r in records if not r.cached for step in r.cached_steps}
    caches = [each.cache for each in judged]
    return Used(
        tuple(name for name in known.conditions if name in about),
        max(each.run for each in judged),
        math.fsum(map(_seconds, used.values())),
        sum(record.cached for record in records),
        len({unit for cache in caches for unit in cache.verified}),
        Counter(step for _, _, step in sorted(steps)),
        next((cache.why_run for cache in caches if cache.why_run), None),
        next((cache.changes for cache in caches if cache.changes), ""),
        next((cache.measured_on for cache in caches if cache.measured_on), ()),
        {}
        if any(hypothesis for hypothesis, _ in known.tests.values())
        else {name: {metric: arm.mean(metric) for metric in arm.metrics} for name, arm in used.items()},
        len(records),
    )


def _notes(
    known: Announced,
    run: int,
    enough: Mapping[str, int],
    judged: Sequence[Judged],
    tests: Sequence[Outcome],
) -> Iterator[str]:
    """Yield what else is worth knowing of an experiment's verdicts."""
    yield from dict.fromkeys(line for each in judged for line in each.unread)
    if known.for_family:
        listed = ", ".join(map(repr, known.for_family))
        yield f"{listed} ran for the correction alone, which allows for claims that are not selected"
    verdicts = [test.verdict for test in tests if test.verdict is not None]
    if fewer := [f"{name!r} after {n}" for name, n in enough.items()]:
        yield f"not run on, since all that is claimed of them was decided: {', '.join(fewer)} of {run}"
    for verdict in verdicts:
        if verdict.omitted:
            many = counted(verdict.omitted, "replicate" if known.cases is None else "case")
            verb = "lacks" if verdict.omitted == 1 else "lack"
            yield f"{verdict.hypothesis} [{verdict.treatment}]: {many} of {verdict.planned} {verb} a value"
    yield from dict.fromkeys(verdict.caveat for verdict in verdicts if verdict.caveat)


def _seeds(records: Iterable[RunRecord], run: int) -> tuple[int | None, ...]:
    """Return the seed of each replicate; all conditions share them."""
    seeds = {record.replicate: record.seed for record in records}
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
