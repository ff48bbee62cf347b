"""The course of a search."""

from __future__ import annotations

from collections.abc import Iterable

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.declare.numbers import plain_number
from crystallize.declare.treatment import Treatment
from crystallize.errors import DefinitionError, OptimizationError
from crystallize.experiment.optimize.base import BaseOptimizer
from crystallize.experiment.optimize.objective import Objective


class Search:
    """Course of one search: its asks, tells and trials, and why some of these failed.

    Parameters
    ----------
    optimizer : BaseOptimizer
        Who is asked.
    num_trials : int
        How many treatments may be evaluated.
    where : str
        What is searched in, for errors.
    """

    def __init__(self, optimizer: BaseOptimizer, num_trials: int, where: str) -> None:
        if not isinstance(optimizer, BaseOptimizer):
            hint = "; call it" if isinstance(optimizer, type) else ""
            raise DefinitionError(f"{optimizer!r} is not an optimizer: subclass BaseOptimizer{hint}")
        if not isinstance(getattr(optimizer, "objective", None), Objective):
            raise DefinitionError(
                f"{type(optimizer).__name__} has no objective; call super().__init__(objective) in its "
                "__init__"
            )
        num_trials = plain_number(num_trials)
        if type(num_trials) is not int or num_trials < 1:
            raise DefinitionError(f"num_trials is {num_trials!r}; give an integer >= 1")
        self._optimizer = optimizer
        self._left = num_trials
        self._where = where
        self._told = 0
        self._faults: list[str] = []
        self.unread: set[str] = set()
        """Context keys of which it was said already that nothing reads them."""

    def ask(self) -> list[Treatment]:
        """Return what is to be evaluated next; nothing if the search is over."""
        if not self._left:
            return []
        self._optimizer.trials_left = self._left
        asked = self._optimizer.ask()
        label = f"{type(self._optimizer).__name__}.ask"
        if isinstance(asked, Treatment) or not isinstance(asked, Iterable):
            raise DefinitionError(f"{label} returned {asked!r}; return a list of treatments")
        treatments = list(asked)
        for treatment in treatments:
            if not isinstance(treatment, Treatment):
                raise DefinitionError(f"{label} returned {treatment!r} in its list, which is no treatment")
        return treatments[: self._left]

    def tell(self, trials: Iterable[ConditionRuns]) -> None:
        """Tell what became of the treatments that were asked for, in the same order."""
        for runs in trials:
            values, fault = self._optimizer.objective.measure(runs)
            self._left -= 1
            self._told += 1
            if fault is not None:
                self._faults.append(fault)
            self._optimizer.tell(values)

    def best(self) -> Treatment:
        """Return the optimizer's best treatment.

        Raises
        ------
        OptimizationError
            If every trial failed.
        """
        if self._faults and len(self._faults) == self._told:
            raise OptimizationError(
                f"{self._where}: all {self._told} trials failed, so that none is the best; the first: "
                f"{self._faults[0]}"
            )
        best = self._optimizer.get_best_treatment()
        if not isinstance(best, Treatment):
            label = f"{type(self._optimizer).__name__}.get_best_treatment"
            raise DefinitionError(f"{label} returned {best!r}; return a Treatment")
        return best
