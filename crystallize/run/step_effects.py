"""What a cacheable step did, and the bytes that are stored of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crystallize.storage.codec import decode, encode
from crystallize.storage.sealed import Encoded


@dataclass(slots=True)
class StepEffects:
    """Effects of a step.

    Attributes
    ----------
    output : any
        What it returned, without metrics.
    events : list of pairs
        What it looked up and wrote of the context, in order.
    written : dict
        The keys that it wrote.
    metrics : list of lists
        Name, value and unit of each, and whether it is measured.
    artifacts : list of lists
        Name and bytes of each.
    notes : list of lists
        Name and value of each.
    """

    output: Any
    events: list[Any]
    written: dict[str, Any]
    metrics: list[Any]
    artifacts: list[Any]
    notes: list[Any]

    def encoded(self) -> tuple[str, bytes]:
        """Return bytes; the output keeps a format of its own, which for most is not pickle."""
        rest = [self.events, self.written, self.metrics, self.artifacts, self.notes]
        one, other = encode(self.output), encode(rest)
        return f"{one.kind} {other.kind}", len(one.data).to_bytes(8, "big") + one.data + other.data

    @classmethod
    def decoded(cls, encoded: tuple[str, bytes]) -> StepEffects:
        """Return what was made bytes of.

        Raises
        ------
        NotStorableError
            If it can't be made again.
        """
        kind, data = encoded
        one, _, other = kind.partition(" ")
        end = 8 + int.from_bytes(data[:8], "big")
        return cls(decode(Encoded(one, data[8:end])), *decode(Encoded(other, data[end:])))
