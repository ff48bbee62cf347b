"""What the source of a module does when it is loaded, beside giving names, and what each name stands for.

It is read from the syntax tree: comments and layout do not count, docstrings do. The bodies of functions
count where something that is executed names them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, get_args

from crystallize.identity.effects import Manner, applied_by, effects_of, effects_of_factories
from crystallize.identity.names_in_source import Chain, Imported, blocks_of, bound_by, chains_in, imports_in

_MAKING: Final = frozenset(
    {"__init_subclass__", "__set_name__", "__prepare__", "__new__", "__init__", "__call__", "__setattr__"}
)
"""Methods that Python may call while it makes a class."""
_MANNERS: Final[tuple[Manner, ...]] = get_args(Manner)


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
        self.uses.update(dict.fromkeys(chains_in(node)))
        for inner in ast.walk(node):
            self.imports.update((imported, None) for _, imported in imports_in(inner))
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
    classes : mapping
        Qualified name of each class -> its definition without those of its methods.
    making : mapping
        Qualified name of each method that Python may call to make a class -> its definition.
    """

    effects: dict[Manner, Definition] = field(default_factory=dict)
    hooks: Definition = field(default_factory=Definition)
    names: dict[str, Definition] = field(default_factory=dict)
    imported: dict[str, Imported] = field(default_factory=dict)
    loaded: dict[Imported, None] = field(default_factory=dict)
    stars: list[Imported] = field(default_factory=list)
    classes: dict[str, Definition] = field(default_factory=dict)
    making: dict[str, Definition] = field(default_factory=dict)


def outline(source: bytes) -> Outline:
    """Return the outline of a module's source.

    Raises
    ------
    SyntaxError, ValueError
        If it is none.
    """
    tree = ast.parse(source)
    found = Outline(effects={manner: _executed(tree.body, manner) for manner in _MANNERS})
    for node in ast.walk(tree):
        for name, imported in imports_in(node):
            if name == "*":
                found.stars.append(imported)
            else:
                found.imported[name] = imported
    for statement in tree.body:
        _take(found, statement)
    return found


def _executed(statements: Sequence[ast.stmt], manner: Manner) -> Definition:
    """Return what executing a module does; of its definitions, what their decorators name."""
    found = Definition()
    values: set[str] = set()  # names of what the module has made itself
    for statement in statements:
        effects = [*effects_of(statement, manner), *effects_of_factories(statement)]
        for effect in effects:
            found.add(effect)
        if manner == "module" and statement not in effects:
            chains = (chain for applied in applied_by(statement) for chain in chains_in(applied))
            found.uses.update((chain, None) for chain in chains if chain[0] not in values)
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                values.update(bound_by(statement))
    return found


def _take(found: Outline, statement: ast.stmt) -> None:
    """Note what a statement of a module binds, and whether pytest calls it."""
    for name, imported in imports_in(statement):
        found.loaded[imported] = None
        del name
    for inner in blocks_of(statement):
        _take(found, inner)
    for name in bound_by(statement):
        found.names.setdefault(name, Definition()).add(statement)
    if _is_hook(statement):
        found.hooks.add(statement)
    if isinstance(statement, ast.ClassDef):
        _take_class(found, statement, "")


def _take_class(found: Outline, statement: ast.ClassDef, outer: str) -> None:
    """Note what making a class evaluates, and what may be called to make one."""
    name = outer + statement.name
    shell = found.classes.setdefault(name, Definition())
    for part in (*statement.bases, *(keyword.value for keyword in statement.keywords)):
        shell.add(part)
    for inner in statement.body:
        if isinstance(inner, ast.ClassDef):
            _take_class(found, inner, f"{name}.")
        elif not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            shell.add(inner)
        elif inner.name in _MAKING:
            found.making.setdefault(f"{name}.{inner.name}", Definition()).add(inner)


def _is_hook(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ClassDef):
        return any(map(_is_hook, statement.body))
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return statement.name.startswith("pytest_") or any(map(_is_for_all, statement.decorator_list))


def _is_for_all(decorator: ast.expr) -> bool:
    """Return whether a decorator makes a fixture that every test uses."""
    if not isinstance(decorator, ast.Call):
        return False
    given = {keyword.arg: keyword.value for keyword in decorator.keywords}
    wanted = given.get("autouse", given.get(None))  # which may be in keywords that are unpacked
    return wanted is not None and not (isinstance(wanted, ast.Constant) and not wanted.value)


def combined(definitions: Iterable[Definition]) -> bytes:
    """Return the digest of definitions, in whatever order they were met; each has an order of its own."""
    wholes = {blake2b(b"".join(definition.digests), digest_size=16).digest() for definition in definitions}
    return blake2b(b"".join(sorted(wholes)), digest_size=16).digest()
