"""Signs of life while replicates run: a status on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping

from crystallize.seam import counted, printable
from pytest_crystallize.report.announced import Announced

TERMINAL_SECONDS = 1.0
LINE_SECONDS = 60.0

_SAVE, _RESTORE, _CLEAR = "\x1b7", "\x1b8", "\x1b[K"


class Progress:
    """Writer of what `describe` says, from a thread of its own, to the file that pytest reports to.

    Parameters
    ----------
    file : file
        Where pytest's reporter writes; its descriptor is duplicated, since capturing may redirect it.
    on_terminal : bool
        Write a status behind the cursor, which the next report overwrites, rather than lines.
    describe : callable
        Returns what to say; empty for nothing.
    room : callable
        Returns how many columns are free behind the cursor.
    """

    def __init__(
        self, file: object, *, on_terminal: bool, describe: Callable[[], str], room: Callable[[], int]
    ) -> None:
        self._descriptor = os.dup(file.fileno())  # type: ignore[attr-defined]
        self._on_terminal = on_terminal
        self._describe = describe
        self._room = room
        self._shown = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crystallize-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        seconds = TERMINAL_SECONDS if self._on_terminal else LINE_SECONDS
        while not self._stop.wait(seconds):
            with self._lock:
                if not self._stop.is_set():
                    with contextlib.suppress(Exception):  # no sign of life is worth a failure
                        self._show(self._describe())

    def _show(self, text: str) -> None:
        if not text:
            return
        if not self._on_terminal:
            self._write(f"\n{time.strftime('%H:%M:%S')} {text}\n")
            return
        room = self._room() - 2
        if room >= 20:
            self._shown = True
            self._write(f"{_SAVE} {text[:room]}{_CLEAR}{_RESTORE}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, text.encode())

    def clear(self) -> None:
        """Take the status off before something else is written."""
        if self._shown:
            with self._lock:
                self._shown = False
                self._write(_CLEAR)

    def close(self) -> None:
        """Stop the thread."""
        if not self._stop.is_set():
            self._stop.set()
            self.clear()
            self._thread.join()
            os.close(self._descriptor)


def progress_text(
    announced: Mapping[str, Announced], done: Mapping[str, int], run: Callable[[str], int]
) -> str:
    """Say how many of how many replicates of the experiment under way are done; nothing if none is.

    Parameters
    ----------
    announced : mapping
        The experiments of the session, by id.
    done : mapping of str to int
        How many condition runs there are, by experiment.
    run : callable
        Returns how many replicates of an experiment its verdicts rest on, 0 as long as there are none.
    """
    under_way = [
        (known, done[key])
        for key, known in announced.items()
        if 0 < done.get(key, 0) < known.units and not 0 < run(key) < known.replicates  # stopped early
    ]
    if not under_way:
        return ""
    first, made = under_way[0]
    more = f" (and {len(under_way) - 1} more under way)" if len(under_way) > 1 else ""
    name, replicates = printable(first.name), first.replicates
    return f"{made * replicates // first.units} of {counted(replicates, 'replicate')} of {name}{more}"
