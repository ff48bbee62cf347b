"""What of a call its reply depends on: the arguments that are data."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from crystallize.boundary import failure
from crystallize.errors import DefinitionError, UnhashableValueError

CLIENT: Final = "client"
"""The parameter that is left out where nothing else is declared."""

DATA: Final = (str, bytes, int, float, list, tuple, dict, set, frozenset)

_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 3
_LONGEST: Final = 240


class Arguments:
    """Arguments of a function, and which of them decide what it replies.

    Parameters
    ----------
    function : callable
        Whose calls are told apart.
    name : str
        What messages call it.
    ignored : frozenset of str, optional
        Arguments that decide nothing; by default ``client``, which must not be data then.

    Raises
    ------
    DefinitionError
        If the function has no such parameter.
    """

    def __init__(self, function: Callable[..., Any], name: str, ignored: frozenset[str] | None) -> None:
        self._name = name
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        self._positional = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._keywords = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._by_default = ignored is None
        self._ignored = frozenset((CLIENT,)) if ignored is None else ignored
        unknown = self._ignored - self._signature.parameters.keys()
        if unknown and not self._by_default and self._keywords is None:
            raise DefinitionError(
                f"{name}: ignore= names {', '.join(map(repr, sorted(unknown)))}; "
                f"its parameters are {', '.join(self._signature.parameters) or 'none'}"
            )

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return name -> value of the arguments that count, defaults too.

        Raises
        ------
        TypeError
            If the function can't be called so.
        DefinitionError
            If one that is left out by default is data.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(sorted(self._counting(bound.arguments)))

    def _counting(self, bound: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in bound.items():
            if name == self._keywords:
                yield from ((key, value[key]) for key in value if key not in self._ignored)
            elif name not in self._ignored:
                yield (f"*{name}" if name == self._positional else name), value
            elif self._by_default and isinstance(value, DATA):
                raise DefinitionError(
                    f"{self._name}: its argument {name!r} is left out of what tells calls apart, as clients "
                    f"are, and {_SHORT.repr(value)} is data; declare ignore=() if it counts, or "
                    f"ignore=({name!r},) if it does not"
                )

    def hash(self, arguments: Mapping[str, Any]) -> str:
        """Return the hash of the arguments that count, by value.

        Raises
        ------
        UnhashableValueError
            If one is no data; the message says what to do.
        """
        from crystallize.identity.stable_hash import stable_hash  # heavy, and needed where calls are made

        try:
            return stable_hash(dict(arguments), name=f"{self._name}'s arguments")
        except UnhashableValueError:
            for name, value in arguments.items():
                self._check(name, value)
            raise

    def _check(self, name: str, value: Any) -> None:
        from crystallize.identity.stable_hash import stable_hash  # as above

        try:
            stable_hash(value, name=f"{self._name}: argument {name!r}")
        except UnhashableValueError as fault:
            raise UnhashableValueError(
                f"{fault}. What decides nothing, such as a client, is to be named: ignore=({name!r},)"
            ) from None

    def shown(self, arguments: Mapping[str, Any]) -> str:
        """Return a call as messages name it."""
        try:
            inside = ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in arguments.items())
        except BaseException as error:  # a __repr__ of the user's
            inside = failure(error)
        return f"{self._name}({inside if len(inside) <= _LONGEST else inside[:_LONGEST] + '...'})"
