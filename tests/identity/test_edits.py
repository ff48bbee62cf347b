"""Which edits of a project change its fingerprint, judged in fresh processes with random hash seeds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crystallize.identity.fingerprint import changes

ROOT = Path(__file__).parents[2]

PROJECT = {
    "__init__": "from shop.prices import *\nTOTAL = 0\n",
    "prices": "__all__ = ['rate']\ndef rate(): return 3\n",
    **{
        f"chain{i}": f"from shop.chain{i + 1} import link as onward\ndef link(x): return onward(x)\n"
        for i in range(9)
    },
    "chain9": "def link(x): return x + 1\n",
    "base": """\
import abc

class Meta(type):
    def __call__(cls, *args): return super().__call__(*args)

class Base(metaclass=Meta):
    scale = 2
    registry = []
    def __init_subclass__(cls, **options):
        cls.registry.append(cls)
    def area(self): return self.side() * self.scale
    def side(self): return 1

class Plain:
    def stray(self): return 0

class Square(Base):
    width = 4
    @property
    def corner(self): return self.width / 2
    @staticmethod
    def unit(): return "m"
    @classmethod
    def make(cls): return cls()
    def side(self): return super().side() + self.width
""",
    "records": """\
import collections
import dataclasses
import enum
import functools
import typing

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@dataclasses.dataclass
class Options:
    depth: int = 3
    names: list = dataclasses.field(default_factory=lambda: ["a"])

class Point(typing.NamedTuple):
    x: int = 0

class Lazy:
    @functools.cached_property
    def table(self): return [1, 2]
    def __getattr__(self, name): return 7

Pair = collections.namedtuple("Pair", "first second")
""",
    "wrap": """\
import functools

def traced(times):
    def decorate(function):
        @functools.wraps(function)
        def inner(*args, **options):
            for _ in range(times):
                result = function(*args, **options)
            return result
        return inner
    return decorate

def marked(kind):
    kind.mark = lambda self: "marked"
    return kind

def counter(start):
    def step(n):
        return start + n
    return step
""",
    "lazy": "def late(x): return x - 1\ndef unused(): return 1\nFACTOR = 2\n",
    "sibling": "def near(x): return x * 2\n",
    "registry": """\
import functools
import operator

def first(x): return x
def second(x): return -x
def power(x, n): return x ** n

CHOICES = {"first": first, "second": second}
STEPS = [first, second]
TEAM = {first, second}
CUBE = functools.partial(power, n=3)
PICK = operator.itemgetter(1)

@functools.lru_cache(maxsize=8)
def remembered(x): return x + 100

@functools.singledispatch
def shown(x): return "object"

@shown.register
def _(x: int): return "int"

def unrelated(): return 0
""",
    "state": """\
from pathlib import Path

LIMIT = 10
HERE = Path(__file__).parent / "data"
NAMES = {"alpha", "beta", "gamma"}
UNREAD = 1
PROMPT = f"limit is {LIMIT}"

class Callable:
    def __init__(self, power): self.power = power
    def __call__(self, x): return x ** self.power

call = Callable(2)
""",
    "dynamic": "def by_name(x): return x\nVALUE = 1\n",
    "guarded": "try:\n    import fastest\n    QUICK = True\nexcept ImportError:\n    QUICK = False\n",
    "spare": "def nobody(): return 1\n",
    "steps": '''\
# The steps.
from shop import TOTAL, base, dynamic, guarded, rate, records, registry, state
from shop.chain0 import link
from shop.wrap import counter, marked, traced

forward = counter(5)
sign = lambda x: 1 if x > 0 else -1

@marked
class Report:
    title = "report"

@traced(2)
def step(data, factor=2, *, offset=1):
    """Do the step."""
    import shop.lazy as deferred
    from . import sibling

    def inner(x):
        return [sign(y) for y in (x, x + 1) if y < 10]

    try:
        total = link(data) * factor + offset - rate() + TOTAL
    except (ValueError, KeyError):
        total = 0
    if data in {"left", "right", "up"}:
        return "text"
    square = base.Square()
    colour, options, pair = records.Colour.RED, records.Options(), records.Pair(1, 2)
    point, table = records.Point(), records.Lazy().table
    chosen = [registry.CHOICES["first"](total), registry.STEPS, registry.TEAM, registry.CUBE(2)]
    chosen.append(getattr(dynamic, data)(1))
    chosen += [registry.PICK, registry.remembered(1), registry.shown(1), guarded.QUICK]
    limits = [state.LIMIT, state.HERE, state.NAMES, state.PROMPT, state.call(3)]
    return deferred.late(total), sibling.near(total), forward(total), inner(total), square, Report(), chosen

async def arrive(x):
    return x

def many(x):
    yield x
''',
}

STEPS, REGISTRY, STATE, BASE, RECORDS, WRAP = "steps", "registry", "state", "base", "records", "wrap"

UNCHANGED = {
    "a comment": (STEPS, "# The steps.", "# The steps, as they were meant.\n# More of it."),
    "blank lines": (STEPS, "forward =", "\n\n\n\nforward ="),
    "a comment inside": (STEPS, "    square = ", "    # A square.\n    square = "),
    "layout": (
        STEPS,
        "link(data) * factor + offset",
        "(\n            link( data )*factor + offset)",
    ),
    "quotes": (STEPS, '"left", "right"', "'left', 'right'"),
    "number notation": (STATE, "LIMIT = 10", "LIMIT = 0xA"),
    "an unrelated function": (REGISTRY, "def unrelated(): return 0", "def unrelated(): return 1"),
    "a new unrelated function": (REGISTRY, "def unrelated", "def another(): return 2\n\ndef unrelated"),
    "an unused variable": (STATE, "UNREAD = 1", "UNREAD = 2"),
    "an unrelated class": (BASE, "def stray(self): return 0", "def stray(self): return 1"),
    "an unrelated module": ("spare", "return 1", "return 2"),
    "unused in a lazy module": ("lazy", "def unused(): return 1", "def unused(): return 2"),
    "order of a set": (STATE, '{"alpha", "beta", "gamma"}', '{"gamma", "alpha", "beta"}'),
    "order of functions": (
        REGISTRY,
        "def first(x): return x\ndef second(x): return -x",
        "def second(x): return -x\ndef first(x): return x",
    ),
    "other imports": (STEPS, "from shop.chain0", "import json, os\nfrom shop.chain0"),
    "who else imports it": ("spare", "def nobody", "from shop.state import *\ndef nobody"),
}

CHANGED = {
    "nine modules away": ("chain9", "x + 1", "x + 2"),
    "a link on the way": ("chain4", "return onward(x)", "return onward(x) + 0"),
    "a default": (STEPS, "factor=2", "factor=3"),
    "the type of a default": (STEPS, "factor=2", "factor=2.0"),
    "a keyword default": (STEPS, "offset=1", "offset=2"),
    "a module constant": (STATE, "LIMIT = 10", "LIMIT = 11"),
    "an f-string's constant": (STATE, "limit is", "limit was"),
    "a name of a package": ("__init__", "TOTAL = 0", "TOTAL = 1"),
    "a star import": ("prices", "return 3", "return 4"),
    "a class attribute": (BASE, "width = 4", "width = 5"),
    "a base's attribute": (BASE, "scale = 2", "scale = 3"),
    "a base's method": (BASE, "def side(self): return 1", "def side(self): return 2"),
    "a method": (BASE, "super().side() + self.width", "super().side() - self.width"),
    "a base class": (BASE, "class Square(Base)", "class Square(Base, Plain)"),
    "a metaclass": (BASE, "super().__call__(*args)", "super().__call__()"),
    "__init_subclass__": (BASE, "cls.registry.append(cls)", "cls.registry.insert(0, cls)"),
    "a registered subclass": (BASE, "class Square(Base):", "class Round(Base): pass\nclass Square(Base):"),
    "a property": (BASE, "self.width / 2", "self.width / 3"),
    "a static method": (BASE, 'return "m"', 'return "cm"'),
    "a class method": (BASE, "return cls()", "return cls"),
    "a new special method": (BASE, "    width = 4", "    width = 4\n    def __len__(self): return 1"),
    "a dataclass default": (RECORDS, "depth: int = 3", "depth: int = 4"),
    "a dataclass factory": (RECORDS, '["a"]', '["b"]'),
    "a dataclass annotation": (RECORDS, "depth: int = 3", "depth: float = 3"),
    "an enum value": (RECORDS, "RED = 1", "RED = 3"),
    "an enum member": (RECORDS, "BLUE = 2", "BLUE = 2\n    GREEN = 3"),
    "a named tuple's default": (RECORDS, "x: int = 0", "x: int = 1"),
    "a named tuple's fields": (RECORDS, '"first second"', '"first third"'),
    "a cached property": (RECORDS, "return [1, 2]", "return [1, 3]"),
    "__getattr__": (RECORDS, "return 7", "return 8"),
    "a decorator's inner code": (WRAP, "for _ in range(times)", "for _ in range(times + 1)"),
    "a decorator's argument": (STEPS, "@traced(2)", "@traced(3)"),
    "a removed decorator": (STEPS, "@traced(2)\n", ""),
    "a class decorator": (WRAP, '"marked"', '"remarked"'),
    "a closure's value": (STEPS, "counter(5)", "counter(6)"),
    "a closure's code": (WRAP, "return start + n", "return start - n"),
    "a registry's function": (REGISTRY, "def second(x): return -x", "def second(x): return -x - 1"),
    "a registry's entries": (REGISTRY, '"second": second}', '"second": first}'),
    "a registry's order": (REGISTRY, "STEPS = [first, second]", "STEPS = [second, first]"),
    "a set of functions": (REGISTRY, "TEAM = {first, second}", "TEAM = {first, power}"),
    "a partial's argument": (REGISTRY, "n=3", "n=4"),
    "a partial's function": (REGISTRY, "return x ** n", "return x ** n + 1"),
    "an operator's argument": (REGISTRY, "itemgetter(1)", "itemgetter(2)"),
    "a cached function": (REGISTRY, "x + 100", "x + 101"),
    "a dispatched function": (REGISTRY, 'return "int"', 'return "integer"'),
    "a lazy import": ("lazy", "x - 1", "x - 2"),
    "a relative import": ("sibling", "x * 2", "x * 3"),
    "a module taken as a value": ("dynamic", "VALUE = 1", "VALUE = 2"),
    "a name bound by a condition": ("guarded", "QUICK = False", "QUICK = None"),
    "an except clause": (STEPS, "(ValueError, KeyError)", "(ValueError, OSError)"),
    "what an except clause covers": (STEPS, "        total = 0", "        total = 1"),
    "a docstring": (STEPS, "Do the step.", "Do the other step."),
    "a comparison": (STEPS, "if y < 10", "if y <= 10"),
    "a lambda": (STEPS, "x > 0", "x >= 0"),
    "the order of operands": (STEPS, "offset - rate()", "rate() - offset"),
    "an operator": (STEPS, "* factor + offset", "* factor - offset"),
    "a string": (STEPS, 'return "text"', 'return "texts"'),
    "a set constant": (STEPS, '"right", "up"', '"right", "down"'),
    "a type of a number": (STEPS, "records.Pair(1, 2)", "records.Pair(1, 2.0)"),
    "a sign of zero": (STEPS, "        total = 0", "        total = -0.0"),
    "a nested function": (STEPS, "(x, x + 1)", "(x, x + 2)"),
    "a path": (STATE, '/ "data"', '/ "dates"'),
    "a set of texts": (STATE, '"gamma"', '"delta"'),
    "state of a callable": (STATE, "Callable(2)", "Callable(3)"),
    "code of a callable": (STATE, "x ** self.power", "x * self.power"),
    "a name bound to another function": (
        STEPS,
        "from shop.chain0 import link",
        "from shop.chain1 import link",
    ),
    "a builtin that is shadowed": (
        STEPS,
        "sign = lambda",
        "getattr = lambda *names: len\nsign = lambda",
    ),
    "an async function": (STEPS, "async def arrive(x):\n    return x", "async def arrive(x):\n    return -x"),
    "a generator": (STEPS, "yield x", "yield -x"),
}

PROBE = """
import importlib, json, sys
from crystallize.identity.fingerprint import fingerprint
found = {}
for directory in json.loads(sys.stdin.read()):
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    import shop.steps
    targets = {"step": shop.steps.step, "others": (shop.steps.arrive, shop.steps.many)}
    prints = [fingerprint(target, name=name) for name, target in targets.items()]
    found[directory] = ["".join(p.digest for p in prints), {**prints[0].parts, **prints[1].parts}]
    sys.path.remove(directory)
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]
print(json.dumps(found))
"""


def write(directory, edit=None):
    """Write the project, with one text replaced."""
    package = directory / "shop"
    package.mkdir(parents=True)
    for name, source in PROJECT.items():
        if edit is not None and edit[0] == name:
            assert source.count(edit[1]) == 1, f"{edit[1]!r} is not once in {name}"
            source = source.replace(edit[1], edit[2])
        (package / f"{name}.py").write_text(source)
    return str(directory)


def probe(directories, seed):
    """Return (digest, parts) of the project in each directory, computed in one fresh process."""
    variables = {
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": seed,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(directories),
        capture_output=True,
        text=True,
        env=os.environ | variables,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def prints(tmp_path_factory):
    """Digest and parts of the project, and of its copy with each edit, from four processes."""
    home = tmp_path_factory.mktemp("projects")
    edits = [*UNCHANGED.items(), *CHANGED.items()]
    places = {title: write(home / f"edit{number}", edit) for number, (title, edit) in enumerate(edits)}
    places["as it was"] = write(home / "original")
    places["elsewhere"] = write(home / "another" / "place")
    spare = home / "another" / "place" / "shop" / "spare.py"
    spare.rename(spare.with_name("renamed.py"))
    everywhere = list(places.values())
    found = {}
    for number, seed in enumerate(["1", "2", "random", "random"]):
        found |= probe(everywhere[number::4], seed)
    again = probe([places["as it was"]], "3")
    assert again[places["as it was"]] == found[places["as it was"]]
    return {title: found[directory] for title, directory in places.items()}


@pytest.mark.parametrize("edit", UNCHANGED)
def test_what_changes_no_behaviour_changes_no_key(prints, edit):
    """Comments, layout and code that is not reached do not count."""
    assert prints[edit] == prints["as it was"]


@pytest.mark.parametrize("edit", CHANGED)
def test_what_changes_behaviour_changes_the_key(prints, edit):
    """Whatever the step reaches counts, by whichever way."""
    assert prints[edit][0] != prints["as it was"][0]


def test_the_place_of_a_checkout_does_not_count(prints):
    """Nor does the name of a file outside of what is reached."""
    assert prints["elsewhere"] == prints["as it was"]


def test_no_two_edits_are_alike(prints):
    """Each leads to a fingerprint of its own."""
    digests = [prints[edit][0] for edit in CHANGED]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        ("nine modules away", "shop.chain9.link"),
        ("a module constant", "shop.state.LIMIT"),
        ("a base's method", "shop.base.Base.side"),
        ("an enum value", "shop.records.Colour"),
        ("a lazy import", "shop.lazy.late"),
    ],
)
def test_the_parts_say_what_changed(prints, edit, part):
    """Only the part that was edited has another digest, not those that reach it."""
    assert f"{part} changed" in changes(prints["as it was"][1], prints[edit][1])
