"""What code sets of its process: settings, variables of the environment, attributes of what is installed."""

from __future__ import annotations

import codecs
import dis
import opcode
import os
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from crystallize.identity.code_facts import Import, Reference, code_facts, read_once
from crystallize.identity.origin import Roots, is_project_module, is_project_name
from crystallize.identity.settings import (
    CONTEXT,
    LOGGERS,
    OF_PANDAS,
    SETTINGS,
    Setting,
    put_variable,
    set_by,
    shown,
)

_MISSING: Final = object()
_MOST_HELD: Final = 10_000  # entries of a container
_ENVIRONMENTS: Final = frozenset({"environ", "environb"})
_SETTING_VARIABLES: Final = frozenset({"setdefault", "update", "putenv", "unsetenv", "pop", "popitem"})
_LOADING: Final = frozenset({"setdefault", "update", "pop"})
"""Methods by which code puts modules in the place of others, or takes them out."""
_OF_LOGGERS: Final = frozenset({"propagate", "disabled", "level"})
_NAMING_LOGGERS: Final = frozenset({"logging", "getLogger"})
_BY_TEXTS: Final = frozenset({"setattr", "delattr", "__setattr__", "__delattr__"})
_DICTIONARIES: Final = frozenset({"vars", "__dict__"})
_CHANGING: Final = frozenset(
    {
        *("append", "insert", "extend", "remove", "pop", "clear", "reverse", "sort", "add", "discard"),
        *("update", "setdefault", "popitem"),
    }
)
"""Methods that change a list, a dictionary or a set."""
_CHANGING_ITEMS: Final = frozenset({"setitem", "delitem", "__setitem__", "__delitem__", "__ior__"})
"""Functions that do so as statements do."""
_MOVING: Final = frozenset(
    {
        *("sys.modules", "sys.path_importer_cache", "linecache.cache", "warnings.filters"),
        *("matplotlib.rcParams", "matplotlib.pyplot.rcParams", "matplotlib.rcParamsDefault"),
    }
)
"""Containers that Python, pytest or their package changes by itself."""
_OF_PYTEST: Final = frozenset({"PYTEST_CURRENT_TEST", "PYTEST_VERSION"})


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
        if shown(now) != shown(before):
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
    return shown(move.setting.get()) == shown(move.now)


@dataclass(frozen=True, slots=True)
class _Sets:
    """Names by which code may set something of its process.

    Attributes
    ----------
    settings : tuple of Setting
        Those that have names of their own.
    variables : tuple of str
        Variables of the environment, if it is that which code changes.
    empties : bool
        Whether it may empty the environment.
    modules : tuple of str
        Modules, if it is those loaded which code changes.
    handlers : tuple of str
        Handlers of errors of codecs that it may register.
    references : tuple of Reference
        Names by which it may reach what it sets, or what sets something.
    attributes : frozenset of str
        Attributes that it may set of what its names lead through.
    texts : frozenset of str
        Those that it may set by a text of what its names lead to.
    setters : frozenset of str
        Names that functions may have which set something.
    """

    settings: tuple[Setting, ...]
    variables: tuple[str, ...]
    empties: bool
    modules: tuple[str, ...]
    handlers: tuple[str, ...]
    references: tuple[Reference, ...]
    attributes: frozenset[str]
    texts: frozenset[str]
    setters: frozenset[str]


@read_once
def _sets(code: types.CodeType) -> _Sets:
    facts = code_facts(code)
    names = facts.names
    stored, items = assigned_in(code)
    items = items or not names.isdisjoint(_CHANGING_ITEMS)
    texts = _texts(code)
    settings = [setting for name in sorted(names & SETTINGS.keys()) for setting in SETTINGS[name]]
    if "getcontext" in names and (stored or items):
        settings.append(CONTEXT)
    if not (stored.isdisjoint(_OF_LOGGERS) or names.isdisjoint(_NAMING_LOGGERS)):
        settings.append(LOGGERS)
    if stored and "options" in names:
        settings.append(OF_PANDAS)
    variables = set()
    if items or names & _SETTING_VARIABLES or not stored.isdisjoint(_ENVIRONMENTS):
        variables = ({name for name in names if name.isupper()} | texts) - _OF_PYTEST
    loads = "modules" in names and (items or not names.isdisjoint(_LOADING))
    modules = texts.union(filter(_is_dotted, facts.paths)) if loads else frozenset()  # not what it imports
    setters = frozenset(name for name in names - SETTINGS.keys() if name.startswith("set"))
    by_texts = not names.isdisjoint(_BY_TEXTS)
    changes = items or not names.isdisjoint(_CHANGING)
    if by_texts or (changes and not names.isdisjoint(_DICTIONARIES)):
        attributes, named = stored | names, texts
    else:
        attributes, named = stored, frozenset()
    references = []
    for reference in facts.references:
        chain = reference.attributes
        words = {*chain, reference.root} if isinstance(reference.root, str) else {*chain}
        if (
            named
            or not words.isdisjoint(attributes)
            or not words.isdisjoint(setters)
            or (chain and (items or chain[-1] in _CHANGING))
        ):
            references.append(reference)
    return _Sets(
        tuple(dict.fromkeys(settings)),
        tuple(sorted(variables)),
        "clear" in names,
        tuple(sorted(modules)),
        tuple(sorted(texts)) if "register_error" in names else (),
        tuple(references),
        attributes,
        named,
        setters,
    )


@read_once
def assigned_in(code: types.CodeType) -> tuple[frozenset[str], bool]:
    """Return the attributes that code assigns or deletes, and whether it does so with items.

    What it does to a dictionary by ``|=`` it may do to items.
    """
    operations, operands = code.co_code[::2], code.co_code[1::2]
    attributes: set[str] = set()
    if not _OF_ATTRIBUTES.isdisjoint(operations):
        extended = 0
        for operation, operand in zip(operations, operands, strict=True):
            if operation in _OF_ATTRIBUTES:
                attributes.add(code.co_names[operand | extended])
            extended = (operand | extended) << 8 if operation == _EXTENDED else 0
    items = not _OF_ITEMS.isdisjoint(operations) or _UPDATE in zip(operations, operands, strict=True)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner, with_items = assigned_in(constant)
            attributes |= inner
            items = items or with_items
    return frozenset(attributes), items


def _numbers(*names: str) -> frozenset[int]:
    """Return the numbers of instructions, of those that this Python has."""
    return frozenset(number for name, number in opcode.opmap.items() if name in names)


_OF_ATTRIBUTES: Final = _numbers("STORE_ATTR", "DELETE_ATTR")
_OF_ITEMS: Final = _numbers("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")
_EXTENDED: Final = opcode.opmap["EXTENDED_ARG"]
_UPDATING: Final = dis.get_instructions(compile("a |= b", "", "exec"))
_UPDATE: Final = next((i.opcode, i.arg or 0) for i in _UPDATING if i.opname == "BINARY_OP")


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _texts(value: Any) -> frozenset[str]:
    """Return the texts in code, or in a constant of it, that may be names of something."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        return frozenset((value,)) if value.isidentifier() else frozenset()
    inner = (
        value.co_consts if isinstance(value, types.CodeType) else value if isinstance(value, tuple) else ()
    )
    return frozenset[str]().union(*map(_texts, inner))


def settings_of(function: types.FunctionType, roots: Roots) -> Iterator[Setting]:
    """Yield what a function may set of its process."""
    found = _sets(function.__code__)
    yield from found.settings
    if (found.variables or found.empties) and _uses_environment(function):
        yield from map(_variable, found.variables)
        if found.empties:
            yield _ENVIRONMENT
    yield from map(_loaded, found.modules)
    yield from map(_handler, found.handlers)
    for reference in found.references:
        yield from _of_reference(function, reference, found, roots)


def _uses_environment(function: types.FunctionType) -> bool:
    facts = code_facts(function.__code__)
    if not _ENVIRONMENTS.isdisjoint(facts.names):
        return True
    held = map(function.__globals__.get, (r.root for r in facts.references if isinstance(r.root, str)))
    return any(isinstance(value, _KIND_OF_ENVIRONMENT) for value in held)


def _variable(name: str) -> Setting:
    return Setting(
        f"os.environ[{name!r}]", lambda: os.environ.get(name), lambda value: put_variable(name, value)
    )


def _whole_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OF_PYTEST}


def _set_environment(before: dict[str, str]) -> None:
    for name in {**_whole_environment(), **before}:
        put_variable(name, before.get(name))


_KIND_OF_ENVIRONMENT: Final = type(os.environ)
_ENVIRONMENT: Final = Setting("os.environ", _whole_environment, _set_environment)


def _loaded(name: str) -> Setting:
    def put(module: Any) -> None:
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module

    return Setting(f"sys.modules[{name!r}]", lambda: sys.modules.get(name), put)


def _handler(name: str) -> Setting:
    def get() -> Any:
        with suppress(LookupError):
            return codecs.lookup_error(name)
        return None

    def put(handler: Any) -> None:
        if handler is not None or get() is not None:  # there is no way to take one out
            codecs.register_error(name, _no_handler if handler is None else handler)

    return Setting(f"the handler {name!r} of codecs", get, put)


def _no_handler(error: UnicodeError) -> tuple[str | bytes, int]:
    raise LookupError("unknown error handler name") from error


def _of_reference(
    function: types.FunctionType, reference: Reference, sets: _Sets, roots: Roots
) -> Iterator[Setting]:
    """Yield what a function may set by a name, of what is installed."""
    root = reference.root
    held = sys.modules.get(root.name) if isinstance(root, Import) else function.__globals__.get(root)
    if root in sets.setters:  # imported by its name
        yield from _set_by(sys.modules.get(getattr(held, "__module__", None) or ""), held, roots)
    found_in = None
    for attribute in reference.attributes:
        if not _is_installed(held, roots):
            # An instance that an installed module holds: a default context of decimal, a logger, a function.
            if found_in is not None and attribute in sets.attributes and _may_have(held, attribute):
                setting = _attribute(held, attribute, f"{found_in}.{attribute}")
                found, again = setting.get(), setting.get()
                if shown(found) == shown(again):  # a method is another object each time
                    yield setting
            return
        place = f"{_name_of(held)}.{attribute}"
        inner = vars(held).get(attribute)
        if attribute in sets.setters:
            yield from _set_by(held, inner, roots)
        is_container = isinstance(inner, list | dict | set) and len(inner) <= _MOST_HELD
        if attribute in sets.attributes or (is_container and place not in _MOVING):
            yield _attribute(held, attribute, place)
        held, found_in = inner, place
    if _is_installed(held, roots):
        yield from (_attribute(held, text, f"{_name_of(held)}.{text}") for text in sorted(sets.texts))


def _may_have(held: Any, attribute: str) -> bool:
    return isinstance(held, types.FunctionType) or hasattr(held, attribute)


def _set_by(module: Any, function: Any, roots: Roots) -> Iterator[Setting]:
    """Yield what a function of an installed module sets, if another one tells it."""
    name = getattr(function, "__name__", None)
    if isinstance(module, types.ModuleType) and isinstance(name, str) and _is_installed(module, roots):
        setting = set_by(module.__name__, name)
        if setting is not None:
            yield setting


def _attribute(holder: Any, attribute: str, place: str) -> Setting:
    def get() -> Any:
        return _copied(_looked_up(holder, attribute))

    def put(value: Any) -> None:
        with suppress(AttributeError, TypeError):
            if value is _MISSING:
                delattr(holder, attribute)
            elif not _refilled(_looked_up(holder, attribute), value):
                setattr(holder, attribute, _copied(value))

    return Setting(place, get, put)


def _looked_up(holder: Any, attribute: str) -> Any:
    if isinstance(holder, type) or (type(holder) is types.ModuleType and attribute not in vars(type(holder))):
        return vars(holder).get(attribute, _MISSING)
    with suppress(Exception):
        return getattr(holder, attribute, _MISSING)
    return _MISSING


def _copied(value: Any) -> Any:
    """Return a copy of a container, however its class copies it, or another value itself."""
    if isinstance(value, dict):
        return dict.copy(value)
    if isinstance(value, list):
        return list.copy(value)
    return set.copy(value) if isinstance(value, set) else value


def _refilled(held: Any, value: Any) -> bool:
    """Have a container hold what another one of its kind does, and return whether it does."""
    if isinstance(held, dict) and isinstance(value, dict):
        dict.clear(held)
        dict.update(held, value)
    elif isinstance(held, set) and isinstance(value, set):
        set.clear(held)
        set.update(held, value)
    elif isinstance(held, list) and isinstance(value, list):
        list.__setitem__(held, slice(None), value)
    else:
        return False
    return True


def _name_of(holder: Any) -> str:
    module = "" if isinstance(holder, types.ModuleType) else f"{holder.__module__}."
    return f"{module}{getattr(holder, '__qualname__', holder.__name__)}"


def _is_installed(value: object, roots: Roots) -> bool:
    if isinstance(value, types.ModuleType):
        return not is_project_module(value, roots)
    return isinstance(value, type) and not is_project_name(value.__module__, roots)
