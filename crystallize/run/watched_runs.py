"""Runs that are watched: whether the record of one may stand for others like it, and if not, why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from crystallize.context.record import ArtifactEntry, RunRecord
from crystallize.context.seeding import global_draws_detector
from crystallize.errors import FingerprintError
from crystallize.identity.environment import Environment
from crystallize.identity.fingerprint import changes
from crystallize.identity.purity import DEBUGGED, Watch, Watcher
from crystallize.identity.set_up import set_up_by
from crystallize.run.impurities import Impurities
from crystallize.run.repeatability import Repeatability
from crystallize.run.run_key import RunIdentity, Subject
from crystallize.run.units import Unit

ARTIFACTS: Final = "wrote artifacts, which are not stored with its record"
IMPURITIES: Final = Impurities()
"""Those of this process, where there is no session."""

Judge = Callable[[RunRecord], RunRecord]


class WatchedRuns:
    """The runs of one experiment, known by what they are made of and watched for all else that they use.

    Pickled, it watches runs in another process, and says of these what they have changed there.

    Parameters
    ----------
    name : str
        What the experiment is called.
    subject : callable
        Returns what its runs are made of, or raises `FingerprintError` if that can't be known.
    environment : Environment
        Of this process.
    impurities : Impurities, optional
        Of the session; those of this process, if left out.
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

    Attributes
    ----------
    refusal : str or None
        Why records are neither read nor written.
    exempt : bool
        Whether a `cache_key` vouches for runs, so that nothing else is asked of them.
    identity : RunIdentity or None
        What records are stored under; None if it is not known.
    as_before : callable
        Sets aside what memos hold while it is looked whether something has changed.
    """

    def __init__(
        self,
        name: str,
        subject: Callable[[], Subject],
        environment: Environment,
        *,
        impurities: Impurities | None = None,
        ignored: Iterable[Path] = (),
        temporary: Iterable[Path] = (),
        called: Iterable[ModuleType] = (),
        loaded: Iterable[ModuleType] = (),
        options: Callable[[Iterable[str]], Mapping[str, object]] | None = None,
    ) -> None:
        self.name = name
        self.refusal: str | None = None
        self.exempt = False
        self.subject: Subject | None = None
        self.identity: RunIdentity | None = None
        self.as_before: Callable[[], AbstractContextManager[object]] = nullcontext
        self._environment = environment
        self._impurities = IMPURITIES if impurities is None else impurities
        self._ignored = tuple(ignored)
        self._temporary = tuple(temporary)
        self._tainted: str | None = None
        self._told: str | None = None
        self._elsewhere: Repeatability | None = None
        try:
            self.subject = subject()
            self.exempt = self.subject.caching.cache_key is not None
            if not (self.exempt or self.subject.caching.repeatable):
                self.refusal = "it is declared repeatable=False"
            self._made_of = self.subject.identify(environment)
            modules = [*loaded, *self._made_of.modules().values()]
            self.identity = self._made_of.with_set_up(
                set_up_by(modules, called=called, root=self.subject.root, options=options)
            )
        except FingerprintError as error:
            self.refusal = str(error)
        self.watcher = self._make_watcher()

    def _make_watcher(self) -> Watcher:
        return Watcher(
            () if self.subject is None else self.subject.input_paths(),
            code=() if self.identity is None else self.identity.sources(),
            ignored=self._ignored,
            project=() if self.subject is None else [self.subject.root],
            temporary=self._temporary,
        )

    def watching(self, *, seeded: bool) -> AbstractContextManager[Judge]:
        """Watch one run; gives what its record is to be passed through when it has ended.

        Parameters
        ----------
        seeded : bool
            Whether the run has the global generators for itself, and seeds them.
        """
        return _Watched(self, self.watcher.watch(), None if seeded else global_draws_detector())

    def judged(self, record: RunRecord, *, drew: bool) -> RunRecord:
        """Return the record of a run that ends now, impure if no stored record could stand for the run."""
        reason = self.impurity(drew=drew)
        if reason is None and not self.may_lack(record.artifacts):
            reason = ARTIFACTS
        return record if reason is None else dataclasses.replace(record, impure=reason)

    def may_lack(self, artifacts: Sequence[ArtifactEntry]) -> bool:
        """Return whether a stored record may stand for a run without the bytes of its artifacts."""
        if not artifacts or not self.exempt or self.subject is None:
            return not artifacts
        return not any(f"output {entry.name}" in self.subject.components for entry in artifacts)

    def impurity(self, *, drew: bool = False) -> str | None:
        """Say why no run that ends now can be stored, or None."""
        reason = self._tainted or next(iter(self.watcher.reasons), None)
        labels = None if self.identity is None else self.identity.labels
        if reason is not None and self._told is None:
            self._told = reason
            self._impurities.add(labels, f"{self.name}, which {reason}")
        if self.exempt:
            return DEBUGGED if DEBUGGED in self.watcher.reasons else None
        if reason is None and labels is not None and (shared := self._impurities.reason(labels)):
            return shared
        if reason is None and drew:
            return "drew from the global generators (random, numpy.random), which no seed of its own had set"
        return reason

    @contextmanager
    def watching_set_up(self) -> Iterator[None]:
        """Watch what is set up once, for several runs."""
        with self.watcher.watch():
            yield
        self.impurity()

    def taint(self, reason: str) -> None:
        """Have no later run be stored."""
        self._tainted = self._tainted or reason

    def repeatability(self) -> Repeatability | None:
        """Return what finds out whether runs repeat; None if none is stored, or they are vouched for."""
        if self.refusal is not None or self.exempt or self.subject is None:
            return None
        return Repeatability(self.subject)

    def difference(self) -> str | None:
        """Say in what the code, its values and inputs differ from when they were identified, or None."""
        assert self.subject is not None
        try:
            with self.as_before():
                now = self.subject.identify(self._environment)
        except FingerprintError as error:
            return str(error)
        if now.digest == self._made_of.digest:
            return None
        said = [
            change
            for condition, parts in self._made_of.parts.items()
            for change in changes(parts, now.parts[condition])
        ]
        return ", ".join(dict.fromkeys(said)) or "what it is made of changed"

    # In another process.

    def begin_elsewhere(self) -> None:
        """Look at what is in the memory of another process before its first run."""
        if self._elsewhere is not None:
            self._elsewhere.begin()

    def finished(
        self, records: Sequence[RunRecord], run_again: Callable[[Unit], RunRecord]
    ) -> Sequence[RunRecord]:
        """Return the records of a block, impure if code or memos have changed where they were run."""
        pure = any(record.succeeded and record.impure is None for record in records)
        if not pure or self.exempt or self.identity is None:
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
        left = {"watcher", "as_before", "_impurities", "_elsewhere"}
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.as_before = nullcontext
        self.watcher = self._make_watcher()
        self._impurities = IMPURITIES
        self._elsewhere = self.repeatability()


class _Watched:
    """Run that is watched; a class, since there are as many as runs."""

    __slots__ = ("_drew", "_moved", "_runs", "_watch")

    def __init__(self, runs: WatchedRuns, watch: Watch, moved: Callable[[], bool] | None) -> None:
        self._runs = runs
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
        return self._runs.judged(record, drew=self._drew)
