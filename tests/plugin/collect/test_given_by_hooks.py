"""What hooks of the project give tests that were collected, and what runs leave on their node."""

from __future__ import annotations

import pytest

from ..conftest import total

WORKERS = pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])


def gives(*lines: str) -> str:
    """Return a conftest that does something with each test that was collected."""
    does = "".join(f"        {line}\n" for line in lines)
    return f"import pytest\n\ndef pytest_collection_modifyitems(items):\n    for item in items:\n{does}"


@WORKERS
def test_a_filter_of_warnings_that_a_hook_adds_holds_for_every_run(project, workers):
    """Whoever makes them: the test that bears the mark, or a worker that runs ahead."""
    project.raw("conftest.py", gives("item.add_marker(pytest.mark.filterwarnings('error'))"))
    project.write(total(lines="warnings.warn('old')", replicates=40))
    result = project.run_apart("-n", workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*40 of 40 replicates of 'baseline'*", "*UserWarning: old*"])


KEPT = """
    import pytest

    KEY = pytest.StashKey()

    def pytest_collection_modifyitems(items):
        for item in items:
            item.add_marker(pytest.mark.service("a"))
            item.add_marker(pytest.mark.skipif(False, reason="none"))
            item.stash[KEY] = "stashed"
            item.early = "set"

    def pytest_runtest_setup(item):
        item.late = "set"

    @pytest.fixture
    def kept(request):
        node = request.node
        assert node.get_closest_marker("service").args == ("a",) and "service" in node.keywords
        assert (node.stash[KEY], node.early, node.late) == ("stashed", "set", "set")
        assert not hasattr(node, "runs")
"""


@WORKERS
@pytest.mark.parametrize("form", ["def", "async def"])
def test_fixtures_find_on_their_node_what_hooks_gave_the_test(project, form, workers):
    """Marks, what is in the stash, and attributes, whether an item or a token makes the run."""
    project.ini("markers = service")
    project.raw("conftest.py", KEPT)
    source = total(arguments="kept, rng", replicates=40)
    project.write(source.replace("def experiment", f"{form} experiment"))
    project.run_apart("-n", workers).assert_outcomes(passed=1)


def test_a_mark_of_one_test_is_none_of_the_runs(project):
    """They are made for all tests of an experiment together."""
    project.ini("markers = service")
    project.raw("conftest.py", gives("if 'boost' in item.name: item.add_marker(pytest.mark.service)"))
    lines = "assert request.node.get_closest_marker('service') is None"
    treatments = '{"boost": {"delta": 3.0}, "more": {"delta": 4.0}}'
    project.write(total(arguments="request, rng", lines=lines, treatments=treatments))
    project.run().assert_outcomes(passed=2)


LEAVES = """
node = request.node
assert not hasattr(node, "count") and "seen" not in node.keywords and not node.get_closest_marker("seen")
assert "left" not in [content for _, _, content in node._report_sections]
node.count = 1
node.add_marker("seen")
node.add_report_section("call", "log", "left")
"""


@pytest.mark.parametrize("form", ["def", "async def"])
def test_no_run_finds_on_its_node_what_another_has_left(project, form):
    """Or metrics would depend on how many runs its process has made before it."""
    project.ini("markers = seen")
    source = total(arguments="request, rng", lines=LEAVES)
    project.write(source.replace("def experiment", f"{form} experiment"))
    project.run().assert_outcomes(passed=1)


ASKED_FOR_BY_A_MARK = """
    import pytest

    @pytest.fixture
    def frozen(request):
        request.node.stash["frozen"] = request.node.get_closest_marker("freeze").args

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(items):
        for item in items:
            if item.get_closest_marker("freeze") is not None:
                item.fixturenames.insert(0, "frozen")
"""


@WORKERS
@pytest.mark.parametrize("form", ["def", "async def"])
def test_a_fixture_that_a_hook_adds_is_set_up_for_each_run(project, form, workers):
    """As pytest-freezer adds one where a mark stands; each set of parameters has it."""
    project.ini("markers = freeze")
    project.raw("conftest.py", ASKED_FOR_BY_A_MARK)
    above = "@pytest.mark.freeze('2020-01-01')\n@pytest.mark.parametrize('x', [1, 2])"
    lines = "assert request.node.stash['frozen'] == ('2020-01-01',)"
    source = total(above, arguments="request, rng, x", lines=lines, replicates=40)
    project.write(source.replace("def experiment", f"{form} experiment"))
    project.run_apart("-n", workers).assert_outcomes(passed=2)


def test_a_hook_that_adds_a_fixture_of_the_process_has_runs_made_one_by_one(project):
    """As if it stood among the arguments."""
    project.raw("conftest.py", gives("item.fixturenames.insert(0, 'monkeypatch')"))
    project.write(total().replace("def experiment", "async def experiment"))
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*one by one*'monkeypatch'*"])


WRAPS = """
    def pytest_collection_modifyitems(items):
        for item in items:
            for name in ("setup", "runtest", "teardown"):
                setattr(item, name, told(item, name, getattr(item, name)))
            item.begin = item.reported = item.take = 0.0

    def told(item, name, method):
        def called():
            print("wrapped", name, item.name)
            return method()
        return called
"""


@WORKERS
@pytest.mark.parametrize("form", ["def", "async def"])
def test_what_a_hook_has_a_test_do_otherwise_is_none_of_its_runs(project, form, workers):
    """A method that it wraps is of that item: a run, or a token ahead of it, is no call of it."""
    project.raw("conftest.py", WRAPS)
    treatments = '{"boost": {"delta": 3.0}, "more": {"delta": 4.0}}'
    source = total(arguments="request, rng", replicates=40, treatments=treatments)
    project.write(source.replace("def experiment", f"{form} experiment"))
    result = project.run_apart("-n", workers, "-s")
    result.assert_outcomes(passed=2)
    if workers == "0":
        assert result.stdout.str().count("wrapped ") == 3 * 2


LOCATED = """
    import pytest

    known = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item):
        report = yield
        assert known.setdefault(item.nodeid, item.location) is item.location
        return report
"""


@pytest.mark.parametrize("form", ["def", "async def"])
def test_where_a_function_is_defined_is_looked_up_once_for_all_runs(project, form):
    """For their reports; it takes as long as the rest of one."""
    project.raw("conftest.py", LOCATED)
    project.write(total().replace("def experiment", f"{form} experiment"))
    project.run().assert_outcomes(passed=1)
