"""Entry of the command: what may be typed; each subcommand is loaded when it is asked for."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final, NoReturn

from pytest_crystallize.options.values import parse_days, parse_replicates

GOOD: Final = 0
NOT_SUPPORTED: Final = 1
USAGE: Final = 2
"""Exit codes of all subcommands but `merge`, which has those of pytest, too."""

_EPILOG: Final = """\
Experiments are run by: pytest --crystallize
Without a command, the run screen is opened (extra "screen"); what stands
behind -- is given to its pytest: crystallize -- -n auto

exit codes:
  0  all is well, and every claim supported
  1  a claim is not
  2  wrong usage, or a file that can't be read
  of merge, those of pytest, too: 3 internal error, 4 wrong usage of pytest,
  5 no experiment
"""
_GIVE_TO_PYTEST: Final = ("merge", "cache", "artifacts")
"""Commands that start pytest, and give it what stands behind ``--``."""


class CommandError(Exception):
    """Reason why a command can't do what it was asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default, those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    here, behind = _parted(arguments)
    try:
        if not here:
            return _screen(behind)
        given = _parser().parse_args(here)
        if behind and given.command not in _GIVE_TO_PYTEST:
            raise CommandError(
                f"crystallize {given.command} gives nothing to pytest, so nothing stands behind --"
            )
        run: Callable[..., int] = getattr(import_module(given.module), given.function)
        options = {
            k: v for k, v in vars(given).items() if k not in ("command", "action", "module", "function")
        }
        if given.command in _GIVE_TO_PYTEST:
            options["behind"] = behind
        return run(**options)
    except BrokenPipeError:  # who closed it, as head does, needs no word
        return USAGE
    except Exception as fault:
        told = _told(fault)
        if told is None:
            raise
        print(f"crystallize: {told}", file=sys.stderr)
        return USAGE


def _told(fault: Exception) -> str | None:
    """Return what is said of a fault that the user can mend; None of one that is ours."""
    from crystallize.errors import CrystallizeError  # it imports the library

    if isinstance(fault, CommandError | CrystallizeError):
        return str(fault)
    if not isinstance(fault, OSError):
        return None
    return str(fault) if fault.filename is None else f"{fault.filename}: {fault.strerror}"


def console() -> NoReturn:
    """Run the command as a program; what nobody can read was not told, so it is no success.

    What the encoding of the output lacks is shown as in `ascii`, as pytest and Python's tracebacks do.
    """
    if sys.stdout is None:  # as Python says that it was closed before
        print("crystallize: the standard output is closed, so nothing can be told", file=sys.stderr)
        sys.exit(USAGE)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    code = main()
    try:
        sys.stdout.flush()
    except OSError as fault:
        if not isinstance(fault, BrokenPipeError):
            print(f"crystallize: what it found could not be written: {fault}", file=sys.stderr, flush=True)
        code = USAGE
    if code == USAGE:  # what could not be written is not tried again, which would give another exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what stands before a ``--``, and what behind it."""
    if "--" not in arguments:
        return list(arguments), []
    place = arguments.index("--")
    return list(arguments[:place]), list(arguments[place + 1 :])


def _screen(arguments: list[str]) -> int:
    from pytest_crystallize.screen import run_screen  # an optional package

    return run_screen(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crystallize",
        description="Begin, read, compare and merge experiments.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"crystallize {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: str, text: str, to: Any = commands) -> argparse.ArgumentParser:
        module, _, called = function.partition(":")
        made: argparse.ArgumentParser = to.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.set_defaults(module=f"pytest_crystallize.command.{module}", function=called)
        return made

    def group(name: str, text: str) -> Any:
        made = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        return made.add_subparsers(dest="action", required=True, metavar="ACTION")

    new = command("new", "new:new", "write an experiment that runs as it stands, and a workflow for CI")
    new.add_argument("name", metavar="NAME", help="of the experiment, such as cache")

    show = command(
        "show", "show:show", "print what a report, result, reference or shard holds; list kept results"
    )
    show.add_argument(
        "file", metavar="FILE", nargs="?", help="without it, results that runs have kept are listed"
    )
    show.add_argument("-v", "--verbose", action="store_true", help="print digests, too")

    compare = command("compare", "compare:compare", "judge the claims of one report against another session")
    compare.add_argument("first", metavar="A.json", help="a report, whose claims they are")
    compare.add_argument("second", metavar="B.json", help="a report or a reference: what it is compared with")
    compare.add_argument(
        "--claim",
        dest="claims",
        metavar="NAME",
        action="append",
        default=[],
        help="only this one; may be repeated",
    )

    merge = command("merge", "merge:merge", "judge what all shards of a suite have run (--crystallize-shard)")
    merge.add_argument(
        "files", metavar="SHARD", nargs="+", help="crystallize-shard-1-of-4.json, and all others"
    )
    for suffix in ("json", "html", "md"):
        merge.add_argument(f"--{suffix}", metavar="PATH", help=f"write a report ending in .{suffix}")

    of_cache = group("cache", "stored runs: why some are made again, and which nobody uses")
    why = command(
        "why", "cache:why", "tell how many runs of a node are stored, and why the others are not", of_cache
    )
    why.add_argument("node", metavar="NODEID", help="a file, a function or a test, as pytest is given it")
    prune = command(
        "prune", "cache:prune", "delete stored runs and results of steps that nobody uses", of_cache
    )
    prune.add_argument(
        "--days", type=parse_days, default=30.0, help="that were not used for so many days (30)"
    )

    of_artifacts = group("artifacts", "versions of files that runs have left: a list, and fewer of them")
    listed = command("list", "artifacts:list_versions", "list all versions", of_artifacts)
    fewer = command("prune", "artifacts:prune", "delete all but the latest versions", of_artifacts)
    fewer.add_argument(
        "--keep", type=parse_replicates, required=True, help="how many to leave of each experiment"
    )
    for each in (listed, fewer):
        each.add_argument("--root", metavar="DIR", help="of an ArtifactPlugin; by default, in pytest's cache")
    merge.epilog = "what stands behind -- is given to pytest beside the arguments of the shards"
    return parser


def _version() -> str:
    return version("pytest-crystallize")
