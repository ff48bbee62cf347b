"""The class of a test as the runs of one of its methods may use it: without its other tests.

A method reaches another one by a name that it takes of its first parameter. If no method uses that parameter
in another way, the names say which methods are reached; else, all are.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from crystallize.identity.code_facts import code_facts, taken_of_first
from crystallize.identity.instances import is_written_in_c
from crystallize.identity.origin import Roots, is_project_name

_WITHOUT_NAMES: Final = frozenset({"locals", "vars", "dir", "super", "mro", "__class__"})
"""Names by which a method may reach others that it does not name."""
_LOOKING_UP: Final = frozenset({"__getattr__", "__getattribute__"})


@dataclass(frozen=True, slots=True)
class ClassOfTest:
    """Class of a test, and the test.

    Attributes
    ----------
    kind : type
        The class.
    body : object
        The test's function.
    tests : frozenset of str
        Names of all tests of the class.
    unwrapped : callable
        Returns the function of a fixture, and of what wraps none the same.
    """

    kind: type
    body: object
    tests: frozenset[str]
    unwrapped: Callable[[Any], Any]

    def unreached(self, roots: Roots) -> frozenset[str]:
        """Return the names of tests of the class that no method reaches which the test may reach.

        Fixtures, methods that pytest calls and those that nobody names are all taken for reached.
        """
        own = vars(self.kind)
        others = {
            name
            for name in self.tests & own.keys()
            if type(own[name]) is types.FunctionType and own[name] is not self.body
        }
        waiting = [self.body]
        for base in self.kind.__mro__[:-1]:
            if not _is_plain(base, roots):
                return frozenset()
            waiting += [
                item for name, item in vars(base).items() if not (base is self.kind and name in others)
            ]
        while waiting:
            names = self._names(waiting.pop())
            if names is None:
                return frozenset()
            if reached := names & others:
                others -= reached
                waiting += [own[name] for name in reached]
        return frozenset(others)

    def _names(self, item: Any) -> frozenset[str] | None:
        """Return the names in a member of the class; None if it may reach what it does not name."""
        found: frozenset[str] = frozenset()
        for function in self._called_with_first(item):
            taken = taken_of_first(function.__code__) if isinstance(function, types.FunctionType) else None
            names = frozenset() if taken is None else code_facts(function.__code__).names
            if taken is None or not names.isdisjoint(_WITHOUT_NAMES):
                return None
            if any(isinstance(self._looked_up(name), _BOUND) for name in taken):
                return None  # a bound method leads to its instance
            found |= names
        return found

    def _called_with_first(self, item: Any) -> list[Any]:
        """Return what Python calls with the instance, or the class, where a member is looked up or called."""
        if type(item) is property:
            return [part for part in (item.fget, item.fset, item.fdel) if part is not None]
        if type(item) is classmethod:
            return [item.__func__]
        if type(item) is functools.cached_property:
            return [item.func]
        item = self.unwrapped(item)
        is_bound = hasattr(type(item), "__get__") and not isinstance(item, _UNBOUND)
        return [item] if is_bound else []

    def _looked_up(self, name: str) -> Any:
        return next((vars(base)[name] for base in self.kind.__mro__ if name in vars(base)), None)


_BOUND: Final = (types.FunctionType, classmethod)
_UNBOUND: Final = (staticmethod, types.GetSetDescriptorType, types.MemberDescriptorType)
"""Descriptors that call nothing with the instance: those of `__dict__`, `__weakref__` and slots, too."""


def _is_plain(kind: type, roots: Roots) -> bool:
    """Return whether a class is the project's, and its instances have the attributes that it names."""
    return (
        type(kind) is type
        and not is_written_in_c(kind)
        and is_project_name(kind.__module__, roots)
        and vars(kind).keys().isdisjoint(_LOOKING_UP)
    )
