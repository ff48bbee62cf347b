"""Files that sessions and results have left, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from crystallize import Verdict
from crystallize.seam import (
    REFERENCE_FORMAT,
    REPORT_FORMAT,
    RESULT_FORMAT,
    OfCondition,
    UnitResults,
    from_strict_json,
    read_regular,
    verdict_fields,
)
from pytest_crystallize.command.main import CommandError
from pytest_crystallize.records.shards import SHARD_FORMAT
from pytest_crystallize.results import ExperimentResults, Failure, Outcome, SessionResults, Used

_KNOWN: Final = {
    REPORT_FORMAT: "a report (--crystallize-report=report.json)",
    REFERENCE_FORMAT: "a reference (--crystallize-save)",
    RESULT_FORMAT: "a result (Result.save)",
    SHARD_FORMAT: "the file of a shard (--crystallize-shard)",
}
_LARGEST: Final = 1 << 32  # bytes


def read_data(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Return the schema of a file of ours, and its data.

    Raises
    ------
    CommandError
        If it can't be read, or is none of ours.
    """
    try:
        lines = read_regular(path, _LARGEST).decode()
    except OSError as fault:
        raise CommandError(f"{path} can't be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise CommandError(f"{path} is not UTF-8: {fault}") from fault
    if lines.startswith(f'{{"format": "{RESULT_FORMAT}"'):  # two lines, of which the second is the result
        return RESULT_FORMAT, {}
    known = ", ".join(_KNOWN.values())
    try:
        data = json.loads(lines)
    except (ValueError, RecursionError) as fault:
        raise CommandError(f"{path} is no JSON, or was cut off ({fault}); what is read: {known}") from fault
    schema = (data.get("schema") or data.get("format")) if isinstance(data, dict) else None
    if schema not in _KNOWN:
        named = f"has the schema {schema!r}" if schema else "names no schema"
        raise CommandError(f"{path} {named}, and is none of what this version reads: {known}")
    return schema, data


def other_than(path: str | Path, schema: str, wanted: str) -> CommandError:
    """Return the error that a file is something else than what is wanted."""
    return CommandError(f"{path} is {_KNOWN[schema]}; give {wanted}")


def session_results(path: str | Path, data: Mapping[str, Any]) -> SessionResults:
    """Return what a report holds.

    Raises
    ------
    CommandError
        If something is missing in it.
    """
    try:
        known = {name: value for name, value in data.items() if name != "schema"}
        lists = {name: tuple(known[name]) for name in ("arguments", "notes")}
        experiments = tuple(map(_experiment, known["experiments"]))
        return SessionResults(**_of(SessionResults, {**known, **lists, "experiments": experiments}))
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise CommandError(f"{path} is no whole report: {type(fault).__name__}: {fault}") from fault


def _experiment(data: Mapping[str, Any]) -> ExperimentResults:
    tests = tuple(map(_outcome, data["tests"]))
    node = "" if not tests else tests[0].test.rpartition("::")[0]
    lists = {name: tuple(data[name]) for name in ("conditions", "off", "seeds", "measured", "notes")}
    used = Used(
        conditions=tuple(data["seconds"]),
        run=data["run"],
        seconds=sum(data["seconds"].values()),
        cached=data["cached"],
        runs=data["condition_runs"],
    )
    failures = tuple(
        Failure(**_of(Failure, {**each, **{n: tuple(each[n]) for n in ("replicates", "cases") if n in each}}))
        for each in data["failures"]
    )
    samples = {
        metric: {condition: from_strict_json(values) for condition, values in arms.items()}
        for metric, arms in data["samples"].items()
    }
    made = {"tests": tests, "failures": failures, "samples": samples, "node": node, "used": used}
    units = tuple(map(_unit, data.get("units", ())))
    return ExperimentResults(**_of(ExperimentResults, {**data, **lists, **made, "units": units}))


def _unit(data: Mapping[str, Any]) -> UnitResults:
    conditions = {
        name: OfCondition(
            {metric: from_strict_json(value) for metric, value in of["metrics"].items()},
            {note: tuple(values) for note, values in of["notes"].items()},
            tuple(of["errors"]),
        )
        for name, of in data["conditions"].items()
    }
    return UnitResults(data["id"], data["slice"], conditions)


def _outcome(data: Mapping[str, Any]) -> Outcome:
    known = data["verdict"]
    verdict = None if known is None else Verdict.from_dict(_of(Verdict, verdict_fields(known)))
    return Outcome(**_of(Outcome, {**data, "verdict": verdict}))


def _of(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows: later ones may add some."""
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in data.items() if name in known}
