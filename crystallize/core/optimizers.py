"""Searches, by the path that users know."""

from crystallize.experiment.optimize import (
    BaseOptimizer,
    GridSearch,
    Objective,
    OptunaOptimizer,
    RandomSearch,
    Trial,
)

__all__ = ["BaseOptimizer", "GridSearch", "Objective", "OptunaOptimizer", "RandomSearch", "Trial"]
