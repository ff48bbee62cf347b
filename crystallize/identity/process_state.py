"""What code may set of its process outside of its project: settings, and attributes of what is installed."""

from __future__ import annotations

import decimal
import locale
import logging
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

from crystallize.identity.code_facts import CodeFacts, Import, code_facts
from crystallize.identity.origin import Roots, is_project_module, is_project_name

_SCALARS: Final = (bool, int, float, complex, str, bytes, type(None))


def _numpy(name: str) -> str:
    numpy = sys.modules.get("numpy")
    return "" if numpy is None else repr(getattr(numpy, name)())


def _levels() -> str:
    known: dict[str, Any] = {**logging.Logger.manager.loggerDict}
    return repr({name: found.level for name, found in known.items() if getattr(found, "level", 0)})


def _context() -> str:
    found = decimal.getcontext()
    return repr((found.prec, found.rounding, found.Emin, found.Emax, found.traps))


_SETTINGS: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "getcontext": ("decimal's context", _context),
    "setcontext": ("decimal's context", _context),
    "setLevel": ("levels of loggers", _levels),
    "seterr": ("numpy's handling of errors", lambda: _numpy("geterr")),
    "set_printoptions": ("numpy's print options", lambda: _numpy("get_printoptions")),
    "setlocale": ("the locale", lambda: locale.setlocale(locale.LC_ALL)),
    "setrecursionlimit": ("the recursion limit", lambda: repr(sys.getrecursionlimit())),
    "chdir": ("the current directory", os.getcwd),
}
"""Name of what sets something -> what that is called, and what it is now."""
_OF_ENVIRONMENT: Final = frozenset({"environ", "getenv", "putenv"})


def process_state(function: types.FunctionType, roots: Roots) -> Iterator[tuple[str, str]]:
    """Yield name and state of what a function may set, or read, of its process."""
    facts = code_facts(function.__code__)
    for name in facts.names & _SETTINGS.keys():
        label, now = _SETTINGS[name]
        yield label, now()
    if not facts.names.isdisjoint(_OF_ENVIRONMENT):
        for name in facts.names & os.environ.keys() | {name for name in facts.names if name.isupper()}:
            yield f"os.environ[{name!r}]", repr(os.environ.get(name))
    yield from _attributes(function, facts, roots)


def _attributes(function: types.FunctionType, facts: CodeFacts, roots: Roots) -> Iterator[tuple[str, str]]:
    """Yield the attributes of installed modules and classes that a function names, whoever assigned them."""
    for reference in facts.references:
        root, chain = reference.root, reference.attributes
        held = sys.modules.get(root.name) if isinstance(root, Import) else function.__globals__.get(root)
        for number, attribute in enumerate(chain):
            if not _is_installed(held, roots):
                break
            value = vars(held).get(attribute, _MISSING)
            if number == len(chain) - 1:
                yield f"{_name(held)}.{attribute}", _shown(value)
            held = value


_MISSING: Final = object()
_LOADED: Final = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType)
"""What a package may load when it is asked for first."""


def _is_installed(value: object, roots: Roots) -> bool:
    if isinstance(value, types.ModuleType):
        return not is_project_module(value, roots)
    return isinstance(value, type) and not is_project_name(value.__module__, roots)


def _name(value: Any) -> str:
    return (
        value.__name__ if isinstance(value, types.ModuleType) else f"{value.__module__}.{value.__qualname__}"
    )


def _shown(value: object) -> str:
    if value is _MISSING or isinstance(value, _LOADED):
        return "nothing, or what is loaded when it is asked for"
    return repr(value) if isinstance(value, _SCALARS) else type(value).__qualname__
