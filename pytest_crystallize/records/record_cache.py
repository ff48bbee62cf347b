"""Stored runs of a session, and what marked functions consist of whose runs are stored."""

from __future__ import annotations

import dis
import inspect
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import pytest

from crystallize.errors import FingerprintError
from crystallize.seam import (
    VERIFIED,
    ClassOfTest,
    Environment,
    Impurities,
    environment,
    fingerprint,
    is_project_file,
    is_project_module,
    open_store,
    set_up_by,
    words_called,
)
from pytest_crystallize.naming.patterns import is_named_by
from pytest_crystallize.naming.places import real_function
from pytest_crystallize.options.values import Mode
from pytest_crystallize.pytest_seam import fixtures_of, function_of_fixture

_LEVELS = ("log_level", "log_cli_level", "log_file_level", "log_cli")
_OF_TESTS = frozenset(
    {
        *("experiment", "parametrize", "usefixtures", "filterwarnings", "skip", "skipif", "xfail"),
        *("dependency", "flaky", "order", "timeout", "tryfirst", "trylast", "xdist_group"),
    }
)
"""Marks that say when and how a test is run, or what is identified otherwise."""
_OF_REQUEST = frozenset({"param", "param_index", "addfinalizer", "scope", "fixturename"})


class RecordCache:
    """Cache that the experiments of a session share.

    Parameters
    ----------
    directory : path
        Where records are kept.
    mode : {"reuse", "refresh"}
        Whether stored records are used, or only written.
    share : float or None
        Part of the time saved that is spent on running again.
    parts : mapping or None
        The environment's parts, where another process has found them.
    ignored : iterable of path
        Directories of the session.
    temporary : iterable of path
        Where pytest makes temporary directories.
    session : str
        What all processes of the session know it by.
    """

    def __init__(
        self,
        directory: Path,
        mode: Mode,
        share: float | None,
        *,
        parts: dict[str, str] | None,
        ignored: Iterable[Path],
        temporary: Iterable[Path],
        session: str,
    ) -> None:
        self.store = open_store(directory)
        self.mode = mode
        self.share = VERIFIED if share is None else share
        self.impurities = Impurities()
        self.ignored = tuple(ignored)
        self.temporary = tuple(temporary)
        self.session = session
        self.called: tuple[ModuleType, ...] = ()
        """Conftests and plugins of the project."""
        self.loaded: tuple[ModuleType, ...] = ()
        """Modules of the project, which may have set up something of the process when they were loaded."""
        self.options: Callable[[Iterable[str]], Mapping[str, object]] | None = None
        self.set_up = ""
        """Identifies what these do to the process before any run."""
        self._parts = parts

    def learn_set_up(self, config: pytest.Config) -> None:
        """Note what the project does to its process, as it is when all is collected."""
        self.called = called_by_pytest(config)
        self.loaded = loaded_modules(config.rootpath)
        self.options = partial(options_among, config)
        found = set_up_by(self.loaded, called=self.called, root=config.rootpath, options=self.options)
        self.set_up = json.dumps(found)

    @property
    def environment(self) -> Environment:
        """The environment; found once for all processes."""
        return environment() if self._parts is None else Environment.from_json(self._parts)


def marked_components(function: pytest.Function) -> dict[str, Any]:
    """Return what the body of a marked function consists of: itself, its class, fixtures and parameters.

    Raises
    ------
    FingerprintError
        If it, or a fixture, asks pytest for what can't be known before it is run.
    """
    info = fixtures_of(function)
    body, label = _body(function), function.originalname
    components: dict[str, Any] = {label: body}
    roots = (str(function.config.rootpath),)
    _check_request(label, real_function(body), roots)
    cls = function.cls
    of_test = None if cls is None else ClassOfTest(cls, body, _tests_of(function), function_of_fixture)
    if cls is not None:
        components[f"class {cls.__qualname__}"] = of_test
    order = []
    for name in info.names_closure:
        for number, definition in enumerate(info.name2fixturedefs.get(name, ())):
            made_by = getattr(definition.func, "__func__", definition.func)
            order.append([name, str(definition.scope)])
            if getattr(made_by, "__module__", "").startswith("pytest_crystallize."):
                continue
            _check_request(f"fixture {name!r}", made_by, roots)
            components[f"fixture {name}" + (f" ({number})" if number else "")] = made_by
            owner = getattr(definition.func, "__self__", None)
            if owner is not None:
                kind = type(owner)
                components[f"class of fixture {name} ({number})"] = of_test if kind is cls else kind
    components["fixtures"] = order
    callspec = getattr(function, "callspec", None)
    for name, value in (callspec.params if callspec is not None else {}).items():
        components[f"parameter {name}"] = value
    return components | surroundings(function)


_TESTS: Final = pytest.StashKey[frozenset[str]]()
_HOOKS: Final = pytest.StashKey[bool]()
_TO_CLASSES: Final = frozenset({"cls", "instance", "_instance", "obj", "_obj", "newinstance", "__self__"})
"""Attributes by which hooks come from what pytest hands them to the class of a test, or an instance of it."""


def _hooks_reach_classes(config: pytest.Config) -> bool:
    found = config.stash.get(_HOOKS, None)
    if found is None:
        found = config.stash[_HOOKS] = not _TO_CLASSES.isdisjoint(words_called(called_by_pytest(config)))
    return found


def _tests_of(function: pytest.Function) -> frozenset[str]:
    """Return the names of what pytest collects as tests, or as experiments, of the class of a method.

    If hooks of the project take classes or instances of tests, any of them may be called: then of none.
    """
    collector = function.getparent(pytest.Class)
    if collector is None or _hooks_reach_classes(function.config):
        return frozenset()
    found = collector.stash.get(_TESTS, None)
    if found is None:
        patterns = function.config.getini("crystallize_functions")
        found = frozenset(
            name
            for name, item in list(vars(collector.obj).items())
            if is_named_by(name, patterns) or collector.istestfunction(item, name)
        )
        collector.stash[_TESTS] = found
    return found


def surroundings(function: pytest.Function) -> dict[str, Any]:
    """Return what pytest surrounds every run with.

    A run that warns, or in which a warning comes up late, may fail; one may ask for the level of the log;
    and names of files may be relative to where the session was started. Hooks and fixtures, of installed
    plugins too, may do something by what marks say.
    """
    config = function.config
    filters = [list(mark.args) for mark in function.iter_markers("filterwarnings")]
    given = [sys.warnoptions, config.getini("filterwarnings"), config.option.pythonwarnings, filters]
    marks: dict[str, list[Any]] = {}
    for mark in function.iter_markers():
        if mark.name not in _OF_TESTS:
            marks.setdefault(mark.name, []).append((mark.args, mark.kwargs))
    heard = [
        name for name in ("threadexception", "unraisableexception") if config.pluginmanager.hasplugin(name)
    ]
    logs = config.pluginmanager.hasplugin("logging")
    levels = [config.getoption(name, None) or config.getini(name) for name in _LEVELS if logs]
    return {
        "filters of warnings": given,
        "errors heard of": heard,
        "levels of the log": levels,
        "directory of the session": _relative(config.invocation_params.dir, config.rootpath),
        **({"marks": marks} if marks else {}),
    }


def _relative(path: Path, root: Path) -> str:
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive
        return str(path)


def marked_names(function: pytest.Function) -> tuple[str, ...]:
    """Return what tells a marked function and its parameters from others."""
    body = _body(function)
    callspec = getattr(function, "callspec", None)
    params = callspec.params if callspec is not None else {}
    digests = [f"{name}={fingerprint(value, name=name).digest}" for name, value in params.items()]
    if not hasattr(body, "__qualname__"):  # a partial function, an object that is called
        return (f"{function.module.__name__}.{function.originalname}", *digests)
    # One function may have made many, which differ in the names that they were given.
    given = () if function.originalname == body.__name__ else (function.originalname,)
    return (f"{body.__module__}.{body.__qualname__}", *given, *digests)


def _body(function: pytest.Function) -> Any:
    """Return what is called; of a method that its test class binds, the function."""
    obj, cls = function.obj, function.cls
    owner = getattr(obj, "__self__", None)
    return obj.__func__ if cls is not None and (owner is cls or isinstance(owner, cls)) else obj


def _check_request(label: str, function: Any, roots: tuple[str, ...]) -> None:
    """Refuse a function of the project's that uses more of ``request`` than its parameter."""
    if not isinstance(function, FunctionType) or not is_project_file(function.__code__.co_filename, roots):
        return
    parameters = _parameters(function)
    if "pytestconfig" in parameters:
        raise FingerprintError(f"{label} asks for pytestconfig, so that it depends on options of pytest")
    if "request" in parameters and (use := _use_of_request(function)) is not None:
        raise FingerprintError(
            f"{label} uses {use}, and what that gives can't be known before it is run; use request.param and "
            "fixtures that are arguments"
        )


def _parameters(function: FunctionType) -> Collection[str]:
    """Return the names of the parameters of a function, or of what it says that it stands for."""
    if hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return inspect.signature(function).parameters
    code = function.__code__  # which takes a tenth of the time
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _use_of_request(function: FunctionType) -> str | None:
    code = function.__code__
    if "request" in code.co_cellvars:
        return "request in an inner function"
    instructions = list(dis.get_instructions(code))
    for here, behind in zip(instructions, [*instructions[1:], None], strict=True):
        if here.opname.startswith("LOAD_FAST") and "request" in str(here.argval):
            taken = behind is not None and behind.opname in ("LOAD_ATTR", "LOAD_METHOD")
            attribute = str(behind.argval) if behind is not None and taken else ""
            if here.argval != "request" or attribute not in _OF_REQUEST:
                return f"request.{attribute}" if attribute else "request as a whole"
    return None


def called_by_pytest(config: pytest.Config) -> tuple[ModuleType, ...]:
    """Return the modules of the project whose hooks pytest calls: conftests and plugins."""
    found: dict[str, ModuleType] = {}
    for plugin in config.pluginmanager.get_plugins():
        kinds = () if isinstance(plugin, ModuleType) else type(plugin).__mro__
        for module in (sys.modules.get(kind.__module__) for kind in kinds) if kinds else (plugin,):
            if module is not None and is_project_module(module):
                found[getattr(module, "__file__", None) or module.__name__] = module
    return tuple(found[name] for name in sorted(found))


def loaded_modules(root: Path) -> tuple[ModuleType, ...]:
    """Return the modules of the project that are loaded, be it for other tests: they share one process.

    Others, outside of its root, may be of a program that runs pytest; they count where code imports them.
    """
    home = os.path.realpath(root) + os.sep
    modules = sys.modules.copy()  # as in `LoadedFiles`
    return tuple(
        module
        for name, module in sorted(modules.items())
        if isinstance(module, ModuleType)
        and name != "__main__"
        and is_project_module(module)
        and os.path.realpath(getattr(module, "__file__", None) or "").startswith(home)
    )


def options_among(config: pytest.Config, names: Iterable[str]) -> dict[str, object]:
    """Return option -> value of those names that pytest knows as one, or as one of the ini file."""
    found: dict[str, object] = {}
    given = vars(config.option)
    for name in names:
        option = name.lstrip("-").replace("-", "_")
        if option in given:
            found[f"option {option}"] = given[option]
        with suppress(ValueError, KeyError):
            found[f"ini {name}"] = config.getini(name)
    return found
