"""Records of condition runs that are kept from one session to the next: those that are sure to repeat."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Collection, Container, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from crystallize.calls.keeping import keeping
from crystallize.calls.replies import replaced
from crystallize.claims.hypothesis import Hypothesis, metrics_of_claims
from crystallize.context.record import RunRecord, as_cached
from crystallize.declare.case_design import CaseStream
from crystallize.declare.treatment import BASELINE
from crystallize.identity.environment import environment_changes
from crystallize.identity.fingerprint import changes
from crystallize.identity.opened_files import OPENED
from crystallize.identity.prerequisites import Prerequisites, Unprovable
from crystallize.run.run_key import ENVIRONMENT, RunIdentity
from crystallize.run.units import Unit, unit_of
from crystallize.run.verification import ignores_stored, measured_whole, to_verify
from crystallize.run.watched_runs import WatchedRuns
from crystallize.storage.sealed import Encoded
from crystallize.storage.store import Store

PUBLISHED_EVERY: Final = 0.1  # seconds
_CHECKS: Final = 20  # times as long as the last check is waited until the next
_KIND: Final = "json "
_WITHDRAWN: Final = "withdrawn"
_WAS_WITHDRAWN: Final = "what was stored was withdrawn by the session that had stored it"
_DAMAGED: Final = "what was stored can't be read"
_ENVIRONMENT: Final = "environment "
_OTHER_ENVIRONMENT: Final = "the environment changed"
_FOREIGN: Final = "some of what is stored is damaged, or of another secret"


class StoredRuns:
    """The stored records of one experiment, and the ones that are to be stored.

    Parameters
    ----------
    runs : WatchedRuns
        The runs that the records are of.
    store : Store
        Where records are kept.
    session : str
        What tells the processes that measure together from others; of letters and digits.

    Attributes
    ----------
    changed : str or None
        What changed meanwhile, so that records are written no more.
    unproven : str or None
        What the process has read and can't be told any more, so that records are not written.
    broken : set of str
        Why stored records are not used: files that changed, mostly.
    measured_on : list of str
        Dates on which stored values were measured, if a claim is about such.
    published : int
        How many records were stored.
    is_held : bool
        Whether nothing is stored before a run was made again.
    verified : set of Unit
        Units that are run although they are stored.
    """

    def __init__(self, runs: WatchedRuns, store: Store, *, session: str = "") -> None:
        self.runs = runs
        self.changed: str | None = None
        self.unproven: str | None = None
        self.broken: set[str] = set()
        self.measured_on: list[str] = []
        self.published = 0
        self.is_held = False
        self.verified: set[Unit] = set()
        self._store = store
        self._prerequisites = self._make_prerequisites()
        self._stamp = f"{session or secrets.token_hex(4)}-{_machine()}.{time.strftime('%Y-%m-%d')}"
        self._made: dict[Unit, str] = {}
        self._home = os.getpid()
        self._lock = threading.Lock()
        # Units as plain tuples, which the garbage collector need not look at.
        self._buffer: dict[tuple[int, str], RunRecord] = {}
        self._taken: set[tuple[int, str]] = set()
        self._published: list[tuple[int, str]] = []
        self._due = 0.0

    def _make_prerequisites(self) -> Prerequisites | None:
        identity, subject = self.runs.identity, self.runs.subject
        if identity is None or subject is None:
            return None
        OPENED.start()
        return Prerequisites(
            self._store,
            subject.root,
            watcher=self.runs.watcher,
            modules=None if identity.labels is None else frozenset(identity.modules()),
            opened=not self.runs.exempt,
        )

    # What is there.

    def load(
        self, conditions: Iterable[str], replicates: int, *, only: Container[Unit] | None = None
    ) -> dict[Unit, RunRecord]:
        """Return the stored records of these conditions, up to a number of replicates; or some of them."""
        identity = self.runs.identity
        if identity is None or self.runs.refusal is not None:
            return {}
        units: dict[str, Unit] = {}
        rejected = self._store.rejected
        latest: dict[Unit, tuple[str, str, RunRecord | None]] = {}  # pack, kind, and what was stored
        kinds: dict[str, str] = {}

        def wanted() -> Container[str]:
            if not units:
                all_units = (Unit(number, name) for name in conditions for number in range(replicates))
                units.update((identity.key(unit), unit) for unit in all_units if only is None or unit in only)
            return units

        for pack, bodies in self._store.packs(identity.slot, identity.common, wanted):
            for key, body in bodies:
                unit = units[key]
                if unit not in latest or latest[unit][0] <= pack:
                    record = _decoded(body, unit, moves=identity.stream.samples > 0)
                    latest[unit] = pack, kinds.setdefault(body.kind, body.kind), record
        found: dict[Unit, RunRecord] = {}
        for unit in units.values():
            _, kind, record = latest.get(unit, ("", "", None))
            if record is None:
                if kind:
                    self.broken.add(_WAS_WITHDRAWN if kind == _WITHDRAWN else _DAMAGED)
            elif self.runs.may_lack(record.artifacts) and self._is_proven(kind, record):
                self._made[unit] = kind.split(" ")[2]
                found[unit] = as_cached(record)
        if found:
            self._store.touch(_ENVIRONMENT + identity.environment.digest, "list")
        if self._store.rejected > rejected and len(found) < len(units):
            self.broken.add(_FOREIGN)
        return found

    def _is_proven(self, kind: str, record: RunRecord) -> bool:
        """Return whether the files that a record lists are what they were, and the replies it was made of."""
        assert self._prerequisites is not None
        changed = self._prerequisites.broken(kind.split(" ")[1])
        if changed is None and record.calls:
            function = replaced(record.calls, keeping())
            changed = None if function is None else f"a reply of {function}"
        if changed is not None:
            self.broken.add(f"{changed} changed")
        return changed is None

    def recall(
        self,
        conditions: Collection[str],
        replicates: int,
        hypotheses: Iterable[Hypothesis],
        share: float,
        *,
        own: Collection[int] | None = None,
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
        own : collection of int, optional
            The replicates that are asked for, where other sessions run the rest.
        """
        only = None if own is None else {Unit(number, name) for name in conditions for number in own}
        hits = self.load(conditions, replicates, only=only)
        claims = list(hypotheses)
        measured = {entry.name for record in hits.values() for entry in record.metrics if entry.measured}
        if ignores_stored(claims, measured):
            # Times of two commits are compared as they are now, on one machine.
            if not self.runs.exempt or any(hypothesis.reference is not None for hypothesis in claims):
                return {}, set()
            hits = measured_whole(hits, conditions, self._made, metrics_of_claims(claims))
            self.measured_on = sorted({self._made[unit].rpartition(".")[2] for unit in hits})
        return hits, set() if self.runs.exempt else to_verify(hits, share)

    def explain(self, condition: str) -> list[str]:
        """Say what has changed since records of a condition were stored or used; nothing if none were."""
        identity = self.runs.identity
        old = None if identity is None else self._store.explain(identity.slot, condition)
        if identity is None or old is None:
            return sorted(self.broken)
        then = old.pop(ENVIRONMENT, "")
        said = [*sorted(self.broken), *changes(old, identity.parts[condition])]
        if then != identity.environment.digest:
            was = self._store.get(_ENVIRONMENT + then, "list")
            now = identity.environment.parts
            said += [_OTHER_ENVIRONMENT] if was is None else environment_changes(json.loads(was.data), now)
        return said

    def edited_cases(self, lacking: Iterable[int]) -> list[str]:
        """Say which cases hold something else than when they were stored, of replicates of which no run is.

        Seeds depend on the ids of cases, keys on all that they hold too: so a run of the baseline that is
        stored under the same seed and another key is of the case as it was.
        """
        identity = self.runs.identity
        if identity is None or not isinstance(identity.stream, CaseStream):
            return []
        stream, own = identity.stream, identity.own
        seeds = {stream.seed(number): Unit(number, BASELINE) for number in lacking}
        if not seeds or own[BASELINE].keys() != {"condition"}:  # in a graph, it depends on other experiments
            return []
        units = (Unit(number, name) for name in own for number in range(stream.design.replicates))
        now = {identity.key(unit): unit for unit in units}  # what is stored of these need not be read
        stored: set[Unit] = set()
        before: set[Unit] = set()
        for _, bodies in self._store.packs(identity.slot, identity.common):
            for key, body in bodies:
                if key in now:
                    stored.add(now[key])
                elif (record := _read(body)) and record.condition == BASELINE and record.seed in seeds:
                    before.add(seeds[record.seed])
        ids = {stream.of(unit.replicate)[0].id for unit in before - stored}
        return [f"case {case.id!r} changed" for case in stream.design.cases.entries if case.id in ids]

    # What is stored.

    def add(self, record: RunRecord) -> None:
        """Store the record of a run that ended now, before long; of one that can't be stored, do nothing."""
        unit = record.replicate, record.condition
        with self._lock:
            ended = self.changed or self.unproven
            if self.runs.identity is None or self.runs.refusal or ended or unit in self._taken:
                return
            if not (storable(record) and self.runs.may_lack(record.artifacts)):
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

    def took(self, record: RunRecord) -> None:
        """Store the record of a unit that was run in this process, unless it is to be compared."""
        if os.getpid() == self._home and unit_of(record) not in self.verified:
            self.add(record)

    @property
    def fault(self) -> str | None:
        """Reason why files can't be written."""
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
            identity = self.runs.identity
            if identity is None:
                return
            # Of several values of a key the latest counts, also where others have merged their files.
            keys = (identity.key(Unit(*unit)) for unit in withdrawn)
            bodies = dict.fromkeys(keys, Encoded(_WITHDRAWN, b""))
            self._store.publish(identity.slot, identity.common, bodies)

    def _publish(self) -> None:
        buffered, self._buffer = self._buffer, {}
        try:
            self._write(buffered)
        except KeyboardInterrupt:  # they are stored when the session ends
            self._buffer = buffered
            raise

    def _write(self, buffered: dict[tuple[int, str], RunRecord]) -> None:
        identity = self.runs.identity
        if not buffered or identity is None:
            return
        started = time.perf_counter()
        self.changed = None if self.runs.exempt else self.runs.difference()
        took = time.perf_counter() - started
        listed = self._listed() if self.changed is None else None
        if listed is not None:
            kind = f"{_KIND}{listed} {self._stamp}"
            bodies = {
                identity.key(Unit(*unit)): Encoded(kind, record.to_json().encode())
                for unit, record in buffered.items()
            }
            own = {condition: identity.own[condition] for _, condition in buffered}
            self._keep_environment(identity)
            self._store.publish(identity.slot, identity.common, bodies, own)
            self.published += len(buffered)
            self._published += buffered
        self._due = time.perf_counter() + max(PUBLISHED_EVERY, _CHECKS * took)  # files are read once

    def _keep_environment(self, identity: RunIdentity) -> None:
        """Have what the environment consists of stay as long as its records, to tell later what changed."""
        environment = identity.environment
        name = _ENVIRONMENT + environment.digest
        if not self._store.touch(name, "list"):
            self._store.put(name, Encoded("json", json.dumps(environment.to_json()).encode()), "list")

    def _listed(self) -> str | None:
        """Return the name of the list of files that goes with what is stored now."""
        assert self._prerequisites is not None
        try:
            return self._prerequisites.listed()
        except Unprovable as fault:
            self.unproven = str(fault)
            return None


def storable(record: RunRecord) -> bool:
    """Return whether a record may be stored: that of a whole run, pure, which nobody had stored."""
    return record.succeeded and record.impure is None and not record.cached


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return what tells machines apart that measure times."""
    return blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _decoded(body: Encoded | None, unit: Unit, *, moves: bool) -> RunRecord | None:
    """Return a stored record as that of a unit; a sample of a case may be another replicate by now."""
    record = None if body is None else _read(body)
    if record is not None and moves and record.condition == unit.condition:
        record = dataclasses.replace(record, replicate=unit.replicate)
    if record is None or (record.replicate, record.condition) != unit or not storable(record):
        return None
    return record


def _read(body: Encoded) -> RunRecord | None:
    """Return what is stored as a record, if it is one."""
    if not body.kind.startswith(_KIND):
        return None
    try:
        return RunRecord.from_json(body.data)
    except ValueError:
        return None
