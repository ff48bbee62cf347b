"""A process between the screen and pytest, which ends pytest when the screen is gone, even if it was killed.

It reads its standard input: a line interrupts the processes below it as Ctrl-C in a terminal would, and so
does the end of it, which comes when the screen ends. Once is enough: a second interrupt would meet pytest
while it stores what is finished.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Final

GRACE: Final = 30.0
"""Seconds for pytest to store what is finished, before it is killed."""


def main(command: list[str]) -> int:
    """Run a command until it ends; return its exit status."""
    signal.signal(signal.SIGINT, lambda *_: None)  # it is for the command; ignored, it would be there, too
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    return child.wait()


def _watch(child: subprocess.Popen[bytes]) -> None:
    """Interrupt what runs when the screen asks for it or is gone; in the latter case, end what is left."""
    sys.stdin.readline()
    _interrupt(child)
    sys.stdin.read()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        child.terminate()
    else:
        os.killpg(0, signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
