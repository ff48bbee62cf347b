"""What is behind a callable, and where it is defined: the file and line that errors and reports name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_crystallize.pytest_seam import get_real_func, getfslineno


def place_of(obj: Any) -> tuple[str | Path, int]:
    """Return file and line (from 0) of a function, a class, or what is called in an object's place."""
    path, line = getfslineno(obj)
    return (path, line) if path else getfslineno(type(obj).__call__)


def real_function(obj: Any) -> Any:
    """Return the function that something wraps, or is a partial function of, as pytest sees it."""
    try:
        return get_real_func(getattr(obj, "__func__", obj))  # type: ignore[no-untyped-call]
    except Exception:  # an object that makes up attributes
        return obj
