"""Which other tests of its class a test reaches: those that a method names, or all."""

import textwrap

import pytest

from crystallize.errors import FingerprintError
from crystallize.identity.class_of_test import ClassOfTest
from crystallize.identity.fingerprint import fingerprint
from pytest_crystallize.pytest_seam import function_of_fixture

CLASS = """
import abc, dataclasses, functools, operator, types, typing, unittest, pytest

class Config:
    pytestmark = {marks}
class Bound(staticmethod):
    def __get__(self, instance, owner): return lambda: instance
def applied(function, *args): return function(*args)
def decorated(function):
    @functools.wraps(function)
    def inner(*args): return function(*args)
    return inner
class Looked:
    def __get__(self, instance, owner): return lambda: owner
class Meta(type): pass
class Base:
    def inherited(self): return {inherited}
    limit = 2

{decorator}
class TestShop{bases}:
    pytestmark = {marks}
    rate = 3
{members}
    def test_a(self, x=1):
        {body}
    def test_b(self): return {value}
    def helper(self, x=0): return self.rate + x
    @staticmethod
    def unit(): return 1
    @classmethod
    def made(cls): return cls.rate
    @property
    def size(self): return self.rate
    @functools.cached_property
    def table(self): return [self.rate]
"""
PLACES = {"inherited": "1", "bases": "", "members": "", "body": "return self.rate", "value": "1"}
PLACES |= {"decorator": "", "marks": "[1]"}


def of_test(value="1", tested=("test_",), **places):
    """Return the class of `test_a`, with a text in each of the places given, and names that are of tests."""
    members = textwrap.indent(places.pop("members", ""), "    ")
    source = CLASS.format(**{**PLACES, "value": value, "members": members, **places})
    names = {"__name__": "shop_of_tests"}
    exec(compile(source, "shop_of_tests.py", "exec", dont_inherit=True), names)
    kind = names["TestShop"]
    tests = frozenset(name for name in dir(kind) if name.startswith(tested))
    body = vars(kind)["test_a"]
    return ClassOfTest(kind, body, tests, function_of_fixture)


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"body": "self.rate = self.helper(self.size) + self.table[0]; return self.made() + self.unit()"},
        {"body": "return [self.helper(n) for n in range(self.rate)], (lambda: self.rate)()"},
        {"body": "return {n: self.helper(k) for n in (1, 2) for k in range(n)}, x"},
        {"body": "match x:\n            case 1: return self.rate\n            case _: return self.helper()"},
        {"bases": "(Base)", "body": "return self.inherited() + self.limit"},
        {"members": "def inner(self):\n    class Part:\n        rate = self.rate\n    return Part"},
        {"members": "def setup_method(self): self.stock = []\n@classmethod\ndef setup_class(cls): cls.n = 4"},
        {"members": "class Inner:\n    def of(self): return self"},
        {"members": "async def later(self): return self.rate\ndef many(self): yield self.rate"},
        {"members": "def test_c(self): return getattr(self, 'test_b')"},
        {"members": "def setup_method(self, method): self.stock = []"},
        {"members": "def setup_method(self, method): self.stock = [method.__name__]"},
        {"members": "@classmethod\ndef named(cls): return cls.__name__, cls.__doc__"},
        {"members": "@pytest.fixture\ndef price(self): return self.rate"},
        {"body": "return (lambda: [(lambda: self.rate)() for _ in (1, 2)])()"},
    ],
)
def test_another_test_is_left_out(places):
    """Neither its code nor that it is there is part of the key, wherever the class is loaded."""
    before = of_test(**places)
    assert "test_b" in before.unreached(())
    edited = of_test("2", **places)
    without = of_test(**places)
    del without.kind.test_b
    digests = {fingerprint(one, name="class").digest for one in (before, edited, without)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "places",
    [
        {"body": "return self.test_b()"},
        {"body": "return self.helper(), [self.test_b() for _ in (1, 2)]"},
        {"body": "return getattr(self, 'test_' + 'b')()"},
        {"body": "return getattr(self, x)()"},
        {"body": "return operator.methodcaller('test_b')(self)"},
        {"body": "return applied(TestShop.test_b, self)"},
        {"body": "return TestShop().helper()"},
        {"body": "return type(self)().helper()"},
        {"body": "return self.__class__().helper()"},
        {"body": "return self.__dict__"},
        {"body": "return self.__getattribute__('test_' + x)()"},
        {"body": "return applied(self.helper)"},
        {"body": "return self.helper(*x)"},
        {"body": "return applied(self.made)"},
        {"body": "return self.made.__self__"},
        {"body": "other = self; return other"},
        {"body": "(other := self).rate; return other"},
        {"body": "return [self]"},
        {"body": "return f'{self}'"},
        {"body": "return self == 1"},
        {"body": "return locals()[x]"},
        {"body": "return vars()[x]"},
        {"body": "return [one for one in (self,)]"},
        {"body": "return (lambda: self)()"},
        {"body": "return [(lambda: self) for _ in (1,)]"},
        {"body": "def inner():\n            return lambda: self\n        return inner()()"},
        {"body": "class Part:\n            whole = self\n        return Part.whole"},
        {"body": "match self:\n            case object(rate=3): return 1"},
        {"body": "return (yield self)"},
        {"body": "x[self] = 1"},
        {"body": "x.whole = self"},
        {"body": "del self.rate; return globals()[x]"},
        {"body": "return __class__"},
        {"body": "return super().__init__"},
        {"bases": "(Base)", "body": "return super().inherited()"},
        {"bases": "(Base)", "inherited": "self.test_b()"},
        {"bases": "(Base)", "inherited": "getattr(self, self.name)"},
        {"bases": "(unittest.TestCase)"},
        {"bases": "(typing.Generic[typing.TypeVar('T')])"},
        {"bases": "(abc.ABC)"},
        {"bases": "(metaclass=Meta)"},
        {"decorator": "@dataclasses.dataclass"},
        {"members": "def __getattr__(self, name): return 1"},
        {"members": "def __getattribute__(self, name): return 1"},
        {"members": "looked = Looked()"},
        {"members": "part = functools.partialmethod(applied)"},
        {"members": "stated = property(lambda self: applied(self))"},
        {"members": "memo = functools.cached_property(operator.attrgetter('test_b'))"},
        {"members": "memo = functools.cache(lambda self: 1)"},
        {"members": "@classmethod\ndef kinds(cls): return cls.mro()"},
        {"members": "@classmethod\ndef kinds(cls): return cls()"},
        {"members": "@decorated\ndef wrapped(self): return 1"},
        {"members": "def many(*args): return args"},
        {"members": "def test_c(self): return self.test_b()\ndef calls(self): return self.test_c()"},
        {"members": "def test_c(self): return getattr(self, self.n)\ndef calls(self): return self.test_c()"},
        {"members": "def setup_method(self, method): applied(method)"},
        {"members": "def setup_method(self, method): getattr(method.__self__, self.name)()"},
        {"members": "def teardown_method(self, *methods): applied(*methods)"},
        {"members": "own = Bound(applied)", "body": "return applied(self.own())"},
        {"members": "def __new__(cls): return applied(object.__new__, cls)"},
        {"members": "@pytest.fixture\ndef price(self): return 1", "body": "return applied(self.price)"},
        {"body": "return [lambda: self for self in x], applied(self)"},
        {"body": "return [self for self in x], applied(self)"},
        {"body": "return self, '__name__'"},
        {"body": "return (lambda: self.rate).__closure__[0].cell_contents"},
        {"body": "return x.query('price > @self.test_b()')"},
        {"body": "return x.query(self.asked)"},
        {"members": "same = None\ndef test_d(self): return 1", "body": "return self.test_d(), self.test_b"},
    ],
)
def test_another_test_counts_where_it_may_be_reached(places):
    """By its name, or since the instance, a bound method or the class is used otherwise than by a name."""
    before, edited = (
        [fingerprint(part, name="part").digest for part in (one, one.body)]
        for one in (of_test(**places), of_test("2", **places))
    )
    assert before != edited


@pytest.mark.parametrize(
    "member",
    [
        "def setup_method(self): return {}",
        "@classmethod\ndef setup_class(cls): return {}",
        "def __setattr__(self, name, value): return {}",
        "def __len__(self): return {}",
    ],
)
def test_what_is_called_without_its_name_counts_whatever_is_named_as_a_test(member):
    """As with `python_functions = *`."""
    before, edited = (
        fingerprint(of_test(tested="", members=member.format(value)), name="class").digest for value in "12"
    )
    assert before != edited


@pytest.mark.parametrize(
    "body", ["return self.pytestmark", "return TestShop.pytestmark", "return Config().pytestmark"]
)
def test_marks_count_where_code_reads_them(body):
    """Those of a class of the test, and a variable of that name of another class."""
    before, edited = (of_test(body=body, marks=marks) for marks in ("[1]", "[2]"))
    assert [fingerprint(part, name="part").digest for part in (before, before.body)] != [
        fingerprint(part, name="part").digest for part in (edited, edited.body)
    ]


def test_marks_of_the_class_are_left_out():
    """They say how often its tests are run, and against what."""
    digests = {
        fingerprint(of_test(body=body, marks=marks), name="class").digest
        for marks in ("[1]", "[2]")
        for body in ("return [self]",)
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "return inspect.getargvalues(inspect.currentframe())[3]['self']",
        "return inspect.getgeneratorlocals((self.rate for _ in x))",
    ],
)
def test_what_asks_for_local_variables_is_refused(body):
    """As it is where it takes the attributes of frames."""
    with pytest.raises(FingerprintError, match="asks for get"):
        fingerprint(of_test(body=f"import inspect; {body}").body, name="body")
