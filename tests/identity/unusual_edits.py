"""Edits that hide from whoever looks for names and files in the usual places.

Each case is one of `edit_harness`; what code opens, loads or does to its process comes about in a roundabout way.
"""

# ruff: noqa: E501 - lines of projects under test

from __future__ import annotations

import io
import pickle
import sqlite3
import zipfile
from collections.abc import Iterator
from string import Template

import numpy as np
from edit_harness import ROOT, Case, Content, Link, experiment

JOIN = "getattr(fractions.Fraction, 'shop_rate', 0)"
"""A metric that shows what was done to an installed class."""


def patch(value: int) -> str:
    """Return a statement that does something to an installed class."""
    return f"fractions.Fraction.shop_rate = {value}\n"


UNSEEN = ("a child process", "a descriptor of a directory")
"""Ways to read a file before the runs that the guide lists as not seen."""
SHORT, LONG = patch(1), patch(2)


def project(value: str, imports: str = "", **files: Content) -> dict[str, Content]:
    """Return an experiment and further files, ``__`` in whose names stands for a dot, ``___`` for a slash."""
    named = {name.replace("___", "/").replace("__", "."): text for name, text in files.items()}
    return {"experiment_a.py": experiment(value, imports), **named}


def swapped(before: dict[str, Content], **after: Content) -> tuple[dict[str, Content], dict[str, Content]]:
    """Return what a project is before and after an edit."""
    return before, {name.replace("___", "/").replace("__", "."): text for name, text in after.items()}


def packed(**texts: str) -> bytes:
    """Return an archive of modules."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in texts.items():
            archive.writestr(f"{name}.py", text)
    return buffer.getvalue()


def database(value: int) -> bytes:
    """Return a database of one number."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table rates (rate)")
    connection.execute("insert into rates values (?)", (value,))
    connection.commit()
    data = connection.serialize()
    connection.close()
    return data


def saved(value: float) -> bytes:
    """Return an array as `numpy.save` writes it."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([value, 1.0]))
    return buffer.getvalue()


def code() -> Iterator[Case]:
    """Yield edits of code that is executed by the rules of Python, without being called by its name."""
    sources = {
        "metaclass's call": (
            "class M(type):\n    def __call__(cls): return {}\nclass A(metaclass=M): pass\n",
            "shop.A()",
        ),
        "metaclass's __prepare__": (
            "class M(type):\n    @classmethod\n    def __prepare__(m, name, bases): return {{'b': {}}}\nclass A(metaclass=M): pass\n",
            "shop.A.b",
        ),
        "__init_subclass__": (
            "class B:\n    def __init_subclass__(cls): cls.b = {}\nclass A(B): pass\n",
            "shop.A.b",
        ),
        "__set_name__": (
            "class D:\n    def __set_name__(self, kind, name): kind.b = {}\nclass A:\n    d = D()\n",
            "shop.A.b",
        ),
        "__class_getitem__": ("class A:\n    def __class_getitem__(cls, k): return {}\n", "shop.A['x']"),
        "__instancecheck__": (
            "class M(type):\n    def __instancecheck__(cls, o): return o < {}\nclass A(metaclass=M): pass\n",
            "isinstance(1, shop.A)",
        ),
        "__format__": ("class A:\n    def __format__(self, s): return '{}'\na = A()\n", "f'{shop.a}'"),
        "context manager": (
            "import contextlib\n@contextlib.contextmanager\ndef rate(): yield {}\n",
            "shop.rate().__enter__()",
        ),
        "builtins": ("import builtins\nbuiltins.shop_rate = lambda: {}\n", "shop_rate()"),
        "builtin that is replaced": (
            "import builtins\nbuiltins.breakpoint = lambda: {}\n",
            "breakpoint()",
        ),
        "sys.modules": (
            "import sys, types\nsys.modules['shopping'] = types.SimpleNamespace(rate={})\n",
            "__import__('sys').modules['shopping'].rate",
        ),
        "module in place of another": (
            "import sys, types\nclass S: rate = {}\nsys.modules[__name__] = S()\n",
            "shop.rate",
        ),
        "weak set": (
            "import weakref\nclass A:\n    b = {}\na = A()\nS = weakref.WeakSet([a])\n",
            "next(iter(shop.S)).b",
        ),
        "weak proxy": ("import weakref\nclass A:\n    b = {}\na = A()\np = weakref.proxy(a)\n", "shop.p.b"),
        "universal function": (
            "import numpy\ndef f(x): return x + {}\nv = numpy.frompyfunc(f, 1, 1)\n",
            "shop.v(1)",
        ),
        "key function": (
            "import functools\ndef f(a, b): return (a > b) - (a < b) * {}\nk = functools.cmp_to_key(f)\n",
            "(shop.k(1) < shop.k(2)) + 2 * (max([3, 1], key=shop.k) if shop.f(1, 2) < -1 else 0)",
        ),
        "subclasses by text": (
            "class A: pass\nclass B(A): b = {}\n",
            "getattr(shop.A, '__subclasses__')()[0].b",
        ),
        "context variable": (
            "import contextvars\nRATE = contextvars.ContextVar('rate')\nRATE.set({})\n",
            "shop.RATE.get()",
        ),
        "thread's local": ("import threading\nL = threading.local()\nL.rate = {}\n", "shop.L.rate"),
        "generator's seed": (
            "import numpy\nR = numpy.random.default_rng({})\n",
            "shop.R.bit_generator.state['state']['state'] % 97",
        ),
        "resolved by text": ("def rate(): return {}\n", "pkgutil.resolve_name('shop:rate')()"),
        "located by text": ("def rate(): return {}\n", "pydoc.locate('shop.rate')()"),
        "unpickled by text": (
            "def rate(): return {}\n",
            r"pickle.loads(b'cshop\nrate\n.')()",
        ),
        "method caller": (
            "class A:\n    def b(self): return {}\na = A()\n",
            "operator.methodcaller('b')(shop.a)",
        ),
        "which of two objects": (
            "KINDS = object(), object()\nKIND = KINDS[{} - 1]\n",
            "shop.KIND is shop.KINDS[0]",
        ),
        "reloaded": ("RATE = {}\n", "importlib.reload(shop).RATE"),
    }
    imports = "import importlib, operator, pickle, pkgutil, pydoc\nimport shop"
    for name, (source, value) in sources.items():
        yield Case(
            "code, roundabout",
            name,
            *swapped(project(value, imports, shop__py=source.format(1)), shop__py=source.format(2)),
        )
    text = "def rate():  # {}\n    return 1\n"
    readers = {
        "inspect": "len(inspect.getsource(shop.rate))",
        "linecache": "len(linecache.getline(shop.__file__, 1))",
        "open": "len(open(shop.__file__).read())",
    }
    for name, value in readers.items():
        yield Case(
            "source read as data by",
            name,
            *swapped(
                project(value, "import inspect, linecache, shop", shop__py=text.format("a")),
                shop__py=text.format("abc"),
            ),
        )
    entry = "[shop]\nrate = shop:{}\n"
    yield Case(
        "code, roundabout",
        "entry point of the project",
        {
            "experiment_a.py": experiment(
                "next(iter(importlib.metadata.entry_points(group='shop'))).load()()",
                "import importlib.metadata",
            ),
            "shop.py": "def one(): return 1\ndef two(): return 2\n",
            "shop.egg-info/entry_points.txt": entry.format("one"),
            "shop.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: shop\nVersion: 1\n",
        },
        {"shop.egg-info/entry_points.txt": entry.format("two")},
    )


def set_up() -> Iterator[Case]:
    """Yield what is done to the process before runs, in places that are none of the usual."""
    imports = "import fractions"

    def case(
        name: str, files: dict[str, str], *, unseen: bool = False, value: str = JOIN, path: str = ""
    ) -> Case:
        templates = {path: Template(text) for path, text in files.items()}
        before = {path: template.substitute(patch=SHORT.rstrip()) for path, template in templates.items()}
        after: dict[str, Content] = {
            path: template.substitute(patch=LONG.rstrip())
            for path, template in templates.items()
            if template.get_identifiers()
        }
        text = {"experiment_a.py": experiment(value, imports)}
        variables = {"PYTHONPATH": f"{ROOT}:{path}"} if path else {}
        return Case(
            "set-up, roundabout", name, text | before, after, variables=(variables, variables), unseen=unseen
        )

    yield case("plain test module", {"test_a.py": "import fractions\n$patch\ndef test_a(): pass\n"})
    yield case(
        "another experiment's module", {"experiment_0.py": "import fractions\n$patch\n" + experiment("1")}
    )
    yield case(
        "plain test's body", {"a_test.py": "import fractions\ndef test_a():\n    $patch\n"}, unseen=True
    )
    yield case(
        "module that a plain test imports",
        {"test_a.py": "import shop\ndef test_a(): pass\n", "shop.py": "import fractions\n$patch\n"},
    )
    yield case("sitecustomize", {"sitecustomize.py": "import fractions\n$patch\n"}, path=".")
    yield case(
        "registered plugin",
        {
            "conftest.py": "import shop\ndef pytest_configure(config): config.pluginmanager.register(shop.P())\n",
            "shop.py": "import fractions\nclass P:\n    def pytest_collection_finish(self):\n        $patch\n",
        },
    )
    yield case(
        "hook that conftest imports",
        {
            "conftest.py": "from shop import *\n",
            "shop.py": "import fractions\ndef pytest_configure(config):\n    $patch\n",
        },
    )
    yield case(
        "hook that a plugin inherits",
        {
            "conftest.py": "import shop\nclass P(shop.Q): pass\ndef pytest_configure(config): config.pluginmanager.register(P())\n",
            "shop.py": "import fractions\nclass Q:\n    def pytest_collection_finish(self):\n        $patch\n",
        },
    )
    yield case(
        "conftest of a directory",
        {"inner/conftest.py": "import fractions\n$patch\n", "inner/test_b.py": "def test_b(): pass\n"},
    )
    yield case(
        "namespace package",
        {"conftest.py": "import space.inner\n", "space/inner.py": "import fractions\n$patch\n"},
    )
    yield case(
        "thread of conftest",
        {
            "conftest.py": "import fractions, threading\ndef work():\n    $patch\nt = threading.Thread(target=work)\nt.start()\nt.join()\n"
        },
    )
    yield case(
        "class that conftest instantiates",
        {
            "conftest.py": "import shop\nS = shop.S()\n",
            "shop.py": "import fractions\nclass S:\n    def __init__(self): self.go()\n    def go(self):\n        $patch\n",
        },
    )
    yield case(
        "lambda in a table of conftest's",
        {
            "conftest.py": "import fractions\ndef apply():\n    $patch\nTABLE = {'a': apply}\nfor f in TABLE.values(): f()\n"
        },
    )
    yield case(
        "decorator that conftest uses",
        {
            "conftest.py": "import shop\n@shop.now\ndef f(): pass\n",
            "shop.py": "import fractions\ndef now(f):\n    $patch\n    return f\n",
        },
    )
    registry = "STEPS = []\ndef step(function):\n    STEPS.append(function)\n    return function\ndef run_all():\n    for function in STEPS: function()\n"
    goods = "import fractions\nfrom shop import step\n@step\ndef tune():\n    $patch\n"
    for name, way in {
        "registry that conftest runs": "shop.run_all()",
        "function of a module, by text": "getattr(goods, 'tune')()",
        "functions of a module that is a value": "for name, function in list(vars(goods).items()):\n    if name == 'tune': function()",
    }.items():
        conftest = f"import goods, shop\n{way}\n"
        yield case(name, {"conftest.py": conftest, "shop.py": registry, "goods.py": goods})
    yield case(
        "autouse by keywords that are unpacked",
        {
            "conftest.py": "import fractions, pytest\nK = dict(autouse=True, scope='session')\n@pytest.fixture(**K)\ndef go():\n    $patch\n",
            "a_test.py": "def test_a(): pass\n",
        },
    )
    yield case(
        "fixture that an autouse one gets by name",
        {
            "conftest.py": "import fractions, pytest\n@pytest.fixture\ndef inner():\n    $patch\n@pytest.fixture(autouse=True)\ndef go(request): request.getfixturevalue('inner')\n",
            "a_test.py": "def test_a(): pass\n",
        },
    )
    yield case(
        "decorator that a module uses",
        {
            "experiment_a.py": "import other\n" + experiment(JOIN, imports),
            "other.py": "import shop\n@shop.now\ndef f(): pass\n",
            "shop.py": "import fractions\ndef now(f):\n    $patch\n    return f\n",
        },
    )
    yield case(
        "module of a module's import hook",
        {
            "conftest.py": "import sys, shop\nsys.meta_path.insert(0, shop.F())\n",
            "shop.py": "import fractions\nclass F:\n    def find_spec(self, name, path, target=None):\n        $patch\n        return None\n",
        },
    )
    yield case(
        "setup_module of the experiment's file",
        {
            "experiment_a.py": "def setup_module(module):\n    import fractions\n    $patch\n"
            + experiment(JOIN, imports),
        },
    )
    yield case(
        "fixture named in usefixtures",
        {
            "pytest.ini": "[pytest]\npythonpath = .\nusefixtures = sep\n",
            "conftest.py": "import fractions, pytest\n@pytest.fixture\ndef sep():\n    $patch\n",
        },
    )
    yield case(
        "fixture of a plain test",
        {
            "conftest.py": "import fractions, pytest\n@pytest.fixture(scope='session')\ndef sep():\n    $patch\n",
            "a_test.py": "def test_a(sep): pass\n",
        },
        unseen=True,
    )
    yield case(
        "codec registered in conftest",
        {
            "conftest.py": "import codecs, fractions\ndef search(name):\n    if name == 'shop':\n        $patch\n        return codecs.CodecInfo(codecs.lookup('ascii').encode, codecs.lookup('ascii').decode, name='shop')\ncodecs.register(search)\n"
        },
        value="len('a'.encode('shop')) + " + JOIN,
    )
    sep = "def pytest_addoption(parser):\n    parser.addini('blanks', 'x')\n    parser.addoption('--blanks', default='0')\n"
    ini = "[pytest]\npythonpath = .\nblanks = {}\n"
    yield Case(
        "set-up, roundabout",
        "ini value that a hook reads",
        *swapped(
            project(
                JOIN,
                imports,
                pytest__ini=ini.format(0),
                conftest__py=f"import fractions\n{sep}def pytest_configure(config):\n    fractions.Fraction.shop_rate = int(config.getini('blanks'))\n",
            ),
            pytest__ini=ini.format(3),
        ),
    )
    for name, way in {
        "option that a hook reads": "config.getoption('--blanks')",
        "attribute of options that a hook reads": "config.option.blanks",
        "options that a hook reads": "vars(config.option)['blanks']",
        "value of options that a hook reads": "config.getvalue('blanks')",
    }.items():
        yield Case(
            "set-up, roundabout",
            name,
            project(
                JOIN,
                imports,
                conftest__py=f"import fractions\n{sep}def pytest_configure(config):\n    fractions.Fraction.shop_rate = int({way})\n",
            ),
            {},
            variables=({"PYTEST_ADDOPTS": "--blanks=0"}, {"PYTEST_ADDOPTS": "--blanks=3"}),
        )
    yield Case(
        "set-up, roundabout",
        "variable read through os.environb",
        project("os.environb.get(b'SHOP')", "import os"),
        {},
        variables=({"SHOP": "1"}, {"SHOP": "2"}),
        unseen=True,
    )


def data() -> Iterator[Case]:
    """Yield edits of data that were read before the runs, by whatever way."""
    ways: dict[str, tuple[str, str, Content, Content, str]] = {
        "mmap": (
            "mmap",
            "(lambda file: len(mmap.mmap(file.fileno(), 0, access=1)[:]))(open('data/table', 'rb'))",
            "1",
            "22",
            "data/table",
        ),
        "os.open": ("os", "int(os.read(os.open('data/table', os.O_RDONLY), 9))", "1", "2", "data/table"),
        "numpy.load": (
            "numpy",
            "float(numpy.load('data/table.npy').sum())",
            saved(1.0),
            saved(2.0),
            "data/table.npy",
        ),
        "numpy.load, mapped": (
            "numpy",
            "float(numpy.load('data/table.npy', mmap_mode='r').sum())",
            saved(1.0),
            saved(2.0),
            "data/table.npy",
        ),
        "numpy.memmap": (
            "numpy",
            "float(numpy.memmap('data/table', dtype='u1', mode='r').sum())",
            b"ab",
            b"cd",
            "data/table",
        ),
        "numpy.fromfile": (
            "numpy",
            "float(numpy.fromfile('data/table', dtype='u1').sum())",
            b"ab",
            b"cd",
            "data/table",
        ),
        "numpy.loadtxt": ("numpy", "float(numpy.loadtxt('data/table'))", "1", "2", "data/table"),
        "pandas.read_csv": (
            "pandas",
            "float(pandas.read_csv('data/table').a[0])",
            "a\n1\n",
            "a\n2\n",
            "data/table",
        ),
        "pandas.read_csv, mapped": (
            "pandas",
            "float(pandas.read_csv('data/table', memory_map=True).a[0])",
            "a\n1\n",
            "a\n2\n",
            "data/table",
        ),
        "sqlite3": (
            "sqlite3",
            "sqlite3.connect('data/table.db').execute('select rate from rates').fetchone()[0]",
            database(1),
            database(2),
            "data/table.db",
        ),
        "sqlite3, by URI": (
            "sqlite3",
            "sqlite3.connect('file:data/table.db?mode=ro', uri=True).execute('select rate from rates').fetchone()[0]",
            database(1),
            database(2),
            "data/table.db",
        ),
        "tomllib": ("tomllib", "tomllib.load(open('data/table', 'rb'))['a']", "a = 1", "a = 2", "data/table"),
        "configparser": (
            "configparser",
            "(lambda c: c.read('pytest.ini') and int(c['shop']['a']))(configparser.ConfigParser())",
            "[pytest]\npythonpath = .\n[shop]\na = 1\n",
            "[pytest]\npythonpath = .\n[shop]\na = 2\n",
            "pytest.ini",
        ),
        "pickle": (
            "pickle",
            "pickle.load(open('data/table', 'rb'))",
            pickle.dumps(1),
            pickle.dumps(2),
            "data/table",
        ),
        "runpy": ("runpy", "runpy.run_path('data/table')['a']", "a = 1", "a = 2", "data/table"),
        "exec of a file's text": (
            "os",
            "(lambda names: exec(open('data/table.py').read(), names) or names['a'])({})",
            "a = 1",
            "a = 2",
            "data/table.py",
        ),
        "a source as data": (
            "ast",
            "ast.literal_eval(open('data/table.py').read())",
            "1",
            "2",
            "data/table.py",
        ),
        "zipfile": (
            "zipfile",
            "zipfile.ZipFile('data/table.zip').infolist()[0].file_size",
            packed(a="1"),
            packed(a="22"),
            "data/table.zip",
        ),
        "pkgutil.get_data": ("pkgutil", "int(pkgutil.get_data('stock', 'table'))", "1", "2", "stock/table"),
        "a directory, by a descriptor": (
            "os",
            "len(os.listdir(os.open('data', os.O_RDONLY)))",
            None,
            "",
            "data/more",
        ),
        "pkgutil.iter_modules": (
            "pkgutil",
            "len([*pkgutil.iter_modules(['stock'])])",
            None,
            "",
            "stock/more.py",
        ),
        "importlib.resources": (
            "importlib.resources",
            "int((importlib.resources.files('stock') / 'table').read_text())",
            "1",
            "2",
            "stock/table",
        ),
        "a symbolic link": ("os", "int(open('data/table').read())", Link("a"), Link("b"), "data/table"),
        "fileinput": ("fileinput", "int(next(iter(fileinput.input('data/table'))))", "1", "2", "data/table"),
        "urllib": (
            "pathlib, urllib.request",
            "int(urllib.request.urlopen(pathlib.Path('data/table').absolute().as_uri()).read())",
            "1",
            "2",
            "data/table",
        ),
        "a child process": (
            "subprocess",
            "int(subprocess.check_output(['cat', 'data/table']))",
            "1",
            "2",
            "data/table",
        ),
        "shutil.copy": (
            "os, shutil, tempfile",
            "int(open(shutil.copy('data/table', tempfile.mkdtemp())).read())",
            "1",
            "2",
            "data/table",
        ),
        "a descriptor of a directory": (
            "os",
            "int(os.read(os.open('table', os.O_RDONLY, dir_fd=os.open('data', os.O_RDONLY)), 9))",
            "1",
            "2",
            "data/table",
        ),
    }
    more: dict[str, Content] = {"data/a": "1", "data/b": "2", "stock/__init__.py": ""}
    kept = "import {0}, fractions\nfractions.shop_rate = float({1})\ndef rate(): return fractions.shop_rate\n"
    memo = "import {0}, functools\n@functools.lru_cache\ndef rate(): return {1}\n"
    test: dict[str, Content] = {"a_test.py": "import shop\ndef test_a(): shop.rate()\n"}
    text = experiment("shop.rate()", "import shop")
    for name, (modules, value, before, after, path) in ways.items():
        # A variable is in the key by its value: something else has to keep what was read.
        for kind, source, files in (("at import", kept, {}), ("by a plain test", memo, test)):
            yield Case(
                f"data read {kind}",
                name,
                {
                    "experiment_a.py": text,
                    **more,
                    **files,
                    "shop.py": source.format(modules, value),
                    path: before,
                },
                {path: after},
                unseen=name in UNSEEN,
            )
    threaded = "import fractions, threading\ndef read(): fractions.shop_rate = float(open('data/table').read())\nt = threading.Thread(target=read)\nt.start()\nt.join()\ndef rate(): return fractions.shop_rate\n"
    yield Case(
        "data read at import",
        "a thread",
        {"experiment_a.py": text, "shop.py": threaded, "data/table": "1"},
        {"data/table": "2"},
    )
    same = experiment("fractions.shop_rate", "import fractions, shop")
    yield Case(
        "data read at import",
        "file of the same size and time",
        {
            "experiment_a.py": same,
            "shop.py": "import fractions\nfractions.shop_rate = float(open('data/table').read())\n",
            "data/table": "1",
        },
        {"data/table": "2"},
        same_times=True,
    )


def unusual() -> list[Case]:
    """Return all cases."""
    return [*code(), *set_up(), *data()]
