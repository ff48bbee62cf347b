"""Program of a process that makes runs for a session, of another commit or apart from the session's own.

It is started as a file, and loads nothing of the project before what decides where from. The session speaks
to it by its standard input and hears it by its standard output, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NoReturn, TextIO

_SET_SIGNAL_AT_DEATH_OF_PARENT: Final = 1  # PR_SET_PDEATHSIG


def _channels() -> tuple[TextIO, TextIO]:
    """Return what the session says and what it hears; whoever prints something, prints to the log."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _guarded(requests: TextIO, replies: TextIO) -> None:
    """Leave a process behind that ends all others of this group when the program or the session has ended.

    What the program has forked may live on, and the session would wait for what it says. A process of its
    own, since a thread would make forks of the project unsafe, which elsewhere are safe.
    """
    if not hasattr(os, "fork"):
        return
    guard = os.getpid()
    if (program := os.fork()) == 0:
        _end_with(guard)
        return
    import select  # there is none where nothing forks

    def check(*_: object) -> None:
        if os.waitpid(program, os.WNOHANG)[0]:  # what it has taken counts as the session's
            raise ChildProcessError

    hung_up = select.poll()
    hung_up.register(requests.fileno(), 0)
    try:
        signal.signal(signal.SIGCHLD, check)
        check()  # it may have ended before
        hung_up.poll()
        os.kill(program, signal.SIGKILL)
        os.waitpid(program, 0)
    except ChildProcessError:
        with suppress(OSError):  # what the program has forked may have the other end open, and be apart
            os.write(replies.fileno(), b"\n")
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_with(guard: int) -> None:
    """Have this process end if the guard is killed alone; elsewhere than on Linux the session ends it."""
    try:
        from ctypes import CDLL  # not every Python has it

        CDLL(None).prctl(_SET_SIGNAL_AT_DEATH_OF_PARENT, signal.SIGKILL)
    except (ImportError, OSError, AttributeError, TypeError):
        return
    if os.getppid() != guard:  # it was killed before
        os.kill(os.getpid(), signal.SIGKILL)


def _load_same(session: dict[str, Any]) -> None:
    """Load what the session has loaded of ours, from where it has; exit where that can't be."""
    for name, file in session["files"].items():
        sys.path.insert(0, os.path.dirname(os.path.dirname(file)))  # noqa: PTH120 - nothing is loaded yet
        found = str(import_module(name).__file__)
        del sys.path[0]
        if os.path.realpath(found) != os.path.realpath(file):
            _end(
                f"{name} is {file} in the session, but {found} was loaded when {sys.executable} started, by "
                "sitecustomize or a .pth file: have it load none, or the same"
            )
    from pytest_crystallize.against import PROTOCOL  # another place may have none

    if session["protocol"] != PROTOCOL:
        _end(
            f"crystallize was changed while the session ran: its processes speak version {PROTOCOL} of what "
            f"the session speaks version {session['protocol']} of; run it again"
        )


def _end(why: str) -> NoReturn:
    """Say why to the log, and end; Python itself may say it when the session has seen the end already."""
    print(why, file=sys.stderr, flush=True)
    raise SystemExit(1)


def main() -> None:
    """Make runs until the session ends."""
    sys.path.pop(0)  # the directory of this file
    requests, replies = _channels()
    _guarded(requests, replies)
    task = json.loads(requests.readline())
    _load_same(task["session"])
    from pytest_crystallize.against.remap import Remap  # the directory of this file is no place to look in

    remap = Remap(**task["remap"]) if task["remap"] else None
    if task["first"] is not None:
        sys.path.insert(0, task["first"])
    if remap is not None:
        remap.install()
    import pytest  # only now: its plugins may be the project's

    from pytest_crystallize.against.answers import Answers  # loads what the project may have another of

    answers = Answers(task["options"], requests, replies, remap)
    status = pytest.main(task["args"], plugins=[answers])
    answers.say(kind="ended", status=int(status))


if __name__ == "__main__":
    main()
