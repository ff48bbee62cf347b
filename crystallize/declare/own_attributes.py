"""Attributes that a subclass of the user's has of its own."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any, Final

_PACKAGE: Final = __name__.partition(".")[0]


def is_own(name: str, kind: type) -> bool:
    """Return whether a class that is none of this package has an attribute, or names it in its methods.

    There it may say something, as what an ``__init__`` keeps of its arguments.
    """
    for cls in kind.__mro__:
        if cls.__module__.partition(".")[0] in (_PACKAGE, "builtins"):
            continue
        if name in vars(cls) or any(name in _named_in(member) for member in list(vars(cls).values())):
            return True
    return False


def _named_in(member: Any) -> tuple[str, ...]:
    """Return the names in the code of a method, of what is behind it where it is decorated."""
    function = inspect.unwrap(member) if isinstance(member, FunctionType) else member
    return function.__code__.co_names if isinstance(function, FunctionType) else ()
