"""Seed sequences whose states are made for many words at once, to the bits that numpy gives one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence
from numpy.typing import NDArray

_WORTH: Final = 8
"""How many states of a block are asked for, before it is worth while to make those of all its words."""
_MOST_WORDS: Final = 1 << 12
_MOST_MADE: Final = 1 << 8
"""Blocks of states that are remembered: more than a pipeline has parts that draw random numbers."""

# Constants of numpy's SeedSequence, which is that of O'Neill's `seed_seq_fe128`.
_INIT_A: Final = 0x43B0D7E5
_MULT_A: Final = 0x931E8875
_INIT_B: Final = 0x8B51F9DD
_MULT_B: Final = 0x58F38DED
_MIX_L: Final = np.uint32(0xCA01F9DD)
_MIX_R: Final = np.uint32(0x4973F715)
_SHIFT: Final = np.uint32(16)
_POOL: Final = 4
_LOW: Final = 0xFFFFFFFF

_Words = NDArray[np.uint32]


class _Hashes:
    """Hashes of 32-bit words, each with the next constant."""

    def __init__(self, first: int, factor: int) -> None:
        self._constant = first
        self._factor = factor

    def of(self, values: _Words) -> _Words:
        """Return the next hash of each of these."""
        values = values ^ np.uint32(self._constant)
        self._constant = self._constant * self._factor & _LOW
        values = values * np.uint32(self._constant)
        return values ^ values >> _SHIFT


def _mixed(first: _Words, second: _Words) -> _Words:
    found: _Words = first * _MIX_L - second * _MIX_R
    return found ^ found >> _SHIFT


def states(words: Sequence[int], scope: int) -> NDArray[np.uint64]:
    """Return what ``SeedSequence(word, spawn_key=(scope,))`` seeds a generator with, for each word.

    Parameters
    ----------
    words : sequence of int
        Of 64 bits.
    scope : int
        Of 32 bits.

    Returns
    -------
    numpy.ndarray
        One row of four numbers for each word.
    """
    given = np.array(words, dtype=np.uint64)
    nothing = np.zeros(len(words), dtype=np.uint32)
    entropy = [given.astype(np.uint32), (given >> np.uint64(32)).astype(np.uint32), nothing, nothing]
    hashes = _Hashes(_INIT_A, _MULT_A)
    pool = [hashes.of(values) for values in entropy]
    for source in range(_POOL):
        for place in range(_POOL):
            if place != source:
                pool[place] = _mixed(pool[place], hashes.of(pool[source]))
    key = np.full(len(words), scope, dtype=np.uint32)
    pool = [_mixed(values, hashes.of(key)) for values in pool]
    hashes = _Hashes(_INIT_B, _MULT_B)
    made = [hashes.of(pool[place % _POOL]).astype(np.uint64) for place in range(2 * _POOL)]
    pairs = zip(made[::2], made[1::2], strict=True)
    return np.ascontiguousarray(np.stack([low | high << np.uint64(32) for low, high in pairs], axis=1))


class PreparedSeedSequence(ISpawnableSeedSequence):
    """The seed sequence of a word and a scope, of which it is known already what seeds a generator.

    Parameters
    ----------
    word, scope : int
        What it is of.
    state : numpy.ndarray
        Their row of `states`.
    """

    def __init__(self, word: int, scope: int, state: NDArray[np.uint64]) -> None:
        self._given = word, scope
        self._state = state

    @cached_property
    def _sequence(self) -> np.random.SeedSequence:
        word, scope = self._given
        return np.random.SeedSequence(word, spawn_key=(scope,))

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """Return the state of a generator."""
        if n_words == _POOL and dtype is np.uint64:
            return self._state
        return self._sequence.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> Any:
        """Return sequences of their own."""
        return self._sequence.spawn(n_children)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._sequence, name)

    def __reduce__(self) -> Any:
        return self._sequence.__reduce__()  # where it is sent, it is numpy's own

    def __repr__(self) -> str:
        return repr(self._sequence)


class SeedSequences:
    """Seed sequences of words and scopes; the states of a block of words are made together."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[Sequence[int], int]] = {}  # of a word: its block, and where in it
        self._states: dict[tuple[int, int], NDArray[np.uint64]] = {}  # by first word of a block, and scope
        self._asked: Counter[tuple[int, int]] = Counter()

    def know(self, block: Sequence[int]) -> None:
        """Know of words that will probably be asked for together."""
        if (known := self._places.get(block[0])) is not None and known[0] is block:
            return
        if len(self._places) >= _MOST_WORDS:
            self._places.clear()
            self._asked.clear()
        self._places.update((word, (block, place)) for place, word in enumerate(block))

    def of(self, word: int, scope: int) -> np.random.SeedSequence | PreparedSeedSequence:
        """Return what is equal to ``SeedSequence(word, spawn_key=(scope,))``."""
        known = self._places.get(word)
        if known is not None and scope <= _LOW:  # numpy takes a larger one for two words
            block, place = known
            made = self._states.get((block[0], scope))
            if made is None:
                made = self._made(block, scope)
            if made is not None:
                return PreparedSeedSequence(word, scope, made[place])
        return np.random.SeedSequence(word, spawn_key=(scope,))

    def _made(self, block: Sequence[int], scope: int) -> NDArray[np.uint64] | None:
        key = block[0], scope
        self._asked[key] += 1
        if self._asked[key] < _WORTH:
            return None
        if len(self._states) >= _MOST_MADE:
            del self._states[next(iter(self._states))]  # the oldest
        made = self._states[key] = states(block, scope)
        made.flags.writeable = False
        return made


SEQUENCES: Final = SeedSequences()
"""Those of this process."""
