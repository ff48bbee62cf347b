"""Items as conftests, hooks and editors expect them."""

import json
from pathlib import Path

import pytest

from plugin.conftest import ITEM, RERUNS, edited, total

WITH_TMP_PATH = total(arguments="tmp_path, rng")
REFUTED = total(arguments="tmp_path, rng", treatments={"boost": {"delta": -9.0}})


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_failures_are_post_processed(project, workers):
    """What `fixturenames` lists can be looked up in `funcargs` in a hook, whoever made the runs."""
    project.raw(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if report.when == "call" and report.failed:
                known = {name: item.funcargs[name] for name in item.fixturenames}
                shown = f" ({known['tmp_path']})" if "tmp_path" in known else ""
                with open("failures", "a") as file:
                    file.write(report.nodeid + shown + "\\n")
            return report
        """,
    )
    project.write(REFUTED)
    result = project.run_apart("-n", workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    (line,) = (project.path / "failures").read_text().splitlines()
    assert line.startswith(ITEM)


def test_funcargs_are_those_of_the_latest_run(project):
    """A hook around the teardown finds what fixtures gave; before the item's set-up all names are listed."""
    project.raw(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            assert "tmp_path" in items[0].fixturenames and items[0].funcargs == {}

        def pytest_runtest_setup(item):
            assert "tmp_path" in item.fixturenames

        def pytest_runtest_teardown(item):
            assert item.funcargs["tmp_path"].name.startswith("experiment_total")
            assert "rng" in item.fixturenames
        """,
    )
    project.write(WITH_TMP_PATH)
    project.run("-n", "0").assert_outcomes(passed=1)


RESULT_IN_FIXTURES = """
    import pytest

    reports = pytest.StashKey()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        item.stash.setdefault(reports, {})[report.when] = report
        setattr(item, "rep_" + report.when, report)
        return report

    @pytest.fixture
    def something(request):
        yield
        made = request.node.stash[reports]
        assert made["call"] is request.node.rep_call and made["setup"].passed
        with open("outcomes", "a") as file:
            file.write(made["call"].outcome + "\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_fixtures_learn_how_their_run_went(project, workers):
    """A fixture's test is the condition run: it finds the reports that a hook keeps on its node."""
    project.raw("conftest.py", RESULT_IN_FIXTURES)
    project.write(total(arguments="something, replicate, rng", lines="assert not (delta and replicate == 2)"))
    result = project.run_apart("-n", workers, "--crystallize-cache", "off")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*replicate 2*"])
    outcomes = (project.path / "outcomes").read_text().splitlines()
    assert sorted(outcomes) == ["failed"] + ["passed"] * 11


def test_an_expected_failure_is_expected_of_the_verdict(project):
    """A strict xfail mark fails no run of the item that bears it."""
    project.raw("conftest.py", RESULT_IN_FIXTURES)
    hypothesis = 'Hypothesis(metric="total", direction="decrease")'
    marked = f"pytest.param({hypothesis}, marks=pytest.mark.xfail(strict=True))"
    project.write(total(arguments="something, rng", hypotheses=f"[{marked}]"))
    project.run("-n", "0").assert_outcomes(xfailed=1)
    assert set((project.path / "outcomes").read_text().split()) == {"passed"}


AS_A_FUNCTION = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        if report.when == "call" and report.failed:
            item.ihook.pytest_runtest_teardown(item=item, nextitem=item.session)
            item._initrequest()
            item.ihook.pytest_runtest_setup(item=item)
            run = item.ihook.pytest_runtest_call
            call = pytest.CallInfo.from_call(lambda: run(item=item), when="call")
            report.longrepr = pytest.TestReport.from_item_and_call(item, call).longrepr
        return report
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_test_is_run_again_as_a_function_is(project, workers):
    """As pytest-retry does it, within the report; the verdict is the same."""
    project.raw("conftest.py", AS_A_FUNCTION)
    project.write(total(direction="decrease"))
    result = project.run_apart("-n", workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["REFUTED: total goes the other way*"])


COLLECTS = """
    import pytest

    found = []

    def expect(holds):
        if not holds:
            found.append("an expectation does not hold")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        if found:
            report.outcome, report.longrepr = "failed", found.pop()
            found.clear()
        return report
"""


@pytest.mark.parametrize("where", ["conftest.py", "site-packages/expectations.py", "site-packages/rerun.py"])
@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_what_a_hook_has_collected_fails_what_it_was_collected_in(project, workers, where, monkeypatch):
    """As pytest-check does it. Where the project reports its runs, that is the run; no rerun forgets it."""
    project.raw(where, COLLECTS)
    module = Path(where).stem
    loaded = () if module == "conftest" else ("-p", module)
    if module == "rerun":
        project.raw("conftest.py", RERUNS)
    monkeypatch.setenv("PYTHONPATH", str((project.path / where).parent))
    options = ("-n", workers, *loaded, "-o", "crystallize_cache_verify=0")
    body = total(arguments="replicate, rng", lines="expect(replicate != 3)")
    project.write(f"from {module} import expect\n" + body)
    for _ in range(2):
        result = project.run_apart(*options)
        result.assert_outcomes(failed=1, passed=module == "rerun")
        result.stdout.fnmatch_lines(["*an expectation does not hold*"])


LOOKED_AT = """
    import pytest

    NAMES = ("obj", "function", "originalname", "module", "cls", "instance", "funcargs", "fixturenames")

    def look(item):
        assert all(hasattr(item, name) for name in NAMES), item

    def pytest_collection_finish(session):
        for item in session.items:
            look(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item):
        look(item)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(session):
        yield
        for item in session.items if hasattr(session, "items") else ():
            look(item)
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_hooks_find_of_every_item_what_functions_have(project, workers):
    """Tokens are items, too, and hooks of a project that has functions alone look at nothing else."""
    project.raw("conftest.py", LOOKED_AT)
    project.write(total())
    result = project.run_apart("-n", workers)
    assert result.ret == 0
    result.assert_outcomes(passed=1)


OF_TESTS = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item):
        item.noted = []
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        item.noted.append(report.outcome)
        return report
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_plugins_that_prepare_for_reports_of_tests_hear_of_no_run(project, workers, monkeypatch):
    """As pytest-json-report and pytest-retry do it; the hooks of the project do, each time."""
    project.raw("site-packages/noting.py", OF_TESTS)
    monkeypatch.setenv("PYTHONPATH", str(project.path / "site-packages"))
    project.raw("conftest.py", RESULT_IN_FIXTURES)
    project.write(total(arguments="something, rng"))
    result = project.run_apart("-n", workers, "-p", "noting")
    result.assert_outcomes(passed=1)
    assert (project.path / "outcomes").read_text().split() == ["passed"] * 12


def test_items_have_what_functions_have(project):
    """`--fixtures-per-test` lists the fixtures of experiments; hooks find the instance of their class."""
    project.raw(
        "conftest.py",
        """
        def pytest_runtest_teardown(item):
            print(item.name, item.cls and type(item.instance) is item.cls and item.instance.made)
        """,
    )
    project.write(
        WITH_TMP_PATH
        + """
class TestGroup:
    @pytest.mark.experiment(replicates=2)
    def experiment_in_class(self, replicate):
        self.made = replicate
"""
    )
    listed = project.run("-n0", "--fixtures-per-test", "-k", "total")
    listed.stdout.fnmatch_lines(["*fixtures used by total_increase[[]boost[]]*", "rng -- *", "tmp_path -- *"])
    ran = project.run("-n0", "-s", "--crystallize-cache=off")
    ran.stdout.fnmatch_lines(["*total_increase[[]boost[]] None*", "*replicates 1*"])


EDITOR = """
    import json
    import pytest

    def path_of(node):
        return str(node.path.relative_to(node.config.rootpath))

    def pytest_collection_finish(session):
        # An editor's tree: files; in them classes, nested; in these functions, and below them parameters.
        files = {}
        for item in session.items:
            chain = []
            node = item.parent
            while isinstance(node, pytest.Class):
                chain.append(node.name)
                node = node.parent
            if not isinstance(node, pytest.File):
                continue  # such an item is not shown
            branch = files.setdefault(path_of(node), {})
            for name in reversed(chain):
                branch = branch.setdefault(name, {})
            if hasattr(item, "callspec"):
                function, bracket, parameters = item.name.partition("[")
                assert bracket and item.originalname == function
                branch.setdefault(item.originalname, {})["[" + parameters] = item.nodeid
            else:
                branch[item.name] = item.nodeid
        with open("tree.json", "w") as file:
            json.dump(files, file)
"""


def test_editors_show_every_experiment(project):
    """Under its own name: in classes, parametrised, factories, graphs, and beside ordinary tests."""
    project.raw("conftest.py", EDITOR)
    project.write(
        total(name="experiment_plain")
        + total(above="@pytest.mark.parametrize('size', [1, 2])", arguments="size, rng")
        + """
class TestGroup:
    class TestInner:
        @pytest.mark.experiment(replicates=2)
        def experiment_in_class(self, rng):
            return {"x": rng.normal()}

def experiment_factory():
    return Experiment(0, [pipeline_step()(lambda data, ctx: (data, {"x": 1.0}))], replicates=2)

@pytest.mark.parametrize("width", [3])
def experiment_made(width):
    return experiment_factory()

def test_ordinary():
    pass
""",
        "experiment_a.py",
    )
    project.run("-n", "0", "--collect-only", "-q")
    (tree,) = json.loads((project.path / "tree.json").read_text()).values()
    assert tree == {
        "experiment_plain": {
            "total_increase[boost]": "experiment_a.py::experiment_plain::total_increase[boost]"
        },
        "experiment_total": {
            "total_increase": {
                "[1-boost]": "experiment_a.py::experiment_total::total_increase[1-boost]",
                "[2-boost]": "experiment_a.py::experiment_total::total_increase[2-boost]",
            }
        },
        "TestGroup": {
            "TestInner": {
                "experiment_in_class": {
                    "replicates": "experiment_a.py::TestGroup::TestInner::experiment_in_class::replicates"
                }
            }
        },
        "experiment_factory": {"replicates": "experiment_a.py::experiment_factory::replicates"},
        "experiment_made": {"replicates": {"[3]": "experiment_a.py::experiment_made::replicates[3]"}},
        "test_ordinary": "experiment_a.py::test_ordinary",
    }


DEBUGGER = """
    import json
    import pdb

    class Debugger(pdb.Pdb):
        def interaction(self, frame, traceback):
            self.setup(frame, getattr(traceback, "__traceback__", traceback))  # 3.13 gives the exception
            known = self.curframe.f_locals
            seen = {
                "baseline": dict(known["baseline"]),
                "treatment": dict(known["treatment"]),
                "verdict": known["verdict"].status,
            }
            print("\\nDEBUGGER", json.dumps(seen))
"""


@pytest.mark.parametrize("against", ["", ", against=Reference('main')"])
def test_a_debugger_stops_where_the_verdict_was_given(project, against):
    """`baseline`, `treatment` and `verdict` are local names there; a reference is the baseline."""
    project.raw("debugger.py", DEBUGGER)
    claim = f"Hypothesis(metric='total', direction='no_decrease', margin=0.1{against})"
    project.write(
        f"""
        @pytest.mark.experiment(replicates=8, treatments={{"less": {{"delta": -3.0}}}}, hypotheses=[{claim}])
        def experiment_total(replicate, delta=0.0):
            return {{"total": replicate + delta * (1 + replicate % 2) / 2}}
        """
    )
    if against:
        project.run("--crystallize-save=main", "-n0")
        path = project.path / "experiment_a.py"
        path.write_text(edited(path.read_text(), "replicate + delta", "replicate - 1 + delta"))
    shift = 1 if against else 0
    project.pytester.syspathinsert()
    result = project.run("-n0", "-s", "--pdb", "--pdbcls=debugger:Debugger", "-k", "less")
    (seen,) = [json.loads(line.split(" ", 1)[1]) for line in result.outlines if line.startswith("DEBUGGER")]
    less = [i - 3.0 * (1 + i % 2) / 2 for i in range(8)]
    assert seen["verdict"] == "refuted"
    assert seen["treatment"] == {"total": [value - shift for value in less]}
    assert seen["baseline"] == {"total": less if against else list(range(8))}
