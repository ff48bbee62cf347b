"""The user's part of a traceback, and what is told of an exception."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import pluggy
import pytest

import crystallize
import pytest_crystallize
from crystallize.errors import CrystallizeError
from crystallize.seam import RunError, check_failure, is_project_file, with_frames
from pytest_crystallize.pytest_seam import PYTEST_FILE, call_of, plain_text

_OTHERS = tuple(
    str(directory) + os.sep
    for file in (pytest_crystallize.__file__, crystallize.__file__, PYTEST_FILE, pluggy.__file__)
    for directory in {Path(file).parent, Path(file).resolve().parent}
)


def is_users(path: str | Path) -> bool:
    """Return whether a file is neither of pytest nor of this project."""
    return not str(path).startswith(_OTHERS)


def is_projects(path: str | Path, root: Path) -> bool:
    """Return whether a file is the project's own, rather than installed or made up by a library."""
    made_up = str(path).startswith("<")  # what a dataclass runs is no file
    return not made_up and is_users(path) and is_project_file(str(path), (str(root),))


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame on that is the user's; all of it if none is."""
    frame = traceback
    while frame is not None and not is_users(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return frame or traceback


def with_lines(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback without frames that were left between lines, as a signal may do.

    Python gives such a frame no line number, without which pytest can't show it.
    """
    return with_frames(traceback, lambda entry: entry.tb_lineno is not None)


def describe(error: BaseException, step: str, node: pytest.Item) -> RunError:
    """Describe an exception in pytest's manner, with the user's part of the traceback; --pdb stops here."""
    check_failure(error)
    error = error.with_traceback(users_part(error.__traceback__))
    plain = RunError.from_exception(error, step)
    info = pytest.ExceptionInfo.from_exception(error)
    try:
        ours = isinstance(error, CrystallizeError) and not any(
            is_users(entry.path) for entry in info.traceback
        )
        text = str(plain) if ours else plain_text(node.repr_failure(info))
    except BaseException as fault:  # a repr of the user's that fails must not hide the failure itself
        check_failure(fault)
        text = plain.traceback
    if node.config.getoption("usepdb", False):
        call = call_of(info, "call")
        report = pytest.TestReport.from_item_and_call(node, call)
        node.ihook.pytest_exception_interact(node=node, call=call, report=report)
    return RunError(plain.type, plain.message, step, text)
