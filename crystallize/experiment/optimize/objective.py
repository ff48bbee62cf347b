"""What a search is after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.errors import DefinitionError

Goal = Literal["minimize", "maximize"]

_GOALS = ("minimize", "maximize")


@dataclass(frozen=True)
class Objective:
    """Metric or metrics that a search is to minimise or maximise.

    Parameters
    ----------
    metric : str or sequence of str
        One metric, or several.
    direction : {"minimize", "maximize"}, or a sequence of them
        One for all metrics, or one for each.

    Raises
    ------
    DefinitionError
        If there is no metric, one is named twice, or a direction is unknown.

    Examples
    --------
    >>> Objective("loss", "minimize").directions
    {'loss': 'minimize'}
    >>> Objective(["accuracy", "time"], ["maximize", "minimize"]).directions
    {'accuracy': 'maximize', 'time': 'minimize'}
    """

    metric: str | Sequence[str]
    direction: Goal | Sequence[Goal]

    def __post_init__(self) -> None:
        for name in ("metric", "direction"):
            given = getattr(self, name)
            if isinstance(given, Iterable) and not isinstance(given, str):
                object.__setattr__(self, name, tuple(given))  # an iterator can be read only once
        metrics, goals = self.metrics, self._goals
        if not metrics or not all(isinstance(name, str) and name for name in metrics):
            raise DefinitionError(f"metric is {self.metric!r}; give the name of a metric, or a list of names")
        if len({*metrics}) < len(metrics):
            raise DefinitionError(f"metric is {self.metric!r}, which names a metric twice")
        unknown = [goal for goal in goals if goal not in _GOALS]
        if unknown:
            raise DefinitionError(
                f"direction of {self.metric!r} is {unknown[0]!r}; allowed are 'minimize' and 'maximize'"
            )
        if len(goals) != len(metrics):
            raise DefinitionError(
                f"there are {len(metrics)} metrics and {len(goals)} directions: {self.metric!r}, "
                f"{self.direction!r}; give one direction for all, or one for each"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return _as_tuple(self.metric)

    @property
    def _goals(self) -> tuple[Goal, ...]:
        if isinstance(self.direction, str):
            return (self.direction,) * len(self.metrics)
        goals: tuple[Goal, ...] = _as_tuple(self.direction)
        return goals

    @cached_property
    def directions(self) -> dict[str, Goal]:
        """Metric -> direction."""
        return dict(zip(self.metrics, self._goals, strict=True))

    @property
    def worst(self) -> dict[str, float]:
        """Value told of a trial that failed: inf where it is minimized, -inf where it is maximized."""
        return {name: math.inf if goal == "minimize" else -math.inf for name, goal in self.directions.items()}

    def losses(self, values: Mapping[str, float]) -> tuple[float, ...]:
        """Return the values in the order of the metrics, with signs so that less is better."""
        return tuple(
            values[name] if goal == "minimize" else -values[name] for name, goal in self.directions.items()
        )

    def measure(self, runs: ConditionRuns) -> tuple[dict[str, float], str | None]:
        """Return what is told of a trial, and why it failed if it did.

        Parameters
        ----------
        runs : ConditionRuns
            The trial's replicates.

        Returns
        -------
        values : dict
            Metric -> mean over the replicates. If a replicate failed, or did not record every metric as a
            finite number, the trial has failed, and `values` is `worst`.
        fault : str or None
            Why.
        """
        fault = runs.missing_evidence()
        for name in self.metrics:
            fault = fault or runs.gap(name) or runs.not_numeric(name)
        means = {} if fault else {name: runs.mean(name) for name in self.metrics}
        values = {name: value for name, value in means.items() if value is not None and math.isfinite(value)}
        if len(values) < len(self.metrics):
            return self.worst, fault or f"the mean of {self.metric!r} in {runs.condition!r} is not finite"
        return values, None


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
