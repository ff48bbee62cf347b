"""Constructors that refuse unknown and missing arguments by a message that lists those there are."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from crystallize.errors import DefinitionError

F = TypeVar("F", bound=Callable[..., Any])


_ELSEWHERE = {("Experiment", "seed"): "a root seed is given by plugins=[SeedPlugin(seed=...)]"}
"""Where what a keyword would say is said, by owner and keyword."""


def checked_keywords(init: F) -> F:
    """Have a constructor refuse unknown and missing arguments by a `DefinitionError` that lists all.

    Behind the user's line its errors show no other line of the library than the one here.
    """
    parameters = list(inspect.signature(init).parameters.values())[1:]
    known = [p.name for p in parameters]
    needed = [p.name for p in parameters if p.default is p.empty]  # those that come first

    @functools.wraps(init)
    def checked(self: Any, /, *args: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        for keyword in keywords:
            if keyword not in known:
                raise DefinitionError(unknown_keyword(type(self).__name__, keyword, known))
        for name in needed[len(args) :]:
            if name not in keywords:
                owner, arguments = type(self).__name__, ", ".join(known)
                raise DefinitionError(f"{owner} is not given {name!r}; its arguments are {arguments}")
        try:
            return init(self, *args, **keywords)
        except DefinitionError as error:
            raise error.with_traceback(None) from error.__cause__

    return cast("F", checked)


def unknown_keyword(owner: str, keyword: str, known: Sequence[str]) -> str:
    """Return what is said of a keyword that nobody knows: the one that may be meant, and all there are."""
    if (elsewhere := _ELSEWHERE.get((owner, keyword))) is not None:
        return f"{owner} has no keyword {keyword!r}: {elsewhere}; its keywords are {', '.join(known)}"
    parts = [name for name in known if keyword in name.split("_")]
    close = difflib.get_close_matches(keyword, known, n=1, cutoff=0.7) or parts
    close = close or difflib.get_close_matches(keyword, known, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{owner} has no keyword {keyword!r}{meant} its keywords are {', '.join(known)}"
