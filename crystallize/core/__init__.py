"""What an experiment is; the classes, loaded when they are first used.

The factories (`treatment`, `pipeline_step`, ...) live in `crystallize`: here, `treatment` is a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import crystallize

if TYPE_CHECKING:
    from crystallize import Artifact as Artifact
    from crystallize import ArtifactPlugin as ArtifactPlugin
    from crystallize import AsyncExecution as AsyncExecution
    from crystallize import BaseOptimizer as BaseOptimizer
    from crystallize import BasePlugin as BasePlugin
    from crystallize import DataSource as DataSource
    from crystallize import Experiment as Experiment
    from crystallize import ExperimentBuilder as ExperimentBuilder
    from crystallize import ExperimentGraph as ExperimentGraph
    from crystallize import ExperimentInput as ExperimentInput
    from crystallize import FrozenContext as FrozenContext
    from crystallize import GridSearch as GridSearch
    from crystallize import Hypothesis as Hypothesis
    from crystallize import LoggingPlugin as LoggingPlugin
    from crystallize import Objective as Objective
    from crystallize import OptunaOptimizer as OptunaOptimizer
    from crystallize import ParallelExecution as ParallelExecution
    from crystallize import Pipeline as Pipeline
    from crystallize import PipelineStep as PipelineStep
    from crystallize import RandomSearch as RandomSearch
    from crystallize import Result as Result
    from crystallize import SeedPlugin as SeedPlugin
    from crystallize import SerialExecution as SerialExecution
    from crystallize import StatisticalTest as StatisticalTest
    from crystallize import Treatment as Treatment

__all__ = [
    "Artifact",
    "ArtifactPlugin",
    "AsyncExecution",
    "BaseOptimizer",
    "BasePlugin",
    "DataSource",
    "Experiment",
    "ExperimentBuilder",
    "ExperimentGraph",
    "ExperimentInput",
    "FrozenContext",
    "GridSearch",
    "Hypothesis",
    "LoggingPlugin",
    "Objective",
    "OptunaOptimizer",
    "ParallelExecution",
    "Pipeline",
    "PipelineStep",
    "RandomSearch",
    "Result",
    "SeedPlugin",
    "SerialExecution",
    "StatisticalTest",
    "Treatment",
]


if not TYPE_CHECKING:  # else type checkers would take every name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'crystallize.core' has no attribute {name!r}")
        return getattr(crystallize, name)
