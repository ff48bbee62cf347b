"""How pandas objects are hashed; pandas is used only if it is loaded, and never imported."""

from __future__ import annotations

import sys
from typing import Any

from crystallize.identity.encoder import PACKAGES, Encoder


def write_pandas(encoder: Encoder, value: Any) -> bool:
    """Add a frame, series, index, column or scalar of pandas; return whether it was one."""
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False
    if value is pandas.NaT or value is pandas.NA:
        encoder.text(b"H", str(value))
    elif isinstance(value, pandas.DataFrame):
        _write_frame(encoder, value)
    elif isinstance(value, pandas.Series):
        _write_labelled(encoder, value, value.index)
        encoder.inside(".array", value.array)
    elif isinstance(value, pandas.MultiIndex):
        encoder.text(b"o", type(value).__name__)
        encoder.inside(".names", list(value.names))
        for level in range(value.nlevels):
            encoder.inside(f".get_level_values({level})", value.get_level_values(level).array)
    elif isinstance(value, pandas.Index):
        encoder.text(b"o", type(value).__name__)
        encoder.inside(".name", value.name)
        encoder.add(b"x%s;" % str(getattr(value, "freqstr", None)).encode())
        encoder.inside(".array", value.array)
    elif isinstance(value, pandas.api.extensions.ExtensionArray):
        _write_column(encoder, value, pandas)
    elif isinstance(value, pandas.api.extensions.ExtensionDtype):
        encoder.text(b"Y", str(value))
        if isinstance(value, pandas.CategoricalDtype):
            encoder.inside(".categories", value.categories)
            encoder.write(value.ordered)
    elif isinstance(value, pandas.Timestamp | pandas.Timedelta):
        encoder.text(b"o", type(value).__name__)
        encoder.text(b"", value.unit)
        encoder.write(value.value)
        if isinstance(value, pandas.Timestamp):
            encoder.write(value.fold)
            encoder.text(b"", str(value.tz))
    elif isinstance(value, pandas.Period):
        encoder.text(b"o", f"Period {value.freqstr} {value.ordinal}")
    elif isinstance(value, pandas.Interval):
        encoder.text(b"o", f"Interval {value.closed}")
        encoder.write((value.left, value.right))
    else:
        return False
    return True


def _write_labelled(encoder: Encoder, value: Any, index: Any) -> None:
    encoder.text(b"o", f"{type(value).__module__}.{type(value).__qualname__}")
    encoder.inside(".name", getattr(value, "name", None))
    encoder.inside(".index", index)
    encoder.inside(".attrs", value.attrs)
    encoder.write(value.flags.allows_duplicate_labels)


def _write_frame(encoder: Encoder, frame: Any) -> None:
    _write_labelled(encoder, frame, frame.index)
    encoder.inside(".columns", frame.columns)
    for number, label in enumerate(frame.columns):
        encoder.inside(f"[{label!r}]", frame.iloc[:, number].array)


def _write_column(encoder: Encoder, column: Any, pandas: Any) -> None:
    """Add the items of an extension array: codes of categories, plain arrays, or objects one by one."""
    encoder.text(b"X", f"{type(column).__name__} {column.dtype}")
    if isinstance(column.dtype, pandas.CategoricalDtype):
        encoder.inside(".categories", column.categories)
        encoder.write(column.ordered)
        encoder.write(column.codes)
    elif isinstance(column.dtype, pandas.core.dtypes.dtypes.NumpyEADtype):
        encoder.write(column.to_numpy())
    elif isinstance(column.dtype, pandas.DatetimeTZDtype):
        encoder.write(column.asi8)
    elif (plain := getattr(column.dtype, "numpy_dtype", None)) is not None and plain.kind in "biuf":
        missing = column.isna()
        encoder.write(missing)
        encoder.write(column.to_numpy(dtype=plain, na_value=plain.type(0)))
    else:
        encoder.write(column.to_numpy(dtype=object))


PACKAGES["pandas"] = write_pandas
