"""Runs that are under way at the same time in one process: they share the global generators."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Final

from crystallize.context.seeding import DrawsWatch, global_state_restored
from crystallize.storage.system import at_fork


class _Run:
    """Run that is under way.

    Attributes
    ----------
    seeds : bool
        Whether it seeds the global generators.
    outer : _Run or None
        The run in a step of which it was begun, and which waits for it.
    restoring : ExitStack
        Puts back what the generators were before it.
    watch : DrawsWatch or None
        While others are under way.
    drew : bool
        Whether something drew while others were.
    """

    def __init__(self, outer: _Run | None, *, seeds: bool) -> None:
        self.outer = outer
        self.seeds = seeds
        self.restoring = ExitStack()
        self.watch: DrawsWatch | None = None
        self.drew = False

    def is_in(self, other: _Run) -> bool:
        """Return whether this one was begun in a step of another, if not directly."""
        return self.outer is not None and (self.outer is other or self.outer.is_in(other))

    def is_beside(self, other: _Run) -> bool:
        """Return whether neither waits for the other."""
        return self is not other and not self.is_in(other) and not other.is_in(self)

    def look(self, runs: Sequence[_Run]) -> None:
        """Watch as long as other runs are under way."""
        others = any(self.is_beside(other) for other in runs)
        if others and self.watch is None:
            self.watch = DrawsWatch()
            self.watch.begin()
        elif not others and self.watch is not None:
            self.watch.end()
            self.drew |= self.watch.drew
            self.watch = None


class _UnderWay:
    """The runs of this process that are under way, in the order in which they were begun.

    One that was left may be closed wherever garbage is collected, also by who holds the lock.
    """

    def __init__(self) -> None:
        self.runs: list[_Run] = []
        self._lock = threading.RLock()

    def forget(self) -> None:
        """Begin anew in a copy of the process, where no thread ends the runs of others."""
        self.runs, self._lock = [], threading.RLock()

    def begin(self, run: _Run) -> None:
        """Take in a run."""
        with self._lock:
            if run.seeds:
                run.restoring.enter_context(global_state_restored())
            self.runs = [*self.runs, run]
            self._look()

    def end(self, run: _Run) -> None:
        """Put back what the generators were before a run, or leave that to those that are under way still."""
        with self._lock:
            earlier = self.runs[: self.runs.index(run)] if run in self.runs else []
            others = [each for each in self.runs if each.seeds and each.is_beside(run)]
            self.runs = [each for each in self.runs if each is not run]
            run.look(())
            self._look()
            if not others:
                run.restoring.close()
            elif run.seeds and others[0] not in earlier:
                others[0].restoring = run.restoring

    def _look(self) -> None:
        for each in self.runs:
            each.look(self.runs if each in self.runs else ())


_UNDER_WAY: Final = _UnderWay()
at_fork(in_child=_UNDER_WAY.forget)
_INNERMOST: Final[ContextVar[_Run | None]] = ContextVar("crystallize_run", default=None)


@contextmanager
def generators_restored(*, seeds: bool) -> Iterator[_Run]:
    """Put the state of the global generators back behind a run, and see whether other runs disturb it.

    Of runs at the same time the last one puts back what was there before the first.

    Parameters
    ----------
    seeds : bool
        Whether the run seeds them; if not, they are left as they are.
    """
    run = _Run(_INNERMOST.get(), seeds=seeds)
    _UNDER_WAY.begin(run)
    _INNERMOST.set(run)
    try:
        yield run
    finally:
        _UNDER_WAY.end(run)
        if _INNERMOST.get() is run:  # one that was left may be closed in another context
            _INNERMOST.set(run.outer)
