"""Verifiers: functions of the user's that decide a hypothesis by themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload

from crystallize.declare.decorated import Declared, named
from crystallize.errors import DefinitionError, StepParameterError


class Verifier(Declared):
    """Function that decides claims: called with parameters, or on two samples; made by `verifier`."""

    def __init__(self, function: Callable[..., Any], params: Mapping[str, Any] | None = None) -> None:
        super().__init__(function)
        self.params = dict(params or {})
        names = list(inspect.signature(function).parameters.values())
        positional = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in names)
        if positional < 2 and not any(p.kind is p.VAR_POSITIONAL for p in names):
            raise DefinitionError(
                f"verifier {self.__name__!r} takes {positional} positional arguments; it must take two "
                f"samples, as in def {self.__name__}(baseline, treatment)"
            )
        known = {p.name: p.default for p in names[2:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in names):
            for name in self.params:
                if name not in known:
                    raise StepParameterError(
                        f"verifier {self.__name__!r} has no parameter {name!r}; its parameters are "
                        f"{', '.join(map(repr, known)) or 'none'}"
                    )
        self.alpha: Any = self.params.get("alpha", known.get("alpha"))

    @overload
    def __call__(self, **params: Any) -> Verifier: ...
    @overload
    def __call__(self, baseline: Any, /, *others: Any, **params: Any) -> Mapping[str, Any]: ...
    def __call__(self, *samples: Any, **params: Any) -> Any:
        """Return the verifier with parameters fixed, if no samples are given; otherwise verify them."""
        if not samples:
            return Verifier(self.function, {**self.params, **params})
        return self.function(*samples, **{**self.params, **params})

    def __reduce__(self) -> str | tuple[Any, ...]:
        held = named(self.__module__, self.__qualname__)
        if held is not self and isinstance(held, Verifier) and held.function is self.function:
            return _with, (held, self.params)  # the function's name holds the verifier that this one is of
        return super().__reduce__()

    def reduce_by_value(self) -> tuple[Any, ...]:
        """Return what makes it again where its module is another one, with its parameters."""
        return (Verifier, (self.function, self.params))


def _with(declared: Verifier, params: Mapping[str, Any]) -> Verifier:
    return declared(**params)


def verifier(function: Callable[..., Mapping[str, Any]]) -> Verifier:
    """Make a verifier of a function ``(baseline, treatment, *, parameter=default)``.

    It is given two mappings from metric to the list of its values in replicate order, and returns a mapping
    with ``p_value`` and ``significant``, and whatever else is worth showing. If it returns ``accepted``,
    that decides instead of ``significant``.

    Parameters
    ----------
    function : callable
        The function; its parameters behind the first two are given when the verifier is made.

    Examples
    --------
    >>> @verifier
    ... def larger(baseline, treatment, alpha=0.05):
    ...     wins = sum(t > b for t, b in zip(treatment["x"], baseline["x"]))
    ...     p = 2.0 ** -wins
    ...     return {"p_value": p, "significant": p < alpha}
    >>> larger(alpha=0.2)({"x": [0, 0, 0]}, {"x": [1, 2, 3]})
    {'p_value': 0.125, 'significant': True}
    """
    return Verifier(function)
