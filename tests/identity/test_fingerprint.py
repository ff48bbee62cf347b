"""What a fingerprint sees of live code, and what it refuses to guess."""

import asyncio
import re
import sys

import pytest

from crystallize.errors import FingerprintError
from crystallize.identity.fingerprint import changes, fingerprint

DIFFERENT = {
    "dict": ("D={'a':1}\ndef f(): return D.get('a')\n", "':1}\n", "':2}\n"),
    "bound dict.get": ("g={'a':1}.get\ndef f(): return g('a')\n", "':1}.", "':2}."),
    "default object class": (
        "class D:\n  v=1\n  def __eq__(s,o): return True\ndef f(x=D()): return x\n",
        " True",
        " False",
    ),
    "regex flags": ("import re\nR=re.compile('a')\ndef f(): return R\n", "a')\n", "a',re.I)\n"),
    "dataclass order": (
        "import dataclasses\n"
        "@dataclasses.dataclass\n"
        "class A:\n"
        "  x:object=None\n"
        "  def __hash__(s): return 1\n"
        "def f(): return A\n",
        "dataclass\nclass",
        "dataclass(order=True)\nclass",
    ),
    "local class": (
        "def mk():\n  class A:\n    k=1\n  return A\nA=mk()\ndef f(): return A\n",
        "k=1\n ",
        "k=2\n ",
    ),
    "mutual recursion": (
        "def ev(n): return n==0 or od(n-1)\ndef od(n): return n!=0 and ev(n-1)\ndef f(): return ev(3)\n",
        "v(n-1)\nde",
        "v(n-2)\nde",
    ),
    "swapped closures": (
        "def mk(k):\n  def g(): return k\n  return g\nR={'a':mk(1),'b':mk(2)}\ndef f(): return R\n",
        "1),'b':mk(2",
        "2),'b':mk(1",
    ),
    "installed alias": (
        "try:\n  from math import sqrt as s\nexcept ImportError: s=None\ndef f(): return s\n",
        "try:\n  from math import sqrt as s\nexcept ImportError: s=None",
        "from math import cos as s",
    ),
    "cyclic instance": ("class A:\n  pass\na=A(); a.x=a; a.y=1\ndef f(): return a\n", "y=1\nd", "y=2\nd"),
    "own generator": ("import random\nr=random.Random(1)\ndef f(): return r.random()\n", "m(1)\n", "m(2)\n"),
    "np attr": ("import numpy as np\ndef f(): return np.mean([1])\n", "mean", "median"),
    "array": ("import numpy as np\nW=np.arange(3)\ndef f(): return W\n", "(3)\n", "(3.)\n"),
    "match": ("def f(x):\n  match x:\n    case {'a': 1}: return 1\n", ": 1}:", ": 2}:"),
    "match class": (
        "class P:\n  __match_args__=('a',)\ndef f(x):\n  match x:\n    case P(1): return 1\n",
        "('a',",
        "('b',",
    ),
    "global stmt": ("def f():\n  global c\n  c=1\n", " c=1", " c=2"),
    "global value": ("c=1\ndef f():\n  global c\n  c+=1\n", "c=1\nd", "c=2\nd"),
    "function attr": (
        "def d(p):\n  def w(fn):\n    fn.p=p\n    return fn\n  return w\n@d(1)\ndef f(): pass\n",
        "d(1)\n",
        "d(2)\n",
    ),
    "property subclass state": (
        "class A:\n"
        "  @property\n"
        "  def p(s): return 1\n"
        "class M(property):\n"
        "  def __init__(s,fn,k): super().__init__(fn); s.k=k\n"
        "class B:\n"
        "  p=M(lambda s:1,k=1)\n"
        "def f(): return B\n",
        "k=1)\n",
        "k=2)\n",
    ),
    "str subclass": (
        "class A(str):\n  def up(s): return 1\nX=A('a')\ndef f(): return X\n",
        "n 1\nX",
        "n 2\nX",
    ),
    "typeddict": ("import typing\nT=typing.TypedDict('T',{'a':int})\ndef f(): return T\n", ":int}", ":str}"),
    "protocol": (
        "import typing\n"
        "class Pr(typing.Protocol):\n"
        "  x:int\n"
        "class G(typing.Generic[typing.TypeVar('Q')]): pass\n"
        "def f(p:Pr, g:G[int]): return 1\n",
        "int\nclass G(typing.Generic[typing.TypeVar('Q')]): pass\ndef f(p:Pr, ",
        "str\nclass G(typing.Generic[typing.TypeVar('Q')]): pass\ndef f(p:Pr,",
    ),
    "abc": (
        "import abc\n"
        "class B(abc.ABC):\n"
        "  @abc.abstractmethod\n"
        "  def x(s):...\n"
        "class C(B):\n"
        "  def x(s): return 1\n"
        "c=C()\n"
        "def f(): return c.x()\n",
        "n 1\nc",
        "n 2\nc",
    ),
    "descriptor": (
        "class De:\n  def __get__(s,i,o): return 1\nclass C:\n  d=De()\ndef f(): return C.d\n",
        "n 1\nc",
        "n 2\nc",
    ),
    "context variable's default": (
        "import contextvars\nV=contextvars.ContextVar('V',default=1)\ndef f(): return V.get()\n",
        "=1)",
        "=2)",
    ),
    "ns": ("import types\nN=types.SimpleNamespace(a=1)\ndef f(): return N.a\n", "a=1)\n", "a=2)\n"),
    "metaclass": (
        "class M(type):\n  k=1\nclass A(metaclass=M): pass\ndef f(): return A\n",
        "k=1\nc",
        "k=2\nc",
    ),
    "slots": (
        "class S:\n  __slots__=('a',)\n  def __init__(s,a): s.a=a\nx=S(1)\ndef f(): return x\n",
        "S(1)\n",
        "S(2)\n",
    ),
    "total_ordering": (
        "import functools\n"
        "@functools.total_ordering\n"
        "class A:\n"
        "  def __lt__(s,o): return True\n"
        "def f(): return A\n",
        " True",
        " False",
    ),
    "os": (
        "import os.path\nfrom os import environ\ndef f(): return environ['x'], os.path.join('a')\n",
        "join",
        "split",
    ),
    "df": ("import pandas as pd\nD=pd.DataFrame({'a':[1]})\ndef f(): return D\n", ":[1]}", ":[2]}"),
    "scipy": (
        "from hypothesis import strategies as st\n"
        "from scipy.stats import norm\n"
        "import scipy.special as sp\n"
        "def f(): return norm.cdf(1), sp.expit(1), st.integers\n",
        "norm\nimport scipy.special as sp\ndef f(): return norm.cdf(1), sp.expit(1), ",
        "t as norm\nimport scipy.special as sp\ndef f(): return norm.cdf(1), sp.expit(1),",
    ),
    "operators": (
        "from functools import reduce\n"
        "import operator\n"
        "OPS={'+':operator.add}\n"
        "def f(): return reduce(OPS['+'],[1])\n",
        ".add}",
        ".mul}",
    ),
    "contextmanager": (
        "import contextlib\n@contextlib.contextmanager\ndef cm(): yield 1\ndef f():\n  with cm(): pass\n",
        "d 1\nd",
        "d 2\nd",
    ),
    "bound method": ("class A:\n  def m(s): return 1\nh=A().m\ndef f(): return h()\n", "n 1\nh", "n 2\nh"),
    "vectorize": ("import numpy as np\nv=np.vectorize(lambda x:x)\ndef f(): return v(1)\n", "x:x)", "x:-x)"),
    "which of two sentinels": (
        "A,B=object(),object()\nM=A\ndef f(): return M is A\n",
        "M=A",
        "M=B",
    ),
    "sentinel in a default": (
        "class S: pass\nA,B=S(),S()\ndef f(m={'k':A}): return m['k'] is B\n",
        ":A}",
        ":B}",
    ),
    "one list or two": ("A=[1]\nB=A\ndef f(): return A is B\n", "B=A", "B=[1]"),
    "one array or two": (
        "import numpy as n\nA=n.ones(2)\nB=A\ndef f(): return A is B\n",
        "B=A",
        "B=n.ones(2)",
    ),
    "one bytearray or two": ("A=bytearray(2)\nB=A\ndef f(): return A is B\n", "B=A", "B=bytearray(2)"),
    "one table or two": (
        "import pandas as p\nA=p.Series([1])\nB=A\ndef f(): return A is B\n",
        "B=A",
        "B=p.Series([1])",
    ),
    "absent name": (
        "import weakref\ndef g(): return helper(1)\ndef f(): return g()\n",
        "f g(",
        "f helper(x): return x\ndef g(",
    ),
    "crystallize step": (
        "from crystallize import pipeline_step\n"
        "@pipeline_step()\n"
        "def s(data, ctx, *, k=1): return data\n"
        "def f(): return s()\n",
        "ta\nd",
        "ta+1\nd",
    ),
    "subclass of crystallize": (
        "from crystallize import PipelineStep\n"
        "class S(PipelineStep):\n"
        "  def __call__(self, d, c): return 1\n"
        "x=S()\n"
        "def f(): return x\n",
        "n 1\nx",
        "n 2\nx",
    ),
    "pytest fixture": (
        "import pytest\n@pytest.fixture\ndef fx(): return 1\n@pytest.mark.slow(1)\ndef f(): return fx\n",
        "n 1\n@",
        "n 2\n@",
    ),
    "name in a text": ("K=1\ndef f(): return g('step.K')\ndef g(n): pass\n", "K=1\nd", "K=2\nd"),
    "name in a text with a tag": (
        "K=1\ndef f(): return g('!!python/name:step.K')\ndef g(n): pass\n",
        "K=1\nd",
        "K=2\nd",
    ),
    "name in a text of a value": ("K=1\nC={'a': ['step:K']}\ndef f(): return C\n", "K=1\nC", "K=2\nC"),
    "annotation that is a text": (
        "class A:\n  k=1\ndef g(x: 'list[A]'): pass\ndef f(): return g\n",
        "k=1\nd",
        "k=2\nd",
    ),
    "annotation of a field that is a text": (
        "class A:\n  k=1\nclass B:\n  x: 'A'\ndef f(): return B\n",
        "k=1\nc",
        "k=2\nc",
    ),
    "virtual subclass": (
        "import abc\nclass A(abc.ABC): pass\nclass B: pass\nif 1>1: A.register(B)\ndef f(): return A\n",
        "1>1",
        "1>0",
    ),
    "names of a module": (
        "import sys\nm=sys.modules['step']\nK=1\ndef f(): return m.__dict__['K']\n",
        "K=1\nd",
        "K=2\nd",
    ),
    "private attribute of a member": (
        "import enum\n"
        "class P(enum.Enum):\n"
        "  E=1,5\n"
        "  def __new__(c,v,m):\n"
        "    o=object.__new__(c); o._value_=v; o._mass=m; return o\n"
        "def f(): return P.E._mass\n",
        "E=1,5",
        "E=1,6",
    ),
    "further values of a member": (
        "import enum\n"
        "class P(enum.Enum):\n"
        "  E=1,5\n"
        "  def __new__(c,v,*w):\n"
        "    o=object.__new__(c); o._value_=v\n"
        "    c._value2member_map_.update(dict.fromkeys(w,o)); return o\n"
        "def f(): return P(5)\n",
        "E=1,5",
        "E=1,6",
    ),
    "class of a path": (
        "import pathlib\nclass P(pathlib.PurePosixPath):\n  k=1\np=P('a')\ndef f(): return p.k\n",
        "k=1\n",
        "k=2\n",
    ),
    "class of a stream": (
        "import io\nclass T(io.TextIOBase):\n  def w(s): return 1\nt=T()\ndef f(): return t.w()\n",
        "n 1\nt",
        "n 2\nt",
    ),
    "state of a stream": (
        "import io\nclass T(io.TextIOBase):\n  def __init__(s,k): s.k=k\nt=T(1)\ndef f(): return t.k\n",
        "T(1)",
        "T(2)",
    ),
    "state of a handler": (
        "import logging\n"
        "class H(logging.Handler):\n"
        "  def __init__(s,k): super().__init__(); s.k=k\n"
        "h=H(1)\n"
        "def f(): return h.k\n",
        "H(1)",
        "H(2)",
    ),
    "name of a logger": (
        "import logging\nL=logging.getLogger('a')\ndef f(): return L.isEnabledFor(20)\n",
        "'a'",
        "'b'",
    ),
    "capacity of a semaphore": (
        "import asyncio\nS=asyncio.Semaphore(1)\nasync def f():\n  async with S: pass\n",
        "(1)",
        "(2)",
    ),
    "a dictionary that nobody may change": (
        "import types\nD=dict({1:1})\ndef f(): D[1]=1\n",
        "D=dict(",
        "D=types.MappingProxyType(",
    ),
    "list lambdas": ("x=[lambda: 1 for i in range(2)]\ndef f(): return x\n", ": 1 f", ": 2 f"),
}

ALIKE = {
    "global generator": (
        "from random import random\ndef f(): return random()\n",
        "from",
        "import random as q\nq.seed(5)\nfrom",
    ),
    "locks, streams": (
        "import threading,sys\n"
        "L=threading.Lock()\n"
        "E=threading.Event()\n"
        "O=sys.stdout\n"
        "def f():\n"
        "  with L: O.write('');return E\n",
        "Lock()\nE=threading.Event()\nO=sys.stdout",
        "RLock()\nE=threading.Event()\nO=sys.stderr",
    ),
    "marks": ("import pytest\n@pytest.mark.slow(1)\ndef f(): return 1\n", "slow(1)", "slow(2)"),
}

REFUSED = {
    "eval": ("def f(): return eval('1')\n", "uses eval"),
    "import_module": (
        "import importlib\ndef f(n): return importlib.import_module(n)\n",
        "uses importlib.import_module",
    ),
    "generator": ("g=(i for i in [])\ndef f(): return next(g)\n", "step.g is a builtins.generator"),
    "socket": ("import socket\ns=socket.socket()\ndef f(): return s\n", "step.s is a socket.socket"),
    "file": ("h=open('/dev/null')\ndef f(): return h.read()\n", "an open file"),
    "subclasses": ("class B: pass\ndef f(): return B.__subclasses__()\n", "__subclasses__"),
    "names of a function's module": ("def g(): pass\ndef f(): return g.__globals__['K']\n", "__globals__"),
    "names of a frame": ("import sys\ndef f(): return sys._getframe().f_globals\n", "f_globals"),
    "module of something": (
        "import inspect\ndef g(): pass\ndef f(): return inspect.getmodule(g)\n",
        "uses inspect.getmodule",
    ),
    "frompyfunc": (
        "import numpy as np\nu=np.frompyfunc(lambda x:x,1,1)\ndef f(): return u(1)\n",
        "step.u is a numpy.ufunc",
    ),
}


def digest(function):
    return fingerprint(function, name="step").digest


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_code_would_do_counts(load, case):
    """The same source gives the same digest, the edited one another."""
    source, old, new = DIFFERENT[case]
    assert source.count(old) == 1
    before, again, after = (digest(load(text)) for text in (source, source, source.replace(old, new)))
    assert before == again != after


@pytest.mark.parametrize("case", ALIKE)
def test_what_code_would_not_do_does_not_count(load, case):
    """Locks, streams, marks and the state of global generators are not the code's."""
    source, old, new = ALIKE[case]
    assert source.count(old) == 1
    assert digest(load(source)) == digest(load(source.replace(old, new)))


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_seen_is_refused(load, case):
    """The message names the part and the reason, and the way out."""
    source, reason = REFUSED[case]
    with pytest.raises(FingerprintError, match=rf"step reaches step\.\w+, and .*{reason}.*cache_key="):
        fingerprint(load(source), name="step")


@pytest.mark.parametrize("row", ["{'n': i, 'at': At(i)}", "[i, At(i)]", "(i, [At(i)])"])
def test_what_is_refused_in_a_column_is_told_by_its_place(load, row):
    """Instances that were written by column before it was found are led through, too."""
    f = load(
        "class At:\n    def __init__(self, n): self.n = n if n != 5 else (x for x in ())\n"
        f"rows = [{row} for i in range(9)]\n"
        "def f(): return rows\n"
    )
    place = {"{": "[5]['at']", "[": "[5][1]", "(": "[5][1][0]"}[row[0]]
    with pytest.raises(FingerprintError, match=re.escape(f"step.rows{place}.n is a builtins.generator")):
        fingerprint(f, name="step")


def test_a_changed_global_is_seen_and_named(load):
    """To compute the fingerprint again shows what a run did to its own globals."""
    f = load("seen = []\nlimit = 3\ndef f(x):\n    seen.append(x)\n    return limit\n")
    before = fingerprint(f, name="step")
    f(1)
    assert changes(before.parts, fingerprint(f, name="step").parts) == ["what step.seen holds changed"]


def test_who_holds_a_semaphore_does_not_count(load):
    """Nor what is logged: with its capacity, a semaphore is as it was when it was met first."""
    f = load(
        "import asyncio, logging\n"
        "class H(logging.Handler):\n"
        "    def __init__(self): super().__init__(); self.seen = []\n"
        "    def emit(self, record): self.seen.append(record)\n"
        "S, L, H = asyncio.Semaphore(2), logging.getLogger('step'), H()\n"
        "L.addHandler(H)\n"
        "async def f():\n    await S.acquire(); L.error('held'); H.setLevel(H.level)\n"
    )
    before = digest(f)
    asyncio.run(f())
    assert digest(f) == before


def test_what_python_keeps_in_classes_does_not_count(load):
    """To copy, compare and test instances leaves caches behind, which are not the class's."""
    f = load(
        "import abc, copy, enum, functools\n"
        "class Base(abc.ABC):\n    __slots__ = ('x',)\n"
        "class Way(enum.Flag):\n    A = 1\n    B = 2\n"
        "@functools.lru_cache\ndef kept(x): return x\n"
        "@functools.singledispatch\ndef shown(x): return x\n"
        "def f():\n    isinstance(3, Base)\n    copy.copy(Base())\n    return ~Way.A, kept(1), shown(2)\n"
    )
    before = digest(f)
    f()
    assert digest(f) == before


def test_it_is_said_which_objects_are_shared(load):
    """Two of equal content are told apart by who holds them; the parts themselves are what they were."""
    source = "A, B = object(), object()\nM = A\ndef f(): return M is A, B\n"
    before = fingerprint(load(source), name="step")
    after = fingerprint(load(source.replace("M = A", "M = B")), name="step")
    assert changes(before.parts, after.parts) == [
        "what step.B and step.M share is new",
        "what step.A and step.M share is gone",
    ]


def test_changes_are_said():
    """Parts that changed come first, then those that came and went."""
    said = changes({"a": "1", "b": "1", "c": "1"}, {"a": "2", "c": "1", "d": "1"})
    assert said == ["a changed", "d is new", "b is gone"]


def test_replaced_functions_of_installed_packages_count(load, monkeypatch):
    """An installed name is its name, unless the project put its own function there."""
    f = load("import json\ndef f(x): return json.dumps(x)\n")
    before = digest(f)
    load("def replacement(x): return 'x'\n", "patches")
    monkeypatch.setattr("json.dumps", sys.modules["patches"].replacement)
    assert digest(f) != before


def test_installed_packages_count_by_name_only(load):
    """Their functions have no parts."""
    f = load("import json\nfrom statistics import mean\ndef f(x): return json.dumps(mean(x))\n")
    assert set(fingerprint(f, name="step").parts) == {"step.f"}


def test_roots_make_installed_code_the_project_s(load):
    """Code below a root counts even where packages are installed."""
    f = load("from iniconfig import IniConfig\ndef f(x): return IniConfig\n")
    home = sys.modules["iniconfig"].__path__[0]
    assert set(fingerprint(f, name="step").parts) == {"step.f"}
    parts = fingerprint(f, name="step", project_roots=[home]).parts
    assert "iniconfig.IniConfig.get" in parts


def test_a_module_that_fails_to_load_is_refused(load, tmp_path, monkeypatch):
    """What the code would find there is not known; a module that is nowhere is simply absent."""
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    absent = load("def f():\n    import no_such_module\n    return no_such_module.x\n")
    assert set(fingerprint(absent, name="step").parts) == {"step.f"}
    with pytest.raises(FingerprintError, match="imports broken_module, which fails: RuntimeError: no"):
        fingerprint(load("def f():\n    from broken_module import x\n    return x\n"), name="step")


def test_values_can_be_targets(load):
    """A callable instance is its class and its state; it goes by the name that it is given."""
    load("class Step:\n    def __init__(self, k): self.k = k\n    def __call__(self, x): return x + self.k\n")
    kind = sys.modules["step"].Step
    first, same, other = (fingerprint(kind(k), name="add") for k in (1, 1, 2))
    assert first == same
    assert changes(first.parts, other.parts) == ["add changed"]
    assert "step.Step.__call__" in first.parts


def test_order_in_sets_of_look_alikes_is_refused(load):
    """Two functions of one name and code can't be put in an order that lasts."""
    f = load(
        "def make(k):\n    def inner(): return k\n    return inner\n"
        "TEAM = {make(1), make(2)}\ndef f(): return TEAM\n"
    )
    with pytest.raises(FingerprintError, match=r"step\.TEAM is a set with members that can't be told apart"):
        fingerprint(f, name="step")


def test_names_made_by_a_module_count(load):
    """A module's `__getattr__` is code that the name stands for."""
    source = "def __getattr__(name): return made\ndef made(): return 1\n"
    load(source, "lazy_names")
    f = load("import lazy_names\ndef f(): return lazy_names.anything()\n")
    parts = fingerprint(f, name="step").parts
    assert {"lazy_names.__getattr__", "lazy_names.made"} < set(parts)


@pytest.mark.slow
def test_fingerprints_agree_between_workers_and_sessions(pytester):
    """With the same options, every process that loads a test module sees the same code."""
    pytester.makepyfile(
        texts="WORDS = {'one', 'two', 'three'}\ndef chosen(x): return x in {'a', 'b', 'c'} or x in WORDS\n",
        test_step="""
            import pathlib, pytest, texts
            from crystallize.identity.fingerprint import fingerprint

            def step(x):
                assert texts.chosen(x), "rewritten by pytest"

            @pytest.mark.parametrize("number", range(4))
            def test_one(number, pytestconfig):
                with open(pytestconfig.rootpath / "digests", "a") as file:
                    worker = getattr(pytestconfig, "workerinput", {"workerid": "none"})["workerid"]
                    print(fingerprint(step, name="step").digest, worker, file=file)
        """,
    )
    for options in (["-p", "no:xdist"], ["-n", "2"]):
        assert pytester.runpytest_subprocess("-p", "no:randomly", *options).ret == 0
    lines = [line.split() for line in (pytester.path / "digests").read_text().splitlines()]
    assert len({digest for digest, _ in lines}) == 1
    assert {worker for _, worker in lines} == {"none", "gw0", "gw1"}
