"""Classes in memory, and the functions of the project that were called to make them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getmro
from types import FunctionType, ModuleType
from typing import Final
from weakref import WeakKeyDictionary

from crystallize.identity.origin import is_project_file

_OF_METACLASSES: Final = ("__prepare__", "__new__", "__init__", "__call__", "__setattr__")
_makers: WeakKeyDictionary[type, list[tuple[str, str]]] = WeakKeyDictionary()


def classes_of(owner: ModuleType | type, module: str) -> Iterator[type]:
    """Yield the classes that a module defines, in itself or within its classes."""
    inside = "" if isinstance(owner, ModuleType) else f"{owner.__qualname__}."
    for value in list(vars(owner).values()):
        if (
            isinstance(value, type)
            and value.__module__ == module
            and value.__qualname__.startswith(inside)
            and value is not owner
        ):
            yield value
            yield from classes_of(value, module)


def subclasses_of(kind: object) -> Iterator[type]:
    """Yield the subclasses of a class, and theirs."""
    if isinstance(kind, type) and not issubclass(kind, type):
        inner: type
        for inner in kind.__subclasses__():
            yield inner
            yield from subclasses_of(inner)


def makers_of(kind: type) -> list[tuple[str, str]]:
    """Return module and qualified name of the functions of the project that were called to make a class."""
    known = _makers.get(kind)
    if known is None:
        found = [vars(base).get("__init_subclass__") for base in kind.__mro__[1:]]
        found += [vars(meta).get(name) for meta in getmro(type(kind)) for name in _OF_METACLASSES]
        kinds = {base for value in vars(kind).values() for base in getmro(type(value))}
        found += [vars(base).get("__set_name__") for base in kinds]
        known = _makers[kind] = []
        for function in (getattr(function, "__func__", function) for function in found):
            if isinstance(function, FunctionType) and is_project_file(function.__code__.co_filename):
                known.append((function.__globals__.get("__name__", ""), function.__code__.co_qualname))
    return known
