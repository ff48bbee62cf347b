"""The user's part of a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import _pytest
import pluggy

import crystallize
from crystallize.cache.origin import is_project_file

_OTHERS = tuple(
    str(directory) + os.sep
    for file in (__file__, crystallize.__file__, _pytest.__file__, pluggy.__file__)
    for directory in {Path(file).parent, Path(file).resolve().parent}
)


def is_users(path: str | Path) -> bool:
    """Tell whether a file is neither of pytest nor of this project."""
    return not str(path).startswith(_OTHERS)


def is_projects(path: str | Path, root: Path) -> bool:
    """Tell whether a file is the project's own, rather than installed or made up by a library."""
    made_up = str(path).startswith("<")  # what a dataclass runs is no file
    return not made_up and is_users(path) and is_project_file(str(path), (str(root),))


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame on that is the user's; all of it if none is."""
    frame = traceback
    while frame is not None and not is_users(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return frame or traceback
