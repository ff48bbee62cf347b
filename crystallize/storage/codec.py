"""Values as bytes, and back: what comes back is of the same types, bit for bit.

Of three kinds the first that keeps a value exactly: JSON, numpy's ``.npy`` without pickle, and pickle. The
last two keep an array's order if it is C or F; every other layout (a slice with gaps, a reversed view)
becomes C, and sums may round differently then. A first run that goes on with ``decode(encode(value))``
computes with the same layout as one that finds the value stored.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import sys
from typing import Any, Final

from crystallize.boundary import failure
from crystallize.errors import NotStorableError
from crystallize.storage.sealed import Encoded

JSON: Final = "json"
NPY: Final = "npy"
READ_ONLY_NPY: Final = "npy-read-only"
PICKLE: Final = "pickle"

_DEEPEST = 64  # levels of JSON; more could be too deep for its parser where it is read
_WIDEST = 1024  # bits of an integer; Python may refuse to read more digits
_NUMERIC = "biufcmM"
_JSON: Final = json.JSONDecoder().raw_decode


def encode(value: object) -> Encoded:
    """Turn a value into bytes.

    Raises
    ------
    NotStorableError
        If it can't be pickled, where it has to be.
    """
    if _is_json(value):
        return Encoded(JSON, json.dumps(value, separators=(",", ":")).encode())
    if _is_numeric_array(value):
        return _encode_array(value)
    try:
        return Encoded(PICKLE, pickle.dumps(value, protocol=5))
    except BaseException as error:  # the user's own __reduce__ may raise anything
        raise NotStorableError(
            f"a value of type {type(value).__qualname__!r} can't be pickled: {failure(error)}"
        ) from error


def decode(encoded: Encoded) -> Any:
    """Turn bytes into the value that they were made of; a pickle may run any code, so check the bytes first.

    Raises
    ------
    NotStorableError
        If they are of another kind, or the value can't be made again.
    """
    kind, data = encoded
    try:
        if kind == JSON:
            text = str(data, "utf-8")  # at once, since others would be guessed at
            value, end = _JSON(text)
            if end != len(text):
                raise ValueError(f"there is more behind character {end}")
            return value
        if kind in (NPY, READ_ONLY_NPY):
            return _decode_array(data, writeable=kind == NPY)
        if kind == PICKLE:
            return pickle.loads(data)
    except BaseException as error:  # as above, with __setstate__ and imports
        raise NotStorableError(f"a stored {kind} can't be read: {failure(error)}") from error
    kinds = ", ".join((JSON, NPY, READ_ONLY_NPY, PICKLE))
    raise NotStorableError(f"a stored value is of kind {kind!r}; there are {kinds}")


def _is_json(value: object) -> bool:
    """Return whether JSON keeps a value: types, bits of numbers, text, and what is the same object."""
    containers: set[int] = set()
    rest: list[tuple[object, int]] = [(value, 0)]
    while rest:
        value, depth = rest.pop()
        kind = type(value)  # a subclass would come back as its base
        if kind is str:
            if not _is_text(value):
                return False
        elif kind is float:
            if math.isnan(value):  # type: ignore[arg-type]  # there are many, and JSON knows one
                return False
        elif kind is int:
            if value.bit_length() > _WIDEST:  # type: ignore[attr-defined]
                return False
        elif kind is list or kind is dict:
            # Seen twice, or in itself, it would come back as several.
            if depth == _DEEPEST or id(value) in containers:
                return False
            containers.add(id(value))
            if isinstance(value, dict):
                if not all(type(key) is str and _is_text(key) for key in value):
                    return False
                value = value.values()
            rest.extend((item, depth + 1) for item in value)  # type: ignore[attr-defined]
        elif value is not None and kind is not bool:
            return False
    return True


def _is_text(value: Any) -> bool:
    """Return whether a string has no surrogates: JSON makes one character of a pair."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_numeric_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")  # without it there are no arrays
    return (
        numpy is not None
        and type(value) is numpy.ndarray
        and value.dtype.kind in _NUMERIC
        and value.dtype.metadata is None
    )


def _encode_array(array: Any) -> Encoded:
    import numpy as np  # heavy, and loaded already

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return Encoded(NPY if array.flags.writeable else READ_ONLY_NPY, file.getvalue())


def _decode_array(data: bytes, *, writeable: bool) -> Any:
    import numpy as np  # heavy, and needed for arrays only

    array = np.load(io.BytesIO(data), allow_pickle=False)
    array.flags.writeable = writeable
    return array
