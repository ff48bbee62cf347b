"""Files that sessions and results have left, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from crystallize import Verdict
from crystallize.seam import (
    REFERENCE,
    REPORT,
    RESULT,
    FileFormat,
    OfCondition,
    UnitResults,
    from_strict_json,
    read_regular,
    telling,
    verdict_fields,
)
from pytest_crystallize.command.main import CommandError
from pytest_crystallize.records.shards import SHARD
from pytest_crystallize.results import ExperimentResults, Failure, Outcome, SessionResults, Used

_READ: Final = (REPORT, REFERENCE, RESULT, SHARD)


def read_data(path: str | Path) -> tuple[FileFormat, dict[str, Any]]:
    """Return the format of a file of ours, and its data, but for those of a saved result: `Result.load` does.

    Raises
    ------
    FileFormatError
        If it can't be read, or is none of ours.
    """
    with telling(path, "file of Crystallize"):
        text = read_regular(path, REPORT.largest)
        if text.startswith(b'{"format": "%s"' % RESULT.name.encode()):
            return RESULT, {}
        data = json.loads(text)
        for known in _READ:
            if isinstance(data, dict) and known.is_meant_by(data.get(known.key)):
                with known.telling(path):
                    return known, known.checked(data)
        raise ValueError(f"it names none of the formats that are read: {', '.join(map(str, _READ))}")


def other_than(path: str | Path, found: FileFormat, wanted: str) -> CommandError:
    """Return the error that a file is something else than what is wanted."""
    return CommandError(f"{path} is a {found.noun}; give {wanted}")


def session_results(path: str | Path, data: Mapping[str, Any]) -> SessionResults:
    """Return what a report holds.

    Raises
    ------
    FileFormatError
        If something is missing in it.
    """
    with REPORT.telling(path):
        known = {name: value for name, value in data.items() if name != "schema"}
        lists = {name: tuple(known[name]) for name in ("arguments", "notes")}
        experiments = tuple(map(_experiment, known["experiments"]))
        return SessionResults(**_of(SessionResults, {**known, **lists, "experiments": experiments}))


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
