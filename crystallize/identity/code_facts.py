"""What a code object is, apart from lines and file names, and what it refers to by name."""

from __future__ import annotations

import functools
import opcode
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import crystallize.identity.builtin_hash  # noqa: F401 - it teaches the encoder what constants can be
from crystallize.identity.encoder import Encoder
from crystallize.identity.named_by_text import paths_in

_MOST_READ: Final = 50_000  # code objects that are kept alive

T = TypeVar("T")
Kind = Literal[
    "const", "global", "free", "local", "attribute", "method", "copy", "import", "from", "store", "other"
]


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement inside a function: `import name`, or `from name import names`."""

    level: int
    name: str
    names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that code looks up, and the attributes that it takes of it at once.

    An import without attributes is a use of the module as a whole, unless it is `bare`: executed only.
    """

    root: str | Import
    attributes: tuple[str, ...] = ()
    free: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """Facts about a code object, with those inside it.

    Attributes
    ----------
    digest : bytes
        What it would do.
    references : tuple of Reference
        What it looks up.
    names : frozenset of str
        All names and texts in it.
    paths : tuple of str
        Texts in it that may name something of a module.
    """

    digest: bytes
    references: tuple[Reference, ...]
    names: frozenset[str]
    paths: tuple[str, ...]


def read_once(read: Callable[[types.CodeType], T]) -> Callable[[types.CodeType], T]:
    """Decorate what reads a code object: each is read once in a process."""
    # By identity: code objects compare equal that differ in qualified name or in their exception table.
    found: dict[int, tuple[types.CodeType, T]] = {}

    @functools.wraps(read)
    def look(code: types.CodeType) -> T:
        known = found.get(id(code))
        if known is None:
            if len(found) >= _MOST_READ:
                found.clear()
            known = found[id(code)] = code, read(code)
        return known[1]

    return look


@read_once
def code_facts(code: types.CodeType) -> CodeFacts:
    """Return the facts about a code object."""
    encoder = _CodeEncoder()
    encoder.write(code)
    bound: dict[str, list[Reference]] = {}
    nested = list(_nested(code))
    executed = [list(_operations(inner)) for inner in nested]
    for operations in executed:
        _bind_imports(operations, bound)
    references: dict[Reference, None] = {}
    for operations in executed:
        references.update(dict.fromkeys(_references(operations, bound)))
    followed = {reference.root for reference in references if reference.free}
    for name in code.co_freevars:
        if name not in followed:  # handed on to an inner function
            references[Reference(name, free=True)] = None
    # A text is as good as a name to `getattr`.
    texts = [text for inner in nested for text in _texts(inner.co_consts)]
    names = frozenset(name for inner in nested for name in inner.co_names).union(texts)
    paths = dict.fromkeys(path for text in texts for path in paths_in(text))
    return CodeFacts(encoder.digest(), tuple(references), names, tuple(paths))


def _texts(constants: Iterable[object]) -> Iterator[str]:
    for constant in constants:
        if type(constant) is str:
            yield constant
        elif isinstance(constant, tuple):
            yield from _texts(constant)
        elif isinstance(constant, frozenset):
            yield from sorted(_texts(constant))


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


class _CodeEncoder(Encoder):
    """Encoder of code objects, too: instructions, constants and names, but neither lines nor files."""

    __slots__ = ()


def _write_code(encoder: Encoder, code: types.CodeType) -> None:
    encoder.add(b"K")
    encoder.write(code.co_code)
    encoder.write(code.co_exceptiontable)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    encoder.write(counts)
    names = (code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, code.co_qualname)
    encoder.write(names)
    encoder.write(code.co_consts)


_CodeEncoder.writers = {**Encoder.writers, types.CodeType: _write_code}


_OPERATIONS: Final[dict[str, Kind]] = {
    "LOAD_CONST": "const",
    "LOAD_SMALL_INT": "const",
    "LOAD_GLOBAL": "global",
    "LOAD_NAME": "global",
    "LOAD_FROM_DICT_OR_GLOBALS": "global",
    "LOAD_DEREF": "free",
    "LOAD_CLASSDEREF": "free",
    "LOAD_FROM_DICT_OR_DEREF": "free",
    "LOAD_FAST": "local",
    "LOAD_FAST_CHECK": "local",
    "LOAD_FAST_BORROW": "local",
    "LOAD_ATTR": "attribute",
    "LOAD_METHOD": "method",
    "STORE_ATTR": "attribute",
    "DELETE_ATTR": "attribute",
    "COPY": "copy",
    "IMPORT_NAME": "import",
    "IMPORT_FROM": "from",
    "STORE_FAST": "store",
    "STORE_DEREF": "store",
    "STORE_NAME": "store",
    "STORE_GLOBAL": "store",
}
_PAIRS: Final[dict[str, tuple[Kind, Kind]]] = {
    "LOAD_FAST_LOAD_FAST": ("local", "local"),
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("local", "local"),
    "STORE_FAST_LOAD_FAST": ("store", "local"),
    "STORE_FAST_STORE_FAST": ("store", "store"),
}
_IN_CELLS: Final = {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "STORE_DEREF"}
_IN_FRAME: Final = {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "STORE_FAST"} | _IN_CELLS
_SILENT: Final = {"CACHE", "NOP", "PUSH_NULL", "PRECALL", "RESUME"}
_COPYING: Final = ("COPY", 1)
"""What `a.b += 1` does with `a` before it takes the attribute of it, which it assigns in the end."""
# Some operands carry a flag in their lowest bits.
_SHIFTS: Final = {"LOAD_GLOBAL": 1, "LOAD_ATTR": 1 if sys.version_info >= (3, 12) else 0}


Operation = tuple[Kind, Any]


def _operations(code: types.CodeType) -> Iterator[Operation]:
    """Yield what each instruction does, with the name or constant that it does it to."""
    extended = 0
    instructions = code.co_code
    frame = code._varname_from_oparg  # type: ignore[attr-defined]
    for position in range(0, len(instructions), 2):
        name = opcode.opname[instructions[position]]
        operand = instructions[position + 1] | extended
        if name == "EXTENDED_ARG":
            extended = operand << 8
            continue
        extended = 0
        if name in _SILENT or (name, operand) == _COPYING:
            continue
        if name in _PAIRS:
            yield _PAIRS[name][0], frame(operand >> 4)
            yield _PAIRS[name][1], frame(operand & 15)
            continue
        kind = _OPERATIONS.get(name, "other")
        if name == "LOAD_CONST":
            yield kind, code.co_consts[operand]
        elif name in ("LOAD_SMALL_INT", "COPY"):
            yield kind, operand
        elif name in _IN_FRAME:
            yield kind, frame(operand)
        elif kind != "other":
            shift = _SHIFTS.get(name, 0)
            called = kind == "attribute" and operand & shift
            yield "method" if called else kind, code.co_names[operand >> shift]
        else:
            yield kind, None


_TEXTS_OF: Final = frozenset({"__name__", "__qualname__", "__doc__"})
"""Attributes that are texts, of whatever has them."""


def taken_of(code: types.CodeType, place: int) -> frozenset[str] | None:
    """Return the attributes of a parameter that code takes, and does not call at once.

    None if it has no parameter at that place, or does more with it than to take, set or call its attributes.
    """
    taken = _taken(code)
    return taken[place] if place < len(taken) else None


@read_once
def _taken(code: types.CodeType) -> tuple[frozenset[str] | None, ...]:
    """Return it of the first two parameters."""
    names = code.co_varnames[: code.co_argcount][:2]
    return tuple(_taken_of_name(code, name) for name in names)


def _taken_of_name(code: types.CodeType, name: str) -> frozenset[str] | None:
    taken: set[str] = set()
    for inner in _nested(code):
        if inner is not code and name not in inner.co_freevars:
            continue
        in_cell = name in inner.co_freevars or name in inner.co_cellvars
        is_loaded = False
        for kind, operand in [*_operations(inner), ("other", None)]:
            if is_loaded:
                if kind not in ("attribute", "method") or not _is_harmless(operand):
                    return None
                if kind == "attribute":
                    taken.add(operand)
            if operand == name and kind == "store":
                return None  # from then on, it is another one of the name
            is_loaded = operand == name and kind == ("free" if in_cell else "local")
    return frozenset(taken)


def _is_harmless(attribute: str) -> bool:
    """Return whether an attribute is none that Python gives all objects or code, but for texts."""
    return attribute in _TEXTS_OF or not attribute[:2] == attribute[-2:] == "__"


@dataclass(slots=True)
class _Importing:
    """An import statement that is being executed."""

    statement: Import
    taken: list[str] = field(default_factory=list)

    def stored(self) -> Reference:
        """Return what a variable holds that is assigned now."""
        if self.statement.names is not None:
            return Reference(self.statement, (self.taken[-1],) if self.taken else ())
        if self.taken or "." not in self.statement.name:  # import a.b as c
            return Reference(self.statement)
        return Reference(Import(0, self.statement.name.partition(".")[0], None))  # import a.b


def _imports(operations: list[Operation]) -> Iterator[tuple[Import, tuple[str, Reference] | None]]:
    """Yield each import statement, and each variable that it assigns."""
    constants: list[Any] = [0, None]
    current: _Importing | None = None
    for kind, name in operations:
        if kind == "const":
            constants = [constants[-1], name]
        elif kind == "import":
            level, names = constants
            current = _Importing(Import(level, name, names))
            yield current.statement, None
        elif kind == "from" and current is not None:
            current.taken.append(name)
        elif kind == "store" and current is not None:
            yield current.statement, (name, current.stored())
            if current.statement.names is None:
                current = None
        elif kind not in ("other", "copy", "store"):
            current = None


def _bind_imports(operations: list[Operation], bound: dict[str, list[Reference]]) -> None:
    for _, assigned in _imports(operations):
        if assigned is not None:
            bound.setdefault(assigned[0], []).append(assigned[1])


def _references(operations: list[Operation], bound: dict[str, list[Reference]]) -> Iterator[Reference]:
    for statement, assigned in _imports(operations):
        yield Reference(statement, bare=True)
        if assigned is not None and statement.names is not None:
            yield Reference(statement, assigned[1].attributes, bare=True)
    root: tuple[Kind, str] | None = None
    chain: list[str] = []
    for kind, name in [*operations, ("other", None)]:
        if kind in ("attribute", "method") and root is not None:
            chain.append(name)
            continue
        if root is not None:
            yield from _loaded(root, tuple(chain), bound)
        if kind == "copy" and name == 1:  # as in `module.name += 1`, which takes the name and sets it
            continue
        root = (kind, name) if kind in ("global", "free", "local") else None
        chain = []


def _loaded(
    root: tuple[Kind, str], chain: tuple[str, ...], bound: dict[str, list[Reference]]
) -> Iterator[Reference]:
    kind, name = root
    for imported in bound.get(name, ()):
        yield Reference(imported.root, imported.attributes + chain)
    if kind == "global":
        yield Reference(name, chain)
    elif kind == "free" and name not in bound:
        yield Reference(name, chain, free=True)
