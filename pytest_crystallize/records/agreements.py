"""What the processes of a session have agreed on: values by name, in a file that each of them appends to."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Final

from crystallize.errors import EngineError
from crystallize.seam import BINARY, Locks
from pytest_crystallize.records.lock_bytes import APPENDING

FILE: Final = "agreed"


class NotAgreedError(EngineError, OSError):
    """Value that can't be told to the other processes of a session."""


class Agreements:
    """Values by name, of which every process of a session learns when it looks.

    Who changes one holds a lock on its name, so that nobody else does.

    Parameters
    ----------
    directory : Path
        Of the session.
    locks : Locks
        Its locks.
    """

    def __init__(self, directory: Path, locks: Locks) -> None:
        self._path = directory / FILE
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o600)
        self._locks = locks
        self._known: dict[str, Any] = {}
        self._read = 0
        self._reading = threading.Lock()

    def get(self, name: str) -> Any:
        """Return the latest value of a name; None if there is none."""
        with self._reading:
            new = os.fstat(self._file).st_size - self._read
            if new > 0:
                self._learn(new)
        return self._known.get(name)

    def _learn(self, size: int) -> None:
        os.lseek(self._file, self._read, os.SEEK_SET)
        text = os.read(self._file, size)
        whole = text.rfind(b"\n") + 1  # what is being appended just now counts when it ends
        self._read += whole
        for line in filter(None, text[:whole].split(b"\n")):
            try:
                name, value = json.loads(line)
            except (ValueError, TypeError):  # torn, by a full disk or a killed process
                continue
            self._known[name] = value

    def put(self, name: str, value: Any) -> None:
        """Have a value stand for a name.

        Raises
        ------
        NotAgreedError
            If it can't be written.
        """
        text = b"\n%s\n" % json.dumps([name, value]).encode()  # what is torn before it ends here
        self._locks.acquire(APPENDING, wait=True)
        try:
            written = os.write(self._file, text)
            if written != len(text):
                raise OSError(f"only {written} of {len(text)} bytes could be written")
        except OSError as error:
            raise NotAgreedError(
                f"the processes of this session can't agree on what is run: {self._path} can't be written "
                f"({error.strerror or error}); make room there, or run it again without -n"
            ) from error
        finally:
            self._locks.release(APPENDING)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
