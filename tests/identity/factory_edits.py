"""Edits of experiments that factories return: data, steps, treatments, seeds, cached steps."""

# ruff: noqa: E501 - lines of projects under test

from __future__ import annotations

from collections.abc import Iterator

from edit_harness import Case

SHOP = """
import dataclasses
RATE = 1
def rate(): return 1
class A:
    def m(self): return 1
@dataclasses.dataclass
class D:
    x: int = 1
"""


def step(value: str = "float(np.sum(data)) + delta", *, more: str = "") -> str:
    """Return a step that records a value, with noise."""
    return f"""
@pipeline_step()
def s(data, ctx, *, delta=0.0{more}):
    return data, {{'y': {value} + ctx.rng.normal()}}
"""


STEP = step()


def factory(
    code: str = STEP,
    *,
    source: str = "1.0",
    steps: str = "s",
    change: str = "{'delta': 1.0}",
    more: str = "",
    inside: str = "",
) -> str:
    """Return a module with a factory."""
    return f"""
from crystallize import *
import decimal, fractions, numpy as np, random, shop
{code}
def experiment_a():
    {inside or "pass"}
    return Experiment({source}, [{steps}], treatments=[Treatment("t", {change})], replicates=2{more})
"""


def cached(
    value: str, *, returned: str = "data + {}", declared: str = "", then: str = STEP, **options: str
) -> str:
    """Return a module with a factory whose first step is cached."""
    first = f"""
@pipeline_step(cacheable=True{declared})
def c(data, ctx):
    return {returned.format(value)}
"""
    return factory(first + then, steps="c, s", **options)


RATE = ("def rate(): return 1", "def rate(): return 2")
METHOD = ("def m(self): return 1", "def m(self): return 2")
INSIDE = {  # what is edited in `shop`
    "step's helper": (factory(step("float(np.sum(data)) + delta + shop.rate()")), *RATE),
    "data source's helper": (
        factory("@data_source\ndef src(ctx): return shop.rate()\n" + STEP, source="src"),
        *RATE,
    ),
    "data's class": (
        factory(step("data.m() + delta"), source="shop.A()"),
        *METHOD,
    ),
    "treatment's function": (factory(change="lambda ctx: ctx.add('delta', float(shop.rate()))"), *RATE),
    "treatment that is a source": (
        factory("@data_source\ndef src(ctx): return shop.rate()\n" + STEP, change="src"),
        *RATE,
    ),
    "base of a class that is a step": (
        factory(
            "class S(PipelineStep, shop.A):\n    params = {}\n    def __call__(self, data, ctx): return data, {'y': data + self.m()}\n",
            steps="S()",
            change="{}",
        ),
        *METHOD,
    ),
    "resource factory": (
        factory(
            "@pipeline_step()\ndef s(data, ctx, *, r=None, delta=0.0): return data, {'y': data + r + delta}\n",
            steps="s(r=resource_factory(lambda ctx: shop.rate()))",
        ),
        *RATE,
    ),
    "value that the factory computes": (factory(source="shop.rate()"), *RATE),
    "asynchronous step's helper": (
        factory("@pipeline_step()\nasync def a(data, ctx): return data + shop.rate()\n" + STEP, steps="a, s"),
        *RATE,
    ),
    "cached step's helper": (cached("shop.rate()"), *RATE),
    "cached step's constant": (cached("shop.RATE"), "RATE = 1", "RATE = 2"),
    "cached step's class": (cached("shop.A().m()"), *METHOD),
    "cached step's field": (cached("shop.D().x"), "x: int = 1", "x: int = 2"),
    "deterministic step's helper": (
        cached("shop.rate()", declared=", deterministic=True"),
        *RATE,
    ),
    "cached step's data": (
        cached("data.m()", returned="{}", source="shop.A()"),
        *METHOD,
    ),
    "cached step, class body": (
        cached("fractions.Fraction.shop_rate"),
        "RATE = 1",
        "RATE = 2",
    ),
}
ITSELF = {  # what is edited in the factory's module
    "data": (factory(source="[1.0, 2.0]"), "[1.0, 2.0]", "[1.0, 3.0]"),
    "treatment": (factory(), "'delta': 1.0", "'delta': 2.0"),
    "initial context": (
        factory(
            step(more=", other=0"),
            change="{'other': 1}",
            more=", initial_ctx={'delta': 1.0}",
        ),
        "'delta': 1.0",
        "'delta': 2.0",
    ),
    "parameter of a step": (
        factory(step("float(np.sum(data)) + delta + k", more=", k=0"), steps="s(k=1)"),
        "s(k=1)",
        "s(k=2)",
    ),
    "default of a step": (factory(), "delta=0.0", "delta=0.5"),
    "state of a class that is a step": (
        factory(
            "class S(PipelineStep):\n    params = {}\n    def __init__(self, k): self.k = k\n    def __call__(self, data, ctx): return data, {'y': data + self.k}\n",
            steps="S(1)",
            change="{}",
        ),
        "S(1)",
        "S(2)",
    ),
    "seed": (factory(more=", plugins=[SeedPlugin(seed=1)]"), "seed=1", "seed=2"),
    "function that seeds": (
        factory(
            step("float(np.sum(data)) + delta + random.random()")
            + "def seeding(seed): random.seed(seed + 1)\n",
            more=", plugins=[SeedPlugin(seed=1, seed_fn=seeding)]",
        ),
        "seed + 1",
        "seed + 2",
    ),
    "order of steps": (
        factory(
            STEP
            + "@pipeline_step()\ndef a(data, ctx): return data + 1\n@pipeline_step()\ndef b(data, ctx): return data * 2\n",
            steps="a, b, s",
        ),
        "[a, b, s]",
        "[b, a, s]",
    ),
    "what the factory does": (
        factory(
            step("float(np.sum(data)) + delta + fractions.Fraction.shop_rate"),
            inside="fractions.Fraction.shop_rate = 1",
        ),
        "shop_rate = 1",
        "shop_rate = 2",
    ),
    "cached step's key of the context": (
        cached("ctx.get('delta', 0.0)", then=step("float(np.sum(data)) + 0")),
        "'delta': 1.0",
        "'delta': 2.0",
    ),
}
BESIDE = {  # what is edited in other files
    "cached step, setting of a conftest": (
        cached("float(decimal.Decimal(1) / 3)"),
        "conftest.py",
        "import decimal\ndecimal.getcontext().prec = 3\n",
        "import decimal\ndecimal.getcontext().prec = 5\n",
    ),
    "cached step, declared file": (
        cached("float(open('table').read())", more=", inputs=['table']"),
        "table",
        "1",
        "2",
    ),
    "cached step, file that a memo has read": (cached("shop.table()"), "table", "1", "2"),
}


def of_factories() -> Iterator[Case]:
    """Yield all cases."""
    effect = "import fractions\nclass Effect:\n    fractions.Fraction.shop_rate = RATE\n"
    memo = "import functools\n@functools.cache\ndef table(): return float(open('table').read())\n"
    for name, (text, old, new) in INSIDE.items():
        shop = SHOP + (effect if "class body" in name else "")
        assert shop.count(old) == 1
        yield Case(
            "factory", name, {"experiment_a.py": text, "shop.py": shop}, {"shop.py": shop.replace(old, new)}
        )
    for name, (text, old, new) in ITSELF.items():
        assert old in text
        files = {"experiment_a.py": text, "shop.py": SHOP}
        yield Case("factory", name, files, {"experiment_a.py": text.replace(old, new)})
    for name, (text, path, old, new) in BESIDE.items():
        shop = SHOP + (memo + "table()\n" if "memo" in name else "")
        files = {"experiment_a.py": text, "shop.py": shop, path: old}
        yield Case("factory", name, files, {path: new})
