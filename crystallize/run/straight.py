"""Passes through a pipeline that only call one part after the other: those of most experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CoroutineType
from typing import Any

from crystallize.context.context import FrozenContext, journal_of
from crystallize.context.journal import Journal, Traced
from crystallize.context.outputs import recorded
from crystallize.context.trace import Scope
from crystallize.declare.awaiting import never_awaited
from crystallize.declare.datasource import FunctionSource
from crystallize.declare.functions import Given
from crystallize.declare.pipeline_step import FunctionStep
from crystallize.run.beginnings import Beginning
from crystallize.run.pipeline import Around, Pipeline

_Part = tuple[int, str, Callable[..., Any], Callable[..., Any], Scope, Traced]


def straight_pass(
    pipeline: Pipeline, around: Around, beginnings: Mapping[str, Beginning]
) -> Callable[[FrozenContext], Any] | None:
    """Return what does as `Pipeline.body` does, in half the time; None if there is more to do.

    There is if something is set up, torn down, cached or awaited, or hooks are called around steps. What the
    parameters of a function are is found out here, once for each condition: in all runs that begin with the
    same values it is the same, as long as nothing writes to the context.

    Parameters
    ----------
    pipeline : Pipeline
        What the data pass through.
    around : Around
        What is done before and behind.
    beginnings : mapping
        By condition.
    """
    if pipeline.is_async or pipeline.sets_up or around.cacheable_steps is not None:
        return None
    if around.hooks.before_step or around.hooks.after_step:
        return None
    known = {}
    for condition, (source, _, values, _) in beginnings.items():
        first = _part(0, source.name, source, source.fetch, values)
        rest = [_part(index, s.name, s, s.__call__, values) for index, s in enumerate(pipeline, start=1)]
        known[condition] = (-1 if values is None else len(values), first, rest)
    begin, end = around.begin, around.end

    def passed(ctx: FrozenContext) -> Any:
        journal = journal_of(ctx)
        size, (index, name, fetch, ready, scope, traced), parts = known[journal.condition]
        begin(ctx)
        values = journal.values  # of which none can be replaced or deleted
        if len(values) == size:
            journal.enter_behind(scope, traced)
            data = ready(ctx)
        else:
            journal.enter(name, index)
            data = fetch(ctx)
        if type(data) is CoroutineType:
            raise never_awaited(data, f"data source {name!r}")
        for index, name, call, ready, scope, traced in parts:
            if len(values) == size:
                journal.enter_behind(scope, traced)
                data = ready(data, ctx)
            else:
                journal.enter(name, index)
                data = call(data, ctx)
            if type(data) is CoroutineType:
                raise never_awaited(data, f"step {name!r}")
            if type(data) is tuple:
                data = recorded(data, journal)
        end(ctx)
        return data

    return passed


def _part(
    index: int, name: str, part: object, call: Callable[..., Any], values: Mapping[str, Any] | None
) -> _Part:
    """Return how a part is called, and how while the context holds these values, with its trace then."""
    journal = Journal(values or {}, 0, "", 0)
    journal.enter(name, index)
    ready = call
    if values is not None and type(part) in (FunctionSource, FunctionStep):  # a derived one may do more
        assert isinstance(part, Given)
        ready, looked_up = part.ready(values) or (call, ())
        for key in looked_up:
            journal.trace_look_up(key)
    return index, name, call, ready, journal.scope, frozenset(journal.traced)
