"""What is declared is run or refused: callables of every kind, objects, marks where nothing matches."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

from string import Template

import pytest

from plugin.conftest import MARK, TOTAL, total

CLAIM = (
    'CLAIM = dict(replicates=12, treatments={"t": {"delta": 5.0}}, '
    'hypotheses=[Hypothesis(metric="y", direction="increase")])\n'
    "mark = pytest.mark.experiment(**CLAIM)\n"
)
WRAPPED = """
import functools

class jit:
    def __init__(self, function):
        functools.update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        return self.__wrapped__(*args, **kwargs)
"""


def errors_of(result):
    """Return the messages of collection errors, of which each has one line."""
    lines, said = result.outlines, []
    starts = [i for i, line in enumerate(lines) if "ERROR collecting" in line]
    for start in starts:
        end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith(("=", "_")))
        assert end == start + 2, lines[start:end]
        said.append(lines[start + 1])
    return said


@pytest.mark.slow
@pytest.mark.parametrize("run", ["run", "run_workers"])
def test_every_declaration_is_run_or_refused(project, run):
    """Decorated functions are run; names that match nothing, objects and marked tests are refused."""
    project.write(
        CLAIM
        + WRAPPED
        + """
@mark
@functools.lru_cache
def experiment_cached(delta=0.0):
    return {"y": -delta}

@mark
@jit
def experiment_compiled(delta=0.0):
    return {"y": -delta}
""",
        "experiment_run.py",
    )
    result = getattr(project, run)("-rf")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines_random(
        [f"REFUTED p<0.001 experiment_run.py::experiment_{name}::*" for name in ("cached", "compiled")]
    )
    project.write(
        CLAIM
        + """
@mark
def exp_other_name(rng, delta=0.0):
    return {"y": rng.normal() - delta}

@mark
class ExperimentsOfCaches:
    def experiment_in_class(self, rng, delta=0.0):
        return {"y": rng.normal() - delta}

experiment_object = Experiment.builder("o")

@mark
def test_marked(delta=0.0):
    assert delta == 0.0
""",
        "experiment_refused.py",
    )
    result = getattr(project, run)("experiment_refused.py")
    assert result.ret != 0
    for line in (8, 12, 17, 19):
        result.stdout.fnmatch_lines_random([f"experiment_refused.py:{line}: *"])
    result.stdout.no_fnmatch_line("*passed*")


STEP = """
@pipeline_step()
def step(data, ctx, *, delta=0.0):
    return data, {"y": delta}

def build(delta=0.0):
    return Experiment(0, [step(delta=delta)], replicates=2)
"""


def test_callables_of_every_kind_are_run(project):
    """In both forms, what pytest would collect as a test is an experiment, and what needs no argument."""
    project.raw(
        "lib.py",
        "import pytest\n\n@pytest.mark.experiment(replicates=2)\ndef experiment_imported():\n    pass\n",
    )
    project.ini("pythonpath = .\n")
    project.write(
        CLAIM
        + WRAPPED
        + STEP
        + """
from lib import experiment_imported

experiment_partial = functools.partial(build, delta=1.0)
experiment_lambda = lambda: build()
experiment_alias = build

@mark
def _body(rng, size, delta=0.0):
    return {"y": rng.normal() + size * delta}

experiment_of_marked = functools.partial(_body, size=1)

class Factory:
    def __call__(self):
        return build()

    def method(self):
        return build()

experiment_instance = Factory()
experiment_bound = Factory().method

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

@decorated
@mark
def experiment_wrapped(rng, delta=0.0):
    return {"y": rng.normal() + delta}

@mark
@functools.cache
def experiment_cache(seed, delta=0.0):
    return {"y": seed / 2**32 + delta}

@mark
async def experiment_async(rng, delta=0.0):
    return {"y": rng.normal() + delta}

class Compiled(jit):
    pass

@mark
@Compiled
def experiment_compiled(rng, delta=0.0):
    return {"y": rng.normal() + delta}

class TestInClass:
    @mark
    def experiment_method(self, rng, delta=0.0):
        return {"y": rng.normal() + delta}

    @staticmethod
    @mark
    def experiment_static(rng, delta=0.0):
        return {"y": rng.normal() + delta}

    @classmethod
    @mark
    def experiment_class(cls, rng, delta=0.0):
        assert cls is TestInClass
        return {"y": rng.normal() + delta}

    @mark
    @staticmethod
    def experiment_marked_outside(rng, delta=0.0):
        return {"y": rng.normal() + delta}

@mark
class TestMarked:
    def experiment_in_marked(self, rng, delta=0.0):
        return {"y": rng.normal() + delta}
"""
    )
    result = project.run("-v", "-W", "error")
    names = [
        "imported",
        "partial",
        "lambda",
        "alias",
        "of_marked",
        "instance",
        "bound",
        "wrapped",
        "cache",
        "async",
        "compiled",
        "method",
        "static",
        "class",
        "marked_outside",
        "in_marked",
    ]
    result.assert_outcomes(passed=len(names))
    found = {
        line.split("::experiment_")[1].split("::")[0]
        for line in result.outlines
        if "::experiment_" in line and "replicates of" not in line
    }
    assert found == {*names}


REFUSED = {
    "an experiment": (
        "experiment_x = build()",
        14,
        "experiment_x is an Experiment, where a function is expected that returns it; write def experiment_x(): *",
    ),
    "a graph": ("experiment_x = ExperimentGraph(build())", 14, "experiment_x is an ExperimentGraph, *"),
    "an experiment in a class": (
        "class TestX:\n    experiment_x = build()",
        15,
        "experiment_x is an Experiment, *",
    ),
    "another name": (
        "@mark\ndef trial(): pass",
        14,
        "trial is marked as an experiment, but no pattern of crystallize_functions (experiment_[*]) matches its name; call it experiment_trial",
    ),
    "another name in a class": (
        "class TestX:\n    @mark\n    def trial(self): pass",
        15,
        "trial is marked *",
    ),
    "a test": (
        "@mark\ndef test_x(delta=0.0): pass",
        14,
        "test_x is marked as an experiment, but named like a test; call it experiment_x, or unmark it",
    ),
    "a test in a marked class": (
        "@mark\nclass TestX:\n    def experiment_y(self, delta=0.0): return {'y': delta}\n    def test_x(self): pass",
        17,
        "test_x is marked as an experiment by its class TestX, but named like a test; *",
    ),
    "an async test": ("@mark\nasync def test_x(delta=0.0): pass", 14, "test_x is marked *"),
    "a class with another name": (
        "@mark\nclass Group:\n    def experiment_x(self): pass",
        14,
        "Group is marked as an experiment, but pytest does not collect the class: no pattern of python_classes (Test) *",
    ),
    "a method of a class with another name": (
        "class Group:\n    @mark\n    def experiment_x(self): pass",
        14,
        "Group holds experiment_x, which is marked as an experiment, but *",
    ),
    "a class with a constructor": (
        "@mark\nclass TestX:\n    def __init__(self): pass\n    def experiment_x(self): pass",
        14,
        "TestX is marked *constructor*",
    ),
    "a class without experiments": (
        "@mark\nclass TestX:\n    def test_x(self): pass",
        14,
        "TestX is marked as an experiment, but no method matches *",
    ),
    "a TestCase": (
        "@mark\nclass TestX(unittest.TestCase):\n    def test_x(self): pass",
        14,
        "TestX is a unittest.TestCase and is marked; *",
    ),
    "a method of a TestCase": (
        "class TestX(unittest.TestCase):\n    @mark\n    def test_x(self): pass",
        14,
        "TestX is a unittest.TestCase and holds test_x; *",
    ),
    "an experiment of a TestCase": (
        "class TestX(unittest.TestCase):\n    def experiment_x(self): pass",
        14,
        "TestX is a unittest.TestCase and holds experiment_x; *",
    ),
    "a module without experiments": (
        "pytestmark = pytest.mark.experiment(replicates=3)\ndef test_x(): pass",
        14,
        "pytestmark gives defaults to the experiments of a module, and this one has none: *",
    ),
    "a list of marks of a module": (
        "pytestmark = [mark]\ndef test_x(): pass",
        14,
        "pytestmark gives defaults *",
    ),
    "a marked lambda": (
        "experiment_x = mark(lambda: {'y': 1})",
        14,
        "experiment_x is a mark that was given a lambda, *write def experiment_x(...)",
    ),
    "a marked partial": (
        "other = pytest.mark.slow(mark(functools.partial(build)))",
        14,
        "other is a mark that was given a partial, *write def experiment_other(...)",
    ),
    "a marked step": (
        "@mark\n@pipeline_step()\ndef experiment_x(data, ctx): return data",
        14,
        "experiment_x is a StepFactory, no function; mark a function",
    ),
    "a generator": (
        "@mark\ndef experiment_x(delta=0.0):\n    yield {'y': 1}",
        14,
        "experiment_x has a yield; *",
    ),
    "an async generator": ("async def experiment_x():\n    yield build()", 14, "experiment_x has a yield; *"),
    "a builtin, with warnings as errors": (
        "experiment_x = len",
        14,
        "cannot collect 'experiment_x' because it is not a function, but a builtin_function_or_method; *",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_run_is_refused(project, case):
    """By one line that says where it is and what to write; nothing is run."""
    source, line, message = REFUSED[case]
    header = "import functools, unittest\nmark = pytest.mark.experiment(replicates=2)\n" + STEP
    project.raw("pytest.ini", "[pytest]\nmarkers = slow\n")
    project.write(header + source + "\n")
    result = project.run("-W", "error")
    (said,) = errors_of(result)
    assert result.ret == 2
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"experiment_a.py:{line}: {message}"])
    assert said.startswith("experiment_a.py")


def test_what_is_no_declaration_is_left_alone(project):
    """Parts, constants, modules, mocks, bases of classes, and what says that it is not to be collected."""
    project.raw("experiment_module.py", "")
    project.ini("pythonpath = .\n")
    project.write(
        CLAIM
        + STEP
        + """
import functools
import experiment_module
from unittest import mock
from unittest.mock import call, sentinel

experiment_name = "x"
experiment_number = 3
experiment_options = {"replicates": 3}
experiment_list = [build()]
experiment_class = dict
experiment_none = None
experiment_mark = mark
experiment_hypothesis = CLAIM["hypotheses"][0]
experiment_treatment = Treatment("t", {"delta": 1})
base = build()
builder = Experiment.builder("b")
marks = [mark]

class Odd:
    def __getattr__(self, name):
        raise RuntimeError(name)

odd = Odd()

class Base:
    @mark
    def experiment_of_base(self, delta=0.0):
        return {"y": delta}

class TestDerived(Base):
    pass

@mark
def experiment_not_now():
    raise NotImplementedError

experiment_not_now.__test__ = False

class Mixin:
    __test__ = False

    @mark
    def experiment_x(self):
        raise NotImplementedError

@mark
def _hidden(delta=0.0):
    return {"y": delta}

@functools.wraps(_hidden)
def experiment_shown(delta=0.0):
    return _hidden(delta)

also = experiment_shown
""",
    )
    result = project.run("-v", "-W", "error", "experiment_a.py")
    result.assert_outcomes(passed=2)
    assert result.ret == 0


def test_callables_that_are_no_functions_are_warned_of(project):
    """As pytest does of those that are named like tests."""
    project.write(
        TOTAL
        + """
import functools
from unittest import mock

experiment_mock = mock.Mock()
experiment_builtin = len
experiment_partial = functools.partial(print, 1)
"""
    )
    result = project.run("-W", "default")
    result.assert_outcomes(passed=1, warnings=3)
    for name, line in (("mock", 18), ("builtin", 19), ("partial", 20)):
        result.stdout.fnmatch_lines(
            [
                f"*experiment_a.py:{line}: PytestCollectionWarning: cannot collect 'experiment_{name}' because it is not a function, *"
            ]
        )


def test_plain_runs_stay_plain(project):
    """Without --crystallize a marked test is a test, and nothing is refused or warned of."""
    project.write(CLAIM + STEP + "experiment_x = build()\n@mark\ndef test_a():\n    pass\n", "test_a.py")
    project.run_plain("-W", "error").assert_outcomes(passed=1)


def test_only_what_is_asked_for_is_refused(project):
    """A node id selects an experiment beside a wrong declaration, as in pytest."""
    project.write(TOTAL + "\n@pytest.mark.experiment\ndef trial():\n    pass\n")
    project.run("experiment_a.py::experiment_total").assert_outcomes(passed=1)
    project.run("experiment_a.py::trial").assert_outcomes(errors=1)


EDITED = {
    "lru_cache": "@MARK\n@functools.lru_cache\ndef experiment_x(delta=0.0):\n    return {'y': $value + delta}\n",
    "partial": "@MARK\ndef body(value, delta=0.0):\n    return {'y': value + delta}\nexperiment_x = functools.partial(body, $value)\n",
    "compiled": "@MARK\n@jit\ndef experiment_x(delta=0.0):\n    return {'y': $value + delta}\n",
    "instance": "class Body:\n    __name__ = 'body'\n    def __call__(self, delta=0.0):\n        return {'y': $value + delta}\nexperiment_x = Body()\nMARK(experiment_x)\n",
    "static": "class TestX:\n    @staticmethod\n    @MARK\n    def experiment_x(delta=0.0):\n        return {'y': $value + delta}\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EDITED)
def test_stored_runs_depend_on_what_is_called(project, case):
    """An edit of what a decorator wraps, or of what a partial function holds, has it run anew."""
    for value in ("1.0", "-1.0"):
        project.write(
            WRAPPED
            + "MARK = pytest.mark.experiment(replicates=6, treatments={'t': {'delta': 5.0}}, hypotheses=[Hypothesis(verifier=lambda b, t: {'p_value': 0.0, 'significant': b['y'][0] > 0}, metrics='y', name='h')])\n"
            + Template(EDITED[case]).substitute(value=value)
        )
        for _ in range(2):
            result = project.run()
            result.assert_outcomes(**{"passed" if value == "1.0" else "failed": 1})


def test_hypotheses_of_a_generator(project):
    """A generator in a mark is read once, so that every parameter set has the same hypotheses."""
    project.write(
        total(
            above="@pytest.mark.parametrize('sign', [1, -1])",
            hypotheses='(Hypothesis(metric="total", direction="increase") for _ in range(1))',
            arguments="sign, rng",
            value="rng.normal() + sign * delta",
        )
    )
    result = project.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*total_increase[[]-1-boost[]] REFUTED*"])


def test_what_a_class_binds_is_refused(project):
    """Partial methods and marked properties are no tests of pytest's, and don't vanish for that."""
    project.write(
        CLAIM
        + """
import functools

class TestParts:
    def run(self, delta=0.0):
        return {"y": delta}

    experiment_part = functools.partialmethod(run)
    experiment_marked = mark(functools.partialmethod(run))

    @property
    @mark
    def experiment_property(self):
        return {"y": 1.0}
"""
    )
    result = project.run("-Werror")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    said = "\n".join(errors_of(result))
    for name, kind in (("part", "partialmethod"), ("property", "property")):
        assert f"cannot collect 'experiment_{name}' because it is not a function, but a {kind};" in said
    assert "experiment_marked is a mark that was given a partialmethod, which has no name" in said


def test_iterators_and_sets_of_hypotheses(project):
    """An iterator that was read elsewhere leaves no experiment without hypotheses; a set has no order."""
    project.write(
        CLAIM
        + """
GENERATOR = (h for h in CLAIM["hypotheses"])

def made(hypotheses):
    @data_source
    def nothing(ctx):
        return None

    @pipeline_step()
    def total(data, ctx, *, delta=0.0):
        return data, {"y": delta}

    return Experiment(nothing, [total], treatments=CLAIM["treatments"], hypotheses=hypotheses, replicates=6)

@pytest.mark.parametrize("k", [1, 2])
def experiment_twice(k):
    return made(GENERATOR)

def experiment_set():
    return made({*CLAIM["hypotheses"], Hypothesis(metric="z", direction="increase")})

@pytest.mark.experiment(**{**CLAIM, "hypotheses": iter([])})
def experiment_marked(delta=0.0):
    return {"y": delta}
"""
    )
    said = errors_of(project.run())
    assert len(said) == 3
    assert sum("hypotheses= is an iterator (generator) that holds nothing" in line for line in said) == 1
    assert sum("hypotheses= is an iterator (list_iterator) that holds nothing" in line for line in said) == 1
    assert sum("has another order in every process" in line for line in said) == 1


def test_errors_of_what_a_factory_is_wrapped_in(project):
    """They are shown without this package's own lines."""
    project.write("import functools\n\n@functools.singledispatch\ndef experiment_a(x=1):\n    pass\n")
    result = project.run("--tb=short")
    result.stdout.fnmatch_lines(["E   TypeError: experiment_a requires at least 1 positional argument"])
    result.stdout.no_fnmatch_line("*pytest_crystallize*")


def test_argument_without_default(project):
    """An argument that a treatment fills needs a default: told before anything is run."""
    project.write(MARK + "def experiment_total(rng, delta):\n    return {'total': delta}\n")
    result = project.run()
    assert errors_of(result) == [
        "experiment_a.py:6: treatment 'boost' sets 'delta', so argument 'delta' needs a default (it is the "
        "baseline's value)"
    ]


def test_a_number_in_place_of_metrics(project):
    """A body that returns a number is told what to return, in one line and without lines of the plugin."""
    project.write(MARK + "def experiment_total(rng, delta=0.0):\n    return 0.125\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*experiment_total returned 0.125 (float); return a mapping of metrics such as {'accuracy': 0.125}"]
    )
    result.stdout.no_fnmatch_line("*marked.py*")
    result.stdout.no_fnmatch_line("*run.py*")


def test_arrays_of_one_element_are_numbers(project):
    """As metrics, 0-dimensional arrays and arrays of one element are what they hold."""
    project.write(
        MARK
        + """
def experiment_total(rng, delta=0.0):
    return {"total": np.array(rng.normal() + delta), "other": rng.normal(size=(1, 1)) + delta}
"""
    )
    project.run().assert_outcomes(passed=1)
