"""Code that values of a project hold: functions and classes in its registries."""

from __future__ import annotations

import functools
import itertools
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from crystallize.identity.instances import attributes
from crystallize.identity.origin import is_project_name

_MOST_LOOKED_AT: Final = 5_000
_PLAIN: Final = (bool, int, float, complex, str, bytes, types.NoneType, types.ModuleType)
_MAPPINGS: Final = (dict, types.MappingProxyType)
_SEQUENCES: Final = (list, tuple, set, frozenset, deque)
_HOLDERS: Final = frozenset({"collections", "functools", "weakref", "_weakrefset", "types"})
"""Modules of Python whose classes hold what they are given."""


def code_in(value: object) -> Iterator[types.FunctionType | type]:
    """Yield functions and classes of the project that a value holds, in containers, closures or attributes.

    Only the first few thousand things are looked at: a table of data holds no code.
    """
    met = {id(value)}
    waiting = deque(_held(value))
    while waiting and len(met) < _MOST_LOOKED_AT:
        item = waiting.popleft()
        if isinstance(item, _PLAIN) or id(item) in met:
            continue
        met.add(id(item))
        code = item if isinstance(item, types.FunctionType | type) else type(item)
        if is_project_name(code.__module__ or ""):
            yield code
        waiting.extend(_held(item))


def _held(item: Any) -> list[object]:
    """Return what something holds itself, as far as it is a container, code or an instance of the project."""
    with suppress(Exception):  # of what tells of itself in a way of its own
        return [*itertools.islice(_parts(item), _MOST_LOOKED_AT)]
    return []


def _parts(item: Any) -> Iterable[object]:
    if isinstance(item, _MAPPINGS):
        return itertools.chain(item.values(), item)
    if isinstance(item, _SEQUENCES):
        return item
    if isinstance(item, types.FunctionType):
        return itertools.chain((cell.cell_contents for cell in item.__closure__ or ()), vars(item).values())
    if isinstance(item, type):
        held = vars(item).values() if is_project_name(item.__module__) else ()
        return (part for part in held if isinstance(part, (*_MAPPINGS, *_SEQUENCES)))
    if isinstance(item, types.MethodType):
        return item.__func__, item.__self__
    if isinstance(item, functools.partial):
        return item.func, item.args, item.keywords
    if isinstance(item, weakref.ref):
        return (item(),)
    module = type(item).__module__
    if is_project_name(module) or module.partition(".")[0] in _HOLDERS:
        return attributes(item).values()
    return ()
