"""Writes values as bytes from which they could be told apart, and hashes the bytes."""

from __future__ import annotations

import pathlib
import types
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, ClassVar, Final

from crystallize.identity.instances import attributes, opaque_base
from crystallize.identity.origin import Roots, held_name, installed_name

Writer = Callable[["Encoder", Any], None]

_MOST_HELD = 10_000  # parts that wait to be hashed
_LONGEST = 40  # characters of a key in a message
ADVICE: Final = "leave it out, or give cache_key= to say what identifies it"


class Refusal(Exception):
    """Reason why a part of a value has no hash, with the path to it, collected on the way up."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def explain(self, name: str) -> str:
        """Return the message for a value of that name."""
        path = "".join(reversed(self.path))
        if len(path) > 400:
            path = f"{path[:200]}...{path[-200:]}"
        return f"{name}{path} {self.reason}; {ADVICE}"


def refuse(value: object, why: str) -> Refusal:
    """Return the refusal of a value of some type."""
    kind = type(value)
    return Refusal(f"is a {kind.__module__}.{kind.__qualname__}: {why}")


def in_key(key: object) -> str:
    """Return the step of a path that leads through a key."""
    text = repr(key) if isinstance(key, str | int | float | tuple) else f"<{type(key).__qualname__}>"
    return f"[{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}]"


class Encoder:
    """Encoder of values as bytes from which they could be told apart, and of their hash."""

    __slots__ = ("_hash", "_held", "classes", "deep", "roots")

    writers: ClassVar[dict[type, Writer]] = {}
    packers: ClassVar[dict[type, Callable[[Iterable[Any]], bytes | None]]] = {}

    def __init__(self, *, classes: set[type] | None = None, roots: Roots = ()) -> None:
        self._hash: blake2b | None = None  # of what was flushed, which of most values nothing is
        self._held: list[bytes] = []
        self.classes = classes
        self.roots = roots
        self.deep = 0  # columns within columns

    def digest(self) -> bytes:
        """Return the hash of all that was written."""
        if self._hash is None:
            return blake2b(b"".join(self._held), digest_size=32).digest()
        self.flush()
        return self._hash.digest()

    def flush(self) -> None:
        """Hash what waits."""
        if self._hash is None:
            self._hash = blake2b(digest_size=32)
        self._hash.update(b"".join(self._held))
        self._held.clear()

    def add(self, data: bytes) -> None:
        """Add bytes that say themselves where they end."""
        self._held.append(data)

    def text(self, tag: bytes, text: str) -> None:
        """Add a text of a kind."""
        data = text.encode("utf-8", "surrogatepass")
        self._held.append(b"%s%d:%s" % (tag, len(data), data))

    def write(self, value: Any) -> None:
        """Add a value."""
        (self.writers.get(type(value)) or _write_other)(self, value)

    def inside(self, step: str, value: Any) -> None:
        """Add a part of a value that messages show as this step of the path."""
        try:
            self.write(value)
        except Refusal as refusal:
            refusal.path.append(step)
            raise

    def sequence(self, tag: bytes, items: Any) -> None:
        """Add items in their order; many of one simple type are added at once."""
        self._held.append(b"%s%d:" % (tag, len(items)))
        if not self.at_once(set(map(type, items)), items):
            self.one_by_one(items)

    def at_once(self, kinds: set[type], items: Any) -> bool:
        """Add items of these types at once, and return whether that is possible."""
        if len(kinds) != 1:
            return False
        (kind,) = kinds
        pack = self.packers.get(kind)
        packed = pack and pack(items)
        if packed is None:
            return False
        self._held.append(packed)
        return True

    def one_by_one(self, items: Iterable[Any], first: int = 0) -> None:
        """Add items in their order; messages count them from `first`."""
        index, write, writers = 0, self.write, self.writers
        try:
            for index, item in enumerate(items, first):  # noqa: B007 - the index is for the message
                writer = writers.get(type(item))
                writer(self, item) if writer else write(item)
        except Refusal as refusal:
            refusal.path.append(f"[{index}]")
            raise
        if len(self._held) > _MOST_HELD:
            self.flush()

    def mapping(self, tag: bytes, items: Any) -> None:
        """Add the pairs of a mapping in their order."""
        self._held.append(b"%s%d:" % (tag, len(items)))
        key, writers = None, self.writers
        try:
            for key, item in items.items():
                (writers.get(type(key)) or _write_other)(self, key)
                (writers.get(type(item)) or _write_other)(self, item)
        except Refusal as refusal:
            refusal.path.append(in_key(key))
            raise
        if len(self._held) > _MOST_HELD:
            self.flush()

    def unordered(self, tag: bytes, items: Any) -> None:
        """Add the members of a set, sorted by their hashes."""
        self._held.append(b"%s%d:" % (tag, len(items)))
        self._held.extend(sorted(map(self._member, items)))

    def _member(self, item: Any) -> bytes:
        encoder = type(self)(classes=self.classes, roots=self.roots)
        try:
            encoder.write(item)
        except Refusal as refusal:
            refusal.path.append(in_key(item))
            raise
        return encoder.digest()

    def whole(self, data: Any) -> None:
        """Add the hash of a large buffer."""
        self._held.append(blake2b(data, digest_size=32).digest())

    def state(self, value: Any) -> None:
        """Add the attributes of an instance, sorted by name."""
        found = attributes(value)
        self._held.append(b"@%d:" % len(found))
        for name, item in sorted(found.items()):
            self.text(b"", name)
            self.inside(f".{name}", item)

    # What a subclass that knows about code sees in another way.

    def kind(self, value: Any) -> None:
        """Add the class of an instance."""
        if self.classes is not None:
            self.classes.add(type(value))
        self.write_class(type(value))

    def write_class(self, value: type) -> None:
        """Add a class, as a value."""
        self.text(b"C", f"{value.__module__}.{value.__qualname__}")

    def write_code(self, value: Any) -> None:
        """Add a function, method or descriptor, as a value."""
        name = installed_name(value, self.roots)
        if name is None:
            raise refuse(value, "code has no hash by value")
        self.text(b"F", name)

    def write_module(self, value: types.ModuleType) -> None:
        """Add a module, as a value."""
        self.text(b"M", value.__name__)

    def write_path(self, value: pathlib.PurePath) -> None:
        """Add a path."""
        self.add(b"p")
        self.kind(value)
        self.text(b"", str(value))
        self.write(dict(getattr(value, "__dict__", {})))

    def write_instance(self, value: Any) -> None:
        """Add an instance of a class that has no writer of its own."""
        write_instance(self, value)


BASES: dict[type, Writer] = {}
"""Builtin classes that hold something beside attributes, and what writes it; subclasses come first."""

FAMILIES: dict[type, Writer] = {}
"""Classes whose subclasses are written in one way; what comes first is looked for first."""

PACKAGES: dict[str, Callable[[Encoder, Any], bool]] = {}
"""Optional packages, and what writes instances of their classes; it returns whether it did."""


def write_instance(encoder: Encoder, value: Any) -> None:
    """Add an instance as its class, what builtin base classes hold, and its attributes."""
    kind = type(value)
    opaque = opaque_base(kind, BASES)
    if opaque is not None:
        where = "its" if opaque is kind else f"its base class {opaque.__qualname__}'s"
        raise refuse(value, f"{where} state is not visible from Python")
    encoder.add(b"o")
    encoder.kind(value)
    for base, write_base in BASES.items():
        if base in kind.__mro__:
            write_base(encoder, value)
            break
    encoder.state(value)


def _write_other(encoder: Encoder, value: Any) -> None:
    """Add a value whose type has no writer: a class, code, an instance of a subclass, or a plain instance."""
    mro = type(value).__mro__  # isinstance would believe what a proxy says of itself
    for base, writer in FAMILIES.items():
        if base in mro:
            writer(encoder, value)
            return
    package = PACKAGES.get(type(value).__module__.partition(".")[0])
    if package is not None and package(encoder, value):
        return
    held = held_name(value, encoder.roots) or installed_name(value, encoder.roots)
    if held is not None:
        encoder.text(b"H", held)
    else:
        encoder.write_instance(value)
