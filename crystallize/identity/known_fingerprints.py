"""Fingerprints that are known: made anew only if something that they were made of is not what it was.

What is looked at while one is made is noted, with what it was: what namespaces held under names, the
attributes of functions and classes, what lists, sets and dictionaries contained. All of it compares by
identity, and what was found is kept alive, so that nothing else can take its place. What can change and still
be the same object is noted with its content; if there is no telling, nothing is known, and the fingerprint is
made each time.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import re
import sys
import types
from abc import ABCMeta, get_cache_token
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain, repeat
from operator import call, is_
from typing import Any, Final

from crystallize.identity.encoder import BASES, FAMILIES
from crystallize.identity.fingerprint import Fingerprint, fingerprint, found_by
from crystallize.identity.instances import slots
from crystallize.identity.origin import ABSENT, Roots, is_project_module, look_up
from crystallize.identity.part_encoder import LabelPart, Part, PartEncoder
from crystallize.identity.reach import Reach

_MOST_CHANGES: Final = 8  # of what a fingerprint depends on, behind which noting it does not pay
_MOST_KNOWN: Final = 1_000

_FIXED: Final = frozenset(
    {
        *(types.NoneType, types.EllipsisType, types.NotImplementedType, types.GenericAlias, types.UnionType),
        *(bool, int, float, complex, str, bytes, tuple, frozenset, range, slice, re.Pattern, decimal.Decimal),
        *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    }
)
"""Types whose instances stay what they are; what is in them is written, and hence noted, by itself."""
_NAMED: Final = frozenset(
    {
        *(types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
        *(types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType),
        *(types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType),
        *(staticmethod, classmethod, property),
    }
)
"""Types of what has a way of its own to be written."""
_OF_FUNCTIONS: Final = (
    *("__code__", "__defaults__", "__kwdefaults__", "__annotations__", "__annotate__", "__doc__"),
    *("__dict__", "__module__", "__qualname__"),
)
_IN_C: Final = (
    *(types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(types.MethodWrapperType, types.ClassMethodDescriptorType, types.GetSetDescriptorType),
    types.MemberDescriptorType,
)
_METACLASSES: Final = (type, ABCMeta)
_LOOKING_UP: Final = frozenset({"__getattr__", "__getattribute__"})
_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE


class Dependencies:
    """Namespaces, attributes and contents that were looked at, each with what was there.

    Attributes
    ----------
    are_certain : bool
        Whether nothing else was looked at.
    registries : bool
        Whether registries of abstract classes were, too.
    """

    def __init__(self) -> None:
        self.are_certain = True
        self.registries = False
        self._registered = get_cache_token()
        self._names: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}
        self._attributes: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self._contents: dict[int, tuple[Any, list[Callable[[], Iterable[Any]]], list[Any]]] = {}
        self.of(sys, "modules")

    def look(self, names: Mapping[str, Any], name: str, default: Any = None) -> Any:
        """Return what a namespace has under a name, and note it."""
        value = look_up(names, name, ABSENT)
        if type(names) is not dict:
            self.are_certain = False
        else:
            self._names.setdefault((id(names), name), (names, name, value))
        if type(value) is types.FunctionType:
            self.of(value, "__code__", "__module__", "__qualname__")
        elif name == "__spec__" and value is not ABSENT:  # says of what has no file where it is from
            self.of(value, "origin", "has_location", "submodule_search_locations")
            if getattr(value, "submodule_search_locations", None) is not None:
                self.are_certain = False  # directories that are found anew when `sys.path` changes
        return default if value is ABSENT else value

    def of(self, owner: Any, *names: str) -> None:
        """Note attributes of something."""
        for name in names:
            if (id(owner), name) not in self._attributes:
                try:
                    self._attributes[id(owner), name] = owner, name, getattr(owner, name, ABSENT)
                except Exception:  # a cell is empty, or an annotation names what is not there
                    self.are_certain = False

    def whole(self, container: Any) -> None:
        """Note all that a list, a set, a dictionary or the namespace of a class contains."""
        if id(container) not in self._contents:
            iterators = [container.__iter__]
            if hasattr(container, "values"):
                iterators.append(container.values)
            items = [item for iterate in iterators for item in iterate()]
            self._contents[id(container)] = container, iterators, items

    def settled(self) -> Callable[[], bool]:
        """Return what tells whether all of it is what it was."""
        spaces, names, values = _columns(self._names.values())
        owners, attributes, had = _columns(self._attributes.values())
        containers, iterators, items = _columns(self._contents.values())
        iterators, items = [*chain.from_iterable(iterators)], [*chain.from_iterable(items)]
        sizes = [*map(len, containers)]
        registered = self._registered if self.registries else None

        def hold() -> bool:
            # No step of this is one of Python's own: it is asked before every call of a step.
            return (
                all(map(is_, map(dict.get, spaces, names, repeat(ABSENT)), values))
                and all(map(is_, map(getattr, owners, attributes, repeat(ABSENT)), had))
                and [*map(len, containers)] == sizes
                and all(map(is_, chain.from_iterable(map(call, iterators)), items))
                and (registered is None or registered == get_cache_token())
            )

        return hold


def _columns(rows: Iterable[tuple[Any, Any, Any]]) -> tuple[Any, ...]:
    return tuple(zip(*rows, strict=True)) or ((), (), ())


class _NotingEncoder(PartEncoder):
    """Encoder that notes what it looks at."""

    __slots__ = ("_noted", "look")

    def __init__(self, label: LabelPart, roots: Roots, noted: Dependencies) -> None:
        super().__init__(label, roots)
        self._noted = noted
        self.look = noted.look

    def unsure(self) -> None:
        """Note that there is no telling."""
        self._noted.are_certain = False

    def name_of(self, module: types.ModuleType) -> str:
        """Return the name of a module."""
        self._noted.of(module, "__class__")
        return super().name_of(module)

    def write(self, value: Any) -> None:
        """Add a value, and note what is in it."""
        self._note(value)
        super().write(value)

    def at_once(self, kinds: set[type], items: Any) -> bool:
        """Note items, whichever way they are added."""
        if not kinds <= _FIXED:
            for item in items:
                self._note(item)
        return super().at_once(kinds, items)

    def mapping(self, tag: bytes, items: Any) -> None:
        """Add pairs, and note what is in them."""
        for pair in items.items():
            for item in pair:
                self._note(item)
        super().mapping(tag, items)

    def write_class(self, value: type) -> None:
        """Refer to a class, and note what tells whose it is."""
        if value.__flags__ & _HEAP_TYPE:
            self._note_name(value)
        super().write_class(value)

    def write_code(self, value: Any) -> None:
        """Refer to code, and note what it is made of."""
        kind = type(value)
        if kind is types.FunctionType:
            self._noted.of(value, *_OF_FUNCTIONS)
            self._noted.whole(vars(value))
        elif kind in _IN_C:
            self._noted.of(value, "__module__")
        else:
            self._noted.of(value, "__func__", "__self__", "fget", "fset", "fdel")
        if kind not in _IN_C:
            self._note_name(value)
        super().write_code(value)

    def _note_name(self, value: Any) -> None:
        """Note the name of something, and who else is to have it for it to be installed."""
        self._noted.of(value, "__module__", "__qualname__", "__name__")
        name, module = getattr(value, "__qualname__", None), getattr(value, "__module__", None)
        home = self.look(sys.modules, module) if isinstance(module, str) else None
        if home is None or not isinstance(name, str) or is_project_module(home, self.roots, self.look):
            return
        first, *rest = name.split(".")
        found = self.look(vars(home), first)
        for part in rest:
            self._noted.of(found, part)
            found = getattr(found, part, None)

    def _note(self, value: Any) -> None:
        kind = type(value)
        if kind is list or kind is dict or kind is set:
            self._noted.whole(value)
        elif kind is logging.Logger:
            self._noted.of(value, "__class__", "name")
        elif not (kind in _FIXED or kind in _NAMED or issubclass(kind, type)):
            self._note_instance(value, kind)

    def _note_instance(self, value: Any, kind: type) -> None:
        """Note an instance of a class of the project that is its class and its attributes, and no more."""
        self._noted.of(kind, "__mro__")
        self._noted.of(value, "__class__", "__dict__", "__module__", "__qualname__", "__name__")
        module, held = self.look(sys.modules, kind.__module__), getattr(value, "__dict__", None)
        if (
            type(held) is not dict
            or slots(kind)
            or module is None
            or not is_project_module(module, self.roots, self.look)
            or getattr(value, "__qualname__", getattr(value, "__name__", None)) is not None
            or any(map(_is_special, kind.__mro__[:-1]))
        ):
            self._noted.are_certain = False
        else:
            self._noted.whole(held)


def _is_special(kind: type) -> bool:
    """Return whether instances of a class hold more than attributes, or are written in a way of their own."""
    if not kind.__flags__ & _HEAP_TYPE or kind in BASES or kind in FAMILIES or kind is logging.Handler:
        return True
    return type(kind) not in _METACLASSES or not vars(kind).keys().isdisjoint(_LOOKING_UP)


class _NotingReach(Reach):
    """Reach that notes what it looks at."""

    def __init__(self, name: str, roots: Roots) -> None:
        super().__init__(name, roots)
        self.noted = Dependencies()

    def encoder(self, roots: Roots) -> PartEncoder:
        """Return what writes one part."""
        return _NotingEncoder(self.label, roots, self.noted)

    def describe(self, label: str, part: Part) -> bytes:
        """Return the digest of a part, and note what it consists of."""
        value, noted = part.value, self.noted
        if isinstance(value, types.FunctionType):
            for cell in value.__closure__ or ():
                noted.of(cell, "cell_contents")
        elif part.kind == "class":
            noted.of(value, "__class__", "__bases__")
            noted.whole(vars(value))
            if type(value) is ABCMeta:
                noted.registries = True
            elif type(value) is not type:  # which may keep more of it elsewhere, as that of enums does
                noted.are_certain = False
        elif part.kind == "module":
            noted.are_certain = False
        return super().describe(label, part)


class KnownFingerprints:
    """Fingerprints of the steps of a plan."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _Known] = {}

    def of(self, target: object, *, name: str) -> Fingerprint:
        """Return what `fingerprint` does.

        Parameters
        ----------
        target : object
            As there; or a tuple of a function, and a dictionary that may be another one of the same content.
        name : str
            As there.

        Raises
        ------
        FingerprintError
            As there.
        """
        if type(target) is tuple:
            function, params = target
            key = (name, id(function), *params, *map(id, params.values()))
        else:
            key = name, id(target)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = _Known(target, name)
        return known.fingerprint()


class _Known:
    """Fingerprint of one target, which it keeps alive."""

    def __init__(self, target: object, name: str) -> None:
        self._target = target
        self._name = name
        self._known: tuple[Fingerprint, Callable[[], bool]] | None = None
        self._left = _MOST_CHANGES

    def fingerprint(self) -> Fingerprint:
        """Return it as it is now."""
        known = self._known
        if known is not None:
            with suppress(Exception):  # such as that of a dictionary which another thread is changing
                if known[1]():
                    return known[0]
            if self._known is known:  # of several threads, the first one notes it
                self._known = None
                self._left -= 1
        if self._left <= 0:
            return fingerprint(self._target, name=self._name)
        reach = _NotingReach(self._name, ())
        found = found_by(reach, self._target)
        if reach.noted.are_certain:
            self._known = found, reach.noted.settled()
        else:
            self._left = 0
        return found
