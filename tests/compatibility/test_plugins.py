"""Other plugins of pytest: an experiment that is supported and one that is not, with and without workers."""

import importlib.metadata
import json
import re
from dataclasses import dataclass, field
from string import Template

import pytest

pytestmark = pytest.mark.plugins

SOURCE = Template("""
import asyncio, os, time
import pytest
from crystallize import Hypothesis

MARK = dict(replicates=6, treatments={"boost": {"delta": 3.0}})
GREEN = Hypothesis(metric="total", direction="increase")
RED = Hypothesis(metric="total", direction="decrease")

@pytest.mark.experiment(**MARK, hypotheses=[GREEN])
$kind experiment_green($fixtures delta=0.0):
    $body
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(**MARK, hypotheses=[RED])
$kind experiment_red($fixtures delta=0.0):
    $body
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
""")


@dataclass(frozen=True)
class Case:
    """A plugin, and what an experiment does with it.

    Attributes
    ----------
    distribution : str
        Its name.
    plugin : str
        The name of its entry point, which loads it.
    args : tuple of str
        Of pytest.
    fixtures : str
        What the experiments ask for beside ``rng``.
    body : str
        What they do.
    kind : str
        ``def`` or ``async def``.
    ini : str
        Lines of the ini file.
    outcomes : dict
        What pytest counts.
    """

    distribution: str
    plugin: str
    args: tuple[str, ...] = ()
    fixtures: str = ""
    body: str = "pass"
    kind: str = "def"
    ini: str = ""
    outcomes: dict[str, int] = field(default_factory=lambda: {"passed": 1, "failed": 1})


CASES = [
    Case(
        "pytest-asyncio",
        "asyncio",
        kind="async def",
        body="await asyncio.sleep(0)",
        ini="asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function",
    ),
    Case("anyio", "anyio", kind="async def", body="import anyio; await anyio.sleep(0)"),
    Case("pytest-cov", "pytest_cov", args=("--cov=experiment_a", "--cov-report=json")),
    Case("pytest-randomly", "randomly", args=("-p", "randomly")),
    Case("pytest-rerunfailures", "rerunfailures", args=("--reruns=2",), outcomes={"passed": 1, "failed": 1}),
    Case("pytest-retry", "pytest-retry", args=("--retries=2",)),
    Case("pytest-repeat", "repeat", args=("--count=2",), outcomes={"passed": 2, "failed": 2}),
    Case("pytest-timeout", "timeout", args=("--timeout=30",)),
    Case(
        "pytest-html",
        "html",  # also the name of a module that is loaded already
        args=(
            *("-p", "html_fixtures", "-p", "metadata"),
            "--html=report.html",
            "--self-contained-html",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
        ),
    ),
    Case(
        "pytest-mock",
        "pytest_mock",
        fixtures="mocker",
        body="mocker.patch('os.getcwd', return_value='x'); assert os.getcwd() == 'x'",
    ),
    Case(
        "pytest-freezer",
        "freezer",
        fixtures="freezer",
        body="freezer.move_to('2001-02-03'); assert time.gmtime().tm_year == 2001",
    ),
    Case(
        "pyfakefs",
        "fakefs",
        fixtures="fs",
        body="fs.create_file('/made', contents='x'); assert open('/made').read() == 'x'",
    ),
    Case("pytest-sugar", "sugar"),
    Case("pytest-check", "check", fixtures="check", body="check.equal(1, 1)"),
    Case("pytest-testmon", "pytest-testmon", args=("--testmon", "--testmon-noselect")),
    Case("pytest-benchmark", "benchmark", fixtures="benchmark", body="benchmark(lambda: None)"),
]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest with --crystallize on the experiments of a case, and with no other plugin but xdist."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(case, workers, *more):
        fixtures = f"{case.fixtures}, rng," if case.fixtures else "rng,"
        source = SOURCE.substitute(kind=case.kind, fixtures=fixtures, body=case.body)
        pytester.path.joinpath("experiment_a.py").write_text(source)
        pytester.path.joinpath("pytest.ini").write_text(f"[pytest]\n{case.ini}\n")
        loaded = ("-p", "xdist", "-p", "crystallize", "-p", case.plugin)
        return pytester.runpytest_subprocess(
            *loaded, "--crystallize", "-n", workers, "-W", "error", *case.args, *more, timeout=300
        )

    run.path = pytester.path
    return run


def installed(distribution):
    """Return the case of a plugin; skip the test if it is not installed."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    return next(case for case in CASES if case.distribution == distribution)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("distribution", [case.distribution for case in CASES])
def test_verdicts(distribution, workers, run):
    """The supported claim passes, the other fails, and the exit code says so; nothing goes wrong inside."""
    case = installed(distribution)
    result = run(case, workers)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    counts = {kind: n for kind, n in result.parseoutcomes().items() if kind in ("passed", "failed", "errors")}
    assert counts == case.outcomes, result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["REFUTED*experiment_red*"])
    result.stdout.no_fnmatch_line("REFUTED*experiment_green*")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_reruns_are_counted_as_of_other_tests(workers, run):
    """Each of them once, and the table has a row for the test."""
    result = run(installed("pytest-rerunfailures"), workers)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "rerun": 2}
    assert len([line for line in result.outlines if re.match(r"    boost .*REFUTED", line)]) == 1


ENDS = """
import pytest

@pytest.fixture(scope="module")
def server():
    yield
    raise ValueError("the server did not end")

@pytest.mark.experiment(replicates=2)
def experiment_served(server):
    pass
"""


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("distribution", ["pytest-rerunfailures", "pytest-retry"])
def test_nothing_hides_an_error_of_a_wider_fixture(distribution, workers, run):
    """Its test is asked again, but the fixture is not made again."""
    case = installed(distribution)
    run.path.joinpath("test_served.py").write_text(ENDS)
    result = run(case, workers, "-k", "served", "test_served.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["errors"] == 1


@pytest.mark.parametrize("workers", ["0", "2"])
def test_coverage_counts_what_stored_runs_execute(workers, run):
    """They are made again, unless they are asked for: then what is missing is named."""
    case = installed("pytest-cov")
    for _ in range(2):
        result = run(case, workers)
        result.stdout.fnmatch_lines(["note: coverage is measured, so runs that are stored are made again*"])
        assert percent_covered(run.path) == 100
    result = run(case, workers, "--crystallize-cache=reuse", "-o", "crystallize_cache_verify=0")
    result.stdout.fnmatch_lines(["note: experiment_?*.py::experiment_green: 12 stored runs were used*"])
    assert percent_covered(run.path) < 100


def percent_covered(path):
    files = json.loads((path / "coverage.json").read_text())["files"]
    return files["experiment_a.py"]["summary"]["percent_covered"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_testmon_selects_no_experiments(workers, run):
    """It would leave out claims that rest on what another test has executed."""
    result = run(installed("pytest-testmon"), workers, "--testmon-forceselect")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --testmon selects *"])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_progress_of_sugar(workers, run):
    """It ends at 100 %, whatever workers ran beside the tests."""
    case = installed("pytest-sugar")
    result = run(case, workers, "--force-sugar")
    assert re.findall(r"\d+%", result.stdout.str())[-1] == "100%"


def test_the_page_of_html_is_complete(run):
    """A report of pytest-html shows both tests and what became of them."""
    case = installed("pytest-html")
    run(case, "0")
    page = (run.path / "report.html").read_text()
    for nodeid in ("experiment_green::total_increase", "experiment_red::total_decrease"):
        assert nodeid in page


ASYNC_FIXTURES = """
import asyncio
import pytest
IMPORT

@DECLARED(scope="module"LOOP)
async def server(BACKEND):
    queue = asyncio.Queue()

    async def serve():
        while True:
            reply, number = await queue.get()
            reply.set_result(2 * number)

    task = asyncio.create_task(serve())
    yield queue
    assert asyncio.get_running_loop() is task.get_loop()
    task.cancel()

@DECLARED(scope="function"LOOP)
async def client(server):
    async with GROUP as tasks:
        async def ask(number):
            reply = asyncio.get_running_loop().create_future()
            START(server.put((reply, number)))
            return await reply
        yield ask

@pytest.mark.experiment(replicates=6)
async def experiment_served(client, replicate):
    assert await client(replicate) == 2 * replicate

@pytest.mark.MARK
async def test_ordinary(client):
    assert await client(3) == 6
"""

DECLARATIONS = {
    "pytest-asyncio": {
        "IMPORT": "import pytest_asyncio",
        "DECLARED": "pytest_asyncio.fixture",
        "BACKEND": "",
        "GROUP": "asyncio.TaskGroup()",
        "START": "tasks.create_task",
        "MARK": "asyncio(loop_scope='module')",
        "LOOP": ", loop_scope='module'",
    },
    "anyio": {
        "IMPORT": "import anyio\nanyio_backend = pytest.fixture(scope='module')(lambda: 'asyncio')",
        "DECLARED": "pytest.fixture",
        "BACKEND": "anyio_backend",
        "GROUP": "anyio.create_task_group()",
        "START": "(lambda sent: tasks.start_soon(lambda: sent))",
        "MARK": "anyio",
        "LOOP": "",
    },
}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("distribution", list(DECLARATIONS))
def test_asynchronous_fixtures(distribution, workers, run):
    """Whoever declares them: runs share a server on the loop of their process, other tests have theirs."""
    case = installed(distribution)
    source = ASYNC_FIXTURES
    for name, value in DECLARATIONS[distribution].items():
        source = source.replace(name, value)
    run.path.joinpath("test_served.py").write_text(source)
    result = run(case, workers, "-k", "served or ordinary", "test_served.py")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.assert_outcomes(passed=2)


TIMED = """
import pytest
from crystallize import Hypothesis, LogRatioTest

TERMS = dict(direction="decrease", at_least=0.1, relative=True, statistical_test=LogRatioTest())

@pytest.mark.experiment(
    replicates=8,
    treatments={"less": {"n": 3000}},
    hypotheses=[Hypothesis(metric=name, name=name, **TERMS) for name in ("seconds", "seconds_min")],
)
def experiment_a(ctx, benchmark, n=9000):
    ctx.time(sum, range(n))
    benchmark(sum, range(n))
    ctx.record("seconds", benchmark.stats.stats.min, measured=True)
"""


def test_times_of_a_benchmark_can_be_claimed(pytester, run, monkeypatch):
    """Beside those of the context; on workers it takes none."""
    installed("pytest-benchmark")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of the worker that runs this test
    pytester.path.joinpath("experiment_a.py").write_text(TIMED)
    loaded = ("-p", "crystallize", "-p", "benchmark")
    result = pytester.runpytest_subprocess(*loaded, "--crystallize", "--benchmark-max-time=0.01")
    result.assert_outcomes(passed=2)
