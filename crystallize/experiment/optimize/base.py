"""The three methods of a search."""

from __future__ import annotations

from abc import ABC, abstractmethod

from crystallize.declare.treatment import Treatment
from crystallize.errors import DefinitionError
from crystallize.experiment.optimize.objective import Objective


class BaseOptimizer(ABC):
    """Base of searches: define `ask`, `tell` and `get_best_treatment`.

    Parameters
    ----------
    objective : Objective
        What the search is after.

    Attributes
    ----------
    objective : Objective
        The same.
    trials_left : int or None
        How many trials `Experiment.optimize` still wants; it sets this before every `ask`.

    Examples
    --------
    >>> from crystallize import Experiment, Objective, Treatment, pipeline_step
    >>> class Upwards(BaseOptimizer):
    ...     best = (float("inf"), 0)
    ...     def ask(self):
    ...         self.x = getattr(self, "x", -1) + 1
    ...         return [Treatment(f"x={self.x}", {"x": self.x})]
    ...     def tell(self, values):
    ...         self.best = min(self.best, (values["loss"], self.x))
    ...     def get_best_treatment(self):
    ...         return Treatment("best", {"x": self.best[1]})
    >>> @pipeline_step()
    ... def loss(data, ctx, *, x=0.0):
    ...     return data, {"loss": (x - 3) ** 2}
    >>> search = Upwards(Objective("loss", "minimize"))
    >>> Experiment(0, [loss]).optimize(search, num_trials=5)
    Treatment('best', {'x': 3})
    """

    trials_left: int | None = None

    def __init__(self, objective: Objective) -> None:
        if not isinstance(objective, Objective):
            raise DefinitionError(f"objective is {objective!r}; give Objective(metric, direction)")
        self.objective = objective

    @abstractmethod
    def ask(self) -> list[Treatment]:
        """Return the treatments to try next, which are evaluated in one run; none ends the search.

        Those beyond `trials_left` are neither evaluated nor told.
        """

    @abstractmethod
    def tell(self, values: dict[str, float]) -> None:
        """Take in what became of one treatment; called once for each, in the order of `ask`.

        Parameters
        ----------
        values : dict
            Metric -> mean over the replicates. Of a trial that failed, the worst value there is: inf for a
            metric that is minimized, -inf for one that is maximized, so that it is never the best.
        """

    @abstractmethod
    def get_best_treatment(self) -> Treatment:
        """Return the most promising treatment so far."""
