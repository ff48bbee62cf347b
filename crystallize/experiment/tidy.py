"""Results as tables: one row per recorded value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, Final, NamedTuple

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.verdict import Verdict
from crystallize.context.recording import is_number
from crystallize.errors import MissingExtraError

_SEVERAL: Final = ("details", "trail", "effect_sizes", "slices")
_ENDS: Final = ("low", "high")


class Row(NamedTuple):
    """Value of a metric; nan where a replicate gave none."""

    condition: str
    replicate: int
    seed: int | None
    metric: str
    unit: str | int | None
    value: Any
    measured: bool


def tidy_rows(conditions: Iterable[ConditionRuns]) -> Iterator[Row]:
    """Yield a row per condition, replicate, metric and unit, in the order in which they were recorded.

    A replicate that failed, or lacks a metric that its condition recorded elsewhere, has a row with nan, so
    that no sample is shortened unseen; a condition without any successful replicate, for every metric there
    is.
    """
    runs = list(conditions)
    known = list(dict.fromkeys(name for one in runs for name in one.names))
    measured = frozenset[str]().union(*(one.measured for one in runs))
    for one in runs:
        expected = one.names or known
        for replicate, record in enumerate(one.records):
            seed = None if record is None else record.seed
            entries = record.metrics if record is not None and record.succeeded else ()
            for name, value, unit, is_measured, _ in entries:
                yield Row(one.condition, replicate, seed, name, unit, value, is_measured)
            recorded = {entry.name for entry in entries}
            for name in expected:
                if name not in recorded:
                    yield Row(one.condition, replicate, seed, name, None, math.nan, name in measured)


def frame(rows: Iterable[Row]) -> Any:
    """Return rows as a pandas DataFrame; `value` is of type float if every value is a number.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    pd = _pandas("to_frame")
    listed = list(rows)
    table = pd.DataFrame(listed, columns=list(Row._fields))
    table["unit"] = pd.Series([row.unit for row in listed], dtype=object)  # ints stay ints beside None
    if all(map(is_number, table["value"])):
        table["value"] = table["value"].astype(float)
    return table


def verdict_frame(verdicts: Iterable[Verdict]) -> Any:
    """Return verdicts as a pandas DataFrame; see `Result.verdicts`.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    pd = _pandas("verdicts")
    names = [each.name for each in fields(Verdict) if each.name not in _SEVERAL]
    columns = [column for name in names for column in (_ENDS if name == "interval" else (name,))]
    columns.insert(columns.index("alpha"), "deciding_p")
    table = pd.DataFrame(list(map(_verdict_row, verdicts)), columns=columns)
    numbers = [each.name for each in fields(Verdict) if each.type == "float | None"]
    return table.astype(dict.fromkeys((*numbers, *_ENDS, "deciding_p"), float))


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    ends = dict(zip(_ENDS, verdict.interval or (None, None), strict=True))
    return {**verdict.to_dict(), **ends, "deciding_p": verdict.deciding_p}


def _pandas(what: str) -> Any:
    try:
        import pandas as pd  # optional: extra "pandas"
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs pandas; install it with pip install 'pytest-crystallize[pandas]'"
        ) from error
    return pd
