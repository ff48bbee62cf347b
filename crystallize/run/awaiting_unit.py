"""Unit of work that stops wherever it awaits something, so that it may be run outside of an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from typing import Any

from crystallize.context.context import FrozenContext, context_of
from crystallize.context.current import CURRENT
from crystallize.context.journal import Journal
from crystallize.context.record import RunRecord
from crystallize.declare.awaiting import Ending, SharedTime, given
from crystallize.run.execute import RECORDED, Outcomes, execute


def execute_awaiting(
    journal: Journal,
    body: Callable[[FrozenContext], Generator[Awaitable[Any], Ending, object]],
    *,
    seed_globals: Callable[[int], object] | None,
    outcomes: Outcomes = RECORDED,
    shared: SharedTime,
) -> Generator[Awaitable[Any], Ending, RunRecord]:
    """Do what `execute` does with a body that yields what is to be awaited, and is sent what came of it."""
    run = shared.begin()
    outer = CURRENT.get()
    CURRENT.set(journal)
    endings: list[Ending] = []  # none is left, so that no fault holds the frame that it stands in
    try:
        if seed_globals is not None:
            seed_globals(journal.seed)
        yield from body(context_of(journal))
        endings.append((None, None))
    except BaseException as fault:
        endings.append((None, fault))
    finally:
        CURRENT.set(outer)
    seconds = shared.end(run)
    record = execute(journal, lambda _: given(endings.pop()), seed_globals=None, outcomes=outcomes)
    return replace(record, seconds=seconds)
