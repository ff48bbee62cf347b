"""The arguments of a marked function, checked before it is run: fixtures, and keys that treatments set."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from crystallize import Treatment
from crystallize.errors import DefinitionError
from pytest_crystallize.isolation.fixtures import (
    CASE,
    RESERVED,
    SUBTESTS,
    asks_for_subtests,
    hidden_by,
    is_ours,
)
from pytest_crystallize.pytest_seam import evaluate_skip_marks, fixtures_of, is_direct, known_fixtures

_INSTALLED = Path(pytest.__file__).parent.parent


def params_of(function: pytest.Function) -> Mapping[str, Any]:
    """Return the parameter set of a function."""
    callspec = getattr(function, "callspec", None)
    return {} if callspec is None else callspec.params


def is_parameter(function: pytest.Function, name: str) -> bool:
    """Return whether an argument is given directly by parametrize, rather than by a fixture."""
    if name not in params_of(function):
        return False
    definitions = fixtures_of(function).name2fixturedefs.get(name, ())
    return not definitions or is_direct(definitions[-1])


def check_arguments(
    function: pytest.Function, treatments: Iterable[Treatment], *, has_cases: bool = False
) -> None:
    """Raise `DefinitionError` if an argument of a marked function is not what it is meant to be.

    Fixtures have to exist, and to be those of this plugin where they are named like them; what a treatment
    sets has to be read by an argument with a default, unless something asks for the context.
    """
    parameters = inspect.signature(function.obj).parameters
    _check_reserved(function, parameters, (*RESERVED, CASE) if has_cases else RESERVED)
    _check_case(function, has_cases=has_cases)
    _check_treatments(function, parameters, treatments)
    if not _is_skipped(function):  # it may be so because what it asks for is not there
        _check_fixtures(function)


def _check_reserved(
    function: pytest.Function, parameters: Mapping[str, inspect.Parameter], reserved: Sequence[str]
) -> None:
    info = fixtures_of(function)
    if SUBTESTS in info.names_closure:
        raise DefinitionError(asks_for_subtests(function.originalname))
    for name in reserved:
        if name in params_of(function):
            raise DefinitionError(f"parameter {name!r} hides the fixture {name!r} of crystallize; rename it")
        if name in parameters and parameters[name].default is not inspect.Parameter.empty:
            raise DefinitionError(
                f"argument {name!r} has a default, so it is not the fixture {name!r} of crystallize; drop "
                "the default, or rename it"
            )
        for definition in info.name2fixturedefs.get(name, ())[-1:]:
            if fault := hidden_by(definition, function.config.rootpath):
                raise DefinitionError(fault)


def _check_case(function: pytest.Function, *, has_cases: bool) -> None:
    """Refuse a function that asks for a case where there are none, and one that can't see its case."""
    info = fixtures_of(function)
    asks = CASE in info.names_closure and CASE not in params_of(function)
    if has_cases and not asks and not _may_ask_for_context(function):
        raise DefinitionError(
            f"cases= are declared, and {function.originalname} never sees its case: add the argument {CASE!r}"
        )
    if not has_cases and asks and all(map(is_ours, info.name2fixturedefs.get(CASE, ()))):
        given = "" if CASE in info.name2fixturedefs else ", which does not exist"
        raise DefinitionError(
            f"{function.originalname} asks for {CASE!r}{given}, and declares no cases; give the mark "
            "cases=Cases(rows, id='id')"
        )


def _check_treatments(
    function: pytest.Function, parameters: Mapping[str, inspect.Parameter], treatments: Iterable[Treatment]
) -> None:
    filled = [
        p.name for p in parameters.values() if p.default is not p.empty and p.kind is not p.POSITIONAL_ONLY
    ]
    for treatment in treatments:
        for key in treatment.payload or ():
            fault = None if key in filled else _why_unread(function, treatment, key, filled)
            if fault is not None:
                raise DefinitionError(f"treatment {treatment.name!r} sets {key!r}, {fault}")


def _why_unread(
    function: pytest.Function, treatment: Treatment, key: str, filled: Sequence[str]
) -> str | None:
    """Say why nothing can read a key that no argument with a default takes; None if something may."""
    info, params = fixtures_of(function), params_of(function)
    no_default = f"so argument {key!r} needs a default (it is the baseline's value)"
    if key in info.argnames and key not in info.name2fixturedefs and key not in params:
        return no_default
    if key in treatment.optional or _may_ask_for_context(function):
        return None
    if key in params:
        return f"but parametrize gives argument {key!r}; rename one of them"
    if key in info.argnames:
        return f"{no_default}; it is a fixture now"
    known = ", ".join(map(repr, filled)) or "none"
    return (
        f"which no argument of {function.originalname} takes, and nothing asks for ctx to read it; arguments "
        f"with a default: {known}"
    )


def _may_ask_for_context(function: pytest.Function) -> bool:
    """Return whether the function or a fixture asks for `ctx`, or may do so by way of `request`."""
    info = fixtures_of(function)
    if "ctx" in info.names_closure or "request" in info.argnames:
        return True
    definitions = (d for known in info.name2fixturedefs.values() for d in known)
    return any(
        "request" in definition.argnames and not _is_installed(definition.func) for definition in definitions
    )


def _is_installed(function: Any) -> bool:
    """Return whether a fixture comes with pytest or a plugin, none of which knows `ctx`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and Path(code.co_filename).is_relative_to(_INSTALLED)


def _is_skipped(function: pytest.Function) -> bool:
    try:
        return evaluate_skip_marks(function) is not None
    except (Exception, pytest.fail.Exception):  # a condition that is wrong is told when the test is set up
        return False


def _check_fixtures(function: pytest.Function) -> None:
    info, params = fixtures_of(function), params_of(function)
    for name in info.names_closure:
        if name in info.name2fixturedefs or name in params or name == "request":
            continue
        close = difflib.get_close_matches(name, known_fixtures(function), n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        askers = [
            other
            for other, definitions in info.name2fixturedefs.items()
            if any(name in definition.argnames for definition in definitions)
        ]
        asks = function.originalname if name in info.argnames or not askers else f"fixture {askers[0]!r}"
        raise DefinitionError(
            f"{asks} asks for fixture {name!r}, which does not exist; {meant}arguments without default are "
            f"fixtures ({', '.join(RESERVED)} and what pytest --fixtures lists), those with one are filled "
            "from the treatment"
        )
