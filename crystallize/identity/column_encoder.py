"""Writes many containers that are alike by column: what they hold in one place has mostly one type."""

from __future__ import annotations

import array
import enum
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal
from weakref import WeakKeyDictionary

import crystallize.identity.builtin_hash  # noqa: F401 - it teaches the encoder the types that are packed
from crystallize.identity.encoder import BASES, FAMILIES, PACKAGES, Encoder, Refusal
from crystallize.identity.instances import attributes, opaque_base
from crystallize.identity.origin import is_project_name

_BLOCK: Final = 1024  # containers whose columns are written together
_MOST: Final = 2**16  # items of the lists of a block
_DEEPEST: Final = 4  # columns of columns; what contains itself would go on without end


_MANY: Final = 64  # pairs of a mapping, from which on its keys and its values are a column each
_OF_NAMES: Final = frozenset({"__module__", "__name__", "__qualname__"})
"""Attributes by which an instance may stand for something that an installed module offers."""
_HIDING: Final = frozenset({"__getattr__", "__getattribute__", "__name__", "__qualname__"})

Layout = Literal["members", "attributes", "items", "other"]
"""What instances of a class hold: members of an enum, attributes alone, items of a tuple too, or anything."""

_layouts: WeakKeyDictionary[type, Layout] = WeakKeyDictionary()


def layout_of(kind: type) -> Layout:
    """Return what instances of a class hold."""
    known = _layouts.get(kind)
    if known is None:
        known = _layouts[kind] = _found_layout(kind)
    return known


def _found_layout(kind: type) -> Layout:
    mro = kind.__mro__
    family = next((base for base in FAMILIES if base in mro), None)
    if family is not None:
        return "members" if family is enum.Enum else "other"
    if (
        kind.__module__.partition(".")[0] in PACKAGES
        or opaque_base(kind, BASES) is not None
        or not all(_HIDING.isdisjoint(vars(base)) for base in mro[:-1] if base not in BASES)
    ):
        return "other"
    base = next((base for base in BASES if base in mro), None)
    return "attributes" if base is None else "items" if base is tuple else "other"


class ColumnEncoder(Encoder):
    """Encoder of lists of dicts with the same keys, of lists, of tuples and of instances by column.

    A block of these is one item that begins with an asterisk, as no single value does but a mapping of many
    pairs: the keys, the lengths, or the class and the names of attributes, and then the items of each column
    as a sequence.
    """

    __slots__ = ()

    rows: ClassVar[frozenset[type]] = frozenset({dict, types.MappingProxyType})
    """Types of mappings that are as good as each other."""
    fewest: ClassVar[int] = 8
    """Items below which it is not worth it."""

    def at_once(self, kinds: set[type], items: Any) -> bool:
        """Add items of these types at once, or in blocks, and return whether that is possible."""
        if super().at_once(kinds, items):
            return True
        if len(items) < self.fewest or self.deep == _DEEPEST:
            return False
        write = self._writer_of(kinds)
        if write is None:
            return False
        items = list(items)
        for start in range(0, len(items), _BLOCK):
            block = items[start : start + _BLOCK]
            self.deep += 1
            try:
                written = write(block)
            except Refusal:
                self.one_by_one(block, start)  # which tells the path
                raise
            finally:
                self.deep -= 1
            if not written:
                self.one_by_one(block, start)
            self.flush()
        return True

    def _writer_of(self, kinds: set[type]) -> Callable[[list[Any]], bool] | None:
        """Return what writes a block of items of these types; None if nothing does."""
        if kinds <= self.rows:
            return self.of_rows
        if len(kinds) != 1:
            return None
        (kind,) = kinds
        if kind is list or kind is tuple:
            return self._of_lists
        layout = self.layout_of(kind)
        return None if layout == "other" else self._of_members if layout == "members" else self.of_instances

    def layout_of(self, kind: type) -> Layout:
        """Return what instances of a class hold, as far as they are written as such."""
        return "other" if kind in self.writers else layout_of(kind)

    def of_rows(self, rows: list[Any]) -> bool:
        """Add dicts if all have the same keys in the same order, which are texts."""
        rows = [dict(row) if type(row) is types.MappingProxyType else row for row in rows]
        keys = list(rows[0])
        given = list(itertools.chain.from_iterable(rows))
        if set(map(len, rows)) != {len(keys)} or set(map(type, given)) != {str} or given != keys * len(rows):
            return False
        values = list(itertools.chain.from_iterable(map(dict.values, rows)))
        self.add(b"*d")
        self.sequence(b"l", keys)
        for column in range(len(keys)):
            self.sequence(b"l", values[column :: len(keys)])
        return True

    def _of_lists(self, lists: list[Any]) -> bool:
        """Add lists, or tuples, unless they are long: then there is no need."""
        sizes = array.array("q", map(len, lists))
        if sum(sizes) > _MOST:
            return False
        self.add(b"*l" if type(lists[0]) is list else b"*t")
        self.add(sizes.tobytes())
        self.sequence(b"l", list(itertools.chain.from_iterable(lists)))
        return True

    def _of_members(self, members: list[enum.Enum]) -> bool:
        """Add members of an enum: each once, and where it is."""
        different = list({id(member): member for member in members}.values())
        places = {id(member): place for place, member in enumerate(different)}
        self.add(b"*e")
        self.kind(members[0])
        self.sequence(b"l", [member.name for member in different])
        self.sequence(b"l", [member._value_ for member in different])
        self.add(array.array("q", [places[id(member)] for member in members]).tobytes())
        return True

    def of_instances(self, instances: list[Any]) -> bool:
        """Add instances of a class if all have the same attributes, in slots or not, and none has a name."""
        kind = type(instances[0])
        states = list(map(attributes, instances))
        names = states[0].keys()
        if any(state.keys() != names for state in states) or not _OF_NAMES.isdisjoint(names):
            return False
        if not is_project_name(kind.__module__, self.roots):
            held = set(map(id, vars(sys.modules[kind.__module__]).values()))
            if not held.isdisjoint(map(id, instances)):
                return False
        items = None
        if self.layout_of(kind) == "items":
            items = [tuple.__getitem__(value, slice(None)) for value in instances]
            if sum(map(len, items)) > _MOST:
                return False
        self.add(b"*o")
        self.kind(instances[0])
        if items is not None:
            self._of_lists(items)
        self.sequence(b"l", sorted(names))
        for name in sorted(names):
            self.sequence(b"l", [state[name] for state in states])
        return True

    def mapping(self, tag: bytes, items: Any) -> None:
        """Add the pairs of a mapping in their order; of many, the keys and then the values."""
        if len(items) < _MANY or self.deep == _DEEPEST:
            super().mapping(tag, items)
            return
        self.deep += 1
        try:
            self.add(b"*m")
            self.sequence(tag, list(items))
            self.sequence(b"l", list(items.values()))
        except Refusal:
            super().mapping(tag, items)  # which tells the path
            raise
        finally:
            self.deep -= 1


ColumnEncoder.packers = Encoder.packers | {
    bool: lambda items: b"*+" + bytes(items),
    types.NoneType: lambda items: b"*N",
}
