"""Keys that a treatment sets and nothing reads: what is claimed of it was not measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.context.seeding import TREATMENT
from crystallize.context.trace import Scope
from crystallize.declare.treatment import Treatment
from crystallize.text.warned import warn


@dataclass(frozen=True)
class TreatmentKeys:
    """Keys of an experiment's treatments that may stay unread.

    Parameters
    ----------
    optional : mapping of str to set of str
        By treatment, the keys that are declared so.
    shared : set of str
        Treatments that other experiments of a graph have, too: it is enough if one of their keys is read.
    """

    optional: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    @classmethod
    def of(cls, treatments: Iterable[Treatment], shared: Iterable[str] = ()) -> TreatmentKeys:
        """Return what treatments declare."""
        return cls({treatment.name: treatment.optional for treatment in treatments}, frozenset(shared))

    def unread(self, runs: ConditionRuns) -> list[str]:
        """Return the keys that the treatment of a condition set, that should be read, and that no run read.

        Without a successful run there is nothing to tell, and the list is empty.
        """
        if len(runs.lacking) == len(runs.records):
            return []
        scopes = runs.scopes
        written: dict[str, None] = {}
        for scope in scopes:
            if scope.index == TREATMENT:
                written.update(dict.fromkeys(scope.writes))
        read = {key for scope in scopes if scope.index != TREATMENT for key in scope.reads}
        optional = self.optional.get(runs.condition, frozenset())
        return [key for key in written if key not in read and key not in optional]

    def fault(self, runs: ConditionRuns) -> str | None:
        """Say why a condition is not what its treatment declares; None if it is, or a run is missing."""
        if not runs.records.is_complete or not (unread := self.unread(runs)):
            return None
        read = keys_read(runs.scopes)
        if runs.condition in self.shared and any(
            key in read for scope in runs.scopes if scope.index == TREATMENT for key in scope.writes
        ):
            return None
        known = ", ".join(map(repr, looked_up(runs))) or "none"
        which, pronoun = ", ".join(map(repr, unread)), "it" if len(unread) == 1 else "them"
        return (
            f"treatment {runs.condition!r} sets {which}, which no run read; known are: {known}. If nothing "
            f"need read {pronoun}: Treatment({runs.condition!r}, ..., optional={{{which}}})"
        )


def without_reading(runs: ConditionRuns, key: str) -> str | None:
    """Say that no run read a key; None if one did, or a run is missing."""
    if not runs.records.is_complete or len(runs.lacking) == len(runs.records):
        return None
    if key in keys_read(runs.scopes):
        return None
    return f"no run read {key!r} in {runs.condition!r}, so that what was measured says nothing of it"


def unread_text(treatment: str, key: str, of: str = "") -> str:
    """Say that nothing read a key of a treatment, and what that is a treatment of."""
    return f"treatment {treatment!r}{of and f' of {of}'} sets {key!r}, which nothing read"


def warn_of_unread(treatment: str, key: str, of: str, ways: Iterable[ConditionRuns]) -> None:
    """Warn that nothing read a key of a treatment in any of the ways in which it was run."""
    known = ", ".join(map(repr, sorted({key for runs in ways for key in looked_up(runs)}))) or "none"
    warn(
        f"{unread_text(treatment, key, of)} (known are: {known}); name it like the step's parameter, or read "
        f"it with ctx.get({key!r})"
    )


def looked_up(runs: ConditionRuns) -> list[str]:
    """Return the keys that runs looked up, found or not, in order."""
    scopes = [scope for scope in runs.scopes if scope.index != TREATMENT]
    return sorted({key for scope in scopes for key in (*scope.reads, *scope.absent)})


def keys_read(scopes: Iterable[Scope]) -> frozenset[str]:
    """Return the keys that something else than a treatment read."""
    return frozenset(key for scope in scopes if scope.index != TREATMENT for key in scope.reads)
