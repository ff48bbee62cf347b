"""Where this process keeps replies, and whether it makes calls."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from crystallize.errors import DefinitionError

Mode = Literal["live", "replay", "refresh"]
MODES: Final[tuple[Mode, ...]] = ("live", "replay", "refresh")
VARIABLE: Final = "CRYSTALLIZE_REMOTE"
_SETTLED: Final = "CRYSTALLIZE_REPLIES"
_STARTED: Final = "CRYSTALLIZE_REMOTE_STARTED"

CASSETTES: Final[dict[tuple[str, str], str | None]] = {}
"""Name and key of each remote function -> the directory of its cassette, as it was declared last."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Settings of all remote functions of a process.

    Attributes
    ----------
    directory : Path
        Where replies lie.
    mode : {"live", "replay", "refresh"} or None
        Make calls whose replies are not stored; make none; make every call once more. None leaves it to the
        functions.
    started : float
        Time since which replies are as new as ``refresh`` wants them.
    """

    directory: Path
    mode: Mode | None = None
    started: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"directory": str(self.directory), "mode": self.mode, "started": self.started}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Keeping:
        """Return what `to_json` was called of."""
        return cls(Path(data["directory"]), data["mode"], data["started"])


_settled: Keeping | None = None


def keeping() -> Keeping:
    """Return what is settled here, or by the process that started this one; else what the environment says.

    Raises
    ------
    DefinitionError
        If ``CRYSTALLIZE_REMOTE`` is no mode.
    """
    return _settled or _of_environment(*map(os.environ.get, (_SETTLED, VARIABLE, "CRYSTALLIZE_CACHE_DIR")))


@lru_cache(maxsize=8)
def _of_environment(settled: str | None, *_: str | None) -> Keeping:
    return replies_kept() if settled is None else Keeping.from_json(json.loads(settled))


def keep_replies(settled: Keeping | None) -> Keeping | None:
    """Settle where replies are kept, and whether calls are made, here and in processes that are started.

    None leaves it to the environment again. Returns what was settled before.
    """
    global _settled
    before, _settled = _settled, settled
    if settled is None:
        os.environ.pop(_SETTLED, None)
    else:
        os.environ[_SETTLED] = json.dumps(settled.to_json())
    return before


def replies_kept(root: Path | None = None, mode: str | None = None, where: str = "mode") -> Keeping:
    """Return what is asked for, and what the environment says of the rest.

    Parameters
    ----------
    root : path, optional
        Of the project; the current directory if left out.
    mode : str, optional
        What is to be done.
    where : str
        How an error names it.

    Raises
    ------
    DefinitionError
        If that is no mode, or ``CRYSTALLIZE_REMOTE`` is none.
    """
    from crystallize.storage.place import cache_directory  # loads the store, which declarations need not

    given = os.environ.get(VARIABLE)
    if mode is None and given:
        mode, where = given, VARIABLE
    checked = None if mode is None else checked_mode(mode, where)
    # Processes that this one starts are of the same session.
    started = time.time() if root is not None else float(os.environ.setdefault(_STARTED, repr(time.time())))
    return Keeping(cache_directory(root) / "replies", checked, started)


def checked_mode(text: str, where: str) -> Mode:
    """Return a mode.

    Raises
    ------
    DefinitionError
        If it is none.
    """
    for mode in MODES:
        if text == mode:
            return mode
    raise DefinitionError(f"{where} is {text!r}; allowed are {', '.join(MODES)}")
