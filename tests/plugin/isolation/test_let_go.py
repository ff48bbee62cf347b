"""What runs were made with is let go of when they have ended, as it is of a test."""

import textwrap

import pytest

from plugin.conftest import ITEM, edited, mark, total

AT_A_TIME = """
    import gc
    import weakref

    import pytest

    models, most = [], [0]

    class Model:
        def __init__(self):
            models.append(weakref.ref(self))
            most.append(sum(model() is not None for model in models))

    @pytest.fixture(scope="module")
    def weights():
        return "weights"

    @pytest.fixture
    def model(weights):
        return Model()

    @pytest.fixture
    async def served(model):
        yield model

    @pytest.fixture(scope="module", autouse=True)
    def without_garbage_collection():
        gc.disable()
        yield
        gc.enable()

    def pytest_unconfigure():
        print(f"{len(models)} models, {max(most)} at a time")
"""


def awaited(**changes):
    return "import asyncio\n" + edited(total(**changes), "def ", "async def ")


@pytest.mark.parametrize(
    ("experiment", "outcome", "at_a_time"),
    [
        (total(arguments="model, rng"), "passed", 1),
        (total(arguments="model, tmp_path, rng", lines="raise ValueError('no')"), "failed", 1),
        (total(arguments="model, rng", lines="pytest.skip('no')"), "skipped", 1),
        (total(arguments="served, rng"), "passed", 1),
        (awaited(arguments="served, capsys, rng"), "passed", 1),
        (awaited(arguments="served, rng", lines="await asyncio.sleep(0)", max_concurrency=2), "passed", 4),
    ],
    ids=["function", "failing", "skipping", "asynchronous fixture", "one by one", "several"],
)
def test_as_many_are_alive_as_runs_are_under_way(project, experiment, outcome, at_a_time):
    """A model may fill a device: that of a run is gone before the next run makes its own."""
    project.raw("conftest.py", AT_A_TIME)
    project.write(experiment)
    result = project.run("-n", "0", "-s", "--crystallize-cache=off")
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines([f"*12 models, {at_a_time} at a time"])


LEFT = """
    import gc
    import weakref

    import pytest

    models = []

    class Model:
        def __init__(self):
            models.append(weakref.ref(self))

    @pytest.fixture(scope="session")
    def weights():
        return "weights"

    @pytest.fixture
    def model(weights):
        return Model()

    def pytest_runtest_logstart():
        gc.collect()
        assert [model for model in models if model() is not None] == []

    def pytest_unconfigure():
        print(f"{len(models)} models")
"""


@pytest.mark.parametrize(
    "experiment",
    [
        awaited(arguments="model, rng", lines="await asyncio.sleep(0)"),
        total(arguments="model, caplog, rng", lines="import logging\nlogging.warning('%s', model)"),
    ],
    ids=["several runs", "logged"],
)
def test_what_a_test_was_run_with_is_gone_before_the_next_one(project, experiment):
    """A session holds what its own fixtures made, not what runs made that were the first to ask for these."""
    project.raw("conftest.py", LEFT)
    project.write(experiment + edited(experiment, "experiment_total", "experiment_other"))
    result = project.run_apart("-n", "0", "-s", "--crystallize-cache=off")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*24 models"])


RETURNS = "return {'total': rng.normal() + delta}"


@pytest.mark.parametrize(
    "function",
    [
        f"def experiment_NAME(model, rng, delta=0.0): {RETURNS}",
        f"async def experiment_NAME(model, rng, delta=0.0): {RETURNS}",
        "class TestNAME:\n"
        "    @pytest.fixture(autouse=True)\n"
        "    def keep(self, model): self.model = model\n"
        f"    MARK def experiment_NAME(self, rng, delta=0.0): {RETURNS}",
    ],
    ids=["function", "coroutine", "method"],
)
def test_what_a_test_was_run_with_is_let_go(project, function):
    """What fixtures gave to the last run of an experiment may be a model: it is gone before the next test."""
    project.raw("conftest.py", LEFT)
    above, _, below = function.rpartition("MARK ")
    sources = [above + textwrap.indent(mark() + below, "    " if above else "") for _ in "ab"]
    project.write(
        "".join(source.replace("NAME", name) + "\n" for name, source in zip("ab", sources, strict=True))
    )
    result = project.run("-n", "0", "-s", "--crystallize-cache=off")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*24 models"])


class Keeps:
    """A plugin that keeps the tests of a session, as scripts have one."""

    def pytest_collection_modifyitems(self, items):
        self.items = items


@pytest.mark.parametrize("options", [[], ["--collect-only"]], ids=["run", "collected"])
def test_who_keeps_the_tests_of_a_session_has_them_behind_it(project, options):
    """Those of experiments among them, with what is known of them."""
    project.write(total())
    project.raw("test_b.py", "def test_ordinary(): pass")
    plugin = Keeps()
    project.run("-n", "0", *options, plugins=[plugin])
    assert [item.nodeid for item in plugin.items] == [ITEM, "test_b.py::test_ordinary"]
    assert plugin.items[0].get_closest_marker("experiment").kwargs["replicates"] == 6


SESSIONS = """
    import gc
    import sys
    import weakref

    import pytest

    sessions = []

    class Sees:
        def pytest_configure(self, config):
            sessions.append(weakref.ref(config))

    for _ in range(3):
        assert pytest.main(["--crystallize", "-p", "no:randomly", "-q"], plugins=[Sees()]) == 0
        for name in ("conftest", "experiment_a"):
            del sys.modules[name]
    gc.collect()
    later = [session() is not None for session in sessions[1:]]  # pytest itself keeps the first
    print(f"{sum(later)} of {len(later)} sessions are kept")
"""
CLASSES = """
class Part:
    def __init_subclass__(cls):
        cls.doubled = 2

class Whole(Part):
    pass
"""


def test_sessions_of_one_process_are_let_go(project):
    """A script or a notebook has many; once their modules are gone, nothing known of these keeps them."""
    project.raw("conftest.py", "import pytest" + CLASSES)
    project.write(CLASSES + total())
    project.raw("sessions.py", SESSIONS)
    result = project.pytester.runpython("sessions.py")
    result.stdout.fnmatch_lines(["0 of 2 sessions are kept"])
