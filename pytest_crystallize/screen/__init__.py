"""The run screen: experiments of a project in a terminal, run by pytest in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from crystallize.errors import CrystallizeError, MissingExtraError


def run_screen(arguments: Sequence[str] = ()) -> int:
    """Show the experiments of a project, and run what the user asks for.

    Parameters
    ----------
    arguments : sequence of str
        Further ones of every pytest that the screen starts: files, directories, options such as ``-n4``.

    Returns
    -------
    int
        The exit status of the last run; 0 if nothing was run.

    Raises
    ------
    MissingExtraError
        If Textual is not installed.
    CrystallizeError
        If there is no terminal.
    """
    if find_spec("textual") is None:
        raise MissingExtraError(
            "the run screen needs Textual; install the extra 'screen' "
            "(pip install 'pytest-crystallize[screen]'), or run pytest --crystallize"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CrystallizeError("the run screen needs a terminal; without one, run pytest --crystallize")
    from pytest_crystallize.screen.app import RunScreen  # an optional package

    screen = RunScreen(arguments)
    screen.run()
    return screen.exit_status
