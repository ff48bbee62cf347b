"""Searchers of Ray Tune, and whatever speaks as they do, as optimizers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from crystallize.declare.treatment import Treatment
from crystallize.errors import DefinitionError
from crystallize.experiment.optimize.objective import Objective
from crystallize.experiment.optimize.space import TrialNames, checked_batch_size, checked_space, plain
from crystallize.experiment.optimize.tried import Tried

_REQUIRED: Final = ("suggest", "on_trial_complete")
_MODES: Final = {"minimize": "min", "maximize": "max"}
_FINISHED: Final = "FINISHED"
"""What a searcher suggests when it has nothing left to try."""


class SearcherOptimizer(Tried):
    """Search that a searcher of Ray Tune leads, or another object with its methods.

    Parameters
    ----------
    searcher : Searcher
        Such as `ray.tune.search.hyperopt.HyperOptSearch`. It needs ``suggest(trial_id)``, which returns the
        keys to add to the context, None for nothing now, or "FINISHED", and ``on_trial_complete(trial_id,
        result, error)``. ``on_trial_result`` and ``set_search_properties`` are called where it has them.
    objective : Objective
        What the search is after.
    space : mapping, optional
        What there is to try, for a searcher that was made without a space: Ray's distributions, and values
        that every trial has.
    batch_size : int
        How many treatments to evaluate in one run; the searcher learns from them afterwards only.

    Attributes
    ----------
    searcher : Searcher
        The same.
    trials : list of Trial
        What was tried, in order.

    Raises
    ------
    DefinitionError
        If the searcher lacks a method, has a space besides the one that is given, or is after something else
        than the objective.

    Examples
    --------
    >>> from crystallize import Experiment, Objective, pipeline_step
    >>> class Upwards:
    ...     x = -1.0
    ...     def suggest(self, trial_id):
    ...         self.x += 1.0
    ...         return {"x": self.x}
    ...     def on_trial_complete(self, trial_id, result=None, error=False):
    ...         print(trial_id, result["loss"])
    >>> @pipeline_step()
    ... def loss(data, ctx, *, x=0.0):
    ...     return data, {"loss": (x - 2.0) ** 2}
    >>> search = SearcherOptimizer(Upwards(), Objective("loss", "minimize"))
    >>> Experiment(0, [loss]).optimize(search, num_trials=3)
    trial_0 4.0
    trial_1 1.0
    trial_2 0.0
    Treatment('x=2', {'x': 2.0})
    """

    def __init__(
        self,
        searcher: Any,
        objective: Objective,
        *,
        space: Mapping[str, Any] | None = None,
        batch_size: int = 1,
    ) -> None:
        super().__init__(objective)
        missing = [name for name in _REQUIRED if not callable(getattr(searcher, name, None))]
        if missing or isinstance(searcher, type):
            lacks = "it is a class; call it" if isinstance(searcher, type) else f"it has no {missing[0]}()"
            raise DefinitionError(f"{searcher!r} is no searcher: {lacks}")
        self.searcher = searcher
        self._space = {} if space is None else dict(checked_space("space", space))
        self._batch_size = checked_batch_size(batch_size) or 1
        self._names = TrialNames()
        self._ids: deque[str] = deque()
        self._asked = 0
        self._is_finished = False
        self._set_up()

    def _set_up(self) -> None:
        """Tell the searcher what it is after, and where; or see that it knows as much."""
        metrics = list(self.objective.metrics)
        modes = [_MODES[goal] for goal in self.objective.directions.values()]
        wanted: tuple[Any, Any] = (metrics, modes) if len(metrics) > 1 else (metrics[0], modes[0])
        told = tuple(getattr(self.searcher, name, None) for name in ("metric", "mode"))
        for name, given, right in zip(("metric", "mode"), told, wanted, strict=True):
            if given is not None and given != right:
                raise DefinitionError(
                    f"{type(self.searcher).__name__} has {name}={given!r}, and the objective says {right!r}; "
                    "give both the same, or make the searcher without"
                )
        set_properties = getattr(self.searcher, "set_search_properties", None)
        is_set = bool(set_properties is not None and set_properties(*wanted, dict(self._space)))
        if self._space and not is_set:
            raise DefinitionError(
                f"{type(self.searcher).__name__} takes no space=: it has one of its own, or takes it when it "
                "is made; give the space once"
            )

    def ask(self) -> list[Treatment]:
        """Return the next treatments, `batch_size` of them unless the searcher has fewer now."""
        wanted = self._batch_size if self.trials_left is None else min(self._batch_size, self.trials_left)
        asked: list[Treatment] = []
        while len(asked) < wanted and not self._is_finished:
            name = f"trial_{self._asked}"
            suggested = self.searcher.suggest(name)
            self._is_finished = isinstance(suggested, str) and suggested == _FINISHED
            if suggested is None or self._is_finished:
                break
            asked.append(self._treatment(suggested))
            self._ids.append(name)
            self._asked += 1
        self._pending += asked
        return asked

    def tell(self, values: dict[str, float]) -> None:
        """Tell the searcher what became of the trial whose turn it is."""
        super().tell(values)
        name, trial = self._ids.popleft(), self.trials[-1]
        if trial.failed:
            self.searcher.on_trial_complete(name, result=None, error=True)
            return
        result = {**values, "trial_id": name, "training_iteration": 1}
        if (on_result := getattr(self.searcher, "on_trial_result", None)) is not None:
            on_result(name, {**result, "done": False})
        self.searcher.on_trial_complete(name, result={**result, "done": True}, error=False)

    def _treatment(self, suggested: object) -> Treatment:
        if not isinstance(suggested, Mapping):
            raise DefinitionError(
                f"{type(self.searcher).__name__}.suggest returned {suggested!r}; it returns a mapping of "
                f"context keys, None or {_FINISHED!r}"
            )
        return Treatment(self._names.of(self._asked, suggested), _merged(self._space, suggested))


def _merged(space: Mapping[str, Any], suggested: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is suggested, and those values of a space that are always the same."""
    merged = dict(space)
    for key, value in suggested.items():
        known = space.get(key)
        nested = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(known, value) if nested else plain(value)  # type: ignore[arg-type]
    return merged
