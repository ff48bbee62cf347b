"""Edits of what pytest gives to runs."""

# ruff: noqa: E501 - lines of projects under test

from __future__ import annotations

from collections.abc import Iterator

from edit_harness import Case, Content, experiment


def in_class(method: str, value: int) -> str:
    """Return an experiment of a class, one of whose methods sets what its runs read."""
    return f"""
import fractions, pytest
class TestShop:
    {method}: fractions.Fraction.shop_rate = {value}
    @pytest.mark.experiment(replicates=2, treatments={{'t': {{'delta': 1.0}}}})
    def experiment_a(self, rng, delta=0.0):
        return {{'y': float(fractions.Fraction.shop_rate), 'z': rng.normal() + delta}}
"""


def fixtures() -> Iterator[Case]:
    """Yield what pytest gives to runs."""
    ways = {
        "wider fixture": "@pytest.fixture(scope='session')\ndef shop(): return {}\n",
        "fixture of a fixture": "@pytest.fixture(scope='session')\ndef goods(): return {}\n@pytest.fixture\ndef shop(goods): return goods\n",
        "monkeypatch in a wider fixture": "import fractions\n@pytest.fixture(scope='session')\ndef shop():\n    with pytest.MonkeyPatch.context() as m:\n        m.setattr(fractions.Fraction, 'shop_rate', {}, raising=False)\n        yield fractions.Fraction.shop_rate\n",
        "file of tmp_path_factory": "@pytest.fixture(scope='session')\ndef shop(tmp_path_factory):\n    path = tmp_path_factory.mktemp('a') / 'b'\n    path.write_text('{}')\n    return float(path.read_text())\n",
        "getfixturevalue": "@pytest.fixture\ndef goods(): return {}\n@pytest.fixture\ndef shop(request): return request.getfixturevalue('goods')\n",
        "parameter of a fixture": "@pytest.fixture(params=[{}])\ndef shop(request): return request.param\n",
        "params by text": "@pytest.fixture(params=['{}'])\ndef shop(request): return float(request.param)\n",
        "overridden fixture": "@pytest.fixture\ndef tmp_path(): return {}\n@pytest.fixture\ndef shop(tmp_path): return tmp_path\n",
        "pytest_generate_tests": "def pytest_generate_tests(metafunc):\n    if 'shop' in metafunc.fixturenames: metafunc.parametrize('shop', [{}], ids=['x'])\n",
        "pytest_fixture_setup": "import pytest\n@pytest.fixture\ndef shop(): return 0\ndef pytest_fixture_setup(fixturedef, request):\n    if fixturedef.argname == 'shop':\n        fixturedef.cached_result = ({}, fixturedef.cache_key(request), None)\n        return {}\n",
        "finalizer of a wider fixture": "L = [0]\n@pytest.fixture\ndef shop(request):\n    request.addfinalizer(lambda: L.__setitem__(0, {}))\n    return L[0]\n",
        "fixture made by a call": "def make(): return {}\nshop = pytest.fixture(lambda: make(), name='shop')\n",
        "fixture with a name of its own": "@pytest.fixture(name='shop')\ndef other(): return {}\n",
        "fixture of an instance": "class P:\n    @pytest.fixture\n    def shop(self): return {}\ndef pytest_configure(config): config.pluginmanager.register(P())\n",
        "fixture that opens a declared file": "@pytest.fixture(scope='session')\ndef shop(): return float(open('data').read())\n",
        "hook wrapper around the call": "import fractions\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_call(item):\n    fractions.Fraction.shop_rate = {}\n    return (yield)\n@pytest.fixture\ndef shop(): return fractions.Fraction.shop_rate\n",
        "collection_modifyitems": "def pytest_collection_modifyitems(items):\n    import fractions\n    fractions.Fraction.shop_rate = {}\n@pytest.fixture\ndef shop():\n    import fractions\n    return fractions.Fraction.shop_rate\n",
    }
    for name, source in ways.items():
        conftest = "import pytest\n" + source
        data: dict[str, Content] = {"data": "1"} if "open('data')" in source else {}
        after: dict[str, Content] = {"data": "2"} if data else {"conftest.py": conftest.format(2, 2)}
        yield Case(
            "fixture",
            name,
            {
                "experiment_a.py": experiment("shop", arguments=", *, shop"),
                "conftest.py": conftest.format(1, 1),
                **data,
            },
            after,
        )
    methods = {
        "autouse in a class": "@pytest.fixture(autouse=True)\n    def prepare(self)",
        "setup_method": "def setup_method(self)",
        "setup_class": "@classmethod\n    def setup_class(cls)",
    }
    for name, method in methods.items():
        before, after = ({"experiment_a.py": in_class(method, value)} for value in (1, 2))
        yield Case("fixture", name, before, after)
    hook = "import fractions\ndef pytest_runtest_setup(item):\n    fractions.Fraction.shop_rate = item.get_closest_marker('rate').args[0]\n"
    marked = "import fractions, pytest\npytestmark = pytest.mark.rate({})\n" + experiment(
        "fractions.Fraction.shop_rate"
    )
    yield Case(
        "fixture",
        "mark that a hook reads",
        {"experiment_a.py": marked.replace("{}", "1"), "conftest.py": hook},
        {"experiment_a.py": marked.replace("{}", "2")},
    )
    body = "import pytest\n@pytest.fixture\ndef shop(request): return request.param\n@pytest.mark.parametrize('shop', [{}], indirect=True, ids=['x'])\n@pytest.mark.experiment(replicates=2, treatments={{'t': {{'delta': 1.0}}}})\ndef experiment_a(rng, shop, delta=0.0):\n    return {{'y': float(shop), 'z': rng.normal() + delta}}\n"
    yield Case(
        "fixture",
        "indirect parameter",
        {"experiment_a.py": body.format(1)},
        {"experiment_a.py": body.format(2)},
    )
