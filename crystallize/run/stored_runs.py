"""Records of condition runs that are kept from one session to the next: those that are sure to repeat."""

from __future__ import annotations

import dataclasses
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from crystallize.claims.hypothesis import Hypothesis, metrics_of_claims
from crystallize.context.record import ArtifactEntry, RunRecord
from crystallize.context.seeding import global_draws_detector
from crystallize.errors import FingerprintError
from crystallize.identity.environment import Environment
from crystallize.identity.opened_files import OPENED
from crystallize.identity.prerequisites import Prerequisites, Unprovable
from crystallize.identity.purity import Watch, Watcher
from crystallize.identity.set_up import set_up_by
from crystallize.run.execute import Unit
from crystallize.run.impurities import Impurities
from crystallize.run.repeatability import Repeatability
from crystallize.run.run_key import RunIdentity, Subject, explain
from crystallize.run.verification import ignores_stored, measured_whole, to_verify
from crystallize.storage.store import Encoded, Store

PUBLISHED_EVERY: Final = 0.1  # seconds
_CHECKS: Final = 20  # times as long as the last check is waited until the next
_KIND: Final = "json "
_WITHDRAWN: Final = "withdrawn"
ARTIFACTS: Final = "wrote artifacts, which are not stored with its record"

Judge = Callable[[RunRecord], RunRecord]


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
    called : iterable of module
        Conftests and plugins, of which pytest calls hooks and fixtures.
    loaded : iterable of module
        Modules of which something is run, beside those that the subject reaches.
    options : callable, optional
        Returns those of some names that are options of pytest, with their values.
    session : str
        What tells the processes that measure together from others; of letters and digits.
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
        called: Iterable[ModuleType] = (),
        loaded: Iterable[ModuleType] = (),
        options: Callable[[Iterable[str]], Mapping[str, object]] | None = None,
        session: str = "",
    ) -> None:
        self.name = name
        self.refusal: str | None = None
        """Why records are neither read nor written."""
        self.changed: str | None = None
        """What changed meanwhile, so that records are written no more."""
        self.unproven: str | None = None
        """What their process has read and can't be told any more, so that they are not written."""
        self.broken: set[str] = set()
        """Files that are not what they were when records were stored, which are not used therefore."""
        self.measured_on: list[str] = []
        """Dates on which stored values were measured, if a claim is about such."""
        self.published = 0
        self._made: dict[Unit, str] = {}
        self._stamp = f"{session or secrets.token_hex(4)}-{_machine()}.{time.strftime('%Y-%m-%d')}"
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
            if not (self.exempt or subject.caching.repeatable):
                self.refusal = "it is declared repeatable=False"
            try:
                self._made_of = subject.identify(environment)
                modules = [*loaded, *self._made_of.modules().values()]
                self._identity = self._made_of.with_set_up(
                    set_up_by(modules, called=called, root=subject.root, options=options)
                )
            except FingerprintError as error:
                self.refusal = str(error)
        self._watcher = self._make_watcher()
        self._prerequisites = self._make_prerequisites()
        self._tainted: str | None = None
        self._told: str | None = None
        self._home = os.getpid()
        self._elsewhere: Repeatability | None = None
        self._verified: set[Unit] = set()
        self._lock = threading.Lock()
        self._buffer: dict[Unit, RunRecord] = {}
        self._taken: set[Unit] = set()
        self._published: list[Unit] = []
        self._due = 0.0
        self.is_held = False
        """Whether nothing is stored before a run was made again."""
        self.as_before: Callable[[], AbstractContextManager[object]] = nullcontext
        """Sets aside what memos hold while it is looked whether something has changed."""

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

    def _make_prerequisites(self) -> Prerequisites | None:
        if self._identity is None or not isinstance(self._subject, Subject):
            return None
        OPENED.start()
        labels, modules = self._identity.labels, frozenset(self._identity.modules())
        return Prerequisites(
            self._store,
            self._subject.root,
            watcher=self._watcher,
            modules=None if labels is None else modules,
            opened=not self.exempt,
        )

    # What is there.

    def load(self, conditions: Iterable[str], replicates: int) -> dict[Unit, RunRecord]:
        """Return the stored records of these conditions, up to a number of replicates."""
        found: dict[Unit, RunRecord] = {}
        identity = self._identity
        if identity is None or self.refusal is not None:
            return found
        for condition in conditions:
            bodies = self._store.load(identity.slot(condition), identity.parts[condition])
            for replicate in range(replicates) if bodies else ():
                unit = Unit(replicate, condition)
                body = bodies.get(identity.key(unit))
                record = _decoded(body, unit)
                if body is None or record is None or not self._may_lack(record.artifacts):
                    continue
                if self._is_proven(body):
                    self._made[unit] = body.kind.split(" ")[2]
                    found[unit] = dataclasses.replace(record, cached=True)
        return found

    def _is_proven(self, body: Encoded) -> bool:
        """Return whether the files that a record lists are what they were."""
        assert self._prerequisites is not None
        broken = self._prerequisites.broken(body.kind.split(" ")[1])
        if broken is not None:
            self.broken.add(broken)
        return broken is None

    def recall(
        self, conditions: Collection[str], replicates: int, hypotheses: Iterable[Hypothesis], share: float
    ) -> tuple[dict[Unit, RunRecord], set[Unit]]:
        """Return the stored records that may be used, and the units among them that are to be run again.

        Parameters
        ----------
        conditions, replicates
            Which records are wanted.
        hypotheses : iterable of Hypothesis
            If one is about a measured metric, no stored record is used; but where a `cache_key` vouches for
            what was measured, those of replicates that one session on one machine has measured whole.
        share : float
            Part of the time saved that running again may take; it is the cheapest run at least, or none if
            this is 0.
        """
        hits = self.load(conditions, replicates)
        claims = list(hypotheses)
        if ignores_stored(claims, hits.values()):
            # Times of two commits are compared as they are now, on one machine.
            if not self.exempt or any(hypothesis.reference is not None for hypothesis in claims):
                return {}, set()
            hits = measured_whole(hits, conditions, self._made, metrics_of_claims(claims))
            self.measured_on = sorted({self._made[unit].rpartition(".")[2] for unit in hits})
        return hits, set() if self.exempt else to_verify(hits, share)

    def explain(self, condition: str) -> list[str]:
        """Say what has changed since records of a condition were stored or used; nothing if none were."""
        if self.broken:
            return [f"{place} changed" for place in sorted(self.broken)]
        identity = self._identity
        old = None if identity is None else self._store.explain(identity.slot(condition))
        return [] if identity is None or old is None else explain(old, identity.parts[condition])

    # What is run.

    def watching(self, *, seeded: bool) -> AbstractContextManager[Judge]:
        """Watch one run; gives what its record is to be passed through when it has ended.

        Parameters
        ----------
        seeded : bool
            Whether the run has the global generators for itself, and seeds them.
        """
        return _Watched(self, self._watcher.watch(), None if seeded else global_draws_detector())

    def judged(self, record: RunRecord, *, drew: bool) -> RunRecord:
        """Return the record of a run that ends now, impure if no stored record could stand for the run."""
        reason = self.impurity(drew=drew)
        if reason is None and not self._may_lack(record.artifacts):
            reason = ARTIFACTS
        return record if reason is None else dataclasses.replace(record, impure=reason)

    def _may_lack(self, artifacts: Sequence[ArtifactEntry]) -> bool:
        """Say whether a stored record may stand for a run without its artifacts, whose bytes it has not."""
        if not artifacts or not self.exempt or not isinstance(self._subject, Subject):
            return not artifacts
        return not any(f"output {entry.name}" in self._subject.components for entry in artifacts)

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
            ended = self.changed or self.unproven
            if self._identity is None or self.refusal or ended or unit in self._taken:
                return
            if not (storable(record) and self._may_lack(record.artifacts)):
                return
            self._taken.add(unit)
            self._buffer[unit] = record
            now = time.perf_counter()
            if self._due == 0.0:
                self._due = now + PUBLISHED_EVERY
            if now >= self._due and not self.is_held:
                self._publish()

    @property
    def is_due(self) -> bool:
        """Whether there are runs that would be stored if one were made again."""
        return self.is_held and len(self._buffer) > 1 and time.perf_counter() >= self._due

    def release(self, unlike: str | None) -> None:
        """Store what was held back; or nothing, if runs do not repeat, and withdraw what was stored."""
        self.is_held = False
        if unlike is None:
            self.flush()
        else:
            if self._buffer or self.published:
                self.unproven = self.unproven or unlike
            self.withdraw()

    def repeatability(self) -> Repeatability | None:
        """Return what finds out whether runs repeat; None if none is stored, or they are vouched for."""
        subject = self._subject
        if self.refusal is not None or self.exempt or not isinstance(subject, Subject):
            return None
        return Repeatability(subject)

    @property
    def fault(self) -> str | None:
        """What keeps files from being written."""
        return self._store.fault

    def tidy(self) -> None:
        """Keep the cache within its size, if something was stored."""
        if self.published:
            self._store.tidy()

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
        took = time.perf_counter() - started
        listed = self._listed() if self.changed is None else None
        if listed is not None:
            for condition in dict.fromkeys(unit.condition for unit in buffered):
                bodies = {
                    identity.key(unit): Encoded(f"{_KIND}{listed} {self._stamp}", record.to_json().encode())
                    for unit, record in buffered.items()
                    if unit.condition == condition
                }
                self._store.publish(identity.slot(condition), identity.parts[condition], bodies)
            self.published += len(buffered)
            self._published += buffered
        self._due = time.perf_counter() + max(PUBLISHED_EVERY, _CHECKS * took)  # files are read once

    def _listed(self) -> str | None:
        """Return the name of the list of files that goes with what is stored now."""
        assert self._prerequisites is not None
        try:
            return self._prerequisites.listed()
        except Unprovable as fault:
            self.unproven = str(fault)
            return None

    def difference(self) -> str | None:
        """Say in what the code, its values and inputs differ from when they were identified, or None."""
        assert isinstance(self._subject, Subject)
        try:
            with self.as_before():
                now = self._subject.identify(self._environment)
        except FingerprintError as error:
            return str(error)
        if now.digest == self._made_of.digest:
            return None
        said = [
            change
            for condition, parts in self._made_of.parts.items()
            for change in explain(parts, now.parts[condition])
        ]
        return ", ".join(dict.fromkeys(said)) or "what it is made of changed"

    # Where units run.

    def took(self, record: RunRecord) -> RunRecord:
        """Take in the record of a unit that was run in this process."""
        if os.getpid() == self._home and Unit(record.replicate, record.condition) not in self._verified:
            self.add(record)
        return record

    def begin_elsewhere(self) -> None:
        """Look at what is in the memory of another process before its first run."""
        if self._elsewhere is not None:
            self._elsewhere.begin()

    def finished(
        self, records: Sequence[RunRecord], run_again: Callable[[Unit], RunRecord]
    ) -> Sequence[RunRecord]:
        """Return the records of a block, impure if code or memos have changed where they were run."""
        pure = any(record.succeeded and record.impure is None for record in records)
        if not pure or self.exempt or self._identity is None:
            return records
        reason = None
        if self.difference():
            reason = "its code differs in the processes that run it, or changes there"
        elif self._elsewhere is not None:
            reason = self._elsewhere.check_block(records, run_again)
        if reason is None:
            return records
        return [record if record.impure else dataclasses.replace(record, impure=reason) for record in records]

    def __getstate__(self) -> dict[str, Any]:
        """Send to another process what it takes to watch runs there."""
        left = {"_watcher", "_lock", "_buffer", "_taken", "_impurities", "_store"}
        left |= {"_prerequisites", "as_before", "_elsewhere"}
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.as_before = nullcontext
        self._home = -1  # a copy stores nothing, not even in the process that it was made in
        self._impurities = IMPURITIES
        self._lock = threading.Lock()
        self._buffer, self._taken = {}, set()
        self._watcher = self._make_watcher()
        self._prerequisites = None
        self._elsewhere = self.repeatability()


class _Watched:
    """One run that is watched; a class, since there are as many as runs."""

    __slots__ = ("_drew", "_moved", "_stored", "_watch")

    def __init__(self, stored: StoredRuns, watch: Watch, moved: Callable[[], bool] | None) -> None:
        self._stored = stored
        self._watch = watch
        self._moved = moved
        self._drew = False

    def __enter__(self) -> Judge:
        self._watch.__enter__()
        return self._judge

    def __exit__(self, fault: object, *_: object) -> None:
        try:
            self._drew = fault is None and self._moved is not None and self._moved()
        finally:
            self._watch.__exit__()

    def _judge(self, record: RunRecord) -> RunRecord:
        return self._stored.judged(record, drew=self._drew)


IMPURITIES: Final = Impurities()
"""Those of this process, where there is no session."""


def storable(record: RunRecord) -> bool:
    """Return whether a record may be stored: that of a whole run, pure, which nobody had stored."""
    return record.succeeded and record.impure is None and not record.cached


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return what tells machines apart that measure times."""
    return blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _decoded(body: Encoded | None, unit: Unit) -> RunRecord | None:
    if body is None or not body.kind.startswith(_KIND):
        return None
    try:
        record = RunRecord.from_json(body.data)
    except ValueError:
        return None
    return record if (record.replicate, record.condition) == unit and storable(record) else None
