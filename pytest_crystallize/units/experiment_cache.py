"""Stored runs of one experiment in a session: which are used, which are stored, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from crystallize import ConditionRuns, RunRecord
from crystallize.seam import (
    StoredRuns,
    Subject,
    Unit,
    WatchedRuns,
    compared_with_stored,
    ignores_stored,
    is_incidental,
)
from pytest_crystallize.records.exchange import is_told, unlike
from pytest_crystallize.records.record_cache import RecordCache
from pytest_crystallize.report.judged import CacheUse
from pytest_crystallize.units.settled import SettledExperiment

MEASURED = "a hypothesis is about a measured metric, which tells of the session that measured it"
_TOLD_CHANGES = 4


@dataclass
class Recalled:
    """Stored runs of an experiment that the processes of a session agree on.

    Attributes
    ----------
    verified : list of [int, str]
        Units that are run although they are stored.
    refusal : str or None
        Why no run is stored.
    changes : list of str
        Why nothing that is stored of some conditions can be used.
    measured_on : list of str
        Dates on which stored values were measured that claims are about.
    """

    verified: list[list[Any]] = field(default_factory=list)
    refusal: str | None = None
    changes: list[str] = field(default_factory=list)
    measured_on: list[str] = field(default_factory=list)


class ExperimentCache:
    """The stored runs of one experiment, in one process.

    Parameters
    ----------
    runs : SettledExperiment
        The experiment.
    cache : RecordCache
        The session's.
    subject : callable
        Returns what its runs are made of.
    publish : callable
        Has a stored record stand for a run, in all processes.
    """

    def __init__(
        self,
        runs: SettledExperiment,
        cache: RecordCache,
        *,
        subject: Callable[[], Subject],
        publish: Callable[[Unit, RunRecord], None],
    ) -> None:
        self._runs = runs
        self._cache = cache
        self._subject = subject
        self._publish = publish
        self._stored: StoredRuns | None = None
        self._recalled: Recalled | None = None
        self._before: dict[Unit, RunRecord] = {}

    @property
    def stored(self) -> StoredRuns:
        """The stored runs; what is run is identified when they are first asked for."""
        if self._stored is None:
            cache = self._cache
            runs = WatchedRuns(
                self._runs.name,
                self._subject,
                cache.environment,
                impurities=cache.impurities,
                ignored=(cache.store.directory, *cache.ignored),
                temporary=cache.temporary,
                called=cache.called,
                loaded=[*cache.loaded, self._runs.function.module],
                options=cache.options,
            )
            self._stored = StoredRuns(runs, cache.store, session=cache.session)
        return self._stored

    def recall(self) -> Recalled:
        """Return what the processes agree on; the first one makes it, and makes the stored records known."""
        if self._recalled is None:
            text = self._runs.settings.exchange.agree(f"stored {self._runs.id}", self._recall)
            self._recalled = Recalled(**json.loads(text))
            self._verified = {Unit(*entry) for entry in self._recalled.verified}
        return self._recalled

    def _recall(self) -> str:
        runs, stored = self._runs, self.stored
        recalled = Recalled(refusal=stored.runs.refusal)
        if stored.runs.refusal is None and self._cache.mode == "reuse":
            needed = runs.needed_in_order
            shard, share = runs.settings.options.shard, self._cache.share
            own = None if shard is None else [*filter(shard.has, range(runs.replicates))]
            hits, verified = stored.recall(needed, runs.replicates, runs.hypotheses, share, own=own)
            if stored.measured_on and runs.settings.options.save is not None:
                hits, verified = {}, set()  # a reference is compared with other commits
            for unit, record in hits.items():
                if unit in verified:
                    self._before[unit] = record
                else:
                    self._publish(unit, record)
            recalled.verified = [list(unit) for unit in sorted(verified)]
            recalled.measured_on = stored.measured_on if hits else []
            if runs.settings.config.get_verbosity() > 0:
                used = set() if stored.broken else {unit.condition for unit in hits}
                lacking = [condition for condition in needed if condition not in used]
                said = [change for condition in lacking for change in stored.explain(condition)]
                asked = range(runs.replicates) if own is None else own
                absent = (i for i in asked if any(Unit(i, condition) not in hits for condition in needed))
                recalled.changes = list(dict.fromkeys([*said, *stored.edited_cases(absent)]))
        return json.dumps(vars(recalled))

    def count(self, replicates: Collection[int]) -> int:
        """Return how many runs of some replicates are stored that this session may use."""
        runs, stored = self._runs, self.stored
        if stored.runs.refusal is not None or self._cache.mode != "reuse":
            return 0
        needed = runs.needed_in_order
        recalled, _ = stored.recall(needed, runs.replicates, runs.hypotheses, 0.0, own=replicates)
        return len(recalled)

    def is_verified(self, unit: Unit) -> bool:
        """Return whether a unit is run although it is stored."""
        return bool(self.recall().verified) and unit in self._verified

    def take(self, unit: Unit, record: RunRecord) -> RunRecord:
        """Store a record, or compare it with the one that is stored; return what counts."""
        if not self.is_verified(unit):
            self.stored.add(record)
            return record
        if not self._before:  # another process has looked what is stored
            self._before = self.stored.load(self._runs.needed, self._runs.replicates, only=self._verified)
        before = self._before.get(unit)  # it may be gone meanwhile
        return record if before is None else compared_with_stored(before, record)

    @property
    def has_published(self) -> bool:
        """Whether this process has stored runs."""
        return self._stored is not None and self._stored.published > 0

    def withdraw(self) -> None:
        """Have no later session use what this process has stored."""
        if self._stored is not None:
            self._stored.withdraw()

    def flush(self) -> None:
        """Store what is to be stored."""
        if self._stored is not None:
            if (found := unlike(self._runs.settings.exchange, self._runs.id)) is not None:
                self._stored.release(found)  # another process may have found it
            self._stored.flush()
            changed, unproven = self._stored.changed, self._stored.unproven
            told = is_told(self._runs.settings.exchange, self._runs.id)
            if not told and (changed is not None or unproven is not None):
                why = f"since they change what they use: {changed}" if changed else f"since {unproven}"
                told_once = self._runs.settings.exchange.said_first(f"changed {self._runs.id}", why)
                self._runs.settings.note(f"{self._runs.name}: its runs are not stored, {told_once}")
            self._tell_of_refusal()

    def _tell_of_refusal(self) -> None:
        """Say why runs of this process are not stored, where the one that looked up found no reason."""
        recalled, runs = self._recalled, self._runs
        refusal = None if self._stored is None else self._stored.runs.refusal
        if refusal is None or recalled is None or recalled.refusal is not None:
            return
        why = f"those of {runs.settings.exchange.worker} are not stored, since {refusal}"
        runs.settings.note(f"{runs.name}: {runs.settings.exchange.said_first(f'refusal {runs.id}', why)}")

    def told(self, arms: Mapping[str, ConditionRuns]) -> CacheUse:
        """Return what reports say of the runs that were used."""
        used = [record for arm in arms.values() for record, _ in arm.records.kinds()]
        impure = min(
            (
                (is_incidental(r.impure), r.replicate, r.condition, r.impure)
                for r in used
                if r.impure is not None and not r.error
            ),
            default=None,
        )
        recalled = self.recall()
        measured = None
        if self._runs.caching.cache_key is None:
            names = frozenset[str]().union(*(runs.measured for runs in arms.values()))
            measured = MEASURED if ignores_stored(self._runs.hypotheses, names) else None
        verified = (
            unit
            for unit in sorted(self._verified)
            if unit.condition in arms
            and (record := arms[unit.condition].records.get(unit.replicate)) is not None
            and record.cached
        )
        is_complete = bool(used) and all(record.cached for record in used)
        return CacheUse(
            is_complete=is_complete,
            verified=tuple((*unit,) for unit in verified),
            why_run=recalled.refusal or measured or (impure and impure[-1]),
            changes="" if is_complete else told_changes(recalled.changes),
            measured_on=tuple(recalled.measured_on),
        )


def told_changes(changes: list[str]) -> str:
    """Return changes as text: a few of them, and how many more there are."""
    more = len(changes) - _TOLD_CHANGES
    return ", ".join(changes[:_TOLD_CHANGES]) + (f", and {more} more" if more > 0 else "")
