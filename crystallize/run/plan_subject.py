"""What the units of a plan are made of: the ingredients that identify them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from crystallize.declare.artifact import Artifact
from crystallize.declare.datasource import DataSource, ExperimentInput
from crystallize.declare.dependencies import Caching
from crystallize.declare.functions import Given
from crystallize.declare.treatment import BASELINE
from crystallize.errors import FingerprintError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins import ArtifactPlugin, BasePlugin, Execution, LoggingPlugin, SeedPlugin
from crystallize.run.plugins.base import UNIT_HOOKS
from crystallize.run.run_key import Subject

_KNOWN: Final = (BasePlugin, SeedPlugin, ArtifactPlugin, LoggingPlugin, Execution)


def subject_of(
    plan: RunPlan,
    plugins: Iterable[BasePlugin],
    caching: Caching,
    *,
    root: Path,
    roots: tuple[Path, ...] = (),
) -> Subject:
    """Return what the units of a plan are made of.

    Parameters
    ----------
    plan : RunPlan
        How to run any unit.
    plugins : iterable of BasePlugin
        Those that the user gave.
    caching : Caching
        What is declared.
    root : path
        What `inputs` are relative to.
    roots : tuple of path
        Directories whose code counts even where packages are installed.

    Raises
    ------
    FingerprintError
        If a plugin has hooks around replicates or steps and there is no `cache_key`.
    """
    source = plan.datasource
    components: dict[str, Any] = {f"data source {source.name}": _without_ids(source)}
    components |= {f"step {i} ({step.name})": step for i, step in enumerate(plan.pipeline, start=1)}
    components |= {"seeding": plan.seed_globals, "initial context": dict(plan.initial)}
    components |= {f"output {name}": (name, writer) for name, writer in plan.outputs.items()}
    for number, plugin in enumerate(plugins):
        if caching.cache_key is None and (hook := _own_hook(plugin)) is not None:
            raise FingerprintError(
                f"{type(plugin).__name__}.{hook} is a hook around runs, which a stored run would not call"
            )
        if type(plugin).__module__.partition(".")[0] != "crystallize":
            components[f"plugin {number} ({type(plugin).__name__})"] = plugin
    names = (_named(source), *map(_named, plan.pipeline))
    treatments = {BASELINE: None, **{treatment.name: treatment for treatment in plan.treatments}}
    return Subject(names, components, treatments, plan.stream, caching, root, roots)


def _without_ids(source: DataSource) -> Any:
    """Return what a data source gives, without the ids that tell artifacts of one name apart."""
    if type(source) is Artifact:
        return ("artifact", source.name, source.loader, source.writer, source.from_path)
    if type(source) is ExperimentInput:
        return {name: _without_ids(part) for name, part in zip(source.params, source.parts, strict=True)}
    return source


def _own_hook(plugin: BasePlugin) -> str | None:
    for hook in UNIT_HOOKS:
        if all(getattr(type(plugin), hook) is not getattr(known, hook) for known in _KNOWN):
            return hook
    return None


def _named(part: Any) -> str:
    declared = part.factory if isinstance(part, Given) else type(part)
    return f"{declared.__module__}.{part.name}"
