"""Values that are made once for many runs, which are to leave them as they are."""

from __future__ import annotations

import sys
from typing import Any, Final

from crystallize.identity.kept_state import KeptState, set_aside

_MOST: Final = 10_000  # parts of a value
_LARGEST: Final = 10_000_000  # bytes of an array
_SCALARS: Final = (bool, int, float, complex, str, bytes, type(None))


class MadeValue:
    """Value of plain data, and what it held when it was made.

    Parameters
    ----------
    value : object
        The value.
    """

    def __init__(self, value: object) -> None:
        self._value = value
        self._before = KeptState.of({"value": value}, ())

    def has_changed(self) -> bool:
        """Return whether it holds something else by now; what dictionaries got beside does not count."""
        with set_aside(self._before.grown().values()):
            return bool(self._before.changed(KeptState.of({"value": self._value}, ())))


def is_plain_data(value: object) -> bool:
    """Return whether a value is a small container of numbers, texts, arrays and other containers."""
    numpy = sys.modules.get("numpy")
    array = () if numpy is None else numpy.ndarray
    waiting: list[Any] = [value]
    parts = 0
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind in (dict, list, tuple, set, frozenset):
            parts += len(part)
            if parts > _MOST:
                return False
            waiting += [*part, *part.values()] if kind is dict else part
        elif isinstance(part, array):
            if part.nbytes > _LARGEST or part.dtype.hasobject:
                return False
        elif kind not in _SCALARS:
            return False
    return type(value) not in _SCALARS
