"""Budgets: what an experiment may spend before nothing new is begun."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of what an experiment may spend in a session, over all of its processes.

    Once one of these is spent, no run is begun any more, and those under way end. What is not decided then is
    invalid. What was run is stored like all else, so that the next session goes on from there, with a budget
    of its own.

    Parameters
    ----------
    calls : int, optional
        Calls of `remote` functions that are made: no replies that are kept, and no tries after the first.
    minutes : float, optional
        Since the first run was begun.
    metric : str, optional
        A metric that says what a run has cost, and is added up.
    total : float, optional
        How much of it may be spent.

    Raises
    ------
    DefinitionError
        If it limits nothing, or by something that is no number > 0.

    Examples
    --------
    >>> Budget(calls=3000, minutes=10)
    Budget(calls=3000, minutes=10, metric=None, total=None)
    >>> Budget(metric="cost", total=5.0).total
    5.0
    """

    calls: int | None = None
    minutes: float | None = None
    metric: str | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        if self.calls is None and self.minutes is None and self.metric is None and self.total is None:
            raise DefinitionError("Budget() limits nothing; give calls=, minutes=, or metric= with total=")
        if self.calls is not None and (type(self.calls) is not int or self.calls < 1):
            raise DefinitionError(f"Budget: calls={self.calls!r}; give an integer >= 1")
        for name in ("minutes", "total"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value < math.inf):
                raise DefinitionError(f"Budget: {name}={value!r}; give a number > 0")
        if (self.metric is None) != (self.total is None):
            raise DefinitionError("Budget: metric= and total= go together: how much of which metric")
        if self.metric is not None and (not isinstance(self.metric, str) or not self.metric):
            raise DefinitionError(f"Budget: metric={self.metric!r}; give the name of a metric")


def check_budget(budget: object, where: str) -> Budget | None:
    """Return a budget, or raise `DefinitionError` if something else is given."""
    if budget is not None and not isinstance(budget, Budget):
        raise DefinitionError(f"{where} has budget={budget!r:.60}; give Budget(calls=1000), for instance")
    return budget
