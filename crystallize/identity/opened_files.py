"""Which files code of the project has opened in this process, and which directories it has listed.

What it read may be kept in memory, by a memo of its own or of an installed package, and a later run need not
open it again. So all of it is noted, from the moment on that pytest loads its plugins, or that the first run
is watched.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any, Final, Literal

from crystallize.identity.audit import caller, listen, unheard
from crystallize.identity.file_digests import Status, digest_of_names
from crystallize.identity.origin import is_project_file, is_project_name
from crystallize.identity.places import (
    Places,
    Spelled,
    as_given,
    database_file,
    installation,
    is_library_of_project,
    is_of_no_concern,
    is_of_tools,
    places_of,
    source_of,
)
from crystallize.identity.purity import current, listed_directory

Kind = Literal["content", "names", "code"]

_TOOLS: Final = frozenset({"_pytest", "pytest", "pluggy", "xdist", "execnet", "coverage", "crystallize"})
_EVENTS: Final = (
    "open",
    "os.listdir",
    "os.scandir",
    "sqlite3.connect",
    "ctypes.dlopen",
    "pickle.find_class",
)
_AT_START: Final = ("sitecustomize", "usercustomize")
"""Modules that Python loads when it starts."""
_TOOLS_PREFIX: Final = "pytest_"
_WRITES: Final = os.O_WRONLY | os.O_TRUNC


@dataclass(slots=True)
class Opening:
    """A file that was opened, a directory that was listed, or code that was unpickled.

    Attributes
    ----------
    kind : {"content", "names", "code"}
        What of it was read.
    path : str
        Absolute path, with links; of code its module and name, with a colon between.
    status : Status or None
        Of the file when it was opened first; None if it was not there.
    names : str
        Digest of the names in a directory when it was listed first.
    modules : frozenset of str
        Modules of the project that were executing.
    in_runs : bool
        Whether only runs of experiments have opened it.
    """

    kind: Kind
    path: str
    status: Status | None = None
    names: str = ""
    modules: frozenset[str] = frozenset()
    in_runs: bool = False


class Openings(dict[tuple[Kind, str], Opening]):
    """Openings by what was opened, and a number that changes with whatever is noted."""

    version = 0


class OpenedFiles:
    """Files that were opened in this process, but for those of packages, of Python and of the machine.

    Those in the system's temporary directory are kept apart, since each run may have files of its own there:
    a project that lies elsewhere has nothing to do with them.
    """

    def __init__(self) -> None:
        self.unheard: tuple[ModuleType, ...] = ()
        """Modules that were loaded before it began to note."""
        self._openings, self._temporary = Openings(), Openings()
        self._system: tuple[str, tuple[str, ...]] | None = None  # its temporary directory, and spellings
        self._made: set[str] = set()
        self._ignored: Places | None = None

    def of(self, root: str) -> Iterator[Opening]:
        """Yield those that may count for a project, given its directory without links."""
        for openings in self._concerning(root):
            yield from list(openings.values())

    def version(self, root: str) -> tuple[int, ...]:
        """Return what changes with whatever is noted that may count for a project."""
        return tuple(openings.version for openings in self._concerning(root))

    def _concerning(self, root: str) -> tuple[Openings, ...]:
        if self._system is None:
            return (self._openings,)
        directory, trees = self._system
        project = os.path.normcase(root).rstrip(os.sep) + os.sep
        overlaps = any(tree.startswith(project) or project.startswith(tree) for tree in trees)
        if overlaps or tempfile.tempdir != directory:  # another one is none that counts as temporary
            return self._openings, self._temporary
        return (self._openings,)

    def _group_of(self, file: Spelled) -> Openings:
        # `gettempdir` takes a lock, which who opens a file may hold; whoever has asked it has set `tempdir`.
        if self._system is None and isinstance(directory := tempfile.tempdir, str):
            self._system = directory, tuple(text.rstrip(os.sep) + os.sep for text in Spelled.of(directory))
        is_temporary = (
            self._system is not None
            and tempfile.tempdir == self._system[0]
            and all(text.startswith(self._system[1]) for text in file)
        )
        return self._temporary if is_temporary else self._openings

    def start(self, loaded: Iterable[object] = ()) -> None:
        """Begin to note; what modules among the plugins that are loaded have opened by then is not known."""
        if self._ignored is None:
            self._ignored = Places(installation())
            held = (*loaded, *map(sys.modules.get, _AT_START))
            self.unheard = tuple(module for module in held if isinstance(module, ModuleType))
            listen(self._hear, _EVENTS)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            if not isinstance(path, int):
                self._opened(path, mode, flags)
        elif event in ("os.listdir", "os.scandir"):
            listed = listed_directory(args[0])
            if listed is not None:
                self._note("names", listed)
        elif event == "sqlite3.connect":
            if (name := database_file(args[0])) is not None:
                self._note("content", name)
        elif event == "ctypes.dlopen":
            if is_library_of_project(args[0]):
                self._note("content", args[0])
        elif event == "pickle.find_class":
            self._unpickled(*args)

    def _unpickled(self, module: str, name: str) -> None:
        """Note a function or class that a text has named: what it is, no code needs to say."""
        path = f"{module}:{name}"
        known = self._openings.get(("code", path))
        if known is None and not is_project_name(module):
            return
        if (readers := _readers()) is None:
            return
        in_run = bool(current())
        if known is None:
            known = self._openings["code", path] = Opening("code", path, in_runs=in_run)
        elif known.modules.issuperset(readers) and known.in_runs <= in_run:
            return
        self._met_again(self._openings, known, readers, in_run)

    def _met_again(self, openings: Openings, known: Opening, readers: set[str], in_run: bool) -> None:
        known.modules |= readers
        known.in_runs &= in_run
        openings.version += 1

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        if not flags & _WRITES:
            self._note("content", path)
        elif flags & os.O_TRUNC:  # what it holds from now on, this process has made
            self._made.add(Spelled.of(path).real)

    def _note(self, kind: Kind, path: Any) -> None:
        try:
            assert self._ignored is not None
            if (as_given(path),) in self._ignored:
                return  # as most are that a tool reads; links are followed for the others
            file = Spelled.of(path)
            if file in self._ignored or is_of_no_concern(file) or file.real in self._made:
                return
            if kind == "names" and is_of_tools(file):
                return
            if source_of(file) is not None or (readers := _readers()) is None:
                return
            in_run = bool(current())
            openings = self._group_of(file)
            known = openings.get((kind, file.given))
            if known is None:
                known = _first_opening(kind, file.given)
                if known is None:
                    return
                known.in_runs = in_run
                openings[kind, file.given] = known
            elif known.modules.issuperset(readers) and known.in_runs <= in_run:
                return
            self._met_again(openings, known, readers, in_run)
        except Exception:  # it would end up in the code that opens the file
            self._openings.setdefault((kind, repr(path)), Opening(kind, repr(path)))
            self._openings.version += 1


def _first_opening(kind: Kind, path: str) -> Opening | None:
    """Return what there is to know of a file or directory now; None if it is a directory that is opened."""
    if not os.path.lexists(path):
        return Opening(kind, path)
    is_directory = os.path.isdir(path)  # noqa: PTH112 - a Path costs more
    if kind == "content":
        return None if is_directory else Opening(kind, path, Status.of(path))
    with unheard():
        return Opening(kind, path, names=digest_of_names(path)) if is_directory else None


def _readers() -> set[str] | None:
    """Return the modules of the project that are executing; None if it is Python or a tool that reads."""
    names: set[str] = set()
    tool = False
    importing: bool | None = None
    frame: FrameType | None = caller()
    lister = None if frame is None else frame.f_globals.get("__name__")
    if lister == "importlib.metadata":
        return None
    while frame is not None:
        filename, name = frame.f_code.co_filename, frame.f_globals.get("__name__") or ""
        top = name.partition(".")[0]
        if top in _TOOLS or top.startswith(_TOOLS_PREFIX):
            tool = True
            if importing is None:
                return None  # source that is collected, or a file of the tool's own
        elif filename.startswith("<frozen importlib"):
            if importing is None and frame.f_code.co_name == "_find_and_load":
                return None  # a module that is loaded
        elif not filename.startswith("<") and top not in sys.stdlib_module_names:
            ours = is_project_file(filename)
            if lister == "pkgutil" and importing is None and not ours:
                return None  # a package that looks for its parts among all that there is
            importing = False
            if ours:
                names.add(name)
        frame = frame.f_back
    return names if names or not tool else None


OPENED: Final = OpenedFiles()
"""Those of this process."""


def in_temporary(root: str) -> Callable[[Spelled], bool]:
    """Return what tells whether a file lies in the system's temporary directory, and the project does not."""
    system, project = places_of((tempfile.gettempdir(),)), root.rstrip(os.sep) + os.sep
    return lambda file: file in system and not any(text.startswith(project) for text in file)
