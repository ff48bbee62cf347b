"""Imports of the plugin's and the library's own modules, without rewritten assertions."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder

_PACKAGES = ("crystallize", "pytest_crystallize")
_LAST = "pytest_crystallize.session.activation"


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Find a module of ours as Python does."""
        return PathFinder.find_spec(name, path) if name.partition(".")[0] in _PACKAGES else None


@contextmanager
def unrewritten() -> Iterator[None]:
    """Have modules of ours be loaded by Python's own loader.

    pytest rewrites the assertions of every distribution that has a plugin, and reads what it has rewritten
    four times as slowly as Python does; that is a tenth of a small session. So is looking for garbage among
    what they define, while they are loaded and when pytest looks for it at the end: all of it stays.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    is_first, collects = _LAST not in sys.modules, gc.isenabled()
    if is_first:
        gc.disable()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if is_first:
            gc.freeze()
        if collects:
            gc.enable()
