"""Results of steps: where they are found again, and what keeps them from being stored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from crystallize.errors import CrystallizeError, UnhashableValueError
from crystallize.identity.audit import unheard
from crystallize.identity.environment import environment
from crystallize.identity.fingerprint import Fingerprint, changes, fingerprint
from crystallize.identity.inputs import declared_files
from crystallize.identity.known_fingerprints import KnownFingerprints
from crystallize.identity.opened_files import OPENED
from crystallize.identity.prerequisites import Prerequisites, Unprovable
from crystallize.identity.purity import DEBUGGED, Watcher
from crystallize.identity.set_up import reached_modules, set_up_by
from crystallize.identity.stable_hash import stable_hash
from crystallize.storage.place import cache_directory, open_store
from crystallize.storage.sealed import Encoded
from crystallize.storage.store import Store

SCHEMA: Final = "crystallize-step-4"
"""Version of the keys."""

_MOST_SHOWN: Final = 3  # changes that a message names
_LABELS: Final = {"key": "context key {!r}", "writer": "the writer of output {!r}"}

Read = tuple[str, str]
Reads = tuple[Read, ...]


Report = tuple[Mapping[tuple[str, str], str], bool]


class Call(Protocol):
    """A call of a step, before it is made; `crystallize.run.step_cache.StepCall` says what it has."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as above
    @property
    def code(self) -> object: ...  # noqa: D102
    @property
    def data(self) -> Any: ...  # noqa: D102
    @property
    def seed(self) -> tuple[int, int] | None: ...  # noqa: D102
    @property
    def look_up(self) -> Callable[[Read], Any]: ...  # noqa: D102


class StepResults:
    """The results of steps in one directory.

    A result lies under a key made of all that its call depended on. What that is besides code, data and
    seed, only the call tells: which keys of the context it read. So the lists of what earlier calls of the
    same code read are kept as well, and each is tried with the values that there are now. A call that reads
    the same values goes on as the stored one did, to the same result.

    Parameters
    ----------
    directory : path, optional
        Where they lie; ``steps`` in the library's cache if left out.
    refresh : bool
        Never use a result, only store them.
    inputs : tuple of str
        Files that steps may read, whose content belongs to the key.
    env : tuple of str
        Environment variables whose values belong to the key.
    cache_key : str, optional
        Vouches for all that can't be seen: network, processes, files.
    root : path, optional
        What `inputs` are relative to; the current directory if left out.
    surroundings : str
        What else belongs to the key, such as what was done to the process before any step.
    environment_digest : str, optional
        Digest of the environment, where another process knows it.
    measured_anew : collection of str or None
        Measured metrics of which no stored value will do; None for all.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        refresh: bool = False,
        inputs: tuple[str, ...] = (),
        env: tuple[str, ...] = (),
        cache_key: str | None = None,
        root: Path | None = None,
        surroundings: str = "",
        environment_digest: str | None = None,
        measured_anew: Collection[str] | None = (),
    ) -> None:
        self.directory = cache_directory() / "steps" if directory is None else Path(directory).absolute()
        self.refresh = refresh
        self.inputs = inputs
        self.env = env
        self.cache_key = cache_key
        self.root = Path.cwd() if root is None else root
        self.surroundings = surroundings
        self.measured_anew = measured_anew
        self.fingerprints = KnownFingerprints()
        self._environment = environment_digest
        self._lists: dict[str, dict[Reads, None]] = {}
        self._before: dict[str, str] = {}
        self._prerequisites: dict[str, Prerequisites] = {}
        self._said: set[tuple[str, str]] = set()
        self._notes: dict[tuple[str, str], str] = {}
        self._stored = False
        self._kept: list[str] = []
        self._units: Watcher | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Computing the environment takes as long as many steps do, so once has to do. The directory is made,
        # so that a process on another machine can tell whether it has it, too.
        with suppress(OSError):
            self.directory.mkdir(parents=True, exist_ok=True)
        options = {
            "refresh": self.refresh,
            "inputs": self.inputs,
            "env": self.env,
            "cache_key": self.cache_key,
            "root": self.root,
            "surroundings": self.surroundings,
            "environment_digest": self.environment,
            "measured_anew": self.measured_anew,
        }
        return _again, (self.directory, options)

    @property
    def environment(self) -> str:
        """Digest of the environment."""
        if self._environment is None:
            with unheard():
                self._environment = environment().digest
        return self._environment

    @cached_property
    def store(self) -> Store:
        """The store, opened in this process."""
        return open_store(self.directory)

    def is_there(self) -> bool:
        """Return whether this process can reach the directory; opens its store before a unit would."""
        # A Path raises where there is no access.
        return os.path.isdir(self.directory) and self.store is not None  # noqa: PTH112

    def why_anew(self, metric: str) -> str | None:
        """Say why a measured metric has to be measured anew by each call; None if a stored value will do."""
        if self.cache_key is None:
            return "which no stored value would be; cache_key= vouches for it"
        if self.measured_anew is None or metric in self.measured_anew:
            return "and what is claimed of it, compared or recorded is measured anew"
        return None

    def unit(self) -> AbstractContextManager[object]:
        """Bracket a unit of work: threads beside it that are in no unit of their own may belong to it."""
        if self._units is None:
            self._units = Watcher(ignored=(self.directory,))
        return self._units.watch()

    def entry(self, call: Call) -> Entry | None:
        """Return the place of a call's result, or None if it has no key."""
        try:
            with unheard():
                return Entry(self, call)
        except (CrystallizeError, OSError) as error:
            self.note(call.name, "key", str(error))
            return None

    def note(self, step: str, part: str, why: str) -> None:
        """Note once why a step is not cached."""
        if (step, part) not in self._said:
            self._said.add((step, part))
            self._notes[step, part] = why

    def report(self) -> Report:
        """Return what happened since this was last asked."""
        if (fault := self.store.fault) is not None:
            self.note("", "store", fault)
        report = (self._notes, self._stored)
        self._notes, self._stored = {}, False
        return report

    def take(self, report: Report) -> None:
        """Take in what another process reports."""
        notes, stored = report
        for (step, part), why in notes.items():
            self.note(step, part, why)
        self._stored |= stored

    def withdraw(self) -> None:
        """Remove what this process has stored."""
        kept, self._kept = self._kept, []
        for key in kept:
            self.store.remove(key)

    def conclude(self) -> list[str]:
        """Tidy up if something was stored; return why steps are not cached, each reason once."""
        notes, stored = self.report()
        if stored:
            self.store.tidy()
        return [f"step {step!r} is not cached: {why}" if step else why for (step, _), why in notes.items()]

    def declared(self) -> str:
        """Return what identifies the content of declared files and variables."""
        if not (self.inputs or self.env or self.cache_key or self.surroundings):
            return ""
        content = {pattern: list(declared_files(self.root, pattern)) for pattern in self.inputs}
        values = [(name, os.environ.get(name)) for name in self.env]
        return json.dumps([content, values, self.cache_key, self.surroundings])

    def done_before(self, code: Fingerprint) -> str:
        """Return what identifies what modules that code reaches did when they were loaded."""
        known = self._before.get(code.digest)
        if known is None:
            modules = reached_modules(code.parts).values()
            known = self._before[code.digest] = json.dumps(set_up_by(modules, root=self.root))
        return known

    def prerequisites(self, step: object, code: Fingerprint) -> Prerequisites:
        """Return what lists the files that results of a step go with, which has this code."""
        known = self._prerequisites.get(code.digest)
        if known is None:
            OPENED.start()
            modules = frozenset(reached_modules(code.parts))
            known = self._prerequisites[code.digest] = Prerequisites(
                self.store,
                self.root,
                watcher=_watcher(step, self),
                modules=modules,
                opened=self.cache_key is None,
            )
        return known

    def lists(self, step: str, code: str, *, anew: bool = False) -> dict[Reads, None]:
        """Return what calls of the same code are known to have read."""
        known = self._lists.get(code)
        if known is None or anew:
            found = {_reads_from(text): None for text in self.store.load(step, self._parts(code))}
            known = self._lists[code] = (known or {}) | found
        return known

    def keep(self, step: str, code: str, reads: Reads, key: str, result: tuple[str, bytes]) -> None:
        """Store a result, and what its call read."""
        if not self.store.put(key, Encoded(*result)):
            return
        self._stored = True
        self._kept.append(key)
        if reads not in self.lists(step, code):
            self.lists(step, code)[reads] = None
            self.store.publish(step, self._parts(code), {json.dumps(reads): Encoded("reads", b"")})

    def _parts(self, code: str) -> dict[str, str]:
        return {"schema": SCHEMA, "environment": self.environment, "code": code}


def _again(directory: Path, options: dict[str, Any]) -> StepResults:
    return StepResults(directory, **options)


class Entry:
    """The place of one call's result.

    Parameters
    ----------
    results : StepResults
        Where it lies.
    call : Call
        The call, before it is made.

    Raises
    ------
    UnhashableValueError, FingerprintError
        If its code or its data have no identity.
    """

    def __init__(self, results: StepResults, call: Call) -> None:
        self._results = results
        self._call = call
        self._code = self._fingerprint()
        self._data = self._identity()
        self._base = [SCHEMA, results.environment, self._code.digest, call.name, call.seed, self._data]
        self._base += [results.declared(), results.done_before(self._code)]
        self._prerequisites = results.prerequisites(call.code, self._code)
        self._values: dict[Read, str] = {}

    @property
    def _watcher(self) -> Watcher:
        return _watcher(self._call.code, self._results)

    def _fingerprint(self) -> Fingerprint:
        return self._results.fingerprints.of(self._call.code, name=self._call.name)

    def _identity(self) -> str:
        return identity(self._call.data, "its input data")

    def find(self) -> Iterator[tuple[str, bytes]]:
        """Yield the stored results of equal calls."""
        if self._results.refresh:
            return
        tried: set[Reads] = set()
        for anew in (False, True):  # another process may have stored something since we looked
            with unheard():
                lists = list(self._results.lists(self._call.name, self._code.digest, anew=anew))
            for reads in lists:
                if reads in tried:
                    continue
                tried.add(reads)
                try:
                    key = self._key(reads)
                except CrystallizeError:
                    continue  # `keep` says so, if the call reads it
                with unheard():
                    found = self._proven(self._results.store.get(key))
                if found is not None:
                    yield found

    def _proven(self, found: Encoded | None) -> Encoded | None:
        """Return what was found if the files that it lists are what they were."""
        if found is None:
            return None
        listed, _, kind = found.kind.partition(" ")
        return None if self._prerequisites.broken(listed) else Encoded(kind, found.data)

    def _key(self, reads: Reads) -> str:
        for read in reads:
            if read not in self._values:
                try:
                    value = self._call.look_up(read)
                except KeyError:
                    self._values[read] = "absent"
                else:
                    kind, name = read
                    self._values[read] = identity_of_parameter(
                        value, _LABELS.get(kind, "its context's {}").format(name or kind)
                    )
        text = repr((self._base, [(read, self._values[read]) for read in reads]))
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()

    def watched(self) -> AbstractContextManager[object]:
        """Bracket the call, to note what it does that no result would repeat."""
        return self._watcher.watch()

    def keep(self, reads: frozenset[Read], result: tuple[str, bytes]) -> None:
        """Store what the call gave, unless it is impure, or changed its data or its own code."""
        with unheard():
            self._keep(reads, result)

    def _keep(self, reads: frozenset[Read], result: tuple[str, bytes]) -> None:
        results, call = self._results, self._call
        reasons = self._watcher.reasons
        if reasons and (results.cache_key is None or DEBUGGED in reasons):
            said = reasons[0] if results.cache_key is None else DEBUGGED
            self.refuse(f"it {said}", "purity")
            return
        try:
            now = self._fingerprint()
            if now.digest != self._code.digest:
                changed = changes(self._code.parts, now.parts)
                shown = ", ".join(changed[:_MOST_SHOWN]) + (", ..." if len(changed) > _MOST_SHOWN else "")
                self.refuse(f"its code: while it ran, {shown}", "code")
            elif self._identity() != self._data:
                self.refuse("its input data: it changes them; work on a copy", "data")
            else:
                ordered, (kind, data) = tuple(sorted(reads)), result
                listed = f"{self._prerequisites.listed()} {kind}", data
                results.keep(call.name, self._code.digest, ordered, self._key(ordered), listed)
        except Unprovable as fault:
            self.refuse(f"a file: {fault}", "files")
        except CrystallizeError as error:
            self.refuse(str(error), "key")

    def refuse(self, why: str, part: str = "call") -> None:
        """Store nothing, and say why."""
        self._results.note(self._call.name, part, why)


def identity(value: object, name: str) -> str:
    """Return what identifies a value, and the code of the classes in it.

    Raises
    ------
    UnhashableValueError, FingerprintError
        If there is nothing.
    """
    met: set[type] = set()
    digest = stable_hash(value, name=name, classes=met)
    if not met:
        return digest
    classes = sorted(met, key=lambda kind: (kind.__module__, kind.__qualname__))
    return f"{digest} {fingerprint(tuple(classes), name=f'the classes of {name}').digest}"


def identity_of_parameter(value: object, name: str) -> str:
    """Return what identifies a value that may be code, such as a function that a treatment gives."""
    try:
        return identity(value, name)
    except UnhashableValueError:
        return f"code {fingerprint(value, name=name).digest}"


# What a call once did may still be in memory when the next run of the process calls the same code.
_watchers: WeakKeyDictionary[Any, dict[tuple[Any, ...], Watcher]] = WeakKeyDictionary()


def _watcher(code: object, results: StepResults) -> Watcher:
    """Return the one that watches all calls of a function or class in this process."""
    owner = code[0] if isinstance(code, tuple) else type(code)
    options = results.directory, results.inputs, results.root
    try:
        of_owner = _watchers.setdefault(owner, {})
    except TypeError:  # a callable that can't be referred to weakly, or has no hash
        of_owner = _watchers.setdefault(type(owner), {})
    known = of_owner.get(options)
    if known is None:  # of several threads, the first one's counts
        inputs = [os.path.join(results.root, pattern) for pattern in results.inputs]  # noqa: PTH118 - patterns
        known = of_owner.setdefault(options, Watcher(inputs, ignored=(results.directory,)))
    return known


def _reads_from(text: str) -> Reads:
    return tuple((kind, name) for kind, name in json.loads(text))
