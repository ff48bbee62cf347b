"""What in a module or class declares an experiment: collected where it can be run, refused where it can't."""

from __future__ import annotations

import ast
import functools
import inspect
import types
import unittest
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from crystallize import Experiment, ExperimentBuilder, ExperimentGraph
from crystallize.errors import CrystallizeError
from pytest_crystallize.collect.collection import ExperimentCollector
from pytest_crystallize.collect.redefinitions import Redefinitions
from pytest_crystallize.naming.ids import relative
from pytest_crystallize.naming.patterns import is_named_by
from pytest_crystallize.naming.places import place_of, real_function
from pytest_crystallize.naming.tracebacks import is_projects
from pytest_crystallize.options.mark import MARK, UNBOUND, as_marks, is_marked, marks_on
from pytest_crystallize.pytest_seam import change_traceback, getfixturemarker, safe_isclass
from pytest_crystallize.units.settings import Settings

_OBJECTS = {
    Experiment: "an Experiment",
    ExperimentBuilder: "a builder",
    ExperimentGraph: "an ExperimentGraph",
}


class RefusedDeclaration(pytest.Collector):
    """Declaration of an experiment that can't be run; collecting it is an error of one line."""

    def __init__(self, *, fault: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fault = fault

    def collect(self) -> Iterable[pytest.Item]:
        """Refuse."""
        raise self.CollectError(self.fault)


class Declarations:
    """Experiments among the attributes of modules and classes.

    Parameters
    ----------
    settings : Settings
        Of the session.
    patterns : sequence of str
        Prefixes or globs of the functions that are experiments.
    """

    def __init__(self, settings: Settings, patterns: Sequence[str]) -> None:
        self._settings = settings
        self._patterns = patterns
        self._redefinitions = Redefinitions(self._is_named)
        self._looked_at: pytest.Module | pytest.Class | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: object
    ) -> list[pytest.Collector] | None:
        """Make a collector of every experiment, and of whatever else declares one, which is an error."""
        self._looked_at = collector
        if isinstance(obj, types.ModuleType):
            return None
        if name == "pytestmark":
            fault = self._fault_of_module_marks(collector, obj)
        elif safe_isclass(obj):
            fault = self._fault_of_class(collector, name, obj)  # type: ignore[arg-type]
        else:
            function = obj.__func__ if isinstance(obj, staticmethod | classmethod) else obj
            fault = self._fault(collector, name, function)
            if fault is None and self._is_named(name) and _is_collected(function):
                fault = self._redefinitions.fault(collector, name)
                if fault is None:
                    return [
                        ExperimentCollector.from_parent(
                            collector, name=name, function=function, settings=self._settings
                        )
                    ]
        if fault is None:
            return None
        where = self._where(collector, name, obj)
        return [RefusedDeclaration.from_parent(collector, name=name, fault=f"{where}: {fault}")]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Refuse what a module defines and does not hold any more: no attribute tells of it.

        Modules in which doctests are looked for are pytest's modules, too, and hold no experiments.
        """
        report = yield
        if report.passed and isinstance(collector, pytest.Module) and collector is self._looked_at:
            file = relative(collector.path, collector.config.rootpath)
            report.result += [
                RefusedDeclaration.from_parent(
                    collector, name=name, fault=f"{file}:{line}: {name} is defined in line {line}, {fault}"
                )
                for name, line, fault in self._redefinitions.lost(collector)
            ]
        return report

    @pytest.hookimpl
    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Have errors in declarations of a module shown where the user wrote them, without our own lines."""
        if isinstance(collector, pytest.Module):
            change_traceback(collector, functools.partial(_users_lines, collector.config.rootpath))

    def _is_named(self, name: str) -> bool:
        return is_named_by(name, self._patterns)

    def _suggested(self, name: str) -> str:
        pattern = self._patterns[0] if self._patterns else "experiment_*"
        return pattern.replace("*", name.removeprefix("test_")) if "*" in pattern else f"{pattern}{name}"

    def _names(self) -> str:
        return f"crystallize_functions ({' '.join(self._patterns)})"

    def _where(self, collector: pytest.Module | pytest.Class, name: str, obj: object) -> str:
        """Return file and line: of a function or class where it is defined, of an object its assignment."""
        root = collector.config.rootpath
        if safe_isclass(obj) or marks_on(obj):
            path, line = place_of(obj)
            if path and line >= 0:
                return f"{relative(path, root)}:{line + 1}"
        line_of_name = _assigned_in(collector, name)
        file = relative(collector.path, root)
        return file if line_of_name is None else f"{file}:{line_of_name}"

    # Functions and other attributes.

    def _fault(self, collector: pytest.Module | pytest.Class, name: str, obj: Any) -> str | None:
        """Say why an attribute that is no class, and declares an experiment, can't be run."""
        named = self._is_named(name)
        if isinstance(obj, pytest.MarkDecorator):
            return self._fault_of_mark(name, obj, named=named)
        marked = is_marked(marks_on(obj))
        if not named:
            if not marked and not _has_marked_class(collector):
                return None
            return self._fault_of_name(collector, name, obj, marked=marked)
        for kind, what in _OBJECTS.items():
            if isinstance(obj, kind):
                return (
                    f"{name} is {what}, where a function is expected that returns it; write def {name}(): "
                    "return ..., or give it another name"
                )
        if _is_part(obj):
            return f"{name} is a {type(obj).__name__}, no function; mark a function" if marked else None
        if (marked and not callable(obj)) or isinstance(obj, UNBOUND):
            return self._fault_of_callable(collector, name, obj, marked=marked)
        if not callable(obj) or _not_collected(obj):
            return None
        real = real_function(obj)
        if inspect.isgeneratorfunction(real) or inspect.isasyncgenfunction(real):
            return f"{name} has a yield; a condition run returns its metrics, and a factory its experiment"
        return None if _is_collected(obj) else self._fault_of_callable(collector, name, obj, marked=marked)

    def _fault_of_mark(self, name: str, obj: pytest.MarkDecorator, *, named: bool) -> str | None:
        """Refuse a mark that was to be put on something without a name, and took it for an argument."""
        marks, inner = [obj.name], obj.args[-1] if obj.args else None
        while isinstance(inner, pytest.MarkDecorator):
            marks.append(inner.name)
            inner = inner.args[-1] if inner.args else None
        if not (callable(inner) or isinstance(inner, UNBOUND)) or not (named or MARK in marks):
            return None
        return (
            f"{name} is a mark that was given {_kind(inner)}, which has no name for pytest to mark it by; "
            f"write def {name if named else self._suggested(name)}(...)"
        )

    def _fault_of_name(
        self, collector: pytest.Module | pytest.Class, name: str, obj: Any, *, marked: bool
    ) -> str | None:
        """Refuse a marked function whose name is none of an experiment; a marked class marks its methods."""
        if _not_collected(obj):
            return None
        if collector.istestfunction(obj, name):
            holder = "" if marked else f" by its class {collector.name}"
            return (
                f"{name} is marked as an experiment{holder}, but named like a test; call it "
                f"{self._suggested(name)}, or unmark it"
            )
        if (
            not marked
            or self._is_named(getattr(obj, "__name__", ""))
            or self._is_collected_as(collector, obj)
        ):
            return None
        return (
            f"{name} is marked as an experiment, but no pattern of {self._names()} matches its name; call it "
            f"{self._suggested(name)}"
        )

    def _is_collected_as(self, collector: pytest.Module | pytest.Class, obj: Any) -> bool:
        """Return whether a function is collected under another name, or as what another one wraps."""
        return any(
            self._is_named(other) and (value is obj or real_function(value) is real_function(obj))
            for other, value in list(vars(collector.obj).items())
            if callable(value)
        )

    def _fault_of_callable(
        self, collector: pytest.Module | pytest.Class, name: str, obj: Any, *, marked: bool
    ) -> str | None:
        """Refuse a marked object that is no function; of others warn, as pytest does if named like a test."""
        fault = (
            f"cannot collect {name!r} because it is not a function, but {_kind(obj)}; write def {name}(...)"
        )
        if marked:
            return fault
        try:
            warnings.warn_explicit(
                pytest.PytestCollectionWarning(f"{fault}, or give it another name"),
                category=None,
                filename=str(collector.path),
                lineno=_assigned_in(collector, name) or 1,
            )
        except pytest.PytestCollectionWarning as error:  # warnings are errors
            return str(error)
        return None

    # Classes and modules.

    def _fault_of_class(self, collector: pytest.Module | pytest.Class, name: str, obj: type) -> str | None:
        """Say why a class that is marked, or holds something that is, can't be collected."""
        is_case = issubclass(obj, unittest.TestCase)
        is_tests = not is_case and collector.istestclass(obj, name) and not _has_constructor(obj)
        if not (is_case or is_tests) and not _is_defined_in(collector, obj):
            return None  # as most are that a module imports
        marked = is_marked(
            [mark for base in obj.__mro__ for mark in as_marks(vars(base).get("pytestmark", ()))]
        )
        held = [member for member, value in _members(obj) if is_marked(marks_on(value))]
        if not (is_case or is_tests):
            return self._fault_of_uncollected(collector, name, obj, marked=marked, held=held)
        named = [m for m, value in _members(obj) if self._is_named(m) and callable(_plain(value))]
        if is_tests and marked and not named:
            return (
                f"{name} is marked as an experiment, but no method matches {self._names()}; mark "
                "functions or classes that hold some"
            )
        if is_tests:
            return self._redefinitions.fault(collector, name)
        if not (marked or held or named):
            return None
        what = "is marked" if marked else f"holds {(held or named)[0]}"
        return (
            f"{name} is a unittest.TestCase and {what}; experiments are functions, or methods of a class "
            "named Test* without a base, with pytest's fixtures"
        )

    def _fault_of_uncollected(
        self,
        collector: pytest.Module | pytest.Class,
        name: str,
        obj: type,
        *,
        marked: bool,
        held: Sequence[str],
    ) -> str | None:
        """Say why pytest does not collect a class that is marked, or whose members `held` are."""
        if not (marked or held) or _not_collected(obj):
            return None
        if obj.__subclasses__():
            return None  # a base: what it holds is collected with those that derive from it
        what = (
            "is marked as an experiment" if marked else f"holds {held[0]}, which is marked as an experiment"
        )
        if _has_constructor(obj):
            return (
                f"{name} {what}, but pytest collects no class with a constructor; use fixtures in its place"
            )
        classes = " ".join(collector.config.getini("python_classes"))
        return (
            f"{name} {what}, but pytest does not collect the class: no pattern of python_classes ({classes}) "
            f"matches its name; call it Test{name.removesuffix('Tests')}"
        )

    def _fault_of_module_marks(self, collector: pytest.Module | pytest.Class, marks: Any) -> str | None:
        """Refuse defaults for the experiments of a module that has none."""
        if not isinstance(collector, pytest.Module) or not is_marked(as_marks(marks)):
            return None
        for name, value in list(vars(collector.obj).items()):
            holders = _members(value) if safe_isclass(value) else [(name, value)]
            if any(self._is_named(member) or is_marked(marks_on(held)) for member, held in holders):
                return None
        return (
            "pytestmark gives defaults to the experiments of a module, and this one has none: nothing in it "
            f"matches {self._names()}"
        )


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a class and its bases; the closest first."""
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, value in list(vars(base).items()):
            if name not in seen:
                seen.add(name)
                yield name, value


def _is_collected(obj: Any) -> bool:
    """Return whether something can be run: a function, what wraps one, or what is called with nothing."""
    if not callable(obj) or _is_part(obj) or _not_collected(obj):
        return False
    if inspect.isfunction(obj) or inspect.ismethod(obj) or inspect.isfunction(real_function(obj)):
        return True
    if not inspect.isfunction(getattr(type(obj), "__call__", None)):  # noqa: B004 - its code is what counts
        return False
    try:
        parameters = inspect.signature(obj).parameters.values()
    except (ValueError, TypeError):
        return False
    return is_marked(marks_on(obj)) or all(
        p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in parameters
    )


def _is_part(obj: Any) -> bool:
    """Return whether something is a fixture, or a part that experiments are made of."""
    if getfixturemarker(obj) is not None:
        return True
    return any(base.__module__.partition(".")[0] == "crystallize" for base in type(obj).__mro__)


def _not_collected(obj: Any) -> bool:
    """Return whether something says that it is not to be collected, in pytest's way."""
    try:
        return vars(obj).get("__test__", True) is False
    except Exception:  # no attributes of its own
        return False


def _has_constructor(cls: type) -> bool:
    return any("__init__" in vars(base) or "__new__" in vars(base) for base in cls.__mro__[:-1])


def _has_marked_class(collector: pytest.Collector) -> bool:
    """Return whether attributes of a node are marked by a class that holds them."""
    return any(
        isinstance(node, pytest.Class) and is_marked(node.own_markers) for node in collector.listchain()
    )


def _is_defined_in(collector: pytest.Module | pytest.Class, obj: Any) -> bool:
    module = collector.getparent(pytest.Module)
    return module is None or getattr(obj, "__module__", None) == module.obj.__name__


def _kind(obj: Any) -> str:
    """Name what kind of callable something is."""
    is_lambda = inspect.isfunction(obj) and obj.__name__ == "<lambda>"
    return "a lambda" if is_lambda else f"a {type(obj).__name__}"


def _assigned_in(collector: pytest.Module | pytest.Class, name: str) -> int | None:
    """Return the line at which a module or class assigns or imports a name, the last if there are several."""
    try:
        scope: ast.AST = ast.parse(Path(collector.path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    if isinstance(collector, pytest.Class):
        held = collector.obj.__name__
        classes = (n for n in ast.walk(scope) if isinstance(n, ast.ClassDef) and n.name == held)
        scope = next(classes, scope)
    lines: list[int] = [node.lineno for node in ast.walk(scope) if _binds(node, name)]  # type: ignore[attr-defined]
    return max(lines, default=None)


def _binds(node: Any, name: str) -> bool:
    if isinstance(node, ast.Name):
        return isinstance(node.ctx, ast.Store) and node.id == name
    if isinstance(node, ast.alias):
        return (node.asname or node.name) == name
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name


def _users_lines(root: Path, entries: Any, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """Return the user's part of a traceback where one of our constructors refused something."""
    if not isinstance(excinfo.value, CrystallizeError):
        return entries
    users = [entry for entry in entries if is_projects(entry.path, root)]
    return type(entries)(users or entries)
