"""A result as what reports are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator

from crystallize.analysis.verdict import Verdict
from crystallize.experiment.result_parts import ResultParts
from crystallize.report.failures import failures_of
from crystallize.report.model import ExperimentResults, Outcome, SessionResults
from crystallize.report.run_facts import facts_of
from crystallize.report.unit_results import unit_results


def session_of(parts: ResultParts) -> SessionResults:
    """Return a result as the only one of a session."""
    arms = {name: runs for name, runs in parts.conditions.items() if runs.records.present}
    run = parts.replicates
    experiment = ExperimentResults(
        id=parts.name,
        name=parts.name,
        where="",
        seed=parts.root_seed,
        seed_drawn=False,
        planned=parts.planned,
        run=run,
        conditions=tuple(parts.conditions),
        off=(),
        **facts_of({name: runs.padded(run) for name, runs in arms.items()}, run),
        tests=tuple(_outcomes(parts)),
        failures=tuple(failures_of(arms.values(), lambda condition, replicate: "", parts.cases)),
        cases=parts.cases,
        units=unit_results(parts.cases, arms),
        inputs=parts.inputs,
        notes=tuple(dict.fromkeys(verdict.caveat for verdict in _verdicts(parts) if verdict.caveat)),
    )
    return SessionResults(
        started=parts.started,
        seconds=math.fsum(runs.records.seconds() for runs in arms.values()),
        exit_status=None,
        arguments=(),
        commit=parts.commit,
        versions=parts.versions,
        experiments=(experiment,),
        machine=parts.machine,
    )


def _verdicts(parts: ResultParts) -> Iterator[Verdict]:
    for hypothesis in parts.hypotheses:
        yield from hypothesis.verdicts.values()


def _outcomes(parts: ResultParts) -> Iterator[Outcome]:
    for verdict in _verdicts(parts):
        test = f"{parts.name}::{verdict.hypothesis}[{verdict.treatment}]"
        outcome = "passed" if verdict.passed else "failed"
        yield Outcome(test, verdict.hypothesis, verdict.treatment, outcome, "", verdict=verdict)
