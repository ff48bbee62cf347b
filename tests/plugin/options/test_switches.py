"""Treatments switched off from the command line."""

import json
from fnmatch import fnmatch

import pytest

from plugin.conftest import total
from pytest_crystallize.options.switches import Switches

TREATMENTS = {"boost": {"delta": 3.0}, "less": {"delta": -3.0}}


def two(**changes):
    """Return an experiment of two treatments that notes which conditions it ran."""
    lines = 'with open("log", "a") as log:\n    print(f\'"{condition}"\', file=log)'
    return total(treatments=TREATMENTS, arguments="rng, condition", lines=lines, **changes)


TWO = two()
STATE = ".pytest_cache/d/crystallize/config.state.json"


@pytest.fixture(autouse=True)
def outside_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_off_until_on_again(project, workers):
    """A treatment that is switched off is not run, its tests are skipped, and the next run remembers it."""
    project.write(TWO)
    run = project.run if not workers else project.run_workers
    for options in (["--crystallize-disable", "less"], []):
        (project.path / "log").unlink(missing_ok=True)
        result = run("-rs", *options)
        result.assert_outcomes(passed=1, skipped=1)
        result.stdout.fnmatch_lines(
            [
                "experiment_a.py::experiment_total: switched off, so not tested: less",
                "SKIPPED * treatment 'less' is switched off; --crystallize-enable=less switches it on",
            ]
        )
        assert set(project.log()) == {"baseline", "boost"}
    if not workers:
        assert json.loads((project.path / STATE).read_text()) == {"disabled_treatments": ["less"]}
        result = project.run("--crystallize-enable", "less")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.no_fnmatch_line("*switched off*")
        project.run().assert_outcomes(passed=1, failed=1)


@pytest.mark.slow
def test_ci_ignores_what_is_remembered(project, monkeypatch):
    """Where CI is set, a restored cache silences no gate, and that is said."""
    project.write(TWO)
    project.run("--crystallize-disable", "less").assert_outcomes(passed=1, skipped=1)
    monkeypatch.setenv("CI", "true")
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    assert result.stdout.str().count("treatments remembered as switched off are on (less)") == 1
    project.run("--crystallize-disable", "boost").assert_outcomes(failed=1, skipped=1)
    assert json.loads((project.path / STATE).read_text()) == {"disabled_treatments": ["less"]}


@pytest.mark.parametrize("run", ["run", pytest.param("run_workers", marks=pytest.mark.slow)])
def test_a_session_without_verdict_is_no_pass(project, run):
    """Where all treatments are off since an earlier session; who types it, or names a file, asks for less."""
    project.write(total())
    session = getattr(project, run)
    assert session("--crystallize-disable=boost").ret == 0
    result = session("-q")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["nothing was judged: the selected test was skipped: treatment 'boost' is *"])
    if run == "run":
        assert session("experiment_a.py").ret == 0
        result = session("--crystallize-enable=boost")
        assert result.ret == 0
        result.stdout.no_fnmatch_line("nothing was judged*")


def test_what_the_ini_file_switches_off_excuses_nothing(project):
    """As a -k that stands there; of ordinary tests that pass, nothing else becomes a gate either."""
    project.write(total())
    project.raw("test_ordinary.py", "def test_ordinary():\n    pass\n")
    project.ini("addopts = --crystallize-disable=boost")
    result = project.run()
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("text", ["", "[]", '{"disabled_treatments": 3}', "\0"])
def test_a_state_that_cannot_be_read_switches_nothing_off(project, text):
    """In doubt every treatment is on, and the summary says that the state could not be read."""
    project.write(TWO)
    path = project.path / STATE
    path.parent.mkdir(parents=True)
    path.write_text(text)
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    assert "can't be read, so every treatment is on: " in " ".join(result.stdout.str().split())


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--crystallize-disable=lesss", "no selected experiment has such a treatment"),
        ("--crystallize-enable=lesss", "no selected experiment has such a treatment"),
        ("--crystallize-samples=3", "no selected experiment has cases; how often others are run, says*"),
    ],
)
def test_an_option_that_concerns_no_experiment_is_told(project, option, told, workers):
    """A name that no experiment has may be misspelt; where there are no cases, nobody samples them."""
    project.write(TWO)
    result = project.run(option, f"-n{workers}")
    result.assert_outcomes(passed=1, failed=1)
    notes = " ".join(line.strip() for line in result.outlines).split("note: ")
    assert any(fnmatch(note, f"{option}: {told}*") for note in notes), notes


def test_an_experiment_without_hypotheses_leaves_it_out(project):
    """An experiment that claims nothing runs the conditions that are on."""
    project.write(two(hypotheses=()))
    project.run("--crystallize-disable", "less").assert_outcomes(passed=1)
    assert set(project.log()) == {"baseline", "boost"}


def test_without_cache_nothing_is_remembered(project):
    """Under -p no:cacheprovider the option counts for its run only."""
    project.write(TWO)
    project.run("-p", "no:cacheprovider", "--crystallize-disable", "less").assert_outcomes(
        passed=1, skipped=1
    )
    project.run("-p", "no:cacheprovider").assert_outcomes(passed=1, failed=1)


def test_one_experiment_may_differ(project):
    """A treatment may be off in one experiment, and on in one although it is off elsewhere."""
    project.write(TWO + two(name="experiment_other"))
    path = project.path / STATE
    path.parent.mkdir(parents=True)
    own = {
        "experiment_a.py::experiment_total": {"enabled": ["less"]},
        "experiment_a.py::experiment_other": {"disabled": ["boost"]},
    }
    state = {"disabled_treatments": ["less"], "experiments": own}
    path.write_text(json.dumps(state))
    result = project.run("-rs")
    result.assert_outcomes(passed=1, failed=1, skipped=2)
    result.stdout.fnmatch_lines(
        ["experiment_a.py::experiment_other: switched off, so not tested: boost, less"], consecutive=True
    )
    assert json.loads(path.read_text()) == state
    project.run("--crystallize-enable=boost", "--crystallize-enable=less").assert_outcomes(passed=2, failed=2)
    assert json.loads(path.read_text()) == {"disabled_treatments": []}


def test_switching_in_one_experiment(tmp_path):
    """What is switched there and back leaves nothing behind, whatever is off everywhere."""
    path = tmp_path / "config.state.json"
    switches = Switches(path, ["less"])
    for treatment, off in (("boost", True), ("less", False)):
        switches.switch("a.py::x", treatment, off=off)
    switches.remember()
    assert Switches(path).off.of("a.py::x") == {"boost"}
    assert Switches(path).off.of("a.py::y") == {"less"}
    for treatment, off in (("boost", False), ("less", True)):
        switches.switch("a.py::x", treatment, off=off)
    switches.remember()
    assert json.loads(path.read_text()) == {"disabled_treatments": ["less"]}
