"""What code sets of its process: settings, variables of the environment, attributes of what is installed."""

from __future__ import annotations

import decimal
import dis
import gc
import locale
import logging
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from crystallize.identity.code_facts import Import, code_facts, read_once
from crystallize.identity.origin import Roots, is_project_module, is_project_name

_SCALARS: Final = (bool, int, float, complex, str, bytes, dict, list, tuple, decimal.Context, type(None))
_MISSING: Final = object()


@dataclass(frozen=True)
class Setting:
    """Setting of the process that can be looked at and put back."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]


@dataclass(frozen=True)
class Move:
    """A setting that is not what it was."""

    setting: Setting
    before: Any
    now: Any


def moves(settings: Iterable[tuple[Setting, Any]]) -> dict[str, Move]:
    """Return the settings that are not what they were: name -> what became of it."""
    found = {}
    for setting, before in settings:
        now = setting.get()
        if _shown(now) != _shown(before):
            found[setting.name] = Move(setting, before, now)
    return found


@contextmanager
def put_back(moved: Iterable[Move]) -> Iterator[None]:
    """Have settings be what they were; in the end they are again what they became."""
    moved = list(moved)
    for move in moved:
        move.setting.put(move.before)
    try:
        yield
    finally:
        for move in moved:
            move.setting.put(move.now)


def came_again(move: Move) -> bool:
    """Return whether a setting that was put back has become the same again."""
    return _shown(move.setting.get()) == _shown(move.now)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, _SCALARS) else f"{type(value).__qualname__} {id(value)}"


def _numpy(name: str) -> Any:
    numpy = sys.modules.get("numpy")
    return {} if numpy is None else getattr(numpy, name)()


def _set_levels(levels: dict[str, int]) -> None:
    for name in {**levels, **_levels()}:
        logging.getLogger(name).setLevel(levels.get(name, 0))


def _levels() -> dict[str, int]:
    known: dict[str, Any] = {**logging.Logger.manager.loggerDict}
    return {name: found.level for name, found in known.items() if getattr(found, "level", 0)}


def _timeout() -> Any:
    socket = sys.modules.get("socket")
    return None if socket is None else socket.getdefaulttimeout()


def _set_timeout(timeout: float | None) -> None:
    if "socket" in sys.modules:
        sys.modules["socket"].setdefaulttimeout(timeout)


_CONTEXT: Final = Setting(
    "decimal's context",
    lambda: decimal.getcontext().copy(),
    lambda old: decimal.setcontext(old.copy()),  # or runs would change what is to be put back
)
_SETTINGS: Final = {
    "setcontext": _CONTEXT,
    "setLevel": Setting("levels of loggers", _levels, _set_levels),
    "seterr": Setting(
        "numpy's handling of errors",
        lambda: _numpy("geterr"),
        lambda old: sys.modules["numpy"].seterr(**old),
    ),
    "set_printoptions": Setting(
        "numpy's print options",
        lambda: _numpy("get_printoptions"),
        lambda old: sys.modules["numpy"].set_printoptions(**old),
    ),
    "setlocale": Setting(
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda old: locale.setlocale(locale.LC_ALL, old),
    ),
    "setrecursionlimit": Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    "chdir": Setting("the current directory", os.getcwd, os.chdir),
    "set_threshold": Setting(
        "thresholds of garbage collection", gc.get_threshold, lambda old: gc.set_threshold(*old)
    ),
    "set_int_max_str_digits": Setting(
        "the most digits of a number", sys.get_int_max_str_digits, sys.set_int_max_str_digits
    ),
    "setdefaulttimeout": Setting("the timeout of sockets", _timeout, _set_timeout),
    "disable": Setting("disabled levels of the log", lambda: logging.root.manager.disable, logging.disable),
}
"""Name of what sets something -> what that is."""
_SETTING_VARIABLES: Final = frozenset({"setdefault", "update", "putenv"})


def settings_of(function: types.FunctionType, roots: Roots) -> Iterator[Setting]:
    """Yield what a function may set of its process."""
    names = code_facts(function.__code__).names
    stored, items = assigned_in(function.__code__)
    yield from (_SETTINGS[name] for name in names & _SETTINGS.keys())
    if "getcontext" in names and stored:
        yield _CONTEXT
    if "environ" in names and (items or names & _SETTING_VARIABLES):
        yield from map(_variable, sorted(name for name in names if name.isupper() or name in os.environ))
    if "setattr" in names:
        stored = stored | names
    if stored:
        yield from _attributes(function, stored, roots)


@read_once
def assigned_in(code: types.CodeType) -> tuple[frozenset[str], bool]:
    """Return the attributes that code assigns, and whether it assigns items."""
    attributes: set[str] = set()
    items = False
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR":
            attributes.add(str(instruction.argval))
        items = items or instruction.opname == "STORE_SUBSCR"
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner, with_items = assigned_in(constant)
            attributes |= inner
            items = items or with_items
    return frozenset(attributes), items


def _variable(name: str) -> Setting:
    def put(value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    return Setting(f"os.environ[{name!r}]", lambda: os.environ.get(name), put)


def _attributes(function: types.FunctionType, stored: frozenset[str], roots: Roots) -> Iterator[Setting]:
    """Yield the attributes of installed modules and classes that a function assigns."""
    for reference in code_facts(function.__code__).references:
        root, chain = reference.root, reference.attributes
        held = sys.modules.get(root.name) if isinstance(root, Import) else function.__globals__.get(root)
        for attribute in chain:
            if not _is_installed(held, roots):
                break
            if attribute in stored:
                yield _attribute(held, attribute)
            held = vars(held).get(attribute)


def _attribute(holder: Any, attribute: str) -> Setting:
    module = "" if isinstance(holder, types.ModuleType) else f"{holder.__module__}."

    def put(value: Any) -> None:
        with suppress(AttributeError, TypeError):
            if value is _MISSING:
                delattr(holder, attribute)
            else:
                setattr(holder, attribute, value)

    return Setting(
        f"{module}{getattr(holder, '__qualname__', holder.__name__)}.{attribute}",
        lambda: vars(holder).get(attribute, _MISSING),
        put,
    )


def _is_installed(value: object, roots: Roots) -> bool:
    if isinstance(value, types.ModuleType):
        return not is_project_module(value, roots)
    return isinstance(value, type) and not is_project_name(value.__module__, roots)
