"""What an instance holds, as far as Python can see it, and whether that is all."""

from __future__ import annotations

import types
from collections.abc import Collection
from typing import Any, Final
from weakref import WeakKeyDictionary

_NO_STATE: Final = frozenset({"__dict__", "__weakref__"})
_C_DEFINED: Final = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ClassMethodDescriptorType,
)

_slots: WeakKeyDictionary[type, tuple[tuple[str, types.MemberDescriptorType], ...]] = WeakKeyDictionary()
_written_in_c: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def attributes(value: Any) -> dict[str, Any]:
    """Return the attributes that an instance holds itself, in `__dict__` and in slots."""
    found: dict[str, Any] = {}
    in_slots = slots(type(value))
    for name, member in in_slots:
        try:
            found[name] = member.__get__(value)
        except AttributeError:  # nothing was assigned
            continue
    try:
        held = object.__getattribute__(value, "__dict__")  # whatever its class says of it
    except AttributeError:
        return found
    if not isinstance(held, dict):
        return found
    if not in_slots and all(type(name) is str for name in held):
        return dict(held)
    names = {name for name, _ in in_slots}  # which hide what has the same name
    for name, item in held.items():
        found[name if type(name) is str and name not in names else f"__dict__[{name!r}]"] = item
    return found


def slots(kind: type) -> tuple[tuple[str, types.MemberDescriptorType], ...]:
    """Return the slots of a class and its bases that are written in Python."""
    known = _slots.get(kind)
    if known is None:
        known = tuple(
            (member.__name__, member)
            for base in reversed(kind.__mro__)
            if not is_written_in_c(base)
            for member in vars(base).values()
            if isinstance(member, types.MemberDescriptorType) and member.__objclass__ is base
        )
        _slots[kind] = known
    return known


def opaque_base(kind: type, known: Collection[type]) -> type | None:
    """Return the first class among `kind` and its bases whose instances may hold what Python can't see."""
    written = {base for held in kind.__mro__ if held in known for base in held.__mro__}
    for base in kind.__mro__:
        if issubclass(base, BaseException) and base.__module__ == "builtins":
            continue  # its arguments are all there is
        if base is not object and base not in written and is_written_in_c(base):
            return base
    return None


def is_written_in_c(kind: type) -> bool:
    """Return whether a class is defined by C code, which leaves descriptors of its own in it."""
    known = _written_in_c.get(kind)
    if known is None:
        own = vars(kind)
        names = own.get("__slots__", ())
        slot_count = 1 if isinstance(names, str) else len(list(names))
        members = 0
        known = not own.get("__module__") and kind is not object
        for name, item in own.items():
            if isinstance(item, _C_DEFINED) and getattr(item, "__objclass__", None) is kind:
                if isinstance(item, types.MemberDescriptorType) and "__slots__" in own:
                    members += 1
                elif name not in _NO_STATE:
                    known = True
        known = known or members > slot_count
        _written_in_c[kind] = known
    return known
