"""The pytest that the screen has started: its events, its output, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from crystallize.seam import Locks
from pytest_crystallize.records.directories import remove_stale
from pytest_crystallize.records.lock_bytes import ALIVE, CLAIMS

_PREFIX: Final = "crystallize-screen-"


class Child:
    """A session of pytest in processes of its own, which end with this one.

    Parameters
    ----------
    arguments : sequence of str
        Of pytest, beside those that have it write events.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        remove_stale(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))  # of screens that were killed
        self._directory = tempfile.TemporaryDirectory(prefix=_PREFIX)
        here = Path(self._directory.name)
        self._locks = Locks(here / CLAIMS)
        self._locks.acquire(ALIVE, wait=False)
        events, output = here / "events.jsonl", here / "output.txt"
        events.touch()
        command = [sys.executable, "-m", "pytest", "--crystallize", f"--crystallize-events={events}"]
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.supervisor", *command, "--color=no", *arguments],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._events = events.open("rb")
        self._output = output.open("rb")
        self._rest = b""

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events since the last time."""
        *lines, self._rest = (self._rest + self._events.read()).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def output(self) -> str:
        """Return what pytest printed since the last time."""
        return self._output.read().decode(errors="replace")

    @property
    def exit_status(self) -> int | None:
        """Exit status of pytest; None while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Interrupt the session; what is finished is kept."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended meanwhile
            self._process.stdin.write(b"interrupt\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End the session, and wait for its end."""
        files: list[BinaryIO] = [self._events, self._output]
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, and a word to it was not delivered
            self._process.stdin.close()
        self._process.wait()
        for file in files:
            file.close()
        self._locks.close()
        self._directory.cleanup()
