"""What code of a project did to its process before runs, as its source tells."""

import sys
import textwrap
from types import ModuleType

import pytest

from crystallize.identity import set_up
from crystallize.identity.outline import combined, outline
from crystallize.identity.set_up import opened_by_loading, set_up_by

CONFTEST = """
    import pytest
    import shop_settings as settings
    from shop_tools import apply, unrelated

    apply(settings.LEVEL)

    def pytest_runtest_setup(item):
        settings.prepare()

    @pytest.fixture(autouse=True)
    def always(level):
        yield

    @pytest.fixture
    def level():
        return 1

    @pytest.fixture
    def asked_for():
        return 2

    def nobody_calls():
        return 3
"""
SETTINGS = """
    LEVEL = "high"
    OTHER = 1

    def prepare():
        return helper()

    def helper():
        return 5
"""
TOOLS = """
    import sys

    def apply(level):
        sys.level = level

    def unrelated():
        return 7

    @sys.modules["atexit"].register
    def goodbye():
        return 8
"""
SOURCES = {"shop_conftest": CONFTEST, "shop_settings": SETTINGS, "shop_tools": TOOLS}

ROUNDABOUT = {
    "assigned": ("def go(config):\n    {}\npytest_configure = go\n", ""),
    "imported": ("from shop_tools import pytest_configure\n", "def pytest_configure(config):\n    {}\n"),
    "named by getfixturevalue": (
        "import pytest\n@pytest.fixture(autouse=True)\ndef all(request): request.getfixturevalue('one')\n"
        "@pytest.fixture\ndef one(): {}\n",
        "",
    ),
    "unpacked": ("import pytest\nK = dict(autouse=True)\n@pytest.fixture(**K)\ndef one(): {}\n", ""),
    "all that a module has": ("from shop_tools import *\n", "def pytest_configure(config):\n    {}\n"),
    "by globals": ("def go(): {}\ndef pytest_configure(config): globals()['go']()\n", ""),
    "by import_module": (
        "import importlib\ndef pytest_configure(config): importlib.import_module('shop_tools').go()\n",
        "def go(): {}\n",
    ),
}
SEEN = {
    "a call": ("shop_conftest", "apply(settings.LEVEL)", "apply(settings.OTHER)"),
    "a function that is called": ("shop_tools", "sys.level = level", "sys.level = level + '!'"),
    "a constant that is used": ("shop_settings", '"high"', '"low"'),
    "a hook": ("shop_conftest", "settings.prepare()", "settings.prepare(); print()"),
    "what a hook's function uses": ("shop_settings", "return 5", "return 6"),
    "an autouse fixture": ("shop_conftest", "        yield", "        print()\n        yield"),
    "a fixture that it asks for": ("shop_conftest", "return 1", "return 4"),
    "what is registered": ("shop_tools", "return 8", "return 9"),
    "an assignment to another's attribute": ("shop_settings", "OTHER = 1", "import sys\n    sys.x = 1"),
}
UNSEEN = {
    "a comment": ("shop_conftest", "apply(settings", "# a comment\n    apply(settings"),
    "layout": ("shop_tools", "sys.level = level", "sys.level = (\n            level)"),
    "a fixture that somebody asks for": ("shop_conftest", "return 2", "return 22"),
    "a function that nobody calls": ("shop_conftest", "return 3", "return 33"),
    "an unrelated function of a module": ("shop_tools", "return 7", "return 77"),
    "a constant that nobody uses": ("shop_settings", "OTHER = 1", "OTHER = 2"),
}


@pytest.fixture
def digests(tmp_path, monkeypatch):
    """Return what tells what the modules do, with one of them edited."""
    number = iter(range(9))

    def of(edit=None):
        home = tmp_path / str(next(number))
        home.mkdir()
        for name, source in SOURCES.items():
            if edit is not None and edit[0] == name:
                assert source.count(edit[1]) == 1
                source = source.replace(edit[1], edit[2])
            module = ModuleType(name)
            module.__file__ = str(home / f"{name}.py")
            (home / f"{name}.py").write_text(textwrap.dedent(source))
            monkeypatch.setitem(sys.modules, name, module)
        return set_up_by((), called=[sys.modules["shop_conftest"]], root=home)

    return of


@pytest.mark.parametrize("edit", SEEN)
def test_what_is_executed_counts(digests, edit):
    """Whatever a conftest does, and what that uses in other modules."""
    assert digests(SEEN[edit]) != digests()


@pytest.mark.parametrize("way", ROUNDABOUT)
def test_what_hooks_do_counts_however_they_come_about(tmp_path, monkeypatch, way):
    """They need not be defined where pytest finds them."""
    found = []
    for number, does in enumerate(("one()", "two()", "one()")):
        home = tmp_path / str(number)
        home.mkdir()
        for name, source in zip(("shop_conftest", "shop_tools"), ROUNDABOUT[way], strict=True):
            module = ModuleType(name)
            module.__file__ = str(home / f"{name}.py")
            (home / f"{name}.py").write_text(source.format(does))
            monkeypatch.setitem(sys.modules, name, module)
        found.append(set_up_by((), called=[sys.modules["shop_conftest"]], root=home))
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("edit", UNSEEN)
def test_what_is_defined_does_not(digests, edit):
    """An unrelated function must not have everything run again."""
    assert digests(UNSEEN[edit]) == digests()


@pytest.mark.parametrize(
    ("source", "does"),
    [
        ("x = 1", False),
        ("import numpy", False),
        ("def f(): print()", False),
        ("'''A docstring.'''", False),
        ("if __name__ == '__main__': main()", False),
        ("if __name__ == '__main__':\n    main()\nelse:\n    a.b = 1", True),
        ("if __name__ != '__main__':\n    a.b = 1", True),
        ("if windows or __name__ == 'a':\n    a.b = 1", True),
        ("logger = logging.getLogger(__name__)", False),
        ("np.seterr(all='raise')", True),
        ("old = np.seterr(all='raise')", True),
        ("a.b = 1", True),
        ("a.b, c = 1, 2", True),
        ("for [a, b[c]] in d: pass", True),
        ("with a as (b, *c.d): pass", True),
        ("os.environ['A'] = '1'", True),
        ("for x in y: x.z()", True),
        ("if windows:\n    a.b = 1", True),
        ("try:\n    a()\nexcept E:\n    pass", True),
        ("with a.set_b(): pass", True),
        ("@Number.register\nclass A: pass", True),
        ("@dataclass\nclass A: pass", False),
        ("@cache\ndef f(): pass", False),
        ("cache.configure()", True),
        ("x = cache.configure()", True),
        ("functools.reduce(a, b)", True),
        ("x = stack.enter_context(a())", True),
        ("x = asyncio.run(a())", True),
        ("del a.b", True),
        ("class A:\n    b.c = 1", True),
        ("class A:\n    b()", True),
        ("class A:\n    b = 1\n    def c(self): d()", False),
        ("def f(x=set_b()): pass", True),
        ("def f(x=Path('a')): pass", False),
        ("a or b()", True),
        ("x @ y", True),
        ("if a(): b = 1", True),
        ("if hasattr(a, 'b'): b = 1", False),
        ("for x in range(3): y = 1", False),
        ("while a(): pass", True),
        ("with a(): pass", True),
        ("assert a()", True),
        ("x += 1", True),
        ("__all__ += ['x']", False),
        ("x = set()", False),
        ("print(*[a()])", True),
        ("@(a if b else c)\ndef f(): pass", True),
        ("def experiment_a():\n    x = f()\n    x.append(1)\n    return Experiment(x, g())", False),
        ("def experiment_a():\n    a.b = 1\n    return Experiment()", True),
        ("def experiment_a():\n    a.b()\n    return Experiment()", True),
        ("def experiment_a():\n    x = a.b\n    x.c = 1\n    return Experiment()", True),
        ("def experiment_a():\n    for x in (a.b, c): x.d = 1\n    return Experiment()", True),
        ("def experiment_a():\n    x = []\n    y = x\n    y.append(1)\n    return Experiment(y)", False),
        ("def experiment_a():\n    x = f()\n    x.d = 1\n    return Experiment()", False),
        ("def experiment_a():\n    def g(x):\n        x.a = b.c()\n    return Experiment(g)", False),
        ("@pytest.mark.experiment\ndef experiment_a():\n    a.b()", False),
        ("class TestA:\n    def experiment_a(self):\n        a.b()\n        return Experiment()", True),
    ],
)
def test_statements_of_a_module(source, does):
    """Those that may do more than give names are told from the others."""
    assert bool(outline(source.encode()).effects["module"].digests) == does


def test_functions_that_a_factory_calls_count():
    """Those that it has defined itself, as what it does without them."""
    source = "def experiment_a():\n    def go():\n        a.b = {}\n    go()\n    return Experiment()"
    first, second = (outline(source.format(n).encode()).effects["module"].digests for n in (1, 2))
    assert first != second


@pytest.mark.parametrize(
    ("source", "applied"),
    [
        ("CASES = [1]\n@pytest.mark.parametrize('n', CASES + [2])\ndef f(n): pass", {"pytest"}),
        ("slow = pytest.mark.slow\n@slow\ndef f(): pass", set()),
        ("@tools.traced(LEVEL)\ndef f(): pass", {"tools"}),
        ("@pytest.mark.parametrize('n', cases(LEVEL))\ndef f(n): pass", {"pytest", "cases"}),
        ("def traced(f): return f\n@traced\ndef f(): pass", {"traced"}),
    ],
)
def test_decorators_count_and_values_given_to_them_do_not(source, applied):
    """Parameters of other tests say nothing of what is done to the process; what makes them may."""
    assert {name for name, *_ in outline(source.encode()).effects["module"].uses} == applied


MADE = """
    import sys

    class Base:
        def __init_subclass__(cls):
            sys.rate = cls.rate

    class Made(Base):
        rate = 1

        def method(self):
            return 2
"""


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [("cls.rate", "cls.rate + 1", True), ("rate = 1", "rate = 2", True), ("return 2", "return 3", False)],
)
def test_what_makes_classes_counts(tmp_path, monkeypatch, old, new, counts):
    """And what they are made of, but for their methods."""
    found = []
    for number, source in enumerate((MADE, MADE.replace(old, new))):
        path = tmp_path / str(number) / "shop_made.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(source))
        module = ModuleType("shop_made")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "shop_made", module)
        exec(compile(path.read_text(), str(path), "exec"), vars(module))
        found.append(set_up_by([module], root=path.parent))
    assert (found[0] != found[1]) is counts


STORE = """
    import functools

    class App:
        def __init__(self):
            self.steps = {}

        def on(self, name):
            return functools.partial(self.steps.setdefault, name)

        def start(self):
            for step in self.steps.values():
                step()

    class Base:
        kinds = []

        def __init_subclass__(cls):
            cls.kinds.append(cls)

    STEPS, app = [], App()

    def step(function):
        STEPS.append(function)
        return function

    def run_all():
        for function in STEPS:
            function()

    def __getattr__(name):
        import shop_goods
        return getattr(shop_goods, name)
"""
GOODS = """
    from shop_store import Base, app, step

    @step
    def one():
        return 1

    @app.on("start")
    def two():
        return 2

    class Three(Base):
        def three(self):
            return 3

    def four():
        return 4
"""


@pytest.mark.parametrize(
    ("conftest", "counts"),
    [
        ("shop_store.run_all()", "1"),
        ("shop_store.app.start()", "2"),
        ("for kind in shop_store.Base.kinds: kind().three()", "3"),
        ("for kind in shop_store.Base.__subclasses__(): kind().three()", "3"),
        ("shop_store.four()", "1234"),
        ("getattr(shop_goods, 'four')()", "4"),
        ("getattr(shop_goods, 'fo' + 'ur')()", "1234"),
        ("for name in vars(shop_goods): call(name)", "1234"),
        ("setattr(shop_goods, 'four', None)", ""),
        ("shop_store.step(print)", ""),
        ("shop_store.STEPS.append(print)", ""),
        ("shop_store.STEPS[0] = print", ""),
        ("", ""),
    ],
)
def test_what_a_conftest_finds_in_registries_and_modules_counts(tmp_path, monkeypatch, conftest, counts):
    """Functions and classes that a module as a whole has, or a registry holds; to register calls none."""
    sources = {"shop_store": STORE, "shop_goods": GOODS}
    sources["shop_conftest"] = f"import shop_goods, shop_store\ndef call(name): pass\n{conftest}\n"

    def found(edit=""):
        home = tmp_path / f"edit{edit}"
        home.mkdir()
        for name, source in sources.items():
            module = ModuleType(name)
            module.__file__ = str(home / f"{name}.py")
            text = textwrap.dedent(source).replace(f"return {edit}", f"return -{edit}") if edit else source
            (home / f"{name}.py").write_text(textwrap.dedent(text))
            monkeypatch.setitem(sys.modules, name, module)
            if name != "shop_conftest":
                exec(compile(textwrap.dedent(text), module.__file__, "exec"), vars(module))
        loaded = [sys.modules[name] for name in sources]
        return set_up_by(loaded, called=[sys.modules["shop_conftest"]], root=home)

    before = found()
    assert "".join(edit for edit in "1234" if found(edit) != before) == counts


def test_what_is_no_python_counts_as_a_whole(tmp_path, monkeypatch):
    """A loader of the project's own may have made something of it."""
    path = tmp_path / "shop_told.py"
    module = ModuleType("shop_told")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "shop_told", module)
    found = []
    for text in ("the rate is 1", "the rate is 2"):
        path.write_text(text)
        found.append(set_up_by([module], root=tmp_path))
        monkeypatch.setitem(sys.modules, "shop_more", ModuleType("shop_more"))  # so that it looks again
    assert found[0] != found[1]


def test_the_order_of_statements_counts():
    """The last of two calls decides."""
    one, other = "a.b = 1\na.b = 2", "a.b = 2\na.b = 1"
    assert combined([outline(one.encode()).effects["module"]]) != combined(
        [outline(other.encode()).effects["module"]]
    )


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import json\nRATE = json.load(open('rate'))", ["load", "open"]),
        ("from pathlib import Path\nclass A:\n    a = Path('rate').read_text()", ["read_text"]),
        ("def rate(): return open('rate')\nRATE = rate()", ["open"]),
        ("def rate(): return open('rate')", []),
        ("def pytest_configure(config): open('rate')", []),  # that is called later
    ],
)
def test_what_loading_a_module_may_open(tmp_path, monkeypatch, source, names):
    """Of what is executed by then, not of what is defined."""
    module = ModuleType("shop_early")
    module.__file__ = str(tmp_path / "shop_early.py")
    (tmp_path / "shop_early.py").write_text(source)
    monkeypatch.setitem(sys.modules, "shop_early", module)
    assert opened_by_loading(module) == names


def test_experiments_of_several_files_are_searched_once(tmp_path, monkeypatch):
    """Each asks about all that is loaded and its own module, which is among that: nothing else is found."""
    files = []
    for name in ("shop_first", "shop_second"):
        (tmp_path / f"{name}.py").write_text(f"print({name!r})\n")
        files.append(name)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = [__import__(name) for name in files]
    searches, search = [], set_up._search
    monkeypatch.setattr(set_up, "_search", lambda *args: searches.append(args) or search(*args))
    found = [set_up_by([*loaded, own], root=tmp_path) for own in loaded]
    assert found == [set_up_by(loaded, root=tmp_path)] * 2
    assert len(searches) == 1
    for name in files:
        del sys.modules[name]
