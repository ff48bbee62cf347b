"""Where this process keeps replies, and whether it makes calls."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from crystallize.errors import DefinitionError

Mode = Literal["live", "replay", "refresh"]
MODES: Final[tuple[Mode, ...]] = ("live", "replay", "refresh")
VARIABLE: Final = "CRYSTALLIZE_REMOTE"
_STARTED: Final = "CRYSTALLIZE_REMOTE_STARTED"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is settled for all remote functions of a process.

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


_settled: Keeping | None = None


def keeping() -> Keeping:
    """Return what is settled; by the environment, if nobody did before.

    Raises
    ------
    DefinitionError
        If ``CRYSTALLIZE_REMOTE`` is no mode.
    """
    global _settled
    if _settled is None:
        from crystallize.storage.place import cache_directory  # loads the store, which declarations need not

        _settled = from_environment(cache_directory())
    return _settled


def from_environment(cache: Path) -> Keeping:
    """Return what the environment says, with replies below the directory of a cache.

    Raises
    ------
    DefinitionError
        If ``CRYSTALLIZE_REMOTE`` is no mode.
    """
    given = os.environ.get(VARIABLE)
    mode = None if not given else checked_mode(given, VARIABLE)
    started = 0.0
    if mode == "refresh":  # processes that this one starts are of the same session
        started = float(os.environ.setdefault(_STARTED, repr(time.time())))
    return Keeping(cache / "replies", mode, started)


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


def keep(settled: Keeping | None) -> None:
    """Settle where replies are kept from now on, and whether calls are made; None has it be asked anew."""
    global _settled
    _settled = settled


def with_mode(settled: Keeping, mode: Mode) -> Keeping:
    """Return it with a mode that was asked for."""
    return replace(settled, mode=mode, started=settled.started or time.time())
