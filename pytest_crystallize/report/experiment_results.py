"""From records and what the reports of tests told to the results of an experiment."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from crystallize import ConditionRuns
from crystallize.seam import (
    CaseNames,
    ExperimentResults,
    Outcome,
    Used,
    cached_runs,
    counted,
    facts_of,
    failures_of,
    seconds_of,
    unit_results,
)
from pytest_crystallize.naming.ids import repro_option
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.report.judged import Judged
from pytest_crystallize.report.told import Told, ToldTests


def experiment_results(
    key: str,
    known: Announced,
    told: ToldTests,
    runs: Mapping[str, ConditionRuns],
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
    runs : mapping of str to ConditionRuns
        All conditions, with as many replicates as were planned.
    node : str
        See `ExperimentResults`.
    commands : mapping of str to sequence of str
        By node id, what repeats a test; the selected tests in order of collection.
    """
    judged, cases = list(told.judged(key)), CaseNames.announced(known.cases)
    last = max(arm.records.reached for arm in runs.values())
    run = min(max((each.run for each in judged), default=last), last)
    enough = {name: n for each in judged for name, n in each.enough.items()}
    conditions = known.conditions
    counted = {name: arm.first(min(enough.get(name, run), run)).padded(run) for name, arm in runs.items()}
    arms = {name: arm for name, arm in counted.items() if arm.records.present}
    tests = tuple(
        outcome_told(nodeid, known.tests[nodeid], told.of_test(nodeid), command)
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
        **facts_of(arms, run),
        tests=tests,
        failures=tuple(failures_of(arms.values(), lambda *about: _repeated(tests, commands, *about), cases)),
        cases=cases,
        units=unit_results(cases, arms),
        notes=tuple(_notes(known, run, enough, judged, tests)) if judged else (),
        node=node,
        used=_used(known, arms, judged) if judged else None,
    )


def outcome_told(nodeid: str, names: Sequence[str], told: Told | None, command: Sequence[str]) -> Outcome:
    """Return what was told of a test, which is about a hypothesis and a treatment, as its outcome."""
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
    tests: Sequence[Outcome], commands: Mapping[str, Sequence[str]], condition: str, replicate: int
) -> str:
    """Return what repeats a run: by a test that is about its condition, if there is one."""
    about = next((t for t in tests if t.treatment in ("", condition)), None) or next(iter(tests), None)
    return "" if about is None else shlex.join([*commands[about.test], repro_option(condition, replicate)])


def _used(known: Announced, arms: Mapping[str, ConditionRuns], judged: Sequence[Judged]) -> Used:
    about = {name for each in judged for name in each.conditions}
    used = {name: arm for name, arm in arms.items() if name in about}
    steps = Counter[str]()
    for arm in used.values():
        for one, times in arm.records.kinds():
            if not one.cached:
                steps.update(dict.fromkeys(one.cached_steps, times))
    caches = [each.cache for each in judged]
    return Used(
        tuple(name for name in known.conditions if name in about),
        max(each.run for each in judged),
        math.fsum(map(seconds_of, used.values())),
        cached_runs(used.values()),
        len({unit for cache in caches for unit in cache.verified}),
        steps,
        next((cache.why_run for cache in caches if cache.why_run), None),
        next((cache.changes for cache in caches if cache.changes), ""),
        next((cache.measured_on for cache in caches if cache.measured_on), ()),
        {}
        if any(hypothesis for hypothesis, _ in known.tests.values())
        else {name: {metric: arm.mean(metric) for metric in arm.names} for name, arm in used.items()},
        sum(arm.records.present for arm in used.values()),
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
