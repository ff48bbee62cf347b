"""Files of results: JSON that gives back every value with its type, bit for bit, and is read strictly.

::

    {"format": "crystallize-result-1", "check": digest of what follows, "result": {...}}

Numbers that JSON lacks are ``{"$float": "nan"}``, ``"inf"``, ``"-inf"``, or the 64 bits of another nan in
hexadecimal digits. A tuple is ``{"$tuple": [...]}``, and an object of the user's whose only key begins with
``$`` is ``{"$object": it}``. Readers ignore the fields that they do not know.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.recordable import Claimed
from crystallize.analysis.verdict import Verdict
from crystallize.boundary import shown
from crystallize.context.record import ArtifactEntry, RunError, RunRecord
from crystallize.context.record_table import Records, RecordTable
from crystallize.context.recording import CallEntry, MetricEntry
from crystallize.context.trace import Scope
from crystallize.errors import ResultFileError
from crystallize.experiment.result_metrics import HypothesisResult
from crystallize.experiment.result_parts import ResultParts
from crystallize.experiment.run_failure import RunFailure
from crystallize.identity.provenance import Machine
from crystallize.report.case_names import CaseNames
from crystallize.storage.atomic import write_output
from crystallize.storage.versioned import FileFormat

RESULT: Final = FileFormat(
    name="crystallize-result-1",
    noun="saved result",
    writer="Result.save",
    again="save the result again",
    largest=4 << 30,
    error=ResultFileError,
)

_FLOAT: Final = "$float"
_OBJECT: Final = "$object"
_TUPLE: Final = "$tuple"
_NAN: Final = struct.pack(">d", math.nan)
_PLAIN: Final = ("error", "skipped", "sections", "cached", "impure", "cached_steps", "notes")


def write_result(path: Path, parts: ResultParts) -> None:
    """Write a result to a file, whole or not at all.

    Raises
    ------
    OSError
        If it can't be written.
    """
    result = json.dumps(_encoded(_data(parts)), allow_nan=False)
    head = json.dumps({"format": RESULT.name, "check": _check(result)})
    write_output(path, f'{head[:-1]}, "result": {result}}}\n'.encode(), durable=True)


def read_result(path: Path) -> ResultParts:
    """Read what `write_result` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ResultFileError
        If it can't be read, holds no result of this format, or not all that was written.
    """
    with RESULT.telling(path):
        return _parts(read_data(path))


def read_data(path: Path) -> dict[str, Any]:
    """Return the data of a file, and make nothing of them; raises as `read_result`."""
    with RESULT.telling(path):
        data = RESULT.read(path)
        if data["check"] != _check(json.dumps(data["result"])):
            raise RESULT.damaged()
        return cast("dict[str, Any]", _decoded(data["result"]))


def _check(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


# Values.


def _encoded(value: Any) -> Any:
    """Return a value as data that JSON has, so that `_decoded` gives it back; of what is none its repr."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else {_FLOAT: _word(value)}
    if value is None or kind in (str, int, bool):
        return value
    if isinstance(value, Mapping):
        plain = {str(key): _encoded(item) for key, item in value.items()}
        return {_OBJECT: plain} if len(plain) == 1 and next(iter(plain)).startswith("$") else plain
    if kind is list:
        return [_encoded(item) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [_encoded(item) for item in value]}
    if isinstance(value, np.generic | np.ndarray):
        return _encoded(value.tolist())
    return shown(value)


def _word(value: float) -> str:
    bits = struct.pack(">d", value)
    return bits.hex() if math.isnan(value) and bits != _NAN else repr(value)


def _decoded(value: Any) -> Any:
    if type(value) is list:
        return [_decoded(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        if _FLOAT in value:
            word = value[_FLOAT]
            return (
                float(word) if word in ("nan", "inf", "-inf") else struct.unpack(">d", bytes.fromhex(word))[0]
            )
        if _TUPLE in value:
            return tuple(_decoded(value[_TUPLE]))
        if _OBJECT in value:
            value = value[_OBJECT]
    return {key: _decoded(item) for key, item in value.items()}


# Parts.


def _data(parts: ResultParts) -> dict[str, Any]:
    traces: dict[str, int] = {}
    return {
        **{each.name: getattr(parts, each.name) for each in fields(parts)},
        "conditions": {
            name: {
                "replicates": len(runs.records),
                "records": [_record_data(record, traces) for record in runs.records if record is not None],
            }
            for name, runs in parts.conditions.items()
        },
        "traces": [json.loads(text) for text in traces],
        "hypotheses": [_hypothesis_data(each) for each in parts.hypotheses],
        "errors": [asdict(error) for error in parts.errors],
        "machine": None if parts.machine is None else asdict(parts.machine),
        "cases": None if parts.cases is None else asdict(parts.cases),
    }


def _parts(data: dict[str, Any]) -> ResultParts:
    traces = [Scope.from_json(trace) for trace in data["traces"]]
    cases, machine = data["cases"], data["machine"]
    read: dict[str, Any] = {
        "conditions": {name: _runs(name, of, traces) for name, of in data["conditions"].items()},
        "hypotheses": tuple(map(_hypothesis, data["hypotheses"])),
        "errors": tuple(RunFailure(**error) for error in data["errors"]),
        "machine": None if machine is None else Machine(**machine),
        "cases": None if cases is None else CaseNames.announced({**cases, "named": cases["cases"]}),
    }
    return ResultParts(**{each.name: data[each.name] for each in fields(ResultParts)} | read)


def _hypothesis_data(each: HypothesisResult) -> dict[str, Any]:
    return {
        "name": each.name,
        "claimed": [list(metric) for metric in each.claimed],
        "ranking": each.ranking,
        "verdicts": {treatment: verdict.to_dict() for treatment, verdict in each.verdicts.items()},
    }


def _hypothesis(data: dict[str, Any]) -> HypothesisResult:
    return HypothesisResult.read(
        data["name"],
        {treatment: Verdict.from_dict(verdict) for treatment, verdict in data["verdicts"].items()},
        claimed=[Claimed(*each) for each in data["claimed"]],
        ranking=data["ranking"],
    )


def _record_data(record: RunRecord, traces: dict[str, int]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "replicate": record.replicate,
        "seed": record.seed,
        "metrics": [list(entry) for entry in record.metrics],
        "seconds": record.seconds,
        "trace": [traces.setdefault(scope.to_text(), len(traces)) for scope in record.scopes],
    }
    for name in (*_PLAIN, "artifacts", "calls"):
        if value := getattr(record, name):
            data[name] = asdict(value) if name == "error" else value
    return data


def _runs(name: str, data: dict[str, Any], traces: list[Scope]) -> ConditionRuns:
    table, size = RecordTable(), data["replicates"]
    for known in data["records"]:
        record = _record(name, known, traces)
        if not 0 <= record.replicate < size:
            raise ValueError(f"{name!r} has a replicate {record.replicate} of {size}")
        table.put(record)
    return ConditionRuns(name, Records(table, size))


def _record(condition: str, data: dict[str, Any], traces: list[Scope]) -> RunRecord:
    given = {name: data[name] for name in _PLAIN if name in data}
    if "error" in given:
        given["error"] = RunError(**given["error"])
    return RunRecord(
        condition,
        data["replicate"],
        data["seed"],
        metrics=tuple(MetricEntry(*entry) for entry in data["metrics"]),
        scopes=tuple(traces[place] for place in data["trace"]),
        seconds=data["seconds"],
        artifacts=tuple(ArtifactEntry(*entry) for entry in data.get("artifacts", ())),
        calls=tuple(CallEntry(*entry) for entry in data.get("calls", ())),
        **given,
    )
