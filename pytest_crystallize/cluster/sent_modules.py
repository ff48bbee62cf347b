"""Modules of the project, imported in another process from what was sent of them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from crystallize.seam import is_project_module
from pytest_crystallize.pytest_seam import AssertionRewritingHook, rewrite_asserts


class _Source(NamedTuple):
    """A module as it was loaded: where from, its text, and whether pytest has rewritten its asserts."""

    path: str
    text: bytes
    rewritten: bool

    @property
    def is_package(self) -> bool:
        return Path(self.path).name == "__init__.py"


class SentModules(MetaPathFinder):
    """The project's modules that a process has loaded, to be imported by others as they were there.

    Files of experiments are named and found by pytest, which also rewrites their asserts; no other process
    would load them like that. Each module says that it is from where it is at home, so that files beside it
    are found on a file system that is shared.

    Parameters
    ----------
    sources : mapping
        Name of each module -> its source.
    namespaces : mapping
        Name of each package without a file -> its directories.
    """

    def __init__(self, sources: Mapping[str, _Source], namespaces: Mapping[str, list[str]]) -> None:
        self._sources = dict(sources)
        self._namespaces = dict(namespaces)
        self._loaded: dict[str, ModuleType] = {}
        self._hidden: dict[str, ModuleType] = {}

    @classmethod
    def of_this_process(cls) -> SentModules:
        """Return all modules of the project that are loaded; compiled ones have to be installed elsewhere."""
        sources: dict[str, _Source] = {}
        namespaces: dict[str, list[str]] = {}
        for name, module in sys.modules.copy().items():
            if name == "__main__" or not isinstance(module, ModuleType) or not is_project_module(module):
                continue
            path = getattr(module, "__file__", None)
            if path is None:
                namespaces[name] = list(getattr(module, "__path__", ()))
            elif path.endswith(".py") and Path(path).is_file():
                rewritten = isinstance(getattr(module, "__loader__", None), AssertionRewritingHook)
                sources[name] = _Source(path, Path(path).read_bytes(), rewritten)
        return cls(sources, {name: paths for name, paths in namespaces.items() if paths})

    def __enter__(self) -> None:
        """Have this process import these modules, afresh at first, in place of others of their names."""
        self._hidden = self._taken()
        sys.modules.update(self._loaded)
        sys.meta_path.insert(0, self)

    def __exit__(self, *raised: object) -> None:
        """Put back what was there: other work in the process may have modules of the same names."""
        sys.meta_path.remove(self)
        self._loaded = self._taken()
        sys.modules.update(self._hidden)

    def _taken(self) -> dict[str, ModuleType]:
        names = (*self._sources, *self._namespaces)
        return {name: sys.modules.pop(name) for name in names if name in sys.modules}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, if it was sent."""
        source = self._sources.get(name)
        if source is not None:
            inside = _locations(name, source, path) if source.is_package else None
            loader = _SentSource(name, source)
            return spec_from_file_location(
                name, source.path, loader=loader, submodule_search_locations=inside
            )
        if name in self._namespaces:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = self._namespaces[name]
            return spec
        return None


def _locations(name: str, source: _Source, path: Sequence[str] | None) -> list[str]:
    """Return where else in a package to look: at home, and where it is installed here, for compiled parts."""
    installed = PathFinder.find_spec(name, path)
    found = None if installed is None else installed.submodule_search_locations
    return [str(Path(source.path).parent), *(found or ())]


class _SentSource(SourceLoader):
    """Loader of one module from its text, whatever file there is; no bytecode is written."""

    def __init__(self, name: str, source: _Source) -> None:
        self._name = name
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return self._source.path

    def get_data(self, path: Any) -> bytes:
        if path == self._source.path:
            return self._source.text
        raise OSError(f"{path} was not sent")

    def source_to_code(self, data: Any, path: Any = "<string>") -> CodeType:  # type: ignore[override]
        tree = ast.parse(data, filename=path)
        if self._source.rewritten:
            rewrite_asserts(tree, self._source.text, path)
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code
