"""Writes many containers that are alike by column: what they hold in one place has mostly one type."""

from __future__ import annotations

import array
import itertools
import types
from typing import Any, ClassVar, Final

import crystallize.identity.builtin_hash  # noqa: F401 - it teaches the encoder the types that are packed
from crystallize.identity.encoder import Encoder, Refusal

_BLOCK: Final = 1024  # containers whose columns are written together
_MOST: Final = 2**16  # items of the lists of a block
_DEEPEST: Final = 4  # columns of columns; what contains itself would go on without end


class ColumnEncoder(Encoder):
    """Encoder of lists of dicts with the same keys, of lists and of tuples by column.

    A block of such containers is one item that begins with an asterisk, as no single value does: the keys, or
    the lengths, and then the items of each column as a sequence.
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
        if kinds != {list} and kinds != {tuple} and not kinds <= self.rows:
            return False
        items = list(items)
        for start in range(0, len(items), _BLOCK):
            block = items[start : start + _BLOCK]
            self.deep += 1
            try:
                written = self.of_rows(block) if kinds <= self.rows else self._of_lists(kinds, block)
            except Refusal:
                self.one_by_one(block, start)  # which tells the path
                raise
            finally:
                self.deep -= 1
            if not written:
                self.one_by_one(block, start)
            self.flush()
        return True

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

    def _of_lists(self, kinds: set[type], lists: list[Any]) -> bool:
        """Add lists, or tuples, unless they are long: then there is no need."""
        sizes = array.array("q", map(len, lists))
        if sum(sizes) > _MOST:
            return False
        self.add(b"*l" if list in kinds else b"*t")
        self.add(sizes.tobytes())
        self.sequence(b"l", list(itertools.chain.from_iterable(lists)))
        return True


ColumnEncoder.packers = Encoder.packers | {
    bool: lambda items: b"*+" + bytes(items),
    types.NoneType: lambda items: b"*N",
}
