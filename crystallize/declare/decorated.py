"""What a decorator puts in the place of a function, and how that is pickled."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, cast

from crystallize.errors import DefinitionError


def named(module: str, qualname: str) -> Any:
    """Return what a module that is loaded holds under a name, or None."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


class Declared:
    """Base of what a decorator puts in a function's place; pickled by name, as functions are."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise DefinitionError(f"a function is declared here, not {function!r}")
        functools.update_wrapper(cast("Callable[..., Any]", self), function)
        self.function = function

    def __reduce__(self) -> str | tuple[Any, ...]:
        qualname: str = self.__qualname__
        return qualname if named(self.__module__, qualname) is self else self.reduce_by_value()

    def reduce_by_value(self) -> tuple[Any, ...]:
        """Return what makes it again where its module is another one."""
        return (type(self), (self.function,))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.__qualname__}>"

    def __copy__(self) -> Declared:
        return self

    def __deepcopy__(self, memo: object) -> Declared:
        return self
