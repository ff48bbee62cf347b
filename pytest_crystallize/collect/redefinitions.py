"""Experiments that nobody would run, since their module does not hold them any more when it is collected."""

from __future__ import annotations

import ast
import re
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_crystallize.naming.places import real_function
from pytest_crystallize.pytest_seam import safe_isclass

_WORD = re.compile(r"\w+")
_ALL = re.compile(r"^from .*\bimport[ \t]*\*", re.MULTILINE)
_INDENTED = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
_DEFINED = re.compile(r"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)", re.MULTILINE)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_BRANCHES = (
    ast.If,
    ast.Try,
    ast.TryStar,
    ast.With,
    ast.AsyncWith,
    ast.Match,
    ast.For,
    ast.AsyncFor,
    ast.While,
)


class Redefinitions:
    """Look-up of what modules define more than once; each file is read once.

    Parameters
    ----------
    is_named : callable
        Says whether a function of some name is an experiment.
    """

    def __init__(self, is_named: Callable[[str], bool]) -> None:
        self._is_named = is_named
        self._defined: dict[Path, Counter[str]] = {}
        self._parsed: tuple[Path | None, Sequence[ast.stmt]] = (None, ())  # the last one: they are large

    def fault(self, collector: pytest.Module | pytest.Class, name: str) -> str | None:
        """Say that an experiment would never be run, if a later function or class takes its place.

        Whoever looks the name up in between may keep the earlier one under another name.
        """
        path = collector.path
        if path not in self._defined:
            self._defined[path] = Counter(_DEFINED.findall(_text(path)))
        if self._defined[path][name] < 2:
            return None
        block = self._block(path)
        for node in collector.listchain():
            if isinstance(node, pytest.Class):
                inner = (s for s in reversed(block) if isinstance(s, ast.ClassDef) and s.name == node.name)
                block = next((statement.body for statement in inner), [])
        places = [
            place
            for place, statement in enumerate(block)
            if isinstance(statement, _DEFINITIONS) and statement.name == name
        ]
        lost = next((place for place in places[:-1] if self._declares(block[place])), None)
        if lost is None or any(_looks_up(s, name) for s in block[lost : places[-1] + 1]):
            return None
        first, last = block[lost].lineno, block[places[-1]].lineno
        return (
            f"{name} is defined in line {first} and again in line {last}, so that the first would never be "
            "run; give each a name of its own"
        )

    def lost(self, collector: pytest.Module) -> Iterator[tuple[str, int, str]]:
        """Yield name, line and fault of each definition whose name something else than one has taken.

        What a branch does to a name is its own affair, and so is what is done with a function by its name.
        """
        text = _text(collector.path)
        held = vars(collector.obj)
        names = {name for name in _DEFINED.findall(text) if self._is_named(name)}
        if not names:
            return
        words, indented = Counter(_WORD.findall(text)), {*_INDENTED.findall(text)}
        if _ALL.search(text) or any(
            words[name] > 1 or name in indented or not callable(held.get(name)) for name in names
        ):
            yield from self._lost(collector, self._block(collector.path), held)

    def _lost(
        self, collector: pytest.Module, block: Sequence[ast.stmt], held: Mapping[str, Any]
    ) -> Iterator[tuple[str, int, str]]:
        later: dict[str, ast.stmt | None] = {}  # what next binds a name; None if it is looked up before
        seen: set[str] = set()
        for statement in reversed(block):
            yield from self._lost_in_loop(statement)
            looked_up, bound = _names(statement)
            if isinstance(statement, _DEFINITIONS) and self._declares(statement):
                name = statement.name
                if name not in seen and (fault := _taken(statement, later, held)) is not None:
                    yield name, statement.lineno, fault
                seen.add(name)
                yield from self._lost_in_class(collector, statement, held.get(name))
            elif not isinstance(statement, _DEFINITIONS):  # what they bind are locals
                later |= dict.fromkeys(bound, statement)
            later |= dict.fromkeys(looked_up)

    def _lost_in_loop(self, statement: ast.stmt) -> Iterator[tuple[str, int, str]]:
        """Yield the experiments that each pass of a loop defines anew, unless it keeps them."""
        if not isinstance(statement, ast.For | ast.While):
            return
        for each in statement.body:
            if isinstance(each, _DEFINITIONS) and self._declares(each) and not _is_kept(each, statement):
                yield each.name, each.lineno, _IN_A_LOOP

    def _lost_in_class(
        self, collector: pytest.Module, statement: ast.stmt, held: object
    ) -> Iterator[tuple[str, int, str]]:
        """Yield those of a class that is collected, given what the module holds under its name."""
        if (
            isinstance(statement, ast.ClassDef)
            and safe_isclass(held)
            and collector.istestclass(held, statement.name)
        ):
            yield from self._lost(collector, statement.body, vars(held))

    def _block(self, path: Path) -> Sequence[ast.stmt]:
        if self._parsed[0] != path:
            try:
                self._parsed = path, ast.parse(_text(path)).body
            except (SyntaxError, ValueError):
                self._parsed = path, ()
        return self._parsed[1]

    def _declares(self, statement: ast.stmt) -> bool:
        """Return whether a statement is, or holds, an experiment rather than a signature of one."""
        if isinstance(statement, ast.ClassDef):
            return any(map(self._declares, statement.body))
        return (
            isinstance(statement, _FUNCTIONS)
            and self._is_named(statement.name)
            and not any(ast.unparse(each).endswith("overload") for each in statement.decorator_list)
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _looks_up(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement does something with what has a name, rather than with the name."""
    return any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id == name
        for node in ast.walk(statement)
    )


_IN_A_LOOP = (
    "in a loop, so that only the last would be run; use pytest.mark.parametrize, or name each of them"
)
_NEVER = "so that it would never be run; give each a name of its own"


def _is_kept(definition: _Definition, loop: ast.For | ast.While) -> bool:
    """Return whether a loop ends behind a definition, or something has to do with what it defines."""
    return (
        any(isinstance(node, ast.Break) for node in ast.walk(loop))
        or _looks_up(loop, definition.name)
        or not _is_only_marked(definition)
    )


def _taken(
    definition: _Definition, later: Mapping[str, ast.stmt | None], held: Mapping[str, Any]
) -> str | None:
    """Say what has taken the name of a definition, or has taken it away."""
    name = definition.name
    if _is_made_of(held.get(name), definition, held):
        return None  # what is an annotation, or local to a comprehension, takes no name
    if name in later:
        statement = later[name]
        if statement is None or isinstance(statement, _BRANCHES):
            return None
        if isinstance(statement, ast.Delete):
            return f"and its name deleted in line {statement.lineno}, so that it would never be run"
        return f"and its name bound anew in line {statement.lineno}, {_NEVER}"
    if any(_is_made_of(value, definition, held) for value in held.values()):
        return None
    if held.get(name) is None and not _is_only_marked(definition):
        return "but its decorators make None of it; have them return what they are given"
    if "*" in later and _is_only_marked(definition):
        return f"and its name bound anew by an import of all names, {_NEVER}"
    return None


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement looks up, and those that it binds or deletes; ``*`` is all."""
    looked_up: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            (looked_up if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.partition(".")[0])
    return looked_up, bound


def _is_only_marked(definition: _Definition) -> bool:
    """Return whether the decorators of a definition give back what they are given."""
    return all("mark." in ast.unparse(decorator) for decorator in definition.decorator_list)


def _is_made_of(value: Any, definition: _Definition, held: Mapping[str, Any]) -> bool:
    """Return whether something is what a definition made that stands in what holds it, or wraps it."""
    if isinstance(definition, ast.ClassDef):
        home = held.get("__module__", held.get("__name__"))
        return safe_isclass(value) and value.__name__ == definition.name and value.__module__ == home
    code = getattr(real_function(value), "__code__", None) if callable(value) else None
    lines = range(
        min((d.lineno for d in definition.decorator_list), default=definition.lineno), definition.lineno + 1
    )
    return (
        isinstance(code, types.CodeType) and code.co_name == definition.name and code.co_firstlineno in lines
    )
