"""What statements do when they are executed, beside binding names of their module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal

from crystallize.identity.names_in_source import (
    blocks_of,
    bound_by,
    calls_in,
    chain_of,
    chains_in,
    targets_of,
)

Manner = Literal["set-up", "module", "script"]
"""How closely to look: at a conftest or plugin, at any module, or at a script, whose calls are its work."""

_COMMANDS: Final = (
    *("set", "unset", "register", "unregister", "use", "enable", "disable", "configure", "seed", "patch"),
    *("install", "filter", "simplefilter", "reset", "add", "update", "init", "apply", "activate", "start"),
    *("enter", "run", "submit", "append", "insert", "extend", "push", "put", "inject", "mock", "monkey"),
)
_HARMLESS_MODULES: Final = frozenset(
    {"pytest", "pytest_asyncio", "functools", "dataclasses", "contextlib", "typing", "abc", "crystallize"}
)
_HARMLESS_DECORATORS: Final = frozenset(
    (name,)
    for name in (
        *("staticmethod", "classmethod", "property", "cache", "lru_cache", "wraps", "dataclass"),
        *("contextmanager", "fixture", "hookimpl", "pipeline_step", "data_source"),
    )
)
_HARMLESS_CALLS: Final = frozenset(
    (name,)
    for name in (
        *("all", "any", "bool", "bytes", "callable", "dict", "enumerate", "filter", "float", "frozenset"),
        *("getattr", "hasattr", "int", "isinstance", "issubclass", "len", "list", "map", "max", "min"),
        *("print", "range", "repr", "reversed", "set", "sorted", "str", "sum", "tuple", "zip"),
    )
)
_FACTORIES: Final = "experiment"
"""What the names of functions begin with that return experiments."""
_AS_A_SCRIPT: Final = ast.dump(ast.parse("__name__ == '__main__'", mode="eval").body)
"""A test of whether the module is executed as a script, rather than loaded."""


def effects_of(statement: ast.stmt, manner: Manner) -> Iterator[ast.stmt | ast.expr]:
    """Yield what of a statement may do more, when it is executed, than bind names of its module."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if _is_effect(statement, manner):
            yield statement
        return
    if any(_acts(decorator, manner, bound=True) for decorator in statement.decorator_list):
        yield statement
        return
    yield from (call for call in calls_in(*_evaluated(statement)) if _acts(call, manner, bound=True))
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from effects_of(inner, manner)


def _is_effect(statement: ast.stmt, manner: Manner) -> bool:
    """Return whether a statement that is no definition may do more than bind names of its module."""
    if isinstance(statement, ast.If) and ast.dump(statement.test) == _AS_A_SCRIPT:
        return any(True for inner in statement.orelse for _ in effects_of(inner, manner))
    if any(True for inner in blocks_of(statement) for _ in effects_of(inner, manner)):
        return True
    parts = (part for target in targets_of(statement) for part in ast.walk(target))
    if any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
        return True
    match statement:
        case ast.Expr(value=value) if manner != "script" and not isinstance(value, ast.Call):
            return not isinstance(value, ast.Constant | ast.Name)
        case ast.Expr(value=value):
            return any(_acts(call, manner, bound=False) for call in calls_in(value))
        case ast.AugAssign(target=target):  # perhaps of something that was imported
            return getattr(target, "id", "") != "__all__"
        case (
            ast.Assign(value=value)
            | ast.AnnAssign(value=ast.expr() as value)
            | ast.Return(value=ast.expr() as value)
        ):
            return any(_acts(call, manner, bound=True) for call in calls_in(value))
    return any(_acts(call, manner, bound=False) for call in calls_in(*_headers(statement)))


def _headers(statement: ast.stmt) -> Iterator[ast.AST | None]:
    """Yield what a compound statement evaluates beside its blocks: conditions, iterables, contexts."""
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.ExceptHandler):
            yield part.type
        elif isinstance(part, ast.match_case):
            yield from (part.pattern, part.guard)
        elif not isinstance(part, ast.stmt):
            yield part


def _evaluated(definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[ast.AST | None]:
    """Yield what is evaluated to define a function or class: decorators, defaults, annotations, keywords."""
    yield from definition.decorator_list
    if isinstance(definition, ast.ClassDef):
        yield from (*definition.bases, *definition.keywords)
    else:
        yield from (definition.args, definition.returns)


def _acts(expression: ast.expr, manner: Manner, *, bound: bool) -> bool:
    """Return whether a call, or a decorator, may do something.

    Parameters
    ----------
    expression : ast.expr
        The call or decorator.
    manner : Manner
        How closely to look.
    bound : bool
        Whether its value is used, so that it may be there for that alone.
    """
    called = expression.func if isinstance(expression, ast.Call) else expression
    chain = chain_of(called)
    if chain is not None and chain in _HARMLESS_CALLS:
        return False
    if bound and chain is not None and (chain[0] in _HARMLESS_MODULES or chain in _HARMLESS_DECORATORS):
        return False
    if manner == "set-up" or (manner == "module" and not bound):
        return True
    if called is expression and chain is None:
        return manner == "module"  # a decorator that is chosen in some way
    last = chain[-1] if chain is not None else getattr(called, "attr", "")
    return last.lstrip("_").startswith(_COMMANDS)


def applied_by(statement: ast.stmt) -> Iterator[ast.expr]:
    """Yield the decorators of a definition, and what is called to make them, but no values given to those."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for decorator in statement.decorator_list:
            if not isinstance(decorator, ast.Call):
                yield decorator
            yield from (node.func for node in calls_in(decorator))
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from applied_by(inner)


def effects_of_factories(statement: ast.stmt) -> Iterator[ast.stmt | ast.expr]:
    """Yield what calling the factories of experiments does, which pytest calls when it collects them."""
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from effects_of_factories(inner)
    if not isinstance(statement, ast.FunctionDef) or not statement.name.startswith(_FACTORIES):
        return
    chains = (chain for decorator in statement.decorator_list for chain in chains_in(decorator))
    if any(chain[-1] == "experiment" for chain in chains):
        return  # its body is a run
    yield from _effects_inside(statement, set())


def _effects_inside(function: ast.FunctionDef, outer: set[str]) -> Iterator[ast.stmt | ast.expr]:
    """Yield what calling a function does to what it has not made, with functions in it that it calls."""
    local = outer | _made_inside(function)
    inner_functions = {inner.name: inner for inner in function.body if isinstance(inner, ast.FunctionDef)}
    for inner in function.body:
        for effect in effects_of(inner, "module"):
            acted_on = [*targets_of(effect)] if isinstance(effect, ast.stmt) else []
            roots = {_root(node) for node in (*acted_on, *(call.func for call in calls_in(effect)))}
            if not roots <= local | {name for (name,) in _HARMLESS_CALLS}:
                yield effect
            for name in sorted(roots & inner_functions.keys()):
                yield from _effects_inside(inner_functions.pop(name), local)


def _made_inside(function: ast.FunctionDef) -> set[str]:
    """Return the names of what a function is given or makes, without other names of what is elsewhere."""
    local = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    local |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    others: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.For):
            value = node.value if isinstance(node, ast.Assign) else node.iter
            held = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
            if held and all(chain_of(part) and _root(part) not in local for part in held):
                others.update(bound_by(node))
    return local - others


def _root(node: ast.AST) -> str:
    """Return the name that an expression begins with; empty if it begins with none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
