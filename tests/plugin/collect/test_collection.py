"""Which files and functions are experiments, and what is left alone without --crystallize."""

import subprocess
import sys

import pytest

from plugin.conftest import ITEM, MARK, TOTAL, total


def test_nothing_without_the_option(project):
    """Without --crystallize no experiment is collected, neither in its own file nor in a test file."""
    project.write(TOTAL)
    project.write(TOTAL + "\ndef test_a():\n    pass\n", "test_a.py")
    project.run_plain().assert_outcomes(passed=1)
    result = project.run_plain("experiment_a.py")
    result.assert_outcomes()
    assert result.ret == 5


def test_nothing_imported_without_the_option(project):
    """Without --crystallize neither numpy, scipy nor crystallize is imported by an ordinary run."""
    project.raw(
        "conftest.py",
        """
        import sys

        def pytest_unconfigure():
            heavy = {"numpy", "scipy", "crystallize", "pytest_crystallize.session.session"} & set(sys.modules)
            assert not heavy, heavy
            print("\\nnothing heavy")
        """,
    )
    project.raw("test_a.py", "def test_a():\n    pass\n")
    environment = ("-p", "no:hypothesispytest", "-p", "no:randomly", "-p", "no:xdist")
    result = project.pytester.runpytest_subprocess(*environment)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["nothing heavy"])


def test_modules_of_ours_are_loaded_by_python(project):
    """Under --crystallize pytest does not rewrite the plugin's assertions, nor load what few ask for."""
    project.raw(
        "conftest.py",
        """
        import sys
        from importlib.machinery import SourceFileLoader

        def pytest_unconfigure():
            activation = sys.modules["pytest_crystallize.session.activation"]
            assert type(activation.__loader__) is SourceFileLoader
            reports = {f"crystallize.report.{name}" for name in ("html", "markdown", "plots")}
            against = {"pytest_crystallize.against.partner", "pytest_crystallize.session.events"}
            assert not (reports | against) & set(sys.modules)
            assert not [x for x in sys.meta_path if type(x).__module__.startswith("pytest_crystallize")]
            print("\\nloaded by Python")
        """,
    )
    project.write(TOTAL)
    project.run_apart("-n0", "--co").stdout.fnmatch_lines(["loaded by Python"])


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_scipy_is_loaded_where_experiments_are_judged(project, workers):
    """Before anything is run there; what controls workers does without, and shows what they judged."""
    project.raw(
        "conftest.py",
        """
        import sys

        def pytest_collection(session):
            judges = hasattr(session.config, "workerinput") or session.config.getoption("dist") == "no"
            assert ("scipy.special.cython_special" in sys.modules) == judges

        def pytest_unconfigure(config):
            if not hasattr(config, "workerinput"):
                print("\\nscipy" if "scipy" in sys.modules else "\\nno scipy")
        """,
    )
    project.write(TOTAL)
    result = project.run_apart(workers, "-v", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*SUPPORTED p*", "scipy" if workers == "-n0" else "no scipy"])


def test_import_of_the_entry_point():
    """Importing the entry point imports nothing heavy."""
    code = (
        "import sys, pytest; before = set(sys.modules); import pytest_crystallize.plugin; "
        "print(sorted(name for name in set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = ("", ".naming", ".naming.patterns", ".options", ".options.values")
    ours = ("", ".exit_code", ".hookspecs", *names[1:], ".plugin")
    assert found.strip() == str([f"pytest_crystallize{module}" for module in ours])


def test_default_files(project):
    """By default experiments are looked for in experiment_*.py, and in the test files too."""
    project.write(TOTAL, "experiment_one.py")
    project.write(TOTAL, "test_two.py")
    project.write(TOTAL, "three_test.py")
    project.write(TOTAL, "experiments.py")
    project.write(TOTAL, "deep/er/experiment_four.py")
    result = project.run("--collect-only", "-q")
    assert sorted(line.split("::")[0] for line in result.outlines if "::" in line) == [
        "deep/er/experiment_four.py",
        "experiment_one.py",
        "test_two.py",
        "three_test.py",
    ]


def test_ini_files(project):
    """The ini option crystallize_files names the files, beside the test files."""
    project.ini("crystallize_files = *_study.py trial_*.py\n")
    for name in ("a_study.py", "trial_b.py", "experiment_c.py", "test_d.py"):
        project.write(TOTAL, name)
    result = project.run("--collect-only", "-q")
    assert sorted(line.split("::")[0] for line in result.outlines if "::" in line) == [
        "a_study.py",
        "test_d.py",
        "trial_b.py",
    ]


def test_ini_functions(project):
    """The ini option crystallize_functions takes prefixes and globs."""
    project.ini("crystallize_functions = study *_trial\n")
    for name in ("study_a", "study", "b_trial", "experiment_c", "trial"):
        marked = name not in ("experiment_c", "trial")
        source = total(name=name) if marked else f"def {name}():\n    raise ValueError\n"
        project.write(source, f"experiment_{name}.py")
    result = project.run("--collect-only", "-q")
    assert sorted(line.split("::")[1] for line in result.outlines if "::" in line) == [
        "b_trial",
        "study",
        "study_a",
    ]


def test_ini_functions_that_are_tests(project):
    """A function that both pytest and we would collect is an experiment."""
    project.ini("crystallize_functions = test_experiment_*\n")
    project.write(total(name="test_experiment_total"), "test_a.py")
    project.write("def test_other():\n    pass\n", "test_b.py")
    result = project.run("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["test_a.py::test_experiment_total::total_increase[[]boost[]] SUPPORTED*"])


def test_other_things_named_like_experiments(project):
    """Only what can be run is an experiment: not steps, treatments, fixtures, classes, numbers."""
    project.write("""
        @pipeline_step()
        def experiment_step(data, ctx):
            return data

        @data_source
        def experiment_source(ctx):
            return 1

        @pytest.fixture
        def experiment_fixture():
            return 1

        @treatment("t")
        def experiment_treatment(ctx):
            pass

        @verifier
        def experiment_verifier(baseline, treatment):
            return {}

        @resource_factory
        def experiment_resource(ctx):
            return 1

        experiment_number = 3

        class experiment_class:
            pass
    """)
    result = project.run("--collect-only", "-q")
    assert "::" not in result.stdout.str()
    assert result.ret == 5


def test_class_without_the_right_name(project):
    """Methods of classes that pytest doesn't collect are left alone."""
    project.write("""
        class Helper:
            def experiment_x(self):
                raise NotImplementedError
    """)
    assert project.run().ret == 5


def test_experiments_beside_tests(project):
    """Experiments and tests live in one file, in the order in which they are written."""
    project.write("def test_first():\n    pass\n" + TOTAL + "\ndef test_last():\n    pass\n", "test_a.py")
    result = project.run("-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["*::test_first PASSED*", "*::experiment_total::* SUPPORTED*", "*::test_last PASSED*"]
    )


def test_marker_is_registered(project):
    """The marker is registered with and without --crystallize, also under --strict-markers."""
    project.ini("addopts = --strict-markers --strict-config\n")
    project.write(TOTAL + "\ndef test_a():\n    pass\n", "test_a.py")
    project.run_plain().assert_outcomes(passed=1)
    project.run().assert_outcomes(passed=2)
    project.run_plain("--markers").stdout.fnmatch_lines(
        [
            "@pytest.mark.experiment(*replicates*treatments*hypotheses*seed*correction*stopping*resampled*inputs*env*cache_key)*"
        ]
    )


def test_every_item_carries_the_mark(project):
    """-m experiment selects the tests of both forms, and -m "not experiment" none of them."""
    project.write(
        TOTAL
        + """
@pipeline_step()
def step(data, ctx):
    return data, {"m": 1}

def experiment_factory():
    return Experiment([1], [step], replicates=1)

def test_a():
    pass
"""
    )
    project.run("-m", "experiment", "--strict-markers").assert_outcomes(passed=2, deselected=1)
    project.run("-m", "not experiment").assert_outcomes(passed=1, deselected=2)


def test_options_in_the_help(project):
    """The help has a group of our options, and the ini options."""
    result = project.run_plain("--help")
    result.stdout.fnmatch_lines(
        [
            "experiments as tests:",
            "*--crystallize *",
            "*--crystallize-replicates=N*",
            "*--crystallize-seed=N|random*",
            "*--crystallize-repro=*",
            "*--crystallize-early-stop*",
        ]
    )
    for option in ("files", "functions", "replicates", "seed", "junit_properties"):
        result.stdout.fnmatch_lines([f"  crystallize_{option} (*"])


def test_option_in_addopts(project):
    """--crystallize may stand in addopts."""
    project.ini("addopts = --crystallize\n")
    project.write(TOTAL)
    project.run_plain().assert_outcomes(passed=1)


def test_without_the_entry_point(project):
    """With -p no:crystallize an ordinary run is what it was."""
    project.raw("test_a.py", "def test_a():\n    pass\n")
    project.run_plain("-p", "no:crystallize").assert_outcomes(passed=1)


def test_other_import_modes(project):
    """Experiments are collected under every import mode."""
    project.write(TOTAL)
    for mode in ("append", "importlib"):
        project.run(f"--import-mode={mode}").assert_outcomes(passed=1)


def test_same_file_name_in_two_packages(project):
    """Experiments of one name in two packages are two experiments."""
    for package in ("one", "two"):
        project.raw(f"{package}/__init__.py", "")
        project.write(TOTAL, f"{package}/experiment_a.py")
    result = project.run("-v")
    result.assert_outcomes(passed=2)
    assert result.stdout.str().count(": 6 replicates of 2 conditions") == 2


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("files", "node"),
    [
        (("one/experiment_a.py", "two/experiment_a.py"), "experiment_a.py::experiment_total"),
        (("one/experiment_a.py", "one/experiment_b.py"), "::experiment_total"),
    ],
    ids=["directories", "files"],
)
def test_files_beyond_the_root_directory_that_share_a_node_id(project, files, node, workers):
    """The one was judged by the runs of the other: both were SUPPORTED, and one is not true."""
    right, wrong = files
    project.raw("root/pytest.ini", "[pytest]\n")
    project.write(TOTAL, right)
    project.write(total(value="-delta"), wrong)
    paths = files if node.startswith("::") else ("one", "two")
    options = "-c", "root/pytest.ini", "--rootdir=root", "--import-mode=importlib", "-n", workers
    result = project.run_apart(*options, *paths)
    assert result.ret == (pytest.ExitCode.INTERRUPTED if workers == "0" else pytest.ExitCode.TESTS_FAILED)
    text = " ".join(result.stdout.str().split())
    assert f"would share the node id '{node}', and with it its runs" in text
    assert "give a --rootdir below which both files lie" in text
    result = project.run_apart("--rootdir=.", "--import-mode=importlib", "-n", workers, *paths)
    result.assert_outcomes(passed=1, failed=1)


def test_one_file_that_is_collected_twice(project):
    """It has one experiment, whose runs both are of."""
    project.write(TOTAL)
    project.run("--keep-duplicates", "experiment_a.py", "experiment_a.py").assert_outcomes(passed=2)


def test_generate_tests(project):
    """pytest_generate_tests of a conftest parametrises experiments."""
    project.raw(
        "conftest.py",
        """
        def pytest_generate_tests(metafunc):
            if "size" in metafunc.fixturenames:
                metafunc.parametrize("size", [1, 2])
        """,
    )
    project.write(total(arguments="size, rng"))
    result = project.run("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*total_increase[[]1-boost[]] SUPPORTED*", "*total_increase[[]2-boost[]] SUPPORTED*"]
    )


def test_parametrize_marked(project):
    """A marked function is parametrised as a test: ids, marks in pytest.param, stacked, indirect."""
    project.write(
        """
@pytest.fixture
def scale(request):
    return 2 * request.param

@pytest.mark.parametrize("size", [1, pytest.param(2, id="two"), pytest.param(3, marks=pytest.mark.skip)])
@pytest.mark.parametrize("scale", [5], indirect=True)
"""
        + MARK.strip()
        + """
def experiment_total(size, scale, rng, delta=0.0):
    assert scale == 10
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""
    )
    result = project.run("-v")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*total_increase[[]5-1-boost[]] SUPPORTED*",
            "*total_increase[[]5-two-boost[]] SUPPORTED*",
            "*total_increase[[]5-3-boost[]] SKIPPED*",
            "experiment_a.py::experiment_total [[]5-1[]]: 6 replicates*",
            "experiment_a.py::experiment_total [[]5-two[]]: 6 replicates*",
        ]
    )


def test_empty_parameter_set(project):
    """An empty parameter set is skipped, as in pytest."""
    project.write(total(above="@pytest.mark.parametrize('size', [])", arguments="size, rng"))
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*got empty parameter set*"])


def test_parameters_differ_in_the_digest_of_nothing(project):
    """Parameter sets see the same seeds: a parameter changes nothing but itself."""
    project.write(total(above="@pytest.mark.parametrize('size', [1, 2])", arguments="size, rng"))
    result = project.run("-v")
    digests = [line for line in result.outlines if line.startswith("  digest")]
    assert len(digests) == 2
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fixturenames", "function", "cls", "module", "obj"])
def test_attributes_that_conftests_look_at(project, name):
    """What conftests commonly ask of a test's function, a test of ours has too."""
    project.raw(
        "conftest.py",
        f"""
        def pytest_collection_modifyitems(items):
            for item in items:
                item.{name}
        """,
    )
    project.write(TOTAL)
    project.run().assert_outcomes(passed=1)
    project.run(ITEM).assert_outcomes(passed=1)


@pytest.mark.parametrize("directory", ["", "below/"])
def test_a_conftest_that_makes_tests_of_functions_makes_none_of_an_experiment(project, directory):
    """One further down was asked first: the body was run once, as a test, and nothing was judged."""
    project.raw(
        f"{directory}conftest.py",
        """
        import asyncio
        import inspect

        import pytest

        class Awaited(pytest.Function):
            def runtest(self):
                asyncio.run(self.obj())

        @pytest.hookimpl(tryfirst=True)
        def pytest_pycollect_makeitem(collector, name, obj):
            if inspect.iscoroutinefunction(obj):
                return Awaited.from_parent(collector, name=name)
        """,
    )
    claim = MARK + "async def experiment_other(delta=0.0):\n    return {'total': -delta}\n"
    project.write(TOTAL + claim, f"{directory}experiment_a.py")
    project.write("async def test_a():\n    pass\n", f"{directory}test_a.py")
    project.run("-n0").assert_outcomes(passed=2, failed=1)
