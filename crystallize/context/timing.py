"""How long a function takes: timed within a condition run, and recorded as measured metrics."""

from __future__ import annotations

import gc
import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any, Final

from crystallize.context.journal import Journal
from crystallize.context.outputs import record
from crystallize.context.seeding import global_state_restored
from crystallize.errors import MetricError

_TICKS: Final = 1000
"""How many of the steps of the clock a round takes at least, so that reading it is off by 0.1 % at most."""
_SHORTEST: Final = 1e-3  # seconds; reading the clock costs some 50 ns
_GROWTH: Final = 1.2  # more repetitions than seem to be enough, since the first calls are slow


def timed(
    journal: Journal,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    metric: str,
    rounds: int,
    warmup: int,
    calls: int | None,
) -> Any:
    """Time a function; see `FrozenContext.time`."""
    step = journal.scope.name
    if not callable(function):
        raise MetricError(f"ctx.time of {step!r} is given {function!r}; give a function, and its arguments")
    for name, number, least in (("rounds", rounds, 1), ("warmup", warmup, 0), ("calls", calls, 1)):
        given = isinstance(number, int) and not isinstance(number, bool) and number >= least
        if not given and not (name == "calls" and number is None):
            raise MetricError(f"ctx.time of {step!r} has {name}={number!r}; allowed are ints from {least} on")
    with _undisturbed():
        started = time.perf_counter()
        returned = function(*args)
        first = time.perf_counter() - started
        _refuse_awaitable(returned, step)
        recorded = _recorded(journal)
        with _generators_restored(journal):
            for _ in range(warmup - 1):
                function(*args)
            counts_first = warmup == 0
            if calls is None:
                calls, counts_first = _enough(function, args, first), counts_first and first >= _shortest()
            elif calls > 1:
                counts_first = False
            means = [first] if counts_first else []
            means += [_round(function, args, calls) / calls for _ in range(rounds - len(means))]
    if _recorded(journal) != recorded:
        raise MetricError(
            f"ctx.time of {step!r}: what it times records metrics, artifacts or notes, and is called many "
            "times; record what it returns"
        )
    record(journal, f"{metric}_min", min(means), measured=True)
    record(journal, f"{metric}_mean", math.fsum(means) / len(means), measured=True)
    return returned


def _shortest() -> float:
    """Return how many seconds a round takes at least."""
    return max(_SHORTEST, _TICKS * time.get_clock_info("perf_counter").resolution)


def _enough(function: Callable[..., Any], args: tuple[Any, ...], seconds: float) -> int:
    """Return how many calls make a round, if the first one took so many seconds."""
    calls, shortest = 1, _shortest()
    while seconds < shortest:
        grown = calls * _GROWTH * shortest / max(seconds, 1e-9)
        calls = max(calls + 1, min(math.ceil(grown), 10 * calls))
        seconds = _round(function, args, calls)
    return calls


def _round(function: Callable[..., Any], args: tuple[Any, ...], calls: int) -> float:
    started = time.perf_counter()
    for _ in repeat(None, calls):
        function(*args)
    return time.perf_counter() - started


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold off the collection of garbage."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _generators_restored(journal: Journal) -> Iterator[None]:
    """Have all draw on behind this what they would if nothing in it had drawn anything.

    How often a function is called depends on how fast it is, and what follows must not.
    """
    drawing = journal.drawing
    state = None if drawing is None else drawing.bit_generator.state
    with global_state_restored():
        yield
    if drawing is None or state is None:
        journal.forget_generator()
    else:
        drawing.bit_generator.state = state


def _recorded(journal: Journal) -> tuple[int, int, int]:
    return len(journal.metrics), len(journal.artifacts), len(journal.notes)


def _refuse_awaitable(returned: object, step: str) -> None:
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        raise MetricError(
            f"ctx.time of {step!r} is given an asynchronous function, of which it would time only how a "
            "coroutine is made; take the time around `await` by time.perf_counter, and record it with "
            "measured=True"
        )
