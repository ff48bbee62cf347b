"""Resources that steps are given: made once per process and thread, of what their factories read."""

from __future__ import annotations

import threading
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from crystallize.context.context import FrozenContext, context_of, journal_of
from crystallize.context.journal import Journal
from crystallize.context.seeding import global_state_restored, seed_globals
from crystallize.declare.decorated import Declared, parameters_of, takes_ctx
from crystallize.errors import ContextMutationError
from crystallize.storage.system import at_fork

_ABSENT: Any = object()
_RESOURCES_KEPT = 8


class _Resources(threading.local):
    """Resources of this thread: factory -> the latest few, each with what it was made from."""

    made: weakref.WeakKeyDictionary[Any, list[tuple[dict[str, Any], Any]]]

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.made = weakref.WeakKeyDictionary()


_resources = _Resources()
at_fork(in_child=_resources.forget)  # a connection can't be shared with the process it came from


class ResourceFactory(Declared):
    """Factory of a resource, made once per process and thread; see `resource_factory`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        try:
            self.takes_ctx = takes_ctx(parameters_of(function))
        except (TypeError, ValueError):  # nobody knows what it takes, as of a type in C
            self.takes_ctx = True

    def __call__(self, ctx: FrozenContext) -> Any:
        """Return this thread's resource for what the factory reads from `ctx`, making it if there is none."""
        made = _resources.made.setdefault(self, [])
        for read, resource in made:
            if all(_same(_current(ctx, key), value) for key, value in read.items()):
                return resource
        # A name and a number that are the same for all, since all share what is made.
        outer = journal_of(ctx)
        inner = Journal(outer.values, outer.word, "resource", 0)
        inner.enter(self.__name__, outer.scope.index)
        asked: set[tuple[str, str]] = set()
        inner.asked = asked
        with global_state_restored():
            seed_globals(_name_seed(self.__qualname__))
            resource = self.function(context_of(inner)) if self.takes_ctx else self.function()
        scope = inner.scope
        if scope.writes or inner.metrics or inner.artifacts or inner.notes:
            raise ContextMutationError(
                f"resource factory {self.__name__!r} wrote to the context; a resource is made once and "
                "shared, so context keys, metrics, notes and artifacts belong into a step"
            )
        keys = [*scope.reads, *scope.absent] + ([_SEED] if scope.seeded else [])
        keys += [_EVERY_KEY] if ("everything", "") in asked else []
        made.append(({key: _current(ctx, key) for key in keys}, resource))
        del made[:-_RESOURCES_KEPT]
        return resource


_SEED = "\0seed"
_EVERY_KEY = "\0keys"


def _current(ctx: FrozenContext, key: str) -> Any:
    if key == _SEED:
        return ctx.seed
    if key == _EVERY_KEY:
        journal_of(ctx).ask("everything")
        return tuple(journal_of(ctx).values)
    ctx.get(key)  # what the resource was made from counts as read by who uses it
    return journal_of(ctx).values.get(key, _ABSENT)


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    try:
        return bool(one == other)
    except Exception:  # values that can't be compared are not known to be the same
        return False


def _name_seed(name: str) -> int:
    """Return a 32-bit seed that depends on a name alone, the same in every process."""
    return zlib.crc32(name.encode())


def resource_factory(create: Callable[[FrozenContext], Any] | Callable[[], Any]) -> Any:
    """Make something costly (a model handle, a client) once per process and thread.

    Put the factory into the context, give it as a step's parameter, or make it a parameter's default: the
    step receives what `create` returned. Contexts that differ in a key which `create` reads get resources of
    their own, and so do replicates if it asks for `seed` or `rng`, so that a treatment never works with the
    baseline's resource; to `create`, the condition is ``"resource"`` and the replicate 0. The global random
    generators are seeded alike for each creation and put back after.

    Parameters
    ----------
    create : callable
        Called with the context, which it may read, not write to; or with nothing, if it takes none.

    Returns
    -------
    ResourceFactory
        Typed as ``Any``, so that a parameter whose default it is may be declared as what it is given.

    Examples
    --------
    >>> @resource_factory
    ... def model(ctx):
    ...     return f"model of depth {ctx.get('depth', 1)}"
    >>> model(FrozenContext({"depth": 3}))
    'model of depth 3'
    """
    return ResourceFactory(create)
