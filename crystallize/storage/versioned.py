"""Files that other versions may read: each names its format; what is wrong with one is told in one way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from crystallize.errors import FileFormatError
from crystallize.storage.regular import read_regular


@dataclass(frozen=True, slots=True)
class FileFormat:
    """Format of the files of one kind, in the version that is read here.

    Attributes
    ----------
    name : str
        What a file of it says; ends in the number of the version.
    noun : str
        What messages call a file of it.
    writer : str
        What writes one.
    again : str
        What to do about one that can't be read.
    largest : int
        How many bytes are read at most.
    key : str
        Under which a file says its format.
    error : type of FileFormatError
        Raised for a file that can't be read.
    """

    name: str
    noun: str
    writer: str
    again: str
    largest: int
    key: str = "format"
    error: type[FileFormatError] = FileFormatError

    def __str__(self) -> str:
        return f"a {self.noun} ({self.name!r}, of {self.writer})"

    def read(
        self, path: str | os.PathLike[str], parse: Callable[[bytes], Any] = json.loads
    ) -> dict[str, Any]:
        """Return the data of a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        FileFormatError
            If it can't be read, or has another format.
        """
        with self.telling(path):
            return self.checked(parse(read_regular(path, self.largest)))

    def checked(self, data: Any) -> dict[str, Any]:
        """Return data that are of this format.

        Raises
        ------
        ValueError
            If they are not.
        """
        found = data.get(self.key) if isinstance(data, dict) else None
        if found == self.name:
            return data  # type: ignore[no-any-return]
        given = f"its {self.key} is {found!r}" if found else f"it names no {self.key}"
        todo = "update Crystallize" if self._is_later(found) else self.again
        raise ValueError(f"{given}; this version reads {self.name!r}, which {self.writer} writes; {todo}")

    def is_meant_by(self, found: object) -> bool:
        """Return whether a format is this one, in any version."""
        return isinstance(found, str) and found.rpartition("-")[0] == self.name.rpartition("-")[0]

    def _is_later(self, found: object) -> bool:
        version = str(found).rpartition("-")[2]
        own = int(self.name.rpartition("-")[2])
        return self.is_meant_by(found) and version.isdecimal() and int(version) > own

    def damaged(self) -> ValueError:
        """Return the error of a file whose digest is another than that of what it holds."""
        return ValueError(f"it was changed or damaged since it was written; {self.again}")

    def telling(self, path: str | os.PathLike[str]) -> AbstractContextManager[None]:
        """Raise `error` for whatever is wrong with a file that is there."""
        return telling(path, self.noun, self.error)


@contextmanager
def telling(
    path: str | os.PathLike[str], noun: str, error: type[FileFormatError] = FileFormatError
) -> Iterator[None]:
    """Raise one error for whatever is wrong with a file that is there; `noun` is what it should be."""
    try:
        yield
    except (FileNotFoundError, FileFormatError):
        raise
    except OSError as fault:
        raise error(f"{path} can't be read: {fault.strerror or fault}") from fault
    except json.JSONDecodeError as fault:
        raise error(f"{path} is no {noun}: it is no JSON, or was cut off: {fault}") from fault
    except KeyError as fault:
        raise error(f"{path} is no {noun}: it has no {fault}") from fault
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError) as fault:
        raise error(f"{path} is no {noun}: {fault}") from fault
