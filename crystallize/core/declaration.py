"""What an experiment may be declared as: its parts, checked together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crystallize.core.freezing import summarize
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.plugins.base import BasePlugin
from crystallize.core.treatment import Treatment
from crystallize.errors import DefinitionError


def checked_treatments(
    treatments: Iterable[Treatment], initial_ctx: Mapping[str, Any], where: str
) -> tuple[Treatment, ...]:
    """Return treatments that can be run together, or raise `DefinitionError`."""
    checked = tuple(treatments)
    names: set[str] = set()
    for treatment in checked:
        if not isinstance(treatment, Treatment):
            raise DefinitionError(f"{where}: {treatment!r} is not a treatment; give Treatment(name, change)")
        if treatment.name in names:
            raise DefinitionError(f"{where}: two treatments are named {treatment.name!r}")
        names.add(treatment.name)
        for key in treatment.payload or ():
            if key in initial_ctx:
                raise DefinitionError(
                    f"{where}: treatment {treatment.name!r} sets key {key!r}, which initial_ctx holds "
                    f"already as {summarize(initial_ctx[key])!r}; keys are never replaced: leave it out of "
                    "initial_ctx and make it a default of the step"
                )
    return checked


def checked_hypotheses(hypotheses: Iterable[Hypothesis], where: str) -> tuple[Hypothesis, ...]:
    """Return hypotheses that can be told apart, or raise `DefinitionError`."""
    checked = tuple(hypotheses)
    names: set[str] = set()
    for hypothesis in checked:
        if not isinstance(hypothesis, Hypothesis):
            raise DefinitionError(f"{where}: {hypothesis!r} is not a hypothesis; give Hypothesis(...)")
        if hypothesis.name in names:
            raise DefinitionError(f"{where}: two hypotheses are named {hypothesis.name!r}; give each a name=")
        names.add(hypothesis.name)
    return checked


def check_replicates(replicates: Any, where: str) -> int:
    """Return a number of replicates, or raise `DefinitionError`."""
    if type(replicates) is not int or replicates < 1:
        raise DefinitionError(
            f"{where} has replicates={replicates!r}; a number of replicates is an integer >= 1"
        )
    return replicates


def check_decidable(treatments: Sequence[Treatment], hypotheses: Sequence[Hypothesis], where: str) -> None:
    """Raise `DefinitionError` if there are hypotheses and no treatment that they could be about."""
    of_treatments = [hypothesis for hypothesis in hypotheses if hypothesis.against is None]
    if of_treatments and not treatments:
        names = ", ".join(repr(hypothesis.name) for hypothesis in of_treatments)
        raise DefinitionError(
            f"{where} claims {names} but has no treatment to claim it of; give treatments=[...]"
        )


def with_defaults(plugins: Iterable[BasePlugin], defaults: Iterable[type[BasePlugin]]) -> list[BasePlugin]:
    """Return the plugins, with the default of each kind that is missing; of a kind the last one counts."""
    given = list(plugins)
    for plugin in given:
        if not isinstance(plugin, BasePlugin):
            hint = "; call it" if isinstance(plugin, type) else ""
            raise DefinitionError(f"{plugin!r} is not a plugin{hint}")
    kinds = {plugin.kind: index for index, plugin in enumerate(given) if plugin.kind is not None}
    kept = [p for index, p in enumerate(given) if p.kind is None or kinds[p.kind] == index]
    return [default() for default in defaults if default.kind not in kinds] + kept
