"""Writes what one part of a project says itself, and the labels of the parts that it refers to."""

from __future__ import annotations

import contextvars
import functools
import logging
import pathlib
import sys
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

import crystallize.identity.stable_hash  # noqa: F401 - it teaches the encoder all types
from crystallize.identity.builtin_hash import pack_texts
from crystallize.identity.class_of_test import ClassOfTest
from crystallize.identity.code_facts import code_facts
from crystallize.identity.column_encoder import ColumnEncoder, Layout
from crystallize.identity.encoder import Encoder, Refusal, refuse, write_instance
from crystallize.identity.instances import attributes, is_written_in_c
from crystallize.identity.named_by_text import named_by
from crystallize.identity.origin import (
    Look,
    Roots,
    import_root,
    installed_name,
    is_project_file,
    is_project_module,
    is_project_name,
    look_up,
)
from crystallize.identity.process_state import assigned_in

_PLAIN_WRAPPERS: Final = (staticmethod, classmethod, property, types.MethodType, functools._lru_cache_wrapper)
_NAMED: Final = (type, types.FunctionType, types.BuiltinFunctionType, functools._lru_cache_wrapper)
"""What has a name of its own, wherever it is met."""
_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_LOCKS: Final = ("Lock", "Condition", "Semaphore")
_MOVING: Final = frozenset(
    {
        *("level", "propagate", "disabled", "_name", "_closed", "formatter", "stream", "baseFilename"),
        *("mode", "encoding", "errors", "delay", "_locked", "_loop", "_value", "_bound_value"),
    }
)
"""Attributes that loggers, handlers and locks of asyncio have by themselves."""
_SETTINGS: Final = (bool, int, float, str, type(None), types.FunctionType, type)


class Part(NamedTuple):
    """Named thing of a project.

    Attributes
    ----------
    kind : str
        Which of the descriptions in `bodies` it has.
    name : str
        Its label, unless there is another of that name.
    value : object
        What is described.
    roots : tuple of str
        Directories relative to which texts and paths in it are written.
    holder : object, optional
        What tells it from others of its kind, if not the value: the names of a module.
    attribute : str
        Its name in the holder.
    """

    kind: Literal["function", "wrapper", "class", "class of test", "module", "variable"]
    name: str
    value: Any
    roots: Roots
    holder: object = None
    attribute: str = ""


LabelPart = Callable[[Part], str]


class PartEncoder(ColumnEncoder):
    """Encoder of the content of one part, and of the labels of those that it refers to.

    Texts and paths that lie below a root of the project are written relative to it, so that a checkout has
    the same fingerprint wherever it is.

    Attributes
    ----------
    look : callable
        Whatever is read of a namespace that may change is read by this.
    """

    __slots__ = ("_label", "_met")

    look: Look = staticmethod(look_up)
    rows = frozenset({dict})

    def __init__(self, label: LabelPart, roots: Roots) -> None:
        super().__init__(roots=roots)
        self._label = label
        self._met: dict[int, tuple[int, object]] = {}

    def name_of(self, module: types.ModuleType) -> str:
        """Return the name of a module."""
        name: str = self.look(vars(module), "__name__") or module.__name__
        return name

    def unsure(self) -> None:
        """Say that what is written depends on more than can be looked up again."""

    def objects(self, part: Part) -> Iterator[tuple[int, object]]:
        """Yield number and object of what a part that was written holds, and others may hold as well."""
        if part.kind == "variable" and type(part.value).__hash__ is None:  # as of all that can be changed
            yield -1, part.value
        yield from self._met.values()

    def refer(self, part: Part) -> None:
        """Refer to a part by its label."""
        self.text(b">", self._label(part))

    def refer_to_held(self, holder: dict[str, Any], label: str, attribute: str, value: Any) -> None:
        """Refer to what a module gives for a name, unless that is a module."""
        if isinstance(value, _NAMED):
            self.write(value)
        elif not isinstance(value, types.ModuleType):
            self.refer(Part("variable", label, value, self.roots, holder, attribute))

    def refer_to_named(self, path: str) -> None:
        """Refer to what a text names, if it names something of the project."""
        if (found := named_by(path, self.roots, self.look)) is not None:
            module, attribute = found
            held = self.look(vars(module), attribute)
            self.refer_to_held(vars(module), f"{self.name_of(module)}.{attribute}", attribute, held)

    def at_once(self, kinds: set[type], items: Any) -> bool:
        """Add items at once, if that is possible; texts, unless one of them is a path of the project."""
        if kinds != {str}:
            return super().at_once(kinds, items)
        if len(items) < self.fewest:
            return False
        if self._name_paths(items):
            return False
        self.add(pack_texts(items))
        for place, text in enumerate(items):
            if "." in text or ":" in text:
                self.add(b"%d:" % place)
                self.refer_to_named(text)
        return True

    def _name_paths(self, texts: Collection[str]) -> bool:
        """Return whether some texts are paths of the project."""
        return any(map("\0".join(texts).__contains__, self.roots)) and any(
            _below(text, self.roots) is not None for text in texts
        )

    def unordered(self, tag: bytes, items: Any) -> None:
        """Add the members of a set in the order of what can be said of each without the others."""
        kinds = set(map(type, items))
        if kinds == {int} or (kinds == {str} and not self._name_paths(items)):
            self.sequence(tag, sorted(items))
            return
        sorted_items = sorted(((self._alone(item), item) for item in items), key=lambda pair: pair[0])
        if len({digest for digest, _ in sorted_items}) < len(sorted_items):
            raise Refusal("is a set with members that can't be told apart, so that their order is not known")
        self.sequence(tag, [item for _, item in sorted_items])

    def _alone(self, item: object) -> bytes:
        encoder = _LoneEncoder(self._label, self.roots)
        encoder.write(item)
        return encoder.digest()

    def write_instance(self, value: Any) -> None:
        """Add an instance; one that the part contains already is referred to by its number."""
        if isinstance(value, logging.Logger | logging.Handler) or is_of_asyncio(value, *_LOCKS):
            self.write_class(type(value))  # what is logged, and who waits for whom, decides nothing
            self.write(_declared(value, self.roots))
            return
        if isinstance(value, contextvars.ContextVar):
            self.text(b"V", value.name)
            for context in (contextvars.copy_context(), contextvars.Context()):
                self.inside(".get()", _held_in(context, value))
            return
        if id(value) in self._met:
            self.add(b"^%d;" % self._met[id(value)][0])
            return
        number = len(self._met)
        self._met[id(value)] = number, value
        try:
            write_instance(self, value)
        except Refusal:
            self._forget(number)
            raise

    def layout_of(self, kind: type) -> Layout:
        """Return what instances of a class hold, unless they are written in a way of their own."""
        is_special = issubclass(kind, logging.Logger | logging.Handler) or is_class_of_asyncio(kind, *_LOCKS)
        return "other" if is_special else super().layout_of(kind)

    def of_instances(self, instances: list[Any]) -> bool:
        """Add instances that are met for the first time, each once, and number them."""
        known = len(self._met)
        numbered = {id(value): (number, value) for number, value in enumerate(instances, known)}
        if len(numbered) < len(instances) or not numbered.keys().isdisjoint(self._met):
            return False
        self._met.update(numbered)
        written = False
        try:
            written = super().of_instances(instances)
        finally:
            if not written:
                self._forget(known)
        return written

    def _forget(self, known: int) -> None:
        """Forget instances that were met behind the first few, since they are written again."""
        while len(self._met) > known:
            self._met.popitem()

    def write_path(self, value: pathlib.PurePath) -> None:
        """Add a path."""
        self.add(b"p")
        self.kind(value)
        _write_text(self, str(value))
        self.write(dict(getattr(value, "__dict__", {})))

    def write_class(self, value: type) -> None:
        """Refer to a class of the project; one that is installed is its name."""
        name = f"{value.__module__}.{value.__qualname__}"
        if (
            not value.__flags__ & _HEAP_TYPE
            or installed_name(value, self.roots, self.look)
            or (is_written_in_c(value) and not is_project_name(value.__module__, self.roots, self.look))
        ):
            self.text(b"C", name)
        else:
            self.refer(Part("class", name, value, self.roots))

    def write_module(self, value: types.ModuleType) -> None:
        """Refer to all that a module of the project holds; one that is installed is its name."""
        if not is_project_module(value, self.roots, self.look):
            self.text(b"M", self.name_of(value))
            return
        roots = (*self.roots, *import_root(value, self.look))
        self.refer(Part("module", f"{self.name_of(value)} (whole)", value, roots))

    def write_code(self, value: Any) -> None:
        """Refer to a function of the project; methods and descriptors are written with what they wrap."""
        if isinstance(value, types.FunctionType):
            self._write_function(value)
            return
        name = installed_name(value, self.roots, self.look)
        if name is not None and not isinstance(value, types.MethodType):
            self.text(b"F", name)
            return
        self.text(b"W", type(value).__qualname__)
        if isinstance(value, types.BuiltinFunctionType | types.MethodWrapperType):
            self._write_builtin(value)
            return
        if isinstance(value, functools._lru_cache_wrapper):  # what it has cached follows from what it wraps
            self.write(value.cache_parameters())
        elif not isinstance(value, staticmethod | classmethod | property | types.MethodType):
            self.text(b"", value.__name__)
            self.write_class(value.__objclass__)
            return
        for field in ("__wrapped__", "fget", "fset", "fdel", "__func__", "__self__"):
            if field == "__wrapped__" and not isinstance(value, functools._lru_cache_wrapper):
                continue
            if hasattr(value, field):
                self.inside(f".{field}", getattr(value, field))
        if type(value) not in _PLAIN_WRAPPERS:
            self.kind(value)
            self.state(value)

    def _write_builtin(self, value: Any) -> None:
        self.text(b"", value.__name__)
        owner = value.__self__
        if not isinstance(owner, types.ModuleType):
            self.inside(".__self__", owner)
        elif is_project_module(owner, self.roots, self.look):
            raise refuse(value, f"it is compiled code of the project's own module {owner.__name__}")
        else:
            self.text(b"", self.name_of(owner))

    def _write_function(self, value: types.FunctionType) -> None:
        name = installed_name(value, self.roots, self.look)
        code = value.__code__
        ours = is_project_code(value, self.roots, self.look)
        module_name = self.look(value.__globals__, "__name__", "?")
        label = f"{module_name}.{code.co_qualname}"
        if not ours and (name is not None or is_static(value)):
            self.text(b"F", name or label)
        elif ours:
            module = self.look(sys.modules, module_name)
            roots = (*self.roots, *(() if module is None else import_root(module, self.look)))
            self.refer(Part("function", label, value, roots))
        else:
            self.refer(Part("wrapper", label, value, self.roots))


class _LoneEncoder(PartEncoder):
    """Encoder of the names of other parts instead of numbered labels; it has nothing described."""

    __slots__ = ()

    def refer(self, part: Part) -> None:
        """Name a part, and say of a function what its code is."""
        self.text(b">", part.name)
        if isinstance(part.value, types.FunctionType):
            self.add(code_facts(part.value.__code__).digest)


def _held_in(context: contextvars.Context, variable: contextvars.ContextVar[Any]) -> tuple[Any, ...]:
    """Return what a variable gives in a context, its default in an empty one; nothing if it has no value."""
    try:
        return (context.run(variable.get),)
    except LookupError:
        return ()


def is_of_asyncio(value: object, *names: str) -> bool:
    """Return whether a value is an instance of one of these classes of asyncio, which need not be loaded."""
    return is_class_of_asyncio(type(value), *names)


def is_class_of_asyncio(kind: type, *names: str) -> bool:
    """Return whether a class is one of these of asyncio, or a subclass of one."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and any(getattr(asyncio, name) in kind.__mro__ for name in names)


_capacities: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def _declared(value: Any, roots: Roots) -> dict[str, Any]:
    """Return what was said of a logger, a handler or a lock of asyncio when it was made, and stays."""
    found: dict[str, Any] = {}
    if isinstance(value, logging.Logger):
        found["name"] = value.name
    elif isinstance(value, logging.Handler):
        found["level"] = value.level
    elif is_of_asyncio(value, "Semaphore"):  # as it was when it was met first: later on, some may hold it
        found["capacity"] = _capacities.setdefault(value, vars(value)["_value"])
    if is_project_name(type(value).__module__, roots):
        moving = _MOVING | _moving(type(value))
        own = {name: item for name, item in attributes(value).items() if name not in moving}
        found |= {name: item for name, item in own.items() if isinstance(item, _SETTINGS)}
    return found


_moved_by_methods: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


def _moving(kind: type) -> frozenset[str]:
    """Return the attributes that methods assign once an instance is made, such as a count of records."""
    known = _moved_by_methods.get(kind)
    if known is None:
        members = (member for base in kind.__mro__ for member in vars(base).items())
        methods = (m for name, m in members if name != "__init__" and isinstance(m, types.FunctionType))
        known = frozenset[str]().union(*(assigned_in(method.__code__)[0] for method in methods))
        _moved_by_methods[kind] = known
    return known


def _write_text(encoder: PartEncoder, value: str) -> None:
    if value.startswith(encoder.roots) and (inside := _below(value, encoder.roots)) is not None:
        encoder.text(b"<", inside)
        return
    encoder.text(b"s", value)
    if "." in value or ":" in value:
        encoder.refer_to_named(value)


def _below(text: str, roots: Roots) -> str | None:
    """Return what of a path lies below a root of the project; None if the text is no such path."""
    for root in roots:
        if text.startswith(root) and text[len(root) : len(root) + 1] in ("", "/", "\\"):
            return text[len(root) :].replace("\\", "/")
    return None


def _write_logger(encoder: Encoder, value: logging.Logger) -> None:
    encoder.write_instance(value)


def _write_proxy(encoder: Encoder, value: types.MappingProxyType[Any, Any]) -> None:
    encoder.add(b"%")  # as data it is as good as its dictionary, which code may tell from it
    encoder.mapping(b"d", value)


def _write_class_of_test(encoder: PartEncoder, value: ClassOfTest) -> None:
    encoder.unsure()
    name = f"{value.kind.__module__}.{value.kind.__qualname__}"
    encoder.refer(Part("class of test", name, value, encoder.roots))


PartEncoder.writers = {
    **Encoder.writers,
    ClassOfTest: _write_class_of_test,  # type: ignore[dict-item]
    str: _write_text,  # type: ignore[dict-item]
    logging.Logger: _write_logger,
    types.MappingProxyType: _write_proxy,
}
PartEncoder.packers = {kind: pack for kind, pack in ColumnEncoder.packers.items() if kind is not str}


def is_project_code(function: types.FunctionType, roots: Roots, look: Look = look_up) -> bool:
    """Return whether a function is the project's, by its file; code made at run time is its module's."""
    filename = function.__code__.co_filename
    if filename.startswith("<") and not filename.startswith("<frozen "):
        return is_project_name(look(function.__globals__, "__name__", ""), roots, look)
    return is_project_file(filename, roots)


def is_static(function: types.FunctionType) -> bool:
    """Return whether a function is as its module has it: nothing was enclosed, wrapped or made in a call."""
    return (
        "<locals>" not in function.__code__.co_qualname
        and function.__closure__ is None
        and not hasattr(function, "__wrapped__")
    )
