"""Modules of the project, as they are loaded or as they would be, and the outlines of their sources."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from crystallize.identity.file_digests import Status
from crystallize.identity.names_in_source import Imported
from crystallize.identity.origin import is_project_file, real_path
from crystallize.identity.outline import Definition, Outline, outline

NOTHING: Final = Outline(effects={"set-up": Definition(), "module": Definition(), "script": Definition()})
"""The outline of what is compiled, or in a language of its own."""


def path_of(module: ModuleType) -> str | None:
    """Return the file of a module of the project, without links: its source, or what was compiled of it."""
    path = vars(module).get("__file__")
    return real_path(path) if isinstance(path, str) and is_project_file(path) else None


def module_named(name: str) -> ModuleType | None:
    """Return a module of the project: as it is loaded, or as it would be."""
    found = sys.modules.get(name)
    if found is None and (path := _located(name)) is not None:
        found = ModuleType(name)
        found.__file__ = path
        found.__package__ = name if Path(path).stem == "__init__" else name.rpartition(".")[0]
    return found if isinstance(found, ModuleType) and path_of(found) is not None else None


@lru_cache(maxsize=10_000)
def _located(name: str) -> str | None:
    """Return the source of a module that is not loaded, without loading its packages."""
    package, _, last = name.rpartition(".")
    if package:
        parent = module_named(package)
        if parent is None or Path(parent.__file__ or "").stem != "__init__":
            return None
        path: list[str] | None = [str(Path(parent.__file__ or "").parent)]
    else:
        path = None
    if last in sys.builtin_module_names or name in sys.stdlib_module_names:
        return None
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    return spec.origin if spec is not None and spec.has_location else None


def absolute_name(module: ModuleType, imported: Imported) -> str:
    """Return the whole name of the module that an import in another one names."""
    if not imported.level:
        return imported.module
    package = vars(module).get("__package__") or ""
    base = package.rsplit(".", imported.level - 1)[0] if imported.level > 1 else package
    return f"{base}.{imported.module}" if imported.module else base


def modules_loaded_by(module: ModuleType, imported: Imported) -> Iterator[ModuleType]:
    """Yield the modules of the project that an import loads."""
    name = absolute_name(module, imported)
    parts = name.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    if imported.name and imported.name != "*":
        names.append(f"{name}.{imported.name}")
    for known in map(module_named, names):
        if known is not None:
            yield known


class Outlines:
    """Outlines of the sources of modules, as they were when each was asked for first."""

    def __init__(self) -> None:
        self._by_path: dict[str, tuple[Status, Outline]] = {}
        # Its spec may hold what holds the module: the loader of pytest has its whole session.
        self._by_module: WeakKeyDictionary[ModuleType, tuple[Callable[[], object], Outline]] = (
            WeakKeyDictionary()
        )
        self._reloads = 0

    def of(self, module: ModuleType) -> Outline:
        """Return the outline of a module; `NOTHING` if there is no source of it.

        A module that was loaded again, which gave it another spec, has executed another source.
        """
        spec, known = vars(module).get("__spec__"), self._by_module.get(module)
        if known is None or known[0]() is not spec:
            self._reloads += known is not None
            held = ref(spec) if isinstance(spec, importlib.machinery.ModuleSpec) else lambda: spec
            known = self._by_module[module] = held, self._of_source(module)
        return known[1]

    def reloads(self) -> int:
        """Return how often a module was loaded again whose outline had been asked for."""
        for module in list(self._by_module):
            self.of(module)
        return self._reloads

    def _of_source(self, module: ModuleType) -> Outline:
        path = path_of(module)
        if path is None or not path.endswith(".py"):
            return NOTHING
        loader: Any = vars(module).get("__loader__")
        archive = getattr(loader, "archive", None)
        try:
            status = Status.of(path if archive is None else archive)
            known = self._by_path.get(path)
            if known is None or known[0] != status:
                file = vars(module)["__file__"]
                source = Path(path).read_bytes() if archive is None else loader.get_data(file)
                known = self._by_path[path] = status, outline(source)
        except (OSError, SyntaxError, ValueError, RecursionError):
            return NOTHING
        return known[1]


OUTLINES: Final = Outlines()
"""Those of this process."""
