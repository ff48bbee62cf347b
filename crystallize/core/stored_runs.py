"""Records of condition runs that are kept from one session to the next: those that are sure to repeat."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from crystallize.cache.environment import Environment, environment
from crystallize.cache.place import cache_directory, open_store
from crystallize.cache.purity import Watcher
from crystallize.cache.store import Encoded, Store
from crystallize.core.caching import Caching
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.plugins import BasePlugin
from crystallize.core.plugins.execution import ended
from crystallize.core.record import RunError, RunRecord
from crystallize.core.run import RECORDED, Outcomes, RunPlan, Unit
from crystallize.core.run_identity import RunIdentity, Subject, explain, subject_of
from crystallize.core.seeding import global_draws_detector, seed_globals
from crystallize.errors import CrystallizeWarning, FingerprintError

PUBLISHED_EVERY: Final = 0.1  # seconds
_CHECKS: Final = 20  # times as long as the last check is waited until the next
_KIND: Final = "json"
_WITHDRAWN: Final = "withdrawn"
ARTIFACTS: Final = "wrote artifacts, which are not stored with its record"

ELSEWHERE: Final = "was run where the environment is another"

VERIFIED: Final = 0.05
"""Part of the time saved that is spent on running again, unless somebody says otherwise."""

_chance = random.SystemRandom()  # no seed of an experiment's, nor one that it could move

Judge = Callable[[RunRecord], RunRecord]


class Impurities:
    """Which code may keep in memory what no key has seen, since an impure run of this process used it.

    What is kept (by `functools.lru_cache`, in a variable of a module) may have come from any run, so another
    experiment that shares code with an impure one is impure as well.
    """

    def __init__(self) -> None:
        self._fed: dict[str, str] = {}
        self._all: str | None = None

    def add(self, labels: frozenset[str] | None, reason: str) -> None:
        """Note that code was used by an impure run; None is code that is not known."""
        if labels is None:
            self._all = self._all or reason
        else:
            self._fed.update((label, reason) for label in labels if label not in self._fed)

    def reason(self, labels: frozenset[str]) -> str | None:
        """Say why code can't be trusted, or None."""
        if self._all is not None:
            return f"may share code with {self._all}"
        if self._fed:
            for label in sorted(labels):
                if label in self._fed:
                    return f"shares {label} with {self._fed[label]}"
        return None


class StoredRuns:
    """The stored records of one experiment, and the ones that are to be stored.

    Parameters
    ----------
    name : str
        What the experiment is called.
    subject : Subject or FingerprintError
        What its runs are made of, or why that is not known.
    store : Store
        Where records are kept.
    environment : Environment
        Of this process.
    impurities : Impurities
        Of this process, or of its session.
    ignored : iterable of path
        Files and directories of Crystallize, which say nothing of a run.
    temporary : iterable of path
        Directories for temporary files beside the system's.
    """

    def __init__(
        self,
        name: str,
        subject: Subject | FingerprintError,
        store: Store,
        environment: Environment,
        *,
        impurities: Impurities,
        ignored: Iterable[Path] = (),
        temporary: Iterable[Path] = (),
    ) -> None:
        self.name = name
        self.refusal: str | None = None
        """Why records are neither read nor written."""
        self.changed: str | None = None
        """What changed meanwhile, so that records are written no more."""
        self.published = 0
        self._subject = subject
        self._store = store
        self._environment = environment
        self._impurities = impurities
        self._temporary = tuple(temporary)
        self._ignored = (store.directory, *ignored)
        self._identity: RunIdentity | None = None
        if isinstance(subject, FingerprintError):
            self.refusal = str(subject)
            self.exempt = False
        else:
            self.exempt = subject.caching.cache_key is not None
            try:
                self._identity = subject.identify(environment)
            except FingerprintError as error:
                self.refusal = str(error)
        self._watcher = self._make_watcher()
        self._tainted: str | None = None
        self._told: str | None = None
        self._home = os.getpid()
        self._hits: dict[Unit, RunRecord] = {}
        self._verified: set[Unit] = set()
        self._lock = threading.Lock()
        self._buffer: dict[Unit, RunRecord] = {}
        self._taken: set[Unit] = set()
        self._published: list[Unit] = []
        self._due = 0.0

    def _make_watcher(self) -> Watcher:
        identity, subject = self._identity, self._subject
        known = subject if isinstance(subject, Subject) else None
        return Watcher(
            () if known is None else known.input_paths(),
            code=() if identity is None else identity.sources(),
            ignored=self._ignored,
            project=() if known is None else [known.root],
            temporary=self._temporary,
        )

    # What is there.

    def load(self, conditions: Iterable[str], replicates: int) -> dict[Unit, RunRecord]:
        """Return the stored records of these conditions, up to a number of replicates."""
        found: dict[Unit, RunRecord] = {}
        identity = self._identity
        if identity is None:
            return found
        for condition in conditions:
            bodies = self._store.load(identity.slot(condition), identity.parts[condition])
            for replicate in range(replicates) if bodies else ():
                unit = Unit(replicate, condition)
                record = _decoded(bodies.get(identity.key(unit)), unit)
                if record is not None:
                    found[unit] = dataclasses.replace(record, cached=True)
        return found

    def recall(
        self, conditions: Iterable[str], replicates: int, hypotheses: Iterable[Hypothesis], share: float
    ) -> tuple[dict[Unit, RunRecord], set[Unit]]:
        """Return the stored records that may be used, and the units among them that are to be run again.

        Parameters
        ----------
        conditions, replicates
            Which records are wanted.
        hypotheses : iterable of Hypothesis
            If one is about a measured metric, no stored record is used.
        share : float
            Part of the time saved that running again may take; it is the cheapest run at least, or none if
            this is 0.
        """
        hits = self.load(conditions, replicates)
        if ignores_stored(hypotheses, hits.values()):
            return {}, set()
        return hits, set() if self.exempt else _to_verify(hits, share)

    def explain(self, condition: str) -> list[str]:
        """Say what has changed since records of a condition were stored or used; nothing if none were."""
        identity = self._identity
        old = None if identity is None else self._store.explain(identity.slot(condition))
        return [] if identity is None or old is None else explain(old, identity.parts[condition])

    # What is run.

    @contextmanager
    def watching(self, *, seeded: bool) -> Iterator[Judge]:
        """Watch one run; yields what its record is to be passed through when it has ended.

        Parameters
        ----------
        seeded : bool
            Whether the run has the global generators for itself, and seeds them.
        """
        moved = None if seeded else global_draws_detector()
        drew = False

        def judge(record: RunRecord) -> RunRecord:
            reason = self.impurity(drew=drew)
            if reason is None and record.artifacts:
                reason = ARTIFACTS
            return record if reason is None else dataclasses.replace(record, impure=reason)

        with self._watcher.watch():
            yield judge
            drew = moved is not None and moved()

    def impurity(self, *, drew: bool = False) -> str | None:
        """Say why no run that ends now can be stored, or None."""
        reason = self._tainted or next(iter(self._watcher.reasons), None)
        labels = None if self._identity is None else self._identity.labels
        if reason is not None and self._told is None:
            self._told = reason
            self._impurities.add(labels, f"{self.name}, which {reason}")
        if self.exempt:
            return None
        if reason is None and labels is not None and (shared := self._impurities.reason(labels)):
            return shared
        if reason is None and drew:
            return "drew from the global generators (random, numpy.random), which no seed of its own had set"
        return reason

    @contextmanager
    def watching_set_up(self) -> Iterator[None]:
        """Watch what is set up once, for several runs."""
        with self._watcher.watch():
            yield
        self.impurity()

    def taint(self, reason: str) -> None:
        """Have no later run be stored."""
        self._tainted = self._tainted or reason

    # What is stored.

    def add(self, record: RunRecord) -> None:
        """Store the record of a run that ended now, before long; of one that can't be stored, do nothing."""
        unit = Unit(record.replicate, record.condition)
        with self._lock:
            if self._identity is None or self.changed or not storable(record) or unit in self._taken:
                return
            self._taken.add(unit)
            self._buffer[unit] = record
            now = time.perf_counter()
            if self._due == 0.0:
                self._due = now + PUBLISHED_EVERY
            if now >= self._due:
                self._publish()

    def flush(self) -> None:
        """Store at once what is to be stored."""
        with self._lock:
            self._publish()

    def withdraw(self) -> None:
        """Have nobody use the records that were added here: what they were run with has gone wrong since."""
        with self._lock:
            self._buffer = {}
            withdrawn, self._published = self._published, []
            identity = self._identity
            if identity is None:
                return
            for condition in dict.fromkeys(unit.condition for unit in withdrawn):
                keys = [identity.key(unit) for unit in withdrawn if unit.condition == condition]
                # Of several values of a key the latest counts, also where others have merged their files.
                bodies = dict.fromkeys(keys, Encoded(_WITHDRAWN, b""))
                self._store.publish(identity.slot(condition), identity.parts[condition], bodies)

    def _publish(self) -> None:
        buffered, self._buffer = self._buffer, {}
        identity = self._identity
        if not buffered or identity is None:
            return
        started = time.perf_counter()
        self.changed = None if self.exempt else self.difference()
        if self.changed is None:
            for condition in dict.fromkeys(unit.condition for unit in buffered):
                bodies = {
                    identity.key(unit): Encoded(_KIND, record.to_json().encode())
                    for unit, record in buffered.items()
                    if unit.condition == condition
                }
                self._store.publish(identity.slot(condition), identity.parts[condition], bodies)
            self.published += len(buffered)
            self._published += buffered
        now = time.perf_counter()
        self._due = now + max(PUBLISHED_EVERY, _CHECKS * (now - started))

    def difference(self) -> str | None:
        """Say in what the code, its values and inputs differ from when they were identified, or None."""
        assert isinstance(self._subject, Subject)
        assert self._identity is not None
        try:
            now = self._subject.identify(self._environment)
        except FingerprintError as error:
            return str(error)
        if now.digest == self._identity.digest:
            return None
        said = [
            change
            for condition, parts in self._identity.parts.items()
            for change in explain(parts, now.parts[condition])
        ]
        return ", ".join(dict.fromkeys(said)) or "what it is made of changed"

    # The library's executions.

    def begin(self, plan: RunPlan, conditions: Sequence[str], replicates: int, hypotheses: Any) -> None:
        """Read what is stored of the run that is to come."""
        self._hits, self._verified = self.recall(conditions, replicates, hypotheses, VERIFIED)
        self._watched = self.plan(plan)

    def left(self, units: Iterable[Unit]) -> list[Unit]:
        """Return the units that have to be run."""
        return [unit for unit in units if unit not in self._hits or unit in self._verified]

    def hits(self, units: Iterable[Unit]) -> Iterator[RunRecord]:
        """Yield the records of the others."""
        return (self._hits[u] for u in units if u in self._hits and u not in self._verified)

    def settle(self, record: RunRecord) -> RunRecord:
        """Take in what was run, and compare it with what is stored of it."""
        unit = Unit(record.replicate, record.condition)
        if unit in self._verified:
            return compared(self._hits[unit], record)
        self.add(record)
        return record

    def execute(self, execution: Any, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records of units: stored ones, then those that an execution runs."""
        yield from self.hits(units)
        try:
            if left := self.left(units):
                with ended(execution.execute(self._watched, left)) as records:
                    yield from map(self.settle, records)
        finally:
            self.flush()

    async def aexecute(self, execution: Any, units: Sequence[Unit]) -> list[RunRecord]:
        """Do what `execute` does, on the running event loop."""
        found = list(self.hits(units))
        try:
            if left := self.left(units):
                found += map(self.settle, await execution.aexecute(self._watched, left))
        finally:
            self.flush()
        return found

    def conclude(self, records: Iterable[RunRecord]) -> None:
        """Warn if runs could not be stored, and keep the cache within its size."""
        impure = next((record.impure for record in records if record.impure is not None), None)
        reason = self.refusal or self.changed or impure or self._store.fault
        if reason is not None:
            warnings.warn(
                f"{self.name} can't be resumed, since its runs are not stored: {reason}",
                CrystallizeWarning,
                stacklevel=4,
            )
        if self.published:
            self._store.tidy()

    def plan(self, plan: RunPlan) -> RunPlan:
        """Return a plan whose units are watched, and stored if they are run in this process."""
        known = {entry.name: getattr(plan, entry.name) for entry in dataclasses.fields(plan)}
        return _WatchedPlan(**known, stored=self)

    def took(self, record: RunRecord) -> RunRecord:
        """Take in the record of a unit that was run in this process."""
        if os.getpid() == self._home and Unit(record.replicate, record.condition) not in self._verified:
            self.add(record)
        return record

    def finished(self, records: Sequence[RunRecord]) -> Sequence[RunRecord]:
        """Return the records of a block, impure if the code has changed where they were run."""
        pure = any(record.succeeded and record.impure is None for record in records)
        if not pure or self.exempt or self._identity is None or not self.difference():
            return records
        reason = "its code differs in the processes that run it, or changes there"
        return [record if record.impure else dataclasses.replace(record, impure=reason) for record in records]

    def __getstate__(self) -> dict[str, Any]:
        """Send to another process what it takes to watch runs there."""
        left = ("_watcher", "_lock", "_buffer", "_taken", "_impurities", "_store", "_hits", "_watched")
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._home = -1  # a copy stores nothing, not even in the process that it was made in
        self._impurities = IMPURITIES
        self._lock = threading.Lock()
        self._buffer, self._taken = {}, set()
        self._watcher = self._make_watcher()


IMPURITIES: Final = Impurities()
"""Those of this process, where there is no session."""


@dataclasses.dataclass(frozen=True)
class _WatchedPlan(RunPlan):
    """A plan whose units are watched where they run."""

    stored: StoredRuns = dataclasses.field(kw_only=True)

    def run(self, unit: Unit, outcomes: Outcomes = RECORDED) -> RunRecord:
        with self.stored.watching(seeded=self._has_generators()) as judge:
            record = super().run(unit, outcomes)
        return self.stored.took(judge(record))

    async def arun(self, unit: Unit, outcomes: Outcomes = RECORDED) -> RunRecord:
        if not self.is_async:
            return self.run(unit, outcomes)
        with self.stored.watching(seeded=self._has_generators()) as judge:
            record = await super().arun(unit, outcomes)
        return self.stored.took(judge(record))

    def finished(self, records: Sequence[RunRecord]) -> Sequence[RunRecord]:
        return self.stored.finished(records)

    def _has_generators(self) -> bool:
        """Tell whether no other unit draws from the global generators meanwhile."""
        alone = threading.current_thread() is threading.main_thread() and not self.is_async
        return self.seed_globals is not None and (alone or self.seed_globals is seed_globals)


def storable(record: RunRecord) -> bool:
    """Tell whether a record may be stored: that of a whole run, pure, which nobody had stored."""
    return record.succeeded and record.impure is None and not record.artifacts and not record.cached


def ignores_stored(hypotheses: Iterable[Hypothesis], records: Iterable[RunRecord]) -> bool:
    """Tell whether a hypothesis is about a measured metric: stored values would tell of another time."""
    measured = {entry.name for record in records for entry in record.metrics if entry.measured}
    return bool(measured) and any(h.metrics is None or measured & set(h.metrics) for h in hypotheses)


def compared(stored: RunRecord, record: RunRecord) -> RunRecord:
    """Return the record of a run that was made again, or one of its failure if it gave something else.

    What is measured may differ; every other metric is the same, bit for bit.
    """
    elsewhere = record.impure is not None and record.impure.startswith(ELSEWHERE)
    if not record.succeeded or elsewhere:  # another machine's last bits say nothing of what is stored
        return record
    before, after = _repeatable(stored), _repeatable(record)
    if before == after:
        return dataclasses.replace(record, cached=True)
    index = next(i for i in range(max(len(before), len(after))) if before[i : i + 1] != after[i : i + 1])
    old, new = (_shown(entries[index : index + 1]) for entries in (before, after))
    name = json.loads((after[index : index + 1] or before[index : index + 1])[0])[0]
    message = (
        f"metric {name!r} in replicate {record.replicate} of {record.condition!r} is {new}, but an earlier "
        f"run of the same code stored {old}: it depends on something that is not known; declare it (inputs=, "
        "env=), seed it, or record what can't be repeated with measured=True; refresh or delete the cache to "
        "run everything again"
    )
    error = RunError("NotRepeatable", message, "verification of the cache", f"NotRepeatable: {message}\n")
    return dataclasses.replace(record, error=error)


def _repeatable(record: RunRecord) -> Sequence[str]:
    return [json.dumps([e.name, e.value, e.unit]) for e in record.metrics if not e.measured]


def _shown(entries: Sequence[str]) -> str:
    """Return a metric as text, if there is one."""
    if not entries:
        return "nothing"
    name, value, unit = json.loads(entries[0])
    return f"{name} = {value!r}" + ("" if unit is None else f" of unit {unit!r}")


def _to_verify(hits: Mapping[Unit, RunRecord], share: float) -> set[Unit]:
    """Return which runs to repeat: the cheapest, and others at random as long as their time allows."""
    if not hits or share <= 0:
        return set()
    cheapest = min(hits, key=lambda unit: (hits[unit].seconds, unit))
    rest = share * sum(record.seconds for record in hits.values()) - hits[cheapest].seconds
    chosen = {cheapest}
    others = [unit for unit in hits if unit != cheapest]
    _chance.shuffle(others)
    for unit in others:
        rest -= hits[unit].seconds
        if rest < 0:
            break
        chosen.add(unit)
    return chosen


def _decoded(body: Encoded | None, unit: Unit) -> RunRecord | None:
    if body is None or body.kind != _KIND:
        return None
    try:
        record = RunRecord.from_json(body.data)
    except ValueError:
        return None
    return record if (record.replicate, record.condition) == unit and storable(record) else None


def resumed(
    label: str,
    plan: RunPlan,
    plugins: Iterable[BasePlugin],
    caching: Caching,
    *,
    ignored: Iterable[Path],
) -> StoredRuns:
    """Return the stored runs of an experiment that is run without pytest.

    Parameters
    ----------
    label : str
        What messages call the experiment.
    plan, plugins, caching
        Of the experiment; the plugins are those that were given to it.
    ignored : iterable of Path
        Where runs may write.
    """
    subject: Subject | FingerprintError
    try:
        subject = subject_of(plan, plugins, caching, root=Path.cwd())
    except FingerprintError as error:
        subject = error
    directory = cache_directory()
    return StoredRuns(
        label,
        subject,
        open_store(directory / "records"),
        environment(),
        impurities=IMPURITIES,
        ignored=[*ignored, directory],
    )
