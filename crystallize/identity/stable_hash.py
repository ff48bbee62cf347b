"""A hash of data by value: the same in every process, for every way in which equal values can be built."""

from __future__ import annotations

import crystallize.identity.array_hash
import crystallize.identity.builtin_hash
import crystallize.identity.pandas_hash  # noqa: F401 - the three teach the encoder their types
from crystallize.boundary import failure
from crystallize.errors import UnhashableValueError
from crystallize.identity.column_encoder import ColumnEncoder
from crystallize.identity.encoder import ADVICE, Refusal


def stable_hash(value: object, *, name: str = "value", classes: set[type] | None = None) -> str:
    """Return the hash of a value, as 64 hexadecimal digits.

    Values of different types differ (1, True, 1.0 and '1'), and so do 0.0 and -0.0; nan is compared by its
    bits. The order of a dict counts, that of a set does not. Lists hash equal whether their items are
    shared or copied; arrays whether they are contiguous, views or read-only; a mappingproxy as its dict.
    An instance hashes as its class's name and its attributes: what its class *does* is no part of this.

    Parameters
    ----------
    value : object
        Builtin types, dates, paths, enums, dataclasses, named tuples, numpy arrays, scalars and generators,
        pandas objects, and instances whose whole state is in `__dict__`, slots and builtin base classes.
    name : str
        What messages call the value.
    classes : set of type, optional
        Takes up the class of each instance that was met, so that the caller can fingerprint its code.

    Raises
    ------
    UnhashableValueError
        If a part of the value has no hash by value, or the value contains itself; the message has the path.
    """
    encoder = ColumnEncoder(classes=classes)
    try:
        encoder.write(value)
    except Refusal as refusal:
        raise UnhashableValueError(refusal.explain(name)) from None
    except RecursionError:
        raise UnhashableValueError(
            f"{name} contains itself, or is nested too deep, so it has no hash by value; {ADVICE}"
        ) from None
    except BaseException as error:
        raise UnhashableValueError(f"{name} can't be read: {failure(error)}; {ADVICE}") from error
    return encoder.digest().hex()
