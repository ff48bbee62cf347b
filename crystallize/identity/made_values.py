"""Values that are made once for many runs, which are to leave them as they are."""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from crystallize.identity.kept_state import KeptState, set_aside

_MOST: Final = 10_000  # parts of a value
_LARGEST: Final = 10_000_000  # bytes of its arrays and texts
_SCALARS: Final = (bool, int, float, complex, str, bytes, type(None))


class MadeValue:
    """Value of plain data, and what it held when it was made, and once others had been made of it.

    Parameters
    ----------
    value : object
        The value.
    """

    def __init__(self, value: object) -> None:
        self.value = value
        self._states: dict[frozenset[Hashable], KeptState] = {frozenset(): self._now()}

    def _now(self) -> KeptState:
        return KeptState.of({"value": self.value}, ())

    def _is_as(self, state: KeptState) -> bool:
        """Return whether it is in a state; what dictionaries got beside does not count."""
        with set_aside(state.grown().values()):
            return not state.changed(self._now())

    def has_changed(self, used: Collection[Hashable] = ()) -> bool:
        """Return whether it holds something else by now than those always find who use these makers."""
        found = [state for makers, state in self._states.items() if makers.issubset(used)]
        return not self._is_as(found[-1])

    @contextmanager
    def given_to(self, maker: Hashable) -> Iterator[None]:
        """Have what a maker does to it be found by all who use that maker, if it does so only once."""
        earlier = [makers for makers, state in self._states.items() if self._is_as(state)]
        yield
        if earlier and maker not in earlier[-1] and not self._is_as(self._states[earlier[-1]]):
            makers = earlier[-1] | {maker}
            self._states.pop(makers, None)
            self._states[makers] = self._now()


def is_plain_data(value: object) -> bool:
    """Return whether a value is a small container of numbers, texts, arrays and other containers."""
    numpy = sys.modules.get("numpy")
    array = () if numpy is None else numpy.ndarray
    waiting: list[Any] = [value]
    parts = size = 0
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind in (dict, list, tuple, set, frozenset):
            parts += len(part)
            if parts > _MOST:
                return False
            waiting += [*part, *part.values()] if kind is dict else part
        elif isinstance(part, array):
            if part.dtype.hasobject:
                return False
            size += part.nbytes
        elif kind not in _SCALARS:
            return False
        elif kind is str or kind is bytes:
            size += len(part)
        if size > _LARGEST:
            return False
    return type(value) not in _SCALARS
