"""The audit hook of this process: who hears of what its code does.

An audit hook belongs to the interpreter, can't be removed, and hears everything; so there is one for all.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from types import FrameType
from typing import Any

Listener = Callable[[str, tuple[Any, ...]], None]

_lock = threading.Lock()
_installed = _works = False
_known: set[Listener] = set()
_silent: ContextVar[bool] = ContextVar("crystallize_unheard", default=False)
_PROBE = "crystallize.probe"
_listeners: dict[str, tuple[Listener, ...]] = {_PROBE: ()}  # by event; most events have none
_LISTENING = frozenset(f"{__package__}.{name}" for name in ("audit", "purity", "opened_files"))


def listen(listener: Listener, events: Iterable[str]) -> None:
    """Have a function called with the name and the arguments of each of these events from now on."""
    global _installed
    if _installed and listener in _known:
        return
    with _lock:
        if listener not in _known:
            for event in events:
                _listeners[event] = (*_listeners.get(event, ()), listener)
            _known.add(listener)
        if not _installed:
            with contextlib.suppress(Exception):  # another hook's refusal
                sys.addaudithook(_hear)
                Context().run(sys.audit, _PROBE)
            _installed = True


def is_heard() -> bool:
    """Return whether events reach the listeners: another hook may refuse ours, but can't remove it later."""
    return _works


class Unheard:
    """Context of what Crystallize does for itself; a class, since each call of a step has several."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _silent.set(True)

    def __exit__(self, *_: object) -> None:
        _silent.reset(self._token)


def unheard() -> Unheard:
    """Do what Crystallize does for itself: it is no act of the code that is watched."""
    return Unheard()


def caller() -> FrameType | None:
    """Return the frame that an event is about."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _LISTENING:
        frame = frame.f_back
    return frame


def _hear(event: str, args: tuple[Any, ...]) -> None:
    listeners = _listeners.get(event)
    if listeners is None or _silent.get():
        return
    if not _works:
        _find_out(event)
    for listener in listeners:
        listener(event, args)


def _find_out(event: str) -> None:
    global _works
    if event == _PROBE:
        _works = True
