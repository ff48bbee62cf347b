"""Where files lie, for those who judge what code opens: declared, installed, temporary, of no concern."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import re
import sys
import sysconfig
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

StrPath = str | os.PathLike[str]

_HARMLESS: Final = (os.path.normcase(os.path.abspath(os.devnull)), "/dev/zero", "/dev/full")  # noqa: PTH100
_MACHINE: Final = ("/proc/", "/sys/")  # the environment's part of the key is about these
_ZONES: Final = "/usr/share/zoneinfo/"  # imports read them, that of pandas for one
_SYSTEM: Final = (
    "/usr/",
    "/lib",
    "/opt/",
    "/nix/",
    "/System/",
    "/Library/",
    os.path.realpath(sys.base_prefix),
)
_TOOLS: Final = frozenset(
    {
        *("__pycache__", ".git", ".hg", ".svn"),
        *(".hypothesis", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox"),
    }
)
_METADATA: Final = re.compile(r"\.(egg|dist)-info(?:[/\\]|$)")


class Spelled(NamedTuple):
    """A path, as it was given and without symbolic links."""

    given: str
    real: str

    @classmethod
    def of(cls, path: Any) -> Spelled:
        """Return both spellings of a path."""
        given = as_given(path)
        return cls(given, os.path.normcase(os.path.realpath(given)))

    def shown(self) -> str:
        """Return it as seen from the current directory."""
        here = os.path.normcase(os.getcwd()) + os.sep  # noqa: PTH109 - as above
        return self.given.removeprefix(here).replace(os.sep, "/")


def as_given(path: Any) -> str:
    """Return the first spelling of a path."""
    return os.path.normcase(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - a Path costs more


class Places:
    """Files and whole directories, under either spelling; what is not there yet may become either."""

    def __init__(self, paths: Iterable[StrPath]) -> None:
        self._files: set[str] = set()
        trees: set[str] = set()
        for path in paths:
            # A Path raises where there is no access, or a name is too long.
            if not os.path.isfile(path):  # noqa: PTH113
                trees.update(text.rstrip(os.sep) + os.sep for text in Spelled.of(path))
            if not os.path.isdir(path):  # noqa: PTH112
                self._files.update(Spelled.of(path))
        self._trees = tuple(trees)

    def __contains__(self, path: tuple[str, ...]) -> bool:
        return not self._files.isdisjoint(path) or any(text.startswith(self._trees) for text in path)

    def hold_directory(self, path: Spelled) -> bool:
        """Return whether a directory, all that is in it too, lies in these."""
        return any((text + os.sep).startswith(self._trees) for text in path)


@lru_cache(maxsize=100)
def places_of(paths: tuple[StrPath, ...]) -> Places:
    """Return places that are the same for most experiments of a session: links in them are followed once."""
    return Places(paths)


def is_of_no_concern(file: Spelled) -> bool:
    """Say whether a file says nothing of a project: a device, the machine's, metadata of a distribution."""
    return (
        file.given in _HARMLESS
        or file.real.startswith(_MACHINE)  # not /proc/self/cwd, which leads elsewhere
        or file.given.startswith(_ZONES)
        or _METADATA.search(file.given) is not None
    )


def is_of_tools(directory: Spelled) -> bool:
    """Return whether a directory is where Python, a version control or a checker keeps what is its own.

    Who looks through a project for its files meets the names there, which change all the time.
    """
    return not _TOOLS.isdisjoint(Path(directory.given).parts)


def source_of(file: Spelled) -> Spelled | None:
    """Return the source of a file of bytecode, or of one that is to become such."""
    directory, name = os.path.split(file.given)
    if sys.pycache_prefix and file.given.startswith(os.path.normcase(sys.pycache_prefix)):
        with contextlib.suppress(ValueError):
            return Spelled.of(importlib.util.source_from_cache(file.given))
        return file
    parent, cache = os.path.split(directory)
    if cache != "__pycache__":
        return None
    # Others than Python put tags of their own between the name of the module and the ending.
    return Spelled.of(os.path.join(parent, name.partition(".")[0] + ".py"))  # noqa: PTH118


def directory_of(descriptor: int) -> str | None:
    """Return the directory that a descriptor stands for; None if it can't be told, or is none."""
    try:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None
    return str(path) if os.path.isdir(path) else None  # noqa: PTH112 - a Path may raise


def database_file(name: Any) -> str | None:
    """Return the file of what `sqlite3.connect` is given; None if it is kept in memory."""
    text, query = os.fsdecode(name), ""
    if text.startswith("file:"):
        text, _, query = text.removeprefix("file:").partition("?")
        text = urllib.parse.unquote(text.removeprefix("//"))
    return None if text in ("", ":memory:") or "mode=memory" in query.split("&") else text


def is_library_of_project(name: object) -> bool:
    """Return whether a library that is to be loaded is neither the system's nor Python's."""
    if not isinstance(name, str | bytes) or not os.path.lexists(name):
        return False  # the system looks for it
    return not Spelled.of(name).real.startswith(_SYSTEM)


def resolved(inputs: Iterable[StrPath]) -> Iterator[StrPath]:
    """Yield the paths that are declared, and for each pattern the files that it fits now."""
    for path in inputs:
        text = os.fspath(path)
        if any(sign in text for sign in "*?[") and not os.path.lexists(text):
            found = glob.glob(text, recursive=True, include_hidden=True)  # noqa: PTH207 - may be absolute
            yield from (file for file in found if not os.path.isdir(file))  # noqa: PTH112
        else:
            yield path


def looked_through(inputs: Iterable[StrPath]) -> Callable[[Spelled], bool]:
    """Return what tells the directories in which patterns look for files: their names count where listed."""
    flat: set[str] = set()
    deep: list[StrPath] = []
    for path in inputs:
        parts = Path(os.path.abspath(os.fspath(path))).parts  # noqa: PTH100 - links are kept
        wild = next((place for place, part in enumerate(parts) if any(sign in part for sign in "*?[")), None)
        if wild == len(parts) - 1 and parts[wild] != "**":
            flat.update(Spelled.of(Path(*parts[:wild])))
        elif wild is not None:
            deep.append(Path(*parts[:wild]))
    if not flat and not deep:
        return _is_nowhere
    trees = Places(deep)
    return lambda directory: not flat.isdisjoint(directory) or trees.hold_directory(directory)


def _is_nowhere(_directory: Spelled) -> bool:
    return False


def installation() -> tuple[StrPath, ...]:
    """Return the directories of what is installed, and those of Crystallize."""
    return _installation(tuple(sys.path))


@lru_cache(maxsize=8)
def _installation(searched: tuple[str, ...]) -> tuple[StrPath, ...]:
    paths = sysconfig.get_paths()
    installed: list[StrPath] = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    site = sys.modules.get("site")
    if site is not None:
        installed += site.getsitepackages()
        if site.ENABLE_USER_SITE:
            installed.append(site.getusersitepackages())
    archive = "python{}{}.zip".format(*sys.version_info)
    installed += [path for path in searched if Path(path).name == archive]
    package = Path(__file__).parent.parent
    return (*installed, package, package.with_name("pytest_crystallize"))
