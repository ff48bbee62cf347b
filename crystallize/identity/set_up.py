"""What code of a project did to its process before anything was run: settings, registrations, patches.

Such code is found in its source: what the modules that are loaded do beside giving names, and what pytest
calls of a conftest or a plugin for every test; with all functions and classes of the project that these name,
in whichever module. What a module merely defines does not count.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from inspect import getmro
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from crystallize.identity.file_digests import DIGESTS, Status
from crystallize.identity.held_code import code_in
from crystallize.identity.origin import is_project_file, real_path
from crystallize.identity.outline import Definition, Imported, Manner, Outline, combined, outline

_ASKING = frozenset({"getoption", "getini", "getvalue", "option", "addoption"})
"""How code asks pytest for its options, or has pytest convert their values."""
_NAMING: Final = frozenset({"globals", "getfixturevalue", "usefixtures"})
"""Calls to which a text is as good as a name."""
_IMPORTING: Final = frozenset({"import_module", "__import__"})
_FILLING: Final = frozenset(
    {
        *("__setattr__", "__setitem__", "append", "appendleft", "add", "extend", "insert", "setdefault"),
        *("update", "register"),
    }
)
_OPENING: Final = frozenset(
    {
        "open",
        "listdir",
        "scandir",
        "iterdir",
        "glob",
        "rglob",
        "walk",
        "connect",
        "fromfile",
        "memmap",
        "get_data",
    }
)
_OPENING_PREFIXES: Final = ("read_", "load", "run_path", "genfrom")
"""What names begin with by which code opens files or lists directories."""
_OF_METACLASSES: Final = ("__prepare__", "__new__", "__init__", "__call__", "__setattr__")
_NOTHING = Outline(effects={"set-up": Definition(), "module": Definition(), "script": Definition()})


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


def opened_by_loading(module: ModuleType) -> list[str]:
    """Return names in what is executed to load a module of the project by which it may open files."""
    search = _Search([], "set-up")
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
    for module, (spec, _) in list(_read.items()):
        if vars(module).get("__spec__") is not spec():
            _outline_of(module)  # forgets what was found, since it was loaded again
    modules = [*called, *loaded]
    sizes = (number for module in modules for number in (id(module), len(vars(module))))
    key = (len(sys.modules), len(called), *sizes)
    living, found = _searched_before.get(key, ((), None))
    if found is None or any(module() is None for module in living):  # an id is worth something until then
        if len(_searched_before) >= _MOST_SEARCHED:
            _searched_before.clear()
        found = _search(loaded, called)
        _searched_before[key] = [ref(module) for module in modules], found
    return found


def _search(loaded: list[ModuleType], called: list[ModuleType]) -> _Searched:
    search = _Search(called)
    for module in loaded:
        search.load(module)
    search.run()
    found = {
        path: combined(definitions).hex()
        for path, definitions in search.executed.items()
        if any(definition.digests for definition in definitions)
    } | search.compiled
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


class _Search:
    """Search through what is executed, from module to module."""

    def __init__(self, called: list[ModuleType], imported: Manner = "module") -> None:
        self.executed: dict[str, list[Definition]] = {}
        self.compiled: dict[str, str] = {}
        self._called = called
        self._imported = imported
        self._loaded: set[str] = set()
        self._met: set[tuple[bool, str, str]] = set()
        self._waiting: deque[tuple[bool, ModuleType, Definition]] = deque()
        self._calls = True
        """Whether what is followed now is of a conftest or plugin, and not of any module that is loaded."""
        for module in called:
            self.load(module, "set-up")
            self._execute(module, _outline_of(module).hooks)
            for name in _hooks_of(module, set()):
                self._follow(module, name, [])

    def run(self) -> None:
        """Follow everything."""
        while self._waiting:
            self._calls, module, definition = self._waiting.popleft()
            for imported in definition.imports:
                self._load_imported(module, imported)
            for name, *attributes in definition.uses:
                self._follow(module, name, attributes)
            self._follow_texts(module, definition)

    def _follow_texts(self, module: ModuleType, definition: Definition) -> None:
        """Take in what texts stand for where code looks up names by them, or imports by them."""
        called = {chain[-1] for chain in definition.uses}
        if not called.isdisjoint(_NAMING):
            for word in sorted(definition.words):
                self._follow(module, word, [])
        if "__subclasses__" in called:
            for name, *attributes in definition.uses:
                if attributes[-1:] == ["__subclasses__"]:
                    self._follow_code(_subclasses(_found(module, [name, *attributes[:-1]])))
        if not called.isdisjoint(_IMPORTING):
            names = [w for w in definition.words if all(part.isidentifier() for part in w.split("."))]
            paths = (_path(other) for other in map(_module, names) if other is not None)
            self._take_whole(path for path in paths if path is not None)

    def _take_whole(self, paths: Iterable[str]) -> None:
        """Take in files all of which may be executed."""
        for path in paths:
            with suppress(OSError):
                self.compiled[path] = DIGESTS.of(path)

    def load(self, module: ModuleType, manner: Manner = "module") -> None:
        """Take in what a module does when it is loaded, and what the modules do that it imports."""
        path = _path(module)
        if path is None or path in self._loaded:
            return
        self._loaded.add(path)
        before, self._calls = self._calls, manner == "set-up"
        self._load(module, path, manner)
        self._calls = before

    def _load(self, module: ModuleType, path: str, manner: Manner) -> None:
        read = _outline_of(module)
        if read is _NOTHING:  # compiled, or in a language of its own: all of it may be executed
            self._take_whole([path])
            return
        self._execute(module, read.effects["script" if module.__name__ == "__main__" else manner])
        for kind in _classes(module, module.__name__):
            if makers := _makers_of(kind):
                self._execute(module, read.classes.get(kind.__qualname__, Definition()))
            for home, name in makers:
                if (maker := sys.modules.get(home)) is not None:
                    self._execute(maker, _outline_of(maker).making.get(name, Definition()))
        for imported in read.loaded:
            self._load_imported(module, imported)

    def _load_imported(self, module: ModuleType, imported: Imported) -> None:
        for other in _modules(module, imported):
            self.load(other, self._imported)

    def _execute(self, module: ModuleType, definition: Definition) -> None:
        path = _path(module)
        if path is not None:
            self.executed.setdefault(path, []).append(definition)
            self._waiting.append((self._calls, module, definition))

    def _follow(self, module: ModuleType, name: str, attributes: list[str]) -> None:
        """Take in what a name stands for, if the project defines it."""
        if self._define(module, name, attributes):
            return
        read = _outline_of(module)
        imported = read.imported.get(name)
        if imported is not None:
            self._follow_imported(module, imported, attributes)
            return
        for star in read.stars:
            for other in _modules(module, star):
                self._follow_once(other, name, attributes)
        for other in self._called:  # a fixture, by the name of an argument
            if other is not module:
                self._define(other, name)

    def _follow_imported(self, module: ModuleType, imported: Imported, attributes: list[str]) -> None:
        names = list(attributes)
        if imported.name:  # from module import name
            names.insert(0, imported.name)
        elif imported.name is None:  # import a.b, used as a.b.c
            known = imported.module.split(".")[1:]
            while known and names and names[0] == known[0]:
                names.pop(0)
                known.pop(0)
        target = _absolute(module, imported)
        while names and _module(f"{target}.{names[0]}") is not None:
            target = f"{target}.{names.pop(0)}"
        other = _module(target)
        if other is not None and names:
            self._follow_once(other, names[0], names[1:])
            if names[0] not in vars(other) and not names[0].startswith("__"):
                self._define(other, "__getattr__")
        elif other is not None:
            self._follow_all(other)

    def _follow_all(self, module: ModuleType) -> None:
        """Take in all that a module defines, for code that uses it as a value."""
        if self._meets(module, ".*"):
            for name in _outline_of(module).names:
                self._define(module, name)

    def _follow_once(self, module: ModuleType, name: str, attributes: list[str]) -> None:
        if self._meets(module, ".".join(("", name, *attributes))):
            self._follow(module, name, attributes)

    def _meets(self, module: ModuleType, what: str) -> bool:
        """Return whether something of a module is met for the first time."""
        place = self._calls, _path(module) or "", what
        if place in self._met:
            return False
        self._met.add(place)
        return True

    def _define(self, module: ModuleType, name: str, attributes: Iterable[str] = ()) -> bool:
        definition = _outline_of(module).names.get(name)
        if definition is None:
            return False
        if self._meets(module, name):
            self._execute(module, definition)
        # Who adds to a registry, as decorators do, calls nothing of what is in it.
        if self._calls and _FILLING.isdisjoint(attributes) and self._meets(module, f"{name} holds"):
            self._follow_code(code_in(vars(module).get(name)))
        return True

    def _follow_code(self, found: Iterable[FunctionType | type]) -> None:
        """Take in functions and classes that were found in memory: those in a registry, for one."""
        for code in found:
            home = sys.modules.get(code.__module__ or "")
            if home is not None and _path(home) is not None:
                self._define(home, code.__qualname__.partition(".")[0])


def _hooks_of(module: ModuleType, met: set[str]) -> Iterator[str]:
    """Yield the names of hooks that a module has otherwise than by defining them."""
    read, path = _outline_of(module), _path(module) or ""
    if path not in met:
        met.add(path)
        names = (name for name in (*read.names, *read.imported) if name.startswith("pytest_"))
        yield from (name for name in names if name != "pytest_plugins")
        for star in read.stars:
            for other in _modules(module, star):
                yield from _hooks_of(other, met)


def _classes(owner: ModuleType | type, module: str) -> Iterator[type]:
    """Yield the classes that a module defines, in itself or within its classes."""
    inside = "" if isinstance(owner, ModuleType) else f"{owner.__qualname__}."
    for value in list(vars(owner).values()):
        if (
            isinstance(value, type)
            and value.__module__ == module
            and value.__qualname__.startswith(inside)
            and value is not owner
        ):
            yield value
            yield from _classes(value, module)


_makers: WeakKeyDictionary[type, list[tuple[str, str]]] = WeakKeyDictionary()


def _makers_of(kind: type) -> list[tuple[str, str]]:
    """Return module and qualified name of the functions of the project that were called to make a class."""
    known = _makers.get(kind)
    if known is None:
        found = [vars(base).get("__init_subclass__") for base in kind.__mro__[1:]]
        found += [vars(meta).get(name) for meta in getmro(type(kind)) for name in _OF_METACLASSES]
        kinds = {base for value in vars(kind).values() for base in getmro(type(value))}
        found += [vars(base).get("__set_name__") for base in kinds]
        known = _makers[kind] = []
        for function in (getattr(function, "__func__", function) for function in found):
            if isinstance(function, FunctionType) and is_project_file(function.__code__.co_filename):
                known.append((function.__globals__.get("__name__", ""), function.__code__.co_qualname))
    return known


def _found(module: ModuleType, names: list[str]) -> object:
    """Return what is in memory under a name of a module, and the attributes taken of it."""
    found: object = module
    for name in names:
        found = getattr(found, "__dict__", {}).get(name)
    return found


def _subclasses(kind: object) -> Iterator[type]:
    """Yield the subclasses of a class, and theirs."""
    if isinstance(kind, type) and not issubclass(kind, type):
        inner: type
        for inner in kind.__subclasses__():
            yield inner
            yield from _subclasses(inner)


def _absolute(module: ModuleType, imported: Imported) -> str:
    if not imported.level:
        return imported.module
    package = vars(module).get("__package__") or ""
    base = package.rsplit(".", imported.level - 1)[0] if imported.level > 1 else package
    return f"{base}.{imported.module}" if imported.module else base


def _modules(module: ModuleType, imported: Imported) -> Iterator[ModuleType]:
    """Yield the modules of the project that an import loads."""
    name = _absolute(module, imported)
    parts = name.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    if imported.name and imported.name != "*":
        names.append(f"{name}.{imported.name}")
    for known in map(_module, names):
        if known is not None:
            yield known


def _module(name: str) -> ModuleType | None:
    """Return a module of the project: as it is loaded, or as it would be."""
    found = sys.modules.get(name)
    if found is None and (path := _located(name)) is not None:
        found = ModuleType(name)
        found.__file__ = path
        found.__package__ = name if Path(path).stem == "__init__" else name.rpartition(".")[0]
    return found if isinstance(found, ModuleType) and _path(found) is not None else None


@lru_cache(maxsize=10_000)
def _located(name: str) -> str | None:
    """Return the source of a module that is not loaded, without loading its packages."""
    package, _, last = name.rpartition(".")
    if package:
        parent = _module(package)
        if parent is None or Path(parent.__file__ or "").stem != "__init__":
            return None
        path: list[str] | None = [str(Path(parent.__file__ or "").parent)]
    else:
        path = None
    if last in sys.builtin_module_names or name in sys.stdlib_module_names:
        return None
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    return spec.origin if spec is not None and spec.has_location else None


def _path(module: ModuleType) -> str | None:
    """Return the file of a module of the project, without links: its source, or what was compiled of it."""
    path = vars(module).get("__file__")
    return real_path(path) if isinstance(path, str) and is_project_file(path) else None


_outlines: dict[str, tuple[Status, Outline]] = {}
_read: WeakKeyDictionary[ModuleType, tuple[Callable[[], object], Outline]] = WeakKeyDictionary()
"""Module -> what returns the spec that it had, and its outline. A spec may hold what holds the module: the
loader of pytest has its whole session."""


def _outline_of(module: ModuleType) -> Outline:
    """Return the outline of a module, as its source was when this was asked first; empty if there is none.

    A module that was loaded again, which gave it another spec, has executed another source.
    """
    spec, known = vars(module).get("__spec__"), _read.get(module)
    if known is None or known[0]() is not spec:
        if known is not None:
            _searched_before.clear()
        held = ref(spec) if isinstance(spec, importlib.machinery.ModuleSpec) else lambda: spec
        known = _read[module] = held, _outline_of_source(module)
    return known[1]


def _outline_of_source(module: ModuleType) -> Outline:
    path = _path(module)
    if path is None or not path.endswith(".py"):
        return _NOTHING
    loader: Any = vars(module).get("__loader__")
    archive = getattr(loader, "archive", None)
    try:
        status = Status.of(path if archive is None else archive)
        known = _outlines.get(path)
        if known is None or known[0] != status:
            source = Path(path).read_bytes() if archive is None else loader.get_data(vars(module)["__file__"])
            known = _outlines[path] = status, outline(source)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return _NOTHING
    return known[1]
