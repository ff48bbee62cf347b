"""How numpy's arrays, scalars and generators are hashed."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence

from crystallize.identity.encoder import FAMILIES, Encoder, Refusal, refuse

_PADDED: Final = np.finfo(np.longdouble).nmant == 63
"""Whether a long double is the x87's: ten bytes of value, and padding that may hold anything."""


def write_array(encoder: Encoder, array: np.ndarray[Any, Any]) -> None:
    """Add shape, type and items of an array in C order, whatever its layout."""
    encoder.add(b"A")
    encoder.write(array.shape)
    write_items(encoder, array)


def write_items(encoder: Encoder, array: np.ndarray[Any, Any]) -> None:
    """Add type and items of an array: fields one by one (padding has no value), objects as values."""
    dtype = array.dtype
    if dtype.names is not None:
        encoder.sequence(b"V", dtype.names)
        for name in dtype.names:
            encoder.write(dtype.fields[name][0].shape)
            write_items(encoder, array[name])
        return
    encoder.text(b"", dtype.str)
    if dtype.hasobject:
        try:
            encoder.sequence(b"O", array.ravel().tolist())
        except Refusal as refusal:
            index = int(refusal.path.pop()[1:-1])
            where = ", ".join(map(str, np.unravel_index(index, array.shape)))
            refusal.path.append(f"[{where}]")
            raise
        return
    data = np.ascontiguousarray(array).reshape(-1)
    if array.nbytes == 0:
        encoder.add(b"0")
    elif _PADDED and dtype.char in "gG":
        encoder.whole(np.ascontiguousarray(data.view(np.uint8).reshape(-1, 16)[:, :10]))
    else:
        encoder.whole(data.view(np.uint8))


def _write_family(encoder: Encoder, array: np.ndarray[Any, Any]) -> None:
    """Add an array of a subclass: matrix, record array, masked array, or one of the project's."""
    if type(array) is np.memmap:
        write_array(encoder, np.asarray(array))
        return
    encoder.add(b"o")
    encoder.kind(array)
    write_array(encoder, np.asarray(array))
    encoder.state(array)


def _write_scalar(encoder: Encoder, scalar: np.generic[Any]) -> None:
    encoder.add(b"n")
    write_items(encoder, np.asarray(scalar))


def _write_dtype(encoder: Encoder, dtype: np.dtype[Any]) -> None:
    encoder.text(b"Y", dtype.str)
    if dtype.names is not None:
        encoder.add(b"V")
        encoder.write({name: dtype.fields[name][:2] for name in dtype.names})  # type: ignore[index]
    if dtype.subdtype is not None:
        encoder.write(dtype.subdtype)


def _write_generator(encoder: Encoder, generator: np.random.Generator) -> None:
    encoder.text(b"g", type(generator).__qualname__)
    encoder.write(generator.bit_generator.state)


def _write_bit_generator(encoder: Encoder, generator: np.random.BitGenerator) -> None:
    encoder.add(b"g")
    encoder.write(generator.state)


def _write_legacy_generator(encoder: Encoder, generator: np.random.RandomState) -> None:
    if generator is np.random.mtrand._rand:
        encoder.text(b"H", "numpy.random.mtrand._rand")  # the global one: every condition run seeds it
        return
    encoder.text(b"g", type(generator).__qualname__)
    encoder.write(generator.get_state(legacy=False))


def _write_seeds(encoder: Encoder, seeds: Any) -> None:
    if not isinstance(state := getattr(seeds, "state", None), dict):
        raise refuse(seeds, "it does not say what its state is, as numpy's own does")
    encoder.add(b"g")
    encoder.write(state)


def _write_function(encoder: Encoder, function: np.ufunc) -> None:
    for module in (np, *(m for m in _scipy_modules() if m is not None)):
        if vars(module).get(function.__name__) is function:
            encoder.text(b"F", f"{module.__name__}.{function.__name__}")
            return
    raise refuse(function, "the function that it applies is not visible from Python")


def _scipy_modules() -> list[Any]:
    return [sys.modules.get(name) for name in ("scipy.special", "scipy.special._ufuncs")]


Encoder.writers |= {np.ndarray: write_array, np.float64: _write_scalar, np.int64: _write_scalar}
FAMILIES |= {
    np.ndarray: _write_family,
    np.generic: _write_scalar,
    np.dtype: _write_dtype,
    np.ufunc: _write_function,
    np.random.Generator: _write_generator,
    np.random.RandomState: _write_legacy_generator,
    np.random.BitGenerator: _write_bit_generator,
    np.random.SeedSequence: _write_seeds,
    ISpawnableSeedSequence: _write_seeds,
}
