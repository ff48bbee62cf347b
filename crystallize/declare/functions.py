"""Parameters of declared functions: given, taken from the context, or left to their defaults."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crystallize.context.context import FrozenContext
from crystallize.context.freezing import ATOMIC, freeze_if_possible, thaw
from crystallize.declare.decorated import parameters_of, takes_ctx
from crystallize.declare.resources import ResourceFactory
from crystallize.errors import DefinitionError, StepParameterError

Returned = TypeVar("Returned")

_ABSENT: Any = object()
_REQUIRED = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Parameters:
    """The parameters of a function behind its leading positional ones.

    Parameters
    ----------
    function : callable
        The function.
    leading : tuple of str
        What the leading positional parameters stand for, such as ``("data", "ctx")``. A function may leave
        out ``"ctx"``, if that is the last: a parameter that has a default, and another name, is none.
    kind : str
        What errors call the function: ``"step"``, ``"data source"``.

    Attributes
    ----------
    takes_ctx : bool
        Whether the function is to be given a context by position.

    Raises
    ------
    DefinitionError
        If the function can't be called with the leading arguments by position.
    """

    __slots__ = ("defaults", "kind", "name", "open", "takes_ctx")

    def __init__(self, function: Callable[..., Any], leading: tuple[str, ...], kind: str) -> None:
        self.kind = kind
        self.name = getattr(function, "__name__", type(function).__name__)
        parameters = parameters_of(function)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        may_take_ctx = leading[-1:] == ("ctx",)
        self.takes_ctx = may_take_ctx and takes_ctx(parameters, behind=len(leading) - 1)
        if may_take_ctx and not self.takes_ctx:
            leading = leading[:-1]
        if len(positional) < len(leading) and not starred:
            raise DefinitionError(
                f"{kind} {self.name!r} takes {len(positional)} positional arguments; it is called with "
                f"({', '.join(leading)}), or with ({', '.join((*leading, 'ctx'))}) if it takes a context"
            )
        self.open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        taken = {p.name for p in positional[: len(leading)]}
        self.defaults = {p.name: p.default for p in parameters if p.kind in _NAMED and p.name not in taken}

    def optional(self) -> Parameters:
        """Return those alone that have a default, for who gives the others in any case."""
        found = copy.copy(self)
        found.defaults = {name: it for name, it in self.defaults.items() if it is not _REQUIRED}
        return found

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise `StepParameterError` if a given parameter is unknown."""
        unknown = [] if self.open else [name for name in given if name not in self.defaults]
        if unknown:
            known = ", ".join(map(repr, self.defaults)) or "none"
            raise StepParameterError(
                f"{self.kind} {self.name!r} has no parameter {unknown[0]!r}; its parameters are {known}"
            )

    def fill(self, given: dict[str, Any], ctx: FrozenContext) -> dict[str, Any]:
        """Add to the given arguments of a call the context's, or copies of defaults, and return all.

        Raises
        ------
        StepParameterError
            If a parameter without default is neither given nor in the context.
        """
        for name, default in self.defaults.items():
            if name in given:
                continue
            value = ctx.get(name, _ABSENT) if default is _REQUIRED else ctx.get_value(name, _ABSENT)
            if value is _ABSENT:
                if default is _REQUIRED:
                    raise StepParameterError(
                        f"{self.kind} {self.name!r} needs parameter {name!r}: give it as "
                        f"{self.name}({name}=...), or under the key {name!r} of the context"
                    )
                value = default if type(default) in ATOMIC else thaw(freeze_if_possible(default))
            given[name] = value
        for name, value in given.items():
            if type(value) is ResourceFactory:
                given[name] = value(ctx)
        return given


class Given:
    """A declared function with the parameters that were given to it, of which every run gets copies.

    Attributes
    ----------
    factory : Declared
        What was declared.
    frozen : dict
        The parameters given, as they are kept.
    """

    def __init__(self, factory: Any, params: Mapping[str, Any]) -> None:
        self.factory = factory
        self.frozen = {key: freeze_if_possible(value) for key, value in params.items()}

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.factory.__name__  # type: ignore[no-any-return]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters given, as copies."""
        return {key: thaw(value) for key, value in self.frozen.items()}

    def ready(self, values: Mapping[str, Any]) -> tuple[Callable[..., Any], list[str]] | None:
        """Return what does as calls do while the context holds these values, and the keys that each looks up.

        None says that calls differ: they are given copies, a resource, or something of their own run.
        """
        parameters = self.factory.parameters
        given = dict(self.frozen)
        looked_up = [name for name in parameters.defaults if name not in given]
        for name in looked_up:
            given[name] = values.get(name, parameters.defaults[name])
        if not all(type(value) in ATOMIC and value is not _REQUIRED for value in given.values()):
            return None
        function = self.factory.function
        if not parameters.takes_ctx:
            return (lambda *leading: function(*leading[:-1], **given)), looked_up
        return functools.partial(function, **given) if given else function, looked_up

    @property
    def is_async(self) -> bool:
        """Whether the function is ``async def``."""
        return self.factory.is_async  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.params.items())})"


def inject_from_ctx(function: Callable[..., Returned]) -> Callable[..., Returned]:
    """Fill keyword parameters that a call leaves out from its context.

    The decorated function is called with a `FrozenContext` among its positional arguments; parameters
    behind it come from the call, then from the context, then from their defaults.

    Parameters
    ----------
    function : callable
        The function, which may be ``async def``.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @inject_from_ctx
    ... def scaled(value, ctx, *, factor=1.0):
    ...     return factor * value
    >>> @pipeline_step()
    ... def measure(data, ctx):
    ...     return data, {"size": scaled(data, ctx)}
    >>> Experiment(2.0, [measure], treatments={"triple": {"factor": 3.0}}).run().metrics["triple"]["size"]
    [6.0]
    """
    by_arity: dict[int, Parameters] = {}

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Returned:
        ctx = next((arg for arg in args if isinstance(arg, FrozenContext)), None)
        if ctx is None:
            raise StepParameterError(
                f"{function.__qualname__} is injected from a context, but was given none"
            )
        if len(args) not in by_arity:
            by_arity[len(args)] = Parameters(function, tuple("_" * len(args)), "function")
        parameters = by_arity[len(args)]
        parameters.check(given)
        return function(*args, **parameters.fill(given, ctx))

    return wrapper
