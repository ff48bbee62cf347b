"""What was typed: options that need ``--crystallize`` or imply it, and values that pytest takes for paths."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

import pytest

from pytest_crystallize.exit_code import ASKING
from pytest_crystallize.naming.ids import seen_from
from pytest_crystallize.naming.patterns import is_named_by


def typed_options(config: pytest.Config) -> argparse.Namespace:
    """Return what was typed, which ``addopts`` is not; options of ours that were not typed are None."""
    from pytest_crystallize.pytest_seam import parser_of  # for nobody who types no such option

    ours = {name: None for name in vars(config.option) if name.startswith("crystallize")}
    return parser_of(config).parse_known_args(config.invocation_params.args, argparse.Namespace(**ours))


def settle_flag(config: pytest.Config) -> None:
    """Have options that ask for experiments imply ``--crystallize``, and warn of others without it."""
    given = typed_options(config)
    names = [
        name for name, value in vars(given).items() if name.startswith("crystallize_") and value is not None
    ]
    if any(f"crystallize_{name}" in names for name in ASKING):
        config.option.crystallize = True
    elif names and not hasattr(config, "workerinput"):
        options = ", ".join("--" + name.replace("_", "-") for name in names)
        text = f"without --crystallize no experiment is run, so nothing is done about {options}"
        try:
            config.issue_config_time_warning(pytest.PytestConfigWarning(text), stacklevel=2)
        except pytest.PytestConfigWarning as warning:  # warnings are errors
            raise pytest.UsageError(text) from warning


def controls_workers(config: pytest.Config) -> bool:
    """Return whether this process is to have workers of pytest-xdist run the tests."""
    option = config.option
    sent = getattr(option, "dist", "no") != "no" and getattr(option, "tx", None) and not option.collectonly
    return bool(sent) and not hasattr(config, "workerinput")


def runs_tests(option: argparse.Namespace) -> bool:
    """Return whether tests are run, rather than shown; plugins that show them may be blocked."""
    return not any(getattr(option, name, False) for name in ("collectonly", "setuponly", "setupplan"))


# Values that pytest takes for paths of tests.


def refuse_values_that_moved_rootdir(early_config: pytest.Config, parser: pytest.Parser) -> None:
    """Refuse values of our options which decided the root directory or the ini file.

    pytest settles both before it knows the options of plugins: a value behind a space is a path to it,
    if there is something of that name.
    """
    from pytest_crystallize.pytest_seam import rootdir_and_inifile  # for nobody who types no such option

    typed = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *early_config.invocation_params.args]
    values = [
        (option, value)
        for option, value in pairwise(_with_files_read(typed))
        if option.startswith("--crystallize-") and "=" not in option
    ]

    def setup(*paths: str) -> tuple[Path, Path | None]:
        """Return what pytest finds if it takes these, too, for paths."""
        return rootdir_and_inifile(known, paths, early_config.invocation_params.dir)

    known = parser.parse_known_args(typed)
    right = setup()
    if setup(*(value for _, value in values)) == right:
        return
    alone = [(option, value) for option, value in values if setup(value) != right]
    from crystallize.seam import printable  # what pytest took for a path may have any name

    written = " ".join(shlex.quote(f"{option}={value}") for option, value in alone or values)
    raise pytest.UsageError(
        printable(
            f"pytest took the value of an option for a path of tests, which made {early_config.rootpath} its "
            f"rootdir and {early_config.inipath or 'none'} its ini file; write {written}"
        )
    )


def _with_files_read(args: Iterable[str]) -> Iterator[str]:
    """Yield arguments, with those that stand in files named by ``@file``."""
    for arg in args:
        if arg.startswith("@"):
            yield from _with_files_read(os.fsdecode(Path(arg[1:]).read_bytes()).splitlines())
        else:
            yield arg


# Experiments asked for without the flag.


def hints(config: pytest.Config, exitstatus: int, *, nothing_ran: bool) -> Iterator[str]:
    """Yield a line per argument that names experiments, which nothing runs without ``--crystallize``.

    So does a directory, if `nothing_ran` and no test was left out either.
    """
    if not config.pluginmanager.hasplugin("python"):
        return
    nothing_collected = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    for arg in chain.from_iterable(
        _with_files_in(config, arg) if nothing_ran else [arg] for arg in config.args
    ):
        path, *names = arg.partition("[")[0].split("::")
        if not path.endswith(".py") or not (names or nothing_collected or _is_named_like_ours(config, path)):
            continue
        held = _experiments_in(config, config.invocation_params.dir / path)
        if held.intersection(names):
            yield f"{arg!r} is an experiment; run with --crystallize"
        elif held and not names:
            yield f"{arg!r} holds experiments ({', '.join(sorted(held))}); run with --crystallize"
    if nothing_collected and re.search(r"\bexperiment\b", config.option.markexpr):
        yield "experiments are selected by their mark only among those collected; run with --crystallize"


def _with_files_in(config: pytest.Config, arg: str) -> Iterator[str]:
    """Yield an argument, and if it is a directory the first file of experiments in it or right below it."""
    yield arg
    here = config.invocation_params.dir
    patterns = [place + name for place in ("", "*/") for name in config.getini("crystallize_files")]
    if (here / arg).is_dir():
        found = (path for pattern in patterns for path in sorted((here / arg).glob(pattern)))
        yield from islice((seen_from(here, path) for path in found if _experiments_in(config, path)), 1)


def _is_named_like_ours(config: pytest.Config, path: str) -> bool:
    def is_one_of(patterns: Iterable[str]) -> bool:
        return any(Path(path).match(pattern) for pattern in patterns)

    return is_one_of(config.getini("crystallize_files")) and not is_one_of(config.getini("python_files"))


def _experiments_in(config: pytest.Config, path: Path) -> set[str]:
    """Return the names in a file under which experiments, and no tests, would be collected."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return set()
    found = re.findall(r"^[ \t]*(?:async\s+)?def\s+(\w+)|^(\w+)\s*=[^=]", text, re.MULTILINE)
    ours, tests = config.getini("crystallize_functions"), config.getini("python_functions")
    names = {function or variable for function, variable in found}
    return {name for name in names if is_named_by(name, ours) and not is_named_by(name, tests)}
