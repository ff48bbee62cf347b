"""Functions and classes of one name in one block, of which Python keeps the last."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

_DEFINED = re.compile(r"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)", re.MULTILINE)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


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
            if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)) and statement.name == name
        ]
        lost = next((place for place in places[:-1] if self._declares(block[place])), None)
        if lost is None or any(_looks_up(s, name) for s in block[lost : places[-1] + 1]):
            return None
        first, last = block[lost].lineno, block[places[-1]].lineno
        return (
            f"{name} is defined in line {first} and again in line {last}, so that the first would never be "
            "run; give each a name of its own"
        )

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
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement))
