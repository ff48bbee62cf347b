"""Seeds: one stream of words per root seed, generators per step, the global generators put back afterwards.

Replicate `i` of every condition gets raw word `i` of ``PCG64(SeedSequence(root))``. The word depends on
nothing else: not on the number of treatments, replicates or workers, nor on any name.
"""

from __future__ import annotations

import contextlib
import importlib.util
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from crystallize.context.seed_sequences import SEQUENCES
from crystallize.errors import DefinitionError
from crystallize.storage.system import at_fork

# What asks for random numbers in a replicate, and the number of its stream: 0 is the data source, k the k-th
# step. The others are beyond any pipeline's length.
SETUP: Final = 1 << 16
"""Added to the number of a step while it is set up."""
TEARDOWN: Final = 1 << 17
"""Added to the number of a step while it is torn down."""
TREATMENT: Final = 1 << 18
"""Number of the treatment's stream."""
HOOKS: Final = 1 << 19
"""Number of the stream of the hooks before a replicate."""
SEARCH: Final = 1 << 20
"""Number of the stream that replicates of a search have their words from."""
SEARCH_SPACE: Final = 1 << 21
"""Number of the streams that a search draws parameters from."""
DOWNSTREAM: Final = 1 << 22
"""Number of the streams of experiments that read what others of their graph wrote."""
CALIBRATION: Final = 1 << 23
"""Number of the stream that replicates of A/A tests have their words from."""
PLANNING: Final = (1 << 23) + 1
"""Number of the stream that replicates of a pilot have their words from."""
BEFORE_CACHEABLE: Final = 1 << 24
"""Added to the number of a cacheable step for the seed that the global generators have before it."""
BEHIND_CACHEABLE: Final = 1 << 25
"""Added to the number of a cacheable step for the seed that the global generators have behind it."""
INPUT: Final = 1 << 32
"""Added to the number of a named input."""

_BLOCK: Final = 1024


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


@lru_cache(maxsize=128)
def _words(root: int, branch: tuple[int, ...], block: int) -> Sequence[int]:
    """Return a block of the words of a stream; the experiments of a session have the same root seed."""
    bits = np.random.PCG64(np.random.SeedSequence(root, spawn_key=branch))
    bits.advance(block * _BLOCK)
    words: list[int] = bits.random_raw(_BLOCK).tolist()
    return words


class SeedStream:
    """The 64-bit words of one root seed, by replicate.

    Parameters
    ----------
    root : int
        The root seed, >= 0.
    branch : tuple of int
        Which of its independent streams; none is that of `Experiment.run`.
    """

    __slots__ = ("_latest", "branch", "root")
    samples = 0
    """How many replicates there are of each case; 0 where replicates are of none."""

    def __init__(self, root: int, branch: tuple[int, ...] = ()) -> None:
        self.root = root
        self.branch = branch
        self._latest: tuple[int, Sequence[int]] = -1, ()

    def word(self, replicate: int) -> int:
        """Return raw word `replicate` (0-based) of the stream."""
        block, place = divmod(replicate, _BLOCK)
        known, words = self._latest
        if known != block:
            words = _words(self.root, self.branch, block)
            SEQUENCES.know(words)
            self._latest = block, words
        return words[place]

    def seed(self, replicate: int) -> int:
        """Return the replicate's seed: the top 32 bits of its word, which every library accepts."""
        return self.word(replicate) >> 32

    def branched(self, branch: tuple[int, ...]) -> SeedStream:
        """Return an independent stream of the same root seed."""
        return SeedStream(self.root, branch)

    def key(self, replicate: int) -> bytes:
        """Return what identifies a replicate beside the root seed."""
        return b"%d" % replicate

    def label(self, replicate: int) -> str:
        """Return what messages call a replicate."""
        return f"replicate {replicate}"

    def begin(self, journal: Any) -> None:
        """Have a journal begin with what its replicate is of."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (SeedStream, (self.root, self.branch))


def generator(word: int, scope: int) -> np.random.Generator:
    """Return the generator of one scope (the data source, or a step) of one replicate."""
    return np.random.Generator(np.random.PCG64(SEQUENCES.of(word, scope)))


def scope_seed(word: int, scope: int) -> int:
    """Return a 32-bit seed of one scope of one replicate."""
    return int(SEQUENCES.of(word, scope).generate_state(4, np.uint64)[0]) & 0xFFFFFFFF


_PYTHON: Final[Any] = random.seed.__self__  # type: ignore[attr-defined]
# What `random.seed` calls for an integer, behind its checks of what else it might be.
_seed_python: Final = super(random.Random, _PYTHON).seed


def seed_globals(seed: int) -> None:
    """Seed `random`, `numpy.random` and torch; if torch is not loaded, as soon as something imports it.

    Parameters
    ----------
    seed : int
        32-bit seed.
    """
    with _watching.lock:
        _watching.look()
        _seed(seed)
        _watching.note()


def _seed(seed: int) -> None:
    _seed_python(seed)
    _PYTHON.gauss_next = None
    np.random.seed(seed)  # noqa: NPY002 - it is the legacy generator that steps may draw from
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
    else:
        _torch_import.seed = seed
        if _torch_import not in sys.meta_path:
            sys.meta_path.insert(0, _torch_import)


class _TorchImport(MetaPathFinder):
    """Import hook that seeds torch if a unit of work is the first to import it, as if it had been there."""

    seed = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        self.leave()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                module.manual_seed(self.seed)

            loader.exec_module = exec_module
        return spec

    def leave(self) -> None:
        """Look at imports no longer."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)


_torch_import = _TorchImport()


class GlobalState(NamedTuple):
    """State of the global generators.

    Attributes
    ----------
    python, numpy : object
        Of `random` and `numpy.random`.
    torch : object
        Of torch; None if it is not loaded.
    torch_seed : int
        What torch is seeded with when something imports it.
    """

    python: Any
    numpy: Any
    torch: Any
    torch_seed: int

    @classmethod
    def now(cls) -> GlobalState:
        """Return what it is now."""
        torch = sys.modules.get("torch")
        return cls(
            random.getstate(),
            np.random.get_state(legacy=False),  # noqa: NPY002 - as in seed_globals
            torch.get_rng_state() if torch is not None else None,
            _torch_import.seed,
        )

    def put_back(self) -> None:
        """Give the generators this state."""
        with _watching.lock:
            _watching.look()
            self._put_back()
            _watching.note()

    def _put_back(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - as in seed_globals
        if self.torch is not None:
            sys.modules["torch"].set_rng_state(self.torch)
        _torch_import.seed = self.torch_seed


@contextmanager
def global_state_restored() -> Iterator[None]:
    """Put the state of the global generators back on leaving, whatever happened inside."""
    before = GlobalState.now()
    watching = _torch_import in sys.meta_path
    try:
        yield
    finally:
        before.put_back()
        if not watching:
            _torch_import.leave()


@contextmanager
def seeded_alike() -> Iterator[None]:
    """Give code that decides the same random numbers each time, and put the global generators back.

    What it draws is nothing to runs that are under way beside it.
    """
    with global_state_restored():
        seed_globals(0)
        try:
            yield
        finally:
            with _watching.lock:
                _watching.note()


def global_draws_detector() -> Callable[[], bool]:
    """Return a function that tells whether `random`, `numpy.random` or torch, if loaded, moved since now."""
    python, numpy, torch, _ = GlobalState.now()

    def moved() -> bool:
        python_now, numpy_now, torch_now, _ = GlobalState.now()
        return bool(
            python_now != python
            or numpy_now["state"]["pos"] != numpy["state"]["pos"]
            or numpy_now["has_gauss"] != numpy["has_gauss"]  # of two that were drawn, one may be left
            or not np.array_equal(numpy_now["state"]["key"], numpy["state"]["key"])
            or (torch is not None and not np.array_equal(torch_now, torch))
        )

    return moved


class DrawsWatch:
    """Watch for draws from the global generators: that they are seeded here, or put back, is none.

    Attributes
    ----------
    drew : bool
        Whether `random`, `numpy.random` or torch moved from when it began until it ended.
    """

    def __init__(self) -> None:
        self.drew = False

    def begin(self) -> None:
        """Look from now on."""
        with _watching.lock:
            _watching.look()
            _watching.watches = [*_watching.watches, self]
            _watching.note()

    def end(self) -> None:
        """Look for the last time."""
        with _watching.lock:
            _watching.look()
            _watching.watches = [watch for watch in _watching.watches if watch is not self]


class _Watching:
    """All who watch for draws.

    Attributes
    ----------
    watches : list of DrawsWatch
        Theirs.
    lock : RLock
        Is held while the generators are changed here: that is no draw. Whoever holds it may collect garbage,
        and with it a run that was left, which ends its watch.
    """

    def __init__(self) -> None:
        self._moved: Callable[[], bool] = lambda: False
        self.forget()

    def forget(self) -> None:
        """Begin anew, as in a copy of the process, where another thread may have held the lock."""
        self.watches: list[DrawsWatch] = []
        self.lock = threading.RLock()

    def look(self) -> None:
        """Tell all whether something drew since the generators were noted."""
        if self.watches and self._moved():
            for watch in self.watches:
                watch.drew = True

    def note(self) -> None:
        """Note the state of the generators, if somebody watches."""
        if self.watches:
            self._moved = global_draws_detector()


_watching = _Watching()
at_fork(in_child=_watching.forget)
