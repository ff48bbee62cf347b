"""Seeds: one stream of words per root seed, generators per step, and the global generators put back afterwards.

Replicate `i` of every condition gets raw word `i` of ``PCG64(SeedSequence(root))``. The word depends on
nothing else: not on the number of treatments, replicates or workers, nor on any name.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from crystallize.errors import DefinitionError

_BLOCK = 1024


def check_root_seed(seed: object, where: str = "seed") -> int:
    """Return a root seed as an int, or raise `DefinitionError`.

    Parameters
    ----------
    seed : int
        Any integer >= 0; numpy integers are accepted.
    where : str
        How the error names the argument.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DefinitionError(f"{where} is {seed!r}; a root seed is an integer >= 0")
    return int(seed)


class SeedStream:
    """The 64-bit words of one root seed, by replicate.

    Parameters
    ----------
    root : int
        The root seed, >= 0.
    """

    __slots__ = ("_blocks", "root")

    def __init__(self, root: int) -> None:
        self.root = root
        self._blocks: dict[int, list[int]] = {}

    def word(self, replicate: int) -> int:
        """Return raw word `replicate` (0-based) of the stream."""
        block, offset = divmod(replicate, _BLOCK)
        words = self._blocks.get(block)
        if words is None:
            bits = np.random.PCG64(np.random.SeedSequence(self.root))
            bits.advance(block * _BLOCK)
            words = self._blocks[block] = bits.random_raw(_BLOCK).tolist()
        return words[offset]

    def seed(self, replicate: int) -> int:
        """Return the replicate's seed: the top 32 bits of its word, which every library accepts."""
        return self.word(replicate) >> 32

    def __reduce__(self) -> tuple[type[SeedStream], tuple[int]]:
        return (SeedStream, (self.root,))


def generator(word: int, scope: int) -> np.random.Generator:
    """Return the generator of one scope (the data source, or a step) of one replicate."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(word, spawn_key=(scope,))))


def seed_globals(seed: int) -> None:
    """Seed `random`, `numpy.random` and, if it is loaded, torch.

    Parameters
    ----------
    seed : int
        32-bit seed.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _global_state() -> tuple[Any, Any, Any]:
    torch = sys.modules.get("torch")
    return (
        random.getstate(),
        np.random.get_state(legacy=False),
        torch.get_rng_state() if torch is not None else None,
    )


@contextmanager
def global_state_restored() -> Iterator[None]:
    """Put the state of the global generators back on leaving, whatever happened inside."""
    python, numpy, torch_state = _global_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch_state is not None:
            sys.modules["torch"].set_rng_state(torch_state)


def global_draws_detector() -> Callable[[], bool]:
    """Return a function that tells whether `random` or `numpy.random` moved since now."""
    python, numpy, _ = _global_state()

    def moved() -> bool:
        now = np.random.get_state(legacy=False)
        return bool(
            random.getstate() != python
            or now["state"]["pos"] != numpy["state"]["pos"]
            or not np.array_equal(now["state"]["key"], numpy["state"]["key"])
        )

    return moved
