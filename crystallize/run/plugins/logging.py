"""Logging as a plugin."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from crystallize.context.context import LOGGER, FrozenContext, journal_of
from crystallize.declare.pipeline_step import PipelineStep
from crystallize.errors import DefinitionError
from crystallize.run.plugins.base import BasePlugin
from crystallize.text.escaping import printable_lines
from crystallize.text.formatting import counted

_FAILURES_SHOWN = 5


class LoggingPlugin(BasePlugin):
    """Plugin that logs the course of a run to ``crystallize``: its verdicts, and as warnings its failures.

    It changes neither the level nor the handlers of any logger. A program that has configured logging decides
    what becomes of the messages; in one that has not, they go to stderr.

    Parameters
    ----------
    verbose : bool
        Log every step too, whatever the logger's level.
    log_level : str or int
        Level from which it logs, unless `verbose`; ``"WARNING"`` leaves the failures, ``"CRITICAL"`` nothing.

    Raises
    ------
    DefinitionError
        If there is no such level.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def nothing(data):
    ...     return data
    >>> Experiment(0, [nothing], [LoggingPlugin(log_level="CRITICAL")]).run().errors
    ()
    """

    def __init__(self, verbose: bool = False, log_level: str | int = "INFO") -> None:
        level = logging.getLevelNamesMapping().get(log_level) if isinstance(log_level, str) else log_level
        if level is None:
            known = ", ".join(map(repr, logging.getLevelNamesMapping()))
            raise DefinitionError(f"log_level is {log_level!r}; allowed are {known}, and numbers")
        self.verbose = verbose
        self.log_level = level

    def overrides(self, hook: str) -> bool:
        """Return whether there is anything to do; steps are logged if `verbose` only."""
        return super().overrides(hook) and (self.verbose or hook != "after_step")

    def before_run(self, experiment: Any) -> None:
        """Say what is about to be run; of the many runs of a search, only to who asks for details."""
        self._log(
            logging.INFO if experiment.hypotheses else logging.DEBUG,
            "%s: %s of %s",
            experiment.name,
            counted(experiment.replicates, "replicate"),
            counted(1 + len(experiment.treatments), "condition"),
        )

    def after_step(self, experiment: Any, step: PipelineStep, data: Any, ctx: FrozenContext) -> None:
        """Name the step."""
        self._log(
            logging.DEBUG,
            "%s: replicate %d of %s: %s%s",
            experiment.name,
            ctx.replicate,
            ctx.condition,
            step.name,
            " (from the cache)" if step.name in journal_of(ctx).cached_steps else "",
        )

    def after_run(self, experiment: Any, result: Any) -> None:
        """Tell what came from the cache, failures and verdicts."""
        hits = Counter[str]()
        for record, times in result.records.kinds() if experiment.pipeline.is_cacheable else ():
            if record.cached_steps:
                hits.update(dict.fromkeys(record.cached_steps, times))
        for step, times in hits.items():
            message = "%s: step %s from the cache in %d of %d runs"
            self._log(logging.INFO, message, experiment.name, step, times, len(result.records))
        for failure in result.errors[:_FAILURES_SHOWN]:
            self._log(logging.WARNING, "%s: %s", experiment.name, failure)
        if len(result.errors) > _FAILURES_SHOWN:
            more = len(result.errors) - _FAILURES_SHOWN
            self._log(logging.WARNING, "%s: %s", experiment.name, counted(more, "more failure"))
        for hypothesis in result.hypotheses:
            for treatment, verdict in hypothesis.verdicts.items():
                self._log(
                    logging.INFO,
                    "%s: %s [%s]: %s",
                    experiment.name,
                    hypothesis.name,
                    treatment,
                    verdict.status,
                )

    def _log(self, level: int, message: str, *given: object) -> None:
        if level < self.log_level and not self.verbose:
            return
        args = tuple(arg if isinstance(arg, int) else printable_lines(str(arg)) for arg in given)
        record = LOGGER.makeRecord(LOGGER.name, level, __file__, 0, message, args, None)
        if not LOGGER.hasHandlers():
            if self.verbose or level >= max(LOGGER.level, LOGGER.manager.disable + 1):
                logging.StreamHandler().handle(record)
        elif self.verbose or LOGGER.isEnabledFor(level):
            LOGGER.handle(record)


LoggingPlugin.kind = LoggingPlugin
