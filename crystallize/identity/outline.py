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
_MAKING: Final = frozenset(
    {"__init_subclass__", "__set_name__", "__prepare__", "__new__", "__init__", "__call__", "__setattr__"}
)
"""Methods that Python may call while it makes a class."""

_SETTING: Final = frozenset({"setattr", "delattr", "object"})
"""Calls, those of pytest's and of `unittest.mock` too, that set what a text names of something."""

_AS_A_SCRIPT: Final = ast.dump(ast.parse("__name__ == '__main__'", mode="eval").body)
"""A test of whether the module is executed as a script, rather than loaded."""

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
            effects = [*_effects(statement, manner), *_effects_of_factories(statement)]
            for effect in effects:
                found.effects[manner].add(effect)
            if manner == "module" and statement not in effects:
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
            yield from (node.func for node in _calls(decorator))
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from _applied(inner)


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


def _effects(statement: ast.stmt, manner: Manner) -> Iterator[ast.stmt | ast.expr]:
    """Yield what of a statement may do more, when it is executed, than bind names of its module."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if _is_effect(statement, manner):
            yield statement
        return
    if any(_acts(decorator, manner, bound=True) for decorator in statement.decorator_list):
        yield statement
        return
    yield from (call for call in _calls(*_evaluated(statement)) if _acts(call, manner, bound=True))
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from _effects(inner, manner)


def _effects_of_factories(statement: ast.stmt) -> Iterator[ast.stmt | ast.expr]:
    """Yield what calling the factories of experiments does, which pytest calls when it collects them."""
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from _effects_of_factories(inner)
    if not isinstance(statement, ast.FunctionDef) or not statement.name.startswith(_FACTORIES):
        return
    chains = (chain for decorator in statement.decorator_list for chain in _chains(decorator))
    if any(chain[-1] == "experiment" for chain in chains):
        return  # its body is a run
    yield from _effects_inside(statement, set())


def _effects_inside(function: ast.FunctionDef, outer: set[str]) -> Iterator[ast.stmt | ast.expr]:
    """Yield what calling a function does to what it has not made, with functions in it that it calls."""
    local = outer | _made_inside(function)
    inner_functions = {inner.name: inner for inner in function.body if isinstance(inner, ast.FunctionDef)}
    for inner in function.body:
        for effect in _effects(inner, "module"):
            acted_on = [*_targets(effect)] if isinstance(effect, ast.stmt) else []
            roots = {_root(node) for node in (*acted_on, *(call.func for call in _calls(effect)))}
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
            if held and all(_chain(part) and _root(part) not in local for part in held):
                others.update(_bound(node))
    return local - others


def _root(node: ast.AST) -> str:
    """Return the name that an expression begins with; empty if it begins with none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _evaluated(definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[ast.AST | None]:
    """Yield what is evaluated to define a function or class: decorators, defaults, annotations, keywords."""
    yield from definition.decorator_list
    if isinstance(definition, ast.ClassDef):
        yield from (*definition.bases, *definition.keywords)
    else:
        yield from (definition.args, definition.returns)


def _is_effect(statement: ast.stmt, manner: Manner) -> bool:
    """Return whether a statement that is no definition may do more than bind names of its module."""
    if isinstance(statement, ast.If) and ast.dump(statement.test) == _AS_A_SCRIPT:
        return any(True for inner in statement.orelse for _ in _effects(inner, manner))
    if any(True for inner in _blocks(statement) for _ in _effects(inner, manner)):
        return True
    parts = (part for target in _targets(statement) for part in ast.walk(target))
    if any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
        return True
    match statement:
        case ast.Expr(value=value) if manner != "script" and not isinstance(value, ast.Call):
            return not isinstance(value, ast.Constant | ast.Name)
        case ast.Expr(value=value):
            return any(_acts(call, manner, bound=False) for call in _calls(value))
        case ast.AugAssign(target=target):  # perhaps of something that was imported
            return getattr(target, "id", "") != "__all__"
        case (
            ast.Assign(value=value)
            | ast.AnnAssign(value=ast.expr() as value)
            | ast.Return(value=ast.expr() as value)
        ):
            return any(_acts(call, manner, bound=True) for call in _calls(value))
    return any(_acts(call, manner, bound=False) for call in _calls(*_headers(statement)))


def _headers(statement: ast.stmt) -> Iterator[ast.AST | None]:
    """Yield what a compound statement evaluates beside its blocks: conditions, iterables, contexts."""
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.ExceptHandler):
            yield part.type
        elif isinstance(part, ast.match_case):
            yield from (part.pattern, part.guard)
        elif not isinstance(part, ast.stmt):
            yield part


def _calls(*nodes: ast.AST | None) -> Iterator[ast.Call]:
    walked = (inner for node in nodes if node is not None for inner in ast.walk(node))
    return (inner for inner in walked if isinstance(inner, ast.Call))


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
    chain = _chain(called)
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
        yield (*found, "__setattr__") if isinstance(getattr(node, "ctx", None), ast.Store) else found
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from ((argument.arg,) for argument in node.args.args)  # fixtures, for what pytest calls
    taken = _taken_by_text(node)
    if taken is not None:
        yield taken
    for part in ast.iter_child_nodes(node):
        if taken is None or _chain(part) != taken[:-1]:
            yield from _chains(part)


def _taken_by_text(node: ast.AST) -> Chain | None:
    """Return what a call such as `getattr(module, "name")` looks up; of what is set, that it is."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        holder = _chain(node.value)
        return None if holder is None else (*holder, "__setitem__")
    if not (isinstance(node, ast.Call) and len(node.args) > 1):
        return None
    called, holder, name = _chain(node.func), _chain(node.args[0]), node.args[1]
    if called is None or holder is None:
        return None
    if called[-1] in _SETTING:
        return (*holder, "__setattr__")
    text = name.value if isinstance(name, ast.Constant) else None
    is_name = called == ("getattr",) and isinstance(text, str) and text.isidentifier()
    return (*holder, str(text)) if is_name else None


def _chain(node: ast.AST) -> Chain | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def combined(definitions: Iterable[Definition]) -> bytes:
    """Return the digest of definitions, in whatever order they were met; each has an order of its own."""
    wholes = {blake2b(b"".join(definition.digests), digest_size=16).digest() for definition in definitions}
    return blake2b(b"".join(sorted(wholes)), digest_size=16).digest()
