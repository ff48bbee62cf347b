"""Every private name of pytest that the plugin uses, and why; no other module imports or asks for one.

Where pytest makes one public, or changes it, this is the place to follow. Sessions without ``--crystallize``
load it only to refuse what was typed wrongly.
"""

from __future__ import annotations

import argparse
import bdb
import dataclasses
import functools
import inspect
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import _pytest
import pytest
from _pytest._code import getfslineno  # where pytest says that something is defined
from _pytest._code.code import (  # what a failure looks like, to explain verdicts as pytest explains tests
    ExceptionChainRepr,
    ReprEntry,
    ReprFileLocation,
    ReprTraceback,
    TerminalRepr,
)
from _pytest._io import TerminalWriter  # what failures are written to; its own text has colours
from _pytest._io.saferepr import saferepr  # a repr that is short and never raises
from _pytest._io.wcwidth import wcswidth, wcwidth  # columns that text takes, as pytest's terminal counts them
from _pytest.assertion.rewrite import (  # modules sent elsewhere are loaded there as pytest loaded them here
    AssertionRewritingHook,
    rewrite_asserts,
)
from _pytest.capture import CaptureManager, EncodedFile  # whether a run printed anything, without reading
from _pytest.compat import get_real_func, safe_isclass  # what pytest sees behind objects that it collects
from _pytest.config.findpaths import determine_setup  # how rootdir would have been settled without a value
from _pytest.debugging import pytestPDB  # ``--trace`` stops where the body of a run begins, too
from _pytest.faulthandler import fault_handler_stderr_fd_key  # where its timer writes, which is restarted
from _pytest.fixtures import (  # a fixture is no experiment; of those that runs have copies of, the function
    FixtureFunctionDefinition,
    FuncFixtureInfo,
    getfixturemarker,
    resolve_fixture_function,
)
from _pytest.junitxml import xml_key  # a crash that is told as a replicate's is no test case of its own
from _pytest.logging import DatetimeFormatter, caplog_handler_key  # what units log looks as a test's does
from _pytest.mark.structures import ParameterSet  # public only in recent releases
from _pytest.runner import SetupState, runtestprotocol  # a token is run, and reported only if it fails
from _pytest.skipping import (  # whether the marks let a test run, before it is set up
    evaluate_skip_marks,
    evaluate_xfail_marks,
    xfailed_key,
)
from _pytest.threadexception import (  # whose an error in a thread is can be told only while it is queued
    collect_thread_exception,
    thread_exceptions,
)
from _pytest.tmpdir import (  # where tmp_path lies, and that it is kept or removed by how its test went
    get_user,
    tmppath_result_key,
)
from _pytest.unraisableexception import (  # as of threads
    collect_unraisable,
    unraisable_exceptions,
)

__all__ = [
    "AssertionRewritingHook",
    "DatetimeFormatter",
    "ExceptionChainRepr",
    "ParameterSet",
    "ReprEntry",
    "ReprFileLocation",
    "ReprTraceback",
    "TerminalRepr",
    "caplog_handler_key",
    "collect_thread_exception",
    "collect_unraisable",
    "evaluate_skip_marks",
    "evaluate_xfail_marks",
    "fault_handler_stderr_fd_key",
    "get_real_func",
    "getfixturemarker",
    "getfslineno",
    "rewrite_asserts",
    "runtestprotocol",
    "safe_isclass",
    "saferepr",
    "thread_exceptions",
    "tmppath_result_key",
    "unraisable_exceptions",
    "wcswidth",
    "wcwidth",
    "xfailed_key",
    "xml_key",
]

PYTEST_FILE: str = _pytest.__file__
"""Where most of pytest is; its frames are no part of a user's traceback."""


# Configuration.


def parser_of(config: pytest.Config) -> pytest.Parser:
    """Return the only parser that knows the options of every plugin."""
    return config._parser


def rootdir_and_inifile(
    known: argparse.Namespace, paths: Iterable[str], directory: Path
) -> tuple[Path, Path | None]:
    """Return root directory and ini file as pytest finds them if it takes these, too, for paths."""
    given: dict[str, Any] = {
        "inifile": known.inifilename,
        "override_ini": known.override_ini,
        "args": [*known.file_or_dir, *paths],
        "rootdir_cmd_arg": known.rootdir or None,
        "invocation_dir": directory,
    }
    taken = inspect.signature(determine_setup).parameters  # up to 9.0 without `override_ini`
    return determine_setup(**{name: value for name, value in given.items() if name in taken})[:2]


def unconfigure(config: pytest.Config) -> None:
    """Do what pytest does behind the last hook of a session, which may raise, before the exit code is set."""
    config._ensure_unconfigure()


def log_format_of(config: pytest.Config) -> tuple[str | None, str | None, int | None] | None:
    """Return format, date format and level of what pytest captures of logging; None if it captures none."""
    plugin = config.pluginmanager.getplugin("logging-plugin")
    if plugin is None:
        return None
    formatter = plugin.report_handler.formatter
    return formatter._fmt, formatter.datefmt, plugin.log_level


def temporary_directories(config: pytest.Config) -> list[Path]:
    """Return where pytest makes temporary directories, if that is elsewhere than in the system's."""
    if (given := config.option.basetemp) is not None:
        return [Path(given).absolute()]
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT")
    return [Path(root).resolve() / f"pytest-of-{name}" for name in (get_user(), "unknown")] if root else []


# Output.


def read_captured(capture: CaptureManager) -> tuple[str, str]:
    """Return what was printed since the last time; where nothing was, no file is read, cut and wound back."""
    capturing = capture._global_capturing
    if capturing is not None and _is_unwritten(capturing.out) and _is_unwritten(capturing.err):
        return "", ""
    return capture.read_global_capture()


def _is_unwritten(stream: Any) -> bool:
    """Return whether a file that takes what a process prints stands at its beginning."""
    file = getattr(stream, "tmpfile", None)
    return isinstance(file, EncodedFile) and os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0


# The terminal.


def writer_of(terminalreporter: Any) -> Any:
    """Return what a terminal reporter writes by: its width, and whether assertions are coloured."""
    return getattr(terminalreporter, "_tw", None)


def file_of(terminalreporter: Any) -> Any:
    """Return the file that a terminal reporter writes to, on which progress is shown."""
    return getattr(writer_of(terminalreporter), "_file", None)


# The debugger.


def stopping(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that first stops in the debugger, as that of pytest's does; it fails if that is left.

    Between the debugger and the function is C code alone, in which nothing stops.
    """

    @functools.wraps(function)
    def stopped(*args: Any, **kwargs: Any) -> Any:
        calls = itertools.starmap(functools.partial(function, *args, **kwargs), [()])
        debugger: Any = pytestPDB._init_pdb("runcall")  # type: ignore[no-untyped-call]
        returned = debugger.runcall(list, calls)
        if not returned:
            raise bdb.BdbQuit
        return returned[0]

    return stopped


# Functions and their fixtures.


def functions_of(collector: pytest.Module | pytest.Class, name: str, obj: Any) -> Iterator[pytest.Function]:
    """Yield the functions that pytest makes of one: one for each set of parameters."""
    return collector._genfunctions(name, obj)


def fixtures_of(function: pytest.Function) -> FuncFixtureInfo:
    """Return what a function asks for: names of arguments, all names, and definitions by name."""
    return function._fixtureinfo


def function_of_fixture(member: Any) -> Any:
    """Return the function that is a fixture, of a member of a class; another member as it is."""
    return member._get_wrapped_function() if type(member) is FixtureFunctionDefinition else member


def share_fixtures(item: pytest.Item, function: pytest.Function) -> None:
    """Give an item the fixtures of a function, which ``--fixtures-per-test`` lists."""
    item._fixtureinfo = fixtures_of(function)  # type: ignore[attr-defined]


def is_direct(definition: Any) -> bool:
    """Return whether a definition is one that pytest makes of a parameter, not of a fixture."""
    return bool(definition.func.__module__ == "_pytest.python")


def known_fixtures(function: pytest.Function) -> list[str]:
    """Return the names of the fixtures that a function may ask for."""
    manager = function.session._fixturemanager
    names = ("_arg2fixturedefs", "_arg2node2fixturedefs")  # of pytest up to 9.1, and since
    by_name: Mapping[str, Any] = next((vars(manager)[name] for name in names if name in vars(manager)), {})
    return [name for name in by_name if manager.getfixturedefs(name, function)]


class FixtureCopy(pytest.FixtureDef[Any]):
    """A fixture's definition with a value of its own; in a definition there is room for one.

    Attributes
    ----------
    declared : FixtureDef
        What it is a copy of.
    """

    declared: Any

    @classmethod
    def of(cls, declared: Any) -> Self:
        """Return a copy without a value."""
        copy = object.__new__(cls)
        vars(copy).update(vars(declared), declared=declared, cached_result=None, _finalizers=[])
        return copy


def fixture_function(definition: Any, request: Any) -> Callable[..., Any]:
    """Return the function of a fixture, bound to the instance of the test that asks for it."""
    return resolve_fixture_function(definition, request)


def definitions_of(name: str, function: pytest.Function) -> Sequence[Any] | None:
    """Return the definitions of a fixture that a function may ask for, the closest last."""
    known = fixtures_of(function).name2fixturedefs.get(name)
    return known or function.session._fixturemanager.getfixturedefs(name, function)


def replace_definitions(function: pytest.Function, definitions: dict[str, Sequence[Any]]) -> None:
    """Have a function make its fixtures from other definitions."""
    function._fixtureinfo = dataclasses.replace(fixtures_of(function), name2fixturedefs=definitions)


def open_beside(node: pytest.Item) -> None:
    """Have fixtures be made for a node within the item under way, beside those of other such nodes."""
    node.session._setupstate.stack[node] = ([node.teardown], None)


def finalizers_of(node: pytest.Item) -> list[Callable[[], object]]:
    """Return what ends the fixtures of such a node, the first one last; no more are made for it."""
    finalizers, _ = node.session._setupstate.stack.pop(node, ([], None))
    return finalizers


def setup_state(node: pytest.Item) -> SetupState:
    """Return what sets up and tears down the fixtures of a session, for a condition run within an item."""
    return node.session._setupstate


def keep_also(node: pytest.Item, other: pytest.Item) -> None:
    """Have the stash of a node hold what that of another does."""
    node.stash._storage.update(other.stash._storage)


def set_up_also(function: pytest.Function, name: str) -> None:
    """Have a function set up another fixture, before those that it asks for."""
    info = fixtures_of(function)
    if name not in info.names_closure:  # of other parameters, it is the same list
        info.names_closure.insert(0, name)
    known = function.session._fixturemanager.getfixturedefs(name, function)
    if known is not None:
        info.name2fixturedefs[name] = known


@dataclasses.dataclass(frozen=True, slots=True)
class AsMade:
    """A node as it was made, which hooks and fixtures may change for the test that it is."""

    attributes: frozenset[str]
    marks: list[pytest.Mark]
    keywords: dict[str, Any]

    @classmethod
    def of(cls, node: pytest.Item) -> Self:
        """Note what a node has."""
        keywords: Any = node.keywords
        return cls(frozenset([*vars(node), "_made"]), [*node.own_markers], {**keywords._markers})

    def restore(self, node: pytest.Item) -> None:
        """Give a node back what it had."""
        known, keywords = vars(node), node.keywords
        if not known.keys() <= self.attributes:
            for name in known.keys() - self.attributes:
                del known[name]
        node.own_markers = [*self.marks]
        keywords._markers = {**self.keywords}  # type: ignore[attr-defined]
        node._report_sections = []

    def part(self, node: pytest.Item) -> None:
        """Have a copy of the node share nothing with it that hooks and fixtures may change."""
        keywords: Any = type(node.keywords)
        node.keywords = keywords(node)
        self.restore(node)


def begin_afresh(function: pytest.Function, host: pytest.Item) -> None:
    """Give a function that is run again an instance, a request and a stash as pytest gives them to a test."""
    _drop_instance(function)
    function._initrequest()
    # What hooks keep of the item, fixtures ask of `request.node`; what they keep, no other run sees.
    function.stash = pytest.Stash()
    function.stash._storage = {
        **host.stash._storage,
        tmppath_result_key: {"call": False},
        xfailed_key: None,  # a mark of the item says what verdict it expects, not what runs do
    }


def end(function: pytest.Function) -> None:
    """Have a function let go of what it was run with: values of fixtures, the instance, what hooks kept."""
    function.funcargs = {}
    function.stash = pytest.Stash()
    _drop_instance(function)


def forget_finished(function: pytest.Function) -> None:
    """Have the fixtures of a function forget those that needed them, and that have ended.

    A fixture keeps as a finalizer the end of each that was made from it, and with it the request of that, and
    what was run. pytest has one of each test; runs are many, and those of a wide fixture lie there for long.
    """
    for definition in function._request._fixture_defs.values():
        if finalizers := definition._finalizers:
            finalizers[:] = [finish for finish in finalizers if not _is_over(finish)]


def _is_over(finalizer: Any) -> bool:
    """Return whether a finalizer is the end of a fixture that has no value, which does nothing."""
    owner = getattr(getattr(finalizer, "func", None), "__self__", None)
    return isinstance(owner, pytest.FixtureDef) and owner.cached_result is None


def _drop_instance(function: pytest.Function) -> None:
    if isinstance(function.parent, pytest.Class):
        function.__dict__.pop("_instance", None)
        function.__dict__.pop("_obj", None)


class RunAgain:
    """A node that plugins may run again as they do functions; mixed in before a class of pytest's."""

    def _initrequest(self) -> None:
        """Do nothing: a node that is no function has no request to be made anew."""


# What pytest alone makes.


def decorator_of(mark: pytest.Mark) -> pytest.MarkDecorator:
    """Return a mark as something that can be added to a node."""
    return pytest.MarkDecorator(mark, _ispytest=True)


def call_of(
    fault: pytest.ExceptionInfo[BaseException] | None,
    phase: Literal["setup", "call"],
    start: float = 0.0,
    seconds: float = 0.0,
) -> pytest.CallInfo[None]:
    """Return the phase of a test that a condition run is to fixtures and debuggers."""
    return pytest.CallInfo(None, fault, start, start + seconds, seconds, phase, _ispytest=True)


def skip_of_item(reason: str) -> BaseException:
    """Return a skip that is reported at the place of the item, not where it was raised."""
    return pytest.skip.Exception(reason, _use_item_location=True)


# Tracebacks.


class ShowsTraceback:
    """A node that says itself which part of a traceback is shown; mixed in before a class of pytest's."""

    def shown_traceback(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        """Return the entries that are shown; as given here, those that pytest would show."""
        return super()._traceback_filter(excinfo)  # type: ignore[misc]

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        return self.shown_traceback(excinfo)


def change_traceback(
    collector: pytest.Collector, change: Callable[[Any, pytest.ExceptionInfo[BaseException]], Any]
) -> None:
    """Have a collector of pytest's show what `change` makes of the entries that it would show."""
    shown = collector._traceback_filter
    collector._traceback_filter = (  # type: ignore[method-assign]
        lambda excinfo: change(shown(excinfo), excinfo)
    )


def plain_text(shown: object) -> str:
    """Return what pytest shows of a failure, as text.

    The `str` of it has colours where FORCE_COLOR or PY_COLORS ask a terminal for them, and its first line no
    indentation.
    """
    if not isinstance(shown, TerminalRepr):
        return str(shown)
    file = io.StringIO()
    writer = TerminalWriter(file)
    writer.hasmarkup = False
    shown.toterminal(writer)
    return file.getvalue().rstrip().lstrip("\n")


def shown_in_short(collector: pytest.Collector, error: BaseException) -> str | TerminalRepr:
    """Return what pytest says of an exception that it does not take for an error of collection."""
    return collector._repr_failure_py(pytest.ExceptionInfo.from_exception(error), "short")
