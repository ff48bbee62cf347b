"""What an experiment may be declared as: its parts, checked together."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from crystallize.claims.comparator import pairs_of
from crystallize.claims.hypothesis import Hypothesis
from crystallize.context.freezing import summarize
from crystallize.declare.numbers import plain_number
from crystallize.declare.treatment import Treatment, treatments_of_file
from crystallize.errors import DefinitionError
from crystallize.run.plugins.base import BasePlugin


def entries_of(declared: Any, keyword: str, allowed: str) -> tuple[Any, ...]:
    """Return what an iterable holds, read once, or raise `DefinitionError` if it is none."""
    if isinstance(declared, str | bytes) or not isinstance(declared, Iterable):
        raise DefinitionError(f"{keyword}={quoted(declared)}; give {allowed}")
    if isinstance(declared, set | frozenset) and len(declared) > 1:
        raise DefinitionError(
            f"{keyword}={quoted(declared)} has another order in every process, in which tests would differ; "
            f"give {allowed}"
        )
    return read_once(declared, keyword)


def read_once(declared: Iterable[Any], keyword: str) -> tuple[Any, ...]:
    """Return what an iterable holds; raise `DefinitionError` for an iterator with nothing left to give."""
    entries = tuple(declared)
    if not entries and isinstance(declared, Iterator):
        raise DefinitionError(
            f"{keyword}= is an iterator ({type(declared).__name__}) that holds nothing, or nothing more: it "
            "gives what it holds only once; give a list"
        )
    return entries


def as_treatments(declared: Any, *, beside: Path | None = None) -> tuple[Treatment, ...]:
    """Return treatments, which may be one, an iterable, a mapping of names to changes, or a file of these.

    Parameters
    ----------
    declared : treatments
        As an experiment takes them.
    beside : Path, optional
        Where a relative path is looked up; by default, in the directory of the code that calls the library.

    Raises
    ------
    DefinitionError
        If something else is given, two have one name, or the file is none of treatments.
    """
    if isinstance(declared, str | PathLike):
        return treatments_of_file(declared, beside)
    if isinstance(declared, Treatment):
        declared = (declared,)
    if isinstance(declared, Mapping):
        return tuple(_of_mapping(name, change) for name, change in declared.items())
    allowed = "a list of treatments, a mapping of names to changes, or the path of a file"
    treatments = entries_of(declared, "treatments", allowed)
    names: set[str] = set()
    for treatment in treatments:
        if not isinstance(treatment, Treatment):
            change = quoted(treatment) if isinstance(treatment, Mapping) else "{'delta': 1.0}"
            raise DefinitionError(
                f"treatments= holds {quoted(treatment)}, which is not a Treatment; give Treatment('name', "
                f"{change}), or a mapping of names to changes, as in treatments={{'name': {change}}}"
            )
        if treatment.name in names:
            raise DefinitionError(f"two treatments are named {treatment.name!r}")
        names.add(treatment.name)
    return treatments


def _of_mapping(name: str, change: Any) -> Treatment:
    if not isinstance(change, Treatment):
        return Treatment(name, change)
    if change.name != name:
        raise DefinitionError(
            f"treatments= holds treatment {change.name!r} under the name {name!r}; give its change, or a "
            "list of treatments"
        )
    return change


def checked_treatments(declared: Any, initial_ctx: Mapping[str, Any], where: str) -> tuple[Treatment, ...]:
    """Return treatments that can be run together, or raise `DefinitionError`; see `as_treatments`."""
    try:
        treatments = as_treatments(declared)
    except DefinitionError as error:
        raise DefinitionError(f"{where}: {error}") from None
    for treatment in treatments:
        for key in treatment.payload or ():
            if key in initial_ctx:
                raise DefinitionError(
                    f"{where}: treatment {treatment.name!r} sets key {key!r}, which initial_ctx holds "
                    f"already as {summarize(initial_ctx[key])!r}; keys are never replaced: leave it out of "
                    "initial_ctx and make it a default of the step"
                )
    return treatments


def checked_hypotheses(declared: Any, where: str) -> tuple[Hypothesis, ...]:
    """Return hypotheses (or the only one) that can be told apart, or raise `DefinitionError`."""
    one = isinstance(declared, Hypothesis)
    try:
        hypotheses = (declared,) if one else entries_of(declared, "hypotheses", "a list of hypotheses")
    except DefinitionError as error:
        raise DefinitionError(f"{where}: {error}") from None
    names: set[str] = set()
    for hypothesis in hypotheses:
        if not isinstance(hypothesis, Hypothesis):
            raise DefinitionError(f"{where}: {quoted(hypothesis)} is not a hypothesis; give Hypothesis(...)")
        if hypothesis.name in names:
            raise DefinitionError(f"{where}: two hypotheses are named {hypothesis.name!r}; give each a name=")
        names.add(hypothesis.name)
    return hypotheses


class _Shown(reprlib.Repr):
    """Short texts of whatever was given, also of what has no text of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 80


def quoted(value: Any) -> str:
    """Return a short text of a value that is wrong, in one line."""
    return " ".join(_Shown().repr(value).split())


def check_replicates(replicates: Any, where: str) -> int:
    """Return a number of replicates, or raise `DefinitionError`."""
    replicates = plain_number(replicates)
    if type(replicates) is not int or replicates < 1:
        raise DefinitionError(
            f"{where} has replicates={replicates!r}; a number of replicates is an integer >= 1"
        )
    return replicates


def check_replicate(replicate: Any) -> int:
    """Return the number of one replicate, or raise `DefinitionError`."""
    number = plain_number(replicate)
    if type(number) is not int or number < 0:
        raise DefinitionError(f"replicate is {replicate!r}; replicates are numbered from 0")
    return number


def check_decidable(conditions: Sequence[str], hypotheses: Sequence[Hypothesis], where: str) -> None:
    """Raise `DefinitionError` if hypotheses are about conditions that are not there.

    Parameters
    ----------
    conditions : sequence of str
        All of the experiment, the baseline first.
    hypotheses, where
        Which, and whose.
    """
    known = ", ".join(map(repr, conditions))
    for hypothesis in hypotheses:
        against = (hypothesis.against,) if isinstance(hypothesis.against, str) else ()
        for name in (*(hypothesis.treatments or ()), *against):
            if name not in conditions:
                raise DefinitionError(
                    f"{where}: hypothesis {hypothesis.name!r} is about {name!r}, and there is no such "
                    f"condition; there are {known}"
                )
    of_treatments = [h for h in hypotheses if not h.is_by_itself]
    if of_treatments and len(conditions) < 2:
        names = ", ".join(repr(hypothesis.name) for hypothesis in of_treatments)
        raise DefinitionError(
            f"{where} claims {names} but has no treatment to claim it of; give treatments=[...]"
        )
    pairs = {name for h in hypotheses if h.pairwise for name in pairs_of(h.treatments or conditions)}
    if pairs.intersection(conditions):
        raise DefinitionError(
            f"{where}: {min(pairs.intersection(conditions))!r} names a condition and a pair"
        )
    for hypothesis in hypotheses:
        others = [name for name in conditions[1:] if name != hypothesis.against]
        if isinstance(hypothesis.against, str) and not (hypothesis.treatments or others):
            raise DefinitionError(
                f"{where}: hypothesis {hypothesis.name!r} compares treatments with {hypothesis.against!r}, "
                "and there is no other treatment"
            )


def checked_plugins(declared: Any, where: str) -> tuple[Any, ...]:
    """Return what a list of plugins holds, or raise `DefinitionError` if it is none."""
    try:
        return entries_of(declared, "plugins", "a list, as in [SeedPlugin(seed=1)]")
    except DefinitionError as error:
        raise DefinitionError(f"{where}: {error}") from None


def checked_context(declared: Any, where: str) -> Mapping[str, Any]:
    """Return the keys that a context begins with, or raise `DefinitionError` if they are no mapping."""
    if not isinstance(declared, Mapping):
        raise DefinitionError(
            f"{where}: initial_ctx={quoted(declared)}; give a mapping of keys to values, as in {{'size': 8}}"
        )
    return declared


def with_defaults(plugins: Iterable[BasePlugin], defaults: Iterable[type[BasePlugin]]) -> list[BasePlugin]:
    """Return the plugins, with the default of each kind that is missing; of a kind the last one counts."""
    given = list(plugins)
    for plugin in given:
        if not isinstance(plugin, BasePlugin):
            hint = "call it" if isinstance(plugin, type) else "give instances such as SeedPlugin(seed=1)"
            if isinstance(plugin, Treatment):
                hint += "; treatments are given as treatments="
            raise DefinitionError(f"plugins= holds {plugin!r}, which is not a plugin; {hint}")
    kinds = {plugin.kind: index for index, plugin in enumerate(given) if plugin.kind is not None}
    kept = [p for index, p in enumerate(given) if p.kind is None or kinds[p.kind] == index]
    return [default() for default in defaults if default.kind not in kinds] + kept
