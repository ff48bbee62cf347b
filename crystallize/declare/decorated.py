"""What a decorator puts in the place of a function, and how that is pickled."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Self, cast

from crystallize.errors import DefinitionError


def named(module: str, qualname: str) -> Any:
    """Return what a module that is loaded holds under a name, or None."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def named_by(declared: object, function: object) -> tuple[Any, ...] | None:
    """Return how something is pickled by name, if a function's name holds it, as behind a decorator."""
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module and qualname and named(module, qualname) is declared:
        return (_import_named, (module, qualname))
    return None


class NamedByFunction:
    """Base of what may be pickled by the name of a function; a copy is another one all the same."""

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = memo[id(self)] = object.__new__(type(self))
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied


def _import_named(module: str, qualname: str) -> Any:
    import_module(module)
    return named(module, qualname)


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return what a function takes; a wrapper that passes on whatever it is given takes what is behind it."""
    try:
        own = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    except (TypeError, ValueError):  # in C, as what `lru_cache` gives
        own = None
    if own is not None and not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in own):
        return own
    if inspect.isfunction(function) and hasattr(function, "__wrapped__"):
        return parameters_of(function.__wrapped__)
    return list(inspect.signature(function).parameters.values())


def takes_ctx(parameters: Iterable[inspect.Parameter], *, behind: int = 0) -> bool:
    """Return whether a function is to be given the context by position, behind so many other arguments.

    A parameter that has a default, and another name, is none.
    """
    parameters = list(parameters)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return any(p.kind is p.VAR_POSITIONAL for p in parameters) or any(
        p.default is p.empty or p.name in ("ctx", "context") for p in positional[behind : behind + 1]
    )


class Declared:
    """Base of what a decorator puts in a function's place; pickled by name, as functions are."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise DefinitionError(f"a function is declared here, not {function!r}")
        functools.update_wrapper(cast("Callable[..., Any]", self), function)
        if not hasattr(function, "__name__"):  # as of `functools.partial`
            named_like = getattr(function, "func", type(function))
            self.__name__ = self.__qualname__ = getattr(named_like, "__name__", type(function).__name__)
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
