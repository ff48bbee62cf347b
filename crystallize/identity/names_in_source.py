"""What statements and expressions of a syntax tree name, bind, call and import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Chain = tuple[str, ...]
"""A name, and the attributes that are taken of it."""

_SETTING: Final = frozenset({"setattr", "delattr", "object"})
"""Calls, those of pytest's and of `unittest.mock` too, that set what a text names of something."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An import: of a module, or of a name of it."""

    module: str
    level: int = 0
    name: str | None = None


def imports_in(node: ast.AST) -> Iterator[tuple[str, Imported]]:
    """Yield each name that an import statement binds, and what to."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname is None:
                yield alias.name.partition(".")[0], Imported(alias.name)
            else:
                yield alias.asname, Imported(alias.name, 0, "")
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, Imported(node.module or "", node.level, alias.name)


def bound_by(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds, those in its blocks apart."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.With):
        walked = (node for target in targets_of(statement) for node in ast.walk(target))
        yield from (node.id for node in walked if isinstance(node, ast.Name))


def targets_of(statement: ast.stmt) -> list[ast.expr]:
    """Return what a statement assigns to, or deletes."""
    match statement:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return targets
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            return [target]
        case ast.With(items=items):
            return [item.optional_vars for item in items if item.optional_vars is not None]
    return []


def blocks_of(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yield the statements that a compound statement executes at once."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.stmt):
            yield part
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from part.body


def calls_in(*nodes: ast.AST | None) -> Iterator[ast.Call]:
    """Return the calls in syntax trees, however deep."""
    walked = (inner for node in nodes if node is not None for inner in ast.walk(node))
    return (inner for inner in walked if isinstance(inner, ast.Call))


def chains_in(node: ast.AST) -> Iterator[Chain]:
    """Yield the names that are looked up, each with the attributes taken of it at once."""
    found = chain_of(node)
    if found is not None:
        yield (*found, "__setattr__") if isinstance(getattr(node, "ctx", None), ast.Store) else found
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from ((argument.arg,) for argument in node.args.args)  # fixtures, for what pytest calls
    taken = _taken_by_text(node)
    if taken is not None:
        yield taken
    for part in ast.iter_child_nodes(node):
        if taken is None or chain_of(part) != taken[:-1]:
            yield from chains_in(part)


def _taken_by_text(node: ast.AST) -> Chain | None:
    """Return what a call such as `getattr(module, "name")` looks up; of what is set, that it is."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        holder = chain_of(node.value)
        return None if holder is None else (*holder, "__setitem__")
    if not (isinstance(node, ast.Call) and len(node.args) > 1):
        return None
    called, holder, name = chain_of(node.func), chain_of(node.args[0]), node.args[1]
    if called is None or holder is None:
        return None
    if called[-1] in _SETTING:
        return (*holder, "__setattr__")
    text = name.value if isinstance(name, ast.Constant) else None
    is_name = called == ("getattr",) and isinstance(text, str) and text.isidentifier()
    return (*holder, str(text)) if is_name else None


def chain_of(node: ast.AST) -> Chain | None:
    """Return the name that an expression is, with the attributes taken of it; None if it is none."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None
