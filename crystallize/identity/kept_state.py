"""What code keeps in memory from one call to the next: memos, generators, counters; and sets that it walks.

Fingerprints refuse what has no identity. Here the question is only whether it changes meanwhile, within one
process, so that everything counts as far as it can be seen.
"""

from __future__ import annotations

import dis
import functools
import gc
import itertools
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from crystallize.boundary import check_failure
from crystallize.identity.bodies import DESCRIPTIONS
from crystallize.identity.column_encoder import Layout
from crystallize.identity.encoder import Refusal
from crystallize.identity.origin import Roots, real_directory
from crystallize.identity.part_encoder import (
    LabelPart,
    Part,
    PartEncoder,
    is_class_of_asyncio,
    is_of_asyncio,
)
from crystallize.identity.process_state import Move, moves, settings_of
from crystallize.identity.reach import Reach
from crystallize.identity.settings import Setting

_ITERATORS: Final = ("builtins", "itertools", "collections", "_io")
_ORDER_FREE: Final = frozenset({"sorted", "len", "min", "max", "set", "frozenset", "any", "all", "sum"})
_OF_FIXTURES: Final = ("fixture ", "class of fixture ")  # they may be set up once for several runs
_RANDOMISED: Final = (str, bytes)
_MOST_COMPARED: Final = 1_000  # values of a memo
_SHORT: Final = 100  # entries of a list, bits of a number


@dataclass
class KeptState:
    """State that code of a project held at some moment.

    Attributes
    ----------
    parts : mapping
        Label of each part -> digest of it.
    memos : mapping
        Label of each function with a memo -> the function, and how many calls of it were none of the memo's.
    orders : list of str
        Labels of sets of texts that code walks through, in an order that the hash seed decides.
    holders : mapping
        Label of each part -> the dictionaries in it, attributes of instances too, and how many entries each
        of them has.
    settings : mapping
        Name of each setting of the process that code may change -> the setting, and its value.
    of_fixtures : mapping
        The same of settings that fixtures may change.
    """

    parts: dict[str, bytes] = field(default_factory=dict)
    memos: dict[str, tuple[Any, int]] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    holders: dict[str, list[tuple[dict[Any, Any], int]]] = field(default_factory=dict)
    settings: dict[str, tuple[Setting, Any]] = field(default_factory=dict)
    of_fixtures: dict[str, tuple[Setting, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, components: Mapping[str, Any], roots: Iterable[str | os.PathLike[str]]) -> KeptState:
        """Return what components hold now."""
        found = cls()
        paths = tuple(real_directory(os.path.abspath(root)) for root in roots)  # noqa: PTH100 - it is cheap
        for name, component in components.items():
            if _is_plain(component):
                found.parts[name] = repr(component).encode("utf-8", "surrogatepass")
                continue
            reach = _StateReach(name, paths, found)
            reach.explore(component)
            found.parts.update(reach.digests)
        return found

    def changed(self, later: KeptState) -> list[str]:
        """Return which parts are not what they were; those that are new by then do not count."""
        known = self.parts.keys() & later.parts.keys()
        return sorted(label for label in known if self.parts[label] != later.parts[label])

    def filled(self, later: KeptState) -> dict[str, Any]:
        """Return the memos that were filled meanwhile: label -> function."""
        before = {label: misses for label, (_, misses) in self.memos.items()}
        return {
            label: memo
            for label, (memo, misses) in sorted(later.memos.items())
            if misses != before.get(label, 0)
        }

    def grown(self) -> dict[str, Additions]:
        """Return the parts in which dictionaries have more entries by now: label -> these."""
        found = {label: _additions(holders) for label, holders in sorted(self.holders.items())}
        return {label: additions for label, additions in found.items() if additions}

    def moved(self) -> dict[str, Move]:
        """Return the settings of the process that are not what they were."""
        return moves(self.settings.values())


Additions = list[tuple[dict[Any, Any], dict[Any, Any]]]
"""Dictionaries, and the entries that each of them got: the last ones, since others would have moved up."""


def _is_plain(value: Any, left: int = 3) -> bool:
    """Return whether a value is a short list of lists, numbers and texts without code: as its text says."""
    kind = type(value)
    if kind is str:
        return "." not in value and ":" not in value
    if kind is list or kind is tuple:
        return left > 0 and len(value) <= _SHORT and all(_is_plain(item, left - 1) for item in value)
    return value is None or kind is bool or kind is float or (kind is int and value.bit_length() < _SHORT)


def _additions(holders: Iterable[tuple[dict[Any, Any], int]]) -> Additions:
    return [
        (held, dict(itertools.islice(held.items(), size, None))) for held, size in holders if len(held) > size
    ]


@contextmanager
def set_aside(grown: Iterable[Additions]) -> Iterator[None]:
    """Have dictionaries be without the entries that they got; what they get meanwhile does not stay."""
    found = {id(held): (held, added) for additions in grown for held, added in additions}  # each once
    taken = [(held, added, len(held) - len(added)) for held, added in found.values()]
    for held, added, _ in taken:
        for key in added:
            del held[key]
    try:
        yield
    finally:
        for held, added, size in taken:
            for key in list(itertools.islice(held, size, None)):
                del held[key]
            held.update(added)


def refilled_alike(additions: Additions) -> bool:
    """Return whether entries that were set aside have the same values where they came again."""
    return all(
        _are_alike(added[key], held[key]) for held, added in additions for key in added.keys() & held.keys()
    )


def _are_alike(first: Any, second: Any) -> bool:
    return KeptState.of({"entry": first}, ()).parts == KeptState.of({"entry": second}, ()).parts


class _StateReach(Reach):
    """Reach over all parts, also those that have no identity."""

    def __init__(self, name: str, roots: Roots, found: KeptState) -> None:
        super().__init__(name, roots)
        self._found = found

    def encoder(self, roots: Roots) -> PartEncoder:
        """Return what writes one part."""
        return _StateEncoder(self.label, roots, self._found, [])

    def describe(self, label: str, part: Part) -> bytes:
        """Return the digest of a part as far as it can be seen; note memos and sets."""
        value = part.value
        if isinstance(value, types.FunctionType):
            self._found.orders += _walked(value)
            of_fixture = self.name.startswith(_OF_FIXTURES)
            settings = self._found.of_fixtures if of_fixture else self._found.settings
            for setting in settings_of(value, part.roots):
                settings.setdefault(setting.name, (setting, setting.get()))
        holders: list[tuple[dict[Any, Any], int]] = []
        encoder = _StateEncoder(self.label, part.roots, self._found, holders)
        try:
            DESCRIPTIONS[part.kind](encoder, value)
        except RecursionError:  # what it has come to depends on where it began
            return b"!"
        except BaseException as error:
            check_failure(error)
            encoder.add(b"!")
        if holders:
            self._found.holders.setdefault(label, []).extend(holders)
        return encoder.digest()


class _StateEncoder(PartEncoder):
    """Encoder of what can be seen of what has no identity, instead of refusing it."""

    __slots__ = ("_found", "_holders")

    def __init__(
        self, label: LabelPart, roots: Roots, found: KeptState, holders: list[tuple[dict[Any, Any], int]]
    ) -> None:
        super().__init__(label, roots)
        self._found = found
        self._holders = holders

    def mapping(self, tag: bytes, items: Any) -> None:
        """Add the pairs of a mapping, and note it."""
        if type(items) is dict:
            self._holders.append((items, len(items)))
        super().mapping(tag, items)

    def of_rows(self, rows: list[Any]) -> bool:
        """Add dicts by column, and note each."""
        written = super().of_rows(rows)
        if written:
            self._holders.extend(zip(rows, map(len, rows), strict=True))
        return written

    def layout_of(self, kind: type) -> Layout:
        """Return what instances of a class hold; event loops are written as their classes."""
        return "other" if is_class_of_asyncio(kind, "AbstractEventLoop") else super().layout_of(kind)

    def of_instances(self, instances: list[Any]) -> bool:
        """Add instances by column, and note where the attributes of each are."""
        written = super().of_instances(instances)
        if written:
            spaces = [getattr(value, "__dict__", None) for value in instances]
            self._holders.extend((held, len(held)) for held in spaces if type(held) is dict)
        return written

    def write_instance(self, value: Any) -> None:
        """Add an instance; of an event loop, from which all that is under way can be reached, its class."""
        if is_of_asyncio(value, "AbstractEventLoop"):
            self.write_class(type(value))
        else:
            super().write_instance(value)

    def state(self, value: Any) -> None:
        """Add the attributes of an instance, and note where they are."""
        held = getattr(value, "__dict__", None)
        if type(held) is dict:
            self._holders.append((held, len(held)))
        super().state(value)

    def write_code(self, value: Any) -> None:
        """Refer to code, and note a memo."""
        if isinstance(value, functools._lru_cache_wrapper):
            name = f"{value.__module__}.{value.__qualname__}"
            self._found.memos[name] = value, value.cache_info().misses
        super().write_code(value)

    def write(self, value: Any) -> None:
        """Add a value, or what can be seen of it."""
        try:
            super().write(value)
        except Refusal:
            self.text(b"?", _seen(value))


def _seen(value: Any) -> str:
    """Return what tells one state of an object without identity from another, within a process."""
    kind = type(value)
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        if frame is None:
            return "ended"
        simple = {k: v for k, v in frame.f_locals.items() if isinstance(v, int | float | str | bytes | None)}
        return f"at {frame.f_lasti} with {simple!r}"
    if isinstance(value, itertools.count):
        return repr(value)
    if kind.__module__ in _ITERATORS and hasattr(value, "__length_hint__"):
        return f"{kind.__qualname__} with {value.__length_hint__()} to come"
    return f"{kind.__module__}.{kind.__qualname__}"


def _walked(function: types.FunctionType) -> list[str]:
    """Return the sets of texts in variables that a function does more with than to look something up."""
    code = function.__code__
    names = (*code.co_names, *code.co_freevars, *code.co_cellvars)
    if not any(isinstance(function.__globals__.get(name), set | frozenset) for name in names):
        return []  # as mostly
    found = []
    instructions = [i for i in dis.get_instructions(function) if i.opname not in ("CACHE", "PRECALL", "NOP")]
    for place, instruction in enumerate(instructions):
        if not instruction.opname.startswith(("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME")):
            continue
        value = function.__globals__.get(str(instruction.argval))
        if not isinstance(value, set | frozenset) or len(value) < 2:
            continue
        if not all(isinstance(member, _RANDOMISED) for member in value):
            continue
        behind = instructions[place + 1].opname if place + 1 < len(instructions) else ""
        before = str(instructions[place - 1].argval) if place else ""
        if behind not in ("CONTAINS_OP",) and not (behind.startswith("CALL") and before in _ORDER_FREE):
            found.append(f"{function.__globals__.get('__name__', '?')}.{instruction.argval}")
    return found


def cleared(memos: Mapping[str, Any]) -> dict[str, dict[Any, Any]]:
    """Empty memos, so that what is run next fills them anew; return what they held."""
    held = {label: _held_by(memo) for label, memo in memos.items()}
    for memo in memos.values():
        clear: Callable[[], None] = memo.cache_clear
        clear()
    return held


def filled_otherwise(memos: Mapping[str, Any], held: Mapping[str, dict[Any, Any]]) -> set[str]:
    """Return the memos that were emptied and hold another value by now, for the same arguments."""
    found = set()
    for label, before in held.items():
        now = _held_by(memos[label])
        both = list(itertools.islice((arguments for arguments in now if arguments in before), _MOST_COMPARED))
        if both and not _are_alike([before[one] for one in both], [now[one] for one in both]):
            found.add(label)
    return found


def _held_by(memo: Any) -> dict[Any, Any]:
    """Return what a memo holds: arguments, in the way it keeps them -> value; nothing if none can be seen."""
    info, referents = memo.cache_info(), gc.get_referents(memo)
    of_memo = (one for one in referents if type(one) is dict and one is not vars(memo))
    cache = next((one for one in of_memo if one and len(one) == info.currsize), None)
    if cache is None:
        return {}
    if info.maxsize is None:
        return dict(cache)
    # The values are in links, which are followed by their type.
    link, arguments = type(next(iter(cache.values()))), set(map(id, cache))
    triples = zip(referents, referents[1:], referents[2:], strict=False)
    return {key: value for key, value, kind in triples if kind is link and id(key) in arguments}
