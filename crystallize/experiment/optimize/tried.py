"""What a search has tried, and the best of it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from crystallize.declare.treatment import Treatment
from crystallize.errors import OptimizationError
from crystallize.experiment.optimize.base import BaseOptimizer
from crystallize.experiment.optimize.objective import Objective


@dataclass(frozen=True)
class Trial:
    """A treatment that was tried, and what became of it.

    Attributes
    ----------
    treatment : Treatment
        The treatment.
    values : dict
        What was told of it.

    Examples
    --------
    >>> from crystallize import Experiment, GridSearch, Objective, pipeline_step
    >>> @pipeline_step()
    ... def loss(data, ctx, *, x=0.0):
    ...     return data, {"loss": (x - 2.0) ** 2}
    >>> search = GridSearch({"x": [0.0, 2.0]}, Objective("loss", "minimize"))
    >>> best = Experiment(0, [loss]).optimize(search, num_trials=2)
    >>> [(trial.treatment.name, trial.values["loss"]) for trial in search.trials]
    [('x=0', 4.0), ('x=2', 0.0)]
    """

    treatment: Treatment
    values: dict[str, float]

    @property
    def failed(self) -> bool:
        """Whether it gave no value."""
        return not all(map(math.isfinite, self.values.values()))


class Tried(BaseOptimizer):
    """Base of searches that keep what they were told; `ask` appends to `_pending` what it returns.

    Attributes
    ----------
    trials : list of Trial
        What was tried, in order.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__(objective)
        self.trials: list[Trial] = []
        self._pending: deque[Treatment] = deque()

    def tell(self, values: dict[str, float]) -> None:
        """Take in what became of the treatment whose turn it is."""
        self.trials.append(Trial(self._pending.popleft(), dict(values)))

    def get_best_treatment(self) -> Treatment:
        """Return the treatment with the best value; of equals, the earliest.

        Of several metrics, the first counts, and the next where it is equal.
        """
        done = self._succeeded()
        return min(done, key=lambda trial: self.objective.losses(trial.values)).treatment

    def pareto_front(self) -> list[Treatment]:
        """Return the treatments that no other one matches in every metric and beats in one."""
        done = self._succeeded()
        losses = [self.objective.losses(trial.values) for trial in done]
        return [
            trial.treatment
            for trial, loss in zip(done, losses, strict=True)
            if not any(
                other != loss and all(o <= x for o, x in zip(other, loss, strict=True)) for other in losses
            )
        ]

    def _succeeded(self) -> list[Trial]:
        done = [trial for trial in self.trials if not trial.failed]
        if not done:
            raise OptimizationError(
                f"{type(self).__name__} has no best treatment: {len(self.trials)} trials were told, and none "
                "succeeded"
            )
        return done
