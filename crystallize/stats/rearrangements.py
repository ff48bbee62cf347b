"""Rearrangements of samples: which pairs are exchanged, which values get which label."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

EXACT_LIMIT: Final = 1 << 16
"""All rearrangements are used if there are at most so many."""

RESAMPLES: Final = 9_999
"""Random rearrangements where there are more; the observed one counts as one more."""

_SEED: Final = 0x5EED
_BLOCK: Final = 1 << 22  # cells of a block of rearrangements

Mask = NDArray[np.bool_]


def flips(n: int, resamples: int) -> Iterator[Mask]:
    """Yield which pairs are exchanged, blocks with a row per arrangement other than the observed one."""
    if 2 ** min(n, 64) <= EXACT_LIMIT:
        codes = np.arange(1, 2**n, dtype=np.uint32)[:, np.newaxis]
        yield (codes >> np.arange(n, dtype=np.uint32)) & 1 == 1
        return
    rng = np.random.default_rng(_SEED)
    for rows in _blocks(n, resamples):
        yield rng.random((rows, n)) < 0.5


def labels(n: int, m: int, resamples: int) -> Iterator[Mask]:
    """Yield which of n + m values are the treatment's, a row per labelling other than the observed one."""
    if (count := labellings(n, m)) <= EXACT_LIMIT:
        chosen = np.array(list(itertools.combinations(range(n + m), m)), dtype=np.intp)
        masks = np.zeros((count, n + m), dtype=bool)
        np.put_along_axis(masks, chosen, values=True, axis=1)
        yield masks[:-1]  # the last combination is the observed one
        return
    rng = np.random.default_rng(_SEED)
    for rows in _blocks(n + m, resamples):
        yield rng.random((rows, n + m)).argsort(axis=1) < m


def _blocks(columns: int, rows: int) -> Iterator[int]:
    """Yield row counts that add up to `rows`, so that no block outgrows the memory."""
    height = max(1, _BLOCK // columns)
    for start in range(0, rows, height):
        yield min(height, rows - start)


def labellings(n: int, m: int) -> int:
    """Return the number of ways to label n + m values, at most 2^64."""
    return math.comb(n + m, n) if min(n, m) < 64 else 1 << 64
