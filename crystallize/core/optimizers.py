"""Searches, by the path that users know."""

from crystallize.experiment.optimize import (
    BaseOptimizer,
    GridSearch,
    Objective,
    OptunaOptimizer,
    RandomSearch,
    SearcherOptimizer,
    Trial,
)

__all__ = [
    "BaseOptimizer",
    "GridSearch",
    "Objective",
    "OptunaOptimizer",
    "RandomSearch",
    "SearcherOptimizer",
    "Trial",
]
