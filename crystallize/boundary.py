"""The boundary to code of the user's: what of that which it raises is a failure of its own.

Whoever calls such code catches `BaseException` and asks `failure` for the words: a `SystemExit`, a
`GeneratorExit` and the outcomes of test runners, which are no `Exception` either, are failures of the code
that raised them. What asks for the end of everything is raised again.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

_ending: tuple[type[BaseException], ...] = (KeyboardInterrupt,)


def ends_everything(kind: type[BaseException]) -> None:
    """Let exceptions of a kind through every boundary, as `KeyboardInterrupt` is."""
    global _ending
    if kind not in _ending:
        _ending = (*_ending, kind)


def check_failure(error: BaseException) -> None:
    """Raise an exception again unless it is a failure of the code that raised it."""
    if isinstance(error, _ending):
        raise error


def failure(error: BaseException) -> str:
    """Return a failure of the user's code as ``Type: message``.

    Raises
    ------
    BaseException
        The same exception, if it asks for the end of everything.
    """
    check_failure(error)
    message = text_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def with_frames(
    traceback: TracebackType | None, keep: Callable[[TracebackType], bool]
) -> TracebackType | None:
    """Return a traceback of those entries that are to be kept; None if there is none."""
    kept = []
    while traceback is not None:
        if keep(traceback):
            kept.append(traceback)
        traceback = traceback.tb_next
    found = None
    for each in reversed(kept):
        found = TracebackType(found, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return found


def text_of(error: BaseException) -> str:
    """Return the message of an exception, even if it can't say what it is."""
    try:
        return str(error)
    except BaseException as fault:  # a __str__ of the user's that fails must not hide the failure itself
        check_failure(fault)
        return "(no message: its __str__ failed)"


def shown(value: object) -> str:
    """Return the repr of a value of the user's, even if it has none."""
    try:
        return repr(value)
    except BaseException as error:
        return f"a {type(value).__qualname__} whose __repr__ raised {failure(error)}"
