"""How values of Python's own types are hashed."""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import operator
import pathlib
import random
import re
import struct
import sys
import threading
import types
import typing
import zoneinfo
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from crystallize.identity.encoder import BASES, FAMILIES, Encoder, Writer, refuse, write_instance
from crystallize.identity.origin import is_project_name

_LOCKS: Final = (type(threading.Lock()), type(threading.RLock()))
_FIELD: Final = type(typing.NamedTuple("_Field", [("first", int)]).first)  # type: ignore[attr-defined]
_STREAM: Final = io.IOBase.__mro__[1]  # what streams written in C derive from too
_DOUBLE: Final = struct.Struct("<d").pack
_COMPLEX: Final = struct.Struct("<dd").pack


def _write_int(encoder: Encoder, value: int) -> None:
    if -(2**63) <= value < 2**63:
        encoder.add(b"i%d;" % value)
    else:
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        encoder.add(b"I%d:%s" % (len(data), data))


def _pack_ints(items: Iterable[int]) -> bytes | None:
    try:
        return b"*i" + array.array("q", items).tobytes()
    except OverflowError:
        return None


def pack_texts(items: Iterable[str]) -> bytes:
    """Return texts as bytes that say themselves where each ends."""
    texts = list(items)
    joined = "".join(texts).encode("utf-8", "surrogatepass")
    return b"*s%s%d:%s" % (array.array("q", map(len, texts)).tobytes(), len(joined), joined)


def _write_text(encoder: Encoder, value: str) -> None:
    encoder.text(b"s", value)


def _write_bytes(encoder: Encoder, value: Any) -> None:
    view = memoryview(value).cast("B") if isinstance(value, memoryview) and value.c_contiguous else value
    data = view if isinstance(view, bytes | bytearray | memoryview) else bytes(view)
    tag = b"b" if isinstance(value, bytes) else b"m"
    encoder.add(b"%s%d:" % (tag, len(data)))
    encoder.whole(data)


def _write_numbers(encoder: Encoder, value: array.array[Any]) -> None:
    encoder.text(b"a", value.typecode)
    _write_bytes(encoder, value)


def _write_memoryview(encoder: Encoder, value: memoryview) -> None:
    encoder.text(b"v", value.format)
    encoder.sequence(b"t", value.shape or ())
    encoder.whole(value.tobytes())


def _write_clock(encoder: Encoder, value: Any) -> None:
    """Add a datetime or a time: the local reading, which of two equal readings it is, and the zone."""
    encoder.text(b"D", f"{type(value).__name__} {value.replace(tzinfo=None).isoformat()} {value.fold}")
    encoder.inside(".tzinfo", value.tzinfo)


def _write_zone(encoder: Encoder, value: zoneinfo.ZoneInfo) -> None:
    if value.key is None:
        raise refuse(value, "a time zone without a key can't be named")
    encoder.text(b"Z", value.key)


def _write_enum(encoder: Encoder, value: enum.Enum) -> None:
    encoder.add(b"e")
    encoder.kind(value)
    encoder.write(value.name)
    encoder.inside(".value", value._value_)


def _write_memory_file(encoder: Encoder, value: Any) -> None:
    encoder.add(b"y")
    encoder.write(value.getvalue())
    encoder.write(value.tell())


def _write_stream(encoder: Encoder, value: Any) -> None:
    standard = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)
    if not any(value is stream for stream in standard):
        try:
            readable = value.readable()
        except ValueError:  # it is closed
            readable = False
        if readable:
            raise refuse(value, "what an open file will give is not known")
        if is_project_name(type(value).__module__, encoder.roots):  # its code decides what becomes of texts
            encoder.add(b"W")
            encoder.kind(value)
            encoder.state(value)
            return
    encoder.add(b"w")


def _write_partial(encoder: Encoder, value: functools.partial[Any]) -> None:
    encoder.add(b"P")
    encoder.inside(".func", value.func)
    encoder.inside(".args", value.args)
    encoder.inside(".keywords", value.keywords)
    encoder.state(value)


def _write_reduced(encoder: Encoder, value: Any) -> None:
    """Add one of the standard library's C types that say how to build them again."""
    encoder.add(b"R")
    encoder.sequence(b"t", value.__reduce__())


def _write_default_factory(encoder: Encoder, value: defaultdict[Any, Any]) -> None:
    encoder.inside(".default_factory", value.default_factory)
    encoder.write(dict.copy(value))


def _write_deque(encoder: Encoder, value: deque[Any]) -> None:
    encoder.write(value.maxlen)
    encoder.sequence(b"q", value)


def _write_exception(encoder: Encoder, value: BaseException) -> None:
    encoder.inside(".args", value.args)


def _write_pattern(encoder: Encoder, value: re.Pattern[Any]) -> None:
    encoder.add(b"x")
    encoder.write(value.pattern)
    encoder.write(value.flags)


def _write_random(encoder: Encoder, value: random.Random) -> None:
    encoder.write(value.getstate())


def _write_alias(encoder: Encoder, value: Any) -> None:
    """Add a type with parameters, such as `list[int]`, `int | None` or `Literal["a"]`."""
    encoder.text(b"G", type(value).__qualname__)
    encoder.inside(".__origin__", getattr(value, "__origin__", None))
    encoder.inside(".__args__", value.__args__)
    encoder.inside(".__metadata__", getattr(value, "__metadata__", ()))


def _write_type_variable(encoder: Encoder, value: Any) -> None:
    encoder.text(b"T", value.__name__)
    encoder.inside(".__bound__", getattr(value, "__bound__", None))
    encoder.inside(".__constraints__", getattr(value, "__constraints__", ()))


def _constant(tag: bytes) -> Writer:
    return lambda encoder, value: encoder.add(tag)


def _tagged(tag: bytes, *fields: str) -> Writer:
    def write(encoder: Encoder, value: Any) -> None:
        encoder.add(tag)
        for field in fields:
            encoder.inside(f".{field}", getattr(value, field))

    return write


def _printed(tag: bytes, show: Callable[[Any], str] = str) -> Writer:
    return lambda encoder, value: encoder.text(tag, show(value))


_WRITERS: dict[type, Writer] = {
    types.NoneType: _constant(b"N"),
    types.EllipsisType: _constant(b"."),
    types.NotImplementedType: _constant(b"!"),
    bool: lambda encoder, value: encoder.add(b"+" if value else b"-"),
    int: _write_int,
    float: lambda encoder, value: encoder.add(b"f" + _DOUBLE(value)),
    complex: lambda encoder, value: encoder.add(b"c" + _COMPLEX(value.real, value.imag)),
    str: _write_text,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    memoryview: _write_memoryview,
    array.array: _write_numbers,
    list: lambda encoder, value: encoder.sequence(b"l", value),
    tuple: lambda encoder, value: encoder.sequence(b"t", value),
    dict: lambda encoder, value: encoder.mapping(b"d", value),
    types.MappingProxyType: lambda encoder, value: encoder.mapping(b"d", value),
    set: lambda encoder, value: encoder.unordered(b"u", value),
    frozenset: lambda encoder, value: encoder.unordered(b"z", value),
    OrderedDict: lambda encoder, value: encoder.mapping(b"O", value),
    range: _tagged(b"r", "start", "stop", "step"),
    slice: _tagged(b"S", "start", "stop", "step"),
    datetime.date: _printed(b"D", lambda value: f"date {value.isoformat()}"),
    datetime.datetime: _write_clock,
    datetime.time: _write_clock,
    datetime.timedelta: _tagged(b"L", "days", "seconds", "microseconds"),
    datetime.timezone: _printed(b"Z", lambda value: f"{value.utcoffset(None)} {value}"),
    zoneinfo.ZoneInfo: _write_zone,
    decimal.Decimal: _printed(b"E"),
    fractions.Fraction: _tagged(b"Q", "numerator", "denominator"),
    re.Pattern: _write_pattern,
    functools.partial: _write_partial,
    types.SimpleNamespace: write_instance,
    io.StringIO: _write_memory_file,
    io.BytesIO: _write_memory_file,
    struct.Struct: _printed(b"B", lambda value: value.format),
    types.GenericAlias: _write_alias,
    types.UnionType: _write_alias,
    **dict.fromkeys((operator.itemgetter, operator.attrgetter, operator.methodcaller), _write_reduced),
    **dict.fromkeys((itertools.count, itertools.repeat, _FIELD), _write_reduced),
    **dict.fromkeys(_LOCKS, _constant(b"k")),
}
Encoder.writers |= _WRITERS
Encoder.packers |= {
    float: lambda items: b"*f" + array.array("d", items).tobytes(),
    int: _pack_ints,
    str: pack_texts,
}

# A subclass may override how it is read, but not what its base holds.
BASES |= {
    bool: Encoder.writers[bool],
    int: lambda encoder, value: encoder.write(int.__add__(value, 0)),
    float: Encoder.writers[float],
    complex: Encoder.writers[complex],
    str: lambda encoder, value: encoder.write(str.__str__(value)),
    bytes: _write_bytes,
    bytearray: _write_bytes,
    list: lambda encoder, value: encoder.write(list.copy(value)),
    tuple: lambda encoder, value: encoder.write(tuple.__getitem__(value, slice(None))),
    OrderedDict: lambda encoder, value: encoder.write(dict(OrderedDict.items(value))),
    defaultdict: _write_default_factory,
    dict: lambda encoder, value: encoder.write(dict.copy(value)),
    set: lambda encoder, value: encoder.write(set().union(value)),
    frozenset: lambda encoder, value: encoder.write(set().union(value)),
    deque: _write_deque,
    datetime.datetime: _write_clock,
    datetime.date: Encoder.writers[datetime.date],
    datetime.time: _write_clock,
    datetime.timedelta: Encoder.writers[datetime.timedelta],
    decimal.Decimal: Encoder.writers[decimal.Decimal],
    random.Random: _write_random,
    types.SimpleNamespace: lambda encoder, value: None,
    functools.partial: _tagged(b"P", "func", "args", "keywords"),
    BaseException: _write_exception,
}

FAMILIES |= {
    enum.Enum: _write_enum,
    type: lambda encoder, value: encoder.write_class(value),
    types.ModuleType: lambda encoder, value: encoder.write_module(value),
    **dict.fromkeys(
        (
            types.FunctionType,
            types.BuiltinFunctionType,
            types.MethodType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
            types.MethodWrapperType,
            types.ClassMethodDescriptorType,
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
            functools._lru_cache_wrapper,
            staticmethod,
            classmethod,
            property,
        ),
        lambda encoder, value: encoder.write_code(value),
    ),
    pathlib.PurePath: lambda encoder, value: encoder.write_path(value),
    _STREAM: _write_stream,
    typing._GenericAlias: _write_alias,  # type: ignore[attr-defined]
    types.GenericAlias: _write_alias,
    typing.ForwardRef: _printed(b"J", lambda value: value.__forward_arg__),
    typing.TypeVar: _write_type_variable,
    typing.ParamSpec: _write_type_variable,
}
