"""What a run does that no key can see: an audit hook notes it.

It does not see what C code opens (HDF5, Arrow), processes that `multiprocessing` spawns, reads of the
environment, the clock and time zones, whether a file exists, and connections that were made before the run
and kept. What was read before it, `opened_files` knows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from crystallize.identity.audit import caller, is_heard, listen, unheard
from crystallize.identity.places import (
    Places,
    Spelled,
    StrPath,
    as_given,
    database_file,
    directory_of,
    installation,
    is_library_of_project,
    is_of_no_concern,
    is_of_tools,
    looked_through,
    places_of,
    resolved,
    source_of,
)

_MOST: Final = 8  # reasons that are kept; one suffices
_NETWORK: Final = "a network address"
DEBUGGED: Final = "stopped in a debugger, where anything may be changed"
"""A reason that no key vouches for."""


def is_incidental(reason: str) -> bool:
    """Return whether a reason may be a mere companion of another: who asks the network opens files, too."""
    return _NETWORK not in reason


class Watcher:
    """Watcher of the runs of one experiment, or of one step, in this process.

    Once a run has done something that the key can't see, every later one is impure as well: it may use what
    that one left in memory, be it data, a module or a connection.

    Parameters
    ----------
    inputs : iterable of paths
        What the key holds the content of: files, whole directories, and patterns for files (``*``, ``**``).
        Patterns are resolved now.
    code : iterable of paths
        Source files that the fingerprint holds; they may be imported.
    ignored : iterable of paths
        Files and directories of Crystallize itself, such as the cache and the root of artifacts.
    project : iterable of paths
        Directories that are no temporary ones, even if they lie in the system's.
    temporary : iterable of paths
        Directories that are temporary, even if they lie in a project's.
    """

    def __init__(
        self,
        inputs: Iterable[StrPath] = (),
        *,
        code: Iterable[StrPath] = (),
        ignored: Iterable[StrPath] = (),
        project: Iterable[StrPath] = (),
        temporary: Iterable[StrPath] = (),
    ) -> None:
        inputs = list(inputs)
        self._inputs = Places(resolved(inputs)) if inputs else places_of(())
        self._listed = looked_through(inputs)
        self._code = places_of(tuple(map(as_given, code)))  # which is loaded: it will not be elsewhere
        self._ignored = places_of((*installation(), *ignored))
        self._temporary = places_of((tempfile.gettempdir(),))
        self._project = _inside(tuple(project), self._temporary)
        self._given = places_of(tuple(temporary))
        self._noted: dict[str, None] = {}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons why runs are impure, the network first, then as they arose; about eight at most."""
        return tuple(sorted(self._noted, key=is_incidental)) if self._noted else ()

    def knows(self, file: Spelled, *, directory: bool = False) -> bool:
        """Return whether the key holds a file, or the names in a directory, or they are of no concern."""
        if directory:
            return self._inputs.hold_directory(file) or self._ignored.hold_directory(file)
        return file in self._inputs or file in self._ignored

    def watch(self) -> Watch:
        """Return a context manager that notes what is done meanwhile, and gives itself."""
        return Watch(self)

    def _is_temporary(self, path: Spelled) -> bool:
        return path in self._given or (path in self._temporary and path not in self._project)

    def _note(self, reason: str) -> None:
        if len(self._noted) < _MOST or not is_incidental(reason):
            self._noted.setdefault(reason)


@lru_cache(maxsize=100)
def _inside(paths: tuple[StrPath, ...], outer: Places) -> Places:
    """Return those places that lie in others, which are the same for all experiments of a project."""
    return Places(path for path in paths if Spelled.of(path) in outer)


def _stands_for_no_file(path: Any) -> bool:
    """Return whether this is a name such as ``<string>``, which Python opens to show a line of code."""
    name = os.fsdecode(path)
    return name.startswith("<") and name.endswith(">") and not os.path.lexists(name)


class Watch:
    """Run under watch: what this thread or task does, and threads that belong to no other run.

    Its reasons are complete when the run has ended. A class, since there are as many as runs.

    Parameters
    ----------
    watcher : Watcher
        That of its experiment.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._written: set[str] = set()  # files that are new, or were emptied
        self._made: set[str] = set()  # directories, each with a separator behind it

    def __enter__(self) -> Watch:
        listen(_hear, _EVENTS)
        _active[self] = None
        _current.set((*_current.get(), self))
        if not is_heard():
            self._watcher._note("can't be watched: another audit hook refuses ours")
        return self

    def __exit__(self, *_: object) -> None:
        # No token: a fixture may end in another context than it began in.
        _current.set(tuple([other for other in _current.get() if other is not self]))
        del _active[self]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons why this run, or an earlier one of the same watcher, is impure; empty if all are pure."""
        return self._watcher.reasons

    def _owns(self, path: Spelled) -> bool:
        return path.real in self._written or path.real.startswith(tuple(self._made))

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        if isinstance(path, int):  # it was opened before
            return
        if mode is None and _called_by("os", "shutil"):
            return  # directories, whose names are relative to others
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and _stands_for_no_file(path):
            return
        file = Spelled.of(path)
        known = self._watcher
        if file in known._ignored or is_of_no_concern(file):
            return
        # To list it, or for a temporary file without a name; a Path raises where there is no access.
        if os.path.isdir(file.given):  # noqa: PTH112
            return
        access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
        is_new = bool(flags & os.O_TRUNC) or (flags & os.O_CREAT and not os.path.lexists(file.real))
        owned = self._owns(file)
        if access != os.O_WRONLY and not (is_new or owned) and file not in known._inputs:
            source = source_of(file)
            if (source or file) not in known._code:
                known._note(f"opened {(source or file).shown()}, which is not declared in inputs=")
        if access != os.O_RDONLY:
            self._wrote(file)
            if is_new:
                self._written.add(file.real)

    def _listed(self, path: Any = None) -> None:
        listed = listed_directory(path)
        if listed is None or _listed_for_tools():
            return
        directory = Spelled.of(listed)
        known = self._watcher
        if known._ignored.hold_directory(directory) or is_of_no_concern(directory) or is_of_tools(directory):
            return
        owned = (directory.real + os.sep).startswith(tuple(self._made))
        if not owned and not (known._inputs.hold_directory(directory) or known._listed(directory)):
            known._note(f"listed {directory.shown()}, which is not declared in inputs=")

    def _wrote(self, file: Spelled) -> None:
        known = self._watcher
        if not (known._is_temporary(file) or file in known._ignored or source_of(file)):
            known._note(f"wrote {file.shown()}, which a stored result would not")

    def _made_directory(self, path: Any, mode: int, descriptor: int) -> None:
        directory = Spelled.of(path)
        if descriptor == -1 and not os.path.lexists(directory.real):
            self._made.add(directory.real + os.sep)

    def _renamed(self, old: Any, new: Any, *descriptors: int) -> None:
        if any(descriptor != -1 for descriptor in descriptors):
            return
        source, target = Spelled.of(old), Spelled.of(new)
        self._wrote(target)
        inside = source.real + os.sep
        moved = {f for f in self._written if f == source.real or f.startswith(inside)}
        made = {d for d in self._made if d.startswith(inside)}
        if not moved and self._owns(source):  # written by C code into a directory of its own
            moved = {source.real}
        self._written.discard(target.real)
        self._written |= {target.real + file.removeprefix(source.real) for file in moved}
        self._made |= {target.real + directory.removeprefix(source.real) for directory in made}

    def _connected_database(self, database: Any) -> None:
        name = database_file(database)
        if name is None:
            return
        file = Spelled.of(name)
        known = self._watcher
        if file in known._ignored or file in known._inputs or self._owns(file):
            return
        if known._is_temporary(file) and not os.path.lexists(file.real):
            self._written.add(file.real)
        else:
            known._note(f"opened the database {file.shown()}, which is not declared in inputs=")

    def _loaded_library(self, name: Any) -> None:
        if is_library_of_project(name):
            self._opened(name, "rb", os.O_RDONLY)

    def _started(self, program: Any, arguments: Any = None, *rest: object) -> None:
        if program is None:  # on Windows the command is a text, or the first argument
            program = arguments if isinstance(arguments, str | bytes) else arguments[0]
        name = os.path.basename(os.fsdecode(program))  # noqa: PTH119
        if name not in _MACHINE_PROGRAMS:
            self._watcher._note(f"started the process {name!r}")

    def _spawned(self, mode: int, program: Any, *rest: object) -> None:
        self._started(program)

    def _ran_command(self, command: Any, *rest: object) -> None:
        self._started((os.fsdecode(command).split() or [""])[0])

    def _forked(self) -> None:
        self._watcher._note("forked its process")

    def _sent(self, socket: object, address: object) -> None:
        if address is not None:  # else the socket is connected
            self._watcher._note(f"sent to {_NETWORK}")


def _saying(reason: str) -> Callable[..., None]:
    def judge(watch: Watch, *args: object) -> None:
        watch._watcher._note(reason)

    return judge


_CONNECTED = _saying(f"connected to {_NETWORK}")
_LOOKED_UP = _saying(f"looked up {_NETWORK}")
_DEBUGGED = _saying(DEBUGGED)

_JUDGES: dict[str, Callable[..., None]] = {
    "open": Watch._opened,
    "os.listdir": Watch._listed,
    "os.scandir": Watch._listed,
    "os.mkdir": Watch._made_directory,
    "os.rename": Watch._renamed,
    "sqlite3.connect": Watch._connected_database,
    "ctypes.dlopen": Watch._loaded_library,
    "subprocess.Popen": Watch._started,
    "os.exec": Watch._started,
    "os.posix_spawn": Watch._started,
    "os.spawn": Watch._spawned,
    "os.system": Watch._ran_command,
    "os.startfile": Watch._ran_command,
    "os.fork": Watch._forked,
    "os.forkpty": Watch._forked,
    "builtins.breakpoint": _DEBUGGED,
    "pdb.Pdb": _DEBUGGED,  # whoever asks for it, and those that are made of it
    "socket.connect": _CONNECTED,
    "socket.bind": _saying(f"listened on {_NETWORK}"),
    "socket.sendto": Watch._sent,
    "socket.sendmsg": Watch._sent,
    "socket.getaddrinfo": _LOOKED_UP,
    "socket.gethostbyname": _LOOKED_UP,
    "socket.gethostbyaddr": _LOOKED_UP,
    "socket.getnameinfo": _LOOKED_UP,
    # These tell of connections that were made before.
    "http.client.send": _CONNECTED,
    "ftplib.sendcmd": _CONNECTED,
    "imaplib.send": _CONNECTED,
    "poplib.putline": _CONNECTED,
    "smtplib.send": _CONNECTED,
}

_THREAD_STARTS = ("_thread.start_new_thread", "_thread.start_joinable_thread")
_MACHINE_PROGRAMS = frozenset({"lscpu", "ldconfig", "sysctl", "uname"})  # joblib asks the first for cores
_LISTING_FOR_OTHERS = frozenset(
    {
        *("_frozen_importlib_external", "importlib._bootstrap_external", "importlib.metadata"),
        "_pytest.pathlib",
    }
)
"""Who lists directories to find modules and distributions, or a name for a temporary directory."""
_TOOLS = frozenset({"crystallize", "pytest_crystallize", "importlib_metadata", "pkg_resources"})

_EVENTS = frozenset({*_JUDGES, *_THREAD_STARTS})
_LOOK_UPS = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)
"""What event loops have threads do that belong to no run."""

_active: dict[Watch, None] = {}  # one operation at a time, so that it needs no lock
_current: ContextVar[tuple[Watch, ...]] = ContextVar("crystallize_watches", default=())


_exempt: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def exempt_threads(threads: Iterable[threading.Thread]) -> None:
    """Have threads, and those that they start, count for no run; for a process that has work beside its runs.

    What they do in a run of their own counts as ever.
    """
    listen(_hear, _EVENTS)
    _exempt.update(threads)


_vouched: list[None] = []  # an entry for each that is under way, in whatever thread


@contextmanager
def vouched() -> Iterator[None]:
    """Do what something else vouches for: it is no act of the run.

    Nor are look-ups of addresses meanwhile, which an event loop leaves to threads that belong to no run.
    """
    _vouched.append(None)
    try:
        with unheard():
            yield
    finally:
        _vouched.pop()


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _exempt and event in _THREAD_STARTS and not _current.get() and threading.current_thread() in _exempt:
        thread = getattr(args[0], "__self__", None)
        if isinstance(thread, threading.Thread):
            _exempt.add(thread)
    if not _active:
        return
    judge = _JUDGES.get(event)
    if judge is None:
        return
    # A thread without a run of its own works for any of those that are under way.
    active = tuple(_active)
    own = [watch for watch in _current.get() if watch in active]
    if not own and _exempt and threading.current_thread() in _exempt:
        return
    if not own and _vouched and event in _LOOK_UPS:
        return
    for watch in own or active:
        if len(watch._watcher._noted) < _MOST or event.startswith("socket."):
            try:
                judge(watch, *args)
            except Exception as error:  # it would end up in the code that is watched
                watch._watcher._note(
                    f"did what can't be judged ({event}: {type(error).__qualname__}: {error})"
                )


def current() -> tuple[Watch, ...]:
    """Return the watches of the runs that this thread or task is in, or may be working for."""
    return _current.get() or tuple(_active)


def _listed_for_tools() -> bool:
    """Return whether a directory is listed for Python's or pytest's own ends, or by Crystallize itself."""
    frame = caller()
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        top = name.partition(".")[0]
        if name in _LISTING_FOR_OTHERS or top in _TOOLS:
            return True
        if top not in sys.stdlib_module_names:
            return False
        frame = frame.f_back
    return False


def listed_directory(given: Any) -> Any:
    """Return the directory that is listed; None if that can't be told, or it is listed to be removed."""
    if isinstance(given, int):
        return None if _called_by("shutil") else directory_of(given)
    return os.curdir if given is None else given


def _called_by(*modules: str) -> bool:
    """Return whether the frame that an event is about belongs to one of these modules."""
    frame = caller()
    return frame is not None and frame.f_globals.get("__name__") in modules
