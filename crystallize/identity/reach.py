"""Everything of a project that an object reaches, as named parts with a digest each."""

from __future__ import annotations

import types
from collections import deque
from hashlib import blake2b

from crystallize.boundary import failure
from crystallize.errors import FingerprintError
from crystallize.identity.bodies import DESCRIPTIONS
from crystallize.identity.encoder import ADVICE, Refusal
from crystallize.identity.origin import Roots
from crystallize.identity.part_encoder import Part, PartEncoder


class Reach:
    """Parts that an object consists of, first those that it names itself.

    Functions, classes, variables of modules and whole modules are parts. What a part says of another is its
    label, so that its digest does not depend on what the other is; parts of equal names are numbered in the
    order in which they are met, which the code alone determines. Code may ask by `is` which of them hold the
    very same object, so that is a part, too; but for what the target itself holds, of which other processes
    are given copies.
    """

    def __init__(self, name: str, roots: Roots) -> None:
        self.name = name
        self.roots = roots
        self.digests: dict[str, bytes] = {}
        self._labels: dict[tuple[str, int, str], str] = {}
        self._taken: dict[str, int] = {}
        self._waiting: deque[tuple[str, Part]] = deque()
        self._alive: list[object] = []  # an id is worth something as long as its object lives
        self._held: dict[int, tuple[str, int]] = {}
        self._shared: dict[str, list[tuple[int, int]]] = {}

    def explore(self, target: object) -> bytes:
        """Find all parts of `target`, and return what stands for `target` itself."""
        start = self.encoder(self.roots)
        if isinstance(target, types.FunctionType | type):
            start.write(target)
        else:
            start.refer(Part("variable", self.name, target, self.roots))
        while self._waiting:
            label, part = self._waiting.popleft()
            self.digests[label] = self.describe(label, part)
        for label, places in self._shared.items():
            self.digests[label] = blake2b(repr(places).encode(), digest_size=32).digest()
        return start.digest()

    def encoder(self, roots: Roots) -> PartEncoder:
        """Return what writes one part."""
        return PartEncoder(self.label, roots)

    def describe(self, label: str, part: Part) -> bytes:
        """Return the digest of what a part says itself."""
        encoder = self.encoder(part.roots)
        through = "" if label == self.name else f"{self.name} reaches {label}, and "
        try:
            DESCRIPTIONS[part.kind](encoder, part.value)
        except Refusal as refusal:
            raise FingerprintError(f"{through}{refusal.explain(label)}") from refusal
        except RecursionError:
            raise FingerprintError(
                f"{through}{label} contains itself, or is nested too deep; {ADVICE}"
            ) from None
        except BaseException as error:
            raise FingerprintError(f"{through}{label} can't be read: {failure(error)}; {ADVICE}") from error
        if label != self.name:
            for number, value in encoder.objects(part):
                self._holds(label, number, value)
        return encoder.digest()

    def _holds(self, label: str, number: int, value: object) -> None:
        """Note that a part holds an object, which another one may hold as well."""
        first, before = self._held.setdefault(id(value), (label, number))
        self._alive.append(value)
        if first != label:
            self._shared.setdefault(f"what {label} and {first} share", []).append((before, number))

    def label(self, part: Part) -> str:
        """Return the label of a part; when it is met for the first time, have it described later."""
        key = (part.kind, id(part.value if part.holder is None else part.holder), part.attribute)
        known = self._labels.get(key)
        if known is None:
            number = self._taken[part.name] = self._taken.get(part.name, 0) + 1
            known = self._labels[key] = part.name if number == 1 else f"{part.name}#{number}"
            self._alive.append(part)
            self._waiting.append((known, part))
        return known
