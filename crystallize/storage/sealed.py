"""The form of what a store keeps: records as bytes, each with a code that says whose it is, and where."""

from __future__ import annotations

import struct
from collections.abc import Callable, Container
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

MAGIC: Final = b"crystallize\x001\x00\r\n"
_HEAD = struct.Struct("<BIQ")  # lengths of kind, key and data
_CODE = 32  # bytes


class Encoded(NamedTuple):
    """A value as bytes.

    Attributes
    ----------
    kind : str
        How to read them.
    data : bytes
        The bytes.
    """

    kind: str
    data: bytes


class Record(NamedTuple):
    """A record that is ours.

    Attributes
    ----------
    key : str
        Under which it was stored.
    value : Encoded
        What was stored.
    raw : memoryview
        All of its bytes, with the code.
    """

    key: str
    value: Encoded
    raw: memoryview


Bytes = bytes | memoryview
Seal = Callable[..., bytes]


@lru_cache(maxsize=64)
def seal_of(secret: bytes, scope: str) -> Seal:
    """Return a function that gives the authentication code of some chunks of bytes.

    The lengths of all chunks but the first, which has a fixed one, are expected to be in the first.
    """
    start = blake2b(_framed(scope), digest_size=_CODE, key=secret, person=b"crystallize")

    def code(*chunks: Bytes) -> bytes:
        state = start.copy()
        for chunk in chunks:
            state.update(chunk)
        return state.digest()

    return code


def _framed(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(data)) + data


def sealed(seal: Seal, key: str, value: Encoded) -> list[bytes]:
    """Return a record as chunks of bytes, its code first."""
    kind, name = value.kind.encode("ascii"), key.encode("utf-8", "surrogatepass")
    head = _HEAD.pack(len(kind), len(name), len(value.data))
    return [seal(head, kind, name, value.data), head, kind, name, value.data]


def unsealed(data: bytes, seal: Seal, wanted: Container[str] | None = None) -> tuple[list[Record], bool]:
    """Return the records of a file that are authentic, and whether the whole file is made of such.

    Of a file of which only some keys are wanted, the other records are not looked at.
    """
    records: list[Record] = []
    if not data.startswith(MAGIC):
        return records, False
    view, start, whole = memoryview(data), len(MAGIC), True
    while start < len(data):
        begin = start + _CODE + _HEAD.size
        if begin > len(data):
            return records, False
        kind, name, size = _HEAD.unpack_from(data, start + _CODE)
        middle, body = begin + kind, begin + kind + name
        end = body + size
        if end > len(data):
            return records, False
        if wanted is not None and data[middle:body].decode("utf-8", "replace") not in wanted:
            pass  # of a treatment that has changed since, mostly
        elif compare_digest(seal(view[start + _CODE : end]), data[start : start + _CODE]):
            value = Encoded(data[begin:middle].decode("ascii"), data[body:end])
            key = data[middle:body].decode("utf-8", "surrogatepass")
            records.append(Record(key, value, view[start:end]))
        else:
            whole = False
        start = end
    return records, whole and start > len(MAGIC)
