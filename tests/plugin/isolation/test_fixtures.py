"""Fixtures of every scope inside condition runs."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import pytest

from plugin.conftest import MARK, body, total

LOG = """

import json

def note(*what, file="log"):
    with open(file, "a") as log:
        print(json.dumps(what), file=log)
"""


def test_scopes(project):
    """A function-scoped fixture is fresh for every condition run, wider ones are made once per process."""
    scopes = ("session", "package", "module", "class", "function")
    project.write(
        LOG
        + "".join(
            f"""
@pytest.fixture(scope="{scope}")
def of_{scope}():
    note("{scope}", "up")
    yield object()
    note("{scope}", "down")
"""
            for scope in scopes
        )
        + """
class TestX:
    @pytest.mark.experiment(replicates=3, treatments={"a": {"x": 1}})
    def experiment_x(self, of_session, of_package, of_module, of_class, of_function, x=0):
        pass

    @pytest.mark.experiment(replicates=2)
    def experiment_y(self, of_session, of_package, of_module, of_class, of_function, x=0):
        pass
"""
    )
    project.run().assert_outcomes(passed=2)
    rows = project.log()
    assert {scope: rows.count([scope, "up"]) for scope in scopes} == dict.fromkeys(scopes[:-1], 1) | {
        "function": 8
    }
    assert {scope: rows.count([scope, "down"]) for scope in scopes} == dict.fromkeys(scopes[:-1], 1) | {
        "function": 8
    }
    assert rows[4:6] == [["function", "up"], ["function", "down"]]


@pytest.mark.slow
def test_wider_scopes_once_per_worker(project):
    """Under pytest-xdist a module-scoped fixture is made at most once in each process."""
    project.write(
        LOG
        + """
@pytest.fixture(scope="module")
def model():
    note(os.getpid())

@pytest.mark.experiment(replicates=20, treatments={"a": {"x": 1}})
def experiment_x(model, x=0):
    pass
"""
    )
    project.run_workers().assert_outcomes(passed=1)
    made = [pid for (pid,) in project.log()]
    assert len(made) == len(set(made)) <= 2


def test_builtin_function_fixtures(project):
    """tmp_path, caplog, capsys, monkeypatch, recwarn and request are those of a test of its own."""
    project.write(
        LOG
        + """
import logging, warnings

@pytest.mark.experiment(replicates=3, treatments={"a": {"x": 1}})
def experiment_x(tmp_path, caplog, capsys, monkeypatch, recwarn, request, tmp_path_factory, pytestconfig, x=0):
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    note(str(tmp_path))
    assert caplog.records == []
    caplog.set_level(logging.INFO)
    logging.getLogger("a").info("hello")
    assert [record.message for record in caplog.records] == ["hello"]
    assert caplog.get_records("call")[0].message == "hello"
    print("printed")
    assert capsys.readouterr().out == "printed\\n"
    assert "CRYSTALLIZE_TEST" not in os.environ
    monkeypatch.setenv("CRYSTALLIZE_TEST", "1")
    warnings.warn("mine")
    assert len(recwarn) == 1
    assert request.getfixturevalue("tmp_path") == tmp_path
    assert request.function.__name__ == "experiment_x"
    request.addfinalizer(lambda: note("finalized", file="finalized"))
"""
    )
    project.run().assert_outcomes(passed=1)
    assert len({path for (path,) in project.log()}) == 6
    assert len(project.log("finalized")) == 6


def test_tmp_path_is_kept_as_pytest_keeps_it(project):
    """Under the retention policy "failed" the directories of runs that succeeded are removed, others are kept."""
    project.ini("tmp_path_retention_policy = failed\n")
    project.write(
        LOG
        + """
@pytest.mark.experiment(replicates=3)
def experiment_x(tmp_path, replicate):
    path = tmp_path / str(replicate)  # a directory that was removed may be made again
    path.touch()
    note(replicate, str(path))
    assert replicate != 1
"""
    )
    project.run("--basetemp", str(project.path / "base")).assert_outcomes(failed=1)
    from pathlib import Path

    assert {replicate: Path(path).exists() for replicate, path in project.log()} == {
        0: False,
        1: True,
        2: False,
    }


def test_monkeypatch_is_undone(project):
    """What a condition run patches is put back before the next one, and for later tests."""
    project.write("""
        class Model:
            depth = 1

        @pytest.mark.experiment(replicates=3, treatments={"deep": {"depth": 8}})
        def experiment_x(monkeypatch, depth=3):
            assert Model.depth == 1
            monkeypatch.setattr(Model, "depth", depth)

        def test_after():
            assert Model.depth == 1
    """)
    project.run().assert_outcomes(passed=2)


def test_teardown_after_a_failure(project):
    """Yield fixtures of a run that failed are torn down before the next run."""
    project.write(
        LOG
        + """
@pytest.fixture
def outer():
    note("outer up"); yield; note("outer down")

@pytest.fixture
def inner(outer):
    note("inner up"); yield; note("inner down")

@pytest.mark.experiment(replicates=2)
def experiment_x(inner):
    note("run")
    raise ValueError
"""
    )
    project.run().assert_outcomes(failed=1)
    assert project.log() == [["outer up"], ["inner up"], ["run"], ["inner down"], ["outer down"]] * 2


@pytest.mark.parametrize("scope", ["function", "module"])
def test_setup_error(project, scope):
    """An error in a fixture's set-up fails its replicates as what it is, with the fixture's line."""
    project.write(
        total(
            above=f'@pytest.fixture(scope="{scope}")\ndef data():\n    raise OSError("no data")\n',
            arguments="data, rng",
        )
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "INVALID: 6 of 6 replicates of 'baseline' are missing: replicate 0 failed with OSError: no data*",
            "replicate 0 of 'baseline', seed *, in setup:",
            "E   * OSError: no data",
            "experiment_a.py:*: OSError",
        ]
    )
    assert result.stdout.str().count('raise OSError("no data")') == 2  # once for each condition


def test_teardown_error(project):
    """An error in a fixture's tear-down fails its replicate as what it is."""
    project.write(
        """
@pytest.fixture
def data():
    yield
    raise OSError("can't close")
"""
        + MARK
        + body(arguments="data, rng")
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["replicate 0 of 'baseline', seed *, in teardown:", "E   * OSError: can't close"]
    )


def test_error_in_body_and_teardown(project):
    """When both body and tear-down raise, both are shown."""
    project.write(
        """
@pytest.fixture
def data():
    yield
    raise OSError("can't close")

@pytest.mark.experiment(replicates=1)
def experiment_x(data):
    raise ValueError("first of all")
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E   * ValueError: first of all"])
    result.stdout.fnmatch_lines(["E   * OSError: can't close"])


def test_unknown_fixture(project):
    """An unknown fixture is told at collection."""
    project.write("""
        @pytest.mark.experiment(replicates=1)
        def experiment_x(nonesuch):
            pass
    """)
    result = project.run()
    result.stdout.fnmatch_lines(
        ["*experiment_x asks for fixture 'nonesuch', which does not exist; *ctx, seed*"]
    )
    assert result.ret != 0


def test_autouse_and_usefixtures(project):
    """Autouse fixtures and those of usefixtures are set up for every condition run."""
    project.write(
        LOG
        + """
@pytest.fixture(autouse=True)
def always():
    note("always")

@pytest.fixture
def asked():
    note("asked")

@pytest.mark.usefixtures("asked")
@pytest.mark.experiment(replicates=3)
def experiment_x():
    pass
"""
    )
    project.run().assert_outcomes(passed=1)
    assert project.log() == [["always"], ["asked"]] * 3


def test_fixtures_depend_on_ours(project):
    """A fixture of the user's may ask for ctx, seed, rng, replicate and condition, also by getfixturevalue."""
    project.write("""
        @pytest.fixture
        def noise(rng, request):
            assert request.getfixturevalue("replicate") in (0, 1, 2)
            return rng.normal()

        @pytest.fixture
        def model(noise, ctx, condition, seed):
            assert ctx.condition == condition
            return noise + ctx.get("delta", 0.0)

        @pytest.mark.experiment(replicates=3, treatments={"a": {"delta": 1.0}})
        def experiment_x(model, noise, condition):
            assert model == noise + (condition == "a")
    """)
    project.run().assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["ctx", "seed", "rng", "replicate", "condition"])
def test_ours_outside_of_an_experiment(project, name):
    """In an ordinary test our fixtures fail with a sentence, not a traceback."""
    project.raw("test_a.py", f"def test_a({name}):\n    pass\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*fixture '{name}' exists only inside an experiment*"])
    result.stdout.no_fnmatch_line("*fixtures.py*")


def test_ours_in_a_wider_fixture(project):
    """A module-scoped fixture that asks for one of ours is refused by pytest as any scope mismatch."""
    project.write("""
        @pytest.fixture(scope="module")
        def model(seed):
            return seed

        @pytest.mark.experiment(replicates=1)
        def experiment_x(model):
            pass
    """)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ScopeMismatch*"])


def test_parametrized_fixture(project):
    """A parametrised fixture makes one experiment per parameter."""
    project.write(
        """
@pytest.fixture(params=[1, 2], ids=["one", "two"])
def scale(request):
    return request.param
"""
        + MARK
        + body(arguments="scale, rng")
    )
    result = project.run("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "experiment_a.py::experiment_total::total_increase[[]one-boost[]] SUPPORTED*",
            "experiment_a.py::experiment_total::total_increase[[]two-boost[]] SUPPORTED*",
        ]
    )


def test_parametrized_module_fixture(project):
    """A parametrised module-scoped fixture is made once per parameter, though replicates pull it again and again."""
    project.write(
        LOG
        + """
@pytest.fixture(scope="module", params=[1, 2])
def scale(request):
    note("up", request.param)
    yield request.param
    note("down", request.param)

@pytest.mark.experiment(replicates=3)
def experiment_x(scale):
    note(scale)

@pytest.mark.experiment(replicates=3)
def experiment_y(scale):
    note(scale)
"""
    )
    project.run().assert_outcomes(passed=4)
    rows = project.log()
    assert [row for row in rows if row[0] in ("up", "down")] == [
        ["up", 1],
        ["down", 1],
        ["up", 2],
        ["down", 2],
    ]
    assert rows.count([1]) == rows.count([2]) == 6


def test_class_setup(project):
    """setup_method, setup_class and setup_module are called as in tests, each run with an instance of its own."""
    project.write(
        LOG
        + """
def setup_module():
    note("module")

class TestX:
    @classmethod
    def setup_class(cls):
        note("class")

    def setup_method(self, method):
        note("method", method.__name__, hasattr(self, "used"))
        self.used = True

    def teardown_method(self):
        note("teardown")

    @pytest.fixture
    def own(self):
        return self

    @pytest.mark.experiment(replicates=2)
    def experiment_x(self, own):
        assert own is self
        note("run")
"""
    )
    project.run().assert_outcomes(passed=1)
    run = [["method", "experiment_x", False], ["run"], ["teardown"]]
    assert project.log() == [["module"], ["class"], *run, *run]


@pytest.mark.slow
def test_wider_fixtures_draw_alike_whoever_is_first(project):
    """A module-scoped fixture draws the same numbers from the global generators, whichever test runs first."""
    project.write(
        LOG
        + """
@pytest.fixture(scope="module")
def offset():
    return random.random() + np.random.random()

@pytest.fixture(scope="session")
def other():
    return random.random()

@pytest.mark.experiment(replicates=2)
def experiment_x(offset, other, replicate):
    note("x", replicate, offset, other, random.random(), file=os.environ["LOG"])

@pytest.mark.experiment(replicates=2)
def experiment_y(other, offset, replicate):
    note("y", replicate, offset, other, random.random(), file=os.environ["LOG"])
"""
    )
    item = "experiment_a.py::experiment_{}::replicates"
    logs = []
    for number, order in enumerate((["x", "y"], ["y", "x"], ["x"])):
        os_environ = {"LOG": f"log{number}"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOG", os_environ["LOG"])
            project.run(*(item.format(name) for name in order)).assert_outcomes(passed=len(order))
        logs.append(sorted(project.log(f"log{number}")))
    assert logs[0] == logs[1]
    assert logs[2] == logs[0][:2]
    assert logs[0][0][2] != logs[0][0][3]


def test_fixtures_in_other_tests(project):
    """A fixture shared with an ordinary test in the same file is the same object there."""
    project.write("""
        made = []

        @pytest.fixture(scope="module")
        def model():
            made.append(1)
            return made

        def test_before(model):
            assert model is made

        @pytest.mark.experiment(replicates=3)
        def experiment_x(model):
            assert model is made

        def test_after(model):
            assert made == [1]
    """)
    project.run().assert_outcomes(passed=3)


def test_fixture_that_skips(project):
    """A fixture that skips in every condition run skips the test."""
    project.write(total(arguments="gpu, rng") + "\n@pytest.fixture\ndef gpu():\n    pytest.skip('no gpu')\n")
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no gpu"])


def test_record_property(project):
    """What a body records as a property reaches the JUnit report, or is refused; it is not lost."""
    project.write("""
        @pytest.mark.experiment(replicates=1)
        def experiment_x(record_property):
            record_property("gpu", "none")
    """)
    project.run("--junitxml", "junit.xml", "-o", "junit_family=legacy")
    assert "gpu" in (project.path / "junit.xml").read_text()


def test_subtests(project):
    """A failing subtest in a body can't pass: subtests are refused by name, as each would be told as a test."""
    project.write("""
        @pytest.mark.experiment(replicates=2)
        def experiment_x(subtests, replicate):
            with subtests.test("part"):
                assert replicate == 0
            return {"m": 1.0}
    """)
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["experiment_a.py:*: *subtests*"])


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="pytest has the fixture subtests from 9.0 on")
@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_subtests_that_are_asked_for_by_name(project, workers):
    """The claim was SUPPORTED in one process, beside failed subtests, and INVALID on workers."""
    lines = 'with request.getfixturevalue("subtests").test("part"):\n    assert delta == 0'
    project.write(total(arguments="request, rng", lines=lines))
    result = project.run_apart("-n", workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["experiment_total* asks for 'subtests', but a condition run is no test; *"])


def test_setup_show(project):
    """--setup-show shows the fixtures of each condition run."""
    project.write("""
        @pytest.fixture
        def mine():
            yield 1.0

        @pytest.mark.experiment(replicates=3)
        def experiment_x(mine):
            return {"m": mine}
    """)
    result = project.run("--setup-show", "--crystallize-cache=off")
    result.assert_outcomes(passed=1)
    shown = result.stdout.str()
    assert (shown.count("SETUP    F mine"), shown.count("TEARDOWN F mine")) == (3, 3)


def test_hooks_of_fixtures(project):
    """Hooks of a project around the set-up of fixtures, and behind them, are called in each condition run."""
    project.raw(
        "conftest.py",
        """
        import pytest

        seen = []

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(fixturedef, request):
            seen.append(f"before {fixturedef.argname}")
            return (yield)

        def pytest_fixture_post_finalizer(fixturedef, request):
            seen.append(f"behind {fixturedef.argname}")

        def pytest_unconfigure():
            print("\\nSEEN", *(f"{what} {seen.count(what)}," for what in sorted(set(seen)) if "mine" in what))
        """,
    )
    project.write("""
        @pytest.fixture
        def mine():
            return 1.0

        @pytest.mark.experiment(replicates=3)
        def experiment_x(mine):
            return {"m": mine}
    """)
    result = project.run("-s", "--crystallize-cache=off")
    result.stdout.fnmatch_lines(["SEEN before mine 3, behind mine 3,"])


@pytest.mark.parametrize("run", ["run", "run_plain"])
def test_fixtures_listing(project, run):
    """--fixtures lists our fixtures with what they are, with --crystallize and without."""
    result = getattr(project, run)("--fixtures")
    result.stdout.fnmatch_lines(["rng -- *", "    * of the replicate, the same for every treatment."])
