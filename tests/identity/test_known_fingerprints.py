"""Fingerprints that are known: whatever they were made of may change between two calls."""

import sys
from functools import partial

from crystallize.identity.fingerprint import fingerprint
from crystallize.identity.known_fingerprints import KnownFingerprints

SOURCE = """
import json
import logging
import math
import time
from abc import ABC
from json import JSONDecoder
from statistics import mean

LIMIT = 0.5
WORDS = ["one", ["two"]]
TABLE = {"a": 1, "b": (1, {"c": [2]})}
KINDS = {1, 2}
ROWS = [{"id": i, "parts": [i, [i]]} for i in range(9)]
LOG = logging.getLogger("step")

def helper(x, y=(1, [2]), *, z="z"):
    return x * LIMIT

def made(k):
    def inner(x):
        return x + k
    return inner

add = made(3)

class Base:
    pass

class Kind(Base):
    rates = [1.0]

    @staticmethod
    def rate():
        return divmod(WORDS, 2)

class Shape(ABC):
    def sides(self):
        return self.number

class Square(Shape):
    def __init__(self):
        self.number = 4
        self.names = ["a"]

SQUARE = Square()

def f(data: "list[Kind]", ctx: JSONDecoder, *, factor=1.0):
    import os.path
    LOG.info("said")
    time.perf_counter()
    helper(add(data)), SQUARE
    return TABLE, KINDS, ROWS, Kind.rate(), mean, json.dumps, math.pi, os.path.join, absent
"""

IN_PLACE = {
    "a global": "m.LIMIT = 0.75",
    "a global of an equal value": "m.LIMIT = fractions.Fraction(1, 2)",
    "a global that was not there": "m.absent = 1",
    "a global that is no more": "del m.LIMIT",
    "a name before a builtin's": "m.divmod = helper",
    "an item of a list": "m.WORDS[0] = 'three'",
    "a list in a list": "m.WORDS[1].append('three')",
    "the order of a list": "m.WORDS.reverse()",
    "a dict": "m.TABLE['a'] = 2",
    "the order of a dict": "m.TABLE['a'] = m.TABLE.pop('a')",
    "another key of the same value": "m.TABLE['d'] = m.TABLE.pop('b')",
    "a list in a dict in a tuple in a dict": "m.TABLE['b'][1]['c'].append(3)",
    "a set": "m.KINDS.add(3)",
    "a value in a row": "m.ROWS[3]['id'] = 30",
    "a key of a row": "m.ROWS[3]['more'] = 30",
    "a list in a row": "m.ROWS[8]['parts'].append(3)",
    "a list in a list in a row": "m.ROWS[8]['parts'][1].append(3)",
    "a parameter": "params['factor'].append(2)",
    "a default": "helper.__defaults__ = ((1, [3]),)",
    "a mutable default": "helper.__defaults__[0][1].append(3)",
    "a keyword's default": "helper.__kwdefaults__['z'] = 'y'",
    "the step's own default": "f.__kwdefaults__['factor'] = 2.0",
    "an annotation": "f.__annotations__['ctx'] = int",
    "a docstring": "helper.__doc__ = 'Changed.'",
    "an attribute of a function": "helper.unit = 's'",
    "code": "helper.__code__ = (lambda x, y, *, z: x).__code__",
    "a function": "m.helper = lambda x: x",
    "a cell": "m.add.__closure__[0].cell_contents = 4",
    "an attribute of a class": "m.Kind.rates = [2.0]",
    "another attribute of a class": "m.Kind.more = 1",
    "a list in a class": "m.Kind.rates.append(2.0)",
    "a method": "m.Kind.rate = staticmethod(lambda: 1)",
    "what a method uses": "m.WORDS = 3",
    "the base of a class": "m.Kind.__bases__ = (type('Other', (m.Base,), {}),)",
    "an attribute of an instance": "m.SQUARE.number = 3",
    "another attribute of an instance": "m.SQUARE.more = 1",
    "all attributes of an instance": "m.SQUARE.__dict__ = {'number': 3, 'names': []}",
    "a list in an instance": "m.SQUARE.names.append('b')",
    "the class of an instance": "m.SQUARE.__class__ = type('Square', (m.Shape,), {})",
    "a method of a base class": "m.Shape.sides = lambda self: 0",
    "a registry of a base class": "m.Shape.register(m.Kind)",
    "a module": "m.time = m.json",
    "a function of a module": "patch(m.json, 'dumps', helper)",
    "a builtin": "patch(builtins, 'divmod', helper)",
    "code of an installed function": "patch(m.json.dumps, '__code__', code_of_dumps)",
    "what is loaded under a name": "patch_item(sys.modules, 'os.path', m)",
    "where a module is": "patch(m.json, '__file__', m.__file__)",
    "what an imported module gives": "patch(os.path, 'join', helper)",
}
"""What is changed -> how."""

NAMES = "import builtins, fractions, os, os.path, sys\n"


def test_what_changed_in_place_is_seen(load, monkeypatch):
    """A known fingerprint is that of a full look, whatever was changed since."""
    missed = []
    for case, change in IN_PLACE.items():
        with monkeypatch.context() as patches:
            f = load(SOURCE)
            module = sys.modules["step"]
            known, target = KnownFingerprints(), (f, params := {"factor": [1]})
            before = known.of(target, name="step")
            assert known.of(target, name="step") is before  # it was not made again
            names = {
                "__name__": "step",
                "m": module,
                "f": f,
                "params": params,
                "helper": module.helper,
                "patch": patches.setattr,
                "patch_item": patches.setitem,
                "code_of_dumps": _dumps.__code__,
            }
            exec(NAMES + change, names)
            after = known.of(target, name="step")
            if after == before or after != fingerprint(target, name="step"):
                missed.append(case)
    assert missed == []


UNTOLD = {
    "a slot": (
        "class A: __slots__ = ('x',)\nclass B(A): pass\nK = B()\nK.x = 1\ndef f(): return K",
        "m.K.x = 2",
    ),
    "attributes that are made": (
        "class A: __dict__ = property(lambda self: {'x': X})\nX = 1\nK = A()\ndef f(): return K",
        "m.X = 2",
    ),
    "an array": ("import numpy as np\nK = np.zeros(3)\ndef f(): return K", "m.K[1] = 1"),
    "a deque": ("from collections import deque\nK = deque([1])\ndef f(): return K", "m.K.append(2)"),
    "an enum": ("from enum import Enum\nclass K(Enum): A = 1\ndef f(): return K", "m.K.A.more = 2"),
    "all globals": ("K = 1\ndef f(): return globals()['K']", "m.K = 2"),
    "names that a module makes": (
        "import step\nK = 1\ndef __getattr__(name): return K\ndef f(): return step.other",
        "m.K = 2",
    ),
    "a whole module": ("import step\nK = 1\ndef f(): return step", "m.K = 2"),
    "the class of a module": (
        "import step, types\nclass M(types.ModuleType): x = 1\ndef f(): return step.x\nstep.__class__ = M",
        "m.M.x = 2",
    ),
    "a module that is not loaded": (
        "def f():\n    import no_such_module",
        "loaded('no_such_module', m)",
    ),
    "a method of a generator": (
        "import random\nK = random.Random(1).random\ndef f(): return K",
        "m.K.__self__.seed(2)",
    ),
    "a memo": (
        "from functools import lru_cache\n@lru_cache\ndef g(): return K\nK = 1\ndef f(): g()",
        "m.K = 2",
    ),
    "a proxy": ("from types import MappingProxyType as P\nD = {}\nK = P(D)\ndef f(): return K", "m.D[1] = 2"),
}
"""Sources of what can change without a trace, and how it does."""


def test_what_can_not_be_told_is_looked_at_each_time(load, monkeypatch):
    """A fingerprint is not known if it depends on what might change unseen."""
    missed = []
    for case, (source, change) in UNTOLD.items():
        with monkeypatch.context() as patches:
            f = load(source)
            known, target = KnownFingerprints(), (f, {})
            before = known.of(target, name="step")
            exec(change, {"m": sys.modules["step"], "loaded": partial(patches.setitem, sys.modules)})
            after = known.of(target, name="step")
            if after == before:
                missed.append(case)
    assert missed == []


def test_what_changes_all_the_time_is_noted_no_more(load):
    """It stays right, also when one state comes again."""
    f = load("K = 0\ndef f(): return K\n")
    known = KnownFingerprints()
    for value in [*range(20), *range(20)]:
        sys.modules["step"].K = value
        assert known.of((f, {}), name="step") == fingerprint((f, {}), name="step")


def test_each_of_several_steps_has_its_own(load):
    """Of one function, too, whose parameters differ in names or values only."""
    f = load("def f(x=1, y=2): return x, y\n")
    known = KnownFingerprints()
    targets = [(f, {}), (f, {"x": 3}), (f, {"y": 3}), (f, {"x": 3.0})]
    for _ in range(2):
        found = [known.of(target, name="step") for target in targets]
        assert found == [fingerprint(target, name="step") for target in targets]
    assert len({one.digest for one in found}) == len(targets)


def _dumps(obj, *, skipkeys, ensure_ascii, check_circular, allow_nan, cls, indent, separators, default, **kw):
    return ""
