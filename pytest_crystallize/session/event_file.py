"""Where events are written: a file, or a named pipe."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crystallize.seam import BINARY, json_line

PATIENCE: Final = 5.0
"""Seconds after which the reader of a pipe that takes nothing is given up."""


class EventFile:
    """Writer of events to a file or a named pipe, each at once and as a line of its own.

    Parameters
    ----------
    path : Path
        What it holds is lost. A named pipe is opened when somebody reads it; until then this waits.

    Attributes
    ----------
    fault : str or None
        Why nothing more is written.

    Raises
    ------
    OSError
        If it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.fault: str | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY
        self._descriptor = os.open(path, flags, 0o666)
        self._is_pipe = stat.S_ISFIFO(os.fstat(self._descriptor).st_mode)
        if self._is_pipe:
            os.set_blocking(self._descriptor, False)

    def write(self, event: Mapping[str, Any]) -> None:
        """Write an event, with the time; after a fault, nothing."""
        if self.fault is not None:
            return
        name, *rest = event
        text = json_line({name: event[name], "time": time.time(), **{key: event[key] for key in rest}})
        try:
            self._write(text.encode())
        except BrokenPipeError:
            self.fault = "their reader is gone"
        except OSError as error:
            self.fault = str(error)

    def _write(self, text: bytes) -> None:
        while text:
            if self._is_pipe and not select.select([], [self._descriptor], [], PATIENCE)[1]:
                raise OSError(f"their reader took nothing for {PATIENCE:g} s")
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:  # less room than the line takes
                time.sleep(0.01)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
