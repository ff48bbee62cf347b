"""How the runs of each condition begin: with what treatment, and what they fetch from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from crystallize.context.context import context_of
from crystallize.context.journal import Journal
from crystallize.context.seeding import TREATMENT
from crystallize.context.trace import Scope
from crystallize.declare.datasource import DataSource
from crystallize.declare.treatment import BASELINE, Treatment


class Beginning(NamedTuple):
    """Beginning of the runs of a condition.

    Attributes
    ----------
    source : DataSource
        What they fetch from.
    treatment : Treatment or None
        What is applied; None for the baseline.
    values : mapping or None
        Frozen values of the context behind that, if these are the same objects in every run.
    scope : Scope or None
        Trace of a treatment that leaves these values.
    """

    source: DataSource
    treatment: Treatment | None
    values: Mapping[str, Any] | None
    scope: Scope | None


def beginnings(
    source: DataSource, treatments: Iterable[Treatment], initial: Mapping[str, Any], *, is_same: bool
) -> dict[str, Beginning]:
    """Return the beginning of each condition, by name.

    Parameters
    ----------
    source : DataSource
        What is fetched from under treatments that have no source of their own.
    treatments : iterable of Treatment
        The conditions beside the baseline.
    initial : mapping
        Frozen keys of the initial context.
    is_same : bool
        Whether each run begins with these keys and no others.
    """
    found = {BASELINE: Beginning(source, None, initial if is_same else None, None)}
    for treatment in treatments:
        fetched = source if treatment.source is None else treatment.source
        found[treatment.name] = Beginning(fetched, treatment, None, None)
        only_adds = type(treatment) is Treatment and treatment.function is None
        if is_same and only_adds and initial.keys().isdisjoint(treatment.payload or ()):
            journal = Journal(initial, 0, treatment.name, 0)
            journal.enter(treatment.name, TREATMENT)
            treatment.apply(context_of(journal))
            found[treatment.name] = Beginning(fetched, treatment, journal.values, journal.scope)
    return found
