"""Imports of a process that stands for another commit: the project's modules come from its worktree.

Loaded before pytest, so that it imports nothing that a project may want to have loaded from elsewhere.
"""

from __future__ import annotations

import gc
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import metadata
from operator import is_
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

_PATH: Final = "PYTHONPATH"


def moved(path: str | os.PathLike[str], top: str, tree: str) -> str | None:
    """Return what a path below one directory is below another one; None if it is outside."""
    real = Path(os.path.realpath(path))
    return os.fspath(Path(tree, real.relative_to(top))) if real.is_relative_to(top) else None


@lru_cache(maxsize=10_000)
def _real_directory(path: str) -> str:
    return os.path.realpath(path)


def _real(path: str) -> str:
    """Return a path without links; modules are many, and their directories few."""
    directory, name = os.path.split(path)
    if not name or os.path.islink(path):  # noqa: PTH114 - a Path costs more
        return os.path.realpath(path)
    return f"{_real_directory(directory).rstrip(os.sep)}{os.sep}{name}"


def _is_inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}{os.sep}")


class Remap:
    """Finder that gives modules of the worktree where other finders would give those of the user's checkout.

    Parameters
    ----------
    top, tree : str
        Directories of the user's checkout and of the worktree, without links.
    name : str
        What messages call the other commit.
    linked : sequence of str
        What in the worktree is linked to the checkout, and may be imported from there.
    """

    def __init__(self, top: str, tree: str, name: str, linked: Sequence[str] = ()) -> None:
        self._top = top
        self._tree = tree
        self.name = name
        ours = [Path(__file__).parents[1], Path(__file__).parents[2] / "crystallize"]
        prefixes = {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
        inside = [p for p in prefixes if Path(p).is_relative_to(top) and p != top]  # an environment in it
        shared = [str(Path(top, link)) for link in linked]
        self._kept = [str(Path(tree).parent), *map(str, ours), *inside, *shared]
        self._seen: dict[str, ModuleType] = {}
        self._loaded: list[ModuleType] = []
        self._early: list[str] = []
        self._copies: list[str] | None = None
        self._before: list[str] = []
        self._found: dict[str, None] = {}

    def is_here(self, path: str) -> bool:
        """Return whether a file is of the user's checkout, which this process must not load."""
        real = _real(path)
        return _is_inside(real, self._top) and not any(_is_inside(real, kept) for kept in self._kept)

    def named(self, text: str) -> list[str]:
        """Return what a text says from each place on where it names the user's checkout."""
        return [text[found.start() :] for found in re.finditer(re.escape(self._top), text)]

    def there(self, path: str) -> str:
        """Return what such a file is in the worktree."""
        found = moved(path, self._top, self._tree)
        assert found is not None
        return found

    def install(self) -> None:
        """Map the search path, and stand before all other finders."""
        self._before = sys.path[:]
        self._early = [*self._loaded_early()]
        sys.path[:] = self._mapped_path(sys.path)
        sys.meta_path.insert(0, self)
        given = os.environ.get(_PATH, "").split(os.pathsep) if os.environ.get(_PATH) else []
        found = [entry for entry in sys.path if entry not in self._before]
        self._have_found(dict.fromkeys([*found, *self._mapped_path(given)]))

    def _mapped_path(self, entries: Iterable[str]) -> list[str]:
        changed = (self.there(entry) if entry and self.is_here(entry) else entry for entry in entries)
        return [entry for entry in changed if not entry.startswith(self._tree) or Path(entry).exists()]

    def _have_found(self, places: Iterable[str]) -> None:
        """Have programs that runs start look there before all else: they have no such finder."""
        self._found.update(dict.fromkeys(places))
        if self._found:
            os.environ[_PATH] = os.pathsep.join(self._found)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module as the other finders do, but in the worktree if it is of the project."""
        for finder in [finder for finder in sys.meta_path if finder is not self]:
            find: Callable[..., Any] | None = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                return self._mapped(name, spec)
        self._check_generated(name, path)
        return None

    def _mapped(self, name: str, spec: importlib.machinery.ModuleSpec) -> importlib.machinery.ModuleSpec:
        origin = spec.origin if spec.has_location else None
        places = spec.submodule_search_locations
        homes = None if places is None else [*places]
        if not any(self.is_here(place) for place in (*filter(None, [origin]), *(homes or ()))):
            return spec
        if homes is not None:
            known = (self.there(home) if self.is_here(home) else home for home in homes)
            homes = [home for home in known if Path(home).is_dir()]
        if origin is None:
            if not homes:
                raise self._missing(name, (places or [name])[0])
            spec.submodule_search_locations = homes
            return spec
        if not Path(self.there(origin)).exists():
            raise self._missing(name, origin)
        found = importlib.util.spec_from_file_location(
            name, self.there(origin), submodule_search_locations=homes
        )
        assert found is not None
        if "." not in name:
            place = Path(self.there(origin))
            self._have_found([str((place.parent if homes is not None else place).parent)])
        return found

    def _check_generated(self, name: str, path: Sequence[str] | None) -> None:
        """Raise `ModuleNotFoundError` for a module that the checkout has where the worktree lacks it."""
        places = self._before if path is None else [self._back(place) for place in path]
        spec = importlib.machinery.PathFinder.find_spec(name, places)
        if spec is not None and spec.has_location and spec.origin and self.is_here(spec.origin):
            raise self._missing(name, spec.origin)

    def _back(self, place: str) -> str:
        return moved(place, self._tree, self._top) or place

    def _missing(self, name: str, origin: str) -> ModuleNotFoundError:
        file = os.path.relpath(os.path.realpath(origin), self._top)
        return ModuleNotFoundError(
            f"No module named {name!r} at {self.name}; if it is generated or compiled, and not in git, "
            f"share it: crystallize_against_link = {file}",
            name=name,
        )

    # What was loaded.

    def strays(self) -> list[str]:
        """Return which modules that were loaded since the last time are not of the other commit."""
        modules = sys.modules.values()
        if len(modules) == len(self._loaded) and all(map(is_, modules, self._loaded)):
            return []
        self._loaded = [*modules]
        found, self._early = self._early, []
        for name, module in [*sys.modules.items()]:
            if self._seen.get(name, self) is module:
                continue
            self._seen[name] = module
            files = [getattr(module, "__file__", None), *_path_of(module)]
            for file in files:
                if not isinstance(file, str):
                    continue
                if self.is_here(file):
                    found.append(f"{name} is not of {self.name}: it was loaded from {file}")
                elif any(map(_real(file).startswith, self.copies)):
                    found.append(
                        f"{name} was loaded from {file}, a copy of the project that is installed, so that it "
                        "would be the same at every commit; install the project as pip install -e ."
                    )
                else:
                    continue
                break
        return found

    def _loaded_early(self) -> Iterator[str]:
        """Yield what was loaded from the checkout before imports were mapped, but is no module any more.

        Python runs ``sitecustomize`` and lines of ``.pth`` files when it starts. What these have loaded is
        told by `strays`, unless they have taken it out of `sys.modules`.
        """
        known = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
        files: dict[str, str] = {}
        for name in ("sitecustomize", "usercustomize"):
            spec = importlib.machinery.PathFinder.find_spec(name)
            if spec is not None and spec.has_location and spec.origin:
                files[spec.origin] = name
        for each in gc.get_objects():
            if isinstance(each, ModuleType):
                files.setdefault(str(each.__dict__.get("__file__")), str(each.__dict__.get("__name__")))
            elif isinstance(each, FunctionType):
                files.setdefault(each.__code__.co_filename, str(each.__module__))
        for file, name in files.items():
            if file not in known and Path(file).is_absolute() and self.is_here(file):
                yield (
                    f"{name} is not of {self.name}: it was loaded from {file} when Python started, by "
                    "sitecustomize or a .pth file; have it be imported by what needs it"
                )

    @property
    def copies(self) -> list[str]:
        """Paths of what was installed from the user's checkout, and is no link to it."""
        if self._copies is None:
            self._copies = list(dict.fromkeys(_copied(self._top)))
        return self._copies


def _path_of(module: ModuleType | None) -> list[Any]:
    try:
        return list(getattr(module, "__path__", None) or ())
    except Exception:  # a module that makes attributes up
        return []


def _copied(top: str) -> Iterator[str]:
    """Yield the top-level packages and modules of distributions that were built of the checkout."""
    for found in metadata.distributions():
        if _is_of(found, top):
            yield from _packages(found)


def _is_of(distribution: metadata.Distribution, top: str) -> bool:
    text = distribution.read_text("direct_url.json")
    if text is None:
        return False
    said = json.loads(text)
    if said.get("dir_info", {}).get("editable"):
        return False
    url = urlsplit(str(said.get("url", "")))
    return url.scheme == "file" and Path(os.path.realpath(unquote(url.path))).is_relative_to(top)


def _packages(distribution: metadata.Distribution) -> Iterable[str]:
    for file in distribution.files or ():
        if file.suffix == ".py" and ".." not in file.parts:
            home = os.path.realpath(str(distribution.locate_file(file.parts[0])))
            yield home + os.sep if len(file.parts) > 1 else home
