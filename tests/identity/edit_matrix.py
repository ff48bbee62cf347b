"""Edits of what experiments depend on, each judged in fresh processes: a warm session against a cold one.

A case is a small project and one edit of it. Its runs are stored before the edit; behind it, a session that
uses stored runs has to say what one without a cache says. If not, the stored runs are stale.

Run ``python tests/identity/edit_matrix.py`` for all cases, and the table of the guide on standard output.
"""

# ruff: noqa: E501 - lines of projects under test

from __future__ import annotations

import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from edit_harness import Case, Judged, experiment, judge
from factory_edits import of_factories
from fixture_edits import fixtures
from indirect_edits import indirect
from packaged_edits import packages
from unusual_edits import unusual

# What code of a project does to its process: statement with a value in it, and the metric that shows it.
SETTINGS = {
    "numpy's errors": (
        "import numpy as np\nnp.seterr(over={!r})",
        "numpy.geterr()['over'] == 'raise'",
        "ignore",
        "raise",
    ),
    "numpy's print options": (
        "import numpy as np\nnp.set_printoptions(precision={!r})",
        "len(numpy.array2string(numpy.array([1 / 3])))",
        3,
        6,
    ),
    "decimal context": (
        "import decimal\ndecimal.getcontext().prec = {!r}",
        "float(decimal.Decimal(1) / 3)",
        3,
        5,
    ),
    "logging level": (
        "import logging\nlogging.getLogger('app').setLevel({!r})",
        "logging.getLogger('app').level",
        10,
        30,
    ),
    "attribute of sys": (
        "import sys\nsys.strictness = {!r}",
        "getattr(sys, 'strictness', 0)",
        1,
        2,
    ),
    "method of an installed class": (
        "import fractions\ndef closer(self): return {!r}\nfractions.Fraction.closer = closer",
        "fractions.Fraction(1, 2).closer()",
        1,
        2,
    ),
    "virtual subclass": (
        "import numbers, types\nif {!r}: numbers.Number.register(types.SimpleNamespace)",
        "isinstance(types.SimpleNamespace(), numbers.Number)",
        False,
        True,
    ),
    "copyreg": (
        "import copyreg, types\ndef reduced(value): return int, ({!r},)\ncopyreg.pickle(types.SimpleNamespace, reduced)",
        "copyreg.dispatch_table[types.SimpleNamespace](0)[1][0]",
        1,
        2,
    ),
    "codec's error handler": (
        "import codecs\ndef handle(error): return {!r}, error.end\ncodecs.register_error('shop', handle)",
        "len('\\xe9'.encode('ascii', 'shop'))",
        "a",
        "bcd",
    ),
    "environment variable": (
        "import os\nos.environ['SHOP'] = {!r}",
        "__import__('os').environ.get('SHOP', 0)",
        "1",
        "2",
    ),
    "recursion limit": ("import sys\nsys.setrecursionlimit({!r})", "sys.getrecursionlimit()", 3000, 4000),
    "attribute of an installed class": (
        "import fractions\nfractions.Fraction.shop_rate = {!r}",
        "getattr(fractions.Fraction, 'shop_rate', 0)",
        1,
        2,
    ),
}

PROBED = "import codecs, copyreg, decimal, fractions, json, logging, numbers, sys, types\nimport numpy"


def indented(code: str) -> str:
    return textwrap.indent(code, "    ")


def places(code: str) -> dict[str, dict[str, str]]:
    """Return the ways in which a project can have code executed before its runs."""
    return {
        "conftest": {"conftest.py": code},
        "function of conftest": {"conftest.py": f"def set_up():\n{indented(code)}\n\nset_up()\n"},
        "hook of conftest": {"conftest.py": f"def pytest_configure(config):\n{indented(code)}\n"},
        "autouse fixture": {
            "conftest.py": f"import pytest\n\n@pytest.fixture(autouse=True, scope='session')\ndef set_up():\n{indented(code)}\n"
        },
        "module that conftest calls": {
            "conftest.py": "import shop_settings\nshop_settings.apply()\n",
            "shop_settings.py": f"def apply():\n{indented(code)}\n",
        },
        "module that a hook calls": {
            "conftest.py": "def pytest_sessionstart(session):\n    from shop_settings import apply\n    apply()\n",
            "shop_settings.py": f"def apply():\n{indented(code)}\n",
        },
        "plugin": {"conftest.py": "pytest_plugins = ['shop_plugin']\n", "shop_plugin.py": code},
        "hook of a plugin": {
            "conftest.py": "pytest_plugins = ['shop_plugin']\n",
            "shop_plugin.py": f"def pytest_collection_finish(session):\n{indented(code)}\n",
        },
        "file of the experiment": {"experiment_a.py": code},
        "module of the experiment": {"experiment_a.py": "import shop_settings\n", "shop_settings.py": code},
    }


def settings() -> Iterator[Case]:
    """Yield every setting in every place."""
    for name, (code, value, old, new) in SETTINGS.items():
        before, after = places(code.format(old)), places(code.format(new))
        for place, files in before.items():
            text = experiment(value, PROBED)
            whole = {"experiment_a.py": text} | files
            edited = {"experiment_a.py": text} | after[place]
            if "experiment_a.py" in files:
                whole["experiment_a.py"] += text
                edited["experiment_a.py"] += text
            yield Case(f"set-up: {place}", name, whole, dict(edited))


MEMO = (
    "import functools, json\n\n@functools.lru_cache\ndef table(): return json.load(open('data/table.json'))\n"
)
DATA = {"data/table.json": "1"}
READS = {"memo.py": MEMO, **DATA}


def files() -> Iterator[Case]:
    """Yield edits of files, and of what directories hold."""
    edited = {"data/table.json": "2"}
    body = experiment("memo.table()", "import memo")
    readers = {
        "plain test": {"test_a.py": "import memo\ndef test_a(): memo.table()\n"},
        "conftest": {"conftest.py": "import memo\nmemo.table()\n"},
        "hook": {"conftest.py": "import memo\ndef pytest_sessionstart(session): memo.table()\n"},
        "session fixture": {
            "conftest.py": "import memo, pytest\n@pytest.fixture(autouse=True, scope='session')\ndef f(): memo.table()\n",
            "test_a.py": "def test_a(): pass\n",
        },
        "module": {"memo.py": MEMO + "table()\n"},
        "the run": {},
    }
    for reader, more in readers.items():
        yield Case("file read by", reader, {"experiment_a.py": body, **READS, **more}, dict(edited))
    yield Case(
        "file read by",
        "module, as a value",
        {
            "experiment_a.py": experiment("memo.TABLE", "import memo"),
            "memo.py": "TABLE = int(open('data/table.json').read())\n",
            **DATA,
        },
        dict(edited),
    )
    declared = experiment("open('data/table.json').read()", mark=", inputs=['data/*.json']")
    yield Case("file read by", "the run, declared", {"experiment_a.py": declared, **DATA}, dict(edited))
    lists = {
        "listdir": "len(os.listdir('data'))",
        "scandir": "len(list(os.scandir('data')))",
        "walk": "sum(len(f) for _, _, f in os.walk('data'))",
        "glob": "len(glob.glob('data/*'))",
        "Path.glob": "len(list(pathlib.Path('data').glob('*')))",
        "Path.iterdir": "len(list(pathlib.Path('data').iterdir()))",
    }
    added = {"data/more.json": "3"}
    for name, value in lists.items():
        text = experiment(value, "import glob, os, pathlib")
        yield Case("names of files", name, {"experiment_a.py": text, **DATA}, dict(added))
        text = experiment(value, "import glob, os, pathlib", mark=", inputs=['data/*.csv']")
        yield Case(
            "names of files, declared",
            name,
            {"experiment_a.py": text, **DATA, "data/a.csv": "1"},
            dict(added),
        )
    memo = "import functools, os\n\n@functools.cache\ndef names(): return len(os.listdir('data'))\n"
    yield Case(
        "names of files",
        "memo of a plain test",
        {
            "experiment_a.py": experiment("memo.names()", "import memo"),
            "memo.py": memo,
            "test_a.py": "import memo\ndef test_a(): memo.names()\n",
            **DATA,
        },
        dict(added),
    )
    asks = {"exists": "os.path.exists('data/more.json')", "size": "os.path.getsize('data/table.json')"}
    for name, value in asks.items():
        text = experiment(value, "import os")
        change = added if name == "exists" else {"data/table.json": "1000"}
        yield Case("state of a file", name, {"experiment_a.py": text, **DATA}, dict(change), unseen=True)


def code() -> Iterator[Case]:
    """Yield edits of code that is reached in other ways than by a name."""
    modules = {
        "property of a module's class": (
            "import sys, types\n\nclass Shop(types.ModuleType):\n    @property\n    def rate(self): return {}\n\nsys.modules[__name__].__class__ = Shop\n",
            "shop.rate",
        ),
        "descriptor of a module's class": (
            "import sys, types\n\nclass Rate:\n    def __get__(self, owner, kind): return {}\n\nclass Shop(types.ModuleType):\n    rate = Rate()\n\nsys.modules[__name__].__class__ = Shop\n",
            "shop.rate",
        ),
        "attribute behind a module's property": (
            "import sys, types\n\nclass Shop(types.ModuleType):\n    @property\n    def rate(self): return self._rate\n\n_rate = {}\nsys.modules[__name__].__class__ = Shop\n",
            "shop.rate",
        ),
        "__getattribute__ of a module's class": (
            "import sys, types\n\nclass Shop(types.ModuleType):\n    def __getattribute__(self, name):\n        return {} if name == 'rate' else super().__getattribute__(name)\n\nrate = 0\nsys.modules[__name__].__class__ = Shop\n",
            "shop.rate",
        ),
        "__getattr__ of a module": ("def __getattr__(name): return {}\n", "shop.rate"),
        "property": ("class A:\n    @property\n    def b(self): return {}\n\na = A()\n", "shop.a.b"),
        "property of a metaclass": (
            "class M(type):\n    @property\n    def b(cls): return {}\n\nclass A(metaclass=M): pass\n",
            "shop.A.b",
        ),
        "cached property": (
            "import functools\n\nclass A:\n    @functools.cached_property\n    def b(self): return {}\n\na = A()\n",
            "shop.a.b",
        ),
        "slot's default": (
            "class A:\n    __slots__ = ('b',)\n    def __init__(self): self.b = {}\n\na = A()\n",
            "shop.a.b",
        ),
        "partial method": (
            "import functools\n\nclass A:\n    def b(self, x): return x\n    c = functools.partialmethod(b, {})\n\na = A()\n",
            "shop.a.c()",
        ),
        "registry": ("R = {{}}\ndef add(f): R['f'] = f\n@add\ndef f(): return {}\n", "shop.R['f']()"),
        "warmed memo": (
            "import functools\nRATE = {}\n@functools.cache\ndef rate(): return RATE\nrate()\n",
            "shop.rate()",
        ),
    }
    for name, (source, value) in modules.items():
        text = experiment(value, "import shop")
        yield Case(
            "code",
            name,
            {"experiment_a.py": text, "shop.py": source.format(1)},
            {"shop.py": source.format(2)},
        )


def process() -> Iterator[Case]:
    """Yield what Python is started with."""
    text = experiment("len(sys.warnoptions) + len(sys._xoptions)", "import sys")
    whole = {"experiment_a.py": text}
    options = {
        "-W": (
            ("-W", "ignore::ImportWarning"),
            ("-W", "ignore::ImportWarning", "-W", "ignore::UnicodeWarning"),
        ),
        "-X": ((), ("-X", "mine=1")),
        "-O": ((), ("-O",)),
        "-X utf8": ((), ("-X", "utf8=1")),
    }
    for name, pair in options.items():
        body = (
            whole
            if name in ("-W", "-X")
            else {"experiment_a.py": experiment("sys.flags.optimize + sys.flags.utf8_mode", "import sys")}
        )
        yield Case("options of Python", name, dict(body), {}, options=pair)
    order = experiment("list({'a', 'b', 'c', 'd'}).index('a')")
    yield Case(
        "options of Python",
        "PYTHONHASHSEED",
        {"experiment_a.py": order},
        {},
        variables=({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "3"}),
    )
    reads = experiment("os.environ.get('SHOP')", "import os")
    values = ({"SHOP": "1"}, {"SHOP": "2"})
    yield Case("variable", "read", {"experiment_a.py": reads}, {}, variables=values, unseen=True)
    declared = experiment("os.environ.get('SHOP')", "import os", mark=", env=['SHOP']")
    yield Case("variable", "declared", {"experiment_a.py": declared}, {}, variables=values)


def cases() -> list[Case]:
    """Return all cases."""
    return [
        *(*settings(), *files(), *code(), *process(), *unusual(), *packages()),
        *(*indirect(), *fixtures(), *of_factories()),
    ]


def is_wrong(judged: Judged) -> bool:
    """Return whether a case came out otherwise than the guide says, or is none."""
    return judged.stale != judged.case.unseen or not judged.changed


def table(judged: list[Judged]) -> Iterator[str]:
    """Yield the lines of a table in Markdown: edits of each kind, and what became of them."""
    yield "| what was edited | edits | run each time | stale |"
    yield "| --- | ---: | ---: | ---: |"
    for kind in dict.fromkeys(entry.case.kind for entry in judged):
        of_kind = [entry for entry in judged if entry.case.kind == kind]
        unseen = [entry.case.name for entry in of_kind if entry.case.unseen]
        note = f" (not seen: {', '.join(unseen)})" if unseen else ""
        yield f"| {kind}{note} | {_counts(of_kind)} |"
    yield f"| all | {_counts(judged)} |"


def _counts(judged: list[Judged]) -> str:
    each_time = sum(not entry.stored for entry in judged)
    return f"{len(judged)} | {each_time} | {sum(entry.stale for entry in judged)}"


def main() -> int:
    """Judge all cases, or those whose kind or name contains an argument."""
    wanted = [c for c in cases() if all(word in f"{c.kind} {c.name}" for word in sys.argv[1:])]
    home = Path(tempfile.mkdtemp(prefix="edits-"))
    try:
        judged = []
        for number, case in enumerate(wanted):
            judged.append(entry := judge(case, home / str(number)))
            if is_wrong(entry):
                said = "stale" if entry.stale else "not stale" if entry.changed else "changes nothing"
                print(f"{case.kind}, {case.name}: {said}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("\n".join(table(judged)))
    return any(map(is_wrong, judged))


if __name__ == "__main__":
    sys.exit(main())
