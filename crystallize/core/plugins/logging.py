"""Logging as a plugin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from crystallize.core.context import LOGGER, FrozenContext
from crystallize.core.pipeline_step import PipelineStep
from crystallize.core.plugins.base import BasePlugin

if TYPE_CHECKING:
    from crystallize.core.experiment import Experiment
    from crystallize.core.result import Result

_FAILURES_SHOWN = 5


class LoggingPlugin(BasePlugin):
    """Writes the course of a run to the logger ``crystallize``: its verdicts, and as warnings its failures.

    Parameters
    ----------
    verbose : bool
        Log every step too, and print to stderr if no handler is configured.
    log_level : str or int
        Level from which records are logged.
    """

    def __init__(self, verbose: bool = False, log_level: str | int = "INFO") -> None:
        self.verbose = verbose
        self.log_level = log_level

    def before_run(self, experiment: Experiment) -> None:
        """Say what is about to be run."""
        if self.verbose and not LOGGER.hasHandlers():
            LOGGER.addHandler(logging.StreamHandler())
        LOGGER.setLevel(logging.DEBUG if self.verbose else self.log_level)
        LOGGER.info(
            "%s: %d replicates of %d conditions",
            experiment.name,
            experiment.replicates,
            1 + len(experiment.treatments),
        )

    def after_step(self, experiment: Experiment, step: PipelineStep, data: Any, ctx: FrozenContext) -> None:
        """Name the step."""
        if self.verbose:
            LOGGER.debug(
                "%s: replicate %d of %s: %s", experiment.name, ctx.replicate, ctx.condition, step.name
            )

    def after_run(self, experiment: Experiment, result: Result) -> None:
        """Tell failures and verdicts."""
        for failure in result.errors[:_FAILURES_SHOWN]:
            LOGGER.warning("%s: %s", experiment.name, failure)
        if len(result.errors) > _FAILURES_SHOWN:
            LOGGER.warning("%s: %d more failures", experiment.name, len(result.errors) - _FAILURES_SHOWN)
        for hypothesis in result.hypotheses:
            for treatment, verdict in hypothesis.verdicts.items():
                LOGGER.info("%s: %s [%s]: %s", experiment.name, hypothesis.name, treatment, verdict.status)


LoggingPlugin.kind = LoggingPlugin
