"""Warnings that name the line of the user's that led to them."""

from __future__ import annotations

import inspect
import warnings
from typing import Final

from crystallize.errors import CrystallizeWarning

_BETWEEN: Final = ("crystallize.", "contextlib")
"""Modules whose lines say nothing to a user."""


def warn(text: str) -> None:
    """Warn at the line that called Crystallize."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, CrystallizeWarning, stacklevel=level)
