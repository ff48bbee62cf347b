"""Searches for a promising treatment: what to try next, told what became of it.

A search proves nothing: its best trial was chosen for looking good. `Experiment.run` proves it, on replicates
that the search has not seen.
"""

from crystallize.experiment.optimize.base import BaseOptimizer
from crystallize.experiment.optimize.listed import GridSearch, RandomSearch
from crystallize.experiment.optimize.objective import Objective
from crystallize.experiment.optimize.tried import Trial
from crystallize.experiment.optimize.with_optuna import OptunaOptimizer
from crystallize.experiment.optimize.with_searcher import SearcherOptimizer

__all__ = [
    "BaseOptimizer",
    "GridSearch",
    "Objective",
    "OptunaOptimizer",
    "RandomSearch",
    "SearcherOptimizer",
    "Trial",
]
