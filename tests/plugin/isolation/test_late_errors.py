"""Errors beside the body of a condition run: in threads, finalizers, coroutines, teardown of fixtures."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

from string import Template

import pytest

from plugin.conftest import RERUNS, total

STRICT = ("-p", "no:asyncio", "-W", "error")
"""Every warning is an error; pytest-asyncio, where it is installed, would give one of its own."""

THREAD = Template("""
import threading

def bad():
    raise ValueError("the thread crashed")

@pytest.mark.experiment(
    replicates=8,
    treatments={"boost": {"delta": 5.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, replicate, condition, delta=0.0):
    if (condition, replicate) == ("boost", 5):
        thread = threading.Thread(target=bad)
        thread.start()
        thread.join()
        $then
    return {"total": rng.normal() + delta}
""")

LOST = "INVALID: 1 of 8 replicates of 'boost' are missing: replicate 5 failed with ValueError: the thread crashed"


@pytest.mark.slow
def test_error_of_a_thread(project):
    """It is that of the run that started the thread, here and on workers, with a cold and a warm cache."""
    project.write(THREAD.substitute(then="pass"))
    results = [
        project.run("-n0", *STRICT),
        project.run("-n0", *STRICT),
        project.run("-n0", *STRICT, "--crystallize-cache=off"),
        project.run_workers(*STRICT, "--crystallize-cache=off"),
    ]
    for result in results:
        result.assert_outcomes(failed=1)
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [
                LOST + "*",
                "replicate 5 of 'boost', seed *, in a thread:",
                "*raise ValueError*the thread crashed*",
            ]
        )
    results[1].stdout.fnmatch_lines(["*15 of 16 runs from cache*"])


OTHERS = """
import asyncio, functools

class Closing:
    def __del__(self):
        raise ValueError("could not be closed")

async def answer():
    return 42

def left_behind(what):
    if what == "finalizer":
        Closing()
    else:
        answer()

CLAIM = [Hypothesis(metric="total", direction="increase")]

@pytest.mark.parametrize("what", ["finalizer", "coroutine"])
@pytest.mark.experiment(replicates=6, treatments={"boost": {"delta": 5.0}}, hypotheses=CLAIM)
async def experiment_marked(rng, replicate, what, delta=0.0):
    if delta and replicate == 3:
        left_behind(what)
    return {"total": rng.normal() + delta}

@pipeline_step()
def leave(data, ctx, *, what, delta=0.0):
    if delta and ctx.replicate == 3:
        left_behind(what)
    return data, {"total": ctx.rng.normal() + delta}

@pipeline_step()
async def leave_async(data, ctx, *, what, delta=0.0):
    await asyncio.sleep(0)
    if delta and ctx.replicate == 3:
        left_behind(what)
    await asyncio.sleep(0)
    return data, {"total": ctx.rng.normal() + delta}

@pytest.mark.parametrize("what", ["finalizer", "coroutine"])
@pytest.mark.parametrize("step", [leave, leave_async], ids=["sync", "async"])
def experiment_factory(step, what):
    steps = [step(what=what)]
    return Experiment(0, steps, treatments=[Treatment("boost", {"delta": 5.0})], hypotheses=CLAIM, replicates=6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_finalizers_and_coroutines(project, workers):
    """Theirs, too, are the run's, in both forms and where runs share an event loop; none of them is stored."""
    project.write(OTHERS)
    for _ in range(2):
        result = project.run_workers(*STRICT) if workers else project.run("-n0", *STRICT)
        result.assert_outcomes(failed=6)
        assert result.ret == 1
        output = result.stdout.str()
        lost = "INVALID: 1 of 6 replicates of 'boost' are missing: replicate 3 failed with "
        assert output.count(f"{lost}ValueError: could not be closed") == 3
        assert output.count(f"{lost}RuntimeWarning: coroutine 'answer' was never awaited") == 3
        assert output.count("replicate 3 of 'boost', seed ") == 6
    assert output.count("11 of 12 runs from cache") == 6


LATE = Template("""
import gc, threading

class Ring:
    def __init__(self):
        self.me = self
    def __del__(self):
        raise ValueError("garbage failed")

def bad():
    raise ValueError("the thread crashed")

def garbage():
    Ring()

def crash():
    thread = threading.Thread(target=bad)
    thread.start()
    thread.join()

def crash_later():
    threading.Timer(2.0, bad).start()  # behind its run, within the five seconds that a session waits

@pytest.fixture(scope="session")
def wide():
    yield
    raise ValueError("the session's teardown failed")

@pytest.mark.experiment(
    replicates=6,
    treatments={"boost": {"delta": 5.0}},
    hypotheses=[pytest.param(Hypothesis(metric="total", direction=d), marks=m) for d, m in $claims],
)
def experiment_total(rng, $fixtures, replicate, delta=0.0):
    if delta and replicate == 3:
        $call
    return {"total": rng.normal() + delta}
""")
SUPPORTED = '[("increase", ())]'
XFAIL = '[("decrease", pytest.mark.xfail)]'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixtures", "call", "claims", "message"),
    [
        ("condition", "garbage()", SUPPORTED, "ValueError: garbage failed"),
        ("condition", "crash_later()", XFAIL, "ValueError: the thread crashed"),
        ("wide", "pass", XFAIL, "ValueError: the session's teardown failed"),
    ],
    ids=["garbage", "thread", "fixture"],
)
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_errors_of_no_run(project, workers, fixtures, call, claims, message):
    """They fail the session, whoever ran what, and nothing that was run until then is stored."""
    source = LATE.substitute(fixtures=fixtures, call=call, claims=claims)
    project.write(source)
    options = (*STRICT, "-o", "crystallize_cache_verify=0")
    for _ in range(2):
        result = project.run_workers(*options, n=1) if workers else project.run("-n0", *options)
        assert result.ret == 1
        outcomes = result.parseoutcomes()
        assert outcomes.pop("errors") == 1
        assert outcomes in ({"passed": 1}, {"xfailed": 1})
        result.stdout.fnmatch_lines(["*ERROR at teardown of *experiment_total*", f"*{message}*"])
        result.stdout.no_fnmatch_line("*from cache*")


BOTH_WORK = """
import time
from pathlib import Path

@pytest.fixture(scope="module")
def wide(worker_id):
    Path(f"{worker_id}.works").touch()
    until = time.monotonic() + 300
    while len(list(Path().glob("*.works"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    yield
    raise ValueError(f"the teardown failed on {worker_id}")
"""


@pytest.mark.slow
def test_teardown_where_only_tokens_ran(project):
    """A worker that gave no verdict fails the session by what its wider fixtures raise, as the experiment's error."""
    project.write(BOTH_WORK + total(arguments="rng, wide"))
    result = project.run_workers("--junitxml=junit.xml", "-v")
    assert result.ret == 1
    result.assert_outcomes(passed=1, errors=2)
    output = result.stdout.str()
    assert "block-" not in output
    assert "100%]" in output
    result.stdout.fnmatch_lines_random(
        [
            "*ERROR at teardown of experiment_total::total_increase[[]boost] *",
            "*ERROR at teardown of experiment_total _*",
            "ERROR experiment_a.py::experiment_total - ValueError*",
            "note: experiment_total: an error that is no replicate's: *",
        ]
    )
    assert set(project.cases()) == {"total_increase[boost]", "experiment_total"}


@pytest.mark.slow
def test_without_filter(project):
    """Without a filter they are warnings, told alike here and on workers, and nothing fails."""
    call = "crash(); Ring(); gc.collect()"
    project.write(LATE.substitute(fixtures="condition", call=call, claims=SUPPORTED))
    told = []
    off = "--crystallize-cache=off"  # what a stored run warned of is not repeated
    for result in (project.run_apart("-n0", off), project.run_workers(off)):
        result.assert_outcomes(passed=1, warnings=2)
        assert result.ret == 0
        lines = result.stdout.lines
        begin = next(i for i, line in enumerate(lines) if "warnings summary" in line)
        told.append([line for line in lines[begin:] if line == "experiment_a.py::experiment_total"])
    assert told[0]
    assert told[0] == told[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "plugin", ["threadexception", pytest.param("unraisableexception", marks=pytest.mark.slow)]
)
def test_without_the_plugin_of_pytest(project, plugin):
    """Who switches pytest's plugin off hears of no such error; what is stored then is not used with it."""
    call = "crash()" if plugin == "threadexception" else "Closing()"
    source = LATE.substitute(fixtures="condition", call=call, claims=SUPPORTED)
    project.write(
        source + "\nclass Closing:\n    def __del__(self):\n        raise ValueError('not closed')\n"
    )
    off = project.run_apart("-n0", *STRICT, "-p", f"no:{plugin}")
    off.assert_outcomes(passed=1)
    assert off.ret == 0
    on = project.run_apart("-n0", *STRICT)
    assert on.ret == 1
    on.stdout.no_fnmatch_line("*from cache*")


CACHED_STEP = """
import linecache, threading

linecache.getlines(__file__)  # tracebacks quote it; opened in a step, it would keep that from being stored

def bad():
    raise ValueError("the thread crashed")

@pipeline_step(cacheable=True, deterministic=True)
def prepare(data, ctx):
    thread = threading.Thread(target=bad)
    thread.start()
    thread.join()
    return data

@pipeline_step()
def score(data, ctx, *, delta=0.0):
    return data, {"total": ctx.rng.normal() + delta}

def experiment_cached():
    claim = Hypothesis(metric="total", direction="increase")
    treatments = [Treatment("boost", {"delta": 5.0})]
    return Experiment(0, [prepare, score], treatments=treatments, hypotheses=[claim], replicates=8)
"""


@pytest.mark.slow
def test_results_of_steps(project):
    """The result of a step in whose call an error arose is not used, nor one of a session that only warned."""
    project.write(CACHED_STEP)
    project.run_apart("-n0").assert_outcomes(passed=1, warnings=1)
    assert list((project.path / ".pytest_cache/d/crystallize/steps").rglob("*.value"))
    for _ in range(2):
        result = project.run("-n0", *STRICT)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["INVALID: * of 8 replicates*the thread crashed*"])


def test_error_beside_a_failure(project):
    """A run that fails by itself fails by that, and shows what its thread raised, too."""
    project.write(THREAD.substitute(then="raise KeyError('own')"))
    result = project.run("-n0", *STRICT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["INVALID*failed with KeyError: 'own'", "*Error in a thread*", "*ValueError: the thread crashed"]
    )


def test_error_while_a_test_decides(project):
    """What a verifier leaves behind fails its test, expected to fail or not: it is no verdict."""
    project.write("""
        import threading

        def bad():
            raise ValueError("the thread crashed")

        @verifier
        def judge(baseline, treatment):
            thread = threading.Thread(target=bad)
            thread.start()
            thread.join()
            return {"p_value": 1.0, "significant": False}

        @pytest.mark.experiment(replicates=3, treatments={"boost": {"delta": 3.0}}, hypotheses=[
            pytest.param(Hypothesis(verifier=judge(), metrics="total", name="judged"), marks=pytest.mark.xfail)])
        def experiment_judged(rng, delta=0.0):
            return {"total": rng.normal() + delta}
        """)
    result = project.run("-n0", *STRICT)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ValueError: the thread crashed*"])


ENDS = """
@pytest.fixture(scope="module")
def wide():
    yield
    raise ValueError("the server did not end")
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_rerun_makes_no_error_of_no_run_good(project, workers):
    """As pytest-rerunfailures does it: the test passes again, since nothing that failed is made again."""
    project.raw("conftest.py", RERUNS)
    project.write(ENDS + total(arguments="rng, wide"))
    result = project.run_apart("-n", workers, "--crystallize-report=r.json")
    assert result.ret == 1
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of *", "E *ValueError: the server did not end"])
    (test,) = project.json("r.json")["experiments"][0]["tests"]
    assert test["outcome"] == "error"


AFTER_RUN = """
import threading

def bad():
    raise ValueError("the thread crashed")

class Starts(BasePlugin):
    def after_run(self, experiment, result):
        thread = threading.Thread(target=bad)
        thread.start()
        thread.join()

@pipeline_step()
def score(data, ctx, *, delta=0.0):
    return data, {"total": ctx.rng.normal() + delta}

def experiment_factory():
    claim = Hypothesis(metric="total", direction="increase")
    treatments = [Treatment("boost", {"delta": 5.0})]
    return Experiment(0, [score], plugins=[Starts()], treatments=treatments, hypotheses=[claim], replicates=6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_error_behind_all_tests(project, workers):
    """It fails the session, on a worker as in one process, and stands among the notes."""
    project.write(AFTER_RUN)
    result = project.run_apart(f"-n{workers}", *STRICT)
    assert result.ret == 1
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["note: Exception in thread *: ValueError: the thread crashed"])
    result.stderr.fnmatch_lines(["crystallize: the exit code is 1, not 0: *the thread crashed"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_wider_fixture_that_skips_in_its_teardown(project, workers):
    """It fails, as a narrow one does: what was run is not skipped any more."""
    project.raw(
        "conftest.py",
        """
        import pytest

        @pytest.fixture(scope="session")
        def wide():
            yield
            pytest.skip("no more")
        """,
    )
    project.write(total(arguments="rng, wide"))
    result = project.run_apart(f"-n{workers}")
    assert result.ret == 1
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*RuntimeError: a fixture skipped in its teardown: no more"])


def test_wider_fixtures_that_skip_in_their_teardown(project):
    """Several of them fail, too: pytest takes a group of skips for one."""
    wide = "@pytest.fixture(scope='session')\ndef {0}():\n    yield\n    pytest.skip('no {0}')\n"
    project.raw("conftest.py", "import pytest\n" + wide.format("first") + wide.format("second"))
    project.write(total(arguments="rng, first, second"))
    result = project.run("-n0")
    assert result.ret == 1
    result.assert_outcomes(passed=1, errors=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_filters_of_a_set_of_parameters(project, workers):
    """They apply to condition runs wherever these are made."""
    project.write(
        'STRICT = pytest.mark.filterwarnings("error")\n'
        '@pytest.mark.parametrize("mood", [pytest.param("strict", marks=STRICT), "lenient"])'
        + total(arguments="mood, rng", lines="warnings.warn('odd')")
    )
    result = project.run_apart(f"-n{workers}")
    result.assert_outcomes(passed=1, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["INVALID experiment_a.py::*strict-boost[]]*"])
