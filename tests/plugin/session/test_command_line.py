"""Options without --crystallize, parts of the plugin that are blocked, values that pytest takes for paths."""

import shlex

import pytest

from plugin.conftest import ITEM, TOTAL
from pytest_crystallize.session.activation import PARTS

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR
UNIT = "def test_unit():\n    pass\n"


@pytest.fixture
def project(project):
    """Return a project of an experiment and an ordinary test."""
    project.write(TOTAL)
    project.raw("test_unit.py", UNIT)
    return project


def plainly(project, *args):
    """Run pytest without --crystallize."""
    return project.run_plain("-p", "no:randomly", *args)


# Without the flag.


@pytest.mark.parametrize("option", ["save=main", "compare=main", "calibrate=5", "repro=1:boost"])
def test_options_that_imply_the_flag(project, option):
    """What only experiments can give asks for experiments."""
    result = plainly(project, f"--crystallize-{option}")
    result.stdout.fnmatch_lines(["collected 2 items", "experiment_a.py *"])


@pytest.mark.slow
def test_implied_on_workers(project):
    """Workers run what is asked for, too."""
    result = project.pytester.runpytest_subprocess("-n2", "-p", "no:randomly", "--crystallize-save=main")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["saved reference 'main': *"])


def test_implied_by_a_file_of_arguments(project):
    """Arguments in a file named by @ are typed ones."""
    project.raw("arguments", "--crystallize-save\nmain\n")
    plainly(project, "@arguments").stdout.fnmatch_lines(["saved reference 'main': *"])


@pytest.mark.parametrize(
    "option",
    ["replicates=5", "seed=3", "disable=boost", "enable=boost", "early-stop", "report=a.md", "cache=off"],
)
def test_options_that_do_nothing_without_the_flag(project, option):
    """They are accepted, with a warning that names them."""
    result = plainly(project, f"--crystallize-{option}", "--crystallize-dask=localhost:1")
    assert result.ret == 0
    result.assert_outcomes(passed=1, warnings=1)
    name = option.partition("=")[0]
    text = " ".join(result.stdout.str().split())
    assert "PytestConfigWarning: without --crystallize no experiment is run" in text
    assert f"--crystallize-{name}" in text
    assert "--crystallize-dask" in text
    assert not (project.path / "a.md").exists()


def test_a_warning_that_is_an_error(project):
    """Under -W error it is an error of usage."""
    result = plainly(project, "-W", "error", "--crystallize-seed=3")
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: without --crystallize no experiment is run, *--crystallize-seed"])


@pytest.mark.parametrize("place", ["addopts", "PYTEST_ADDOPTS", "ini"])
def test_options_that_stand_somewhere(project, monkeypatch, place):
    """What is not typed stays silent, so that plain runs stay plain."""
    options = (
        "--crystallize-compare=main --crystallize-save=main --crystallize-seed=3 --crystallize-report=a.md"
    )
    if place == "addopts":
        project.ini(f"addopts = {options}\n")
    elif place == "PYTEST_ADDOPTS":
        monkeypatch.setenv("PYTEST_ADDOPTS", options)
    else:
        project.ini("crystallize_compare = main\ncrystallize_seed = 3\n")
    result = plainly(project, "-W", "error")
    assert result.ret == 0
    result.assert_outcomes(passed=1)


# Experiments asked for by name.


@pytest.mark.parametrize(
    "arg", ["experiment_a.py", ITEM, ITEM.rpartition("::")[0], "./experiment_a.py", "test_experiments.py"]
)
def test_hints(project, arg):
    """A file or node id of an experiment that is given without the flag is answered with what runs it."""
    project.write(TOTAL, "test_experiments.py")
    result = project.run_plain(arg)
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"hint: {arg!r} *experiment*; run with --crystallize".replace("[", "[[]")])


@pytest.mark.slow
def test_a_hint_on_workers(project):
    """So it is where the workers collect."""
    result = project.pytester.runpytest_subprocess("-n2", ITEM)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["hint: * is an experiment; run with --crystallize"])


def test_a_hint_beside_tests(project):
    """So is a file of experiments beside one of tests that pass."""
    result = plainly(project, "experiment_a.py", "test_unit.py")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["hint: 'experiment_a.py' holds experiments (experiment_total); run with *"])


@pytest.mark.parametrize("directory", ["", "some/"])
def test_a_hint_where_nothing_was_collected(project, directory):
    """A directory that holds nothing but experiments is answered in the same way."""
    (project.path / "test_unit.py").unlink()
    (project.path / "experiment_a.py").unlink()
    project.write(TOTAL, f"{directory}experiment_b.py")
    result = plainly(project)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(
        [f"hint: '{directory}experiment_b.py' holds experiments (experiment_total); run with --crystallize"]
    )


def test_a_hint_for_the_mark(project):
    """-m experiment selects nothing without the flag."""
    result = plainly(project, "-m", "experiment and not slow")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["hint: *; run with --crystallize"])


@pytest.mark.parametrize(
    "args",
    [
        (),
        (".",),
        ("test_unit.py",),
        ("test_both.py",),
        ("experiment_helpers.py",),
        ("experiment_a.py::experiment_other",),
        ("test_unit.py::test_other",),
        ("test_both.py", "-p", "no:python"),
        ("-k", "nothing"),
        ("experiment_a.py", "--crystallize"),
    ],
    ids=" ".join,
)
def test_no_hints(project, args):
    """Nothing is said where no experiment was named, or tests were."""
    project.raw("experiment_helpers.py", "def helper():\n    pass\n")
    project.write(TOTAL + UNIT, "test_both.py")
    plainly(project, *args).stdout.no_fnmatch_line("*hint:*")


# Parts of the plugin.


@pytest.mark.parametrize("part", [*PARTS, "python"])
def test_a_blocked_part(project, part):
    """Without one of its parts the plugin would lose experiments in silence."""
    result = project.run("-p", f"no:{part}")
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: -p no:{part} takes a plugin away *"])


def test_every_part_is_known(project):
    """No part is registered that could be blocked unseen."""
    project.raw(
        "conftest.py",
        """
        def pytest_sessionstart(session):
            for name, plugin in session.config.pluginmanager.list_name_plugin():
                if plugin is not None and name.startswith("crystallize-"):
                    print(f"\\npart {name}")
        """,
    )
    result = project.run("-s", "--crystallize-events=events.jsonl")
    parts = [line.split()[1] for line in result.outlines if line.startswith("part ")]
    elsewhere = {"crystallize-worker", "crystallize-shards", "crystallize-against"}  # not in such a session
    assert {*parts} | elsewhere == {*PARTS}
    assert not {*parts} & elsewhere


@pytest.mark.parametrize("part", ["crystallize", PARTS[0]])
def test_blocked_without_the_flag(project, part):
    """A plain run needs none of it; with the flag it is an error, as pytest's own or as ours."""
    result = plainly(project, "-p", f"no:{part}")
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    assert project.run_apart("-p", f"no:{part}").ret == USAGE_ERROR


# Values that pytest takes for paths of tests.


def test_a_value_that_moves_rootdir(project, tmp_path_factory):
    """The report of the last session, taken for a test path, would decide where the ini file is sought."""
    project.ini("xfail_strict = true\n")
    report = tmp_path_factory.mktemp("elsewhere") / "report.json"
    assert project.run("--crystallize-report", str(report)).ret == 0
    for options in ((), ("--crystallize-seed", "3"), ("--co",)):
        result = project.run(*options, "--crystallize-report", str(report))
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines(
            [f"ERROR: * made {report.parent.parent} its rootdir *; write --crystallize-report={report}"]
        )
    assert project.run(f"--crystallize-report={report}").ret == 0
    assert (
        project.run(f"--rootdir={project.path}", "-c", "pytest.ini", "--crystallize-report", str(report)).ret
        == 0
    )


@pytest.mark.parametrize("option", ["save", "compare", "disable", "enable"])
def test_a_name_that_is_a_directory(project, option):
    """So does the name of a reference or treatment where a directory of that name has an ini file."""
    project.raw("main/pytest.ini", "[pytest]\n")
    result = plainly(project, f"--crystallize-{option}", "main")
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *main its rootdir and *; write --crystallize-{option}=main"])


def test_values_from_elsewhere(project, monkeypatch):
    """PYTEST_ADDOPTS and files of arguments are read before the ini file is, too; its own addopts are not."""
    project.raw("main/pytest.ini", "[pytest]\n")
    project.raw("arguments", "--crystallize-save\nmain\n")
    assert plainly(project, "@arguments").ret == USAGE_ERROR
    monkeypatch.setenv("PYTEST_ADDOPTS", shlex.join(["--crystallize-save", "main"]))
    assert project.run().ret == USAGE_ERROR
    monkeypatch.delenv("PYTEST_ADDOPTS")
    project.ini("addopts = --crystallize-save main\n")
    assert project.run().ret == 0


def test_values_that_move_nothing(project):
    """A value that exists and decides nothing is no error."""
    project.ini("")
    (project.path / "main").mkdir()
    project.raw("out/report.json", "")
    result = project.run(
        "--crystallize-save", "main", "--crystallize-report", "out/report.json", "experiment_a.py"
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*rootdir: *", "configfile: pytest.ini"])
