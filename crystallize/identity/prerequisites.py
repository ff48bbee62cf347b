"""Files that a stored result goes with: what its process had opened and loaded when it was made.

They are no part of a key, since they depend on what else the process did. They are listed beside a result,
each with its digest, and a result is used only while all of them are what they were.
"""

from __future__ import annotations

import json
import math
import operator
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from types import ModuleType
from typing import Final

from crystallize.errors import FingerprintError
from crystallize.identity.file_digests import DIGESTS, Status, digest_of_names
from crystallize.identity.fingerprint import fingerprint
from crystallize.identity.loaded_files import LOADED, STARTED, digest_here
from crystallize.identity.opened_files import OPENED, Opening, in_temporary
from crystallize.identity.origin import is_project_module
from crystallize.identity.places import Spelled
from crystallize.identity.purity import Watcher
from crystallize.identity.set_up import opened_by_loading, reached_modules
from crystallize.storage.sealed import Encoded
from crystallize.storage.store import Store

_KEY: Final = "prerequisites "
_MISSING: Final = "missing"
_MOMENT: Final = 0.5  # seconds
_MOST_NAMED: Final = 3
_NEVER: Final = (object(), None)

Entry = tuple[str, str, str]
"""Kind (``content``, ``names`` or ``loaded``), place and digest."""


class Unprovable(Exception):
    """Reason why what a process has read can't be told any more."""


class Prerequisites:
    """Prerequisites that the results of one experiment, or of steps, are to list.

    Parameters
    ----------
    store : Store
        Where results lie; the lists lie there, too.
    root : path
        Of the project, relative to which its files are named.
    watcher : Watcher
        Knows which files the key holds already.
    modules : frozenset of str or None
        Modules of the project that the code may reach; None if they are not known.
    opened : bool
        Whether what was opened counts; if somebody vouches for it, it does not.
    """

    def __init__(
        self,
        store: Store,
        root: str | os.PathLike[str],
        *,
        watcher: Watcher,
        modules: frozenset[str] | None,
        opened: bool = True,
    ) -> None:
        self._store = store
        self._root = os.path.realpath(root)
        self._watcher = watcher
        self._modules = modules
        self._opened = opened
        self._is_temporary = in_temporary(self._root)
        self._resolved: dict[tuple[str, str], tuple[Status | None, Entry | None]] = {}
        self._listed: tuple[tuple[tuple[int, ...], int], str] | None = None
        self._holds: dict[str, str | None] = {}

    def listed(self) -> str:
        """Store the list as it is now, and return its name.

        Raises
        ------
        Unprovable
            If a file has changed since it was read.
        """
        files = LOADED.now()
        state = OPENED.version(self._root), len(files)
        if self._listed is None or self._listed[0] != state:
            DIGESTS.load(self._store)
            opened = list(self._of_opened()) if self._opened else []
            name, data = _LOOK.named(files, opened)
            _LOOK.keep(self._store, name, data)
            self._holds[name] = None
            DIGESTS.save(self._store)
            self._listed = state, name
        return self._listed[1]

    def broken(self, name: str) -> str | None:
        """Say which file of a list is not what it was, or None if all are."""
        if name not in self._holds:
            found = self._store.get(_KEY + name, "list")
            DIGESTS.load(self._store)
            self._holds[name] = "its list of files" if found is None else self._first_broken(found.data)
            DIGESTS.save(self._store)
        return self._holds[name]

    def _first_broken(self, data: bytes) -> str | None:
        loaded = _LOOK.digests()
        for kind, place, digest in _listed_in(data):
            if kind == "loaded" and loaded.get(place) == digest:
                continue
            path = place if kind == "loaded" else os.path.join(self._root, place)  # noqa: PTH118
            if _digest(kind, path) != digest:
                return str(place)
        return None

    def _of_opened(self) -> Iterable[Entry]:
        for module in OPENED.unheard:
            if names := _opened_by(module):
                raise Unprovable(
                    f"{module.__name__} was loaded too early to see what it opens "
                    f"({', '.join(names[:_MOST_NAMED])}): name it in pytest_plugins of conftest.py, rather "
                    "than by -p or PYTEST_PLUGINS"
                )
        reached = self._modules
        for opening in OPENED.of(self._root):
            shared = reached is None or not opening.modules or not opening.modules.isdisjoint(reached)
            if opening.in_runs and not shared:
                continue  # read for another experiment, which has no code in common with this one
            if opening.kind == "code":
                yield from self._of_unpickled(opening.path)
                continue
            try:
                entry = self._as_opened(opening)
            except Unprovable:
                if shared:
                    raise
            else:
                if entry is not None:
                    yield entry

    def _as_opened(self, opening: Opening) -> Entry | None:
        """Return the entry of what was opened, or None if no result needs to list it.

        It is found again only if the status is another: a run may open files of its own, and there are many.
        """
        kind, path = opening.kind, opening.path
        status = None
        with suppress(OSError):
            status = Status.of(path)
        before, entry = self._resolved.get((kind, path), _NEVER)
        if before == status:
            return entry
        entry = self._resolve(opening, status)
        # A link to nothing may lead elsewhere by now, of which no status tells.
        if entry is not None if status is None else status.is_settled():
            self._resolved[kind, path] = status, entry
        return entry

    def _resolve(self, opening: Opening, status: Status | None) -> Entry | None:
        """Return the entry of what was opened, whose status is this by now, or None.

        Raises
        ------
        Unprovable
            If it is not what it was.
        """
        kind, path = opening.kind, opening.path
        file = Spelled.of(path)
        if self._watcher.knows(file, directory=kind == "names") or self._is_temporary(file):
            return None
        place = self._place(path)
        if kind == "names":
            return kind, place, opening.names or _MISSING
        if status != opening.status:
            raise Unprovable(f"{place} has changed since this process opened it")
        return kind, place, _digest(kind, path)

    def _of_unpickled(self, name: str) -> Iterable[Entry]:
        """Yield the source files of code that was unpickled, with all of the project that it reaches."""
        module, _, attribute = name.partition(":")
        try:
            found = operator.attrgetter(attribute)(sys.modules[module])
            labels = fingerprint(found, name=name).parts
        except (KeyError, AttributeError, FingerprintError) as error:
            raise Unprovable(f"{name}, which was unpickled, has no identity ({error})") from error
        for reached in [sys.modules[module], *reached_modules(labels).values()]:
            path = getattr(reached, "__file__", None)
            if isinstance(path, str):
                yield "content", self._place(path), _digest("content", path)

    def _place(self, path: str) -> str:
        inside = path.startswith(self._root + os.sep)
        return os.path.relpath(path, self._root).replace(os.sep, "/") if inside else path


@lru_cache(maxsize=100)
def _opened_by(module: ModuleType) -> list[str]:
    return opened_by_loading(module) if is_project_module(module) else []


class _Look:
    """The entries of loaded files, which the experiments of a moment have in common."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._at = -math.inf
        self._kept: tuple[Store, str] | None = None
        self._opened: list[Entry] | None = None
        self._named = "", b""
        self._digests: dict[str, str] = {}

    def digests(self) -> dict[str, str]:
        """Return name -> digest of the files that this process has loaded, unless one has changed since."""
        with suppress(Unprovable):
            self.entries(LOADED.now())
            return self._digests
        return {}

    def named(self, files: dict[str, str], opened: list[Entry]) -> tuple[str, bytes]:
        """Return the name of the list of all entries, and what is stored of it; mostly those of the last one.

        Raises
        ------
        Unprovable
            If a file has changed since this process began.
        """
        before = self._entries
        if self.entries(files) is not before or opened != self._opened:
            self._named = _named(tuple(sorted([*self._entries, *opened])))
            self._opened = opened
        return self._named

    def entries(self, files: dict[str, str]) -> list[Entry]:
        """Return the entries of files that were loaded so far; they are looked at again after a moment.

        Raises
        ------
        Unprovable
            If a file has changed since this process began.
        """
        if len(files) != len(self._entries) or time.monotonic() - self._at > _MOMENT:
            began = time.monotonic()
            found = list(_loaded(files))
            if found != self._entries:
                self._entries = found
                self._digests = {name: digest for _, name, digest in found}
            self._at = began
        return self._entries

    def keep(self, store: Store, name: str, data: bytes) -> None:
        """Have a list be stored; that of the last experiment is read no more."""
        key = _KEY + name
        if self._kept == (store, name) and store.has(key, "list"):
            return
        if store.get(key, "list") is None:
            store.put(key, Encoded("json", data), "list")
        self._kept = store, name


_LOOK: Final = _Look()


@lru_cache(maxsize=8)
def _listed_in(data: bytes) -> list[Entry]:
    """Return the entries of a list; many results have the same."""
    entries: list[Entry] = json.loads(data)
    return entries


@lru_cache(maxsize=8)
def _named(entries: tuple[Entry, ...]) -> tuple[str, bytes]:
    """Return the name of a list and what is stored of it; most experiments have the same."""
    data = json.dumps(entries).encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=16).hexdigest(), data


def _loaded(files: dict[str, str]) -> Iterable[Entry]:
    for name, path in files.items():
        try:
            status = Status.of(path)
            if status.changed > STARTED:
                raise Unprovable(f"the installed file {name} has changed since this process began")
            digest = DIGESTS.of(path, status)
        except OSError:
            digest = _MISSING
        yield "loaded", name, digest


def _digest(kind: str, path: str) -> str:
    try:
        if kind == "loaded":
            return digest_here(path)
        return digest_of_names(path) if kind == "names" else DIGESTS.of(path)
    except OSError:
        return _MISSING
