"""Errors that arise beside the code under test: in threads, in finalizers, in coroutines that nobody awaited.

pytest queues them and gives them, as warnings, to the item in whose phase it finds them. Here many runs
share one item, and that item may be a token which nobody sees. So where such warnings are errors, each is the
error of the run that it arose in; what belongs to no run is raised when the item is torn down.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import pytest

from crystallize.seam import RunError, RunRecord
from pytest_crystallize.pytest_seam import (
    collect_thread_exception,
    collect_unraisable,
    thread_exceptions,
    unraisable_exceptions,
)
from pytest_crystallize.records.logs import Key

THREAD_SECONDS: Final = 5.0
"""How long threads that runs have left are waited for at the end; Python would wait without limit."""

# By kind: of threads, and of finalizers.
_QUEUES: Final[tuple[pytest.StashKey[Any], ...]] = (thread_exceptions, unraisable_exceptions)
_COLLECT = (collect_thread_exception, collect_unraisable)
_WARNINGS = (pytest.PytestUnhandledThreadExceptionWarning, pytest.PytestUnraisableExceptionWarning)
_PROBES = ("Exception in thread", "Exception ignored in")
_PLACES = ("a thread", "a finalizer")

_current: ContextVar[Key | None] = ContextVar("condition run under way", default=None)


class _Arisen(NamedTuple):
    """An error as pytest queues it.

    Attributes
    ----------
    owner : Key or None
        The condition run that it belongs to, if that is known.
    kind : int
        Which of pytest's queues it was taken from.
    entry : tuple or exception
        What was there.
    """

    owner: Key | None
    kind: int
    entry: Any


class LateErrors:
    """Errors beside the body of a condition run, and the runs that they belong to.

    An error belongs to the run that was under way when it arose: the one of the asynchronous task, if several
    are. Of an error that arises while garbage is collected this can't be told, since the garbage may be any
    run's; that of a thread which outlives the run that started it comes too late for its record.

    Parameters
    ----------
    config : pytest.Config
        Of this process. Without pytest's plugins for such errors (``-p no:threadexception``,
        ``-p no:unraisableexception``) nothing is found.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lock = threading.RLock()  # reporting an error may collect garbage, which may give another
        self._running: dict[Key, None] = {}
        self._left_behind: WeakKeyDictionary[threading.Thread, Key | None] = WeakKeyDictionary()
        self._alive: list[threading.Thread] = []
        self._arisen: list[_Arisen] = []
        self._unowned: list[BaseException] = []
        self._meanwhile: dict[str, None] = {}
        self._is_listening = False
        self._collects_garbage = False

    # Around condition runs.

    def begin(self, key: Key) -> None:
        """Note that a condition run begins in this task."""
        self._running[key] = None
        _current.set(key)

    def end(self, key: Key) -> None:
        """Note that it has ended, and which threads it leaves behind."""
        alive = threading.enumerate()
        if alive != self._alive:
            starter = key if len(self._running) == 1 else None
            for thread in alive:
                if thread not in self._alive and thread not in self._left_behind:
                    self._left_behind[thread] = starter
            self._alive = alive
        del self._running[key]
        _current.set(None)

    def judged(self, record: RunRecord, describe: Callable[[BaseException, str], RunError]) -> RunRecord:
        """Return the record of a run that ends here, as a failure if errors belong to it.

        Parameters
        ----------
        record : RunRecord
            Of the run under way.
        describe : callable
            Makes a `RunError` of an exception and the name of the place that raised it.
        """
        if not self._arisen:
            return record
        key = _current.get()
        errors = self._as_warnings(self._taken(lambda arisen: arisen.owner == key))
        if not errors:
            return record
        told = [_described(error, describe) for error in errors]
        if record.error is not None:
            sections = tuple((f"Error in {error.step}", error.traceback) for error in told)
            return replace(record, sections=(*record.sections, *sections))
        text = "\n".join(error.traceback for error in told)
        return replace(record, error=replace(told[0], traceback=text), skipped=None)

    @contextmanager
    def heard(self, experiment: str = "") -> Iterator[None]:
        """Learn of errors while condition runs of an experiment are under way."""
        if self._is_listening:
            yield
            return
        if experiment:
            self._meanwhile[experiment] = None
        before = threading.excepthook, sys.unraisablehook
        ours = (
            self._hook(0, before[0], self._owner_of_thread),
            self._hook(1, before[1], self._owner_of_finalizer),
        )
        threading.excepthook, sys.unraisablehook = ours
        gc.callbacks.append(self._on_garbage)
        self._alive = threading.enumerate()
        self._is_listening = True
        try:
            yield
        finally:
            self._is_listening = False
            gc.callbacks.remove(self._on_garbage)
            if threading.excepthook is ours[0]:
                threading.excepthook = before[0]
            if sys.unraisablehook is ours[1]:
                sys.unraisablehook = before[1]
            self._disown()

    def _hook(
        self, kind: int, previous: Callable[[Any], Any], owner_of: Callable[[Any], Key | None]
    ) -> Callable[[Any], Any]:
        """Return a hook that notes whose error pytest has just queued."""
        queue: deque[Any] | None = self._config.stash.get(_QUEUES[kind], None)
        if queue is None:
            return previous

        def hook(args: Any) -> None:
            if not self._is_listening:  # somebody has kept it
                previous(args)
                return
            with self._lock:
                queued = len(queue)
                previous(args)
                if len(queue) > queued:
                    self._arisen.append(_Arisen(owner_of(args), kind, queue.pop()))

        return hook

    def _owner_of_thread(self, args: Any) -> Key | None:
        if args.thread in self._left_behind:
            return self._left_behind[args.thread]
        return _current.get() or self._only_one_running()

    def _owner_of_finalizer(self, args: Any) -> Key | None:
        return None if self._collects_garbage else _current.get() or self._only_one_running()

    def _only_one_running(self) -> Key | None:
        return next(iter(self._running)) if len(self._running) == 1 else None

    def _on_garbage(self, phase: str, info: object) -> None:
        self._collects_garbage = phase == "start"

    # What belongs to no run.

    def unowned(self, *, at_end: bool) -> list[BaseException]:
        """Return the errors that belong to no run, each once.

        Parameters
        ----------
        at_end : bool
            Whether no item comes behind this one, so that all that is left over is to come up now: threads
            are waited for, and garbage is collected.
        """
        if at_end and self._meanwhile:
            with self.heard():
                if self._is_error(0):
                    self._wait_for_threads()
                if self._is_error(1):
                    gc.collect()
        self._disown()
        errors, self._unowned = self._unowned, []
        return errors

    def _disown(self) -> None:
        """Give up finding a run for what has arisen until now."""
        if self._arisen:
            arisen = map(self._with_owner_told, self._taken(lambda arisen: True))
            self._unowned += self._as_warnings(arisen)

    def _is_error(self, kind: int) -> bool:
        """Return whether the filters make errors of the warnings of one kind."""
        if _QUEUES[kind] not in self._config.stash:
            return False
        try:
            with warnings.catch_warnings(record=True):
                warnings.warn(_WARNINGS[kind](_PROBES[kind]), stacklevel=1)
        except _WARNINGS:
            return True
        return False

    def _wait_for_threads(self) -> None:
        """Wait for threads that Python would wait for, too; those of executors are told to end only then."""
        executors = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())
        until = time.monotonic() + THREAD_SECONDS
        for thread in [*self._left_behind]:
            if not thread.daemon and thread not in executors:
                thread.join(max(0.0, until - time.monotonic()))

    def _with_owner_told(self, arisen: _Arisen) -> _Arisen:
        """Have the message of an error say which run it may come from."""
        entry, owner = arisen.entry, arisen.owner
        if isinstance(entry, BaseException):
            return arisen
        if owner is not None:
            of = f"replicate {owner.replicate} of {owner.condition!r} of {owner.experiment}"
            told = f"It belongs to {of}, which had ended."
        else:
            told = f"It belongs to no replicate that is known. Run until then: {', '.join(self._meanwhile)}"
        msg, cause_msg = (f"{text.rstrip()}\n{told}" for text in (entry.msg, entry.cause_msg))
        return arisen._replace(entry=entry._replace(msg=msg, cause_msg=cause_msg))

    # Pytest's queues.

    def _taken(self, which: Callable[[_Arisen], bool]) -> list[_Arisen]:
        with self._lock:
            taken = [arisen for arisen in self._arisen if which(arisen)]
            self._arisen[:] = [arisen for arisen in self._arisen if not which(arisen)]
        return taken

    def _as_warnings(self, arisen: Iterable[_Arisen]) -> list[BaseException]:
        """Have pytest warn of errors; return those that the filters make exceptions of."""
        errors: list[BaseException] = []
        for _, kind, entry in arisen:
            queue = self._config.stash[_QUEUES[kind]]
            others = [*queue]
            queue.clear()
            queue.append(entry)
            try:
                _COLLECT[kind](self._config)
            except Exception as error:
                errors.append(error)
            queue.extend(others)
        return errors


def _described(error: BaseException, describe: Callable[[BaseException, str], RunError]) -> RunError:
    """Describe what pytest raises by its cause; names of threads differ between processes."""
    cause = error.__cause__ or error
    step = next(
        (place for kind, place in zip(_WARNINGS, _PLACES, strict=True) if isinstance(error, kind)), "pytest"
    )
    frame = cause.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename == threading.__file__:
        frame = frame.tb_next
    shown = isinstance(cause, Exception) and frame is not None
    told: RunError = (describe if shown else RunError.from_exception)(cause.with_traceback(frame), step)
    heading = str(error).partition("\n")[0]
    return replace(told, traceback=f"{heading}\n{told.traceback}" if error.__cause__ else told.traceback)


def is_late(error: BaseException) -> bool:
    """Return whether an exception is one of pytest's for such errors."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_late, error.exceptions))
    return isinstance(error, _WARNINGS)
