"""Arguments of a marked function are checked before anything is run."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

from fnmatch import fnmatchcase as fnmatch
from string import Template

import pytest

from plugin.collect.test_wrong_declarations import refused
from plugin.conftest import mark

MARK = '@pytest.mark.experiment(replicates=3, treatments={"up": {"d": 1.0}})'
KNOWN = "ctx, seed, rng, replicate, condition"

REFUSED = {
    "no default": (
        "def experiment_x(rng, d): pass",
        "treatment 'up' sets 'd', so argument 'd' needs a default (it is the baseline's value)",
    ),
    "no default though ctx is there": (
        "def experiment_x(ctx, d): pass",
        "treatment 'up' sets 'd', so argument 'd' needs a default *",
    ),
    "a fixture": (
        "@pytest.fixture\ndef d(): return 1\n$mark\ndef experiment_x(d): pass",
        "treatment 'up' sets 'd', so argument 'd' needs a default (it is the baseline's value); it is a fixture now",
    ),
    "a parameter": (
        "@pytest.mark.parametrize('d', [1, 2])\n$mark\ndef experiment_x(d): pass",
        "treatment 'up' sets 'd', but parametrize gives argument 'd'; rename one of them",
    ),
    "another argument": (
        "def experiment_x(rng, layers=1, *, width=2): pass",
        "treatment 'up' sets 'd', which no argument of experiment_x takes, and nothing asks for ctx to read it; arguments with a default: 'layers', 'width'",
    ),
    "any keyword": (
        "def experiment_x(rng, **options): pass",
        "treatment 'up' sets 'd', which no argument of experiment_x takes, *: none",
    ),
    "installed fixtures ask for request": (
        "def experiment_x(tmp_path, layers=1): pass",
        "treatment 'up' sets 'd', which no argument *",
    ),
    "no such fixture": (
        "def experiment_x(rnd, d=0): pass",
        f"experiment_x asks for fixture 'rnd', which does not exist; did you mean 'rng'? arguments without default are fixtures ({KNOWN} and what pytest --fixtures lists), those with one are filled from the treatment",
    ),
    "no such fixture behind a fixture": (
        "@pytest.fixture\ndef model(dataa): pass\n@pytest.fixture\ndef data(): pass\n$mark\ndef experiment_x(model, d=0): pass",
        "fixture 'model' asks for fixture 'dataa', which does not exist; did you mean 'data'? *",
    ),
    "no such fixture to be used": (
        "@pytest.mark.usefixtures('nothing')\n$mark\ndef experiment_x(d=0): pass",
        "experiment_x asks for fixture 'nothing', which does not exist; *",
    ),
}


def write(project, source):
    program = Template(f"{source}\n").substitute(mark=MARK)
    project.write(program if "@pytest.mark.experiment" in program else f"{MARK}\n{program}")


@pytest.mark.parametrize("case", REFUSED)
def test_slips_are_told_at_collection(project, case):
    """By one line, at file and line of the function, without a replicate being run."""
    source, message = REFUSED[case]
    write(project, source)
    refused(project.run(), message)


RUN = {
    "a fixture asks for ctx": "@pytest.fixture\ndef depth(ctx): return ctx.get('d', 0)\n$mark\ndef experiment_x(depth): return {'y': depth}",
    "a fixture of the key's name asks for ctx": "@pytest.fixture\ndef d(ctx): return ctx.get('d', 0)\n$mark\ndef experiment_x(d): return {'y': d}",
    "an autouse fixture asks for ctx": "@pytest.fixture(autouse=True)\ndef sets(ctx): ctx.get('d')\n$mark\ndef experiment_x(): return {'y': 1}",
    "by request": "$mark\ndef experiment_x(request): return {'y': request.getfixturevalue('ctx').get('d', 0)}",
    "by request of a fixture": "@pytest.fixture\ndef d2(request): return request.getfixturevalue('ctx').get('d', 0)\n$mark\ndef experiment_x(d2): return {'y': d2}",
    "skipped": "@pytest.mark.skipif(True, reason='not here')\n$mark\ndef experiment_x(not_installed, d=0): pass",
    "optional": "@pytest.mark.experiment(replicates=2, treatments=Treatment('up', {'d': 1, 'e': 2}, optional={'e'}))\ndef experiment_x(d=0): return {'y': d}\n",
    "a function may set anything": "@pytest.mark.experiment(replicates=2, treatments={'up': lambda ctx: ctx.add('d', 1)})\ndef experiment_x(d=0): return {'y': d}\n",
}


@pytest.mark.parametrize("case", RUN)
def test_what_may_be_read_is_run(project, case):
    """Where something may ask for the context, only the run can tell."""
    write(project, RUN[case])
    result = project.run("-W", "error")
    result.assert_outcomes(**{"skipped" if case == "skipped" else "passed": 1})
    result.stdout.no_fnmatch_line("*nothing read*")


def test_errors_in_constructors_show_the_users_line(project):
    """In a module and in a factory: where it is written, and none of our own lines."""
    project.write(
        "UP = Hypothesis(metrc='x', direction='increase')\n\ndef experiment_x():\n    pass\n",
        "experiment_module.py",
    )
    project.write(
        "def experiment_x():\n    return Experiment(\n        0, [], treatments={'t': 3})\n",
        "experiment_factory.py",
    )
    project.raw("lib.py", "from crystallize import Treatment\n\ndef make():\n    return Treatment('', {})\n")
    project.ini("pythonpath = .\n")
    project.write("import lib\n\ndef experiment_x():\n    return lib.make()\n", "experiment_lib.py")
    result = project.run()
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "experiment_module.py:5: in <module>",
            "    UP = Hypothesis(metrc='x', direction='increase')",
            "E   *DefinitionError: Hypothesis has no keyword 'metrc'; did you mean 'metric'? its keywords are verifier, *",
            "experiment_factory.py:6: a pipeline needs at least one step; it was given none",
            "lib.py:4: a treatment is named ''; *",
        ]
    )
    for ours in (
        "keywords.py",
        "hypothesis.py",
        "declaration.py",
        "treatment.py",
        "experiment.py",
        "collection.py",
    ):
        result.stdout.no_fnmatch_line(f"*{ours}*")
    result.stdout.no_fnmatch_line("*return init(*")


@pytest.mark.parametrize(
    "returned",
    ["0.5 - replicate", "np.float64(0.5)", "[0.5]", "'high'", "(1, {'y': 2})", "np.eye(2)", "True"],
)
def test_what_is_no_mapping_of_metrics(project, returned):
    """The error shows what was returned and what to return, once, and no line of our own."""
    claims = "[Hypothesis(metric='y', direction='increase')]"
    project.write(
        mark(treatments={"up": {"d": 1.0}}, hypotheses=claims)
        + f"def experiment_x(replicate, d=0):\n    return {returned}\n"
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    told = "MetricError: experiment_x returned * (*); return a mapping of metrics such as {'accuracy': *}"
    assert sum(fnmatch(line, told) for line in result.outlines) == 1
    result.stdout.no_fnmatch_line("*marked.py*")
