"""Every wrong declaration is a collection error of one line, with file and line."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import textwrap

import pytest

from plugin.conftest import TOTAL, total

MARKED = {
    "unknown keyword": (
        "replicats=3",
        "@pytest.mark.experiment has no keyword 'replicats'; did you mean 'replicates'? its keywords are *",
    ),
    "positional": ("3", "@pytest.mark.experiment takes keywords only, not 3; they are replicates, *"),
    "treatment twice": (
        "replicates=3, treatments=[Treatment('a', {'x': 1}), Treatment('a', {'x': 2})]",
        "two treatments are named 'a'",
    ),
    "treatment is baseline": (
        "replicates=3, treatments={'baseline': {'x': 1}}",
        "*can't be named 'baseline'*",
    ),
    "treatment without name": ("replicates=3, treatments={' ': {'x': 1}}", "a treatment is named ' '; *"),
    "treatment without change": (
        "replicates=3, treatments={'a': 3}",
        "treatment 'a' changes the context by 3; *",
    ),
    "treatments by name": (
        "replicates=3, treatments=['a']",
        "treatments= holds 'a', which is not a Treatment; give Treatment('name', *",
    ),
    "treatments a string": (
        "replicates=3, treatments='a'",
        "the treatments of 'a' are in no known format; a file of treatments ends in .yaml, *",
    ),
    "treatments a number": (
        "replicates=3, treatments=3",
        "treatments=3; give a list of treatments, a mapping of names to changes, or *",
    ),
    "no replicates": ("seed=3", "experiment_x declares no replicates; give replicates= *"),
    "replicates 0": ("replicates=0", "*replicates*0*"),
    "replicates -1": ("replicates=-1", "*replicates*-1*"),
    "replicates True": ("replicates=True", "*replicates*True*"),
    "replicates a string": ("replicates='3'", "*replicates*'3'*"),
    "replicates a float": ("replicates=3.0", "*replicates*3.0*"),
    "seed negative": ("replicates=3, seed=-1", "seed is -1; a root seed is an integer >= 0"),
    "seed a string": ("replicates=3, seed='random'", "seed is 'random'; a root seed is an integer >= 0"),
    "seed True": ("replicates=3, seed=True", "seed is True; a root seed is an integer >= 0"),
    "seed a float": ("replicates=3, seed=1.5", "seed is 1.5; a root seed is an integer >= 0"),
    "hypotheses without treatments": (
        "replicates=3, hypotheses=[UP]",
        "experiment_x claims 'x_increase' but has no treatment to claim it of; give treatments=*",
    ),
    "hypotheses twice": (
        "replicates=3, treatments={'a': {'x': 1}}, hypotheses=[UP, UP]",
        "two hypotheses are named 'x_increase'; give each a name=",
    ),
    "filters of warnings on a hypothesis": (
        "replicates=3, treatments={'a': {'x': 1}}, "
        "hypotheses=[pytest.param(UP, marks=pytest.mark.filterwarnings('error'))]",
        "pytest.param of a hypothesis has the mark 'filterwarnings', but replicates are run for all hypotheses *",
    ),
    "hypotheses a string": ("replicates=3, hypotheses='up'", "hypotheses='up'; give a list of hypotheses"),
    "hypotheses a function": (
        "replicates=3, treatments={'a': {'x': 1}}, hypotheses=[max]",
        "hypotheses= holds <built-in function max>, which is not a Hypothesis; give Hypothesis(*",
    ),
    "param of two": (
        "replicates=3, treatments={'a': {'x': 1}}, hypotheses=[pytest.param(UP, UP)]",
        "pytest.param of a hypothesis holds 2 values; give one",
    ),
    "a class in place of a treatment": (
        "replicates=3, treatments=[Treatment]",
        "treatments= holds <class *Treatment'>, which is not a Treatment; *",
    ),
}

FACTORIES = {
    "returns None": (
        "return None",
        "",
        "experiment_x returned None; a factory returns an Experiment, a builder or an ExperimentGraph. *",
    ),
    "returns metrics": ("return {'m': 1}", "", "experiment_x returned {'m': 1}; a factory returns *"),
    "asks for a fixture": (
        "return None",
        "tmp_path",
        "experiment_x asks for 'tmp_path', but a factory is called once*",
    ),
    "asks for ours": ("return None", "rng", "experiment_x asks for 'rng', but a factory is called once*"),
    "asks for the request": (
        "return None",
        "request",
        "experiment_x asks for 'request', but a factory is called once*",
    ),
    "has no replicates": ("return Experiment([1], [STEP], replicates=0)", "", "*replicates*0*"),
    "hypotheses without treatments": (
        "return Experiment([1], [STEP], hypothesis=UP, replicates=3)",
        "",
        "*treatment*",
    ),
    "unfinished builder": ("return Experiment.builder('b').replicates(3)", "", "*"),
}


def refused(result, message, lines=1):
    """Assert that a run ended with one collection error of one line, and exit code 2."""
    result.assert_outcomes(errors=1)
    assert result.ret == 2
    output = result.outlines
    start = next(i for i, line in enumerate(output) if "ERROR collecting" in line)
    end = next(i for i in range(start + 1, len(output)) if output[i].startswith(("=", "_")))
    said = output[start + 1 : end]
    assert len(said) == lines, said
    result.stdout.fnmatch_lines([f"experiment_a.py:*: {message}"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize("case", MARKED)
def test_mark(project, case):
    """A mark that can't be right is refused where the function is."""
    keywords, message = MARKED[case]
    project.write(f"""
        UP = Hypothesis(metric="x", direction="increase")

        @pytest.mark.experiment({keywords})
        def experiment_x(x=0):
            return {{"x": x}}
    """)
    result = project.run()
    refused(result, message)
    line = next(line for line in result.outlines if line.startswith("experiment_a.py:"))
    assert line.split(":")[1] in ("8", "9")  # of the function or its decorator, as pytest itself points


@pytest.mark.parametrize("case", FACTORIES)
def test_factory(project, case):
    """A factory that can't be right is refused where the function is."""
    body, arguments, message = FACTORIES[case]
    project.write(f"""
        UP = Hypothesis(metric="x", direction="increase")

        @pipeline_step()
        def STEP(data, ctx):
            return data, {{"x": 1}}

        def experiment_x({arguments}):
            {body}
    """)
    refused(project.run(), message)


def test_factory_that_raises(project):
    """Of a factory that raises, the user's part of the traceback is shown."""
    project.write("""
        def build():
            raise ValueError("no such data")

        def experiment_x():
            return build()
    """)
    result = project.run()
    result.assert_outcomes(errors=1)
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["experiment_a.py:*: in experiment_x", "experiment_a.py:*: in build", "E   ValueError: no such data"]
    )
    result.stdout.no_fnmatch_line("*collection.py*")
    result.stdout.no_fnmatch_line("*pluggy/*")


def test_invalid_hypothesis_of_a_factory(project):
    """What the library refuses at construction is refused with the user's line."""
    project.write("""
        def experiment_x():
            return Experiment([1], [], hypothesis=Hypothesis(metric="x"), replicates=3)
    """)
    result = project.run()
    result.assert_outcomes(errors=1)
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*the claim about 'x' has direction=None; allowed are *"])
    result.stdout.no_fnmatch_line("*collection.py*")


def test_async_factory(project):
    """A coroutine function without the mark is refused, without a warning beside it."""
    project.write("""
        async def experiment_x():
            return {"x": 1}
    """)
    result = project.run("-W", "error")
    refused(result, "*experiment_x*mark it with @pytest.mark.experiment*")
    result.stdout.no_fnmatch_line("*never awaited*")


HIDDEN = ("ctx", "seed", "rng", "replicate", "condition")


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_fixture_in_conftest(project, name):
    """A fixture of a conftest.py that hides one of ours is refused by its file and line."""
    project.raw("conftest.py", f"import pytest\n\n@pytest.fixture\ndef {name}():\n    return 3\n")
    project.write(f"""
        @pytest.mark.experiment(replicates=3)
        def experiment_x({name}):
            pass
    """)
    refused(project.run(), f"fixture '{name}' at conftest.py:[34] hides the one of crystallize, *; rename it")


def test_hidden_fixture_elsewhere(project):
    """A fixture that hides ours is found in the module, in a class, behind another fixture, and under autouse."""
    fixture = "@pytest.fixture{auto}\n{indent}def rng({args}):\n{indent}    return 3\n"
    experiment = (
        "@pytest.mark.experiment(replicates=3)\n{indent}def experiment_x({args}):\n{indent}    pass\n"
    )
    project.write(
        fixture.format(auto="", indent="", args="") + experiment.format(indent="", args="rng"),
        "experiment_module.py",
    )
    project.write(
        "class TestX:\n    "
        + fixture.format(auto="", indent="    ", args="self")
        + "    "
        + experiment.format(indent="    ", args="self, rng"),
        "experiment_class.py",
    )
    project.write(
        fixture.format(auto="", indent="", args="")
        + "@pytest.fixture\ndef noise(rng):\n    return rng\n"
        + experiment.format(indent="", args="noise"),
        "experiment_behind.py",
    )
    project.write(
        fixture.format(auto="(autouse=True)", indent="", args="") + experiment.format(indent="", args=""),
        "experiment_autouse.py",
    )
    result = project.run()
    result.assert_outcomes(errors=4)
    assert result.ret == 2
    for file in ("module", "class", "behind", "autouse"):
        result.stdout.fnmatch_lines(
            [f"experiment_{file}.py:*: fixture 'rng' at experiment_{file}.py:* hides the one of *"]
        )


def test_hidden_by_parametrize(project):
    """A parameter named like one of our fixtures is refused in a marked function."""
    project.write("""
        @pytest.mark.parametrize("seed", [1, 2])
        @pytest.mark.experiment(replicates=3)
        def experiment_x(seed):
            pass
    """)
    refused(project.run(), "parameter 'seed' hides the fixture 'seed' of crystallize; rename it")


def test_same_names_where_they_hide_nothing(project):
    """A fixture named like ours is nobody's business where no experiment uses it, and in ordinary tests."""
    project.raw("conftest.py", "import pytest\n\n@pytest.fixture\ndef rng():\n    return 3\n")
    project.write(total(arguments="ctx", value="ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)"))
    project.raw("test_a.py", "def test_a(rng):\n    assert rng == 3\n")
    project.run(".").assert_outcomes(passed=2)


def test_parameter_of_a_factory_may_have_any_name(project):
    """A factory has no fixtures, so its parameters hide none."""
    project.write("""
        @pipeline_step()
        def measure(data, ctx, *, seed):
            return data, {"m": seed}

        @pytest.mark.parametrize("seed", [1, 2])
        def experiment_x(seed):
            return Experiment([1], [measure(seed=seed)], replicates=1)
    """)
    project.run().assert_outcomes(passed=2)


def test_indirect_parameters_of_a_factory(project):
    """Indirect parametrisation asks for a fixture, which a factory can't have."""
    project.write("""
        @pytest.fixture
        def depth(request):
            return request.param

        @pytest.mark.parametrize("depth", [1], indirect=True)
        def experiment_x(depth):
            return None
    """)
    refused(project.run(), "experiment_x asks for 'depth', but a factory is called once*")


def test_other_experiments_are_shown_too(project):
    """All wrong declarations are told at once, and none of the right ones is run."""
    project.write(TOTAL)
    project.write("@pytest.mark.experiment(replicates=0)\ndef experiment_b():\n    pass\n", "experiment_b.py")
    project.write("def experiment_c():\n    pass\n", "experiment_c.py")
    result = project.run()
    result.assert_outcomes(errors=2)
    assert result.ret == 2
    result.stdout.no_fnmatch_line("*NOT RUN*")


def test_two_parameter_sets_of_one_name(project):
    """Parameters and treatments whose names run together are refused, not mixed up."""
    project.write(
        total(
            above='@pytest.mark.parametrize("p", ["a", "a-b"])',
            treatments={"b-c": {"delta": 3.0}, "c": {"delta": 4.0}},
            arguments="p, rng",
        )
    )
    refused(
        project.run(),
        "two tests would be called 'experiment_a.py::experiment_total::total_increase[[]a-b-c[]]'",
    )


def test_message_with_a_failing_repr(project):
    """An object whose repr fails is refused like any other."""
    project.write("""
        class Odd:
            def __repr__(self):
                raise RuntimeError("no repr")

        def experiment_x():
            return Odd()
    """)
    refused(project.run(), "experiment_x returned *; a factory returns *")


def test_message_of_many_lines(project):
    """An object whose repr has lines is refused in one line."""
    project.write("""
        def experiment_x():
            return np.eye(3)
    """)
    refused(project.run(), "experiment_x returned *; a factory returns *")


def test_hidden_fixture_asked_for_dynamically(project):
    """A fixture that hides ours can't be asked for by name either."""
    project.raw("conftest.py", "import pytest\n\n@pytest.fixture\ndef rng():\n    return 3\n")
    project.write("""
        @pytest.mark.experiment(replicates=2)
        def experiment_x(request):
            return {"m": request.getfixturevalue("rng")}
    """)
    result = project.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*fixture 'rng' at conftest.py:[34] hides the one of*"])


def test_reserved_name_with_a_default(project):
    """An argument named like one of our fixtures has no default, which it would always keep."""
    project.write("""
        @pytest.mark.experiment(replicates=2)
        def experiment_x(seed=3):
            return {"m": seed}
    """)
    refused(project.run(), "*'seed'*")


TWICE = """
def experiment_a():
    return Experiment(0, [])

def experiment_a():
    return Experiment(0, [])
"""


@pytest.mark.parametrize("within", ["", "class TestA:"])
def test_an_experiment_that_another_one_replaces_is_refused(project, within):
    """It would vanish, as what was copied and not renamed does."""
    lines = [
        f"{'    ' if within else ''}{line}"
        for line in TWICE.replace("()", "(self)" if within else "()").splitlines()
    ]
    project.raw("experiment_a.py", "\n".join([within, *lines, ""]))
    result = project.run("--collect-only")
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        [
            "*experiment_a.py:6: experiment_a is defined in line 3 and again in line 6, so that the first would *"
        ]
    )


@pytest.mark.parametrize("other", ["experiment_b", "helper"])
def test_a_class_that_another_one_replaces_is_refused(project, other):
    """With all that it holds, whatever the later one does."""
    project.raw(
        "experiment_a.py",
        f"""
class TestA:
    def experiment_a(self): ...

class TestA:
    def {other}(self): ...
""",
    )
    result = project.run("--collect-only")
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*experiment_a.py:*: TestA is defined in line 2 and again in line 5, so that the first would *"]
    )


def test_what_replaces_another_in_the_later_of_two_classes_is_refused(project):
    """The earlier one may be none of experiments."""
    methods = "    def experiment_a(self): ...\n"
    project.raw("experiment_a.py", f"class TestA:\n    pass\nclass TestA:\n{methods}{methods}")
    result = project.run("--collect-only")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*experiment_a is defined in line 4 and again in line 5, *"])


IN_A_LOOP = "for gain in (1, 2):\n" + textwrap.indent(TOTAL, "    ")
LOST = {
    "assigned": (TOTAL + "\nexperiment_total = None\n", "bound anew in line *"),
    "annotated": (TOTAL + "\nexperiment_total: int = 3\n", "bound anew in line *"),
    "another one": (
        TOTAL + total(name="experiment_b") + "\nexperiment_total = experiment_b\n",
        "bound anew *",
    ),
    "unpacked": (TOTAL + "\na, (experiment_total, b) = 1, (2, 3)\n", "bound anew in line *"),
    "imported": (TOTAL + "\nfrom helpers import experiment_total\n", "bound anew in line *"),
    "imported as": (TOTAL + "\nimport helpers as experiment_total\n", "bound anew in line *"),
    "imported with all": (TOTAL + "\nfrom helpers import *\n", "bound anew by an import of all names, *"),
    "deleted": (TOTAL + "\ndel experiment_total\n", "deleted in line *"),
    "a loop": (IN_A_LOOP, "in a loop, *"),
    "a decorator": ("\ndef note(f): pass\n" + total(above="@note"), "its decorators make None of it; *"),
    "a factory": ("def experiment_f():\n    ...\n\nexperiment_f = 3\n", "bound anew in line *"),
    "a method": (
        "class TestA:\n" + textwrap.indent(total(arguments="self, rng") + "experiment_total = 3\n", "    "),
        "bound anew in line *",
    ),
    "a class of that name": (
        "class TestA:\n"
        + textwrap.indent(total(arguments="self, rng"), "    ")
        + "\nfrom helpers import TestA\n",
        "bound anew in line *",
    ),
    "a class": (
        "class TestA:\n" + textwrap.indent(total(arguments="self, rng"), "    ") + "\nTestA = None\n",
        "bound anew in line *",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_an_experiment_that_its_module_does_not_hold_is_refused(project, case):
    """Whatever takes its name away, nobody would run it."""
    source, message = LOST[case]
    project.raw("helpers.py", "def experiment_total():\n    raise AssertionError\n\nclass TestA:\n    pass\n")
    project.write(source)
    result = project.run("--collect-only")
    assert result.ret == 2
    name = {"a factory": "experiment_f", "a class": "TestA", "a class of that name": "TestA"}.get(
        case, "experiment_total"
    )
    result.stdout.fnmatch_lines([f"experiment_a.py:*: {name} is defined in line *{message}"])


@pytest.mark.parametrize(
    "source",
    [
        TOTAL + "\nexperiment_total = pytest.mark.filterwarnings('error')(experiment_total)\n",
        TOTAL
        + "\nexperiments = {'total': experiment_total}\ndel experiment_total\n"
        + total(name="experiment_b"),
        IN_A_LOOP + "    globals()[f'experiment_{gain}'] = experiment_total\n",
        TOTAL + "\ntry:\n    from helpers import experiment_total\nexcept ImportError:\n    pass\n",
        TOTAL
        + "\nif 'helpers' not in globals():\n    experiment_total.__test__ = False\n"
        + total(name="experiment_b"),
        "class Plan:\n    def experiment_total(self): ...\n    experiment_total = 3\n" + TOTAL,
        "def kept(f):\n    global experiment_k\n    experiment_k = f\n"
        + total(above="@kept", name="experiment_b"),
        TOTAL + "\ndef make():\n    experiment_total = 3\n",
        TOTAL + "\nfrom os import *\n",
        TOTAL + "\nexperiment_total: object\n",
        TOTAL + "\nnames = [1 for experiment_total in 'ab']\n",
    ],
    ids=[
        "marked",
        "in a table",
        "named",
        "tried",
        "left out",
        "no test",
        "under another name",
        "a local",
        "all",
        "annotated alone",
        "a comprehension",
    ],
)
def test_an_experiment_that_is_held_is_collected(project, source):
    """Under a name of its own, in what the module makes of it, or where a branch decides."""
    project.write(source)
    assert project.run("--collect-only").ret == 0


def test_files_in_which_doctests_are_looked_for_are_no_modules_of_experiments(project):
    """Text files, where there is no module at all, and modules whose functions nobody collects."""
    project.write(TOTAL)
    project.raw("guide.md", ">>> 1 + 1\n2\n")
    project.raw("helpers.py", '""">>> 1 + 1\n2\n"""\ndef experiment_one(): ...\ndel experiment_one\n')
    result = project.run("--collect-only", "--doctest-modules", "--doctest-glob=*.md")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*guide.md*", "*helpers.py*"])


@pytest.mark.parametrize(
    "source",
    [
        "class TestA:\n    def test_a(self): pass\nclass TestA: pass\n" + TOTAL,
        "from typing import overload\n@overload\ndef experiment_total(rng: int): ...\n" + TOTAL,
        TOTAL + "\nif False:\n    def experiment_total(rng): pass\n",
        TOTAL + "\nexperiment_b = experiment_total\n" + TOTAL,
        'TEXT = """' + TOTAL + '"""\n' + TOTAL,
    ],
    ids=["other tests", "a signature", "a branch", "kept", "a text"],
)
def test_what_replaces_none_is_collected(project, source):
    """Ordinary tests, signatures, branches, experiments that have another name by then, sources in texts."""
    project.write(source)
    assert project.run("--collect-only").ret == 0
