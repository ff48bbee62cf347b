"""What importing costs, and which names there are."""

import ast
import gc
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import crystallize
import crystallize.core
from crystallize import seam
from pytest_crystallize.unrewritten import unrewritten

HEAVY = ("numpy", "scipy", "pytest", "torch", "tqdm", "multiprocessing", "asyncio", "subprocess")


def typed_names(module):
    """Return the names that a module imports for type checkers, with the modules they come from."""
    tree = ast.parse(Path(module.__file__).read_text())
    blocks = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {
        alias.asname: statement.module
        for block in blocks
        for statement in block.body
        for alias in statement.names
    }


def test_importing_the_package_is_light():
    """`import crystallize` loads neither numpy nor scipy, nor anything else that takes time."""
    code = f"import sys, crystallize, crystallize.core; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_running_an_experiment_does_not_import_scipy_stats():
    """It costs a second; the built-in tests need `scipy.special` only."""
    code = (
        "import sys; from crystallize import *\n"
        "@pipeline_step()\n"
        "def s(data, ctx, *, d=0.0): return data, {'x': ctx.rng.normal() + d * ctx.rng.normal(5)}\n"
        "e = Experiment(0, [s], treatments=[Treatment('t', {'d': 1.0})], "
        "hypothesis=Hypothesis(metric='x', direction='increase'), replicates=9)\n"
        "assert e.run().metrics['hypothesis']['p_value'] < 1\n"
        "print([m for m in ('scipy.stats', 'pytest') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_evaluating_the_default_tests_does_not_import_scipy_stats():
    """Neither pairs nor independent samples, numbers nor 0/1 values, families, margins or looks do."""
    code = (
        "import sys; from crystallize import *\n"
        "from crystallize.analysis.analysis import Analysis\n"
        "from crystallize.analysis.family import AnalysisPlan\n"
        "from crystallize.claims.policy import Judging\n"
        "from crystallize.context.recording import MetricEntry\n"
        "def arm(name, values, first):\n"
        "    record = lambda i, v: RunRecord(name, i, first + i, (MetricEntry('x', v, None, False, 's'),))\n"
        "    return ConditionRuns(name, [record(i, v) for i, v in enumerate(values)])\n"
        "claims = [Hypothesis(metric='x', direction=d, name=d) for d in ('increase', 'differ')]\n"
        "claims += [Hypothesis(metric='x', direction='equal', margin=0.2, name='equal')]\n"
        "samples = {'n': ([i % 7 / 3 for i in range(20)], [i % 5 / 2 for i in range(20)]),\n"
        "           'b': ([i % 2 for i in range(20)], [i % 3 > 0 for i in range(20)])}\n"
        "seen = set()\n"
        "for first in (100, 900):\n"
        "    for baseline, treatment in samples.values():\n"
        "        for stopping in (None, GroupSequential(), AnytimeValid()):\n"
        "            plan = AnalysisPlan(tuple(claims), ('t', 'u'), 20, Judging(stopping=stopping))\n"
        "            runs = {'baseline': arm('baseline', baseline, 100)}\n"
        "            runs |= {name: arm(name, treatment, first) for name in 'tu'}\n"
        "            analysis = Analysis(plan, runs)\n"
        "            seen |= {(v.test, v.status) for c in claims for v in [analysis.verdict(c, 't')]}\n"
        "assert {'paired t', 'Welch t', 'McNemar mid-p', 'Boschloo'} <= {test for test, _ in seen}, seen\n"
        "print([m for m in ('scipy.stats', 'pytest') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_imported():
    """Each comes from the module that the table says, and the type checkers see the same."""
    for name in crystallize.__all__:
        home = import_module(f"crystallize.{crystallize._HOMES[name]}")
        assert getattr(crystallize, name) is getattr(home, name)
        assert getattr(home, name).__module__ == home.__name__
    homes = {name: f"crystallize.{home}" for name, home in crystallize._HOMES.items()}
    assert typed_names(crystallize) == homes | dict.fromkeys(crystallize._MODULES, "crystallize")
    assert crystallize.__all__ == sorted(homes)
    assert set(crystallize.__all__) <= set(dir(crystallize))


def test_errors_and_statistics_are_attributes_of_the_package():
    """They are there behind `import crystallize` alone, and not only once something else has loaded them."""
    code = (
        "import crystallize; print({'errors', 'stats'} <= set(dir(crystallize)), "
        "crystallize.stats.cohen_kappa.__name__, crystallize.errors.SampleError.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "cohen_kappa", "SampleError"]


@pytest.mark.parametrize("module", [crystallize, crystallize.core, seam])
def test_type_checkers_see_the_names_that_there_are_and_no_others(module):
    """A module with a `__getattr__` has every name for them, so that a misspelt import goes unnoticed."""
    tree = ast.parse(Path(module.__file__).read_text())
    assert "__getattr__" not in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert module.__getattr__


def test_core_offers_the_classes():
    """They are those of the package; factories live in the package alone."""
    assert set(typed_names(crystallize.core)) == set(crystallize.core.__all__)
    for name in crystallize.core.__all__:
        assert isinstance(getattr(crystallize.core, name), type)
        assert getattr(crystallize.core, name) is getattr(crystallize, name)


@pytest.mark.parametrize("module", [crystallize, crystallize.core])
def test_an_unknown_name_is_an_attribute_error(module):
    """As with any module."""
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Exprmnt'"):
        module.Exprmnt  # noqa: B018


def test_garbage_is_collected_behind_the_first_imports(monkeypatch):
    """While the plugin's modules are loaded nothing is looked for, and behind it as before, or not at all."""
    monkeypatch.delitem(sys.modules, "pytest_crystallize.session.activation", raising=False)
    try:
        for collects in (True, False):
            (gc.enable if collects else gc.disable)()
            with unrewritten():
                assert not gc.isenabled()
            assert gc.isenabled() is collects
    finally:
        gc.enable()
        gc.unfreeze()
