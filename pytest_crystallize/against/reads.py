"""What a process that stands for another commit reads by its path in the user's checkout, or starts there."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from crystallize.seam import listen, unheard
from pytest_crystallize.against.remap import Remap
from pytest_crystallize.against.revision import RevisionError, git

_ENVIRONMENTS: Final = {"subprocess.Popen": 3, "os.exec": 2, "os.posix_spawn": 2, "os.spawn": 3}
"""Where, in what is told of a program that is started, its environment is; None if it is that of this one."""
_EVENTS: Final = (
    *("open", "os.chdir", "sqlite3.connect", "ctypes.dlopen", "os.system"),
    *_ENVIRONMENTS,
)
_SEPARATORS: Final = re.compile(rf"[\s=,;\"'{os.pathsep}]+")


class Reads:
    """Paths that are named where files are opened and programs are started.

    Parameters
    ----------
    remap : Remap or None
        What maps imports; None if the process is of the user's checkout, which notes as much, so that times
        of both can be compared.
    """

    def __init__(self, remap: Remap | None) -> None:
        self._remap = remap
        self._paths: set[str] = set()
        self._commands: set[str] = set()
        self._judged: set[str] = set()
        self._inherited = dict(os.environ)  # what is in it names the checkout for other purposes
        listen(self._hear, _EVENTS)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & os.O_WRONLY:
            return
        if event in _ENVIRONMENTS:
            place = _ENVIRONMENTS[event]
            said = [each for entry in args[:place] for each in _listed(entry)]
            environment = os.environ if args[place] is None else args[place]
            known = {_text(name): _text(value) for name, value in dict(environment).items()}
            said += [value for name, value in known.items() if self._inherited.get(name) != value]
            self._commands.update(filter(None, map(_text, said)))
        elif event == "os.system":
            self._commands.add(_text(args[0]))
        elif os.path.isabs(path := _text(args[0])):  # noqa: PTH117 - a Path costs more
            self._paths.add(path)
        elif event == "os.chdir" or os.pardir in path:
            self._paths.add(os.path.abspath(path))  # noqa: PTH100 - as above

    def strays(self) -> list[str]:
        """Return which of them, since the last time, the other commit has to have of its own."""
        if not self._paths and not self._commands:  # as after most runs
            return []
        paths, self._paths = self._paths, set()
        commands, self._commands = self._commands, set()
        if self._remap is None:
            return []
        for command in commands:
            paths.update(filter(os.path.isabs, [command, *_SEPARATORS.split(command)]))
            paths.update(_SEPARATORS.split(rest)[0] for rest in self._remap.named(command))
        return list(self._judge(paths - self._judged, self._remap))

    def _judge(self, paths: set[str], remap: Remap) -> Iterator[str]:
        for path in sorted({_source(path) for path in paths}):
            if remap.is_here(path) and (os.path.lexists(remap.there(path)) or _is_tracked(path)):
                yield (
                    f"read, or told a program of, what is not of {remap.name}: {path}; have it be found "
                    "from the file of the test or the current directory, which are of either commit"
                )
            else:
                self._judged.add(path)


def _listed(said: Any) -> list[Any]:
    """Return arguments one by one; of what else is told of a program, what it is."""
    return [*said] if isinstance(said, Sequence) and not isinstance(said, str | bytes) else [said]


def _text(path: object) -> str:
    try:
        return os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:  # a descriptor, or None
        return ""


def _source(path: str) -> str:
    """Return the file that stored bytecode was made of."""
    if path.endswith(".pyc"):
        with suppress(ValueError):
            return importlib.util.source_from_cache(path)
    return path


def _is_tracked(path: str) -> bool:
    """Return whether git tracks a file of the checkout; what it does not track is of no commit."""
    real = os.path.realpath(path)
    try:
        with unheard():
            git(os.path.dirname(real), "ls-files", "--error-unmatch", "--", real)  # noqa: PTH120 - as above
    except RevisionError:
        return False
    return True
