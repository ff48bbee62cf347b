"""The condition run that a thread or task is in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Final

from crystallize.context.journal import Journal
from crystallize.errors import DefinitionError

_RUNS: Final = "crystallize.run.execute", "execute"

CURRENT: ContextVar[Journal | None] = ContextVar("crystallize_run", default=None)
"""Journal of the run under way; tasks, and threads that `asyncio.to_thread` starts, inherit it."""


ASKING: Final[list[str]] = []
"""Those who ask which run is under way; without any, runs that await nothing do not say."""


def ask_for_runs(who: str) -> None:
    """Have each run say that it is under way.

    Raises
    ------
    DefinitionError
        If one is under way already, which did not.
    """
    if not ASKING:
        frames = sys._current_frames().values()
        if any(_is_in_run(frame) for frame in frames):
            raise DefinitionError(
                f"{who} are declared first while a run is under way, too late to know its seed: import them "
                "at the top of the file"
            )
        ASKING.append(who)


def _is_in_run(frame: FrameType | None) -> bool:
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == _RUNS:
            return True
        frame = frame.f_back
    return False


@contextmanager
def outside_runs() -> Iterator[None]:
    """Do what belongs to no run, although one may need it first."""
    outer = CURRENT.get()
    CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.set(outer)
