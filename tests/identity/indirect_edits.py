"""Edits of what is executed without being called by name, chosen by a text, or reached around a module."""

# ruff: noqa: E501 - lines of projects under test

from __future__ import annotations

import py_compile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edit_harness import ROOT, Case, Content, Link, experiment
from unusual_edits import JOIN, project

UNSEEN_IN_MODULES = ("a default argument", "a default of a lambda", "an annotation")
"""Calls whose value is kept, which are not named like a command."""


def bytecode(source: str) -> bytes:
    """Return what a module without a source is loaded from."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "shop.py")
        path.write_text(source)
        return Path(
            str(py_compile.compile(str(path), cfile=str(path) + "c", dfile="shop.py", doraise=True))
        ).read_bytes()


def executed() -> Iterator[Case]:
    """Yield what a module does to its process when it is loaded, in statements of every kind."""
    apply = "def apply():\n    import fractions\n    fractions.Fraction.shop_rate = {}\n    return 0\n"
    price = apply.replace("apply", "price")  # no command by its name
    ways = {
        "a class's body": "import fractions\nclass Shop:\n    fractions.Fraction.shop_rate = {}\n",
        "a call in a class's body": apply + "class Shop:\n    apply()\n",
        "__init_subclass__": "import fractions\nclass Base:\n    def __init_subclass__(cls): fractions.Fraction.shop_rate = {}\nclass Shop(Base): pass\n",
        "__set_name__": "import fractions\nclass D:\n    def __set_name__(self, kind, name): fractions.Fraction.shop_rate = {}\nclass Shop: d = D()\n",
        "a metaclass": "import fractions\nclass M(type):\n    def __init__(cls, *a): fractions.Fraction.shop_rate = {}\nclass Shop(metaclass=M): pass\n",
        "a metaclass's __prepare__": "import fractions\nclass M(type):\n    @classmethod\n    def __prepare__(m, *a):\n        fractions.Fraction.shop_rate = {}\n        return {{}}\nclass Shop(metaclass=M): pass\n",
        "a keyword of a class": apply
        + "class B:\n    def __init_subclass__(cls, x=0): pass\nclass Shop(B, x=apply()): pass\n",
        "a default argument": price + "def shop(x=price()): pass\n",
        "a default of a lambda": price + "shop = lambda x=price(): x\n",
        "an annotation": price + "def shop(x: price()): pass\n",
        "a condition": apply + "if apply(): pass\n",
        "a loop": apply + "for _ in range(apply()): pass\n",
        "a while": apply + "while apply(): pass\n",
        "an assertion": apply + "assert apply() == 0\n",
        "an augmented assignment": apply + "X = 0\nX += apply()\n",
        "an or": apply + "None or apply()\n",
        "a ternary": apply + "apply() if __name__ else None\n",
        "a tuple": apply + "apply(), 1\n",
        "a set comprehension": apply + "{{apply() for _ in range(1)}}\n",
        "a comparison": apply + "apply() == 1\n",
        "a match": apply + "match apply():\n    case 0: pass\n",
        "a try": "try:\n    import nowhere\nexcept ImportError:\n    import fractions\n    fractions.Fraction.shop_rate = {}\n",
        "a with": "import contextlib, fractions\n@contextlib.contextmanager\ndef applied():\n    fractions.Fraction.shop_rate = {}\n    yield\nwith applied(): pass\n",
        "a deletion": apply + "class A:\n    def __delitem__(self, k): apply()\nA().__delitem__(0)\n",
        "a del": apply + "class A:\n    def __delitem__(self, k): apply()\na = A()\ndel a[0]\n",
        "a walrus": apply + "(x := apply())\n",
        "a star": apply + "print(*[apply()], end='')\n",
        "an await": "import asyncio, fractions\nasync def go(): fractions.Fraction.shop_rate = {}\nasyncio.run(go())\n",
        "exec of a text": "exec('import fractions; fractions.Fraction.shop_rate = {}')\n",
        "setattr": "import fractions\nsetattr(fractions.Fraction, 'shop_rate', {})\n",
        "vars": "import fractions\nvars(fractions)['shop_rate'] = {}\nfractions.Fraction.shop_rate = fractions.shop_rate\n",
        "an operator": apply + "class A:\n    def __matmul__(self, o): apply()\nA() @ 1\n",
        "an attribute that is looked up": apply
        + "class A:\n    @property\n    def b(self): apply()\nA().b\n",
        "a subscript": apply + "class A:\n    def __class_getitem__(cls, k): apply()\nA[0]\n",
        "an import hook's exec_module": "import fractions, importlib.abc, importlib.machinery, sys\nclass F(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n    def find_spec(self, name, path, target=None):\n        return importlib.machinery.ModuleSpec(name, self) if name == 'made_up' else None\n    def exec_module(self, module): fractions.Fraction.shop_rate = {}\nsys.meta_path.append(F())\nimport made_up\n",
    }
    for name, source in ways.items():
        for place, files in {
            "module": {
                "experiment_a.py": "import shop\n" + experiment(JOIN, "import fractions"),
                "shop.py": source,
            },
            "conftest": {"experiment_a.py": experiment(JOIN, "import fractions"), "conftest.py": source},
        }.items():
            file = "shop.py" if place == "module" else "conftest.py"
            yield Case(
                f"executed in {place}",
                name,
                {**files, file: source.format(1)},
                {file: source.format(2)},
                unseen=place == "module" and name in UNSEEN_IN_MODULES,
            )


def hidden() -> Iterator[Case]:
    """Yield code that is reached around the name of a module, or that a text names."""
    function = "RATE = 0\ndef rate(): return {}\ndef other(): pass\n"
    ways = {
        "__dict__ of a module": (function, "shop.__dict__['rate']()"),
        "vars of a module": (function, "vars(shop)['rate']()"),
        "__getattribute__ of a module": (function, "shop.__getattribute__('rate')()"),
        "__globals__ of a function": (function, "shop.other.__globals__['rate']()"),
        "globals by attrgetter": (function, "operator.attrgetter('__globals__')(shop.other)['rate']()"),
        "attrgetter": (function, "operator.attrgetter('rate')(shop)()"),
        "inspect.getmodule": (function, "inspect.getmodule(shop.other).rate()"),
        "inspect.getmembers": (function, "dict(inspect.getmembers(shop))['rate']()"),
        "a frame's globals": (
            "import sys\nRATE = {}\ndef rate(): return sys._getframe().f_globals['RA' + 'TE']\n",
            "shop.rate()",
        ),
        "an inspected frame": (
            "import inspect\nRATE = {}\ndef rate(): return inspect.currentframe().f_globals['RA' + 'TE']\n",
            "shop.rate()",
        ),
        "type hints of texts": (
            "import typing\nclass Rate:\n    rate = {}\ndef other(x: 'Rate'): pass\n",
            "typing.get_type_hints(shop.other)['x'].rate",
        ),
        "type hints of a dataclass": (
            "from __future__ import annotations\nimport dataclasses\nclass Rate:\n    rate = {}\n@dataclasses.dataclass\nclass A:\n    x: Rate\n",
            "typing.get_type_hints(shop.A)['x'].rate",
        ),
        "logging configured by a text": (
            "import logging\nclass H(logging.Handler):\n    rate = {}\n",
            "(logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False, 'handlers': {'h': {'class': 'shop.H'}}, 'loggers': {'shop': {'handlers': ['h']}}}) or logging.getLogger('shop').handlers[0].rate)",
        ),
        "a target of mock.patch": (
            function,
            "unittest.mock.patch('shop.rate').get_original()[0]()",
        ),
        "yaml's names": (function, "yaml.unsafe_load('!!python/name:shop.rate')()"),
        "a text with a colon": (function, "importlib.metadata.EntryPoint('a', 'shop:rate', 'b').load()()"),
        "a doctest": (
            "def rate():\n    '''\n    >>> {}\n    1\n    '''\n",
            "doctest.run_docstring_examples(shop.rate, {}) or len(shop.rate.__doc__.split('2'))",
        ),
        "singledispatch": (
            "import functools\n@functools.singledispatch\ndef rate(x): return 0\n@rate.register\ndef _(x: int): return {}\n",
            "shop.rate(1)",
        ),
        "singledispatchmethod": (
            "import functools\nclass A:\n    @functools.singledispatchmethod\n    def rate(self, x): return 0\n    @rate.register\n    def _(self, x: int): return {}\n",
            "shop.A().rate(1)",
        ),
        "field default": (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    b: int = {}\n",
            "shop.A().b",
        ),
        "field factory": (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    b: int = dataclasses.field(default_factory=lambda: {})\n",
            "shop.A().b",
        ),
        "field metadata": (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    b: int = dataclasses.field(default=0, metadata={{'x': {}}})\n",
            "dataclasses.fields(shop.A)[0].metadata['x']",
        ),
        "member of an enum": ("import enum\nclass A(enum.Enum):\n    B = {}\n", "shop.A.B.value"),
        "flag": ("import enum\nclass A(enum.IntFlag):\n    B = {}\n    C = B | 4\n", "int(shop.A.C)"),
        "missing member": (
            "import enum\nclass A(enum.Enum):\n    B = 7\n    D = 1\n    C = 2\n    @classmethod\n    def _missing_(cls, v): return cls({})\n",
            "shop.A(99).value",
        ),
        "named tuple": ("import typing\nclass A(typing.NamedTuple):\n    b: int = {}\n", "shop.A().b"),
        "keys of a typed dict": (
            "import typing\nclass A(typing.TypedDict, total=bool({} - 1)):\n    b: int\n",
            "len(shop.A.__required_keys__)",
        ),
        "alias of a type": ("import typing\nA = typing.Annotated[int, {}]\n", "shop.A.__metadata__[0]"),
        "a function of types": (
            "import types\nf = types.FunctionType(compile('{}', '<made>', 'eval'), {{}})\n",
            "shop.f()",
        ),
        "a made class": ("A = type('A', (), {{'b': {}}})\n", "shop.A.b"),
        "a made dataclass": (
            "import dataclasses\nA = dataclasses.make_dataclass('A', [('b', int, {})])\n",
            "shop.A().b",
        ),
        "subclass hook": (
            "import abc\nclass A(abc.ABC):\n    @classmethod\n    def __subclasshook__(cls, c): return {} > 1\n",
            "isinstance(1, shop.A)",
        ),
        "virtual subclass of the project's": (
            "import abc\nclass A(abc.ABC): pass\nif {} > 1: A.register(int)\n",
            "isinstance(1, shop.A)",
        ),
        "virtual subclass by a decorator": (
            "import abc\nclass A(abc.ABC): pass\ndef none(c): return c\n@(A.register if {} > 1 else none)\nclass B: pass\n",
            "issubclass(shop.B, shop.A)",
        ),
        "virtual subclass in a loop of a comprehension": (
            "import abc\nclass A(abc.ABC): pass\nX = [A.register(k) for k in (int, str)[:{} - 1]]\n",
            "isinstance(1, shop.A)",
        ),
        "__class__ that is assigned": (
            "class A:\n    b = 1\nclass C:\n    b = 2\na = A()\na.__class__ = (A, C)[{} - 1]\n",
            "shop.a.b",
        ),
        "__missing__": ("class D(dict):\n    def __missing__(self, k): return {}\nd = D()\n", "shop.d['x']"),
        "__getattr__ of a class": (
            "class A:\n    def __getattr__(self, k): return {}\na = A()\n",
            "shop.a.x",
        ),
        "__reduce__": (
            "class A:\n    def __reduce__(self): return int, ({},)\na = A()\n",
            "pickle.loads(pickle.dumps(shop.a))",
        ),
        "__del__": (
            "L = [0]\nclass A:\n    def __del__(self): L[0] = {}\ndef rate():\n    A()\n    return L[0]\n",
            "shop.rate()",
        ),
        "generator's code": ("def g():\n    yield {}\n", "next(shop.g())"),
        "asynchronous code": ("async def g(): return {}\n", "asyncio.run(shop.g())"),
        "ExitStack's callback": (
            "import contextlib\nL = []\ndef rate():\n    L.clear()\n    with contextlib.ExitStack() as s: s.callback(L.append, {})\n    return L[0]\n",
            "shop.rate()",
        ),
        "code in a string that is compiled at import": (
            "rate = eval(compile('lambda: {}', 'x', 'eval'))\n",
            "shop.rate()",
        ),
        "text that is executed at import": ("exec('def rate(): return {}')\n", "shop.rate()"),
        "marshalled code": (
            "import marshal\nD = marshal.dumps(compile('{}', 'x', 'eval'))\ndef rate(): return eval(marshal.loads(D))\n",
            "shop.rate()",
        ),
        "star import": ("from goods import *\n", "shop.rate()"),
        "a module's __all__": ("__all__ = ['one', 'two'][:{}]\none = two = 1\n", "len(shop.__all__)"),
        "a submodule that __getattr__ imports": (
            "def __getattr__(name):\n    import goods\n    return goods.rate\n",
            "shop.rate()",
        ),
        "dir of a module": ("def __dir__(): return ['a'] * {}\n", "len(dir(shop))"),
        "a closure that is changed": (
            "def make():\n    x = 0\n    def get(): return x\n    def put(v):\n        nonlocal x\n        x = v\n    return get, put\nrate, put = make()\nput({})\n",
            "shop.rate()",
        ),
        "a partial's keywords": (
            "import functools\ndef f(x=0): return x\nrate = functools.partial(f, x={})\n",
            "shop.rate()",
        ),
        "a total ordering": (
            "import functools\n@functools.total_ordering\nclass A:\n    def __eq__(self, o): return False\n    def __lt__(self, o): return {} > 1\n",
            "shop.A() <= shop.A()",
        ),
        "a numpy object array": (
            "import numpy\ndef f(): return {}\nA = numpy.array([f], dtype=object)\n",
            "shop.A[0]()",
        ),
        "a pandas frame": ("import pandas\nF = pandas.DataFrame({{'a': [{}]}})\n", "shop.F.a[0]"),
        "a compiled pattern": ("import re\nR = re.compile('a{{{}}}')\n", "len(shop.R.match('aaa')[0])"),
        "a formatter": ("import string\nT = string.Template('$a' * {})\n", "len(shop.T.substitute(a='x'))"),
        "a struct": ("import struct\nS = struct.Struct('i' * {})\n", "shop.S.size"),
        "a ctypes structure": (
            "import ctypes\nclass A(ctypes.Structure):\n    _fields_ = [('b', ctypes.c_int)] * {}\n",
            "ctypes.sizeof(shop.A)",
        ),
        "an array": ("import array\nA = array.array('i', [{}])\n", "shop.A[0]"),
        "a mapping proxy": ("import types\nA = types.MappingProxyType({{'b': {}}})\n", "shop.A['b']"),
        "an ellipsis of a slice": ("A = slice({})\n", "shop.A.stop"),
        "a decimal": ("import decimal\nA = decimal.Decimal({})\n", "float(shop.A)"),
        "a date": ("import datetime\nA = datetime.date(2020, 1, {})\n", "shop.A.day"),
        "a zone": (
            "import zoneinfo\nA = zoneinfo.ZoneInfo(['Europe/Berlin', 'Asia/Tokyo'][{} - 1])\n",
            "__import__('datetime').datetime(2020, 1, 1, tzinfo=shop.A).utcoffset().seconds",
        ),
        "an exception's arguments": ("E = ValueError({})\n", "shop.E.args[0]"),
        "memory": ("A = memoryview(bytes([{}]))\n", "shop.A[0]"),
        "an iterator": ("I = iter([{}] * 99)\n", "next(shop.I)"),
        "a bound builtin": ("D = {{'a': {}}}\nget = D.get\n", "shop.get('a')"),
        "a lock's owner": ("import threading\nL = threading.Semaphore({})\n", "shop.L._value"),
        "private attribute of a member": (
            "import enum\nclass P(enum.Enum):\n    E = 1, {}\n    def __new__(cls, v, mass):\n        o = object.__new__(cls)\n        o._value_, o._mass = v, mass\n        return o\n",
            "shop.P.E._mass",
        ),
        "class of a path": (
            "import pathlib\nclass P(type(pathlib.Path())):\n    def rate(self): return {}\np = P('x')\n",
            "shop.p.rate()",
        ),
        "class of a stream": (
            "import io\nclass T(io.TextIOBase):\n    def write(self, text): return {}\nt = T()\n",
            "shop.t.write('')",
        ),
        "name of a logger": (
            "import logging\nL = logging.getLogger('a' * {})\nlogging.getLogger('a').setLevel(10)\n",
            "shop.L.isEnabledFor(10)",
        ),
        "capacity of a semaphore": ("import asyncio\nS = asyncio.Semaphore({})\n", "shop.S._value"),
        "a random state": ("import random\nR = random.Random({})\n", "random.Random.getrandbits(shop.R, 8)"),
    }
    imports = "import asyncio, ctypes, dataclasses, doctest, importlib.metadata, inspect, logging.config, operator, pickle, random, typing, unittest.mock\nimport shop"
    for name, (source, value) in ways.items():
        needs = imports + ("\nimport yaml" if "yaml" in value else "")
        goods = {"goods.py": "def rate(): return 1\n"}
        before = project(value, needs, shop__py=source.format(1)) | goods
        after: dict[str, Content] = (
            {"shop.py": source.format(2)} if "{" in source else {"goods.py": "def rate(): return 2\n"}
        )
        yield Case("code, hidden", name, before, after)


def around() -> Iterator[Case]:
    """Yield what lies around a project: links, paths, sources that are not there, the directory of the session."""
    imports = "import fractions"
    patch = "import fractions\nfractions.Fraction.shop_rate = {}\n"
    yield Case(
        "around",
        "module without a source",
        {
            "experiment_a.py": "import shop\n" + experiment(JOIN, imports),
            "shop.pyc": bytecode(patch.format(1)),
        },
        {"shop.pyc": bytecode(patch.format(2))},
    )
    yield Case(
        "around",
        "function of a module without a source",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "shop.pyc": bytecode("def rate(): return 1\n"),
        },
        {"shop.pyc": bytecode("def rate(): return 2\n")},
    )
    yield Case(
        "around",
        "conftest imports a module without a source",
        {
            "conftest.py": "import shop\n",
            "experiment_a.py": experiment(JOIN, imports),
            "shop.pyc": bytecode(patch.format(1)),
        },
        {"shop.pyc": bytecode(patch.format(2))},
    )
    yield Case(
        "around",
        "package that is a link",
        {
            "experiment_a.py": "import shop\n" + experiment(JOIN, imports),
            "v1/__init__.py": patch.format(1),
            "v2/__init__.py": patch.format(2),
            "shop": Link("v1"),
        },
        {"shop": Link("v2")},
    )
    yield Case(
        "around",
        "function of a package that is a link",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "v1/__init__.py": "def rate(): return 1\n",
            "v2/__init__.py": "def rate(): return 2\n",
            "shop": Link("v1"),
        },
        {"shop": Link("v2")},
    )
    yield Case(
        "around",
        "data behind a link to a directory",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "shop.py": "import fractions\nfractions.shop_rate = float(open('data/table').read())\ndef rate(): return fractions.shop_rate\n",
            "d1/table": "1",
            "d2/table": "2",
            "data": Link("d1"),
        },
        {"data": Link("d2")},
    )
    yield Case(
        "around",
        "declared data behind a link to a directory",
        {
            "experiment_a.py": experiment("open('data/table').read()", mark=", inputs=['data/*']"),
            "d1/table": "1",
            "d2/table": "2",
            "data": Link("d1"),
        },
        {"data": Link("d2")},
    )
    yield Case(
        "around",
        "order of paths",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "one/shop.py": "def rate(): return 1\n",
            "two/shop.py": "def rate(): return 2\n",
            "pytest.ini": "[pytest]\npythonpath = one two\n",
        },
        {"pytest.ini": "[pytest]\npythonpath = two one\n"},
    )
    yield Case(
        "around",
        "order of paths, set-up",
        {
            "experiment_a.py": "import shop\n" + experiment(JOIN, imports),
            "one/shop.py": patch.format(1),
            "two/shop.py": patch.format(2),
            "pytest.ini": "[pytest]\npythonpath = one two\n",
        },
        {"pytest.ini": "[pytest]\npythonpath = two one\n"},
    )
    yield Case(
        "around",
        "module that hides another",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "two/shop.py": "def rate(): return 1\n",
            "pytest.ini": "[pytest]\npythonpath = . two\n",
        },
        {"shop.py": "def rate(): return 2\n"},
    )
    yield Case(
        "around",
        "package that appears beside a module",
        {"experiment_a.py": experiment("shop.rate()", "import shop"), "shop.py": "def rate(): return 1\n"},
        {"shop/__init__.py": "def rate(): return 2\n"},
    )
    yield Case(
        "around",
        "module that is missing at first",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "shop.py": "try:\n    from goods import rate\nexcept ImportError:\n    def rate(): return 1\n",
        },
        {"goods.py": "def rate(): return 2\n"},
    )
    yield Case(
        "around",
        "module that is missing at first, in a run",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "shop.py": "def rate():\n    try:\n        import goods\n    except ImportError:\n        return 1\n    return 2\n",
        },
        {"goods.py": ""},
    )
    yield Case(
        "around",
        "two portions of a namespace",
        {
            "experiment_a.py": experiment("space.a.rate() + space.b.rate()", "import space.a, space.b"),
            "one/space/a.py": "def rate(): return 1\n",
            "two/space/b.py": "def rate(): return 1\n",
            "pytest.ini": "[pytest]\npythonpath = one two\n",
        },
        {"two/space/b.py": "def rate(): return 2\n"},
    )
    yield Case(
        "around",
        "module by text, loaded by conftest",
        {
            "conftest.py": "import importlib\nimportlib.import_module('sh' + 'op')\n",
            "experiment_a.py": experiment(JOIN, imports),
            "shop.py": patch.format(1),
        },
        {"shop.py": patch.format(2)},
    )
    yield Case(
        "around",
        "every module of a package",
        {
            "conftest.py": "import importlib, pkgutil, shop\nfor m in pkgutil.iter_modules(shop.__path__): importlib.import_module('shop.' + m.name)\n",
            "experiment_a.py": experiment(JOIN, imports),
            "shop/__init__.py": "",
            "shop/a.py": patch.format(1),
        },
        {"shop/a.py": patch.format(2)},
    )
    yield Case(
        "around",
        "level of the log",
        {
            "experiment_a.py": experiment("logging.getLogger().level", "import logging"),
            "pytest.ini": "[pytest]\nlog_level = INFO\n",
        },
        {"pytest.ini": "[pytest]\nlog_level = ERROR\n"},
    )
    yield Case(
        "around",
        "target of a link",
        {
            "experiment_a.py": experiment("len(os.readlink('data'))", "import os"),
            "data": Link("a"),
            "a": "",
            "bb": "",
        },
        {"data": Link("bb")},
        unseen=True,
    )
    yield Case(
        "around",
        "pytest's cache",
        {
            "experiment_a.py": experiment("cache.get('shop/rate', 1)", arguments=", *, cache"),
            ".pytest_cache/v/shop/rate": "1",
        },
        {".pytest_cache/v/shop/rate": "2"},
    )
    yield Case(
        "around",
        "time zone",
        {"experiment_a.py": experiment("time.localtime(0).tm_hour", "import time")},
        {},
        variables=({"TZ": "UTC"}, {"TZ": "Asia/Tokyo"}),
        unseen=True,
    )
    yield Case(
        "around",
        "time zone that conftest sets",
        {
            "experiment_a.py": experiment("time.localtime(0).tm_hour", "import time"),
            "conftest.py": "import os, time\nos.environ['TZ'] = 'UTC'\ntime.tzset()\n",
        },
        {"conftest.py": "import os, time\nos.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()\n"},
    )
    yield Case(
        "around",
        "locale that conftest sets",
        {
            "experiment_a.py": experiment("len(locale.setlocale(locale.LC_ALL))", "import locale"),
            "conftest.py": "import locale\nlocale.setlocale(locale.LC_ALL, 'C')\n",
        },
        {"conftest.py": "import locale\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')\n"},
    )
    yield Case(
        "around",
        "variable read when loaded",
        {
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "shop.py": "import fractions, os\nfractions.shop_rate = float(os.environ.get('SHOP', 0))\ndef rate(): return fractions.shop_rate\n",
        },
        {},
        variables=({"SHOP": "1"}, {"SHOP": "2"}),
        unseen=True,
    )
    yield Case(
        "around",
        "variable read when loaded, as a value",
        {
            "experiment_a.py": experiment("shop.RATE", "import shop"),
            "shop.py": "import os\nRATE = float(os.environ.get('SHOP', 0))\n",
        },
        {},
        variables=({"SHOP": "1"}, {"SHOP": "2"}),
    )
    yield Case(
        "around",
        "plugin that an option names",
        {"experiment_a.py": experiment(JOIN, imports), "shop.py": patch.format(1)},
        {"shop.py": patch.format(2)},
        variables=(
            {"PYTEST_PLUGINS": "shop", "PYTHONPATH": f"{ROOT}:."},
            {"PYTEST_PLUGINS": "shop", "PYTHONPATH": f"{ROOT}:."},
        ),
    )
    yield Case(
        "around",
        "conftest above the arguments",
        {
            "conftest.py": patch.format(1),
            "inner/experiment_b.py": experiment(JOIN, imports),
            "experiment_a.py": experiment("1"),
        },
        {"conftest.py": patch.format(2)},
    )


def outside() -> Iterator[Case]:
    """Yield modules that lie beside the root of a session."""
    yield Case(
        "around",
        "module outside of the root, by text",
        {
            "inner/conftest.py": "import importlib, sys\nsys.path.insert(0, 'sibling')\nimportlib.import_module('sh' + 'op')\n",
            "inner/experiment_a.py": experiment(JOIN, "import fractions"),
            "sibling/shop.py": "import fractions\nfractions.Fraction.shop_rate = 1\n",
        },
        {"sibling/shop.py": "import fractions\nfractions.Fraction.shop_rate = 2\n"},
        variables=({"PYTEST_ADDOPTS": "--rootdir=inner"}, {"PYTEST_ADDOPTS": "--rootdir=inner"}),
        unseen=True,
    )


def indirect() -> list[Case]:
    """Return all cases."""
    return [*executed(), *hidden(), *around(), *outside()]
