"""The class of a test as the runs of one of its methods may use it: without its other tests.

A method reaches another one by a name that it takes of its first parameter. If no method uses that parameter
in another way, names and texts say which methods are reached; else, all are.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from crystallize.identity.code_facts import code_facts, taken_of
from crystallize.identity.instances import is_written_in_c
from crystallize.identity.origin import Roots, is_project_name

_WITHOUT_NAMES: Final = frozenset(
    {
        *("locals", "vars", "dir", "super", "mro", "__class__", "__self__", "query", "eval"),
        *("__closure__", "cell_contents", "getclosurevars"),
    }
)
"""Names by which a method may reach others that it does not name; pandas evaluates where it is called."""
_LOOKING_UP: Final = frozenset({"__getattr__", "__getattribute__", "__new__"})
_OF_METHOD: Final = frozenset({"setup_method", "teardown_method"})
"""What pytest calls with the bound method that is run, if it has a second parameter."""
_OF_PYTEST: Final = _OF_METHOD | {"setup_class", "teardown_class", "pytest_generate_tests"}
_MARKS: Final = "pytestmark"


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

    def left_out(self, roots: Roots) -> frozenset[str]:
        """Return the names of the class that the test does not reach, whichever methods it may call.

        These are other tests, and marks of the class, which say how often and against what tests are run.
        """
        others = self.unreached(roots)
        asked = _MARKS in vars(self.kind) and self._asks_for_marks(others)
        return others if asked else others | {_MARKS}

    def unreached(self, roots: Roots) -> frozenset[str]:
        """Return the names of tests of the class that no method reaches which the test may reach.

        Fixtures, methods that pytest or Python call and those that nobody names are all taken for reached.
        """
        own = vars(self.kind)
        others = {
            name
            for name in self.tests & own.keys() - _OF_PYTEST
            if type(own[name]) is types.FunctionType
            and own[name] is not self.body
            and not name[:2] == name[-2:] == "__"
        }
        waiting = [("", self.body)]
        for base in self.kind.__mro__[:-1]:
            if not _is_plain(base, roots):
                return frozenset()
            waiting += [pair for pair in vars(base).items() if base is not self.kind or pair[0] not in others]
        while waiting:
            names = self._names(*waiting.pop())
            if names is None:
                return frozenset()
            reached = names & others
            # It may stand in a text, too: `frame.query("price > @self.limit()")`.
            for text in names:
                if not text.isidentifier():
                    reached |= {name for name in others if name in text}
            if reached:
                others -= reached
                waiting += [(name, own[name]) for name in reached]
        return frozenset(others)

    def _asks_for_marks(self, others: frozenset[str]) -> bool:
        """Return whether a method that is not left out names the attribute that marks are kept in."""
        functions = (
            function
            for base in self.kind.__mro__[:-1]
            for name, member in vars(base).items()
            if base is not self.kind or name not in others
            for function in self._called_with_first(member)
        )
        return any(
            not isinstance(function, types.FunctionType) or _MARKS in code_facts(function.__code__).names
            for function in functions
        )

    def _names(self, member: str, item: Any) -> frozenset[str] | None:
        """Return the names in a member of the class; None if it may reach what it does not name."""
        found: frozenset[str] = frozenset()
        for function in self._called_with_first(item):
            if not isinstance(function, types.FunctionType):
                return None
            names = code_facts(function.__code__).names
            taken = taken_of(function.__code__, 0)
            if taken is None or not names.isdisjoint(_WITHOUT_NAMES):
                return None
            if any(isinstance(self.unwrapped(self._looked_up(name)), _BOUND) for name in taken):
                return None  # a bound method leads to its instance
            if member in _OF_METHOD and _takes_more(function) and taken_of(function.__code__, 1) is None:
                return None
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
        is_bound = hasattr(type(item), "__get__") and type(item) not in _UNBOUND
        return [item] if is_bound else []

    def _looked_up(self, name: str) -> Any:
        return next((vars(base)[name] for base in self.kind.__mro__ if name in vars(base)), None)


_BOUND: Final = (types.FunctionType, classmethod)
_UNBOUND: Final = (staticmethod, types.GetSetDescriptorType, types.MemberDescriptorType)
"""Descriptors that call nothing with the instance: those of `__dict__`, `__weakref__` and slots, too."""


def _takes_more(function: types.FunctionType) -> bool:
    """Return whether a method may be given something by its position."""
    return function.__code__.co_argcount > 1 or bool(function.__code__.co_flags & inspect.CO_VARARGS)


def _is_plain(kind: type, roots: Roots) -> bool:
    """Return whether a class is the project's, and leaves to Python how instances are made and asked."""
    return (
        type(kind) is type
        and not is_written_in_c(kind)
        and is_project_name(kind.__module__, roots)
        and vars(kind).keys().isdisjoint(_LOOKING_UP)
    )
