"""A session under --crystallize that runs no experiment says so, and is no success."""

import json

import pytest

from plugin.conftest import TOTAL, total

NOTHING = pytest.ExitCode.NO_TESTS_COLLECTED
NOT_COLLECTED = "*no experiment was collected in *"
DESELECTED = "*no experiment was selected: 1 test of experiments deselected"
ELSEWHERE = ("-o", "crystallize_files=exp_*.py")
"""Where there is no file with experiments."""


@pytest.fixture
def project(project):
    """Return a project of an experiment and an ordinary test."""
    project.write(TOTAL)
    project.raw("test_ordinary.py", "def test_ordinary():\n    pass\n")
    return project


@pytest.mark.slow
@pytest.mark.parametrize("run", ["run", "run_workers"])
def test_no_experiment_collected(project, run):
    """Experiments that no pattern matches are missed, though ordinary tests pass: exit code 5."""
    result = getattr(project, run)("-q", *ELSEWHERE)
    result.assert_outcomes(passed=1)
    assert result.ret == NOTHING
    assert (
        "no experiment was collected in .: looked for functions experiment_* (crystallize_functions by "
        "default) in files exp_*.py (crystallize_files of -o) and test files test_*.py *_test.py "
        "(python_files)"
    ) in " ".join(result.stdout.str().split())


def test_where_patterns_were_given(project):
    """The line names the ini file; a session without any test at all says what was looked for, too."""
    project.ini("crystallize_functions = trial_*\ntestpaths = one two\n")
    project.raw("one/test_one.py", "")
    (project.path / "two").mkdir()
    result = project.run("-qq")
    assert result.ret == NOTHING
    text = " ".join(result.stdout.str().split())
    assert "in one, two: looked for functions trial_* (crystallize_functions of pytest.ini) in files" in text


@pytest.mark.parametrize(
    "narrowing",
    [
        ("-k", "ordinary"),
        ("-m", "not slow"),
        ("--deselect", "experiment_a.py"),
        ("--ignore", "elsewhere"),
        ("--lf",),
        ("--sw",),
        ("test_ordinary.py",),
        ("test_ordinary.py::test_ordinary",),
        (".", "test_ordinary.py"),
        ("--pyargs", "test_ordinary"),
    ],
    ids=lambda narrowing: narrowing[0] if len(narrowing) < 2 else " ".join(narrowing),
)
def test_less_was_asked_for(project, narrowing):
    """Somebody who asks for less than everything is told of what is absent, and no more."""
    project.pytester.syspathinsert()
    result = project.run(*ELSEWHERE, *narrowing)
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([NOT_COLLECTED])


@pytest.mark.parametrize("everything", [("--ff",), ("--nf",), (".",), ("--pyargs", "package")])
def test_everything_was_asked_for(project, everything):
    """An order excuses no absence, nor does a directory that is named."""
    project.pytester.syspathinsert()
    project.raw("package/__init__.py", "")
    project.raw("package/test_more.py", "def test_more():\n    pass\n")
    result = project.run(*ELSEWHERE, *everything)
    assert result.ret == NOTHING
    result.stdout.fnmatch_lines([NOT_COLLECTED, "*passed*"])


@pytest.mark.parametrize("run", ["run", pytest.param("run_workers", marks=pytest.mark.slow)])
def test_deselected(project, run):
    """Experiments that were deselected are not missed, whoever did it."""
    project.raw(
        "conftest.py",
        """
        def pytest_collection_modifyitems(config, items):
            config.hook.pytest_deselected(items=[i for i in items if "test_" not in i.nodeid])
            items[:] = [i for i in items if "test_" in i.nodeid]
        """,
    )
    result = getattr(project, run)()
    result.assert_outcomes(passed=1, deselected=1 if run == "run" else 0)
    assert result.ret == 0
    result.stdout.fnmatch_lines([DESELECTED])


def test_options_that_stand_in_the_ini_file(project):
    """Of a standing -m or -k only the effect counts: here it excuses the absence, there it has none."""
    project.ini("addopts = -k ordinary\n")
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines([DESELECTED])
    assert project.run(*ELSEWHERE).ret == NOTHING


@pytest.mark.parametrize("option", ["save=main", "compare=main", "calibrate=5", "repro=1:boost"])
def test_asked_for_what_only_experiments_give(project, option):
    """Nothing saved and nothing compared is no success, whatever was selected."""
    result = project.run(f"--crystallize-{option}", "-k", "ordinary")
    result.assert_outcomes(passed=1, deselected=1)
    assert result.ret == NOTHING
    (line,) = (line for line in result.outlines if "was selected" in line)
    assert line.startswith(f"--crystallize-{option.partition('=')[0]}: no ")


def test_compared_nothing(project):
    """Nor is a session whose experiments claim nothing against a reference."""
    project.write(
        total(
            hypotheses="""[
                Hypothesis(metric="total", direction="increase"),
                Hypothesis(
                    metric="total",
                    direction="no_decrease",
                    margin=1.0,
                    against=Reference("main"),
                    name="as_good",
                ),
            ]"""
        )
    )
    assert project.run("--crystallize-save=main").ret == 0
    assert project.run("--crystallize-compare=main").ret == 0
    result = project.run("--crystallize-compare=main", "-k", "total_increase")
    result.assert_outcomes(passed=1, deselected=3)
    assert result.ret == NOTHING
    result.stdout.fnmatch_lines(["--crystallize-compare: no selected hypothesis is against a reference; *"])


@pytest.mark.slow
def test_saved_nothing_on_workers(project):
    """Nor is it with several workers."""
    result = project.run_workers("--crystallize-save=main", "test_ordinary.py")
    result.assert_outcomes(passed=1)
    assert result.ret == NOTHING
    result.stdout.fnmatch_lines([f"--crystallize-save: {NOT_COLLECTED}"])


def test_a_worse_exit_code_stays(project):
    """A test that failed stays the news; after an error of collection nothing is called absent."""
    project.raw("test_ordinary.py", "def test_ordinary():\n    assert False\n")
    result = project.run(*ELSEWHERE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([NOT_COLLECTED])
    project.raw("test_ordinary.py", "import nonesuch\n")
    for more in ((), ("--continue-on-collection-errors",)):
        result = project.run(*ELSEWHERE, *more)
        assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
        result.stdout.no_fnmatch_line(NOT_COLLECTED)


def test_collect_only(project):
    """--collect-only tells what a session would tell, with its exit code."""
    result = project.run("--collect-only", *ELSEWHERE)
    assert result.ret == NOTHING
    result.stdout.fnmatch_lines([NOT_COLLECTED])
    result = project.run("--collect-only")
    assert result.ret == 0
    result.stdout.no_fnmatch_line(NOT_COLLECTED)


@pytest.mark.parametrize("option", ["--fixtures", "--markers", "--cache-show", "--version"])
def test_sessions_that_run_nothing(project, option):
    """What shows something else than tests has no experiments to miss."""
    assert project.run(option, *ELSEWHERE).ret == 0


@pytest.mark.parametrize("plugin", ["terminal", "cacheprovider", "stepwise", "xdist"])
def test_without_other_plugins(project, plugin):
    """The exit code does not depend on who shows it, nor on plugins whose options narrow a session."""
    assert project.run("-p", f"no:{plugin}", *ELSEWHERE).ret == NOTHING


def test_a_session_that_a_hook_ends_well(project):
    """pytest.exit in a hook makes no success of a session that found no experiment."""
    project.raw(
        "conftest.py",
        """
        import pytest

        def pytest_collection_finish():
            pytest.exit("enough", returncode=0)
        """,
    )
    assert project.run(*ELSEWHERE).ret == NOTHING


def test_reports(project):
    """A report holds the line and the exit code."""
    project.run("--crystallize-report=out.json", *ELSEWHERE)
    report = json.loads((project.path / "out.json").read_text())
    assert report["exit_status"] == NOTHING
    assert report["notes"][0].startswith("no experiment was collected in .: ")


@pytest.mark.slow
@pytest.mark.parametrize("run", ["run", "run_workers"])
def test_files_that_skip_themselves(project, run):
    """What was skipped as a whole is named where no experiment is left."""
    project.write("pytest.skip('no accelerator', allow_module_level=True)\n")
    result = getattr(project, run)()
    assert result.ret == NOTHING
    assert "; skipped as they were collected: experiment_a.py" in " ".join(result.stdout.str().split())
