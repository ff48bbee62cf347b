"""What the source of a module does when it is loaded, beside giving names, and what each name stands for.

It is read from the syntax tree: comments and layout do not count, docstrings do. The bodies of functions
count where something that is executed names them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal

Manner = Literal["set-up", "module", "script"]
"""How closely to look: at a conftest or plugin, at any module, or at a script, whose calls are its work."""

_COMMANDS: Final = (
    *("set", "unset", "register", "unregister", "use", "enable", "disable", "configure", "seed", "patch"),
    *("install", "filter", "simplefilter", "reset", "add", "update"),
)
_HARMLESS_DECORATORS: Final = frozenset(
    {"pytest", "pytest_asyncio", "functools", "dataclasses", "dataclass", "contextlib", "contextmanager"}
    | {
        "staticmethod",
        "classmethod",
        "property",
        "typing",
        "abc",
        "crystallize",
        "lru_cache",
        "cache",
        "wraps",
    }
    | {"fixture", "pipeline_step", "data_source", "hookimpl"}
)

Chain = tuple[str, ...]
"""A name, and the attributes that are taken of it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An import: of a module, or of a name of it."""

    module: str
    level: int = 0
    name: str | None = None


@dataclass(slots=True)
class Definition:
    """Statements, with what they name and import; their words are texts in them, and names of attributes."""

    digests: list[bytes] = field(default_factory=list)
    uses: dict[Chain, None] = field(default_factory=dict)
    imports: dict[Imported, None] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)

    def add(self, node: ast.AST) -> None:
        """Take in a statement or an expression."""
        data = ast.dump(node).encode("utf-8", "surrogatepass")
        self.digests.append(blake2b(data, digest_size=16).digest())
        self.uses.update(dict.fromkeys(_chains(node)))
        for inner in ast.walk(node):
            self.imports.update((imported, None) for _, imported in _imports(inner))
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                self.words.add(inner.value)
            elif isinstance(inner, ast.Attribute):
                self.words.add(inner.attr)


@dataclass(slots=True)
class Outline:
    """A module's source.

    Attributes
    ----------
    effects : mapping of Manner to Definition
        What it does when it is loaded.
    hooks : Definition
        What pytest calls of it for every test: hooks, and fixtures that nobody asks for.
    names : mapping
        Name -> what may be bound to it, wherever in the module.
    imported : mapping
        Name -> what it was imported from.
    loaded : dict of Imported
        What is imported when the module is loaded.
    stars : list of Imported
        Modules whose names are all taken over.
    """

    effects: dict[Manner, Definition] = field(default_factory=dict)
    hooks: Definition = field(default_factory=Definition)
    names: dict[str, Definition] = field(default_factory=dict)
    imported: dict[str, Imported] = field(default_factory=dict)
    loaded: dict[Imported, None] = field(default_factory=dict)
    stars: list[Imported] = field(default_factory=list)


def outline(source: bytes) -> Outline:
    """Return the outline of a module's source.

    Raises
    ------
    SyntaxError, ValueError
        If it is none.
    """
    tree = ast.parse(source)
    found = Outline()
    for node in ast.walk(tree):
        for name, imported in _imports(node):
            if name == "*":
                found.stars.append(imported)
            else:
                found.imported[name] = imported
    manners: tuple[Manner, ...] = ("set-up", "module", "script")
    found.effects = {manner: Definition() for manner in manners}
    values: set[str] = set()
    for statement in tree.body:
        _take(found, statement)
        for manner in manners:
            if _is_effect(statement, manner):
                found.effects[manner].add(statement)
            elif manner == "module":
                chains = (chain for applied in _applied(statement) for chain in _chains(applied))
                found.effects[manner].uses.update((chain, None) for chain in chains if chain[0] not in values)
                if isinstance(statement, ast.Assign | ast.AnnAssign):
                    values.update(_bound(statement))
    return found


def _applied(statement: ast.stmt) -> Iterator[ast.expr]:
    """Yield the decorators of a definition, and what is called to make them, but no values given to those."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for decorator in statement.decorator_list:
            if not isinstance(decorator, ast.Call):
                yield decorator
            yield from (node.func for node in ast.walk(decorator) if isinstance(node, ast.Call))


def _take(found: Outline, statement: ast.stmt) -> None:
    """Note what a statement of a module binds, and whether pytest calls it."""
    for name, imported in _imports(statement):
        found.loaded[imported] = None
        del name
    for inner in _blocks(statement):
        _take(found, inner)
    for name in _bound(statement):
        found.names.setdefault(name, Definition()).add(statement)
    if _is_hook(statement):
        found.hooks.add(statement)


def _blocks(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yield the statements that a compound statement executes at once."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.stmt):
            yield part
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from part.body


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.With):
        targets = _targets(statement)
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    yield node.id


def _targets(statement: ast.stmt) -> list[ast.expr]:
    match statement:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return targets
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            return [target]
        case ast.With(items=items):
            return [item.optional_vars for item in items if item.optional_vars is not None]
    return []


def _is_effect(statement: ast.stmt, manner: Manner) -> bool:
    """Tell whether a statement may do more than bind names of its module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return any(_acts(decorator, manner, bound=True) for decorator in statement.decorator_list)
    if isinstance(statement, ast.If) and "__name__" in {c[0] for c in _chains(statement.test)}:
        return False  # what is executed as a script is not loaded
    if any(_is_effect(inner, manner) for inner in _blocks(statement)):
        return True
    if any(isinstance(target, ast.Attribute | ast.Subscript) for target in _targets(statement)):
        return True
    match statement:
        case ast.Expr(value=value):
            return _acts(value, manner, bound=False)
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            calls = (node for node in ast.walk(value) if isinstance(node, ast.Call))
            return any(_acts(call, manner, bound=True) for call in calls)
        case ast.With(items=items):
            return any(_acts(item.context_expr, manner, bound=True) for item in items)
    return False


def _acts(expression: ast.expr, manner: Manner, *, bound: bool) -> bool:
    """Tell whether to evaluate an expression may do something.

    Parameters
    ----------
    expression : ast.expr
        Of a call, or a decorator.
    manner : Manner
        How closely to look.
    bound : bool
        Whether its value is used, so that it may be there for that alone.
    """
    if not bound and not isinstance(expression, ast.Call | ast.Await | ast.NamedExpr | ast.ListComp):
        return False
    called = expression.func if isinstance(expression, ast.Call) else expression
    chain = _chain(called)
    if chain is not None and chain[0] in _HARMLESS_DECORATORS:
        return False
    if manner == "set-up" or (manner == "module" and not bound):
        return True
    last = chain[-1] if chain is not None else getattr(called, "attr", "")
    return last.lstrip("_").startswith(_COMMANDS)


def _is_hook(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ClassDef):
        return any(map(_is_hook, statement.body))
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return statement.name.startswith("pytest_") or any(map(_is_for_all, statement.decorator_list))


def _is_for_all(decorator: ast.expr) -> bool:
    """Tell whether a decorator makes a fixture that every test uses."""
    if not isinstance(decorator, ast.Call):
        return False
    given = {keyword.arg: keyword.value for keyword in decorator.keywords}
    wanted = given.get("autouse")
    return wanted is not None and not (isinstance(wanted, ast.Constant) and not wanted.value)


def _imports(node: ast.AST) -> Iterator[tuple[str, Imported]]:
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


def _chains(node: ast.AST) -> Iterator[Chain]:
    """Yield the names that are looked up, each with the attributes taken of it at once."""
    found = _chain(node)
    if found is not None:
        yield found
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from ((argument.arg,) for argument in node.args.args)  # fixtures, for what pytest calls
    for part in ast.iter_child_nodes(node):
        yield from _chains(part)


def _chain(node: ast.AST) -> Chain | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def combined(definitions: Iterable[Definition]) -> bytes:
    """Return the digest of definitions, in whatever order they were met."""
    digest = blake2b(digest_size=16)
    for part in sorted({part for definition in definitions for part in definition.digests}):
        digest.update(part)
    return digest.digest()
