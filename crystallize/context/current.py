"""The condition run that a thread or task is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from crystallize.context.journal import Journal

CURRENT: ContextVar[Journal | None] = ContextVar("crystallize_run", default=None)
"""Journal of the run under way; tasks, and threads that `asyncio.to_thread` starts, inherit it."""


@contextmanager
def outside_runs() -> Iterator[None]:
    """Do what belongs to no run, although one may need it first."""
    outer = CURRENT.get()
    CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.set(outer)
