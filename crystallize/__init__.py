"""Makes an experiment a test: seeded replicates, treatments, and hypotheses decided by statistics.

Names are loaded when they are first used, so ``import crystallize`` imports neither numpy nor scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystallize.core.analysis import evaluate as evaluate
    from crystallize.core.artifact import Artifact as Artifact
    from crystallize.core.condition_runs import ConditionRuns as ConditionRuns
    from crystallize.core.context import FrozenContext as FrozenContext
    from crystallize.core.datasource import DataSource as DataSource
    from crystallize.core.datasource import ExperimentInput as ExperimentInput
    from crystallize.core.datasource import data_source as data_source
    from crystallize.core.declared import inject_from_ctx as inject_from_ctx
    from crystallize.core.declared import resource_factory as resource_factory
    from crystallize.core.engines.dask_execution import DaskExecution as DaskExecution
    from crystallize.core.engines.executor_execution import ExecutorExecution as ExecutorExecution
    from crystallize.core.evaluation import digest as digest
    from crystallize.core.experiment import Experiment as Experiment
    from crystallize.core.experiment import ExperimentBuilder as ExperimentBuilder
    from crystallize.core.experiment_graph import ExperimentGraph as ExperimentGraph
    from crystallize.core.hypothesis import Hypothesis as Hypothesis
    from crystallize.core.hypothesis import hypothesis as hypothesis
    from crystallize.core.optimizers.base import BaseOptimizer as BaseOptimizer
    from crystallize.core.optimizers.listed import GridSearch as GridSearch
    from crystallize.core.optimizers.listed import RandomSearch as RandomSearch
    from crystallize.core.optimizers.objective import Objective as Objective
    from crystallize.core.optimizers.with_optuna import OptunaOptimizer as OptunaOptimizer
    from crystallize.core.pipeline import Pipeline as Pipeline
    from crystallize.core.pipeline import pipeline as pipeline
    from crystallize.core.pipeline_step import PipelineStep as PipelineStep
    from crystallize.core.pipeline_step import exit_step as exit_step
    from crystallize.core.pipeline_step import pipeline_step as pipeline_step
    from crystallize.core.plugins.artifacts import ArtifactPlugin as ArtifactPlugin
    from crystallize.core.plugins.async_execution import AsyncExecution as AsyncExecution
    from crystallize.core.plugins.base import BasePlugin as BasePlugin
    from crystallize.core.plugins.execution import ParallelExecution as ParallelExecution
    from crystallize.core.plugins.execution import SerialExecution as SerialExecution
    from crystallize.core.plugins.logging import LoggingPlugin as LoggingPlugin
    from crystallize.core.plugins.seed import SeedPlugin as SeedPlugin
    from crystallize.core.record import RunRecord as RunRecord
    from crystallize.core.reference import Reference as Reference
    from crystallize.core.result import Result as Result
    from crystallize.core.stat_test import BarnardTest as BarnardTest
    from crystallize.core.stat_test import BoschlooTest as BoschlooTest
    from crystallize.core.stat_test import BrunnerMunzelTest as BrunnerMunzelTest
    from crystallize.core.stat_test import FisherExactTest as FisherExactTest
    from crystallize.core.stat_test import MannWhitneyTest as MannWhitneyTest
    from crystallize.core.stat_test import McNemarTest as McNemarTest
    from crystallize.core.stat_test import PairedTTest as PairedTTest
    from crystallize.core.stat_test import ResampledTTest as ResampledTTest
    from crystallize.core.stat_test import StatisticalTest as StatisticalTest
    from crystallize.core.stat_test import WelchTTest as WelchTTest
    from crystallize.core.stat_test import WilcoxonTest as WilcoxonTest
    from crystallize.core.stopping import AnytimeValid as AnytimeValid
    from crystallize.core.stopping import GroupSequential as GroupSequential
    from crystallize.core.tests_by_resampling import BootstrapTTest as BootstrapTTest
    from crystallize.core.tests_by_resampling import PermutationTest as PermutationTest
    from crystallize.core.tests_of_units import ClusteredTTest as ClusteredTTest
    from crystallize.core.tests_of_units import CrossedTTest as CrossedTTest
    from crystallize.core.treatment import Treatment as Treatment
    from crystallize.core.treatment import treatment as treatment
    from crystallize.core.verdict import Verdict as Verdict
    from crystallize.core.verifier import verifier as verifier
    from crystallize.core.versions import StoredVersion as StoredVersion
    from crystallize.core.versions import stored_versions as stored_versions

_HOMES = {
    "AnytimeValid": "core.stopping",
    "Artifact": "core.artifact",
    "ArtifactPlugin": "core.plugins.artifacts",
    "AsyncExecution": "core.plugins.async_execution",
    "BarnardTest": "core.stat_test",
    "BaseOptimizer": "core.optimizers.base",
    "BasePlugin": "core.plugins.base",
    "BoschlooTest": "core.stat_test",
    "BootstrapTTest": "core.tests_by_resampling",
    "BrunnerMunzelTest": "core.stat_test",
    "ClusteredTTest": "core.tests_of_units",
    "CrossedTTest": "core.tests_of_units",
    "ConditionRuns": "core.condition_runs",
    "DaskExecution": "core.engines.dask_execution",
    "DataSource": "core.datasource",
    "ExecutorExecution": "core.engines.executor_execution",
    "Experiment": "core.experiment",
    "ExperimentBuilder": "core.experiment",
    "ExperimentGraph": "core.experiment_graph",
    "ExperimentInput": "core.datasource",
    "FisherExactTest": "core.stat_test",
    "FrozenContext": "core.context",
    "GridSearch": "core.optimizers.listed",
    "GroupSequential": "core.stopping",
    "Hypothesis": "core.hypothesis",
    "LoggingPlugin": "core.plugins.logging",
    "MannWhitneyTest": "core.stat_test",
    "McNemarTest": "core.stat_test",
    "Objective": "core.optimizers.objective",
    "OptunaOptimizer": "core.optimizers.with_optuna",
    "PairedTTest": "core.stat_test",
    "ParallelExecution": "core.plugins.execution",
    "PermutationTest": "core.tests_by_resampling",
    "Pipeline": "core.pipeline",
    "PipelineStep": "core.pipeline_step",
    "RandomSearch": "core.optimizers.listed",
    "Reference": "core.reference",
    "ResampledTTest": "core.stat_test",
    "Result": "core.result",
    "RunRecord": "core.record",
    "SeedPlugin": "core.plugins.seed",
    "SerialExecution": "core.plugins.execution",
    "StatisticalTest": "core.stat_test",
    "StoredVersion": "core.versions",
    "Treatment": "core.treatment",
    "Verdict": "core.verdict",
    "WelchTTest": "core.stat_test",
    "WilcoxonTest": "core.stat_test",
    "data_source": "core.datasource",
    "digest": "core.evaluation",
    "evaluate": "core.analysis",
    "exit_step": "core.pipeline_step",
    "hypothesis": "core.hypothesis",
    "inject_from_ctx": "core.declared",
    "pipeline": "core.pipeline",
    "pipeline_step": "core.pipeline_step",
    "resource_factory": "core.declared",
    "stored_versions": "core.versions",
    "treatment": "core.treatment",
    "verifier": "core.verifier",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crystallize' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"crystallize.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
