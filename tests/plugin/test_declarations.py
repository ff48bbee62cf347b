"""What is declared is run or refused: callables of every kind, objects, marks where nothing matches."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import pytest

from plugin.conftest import MARK

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


@pytest.mark.xfail(strict=True)
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
        ["REFUTED experiment_run.py::experiment_cached*", "REFUTED experiment_run.py::experiment_compiled*"]
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

experiment_object = Experiment(0, [lambda data, ctx: data], replicates=12) if False else Experiment.builder("o")

@mark
def test_marked(delta=0.0):
    assert delta == 0.0
""",
        "experiment_refused.py",
    )
    result = getattr(project, run)("experiment_refused.py")
    assert result.ret != 0
    for line in (7, 11, 16, 18):
        result.stdout.fnmatch_lines_random([f"experiment_refused.py:{line}: *"])
    result.stdout.no_fnmatch_line("*passed*")


@pytest.mark.xfail(strict=True)
def test_hypotheses_of_a_generator(project):
    """A generator in a mark is read once, so that every parameter set has the same hypotheses."""
    project.write(
        "@pytest.mark.parametrize('sign', [1, -1])\n"
        + MARK.strip()
        .replace("[Hypothesis", "(Hypothesis")
        .replace('"increase")]', '"increase") for _ in range(1))')
        + """
def experiment_total(sign, rng, delta=0.0):
    return {"total": rng.normal() + sign * delta}
"""
    )
    result = project.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*total_increase[[]-1-boost[]] REFUTED*"])


@pytest.mark.xfail(strict=True)
def test_argument_without_default(project):
    """An argument that a treatment fills needs a default: told before anything is run."""
    project.write(MARK + "def experiment_total(rng, delta):\n    return {'total': delta}\n")
    result = project.run()
    assert errors_of(result) == [
        "experiment_a.py:6: treatment 'boost' sets 'delta', so argument 'delta' needs a default (it is the "
        "baseline's value)"
    ]


@pytest.mark.xfail(strict=True)
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


@pytest.mark.xfail(strict=True)
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
