"""The hooks that a plugin may define."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from crystallize.context.context import FrozenContext
from crystallize.declare.pipeline_step import PipelineStep

UNIT_HOOKS: Final = ("before_replicate", "after_replicate", "before_step", "after_step")


class BasePlugin:
    """Base of plugins: define the hooks you need, the others do nothing.

    A plugin given to an experiment replaces the default plugin of its own kind and no other. Hooks around
    replicates and steps are called in the process and thread that runs the unit; those around the run are
    called by `run` (under pytest, once in each process that ran a unit).

    They are given the `Experiment` that is run, which a plugin may read and leaves as it is, and behind the
    run its `Result`.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> class Names(BasePlugin):
    ...     def after_run(self, experiment, result):
    ...         print(experiment.name, len(result.records))
    >>> @pipeline_step()
    ... def nothing(data):
    ...     return data
    >>> result = Experiment(0, [nothing], [Names()], name="empty", replicates=2).run()
    empty 2
    """

    kind: ClassVar[type[BasePlugin] | None] = None
    """The class whose default instance a subclass replaces."""

    stays_local: ClassVar[bool] = False
    """Whether `after_replicate` needs nothing of a unit but its artifacts, and is called where the experiment
    was started also if an engine runs the unit on another machine."""

    def init_hook(self, experiment: Any) -> None:
        """Act when the experiment has been built."""

    def before_run(self, experiment: Any) -> None:
        """Act before the first unit of a run."""

    def after_run(self, experiment: Any, result: Any) -> None:
        """Act when the result of a run is there."""

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Act in each condition run, when the treatment has been applied and nothing else was done."""

    def after_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Act behind each condition run that did not fail."""

    def before_step(self, experiment: Any, step: PipelineStep, data: Any, ctx: FrozenContext) -> None:
        """Act before a step; `data` is what it will be given."""

    def after_step(self, experiment: Any, step: PipelineStep, data: Any, ctx: FrozenContext) -> None:
        """Act behind a step; `data` is what it returned, its metrics are recorded."""

    def is_local(self) -> bool:
        """Say whether the plugin stays where the experiment was started: if it was said of its own hooks."""
        said = next((c for c in type(self).__mro__ if vars(c).get("stays_local")), None)
        return said is not None and all(getattr(type(self), h) is getattr(said, h) for h in UNIT_HOOKS)

    def overrides(self, hook: str) -> bool:
        """Return whether this plugin defines the hook."""
        return getattr(type(self), hook) is not getattr(BasePlugin, hook)
