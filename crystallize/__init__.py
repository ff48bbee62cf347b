"""Makes an experiment a test: seeded replicates, treatments, and hypotheses decided by statistics.

Names are loaded when they are first used, so ``import crystallize`` imports neither numpy nor scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystallize import errors as errors
    from crystallize import stats as stats
    from crystallize.analysis.analysis import evaluate as evaluate
    from crystallize.analysis.condition_runs import ConditionRuns as ConditionRuns
    from crystallize.analysis.digest import digest as digest
    from crystallize.analysis.verdict import Verdict as Verdict
    from crystallize.calls.remote import remote as remote
    from crystallize.claims.hypothesis import Hypothesis as Hypothesis
    from crystallize.claims.hypothesis import hypothesis as hypothesis
    from crystallize.claims.pass_at import PassAll as PassAll
    from crystallize.claims.pass_at import PassAt as PassAt
    from crystallize.claims.ratio import Ratio as Ratio
    from crystallize.claims.reference import Reference as Reference
    from crystallize.claims.reference import Revision as Revision
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
    from crystallize.claims.tests_of_trimmed_means import YuenTest as YuenTest
    from crystallize.claims.tests_of_units import ClusteredTTest as ClusteredTTest
    from crystallize.claims.tests_of_units import CrossedTTest as CrossedTTest
    from crystallize.claims.verifier import verifier as verifier
    from crystallize.context.context import FrozenContext as FrozenContext
    from crystallize.context.record import RunRecord as RunRecord
    from crystallize.declare.artifact import Artifact as Artifact
    from crystallize.declare.budget import Budget as Budget
    from crystallize.declare.cases import Cases as Cases
    from crystallize.declare.datasource import DataSource as DataSource
    from crystallize.declare.datasource import ExperimentInput as ExperimentInput
    from crystallize.declare.datasource import data_source as data_source
    from crystallize.declare.functions import inject_from_ctx as inject_from_ctx
    from crystallize.declare.pipeline_step import PipelineStep as PipelineStep
    from crystallize.declare.pipeline_step import exit_step as exit_step
    from crystallize.declare.pipeline_step import pipeline_step as pipeline_step
    from crystallize.declare.resources import resource_factory as resource_factory
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
    from crystallize.experiment.optimize.with_searcher import SearcherOptimizer as SearcherOptimizer
    from crystallize.experiment.result import Result as Result
    from crystallize.experiment.stored_results import StoredResult as StoredResult
    from crystallize.experiment.stored_results import stored_results as stored_results
    from crystallize.run.pipeline import Pipeline as Pipeline
    from crystallize.run.pipeline import pipeline as pipeline
    from crystallize.run.plugins.artifacts import ArtifactPlugin as ArtifactPlugin
    from crystallize.run.plugins.async_execution import AsyncExecution as AsyncExecution
    from crystallize.run.plugins.base import BasePlugin as BasePlugin
    from crystallize.run.plugins.execution import ParallelExecution as ParallelExecution
    from crystallize.run.plugins.execution import SerialExecution as SerialExecution
    from crystallize.run.plugins.logging import LoggingPlugin as LoggingPlugin
    from crystallize.run.plugins.seed import SeedPlugin as SeedPlugin
    from crystallize.storage.stored_versions import StoredVersion as StoredVersion
    from crystallize.storage.stored_versions import stored_versions as stored_versions

_NAMES = {
    "analysis.analysis": ("evaluate",),
    "analysis.condition_runs": ("ConditionRuns",),
    "analysis.digest": ("digest",),
    "analysis.verdict": ("Verdict",),
    "calls.remote": ("remote",),
    "claims.hypothesis": ("Hypothesis", "hypothesis"),
    "claims.pass_at": ("PassAll", "PassAt"),
    "claims.ratio": ("Ratio",),
    "claims.reference": ("Reference", "Revision"),
    "claims.stat_test": ("StatisticalTest",),
    "claims.stopping": ("AnytimeValid", "Curtailment", "GroupSequential"),
    "claims.tests_by_resampling": ("BootstrapTTest", "PermutationTest"),
    "claims.tests_of_means": ("PairedTTest", "ResampledTTest", "WelchTTest"),
    "claims.tests_of_ranks": ("BrunnerMunzelTest", "MannWhitneyTest", "WilcoxonTest"),
    "claims.tests_of_rates": (
        "BarnardTest",
        "BinomialTest",
        "BoschlooTest",
        "FisherExactTest",
        "McNemarTest",
    ),
    "claims.tests_of_scores": ("LogRatioTest", "QuantileTest", "WinRateTest"),
    "claims.tests_of_trimmed_means": ("YuenTest",),
    "claims.tests_of_units": ("ClusteredTTest", "CrossedTTest"),
    "claims.verifier": ("verifier",),
    "context.context": ("FrozenContext",),
    "context.record": ("RunRecord",),
    "declare.artifact": ("Artifact",),
    "declare.budget": ("Budget",),
    "declare.cases": ("Cases",),
    "declare.datasource": ("DataSource", "ExperimentInput", "data_source"),
    "declare.functions": ("inject_from_ctx",),
    "declare.pipeline_step": ("PipelineStep", "exit_step", "pipeline_step"),
    "declare.resources": ("resource_factory",),
    "declare.treatment": ("Treatment", "treatment"),
    "engines.dask_execution": ("DaskExecution",),
    "engines.executor_execution": ("ExecutorExecution",),
    "experiment.experiment": ("Experiment", "ExperimentBuilder"),
    "experiment.graph": ("ExperimentGraph",),
    "experiment.optimize.base": ("BaseOptimizer",),
    "experiment.optimize.listed": ("GridSearch", "RandomSearch"),
    "experiment.optimize.objective": ("Objective",),
    "experiment.optimize.with_optuna": ("OptunaOptimizer",),
    "experiment.optimize.with_searcher": ("SearcherOptimizer",),
    "experiment.result": ("Result",),
    "experiment.stored_results": ("StoredResult", "stored_results"),
    "run.pipeline": ("Pipeline", "pipeline"),
    "run.plugins.artifacts": ("ArtifactPlugin",),
    "run.plugins.async_execution": ("AsyncExecution",),
    "run.plugins.base": ("BasePlugin",),
    "run.plugins.execution": ("ParallelExecution", "SerialExecution"),
    "run.plugins.logging": ("LoggingPlugin",),
    "run.plugins.seed": ("SeedPlugin",),
    "storage.stored_versions": ("StoredVersion", "stored_versions"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ("errors", "stats")

__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # else type checkers would take every name for one that is there

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"crystallize.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'crystallize' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"crystallize.{_HOMES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
