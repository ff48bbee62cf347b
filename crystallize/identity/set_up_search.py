"""Search through what code of a project executes before a run, from module to module."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Final

from crystallize.identity.effects import Manner
from crystallize.identity.file_digests import DIGESTS
from crystallize.identity.held_code import code_in
from crystallize.identity.made_classes import classes_of, makers_of, subclasses_of
from crystallize.identity.names_in_source import Imported
from crystallize.identity.outline import Definition
from crystallize.identity.project_modules import (
    NOTHING,
    OUTLINES,
    absolute_name,
    module_named,
    modules_loaded_by,
    path_of,
)

_NAMING: Final = frozenset({"globals", "getfixturevalue", "usefixtures"})
"""Calls to which a text is as good as a name."""
_IMPORTING: Final = frozenset({"import_module", "__import__"})
"""Calls to which a text names a module."""
_FILLING: Final = frozenset(
    {
        *("__setattr__", "__setitem__", "append", "appendleft", "add", "extend", "insert", "setdefault"),
        *("update", "register"),
    }
)
"""What is taken of a registry to add to it."""


class SetUpSearch:
    """Search through what is executed, from module to module.

    Parameters
    ----------
    called : list of module
        Conftests and plugins, of which pytest calls hooks and fixtures for every test.
    imported : Manner
        How closely to look at modules that others import.

    Attributes
    ----------
    executed : dict
        File -> what is executed of it.
    whole : dict
        File all of which may be executed -> its digest.
    """

    def __init__(self, called: list[ModuleType], imported: Manner = "module") -> None:
        self.executed: dict[str, list[Definition]] = {}
        self.whole: dict[str, str] = {}
        self._called = called
        self._imported = imported
        self._loaded: set[str] = set()
        self._met: set[tuple[bool, str, str]] = set()
        self._waiting: deque[tuple[bool, ModuleType, Definition]] = deque()
        self._is_called = True
        """Whether what is followed now is of a conftest or plugin, and not of any module that is loaded."""
        for module in called:
            self.load(module, "set-up")
            self._execute(module, OUTLINES.of(module).hooks)
            for name in _hooks_of(module, set()):
                self._follow(module, name, [])

    def run(self) -> None:
        """Follow everything."""
        while self._waiting:
            self._is_called, module, definition = self._waiting.popleft()
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
                    self._follow_code(subclasses_of(_found(module, [name, *attributes[:-1]])))
        if not called.isdisjoint(_IMPORTING):
            names = [w for w in definition.words if all(part.isidentifier() for part in w.split("."))]
            paths = (path_of(other) for other in map(module_named, names) if other is not None)
            self._take_whole(path for path in paths if path is not None)

    def _take_whole(self, paths: Iterable[str]) -> None:
        """Take in files all of which may be executed."""
        for path in paths:
            with suppress(OSError):
                self.whole[path] = DIGESTS.of(path)

    def load(self, module: ModuleType, manner: Manner = "module") -> None:
        """Take in what a module does when it is loaded, and what the modules do that it imports."""
        path = path_of(module)
        if path is None or path in self._loaded:
            return
        self._loaded.add(path)
        before, self._is_called = self._is_called, manner == "set-up"
        self._load(module, path, manner)
        self._is_called = before

    def _load(self, module: ModuleType, path: str, manner: Manner) -> None:
        read = OUTLINES.of(module)
        if read is NOTHING:  # compiled, or in a language of its own: all of it may be executed
            self._take_whole([path])
            return
        self._execute(module, read.effects["script" if module.__name__ == "__main__" else manner])
        for kind in classes_of(module, module.__name__):
            if makers := makers_of(kind):
                self._execute(module, read.classes.get(kind.__qualname__, Definition()))
            for home, name in makers:
                if (maker := sys.modules.get(home)) is not None:
                    self._execute(maker, OUTLINES.of(maker).making.get(name, Definition()))
        for imported in read.loaded:
            self._load_imported(module, imported)

    def _load_imported(self, module: ModuleType, imported: Imported) -> None:
        for other in modules_loaded_by(module, imported):
            self.load(other, self._imported)

    def _execute(self, module: ModuleType, definition: Definition) -> None:
        path = path_of(module)
        if path is not None:
            self.executed.setdefault(path, []).append(definition)
            self._waiting.append((self._is_called, module, definition))

    def _follow(self, module: ModuleType, name: str, attributes: list[str]) -> None:
        """Take in what a name stands for, if the project defines it."""
        if self._define(module, name, attributes):
            return
        read = OUTLINES.of(module)
        imported = read.imported.get(name)
        if imported is not None:
            self._follow_imported(module, imported, attributes)
            return
        for star in read.stars:
            for other in modules_loaded_by(module, star):
                self._follow_once(other, name, attributes)
        for other in self._called:  # a fixture, by the name of an argument
            if other is not module:
                self._define(other, name)

    def _follow_imported(self, module: ModuleType, imported: Imported, attributes: list[str]) -> None:
        """Take in what an imported name, and attributes taken of it, stand for in another module."""
        names = _names_in(imported, attributes)
        target = absolute_name(module, imported)
        while names and module_named(f"{target}.{names[0]}") is not None:
            target = f"{target}.{names.pop(0)}"
        other = module_named(target)
        if other is not None and names:
            self._follow_once(other, names[0], names[1:])
            if names[0] not in vars(other) and not names[0].startswith("__"):
                self._define(other, "__getattr__")
        elif other is not None:
            self._follow_all(other)

    def _follow_all(self, module: ModuleType) -> None:
        """Take in all that a module defines, for code that uses it as a value."""
        if self._meets(module, ".*"):
            for name in OUTLINES.of(module).names:
                self._define(module, name)

    def _follow_once(self, module: ModuleType, name: str, attributes: list[str]) -> None:
        if self._meets(module, ".".join(("", name, *attributes))):
            self._follow(module, name, attributes)

    def _meets(self, module: ModuleType, what: str) -> bool:
        """Return whether something of a module is met for the first time."""
        place = self._is_called, path_of(module) or "", what
        if place in self._met:
            return False
        self._met.add(place)
        return True

    def _define(self, module: ModuleType, name: str, attributes: Iterable[str] = ()) -> bool:
        definition = OUTLINES.of(module).names.get(name)
        if definition is None:
            return False
        if self._meets(module, name):
            self._execute(module, definition)
        # Who adds to a registry, as decorators do, calls nothing of what is in it.
        if self._is_called and _FILLING.isdisjoint(attributes) and self._meets(module, f"{name} holds"):
            self._follow_code(code_in(vars(module).get(name)))
        return True

    def _follow_code(self, found: Iterable[FunctionType | type]) -> None:
        """Take in functions and classes that were found in memory: those in a registry, for one."""
        for code in found:
            home = sys.modules.get(code.__module__ or "")
            if home is not None and path_of(home) is not None:
                self._define(home, code.__qualname__.partition(".")[0])


def _names_in(imported: Imported, attributes: list[str]) -> list[str]:
    """Return what is looked up in the module that an import names, where attributes of its name are."""
    if imported.name:  # from module import name
        return [imported.name, *attributes]
    names = list(attributes)
    if imported.name is None:  # import a.b, used as a.b.c
        known = imported.module.split(".")[1:]
        while known and names and names[0] == known[0]:
            names.pop(0)
            known.pop(0)
    return names


def _hooks_of(module: ModuleType, met: set[str]) -> Iterator[str]:
    """Yield the names of hooks that a module has otherwise than by defining them."""
    read, path = OUTLINES.of(module), path_of(module) or ""
    if path not in met:
        met.add(path)
        names = (name for name in (*read.names, *read.imported) if name.startswith("pytest_"))
        yield from (name for name in names if name != "pytest_plugins")
        for star in read.stars:
            for other in modules_loaded_by(module, star):
                yield from _hooks_of(other, met)


def _found(module: ModuleType, names: list[str]) -> object:
    """Return what is in memory under a name of a module, and the attributes taken of it."""
    found: object = module
    for name in names:
        found = getattr(found, "__dict__", {}).get(name)
    return found
