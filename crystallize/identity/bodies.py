"""What there is to say of a function, a class, a variable and a module of the project."""

from __future__ import annotations

import abc
import builtins
import enum
import gc
import importlib
import inspect
import re
import runpy
import sys
import types
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Final

from crystallize.boundary import failure
from crystallize.identity.code_facts import Import, Reference, code_facts
from crystallize.identity.encoder import Refusal, refuse
from crystallize.identity.instances import attributes, is_written_in_c
from crystallize.identity.origin import ABSENT, is_project_module, locate
from crystallize.identity.part_encoder import PartEncoder, is_project_code

_BLIND: Final[tuple[object, ...]] = (
    eval,
    exec,
    builtins.__import__,
    importlib.import_module,
    importlib.__import__,
    runpy.run_module,
    runpy.run_path,
    inspect.getmodule,
    gc.get_objects,
    gc.get_referrers,
    sys.modules,
)
_BLIND_IDS: Final = frozenset(map(id, _BLIND))
_ASIDE: Final = frozenset(
    {
        *("__subclasses__", "__globals__", "f_globals", "f_locals", "getargvalues"),
        *("getgeneratorlocals", "getcoroutinelocals", "getasyncgenlocals"),
    }
)
"""Attributes by which code comes to what nobody can tell from its names."""
_CHAIN: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_LOADED: Final = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__", "__warningregistry__"}
)
"""Names in a module that say how it was loaded."""
_BLIND_NAMES: Final = frozenset({"pkgutil.resolve_name", "pydoc.locate", "pydoc.safeimport"})
_NOT_OF_THE_CLASS: Final = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__slotnames__", "_abc_impl", "__annotations_cache__"),
        *("__firstlineno__", "__static_attributes__", "__doc__"),
        *("_member_map_", "_value2member_map_", "_hashable_values_"),
        *("_unhashable_values_", "_unhashable_values_map_"),
    }
)


def write_captured(encoder: PartEncoder, function: types.FunctionType) -> None:
    """Add what was given to a function when it was made: defaults, annotations and attributes."""
    encoder.inside(".__defaults__", function.__defaults__)
    encoder.inside(".__kwdefaults__", function.__kwdefaults__)
    annotate = getattr(function, "__annotate__", None)  # evaluates them lazily, from Python 3.14 on
    encoder.inside(".__annotations__", annotate or function.__annotations__)
    if is_project_code(function, encoder.roots, encoder.look):
        _write_annotated(encoder, function.__annotations__, function.__globals__)
    encoder.inside(".__doc__", function.__doc__)
    encoder.inside(".__qualname__", function.__qualname__)
    # Marks say how often and against what a test is run, not what it does.
    encoder.write({key: item for key, item in vars(function).items() if key != "pytestmark"})


def _write_annotated(encoder: PartEncoder, annotations: object, names: dict[str, Any]) -> None:
    """Add what annotations name that are texts, for whoever evaluates them."""
    if not isinstance(annotations, dict):
        return
    for text in annotations.values():
        for root, *rest in _chains(str.__str__(text)) if isinstance(text, str) else ():
            held = ABSENT if root in _LOADED else encoder.look(names, root, ABSENT)
            if held is not ABSENT:
                if not isinstance(held, types.ModuleType):
                    label = f"{encoder.look(names, '__name__', '?')}.{root}"
                    _write_named(encoder, names, label, root, held, rest)
                elif rest:
                    follow(encoder, held, rest)


@lru_cache(maxsize=10_000)
def _chains(annotation: str) -> list[list[str]]:
    """Return the names in an annotation, each with the attributes taken of it."""
    return [chain.split(".") for chain in _CHAIN.findall(annotation)]


def write_wrapper_body(encoder: PartEncoder, function: types.FunctionType) -> None:
    """Add what an installed decorator or factory has captured; its code is its name."""
    code = function.__code__
    encoder.text(b"F", f"{function.__module__}.{code.co_qualname}")
    if code.co_qualname == "singledispatch.<locals>.wrapper" and hasattr(function, "registry"):
        encoder.inside(".registry", function.registry)
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        write_cell(encoder, name, cell)
    write_captured(encoder, function)


def write_cell(encoder: PartEncoder, name: str, cell: types.CellType) -> None:
    """Add what a closure holds under a name."""
    try:
        held = cell.cell_contents
    except ValueError:
        encoder.text(b"", f"{name} is not assigned")
        return
    encoder.inside(f".<{name}>", held)


def write_function_body(encoder: PartEncoder, function: types.FunctionType) -> None:
    """Add the code of a function, what it captured, and all that it names."""
    facts = code_facts(function.__code__)
    encoder.add(facts.digest)
    write_captured(encoder, function)
    if aside := facts.names & _ASIDE:
        raise Refusal(f"asks for {min(aside)}, and what it finds there can't be seen in advance")
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for reference in facts.references:
        _write_reference(encoder, reference, function.__globals__, cells)
    for path in facts.paths:
        encoder.refer_to_named(path)


def _write_reference(
    encoder: PartEncoder, reference: Reference, names: dict[str, Any], cells: dict[str, types.CellType]
) -> None:
    root, chain = reference.root, reference.attributes
    module = encoder.look(names, "__name__", "?")
    encoder.text(b"&", ".".join([root.name if isinstance(root, Import) else root, *chain]))
    if isinstance(root, Import):
        _write_import(encoder, reference, root, names)
    elif reference.free:
        if root not in cells:
            return  # a variable of the function, seen from an inner one
        try:
            held = cells[root].cell_contents
        except ValueError:
            encoder.add(b"?")
            return
        if isinstance(held, types.ModuleType):
            follow(encoder, held, chain)
        else:
            encoder.inside(f".<{root}>", held)
    elif (held := encoder.look(names, root, ABSENT)) is not ABSENT:
        if root not in _LOADED:
            _write_named(encoder, names, f"{module}.{root}", root, held, chain)
    elif (builtin := encoder.look(vars(builtins), root, ABSENT)) is not ABSENT:
        if builtin is globals:
            encoder.unsure()
            encoder.write({key: item for key, item in names.items() if key not in _LOADED})
        else:
            _refuse_blind(builtin, root)
            encoder.write(builtin)
    else:
        encoder.add(b"?")


def _refuse_blind(value: object, label: str) -> None:
    is_named = isinstance(value, types.FunctionType) and (
        f"{value.__module__}.{value.__qualname__}" in _BLIND_NAMES
    )
    if is_named or id(value) in _BLIND_IDS:
        raise Refusal(f"uses {label}, and what that loads or runs can't be seen in advance")


def _write_named(
    encoder: PartEncoder,
    holder: dict[str, Any],
    label: str,
    attribute: str,
    value: Any,
    chain: Collection[str],
) -> None:
    _refuse_blind(value, label)
    if isinstance(value, types.ModuleType):
        follow(encoder, value, chain)
    else:
        encoder.refer_to_held(holder, label, attribute, value)


def follow(
    encoder: PartEncoder, module: types.ModuleType, chain: Collection[str], *, bare: bool = False
) -> None:
    """Add what a chain of attributes leads to that starts at a module."""
    ours = is_project_module(module, encoder.roots, encoder.look)
    name = encoder.name_of(module)
    if not chain:
        if bare:
            encoder.text(b"M", name)
        else:
            encoder.write_module(module)
        return
    attribute, *rest = chain
    label = f"{name}.{attribute}"
    if not ours:
        found = encoder.look(vars(module), attribute)
        encoder.text(b"M", f"{name}.{'.'.join(chain)}")
        _refuse_blind(found, label)
        if _is_replaced(encoder, found):
            encoder.write(found)
        elif isinstance(found, types.ModuleType) and rest:
            follow(encoder, found, rest, bare=bare)
        return
    if attribute in _LOADED:
        return
    if _write_kind_of_module(encoder, module) and _is_of_the_class(module, attribute):
        encoder.write_module(module)  # its code may use any other name
        return
    value = encoder.look(vars(module), attribute, ABSENT)
    if value is ABSENT:
        if hasattr(types.ModuleType, attribute):  # __dict__, __getattribute__
            encoder.write_module(module)
            return
        is_package = encoder.look(vars(module), "__path__") is not None
        submodule = _loaded_module(encoder, label) if is_package else None
        if isinstance(submodule, types.ModuleType):
            follow(encoder, submodule, rest, bare=bare)
            return
        made = encoder.look(vars(module), "__getattr__")
        if made is None:
            encoder.add(b"?")
            return
        encoder.unsure()
        encoder.write(made)
        try:
            value = made(attribute)
        except AttributeError:
            encoder.add(b"?")
            return
    if isinstance(value, types.ModuleType):
        follow(encoder, value, rest, bare=bare)
    else:
        _write_named(encoder, vars(module), label, attribute, value, rest)


def _write_kind_of_module(encoder: PartEncoder, module: types.ModuleType) -> bool:
    """Add the class that the project gave a module, if it gave it one."""
    if type(module) is types.ModuleType:
        return False
    encoder.unsure()
    encoder.write_class(type(module))
    return True


def _is_of_the_class(module: types.ModuleType, attribute: str) -> bool:
    """Return whether looking up an attribute of a module runs code of the module's class."""
    kinds = [kind for kind in type(module).__mro__ if kind not in (types.ModuleType, object)]
    return any(
        name in vars(kind) for kind in kinds for name in (attribute, "__getattribute__", "__getattr__")
    )


def _is_replaced(encoder: PartEncoder, found: object) -> bool:
    """Return whether what an installed module gives for a name is a function of the project."""
    return isinstance(found, types.FunctionType) and is_project_code(found, encoder.roots, encoder.look)


def _loaded_module(encoder: PartEncoder, name: str) -> types.ModuleType | str:
    """Return a module of the project, importing it as the code would; of others, where they are."""
    loaded: types.ModuleType | None = encoder.look(sys.modules, name)
    if loaded is not None:
        return loaded
    where = _where(encoder, name)
    if where != "project":
        return where
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise Refusal(f"imports {name}, which fails: {failure(error)}") from error


def _where(encoder: PartEncoder, name: str) -> str:
    """Tell where a module is; what is not loaded yet may be anywhere when it is asked for again."""
    if encoder.look(sys.modules, name) is None:
        encoder.unsure()
    return locate(name, encoder.roots, encoder.look)


def _write_import(
    encoder: PartEncoder, reference: Reference, statement: Import, names: dict[str, Any]
) -> None:
    name = statement.name
    if statement.level:
        package = encoder.look(names, "__package__") or encoder.look(names, "__name__", "")
        base = package.rsplit(".", statement.level - 1)[0]
        name = f"{base}.{name}" if name else base
    if reference.bare and not reference.attributes:
        encoder.text(b"", _where(encoder, name))
        return
    module = _loaded_module(encoder, name)
    if isinstance(module, types.ModuleType) and is_project_module(module, encoder.roots, encoder.look):
        follow(encoder, module, reference.attributes, bare=reference.bare)
    elif module == "missing":
        encoder.text(b"", module)
    else:
        _write_installed(encoder, name, reference.attributes)


def _write_installed(encoder: PartEncoder, name: str, attributes: tuple[str, ...]) -> None:
    """Add what is installed by its name, loaded or not; and what the project put in its place."""
    encoder.text(b"M", ".".join((name, *attributes)))
    found: Any = encoder.look(sys.modules, name)
    for attribute in attributes:
        if not isinstance(found, types.ModuleType):
            return
        found = encoder.look(vars(found), attribute)
        _refuse_blind(found, f"{name}.{attribute}")
        if _is_replaced(encoder, found):
            encoder.write(found)
            return


def write_class_body(encoder: PartEncoder, kind: type, left_out: Collection[str] = frozenset()) -> None:
    """Add the bases, the metaclass and all that the body of a class defines, in its order, but some names."""
    if is_written_in_c(kind):
        raise refuse(kind, "it is compiled code of the project")
    encoder.write_class(type(kind))
    for base in kind.__bases__:
        encoder.write_class(base)
    doc = vars(kind).get("__doc__")
    if not ("__dataclass_fields__" in vars(kind) and str(doc).startswith(f"{kind.__name__}(")):
        encoder.inside(".__doc__", doc)  # a docstring that dataclass made shows reprs, hence addresses
    members: dict[str, Any] = {}
    if issubclass(kind, enum.Enum):
        members = dict(kind.__members__)
        for name, member in members.items():
            encoder.write((name, member.name))
            encoder.inside(f".{name}", member._value_)
            encoder.inside(f".{name}", {k: v for k, v in attributes(member).items() if not _is_of_enum(k)})
        if not issubclass(kind, enum.Flag):  # whose combinations are there once they were asked for
            known = kind._value2member_map_.items()
            encoder.write([(value, member._name_) for value, member in known if value != member._value_])
    if "_abc_impl" in vars(kind):
        virtual = filter(None, (reference() for reference in abc._get_dump(kind)[0]))  # type: ignore[attr-defined]
        for registered in sorted(virtual, key=lambda known: (known.__module__, known.__qualname__)):
            encoder.write_class(registered)
    module: types.ModuleType | None = encoder.look(sys.modules, kind.__module__)
    if module is not None:
        _write_annotated(encoder, vars(kind).get("__annotations__"), vars(module))
    for name, item in vars(kind).items():
        if name not in _NOT_OF_THE_CLASS and name not in members and name not in left_out:
            encoder.text(b"", name)
            encoder.inside(f".{name}", item)


def _is_of_enum(name: str) -> bool:
    """Return whether an attribute of a member is one that `enum` itself gives it, some of them late."""
    return name.startswith("_") and name.endswith("_")


def write_whole_module(encoder: PartEncoder, module: types.ModuleType) -> None:
    """Add all names of a module, for code that takes it as a value."""
    _write_kind_of_module(encoder, module)
    for name, value in sorted(vars(module).items()):
        if name not in _LOADED and not name.startswith("@"):
            encoder.text(b"", name)
            _write_named(encoder, vars(module), f"{module.__name__}.{name}", name, value, ())


DESCRIPTIONS: Final[dict[str, Callable[[PartEncoder, Any], None]]] = {
    "function": write_function_body,
    "wrapper": write_wrapper_body,
    "class": write_class_body,
    "class of test": lambda encoder, value: write_class_body(
        encoder, value.kind, value.left_out(encoder.roots)
    ),
    "module": write_whole_module,
    "variable": lambda encoder, value: encoder.write(value),
}
