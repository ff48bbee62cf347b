"""Functions of one name in one block, of which Python keeps the last."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

_DEFINED = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)


class Redefinitions:
    """Look-up of what modules define more than once; each file is read once."""

    def __init__(self) -> None:
        self._defined: dict[Path, Counter[str]] = {}

    def fault(self, collector: pytest.Module | pytest.Class, name: str) -> str | None:
        """Say that an experiment would never be run, if a later one of its name takes its place.

        Whoever looks the name up in between may keep the earlier one under another name.
        """
        path = collector.path
        if path not in self._defined:
            self._defined[path] = Counter(_DEFINED.findall(_text(path)))
        if self._defined[path][name] < 2:
            return None
        try:
            block = ast.parse(_text(path)).body
        except (SyntaxError, ValueError):
            return None
        for node in collector.listchain():
            if isinstance(node, pytest.Class):
                inner = (s for s in block if isinstance(s, ast.ClassDef) and s.name == node.name)
                block = next((statement.body for statement in inner), [])
        places = [
            place
            for place, statement in enumerate(block)
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name
        ]
        if len(places) < 2 or any(_looks_up(s, name) for s in block[places[0] : places[-1] + 1]):
            return None
        line = block[places[0]].lineno
        return (
            f"{name} is defined in line {line}, too, and that would never be run; give each a name of its own"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _looks_up(statement: ast.stmt, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement))
