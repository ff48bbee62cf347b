"""What code of a project did to its process before anything was run: settings, registrations, patches.

Such code is found in its source: what the modules that are loaded do beside giving names, and what pytest
calls of a conftest or a plugin for every test; with all functions and classes of the project that these name,
in whichever module. What a module merely defines does not count.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from types import ModuleType
from typing import Final
from weakref import ref

from crystallize.identity.outline import combined
from crystallize.identity.project_modules import OUTLINES
from crystallize.identity.set_up_search import SetUpSearch

_ASKING = frozenset({"getoption", "getini", "getvalue", "option", "addoption"})
"""How code asks pytest for its options, or has pytest convert their values."""
_OPENING: Final = frozenset(
    {
        *("open", "listdir", "scandir", "iterdir", "glob", "rglob", "walk"),
        *("connect", "fromfile", "memmap", "get_data"),
    }
)
_OPENING_PREFIXES: Final = ("read_", "load", "run_path", "genfrom")
"""Names by which code opens files or lists directories, and what others of them begin with."""


def set_up_by(
    loaded: Iterable[ModuleType],
    *,
    called: Iterable[ModuleType] = (),
    root: str | os.PathLike[str],
    options: Callable[[Iterable[str]], Mapping[str, object]] | None = None,
) -> dict[str, str]:
    """Return file -> digest of what code of the project does before a run.

    Parameters
    ----------
    loaded : iterable of module
        Modules that runs use; those that they import count as well.
    called : iterable of module
        Conftests and plugins, of which pytest calls hooks and fixtures for every test.
    root : path
        Directory that names of files are relative to.
    options : callable, optional
        Returns the options, and their values, of those names that it is given which are options.
    """
    files, words = _searched(list(loaded), list(called))
    home = os.path.realpath(root) + os.sep
    found = {path.removeprefix(home).replace(os.sep, "/"): digest for path, digest in files.items()}
    if options is not None and not words.isdisjoint(_ASKING):
        for name, value in options(sorted(words)).items():
            found[name] = blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return dict(sorted(found.items()))


def words_called(called: Iterable[ModuleType]) -> set[str]:
    """Return the texts, and the names of attributes, in what pytest calls of conftests and plugins."""
    return _searched([], list(called))[1]


def opened_by_loading(module: ModuleType) -> list[str]:
    """Return names in what is executed to load a module of the project by which it may open files."""
    search = SetUpSearch([], "set-up")
    search.load(module, "set-up")
    search.run()
    parts = [part for executed in search.executed.values() for part in executed]
    words = {word for part in parts for word in part.words}
    words |= {name for part in parts for chain in part.uses for name in chain}
    return sorted(word for word in words if word in _OPENING or word.startswith(_OPENING_PREFIXES))


_Searched = tuple[dict[str, str], set[str]]
"""File -> digest, and the words in what is executed of them."""

_searched_before: dict[tuple[int, ...], tuple[Sequence[ref[ModuleType]], _Searched]] = {}
_MOST_SEARCHED: Final = 8


def _searched(loaded: list[ModuleType], called: list[ModuleType]) -> _Searched:
    """Return what is found from some modules, which experiments have in common, of one file or of several."""
    loaded = list(dict.fromkeys(loaded))  # whose own module may be among all that are loaded
    modules = [*called, *loaded]
    sizes = (number for module in modules for number in (id(module), len(vars(module))))
    key = (OUTLINES.reloads(), len(sys.modules), len(called), *sizes)
    living, found = _searched_before.get(key, ((), None))
    if found is None or any(module() is None for module in living):  # an id is worth something until then
        if len(_searched_before) >= _MOST_SEARCHED:
            _searched_before.clear()
        found = _search(loaded, called)
        _searched_before[key] = [ref(module) for module in modules], found
    return found


def _search(loaded: list[ModuleType], called: list[ModuleType]) -> _Searched:
    search = SetUpSearch(called)
    for module in loaded:
        search.load(module)
    search.run()
    found = {
        path: combined(definitions).hex()
        for path, definitions in search.executed.items()
        if any(definition.digests for definition in definitions)
    } | search.whole
    return found, {word for parts in search.executed.values() for part in parts for word in part.words}


def reached_modules(labels: Iterable[str]) -> dict[str, ModuleType]:
    """Return name -> module of the parts of a fingerprint that belong to one."""
    found = {}
    for label in sorted(labels):
        name = label.removesuffix(" (whole)")
        while name and name not in sys.modules:
            name = name.rpartition(".")[0]
        if name:
            found[name] = sys.modules[name]
    return found
