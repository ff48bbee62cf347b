"""Makes an experiment a test: seeded replicates, treatments, and hypotheses decided by statistics.

Names are loaded when they are first used, so ``import crystallize`` imports neither numpy nor scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystallize.analysis.analysis import evaluate as evaluate
    from crystallize.analysis.condition_runs import ConditionRuns as ConditionRuns
    from crystallize.analysis.evaluation import digest as digest
    from crystallize.analysis.verdict import Verdict as Verdict
    from crystallize.claims.hypothesis import Hypothesis as Hypothesis
    from crystallize.claims.hypothesis import hypothesis as hypothesis
    from crystallize.claims.ratio import Ratio as Ratio
    from crystallize.claims.reference import Reference as Reference
    from crystallize.claims.stat_test import StatisticalTest as StatisticalTest
    from crystallize.claims.stopping import AnytimeValid as AnytimeValid
    from crystallize.claims.stopping import Curtailment as Curtailment
    from crystallize.claims.stopping import GroupSequential as GroupSequential
    from crystallize.claims.tests_by_resampling import BootstrapTTest as BootstrapTTest
    from crystallize.claims.tests_by_resampling import PermutationTest as PermutationTest
    from crystallize.claims.tests_of_means import PairedTTest as PairedTTest
    from crystallize.claims.tests_of_means import ResampledTTest as ResampledTTest
    from crystallize.claims.tests_of_means import WelchTTest as WelchTTest
    from crystallize.claims.tests_of_ranks import BrunnerMunzelTest as BrunnerMunzelTest
    from crystallize.claims.tests_of_ranks import MannWhitneyTest as MannWhitneyTest
    from crystallize.claims.tests_of_ranks import WilcoxonTest as WilcoxonTest
    from crystallize.claims.tests_of_rates import BarnardTest as BarnardTest
    from crystallize.claims.tests_of_rates import BinomialTest as BinomialTest
    from crystallize.claims.tests_of_rates import BoschlooTest as BoschlooTest
    from crystallize.claims.tests_of_rates import FisherExactTest as FisherExactTest
    from crystallize.claims.tests_of_rates import McNemarTest as McNemarTest
    from crystallize.claims.tests_of_scores import LogRatioTest as LogRatioTest
    from crystallize.claims.tests_of_scores import QuantileTest as QuantileTest
    from crystallize.claims.tests_of_scores import WinRateTest as WinRateTest
    from crystallize.claims.tests_of_units import ClusteredTTest as ClusteredTTest
    from crystallize.claims.tests_of_units import CrossedTTest as CrossedTTest
    from crystallize.claims.verifier import verifier as verifier
    from crystallize.context.context import FrozenContext as FrozenContext
    from crystallize.context.record import RunRecord as RunRecord
    from crystallize.declare.artifact import Artifact as Artifact
    from crystallize.declare.datasource import DataSource as DataSource
    from crystallize.declare.datasource import ExperimentInput as ExperimentInput
    from crystallize.declare.datasource import data_source as data_source
    from crystallize.declare.functions import inject_from_ctx as inject_from_ctx
    from crystallize.declare.functions import resource_factory as resource_factory
    from crystallize.declare.pipeline_step import PipelineStep as PipelineStep
    from crystallize.declare.pipeline_step import exit_step as exit_step
    from crystallize.declare.pipeline_step import pipeline_step as pipeline_step
    from crystallize.declare.treatment import Treatment as Treatment
    from crystallize.declare.treatment import treatment as treatment
    from crystallize.engines.dask_execution import DaskExecution as DaskExecution
    from crystallize.engines.executor_execution import ExecutorExecution as ExecutorExecution
    from crystallize.experiment.experiment import Experiment as Experiment
    from crystallize.experiment.experiment import ExperimentBuilder as ExperimentBuilder
    from crystallize.experiment.graph import ExperimentGraph as ExperimentGraph
    from crystallize.experiment.optimize.base import BaseOptimizer as BaseOptimizer
    from crystallize.experiment.optimize.listed import GridSearch as GridSearch
    from crystallize.experiment.optimize.listed import RandomSearch as RandomSearch
    from crystallize.experiment.optimize.objective import Objective as Objective
    from crystallize.experiment.optimize.with_optuna import OptunaOptimizer as OptunaOptimizer
    from crystallize.experiment.result import Result as Result
    from crystallize.run.pipeline import Pipeline as Pipeline
    from crystallize.run.pipeline import pipeline as pipeline
    from crystallize.run.plugins.artifacts import ArtifactPlugin as ArtifactPlugin
    from crystallize.run.plugins.async_execution import AsyncExecution as AsyncExecution
    from crystallize.run.plugins.base import BasePlugin as BasePlugin
    from crystallize.run.plugins.execution import ParallelExecution as ParallelExecution
    from crystallize.run.plugins.execution import SerialExecution as SerialExecution
    from crystallize.run.plugins.logging import LoggingPlugin as LoggingPlugin
    from crystallize.run.plugins.seed import SeedPlugin as SeedPlugin
    from crystallize.storage.run_directory import StoredVersion as StoredVersion
    from crystallize.storage.run_directory import stored_versions as stored_versions

_HOMES = {
    "AnytimeValid": "claims.stopping",
    "Artifact": "declare.artifact",
    "ArtifactPlugin": "run.plugins.artifacts",
    "AsyncExecution": "run.plugins.async_execution",
    "BarnardTest": "claims.tests_of_rates",
    "BaseOptimizer": "experiment.optimize.base",
    "BasePlugin": "run.plugins.base",
    "BinomialTest": "claims.tests_of_rates",
    "BoschlooTest": "claims.tests_of_rates",
    "BootstrapTTest": "claims.tests_by_resampling",
    "BrunnerMunzelTest": "claims.tests_of_ranks",
    "ClusteredTTest": "claims.tests_of_units",
    "CrossedTTest": "claims.tests_of_units",
    "ConditionRuns": "analysis.condition_runs",
    "Curtailment": "claims.stopping",
    "DaskExecution": "engines.dask_execution",
    "DataSource": "declare.datasource",
    "ExecutorExecution": "engines.executor_execution",
    "Experiment": "experiment.experiment",
    "ExperimentBuilder": "experiment.experiment",
    "ExperimentGraph": "experiment.graph",
    "ExperimentInput": "declare.datasource",
    "FisherExactTest": "claims.tests_of_rates",
    "FrozenContext": "context.context",
    "GridSearch": "experiment.optimize.listed",
    "GroupSequential": "claims.stopping",
    "Hypothesis": "claims.hypothesis",
    "LogRatioTest": "claims.tests_of_scores",
    "LoggingPlugin": "run.plugins.logging",
    "MannWhitneyTest": "claims.tests_of_ranks",
    "McNemarTest": "claims.tests_of_rates",
    "Objective": "experiment.optimize.objective",
    "OptunaOptimizer": "experiment.optimize.with_optuna",
    "PairedTTest": "claims.tests_of_means",
    "ParallelExecution": "run.plugins.execution",
    "PermutationTest": "claims.tests_by_resampling",
    "Pipeline": "run.pipeline",
    "PipelineStep": "declare.pipeline_step",
    "RandomSearch": "experiment.optimize.listed",
    "QuantileTest": "claims.tests_of_scores",
    "Ratio": "claims.ratio",
    "Reference": "claims.reference",
    "ResampledTTest": "claims.tests_of_means",
    "Result": "experiment.result",
    "RunRecord": "context.record",
    "SeedPlugin": "run.plugins.seed",
    "SerialExecution": "run.plugins.execution",
    "StatisticalTest": "claims.stat_test",
    "StoredVersion": "storage.run_directory",
    "Treatment": "declare.treatment",
    "Verdict": "analysis.verdict",
    "WelchTTest": "claims.tests_of_means",
    "WilcoxonTest": "claims.tests_of_ranks",
    "WinRateTest": "claims.tests_of_scores",
    "data_source": "declare.datasource",
    "digest": "analysis.evaluation",
    "evaluate": "analysis.analysis",
    "exit_step": "declare.pipeline_step",
    "hypothesis": "claims.hypothesis",
    "inject_from_ctx": "declare.functions",
    "pipeline": "run.pipeline",
    "pipeline_step": "declare.pipeline_step",
    "resource_factory": "declare.functions",
    "stored_versions": "storage.run_directory",
    "treatment": "declare.treatment",
    "verifier": "claims.verifier",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crystallize' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"crystallize.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
