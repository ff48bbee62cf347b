"""Results as tables: one row per recorded value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.context.recording import is_number
from crystallize.errors import MissingExtraError


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
    try:
        import pandas as pd  # optional: extra "pandas"
    except ImportError as error:
        raise MissingExtraError(
            "to_frame needs pandas; install it with pip install 'pytest-crystallize[pandas]'"
        ) from error
    listed = list(rows)
    table = pd.DataFrame(listed, columns=list(Row._fields))
    table["unit"] = pd.Series([row.unit for row in listed], dtype=object)  # ints stay ints beside None
    if all(map(is_number, table["value"])):
        table["value"] = table["value"].astype(float)
    return table
